"""twin deidentify: copies that hold nothing of who a patient is, and still fit one another."""

import datetime as dt
import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Barrier

import highdicom as hd
import identified_files as made
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRBigEndian, RLELossless
from real_data import real_data

from twin.dicom.clean_codes import clean_code, valid_snomed_number
from twin.dicom.clean_dataset import Cleaner, identifying_words
from twin.dicom.deidentify import deidentify
from twin.dicom.pseudonyms import Pseudonyms, shifted
from twin.dicom.quiet import quiet_pydicom
from twin.dicom.series import read_series
from twin.dicom.structure_words import only_known_words
from twin.dicom.visible_identity import looks_written_on, may_show_a_face
from twin.errors import InvalidInput
from viz.cli import main


@pytest.fixture(scope="module")
def hospital(tmp_path_factory):
    """A stuffed patient, and the clean copies by kind."""
    root = tmp_path_factory.mktemp("hospital")
    originals = made.hospital_folder(root / "in")
    done = deidentify(root / "in", root / "out")
    copies = {}
    for path in sorted((root / "out").rglob("*.dcm")):
        ds = pydicom.dcmread(path)
        copies.setdefault(ds.Modality, []).append(ds)
    return originals, done, copies, root / "out"


def test_no_byte_and_no_name_says_who_it_is(hospital):
    _, done, _, out = hospital
    files = [path for path in out.rglob("*") if path.is_file()]
    assert done.files == len(files) == 8 and done.patients == 1
    for path in files:
        content = path.read_bytes().lower()
        name = path.relative_to(out).as_posix().lower().encode()
        for secret in made.secrets():
            assert secret not in content and secret not in name
    text = repr(done).lower().encode()
    assert not [secret for secret in made.secrets() if secret in text]


def test_what_the_standard_lists_is_gone_and_what_was_done_is_said(hospital):
    # DICOM PS3.15 table E.1-1: X, or Z, in the column "Basic Prof."
    removed = (
        "PatientAge OtherPatientIDs PatientAddress EthnicGroup PatientComments Occupation "
        "AdditionalPatientHistory MedicalAlerts Allergies StudyDescription SeriesDescription "
        "InstitutionAddress PerformingPhysicianName RequestAttributesSequence StudyComments "
        "ImageComments DerivationDescription"
    )
    _, _, copies, _ = hospital
    for ds in [one for kind in copies.values() for one in kind]:
        assert not [keyword for keyword in removed.split(" ") if keyword in ds]
        assert (ds.PatientBirthDate, ds.PatientSex, ds.AccessionNumber) == ("", "", "")
        assert str(ds.ReferringPhysicianName) == ""
        assert str(ds.PatientName) == ds.PatientID == "P" + ds.PatientID[1:]
        assert ds.PatientIdentityRemoved == "YES"
        assert ds.LongitudinalTemporalInformationModified == "MODIFIED"
        said = {item.CodeValue for item in ds.DeidentificationMethodCodeSequence}
        assert said >= {"113100", "113105", "113107"}
        assert ("113108" in said) == (ds.Modality == "PT")
        assert not [element for element in ds.iterall() if element.tag.is_private]
        assert not [element for element in ds if element.tag.group & 0xFF00 == 0x6000]
        assert ds.preamble == b"\0" * 128
        assert "SourceApplicationEntityTitle" not in ds.file_meta


