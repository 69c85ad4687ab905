import gzip
import struct

import nibabel as nib
import numpy as np
import pytest

from twin.errors import GeometryMismatch, InvalidInput
from twin.images import Image, read_nifti, same_grid
from twin.resampling import to_isotropic


def save(path, data, affine=None):
    nib.save(nib.Nifti1Image(data, np.eye(4) if affine is None else affine), path)
    return path


def header(shape, *, magic=b"n+1\0", kind=2):
    """A bare NIfTI-1 header, as a program of its own would write it."""
    raw = bytearray(348)
    struct.pack_into("<i", raw, 0, 348)
    struct.pack_into("<8h", raw, 40, len(shape), *shape, *[1] * (7 - len(shape)))
    struct.pack_into("<hh", raw, 70, kind, 8)
    struct.pack_into("<8f", raw, 76, *[1.0] * 8)
    struct.pack_into("<f", raw, 108, 352.0)
    struct.pack_into("<hh", raw, 252, 0, 1)
    struct.pack_into("<12f", raw, 280, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0)
    raw[344:348] = magic
    return bytes(raw) + b"\0" * 4


def test_axes_are_turned_to_right_anterior_superior(tmp_path):
    data = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    # stored axes: posterior, superior, left
    affine = np.array([[0, 0, -3.0, 5], [-1.0, 0, 0, 7], [0, 2.0, 0, -4], [0, 0, 0, 1]])
    image = read_nifti(save(tmp_path / "a.nii.gz", data, affine))
    assert image.data.dtype == np.int16
    assert image.shape == (4, 2, 3)
    assert (np.diag(image.affine)[:3] > 0).all()
    for voxel in np.ndindex(data.shape):
        world = affine @ [*voxel, 1]
        new = np.rint(np.linalg.solve(image.affine, world))[:3].astype(int)
        assert image.data[tuple(new)] == data[voxel]


def test_scaled_integers_become_their_values(tmp_path):
    picture = nib.Nifti1Image(np.full((2, 2, 2), 7, np.int16), np.eye(4))
    picture.header.set_slope_inter(0.5, 1.0)
    nib.save(picture, tmp_path / "a.nii")
    stored = nib.load(tmp_path / "a.nii").get_fdata()
    assert np.allclose(read_nifti(tmp_path / "a.nii").data, stored)


def test_length_units_are_respected(tmp_path):
    picture = nib.Nifti1Image(np.zeros((2, 2, 2), np.uint8), np.diag([1e-3, 1e-3, 1e-3, 1]))
    picture.header.set_xyzt_units("meter")
    nib.save(picture, tmp_path / "a.nii")
    assert read_nifti(tmp_path / "a.nii").spacing_mm == pytest.approx([1, 1, 1])


def test_missing_file_names_the_one_that_is_there(tmp_path):
    save(tmp_path / "segmentation.nii.gz", np.zeros((2, 2, 2), np.uint8))
    with pytest.raises(InvalidInput, match=r"does not exist.*there is segmentation\.nii\.gz"):
        read_nifti(tmp_path / "segmentaton.nii.gz", what="segmentation")
    with pytest.raises(InvalidInput, match="nor does the folder"):
        read_nifti(tmp_path / "no" / "a.nii.gz")


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("part", [0.0, 0.02, 0.3, 0.95])
def test_truncated_files(tmp_path, ending, part):
    noise = np.random.default_rng(1).integers(0, 255, (20, 20, 20)).astype(np.uint8)
    path = save(tmp_path / f"a{ending}", noise)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(InvalidInput, match=r"cut short|cannot be read|damaged"):
        read_nifti(path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"not an image at all" * 40, "is not a NIfTI file"),
        (header((30, 30, 30), magic=b"xxxx"), "is not a NIfTI file"),
        (header((32000, 32000, 32000)), "declares 32000 x 32000 x 32000"),
        (header((1025, 1, 1)), "at most 1024"),
        (header((1000, 1000, 1000)), "at most 1024 along an axis and 268435456 in all"),
        (header((0, 10, 10)), "must be one three-dimensional volume"),
        (header((-5, 10, 10)), "must be one three-dimensional volume"),
        (header((10, 10)), "must be one three-dimensional volume"),
        (header((10, 10, 10, 8)), "must be one three-dimensional volume"),
        (header((4, 4, 4), kind=128) + b"\0" * 192, "must hold plain numbers"),
        (header((4, 4, 4), kind=32) + b"\0" * 512, "must hold plain numbers"),
    ],
)
def test_absurd_headers(tmp_path, content, says):
    for name, pack in (("a.nii", bytes), ("a.nii.gz", gzip.compress)):
        (tmp_path / name).write_bytes(pack(content))
        with pytest.raises(InvalidInput, match=says):
            read_nifti(tmp_path / name)


