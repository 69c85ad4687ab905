"""Pseudo-progression: enhancement that comes after chemoradiation and goes again by itself.

It enlarges what a scan reads and never the tumour. Of all patients a share has it, the others
have not: categories are worked out both ways and weighed. Radiotherapy without a drug has less of
it, by how much is not known here, so that only arms that give a drug between the first and the
last fraction are taken to have it.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scenarios.scans import Scan, ScanCalendar, Scans, last_fraction_day, read_scans
from twin.calendar import Calendar
from twin.errors import InvalidInput
from twin.regimen import Regimen

if TYPE_CHECKING:
    import xarray as xr

    from twin.parameters import ParameterSet

__all__ = [
    "PARAMETERS",
    "PseudoProgression",
    "Weighed",
    "pseudo_progression_sentences",
    "require_pseudo_progression",
    "weighed_scans",
]

#: Parameters of a patient's set.
PARAMETERS = (
    "pseudoprogression_incidence", "pseudoprogression_enlargement", "pseudoprogression_peak",
    "pseudoprogression_end",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class PseudoProgression:
    """How often it comes, how large it is and how long it stays.

    Parameters
    ----------
    incidence : float, [1]
        Share of the patients that have it.
    enlargement : float, [1]
        At its peak, of the volume that enhances.
    peak_day, end_day : float, [day]
        After the last fraction, when it is greatest and when it has gone.
    """

    incidence: float
    enlargement: float
    peak_day: float
    end_day: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.incidence <= 1.0:
            raise InvalidInput(
                f"The incidence of pseudo-progression is {self.incidence}; it lies between 0 and 1."
            )
        if not (0.0 <= self.enlargement < np.inf and 0.0 < self.peak_day < self.end_day < np.inf):
            raise InvalidInput(
                "Pseudo-progression needs an enlargement of at least 0 and a peak after the last "
                f"fraction and before its end, not {self.enlargement}, {self.peak_day:g} day and "
                f"{self.end_day:g} day."
            )

    def factor(self, days: ArrayLike, last_fraction: float) -> NDArray[np.float64]:
        """By how much the volume that enhances is enlarged, [1], 1 before and after.

        Rises as a half cosine from the last fraction to the peak and falls as one to the end
        (the shape is assumed).

        Examples
        --------
        >>> one = PseudoProgression(incidence=0.3, enlargement=0.6, peak_day=40, end_day=140)
        >>> one.factor([100.0, 120.0, 140.0, 190.0, 240.0], 100.0).round(3).tolist()
        [1.0, 1.3, 1.6, 1.3, 1.0]
        """
        since = np.asarray(days, np.float64) - last_fraction
        rising = 0.5 - 0.5 * np.cos(np.pi * np.clip(since / self.peak_day, 0.0, 1.0))
        left = (self.end_day - since) / (self.end_day - self.peak_day)
        falling = 0.5 - 0.5 * np.cos(np.pi * np.clip(left, 0.0, 1.0))
        return np.asarray(
            1.0 + self.enlargement * np.where(since <= self.peak_day, rising, falling)
        )


@dataclass(frozen=True, slots=True)
class Weighed:
    """Scans of an arm by volume with pseudo-progression.

    Parameters
    ----------
    with_it, without : Scans
        As read of a patient that has it, and of one that has not.
    incidence : float, [1]
    drawn : bool
        Whether the one patient that is drawn with the study's seed has it.
    """

    with_it: Scans[Scan]
    without: Scans[Scan]
    incidence: float
    drawn: bool

    @property
    def changed(self) -> list[tuple[float, str, str]]:
        """Day, category without and category with it of every scan that it changes."""
        pairs = zip(self.without.scans, self.with_it.scans, strict=True)
        return [
            (one.day, one.category, other.category)
            for one, other in pairs
            if one.category != other.category
        ]

    def probabilities(self) -> list[dict[str, float]]:
        """Probability of each category, scan by scan."""
        found = []
        for one, other in zip(self.without.scans, self.with_it.scans, strict=True):
            each: dict[str, float] = {one.category: 1.0 - self.incidence}
            each[other.category] = each.get(other.category, 0.0) + self.incidence
            found.append(each)
        return found

    def as_dict(self) -> dict[str, Any]:
        """Plain data that JSON can hold."""
        return {
            "incidence": self.incidence,
            "drawn": self.drawn,
            "category_probabilities": [
                {"day": scan.day, **each}
                for scan, each in zip(self.without.scans, self.probabilities(), strict=True)
            ],
        }


def weighed_scans(
    results: xr.Dataset, case: str, study: Mapping[str, Any], calendar: ScanCalendar
) -> dict[str, Weighed]:
    """Scans with pseudo-progression of every arm that may have it; none unless it is asked for.

    Raises
    ------
    InvalidInput
        It is asked for, but the parameters do not state it.
    """
    if not calendar.pseudo_progression:
        return {}
    chosen = _parameters(results, case, study)
    drawn = bool(
        np.random.default_rng([int(study.get("seed", 0)), _number(study, case)]).random()
        < chosen.incidence
    )
    dates = Calendar(dt.date.fromisoformat(str(results.attrs["reference_date"])[:10]))
    found = {}
    there = set(map(str, results["scenario"].values))
    for record in study["scenarios"]:
        if record["name"] not in there:  # results that were cut down to some arms
            continue
        arm = results.sel(scenario=record["name"], case=case)
        last = last_fraction_day(arm)
        regimen = Regimen.from_dict(record["regimen"])
        if last is None or not gives_drug_with_radiotherapy(regimen, dates):
            continue
        times = np.asarray(arm["time"].values, float)
        days = calendar.days(last, float(times[-1]))
        curve = np.asarray(arm["tumour_volume_soft"].sel(threshold="t1gd").values, float)
        volume = np.interp(days, times, curve)
        enlarged = volume * chosen.factor(days, last)
        found[record["name"]] = Weighed(
            read_scans(days, enlarged, calendar=calendar, last_fraction=last),
            read_scans(days, volume, calendar=calendar, last_fraction=last),
            chosen.incidence,
            drawn,
        )
    return found


def gives_drug_with_radiotherapy(regimen: Regimen, calendar: Calendar) -> bool:
    """Whether a regimen gives a drug between its first and its last fraction."""
    schedule = regimen.schedule(calendar)
    if not schedule.fractions:
        return False
    first, last = schedule.fractions[0].day, schedule.fractions[-1].day
    return any(first <= dose.day <= last for dose in schedule.drug_doses)


def require_pseudo_progression(calendar: ScanCalendar, parameters: ParameterSet) -> None:
    """Raise `InvalidInput` where it is asked for and the parameters do not state it."""
    missing = [name for name in PARAMETERS if name not in parameters]
    if calendar.pseudo_progression and missing:
        raise InvalidInput(
            f"Pseudo-progression is asked for in [scans], but the parameter set "
            f"{parameters.name!r} states no {missing[0]}; add it under [parameters] of the "
            "patient, or leave pseudo_progression out."
        )


def _number(study: Mapping[str, Any], case: str) -> int:
    return [one["name"] for one in study["cases"]].index(case)


def _parameters(results: xr.Dataset, case: str, study: Mapping[str, Any]) -> PseudoProgression:
    entries = json.loads(results.attrs["parameters"])["entries"]
    missing = [name for name in PARAMETERS if name not in entries]
    if missing:
        raise InvalidInput(
            f"Pseudo-progression is asked for in [scans], but the patient's parameters state no "
            f"{missing[0]}; add it under [parameters], or leave pseudo_progression out."
        )
    changes = study["cases"][_number(study, case)]["changes"]
    values = [
        float(changes[name]["value"] if name in changes else entries[name]["value"])
        for name in PARAMETERS
    ]
    return PseudoProgression(
        incidence=values[0], enlargement=values[1], peak_day=values[2], end_day=values[3]
    )


def pseudo_progression_sentences(weighed: Mapping[str, Weighed], results: xr.Dataset) -> list[str]:
    """How often a scan category would change, in words; nothing where it was not asked for."""
    if not weighed:
        return []
    entries = json.loads(results.attrs["parameters"])["entries"]
    grades = ", ".join(
        f"{name.removeprefix('pseudoprogression_')} {entries[name]['evidence']}"
        for name in PARAMETERS
    )
    found = [
        "Pseudo-progression enlarges what scans after chemoradiation read, never the tumour; of "
        f"evidence: {grades}. Where nothing enhances it shows nothing."
    ]
    for name, one in weighed.items():
        count = len(one.without.scans)
        changed = "; ".join(f"day {day:.0f} {b} for {a}" for day, a, b in one.changed)
        draw = "has it" if one.drawn else "has it not"
        if changed:
            found.append(
                f"Pseudo-progression, {name!r}: {len(one.changed)} of {count} scans read otherwise "
                f"in {one.incidence:.0%} of patients ({changed}); best response then "
                f"{one.with_it.best} for {one.without.best}. The patient drawn {draw}."
            )
        else:
            found.append(
                f"Pseudo-progression, {name!r}: none of {count} scans would read otherwise. The "
                f"patient drawn {draw}."
            )
    return found
