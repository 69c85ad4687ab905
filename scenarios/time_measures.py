"""Times of every arm against the untreated twin, against its compared arm, and by itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scenarios.scans import Scans
from twin.growth_times import Bounds, days_gained, delay, doubling_time

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["RULE", "ArmTimes", "bounds_text", "time_measures"]

#: Doubling is measured from progression on over so many days, [day].
DOUBLING_DAYS = 56.0
RULE = (
    "Days gained (Neal 2013): on the date of the arm's first scan after radiotherapy (day 28 "
    "without it), how many days earlier the arm without treatment had that "
    "volume; '>' where it was never so small. "
    "Delay of progression: against the arm that it is compared with, by the daily volumes, and "
    "by scans, which know each date only between two of them. Doubling time: of the softened "
    f"volume over the {DOUBLING_DAYS:g} days from progression on."
)


@dataclass(frozen=True, slots=True)
class ArmTimes:
    """Times of one arm at one threshold, [day].

    Parameters
    ----------
    date : float
        Date of `gained`; not a number where there is none.
    gained : (float, float) or None
        Days gained against the untreated arm; None for that arm, and without one in the study.
    delayed : (float, float) or None
        Delay of progression against the compared arm by the daily curve; None without one, or
        where neither arm progresses.
    delayed_by_scans : (float, float) or None
        The same by the scans of T1Gd volume.
    doubling : float
        Not a number where there is no progression, or it comes too late to be measured.
    """

    date: float
    gained: Bounds | None
    delayed: Bounds | None
    delayed_by_scans: Bounds | None
    doubling: float

    def as_dict(self) -> dict[str, Any]:
        """Plain data that JSON can hold; infinite and unknown times as null."""

        def plain(value: float) -> float | None:
            return value if math.isfinite(value) else None

        def both(bounds: Bounds | None) -> list[float | None] | None:
            return None if bounds is None else [plain(one) for one in bounds]

        return {
            "date_day": plain(self.date),
            "days_gained_between": both(self.gained),
            "delay_of_progression_between": both(self.delayed),
            "delay_of_progression_by_scans_between": both(self.delayed_by_scans),
            "doubling_time_day": plain(self.doubling),
        }


def time_measures(
    results: xr.Dataset, case: str, study: Mapping[str, Any], scans: Mapping[str, Scans]
) -> dict[str, dict[str, ArmTimes]]:
    """Times of every arm by threshold.

    Parameters
    ----------
    results : xarray.Dataset
        Of a study.
    case : str
    study : mapping
        The resolved study, as the results hold it.
    scans : mapping of str to Scans
        Of every arm, by volume or by the site's criterion; empty where there are none.
    """
    one = results.sel(case=case)
    there = set(map(str, one["scenario"].values))  # of results that were cut down to some arms
    records = {record["name"]: record for record in study["scenarios"] if record["name"] in there}
    # results of other makers may say nothing of what an arm is given
    untreated = next(
        (name for name, record in records.items() if record.get("regimen") == []), None
    )
    found: dict[str, dict[str, ArmTimes]] = {}
    for threshold in map(str, one["threshold"].values):
        here = one.sel(threshold=threshold)
        found[threshold] = {
            name: _of_arm(
                here,
                name,
                record["compared_with"] if record.get("compared_with") in there else None,
                untreated,
                scans,
                threshold,
            )
            for name, record in records.items()
        }
    return found


def _of_arm(
    here: xr.Dataset,
    name: str,
    other: str | None,
    untreated: str | None,
    scans: Mapping[str, Scans],
    threshold: str,
) -> ArmTimes:
    times = np.asarray(here["time"].values, float)
    curves = here["tumour_volume_soft"]
    curve = np.asarray(curves.sel(scenario=name).values, float)
    date, gained = math.nan, None
    if untreated is not None and name != untreated:
        date = _date(here.sel(scenario=name), scans.get(name, Scans(())), float(times[-1]))
        if math.isfinite(date):
            control = np.asarray(curves.sel(scenario=untreated).values, float)
            gained = days_gained(times, curve, control, date)
    horizon = float(times[-1])
    day = {arm: _reached(here, arm, horizon) for arm in (name, other) if arm is not None}
    delayed = by_scans = None
    if other is not None:
        delayed = _known(delay(day[name], day[other]))
        if threshold == "t1gd" and scans:
            by_scans = _known(delay(_seen(scans[name]), _seen(scans[other])))
    return ArmTimes(date, gained, delayed, by_scans, _doubling(times, curve, day[name]))


def _date(arm: xr.Dataset, scans: Scans, horizon: float) -> float:
    """Date of the first scan after radiotherapy; day 28 without radiotherapy."""
    given = np.asarray(arm["fraction_day"].values, float)
    if np.isfinite(given).any():
        return scans.scans[0].day if scans.scans else math.nan
    return min(28.0, horizon)


def _reached(here: xr.Dataset, name: str, horizon: float) -> Bounds:
    day = float(here["time_to_progression"].sel(scenario=name))
    return (day, day) if math.isfinite(day) else (horizon, math.inf)


def _seen(scans: Scans) -> Bounds:
    """Bounds of progression by scans: after the last one where none shows it."""
    if scans.progression is not None:
        return scans.progression
    return (scans.scans[-1].day if scans.scans else -math.inf), math.inf


def _known(bounds: Bounds) -> Bounds | None:
    return bounds if any(map(math.isfinite, bounds)) else None


def _doubling(times: np.ndarray, curve: np.ndarray, progression: Bounds) -> float:
    begin = progression[0]
    end = begin + DOUBLING_DAYS
    if not math.isfinite(progression[1]) or end > times[-1]:
        return math.nan
    first, second = np.interp([begin, end], times, curve)
    return doubling_time(begin, float(first), end, float(second))


def bounds_text(bounds: Bounds | None) -> str:
    """Bounds of a time as a table writes them.

    >>> bounds_text((44.2, 156.0)), bounds_text((95.0, math.inf)), bounds_text((80.0, 80.0))
    ('44 to 156', '> 95', '80')
    """
    if bounds is None:
        return "-"
    low, high = bounds
    if low == high:
        return f"{low:.0f}"
    if not math.isfinite(high):
        return f"> {low:.0f}" if math.isfinite(low) else "-"
    return f"< {high:.0f}" if not math.isfinite(low) else f"{low:.0f} to {high:.0f}"
