"""The anatomy of an atlas on a patient: labels, organs and tensors against closed forms."""

import json

import nibabel as nib
import numpy as np
import pytest
from head_phantom import (
    NUCLEUS_LABEL,
    apply,
    centres,
    grid,
    labels,
    linear,
    picture,
    wave,
    with_tumour,
)
from scipy import ndimage
from small_patient import write_small_patient

from twin.errors import InvalidInput
from twin.images import Image, read_nifti
from twin.registration import Atlas, SpatialTransform, bring_atlas, default_atlas, read_atlas
from twin.registration.resample import resample_tensors
from viz.cli import main

MATRIX = linear((6, -4, 9), (4, -3, 5), (1.04, 0.97, 1.02))
ALONG_X = np.array([3.0, 1.0, 1.0, 0.0, 0.0, 0.0], np.float32) * 1e-3  # [mm2/s], Voigt order


def anatomy(points):
    """Tissues without the nucleus, which is an organ within the white matter."""
    found = labels(points)
    return np.where(found == NUCLEUS_LABEL, 3, found).astype(np.uint8)


@pytest.fixture(scope="module")
def atlas():
    painted, tumour = with_tumour(picture(), centre=(25.0, -30.0, 15.0), radius=10.0)
    places = centres()
    return Atlas(
        painted,
        Image(anatomy(places), grid()),
        Image((labels(places) == NUCLEUS_LABEL).astype(np.uint8), grid()),
        {"nucleus": 1},
        np.where((labels(places) > 0)[..., None], ALONG_X, 0.0).astype(np.float32),
        grid(),
        tumour,
    )


@pytest.fixture(scope="module")
def patient():
    return with_tumour(picture(lambda points: apply(MATRIX, points), inverted=True, seed=7))


@pytest.fixture(scope="module")
def brought(atlas, patient):
    return bring_atlas(atlas, *patient, kind="affine")


def agreement(tissues, truth):
    """Part of the head with the right tissue, beside what the true matrix would give."""
    places = apply(np.linalg.inv(grid()), apply(MATRIX, centres()))
    nearest = ndimage.map_coordinates(anatomy(centres()), np.moveaxis(places, -1, 0), order=0)
    inside = truth > 0
    return (tissues == truth)[inside].mean(), (nearest == truth)[inside].mean()


def test_tissues_and_organs_lie_where_they_are(brought, patient):
    truth = anatomy(apply(MATRIX, centres()))
    found, best = agreement(brought.tissues.data, truth)
    assert found > best - 0.01
    assert best > 0.85  # voxels of 4 mm, folds of 9 mm
    # in the tumour too, where nothing was matched: what was there before
    assert (brought.tissues.data == truth)[patient[1].data > 0].mean() > 0.9
    organ = labels(apply(MATRIX, centres())) == NUCLEUS_LABEL
    found = brought.structures.data > 0
    assert 2.0 * (found & organ).sum() / (found.sum() + organ.sum()) > 0.9
    assert brought.structure_labels == {"nucleus": 1}


def test_tensors_turn_with_the_head(brought):
    known = (brought.tensors != 0).any(axis=-1)
    assert (known == (brought.tissues.data > 0)).mean() > 0.97
    left, _, right = np.linalg.svd(MATRIX[:3, :3])
    turn = left @ right  # of the patient's points into the atlas'
    expected = turn.T @ np.diag([3e-3, 1e-3, 1e-3]) @ turn
    xx, yy, zz, yz, xz, xy = np.moveaxis(brought.tensors[known], -1, 0)
    for values, (row, column) in (
        (xx, (0, 0)),
        (yy, (1, 1)),
        (zz, (2, 2)),
        (yz, (1, 2)),
        (xz, (0, 2)),
        (xy, (0, 1)),
    ):
        assert values == pytest.approx(expected[row, column], abs=3e-5)


def test_tensors_through_a_rotation_a_stretch_and_a_mean_of_logarithms():
    shape = (4, 4, 4)
    field = np.broadcast_to(ALONG_X, (*shape, 6)).astype(np.float32)
    here = Image(np.zeros(shape), np.eye(4))
    quarter = linear((0, 0, 90))  # of points: x of the fixed is y of the moving image
    quarter[:3, 3] = (3.0, 0.0, 0.0)
    found = resample_tensors(field, np.eye(4), SpatialTransform(quarter), here)
    along_y = np.array([1.0, 3.0, 1.0, 0.0, 0.0, 0.0]) * 1e-3
    assert found == pytest.approx(np.broadcast_to(along_y, found.shape), abs=1e-9)
    stretched = np.diag([1.0, 0.5, 0.5, 1.0])  # without rotation: directions stay
    found = resample_tensors(field, np.eye(4), SpatialTransform(stretched), here)
    assert found == pytest.approx(field, rel=1e-5)
    # half way between diffusivities of 1 and 4 lies their geometric mean, 2
    two = np.zeros((2, 4, 4, 6), np.float32)
    two[0, ..., :3], two[1, ..., :3] = 1.0, 4.0
    half = np.eye(4)
    half[0, 3] = 0.5
    found = resample_tensors(two, np.eye(4), SpatialTransform(half), here)
    assert found[0, 1, 1, :3] == pytest.approx([2.0, 2.0, 2.0], rel=1e-5)
    assert not found[2:].any()  # outside nothing is known


