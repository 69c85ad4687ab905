"""The quality gate: what it measures is right, and what is below a bar stops the build."""

import json

import numpy as np
import pytest
from scipy.spatial import Delaunay
from small_patient import write_small_patient

import twin
from twin import quality_gate
from twin.errors import GeometryMismatch, InvalidInput
from twin.mesh import Mesh
from twin.meshing.boxes import box_mesh
from twin.meshing.gate import LIMITS, OWN_MESH_LIMITS, Limits, MeshRejected, judge
from twin.meshing.inspection import inspect_mesh
from twin.meshing.voxel_cells import cells_at_voxels
from viz.cli import main

HALF = np.eye(4)
HALF[:3, 3] = 0.5


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TWIN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_small_patient(tmp_path_factory.mktemp("patient"))


def pyramid(height):
    """A tetrahedron of this height over an equilateral triangle of side 2."""
    corners = np.array([[0, 0, 0], [2, 0, 0], [1, 3**0.5, 0], [1, 3**-0.5, height]])
    return Mesh(corners, np.array([[0, 1, 2, 3]]), np.array([7]), {7: "bone"})


def test_the_cell_around_each_voxel_is_the_one_that_qhull_finds():
    random = np.random.default_rng(3)
    hull = Delaunay(random.uniform(-8.0, 9.0, (60, 3)))
    cells = hull.simplices.astype(np.int32)
    corners = hull.points[cells]
    turned = np.linalg.det(corners[:, 1:] - corners[:, :1]) < 0
    cells[turned] = cells[turned][:, [0, 1, 3, 2]]
    mesh = Mesh(hull.points, cells, np.ones(len(cells), np.int16), {1: "white_matter"})
    affine = np.array([[0.0, -1.1, 0.3, 4.0], [1.2, 0.2, 0.0, -9.0], [0.1, 0.0, -0.9, 7.0]])
    affine = np.vstack([affine, [0.0, 0.0, 0.0, 1.0]])
    shape = (14, 13, 15)
    voxels = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    places = voxels @ affine[:3, :3].T + affine[:3, 3]
    found = cells_at_voxels(mesh, shape, affine)
    assert np.array_equal(found, hull.find_simplex(places))
    assert 200 < (found >= 0).sum() < found.size  # both occur


@pytest.mark.parametrize("height", [0.1, 0.5, 1.633, 6.0])
def test_angles_of_a_pyramid_are_those_of_school(height):
    found = inspect_mesh(pyramid(height))
    # The foot of the height is 1 / sqrt(3) from each side; two slanted faces meet at an
    # angle whose cosine follows from their normals.
    at_base = np.degrees(np.arctan(height * 3**0.5))
    sine, cosine = np.sin(np.radians(at_base)), np.cos(np.radians(at_base))
    at_top = np.degrees(np.arccos(0.5 * sine**2 - cosine**2))
    assert found.smallest_dihedral.value == pytest.approx(min(at_base, at_top), abs=1e-9)
    assert found.largest_dihedral.value == pytest.approx(max(at_base, at_top), abs=1e-9)
    assert found.smallest_volume.value == pytest.approx(height * 3**0.5 / 3)
    assert found.smallest_dihedral.label == "bone"
    assert found.smallest_dihedral.where_mm == pytest.approx((1.0, 3**-0.5, height / 4))
    verdict = judge(found)
    assert verdict.passed == (at_base >= 15)
    if not verdict.passed:
        first = verdict.failures[0]
        assert (first.value, first.bar, first.unit) == (
            found.smallest_dihedral.value, 15.0, "degrees",
        )  # fmt: skip
        assert "in bone is 9.83 degrees (at least 15 is asked for) at (1.0, 0.6, 0.0) mm" in str(
            first
        )


def two_labels(border):
    """16 mm cube of 2 mm bricks, label 1 below `border` [mm] along x, else 2."""
    return box_mesh(
        (16.0, 16.0, 16.0),
        (8, 8, 8),
        label=lambda centre: np.where(centre[:, 0] < border, 1, 2),
        names={1: "lung", 2: "liver"},
    )


def test_volumes_and_misplaced_voxels_are_counted():
    voxels = np.full((16, 16, 16), 2)
    voxels[:7] = 1  # a border at 7 mm in the voxels and at 8 mm in the mesh
    found = inspect_mesh(two_labels(8.0), voxels, HALF)
    lung, liver = found.labels["lung"], found.labels["liver"]
    assert (lung.voxel_mm3, liver.voxel_mm3) == (7 * 256.0, 9 * 256.0)
    assert (lung.mesh_mm3, liver.mesh_mm3) == pytest.approx((8 * 256.0, 8 * 256.0))
    assert lung.misplaced == 0.0
    assert liver.misplaced == pytest.approx(1 / 9)
    assert liver.where_mm[0] == 7.5  # the layer that is lung in the mesh
    assert found.uncovered.value == 0.0
    verdict = judge(found)
    # 1/7 is more than the 5 % of a thick label; the ninth that liver lacks is, too
    assert [(f.what, f.label) for f in verdict.failures] == [
        ("difference of volume", "lung"),
        ("difference of volume", "liver"),
    ]
    assert verdict.failures[0].value == pytest.approx(100 / 7)
    assert "+14.3 % of its volume (within 5 is asked for)" in str(verdict.failures[0])
    assert judge(found, Limits(volume_error=0.15)).passed
    assert judge(found, OWN_MESH_LIMITS).passed


