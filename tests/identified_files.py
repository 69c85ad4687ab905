"""DICOM files of an invented patient that hold secrets wherever text can be."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

import numpy as np
from pydicom.datadict import DicomDictionary
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

SECRET = "Zylinderkopf"  # noqa: S105 - the patient's name, and in every text
OTHER = "Xylophonist"  # in every text that is not coded, in no name
NUMBER = "QX7788231"
ROOT = "1.2.826.0.1.9988776655"
BIRTH, STUDY_DATE = "19471103", "20260330"
PRIVATE_MAKER = "ZYLINDERKOPF PRIVATE"

CT, PT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.128", "1.2.840.10008.5.1.4.1.1.4"
RTSTRUCT, RTDOSE = "1.2.840.10008.5.1.4.1.1.481.3", "1.2.840.10008.5.1.4.1.1.481.2"
RTPLAN, SC = "1.2.840.10008.5.1.4.1.1.481.5", "1.2.840.10008.5.1.4.1.1.7"
SR = "1.2.840.10008.5.1.4.1.1.88.11"

_TEXT = ("LO", "SH", "ST", "LT", "UC", "UT", "UR", "PN", "AE")


def secrets():
    """Return every string that no clean copy may hold, in small letters."""
    return [
        text.lower().encode()
        for text in (SECRET, OTHER, NUMBER, ROOT, BIRTH, STUDY_DATE, "quentin", "sanatorium")
    ]


def base(kind, modality, number=1, *, patient=NUMBER, series="1"):
    """Return an object's patient, study, series and frame of reference."""
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = (
        kind,
        f"{ROOT}.{modality_number(modality)}.{series}.{number}",
    )
    ds.Modality, ds.Manufacturer = modality, "SIEMENS"
    ds.PatientName, ds.PatientID = f"{SECRET}^Quentin", patient
    ds.PatientBirthDate, ds.PatientSex = BIRTH, "M"
    ds.PatientWeight, ds.PatientSize = "71.5", "1.8"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = (
        f"{ROOT}.7",
        f"{ROOT}.8.{series}{modality_number(modality)}",
    )
    ds.FrameOfReferenceUID = f"{ROOT}.9"
    ds.StudyDate = ds.SeriesDate = ds.ContentDate = STUDY_DATE
    ds.StudyTime = ds.SeriesTime = "112011.000"
    ds.StudyID, ds.AccessionNumber = "S1", f"A{SECRET}"
    ds.InstitutionName, ds.ReferringPhysicianName = "Sanatorium", f"Dr^{OTHER}"
    ds.SeriesNumber, ds.InstanceNumber = 1, number
    return ds


def modality_number(modality):
    return {"CT": 1, "PT": 2, "RTSTRUCT": 3, "RTDOSE": 4, "RTPLAN": 5, "OT": 6, "SR": 7, "MR": 8}[
        modality
    ]


def with_pixels(ds, pixels, *, spacing=(2.0, 2.0), z=0.0):
    ds.Rows, ds.Columns = pixels.shape[-2:]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    bits = 8 * pixels.dtype.itemsize
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = bits, bits, bits - 1
    ds.PixelRepresentation = int(pixels.dtype.kind == "i")
    ds.PixelSpacing, ds.SliceThickness = list(spacing), 2.0
    ds.ImageOrientationPatient, ds.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [-20.0, -20.0, z]
    ds.RescaleSlope, ds.RescaleIntercept = 1, 0
    ds.add_new("PixelData", "OW", pixels.tobytes())
    return ds