def test_references_between_files_hold(hospital):
    originals, _, copies, _ = hospital
    (structures,), (dose,), (plan,) = copies["RTSTRUCT"], copies["RTDOSE"], copies["RTPLAN"]
    slices = {ds.SOPInstanceUID: ds for ds in copies["CT"]}
    (frame,) = structures.ReferencedFrameOfReferenceSequence
    assert frame.FrameOfReferenceUID == next(iter(slices.values())).FrameOfReferenceUID
    series = frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0]
    assert {one.SeriesInstanceUID for one in slices.values()} == {series.SeriesInstanceUID}
    assert {r.ReferencedSOPInstanceUID for r in series.ContourImageSequence} == set(slices)
    contour = structures.ROIContourSequence[0].ContourSequence[0]
    image = slices[contour.ContourImageSequence[0].ReferencedSOPInstanceUID]
    assert image.ImagePositionPatient[2] == contour.ContourData[2]
    assert dose.ReferencedRTPlanSequence[0].ReferencedSOPInstanceUID == plan.SOPInstanceUID
    reference = plan.ReferencedStructureSetSequence[0].ReferencedSOPInstanceUID
    assert reference == structures.SOPInstanceUID
    for ds in [*slices.values(), structures, dose, plan]:
        assert ds.StudyInstanceUID == structures.StudyInstanceUID
        assert ds.SOPInstanceUID.startswith("2.25.") and ds.SOPInstanceUID.is_valid
        assert ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID
    assert {str(ds.SOPClassUID) for ds in originals} == {
        str(ds.SOPClassUID) for kind in copies.values() for ds in kind
    }


def test_numbers_pixels_and_contours_stay(hospital):
    originals, _, copies, _ = hospital
    for before in originals:
        if "PixelData" not in before or before.Modality not in copies:
            continue
        place = list(before.ImagePositionPatient)
        (after,) = [ds for ds in copies[before.Modality] if list(ds.ImagePositionPatient) == place]
        kind = f"<u{before.BitsAllocated // 8}"
        assert np.array_equal(
            np.frombuffer(before.PixelData, kind), np.frombuffer(after.PixelData, kind)
        )
        assert list(before.PixelSpacing) == list(after.PixelSpacing)
    assert float(copies["RTDOSE"][0].DoseGridScaling) == 0.001
    assert copies["RTPLAN"][0].FractionGroupSequence[0].NumberOfFractionsPlanned == 30
    contours = copies["RTSTRUCT"][0].ROIContourSequence[0].ContourSequence[0]
    assert list(contours.ContourData) == [-8, -8, 2, 8, -8, 2, 8, 8, 2, -8, 8, 2]


def test_uptake_can_still_be_worked_out_and_only_there_is_the_weight(hospital):
    _, _, copies, _ = hospital
    for ds in copies["PT"]:
        drug = ds.RadiopharmaceuticalInformationSequence[0]
        assert (float(ds.PatientWeight), float(ds.PatientSize)) == (71.5, 1.8)
        assert float(drug.RadionuclideTotalDose) == 3.888e8
        assert (drug.RadiopharmaceuticalStartTime, ds.SeriesTime) == ("103500.000", "112011.000")
        assert drug.RadiopharmaceuticalStartDateTime == ds.SeriesDate + "103500"
        assert (ds.Units, ds.DecayCorrection) == ("BQML", "START")
    assert "PatientWeight" not in copies["CT"][0] and "PatientSize" not in copies["CT"][0]


def test_clean_series_are_read_as_before(hospital):
    _, _, _, out = hospital
    source = out.parent / "in"
    for kind, count in (("CT", 3), ("PT", 2)):
        before = read_series(sorted(source.rglob(f"{kind}_*.dcm")))
        after = read_series(sorted(out.rglob(f"{kind}_1/*.dcm")))
        assert before.image.shape[2] == count
        np.testing.assert_array_equal(after.image.data, before.image.data)
        np.testing.assert_array_equal(after.image.affine, before.image.affine)
        assert (after.modality, after.quantity) == (before.modality, before.quantity)
        assert after.date < before.date and (before.date - after.date).days % 7 == 0


