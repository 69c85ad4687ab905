"""Pictures show what the results say, and are drawn without a display."""

import itertools
import os
import subprocess
import sys

import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure
from synthetic_results import (
    CENTRE_MM,
    HORIZON,
    LEVELS,
    SLOPE,
    ball_mesh,
    ball_twin,
    radius_mm,
    regimens,
    synthetic_results,
)

import twin
import viz
from twin.errors import InvalidInput
from twin.results import netcdf_bytes
from viz.offscreen import quiet_pyvista
from viz.pictures import file_name, write_pictures
from viz.scene_3d import Stage
from viz.scene_panels import PanelMaker, telling_days, volumes_text
from viz.slice_views import SliceViews
from viz.subject import Subject
from viz.surfaces import brain_surface, level_surface, mask_surface


@pytest.fixture(scope="module")
def patient():
    return ball_twin()


@pytest.fixture(scope="module")
def results(patient):
    return synthetic_results(patient)


@pytest.fixture(scope="module")
def subject(results, patient):
    return Subject(results, patient)


@pytest.fixture(scope="module")
def panels(subject):
    maker = PanelMaker(Stage(subject), size=(320, 280))
    yield maker
    maker.close()


def colours(image):
    """Number of distinct colours among 16 grades a channel."""
    pixels = np.asarray(image)[..., :3].reshape(-1, 3) // 17
    return np.count_nonzero(np.bincount(pixels @ np.array([256, 16, 1])))


# Surfaces


def test_outline_of_a_ball_has_its_volume_and_area():
    mesh = ball_mesh(step_mm=3.0)
    distance = np.linalg.norm(mesh.points - CENTRE_MM, axis=1)
    surface = level_surface(mesh.points, mesh.cells, -distance, -15.0)
    assert surface.n_open_edges == 0
    assert surface.volume == pytest.approx(4 / 3 * np.pi * 15.0**3, rel=0.02)
    assert surface.area == pytest.approx(4 * np.pi * 15.0**2, rel=0.02)


def kuhn_box(count):
    """Unit cube of count^3 small cubes, each cut into six tetrahedra along its diagonal."""
    index = np.arange((count + 1) ** 3).reshape((count + 1,) * 3)
    cells = []
    for order in itertools.permutations(np.eye(3, dtype=int)):
        steps = np.cumsum([np.zeros(3, int), *order], axis=0)
        cells.append(
            np.stack([index[tuple(slice(k, k + count) for k in s)].ravel() for s in steps], 1)
        )
    points = np.stack(np.meshgrid(*[np.linspace(0, 1, count + 1)] * 3, indexing="ij"), -1)
    return points.reshape(-1, 3), np.concatenate(cells)


@pytest.mark.parametrize("level", [1.4, 1.5])  # between the nodes, and through some
def test_outline_closes_where_the_mesh_ends(level):
    """A slanted cut of a cube: what lies above x + y = level is a prism."""
    points, cells = kuhn_box(4)
    surface = level_surface(points, cells, points[:, 0] + points[:, 1], level)
    side = 2.0 - level
    assert surface.n_open_edges == 0
    assert surface.volume == pytest.approx(side**2 / 2, rel=1e-4)
    assert surface.area == pytest.approx(side**2 + (2 + np.sqrt(2)) * side, rel=1e-4)


def test_no_outline_below_the_level():
    mesh = ball_mesh()
    assert level_surface(mesh.points, mesh.cells, np.zeros(len(mesh.points)), 0.5).n_points == 0


def test_smoothing_for_display_keeps_size_and_faces_outwards():
    mesh = ball_mesh(step_mm=3.0)
    distance = np.linalg.norm(mesh.points - CENTRE_MM, axis=1)
    surface = level_surface(mesh.points, mesh.cells, -distance, -15.0, smooth=True)
    radius = np.linalg.norm(surface.points - CENTRE_MM, axis=1)
    assert radius.mean() == pytest.approx(15.0, rel=0.02)
    outwards = (surface.point_data["Normals"] * (surface.points - CENTRE_MM)).sum(axis=1) / radius
    assert outwards.min() > 0.5


