"""Swaps, what a build reports, and cells as wide as a front: against closed forms."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import Delaunay

from twin.errors import InvalidInput
from twin.mesh import Mesh
from twin.meshing import (
    build,
    build_mesh,
    build_mesh_with_report,
    front_reach_mm,
    front_width_mm,
    negative_transmissibility_share,
    wanted_cell_size,
)
from twin.meshing.geometry import FACES, cell_neighbours, cell_volumes, dihedral_extremes
from twin.meshing.interfaces import InterfacePlanes, feet
from twin.meshing.labelling import interface_areas, volume_offset_step
from twin.meshing.swaps import swap_to_better

NAMES = {1: "white_matter", 2: "enhancing"}


def ball_in_a_box(radius, side, centre):
    index = np.indices((side,) * 3)
    distance = np.sqrt(sum((x - c) ** 2 for x, c in zip(index, centre, strict=True)))
    labels = np.zeros(distance.shape, int)
    labels[(slice(3, -3),) * 3] = 1
    labels[distance < radius] = 2
    return labels


def arguments(labels, fine, **options):
    size = wanted_cell_size(
        labels, 1.0, fine_mm=fine, fine_region=labels == 2, coarse_mm=4 * fine, grading=0.5
    )
    return {
        "label_names": NAMES,
        "cell_size_mm": size,
        "smallest_cell_mm": fine,
        **options,
    }


def meshed(radius, fine, side=36, centre=(17.7, 17.4, 17.1), **options):
    labels = ball_in_a_box(radius, side, centre)
    return build_mesh_with_report(labels, np.eye(4), **arguments(labels, fine, **options))


@pytest.fixture(scope="module")
def ball():
    return meshed(11.0, 2.5)


def interface(mesh, name):
    """Faces between the cells of a label and all others, shape (face, 3)."""
    neighbour = cell_neighbours(mesh.cells, len(mesh.points))
    own = mesh.cells_labelled(name)
    cell, face = np.nonzero(own[:, None] & ~own[neighbour] & (neighbour >= 0))
    return mesh.cells[cell[:, None], FACES[face]]


def area_of(points, faces):
    a, b, c = (points[faces[:, k]] for k in range(3))
    return 0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1).sum()


# --- the ball ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("radius", "fine"), [(11.0, 2.5), (9.0, 1.8), (7.3, 2.5)])
def test_area_and_volume_of_a_ball(radius, fine):
    mesh, _ = meshed(radius, fine)
    area = area_of(mesh.points, interface(mesh, "enhancing"))
    volume = mesh.cell_volume[mesh.cells_labelled("enhancing")].sum()
    assert area == pytest.approx(4 * np.pi * radius**2, rel=0.03)
    assert volume == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.01)


def test_angles_of_a_ball(ball):
    mesh, report = ball
    smallest, largest = dihedral_extremes(mesh.points, mesh.cells)
    assert smallest.min() >= 20.0
    assert np.percentile(smallest, 1) >= 30.0
    assert largest.max() <= 150.0
    assert report.dihedral_deg == (smallest.min(), largest.max())


def test_hardly_a_cell_has_all_its_vertices_on_the_interface(ball):
    mesh, _ = ball
    on = np.zeros(len(mesh.points), bool)
    on[interface(mesh, "enhancing").ravel()] = True
    assert on[mesh.cells].all(axis=1).mean() < 0.002  # 0.02 without swaps


def test_the_mesh_stays_in_one_piece(ball):
    mesh, _ = ball
    neighbour = cell_neighbours(mesh.cells, len(mesh.points))
    row, face = np.nonzero(neighbour >= 0)
    graph = coo_matrix((np.ones(len(row)), (row, neighbour[row, face])), (len(neighbour),) * 2)
    assert connected_components(graph)[0] == 1
    assert len(np.unique(mesh.cells)) == len(mesh.points)


@pytest.mark.parametrize("thickness", [4, 6])
def test_a_layer_two_cells_thick_keeps_its_volume(thickness):
    labels = np.zeros((36, 36, 24), int)
    labels[3:-3, 3:-3, 3:-3] = 1
    labels[3:-3, 3:-3, 9 : 9 + thickness] = 2
    mesh = build_mesh(labels, np.eye(4), **arguments(labels, thickness / 2))
    volume = mesh.cell_volume[mesh.cells_labelled("enhancing")].sum()
    assert volume == pytest.approx(30 * 30 * thickness, rel=0.01)


@pytest.mark.slow
def test_threads_change_nothing(ball):
    """The same mesh, to the last bit, in another process with two threads for everything."""
    program = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "from test_mesh_swaps import meshed\n"
        "print(meshed(11.0, 2.5)[0].content_hash)"
    )
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "2")
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **threads},
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == ball[0].content_hash


# --- swaps ------------------------------------------------------------------------------------


def cloud(seed, count=200):
    """A Delaunay mesh of random points, whose slivers give swaps enough to do."""
    points = np.random.default_rng(seed).random((count, 3))
    cells = Delaunay(points).simplices.astype(np.int64)
    volume = cell_volumes(points, cells)
    cells[volume < 0] = cells[volume < 0][:, [0, 1, 3, 2]]
    return points, cells[np.abs(volume) > 1e-7]


@pytest.mark.parametrize("seed", range(4))
def test_swaps_leave_a_valid_mesh_of_the_same_region(seed):
    points, cells = cloud(seed)
    label = 1 + (points[cells].mean(axis=1)[:, 0] > 0.5).astype(np.int64)
    neighbour = cell_neighbours(cells, len(points))
    swapped = swap_to_better(points, points, cells, label, neighbour, worse_than=2.0)
    assert swapped.swaps > 20
    volume = cell_volumes(points, swapped.cells)
    assert volume.min() > 0.0
    # a flat cell at the outer surface may be dropped, so nothing is added and little is lost
    lost = 1.0 - volume.sum() / cell_volumes(points, cells).sum()
    assert -1e-12 < lost < 0.03
    np.testing.assert_array_equal(swapped.neighbour, cell_neighbours(swapped.cells, len(points)))

    def energy(these):
        a, b, c, d = (points[these[:, k]] for k in range(4))
        edges = sum(((p - q) ** 2).sum(axis=1) for p, q in itertools.combinations((a, b, c, d), 2))
        return ((edges / 12.0) ** 3 / (3.0 * cell_volumes(points, these)) ** 2) ** 2

    assert energy(swapped.cells).clip(max=1e4).sum() < energy(cells).clip(max=1e4).sum()


def test_vertices_with_few_cells_keep_them():
    """An edge with four cells would be better gone, but its ends have no other cells."""
    points = np.array([[0, 0, 3.0], [0, 0, -3.0], [1, 0, 0], [0, 1.0, 0], [-1, 0, 0], [0, -1.0, 0]])
    ring = [2, 3, 4, 5]
    cells = np.array([[0, 1, ring[k], ring[(k + 1) % 4]] for k in range(4)])
    inverted = cell_volumes(points, cells) < 0
    cells[inverted] = cells[inverted][:, [1, 0, 2, 3]]
    neighbour = cell_neighbours(cells, len(points))
    kept = swap_to_better(points, points, cells, np.ones(4, np.int64), neighbour, worse_than=0.0)
    assert kept.swaps == 0
    np.testing.assert_array_equal(kept.cells, cells)


def test_arguments_of_a_swap_stay_as_they_are():
    points, cells = cloud(0)
    label = np.ones(len(cells), np.int64)
    neighbour = cell_neighbours(cells, len(points))
    before = cells.copy(), label.copy(), neighbour.copy()
    swap_to_better(points, points, cells, label, neighbour, worse_than=2.0)
    for array, old in zip((cells, label, neighbour), before, strict=True):
        np.testing.assert_array_equal(array, old)


def test_feet_lie_on_all_planes():
    normal = np.array([[[1.0, 0, 0], [0.6, 0.8, 0], [0, 0, 1.0]]])
    planes = InterfacePlanes(np.array([3]), normal, np.array([[1.0, 2.2, 4.0]]))
    np.testing.assert_allclose(feet(np.zeros((1, 3)), planes), [[1.0, 2.0, 4.0]], atol=0.02)
    none = InterfacePlanes(np.array([0]), normal, np.ones((1, 3)))
    assert (feet(np.ones((1, 3)), none) == 1.0).all()


def test_areas_and_the_step_of_offsets():
    """Two unit bricks side by side: one face between them, five each to the outside."""
    points = np.stack(np.meshgrid([0.0, 1, 2], [0.0, 1], [0.0, 1], indexing="ij"), -1).reshape(
        -1, 3
    )
    cells = Delaunay(points).simplices.astype(np.int64)
    cells = cells[np.abs(cell_volumes(points, cells)) > 1e-9]
    inverted = cell_volumes(points, cells) < 0
    cells[inverted] = cells[inverted][:, [0, 1, 3, 2]]
    label = 1 + (points[cells].mean(axis=1)[:, 0] > 1).astype(np.int64)
    neighbour = cell_neighbours(cells, len(points))
    corner = points[cells[:, FACES]]
    sides = np.cross(corner[:, :, 1] - corner[:, :, 0], corner[:, :, 2] - corner[:, :, 0])
    area = interface_areas(label, neighbour, 0.5 * np.linalg.norm(sides, axis=2), 3)
    np.testing.assert_allclose(area, [[0, 5, 5], [5, 0, 1], [5, 1, 0]], atol=1e-12)
    # both 0.5 mm3 too small: the five outer faces of each go out by 0.1 mm, by offsets of 0.2
    step = volume_offset_step(np.array([0.0, 0.5, 0.5]), area, 9.0)
    np.testing.assert_allclose(step, [0.0, 0.2, 0.2])
    assert volume_offset_step(np.array([0.0, 0.5, 0.5]), area, 0.15).max() == 0.15


# --- signs ------------------------------------------------------------------------------------


def test_negative_share_by_definition(ball):
    """Gradients from the inverse of each cell's matrix, assembled densely."""
    mesh, _ = meshed(7.3, 4.0)
    matrix = np.zeros((len(mesh.points),) * 2)
    for cell, volume in zip(mesh.cells, mesh.cell_volume, strict=True):
        gradient = np.linalg.inv(np.column_stack([np.ones(4), mesh.points[cell]]))[1:]
        matrix[np.ix_(cell, cell)] += volume * gradient.T @ gradient
    entry = matrix[np.triu_indices(len(matrix), 1)]
    entry = entry[np.abs(entry) > 1e-12 * np.abs(entry).max()]
    share = negative_transmissibility_share(mesh)
    assert share.by_value == pytest.approx(entry[entry > 0].sum() / np.abs(entry).sum(), rel=1e-9)
    assert share.by_number == pytest.approx((entry > 0).mean(), rel=0.05)
    assert negative_transmissibility_share(ball[0]).by_value < 0.05


