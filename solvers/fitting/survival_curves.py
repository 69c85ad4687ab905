"""alpha and beta of a cell line from colony counts, with intervals by profile likelihood."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solvers.fitting.colonies import ColonyCurve
from solvers.fitting.colony_likelihood import ColonyLikelihood
from solvers.fitting.estimate import Estimate
from twin.errors import InvalidInput

__all__ = ["Bend", "SurvivalFit", "fit_survival", "survival_band"]

Floats = NDArray[np.float64]
Errors = Literal["quasi-poisson", "poisson"]

_ALPHA, _BETA = np.array([1.0, 0.0]), np.array([0.0, 1.0])
#: A difference of AIC below which two models are not told apart; a convention
#: (Burnham KP, Anderson DR 2002, Model selection and multimodel inference [unverified]).
_AIC_MATTERS = 2.0


@dataclass(frozen=True, slots=True)
class Bend:
    """The linear-quadratic-linear model beside the linear-quadratic one.

    Parameters
    ----------
    transition_dose : float, [Gy]
        Above it the curve is straight; the best between lowest and highest dose.
    alpha, beta : float, [1/Gy], [1/Gy2]
    aic_difference : float
        AIC of this model less that of the linear-quadratic, Poisson errors.
    qaicc_difference : float or None
        The same corrected for over-dispersion and for few dishes; None where too few.
    sentence : str
        What the comparison says.
    """

    transition_dose: float
    alpha: float
    beta: float
    aic_difference: float
    qaicc_difference: float | None
    sentence: str


@dataclass(frozen=True, slots=True)
class SurvivalFit:
    """Fitted linear-quadratic survival of one curve.

    Parameters
    ----------
    name : str
    alpha, beta, alpha_beta, surviving_fraction_2gy : Estimate, [1/Gy], [1/Gy2], [Gy], [1]
    confidence : float
        Of the intervals.
    errors : str
        ``"quasi-poisson"`` (intervals widened by the dispersion) or ``"poisson"``.
    plating_efficiency : mapping of str to (float, float)
        Of each experiment: as counted at dose 0, and as fitted to all its dishes.
    deviance, pearson : float
        Of the fit, Poisson.
    degrees_of_freedom : int
    dispersion : float
        ``pearson / degrees_of_freedom``; 1 for Poisson counts, NaN with none left.
    scale : float
        What the deviance is divided by in the intervals.
    fit_probability : float
        That Poisson counts deviate as far or farther; NaN with no degrees left.
    standard_errors : tuple of float
        Of alpha and beta from the curvature, [1/Gy] and [1/Gy2]; NaN at a bound.
    bend : Bend or None
    notes : tuple of str
    """

    name: str
    alpha: Estimate
    beta: Estimate
    alpha_beta: Estimate
    surviving_fraction_2gy: Estimate
    confidence: float
    errors: str
    plating_efficiency: Mapping[str, tuple[float, float]]
    deviance: float
    pearson: float
    degrees_of_freedom: int
    dispersion: float
    scale: float
    fit_probability: float
    standard_errors: tuple[float, float]
    bend: Bend | None
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Profile:
    """The likelihood at its best, and how far the deviance may rise."""

    likelihood: ColonyLikelihood
    theta: Floats
    least: float
    rise: float

    def excess(self, start: Floats, direction: Floats, high: float = math.inf) -> float:
        return self.likelihood.least_along(start, direction, high)[0] - self.least - self.rise

    def linear(self, weights: Floats) -> Estimate:
        """Interval of ``weights . theta``, weights at least 0."""
        value = float(weights @ self.theta)

        def outside(level: float) -> float:
            if (weights > 0.0).all():
                ends = np.diag(level / weights)
                return self.excess(ends[0], ends[1] - ends[0], 1.0)
            along = int(np.argmax(weights))
            other = np.zeros(2)
            other[1 - along] = 1.0
            start = np.zeros(2)
            start[along] = level / weights[along]
            return self.excess(start, other)

        unit = 1.0 / float(self.likelihood.basis.max(axis=0) @ (weights / weights.sum()))
        low = 0.0 if outside(0.0) <= 0.0 else _root(outside, 0.0, value)
        top = value + 0.1 * max(value, unit)
        while outside(top) < 0.0:
            top = value + 2.0 * (top - value)
        return Estimate(value, low, _root(outside, value, top))

    def ratio(self) -> Estimate:
        """Interval of alpha/beta: over the angle in the quadrant, from 0 to infinity."""
        scale = 1.0 / self.likelihood.basis.max(axis=0)
        angle = math.atan2(self.theta[1] / scale[1], self.theta[0] / scale[0])

        def outside(at: float) -> float:
            way = np.array([math.cos(at), math.sin(at)]) * scale
            return self.excess(np.zeros(2), np.maximum(way, 0.0))

        def ratio_at(at: float) -> float:
            way = np.array([math.cos(at), math.sin(at)]) * scale
            return float(way[0] / way[1]) if way[1] > 0.0 else math.inf

        right = 0.5 * math.pi
        high = math.inf if outside(0.0) <= 0.0 else ratio_at(_root(outside, 0.0, angle))
        low = 0.0 if outside(right) <= 0.0 else ratio_at(_root(outside, angle, right))
        alpha, beta = self.theta
        return Estimate(float(alpha / beta) if beta > 0.0 else math.inf, low, high)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    from scipy.optimize import brentq

    return float(brentq(function, low, high, xtol=1e-12, rtol=1e-9))


def _likelihood(curve: ColonyCurve, transition_dose: float = math.inf) -> ColonyLikelihood:
    curved = np.minimum(curve.dose, transition_dose)
    straight = curve.dose - curved
    quadratic = curved**2 + np.where(straight > 0.0, 2.0 * curved * straight, 0.0)
    basis = np.column_stack([curve.dose, quadratic])
    return ColonyLikelihood(curve.colonies, curve.cells, curve.experiment_number, basis)


def _freedom(curve: ColonyCurve, coefficients: int = 2) -> int:
    return len(curve.dose) - len(curve.experiments) - coefficients


def _profile(
    curve: ColonyCurve, confidence: float, errors: Errors
) -> tuple[_Profile, float, float]:
    """The profile, the dispersion and the scale of the deviance."""
    from scipy.stats import chi2
    from scipy.stats import f as f_distribution

    if not 0.5 <= confidence < 1.0:
        raise InvalidInput(f"The confidence is {confidence}; give at least 0.5 and less than 1.")
    if errors not in ("quasi-poisson", "poisson"):
        raise InvalidInput(f"Errors are {errors!r}; give 'quasi-poisson' or 'poisson'.")
    likelihood = _likelihood(curve)
    theta = likelihood.fit()
    left = _freedom(curve)
    dispersion = likelihood.pearson(theta) / left if left > 0 else math.nan
    if errors == "quasi-poisson" and left > 0:
        scale = max(1.0, dispersion)
        rise = scale * float(f_distribution.ppf(confidence, 1, left))
    else:
        scale = 1.0
        rise = float(chi2.ppf(confidence, 1))
    return _Profile(likelihood, theta, likelihood.deviance(theta), rise), dispersion, scale


def fit_survival(
    curve: ColonyCurve, *, confidence: float = 0.95, errors: Errors = "quasi-poisson"
) -> SurvivalFit:
    """Fit ``S = exp(-alpha d - beta d^2)`` to colony counts by maximum likelihood.

    Each experiment has its own plating efficiency, a parameter like the others. Intervals
    are of the profile likelihood: the values that the deviance, over the dispersion
    (Pearson, at least 1), leaves below the quantile of F(1, degrees of freedom). With
    ``errors="poisson"`` it is the quantile of chi-squared. At a bound (alpha or beta 0) they
    are conservative.

    Parameters
    ----------
    curve : ColonyCurve
    confidence : float
        Of the intervals, from 0.5 to below 1.
    errors : "quasi-poisson" or "poisson"

    Returns
    -------
    SurvivalFit

    Raises
    ------
    InvalidInput
        A confidence or kind of errors that there is not.
    NotConverged

    Examples
    --------
    Counts that follow the model exactly (200 times 0.5 and 0.1):

    >>> counts = ColonyCurve("A", [0, 2, 4], [200, 200, 200], [200, 100, 20], ["1"] * 3)
    >>> found = fit_survival(counts)
    >>> exact = (4 * math.log(2) - math.log(10)) / 4
    >>> abs(found.alpha.value - exact) < 1e-8
    True
    """
    from scipy.stats import chi2

    profile, dispersion, scale = _profile(curve, confidence, errors)
    likelihood, theta = profile.likelihood, profile.theta
    left = _freedom(curve)
    alpha, beta = profile.linear(_ALPHA), profile.linear(_BETA)
    kill = profile.linear(np.array([2.0, 4.0]))  # -ln of the surviving fraction at 2 Gy
    pearson = likelihood.pearson(theta)
    unirradiated = curve.dose == 0.0
    number = curve.experiment_number
    counted = np.bincount(number[unirradiated], curve.colonies[unirradiated]) / np.bincount(
        number[unirradiated], curve.cells[unirradiated]
    )
    fitted = likelihood.plating_efficiency(theta)
    notes = []
    if left == 0:
        notes.append(
            "as many parameters as dishes, so that the fit says nothing about its errors; "
            "intervals are of Poisson counts alone"
        )
    for symbol, found in (("alpha", alpha), ("beta", beta)):
        if found.value == 0.0:
            notes.append(f"{symbol} is at its bound 0: the counts would fit best with less")
    notes += [
        f"experiment {name} has a fitted plating efficiency above 1: its count at dose 0 is low"
        for name, one in zip(curve.experiments, fitted, strict=True)
        if one > 1.0
    ]
    return SurvivalFit(
        name=curve.name,
        alpha=alpha,
        beta=beta,
        alpha_beta=profile.ratio(),
        surviving_fraction_2gy=Estimate(
            math.exp(-kill.value), math.exp(-kill.high), math.exp(-kill.low)
        ),
        confidence=confidence,
        errors=errors,
        plating_efficiency=MappingProxyType(
            {
                name: (float(counted[place]), float(fitted[place]))
                for place, name in enumerate(curve.experiments)
            }
        ),
        deviance=profile.least,
        pearson=pearson,
        degrees_of_freedom=left,
        dispersion=dispersion,
        scale=scale,
        fit_probability=float(chi2.sf(pearson, left)) if left > 0 else math.nan,
        standard_errors=_standard_errors(likelihood, theta, scale),
        bend=_bend(curve, likelihood, theta),
        notes=tuple(notes),
    )


def _standard_errors(
    likelihood: ColonyLikelihood, theta: Floats, scale: float
) -> tuple[float, float]:
    free = theta > 0.0
    errors = np.full(2, np.nan)
    if free.any():
        information = 0.5 * likelihood.slope(theta)[1][np.ix_(free, free)]
        errors[free] = np.sqrt(scale * np.diag(np.linalg.inv(information)))
    return float(errors[0]), float(errors[1])


def _bend(curve: ColonyCurve, straight: ColonyLikelihood, theta: Floats) -> Bend | None:
    """The best linear-quadratic-linear model, None with fewer than three doses above 0."""
    from scipy.optimize import minimize_scalar

    doses = np.unique(curve.dose[curve.dose > 0.0])
    left = _freedom(curve, 3)
    if len(doses) < 3 or left < 1:
        return None

    def least(transition: float) -> float:
        one = _likelihood(curve, transition)
        return one.deviance(one.fit())

    grid = np.linspace(doses[0], doses[-1], 33)[:-1]
    values = [least(dose) for dose in grid]
    best = int(np.argmin(values))
    span = (float(grid[max(best - 1, 0)]), float([*grid, doses[-1]][best + 1]))
    found = minimize_scalar(least, bounds=span, method="bounded", options={"xatol": 1e-6})
    transition = float(found.x) if found.fun < values[best] else float(grid[best])
    bent = _likelihood(curve, transition)
    coefficients = bent.fit()
    gain = 2.0 * (bent.log_likelihood(coefficients) - straight.log_likelihood(theta))
    aic = 2.0 - gain
    corrected = None
    if left - 2 > 0:  # parameters include the dispersion
        scale = max(1.0, bent.pearson(coefficients) / left)
        dishes, more = len(curve.dose), len(curve.experiments) + 4
        extra = [2.0 * k + 2.0 * k * (k + 1) / (dishes - k - 1) for k in (more - 1, more)]
        corrected = -gain / scale + extra[1] - extra[0]
    return Bend(
        transition_dose=transition,
        alpha=float(coefficients[0]),
        beta=float(coefficients[1]),
        aic_difference=aic,
        qaicc_difference=corrected,
        sentence=_comparison(aic if corrected is None else corrected, transition),
    )


def _comparison(difference: float, transition: float) -> str:
    if difference <= -_AIC_MATTERS:
        return f"the curve is straighter at high dose: linear above {transition:.1f} Gy fits better"
    if difference >= _AIC_MATTERS:
        return "the linear-quadratic model fits better than one that is linear at high dose"
    return "the counts do not tell whether the curve is linear at high dose"


def survival_band(
    curve: ColonyCurve,
    dose: ArrayLike,
    *,
    confidence: float = 0.95,
    errors: Errors = "quasi-poisson",
) -> tuple[Floats, Floats, Floats]:
    """Surviving fraction at doses: fitted, lowest and highest, pointwise by profile, [1].

    Parameters
    ----------
    curve : ColonyCurve
    dose : array_like, [Gy], shape (point,)
        At least 0.
    confidence, errors
        As in `fit_survival`.

    Examples
    --------
    >>> counts = ColonyCurve("A", [0, 2, 4], [200, 200, 200], [200, 100, 20], ["1"] * 3)
    >>> fitted, low, high = survival_band(counts, [0.0, 2.0])
    >>> fitted.round(6).tolist(), bool(low[1] < 0.5 < high[1])
    ([1.0, 0.5], True)
    """
    doses = np.atleast_1d(np.asarray(dose, np.float64))
    if not ((doses >= 0.0) & np.isfinite(doses)).all():
        raise InvalidInput("A dose of the band is negative or not finite; give doses from 0 Gy.")
    profile, _, _ = _profile(curve, confidence, errors)
    rows = [
        profile.linear(np.array([one, one * one])) if one > 0.0 else Estimate(0.0, 0.0, 0.0)
        for one in doses
    ]
    fitted, high, low = (np.exp([-getattr(row, key) for row in rows]) for key in _BAND)
    return np.asarray(fitted), np.asarray(low), np.asarray(high)


_BAND = ("value", "low", "high")
