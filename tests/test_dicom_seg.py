"""DICOM segmentations: every type, bits across bytes, frames in any order or missing."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from dicom_makers import AXIAL, CORONAL, SAGITTAL, grid_affine, header, normal_of, save
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, RLELossless
from real_data import real_data

from twin.dicom.bit_frames import bit_frames
from twin.dicom.segmentation import read_segmentation
from twin.errors import GeometryMismatch, InvalidInput

SEG_CLASS = "1.2.840.10008.5.1.4.1.1.66.4"
LABELMAP_CLASS = "1.2.840.10008.5.1.4.1.1.66.7"
DEFLATED_FRAMES = "1.2.840.10008.1.2.8.1"
SHAPE, SPACING, POSITION = (4, 7, 5), (2.5, 1.5, 0.75), (-20.0, -30.0, 40.0)
_TURN = np.radians(20.0)
OBLIQUE = (np.cos(_TURN), np.sin(_TURN), 0.0, -np.sin(_TURN) * 0.8, np.cos(_TURN) * 0.8, -0.6)
SECRET = "Jane Doe"  # noqa: S105 - stands in a description


def shapes():
    """Two overlapping segments, shape (slice, row, column); the second lacks the third slice."""
    rng = np.random.default_rng(3)
    first, second = rng.random(SHAPE) < 0.4, rng.random(SHAPE) < 0.4
    second[2] = False
    assert (first & second).any()
    return {"tumour": first, "oedema": second}


def packed(frames):
    """Bits of all frames without a break, the lowest first, as PS3.5 section 8.1.1 has it."""
    data = np.packbits(np.asarray(frames, bool).ravel(), bitorder="little").tobytes()
    return data + b"\0" * (len(data) % 2)


def make_seg(
    path, frames, places, numbers, labels, *, kind="BINARY", orientation=AXIAL, top=None,
    syntax=ExplicitVRLittleEndian, stated=None, change=None,
):  # fmt: skip
    """Write a segmentation; `frames` have the shape (frame, row, column)."""
    frames = np.asarray(frames)
    ds = header(LABELMAP_CLASS if kind == "LABELMAP" else SEG_CLASS, "SEG")
    ds.SegmentationType = kind
    if kind == "FRACTIONAL":
        ds.SegmentationFractionalType = "PROBABILITY"
        if top is not None:
            ds.MaximumFractionalValue = top
    described = []
    for number, label in labels.items():
        one = Dataset()
        one.SegmentNumber, one.SegmentLabel, one.SegmentDescription = number, label, SECRET
        described.append(one)
    ds.SegmentSequence = Sequence(described)
    measures, plane, shared = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [SPACING[1], SPACING[2]], 1.0
    if stated is not None:
        measures.SpacingBetweenSlices = stated
    plane.ImageOrientationPatient = [f"{value:.10f}"[:16] for value in orientation]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = (
        Sequence([measures]),
        Sequence([plane]),
    )
    ds.SharedFunctionalGroupsSequence = Sequence([shared])
    groups = []
    for place, number in zip(places, numbers, strict=True):
        group, where = Dataset(), Dataset()
        position = np.array(POSITION) + place * SPACING[0] * normal_of(orientation)
        where.ImagePositionPatient = [f"{value:.6f}" for value in position]
        group.PlanePositionSequence = Sequence([where])
        if number is not None:
            of = Dataset()
            of.ReferencedSegmentNumber = number
            group.SegmentIdentificationSequence = Sequence([of])
        groups.append(group)
    ds.PerFrameFunctionalGroupsSequence = Sequence(groups)
    ds.NumberOfFrames, ds.Rows, ds.Columns = frames.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
    if frames.dtype == bool:
        ds.BitsAllocated, ds.BitsStored, ds.HighBit = 1, 1, 0
        ds.PixelData = packed(frames)
    else:
        ds.BitsAllocated, ds.BitsStored, ds.HighBit = 8, 8, 7
        data = frames.astype(np.uint8).tobytes()
        ds.PixelData = data + b"\0" * (len(data) % 2)
    if change is not None:
        change(ds)
    return save(ds, path, syntax=syntax)


def points_of(mask, orientation=AXIAL):
    """RAS points of a mask's voxels, shape (slice, row, column), as a set."""
    affine = grid_affine(SPACING, orientation, POSITION)
    index = np.argwhere(mask)[:, ::-1]
    return rounded(index @ affine[:3, :3].T + affine[:3, 3])