def stuff(ds, *, nested=True):
    """Put secrets into every text, coded, date and UID element that DICOM knows, and private ones.

    Elements that are there already stay. Coded strings (CS) get the patient's
    name alone.
    """
    for tag, (vr, _, _, _, keyword) in DicomDictionary.items():
        if not 0x0008 <= tag >> 16 < 0x5000 or keyword in ("", "SpecificCharacterSet"):
            continue
        if keyword in ds:
            continue
        if vr in _TEXT:
            words = f"{SECRET} {OTHER}"
            value = words[:16].strip() if vr in ("SH", "AE") else words
            value = f"http://{SECRET}.org/{OTHER}" if vr == "UR" else value
            ds.add_new(tag, vr, f"{SECRET}^{OTHER}" if vr == "PN" else value)
        elif vr == "CS":
            ds.add_new(tag, vr, SECRET.upper())
        elif vr == "DA":
            ds.add_new(tag, vr, BIRTH)
        elif vr == "DT":
            ds.add_new(tag, vr, f"{BIRTH}101112")
        elif vr == "UI":
            ds.add_new(tag, vr, f"{ROOT}.{tag & 0xFFFF}")
        elif vr in ("OB", "UN"):
            ds.add_new(tag, vr, f"{SECRET} {OTHER} ".encode())
    block = ds.private_block(0x0099, PRIVATE_MAKER, create=True)
    block.add_new(1, "LO", f"{SECRET} {OTHER}")
    block.add_new(2, "UT", OTHER * 50)
    block.add_new(3, "OB", SECRET.encode())
    ds.add_new(0x60000010, "US", 4)
    ds.add_new(0x60004000, "LT", f"{OTHER}")
    ds.add_new(0x60003000, "OW", OTHER.encode() + b" ")
    if nested:
        block.add_new(4, "SQ", Sequence([_stuffed_item()]))
        for keyword in ("RequestAttributesSequence", "SourceImageSequence"):
            setattr(ds, keyword, Sequence([_stuffed_item()]))
        code = Dataset()
        code.CodeValue, code.CodingSchemeDesignator = "12345678", "99SECRET"
        code.CodeMeaning = f"{SECRET} {OTHER}"
        ds.ProcedureCodeSequence = Sequence([code])
        ds.AnatomicRegionSequence = Sequence([code])
    return ds


@cache
def _stuffed_item():
    inner, deeper = Dataset(), Dataset()
    stuff(inner, nested=False)
    stuff(deeper, nested=False)
    inner.ReferencedSeriesSequence = Sequence([deeper])
    return inner


def write(ds, path: Path, *, syntax=ExplicitVRLittleEndian):
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.preamble = f"{OTHER:<128}".encode()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.file_meta.TransferSyntaxUID = syntax
    ds.file_meta.SourceApplicationEntityTitle = SECRET
    ds.save_as(path, enforce_file_format=True)
    with path.open("ab") as stream:
        if syntax == ExplicitVRLittleEndian:  # bytes after the data set, as some writers leave
            buffer = io.BytesIO(OTHER.encode())
            stream.write(b"\xfc\xff\xfc\xffOB\x00\x00" + len(OTHER).to_bytes(4, "little"))
            stream.write(buffer.getvalue())
    return path


def ct_slices(count=3, side=24, **options):
    rng = np.random.default_rng(0)
    return [
        with_pixels(
            base(CT, "CT", number + 1, **options),
            rng.integers(-1000, 1000, (side, side)).astype(np.int16),
            z=2.0 * number,
        )
        for number in range(count)
    ]


