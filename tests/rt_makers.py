"""Small synthetic RT structure sets, doses and plans of the invented patient of dicom_makers."""

import numpy as np
from dicom_makers import header, save, uid
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

STRUCTURE_SET = "1.2.840.10008.5.1.4.1.1.481.3"
DOSE = "1.2.840.10008.5.1.4.1.1.481.2"
PLAN = "1.2.840.10008.5.1.4.1.1.481.5"


def item(**values):
    ds = Dataset()
    for name, value in values.items():
        setattr(ds, name, value)
    return ds


def make_structures(path, structures, *, series="CT", frame=1, kind="CLOSED_PLANAR", **more):
    """Write a structure set: for each name its contours, [mm], in LPS, shape (point, 3)."""
    ds = header(STRUCTURE_SET, "RTSTRUCT", frame=frame, series=50, **more)
    ds.StructureSetLabel, ds.StructureSetDate, ds.StructureSetTime = "drawn", "20240305", "120000"
    referenced = item(SeriesInstanceUID=uid("series", series, 1, ds.PatientID))
    study = item(
        ReferencedSOPClassUID="1.2.840.10008.3.1.2.3.1",
        ReferencedSOPInstanceUID=ds.StudyInstanceUID,
        RTReferencedSeriesSequence=Sequence([referenced]),
    )
    ds.ReferencedFrameOfReferenceSequence = Sequence(
        [item(FrameOfReferenceUID=uid("frame", frame), RTReferencedStudySequence=Sequence([study]))]
    )
    ds.StructureSetROISequence = Sequence(
        [
            item(ROINumber=k, ROIName=name, ReferencedFrameOfReferenceUID=uid("frame", frame),
                 ROIGenerationAlgorithm="MANUAL")
            for k, name in enumerate(structures, start=1)
        ]
    )  # fmt: skip
    ds.ROIContourSequence = Sequence(
        [
            item(
                ReferencedROINumber=k,
                ContourSequence=Sequence(
                    [
                        item(
                            ContourGeometricType=kind,
                            NumberOfContourPoints=len(points),
                            ContourData=[f"{v:.6g}" for v in np.ravel(points)],
                        )
                        for points in contours
                    ]
                ),
            )
            for k, contours in enumerate(structures.values(), start=1)
        ]
    )
    return save(ds, path)


def square(side, z, centre=(0.0, 0.0)):
    """Corners of an axial square, [mm], shape (4, 3)."""
    half = side / 2.0
    return np.array(
        [(centre[0] + sx * half, centre[1] + sy * half, z)
         for sx, sy in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    )  # fmt: skip


def make_dose(path, gray, *, spacing=(2.0, 2.0, 3.0), position=(0.0, 0.0, 0.0), units="GY",
              scaling=1e-3, offsets=None, frame=1, **more):  # fmt: skip
    """Write a dose, [Gy], shape (frame, row, column)."""
    gray = np.asarray(gray, float)
    ds = header(DOSE, "RTDOSE", frame=frame, series=60, **more)
    ds.Rows, ds.Columns = gray.shape[1:]
    ds.NumberOfFrames, ds.SamplesPerPixel = gray.shape[0], 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 32
    ds.HighBit, ds.PixelRepresentation = 31, 0
    ds.PixelSpacing = [spacing[1], spacing[0]]
    ds.ImagePositionPatient, ds.ImageOrientationPatient = list(position), [1, 0, 0, 0, 1, 0]
    ds.SliceThickness = spacing[2]
    ds.GridFrameOffsetVector = (
        [spacing[2] * k for k in range(len(gray))] if offsets is None else list(offsets)
    )
    ds.FrameIncrementPointer = 0x3004000C
    ds.DoseUnits, ds.DoseType, ds.DoseSummationType = units, "PHYSICAL", "PLAN"
    ds.DoseGridScaling = scaling
    ds.PixelData = np.rint(gray / scaling).astype("<u4").tobytes()
    return save(ds, path)


def make_plan(path, *, fractions=30, dose_gy=60.0, **more):
    """Write a plan of one beam."""
    ds = header(PLAN, "RTPLAN", series=70, **more)
    ds.RTPlanLabel, ds.RTPlanGeometry = "plan", "PATIENT"
    ds.RTPlanDate, ds.RTPlanTime = "20240305", "120000"
    ds.DoseReferenceSequence = Sequence(
        [
            item(DoseReferenceNumber=1, DoseReferenceStructureType="SITE",
                 DoseReferenceType="TARGET", TargetPrescriptionDose=dose_gy),
            item(DoseReferenceNumber=2, DoseReferenceStructureType="COORDINATES",
                 DoseReferenceType="TARGET", TargetPrescriptionDose=55.0),
        ]
    )  # fmt: skip
    ds.FractionGroupSequence = Sequence(
        [
            item(FractionGroupNumber=1, NumberOfFractionsPlanned=fractions, NumberOfBeams=1,
                 NumberOfBrachyApplicationSetups=0,
                 ReferencedBeamSequence=Sequence(
                     [item(ReferencedBeamNumber=1, BeamDose=dose_gy / fractions)]))
        ]
    )  # fmt: skip
    ds.BeamSequence = Sequence(
        [item(BeamNumber=1, RadiationType="PHOTON", TreatmentDeliveryType="TREATMENT")]
    )
    return save(ds, path)