def read_points(image):
    index = np.argwhere(image.data)
    return rounded(index @ image.affine[:3, :3].T + image.affine[:3, 3])


def rounded(points):
    return {tuple(point) for point in (np.round(points, 3) + 0.0).tolist()}


@pytest.mark.parametrize("orientation", [AXIAL, CORONAL, SAGITTAL, OBLIQUE])
def test_overlapping_segments_with_frames_in_any_order_are_where_they_were(tmp_path, orientation):
    masks = shapes()
    wanted = [(k, n) for n in (1, 2) for k in range(4) if list(masks.values())[n - 1][k].any()]
    order = np.random.default_rng(1).permutation(len(wanted))
    wanted = [wanted[k] for k in order]
    frames = [list(masks.values())[n - 1][k] for k, n in wanted]
    path = make_seg(
        tmp_path / "seg.dcm", frames, [k for k, _ in wanted], [n for _, n in wanted],
        {1: "tumour", 2: "oedema"}, orientation=orientation,
    )  # fmt: skip
    found = read_segmentation(path)
    assert list(found.segments) == ["tumour", "oedema"]
    assert dict(found.labels) == {"tumour": 1, "oedema": 2}
    for name, mask in masks.items():
        assert found.segments[name].data.dtype == bool
        assert read_points(found.segments[name]) == points_of(mask, orientation)
    assert "segments overlap" in found.notes
    assert SECRET not in repr(found)
    assert found.date.isoformat() == "2024-03-05"


@pytest.mark.parametrize("top", [128, 255])
def test_fractions_are_shares_of_the_stated_maximum(tmp_path, top):
    stored = np.random.default_rng(5).integers(0, top + 1, SHAPE)
    path = make_seg(
        tmp_path / "seg.dcm", stored, range(4), [1] * 4, {1: "tumour"}, kind="FRACTIONAL", top=top
    )
    image = read_segmentation(path).segments["tumour"]
    assert image.data.dtype == np.float32
    # LPS columns and rows run against RAS axes
    np.testing.assert_allclose(image.data, (stored / top).transpose(2, 1, 0)[::-1, ::-1], atol=1e-6)
    assert read_segmentation(path).notes == ("fractional (probability)",)


def test_a_label_map_gives_each_segment_its_voxels(tmp_path):
    labels = np.random.default_rng(6).integers(0, 4, SHAPE)
    names = {0: "Background", 1: "one", 2: "two", 3: "three", 9: "absent"}
    path = make_seg(tmp_path / "seg.dcm", labels, range(4), [None] * 4, names, kind="LABELMAP")
    found = read_segmentation(path)
    assert dict(found.labels) == {"one": 1, "two": 2, "three": 3, "absent": 9}
    for name, number in list(found.labels.items())[:3]:
        assert read_points(found.segments[name]) == points_of(labels == number)
    assert found.notes == ("without a voxel: absent",)


def test_padding_of_a_label_map_is_background(tmp_path):
    labels = np.random.default_rng(6).choice([0, 1, 5], SHAPE)
    numbers = {0: "Background", 1: "one"}

    def pad(ds):
        ds.PixelPaddingValue = 5

    path = make_seg(
        tmp_path / "s.dcm", labels, range(4), [None] * 4, numbers, kind="LABELMAP", change=pad
    )
    assert read_points(read_segmentation(path).segments["one"]) == points_of(labels == 1)
    path = make_seg(tmp_path / "s.dcm", labels, range(4), [None] * 4, numbers, kind="LABELMAP")
    with pytest.raises(InvalidInput, match="segment 5, which it does not describe"):
        read_segmentation(path)


def test_slices_that_are_all_left_out_between_frames_keep_their_place(tmp_path):
    mask = np.ones((5, 7, 5), bool)
    path = make_seg(
        tmp_path / "seg.dcm", mask[[0, 2, 4]], [0, 2, 4], [1] * 3, {1: "tumour"}, stated=SPACING[0]
    )
    image = read_segmentation(path).segments["tumour"]
    assert image.shape == (5, 7, 5)
    # three slices of 35 voxels, not three of double thickness
    assert image.data.sum() * image.voxel_mm3 == pytest.approx(3 * 35 * np.prod(SPACING))


