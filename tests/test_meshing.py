"""The lattice mesher against closed forms: balls, boxes and sheets."""

import itertools
import logging

import numba
import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from twin.compiled import compiled
from twin.errors import InvalidInput
from twin.mesh import Mesh
from twin.meshing import build, build_mesh, expected_nodes, mesh_quality, wanted_cell_size
from twin.meshing.distances import capped_distance
from twin.meshing.geometry import dihedral_extremes
from twin.meshing.sizing import layer_thickness

SIDE, OUTER, INNER = 30, 11.0, 6.0  # [mm]: a box, a ball in it, a ball in that
NAMES = {1: "white_matter", 2: "enhancing", 3: "necrosis"}
MARGIN = 3  # empty voxels about the box
CENTRE = np.array([17.7, 17.4, 17.1])  # [mm]; off the grid, so that voxel counts are right to 0.2 %


def radius_from_centre():
    index = np.indices((SIDE + 2 * MARGIN,) * 3)
    return np.sqrt(sum((x - c) ** 2 for x, c in zip(index, CENTRE, strict=True)))


def nested_balls():
    radius = radius_from_centre()
    labels = np.zeros(radius.shape, int)
    labels[(slice(MARGIN, -MARGIN),) * 3] = 1
    labels[radius < OUTER] = 2
    labels[radius < INNER] = 3
    return labels


def ball_volume(radius):
    return 4 / 3 * np.pi * radius**3


def meshed(labels, affine=None, *, names=NAMES, fine=2.5, region=None, **options):
    affine = np.eye(4) if affine is None else affine
    spacing = np.linalg.norm(affine[:3, 0])
    region = np.isin(labels, (2, 3)) if region is None else region
    size = wanted_cell_size(
        labels, spacing, fine_mm=fine, fine_region=region, coarse_mm=4 * fine, grading=0.5
    )
    return build_mesh(
        labels, affine, label_names=names, cell_size_mm=size, smallest_cell_mm=fine, **options
    )


@pytest.fixture(scope="module")
def balls():
    return meshed(nested_balls())


def volume_of(mesh, name):
    return mesh.cell_volume[mesh.cells_labelled(name)].sum()


def faces_and_owners(mesh):
    """Every face as sorted nodes, its outward-turned nodes, and how many cells have it."""
    turned = mesh.cells[:, [(1, 2, 3), (0, 3, 2), (0, 1, 3), (0, 2, 1)]].reshape(-1, 3)
    _, first, owners = np.unique(
        np.sort(turned, axis=1), axis=0, return_index=True, return_counts=True
    )
    return turned[first], owners


def smallest_dihedral_by_definition(points, cells):
    """Angle between the planes on each edge, from the parts of the other vertices across it."""
    smallest = np.inf
    for a, b in itertools.combinations(range(4), 2):
        c, d = sorted(set(range(4)) - {a, b})
        edge = points[cells[:, b]] - points[cells[:, a]]
        edge /= np.linalg.norm(edge, axis=1, keepdims=True)
        sides = []
        for other in (c, d):
            side = points[cells[:, other]] - points[cells[:, a]]
            side = side - (side * edge).sum(axis=1, keepdims=True) * edge
            sides.append(side / np.linalg.norm(side, axis=1, keepdims=True))
        cosine = (sides[0] * sides[1]).sum(axis=1)
        smallest = min(smallest, np.degrees(np.arccos(cosine.max())))
    return smallest


def test_volumes_match_the_closed_forms(balls):
    assert volume_of(balls, "necrosis") == pytest.approx(ball_volume(INNER), rel=0.02)
    assert volume_of(balls, "enhancing") == pytest.approx(
        ball_volume(OUTER) - ball_volume(INNER), rel=0.02
    )
    assert volume_of(balls, "white_matter") == pytest.approx(SIDE**3 - ball_volume(OUTER), rel=0.02)
    assert len(balls.points) < 5000


