"""Registration against transforms in closed form, and refusal of what does not belong together."""

import dataclasses
import json

import numpy as np
import pytest
from head_phantom import (
    SHAPE,
    apply,
    centres,
    grid,
    inside,
    labels,
    linear,
    picture,
    wave,
    with_tumour,
)
from real_data import real_data
from scipy import ndimage

from twin.errors import GeometryMismatch, InvalidInput, NotConverged
from twin.images import Image, read_nifti
from twin.registration import SpatialTransform, Visit, align_visits, register
from twin.registration.fields import composed, inverted, jacobian_determinant
from twin.registration.files import write_registration
from twin.registration.quality import Bar, RegistrationQuality
from twin.registration.resample import resample_image, resample_labels
from twin.registration.similarity import local_moments
from twin.registration.working import base_spacing, working
from twin.storage import whole_folder
from viz.cli import main
from viz.overlay import ignored_on, overlay_figure, write_overlay

TURN = linear((8, -6, 12), (8, -6, 5))


def turned(points):
    return apply(TURN, points)


def warped(points):
    return apply(linear((4, -3, 5), (3, -2, 2)), wave(points))


def missed(registration, truth, tumour=None):
    """Distances to the truth in the head, [mm]."""
    points = centres()
    there = labels(truth(points)) > 0
    if tumour is not None:
        there &= tumour.data == 0
    return np.linalg.norm(
        registration.transform.points(points[there]) - truth(points[there]), axis=1
    )


@pytest.fixture(scope="module")
def moving():
    return picture()


@pytest.fixture(scope="module")
def rigid(moving):
    """A head turned by up to 12 degrees and shifted, with a tumour that the other lacks."""
    fixed, tumour = with_tumour(picture(turned, seed=5))
    return register(moving, fixed, kind="rigid", ignore=tumour), fixed, tumour


def test_a_rigid_motion_is_found_again_in_spite_of_a_tumour(rigid):
    found, _, tumour = rigid
    assert missed(found, turned, tumour).max() < 0.4  # a tenth of a voxel
    assert found.quality.inverse_error_mm < 0.5
    assert found.quality.local_correlation_after > 0.9 > found.quality.local_correlation_before
    assert found.quality.mutual_information_after > found.quality.mutual_information_before
    assert (found.quality.least_jacobian, found.quality.largest_jacobian) == pytest.approx((1, 1))
    assert found.quality.overlap > 0.95


@pytest.mark.slow
def test_the_same_seed_gives_the_same_matrix_to_the_last_bit(rigid, moving):
    found, fixed, tumour = rigid
    again = register(moving, fixed, kind="rigid", ignore=tumour.data != 0)
    assert np.array_equal(again.transform.matrix, found.transform.matrix)
    assert again.quality == found.quality