def structure_set(slices):
    """A structure set on the slices: one name of the trade, one with the patient's."""
    ds = base(RTSTRUCT, "RTSTRUCT")
    ds.StructureSetLabel, ds.StructureSetDate = f"{SECRET} RT", STUDY_DATE
    series = Dataset()
    series.SeriesInstanceUID = slices[0].SeriesInstanceUID
    series.ContourImageSequence = Sequence([_reference(one) for one in slices])
    study = Dataset()
    study.ReferencedSOPClassUID = "1.2.840.10008.3.1.2.3.1"
    study.ReferencedSOPInstanceUID = slices[0].StudyInstanceUID
    study.RTReferencedSeriesSequence = Sequence([series])
    frame = Dataset()
    frame.FrameOfReferenceUID = slices[0].FrameOfReferenceUID
    frame.RTReferencedStudySequence = Sequence([study])
    ds.ReferencedFrameOfReferenceSequence = Sequence([frame])
    rois, contours, observations = [], [], []
    for number, name in ((1, "GTV_Mass"), (2, f"Boost {SECRET}"), (3, f"PTV {OTHER}")):
        roi = Dataset()
        roi.ROINumber, roi.ROIName = number, name
        roi.ReferencedFrameOfReferenceUID = slices[0].FrameOfReferenceUID
        roi.ROIGenerationAlgorithm = "MANUAL"
        rois.append(roi)
        contour = Dataset()
        contour.ContourGeometricType, contour.NumberOfContourPoints = "CLOSED_PLANAR", 4
        contour.ContourData = [-8, -8, 2, 8, -8, 2, 8, 8, 2, -8, 8, 2]
        contour.ContourImageSequence = Sequence([_reference(slices[1])])
        whole = Dataset()
        whole.ReferencedROINumber, whole.ContourSequence = number, Sequence([contour])
        contours.append(whole)
        seen = Dataset()
        seen.ObservationNumber = seen.ReferencedROINumber = number
        seen.RTROIInterpretedType, seen.ROIInterpreter = "GTV", f"{SECRET}^Quentin"
        observations.append(seen)
    ds.StructureSetROISequence = Sequence(rois)
    ds.ROIContourSequence = Sequence(contours)
    ds.RTROIObservationsSequence = Sequence(observations)
    return ds


def _reference(ds):
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    return item


def plan_and_dose(structures):
    plan = base(RTPLAN, "RTPLAN")
    plan.RTPlanLabel, plan.RTPlanDate = SECRET, STUDY_DATE
    plan.ReferencedStructureSetSequence = Sequence([_reference(structures)])
    group = Dataset()
    group.FractionGroupNumber, group.NumberOfFractionsPlanned = 1, 30
    plan.FractionGroupSequence = Sequence([group])
    dose = with_pixels(
        base(RTDOSE, "RTDOSE"), np.arange(2 * 8 * 8, dtype=np.uint32).reshape(2, 8, 8)
    )
    dose.NumberOfFrames, dose.GridFrameOffsetVector = 2, [0.0, 2.0]
    dose.FrameIncrementPointer = 0x3004000C
    dose.DoseUnits, dose.DoseType, dose.DoseSummationType = "GY", "PHYSICAL", "PLAN"
    dose.DoseGridScaling = "0.001"
    dose.ReferencedRTPlanSequence = Sequence([_reference(plan)])
    return plan, dose


def pet_slices(count=2):
    slices = []
    for number in range(count):
        pixels = np.full((16, 16), 1000 + number, np.uint16)
        ds = with_pixels(base(PT, "PT", number + 1), pixels, z=2.0 * number)
        ds.Units, ds.DecayCorrection = "BQML", "START"
        ds.CorrectedImage = ["ATTN", "DECY"]
        ds.AcquisitionDate, ds.AcquisitionTime = STUDY_DATE, "112011.000"
        ds.AcquisitionDateTime = f"{STUDY_DATE}112011"
        ds.DecayCorrectionDateTime = ds.AcquisitionDateTime
        drug = Dataset()
        drug.RadiopharmaceuticalStartTime = "103500.000"
        drug.RadiopharmaceuticalStartDateTime = f"{STUDY_DATE}103500"
        drug.RadionuclideTotalDose, drug.RadionuclideHalfLife = 3.888e8, 6588.0
        ds.RadiopharmaceuticalInformationSequence = Sequence([drug])
        ds.PatientSize = "1.8"
        slices.append(ds)
    return slices


def hospital_folder(folder: Path, *, most=8):
    """Write a patient's CT, structures, plan, dose and PET, each stuffed; return them."""
    slices = ct_slices()
    structures = structure_set(slices)
    plan, dose = plan_and_dose(structures)
    every = [*slices, structures, plan, dose, *pet_slices()][:most]
    for number, ds in enumerate(every):
        syntax = ImplicitVRLittleEndian if number % 2 else ExplicitVRLittleEndian
        name = f"{SECRET}_{OTHER}/{ds.Modality}_{SECRET}_{number}.dcm"
        write(stuff(ds), folder / name, syntax=syntax)
    return every