def test_interface_lies_on_the_sphere(balls):
    inside = np.unique(balls.cells[balls.cells_labelled("enhancing", "necrosis")])
    outside = np.unique(balls.cells[balls.cells_labelled("white_matter")])
    shared = balls.points[np.intersect1d(inside, outside)]
    distance = np.linalg.norm(shared - CENTRE, axis=1) - OUTER
    assert abs(distance.mean()) < 0.15
    assert np.sqrt((distance**2).mean()) < 0.35  # a third of a voxel
    assert np.abs(distance).max() < 1.0


def test_mesh_is_conforming(balls):
    faces, owners = faces_and_owners(balls)
    assert set(owners) == {1, 2}
    # faces with one cell form the closed outer surface and lie nowhere else
    outer = faces[owners == 1]
    edges = np.sort(outer[:, [(0, 1), (1, 2), (2, 0)]].reshape(-1, 2), axis=1)
    _, count = np.unique(edges, axis=0, return_counts=True)
    assert (count % 2 == 0).all()
    middle = balls.points[outer].mean(axis=1)
    low, high = MARGIN - 0.5, MARGIN + SIDE - 0.5
    depth = np.minimum(middle - low, high - middle).min(axis=1)
    assert depth.max() < 1.5
    # divergence theorem: no overlap and no gap inside the outer surface
    a, b, c = (balls.points[outer[:, k]] for k in range(3))
    enclosed = (np.cross(a, b) * c).sum() / 6
    assert enclosed == pytest.approx(balls.cell_volume.sum(), rel=1e-9)


def test_cells_are_graded(balls):
    radius = np.linalg.norm(balls.points[balls.cells].mean(axis=1) - CENTRE, axis=1)
    edge = balls.edge_length()
    assert edge[radius < OUTER].mean() < 2.5
    assert edge[radius > OUTER + 9].mean() > 3.5


def test_quality_bar(balls):
    edges = balls.points[balls.cells[:, 1:]] - balls.points[balls.cells[:, :1]]
    assert np.linalg.det(edges).min() > 0.0
    angle = smallest_dihedral_by_definition(balls.points, balls.cells)
    assert angle >= 20.0
    quality = mesh_quality(balls, nested_balls(), np.eye(4))
    assert quality.smallest_dihedral_deg == pytest.approx(angle, abs=1e-6)
    assert quality.nodes == len(balls.points)
    assert 2.0 < quality.edge_mm_near_tumour < 3.5
    assert max(map(abs, quality.label_volume_error.values())) < 0.02
    assert "necrosis" in quality.table()
    assert quality.as_dict()["cells"] == len(balls.cells)


def test_same_seed_same_mesh(balls):
    again = meshed(nested_balls(), seed=0)
    assert again.content_hash == balls.content_hash


def test_arguments_stay_as_they_are():
    labels = nested_balls()
    size = np.full(labels.shape, 8.0)
    build_mesh(labels, np.eye(4), label_names=NAMES, cell_size_mm=size, smallest_cell_mm=8.0)
    assert (labels == nested_balls()).all()
    assert (size == 8.0).all()


@pytest.mark.parametrize("mirror", [1.0, -1.0])
def test_affine_is_honoured(balls, mirror):
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", [20, -35, 70], degrees=True).as_matrix() * 1.0
    affine[:3, 0] *= mirror
    affine[:3, 3] = [40.0, -25.0, 10.0]
    mesh = meshed(nested_balls(), affine)
    expected = balls.points @ affine[:3, :3].T + affine[:3, 3]
    np.testing.assert_allclose(mesh.points, expected, atol=1e-9)
    assert mesh.cell_volume.sum() == pytest.approx(balls.cell_volume.sum(), rel=1e-9)


def test_spacing_scales_the_mesh(balls):
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    mesh = meshed(nested_balls(), affine, fine=5.0)
    assert volume_of(mesh, "necrosis") == pytest.approx(8 * ball_volume(INNER), rel=0.02)


def test_a_coarser_second_mesh(balls):
    coarse = meshed(nested_balls(), fine=2.5 * 1.6)
    assert len(coarse.points) < len(balls.points) / 2
    assert volume_of(coarse, "necrosis") == pytest.approx(ball_volume(INNER), rel=0.05)