@pytest.mark.slow
@pytest.mark.parametrize("inverted_greys", [False, True])
def test_an_affine_motion_is_found_again_also_where_dark_is_bright(moving, inverted_greys):
    matrix = linear((8, -6, 12), (8, -6, 5), (1.07, 0.94, 1.03))
    fixed, tumour = with_tumour(
        picture(lambda points: apply(matrix, points), inverted=inverted_greys, seed=5)
    )
    found = register(moving, fixed, kind="affine", ignore=tumour)
    assert missed(found, lambda points: apply(matrix, points), tumour).max() < 1.0
    assert found.quality.least_jacobian == pytest.approx(1.07 * 0.94 * 1.03, rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("inverted_greys", [False, True])
def test_a_smooth_warp_is_found_better_than_by_any_matrix(moving, inverted_greys):
    fixed, tumour = with_tumour(picture(warped, inverted=inverted_greys, seed=5))
    best = register(moving, fixed, kind="affine", ignore=tumour)
    found = register(moving, fixed, kind="deformable", ignore=tumour)
    misses, straight = missed(found, warped, tumour), missed(best, warped, tumour)
    assert np.median(misses) < 0.9  # of voxels of 4 mm
    assert np.percentile(misses, 95) < 0.8 * np.percentile(straight, 95)
    assert found.quality.least_jacobian > 0.5
    again = register(moving, fixed, kind="deformable", ignore=tumour)
    assert np.array_equal(again.transform.field, found.transform.field)


@pytest.mark.slow
@pytest.mark.parametrize("degrees", [60, 90, 180])
def test_a_head_that_lies_quite_differently_is_found_or_refused(moving, degrees):
    for angles in ((degrees, 0, 0), (0, degrees, 0), (0, 0, degrees)):
        matrix = linear(angles)
        fixed = picture(lambda points, by=matrix: apply(by, points), seed=5)
        try:
            found = register(moving, fixed, kind="rigid")
        except NotConverged:
            continue
        assert missed(found, lambda points, by=matrix: apply(by, points)).max() < 2.0


def _torso():
    points = centres()
    x, y, _ = np.moveaxis(points, -1, 0)
    data = np.where((x / 70) ** 2 + (y / 50) ** 2 < 1, 100.0, 0.0)
    for side in (-35, 35):
        data[((x - side) / 25) ** 2 + ((y - 5) / 32) ** 2 < 1] = 20.0
    data[(x / 10) ** 2 + ((y + 35) / 10) ** 2 < 1] = 220.0
    return data + np.random.default_rng(1).normal(0.0, 3.0, SHAPE)


@pytest.mark.parametrize(
    ("what", "kind"),
    [("noise", "rigid"), pytest.param("torso", "rigid", marks=pytest.mark.slow)]
    + [
        pytest.param(what, kind, marks=pytest.mark.slow)
        for what in ("noise", "smooth noise", "torso")
        for kind in ("affine", "deformable")
    ],
)
def test_what_does_not_belong_together_is_refused_with_the_figures(moving, what, kind):
    noise = np.random.default_rng(0).normal(size=SHAPE)
    data = {
        "noise": noise,
        "smooth noise": ndimage.gaussian_filter(noise, 2.0),
        "torso": _torso(),
    }[what]
    with pytest.raises(NotConverged, match=r"not to be trusted|do not come to lie"):
        register(Image(data.astype(np.float32), grid()), moving, kind=kind)


def _quality(**changes):
    good = RegistrationQuality(1.1, 1.4, 0.3, 0.8, 0.3, 0.9, 1.0, 0.7, 1.5)
    return dataclasses.replace(good, **changes)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"inverse_error_mm": 2.5}, r"there and back misses by 2\.5 mm .*at most 2\.0 mm"),
        ({"inverse_error_mm": float("nan")}, "misses by nan"),
        ({"least_jacobian": 0.0}, "folded"),
        ({"local_correlation_after": 0.2}, r"0\.200 \(at least 0\.25\)"),
        ({"overlap": 0.4}, "40 % of the fixed foreground"),
    ],
)
def test_each_figure_below_the_bar_is_named(changes, sentence):
    _quality().check(Bar(), voxel_mm=1.0)
    with pytest.raises(NotConverged, match=sentence):
        _quality(**changes).check(Bar(), voxel_mm=1.0)
    _quality(inverse_error_mm=2.5).check(Bar(), voxel_mm=12.0)  # a quarter of a thick slice


def test_labels_keep_their_volume_on_another_grid():
    fine, coarse = grid((100, 116, 100), 1.6), grid((60, 70, 60), 2.6)
    balls = {
        1: ((0, 0, 0), (60, 72, 58)),
        7: ((20, -10, 5), (11, 15, 12)),
        250: ((-25, 20, 0), (14, 9, 16)),
    }
    values = np.zeros((100, 116, 100), np.uint8)
    for number, ball in balls.items():
        values[inside(centres(values.shape, fine), ball)] = number
    stretch = linear((8, -6, 12), (8, -6, 5), (1.07, 0.94, 1.03))
    target = Image(np.zeros((60, 70, 60)), coarse)
    found = resample_labels(Image(values, fine), SpatialTransform(stretch), target)
    volumes = {
        n: 4.0 / 3.0 * np.pi * np.prod(axes) / np.linalg.det(stretch)
        for n, (_, axes) in balls.items()
    }
    volumes[1] -= volumes[7] + volumes[250]  # which lie within it
    for number, volume in volumes.items():
        assert (found.data == number).sum() * found.voxel_mm3 == pytest.approx(volume, rel=0.02)
    assert found.data.dtype == np.uint8


