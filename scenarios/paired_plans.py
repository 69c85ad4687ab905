"""Two treatment plans of one patient, over the same cases and the same set-up draws.

Arms that differ in nothing but whose planned dose they take are compared draw by draw: in how
many one has less tumour, in how many an organ gets less, and in how many both at once.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scenarios.endpoints import Endpoint
from scenarios.organ_cases import BY_CASE
from scenarios.statements import prescribed

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["PlanPair", "Row", "plan_pairs", "wilson_interval"]

#: Below these an organ counts as given the same: EQD2 [Gy] and NTCP [1].
SAME_GY, SAME_PROBABILITY = 0.1, 0.001
#: Of the standard normal distribution, for an interval of 95 %.
_Z = 1.959963984540054
RULE = (
    "Plans of one patient: an organ's EQD2 counts as lower from "
    f"{SAME_GY:g} Gy on, its complication probability from {100 * SAME_PROBABILITY:g} % on (below "
    "that in both it is left out). P is the share of the cases in each set-up draw, on average "
    "over the draws, its interval (95 %, Wilson's) that of so many draws as there are: the cases "
    "were chosen, not drawn, and their number narrows nothing."
)


@dataclass(frozen=True, slots=True)
class Row:
    """One quantity of two plans.

    Parameters
    ----------
    quantity : str
    unit : str
    better, worse : int
        Cases in which the first plan is better, and worse.
    beyond_error : int or None
        Cases in which they differ by more than both numerical errors; None of organs.
    probability : float, [1]
        That the first plan is better.
    interval : tuple of float or None
        Of the probability, 95 %; None without set-up draws.
    median, least, greatest : float
        First less other, in `unit`.
    """

    quantity: str
    unit: str
    better: int
    worse: int
    beyond_error: int | None
    probability: float
    interval: tuple[float, float] | None
    median: float
    least: float
    greatest: float


@dataclass(frozen=True, slots=True)
class PlanPair:
    """Two arms that differ in their planned dose alone.

    Parameters
    ----------
    arm, other : str
    doses : tuple of str
        Names of their planned doses.
    cases, draws : int
        Cases that were compared, and different set-up draws among them (0: none were drawn).
    rows : list of Row
    joint : dict of str to Row
        For each endpoint how often the first plan has less tumour and in no organ more.
    note : str
        On what the organs' figures rest.
    """

    arm: str
    other: str
    doses: tuple[str, str]
    cases: int
    draws: int
    rows: list[Row]
    joint: dict[str, Row]
    note: str

    @property
    def over(self) -> str:
        """What they were compared over, in words."""
        if not self.draws:
            return f"{self.cases} case{'' if self.cases == 1 else 's'}, no set-up errors drawn"
        each = self.cases // self.draws
        return (
            f"{each} case{'' if each == 1 else 's'} in each of {self.draws} set-up "
            f"draw{'' if self.draws == 1 else 's'}"
        )

    def sentences(self) -> list[str]:
        """The joint statements, and how much is behind them."""
        found = []
        for endpoint, row in self.joint.items():
            found.append(
                f"{self.arm!r} against {self.other!r} (planned doses {self.doses[0]!r} and "
                f"{self.doses[1]!r}): better by {endpoint} and in no organ a higher EQD2 or "
                f"complication probability in {row.better} of {self.cases}"
                f"{probability_text(row)}; the other way round in {row.worse} of {self.cases}."
            )
        return [*found, self.note] if self.note else found

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def probability_text(row: Row) -> str:
    """The probability with its interval, in front of it a comma; nothing without draws."""
    if row.interval is None:
        return ""
    low, high = row.interval
    return f", P = {row.probability:.2f} ({low:.2f} to {high:.2f})"


def wilson_interval(share: float, draws: int) -> tuple[float, float]:
    """Interval of 95 % of a probability that was `share` in so many draws, [1].

    E. B. Wilson, Journal of the American Statistical Association 22, 209-212 (1927),
    doi:10.1080/01621459.1927.10502953 [unverified]. Where draws give shares instead of yes and no,
    their spread is smaller than that of yes and no, so that the interval is not too short.

    Examples
    --------
    >>> [round(end, 4) for end in wilson_interval(0.5, 10)]
    [0.2366, 0.7634]
    """
    square = _Z * _Z / draws
    middle = (share + 0.5 * square) / (1.0 + square)
    half = _Z / (1.0 + square) * math.sqrt(share * (1.0 - share) / draws + square / (4.0 * draws))
    return max(0.0, middle - half), min(1.0, middle + half)


def plan_pairs(results: xr.Dataset, endpoints: Sequence[Endpoint]) -> list[PlanPair]:
    """Every two arms of the results that differ in their planned dose alone."""
    study = json.loads(results.attrs.get("study", "{}"))
    arms = study.get("scenarios", [])
    found = []
    for j, second in enumerate(arms):
        for i, first in enumerate(arms[:j]):
            doses = _doses(prescribed(first), prescribed(second))
            if doses is None:
                continue
            # the arm that is compared with another one comes first
            if second.get("compared_with") == first["name"]:
                found.append(_pair(results, study, endpoints, j, i, (doses[1], doses[0])))
            else:
                found.append(_pair(results, study, endpoints, i, j, doses))
    return found


def _doses(
    one: Sequence[Mapping[str, Any]] | None, other: Sequence[Mapping[str, Any]] | None
) -> tuple[str, str] | None:
    """The planned doses of two regimens that differ in nothing else; None of others."""
    if one is None or other is None or len(one) != len(other):
        return None
    doses: set[tuple[str, str]] = set()
    for mine, theirs in zip(one, other, strict=True):
        keys = {key for key in {*mine, *theirs} if mine.get(key) != theirs.get(key)}
        if keys - {"dose"}:
            return None
        if keys:
            if mine["dose"] is None or theirs["dose"] is None:
                return None
            doses.add((mine["dose"], theirs["dose"]))
    return doses.pop() if len(doses) == 1 else None


def _pair(
    results: xr.Dataset,
    study: Mapping[str, Any],
    endpoints: Sequence[Endpoint],
    i: int,
    j: int,
    doses: tuple[str, str],
) -> PlanPair:
    names = [str(name) for name in results["scenario"].values]
    setups = [case.get("setup") for case in study["cases"]]
    drawn = [k for k, setup in enumerate(setups) if setup is not None]
    chosen = drawn or list(range(len(setups)))
    kinds: list[Any] = []
    for k in drawn:
        if setups[k] not in kinds:
            kinds.append(setups[k])
    draw_of = np.array([kinds.index(setups[k]) for k in chosen] if drawn else [0] * len(chosen))
    counts = _Counts(draw_of, len(kinds))

    tumour: dict[str, NDArray[np.float64]] = {}
    rows = []
    for endpoint in endpoints:
        value, error = (part[:, chosen] for part in endpoint.values(results))
        difference = (value[i] - value[j]) * endpoint.scale
        tumour[endpoint.name] = difference * (1.0 if endpoint.larger_is_better else -1.0)
        beyond = int((np.abs(value[i] - value[j]) > error[i] + error[j]).sum())
        rows.append(
            counts.row(endpoint.name, endpoint.unit, tumour[endpoint.name], difference, beyond)
        )
    gains = []
    for quantity, unit, scale, least, difference in _organs(results, i, j, chosen):
        gain = np.where(np.abs(difference) > least, -difference, 0.0)
        gains.append(gain)
        rows.append(counts.row(quantity, unit, gain, difference * scale, None))
    spared = np.array(gains).reshape(len(gains), len(chosen))
    joint = {}
    for name, gain in tumour.items():
        both = np.where((gain > 0.0) & (spared >= 0.0).all(axis=0), 1.0, 0.0)
        both -= np.where((gain < 0.0) & (spared <= 0.0).all(axis=0), 1.0, 0.0)
        joint[name] = counts.row(name, "1", both, both, None)
    return PlanPair(names[i], names[j], doses, len(chosen), len(kinds), rows, joint, _note(results))


@dataclass(frozen=True, slots=True)
class _Counts:
    """Which draw each case is of."""

    draw_of: NDArray[np.intp]
    draws: int

    def row(
        self,
        quantity: str,
        unit: str,
        gain: NDArray[np.float64],
        difference: NDArray[np.float64],
        beyond: int | None,
    ) -> Row:
        better = gain > 0.0
        interval = None
        share = float(better.mean())
        if self.draws:
            share = float(
                np.mean([better[self.draw_of == draw].mean() for draw in range(self.draws)])
            )
            interval = wilson_interval(share, self.draws)
        return Row(
            quantity,
            unit,
            int(better.sum()),
            int((gain < 0.0).sum()),
            beyond,
            share,
            interval,
            float(np.median(difference)),
            float(difference.min()),
            float(difference.max()),
        )


def _organs(
    results: xr.Dataset, i: int, j: int, chosen: Sequence[int]
) -> list[tuple[str, str, float, float, NDArray[np.float64]]]:
    """Of every organ and measure that both plans have: name, unit, its factor, least difference."""
    found = []
    for k, organ in enumerate(map(str, results["organ"].values)):
        for variable, what, unit, scale, least in (
            ("organ_eqd2_mean", "mean EQD2", "Gy", 1.0, SAME_GY),
            ("organ_eqd2_d003cc", "EQD2 D0.03cc", "Gy", 1.0, SAME_GY),
            ("organ_ntcp", "NTCP", "%", 100.0, SAME_PROBABILITY),
        ):
            value = _by_case(results, variable)[:, :, k]
            both = value[[i, j]][:, list(chosen)]
            difference = both[0] - both[1]
            unlikely = variable == "organ_ntcp" and not (both >= least).any()
            if np.isfinite(difference).all() and not unlikely:
                name = organ.replace("_", " ")
                found.append((f"{name}, {what}", unit, scale, least, difference))
    return found


def _by_case(results: xr.Dataset, variable: str) -> NDArray[np.float64]:
    """A variable of organs in every case, shape (scenario, case, organ)."""
    if f"{variable}{BY_CASE}" in results:
        return np.asarray(results[f"{variable}{BY_CASE}"].values, np.float64)
    cases = results.sizes["case"]
    if variable not in results:  # results of earlier versions have no probability
        shape = results.sizes["scenario"], cases, results.sizes["organ"]
        return np.full(shape, np.nan)
    value = np.asarray(results[variable].values, np.float64)
    return np.repeat(value[:, None, :], cases, axis=1)


def _note(results: xr.Dataset) -> str:
    grades = json.loads(results.attrs.get("organ_evidence", "{}"))
    weak = [name.replace("_", " ") for name, grade in grades.items() if grade in "CD"]
    if not weak:
        return ""
    return f"EQD2 and NTCP of organs rest on values of grade C or D: {', '.join(weak)}."