def test_names_of_structures_stay_if_they_are_of_the_trade(hospital):
    _, _, copies, _ = hospital
    names = [roi.ROIName for roi in copies["RTSTRUCT"][0].StructureSetROISequence]
    assert names == ["GTV_Mass", "structure 2", "structure 3"]
    for good in (
        "Lt Lung",
        "Tumor Bed Block",
        "PTV_6000",
        "lung_upper_lobe_left",
        "vertebrae_L5",
        "ParotidL",
        "BrainStem_PRV 3mm",
    ):
        assert only_known_words(good), good
    for bad in ("GTV Smith", "MRN 1234567", "Jane", "Müller", "PTV 12 34 56 78 90", "", " "):
        assert not only_known_words(bad), bad
    # A patient called Wall has no chest wall by name.
    cleaner = Cleaner(Pseudonyms(bytes(32)), "x", frozenset({"quux"}))
    item = Dataset()
    item.ROINumber, item.ROIName = 7, "chest wall"
    cleaner.clean(item, pet=False)
    assert item.ROIName == "chest wall"


def two_visits(folder, *, patient=made.NUMBER, days=35, **options):
    first = made.ct_slices(1, patient=patient, series="1")[0]
    second = made.ct_slices(1, patient=patient, series="2")[0]
    second.StudyInstanceUID = f"{made.ROOT}.77"
    later = dt.date(2026, 3, 30) + dt.timedelta(days=days)
    second.StudyDate = second.SeriesDate = second.ContentDate = f"{later:%Y%m%d}"
    made.write(first, folder / "a.dcm")
    made.write(second, folder / "b.dcm")


def date(ds):
    return dt.datetime.strptime(ds.StudyDate, "%Y%m%d").replace(tzinfo=dt.UTC).date()


def test_a_patients_dates_move_alike_and_by_whole_weeks(tmp_path):
    two_visits(tmp_path / "in")
    deidentify(tmp_path / "in", tmp_path / "out")
    read = [pydicom.dcmread(path) for path in sorted((tmp_path / "out").rglob("*.dcm"))]
    first, second = sorted(date(ds) for ds in read)
    assert (second - first).days == 35
    moved = (first - dt.date(2026, 3, 30)).days
    assert moved % 7 == 0 and -3650 <= moved <= -180
    assert len({ds.PatientID for ds in read}) == 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("20260101", "20251225"),
        ("2026.01.01", "20251225"),
        ("20260101235959.123456-0500", "20251225235959.123456-0500"),
        ("202601", ""),
        ("Zylinderkopf", ""),
        ("20260101Zylinderkopf", ""),
        ("20261301", ""),
        ("", ""),
    ],
)
def test_dates_are_moved_and_what_is_none_goes(value, expected):
    assert shifted(value, -7) == expected


def test_a_key_makes_later_files_fit_and_is_secret(tmp_path):
    made.write(made.ct_slices(1)[0], tmp_path / "one" / "a.dcm")
    made.write(made.ct_slices(2)[1], tmp_path / "two" / "b.dcm")
    key = tmp_path / "secret.key"
    assert deidentify(tmp_path / "one", tmp_path / "out1", key=key).key_made
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert not deidentify(tmp_path / "two", tmp_path / "out2", key=key).key_made
    deidentify(tmp_path / "one", tmp_path / "out3")
    one, two, other = (
        pydicom.dcmread(next((tmp_path / name).rglob("*.dcm"))) for name in ("out1", "out2", "out3")
    )
    for keyword in ("PatientID", "StudyInstanceUID", "FrameOfReferenceUID", "StudyDate"):
        assert one[keyword].value == two[keyword].value
    assert one.SOPInstanceUID != two.SOPInstanceUID
    for keyword in ("PatientID", "StudyInstanceUID", "SOPInstanceUID"):
        assert one[keyword].value != other[keyword].value
    (tmp_path / "short").write_bytes(b"short")
    for wrong, sentence in (
        (tmp_path / "short", "no key"),
        (tmp_path / "one" / "k", "keep it elsewhere"),
    ):
        with pytest.raises(InvalidInput, match=sentence):
            deidentify(tmp_path / "one", tmp_path / "out4", key=wrong)
    assert not (tmp_path / "out4").exists()