def test_labels_that_touch_the_edge_and_negative_ones_survive():
    values = np.zeros((6, 6, 6), np.int16)
    values[:3], values[3:] = -2, 300
    image = Image(values, np.eye(4))
    same = resample_labels(image, SpatialTransform(np.eye(4)), image)
    assert np.array_equal(same.data, values)
    with pytest.raises(InvalidInput, match="whole numbers"):
        resample_labels(Image(values + 0.5, np.eye(4)), SpatialTransform(np.eye(4)), image)


def test_an_image_outside_of_which_nothing_is_known_is_filled_with_its_least_value():
    ramp = Image(np.arange(-10.0, 50.0).reshape(60, 1, 1).repeat(3, 1).repeat(3, 2), np.eye(4))
    shift = np.eye(4)
    shift[0, 3] = 2.5
    found = resample_image(ramp, SpatialTransform(shift), ramp)
    assert found.data[:57, 1, 1] == pytest.approx(np.arange(-7.5, 49.0))  # linear: exact
    assert found.data[-1, 1, 1] == -10.0


def test_fields_compose_and_invert_as_the_functions_do():
    place = np.stack(np.meshgrid(*[np.arange(24.0)] * 3, indexing="ij"))
    # Affine fields are exact under trilinear interpolation: u = (M - 1) x + t.
    stretch = np.array([[1.02, 0.03, 0.0], [-0.02, 0.97, 0.01], [0.0, 0.02, 1.01]])
    shift = np.array([0.4, -0.3, 0.2])
    field = (
        np.einsum("ab,bijk->aijk", stretch - np.eye(3), place - 12.0) + shift[:, None, None, None]
    ).astype(np.float32)
    core = (slice(None), *[slice(4, -4)] * 3)
    assert jacobian_determinant(field)[core[1:]] == pytest.approx(np.linalg.det(stretch), rel=1e-4)
    back = np.linalg.inv(stretch)
    expected = np.einsum("ab,bijk->aijk", back, place - 12.0 - shift[:, None, None, None]) - (
        place - 12.0
    )
    assert inverted(field)[core] == pytest.approx(expected[core], abs=1e-4)
    assert np.abs(composed(field, inverted(field)))[core].max() < 1e-4
    folded = np.zeros((3, 6, 6, 6), np.float32)
    folded[0] = -1.5 * np.arange(6)[:, None, None]
    assert jacobian_determinant(folded).max() < 0.0


def test_a_transform_on_a_turned_grid_has_the_derivatives_of_differences():
    affine = linear((20, -10, 30), (3, 4, 5)) @ np.diag([2.0, 2.0, 2.0, 1.0])
    place = np.stack(np.meshgrid(*[np.arange(16.0)] * 3, indexing="ij"))
    field = (0.3 * np.sin(place[::-1] / 5.0)).astype(np.float32)
    transform = SpatialTransform(linear((5, 6, 7), (1, 2, 3), (1.1, 0.9, 1.0)), field, affine)
    points = apply(affine, np.array([[7.0, 8.0, 7.0], [5.0, 9.0, 6.0]]))
    found = transform.derivatives(points)
    for number, point in enumerate(points):
        # along the grid's own axes, two voxels apart, as the central differences are
        ends = np.array([[point + s * affine[:3, a] for s in (1, -1)] for a in range(3)])
        slope = np.array([np.subtract(*transform.points(e)) / 2.0 for e in ends]).T
        assert found[number] @ affine[:3, :3] == pytest.approx(slope, abs=1e-5)
    turns = transform.rotations(points)
    assert np.linalg.det(turns) == pytest.approx(np.ones(2))
    assert np.swapaxes(turns, 1, 2) @ turns == pytest.approx(np.broadcast_to(np.eye(3), (2, 3, 3)))


def test_the_correlation_in_a_cube_is_that_of_numpy():
    a, b = np.random.default_rng(0).random((2, 7, 7, 7)).astype(np.float32)
    one = np.corrcoef(a.ravel(), b.ravel())[0, 1]  # the only cube of width 7 that fits
    _, _, covariance, of_a, of_b = (
        part[3, 3, 3] for part in local_moments(a, b, np.ones_like(a), 7)
    )
    assert covariance / np.sqrt(of_a * of_b) == pytest.approx(one, rel=1e-3)


