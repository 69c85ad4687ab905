"""Small synthetic DICOM files of an invented patient, made by pydicom for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

NAME, PATIENT_ID = "Synthetic^Person", "SECRET-ID-4711"
IMAGE_CLASSES = {
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "MR": "1.2.840.10008.5.1.4.1.1.4",
    "PT": "1.2.840.10008.5.1.4.1.1.128",
}
ENHANCED_CLASSES = {
    "CT": "1.2.840.10008.5.1.4.1.1.2.1",
    "MR": "1.2.840.10008.5.1.4.1.1.4.1",
    "PT": "1.2.840.10008.5.1.4.1.1.130",
}
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])


def uid(*numbers):
    """Return an UID that is the same whenever it is asked for the same numbers."""
    return generate_uid(entropy_srcs=["therapy twin tests", *map(str, numbers)])


def header(
    kind,
    modality,
    *,
    name=NAME,
    patient_id=PATIENT_ID,
    date="20240305",
    series=1,
    frame=1,
    number=1,
):
    """Return patient, study, series, equipment and frame of reference of one object."""
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = kind, uid("object", modality, series, number)
    ds.Modality, ds.Manufacturer = modality, "Invented"
    ds.PatientName, ds.PatientID = name, patient_id
    ds.PatientBirthDate, ds.PatientSex = "19610203", "O"
    ds.AccessionNumber, ds.InstitutionName = "ACCESSION-99", "Hospital of Nowhere"
    ds.ReferringPhysicianName, ds.StudyID = "Doctor^Invented", "S1"
    ds.StudyInstanceUID = uid("study", patient_id)
    ds.SeriesInstanceUID = uid("series", modality, series, patient_id)
    ds.FrameOfReferenceUID = uid("frame", frame)
    ds.PositionReferenceIndicator = ""
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = date
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = "112000"
    ds.SeriesNumber, ds.InstanceNumber = series, number
    return ds


def save(ds, path, *, syntax=ExplicitVRLittleEndian):
    """Write a data set with preamble and meta information, and return its path."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ds.SOPClassUID
    meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    meta.TransferSyntaxUID = syntax
    file = FileDataset(str(path), ds, file_meta=meta, preamble=b"\0" * 128)
    file.save_as(path, enforce_file_format=True)
    return path


def set_pixels(ds, stored, *, bits=16):
    """Put pixels, shape (row, column) or (frame, row, column), into a data set."""
    stored = np.asarray(stored)
    signed = stored.dtype.kind == "i"
    ds.Rows, ds.Columns = stored.shape[-2:]
    if stored.ndim == 3:
        ds.NumberOfFrames = stored.shape[0]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = bits
    ds.HighBit, ds.PixelRepresentation = bits - 1, int(signed)
    data = stored.astype(f"<{'i' if signed else 'u'}{bits // 8}").tobytes()
    ds.PixelData = data + b"\0" * (len(data) % 2)


def normal_of(orientation):
    """Return the direction across slices, in LPS axes."""
    return np.cross(orientation[:3], orientation[3:])


def grid_affine(spacing, orientation, position):
    """Return the affine from (column, row, slice) to RAS millimetres.

    ``spacing`` is (between slices, between rows, between columns), [mm]; ``position`` is the
    centre of the first voxel in LPS. As PS3.3 C.7.6.2.1.1, equation C.7.6.2.1-1.
    """
    affine = np.eye(4)
    affine[:3, 0] = spacing[2] * np.array(orientation[:3])
    affine[:3, 1] = spacing[1] * np.array(orientation[3:])
    affine[:3, 2] = spacing[0] * normal_of(orientation)
    affine[:3, 3] = position
    affine[:2] *= -1.0
    return affine


