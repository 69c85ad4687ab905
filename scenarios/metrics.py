"""Plan metrics: pure functions of doses; those of the response are in `twin.response`."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from twin.errors import InvalidInput

__all__ = [
    "bed",
    "dose_to_hottest_volume",
    "eqd2",
    "mean_dose",
]


def bed(total_dose_gy: ArrayLike, fractions: int, alpha_beta_gy: float) -> NDArray[np.float64]:
    """Biologically effective dose n d (1 + d / (alpha/beta)), [Gy].

    Fowler 1989, Br J Radiol 62:679, doi 10.1259/0007-1285-62-740-679.

    Parameters
    ----------
    total_dose_gy : array_like, [Gy]
        Total physical dose n d, at any number of places.
    fractions : int
        Number n of equal fractions.
    alpha_beta_gy : float, [Gy]

    Examples
    --------
    >>> float(bed(60.0, 30, 10.0))
    72.0
    """
    if not (int(fractions) == fractions and fractions >= 1):
        raise InvalidInput(f"There are {fractions!r} fractions; give a whole number from 1.")
    if not 0.0 < alpha_beta_gy < math.inf:
        raise InvalidInput(f"alpha/beta is {alpha_beta_gy!r} Gy; it must be above 0 Gy.")
    total = np.asarray(total_dose_gy, np.float64)
    if not (total >= 0.0).all():
        raise InvalidInput("A dose is negative or not a number; doses are 0 Gy or more.")
    return total * (1.0 + total / (fractions * alpha_beta_gy))


def eqd2(total_dose_gy: ArrayLike, fractions: int, alpha_beta_gy: float) -> NDArray[np.float64]:
    """Equivalent dose in fractions of 2 Gy, BED / (1 + 2 / (alpha/beta)), [Gy].

    Fowler 1989, Br J Radiol 62:679, doi 10.1259/0007-1285-62-740-679; parameters as `bed`.

    Examples
    --------
    >>> round(float(eqd2(40.0, 15, 10.0)), 2)
    42.22
    """
    return bed(total_dose_gy, fractions, alpha_beta_gy) / (1.0 + 2.0 / alpha_beta_gy)


def mean_dose(dose_gy: NDArray[np.floating], mask: NDArray[np.bool_]) -> float:
    """Mean dose in `mask`, [Gy]; `InvalidInput` if the mask is empty."""
    if not mask.any():
        raise InvalidInput("The mask of a structure is empty; there is no dose in it.")
    return float(dose_gy[mask].mean(dtype=np.float64))


def dose_to_hottest_volume(
    dose_gy: NDArray[np.floating],
    mask: NDArray[np.bool_],
    voxel_mm3: ArrayLike,
    volume_mm3: float,
) -> float:
    """Least dose in the hottest `volume_mm3` of `mask` (D0.03cc for 30 mm3), [Gy].

    By the 'step' convention: the dose of the first voxel, hottest first, at which
    the cumulated volume reaches `volume_mm3`; the least dose of the structure if
    all of it is smaller than that.

    Parameters
    ----------
    dose_gy : ndarray, [Gy], any shape
    mask : ndarray of bool, same shape
    voxel_mm3 : float or ndarray of the same shape, [mm3]
    volume_mm3 : float, [mm3]

    Examples
    --------
    >>> dose = np.array([20.0, 40.0, 55.0, 65.0])
    >>> dose_to_hottest_volume(dose, dose > 0, [4.0, 3.0, 2.0, 1.0], 1.5)
    55.0
    """
    if not mask.any():
        raise InvalidInput("The mask of a structure is empty; there is no dose in it.")
    inside = dose_gy[mask].astype(np.float64)
    volumes = np.broadcast_to(np.asarray(voxel_mm3, np.float64), dose_gy.shape)[mask]
    if not (volume_mm3 > 0.0 and (volumes > 0.0).all()):
        raise InvalidInput("Volumes must be above 0 mm3.")
    order = np.argsort(-inside, kind="stable")
    reached = np.cumsum(volumes[order]) >= volume_mm3 * (1.0 - 1e-9)
    return float(inside[order[int(reached.argmax()) if reached.any() else -1]])