def test_the_files_are_what_itk_takes_them_for(tmp_path, rigid):
    import SimpleITK

    found, _, _ = rigid
    affine = linear((20, -10, 30), (3, 4, 5)) @ np.diag([2.0, 2.0, 2.0, 1.0])
    place = np.stack(np.meshgrid(*[np.arange(16.0)] * 3, indexing="ij"))
    field = (0.3 * np.sin(place[::-1] / 5.0)).astype(np.float32)
    transform = SpatialTransform(TURN, field, affine)
    files = write_registration(dataclasses.replace(found, transform=transform), tmp_path)
    assert files == ["transform.tfm", "displacement.nii.gz", "registration.json"]
    # ITK applies the transform that was added last first.
    chain = SimpleITK.CompositeTransform(
        [
            SimpleITK.ReadTransform(str(tmp_path / "transform.tfm")),
            SimpleITK.DisplacementFieldTransform(
                SimpleITK.ReadImage(
                    str(tmp_path / "displacement.nii.gz"), SimpleITK.sitkVectorFloat64
                )
            ),
        ]
    )
    flip = np.array([-1.0, -1.0, 1.0])
    for point in apply(affine, np.array([[7.3, 8.1, 6.6], [4.0, 10.2, 5.5]])):
        itk = flip * np.array(chain.TransformPoint((flip * point).tolist()))
        assert itk == pytest.approx(transform.points(point[None])[0], abs=1e-3)
    document = json.loads((tmp_path / "registration.json").read_text())
    assert document["matrix_fixed_to_moving_ras_mm"] == TURN.tolist()
    assert document["quality"]["inverse_error_mm"] < 0.5


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"kind": "elastic"}, "rigid, affine or deformable"),
        ({"seed": -1}, "seed is -1"),
        ({"ignore": np.ones(SHAPE, bool)}, "not to be ignored"),
        ({"ignore": np.zeros((3, 3, 3), bool)}, "3 x 3 x 3"),
        ({"fixed": Image(np.full(SHAPE, 7.0), grid())}, "7 everywhere"),
        ({"fixed": Image(np.ones((40, 40, 2)), np.eye(4))}, "too thin"),
        ({"fixed": Image(np.ones(SHAPE), grid() + np.eye(4, k=1) * [1, 1, 0, 1])}, "right angles"),
    ],
)
def test_bad_input_is_named(moving, change, sentence):
    with pytest.raises(InvalidInput, match=sentence):
        register(**{"moving": moving, "fixed": moving, **change})


def test_the_finest_level_is_neither_finer_than_the_images_nor_huge():
    assert base_spacing(Image(np.ones((40, 40, 40)), 4 * np.eye(4) + np.diag([0, 0, 0, -3]))) == 4.0
    thin = Image(np.random.default_rng(0).random((240, 24, 24)), np.eye(4))
    assert base_spacing(thin) == 2.0
    level = working(thin, None, 2.0, what="It")
    assert level.data.shape == (120, 12, 12)
    # the block of voxels keeps its middle
    assert level.affine[:3, 3] + 59.5 * level.affine[:3, 0] == pytest.approx([119.5, 0.5, 0.5])


@pytest.mark.slow
def test_visits_come_onto_one_grid_and_growth_is_not_explained_away(moving):
    first, tumour = with_tumour(moving, radius=10.0)
    later, larger = with_tumour(picture(turned, seed=6), radius=16.0)
    visits = [
        Visit("day 0", first, tumour),
        Visit("day 90", later, larger, {"flair": later}, {"tumour": larger}),
    ]
    aligned = align_visits(visits)
    assert aligned[0].registration is None
    assert aligned[0].visit.image is first
    moved = aligned[1].visit
    assert moved.image.shape == moved.labels["tumour"].shape == moved.others["flair"].shape == SHAPE
    inverse = np.linalg.inv(TURN)
    found = aligned[1].registration.transform.points(centres().reshape(-1, 3))
    assert np.abs(found - apply(inverse, centres().reshape(-1, 3))).max() < 0.8
    assert (moved.labels["tumour"].data > 0).sum() == pytest.approx(larger.data.sum(), rel=0.05)
    with pytest.raises(InvalidInput, match="explain growth away"):
        align_visits(visits, kind="deformable")
    with pytest.raises(InvalidInput, match="number 2"):
        align_visits(visits, 2)
    noise = Image(np.random.default_rng(0).normal(size=SHAPE).astype(np.float32), grid())
    with pytest.raises(NotConverged, match="Visit day 7 onto day 0"):
        align_visits([visits[0], Visit("day 7", noise)])


