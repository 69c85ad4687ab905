"""DICOM segmentations: binary, fractional and label maps, overlapping segments kept apart."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twin.dicom.bit_frames import BitFrames, bit_frames
from twin.dicom.files import read_dataset
from twin.dicom.frames import frame_count, pixels_of
from twin.dicom.geometry import LPS_TO_RAS, Plane
from twin.dicom.header_values import number_of, whole_of
from twin.dicom.moments import date_of
from twin.dicom.structure_names import names_to_show
from twin.errors import GeometryMismatch, InvalidInput
from twin.images import MAX_SIDE, MAX_VOXELS, Image, in_ras_order

__all__ = ["Segmentation", "read_segmentation"]

_DISTANCES = ("SpacingBetweenSlices", "SliceThickness")
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


def read_segmentation(path: Path, *, identifiers: Iterable[str] = ()) -> Segmentation:
    """Return the segments of a DICOM segmentation.

    A segment's volume is put together when it is asked for, so that a hundred segments take
    no more memory than their file and one volume.

    Parameters
    ----------
    path : path
    identifiers : iterable of str
        What no name of a segment may show beside what this header holds; see `names_to_show`.

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
    names = _names(dataset, what, identifiers)
    kind = str(dataset.get("SegmentationType") or "BINARY").upper()
    if kind not in ("BINARY", "FRACTIONAL", "LABELMAP"):
        raise InvalidInput(f"{what} is of a type that is not known; export it as binary.")
    frames: BitFrames | NDArray
    if whole_of(dataset.get("BitsAllocated")) == 1:
        frames = bit_frames(dataset, frame_count(dataset, what=what), what=what)
    else:
        frames = pixels_of(dataset, what=what)
    planes, numbers = _frames(dataset, frames.shape, what)
    grid = _Grid.of(planes, dataset, what)
    places = [grid.place(plane, what) for plane in planes]
    top = _largest_value(dataset, what) if kind == "FRACTIONAL" else None
    background = (0, whole_of(dataset.get("PixelPaddingValue")))
    of_segment: dict[int, list[int]] = {number: [] for number in names}
    for frame, number in enumerate(numbers):
        present = np.unique(frames[frame]).tolist() if kind == "LABELMAP" else [number]
        for one in present:
            if one in of_segment:
                of_segment[one].append(frame)
            elif kind != "LABELMAP" or one not in background:
                raise InvalidInput(
                    f"{what} has a frame of the segment {one}, which it does not describe; export "
                    "it again."
                )
    segments = _Segments(
        frames, places, of_segment, grid, {name: n for n, name in names.items()}, kind, top
    )
    notes = []
    if kind == "FRACTIONAL":
        sort = str(dataset.get("SegmentationFractionalType") or "").lower()
        known = sort if sort in ("probability", "occupancy") else "of unstated type"
        notes.append(f"fractional ({known})")
    empty, overlap = segments.empty_and_overlap()
    if empty:
        notes.append(f"without a voxel: {', '.join(empty)}")
    if overlap:
        notes.append("segments overlap")
    return Segmentation(
        segments, segments.numbers, str(dataset.get("FrameOfReferenceUID") or ""),
        date_of(dataset), tuple(notes),
    )  # fmt: skip


def _names(dataset: Any, what: str, identifiers: Iterable[str]) -> dict[int, str]:
    """Name of each segment number."""
    labels = []
    for item in dataset.get("SegmentSequence") or ():
        number, label = whole_of(item.get("SegmentNumber")), str(item.get("SegmentLabel") or "")
        if number == 0 and label.strip().lower() in ("", "background"):
            continue  # the background of a label map
        labels.append((number, label))
    if not labels:
        raise InvalidInput(f"{what} describes no segment; export it again.")
    return names_to_show(dataset, labels, noun="segment", identifiers=identifiers)


