"""Growth and kill rates of tumours in animals, by marginal maximum likelihood."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solvers.fitting.estimate import Estimate
from solvers.fitting.growth_laws import (
    LAWS,
    Law,
    final_volume,
    law_name,
    log_growth,
    time_to_multiple,
)
from solvers.fitting.growth_likelihood import GrowthLikelihood
from solvers.fitting.growth_search import best_of
from solvers.fitting.tumour_volumes import TumourVolumes
from twin.errors import InvalidInput, NotConverged

__all__ = ["GrowthFit", "LawFit", "fit_growth", "typical_curve"]

Floats = NDArray[np.float64]

_log = logging.getLogger(__name__)
_DRAWS = 4000
#: Differences of AIC below it do not tell two laws apart; a convention (Burnham KP, Anderson
#: DR 2002, Model selection and multimodel inference [unverified]).
_AIC_MATTERS = 2.0


@dataclass(frozen=True, slots=True)
class LawFit:
    """One law fitted to all groups together.

    Parameters
    ----------
    law : "exponential", "gompertz" or "logistic"
    first_volume : Estimate, [mm3]
        Of the typical animal at the start.
    growth_rate : Estimate, [1/day]
        Without kill, at the first volume.
    doubling_time : Estimate, [day]
        ``ln 2 / growth_rate``.
    slowing : Estimate, [1/day], or None
        See `solvers.fitting.growth_laws`.
    final_volume : Estimate, [mm3], or None
        At which growth stops; infinite where the data do not bound it.
    kill_rate : mapping of str to Estimate, [1/day]
        Of each treated group, constant from the start on; below 0 if it grows faster.
    growth_delay : mapping of str to Estimate, [day]
        How much later than the control the typical tumour has `multiple` times its first
        volume; infinite where it never has.
    control_time : Estimate, [day]
        When the control has.
    spread_first_volume : float, [1]
        Deviation of the logarithm of the first volume between animals.
    spread_rate : float, [1/day]
        Deviation of the net growth rate between animals.
    error : float, [1]
        Deviation of the logarithm of a measured volume.
    log_likelihood, aic : float
    parameters : int
    values : ndarray, shape (parameter,)
        In the order of `GrowthLikelihood`, times in days.
    covariance : ndarray, shape (parameter, parameter)
        0 for parameters at a bound.
    notes : tuple of str
    """

    law: Law
    first_volume: Estimate
    growth_rate: Estimate
    doubling_time: Estimate
    slowing: Estimate | None
    final_volume: Estimate | None
    kill_rate: Mapping[str, Estimate]
    growth_delay: Mapping[str, Estimate]
    control_time: Estimate
    spread_first_volume: float
    spread_rate: float
    error: float
    log_likelihood: float
    aic: float
    parameters: int
    values: Floats
    covariance: Floats
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GrowthFit:
    """All laws that could be fitted, the one of least AIC first.

    Parameters
    ----------
    laws : tuple of LawFit
    confidence : float
    multiple : float, [1]
        Of the first volume, in growth delays.
    degrees_of_freedom : int
        Of the quantile of Student's t in the intervals: animals less groups.
    sentence : str
        What the comparison of laws says, and which law did not settle.
    """

    laws: tuple[LawFit, ...]
    confidence: float
    multiple: float
    degrees_of_freedom: int
    sentence: str

    @property
    def best(self) -> LawFit:
        """The law of least AIC."""
        return self.laws[0]


def fit_growth(
    volumes: TumourVolumes,
    *,
    laws: Sequence[Law] = LAWS,
    multiple: float = 4.0,
    confidence: float = 0.95,
    seed: int = 0,
) -> GrowthFit:
    """Fit growth laws with a kill rate a treated group.

    First volume and net rate vary between animals (see `GrowthLikelihood`); an animal that
    leaves early adds what was measured of it, which biases nothing where it left for its
    measured size. Rates have intervals of Wald's form with Student's t (degrees of freedom:
    animals less groups); delays and final volumes come from draws of the same distribution.

    Parameters
    ----------
    volumes : TumourVolumes
    laws : sequence of str
        Any of ``"exponential"``, ``"gompertz"``, ``"logistic"``.
    multiple : float, [1]
        Growth delay is read where the typical tumour has so many times its first volume.
    confidence : float
        Of the intervals, from 0.5 to below 1.
    seed : int
        Of the draws.

    Raises
    ------
    InvalidInput
        An unknown law, a multiple of 1 or less.
    NotConverged
        No law could be fitted.

    Examples
    --------
    >>> from solvers.fitting.tumour_volumes import tumour_volumes
    >>> rng = np.random.default_rng(1)
    >>> days = np.tile(np.arange(0.0, 22.0, 3.0), 6)
    >>> names = np.repeat(list("abcdef"), 8)
    >>> measured = 100.0 * np.exp(0.1 * days + 0.05 * rng.normal(size=48))
    >>> data = tumour_volumes(names, ["control"] * 48, days, measured)
    >>> found = fit_growth(data, laws=["exponential"]).best
    >>> bool(found.growth_rate.low < 0.1 < found.growth_rate.high)
    True
    """
    if not laws or not set(laws) <= set(LAWS) or len(set(laws)) < len(laws):
        raise InvalidInput(f"Laws are {list(laws)}; give some of {', '.join(LAWS)}, each once.")
    if not 1.0 < multiple < math.inf:
        raise InvalidInput(f"The multiple of the first volume is {multiple}; it must exceed 1.")
    if not 0.5 <= confidence < 1.0:
        raise InvalidInput(f"The confidence is {confidence}; give at least 0.5 and less than 1.")
    freedom = max(volumes.animals - len(volumes.groups), 1)
    found, failed = [], []
    for law in laws:
        try:
            fitted = _fit_law(volumes, law, multiple, confidence, freedom, seed)
        except NotConverged as error:
            failed.append((law, error))
            continue
        _log.debug("%s: AIC %.2f", law, fitted.aic)
        found.append(fitted)
    if not found:
        raise failed[0][1]
    found.sort(key=lambda one: one.aic)
    sentence = _comparison(found)
    if failed:
        sentence += f"; {' and '.join(law_name(law) for law, _ in failed)} growth did not settle"
    return GrowthFit(tuple(found), confidence, multiple, freedom, sentence)


def _comparison(found: Sequence[LawFit]) -> str:
    if len(found) == 1:
        return f"only {law_name(found[0].law)} growth was fitted"
    best = law_name(found[0].law)
    near = [law_name(one.law) for one in found[1:] if one.aic - found[0].aic < _AIC_MATTERS + 0.01]
    if near:
        return f"{best} growth fits best, not told apart from {' and '.join(near)}"
    return f"{best} growth fits best, by {found[1].aic - found[0].aic:.1f} of AIC"


def _fit_law(
    volumes: TumourVolumes, law: Law, multiple: float, confidence: float, freedom: int, seed: int
) -> LawFit:
    from scipy.stats import t as student

    length = float(volumes.time.max())  # rates are per this time while searching
    likelihood = GrowthLikelihood(
        law=law,
        time=volumes.time / length,
        log_volume=np.log(volumes.volume),
        censored=volumes.censored,
        animal=volumes.animal,
        group=volumes.group,
        groups=len(volumes.groups),
    )
    best = best_of(likelihood)
    scale = np.ones(likelihood.size)
    scale[1 : likelihood.size - 3] = 1.0 / length
    values = best.values * scale
    values[-2] -= math.log(length)
    covariance = best.covariance * np.outer(scale, scale)
    wide = float(student.ppf(0.5 * (1.0 + confidence), freedom))
    half = wide * np.sqrt(np.diag(covariance))
    ends = [
        Estimate(float(v), float(v - h), float(v + h)) for v, h in zip(values, half, strict=True)
    ]
    draws = _draws(values, covariance, freedom, seed)
    place = likelihood.slowing_place
    slow = np.zeros(_DRAWS) if place is None else np.maximum(draws[:, place], 0.0)
    slowing = 0.0 if place is None else float(values[place])
    reads = _Reads(law, multiple, confidence, slowing, slow)
    rate, rates = float(values[1]), draws[:, 1]
    kills = {name: number + 1 for number, name in enumerate(volumes.groups) if number}
    first = Estimate(*(math.exp(x) for x in (ends[0].value, ends[0].low, ends[0].high)))
    slowed = None
    final = None
    if place is not None:
        slowed = ends[place]
        if slowing > 0.0:
            slowed = replace(slowed, low=max(0.0, slowed.low))
        else:  # at its bound: by the profile
            slowed = Estimate(0.0, 0.0, best.upper_end(likelihood, place, 0.5 * wide**2) / length)
        final = reads.interval(
            final_volume(law, first.value, rate, slowing),
            np.array(
                [
                    final_volume(law, math.exp(a), b, c)
                    for a, b, c in zip(draws[:, 0], rates, slow, strict=True)
                ]
            ),
        )
        if slowing == 0.0:
            final = replace(final, low=final_volume(law, first.value, rate, slowed.high))
        if slowed.low == 0.0:
            final = replace(final, high=math.inf)
    return LawFit(
        law=law,
        first_volume=first,
        growth_rate=ends[1],
        doubling_time=_doubling(ends[1]),
        slowing=slowed,
        final_volume=final,
        kill_rate=MappingProxyType({name: ends[at] for name, at in kills.items()}),
        growth_delay=MappingProxyType(
            {
                name: reads.delay(rate, rates, rate - values[at], rates - draws[:, at])
                for name, at in kills.items()
            }
        ),
        control_time=reads.interval(reads.time(rate), reads.times(rates)),
        spread_first_volume=float(math.exp(values[-3])),
        spread_rate=float(math.exp(values[-2])),
        error=float(math.exp(values[-1])),
        log_likelihood=best.log_likelihood,
        aic=2.0 * likelihood.size - 2.0 * best.log_likelihood,
        parameters=likelihood.size,
        values=values,
        covariance=covariance,
        notes=best.notes,
    )


def _draws(values: Floats, covariance: Floats, freedom: int, seed: int) -> Floats:
    """Multivariate t about the estimates, shape (draw, parameter)."""
    rng = np.random.default_rng(seed)
    lengths, ways = np.linalg.eigh(covariance)
    normal = rng.normal(size=(_DRAWS, len(values))) * np.sqrt(np.maximum(lengths, 0.0))
    heavy = np.sqrt(freedom / rng.chisquare(freedom, _DRAWS))
    return np.asarray(values + heavy[:, None] * (normal @ ways.T))


def _doubling(rate: Estimate) -> Estimate:
    two = math.log(2.0)
    ends = [two / end if end > 0.0 else math.inf for end in (rate.value, rate.high, rate.low)]
    return Estimate(*ends)


@dataclass(frozen=True, slots=True)
class _Reads:
    """Times to a multiple of the first volume, of the estimate and of the draws."""

    law: Law
    multiple: float
    confidence: float
    slowing: float
    slow: Floats

    def time(self, net: float) -> float:
        return float(
            time_to_multiple(self.law, self.multiple, np.array([net]), np.array([self.slowing]))[0]
        )

    def times(self, nets: Floats) -> Floats:
        return time_to_multiple(self.law, self.multiple, nets, self.slow)

    def interval(self, value: float, draws: Floats) -> Estimate:
        known = np.sort(draws[~np.isnan(draws)])
        tail = 0.5 * (1.0 - self.confidence)
        low, high = (
            known[min(int(part * len(known)), len(known) - 1)] for part in (tail, 1.0 - tail)
        )
        return Estimate(value, float(low), float(high))

    def delay(self, rate: float, rates: Floats, net: float, nets: Floats) -> Estimate:
        """Later than the control; unknown where the control itself never gets there."""
        control = self.time(rate)
        if control == math.inf:
            return Estimate(math.nan, math.nan, math.nan)
        reached = self.times(rates)
        there = reached < math.inf
        return self.interval(self.time(net) - control, self.times(nets)[there] - reached[there])


def typical_curve(
    volumes: TumourVolumes, fit: LawFit, group: str, time: ArrayLike, *, confidence: float = 0.95,
    seed: int = 0,
) -> tuple[Floats, Floats, Floats]:  # fmt: skip
    """Volume of a group's typical animal, with the band of its uncertainty, [mm3].

    Parameters
    ----------
    volumes : TumourVolumes
    fit : LawFit
    group : str
    time : array_like, [day], shape (point,)
        Since the start.
    confidence : float
        Of the pointwise band; the spread between animals is not in it.
    seed : int

    Raises
    ------
    InvalidInput
        No such group.
    """
    if group not in volumes.groups:
        raise InvalidInput(f"There is no group {group!r}; there are {', '.join(volumes.groups)}.")
    at = np.atleast_1d(np.asarray(time, np.float64))
    number = volumes.groups.index(group)
    freedom = max(volumes.animals - len(volumes.groups), 1)
    rows = np.vstack([fit.values, _draws(fit.values, fit.covariance, freedom, seed)[:400]])
    net = rows[:, 1] - (rows[:, 1 + number] if number else 0.0)
    slow = np.zeros(len(rows))
    if fit.law != "exponential":
        slow = np.maximum(rows[:, len(volumes.groups) + 1], 0.0)
    curves = np.exp(
        [
            row[0] + log_growth(fit.law, at, np.zeros(()), np.array(one), float(s))
            for row, one, s in zip(rows, net, slow, strict=True)
        ]
    )
    tail = 50.0 * (1.0 - confidence)
    low, high = np.percentile(curves[1:], [tail, 100.0 - tail], axis=0)
    return np.asarray(curves[0]), np.asarray(low), np.asarray(high)
