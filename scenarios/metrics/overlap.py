"""How well two masks agree: Dice, Jaccard and distances between them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from twin.errors import GeometryMismatch, InvalidInput

__all__ = ["dice", "hausdorff", "jaccard"]


def _pair(one: ArrayLike, other: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    a, b = np.asarray(one).astype(bool), np.asarray(other).astype(bool)
    if a.shape != b.shape:
        raise GeometryMismatch(f"Masks of shapes {a.shape} and {b.shape} cannot be compared.")
    return a, b


def dice(one: ArrayLike, other: ArrayLike) -> float:
    """Overlap ``2 |A and B| / (|A| + |B|)``, [1]; 1 for two empty masks.

    Examples
    --------
    >>> dice([[1, 1, 0]], [[0, 1, 1]])
    0.5
    """
    a, b = _pair(one, other)
    total = int(a.sum()) + int(b.sum())
    return 1.0 if total == 0 else 2.0 * int((a & b).sum()) / total


def jaccard(one: ArrayLike, other: ArrayLike) -> float:
    """Overlap ``|A and B| / |A or B|``, [1]; 1 for two empty masks.

    Examples
    --------
    >>> round(jaccard([[1, 1, 0]], [[0, 1, 1]]), 4)
    0.3333
    """
    a, b = _pair(one, other)
    union = int((a | b).sum())
    return 1.0 if union == 0 else int((a & b).sum()) / union


def hausdorff(
    one: ArrayLike, other: ArrayLike, spacing: ArrayLike = 1.0, *, percentile: float = 100.0
) -> float:
    """Greatest distance from a voxel of one mask to the other, in the unit of the spacing.

    Between the centres of all voxels inside, in both directions; with a percentile the
    larger of both directions' (95 is usual and forgives single voxels). 0 for two empty
    masks, infinite for one.

    Parameters
    ----------
    one, other : array_like of bool, any shape
    spacing : float or array_like, shape (axis,)
        Between voxels.
    percentile : float, [%]

    Examples
    --------
    >>> hausdorff([[1, 0, 0, 0]], [[0, 0, 0, 1]], 2.0)
    6.0
    """
    a, b = _pair(one, other)
    step = np.broadcast_to(np.asarray(spacing, np.float64), (a.ndim,))
    if not ((step > 0.0) & (step < np.inf)).all():
        raise InvalidInput("The spacing of voxels must be finite and above 0.")
    if not 0.0 < percentile <= 100.0:
        raise InvalidInput(f"The percentile is {percentile}; it lies above 0, at most 100.")
    if not a.any() and not b.any():
        return 0.0
    if not a.any() or not b.any():
        return float("inf")
    points = [np.argwhere(mask) * step for mask in (a, b)]
    there, _ = cKDTree(points[1]).query(points[0])
    back, _ = cKDTree(points[0]).query(points[1])
    return float(max(np.percentile(there, percentile), np.percentile(back, percentile)))