def test_two_patients_are_two_and_a_file_without_a_number_joins_its_study(tmp_path):
    two_visits(tmp_path / "in" / "a")
    other = made.ct_slices(1, patient="4711-B", series="5")[0]
    other.StudyInstanceUID, other.PatientName = f"{made.ROOT}.55", f"{made.OTHER}^Otto"
    made.write(other, tmp_path / "in" / "c.dcm")
    orphan = made.ct_slices(1, series="6")[0]
    orphan.PatientID = orphan.PatientName = ""
    made.write(orphan, tmp_path / "in" / "d.dcm")
    done = deidentify(tmp_path / "in", tmp_path / "out")
    assert (done.patients, done.files) == (2, 4)
    people = {
        ds.StudyInstanceUID: ds.PatientID
        for ds in map(pydicom.dcmread, (tmp_path / "out").rglob("*.dcm"))
    }
    assert len(people) == 3 and len(set(people.values())) == 2


def test_compressed_streams_are_opened_and_hold_nothing_more(tmp_path):
    ds = made.ct_slices(1)[0]
    before = np.frombuffer(ds.PixelData, "<i2").reshape(24, 24)
    ds.file_meta = pydicom.dataset.FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    ds.compress(RLELossless)
    (frame,) = pydicom.encaps.generate_frames(ds.PixelData, number_of_frames=1)
    ds.PixelData = pydicom.encaps.encapsulate([frame + made.SECRET.encode()])
    made.write(ds, tmp_path / "in" / "a.dcm", syntax=RLELossless)
    assert made.SECRET.encode() in (tmp_path / "in" / "a.dcm").read_bytes()
    deidentify(tmp_path / "in", tmp_path / "out")
    (path,) = (tmp_path / "out").rglob("*.dcm")
    assert made.SECRET.encode() not in path.read_bytes()
    assert np.array_equal(pydicom.dcmread(path).pixel_array, before)


def test_big_endian_pixels_are_turned(tmp_path):
    ds = made.ct_slices(1)[0]
    before = np.frombuffer(ds.PixelData, "<i2").reshape(24, 24)
    ds.PixelData = before.astype(">i2").tobytes()
    path = tmp_path / "in" / "a.dcm"
    path.parent.mkdir()
    ds.file_meta = pydicom.dataset.FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.save_as(path, enforce_file_format=True, little_endian=False, implicit_vr=False)
    assert np.array_equal(pydicom.dcmread(path).pixel_array, before)
    deidentify(tmp_path / "in", tmp_path / "out")
    (copy,) = (tmp_path / "out").rglob("*.dcm")
    read = pydicom.dcmread(copy)
    assert read.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian
    assert np.array_equal(read.pixel_array, before)


@pytest.mark.parametrize("signed", [False, True])
def test_overlays_in_unused_bits_and_bytes_after_the_pixels_go(tmp_path, signed):
    values = np.array([[-2048, -1, 0, 2047]] * 4) if signed else np.array([[0, 1, 2, 4095]] * 4)
    ds = made.with_pixels(
        made.base(made.CT, "CT"), values.astype(np.int16 if signed else np.uint16)
    )
    ds.BitsStored, ds.HighBit = 12, 11
    bits = values.astype(np.int64) & 0x0FFF
    writing = np.array([[0xF000, 0, 0xA000, 0x5000]] * 4)
    ds.PixelData = (bits | writing).astype("<u2").tobytes() + made.SECRET.encode()
    ds.add_new(0x60000102, "US", 12)
    ds.add_new(0x60000010, "US", 4)
    made.write(ds, tmp_path / "in" / "a.dcm")
    deidentify(tmp_path / "in", tmp_path / "out")
    (path,) = (tmp_path / "out").rglob("*.dcm")
    read = pydicom.dcmread(path)
    assert np.array_equal(read.pixel_array, values)
    assert len(read.PixelData) == 32 and 0x60000102 not in read


LETTER = np.array([[1, 0, 1], [1, 0, 1], [1, 1, 1], [1, 0, 1], [1, 0, 1]])


def written_on(frame, value):
    frame = frame.copy()
    frame[4:9, 4:60] = frame.min()
    for column in range(14):
        box = frame[4:9, 4 + 4 * column : 7 + 4 * column]
        box[LETTER.astype(bool)] = value
    return frame