def make_series(
    folder,
    *,
    modality="CT",
    shape=(4, 6, 5),
    spacing=(2.0, 1.5, 1.0),
    orientation=AXIAL,
    position=(-20.0, -30.0, 40.0),
    values=None,
    dtype=np.int16,
    slope=1.0,
    intercept=0.0,
    shuffle=False,
    flip=False,
    gap=None,
    offsets=None,
    tilt=0.0,
    name=NAME,
    patient_id=PATIENT_ID,
    date="20240305",
    series=1,
    frame=1,
    prefix="IM",
    change=None,
):
    """Write a series of single slices and return their paths, in the order of their places.

    Parameters
    ----------
    folder : path
    modality : {"CT", "MR", "PT"}
    shape : tuple of int
        Slices, rows, columns.
    spacing : tuple of float, [mm]
        Between slices, rows and columns.
    orientation, position : tuple of float
        ImageOrientationPatient; ImagePositionPatient of the first slice, LPS [mm].
    values : ndarray or None, shape (slice, row, column)
        Stored values; None counts the voxels up.
    dtype : int16 or uint16
    slope, intercept : float or sequence of float, one for each slice
    shuffle : bool
        Names and instance numbers in another order than places.
    flip : bool
        Instance numbers and names run against the normal.
    gap : int or None
        Number of the slice that is left out.
    offsets : sequence of float or None, [mm]
        Places of slices along the normal, instead of even ones.
    tilt : float, [degrees]
        Of a gantry: each slice is moved along its rows as it goes up.
    change : callable or None
        Called with (data set, number of slice) before each is written.
    """
    count = shape[0]
    if values is None:
        values = np.arange(np.prod(shape)).reshape(shape)
    normal = normal_of(orientation)
    along_rows = np.array(orientation[3:])
    names = np.arange(count)
    if flip:
        names = names[::-1]
    if shuffle:
        names = np.random.default_rng(7).permutation(count)
    paths = []
    for k in range(count):
        if k == gap:
            continue
        ds = header(
            IMAGE_CLASSES[modality], modality, name=name, patient_id=patient_id, date=date,
            series=series, frame=frame, number=int(names[k]) + 1,
        )  # fmt: skip
        place = offsets[k] if offsets is not None else k * spacing[0]
        shift = place * np.tan(np.radians(tilt)) * along_rows
        where = np.array(position) + place * normal + shift
        ds.ImagePositionPatient = [f"{value:.6f}" for value in where]
        ds.ImageOrientationPatient = [f"{value:.10f}"[:16] for value in orientation]
        ds.PixelSpacing, ds.SliceThickness = [spacing[1], spacing[2]], spacing[0]
        ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        set_pixels(ds, np.asarray(values[k]).astype(dtype))
        if modality != "MR":
            ds.RescaleSlope = f"{np.broadcast_to(slope, count)[k]:.10g}"
            ds.RescaleIntercept = f"{np.broadcast_to(intercept, count)[k]:.10g}"
        if modality == "PT":
            add_tracer(ds)
        if change is not None:
            change(ds, k)
        paths.append(save(ds, Path(folder) / f"{prefix}{int(names[k]) + 1:04d}.dcm"))
    return paths


def add_tracer(ds, *, dose=350e6, half_life=6588.0, injected="102000", weight=70.0):
    """Make a PET slice one of activity: injected an hour before the series, by default."""
    ds.Units, ds.DecayCorrection = "BQML", "START"
    ds.CorrectedImage = ["ATTN", "DECY", "SCAT"]
    ds.PatientWeight = weight
    tracer = Dataset()
    tracer.RadionuclideTotalDose, tracer.RadionuclideHalfLife = f"{dose:.10g}", f"{half_life:.10g}"
    tracer.RadiopharmaceuticalStartTime = injected
    ds.RadiopharmaceuticalInformationSequence = Sequence([tracer])


def make_enhanced(
    path,
    *,
    modality="MR",
    shape=(4, 6, 5),
    spacing=(2.0, 1.5, 1.0),
    orientation=AXIAL,
    position=(-20.0, -30.0, 40.0),
    values=None,
    dtype=np.uint16,
    slopes=None,
    order=None,
    change=None,
):
    """Write one enhanced multi-frame object and return its path.

    Parameters
    ----------
    slopes : sequence of float or None
        Rescale slope of each slice, in the frames' own groups.
    order : sequence of int or None
        Which slice each frame holds.
    change : callable or None
        Called with the data set before it is written.

    The other parameters are those of `make_series`.
    """
    count = shape[0]
    if values is None:
        values = np.arange(np.prod(shape)).reshape(shape)
    order = list(range(count)) if order is None else list(order)
    ds = header(ENHANCED_CLASSES[modality], modality)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    measures, plane = Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [spacing[1], spacing[2]], spacing[0]
    plane.ImageOrientationPatient = [f"{value:.10f}"[:16] for value in orientation]
    shared = Dataset()
    shared.PixelMeasuresSequence = Sequence([measures])
    shared.PlaneOrientationSequence = Sequence([plane])
    ds.SharedFunctionalGroupsSequence = Sequence([shared])
    frames = []
    for k in order:
        groups, where, rescale = Dataset(), Dataset(), Dataset()
        place = np.array(position) + k * spacing[0] * normal_of(orientation)
        where.ImagePositionPatient = [f"{value:.6f}" for value in place]
        groups.PlanePositionSequence = Sequence([where])
        if slopes is not None:
            rescale.RescaleSlope, rescale.RescaleIntercept = f"{slopes[k]:.10g}", "0"
            rescale.RescaleType = "US"
            groups.PixelValueTransformationSequence = Sequence([rescale])
        frames.append(groups)
    ds.PerFrameFunctionalGroupsSequence = Sequence(frames)
    set_pixels(ds, np.asarray(values)[order].astype(dtype))
    if change is not None:
        change(ds)
    return save(ds, path)
