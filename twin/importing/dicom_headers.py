"""From the headers of DICOM files to what they are, without their pixels."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from twin.dicom.header_values import whole_of
from twin.dicom.structure_names import names_to_show
from twin.errors import InvalidInput
from twin.importing.found import Found, Kind
from twin.importing.mr_contrast import contrast_from_header

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["Header", "found_in_headers", "header_of"]

_STORAGE = "1.2.840.10008.5.1.4.1.1."
_IMAGES = {
    "2": "CT", "2.1": "CT", "2.2": "CT",
    "4": "MR", "4.1": "MR", "4.3": "MR", "4.4": "MR",
    "128": "PT", "128.1": "PT", "130": "PT",
}  # fmt: skip
_OBJECTS: dict[str, tuple[Kind, str]] = {
    "66.4": ("segmentation", "SEG"),
    "66.7": ("segmentation", "SEG"),
    "481.2": ("dose", "RTDOSE"),
    "481.3": ("structure set", "RTSTRUCT"),
    "481.5": ("plan", "RTPLAN"),
    "481.8": ("plan", "RTPLAN"),
}
#: What is known of kinds that an import makes nothing of.
_UNUSED = {
    "7": "secondary capture", "6.1": "ultrasound", "30": "parametric map",
    "66": "raw data", "66.1": "registration", "66.3": "deformable registration",
    "67": "real world value map", "88": "structured report", "104": "document",
    "11": "presentation state", "481.4": "treatment record", "481.1": "portal image",
}  # fmt: skip
_FROM_HEADER = (
    "SeriesDescription", "ProtocolName", "SequenceName", "ImageType", "ContrastBolusAgent",
    "AcquisitionContrast", "DiffusionBValue", "EchoTime", "RepetitionTime", "InversionTime",
    "ScanningSequence",
)  # fmt: skip
_IDENTIFYING = (
    "PatientName", "PatientID", "OtherPatientNames", "PatientBirthName", "AccessionNumber",
    "PatientBirthDate", "IssuerOfPatientID", "InstitutionName", "ReferringPhysicianName",
    "PerformingPhysicianName", "OperatorsName",
)  # fmt: skip
_GAP = 1.5  # of the usual distance of slices


@dataclass(frozen=True, slots=True)
class Header:
    """What one DICOM file says that an import needs; identifiers stay in memory."""

    path: Path
    kind: Kind
    modality: str
    date: dt.date | None
    size: tuple[int, int, int] | None
    spacing_mm: tuple[float, float, float | None] | None
    position_mm: float | None
    structures: Mapping[int, str]
    contrast: str
    guessed_from: str
    note: str
    body_surface_m2: float | None
    series: str = field(repr=False)
    uid: str = field(repr=False)
    frame_uid: str = field(repr=False)
    refers_to: frozenset[str] = field(repr=False)
    patient: tuple[str, str, str] = field(repr=False)
    identifiers: tuple[str, ...] = field(repr=False)


def header_of(path: Path, dataset: Dataset, *, label: str) -> Header:
    """Return what a file's header says.

    Parameters
    ----------
    path : path
    dataset : pydicom.Dataset
        Read without its pixels.
    label : str
        How messages name the file.

    Raises
    ------
    InvalidInput
        The header is damaged.
    """
    try:
        return _header(path, dataset)
    except MemoryError:
        raise
    except Exception:  # pydicom decodes when asked and raises many kinds on garbage
        raise InvalidInput(
            f"{label} is a DICOM file with a damaged header; export or copy it again."
        ) from None


def _header(path: Path, dataset: Dataset) -> Header:
    kind, modality, note = _kind(dataset)
    identifiers = tuple(text for key in _IDENTIFYING if (text := _text(dataset, key)))
    contrast, guessed = _contrast(dataset, modality)
    return Header(
        path=path,
        kind=kind,
        modality=modality,
        date=_date(dataset),
        size=_size(dataset) if kind in ("image", "localiser", "segmentation", "dose") else None,
        spacing_mm=_spacing(dataset),
        position_mm=_position(dataset) if kind in ("image", "localiser") else None,
        structures=_structures(dataset, kind),
        contrast=contrast,
        guessed_from=guessed,
        note=note,
        body_surface_m2=_body_surface(dataset),
        series=_text(dataset, "SeriesInstanceUID"),
        uid=_text(dataset, "SOPInstanceUID"),
        frame_uid=_frame(dataset),
        refers_to=frozenset(_references(dataset)),
        patient=(
            _text(dataset, "PatientID"),
            " ".join(re.split(r"[\^=\s]+", _text(dataset, "PatientName").casefold())).strip(),
            _text(dataset, "PatientBirthDate"),
        ),
        identifiers=identifiers,
    )


def _text(dataset: Any, key: str) -> str:
    value = dataset.get(key)
    if value is None:
        return ""
    if not isinstance(value, str) and isinstance(value, Iterable) and key != "PatientName":
        value = " ".join(str(part) for part in value)
    return str(value).strip().strip("\0")


def _kind(dataset: Any) -> tuple[Kind, str, str]:
    """Kind, modality, and a note where no use is made of it."""
    storage = _text(dataset, "SOPClassUID")
    number = storage.removeprefix(_STORAGE)
    if storage.startswith(_STORAGE):
        if number in _OBJECTS:
            return *_OBJECTS[number], ""
        if number in _IMAGES:
            kinds = [str(part).upper() for part in dataset.get("ImageType") or ()]
            if "LOCALIZER" in kinds or "SCOUT" in kinds:
                return "localiser", _IMAGES[number], "localiser: not used"
            return "image", _IMAGES[number], ""
        for known in (number, number.split(".")[0]):
            if known in _UNUSED:
                return "not used", _modality(dataset), f"{_UNUSED[known]}: not used"
        return "not used", _modality(dataset), "another kind of DICOM object: not used"
    return "not used", _modality(dataset), "DICOM without a known kind (SOP class): not used"


def _modality(dataset: Any) -> str:
    text = _text(dataset, "Modality").upper()
    return text if re.fullmatch(r"[A-Z]{2,12}", text) else ""


def _contrast(dataset: Any, modality: str) -> tuple[str, str]:
    if modality == "CT":
        return "ct", ""
    if modality == "PT":
        return "pet", ""
    if modality != "MR":
        return "image", ""
    values: dict[str, Any] = {key: dataset.get(key) for key in _FROM_HEADER if key in dataset}
    for sequence in ("MREchoSequence", "MRTimingAndRelatedParametersSequence"):
        for item in _functional(dataset, sequence):
            for key, name in (
                ("EffectiveEchoTime", "EchoTime"),
                ("RepetitionTime", "RepetitionTime"),
            ):
                if key in item:
                    values.setdefault(name, item.get(key))
    name, source = contrast_from_header(values)
    return (name, source) if name else ("mr", "")


def _date(dataset: Any) -> dt.date | None:
    keys = (
        "AcquisitionDate",
        "SeriesDate",
        "ContentDate",
        "StudyDate",
        "StructureSetDate",
        "RTPlanDate",
    )
    for key in keys:
        digits = re.sub(r"\D", "", _text(dataset, key))[:8]
        try:
            found = dt.datetime.strptime(digits, "%Y%m%d").date()
        except ValueError:
            continue
        if found.year >= 1900:
            return found
    return None


def _size(dataset: Any) -> tuple[int, int, int] | None:
    rows, columns = dataset.get("Rows"), dataset.get("Columns")
    if not rows or not columns:
        return None
    return int(columns), int(rows), int(dataset.get("NumberOfFrames") or 1)


def _functional(dataset: Any, sequence: str) -> list[Any]:
    """Items of a functional group: the shared ones, else those of the first frame."""
    for key in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for group in list(dataset.get(key) or ())[:1]:
            if group.get(sequence):
                return list(group[sequence].value)
    return []


def _spacing(dataset: Any) -> tuple[float, float, float | None] | None:
    offsets = dataset.get("GridFrameOffsetVector")  # of a dose
    measures = [dataset, *_functional(dataset, "PixelMeasuresSequence")]
    for item in measures:
        pair = item.get("PixelSpacing")
        if pair is not None and len(pair) == 2:
            between = item.get("SpacingBetweenSlices") if item is not dataset else None
            if offsets is not None and len(offsets) > 1:
                between = float(np.median(np.abs(np.diff(np.array(offsets, float)))))
            elif between is None and item is not dataset:
                between = _between_frames(dataset)
            return float(pair[1]), float(pair[0]), None if between is None else abs(float(between))
    return None


def _between_frames(dataset: Any) -> float | None:
    """Usual distance of the frames of one object along their normal, [mm]."""
    orientations = _functional(dataset, "PlaneOrientationSequence")
    axes = orientations[0].get("ImageOrientationPatient") if orientations else None
    places = []
    for group in dataset.get("PerFrameFunctionalGroupsSequence") or ():
        for item in group.get("PlanePositionSequence") or ():
            places.append(item.get("ImagePositionPatient"))
    if axes is None or len(axes) != 6 or None in places or len(places) < 2:
        return None
    across = np.array(axes, float)
    along = np.unique(np.round(np.array(places, float) @ np.cross(across[:3], across[3:]), 3))
    return float(np.median(np.diff(along))) if len(along) > 1 else None


def _position(dataset: Any) -> float | None:
    """Place of the slice along its normal, [mm]."""
    place, axes = dataset.get("ImagePositionPatient"), dataset.get("ImageOrientationPatient")
    if place is None or axes is None or len(place) != 3 or len(axes) != 6:
        return None
    across = np.array(axes, float)
    along = float(np.array(place, float) @ np.cross(across[:3], across[3:]))
    return along if math.isfinite(along) else None


def _structures(dataset: Any, kind: Kind) -> dict[int, str]:
    """Names by number, as the reader of the object gives them too."""
    if kind == "structure set":
        keys = ("StructureSetROISequence", "ROINumber", "ROIName")
    elif kind == "segmentation":
        keys = ("SegmentSequence", "SegmentNumber", "SegmentLabel")
    else:
        return {}
    labels = [
        (whole_of(item.get(keys[1])), _text(item, keys[2])) for item in dataset.get(keys[0]) or ()
    ]
    if kind == "segmentation":
        labels = [(n, label) for n, label in labels if n or label.lower() not in ("", "background")]
    noun = "segment" if kind == "segmentation" else "structure"
    return names_to_show(dataset, labels, noun=noun)


def _frame(dataset: Any) -> str:
    own = _text(dataset, "FrameOfReferenceUID")
    if own and _text(dataset, "Modality") != "RTSTRUCT":
        return own
    for item in dataset.get("ReferencedFrameOfReferenceSequence") or ():
        if found := _text(item, "FrameOfReferenceUID"):
            return found
    for item in dataset.get("StructureSetROISequence") or ():
        if found := _text(item, "ReferencedFrameOfReferenceUID"):
            return found
    return own


def _references(dataset: Any) -> Iterable[str]:
    """UIDs of series and objects that it refers to."""
    for item in dataset.get("ReferencedSeriesSequence") or ():
        yield _text(item, "SeriesInstanceUID")
    for frame in dataset.get("ReferencedFrameOfReferenceSequence") or ():
        for study in frame.get("RTReferencedStudySequence") or ():
            for series in study.get("RTReferencedSeriesSequence") or ():
                yield _text(series, "SeriesInstanceUID")
    for key in ("ReferencedRTPlanSequence", "ReferencedStructureSetSequence"):
        for item in dataset.get(key) or ():
            yield _text(item, "ReferencedSOPInstanceUID")


def _body_surface(dataset: Any) -> float | None:
    """Body surface by Mosteller's formula, [m2] (N Engl J Med 1987; 317: 1098 [unverified])."""
    try:
        height, weight = float(dataset.get("PatientSize")), float(dataset.get("PatientWeight"))
    except (TypeError, ValueError):
        return None
    if not (1.0 <= height <= 2.3 and 20.0 <= weight <= 250.0):
        return None
    return round(math.sqrt(100.0 * height * weight / 3600.0), 2)


