"""The quality page: what it measures against closed forms, and what it shows."""

import base64
import io
import re

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from small_patient import PATIENT_TOML, write_small_patient

from solvers.operators import mesh_operators
from twin.errors import InvalidInput
from twin.mesh import Mesh
from twin.meshing.boxes import ball_mesh, box_mesh
from twin.meshing.gate import judge
from twin.meshing.inspection import inspect_mesh
from twin.meshing.surface_distance import label_faces, surface_distances
from twin.meshing.transmissibility import negative_transmissibility_share
from viz.cli import main
from viz.label_surfaces import label_surface
from viz.mesh_scene import draw_mesh_scene
from viz.mesh_slices import MeshSlices, label_colours, plane_section
from viz.quality_page import write_quality_page
from viz.quality_subject import subject_of_mesh

HALF = np.eye(4)
HALF[:3, 3] = 0.5


def voxel_ball(radius, side, spacing=1.0):
    """A ball about the origin in voxels, and their affine."""
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = -spacing * (side - 1) / 2
    steps = affine[0, 3] + spacing * np.arange(side)
    points = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1)
    return (np.linalg.norm(points, axis=-1) < radius).astype(int), affine


def halves(border=8.0):
    return box_mesh(
        (16.0, 16.0, 16.0),
        (8, 8, 8),
        label=lambda centre: np.where(centre[:, 0] < border, 1, 2),
        names={1: "lung", 2: "liver"},
    )


@pytest.mark.parametrize("apart", [0.0, 1.0, 2.5])
def test_two_balls_are_as_far_apart_as_their_radii(apart):
    mesh = ball_mesh(12.0, 14)
    voxels, affine = voxel_ball(12.0 + apart, 35)
    found = surface_distances(mesh, voxels, affine)["white_matter"]
    # the steps of the voxels' ball are 0.1 voxels high on average after smoothing
    assert found.from_mesh_mm == pytest.approx(apart, abs=0.15)
    assert found.from_image_mm == pytest.approx(apart, abs=0.15)
    assert found.mean_mm == pytest.approx((found.from_mesh_mm + found.from_image_mm) / 2)
    assert found.most_mm < apart + 0.45
    assert found.area_mm2 == pytest.approx(4 * np.pi * 12.0**2, rel=0.01)


def test_a_layer_that_is_missing_is_seen_from_the_image():
    voxels = np.full((16, 16, 16), 1)
    voxels[8:] = 2
    voxels[:, :, 14:] = 3  # two voxels thick on top, and in the mesh only where x is below 4
    mesh = box_mesh(
        (16.0, 16.0, 16.0),
        (8, 8, 8),
        label=lambda c: np.where((c[:, 2] > 14) & (c[:, 0] < 4), 3, np.where(c[:, 0] < 8, 1, 2)),
        names={1: "lung", 2: "liver", 3: "skin"},
    )
    found = surface_distances(mesh, voxels, HALF)["skin"]
    assert found.from_mesh_mm < 0.5
    # three quarters of the image's surface are up to 12 mm from the patch that the mesh has
    assert found.from_image_mm == pytest.approx(0.75 * 6.0, abs=0.5)


def test_faces_enclose_their_label():
    mesh = halves()
    for number, faces in label_faces(mesh).items():
        a, b, c = (mesh.points[faces[:, k]] for k in range(3))
        assert (np.cross(a, b) * c).sum() / 6 == pytest.approx(16.0**3 / 2)  # turned outwards
        assert len(faces) == 2 * (2 * 8 * 8 + 4 * 8 * 4), number


def test_the_negative_share_is_what_the_solver_clips():
    random = np.random.default_rng(1)
    box = box_mesh((6.0, 5.0, 4.0), (6, 5, 4))
    inner = (box.points > 0.01).all(axis=1) & (box.points < [5.99, 4.99, 3.99]).all(axis=1)
    points = box.points + 0.18 * random.standard_normal(box.points.shape) * inner[:, None]
    mesh = Mesh(points, box.cells, box.cell_label, box.label_names)
    diffusivity = random.uniform(0.01, 0.2, len(mesh.cells))
    active = mesh.points[mesh.cells].mean(axis=1)[:, 0] < 4.0
    operators = mesh_operators(mesh)
    found = negative_transmissibility_share(mesh, diffusivity * active)
    by_dolfinx = operators.diffusion(diffusivity, active)
    assert found.by_value == pytest.approx(by_dolfinx.clipped_share, rel=1e-9)
    assert found.by_value > 0.01
    whole = operators.cell_to_edge @ np.ones(len(mesh.cells))
    carrying = np.abs(whole) > 1e-12 * np.abs(whole).max()
    assert negative_transmissibility_share(mesh).by_number == pytest.approx(
        (whole < 0)[carrying].mean()
    )


def test_sections_fill_the_plane_and_lie_in_it():
    mesh = halves()
    for axis in range(3):
        corners, cell = plane_section(mesh.points, mesh.cells, axis, 5.3)
        assert corners[..., axis] == pytest.approx(5.3)
        a, b, c, d = (corners[:, k] for k in range(4))
        area = np.linalg.norm(np.cross(c - a, d - b), axis=1) / 2
        assert area.sum() == pytest.approx(16.0**2)  # no gap, no overlap, corners in order
        assert len(np.unique(cell)) == len(cell)
        if axis:
            assert area[mesh.cell_label[cell] == 1].sum() == pytest.approx(16.0 * 8.0)