def test_writing_at_the_borders_is_seen_and_tissue_is_not():
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:128, :128]
    head = np.where(np.hypot(rows - 64, columns - 64) < 50, 1000 + rng.normal(0, 30, (128, 128)), 0)
    for frame in (head, rng.integers(0, 4096, (128, 128)), np.zeros((128, 128)), head > 0):
        assert not looks_written_on(np.asarray(frame, np.int16))
    assert looks_written_on(written_on(head.astype(np.int16), 4095))
    saturated = np.minimum(head, 1000).astype(np.int16)
    assert not looks_written_on(saturated)


def test_images_that_have_writing_are_left_out_unless_asked_for(tmp_path):
    rng = np.random.default_rng(1)
    plain = rng.integers(0, 1000, (64, 64)).astype(np.uint16)
    shot = made.with_pixels(made.base(made.SC, "OT"), plain)
    stated = made.with_pixels(made.base(made.CT, "CT", 2), plain)
    stated.BurnedInAnnotation = "YES"
    suspect = made.with_pixels(made.base(made.CT, "CT", 3), written_on(plain, 4095))
    suspect.BodyPartExamined = stated.BodyPartExamined = shot.BodyPartExamined = "CHEST"
    for number, ds in enumerate((shot, stated, suspect)):
        made.write(ds, tmp_path / "in" / f"{number}.dcm")
    done = deidentify(tmp_path / "in", tmp_path / "out")
    assert done.files == 1
    assert dict(done.left_out) == {f"{n}.dcm": "writing in its pixels" for n in range(2)}
    assert "2 images say" in done.warnings[0] and "1 images look" in done.warnings[1]
    kept = deidentify(tmp_path / "in", tmp_path / "out2", keep_burnt_in=True)
    assert kept.files == 3 and "2 images with writing" in kept.warnings[0]
    (tmp_path / "in" / "2.dcm").unlink()
    with pytest.raises(InvalidInput, match="none was copied"):
        deidentify(tmp_path / "in", tmp_path / "out3")
    assert not (tmp_path / "out3").exists()


@pytest.mark.parametrize(
    ("changes", "face"),
    [
        ({"BodyPartExamined": "BRAIN"}, True),
        ({"StudyDescription": "Head and Neck"}, True),
        ({"SeriesDescription": "MRT Schädel"}, True),
        ({"BodyPartExamined": "CHEST"}, False),
        ({}, True),
        ({"PixelSpacing": [20.0, 20.0]}, False),
        ({"Modality": "RTDOSE", "BodyPartExamined": "BRAIN"}, False),
    ],
)
def test_faces_are_expected_where_a_head_may_be(changes, face):
    ds = made.ct_slices(1)[0]
    for keyword, value in changes.items():
        setattr(ds, keyword, value)
    assert may_show_a_face(ds) == face


def test_a_file_that_fails_leaves_nothing(tmp_path):
    for number, ds in enumerate(made.ct_slices(3)):
        if number == 2:
            ds.PixelData = ds.PixelData[:100]
        made.write(ds, tmp_path / "in" / "sub" / f"{number}.dcm")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InvalidInput, match=r"sub/2\.dcm: its pixels are cut short \(100 of 1152"):
        deidentify(tmp_path / "in", tmp_path / "out", key=tmp_path / "key")
    assert sorted(tmp_path.iterdir()) == before


def test_other_files_are_named_and_not_copied(tmp_path):
    made.write(made.ct_slices(1)[0], tmp_path / "in" / "a.dcm")
    (tmp_path / "in" / "letter.txt").write_text(f"Dear {made.SECRET}")
    report = made.base(made.SR, "SR")
    made.write(report, tmp_path / "in" / "report.dcm")
    done = deidentify(tmp_path / "in", tmp_path / "out")
    assert dict(done.left_out) == {
        "letter.txt": "not DICOM",
        "report.dcm": "no image, segmentation or radiotherapy object",
    }
    assert len(list((tmp_path / "out").rglob("*.*"))) == 1
    (tmp_path / "in" / "a.dcm").unlink()
    with pytest.raises(InvalidInput, match=r"holds no DICOM image.*2 files were looked at"):
        deidentify(tmp_path / "in", tmp_path / "out2")