def test_names_that_are_alike_or_odd_are_told_apart(tmp_path):
    mask = np.ones(SHAPE, bool)[:3]
    path = make_seg(
        tmp_path / "seg.dcm", mask, [0, 1, 2], [1, 2, 3], {1: "Lesion", 2: " Lesion\r\n", 3: ""}
    )
    assert list(read_segmentation(path).segments) == ["Lesion", "Lesion 2", "segment 3"]


def run_lengths(frame):
    """Literal run lengths of one segment, as PS3.5 annex G has them."""
    data, body = packed(frame), b""
    for at in range(0, len(data), 3):  # short runs: a literal, and a repeated byte
        part = data[at : at + 3]
        body += bytes([len(part) - 1]) + part
    body += bytes([257 - 5, 0])  # five bytes of zero beyond the frame
    return (1).to_bytes(4, "little") + (64).to_bytes(4, "little") + b"\0" * 56 + body


def deflated(frame):
    squeeze = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return squeeze.compress(packed(frame)) + squeeze.flush()


def test_run_lengths_of_single_bits(tmp_path):
    mask = shapes()["tumour"]

    def compress(ds):
        ds.PixelData = encapsulate([run_lengths(frame) for frame in mask])
        ds["PixelData"].is_undefined_length = True

    path = make_seg(
        tmp_path / "seg.dcm", mask, range(4), [1] * 4, {1: "t"}, syntax=RLELossless, change=compress
    )
    assert read_points(read_segmentation(path).segments["t"]) == points_of(mask)


def bits_of(data, shape, syntax, kind="OB"):
    ds = Dataset()
    ds.Rows, ds.Columns = shape[1:]
    ds.add_new("PixelData", kind, data)
    ds.file_meta = Dataset()
    ds.file_meta.TransferSyntaxUID = syntax
    found = bit_frames(ds, shape[0], what="It")
    return np.array([found[k] for k in range(shape[0])])


def test_deflated_frames():
    mask = shapes()["tumour"]
    data = encapsulate([deflated(frame) for frame in mask])
    np.testing.assert_array_equal(bits_of(data, SHAPE, DEFLATED_FRAMES), mask)
    with pytest.raises(InvalidInput, match="cut short or damaged"):
        bits_of(data[:-20], SHAPE, DEFLATED_FRAMES)
    with pytest.raises(InvalidInput, match="run lengths and deflated frames"):
        bits_of(data, SHAPE, "1.2.840.10008.1.2.4.90")


def test_words_of_big_endian_bits_are_turned():
    frames = np.random.default_rng(8).random((3, 5, 8)) < 0.5  # 15 bytes
    swapped = np.frombuffer(packed(frames), "<u2").byteswap().tobytes()
    found = bits_of(swapped, frames.shape, "1.2.840.10008.1.2.2", "OW")
    np.testing.assert_array_equal(found, frames)


def _no_segments(ds):
    ds.SegmentSequence = Sequence([])


def _fewer_places(ds):
    ds.PerFrameFunctionalGroupsSequence = ds.PerFrameFunctionalGroupsSequence[:2]


def _off_grid(ds):
    where = ds.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence[0]
    where.ImagePositionPatient = [POSITION[0], POSITION[1], POSITION[2] + 0.6 * SPACING[0]]


def _other_direction(ds):
    group, turned = ds.PerFrameFunctionalGroupsSequence[1], Dataset()
    turned.ImageOrientationPatient = list(CORONAL)
    group.PlaneOrientationSequence = Sequence([turned])


def _cut(ds):
    ds.PixelData = ds.PixelData[:8]


def _other_segment(ds):
    group = ds.PerFrameFunctionalGroupsSequence[1]
    group.SegmentIdentificationSequence[0].ReferencedSegmentNumber = 7


def _no_place(ds):
    del ds.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence


def _unknown_type(ds):
    ds.SegmentationType = "SURFACE"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (_no_segments, "describes no segment"),
        (_fewer_places, "4 frames, but states the place of 2"),
        (_off_grid, "off the even grid"),
        (_other_direction, "several directions"),
        (_cut, "cut short"),
        (_other_segment, "segment 7, which it does not describe"),
        (_no_place, "no position"),
        (_unknown_type, "type that is not known"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_sentence(tmp_path, change, sentence):
    path = make_seg(
        tmp_path / "seg.dcm", shapes()["tumour"], range(4), [1] * 4, {1: "tumour"}, change=change
    )
    with pytest.raises((InvalidInput, GeometryMismatch), match=sentence) as caught:
        read_segmentation(path)
    assert SECRET not in str(caught.value)


def test_fractions_without_their_maximum_are_refused(tmp_path):
    stored = np.full(SHAPE, 7)
    path = make_seg(tmp_path / "s.dcm", stored, range(4), [1] * 4, {1: "t"}, kind="FRACTIONAL")
    with pytest.raises(InvalidInput, match="does not say which value is 1"):
        read_segmentation(path)


def test_another_object_is_no_segmentation(tmp_path):
    path = save(header("1.2.840.10008.5.1.4.1.1.481.3", "RTSTRUCT"), tmp_path / "a.dcm")
    with pytest.raises(InvalidInput, match="is not a DICOM segmentation"):
        read_segmentation(path)


# Real files


def by_pynrrd(path, label=None):
    """Number of voxels and their mean place in RAS, [mm], by pynrrd."""
    import nrrd

    data, head = nrrd.read(str(path))
    index = np.argwhere(data > 0 if label is None else data == label)
    points = index @ np.array(head["space directions"], float) + np.array(head["space origin"])
    return len(index), points.mean(axis=0) * (-1.0, -1.0, 1.0)


@pytest.mark.parametrize(
    ("file", "volume", "segment", "label"),
    [
        ("dcmqi/segmentations/liver.dcm", "liver_seg.nrrd", "Liver", None),
        ("pydicom-data/liver_rle.dcm", "liver_seg.nrrd", "Liver", None),
        ("pydicom-data/liver_deflate.dcm", "liver_seg.nrrd", "Liver", None),
        ("dcmqi/segmentations/partial_overlaps.dcm", "partial_overlaps-1.nrrd", "GREEN", 1),
        ("dcmqi/segmentations/sparse-labelmap-ppv5.dcm", "sparse_labelmap_ppv5_seg.nrrd",
         "Liver", 1),
        ("dcmqi/segmentations/sparse-labelmap-noppv.dcm", "sparse_labelmap_noppv_seg.nrrd",
         "Liver", 1),
    ],
)  # fmt: skip
def test_real_segmentations_against_volumes_beside_them(file, volume, segment, label):
    image = read_segmentation(real_data("dicom-small", *file.split("/"))).segments[segment]
    count, centre = by_pynrrd(real_data("dicom-small", "dcmqi", "segmentations", volume), label)
    index = np.argwhere(image.data)
    assert len(index) == count
    np.testing.assert_allclose(
        (index @ image.affine[:3, :3].T + image.affine[:3, 3]).mean(axis=0), centre, atol=0.01
    )


def test_real_overlapping_segments_stay_apart():
    found = read_segmentation(
        real_data("dicom-small", "dcmqi", "segmentations", "partial_overlaps.dcm")
    )
    assert len(found.segments) == 5 and "segments overlap" in found.notes
    counts = [int(image.data.sum()) for image in found.segments.values()]
    together = np.zeros(found.segments["GREEN"].shape, bool)
    for image in found.segments.values():
        together |= np.asarray(image.data)
    assert sum(counts) > together.sum()


@pytest.mark.parametrize(
    "name",
    ["seg_image_ct_binary", "seg_image_ct_binary_overlap", "seg_image_ct_true_fractional",
     "seg_image_ct_binary_fractional", "seg_image_ct_binary_single_frame"],
)  # fmt: skip
def test_real_segmentations_against_highdicom(name):
    import highdicom

    path = real_data("dicom-small", "highdicom", f"{name}.dcm")
    theirs = highdicom.seg.segread(str(path))
    for name, number in (found := read_segmentation(path)).labels.items():
        frames = theirs.get_pixels_by_source_instance(
            [uid for _, _, uid in theirs.get_source_image_uids()],
            segment_numbers=[number],
        )
        assert np.asarray(found.segments[name].data).sum() == pytest.approx(frames.sum(), rel=1e-6)


def test_real_frames_without_a_place_are_refused():
    for name in ("seg_image_cr_binary.dcm", "seg_image_sm_control_labelmap.dcm"):
        with pytest.raises(InvalidInput, match="no position and orientation"):
            read_segmentation(real_data("dicom-small", "highdicom", name))