def _save(image, path):
    import nibabel as nib

    nib.save(nib.Nifti1Image(image.data, image.affine), path)
    return str(path)


def test_twin_register_writes_all_or_nothing(tmp_path, capsys, rigid, moving):
    _, fixed, tumour = rigid
    names = [
        _save(image, tmp_path / f"{name}.nii.gz")
        for name, image in (
            ("Muster_Erika", moving),
            ("fixed", fixed),
            ("mask", tumour),
            ("labels", Image(labels(centres()), grid())),
        )
    ]
    out = tmp_path / "out"
    arguments = ["register", *names[:2], "-o", str(out), "--ignore", names[2], "--labels", names[3]]
    assert main([*arguments, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["quality"]["inverse_error_mm"] < 0.5
    assert sorted(path.name for path in out.iterdir()) == sorted(shown["files"])
    assert (out / "overlay.png").read_bytes()[:4] == b"\x89PNG"
    for path in out.iterdir():
        assert b"Erika" not in path.read_bytes()
    moved = read_nifti(out / "labels_1.nii.gz")
    truth = labels(turned(centres()))
    places = np.moveaxis(apply(np.linalg.inv(grid()), turned(centres())), -1, 0)
    nearest = ndimage.map_coordinates(labels(centres()), places, order=0)  # by the true matrix
    best = (nearest == truth)[truth > 0].mean()
    assert (moved.data == truth)[truth > 0].mean() > best - 0.01
    assert main(arguments) == 2  # holds something
    assert "not empty" in capsys.readouterr().err
    noise = Image(np.random.default_rng(0).normal(size=SHAPE).astype(np.float32), grid())
    bad = _save(noise, tmp_path / "noise.nii.gz")
    assert main(["register", bad, names[1], "-o", str(tmp_path / "none"), "--quiet"]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert main(["register", names[0] + "x", names[1], "-o", str(tmp_path / "none")]) == 2
    assert not list(tmp_path.glob("*none*"))


def test_a_folder_that_cannot_be_finished_is_not_there(tmp_path):
    with pytest.raises(RuntimeError), whole_folder(tmp_path / "a" / "b") as part:
        (part / "x").write_text("half")
        raise RuntimeError
    assert not list(tmp_path.rglob("*b*"))
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="is a file"), whole_folder(tmp_path / "file"):
        pass


def test_the_overlay_shows_both_images_in_three_planes(tmp_path, moving):
    mask = with_tumour(moving)[1]
    there = ignored_on(mask, moving)
    assert np.array_equal(there, mask.data > 0)
    figure = overlay_figure(moving, moving, mask=there, title="phantom")
    shown = figure.axes
    assert [ax.get_title().split(":")[0] for ax in shown] == 2 * ["axial", "coronal", "sagittal"]
    # a checkerboard of an image with itself is the image, in the plane through the mask's middle
    scaled = np.clip(
        (moving.data - (low := np.percentile(moving.data, 0.5)))
        / (np.percentile(moving.data, 99.5) - low),
        0,
        1,
    )
    middle = round(float(np.nonzero(there)[2].mean()))
    assert np.asarray(shown[0].images[0].get_array()) == pytest.approx(
        scaled[:, :, middle].T, abs=1e-6
    )
    assert shown[3].collections  # contours
    other = Image(moving.data[1:], moving.affine)
    with pytest.raises(GeometryMismatch):
        overlay_figure(moving, other)
    write_overlay(tmp_path / "o.png", moving, moving)
    assert (tmp_path / "o.png").stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.parametrize("patient", ["01", "04"])
def test_two_visits_of_a_real_patient(patient):
    """Their spacing is lost; 6 mm slices are a guess that serves both alike."""
    spacing = np.diag([1.0, 1.0, 6.0, 1.0])
    first, second = (
        Image(
            read_nifti(
                real_data("brain-tumor-progression", patient, f"{visit}_Scan_T1.nii.gz")
            ).data,
            spacing,
        )
        for visit in ("Pre", "Post")
    )
    found = register(second, first).quality
    assert found.inverse_error_mm < 1.0
    assert found.local_correlation_after > found.local_correlation_before