def test_folders_that_cannot_be_used(tmp_path):
    made.write(made.ct_slices(1)[0], tmp_path / "in" / "a.dcm")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    for source, target, sentence in (
        ("absent", "out", "does not exist"),
        ("in", "full", "not empty"),
        ("in", "in/out", "lie in one another"),
        ("in", "no/out", "make it first"),
    ):
        with pytest.raises(InvalidInput, match=sentence):
            deidentify(tmp_path / source, tmp_path / target)
    (tmp_path / "empty").mkdir()
    assert deidentify(tmp_path / "in", tmp_path / "empty").files == 1


def coded(value, scheme, meaning):
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    clean_code(item)
    return item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning


def test_public_codes_stay_with_their_vocabularys_words():
    secret = made.SECRET
    assert coded("85756007", "SCT", secret) == ("85756007", "SCT", codes.SCT.Tissue.meaning)
    assert coded("T-D0050", "SRT", secret)[:2] == ("T-D0050", "SRT")
    assert secret not in coded("T-D0050", "SRT", secret)[2]
    assert coded("113100", "DCM", secret)[2] == "Basic Application Confidentiality Profile"
    assert coded("g/ml{SUVbw}", "UCUM", secret)[0] == "g/ml{SUVbw}"
    removed = ("0", "99CLEAN", "removed")
    assert coded("12345678", "99HOSPITAL", secret) == removed
    assert coded("12345678", "SCT", secret) == removed  # its check digit is wrong
    assert coded(secret, "UCUM", secret) == removed
    # Identifiers as SNOMED International publishes them.
    for number in ("85756007", "22298006", "24700007", "108369006", "900000000000207008"):
        assert valid_snomed_number(number)
        wrong = number[:-1] + str((int(number[-1]) + 1) % 10)
        assert not valid_snomed_number(wrong)
        swapped = number[:-3] + number[-2] + number[-3] + number[-1]
        assert swapped == number or not valid_snomed_number(swapped)


def segmentation(slices):
    mask = np.zeros((3, 24, 24), bool)
    mask[1, 5:9, 6:12] = True
    description = hd.seg.SegmentDescription(
        segment_number=1,
        segment_label=f"Tumour {made.SECRET}",
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Neoplasm,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
        tracking_uid=f"{made.ROOT}.123",
        tracking_id=made.SECRET,
    )
    return mask, hd.seg.Segmentation(
        source_images=slices,
        pixel_array=mask,
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[description],
        series_instance_uid=f"{made.ROOT}.88",
        series_number=9,
        sop_instance_uid=f"{made.ROOT}.89",
        instance_number=1,
        manufacturer=made.SECRET,
        manufacturer_model_name=made.SECRET,
        software_versions="1",
        device_serial_number=made.SECRET,
        omit_empty_frames=True,
    )


def test_segmentations_are_cleaned_and_still_read(tmp_path):
    slices = made.ct_slices(3)
    for ds in slices:
        ds.file_meta = pydicom.dataset.FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        ds.PatientBirthDate = made.BIRTH
    mask, seg = segmentation(slices)
    (tmp_path / "in").mkdir()
    seg.save_as(tmp_path / "in" / "seg.dcm")
    for number, ds in enumerate(slices):
        made.write(ds, tmp_path / "in" / f"{number}.dcm")
    deidentify(tmp_path / "in", tmp_path / "out")
    for path in (tmp_path / "out").rglob("*.dcm"):
        content = path.read_bytes().lower()
        assert not [secret for secret in made.secrets() if secret in content]
    (path,) = (tmp_path / "out").rglob("SEG_1/*.dcm")
    read = hd.seg.segread(path)
    images = {
        float(ds.ImagePositionPatient[2]): ds.SOPInstanceUID
        for ds in map(pydicom.dcmread, (tmp_path / "out").rglob("CT_1/*.dcm"))
    }
    found = read.get_pixels_by_source_instance(
        [images[z] for z in sorted(images)], assert_missing_frames_are_empty=True
    )
    assert np.array_equal(found[..., 0].astype(bool), mask)
    described = read.get_segment_description(1)
    assert described.segmented_property_type == codes.SCT.Neoplasm
    assert described.segment_label == "structure 1"


