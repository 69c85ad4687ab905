"""Response of a tumour read off its volume curve: nadir and time to progression."""

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