def test_a_volume_that_passes_but_misses_the_target_is_said():
    voxels = np.full((160, 16, 16), 2)
    voxels[:78] = 1
    finer = np.diag([0.1, 1.0, 1.0, 1.0])
    finer[:3, 3] = (0.05, 0.5, 0.5)
    verdict = judge(inspect_mesh(two_labels(8.0), voxels, finer))
    assert verdict.passed
    assert [f.label for f in verdict.short] == ["lung", "liver"]  # 2.6 and 2.4 %
    assert json.loads(json.dumps(verdict.as_dict()))["short_of_target"][0]["label"] == "lung"


@pytest.mark.parametrize(("layers", "thin"), [(2, True), (4, True), (7, False), (10, False)])
def test_a_plate_is_thin_below_two_cells(layers, thin):
    # 2 mm bricks cut into six have edges of 2, 2.8 and 3.5 mm: cells of about 2.8 mm
    voxels = np.full((16, 16, 16), 2)
    voxels[3 : 3 + layers] = 1
    figures = inspect_mesh(two_labels(8.0), voxels, HALF).labels["lung"]
    assert figures.cell_mm == pytest.approx((3 * 2 + 2 * 8**0.5 + 12**0.5) / 6 / 0.9)
    assert figures.thin is thin
    assert LIMITS.volume_bar(figures) == (0.10 if thin else 0.05)


def test_a_lost_label_stops_and_a_speck_does_not():
    voxels = np.full((16, 16, 16), 1)
    voxels[3:10, 3:10, 3:10] = 2  # 7 mm a side
    mesh = two_labels(99.0)
    mesh = Mesh(mesh.points, mesh.cells, mesh.cell_label, {1: "lung", 2: "liver"})
    verdict = judge(inspect_mesh(mesh, voxels, HALF))
    lost = [f for f in verdict.failures if f.what == "label that is lost"]
    assert [(f.label, f.value, f.where_mm) for f in lost] == [("liver", -100.0, (6.5, 6.5, 6.5))]
    assert "liver is lost, no element has this label, at (6.5, 6.5, 6.5) mm" in str(lost[0])
    speck = np.full((16, 16, 16), 1)
    speck[3:6, 3:6, 3:6] = 2
    verdict = judge(inspect_mesh(mesh, speck, HALF))
    assert verdict.passed
    assert [r for r in verdict.remarks if "liver (0.027 ml)" in r and "is lost" in r]


def test_what_is_cut_off_although_its_voxels_are_joined():
    left, right = box_mesh((4.0, 4.0, 8.0), (2, 2, 4)), box_mesh((4.0, 4.0, 4.0), (2, 2, 2))
    points = np.concatenate([left.points, right.points + np.array([6.0, 0.0, 0.0])])
    cells = np.concatenate([left.cells, right.cells + len(left.points)])
    mesh = Mesh(points, cells, np.ones(len(cells)), {1: "lung"})
    voxels = np.zeros((10, 4, 8), int)
    voxels[:4] = 1
    voxels[6:, :, :4] = 1
    apart = inspect_mesh(mesh, voxels, HALF)
    assert apart.cut_off.value == 0.0
    voxels[4:6, 1, 1] = 1  # a bridge that the mesh does not have
    joined = inspect_mesh(mesh, voxels, HALF)
    assert joined.cut_off.value == pytest.approx(1 / 3)
    assert joined.cut_off.where_mm == pytest.approx((8.0, 2.0, 2.0))
    assert joined.uncovered.value == pytest.approx(2 / 194)
    assert [f.what for f in judge(joined).failures] == ["volume cut off from the rest"]


def test_what_does_not_belong_together_is_refused():
    mesh = two_labels(8.0)
    with pytest.raises(InvalidInput, match="Label 3 occurs in the voxels"):
        inspect_mesh(mesh, np.full((4, 4, 4), 3), HALF)
    with pytest.raises(InvalidInput, match="nothing to hold a mesh to"):
        inspect_mesh(mesh, np.zeros((4, 4, 4), int), HALF)
    away = HALF + 0.0
    away[0, 3] = 500.0
    with pytest.raises(GeometryMismatch, match="same coordinates"):
        inspect_mesh(mesh, np.ones((4, 4, 4), int), away)


def test_a_mesh_below_the_bar_stops_the_build(files, tmp_path, monkeypatch):
    monkeypatch.setattr(quality_gate, "LIMITS", Limits(smallest_dihedral_deg=44.0))
    with pytest.raises(MeshRejected, match=r"^The mesh does not pass .* at \(.*\) mm.*; ask for"):
        twin.build(files, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_the_command_stops_too_says_where_and_draws_it(files, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(quality_gate, "LIMITS", Limits(smallest_dihedral_deg=44.0))
    assert main(["build", str(files), "-o", str(tmp_path / "out"), "--json"]) == 2
    captured = capsys.readouterr()
    error = json.loads(captured.out)["error"]
    assert error.startswith("The mesh does not pass the quality gate: smallest dihedral angle in")
    assert "out-rejected.png" in error
    assert [entry.name for entry in tmp_path.iterdir()] == ["out-rejected.png"]
    assert (tmp_path / "out-rejected.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_a_good_mesh_passes_and_remarks_are_written(files, tmp_path):
    twin.build(files, tmp_path / "out")
    report = (tmp_path / "out" / "quality.txt").read_text()
    assert "mesh: enhancing is judged as a thin layer" in report
    assert "mesh: necrosis (0.152 ml) is as small as" in report