def test_command_line_says_what_was_done_and_names_nobody(tmp_path, capsys):
    made.hospital_folder(tmp_path / "in", most=4)
    (tmp_path / "in" / "notes.txt").write_text(made.SECRET)
    words = ["deidentify", str(tmp_path / "in"), "-o", str(tmp_path / "out")]
    assert main([*words, "--key", str(tmp_path / "key"), "--json"]) == 0
    shown = capsys.readouterr()
    told = json.loads(shown.out)
    assert (told["files"], told["patients"]) == (4, 1)
    assert told["left_out"] == [{"file": "notes.txt", "reason": "not DICOM"}]
    assert "Not copied: notes.txt" in shown.err and "keep it secret" in shown.err
    assert "a face can be drawn" in shown.err
    for secret in made.secrets():
        assert secret not in shown.out.lower().encode() + shown.err.lower().encode()
    assert main(words) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_names_in_any_alphabet_and_broken_values_are_not_quoted(tmp_path, capsys):
    name, date = "Grünwälder", "the day of Grünwälder"
    with quiet_pydicom():
        for number, alphabet in enumerate(("ISO_IR 100", "ISO_IR 192", f"{name} 1")):
            ds = made.ct_slices(1, series=str(number + 1))[0]
            ds.SpecificCharacterSet = alphabet
            ds.PatientName = ds.PatientComments = name
            ds.StudyDate, ds.SliceLocation = date, "12.3456789"
            path = made.write(ds, tmp_path / "in" / f"{number}.dcm")
            path.write_bytes(path.read_bytes().replace(b"12.3456789", b"Gruenwldr."))
    capsys.readouterr()
    assert main(["deidentify", str(tmp_path / "in"), "-o", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr()
    assert "rünw" not in (shown.out + shown.err) and "w\u00e4lder" not in (shown.out + shown.err)
    files = list((tmp_path / "out").rglob("*.dcm"))
    assert len(files) == 3
    for path in files:
        assert b"nw" not in path.read_bytes() and b"lder" not in path.read_bytes()
        assert not pydicom.dcmread(path).StudyDate


@pytest.fixture(scope="module")
def seed_bytes():
    """Bytes of a small structure set and PET slice, by name."""
    kinds = {"rs": made.structure_set(made.ct_slices()), "pt": made.pet_slices(1)[0]}
    with TemporaryDirectory() as folder:
        return {
            name: made.write(ds, Path(folder) / name).read_bytes() for name, ds in kinds.items()
        }


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    kind=st.sampled_from(["rs", "pt"]),
    flips=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=6),
    cut=st.one_of(st.just(1.0), st.floats(0.1, 1.0)),
)
def test_damaged_files_are_clean_or_refused(seed_bytes, kind, flips, cut):
    content = bytearray(seed_bytes[kind])
    for place, value in flips:
        content[132 + int(place * (len(content) - 132))] = value
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in").mkdir()
        (folder / "in" / "a.dcm").write_bytes(content[: int(cut * len(content))])
        try:
            deidentify(folder / "in", folder / "out")
        except InvalidInput as error:
            written = [str(error).lower().encode()]
            assert not (folder / "out").exists()
        else:
            written = [path.read_bytes().lower() for path in (folder / "out").rglob("*.dcm")]
        for text in written:
            assert not [secret for secret in made.secrets() if secret in text]


