"""Times that compare courses of a volume: days gained, delay of progression, doubling time."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from twin.errors import InvalidInput

__all__ = ["Bounds", "day_of_volume", "days_gained", "delay", "doubling_time"]

#: A time that is known to lie between two, which are the same where it is known.
Bounds = tuple[float, float]


def day_of_volume(times_day: ArrayLike, volume_mm3: ArrayLike, wanted_mm3: float) -> Bounds:
    """First day on which a curve has reached a volume, [day], interpolated linearly.

    ``(-inf, first)`` where it begins above it, ``(last, inf)`` where it never reaches it.

    Examples
    --------
    >>> day_of_volume([0.0, 10.0], [1.0, 3.0], 2.0), day_of_volume([0.0, 10.0], [1.0, 3.0], 0.5)
    ((5.0, 5.0), (-inf, 0.0))
    """
    times, volume = np.asarray(times_day, np.float64), np.asarray(volume_mm3, np.float64)
    if times.shape != volume.shape or times.ndim != 1 or len(times) == 0:
        raise InvalidInput("A volume curve needs one volume for each time.")
    if not (np.isfinite(volume).all() and np.isfinite(times).all() and np.isfinite(wanted_mm3)):
        raise InvalidInput("A volume curve holds a value that is not finite.")
    if volume[0] > wanted_mm3:
        return -math.inf, float(times[0])
    reached = np.flatnonzero(volume >= wanted_mm3)
    if len(reached) == 0:
        return float(times[-1]), math.inf
    k = int(reached[0])
    if k == 0:
        return float(times[0]), float(times[0])
    share = (wanted_mm3 - volume[k - 1]) / (volume[k] - volume[k - 1])
    day = float(times[k - 1] + share * (times[k] - times[k - 1]))
    return day, day


def days_gained(
    times_day: ArrayLike, treated_mm3: ArrayLike, untreated_mm3: ArrayLike, day: float
) -> Bounds:
    """Days gained in Neal's sense at one date, as bounds, [day].

    The date, less the day on which the untreated twin (Neal's untreated virtual control) had the
    size that the treated tumour has at the date (M. L. Neal et al. 2013, PLoS ONE 8:e51951, doi
    10.1371/journal.pone.0051951). It compares with no treatment, at one date; how long
    progression is put off against another treatment is `delay`, and the two are not the same.
    A tumour smaller than the untreated one ever was has gained more than the date's days.

    Parameters
    ----------
    times_day : array_like, [day], shape (time,)
    treated_mm3, untreated_mm3 : array_like, [mm3], shape (time,)
    day : float, [day]

    Examples
    --------
    >>> days_gained([0.0, 100.0], [10.0, 20.0], [10.0, 60.0], 100.0)
    (80.0, 80.0)
    """
    times = np.asarray(times_day, np.float64)
    if not times[0] <= day <= times[-1]:
        raise InvalidInput(
            f"Days gained are asked for on day {day:g}, outside the curve (day {times[0]:g} to "
            f"{times[-1]:g})."
        )
    size = float(np.interp(day, times, np.asarray(treated_mm3, np.float64)))
    early, late = day_of_volume(times, untreated_mm3, size)
    return day - late, day - early


def delay(progression: Bounds, other: Bounds) -> Bounds:
    """How much later progression comes than in the compared arm, as bounds, [day].

    Of two days in bounds (a scan before and one that shows it; the horizon and infinity where it
    is not reached) the difference is in bounds too.

    Examples
    --------
    >>> delay((200.0, 256.0), (100.0, 156.0)), delay((540.0, math.inf), (100.0, 100.0))
    ((44.0, 156.0), (440.0, inf))
    """
    low, high = progression[0] - other[1], progression[1] - other[0]
    return low, high


def doubling_time(first_day: float, first: float, second_day: float, second: float) -> float:
    """Volume doubling time ``dt ln 2 / ln(V2/V1)``, [day]; negative where it shrinks.

    Infinite where the two are equal. Of a tumour that grows at its rim it lengthens with size.

    Examples
    --------
    >>> doubling_time(0.0, 10.0, 30.0, 40.0)
    15.0
    """
    if not (first > 0.0 and second > 0.0 and second_day > first_day):
        raise InvalidInput(
            "A doubling time needs two volumes above 0 at two days, the later one second."
        )
    rise = math.log(second / first)
    return math.inf if rise == 0.0 else (second_day - first_day) * math.log(2.0) / rise