def test_negative_share_of_an_obtuse_tetrahedron():
    """The apex over a mirrored corner: the angle at one edge alone is obtuse."""
    points = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [-0.5, 0.2, 1.0]])
    share = negative_transmissibility_share(Mesh(points, [[0, 1, 2, 3]], [1], {1: "bone"}))
    assert dihedral_extremes(points, np.array([[0, 1, 2, 3]]))[1][0] > 90.0
    assert 0.0 < share.by_value < 0.5


# --- the report -------------------------------------------------------------------------------


def test_the_report_of_a_fitted_mesh(ball):
    _, report = ball
    assert report.kind == "fitted"
    assert report.reason == ""
    assert report.lattice_dihedral_deg[0] == pytest.approx(45.0)
    assert report.swaps > 100
    assert report.lost_labels == ()
    assert set(report.seconds) == {"lattice", "distances", "labels", "interfaces", "check"}
    assert all(value >= 0.0 for value in report.seconds.values())
    assert report.as_dict()["swaps"] == report.swaps


def test_the_report_says_why_it_is_the_lattice(monkeypatch, caplog):
    monkeypatch.setattr(build, "LARGEST_DIHEDRAL_DEG", 100.0)  # no fitted mesh is that good
    mesh, report = meshed(7.3, 4.0)
    assert report.kind == "lattice"
    assert "above 100" in report.reason
    assert report.reason in caplog.text
    assert report.sentence().startswith("The unmoved lattice")
    assert dihedral_extremes(mesh.points, mesh.cells)[0].min() > 45.0 - 1e-6
    assert report.dihedral_deg[1] > 100.0 > report.lattice_dihedral_deg[0]
    _, unmoved = meshed(7.3, 4.0, move_vertices=False)
    assert unmoved.kind == "lattice"
    assert "not to be moved" in unmoved.reason


