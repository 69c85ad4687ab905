"""One series of DICOM images to one image: CT in Hounsfield units, PET as SUV, MR as signal."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from twin.dicom.files import read_dataset
from twin.dicom.frames import Slice, slices_of
from twin.dicom.geometry import SAME_PLACE, check_alike, stack_of
from twin.dicom.header_values import text_of
from twin.dicom.moments import date_of
from twin.dicom.pixel_values import physical_values, smallest_type
from twin.dicom.suv import suv_factor
from twin.errors import GeometryMismatch, InvalidInput
from twin.images import MAX_VOXELS, Image, in_ras_order

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["SeriesImage", "date_of", "load_slices", "read_series"]

_THREADS = 2
_PARAMETRIC_MAP = "1.2.840.10008.5.1.4.1.1.30"
_NO_IMAGES = {
    "SEG": "a segmentation",
    "RTSTRUCT": "a structure set",
    "RTDOSE": "a dose",
    "RTPLAN": "a plan",
    "SR": "a report",
    "PR": "a presentation state",
    "KO": "a selection of images",
    "REG": "a registration",
    "RWV": "a mapping of values",
}
#: Differences that are told with their values; of others only the name is told.
_MEASURED = ("echo time", "b-value", "inversion time", "flip angle", "time position")


@dataclass(frozen=True, slots=True, eq=False)
class SeriesImage:
    """The image of a series.

    Parameters
    ----------
    image : Image
        In RAS axis order; int16 where the values are whole and fit, else float32.
    modality : str
        "CT", "MR", "PT", ...
    quantity : {"hounsfield", "suv", "signal", "parametric"}
        The last: a map in a unit of its own, such as ADC.
    date : date or None
    frame_of_reference : str
        For pairing in memory only; never to be written or shown.
    notes : tuple of str
        What was found and mended.
    """

    image: Image
    modality: str
    quantity: str
    date: dt.date | None
    frame_of_reference: str = field(repr=False)
    notes: tuple[str, ...]


def read_series(paths: Sequence[Path], *, what: str = "series") -> SeriesImage:
    """Return the image of one series, given as the files of its slices or as one file of frames.

    Slices are sorted by their place; padding is set to the lowest value; slopes and
    intercepts count slice by slice.

    Parameters
    ----------
    paths : sequence of path
        All files of the series, in any order.
    what : str
        What it is ("CT series 2"); errors begin with it.

    Raises
    ------
    InvalidInput, GeometryMismatch
        Files of several series, patients or frames of reference; gaps; slices at one place that
        differ; pixels that cannot be read; a PET series whose SUV cannot be had.
    """
    from twin.dicom.quiet import quiet_pydicom

    label = f"{what[:1].upper()}{what[1:]}"
    with quiet_pydicom():
        headers, slices, owners = load_slices(paths, label=label)
        notes: list[str] = []
        kept = _without_doubles(slices, label, notes)
        slices, owners = [slices[k] for k in kept], [owners[k] for k in kept]
        thickness = _thickness(headers[owners[0]], slices)
        stack = stack_of([one.plane for one in slices], what=label, thickness=thickness)
        modality = str(headers[0].get("Modality") or "").strip().upper()
        quantity = _quantity(headers[0], modality, slices, notes)
        if quantity == "suv":
            slices = _as_suv(slices, owners, headers, label)
        date, frame = date_of(headers[0]), str(headers[0].get("FrameOfReferenceUID") or "")
    values, lowest, mended = physical_values(slices, quantity=quantity, what=label)
    del slices
    image = in_ras_order(smallest_type(stack.put_together(values, lowest)), stack.affine)
    return SeriesImage(image, modality, quantity, date, frame, (*stack.notes, *notes, *mended))


def load_slices(
    paths: Sequence[Path], *, label: str
) -> tuple[list[Dataset], list[Slice], list[int]]:
    """Return headers of the files of one series, all their slices, and each one's file.

    Parameters
    ----------
    paths : sequence of path
    label : str
        What the series is; errors begin with it.

    Raises
    ------
    InvalidInput, GeometryMismatch
        As in `read_series`, but for what concerns places and values.
    """
    if not paths:
        raise InvalidInput(f"{label} has no file.")
    headers: list[Dataset] = []
    slices: list[Slice] = []
    owners: list[int] = []
    voxels = 0
    for header, found in _loaded(paths, label):
        voxels += sum(one.stored.size for one in found)
        if voxels > MAX_VOXELS:
            raise InvalidInput(f"{label} has more than {MAX_VOXELS:,} voxels; crop or resample it.")
        if headers:
            _check_one(headers[0], header, label)
        owners += [len(headers)] * len(found)
        headers.append(header)
        slices += found
    check_alike([one.plane for one in slices], what=label)
    return headers, slices, owners


def _loaded(paths: Sequence[Path], label: str) -> Iterator[tuple[Dataset, list[Slice]]]:
    """Headers without their pixels, and slices, a few files at a time."""

    def load(path: Path) -> tuple[Dataset, list[Slice]]:
        dataset = read_dataset(path)
        what = label if len(paths) == 1 else f"{label}, file {path.name},"
        modality = str(dataset.get("Modality") or "").strip().upper()
        if modality in _NO_IMAGES:
            raise InvalidInput(
                f"{what} is {_NO_IMAGES[modality]}, not an image; give the files of one image "
                "series."
            )
        if "MOSAIC" in text_of(dataset, "ImageType"):
            raise InvalidInput(
                f"{what} holds its slices side by side in one picture (a mosaic); convert it to "
                "NIfTI, or export it as an enhanced object."
            )
        found = slices_of(dataset, what=what)
        for key in ("PixelData", "FloatPixelData", "DoubleFloatPixelData"):
            if key in dataset:
                delattr(dataset, key)
        return dataset, found

    with ThreadPoolExecutor(_THREADS) as pool:
        yield from pool.map(load, paths)


def _check_one(first: Dataset, other: Dataset, label: str) -> None:
    """One patient, one series, one frame of reference."""
    for key, complaint in (
        ("PatientID", "two patients; give those of one alone"),
        ("PatientName", "two patients; give those of one alone"),
        ("PatientBirthDate", "two patients; give those of one alone"),
        ("Modality", "several modalities; give those of one alone"),
        ("SeriesInstanceUID", "several series; give those of one alone"),
    ):
        if text_of(first, key) != text_of(other, key):
            raise InvalidInput(f"{label} holds files of {complaint}.")
    if text_of(first, "FrameOfReferenceUID") != text_of(other, "FrameOfReferenceUID"):
        raise GeometryMismatch(
            f"{label} has slices in several frames of reference, so they do not lie together; "
            "export the series again."
        )


def _without_doubles(slices: Sequence[Slice], label: str, notes: list[str]) -> list[int]:
    """Numbers of slices without those that are there twice; different ones are refused."""
    normal = slices[0].plane.normal
    places = np.array([one.plane.position @ normal for one in slices])
    kept: list[int] = []
    doubles = 0
    for number in np.argsort(places, kind="stable").tolist():
        if kept and abs(places[number] - places[kept[-1]]) <= SAME_PLACE:
            one, other = slices[kept[-1]], slices[number]
            same = (one.slope, one.intercept) == (other.slope, other.intercept)
            if not (same and np.array_equal(one.stored, other.stored)):
                raise InvalidInput(
                    f"{label} has different images at one place ({_difference(one, other)}); "
                    "give one of them alone."
                )
            doubles += 1
            continue
        kept.append(number)
    if doubles:
        notes.append(f"{doubles} slice{'s were' if doubles > 1 else ' was'} there twice")
    return sorted(kept)


def _difference(one: Slice, other: Slice) -> str:
    """What two slices differ by, without words of the header."""
    mine, theirs = dict(one.differs), dict(other.differs)
    found = []
    for name in mine:
        if name in theirs and mine[name] != theirs[name]:
            values = mine[name], theirs[name]
            told = name in _MEASURED and all(re.fullmatch(r"[-+.\deE]{1,16}", v) for v in values)
            found.append(f"{name} {values[0]} and {values[1]}" if told else f"another {name}")
    return ", ".join(found) or "nothing in their headers tells them apart"


def _thickness(header: Dataset, slices: Sequence[Slice]) -> float | None:
    """Thickness of a single slice, where it is stated."""
    if len(slices) > 1:
        return None
    shared: Any = header.get("SharedFunctionalGroupsSequence")
    measures = shared[0].get("PixelMeasuresSequence") if shared else None
    for place in (measures[0] if measures else None, header):
        for key in ("SliceThickness", "SpacingBetweenSlices"):
            try:
                value = float(place.get(key)) if place is not None else 0.0
            except (TypeError, ValueError):
                continue
            if 0.0 < value < 1e3:
                return value
    return None


def _quantity(header: Dataset, modality: str, slices: Sequence[Slice], notes: list[str]) -> str:
    if text_of(header, "SOPClassUID") == _PARAMETRIC_MAP:
        return "parametric"
    if modality == "PT":
        return "suv"
    if modality != "CT":
        return "signal"
    units = {one.unit.upper() for one in slices}
    if units <= {"", "HU"}:
        return "hounsfield"
    if units <= {"", "HU", "US"} and text_of(header, "ImageType").upper().count("ORIGINAL"):
        notes.append("the header leaves the unit open (US); values are taken as Hounsfield units")
        return "hounsfield"
    notes.append("the header states another unit than Hounsfield's; taken as a signal")
    return "signal"


def _as_suv(
    slices: Sequence[Slice], owners: Sequence[int], headers: Sequence[Dataset], label: str
) -> list[Slice]:
    moments = [one.acquired for one in slices if one.acquired is not None]
    dated = [moment for moment in moments if moment.day is not None]
    first = min(dated or moments, key=lambda one: (one.day or 0, one.seconds), default=None)
    return [
        one.scaled(
            suv_factor(headers[owner], what=label, unit=one.unit, first=first, own=one.acquired)
        )
        for one, owner in zip(slices, owners, strict=True)
    ]
