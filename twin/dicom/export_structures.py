"""Structures as an RT structure set on the original series."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from twin.dicom.export_content import (
    MANUFACTURER,
    RESEARCH,
    ExportedStructure,
    check_names,
    checked_pseudonym,
    write_dicom,
)
from twin.dicom.geometry import Plane
from twin.dicom.original_series import OriginalSeries, read_original_series
from twin.dicom.quiet import quiet_pydicom
from twin.errors import InvalidInput

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["export_structures", "outlines", "structures_dataset"]

_CLASS = "1.2.840.10008.5.1.4.1.1.481.3"
_STUDY_CLASS = "1.2.840.10008.3.1.2.3.1"  # Detached Study Management (retired): usual here
_INTERPRETED = {"tumour": "GTV", "ctv": "CTV", "ptv": "PTV", "organ": "ORGAN"}
_LEAST_AREA = 0.05  # [pixels]


def export_structures(
    structures: Sequence[ExportedStructure],
    source_series: Sequence[Path],
    path: Path,
    *,
    pseudonym: str | None = None,
    series_number: int = 9002,
) -> None:
    """Write structures as an RT structure set with contours on the slices of a series.

    The contour is where the share of a structure crosses a half or so (`OriginalSeries.shares`),
    between the pixels' centres.
    A hole is joined to the contour around it by a channel of no width (a keyhole), as the
    standard has it for closed contours. For whose study it is, see `export_segmentation`.

    Parameters
    ----------
    structures : sequence of ExportedStructure
    source_series : sequence of path
        The original CT, MR or PET, one file a slice.
    path : path
        Written as a whole or not at all.
    pseudonym : str or None
    series_number : int

    Raises
    ------
    InvalidInput, GeometryMismatch
        See `read_original_series` and `OriginalSeries.shares`.
    """
    dataset = structures_dataset(
        structures, source_series, pseudonym=pseudonym, series_number=series_number
    )
    write_dicom(dataset, path)


def structures_dataset(
    structures: Sequence[ExportedStructure],
    source_series: Sequence[Path],
    *,
    pseudonym: str | None = None,
    series_number: int = 9002,
) -> Dataset:
    """Return what `export_structures` writes."""
    check_names(structures)
    series = read_original_series(source_series, pseudonym=checked_pseudonym(pseudonym))
    with quiet_pydicom():
        dataset = _frame_of(series, series_number)
        _add_structures(dataset, series, structures)
    return dataset


def _frame_of(series: OriginalSeries, series_number: int) -> Dataset:
    """Patient, study, equipment, and the series that the contours refer to."""
    from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
    from pydicom.sequence import Sequence as Items
    from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

    from twin import __version__

    first = series.headers[0]
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(_CLASS)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = generate_uid()
    ds = FileDataset("", Dataset(), file_meta=meta, preamble=b"\0" * 128)
    ds.SpecificCharacterSet = first.SpecificCharacterSet
    ds.SOPClassUID, ds.SOPInstanceUID = _CLASS, meta.MediaStorageSOPInstanceUID
    for key in (
        "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID",
        "StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName",
        "FrameOfReferenceUID",
    ):  # fmt: skip
        setattr(ds, key, first.get(key))
    now = dt.datetime.now()
    ds.Modality, ds.SeriesInstanceUID = "RTSTRUCT", generate_uid()
    ds.SeriesNumber, ds.InstanceNumber, ds.OperatorsName = series_number, 1, ""
    ds.SeriesDescription = f"{RESEARCH}: {MANUFACTURER}"
    ds.Manufacturer = ds.ManufacturerModelName = MANUFACTURER
    ds.SoftwareVersions, ds.PositionReferenceIndicator = __version__, ""
    ds.InstanceCreationDate = ds.StructureSetDate = f"{now:%Y%m%d}"
    ds.InstanceCreationTime = ds.StructureSetTime = f"{now:%H%M%S}"
    ds.StructureSetLabel = "PREDICTION"
    ds.StructureSetDescription = f"{RESEARCH}: predicted by a model, not for treatment"
    ds.ApprovalStatus = "UNAPPROVED"
    of_series, of_study, of_frame = Dataset(), Dataset(), Dataset()
    of_series.SeriesInstanceUID = first.SeriesInstanceUID
    of_series.ContourImageSequence = Items([_reference(header) for header in series.headers])
    of_study.ReferencedSOPClassUID = _STUDY_CLASS
    of_study.ReferencedSOPInstanceUID = first.StudyInstanceUID
    of_study.RTReferencedSeriesSequence = Items([of_series])
    of_frame.FrameOfReferenceUID = first.FrameOfReferenceUID
    of_frame.RTReferencedStudySequence = Items([of_study])
    ds.ReferencedFrameOfReferenceSequence = Items([of_frame])
    return ds


def _reference(header: Dataset) -> Dataset:
    from pydicom.dataset import Dataset

    item = Dataset()
    item.ReferencedSOPClassUID = header.SOPClassUID
    item.ReferencedSOPInstanceUID = header.SOPInstanceUID
    return item


def _add_structures(
    ds: Dataset, series: OriginalSeries, structures: Sequence[ExportedStructure]
) -> None:
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence as Items

    rois, drawn, observed = [], [], []
    for number, one in enumerate(structures, 1):
        roi, contours, observation = Dataset(), Dataset(), Dataset()
        roi.ROINumber, roi.ROIName = number, one.name
        roi.ReferencedFrameOfReferenceUID = ds.FrameOfReferenceUID
        roi.ROIGenerationAlgorithm = "AUTOMATIC"
        contours.ReferencedROINumber, contours.ROIDisplayColor = number, list(one.colour)
        contours.ContourSequence = Items(list(_contours(series, one)))
        if not contours.ContourSequence:
            raise InvalidInput(
                f"{one.name} fills no voxel of the series by half, so it has no contour; choose a "
                "finer series."
            )
        observation.ObservationNumber = observation.ReferencedROINumber = number
        observation.RTROIInterpretedType, observation.ROIInterpreter = _INTERPRETED[one.kind], ""
        rois.append(roi)
        drawn.append(contours)
        observed.append(observation)
    ds.StructureSetROISequence = Items(rois)
    ds.ROIContourSequence = Items(drawn)
    ds.RTROIObservationsSequence = Items(observed)


def _contours(series: OriginalSeries, structure: ExportedStructure) -> Iterator[Dataset]:
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence as Items

    shares, level = series.shares(structure.image, what=structure.name)
    for share, plane, header in zip(shares, series.planes, series.headers, strict=True):
        for polygon in outlines(share, level):
            item = Dataset()
            item.ContourImageSequence = Items([_reference(header)])
            item.ContourGeometricType = "CLOSED_PLANAR"
            item.NumberOfContourPoints = len(polygon)
            points = np.round(_in_patient(polygon, plane), 3) + 0.0
            item.ContourData = [f"{value:.3f}" for value in points.ravel().tolist()]
            yield item


def _in_patient(polygon: NDArray[np.float64], plane: Plane) -> NDArray[np.float64]:
    """LPS points, [mm], shape (point, 3), of (column, row) numbers, shape (point, 2)."""
    return np.asarray(
        plane.position
        + polygon[:, :1] * plane.spacing[0] * plane.along_columns
        + polygon[:, 1:] * plane.spacing[1] * plane.along_rows
    )


def outlines(share: NDArray[np.floating], level: float = 0.5) -> list[NDArray[np.float64]]:
    """Polygons around what is at least `level`, in (column, row) numbers, each of shape (point, 2).

    Parameters
    ----------
    share : ndarray, [1], shape (row, column)
    level : float, [1]

    Examples
    --------
    >>> share = np.zeros((5, 5))
    >>> share[1:4, 1:4] = 1.0
    >>> [polygon] = outlines(share)
    >>> float(polygon.min()), float(polygon.max())
    (0.5, 3.5)
    """
    import contourpy

    marked = np.argwhere(share > 0.0)
    if not len(marked):
        return []
    low = np.maximum(marked.min(axis=0) - 1, 0)
    part = share[low[0] : marked[:, 0].max() + 2, low[1] : marked[:, 1].max() + 2]
    generator: Any = contourpy.contour_generator(
        z=np.pad(part.astype(np.float64), 1), fill_type=contourpy.FillType.OuterOffset
    )
    found = []
    points, offsets = generator.filled(level, np.inf)
    for line, ends in zip(points, offsets, strict=True):
        # each part is closed by its first point again
        rings = [line[a : b - 1] for a, b in pairwise(ends)]
        if _area(rings[0]) >= _LEAST_AREA:
            holes = [ring for ring in rings[1:] if _area(ring) >= _LEAST_AREA]
            found.append(_keyhole([rings[0], *holes]) + (low[::-1] - 1.0))
    return found


def _area(ring: NDArray[np.float64]) -> float:
    x, y = ring.T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2.0


def _keyhole(rings: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """One polygon from an outer ring and its holes, the nearest hole joined first."""
    from scipy.spatial import cKDTree

    outer, holes = rings[0], list(rings[1:])
    while holes:
        tree = cKDTree(outer)
        nearest = [tree.query(hole) for hole in holes]
        chosen = int(np.argmin([distance.min() for distance, _ in nearest]))
        distance, at = nearest[chosen]
        inner = int(distance.argmin())
        joint = int(at[inner])
        hole = np.roll(holes.pop(chosen), -inner, axis=0)
        channel = [outer[: joint + 1], hole, hole[:1], outer[joint:]]
        outer = np.concatenate(channel)
    return outer