def test_size_is_judged_before_anything_is_decompressed(tmp_path, monkeypatch):
    (tmp_path / "bomb.nii.gz").write_bytes(gzip.compress(header((30000, 30000, 30000))))
    monkeypatch.setattr(nib, "load", lambda path: pytest.fail("the image was opened"))
    with pytest.raises(InvalidInput, match="declares"):
        read_nifti(tmp_path / "bomb.nii.gz")


def test_values_and_affines_that_are_not_finite(tmp_path):
    data = np.zeros((3, 3, 3), np.float32)
    data[1, 1, 1] = np.nan
    with pytest.raises(InvalidInput, match="1 voxels that are NaN"):
        read_nifti(save(tmp_path / "a.nii.gz", data))
    raw = bytearray(header((2, 2, 2)) + b"\0" * 8)
    struct.pack_into("<f", raw, 280, float("nan"))
    (tmp_path / "b.nii").write_bytes(raw)
    with pytest.raises(InvalidInput, match="singular or not finite"):
        read_nifti(tmp_path / "b.nii")


def test_an_image_without_orientation_is_refused(tmp_path):
    raw = bytearray(header((2, 2, 2)) + b"\0" * 8)
    struct.pack_into("<hh", raw, 252, 0, 0)
    (tmp_path / "a.nii").write_bytes(raw)
    with pytest.raises(InvalidInput, match="left and right are unknown"):
        read_nifti(tmp_path / "a.nii")


def test_same_grid_says_what_differs():
    a = Image(np.zeros((4, 4, 4), np.uint8), np.eye(4))
    same_grid(a, Image(np.ones((4, 4, 4), np.uint8), np.eye(4) + 1e-6), names=("a", "b"))
    with pytest.raises(GeometryMismatch, match="4 x 4 x 4 voxels but b has 4 x 4 x 5"):
        same_grid(a, Image(np.zeros((4, 4, 5), np.uint8), np.eye(4)), names=("a", "b"))
    moved = np.eye(4)
    moved[0, 3] = 1.0
    with pytest.raises(GeometryMismatch, match="1 mm apart"):
        same_grid(a, Image(np.zeros((4, 4, 4), np.uint8), moved), names=("a", "b"))
    turned = np.diag([1.0, 1.0, 1.2, 1.0])
    with pytest.raises(GeometryMismatch, match=r"0\.6 mm apart"):
        same_grid(a, Image(np.zeros((4, 4, 4), np.uint8), turned), names=("a", "b"))


def test_resampling_keeps_places_volumes_and_labels():
    affine = np.diag([1.0, 1.0, 3.0, 1.0])
    affine[:3, 3] = [-20.0, -20.0, -21.0]
    i, j, k = np.indices((41, 41, 15))
    x, y, z = i - 20.0, j - 20.0, 3.0 * k - 21.0
    ball = (np.sqrt(x**2 + y**2 + z**2) < 12).astype(np.uint8) * 7
    fine = to_isotropic(Image(ball, affine), labels=True)
    assert fine.spacing_mm == pytest.approx([1, 1, 1])
    assert set(np.unique(fine.data)) == {0, 7}
    before, after = (ball > 0).sum() * 3.0, float((fine.data > 0).sum())
    assert after == pytest.approx(before, rel=0.01)
    centre = fine.affine[:3, :3] @ np.argwhere(fine.data > 0).mean(axis=0) + fine.affine[:3, 3]
    assert centre == pytest.approx([0, 0, 0], abs=0.1)
    ramp = to_isotropic(Image(z.astype(np.float32), affine), labels=False)
    heights = ramp.affine[2, 3] + ramp.affine[2, 2] * np.arange(ramp.shape[2])
    inner = (heights > -20) & (heights < 20)
    assert ramp.data[20, 20, inner] == pytest.approx(heights[inner], abs=1e-4)


def test_voxels_below_a_millimetre_are_made_one():
    small = Image(np.zeros((30, 30, 30), np.uint8), np.diag([0.5, 0.5, 0.5, 1.0]))
    assert to_isotropic(small, labels=True).shape == (15, 15, 15)


def test_sheared_voxels_are_refused():
    sheared = np.eye(4)
    sheared[0, 1] = 0.3
    with pytest.raises(InvalidInput, match="right angles"):
        to_isotropic(Image(np.zeros((3, 3, 3), np.uint8), sheared), labels=True)
