"""DICOM segmentations: binary, fractional and label maps, overlapping segments kept apart."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twin.dicom.files import read_dataset
from twin.dicom.frames import pixels_of
from twin.dicom.geometry import LPS_TO_RAS, Plane
from twin.dicom.moments import date_of
from twin.errors import GeometryMismatch, InvalidInput
from twin.images import MAX_SIDE, MAX_VOXELS, Image, in_ras_order

__all__ = ["Segmentation", "read_segmentation"]

_OFF_GRID = 0.1  # part of the slices' distance by which a frame may lie beside the even grid


@dataclass(frozen=True, slots=True, eq=False)
class Segmentation:
    """Segments on one grid.

    Parameters
    ----------
    segments : mapping of str to Image
        bool, or float32 from 0 to 1 where the segmentation is fractional; all on one grid.
    labels : mapping of str to int
        Number of each segment.
    frame_of_reference : str
        For pairing in memory only.
    date : date or None
    notes : tuple of str
    """

    segments: Mapping[str, Image]
    labels: Mapping[str, int]
    frame_of_reference: str = field(repr=False)
    date: dt.date | None
    notes: tuple[str, ...]


def read_segmentation(path: Path) -> Segmentation:
    """Return the segments of a DICOM segmentation.

    Raises
    ------
    InvalidInput, GeometryMismatch
        Another kind of object, no frame or segment, frames off an even grid or without a
        place, pixels that cannot be read.
    """
    dataset = read_dataset(path)
    what = f"The segmentation {path.name}"
    if str(dataset.get("Modality") or "").upper() != "SEG":
        raise InvalidInput(f"{path.name} is not a DICOM segmentation (SEG).")
    names = _names(dataset, what)
    pixels = pixels_of(dataset, what=what)
    planes, numbers = _frames(dataset, pixels, what)
    kind = str(dataset.get("SegmentationType") or "BINARY").upper()
    grid = _Grid.of(planes, dataset, what)
    places = [grid.place(plane, what) for plane in planes]
    notes: list[str] = []
    if kind == "LABELMAP":
        volumes = _from_label_map(pixels, places, grid, names)
    else:
        top = _largest_value(dataset, what) if kind == "FRACTIONAL" else 1.0
        volumes = _from_frames(pixels, places, numbers, grid, names, top, kind)
        if kind == "FRACTIONAL":
            sort = str(dataset.get("SegmentationFractionalType") or "").lower()
            notes.append(f"fractional ({sort or 'of unstated type'})")
    segments, labels = {}, {}
    for number, name in names.items():
        segments[name] = in_ras_order(volumes[number], grid.affine)
        labels[name] = number
    empty = [name for name, image in segments.items() if not image.data.any()]
    if empty:
        notes.append(f"without a voxel: {', '.join(empty)}")
    if _overlap(list(volumes.values())):
        notes.append("segments overlap")
    return Segmentation(
        segments, labels, str(dataset.get("FrameOfReferenceUID") or ""), date_of(dataset),
        tuple(notes),
    )  # fmt: skip


def _names(dataset: Any, what: str) -> dict[int, str]:
    """Name of each segment number; a name that occurs twice gets its number."""
    found: dict[int, str] = {}
    for item in dataset.get("SegmentSequence") or ():
        number = int(item.get("SegmentNumber") or 0)
        label = " ".join(str(item.get("SegmentLabel") or "").split())[:64]
        if number == 0 and label.lower() in ("", "background"):
            continue  # the background of a label map
        name = label or f"segment {number}"
        found[number] = f"{name} {number}" if name in found.values() else name
    if not found:
        raise InvalidInput(f"{what} describes no segment; export it again.")
    return found


def _frames(dataset: Any, pixels: NDArray, what: str) -> tuple[list[Plane], list[int]]:
    """Plane and segment number of each frame."""
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [None])[0]
    own = dataset.get("PerFrameFunctionalGroupsSequence") or ()
    frames, rows, columns = pixels.shape
    if len(own) != frames:
        raise InvalidInput(
            f"{what} has {frames} frames, but states the place of {len(own)}; export it again."
        )

    def value(group: Any, sequence: str, key: str) -> Any:
        for place in (group, shared):
            items = None if place is None else place.get(sequence)
            if items and key in items[0]:
                return items[0].get(key)
        return None

    planes, numbers = [], []
    for group in own:
        planes.append(
            Plane.of(
                value(group, "PlanePositionSequence", "ImagePositionPatient"),
                value(group, "PlaneOrientationSequence", "ImageOrientationPatient"),
                value(group, "PixelMeasuresSequence", "PixelSpacing"),
                (columns, rows),
                what=what,
            )
        )
        number = value(group, "SegmentIdentificationSequence", "ReferencedSegmentNumber")
        numbers.append(int(number) if number is not None else 0)
    return planes, numbers


@dataclass(frozen=True, slots=True)
class _Grid:
    """The even grid that all frames lie on."""

    affine: NDArray[np.float64]
    shape: tuple[int, int, int]
    start: NDArray[np.float64]
    normal: NDArray[np.float64]
    step: float

    @classmethod
    def of(cls, planes: list[Plane], dataset: Any, what: str) -> _Grid:
        first = planes[0]
        normal = first.normal
        for plane in planes:
            if np.abs(plane.normal - normal).max() > 1e-3 or plane.spacing != first.spacing:
                raise GeometryMismatch(
                    f"{what} has frames in several directions or with several spacings of pixels; "
                    "export one stack."
                )
        along = np.array([plane.position @ normal for plane in planes])
        places = np.unique(np.round(along, 4))
        gaps = np.diff(places)
        gaps = gaps[gaps > 1e-2]
        step = float(gaps.min()) if len(gaps) else _thickness(dataset)
        low, high = float(places[0]), float(places[-1])
        if len(gaps):  # the mean, which a rounded position does not shift
            step = (high - low) / max(1, round((high - low) / step))
        count = round((high - low) / step) + 1
        columns, rows = first.size
        if max(count, columns, rows) > MAX_SIDE or count * columns * rows > MAX_VOXELS:
            raise InvalidInput(
                f"{what} spans {columns} x {rows} x {count} voxels; at most {MAX_SIDE} along an "
                f"axis and {MAX_VOXELS} in all are read."
            )
        start = planes[int(along.argmin())].position
        affine = np.eye(4)
        affine[:3, 0] = first.spacing[0] * first.along_columns
        affine[:3, 1] = first.spacing[1] * first.along_rows
        affine[:3, 2] = step * normal
        affine[:3, 3] = start
        return cls(LPS_TO_RAS @ affine, (columns, rows, count), start, normal, step)

    def place(self, plane: Plane, what: str) -> int:
        """Number of the slice that a frame is."""
        away = plane.position - self.start
        number = float(away @ self.normal) / self.step
        aside = float(np.linalg.norm(away - (away @ self.normal) * self.normal))
        if abs(number - round(number)) > _OFF_GRID or aside > 0.1 * min(plane.spacing):
            raise GeometryMismatch(
                f"{what} has a frame {abs(number - round(number)) * self.step:.3g} mm off the even "
                f"grid of {self.step:.3g} mm that the others lie on; export it again."
            )
        return round(number)


def _thickness(dataset: Any) -> float:
    """Spacing of a single slice, [mm]: as stated, 1 if it is not."""
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [None])[0]
    items = None if shared is None else shared.get("PixelMeasuresSequence")
    for key in ("SpacingBetweenSlices", "SliceThickness"):
        value = items[0].get(key) if items else None
        if value is not None and 0.0 < float(value) < 1e3:
            return float(value)
    return 1.0


def _largest_value(dataset: Any, what: str) -> float:
    """The stored value that is 1."""
    value = dataset.get("MaximumFractionalValue")
    if not isinstance(value, int) or not 0 < value <= 255:
        raise InvalidInput(f"{what} is fractional, but does not say which value is 1.")
    return float(value)


def _from_frames(
    pixels: NDArray,
    places: list[int],
    numbers: list[int],
    grid: _Grid,
    names: Mapping[int, str],
    top: float,
    kind: str,
) -> dict[int, NDArray]:
    """One volume a segment, from frames that are each of one segment."""
    binary = kind != "FRACTIONAL"
    volumes = {n: np.zeros(grid.shape, bool if binary else np.float32) for n in names}
    for frame, place, number in zip(pixels, places, numbers, strict=True):
        if number not in volumes:
            raise InvalidInput(
                f"A frame belongs to the segment {number}, which is not described; export it again."
            )
        values = frame.T > 0 if binary else np.clip(frame.T / top, 0.0, 1.0)
        volumes[number][..., place] = np.maximum(volumes[number][..., place], values)
    return volumes


def _from_label_map(
    pixels: NDArray, places: list[int], grid: _Grid, names: Mapping[int, str]
) -> dict[int, NDArray]:
    """One volume a segment, from frames of segment numbers."""
    present = {int(n) for n in np.unique(pixels) if n}
    if unknown := present - set(names):
        raise InvalidInput(
            f"A label map holds the number {min(unknown)}, which no segment describes; export it "
            "again."
        )
    whole = np.zeros(grid.shape, np.int32)
    for frame, place in zip(pixels, places, strict=True):
        values = frame.T.astype(np.int32)
        whole[..., place] = np.where(values > 0, values, whole[..., place])
    return {n: whole == n for n in names}


def _overlap(volumes: list[NDArray]) -> bool:
    seen = np.zeros(volumes[0].shape, bool)
    for volume in volumes:
        inside = volume > 0.5
        if (seen & inside).any():
            return True
        seen |= inside
    return False