def found_in_headers(headers: Sequence[Header]) -> list[Found]:
    """Files of one image series put together; each other object by itself."""
    series: dict[tuple[str, str], list[Header]] = defaultdict(list)
    single = []
    for header in headers:
        if header.kind == "image" and header.size is not None and header.size[2] == 1:
            series[header.series or header.uid or str(header.path), header.modality].append(header)
        else:
            single.append(header)
    found = [_series(members) for members in series.values()]
    return found + [_object(header) for header in single]


def _object(header: Header) -> Found:
    spacing = None
    if header.spacing_mm is not None:
        spacing = tuple(side for side in header.spacing_mm if side is not None)
    return Found(
        kind=header.kind,
        source="DICOM",
        modality=header.modality,
        contrast=header.contrast,
        guessed_from=header.guessed_from,
        date=header.date,
        shape=header.size,
        spacing_mm=spacing,
        structures=tuple(header.structures.values()),
        body_surface_m2=header.body_surface_m2,
        notes=(header.note,) if header.note else (),
        files=(header.path,),
        uid=header.series if header.kind == "image" else header.uid,
        frame_uid=header.frame_uid,
        refers_to=header.refers_to,
    )


def _series(members: list[Header]) -> Found:
    first = members[0]
    columns, rows, _ = first.size or (0, 0, 1)
    notes, problem = [], ""
    spacing = first.spacing_mm
    sides = list(spacing[:2]) if spacing is not None else []
    places = sorted(place for header in members if (place := header.position_mm) is not None)
    steps = np.diff(places)
    if len(steps):
        usual = float(np.median(steps))
        sides.append(usual)
        wide = int((steps > _GAP * usual).sum())
        if usual > 0 and wide:
            notes.append(
                f"{'a gap' if wide == 1 else f'{wide} gaps'} between its slices, "
                f"{float(steps.max()):.1f} mm at most where {usual:.1f} mm is usual"
            )
    if len(members) == 1:
        notes.append("one slice: no volume")
    if len({header.size for header in members}) > 1:
        problem = "its slices differ in size"
    dates = [header.date for header in members if header.date is not None]
    return Found(
        kind="image",
        source="DICOM",
        modality=first.modality,
        contrast=first.contrast,
        guessed_from=first.guessed_from,
        date=min(dates) if dates else None,
        shape=(columns, rows, len(members)),
        spacing_mm=tuple(sides) if sides else None,
        body_surface_m2=first.body_surface_m2,
        notes=tuple(notes),
        problem=problem,
        files=tuple(header.path for header in members),
        uid=first.series,
        frame_uid=first.frame_uid,
    )