@pytest.mark.slow
def test_a_deformable_atlas_follows_a_warp(atlas):
    def warp(points):
        return apply(linear((4, -3, 5), (3, -2, 2)), wave(points, 8.0))

    image, tumour = with_tumour(picture(warp, seed=7))
    truth = anatomy(warp(centres()))
    share = {
        kind: (bring_atlas(atlas, image, tumour, kind=kind).tissues.data == truth)[truth > 0].mean()
        for kind in ("affine", "deformable")
    }
    places = np.moveaxis(apply(np.linalg.inv(grid()), warp(centres())), -1, 0)
    nearest = ndimage.map_coordinates(anatomy(centres()), places, order=0)  # by the true warp
    best = (nearest == truth)[truth > 0].mean()
    assert best - share["deformable"] < 0.5 * (best - share["affine"])


def test_an_atlas_is_a_patient(tmp_path):
    write_small_patient(tmp_path)
    found = read_atlas(tmp_path)
    assert found.structure_labels == {"brainstem": 1}
    assert np.array_equal(found.ignore.data, read_nifti(tmp_path / "segmentation.nii.gz").data > 0)
    assert found.tensors is None
    toml = (tmp_path / "patient.toml").read_text().replace('t1 = "t1.nii.gz"\n', "")
    (tmp_path / "patient.toml").write_text(toml)
    with pytest.raises(InvalidInput, match="names no T1 image"):
        read_atlas(tmp_path / "patient.toml")


def test_tensors_of_an_atlas_are_put_in_order(tmp_path):
    toml_of = write_small_patient(tmp_path)
    image = nib.load(tmp_path / "t1.nii.gz")
    data = np.zeros((*image.shape, 6), np.float32)
    data[..., [0, 3, 5]] = (3.0, 2.0, 1.0)  # xx xy xz yy yz zz
    nib.save(nib.Nifti1Image(data, image.affine), tmp_path / "dti.nii.gz")
    line = 'tensor = { file = "dti.nii.gz", order = "xx xy xz yy yz zz", frame = "world" }\n'
    toml_of.write_text(
        toml_of.read_text().replace('labels = "brats"\n', 'labels = "brats"\n' + line)
    )
    assert read_atlas(tmp_path).tensors[9, 9, 9].tolist() == [3.0, 2.0, 1.0, 0.0, 0.0, 0.0]


@pytest.mark.slow
def test_twin_atlas_gives_a_patient_what_a_build_needs(tmp_path, capsys, atlas, patient):
    folder = tmp_path / "atlas"
    write_small_patient(folder)
    for name, image in (
        ("t1", atlas.image),
        ("tissues", atlas.tissues),
        ("segmentation", atlas.ignore),
        ("structures", atlas.structures),
    ):
        nib.save(nib.Nifti1Image(image.data, image.affine), folder / f"{name}.nii.gz")
    for name, image in zip(("image", "tumour"), patient, strict=True):
        nib.save(nib.Nifti1Image(image.data, image.affine), tmp_path / f"{name}.nii.gz")
    out = tmp_path / "anatomy"
    arguments = [
        "atlas",
        str(tmp_path / "image.nii.gz"),
        "--tumour",
        str(tmp_path / "tumour.nii.gz"),
    ]
    more = ["-o", str(out), "--atlas", str(folder / "patient.toml"), "--kind", "affine"]
    assert main([*arguments, *more]) == 0
    shown = capsys.readouterr().out
    assert "brainstem = { label = 1, stylised = true" in shown
    assert sorted(path.name for path in out.iterdir()) == [
        "atlas.nii.gz",
        "overlay.png",
        "registration.json",
        "structures.nii.gz",
        "tissues.nii.gz",
        "transform.tfm",
    ]
    truth = anatomy(apply(MATRIX, centres()))
    found, best = agreement(read_nifti(out / "tissues.nii.gz").data, truth)
    assert found > best - 0.01
    assert json.loads((out / "registration.json").read_text())["kind"] == "affine"


@pytest.mark.slow
def test_the_packaged_head_comes_onto_a_warped_copy_of_itself():
    atlas = default_atlas()
    assert atlas.ignore.data.any()
    shape = tuple(n // 2 for n in atlas.image.shape)
    affine = atlas.image.affine @ np.diag([2.0, 2.0, 2.0, 1.0])
    points = wave(centres(shape, affine), 6.0)
    places = apply(np.linalg.inv(atlas.image.affine), apply(linear((3, -4, 6), (3, 2, -4)), points))
    index = np.moveaxis(places, -1, 0)
    soft = ndimage.gaussian_filter(atlas.image.data.astype(np.float32), 0.8)
    data = ndimage.map_coordinates(soft, index, order=1)
    truth = ndimage.map_coordinates(atlas.tissues.data, index, order=0)
    shown = np.where(data > 20.0, 260.0 - data, 0.0).astype(np.float32)  # T2-like
    image, tumour = with_tumour(Image(shown, affine), centre=(-30.0, -20.0, 20.0), radius=18.0)
    found = bring_atlas(atlas, image, tumour)
    assert (found.tissues.data == truth)[truth > 0].mean() > 0.75
    assert found.registration.quality.least_jacobian > 0.2