def _frames(dataset: Any, shape: tuple[int, ...], what: str) -> tuple[list[Plane], list[int]]:
    """Plane and segment number of each frame."""
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [None])[0]
    own = dataset.get("PerFrameFunctionalGroupsSequence") or ()
    frames, rows, columns = shape
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
        numbers.append(whole_of(number))
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
            sides = np.abs(np.divide(plane.spacing, first.spacing) - 1.0).max()
            if np.abs(plane.normal - normal).max() > 1e-3 or sides > 1e-3:
                raise GeometryMismatch(
                    f"{what} has frames in several directions or with several spacings of pixels; "
                    "export one stack."
                )
        along = np.array([plane.position @ normal for plane in planes])
        places = np.unique(np.round(along, 4))
        gaps = np.diff(places)
        gaps = gaps[gaps > 1e-2]
        step = _step(gaps, dataset)
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


def _step(gaps: NDArray[np.float64], dataset: Any) -> float:
    """Distance of slices, [mm].

    Frames without a voxel may be left out, also every second one: the stated distance counts
    where all gaps are multiples of it.
    """
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [None])[0]
    items = None if shared is None else shared.get("PixelMeasuresSequence")
    stated = [_length(items[0].get(key)) if items else None for key in _DISTANCES]
    if not len(gaps):
        return stated[0] or stated[1] or 1.0
    if stated[0]:
        parts = gaps / stated[0]
        if parts.min() > 1.0 - _OFF_GRID and np.abs(parts - np.round(parts)).max() <= _OFF_GRID:
            return stated[0]
    return float(gaps.min())


def _length(value: Any) -> float | None:
    found = number_of(value)
    return found if found is not None and 1e-3 < found < 1e3 else None


def _largest_value(dataset: Any, what: str) -> float:
    """The stored value that is 1."""
    value = dataset.get("MaximumFractionalValue")
    if not isinstance(value, int) or not 0 < value <= 255:
        raise InvalidInput(f"{what} is fractional, but does not say which value is 1.")
    return float(value)


class _Segments(Mapping[str, Image]):
    """Volumes of segments, each put together from its frames when it is asked for."""

    def __init__(
        self,
        frames: BitFrames | NDArray,
        places: list[int],
        of_segment: Mapping[int, list[int]],
        grid: _Grid,
        numbers: Mapping[str, int],
        kind: str,
        top: float | None,
    ) -> None:
        self.numbers = numbers
        self._frames, self._places, self._of_segment = frames, places, of_segment
        self._grid, self._kind, self._top = grid, kind, top

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[str]:
        return iter(self.numbers)

    def __getitem__(self, name: str) -> Image:
        number = self.numbers[name]
        columns, rows, slices = self._grid.shape
        kind = np.float32 if self._top else np.bool_
        volume: NDArray = np.zeros((slices, rows, columns), kind)
        for frame in self._of_segment[number]:
            here = volume[self._places[frame]]
            np.maximum(here, self._values(frame, number), out=here)
        return in_ras_order(volume.transpose(2, 1, 0), self._grid.affine)

    def _values(self, frame: int, number: int) -> NDArray:
        stored = self._frames[frame]
        if self._top:
            return np.clip(stored.astype(np.float32) / np.float32(self._top), 0.0, 1.0)
        return np.asarray(stored == number if self._kind == "LABELMAP" else stored > 0)

    def empty_and_overlap(self) -> tuple[list[str], bool]:
        """Names of segments without a voxel, and whether two claim one voxel."""
        filled: set[int] = set()
        overlap = False
        at: dict[int, list[tuple[int, int]]] = {}
        for number, frames in self._of_segment.items():
            for frame in frames:
                at.setdefault(self._places[frame], []).append((frame, number))
        for claims in at.values():
            owner = np.zeros(self._grid.shape[1::-1], np.int32)
            for frame, number in claims:
                values = self._values(frame, number)
                if not values.any():
                    continue
                filled.add(number)
                inside = values > 0.5
                overlap = overlap or bool(((owner != 0) & (owner != number + 1) & inside).any())
                owner[inside] = number + 1
        return [name for name, number in self.numbers.items() if number not in filled], overlap