def test_smooth_surfaces_say_what_they_lose():
    ball = label_surface(ball_mesh(10.0, 8), "white_matter")
    enclosed = (1 + ball.volume_error) * ball_mesh(10.0, 8).cell_volume.sum()
    assert enclosed == pytest.approx(ball.surface.volume, rel=1e-4)
    assert enclosed == pytest.approx(4 / 3 * np.pi * 1000, rel=0.015)
    raw = label_surface(halves(), "lung", smooth=False)
    assert raw.volume_error == pytest.approx(0.0, abs=1e-12)
    both = label_surface(halves(), "lung", "liver", smooth=False)
    assert both.surface.area == pytest.approx(6 * 16.0**2)  # without the wall between them
    with pytest.raises(InvalidInput, match="no element of spleen; it has lung, liver"):
        label_surface(halves(), "spleen")


def test_a_plane_is_drawn_in_the_colours_of_its_labels():
    mesh = halves()
    voxels = np.full((16, 16, 16), 2)
    voxels[:8] = 1
    slices = MeshSlices(mesh, voxels, HALF, None, np.array([8.0, 8.0, 8.0]))
    figure = Figure(figsize=(4, 4), dpi=80)
    ax = slices.draw(figure.add_axes((0, 0, 1, 1)), "axial", voxels=True)
    assert ax.get_xlim()[0] > ax.get_xlim()[1]  # R on the left
    assert len(ax.collections) >= 2
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    buffer.seek(0)
    pixels = imread(buffer)[..., :3]
    left, right = pixels[100:220, 190:260].mean((0, 1)), pixels[100:220, 60:130].mean((0, 1))
    # lung lies at small x, so at the viewer's right, and is orange; liver is greenish blue
    assert left[0] > left[2] + 0.1
    assert right[2] > right[0]
    assert len(set(label_colours([f"organ {n}" for n in range(12)]).values())) == 12


def test_the_scene_shows_elements_and_surfaces():
    picture, surfaces = draw_mesh_scene(halves(), np.array([8.0, 8.0, 8.0]), size=(400, 200))
    assert picture.shape == (200, 400, 3)
    assert set(surfaces) == {"all labels"}  # both labels reach across
    assert len(np.unique(picture[:, :200].reshape(-1, 3), axis=0)) > 50
    assert len(np.unique(picture[:, 200:].reshape(-1, 3), axis=0)) > 50


def rows_of(page, anchor):
    body = re.search(rf'<section id="{anchor}">(.*?)</section>', page, re.DOTALL).group(1)
    return [
        [re.sub("<[^>]+>", "", cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)]
        for row in re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL)
    ]


def test_the_page_of_any_mesh(tmp_path):
    mesh = halves()
    voxels = np.full((16, 16, 16), 2)
    voxels[:7] = 1
    found = inspect_mesh(mesh, voxels, HALF)
    subject = subject_of_mesh(
        mesh, voxels, HALF, found, judge(found), centre_of="liver", notes=["made in a <test>"]
    )
    path = write_quality_page(subject, tmp_path / "mesh.html", title="Quality")
    page = path.read_text()
    assert "does not pass the quality gate" in page
    assert "+14.3 % of its volume" in page
    assert "made in a &lt;test&gt;" in page
    assert rows_of(page, "labels")[1][:4] == ["lung", "1.79", "2.05", "+14.3\u00a0%"]
    assert rows_of(page, "bars")[1][:3] == ["smallest dihedral angle", "45.0°", "at least 15°"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["mesh.html"]


def test_build_writes_the_page_into_the_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TWIN_CACHE", str(tmp_path / "cache"))
    toml = PATIENT_TOML.replace('name = "small"', 'name = "Wilhelmina"')
    files = write_small_patient(tmp_path / "in", toml=toml)
    assert main(["build", str(files), "-o", str(tmp_path / "out"), "--quiet"]) == 0
    assert "quality.html" in capsys.readouterr().out
    page = (tmp_path / "out" / "quality.html").read_text()
    assert "The mesh passes the quality gate." in page
    assert "Research use only" in page
    # self-contained: nothing is fetched, and no name or path of this machine is in it
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    assert "http" not in re.sub(r"base64,[A-Za-z0-9+/=]+", "", page)
    for secret in (str(tmp_path), "Wilhelmina", ".nii", "patient.toml"):
        assert secret not in page
    pictures = re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", page)
    sizes = [imread(io.BytesIO(base64.b64decode(one))).shape for one in pictures]
    assert len(sizes) == 3
    assert min(min(shape[:2]) for shape in sizes) > 300
    labels = {row[0]: row for row in rows_of(page, "labels")[1:]}
    assert labels["grey matter"][1] == "29.65"  # 3706 voxels of 8 mm3
    assert [row[0] for row in rows_of(page, "others")[1:]] == ["coarse mesh", "coarsest mesh"]
    assert "of the edges have a positive off-diagonal" in page
