"""RT dose: the grid in Gray, and the planning system's own histograms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from twin.dicom.files import read_dataset
from twin.dicom.frames import pixels_of
from twin.dicom.geometry import Plane, stack_of
from twin.dicom.header_values import number_of, numbers_of, whole_of
from twin.errors import InvalidInput
from twin.images import Image, in_ras_order

__all__ = ["DoseImage", "StoredHistogram", "read_dose"]

#: Defined terms of DoseSummationType (PS3.3 C.8.8.3); others may hold anything.
_SUMMATIONS = frozenset({
    "PLAN", "MULTI_PLAN", "PLAN_OVERVIEW", "FRACTION", "BEAM", "BRACHY", "FRACTION_SESSION",
    "BEAM_SESSION", "BRACHY_SESSION", "CONTROL_POINT", "RECORD",
})  # fmt: skip
_SAME_PLACE = 1e-6  # [mm]
_ROUNDED = 0.01  # [mm] by which two statements of one place may differ


@dataclass(frozen=True, slots=True, eq=False)
class StoredHistogram:
    """A cumulative histogram that the planning system stored with the dose.

    The standard gives widths of bins and leaves open where in its bin a volume holds. They are
    taken to hold in the middle: measured on a plan with bins of 0.01 Gy, whose curve of the
    whole body agrees with its dose grid to 1.1 % in the middles of bins and is 5 to 11 % off at
    their edges. The part of a structure that gets less than half a bin is then not in the curve.

    Parameters
    ----------
    dose_gy : ndarray, [Gy], shape (bin,)
        Rising.
    volume_ml : ndarray, [mL], shape (bin,)
        Volume that gets at least that dose.
    bin_gy : float, [Gy]
        Width of the widest bin.
    """

    dose_gy: NDArray[np.float64]
    volume_ml: NDArray[np.float64]
    bin_gy: float

    @property
    def mean_gy(self) -> float:
        """Mean dose by the curve, [Gy], of what is in it.

        The mean that is stored beside it is a percentage of the prescription in some systems.
        """
        below = np.diff(self.dose_gy, prepend=0.0)
        height = np.concatenate([[self.volume_ml[0]], self.volume_ml])
        area = float(below @ (height[1:] + height[:-1]) / 2.0)
        return area / float(self.volume_ml[0])

    def dose_at(self, share: float) -> float:
        """Largest dose of the curve that a share of the structure gets at least, [Gy].

        Examples
        --------
        >>> curve = StoredHistogram(np.array([0.5, 1.5]), np.array([4.0, 2.0]), 1.0)
        >>> curve.dose_at(0.5), curve.mean_gy
        (1.5, 1.25)
        """
        reached = self.volume_ml >= share * self.volume_ml[0] * (1.0 - 1e-12)
        return float(self.dose_gy[int(np.flatnonzero(reached)[-1])])


@dataclass(frozen=True, slots=True, eq=False)
class DoseImage:
    """A dose grid.

    Parameters
    ----------
    image : Image
        [Gy], float32, of all fractions or of what `summation` says.
    kind : {"physical", "effective"}
        Effective dose has an effectiveness in it already.
    summation : str
        "PLAN", "BEAM", "FRACTION", ... as the file says; "" where it is none of the standard's.
    histograms : mapping of int to StoredHistogram
        By the ROI number of the structure set.
    frame_of_reference : str
        For pairing in memory only.
    notes : tuple of str
    """

    image: Image
    kind: Literal["physical", "effective"]
    summation: str
    histograms: Mapping[int, StoredHistogram]
    frame_of_reference: str = field(repr=False)
    notes: tuple[str, ...]


def read_dose(path: Path) -> DoseImage:
    """Return the dose of an RT dose file.

    Raises
    ------
    InvalidInput
        Another kind of object, relative dose, no scaling, frames without a place, damaged.
    """
    dataset = read_dataset(path)
    what = f"The dose {path.name}"
    if str(dataset.get("Modality") or "").upper() != "RTDOSE":
        raise InvalidInput(f"{path.name} is not an RT dose (RTDOSE).")
    units = str(dataset.get("DoseUnits") or "").upper()
    if units != "GY":
        reason = (
            "relative, a share of a dose that it does not state"
            if units == "RELATIVE"
            else "in a unit that is not known"
            if units
            else "in no stated unit"
        )
        raise InvalidInput(f"{what} is {reason}; export it in Gray (DoseUnits GY).")
    sort = str(dataset.get("DoseType") or "").upper()
    if sort not in ("PHYSICAL", "EFFECTIVE"):
        raise InvalidInput(
            f"{what} is of a type that is not stated or not known; a physical or an effective dose "
            "is needed, not an error or a difference."
        )
    scaling = number_of(dataset.get("DoseGridScaling"))
    if scaling is None or not scaling > 0.0:
        raise InvalidInput(f"{what} has no scaling to Gray (DoseGridScaling); export it again.")
    pixels = pixels_of(dataset, what=what)
    frames, rows, columns = pixels.shape
    first = Plane.of(
        dataset.get("ImagePositionPatient"),
        dataset.get("ImageOrientationPatient"),
        dataset.get("PixelSpacing"),
        (columns, rows),
        what=what,
    )
    offsets, direction = _offsets(dataset, frames, first, what)
    planes = [
        Plane(
            first.position + offset * direction,
            first.along_columns,
            first.along_rows,
            first.spacing,
            first.size,
        )
        for offset in offsets
    ]
    stack = stack_of(planes, what=what, thickness=number_of(dataset.get("SliceThickness")))
    volume = stack.put_together(
        [(frame * np.float64(scaling)).astype(np.float32) for frame in pixels], 0.0
    )
    if not (volume >= 0.0).all():
        raise InvalidInput(
            f"{what} has doses below 0 Gy; export the plan's dose, not a difference."
        )
    stated = str(dataset.get("DoseSummationType") or "").upper()
    summation = stated if stated in _SUMMATIONS else ""
    notes = list(stack.notes)
    if summation not in ("PLAN", "MULTI_PLAN", "PLAN_OVERVIEW"):
        part = summation.lower().replace("_", " ") or "part that is not stated"
        notes.append(f"dose of a {part}, not of a plan")
    return DoseImage(
        in_ras_order(np.asarray(volume, np.float32), stack.affine),
        "physical" if sort == "PHYSICAL" else "effective",
        summation,
        _histograms(dataset),
        str(dataset.get("FrameOfReferenceUID") or ""),
        tuple(notes),
    )


def _offsets(
    dataset: Any, frames: int, first: Plane, what: str
) -> tuple[list[float], NDArray[np.float64]]:
    """Places of the frames against the first, [mm], and the direction in which they count.

    PS3.3 C.8.8.3.2: a vector that begins at 0 counts along the normal of the first frame; one
    that begins at the first frame's z holds the z of all frames, of an axial dose.
    """
    if frames == 1:
        return [0.0], first.normal
    values = numbers_of(dataset.get("GridFrameOffsetVector"))
    if values is None or values.shape != (frames,):
        count = "damaged places" if values is None else f"the place of {values.size}"
        raise InvalidInput(
            f"{what} has {frames} frames, but states {count} "
            "(GridFrameOffsetVector); export it again."
        )
    upward = np.array([0.0, 0.0, 1.0])
    offsets = [float(value - values[0]) for value in values]
    if abs(values[0]) < _SAME_PLACE:
        return offsets, first.normal
    if abs(first.normal @ upward) > 1.0 - 1e-6 and abs(values[0] - first.position[2]) < _ROUNDED:
        return offsets, upward
    raise InvalidInput(
        f"{what} has frames that begin at {values[0]:.4g} mm (GridFrameOffsetVector), neither at 0 "
        "nor at the place of the first frame of an axial dose; export it again."
    )


def _histograms(dataset: Any) -> dict[int, StoredHistogram]:
    """Those that are in Gray and cubic centimetres; others are passed over."""
    found = {}
    for item in dataset.get("DVHSequence") or ():
        roi: Any = item.get("DVHReferencedROISequence") or ()
        data = numbers_of(item.get("DVHData"))
        kind = str(item.get("DVHType")).upper()
        known = (
            data is not None
            and len(roi) == 1
            and kind in ("CUMULATIVE", "DIFFERENTIAL")
            and str(item.get("DoseUnits")).upper() == "GY"
            and str(item.get("DVHVolumeUnits")).upper() == "CM3"
            and data.size >= 2
            and data.size % 2 == 0
        )
        if data is None or not known:
            continue
        number = whole_of(roi[0].get("ReferencedROINumber"))
        scale = number_of(item.get("DVHDoseScaling")) or 1.0
        widths, volumes = data[0::2] * scale, data[1::2]
        edges = np.concatenate([[0.0], np.cumsum(widths)[:-1]])
        if kind == "DIFFERENTIAL":
            volumes = volumes[::-1].cumsum()[::-1]
        else:
            edges = edges + widths / 2.0
        if number and (widths > 0).all() and volumes[0] > 0.0:
            found[number] = StoredHistogram(edges, volumes, float(widths.max()))
    return found