def test_surface_of_a_mask_lies_where_the_voxels_are_in_a_turned_grid():
    affine = np.array([[0, -2.0, 0, 50], [2.0, 0, 0, -30], [0, 0, 2.0, 10], [0, 0, 0, 1]])
    index = np.stack(np.meshgrid(*[np.arange(31)] * 3, indexing="ij"), -1)
    mask = np.linalg.norm(index - np.array([12, 18, 15]), axis=-1) < 8.0
    surface = mask_surface(mask, affine, step_mm=2.0)
    middle = affine[:3, :3] @ [12, 18, 15] + affine[:3, 3]
    assert np.allclose(surface.points.mean(axis=0), middle, atol=0.3)
    assert surface.volume == pytest.approx(mask.sum() * 8.0, rel=0.04)


def test_brain_surface_comes_from_the_tissues_or_from_the_mesh(subject, results):
    for one, radius in ((subject, 31.0), (Subject(results), 33.0)):
        distance = np.linalg.norm(brain_surface(one).points, axis=1)
        assert distance.mean() == pytest.approx(radius, abs=1.5)


# Scenes


def test_scene_is_a_plotter_with_tumour_dose_and_caption(results, patient):
    plotter = viz.scene(results, scenario="60 Gy <in 30>", day=85.0, twin=patient, size=(300, 260))
    try:
        assert {"brain", "tumour t1gd", "tumour flair", "dose"} <= set(plotter.actors)
        written = plotter.actors["caption"].GetText(2)  # upper left
        assert "60 Gy <in 30>" in written
        assert "day 84, Mon 22 Jun 2026" in written
        assert "research use only" in written
        image = plotter.screenshot(return_img=True)
    finally:
        plotter.close()
    assert image.shape == (260, 300, 3)
    assert colours(image) > 30


def test_scene_shows_the_cavity_after_the_operation_only(results, patient):
    stage = Stage(Subject(results, patient))
    for day, there in ((0.0, False), (28.0, True)):
        plotter = viz.scene(stage, scenario="resection & temozolomide", day=day, size=(120, 100))
        assert ("cavity" in plotter.actors) == there
        plotter.close()


def test_scene_refuses_days_and_names_that_are_not_there(results, patient):
    with pytest.raises(InvalidInput, match="from 0 to 400"):
        viz.scene(results, day=500.0, twin=patient)
    with pytest.raises(InvalidInput, match="no scenario 'x'"):
        viz.scene(results, scenario="x", twin=patient)
    with pytest.raises(InvalidInput, match="nodes"):
        viz.scene(results, twin=ball_twin(ball_mesh(step_mm=5.0)))


def test_panels_differ_from_one_another(panels):
    """One renderer draws all panels: each must show its own day."""
    first = panels("no treatment", 0.0)
    later = panels("no treatment", 364.0)
    treated = panels("60 Gy <in 30>", 364.0)
    again = PanelMaker(panels.stage, size=panels.size)
    try:
        assert np.abs(again("no treatment", 0.0).astype(int) - first).max() <= 8
    finally:
        again.close()
    for a, b in ((first, later), (later, treated)):
        assert (np.abs(a.astype(int) - b).max(axis=-1) > 30).mean() > 0.02


def test_telling_days_lie_before_and_after_treatment(subject):
    assert telling_days(subject, "no treatment") == [
        (0.0, "day of the images"),
        (84.0, "3 months"),
        (182.0, "6 months"),
        (364.0, "one year"),
    ]
    # The field of day 28 holds what is just after the first fraction.
    assert [day for day, _ in telling_days(subject, "60 Gy <in 30>")] == [0.0, 14.0, 70.0, 364.0]


def test_volumes_under_the_panels_are_those_of_the_results(subject):
    expected = 4 / 3 * np.pi * radius_mm(0, 182) ** 3 / 1000
    assert f"T1Gd {expected:.1f} ml" in volumes_text(subject, "no treatment", 182.0, None)


# Slices


def contour_points(ax, colour):
    """All points of the outlines drawn in one colour, [mm]."""
    from matplotlib.colors import to_rgba

    found = [
        path.vertices
        for drawn in ax.collections
        if len(drawn.get_edgecolor()) and np.allclose(drawn.get_edgecolor()[0], to_rgba(colour))
        for path in drawn.get_paths()
        if len(path.vertices)
    ]
    return np.concatenate(found)