def test_thin_layer_keeps_its_volume():
    labels = np.zeros((36, 36, 20), int)
    labels[3:-3, 3:-3, 3:10] = 1
    labels[3:-3, 3:-3, 10:12] = 2  # two voxels thick, cells of three
    labels[3:-3, 3:-3, 12:17] = 1
    mesh = meshed(labels, names={1: "grey_matter", 2: "fluid"}, fine=3.0)
    assert volume_of(mesh, "fluid") == pytest.approx(30 * 30 * 2, rel=0.1)


def test_unmoved_lattice_has_good_angles():
    mesh = meshed(nested_balls(), move_vertices=False)
    assert smallest_dihedral_by_definition(mesh.points, mesh.cells) > 45.0 - 1e-6
    assert set(faces_and_owners(mesh)[1]) == {1, 2}


def test_falls_back_on_the_unmoved_lattice(monkeypatch, caplog):
    monkeypatch.setattr(build, "SMALLEST_DIHEDRAL_DEG", 44.0)  # no fitted mesh is that good
    with caplog.at_level(logging.WARNING, logger="twin.meshing"):
        mesh = meshed(nested_balls())
    assert "unmoved lattice" in caplog.text
    assert mesh.content_hash == meshed(nested_balls(), move_vertices=False).content_hash


@pytest.mark.parametrize("seed", range(3))
def test_noise_gives_a_valid_mesh(seed):
    noise = np.random.default_rng(seed).integers(0, 4, (16, 16, 16))
    mesh = meshed(noise)
    assert smallest_dihedral_by_definition(mesh.points, mesh.cells) >= 15.0
    assert set(faces_and_owners(mesh)[1]) <= {1, 2}


def test_a_label_too_small_is_reported(caplog):
    labels = np.zeros((30, 30, 30), int)
    labels[5:25, 5:25, 5:25] = 1
    labels[6, 6, 6] = 3
    with caplog.at_level(logging.WARNING, logger="twin.meshing"):
        mesh = meshed(labels, fine=5.0)
    assert "necrosis" in caplog.text
    assert mesh_quality(mesh, labels, np.eye(4)).label_volume_error["necrosis"] == -1.0


def test_progress_rises_to_one():
    parts = []
    meshed(nested_balls(), fine=6.0, progress=lambda part, what: parts.append(part))
    assert parts == sorted(parts)
    assert parts[0] == 0.0
    assert parts[-1] == 1.0


def test_expected_nodes_foretells_the_number(balls):
    labels = nested_balls()
    size = wanted_cell_size(
        labels, 1.0, fine_mm=2.5, fine_region=labels > 1, coarse_mm=10.0, grading=0.5
    )
    assert expected_nodes(size, 1.0, 2.5) == pytest.approx(len(balls.points), rel=0.25)


def test_wanted_size_grows_from_the_fine_region():
    labels = np.ones((60, 12, 12), int)
    region = np.zeros(labels.shape, bool)
    region[:5] = True
    size = wanted_cell_size(
        labels, 2.0, fine_mm=2.0, fine_region=region, coarse_mm=7.0, grading=0.25, thin_layer_mm=7.0
    )
    distance = 2.0 * np.maximum(0, np.arange(60) - 4)
    np.testing.assert_allclose(size[:, 6, 6], np.minimum(7.0, 2.0 + 0.25 * distance), rtol=1e-6)
    labels[:, :, 0] = 0
    size = wanted_cell_size(labels, 2.0, fine_mm=2.0, fine_region=region, coarse_mm=7.0)
    assert np.isinf(size[:, :, 0]).all()


def test_thin_layers_ask_for_small_cells():
    labels = np.ones((24, 24, 24), int)
    labels[:, :, 12:14] = 2
    thickness = layer_thickness(labels, 1.5)
    assert (thickness[:, :, 12:14] == 3.0).all()
    assert np.isinf(thickness[12, 12, 5])
    size = wanted_cell_size(
        labels, 1.5, fine_mm=1.0, fine_region=labels < 0, coarse_mm=9.0, thin_layer_mm=2.0
    )
    assert size[12, 12, 12] == 3.0
    assert size[12, 12, 5] == 9.0


