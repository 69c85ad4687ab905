"""From stored pixels to Hounsfield units, SUV or signal, the padding filled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twin.dicom.frames import Slice
from twin.errors import InvalidInput

__all__ = ["LOWEST_HOUNSFIELD", "physical_values", "smallest_type"]

#: Nothing is thinner than air; what lies below marks the outside of the field of view.
LOWEST_HOUNSFIELD = -1024.0


def physical_values(
    slices: Sequence[Slice], *, quantity: str, what: str
) -> tuple[list[NDArray[Any]], float, tuple[str, ...]]:
    """Return the values of each slice, the lowest of all, and what was mended.

    Padding is set to the lowest value that is none: -1024 of Hounsfield units, which also
    takes the place of what lies below it (scanners mark the outside of the field of view by
    -2000 or -3024 without saying so). Signal of MONOCHROME1 is inverted, so that high is bright;
    what is measured in a unit is not, as that says only how it is shown.

    Parameters
    ----------
    slices : sequence of Slice
    quantity : str
        "hounsfield", "suv", "signal", ...
    what : str
        What they are; errors begin with it.

    Raises
    ------
    InvalidInput
        A slope of zero, values that are not finite, nothing but padding.
    """
    hounsfield = quantity == "hounsfield"
    found: list[NDArray[Any]] = []
    masks: list[NDArray[np.bool_] | None] = []
    padded, inside, inverted = 0, np.inf, False
    for piece in slices:
        if piece.slope == 0.0:
            raise InvalidInput(f"{what} has a slope of 0 between its pixels and its values.")
        mask = _padding(piece)
        if quantity == "signal" and piece.inverted is not None:
            inverted = True
            values = _rescaled(piece, piece.inverted - piece.stored.astype(np.int64))
        else:
            values = _rescaled(piece, piece.stored)
        if hounsfield:
            beyond = values < LOWEST_HOUNSFIELD
            if beyond.any():
                mask = beyond if mask is None else mask | beyond
        if mask is not None and not mask.any():
            mask = None
        if mask is None:
            inside = min(inside, float(values.min()))
        else:
            padded += int(mask.sum())
            if not mask.all():
                inside = min(inside, float(values[~mask].min()))
        found.append(values)
        masks.append(mask)
    if not np.isfinite(inside):
        raise InvalidInput(f"{what} holds nothing but padding; export it again.")
    lowest = LOWEST_HOUNSFIELD if hounsfield else inside
    for values, mask in zip(found, masks, strict=True):
        if mask is not None:
            values[mask] = lowest
    notes = []
    if inverted:
        notes.append("low values are shown bright (MONOCHROME1); the signal was inverted")
    if padded:
        share = 100.0 * padded / sum(values.size for values in found)
        notes.append(f"padding in {share:.2g} % of the voxels was set to {lowest:g}")
    return found, lowest, tuple(notes)


def _rescaled(piece: Slice, stored: NDArray[Any]) -> NDArray[Any]:
    """int16 or int32 where slope and values are whole, else float32."""
    whole = piece.slope == round(piece.slope) and piece.intercept == round(piece.intercept)
    if whole and stored.dtype.kind in "iu" and abs(piece.slope) < 2**15:
        low, high = int(stored.min()), int(stored.max())
        ends = sorted(int(piece.slope) * end + int(piece.intercept) for end in (low, high))
        for kind in (np.int16, np.int32):
            info = np.iinfo(kind)
            if info.min <= min(ends[0], low) and max(ends[1], high) <= info.max:
                wide = np.int32 if kind is np.int16 else np.int64
                values: NDArray[Any] = stored.astype(wide)
                values *= int(piece.slope)
                values += int(piece.intercept)
                return values.astype(kind)
    exact = stored.astype(np.float64) * piece.slope + piece.intercept
    if not np.isfinite(exact).all():
        raise InvalidInput("An image holds values that are not finite; export it again.")
    return exact.astype(np.float32)


def _padding(piece: Slice) -> NDArray[np.bool_] | None:
    if piece.padding is None:
        return None
    low, high = piece.padding
    if low == high:
        return np.asarray(piece.stored == low)
    return np.asarray((piece.stored >= low) & (piece.stored <= high))


def smallest_type(volume: NDArray[Any]) -> NDArray[Any]:
    """int16 where the values are whole and fit, else float32.

    Examples
    --------
    >>> smallest_type(np.array([1, 40000])).dtype, smallest_type(np.array([1, 400])).dtype
    (dtype('float32'), dtype('int16'))
    """
    if volume.dtype == np.int16:
        return volume
    if volume.dtype.kind in "iu" and volume.min() >= -32768 and volume.max() <= 32767:
        return volume.astype(np.int16)
    return volume.astype(np.float32, copy=False)