def test_text_that_a_damaged_file_calls_numbers_goes(tmp_path):
    ds = made.ct_slices(1)[0]
    text = np.frombuffer(made.SECRET.encode() + b"  ", "<u2").tolist()
    with quiet_pydicom():
        ds.add_new(0x00284000, "US", text)  # ImagePresentationComments is text
        ds.add_new(0x00180015, "OW", made.SECRET.encode())  # BodyPartExamined is a code
        ds.add_new(0x00280106, "US", text)  # SmallestImagePixelValue is one number
        ds.add_new(0x00280006, "US", text)  # PlanarConfiguration, too
    made.write(ds, tmp_path / "in" / "a.dcm")
    assert (tmp_path / "in" / "a.dcm").read_bytes().count(made.SECRET.encode()) >= 4
    deidentify(tmp_path / "in", tmp_path / "out")
    (path,) = (tmp_path / "out").rglob("*.dcm")
    assert made.SECRET.encode() not in path.read_bytes()


def test_pydicom_is_quiet_in_threads_and_speaks_again_afterwards(caplog):
    secret, gate = "Invalid^Date", Barrier(2)
    before = pydicom.config.settings.reading_validation_mode

    def work(first):
        with quiet_pydicom():
            gate.wait(5)  # both are inside
            if first:
                gate.wait(5)  # the other one has left
            item = Dataset()
            item.StudyDate = secret
        if not first:
            gate.wait(5)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, (True, False)))
    assert secret not in caplog.text
    assert pydicom.config.settings.reading_validation_mode == before
    item = Dataset()
    with pytest.warns(UserWarning, match="Invalid value for VR DA"):
        item.StudyDate = secret


def test_a_real_plan_stays_whole(tmp_path):
    source = real_data("dicompyler-rtplan")
    done = deidentify(source, tmp_path / "out")
    assert (done.files, done.patients) == (4, 1)
    before = {ds.Modality: ds for ds in map(pydicom.dcmread, source.rglob("*.dcm"))}
    after = {ds.Modality: ds for ds in map(pydicom.dcmread, (tmp_path / "out").rglob("*.dcm"))}
    names = [
        [roi.ROIName for roi in ds["RTSTRUCT"].StructureSetROISequence] for ds in (before, after)
    ]
    assert names[0] == names[1]
    for one, other in zip(before["RTDOSE"].DVHSequence, after["RTDOSE"].DVHSequence, strict=True):
        assert list(one.DVHData) == list(other.DVHData)
    assert np.array_equal(before["RTDOSE"].pixel_array, after["RTDOSE"].pixel_array)
    assert before["RTDOSE"].DoseGridScaling == after["RTDOSE"].DoseGridScaling
    secrets = {
        word.encode() for ds in before.values() for word in identifying_words(ds) if len(word) > 3
    } | {str(ds.SOPInstanceUID).encode() for ds in before.values()}
    assert len(secrets) >= 6
    for path in (tmp_path / "out").rglob("*.dcm"):
        content = path.read_bytes().lower()
        assert not [1 for secret in secrets if secret in content]


def test_real_pixels_in_every_syntax_stay_as_they_were(tmp_path):
    folder = real_data("dicom-small", "pydicom")
    names = [path for path in sorted(folder.rglob("*.dcm")) if "MR_small" in path.name]
    names.append(next(folder.rglob("J2K_pixelrep_mismatch.dcm")))
    assert len(names) >= 4
    for number, path in enumerate(names):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / "a.dcm").write_bytes(path.read_bytes())
        deidentify(tmp_path / "in", tmp_path / str(number))
        (copy,) = (tmp_path / str(number)).rglob("*.dcm")
        with quiet_pydicom():
            before, after = pydicom.dcmread(path).pixel_array, pydicom.dcmread(copy).pixel_array
        assert np.array_equal(before, after), path.name


def test_damaged_nesting_is_refused():
    item = Dataset()
    for _ in range(40):
        outer = Dataset()
        outer.ReferencedSeriesSequence = Sequence([item])
        item = outer
    with pytest.raises(InvalidInput, match="nested deeper"):
        Cleaner(Pseudonyms(bytes(32)), "x").clean(item, pet=False)