@pytest.mark.parametrize("orientation", ["axial", "coronal", "sagittal"])
def test_outlines_in_slices_have_the_radius_of_the_ball(subject, orientation):
    from viz.palette import THRESHOLD_COLOURS

    views = SliceViews(subject, centre=CENTRE_MM)
    ax = Figure().subplots()
    views.draw(ax, orientation, scenario="no treatment", day=182.0, show_dose=False)
    kept = {"axial": [0, 1], "coronal": [0, 2], "sagittal": [1, 2]}[orientation]
    for threshold, level in LEVELS.items():
        points = contour_points(ax, THRESHOLD_COLOURS[threshold])
        distance = np.linalg.norm(points - CENTRE_MM[kept], axis=1)
        expected = radius_mm(0, 182.0) + (0.8 - level) / SLOPE
        assert distance.mean() == pytest.approx(expected, rel=0.02)
        assert np.abs(distance - expected).max() < 1.2


def test_slices_keep_the_radiological_convention(subject):
    """The patient's right, +x in RAS, is on the viewer's left, and is labelled so."""
    views = SliceViews(subject)
    for orientation in ("axial", "coronal"):
        ax = views.draw(Figure().subplots(), orientation)
        image = ax.get_images()[0]
        data, (low, high, *_) = image.get_array(), image.get_extent()
        assert low < high  # columns run from left (-x) to right (+x) of the patient
        middle = data[data.shape[0] // 2]
        bright = middle[middle > 0]
        assert bright[-5] > bright[5]  # the image is made brighter towards the right
        assert ax.get_xlim()[0] > ax.get_xlim()[1]
        letters = {t.get_text(): t.get_position()[0] for t in ax.texts if len(t.get_text()) == 1}
        assert letters["R"] < 0.1
        assert letters["L"] > 0.9


def test_isodose_lines_lie_at_their_dose(subject):
    views = SliceViews(subject, centre=CENTRE_MM)
    dose = views.on_plane(subject.dose("60 Gy <in 30>"), "axial", fluid=True)
    plane = views.planes["axial"]
    distance = np.linalg.norm(plane.points - CENTRE_MM, axis=1).reshape(plane.shape)
    from_middle = np.linalg.norm(plane.points, axis=1).reshape(plane.shape)
    flat = (distance < 15.0) & (from_middle < 29.0)
    assert np.allclose(dose[flat], 60.0, rtol=1e-6)
    slope = (distance > 23.0) & (distance < 27.0) & (from_middle < 29.0)
    assert np.abs(dose[slope] - 60.0 * (1.0 - (distance[slope] - 20.0) / 10.0)).max() < 1.0
    figure = viz.slices(views, scenario="60 Gy <in 30>", day=28.0)
    labels = {t.get_text() for ax in figure.axes for t in ax.texts}
    assert {"30 Gy", "48 Gy", "57 Gy"} <= labels


# Curves


def test_curves_hold_the_data_and_keep_the_axes_they_are_given(results):
    ax = Figure().subplots()
    assert viz.curves(results, threshold="t1gd", ax=ax) is ax
    lines = {line.get_label(): line for line in ax.lines}
    for name in regimens():
        expected = results["tumour_volume_soft"].sel(
            scenario=name, case="expected", threshold="t1gd"
        )
        assert np.allclose(lines[name].get_ydata(), expected / 1000.0)
        assert np.array_equal(lines[name].get_xdata(), results["time"])
    assert ax.get_xlim() == (0.0, HORIZON)
    assert [t.get_text() for t in ax.get_legend().get_texts()] == list(regimens())
    with pytest.raises(InvalidInput, match="t1gd, flair"):
        viz.curves(results, threshold="pet")


def test_curves_mark_every_fraction_and_drug_day(results):
    ax = viz.curves(results, threshold="flair", soft=False, logarithmic=True)
    assert ax.get_yscale() == "log"
    rows = next(child for child in ax.child_axes if child.get_lines())
    marked = [len(drawn.get_segments()) for drawn in rows.collections]
    assert marked == [30, 30]
    schedule = regimens()["resection & temozolomide"].schedule(Subject(results).calendar)
    drugs = next(line for line in rows.lines if line.get_marker() == ".")
    assert np.array_equal(drugs.get_xdata(), [event.day for event in schedule.drug_doses])
    operation = next(line for line in rows.lines if line.get_marker() == "x")
    assert operation.get_xdata().tolist() == [10.0]


def test_band_and_error_bars_are_the_cases_and_the_two_meshes(results):
    ax = viz.curves(results, threshold="t1gd", spread=True, numerical_error=True, marks=False)
    volumes = results["tumour_volume_soft"].sel(scenario="no treatment", threshold="t1gd") / 1000.0
    band = ax.collections[0].get_paths()[0].vertices
    assert band[:, 1].max() == pytest.approx(float(volumes.max()))
    bars = ax.containers[0].lines[2][0].get_segments()
    day, low, high = bars[0][0][0], bars[0][0][1], bars[0][1][1]
    at_day = float(volumes.sel(case="expected", time=day))
    assert (low, high) == pytest.approx((0.99 * at_day, 1.01 * at_day))


# All of them


@pytest.fixture(scope="module")
def folder(tmp_path_factory, results):
    path = tmp_path_factory.mktemp("results")
    (path / "results.nc").write_bytes(netcdf_bytes(results))
    return path


@pytest.fixture(scope="module")
def written(folder, patient):
    told = []
    paths = write_pictures(
        folder, folder / "pictures", patient=patient, progress=lambda part, name: told.append(part)
    )
    assert told[0] == 0.0
    assert told[-1] == 1.0
    assert told == sorted(told)
    return paths


def test_every_picture_is_written_whole(written):
    names = [path.name for path in written]
    arms = [file_name(k, name) for k, name in enumerate(regimens(), start=1)]
    kinds = [["3d", "slices", *(["eqd2"] if r.radiotherapy else [])] for r in regimens().values()]
    both = [f"{arm}_{kind}.png" for arm, own in zip(arms, kinds, strict=True) for kind in own]
    grids = ["all_treatments_day_180.png", "all_treatments_day_365.png"]
    assert names == ["curves.png", "curves_log.png", "scans.png", *grids, *both]
    assert sorted(path.name for path in written[0].parent.iterdir()) == sorted(names)


def test_pictures_are_large_enough_and_not_blank(written):
    for path in written:
        image = (matplotlib.image.imread(path) * 255).astype(int)
        height, width = image.shape[:2]
        assert width >= 1200, path.name
        assert height >= 400, path.name
        assert colours(image) > 60, path.name


def test_pictures_need_a_finished_study(tmp_path):
    with pytest.raises(InvalidInput, match="no results"):
        write_pictures(tmp_path, tmp_path / "pictures")
    assert not (tmp_path / "pictures").exists()


def test_pictures_without_a_patient_show_the_mesh(results):
    plotter = viz.scene(results, day=28.0, size=(200, 160))
    assert colours(plotter.screenshot(return_img=True)) > 20
    plotter.close()
    figure = viz.slices(results, day=28.0)
    assert np.ptp(figure.axes[0].get_images()[0].get_array()) > 0.3


def test_nothing_is_written_to_standard_error_without_a_display(tmp_path):
    script = (
        "import numpy as np\n"
        "from viz.offscreen import quiet_pyvista\n"
        "pyvista = quiet_pyvista()\n"
        "plotter = pyvista.Plotter(off_screen=True, window_size=[60, 50])\n"
        "plotter.add_mesh(pyvista.Sphere())\n"
        "print(plotter.screenshot(return_img=True).shape)\n"
    )
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
        check=True,
    )
    assert done.stdout.strip() == "(50, 60, 3)"
    assert done.stderr == ""


def test_names_are_what_the_package_offers():
    assert set(viz.__all__) <= set(dir(viz))
    with pytest.raises(AttributeError, match="no attribute 'plot'"):
        _ = viz.plot
    assert quiet_pyvista().__name__ == "pyvista"
    assert twin.open_results is not None
