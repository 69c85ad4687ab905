"""Series to images: where voxels lie, what values they have, and what is refused."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest
from dicom_makers import (
    AXIAL,
    CORONAL,
    SAGITTAL,
    grid_affine,
    make_enhanced,
    make_series,
)
from real_data import real_data

from twin.dicom.series import read_series
from twin.errors import InvalidInput
from twin.images import read_nifti

SHAPE, SPACING, POSITION = (7, 6, 5), (2.0, 1.5, 1.0), (-20.0, -30.0, 40.0)
_TURN = np.radians(20.0)
OBLIQUE = (np.cos(_TURN), np.sin(_TURN), 0.0, -np.sin(_TURN) * 0.8, np.cos(_TURN) * 0.8, -0.6)


def field(points):
    """Hounsfield units that rise linearly in space; RAS points, shape (..., 3), [mm]."""
    return points @ np.array([3.0, -2.0, 5.0]) + 100.0


def points_of(affine, shape):
    """RAS points of all voxels, shape (*shape, 3)."""
    numbers = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    return numbers @ affine[:3, :3].T + affine[:3, 3]


def stored_field(orientation=AXIAL, *, offsets=None, tilt=0.0, slope=0.125, intercept=-1000.0):
    """Stored values, shape (slice, row, column), of the linear field on a series' slices."""
    affine = grid_affine(SPACING, orientation, POSITION)
    points = points_of(affine, SHAPE[::-1])
    normal, along_rows = affine[:3, 2] / SPACING[0], affine[:3, 1] / SPACING[1]
    even = np.arange(SHAPE[0]) * SPACING[0]
    places = even if offsets is None else np.array(offsets)
    points += (places - even)[:, None] * normal
    points += (places * np.tan(np.radians(tilt)))[:, None] * along_rows
    return np.round((field(points).transpose(2, 1, 0) - intercept) / slope)


def make_field(folder, orientation=AXIAL, *, offsets=None, tilt=0.0, **more):
    values = stored_field(orientation, offsets=offsets, tilt=tilt)
    return make_series(
        folder, shape=SHAPE, spacing=SPACING, orientation=orientation, position=POSITION,
        values=values, slope=0.125, intercept=-1000.0, offsets=offsets, tilt=tilt, **more,
    )  # fmt: skip


ORIENTATIONS = {
    "axial": AXIAL,
    "axial, normal down": (1.0, 0.0, 0.0, 0.0, -1.0, 0.0),
    "axial, prone": (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0),
    "rows and columns swapped": (0.0, 1.0, 0.0, 1.0, 0.0, 0.0),
    "coronal": CORONAL,
    "sagittal": SAGITTAL,
    "oblique": OBLIQUE,
}


@pytest.mark.parametrize("order", ["as they lie", "shuffle", "flip"])
@pytest.mark.parametrize("orientation", ORIENTATIONS.values(), ids=ORIENTATIONS)
def test_every_voxel_has_the_value_of_its_place(tmp_path, orientation, order):
    paths = make_field(
        tmp_path, orientation, shuffle=order == "shuffle", flip=order == "flip", modality="CT"
    )
    series = read_series(sorted(paths))
    image = series.image
    expected = field(points_of(image.affine, image.shape))
    assert np.abs(image.data - expected).max() <= 0.125 / 2 + 1e-3
    assert np.diag(image.affine)[:3].min() > 0.0  # right, anterior, superior
    assert (series.modality, series.quantity) == ("CT", "hounsfield")
    assert series.date == dt.date(2024, 3, 5)
    assert series.notes == ()


@pytest.mark.parametrize("orientation", ORIENTATIONS.values(), ids=ORIENTATIONS)
def test_simpleitk_puts_the_same_values_at_the_same_places(tmp_path, orientation):
    itk = pytest.importorskip("SimpleITK")
    paths = make_field(tmp_path, orientation, shuffle=True)
    image = read_series(paths).image
    reader = itk.ImageSeriesReader()
    reader.SetFileNames(itk.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path)))
    other = reader.Execute()
    assert sorted(other.GetSize()) == sorted(image.shape)
    for number in [(0, 0, 0), (1, 2, 3), tuple(side - 1 for side in image.shape)]:
        point = image.affine @ [*number, 1.0]
        there = other.TransformPhysicalPointToIndex((-point[0], -point[1], point[2]))
        assert other.GetPixel(*there) == pytest.approx(float(image.data[number]), abs=1e-3)


def test_whole_hounsfield_units_stay_whole(tmp_path):
    stored = np.arange(40).reshape(2, 4, 5)
    paths = make_series(tmp_path, shape=(2, 4, 5), values=stored, intercept=-1024, dtype=np.uint16)
    data = read_series(paths).image.data
    assert data.dtype == np.int16
    # axial slices: columns run left, rows run back, so both are flipped
    assert np.array_equal(data, stored.transpose(2, 1, 0)[::-1, ::-1] - 1024)


