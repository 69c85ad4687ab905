"""Plan and response metrics: pure functions of numbers and arrays."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from twin.errors import InvalidInput

__all__ = [
    "MEASURABLE_MM3",
    "PROGRESSION_RISE",
    "PROGRESSION_RULE",
    "Nadir",
    "bed",
    "dose_to_hottest_volume",
    "eqd2",
    "mean_dose",
    "nadir",
    "time_to_progression",
]

#: Rise over the nadir that counts as progression [1], RANO 2.0 by volume: Wen et al. 2023,
#: J Clin Oncol 41:5187, doi 10.1200/JCO.23.01059.
PROGRESSION_RISE = 0.40
#: Smallest measurable tumour, a sphere of 10 mm diameter [mm3] (RANO 2.0: 10 by 10 mm).
MEASURABLE_MM3 = math.pi / 6.0 * 10.0**3
PROGRESSION_RULE = (
    "Progression: the softened volume is at least 40 % above its least value since the first "
    "fraction of radiotherapy (without radiotherapy since the first treatment, without treatment "
    "since day 0) and at least 0.52 ml, the smallest measurable sphere (RANO 2.0 by volume); "
    "interpolated linearly between days, counted from day 0, without a confirming scan."
)


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


@dataclass(frozen=True, slots=True)
class Nadir:
    """The least volume since `start_day` and its day."""

    volume_mm3: float
    day: float


def _checked(
    times_day: ArrayLike, volume_mm3: ArrayLike, start_day: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Curve from `start_day` on, begun at the interpolated value there."""
    times = np.asarray(times_day, np.float64)
    volume = np.asarray(volume_mm3, np.float64)
    if times.shape != volume.shape or times.ndim != 1 or len(times) == 0:
        raise InvalidInput("A volume curve needs one volume for each time.")
    if not (np.isfinite(volume).all() and np.isfinite(times).all()):
        raise InvalidInput("A volume curve holds a value that is not finite.")
    if not times[0] <= start_day <= times[-1]:
        raise InvalidInput(
            f"Assessment starts on day {start_day:g}, outside the curve (day {times[0]:g} to "
            f"{times[-1]:g})."
        )
    after = times > start_day
    at_start = np.interp(start_day, times, volume)
    return (
        np.concatenate([[start_day], times[after]]),
        np.concatenate([[at_start], volume[after]]),
    )


def nadir(times_day: ArrayLike, volume_mm3: ArrayLike, *, start_day: float = 0.0) -> Nadir:
    """The least volume from `start_day` [day] on.

    Examples
    --------
    >>> nadir([0, 10, 20, 30], [5.0, 9.0, 4.0, 8.0], start_day=10)
    Nadir(volume_mm3=4.0, day=20.0)
    """
    times, volume = _checked(times_day, volume_mm3, start_day)
    lowest = int(volume.argmin())
    return Nadir(float(volume[lowest]), float(times[lowest]))


def time_to_progression(
    times_day: ArrayLike, volume_mm3: ArrayLike, *, start_day: float = 0.0
) -> float:
    """Day of progression by `PROGRESSION_RULE`, [day]; infinite if it is not reached.

    Parameters
    ----------
    times_day : array_like, [day], shape (time,)
    volume_mm3 : array_like, [mm3], shape (time,)
    start_day : float, [day]
        Where assessment starts; volumes before it do not count.

    Examples
    --------
    >>> time_to_progression([0, 10, 20, 30], [5000.0, 1000.0, 1200.0, 1800.0])
    23.33...
    >>> time_to_progression([0, 10], [5000.0, 4000.0])
    inf
    """
    times, volume = _checked(times_day, volume_mm3, start_day)
    least = np.minimum.accumulate(volume)[:-1]
    wanted = np.maximum((1.0 + PROGRESSION_RISE) * least, MEASURABLE_MM3)
    reached = np.flatnonzero(volume[1:] >= wanted)
    if len(reached) == 0:
        return math.inf
    i = int(reached[0])
    before, after = volume[i], volume[i + 1]
    share = (wanted[i] - before) / (after - before)
    return float(times[i] + share * (times[i + 1] - times[i]))
