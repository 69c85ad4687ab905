"""What may be said about the best fraction size or margin, and what not.

Two arms that differ in nothing but how the dose is divided, or in nothing but how far the target
reaches, are told apart only by a study that ran the cases of `scenarios.sensitivity`. Where they
change places in any case, or where their difference is below the numerical error in any, the
answer is "not determined".
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scenarios.endpoints import Endpoint
from scenarios.evidence import comparable, worst
from scenarios.sensitivity import NEEDED, missing_corners
from twin.regimen import Regimen

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Outcome", "Statement", "open_questions", "prescribed", "statements"]

_DIVISION = {
    "total_dose_gy", "boost_total_dose_gy", "fractions", "fractions_per_day", "interval_h",
}  # fmt: skip
_REACH = {"ctv_margin_mm", "ptv_margin_mm", "density_guided_day"}
FRACTION_SIZE, MARGIN = "fraction size", "margin"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One endpoint of two arms.

    Parameters
    ----------
    endpoint : str
    unit : str
    differences : dict of str to float
        The first arm less the other, by case.
    better : str or None
        The arm that is better in every case; None where that is not determined.
    sentence : str
    """

    endpoint: str
    unit: str
    differences: dict[str, float]
    better: str | None
    sentence: str


@dataclass(frozen=True, slots=True)
class Statement:
    """What can be said about two arms that differ in one of `FRACTION_SIZE` and `MARGIN` alone.

    Parameters
    ----------
    about : str
    arm, other : str
    missing : int
        Cases that the study lacks; nothing is said then.
    outcomes : list of Outcome
    """

    about: str
    arm: str
    other: str
    missing: int
    outcomes: list[Outcome]

    def sentences(self) -> list[str]:
        """It in words."""
        head = f"Which {self.about} is better, {self.arm!r} or {self.other!r}"
        if self.missing:
            return [f"{head}: not determined; {NEEDED}."]
        return [f"{head}, by {one.endpoint}: {one.sentence}" for one in self.outcomes]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def question(one: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]]) -> str | None:
    """What two regimens, as `Regimen.as_dict` writes them, differ in, if it is one of the two.

    Examples
    --------
    >>> from twin.courses import Radiotherapy
    >>> a = Regimen(Radiotherapy(total_dose_gy=60, fractions=30, start_day=0)).as_dict()
    >>> b = Regimen(Radiotherapy(total_dose_gy=40, fractions=15, start_day=0)).as_dict()
    >>> question(a, b), question(a, a)
    ('fraction size', None)
    """
    if len(one) != len(other):
        return None
    changed: set[str] = set()
    for mine, theirs in zip(one, other, strict=True):
        different = {key for key in {*mine, *theirs} if mine.get(key) != theirs.get(key)}
        if different and mine["kind"] != "radiotherapy":
            return None
        changed |= different
    if changed & {"fractions", "fractions_per_day", "interval_h"} and changed <= _DIVISION:
        return FRACTION_SIZE
    return MARGIN if changed and changed <= _REACH else None


def prescribed(arm: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """The regimen of an arm's record before its doses were made isotoxic."""
    regimen = (arm.get("isotoxic") or {}).get("prescribed", arm.get("regimen"))
    return None if regimen is None else Regimen.from_dict(regimen).as_dict()


def _pairs(study: Mapping[str, Any]) -> list[tuple[int, int, str]]:
    """Numbers of arms that differ in nothing else, and in what they do."""
    regimens = [prescribed(arm) for arm in study["scenarios"]]
    found = []
    for j, theirs in enumerate(regimens):
        for i, mine in enumerate(regimens[:j]):
            about = None if mine is None or theirs is None else question(mine, theirs)
            if about is not None:
                found.append((i, j, about))
    return found


def open_questions(results: xr.Dataset) -> NDArray[np.bool_]:
    """Arms that nothing may be said about, shape (scenario, scenario)."""
    study = json.loads(results.attrs.get("study", "{}"))
    found = np.zeros((results.sizes["scenario"],) * 2, bool)
    if missing_corners(study.get("cases", [])):
        for i, j, _ in _pairs(study) if "scenarios" in study else ():
            found[i, j] = found[j, i] = True
    return found


def statements(results: xr.Dataset, endpoints: Sequence[Endpoint]) -> list[Statement]:
    """What can be said about arms that differ in fraction size or margin alone.

    Of arms that are compared with each other; of every two where none is compared with any.
    """
    study = json.loads(results.attrs.get("study", "{}"))
    if "scenarios" not in study or not endpoints:  # tumour control has its own statement
        return []
    missing = missing_corners(study.get("cases", []))
    names = [str(name) for name in results["scenario"].values]
    cases = [str(name) for name in results["case"].values]
    evidence = json.loads(results.attrs.get("evidence", "{}"))
    groups = comparable([worst(evidence.get(name, {})) for name in names])
    others = [arm.get("compared_with") for arm in study["scenarios"]]
    found = []
    for i, j, about in _pairs(study):
        if any(others) and names[i] != others[j] and names[j] != others[i]:
            continue
        if not any(i in group and j in group for group in groups):
            continue  # such arms are never ranked against each other
        outcomes = (
            [] if missing else [_outcome(results, one, i, j, names, cases) for one in endpoints]
        )
        found.append(Statement(about, names[i], names[j], missing, outcomes))
    return found


def _outcome(
    results: xr.Dataset, endpoint: Endpoint, i: int, j: int, names: list[str], cases: list[str]
) -> Outcome:
    value, error = endpoint.values(results)
    difference = (value[i] - value[j]) * endpoint.scale
    sign = 1.0 if endpoint.larger_is_better else -1.0
    gain, needed = sign * difference, (error[i] + error[j]) * endpoint.scale
    ahead, behind = gain > needed, -gain > needed
    better = names[i] if ahead.all() else names[j] if behind.all() else None
    if better is not None:
        low, high = np.abs(difference).min(), np.abs(difference).max()
        sentence = (
            f"{better!r} in all {len(cases)} cases, by {low:.3g} to {high:.3g} {endpoint.unit}."
        )
    else:
        sentence = (
            f"not determined: of {len(cases)} cases {names[i]!r} is better in {ahead.sum()}, "
            f"{names[j]!r} in {behind.sum()}, and in {(~(ahead | behind)).sum()} the difference is "
            "below the numerical errors."
        )
    return Outcome(
        endpoint.name,
        endpoint.unit,
        dict(zip(cases, map(float, difference), strict=True)),
        better,
        sentence,
    )