def test_slopes_and_intercepts_count_slice_by_slice(tmp_path):
    stored = np.full((3, 4, 5), 10)
    paths = make_series(
        tmp_path, shape=(3, 4, 5), values=stored, slope=[1.0, 2.0, 0.5], intercept=[0, -20, 3]
    )
    data = read_series(paths).image.data
    assert data.dtype == np.float32
    assert data[0, 0].tolist() == [10.0, 0.0, 8.0]


def padded(values, **kwargs):
    def change(ds, _):
        for key, value in kwargs.items():
            setattr(ds, key, value)

    return {"values": values, "shape": values.shape, "change": change}


def test_padding_becomes_the_lowest_value(tmp_path):
    values = np.array([[[-2000, 24], [1024, 2024]]] * 2)
    paths = make_series(tmp_path / "ct", intercept=-1024, **padded(values))
    series = read_series(paths)  # not declared as padding
    assert sorted(np.unique(series.image.data)) == [-1024, -1000, 0, 1000]
    assert series.notes == ("padding in 25 % of the voxels was set to -1024",)
    values = np.array([[[9, 9], [40, 50]]] * 2)
    paths = make_series(tmp_path / "mr", modality="MR", **padded(values, PixelPaddingValue=9))
    series = read_series(paths)
    assert sorted(np.unique(series.image.data)) == [40, 50]
    assert series.notes == ("padding in 50 % of the voxels was set to 40",)
    values = np.array([[[7, 8], [9, 50]]] * 2)
    limits = padded(values, PixelPaddingValue=9, PixelPaddingRangeLimit=7)
    series = read_series(make_series(tmp_path / "range", modality="MR", **limits))
    assert np.unique(series.image.data).tolist() == [50]


def test_nothing_but_padding_is_refused(tmp_path):
    paths = make_series(
        tmp_path, modality="MR", **padded(np.full((2, 3, 4), 5), PixelPaddingValue=5)
    )
    with pytest.raises(InvalidInput, match="nothing but padding"):
        read_series(paths)


def test_low_shown_bright_inverts_signal_and_no_hounsfield_units(tmp_path):
    values = np.arange(24).reshape(2, 3, 4)
    inverse = padded(values, PhotometricInterpretation="MONOCHROME1")
    paths = make_series(tmp_path / "mr", modality="MR", dtype=np.uint16, **inverse)
    series = read_series(paths)
    assert series.image.data.max() == 65535
    assert series.image.data.min() == 65535 - 23
    assert "MONOCHROME1" in series.notes[0]
    paths = make_series(tmp_path / "ct", dtype=np.uint16, **inverse)
    assert read_series(paths).image.data.max() == 23


def test_bed_joins_count_as_even(tmp_path):
    places = [0.0, 3.27, 6.54, 9.83, 13.02, 16.29, 19.56]  # as a real PET: 3.27, 3.29, 3.19
    series = read_series(make_series(tmp_path, shape=(7, 3, 4), offsets=places))
    assert series.image.affine[2, 2] == pytest.approx(19.56 / 6)
    assert series.notes == ("slices are 3.19 to 3.29 mm apart; taken as even",)


@pytest.mark.parametrize(
    "offsets",
    [
        (0.0, 2.0, 4.0, 6.5, 9.0, 11.5, 14.0),
        # no step is off by 5 %, but the middle would lie astray
        (0.0, 2.0, 4.0, 6.0, 8.09, 10.18, 12.27),
    ],
)
def test_uneven_slices_are_interpolated_where_they_lie(tmp_path, offsets):
    series = read_series(make_field(tmp_path, offsets=offsets))
    image = series.image
    expected = field(points_of(image.affine, image.shape))
    assert np.abs(image.data - expected).max() <= 0.125 / 2 + 1e-3
    ends = image.affine[2, 3], image.affine[2, 3] + (image.shape[2] - 1) * image.affine[2, 2]
    assert ends == pytest.approx((40.0, 40.0 + offsets[-1]))
    assert "interpolated to" in series.notes[0]


def test_a_gap_is_refused_with_its_place_and_the_largest_stack(tmp_path):
    paths = make_series(tmp_path, shape=(9, 3, 4), gap=3)
    with pytest.raises(InvalidInput) as refusal:
        read_series(paths, what="CT series 2")
    assert str(refusal.value) == (
        "CT series 2 has a gap of 4 mm after the slice at 44 mm (slices are 2 mm apart): slices "
        "are missing, or it is not one stack. The largest stack without a gap has 5 slices, 48 to "
        "56 mm; give these alone."
    )


def test_two_stacks_in_one_another_are_refused(tmp_path):
    with pytest.raises(InvalidInput, match="two stacks are mixed"):
        read_series(make_series(tmp_path, shape=(5, 3, 4), offsets=[0.0, 2.0, 2.3, 4.0, 6.0]))