def test_capped_distance_is_the_euclidean_one():
    mask = np.random.default_rng(5).random((14, 15, 16)) < 0.02
    expected = np.minimum(ndimage.distance_transform_edt(~mask), 4.0)
    np.testing.assert_allclose(capped_distance(mask, 4), expected, rtol=1e-6)


def test_quality_of_the_regular_tetrahedron():
    corners = np.array([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    cells = np.array([[0, 1, 3, 2]])
    smallest, largest = dihedral_extremes(corners, cells)
    assert smallest[0] == pytest.approx(np.degrees(np.arccos(1 / 3)))
    assert largest[0] == pytest.approx(np.degrees(np.arccos(1 / 3)))
    mesh = Mesh(corners, cells, [1], {1: "white_matter"})
    labels = np.ones((2, 1, 1), int)  # 2 mm3 wanted, 8/3 mm3 meshed
    quality = mesh_quality(mesh, labels, np.eye(4))
    assert quality.label_volume_error["white_matter"] == pytest.approx(1 / 3)
    assert np.isnan(quality.edge_mm_near_tumour)


def test_compiles_where_no_cache_can_be_written(monkeypatch):
    monkeypatch.setattr("numba.core.caching.CompileResultCacheImpl._locator_classes", [])
    with pytest.raises(RuntimeError, match="no locator"):
        numba.njit(cache=True)(lambda x: x)
    assert compiled(lambda x: x + 1)(1) == 2


def bad(**changes):
    arguments = {
        "labels": nested_balls(),
        "affine": np.eye(4),
        "label_names": NAMES,
        "cell_size_mm": np.full(nested_balls().shape, 5.0),
        "smallest_cell_mm": 5.0,
    }
    arguments.update(changes)
    return arguments


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"labels": np.zeros((36, 36, 36), int)}, "nothing to mesh"),
        ({"labels": np.zeros((36, 36, 36))}, "astype"),
        ({"labels": nested_balls() - 1}, "between 0 and 32767"),
        ({"label_names": {1: "white_matter", 2: "enhancing"}}, "Label 3 .* no name"),
        ({"affine": np.diag([1.0, 1.0, 2.0, 1.0])}, "must be cubes"),
        ({"affine": np.zeros((4, 4))}, "must be cubes"),
        ({"affine": np.full((4, 4), np.nan)}, "finite 4 x 4"),
        ({"affine": np.eye(3)}, "finite 4 x 4"),
        ({"cell_size_mm": np.ones((2, 2, 2))}, "same grid"),
        ({"cell_size_mm": np.full((36, 36, 36), np.nan)}, "above 0 mm"),
        ({"smallest_cell_mm": 0.0}, "positive length"),
        ({"smallest_cell_mm": float("nan")}, "positive length"),
        ({"smallest_cell_mm": 0.01}, "larger smallest cell"),
    ],
)
def test_bad_input_gets_a_sentence(changes, sentence):
    arguments = bad(**changes)
    with pytest.raises(InvalidInput, match=sentence):
        build_mesh(arguments.pop("labels"), arguments.pop("affine"), **arguments)


@pytest.mark.parametrize(
    "changes",
    [
        {"fine_mm": 0.0},
        {"fine_mm": 9.0},
        {"coarse_mm": float("nan")},
        {"grading": 0.0},
        {"thin_layer_mm": -1.0},
        {"fine_region": np.zeros((2, 2, 2), bool)},
    ],
)
def test_bad_sizes_get_a_sentence(changes):
    arguments = {"fine_mm": 2.0, "coarse_mm": 8.0, "fine_region": nested_balls() > 1, **changes}
    with pytest.raises(InvalidInput):
        wanted_cell_size(nested_balls(), 1.0, **arguments)
