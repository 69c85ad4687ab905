"""Series that cannot be read: one sentence says why, and nothing of whose they are."""

from __future__ import annotations

import numpy as np
import pytest
from dicom_makers import CORONAL, NAME, PATIENT_ID, make_series

from twin.dicom.series import read_series
from twin.errors import GeometryMismatch, InvalidInput


@pytest.mark.parametrize(
    ("keyword", "values", "told"),
    [
        ("EchoTime", ("80", "20"), "echo time 80 and 20"),
        ("TemporalPositionIdentifier", (1, 2), "time position 1 and 2"),
        ("DiffusionBValue", (0.0, 800.0), "b-value 0 and 800"),
        ("ConvolutionKernel", ("SOFT", "HARD"), "another convolution kernel"),
        ("ImageComments", ("one", "two"), "nothing in their headers tells them apart"),
    ],
)
def test_different_images_at_one_place_are_refused_by_what_differs(tmp_path, keyword, values, told):
    paths = []
    for number, value in enumerate(values):
        paths += make_series(
            tmp_path / str(number),
            modality="MR",
            values=np.arange(120).reshape(4, 6, 5) + number,
            change=lambda ds, _, value=value: setattr(ds, keyword, value),
        )
    with pytest.raises(InvalidInput) as refusal:
        read_series(paths)
    assert f"different images at one place ({told})" in str(refusal.value)


def alike(**kwargs):
    return {"shape": (2, 3, 4), **kwargs}


@pytest.mark.parametrize(
    ("second", "kind", "told"),
    [
        (alike(patient_id="OTHER-ID"), InvalidInput, "files of two patients"),
        (alike(name="Somebody^Else"), InvalidInput, "files of two patients"),
        (alike(series=2), InvalidInput, "files of several series"),
        (alike(frame=2), GeometryMismatch, "several frames of reference"),
        (alike(modality="PT"), InvalidInput, "several modalities"),
        (alike(shape=(2, 4, 4)), GeometryMismatch, "of 4 x 3 and of 4 x 4 pixels"),
        (alike(orientation=CORONAL), GeometryMismatch, "different directions"),
        (alike(spacing=(2.0, 2.5, 1.0)), GeometryMismatch, "pixels of"),
    ],
)
def test_what_does_not_belong_together_is_refused(tmp_path, second, kind, told):
    first = make_series(tmp_path / "a", **alike())
    other = make_series(tmp_path / "b", position=(-20.0, -30.0, 44.0), **second)
    with pytest.raises(kind, match=told) as refusal:
        read_series([*first, *other])
    for secret in (NAME, PATIENT_ID, "OTHER-ID", "Somebody", "ACCESSION", "1961", "1.2.826"):
        assert secret not in str(refusal.value)


def without(*keys, **values):
    def change(ds, _):
        for key in keys:
            delattr(ds, key)
        for key, value in values.items():
            setattr(ds, key, value)

    return change


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (without("ImagePositionPatient"), "no position and orientation"),
        (without("ImageOrientationPatient"), "no position and orientation"),
        (without("PixelSpacing"), "no spacing"),
        (without(PixelSpacing=[0, 0]), "no spacing"),
        (without(ImageOrientationPatient=[1, 0, 0, 1, 0, 0]), "not at right angles"),
        (without("PixelData"), "holds no pixels"),
        (without(RescaleSlope="0"), "slope of 0"),
        (without(Rows=7), "cut short, damaged or not as declared"),
        (without(SamplesPerPixel=3), "colour"),
        (without(Modality="RTDOSE"), "is a dose, not an image"),
        (without(ImageType=["ORIGINAL", "PRIMARY", "MOSAIC"]), "mosaic"),
    ],
)
def test_what_an_image_lacks_is_said_in_a_sentence(tmp_path, change, told):
    paths = make_series(tmp_path, change=change)
    with pytest.raises(InvalidInput, match=told) as refusal:
        read_series(paths, what="CT series 1")
    assert "CT series 1" in str(refusal.value)
    assert str(refusal.value).endswith(".")


def test_no_files_are_no_series():
    with pytest.raises(InvalidInput, match="has no file"):
        read_series([])


def test_a_rescaling_that_is_no_number_is_refused(tmp_path):
    paths = make_series(tmp_path)
    whole = paths[0].read_bytes()
    at = whole.index(b"\x28\x00\x53\x10DS")
    paths[0].write_bytes(whole[: at + 8] + b"x " + whole[at + 10 :])
    with pytest.raises(InvalidInput, match="no number"):
        read_series(paths)


def test_a_compression_without_decoder_is_named(tmp_path):
    from pydicom import dcmread
    from pydicom.encaps import encapsulate
    from pydicom.uid import HTJ2KLossless

    paths = make_series(tmp_path, shape=(2, 3, 4))
    for path in paths:
        ds = dcmread(path)
        ds.PixelData = encapsulate([b"\xff\x4f\xff\x51 no real stream "])
        ds["PixelData"].is_undefined_length = True
        ds.file_meta.TransferSyntaxUID = HTJ2KLossless
        ds.save_as(path)
    with pytest.raises(InvalidInput, match="transfer syntax High-Throughput JPEG 2000"):
        read_series(paths)


def test_run_length_compressed_slices_are_read(tmp_path):
    from pydicom import dcmread
    from pydicom.uid import RLELossless

    plain = make_series(tmp_path / "a")
    expected = read_series(plain).image.data
    for path in plain:
        ds = dcmread(path)
        ds.compress(RLELossless, generate_instance_uid=False)
        ds.save_as(path)
    assert np.array_equal(read_series(plain).image.data, expected)