def test_a_tilted_gantry_is_put_upright(tmp_path):
    series = read_series(make_field(tmp_path, tilt=12.0))
    image = series.image
    assert np.allclose(image.affine[:3, :3], np.diag([1.0, 1.5, 2.0]))
    expected = field(points_of(image.affine, image.shape))
    inside = image.data > -1024.0
    # linear interpolation keeps a linear field; a strip at the ends mixes with the outside
    apart = np.abs(image.data - expected)
    assert np.median(apart[inside]) < 0.1
    assert (apart[inside] < 0.2).mean() > 0.85
    reach = 12.0 * np.tan(np.radians(12.0)) / 1.5
    assert image.shape == (5, 6 + int(np.ceil(reach)), 7)
    assert series.notes[0] == (
        "slices lie aslant by 12.0 degrees (a tilted gantry); moved onto an upright grid"
    )


def test_a_slice_given_twice_is_taken_once(tmp_path):
    paths = make_series(tmp_path / "a")
    copy = make_series(tmp_path / "b")[:1]
    series = read_series([*paths, *copy])
    assert series.image.shape == (5, 6, 4)
    assert series.notes == ("1 slice was there twice",)


# -- enhanced multi-frame ------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", [AXIAL, OBLIQUE], ids=["axial", "oblique"])
@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_frames_in_any_order_give_the_image_of_the_slices(tmp_path, orientation, modality):
    slopes = [1.0, 2.0, 3.0, 4.0]
    common = {"modality": modality, "orientation": orientation}
    one = make_enhanced(
        tmp_path / "e.dcm", slopes=slopes, order=[2, 0, 3, 1], dtype=np.int16, **common
    )
    several = make_series(
        tmp_path / "s", **common, change=lambda ds, k: setattr(ds, "RescaleSlope", slopes[k])
    )
    frames, slices = read_series([one]), read_series(several)
    assert frames.image.shape == (5, 6, 4)
    assert np.allclose(frames.image.affine, slices.image.affine, atol=1e-5)
    assert np.array_equal(frames.image.data, slices.image.data)
    assert frames.quantity == {"CT": "hounsfield", "MR": "signal"}[modality]


def test_frames_of_several_times_are_refused(tmp_path):
    from pydicom.dataset import Dataset

    def times(ds):
        for number, groups in enumerate(ds.PerFrameFunctionalGroupsSequence):
            content = Dataset()
            content.TemporalPositionIndex = number // 4 + 1
            groups.FrameContentSequence = [content]

    path = make_enhanced(
        tmp_path / "e.dcm", order=[0, 1, 2, 3] * 2, change=times,
        values=np.arange(120).reshape(4, 6, 5),
    )  # fmt: skip
    # the same pixels twice are one volume
    assert read_series([path]).image.shape == (5, 6, 4)

    def moved(ds):
        times(ds)
        ds.PixelData = ds.PixelData[:-2] + b"\x09\x09"

    path = make_enhanced(tmp_path / "f.dcm", order=[0, 1, 2, 3] * 2, change=moved)
    with pytest.raises(InvalidInput, match="time position 1 and 2"):
        read_series([path])


def test_frames_without_places_are_refused(tmp_path):
    path = make_enhanced(
        tmp_path / "e.dcm", change=lambda ds: delattr(ds, "PerFrameFunctionalGroupsSequence")
    )
    with pytest.raises(InvalidInput, match="has 4 frames, but states the place of 0"):
        read_series([path])


# -- real data -----------------------------------------------------------------------------------


def test_a_real_scout_beside_a_stack_is_refused():
    folder = real_data("dicom-small", "pydicom", "dicomdirtests", "77654033", "CT2")
    with pytest.raises(InvalidInput, match=r"gap of 202.5 mm after the slice at -99.48 mm"):
        read_series(sorted(folder.iterdir()))


def test_a_real_series_whose_names_run_down(tmp_path):
    folder = real_data("dicom-small", "pydicom", "dicomdirtests", "98892001", "CT5N")
    series = read_series(sorted(folder.iterdir()))
    assert series.image.shape == (16, 16, 5)
    assert series.image.spacing_mm == pytest.approx([0.488281, 0.488281, 2.5])
    assert series.image.affine[2, 3] == pytest.approx(-1.24, abs=0.005)


def test_real_standardised_uptake_is_that_of_the_nifti_file_of_the_same_patient():
    root = real_data("ibsi-soft-tissue-sarcoma")
    series = read_series(sorted((root / "dicom/STS_001/PET/image").iterdir()))
    other = read_nifti(root / "nifti/STS_001/PET_image.nii.gz")
    assert series.quantity == "suv"
    assert series.image.shape == other.shape
    assert np.allclose(series.image.affine, other.affine, atol=1e-4)
    assert np.abs(series.image.data - other.data).max() < 1e-5
