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
from twin.errors import InvalidInput
from twin.images import Image, in_ras_order

__all__ = ["DoseImage", "StoredHistogram", "read_dose"]


@dataclass(frozen=True, slots=True, eq=False)
class StoredHistogram:
    """A cumulative histogram that the planning system stored with the dose.

    Parameters
    ----------
    dose_gy : ndarray, [Gy], shape (bin,)
        Lower edge of each bin.
    volume_ml : ndarray, [mL], shape (bin,)
        Volume that gets at least that dose.
    """

    dose_gy: NDArray[np.float64]
    volume_ml: NDArray[np.float64]

    @property
    def mean_gy(self) -> float:
        """Mean dose by the curve, each bin at its middle, [Gy].

        The mean that is stored beside it is of the prescription in some systems.
        """
        part = -np.diff(np.append(self.volume_ml, 0.0))
        middle = self.dose_gy + 0.5 * float(np.median(np.diff(self.dose_gy, append=np.nan)[:-1]))
        return float(part @ middle / part.sum())


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
        "PLAN", "BEAM", "FRACTION", ... as the file says.
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
            else f"in {units or 'no stated unit'}"
        )
        raise InvalidInput(f"{what} is {reason}; export it in Gray (DoseUnits GY).")
    sort = str(dataset.get("DoseType") or "").upper()
    if sort not in ("PHYSICAL", "EFFECTIVE"):
        raise InvalidInput(
            f"{what} is of the type {sort or 'that is not stated'}; a physical or an effective "
            "dose is needed, not an error or a difference."
        )
    scaling = _number(dataset.get("DoseGridScaling"))
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
    offsets = _offsets(dataset, frames, what)
    planes = [
        Plane(
            first.position + offset * first.normal,
            first.along_columns,
            first.along_rows,
            first.spacing,
            first.size,
        )
        for offset in offsets
    ]
    stack = stack_of(planes, what=what, thickness=_number(dataset.get("SliceThickness")))
    volume = stack.put_together([frame * np.float64(scaling) for frame in pixels], 0.0)
    if not (volume >= 0.0).all():
        raise InvalidInput(
            f"{what} has doses below 0 Gy; export the plan's dose, not a difference."
        )
    summation = str(dataset.get("DoseSummationType") or "").upper()
    notes = list(stack.notes)
    if summation not in ("PLAN", "MULTI_PLAN", "PLAN_OVERVIEW"):
        notes.append(f"dose of a {summation.lower() or 'part that is not stated'}, not of a plan")
    return DoseImage(
        in_ras_order(volume.astype(np.float32), stack.affine),
        "physical" if sort == "PHYSICAL" else "effective",
        summation,
        _histograms(dataset),
        str(dataset.get("FrameOfReferenceUID") or ""),
        tuple(notes),
    )


def _offsets(dataset: Any, frames: int, what: str) -> list[float]:
    """Places of the frames against the first, [mm]: the vector may begin at 0 or at its place."""
    if frames == 1:
        return [0.0]
    vector = dataset.get("GridFrameOffsetVector")
    values = np.array([] if vector is None else vector, dtype=np.float64)
    if values.shape != (frames,) or not np.isfinite(values).all():
        raise InvalidInput(
            f"{what} has {frames} frames, but states the place of {values.size} "
            "(GridFrameOffsetVector); export it again."
        )
    return [float(value - values[0]) for value in values]


def _histograms(dataset: Any) -> dict[int, StoredHistogram]:
    """Those that are cumulative, in Gray and cubic centimetres; others are passed over."""
    found = {}
    for item in dataset.get("DVHSequence") or ():
        roi = item.get("DVHReferencedROISequence") or ()
        data = np.array(item.get("DVHData") or [], dtype=np.float64)
        known = (
            len(roi) == 1
            and str(item.get("DVHType")).upper() == "CUMULATIVE"
            and str(item.get("DoseUnits")).upper() == "GY"
            and str(item.get("DVHVolumeUnits")).upper() == "CM3"
            and data.size >= 2
            and data.size % 2 == 0
        )
        if not known:
            continue
        scale = _number(item.get("DVHDoseScaling")) or 1.0
        widths, volumes = data[0::2] * scale, data[1::2]
        edges = np.concatenate([[0.0], np.cumsum(widths)[:-1]])
        found[int(roi[0].get("ReferencedROINumber") or 0)] = StoredHistogram(edges, volumes)
    return found


def _number(value: Any) -> float | None:
    try:
        found = None if value is None else float(value)
    except (TypeError, ValueError):
        return None
    return found if found is not None and np.isfinite(found) else None
