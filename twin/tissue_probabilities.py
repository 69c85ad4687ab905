"""Partial volumes: how much of each voxel is fluid, grey or white matter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twin.errors import InvalidInput

__all__ = ["check_probabilities"]

#: How far rounding in a file may carry a value, or a sum of three, beyond 0 to 1.
_SLACK = 0.005


def check_probabilities(
    maps: Mapping[str, NDArray[np.floating[Any]]],
    tissues: tuple[str, ...],
    *,
    what: str = "The tissue probabilities",
) -> None:
    """Refuse maps that are not the parts of voxels.

    Parameters
    ----------
    maps : mapping of str to ndarray, [1], all of one shape
    tissues : tuple of str
        Names that there must be; no others.
    what : str
        Begins the error.

    Raises
    ------
    InvalidInput
        A tissue that is missing or unknown, a value that is not finite or outside 0 to 1, or a
        sum above 1. A sum below 1 is allowed: outside the head, and where a tumour is.

    Examples
    --------
    >>> half = np.full((2, 2, 2), 0.5)
    >>> check_probabilities({"grey_matter": half, "fluid": 200 * half}, ("grey_matter", "fluid"))
    Traceback (most recent call last):
    twin.errors.InvalidInput: The tissue probabilities of fluid run from 100 to 100, but must lie \
between 0 and 1; divide them by 100 (per cent), 255 (bytes) or what stands for the whole voxel.
    """
    if set(maps) != set(tissues):
        raise InvalidInput(
            f"{what} are of {', '.join(maps)}; they must be of {', '.join(tissues)}."
        )
    for name, values in maps.items():
        low, high = float(values.min()), float(values.max())
        if not (low >= -_SLACK and high <= 1.0 + _SLACK):
            raise InvalidInput(
                f"{what} of {name} run from {low:g} to {high:g}, but must lie between 0 and 1; "
                "divide them by 100 (per cent), 255 (bytes) or what stands for the whole voxel."
            )
    total = sum(values.astype(np.float32) for values in maps.values())
    most = float(np.max(total))
    if not most <= 1.0 + 3 * _SLACK:
        where = tuple(int(n) for n in np.unravel_index(np.argmax(total), np.shape(total)))
        raise InvalidInput(
            f"{what} sum to {most:.3g} at voxel {where}, but to 1 at most; give the maps of one "
            "segmentation, not thresholded or smoothed one by one."
        )