# --- cells as wide as the front ---------------------------------------------------------------


def test_cells_are_as_wide_as_the_front_where_it_may_come():
    labels = np.ones((60, 8, 8), int)
    region = np.zeros(labels.shape, bool)
    region[:5] = True
    size = wanted_cell_size(
        labels, 2.0, fine_mm=2.0, fine_region=region, coarse_mm=9.0, grading=0.5,
        thin_layer_mm=9.0, reach_mm=40.0, front_width_mm=3.0,
    )  # fmt: skip
    distance = 2.0 * np.maximum(0, np.arange(60) - 4)
    expected = np.minimum(2.0 + 0.5 * distance, 3.0 + 0.5 * np.maximum(distance - 40.0, 0))
    np.testing.assert_allclose(size[:, 4, 4], np.minimum(expected, 9.0), rtol=1e-6)


def test_a_narrow_front_asks_for_no_smaller_cells_than_the_smallest():
    labels = np.ones((30, 8, 8), int)
    region = np.zeros(labels.shape, bool)
    region[:5] = True
    width = front_width_mm(np.where(np.arange(30) < 15, 0.01, 0.36), 0.01)[:, None, None]
    size = wanted_cell_size(
        labels, 1.0, fine_mm=2.0, fine_region=region, coarse_mm=9.0, grading=10.0,
        thin_layer_mm=9.0, reach_mm=100.0, front_width_mm=np.broadcast_to(width, labels.shape),
    )  # fmt: skip
    np.testing.assert_allclose(size[:15, 4, 4], 2.0)
    np.testing.assert_allclose(size[15:, 4, 4], 6.0)
    assert front_reach_mm(0.16, 0.04, 100.0) == pytest.approx(16.0)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"reach_mm": 5.0}, "give both"),
        ({"front_width_mm": 2.0}, "give both"),
        ({"reach_mm": float("nan"), "front_width_mm": 2.0}, "give both"),
        ({"reach_mm": 5.0, "front_width_mm": -1.0}, "lengths from 0 mm"),
        ({"reach_mm": 5.0, "front_width_mm": np.ones(3)}, "has shape"),
    ],
)
def test_bad_fronts_get_a_sentence(changes, sentence):
    labels = np.ones((8, 8, 8), int)
    with pytest.raises(InvalidInput, match=sentence):
        wanted_cell_size(labels, 1.0, fine_mm=2.0, fine_region=labels > 0, coarse_mm=8.0, **changes)
    for bad in (lambda: front_reach_mm(-1.0, 0.1, 9.0), lambda: front_width_mm(0.1, 0.0)):
        with pytest.raises(InvalidInput, match="A front needs"):
            bad()


def test_edge_lengths_are_worked_out_once():
    mesh, _ = meshed(7.3, 4.0)
    first = mesh.edge_length()
    assert mesh.edge_length() is first
    assert not first.flags.writeable
    pairs = itertools.combinations(range(4), 2)
    ends = [mesh.points[mesh.cells[:, a]] - mesh.points[mesh.cells[:, b]] for a, b in pairs]
    np.testing.assert_allclose(first, np.mean([np.linalg.norm(e, axis=1) for e in ends], axis=0))
