"""The greatest marginal likelihood: quasi-Newton from several starts, then Newton's method."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvers.fitting.growth_likelihood import GrowthLikelihood
from twin.errors import NotConverged

__all__ = ["Optimum", "best_of"]

Floats = NDArray[np.float64]

_LOG_LEAST, _LOG_MOST = -8.0, 2.0  # of tau and sigma
_FAST, _MOST_SLOWING = 40.0, 30.0  # e-foldings over the time of the experiment
_NEGLIGIBLE = math.log(3e-3)  # a deviation below it is as good as none
_STARTS_OF_SLOWING = (0.1, 1.5)
_DIFFERENCE = 1e-4
_DECREMENT = 1e-6  # of the log-likelihood, that a further Newton step would gain


@dataclass(frozen=True, slots=True)
class Optimum:
    """Estimates, their covariance (0 at a bound), the log-likelihood and what to say."""

    values: Floats
    covariance: Floats
    log_likelihood: float
    notes: tuple[str, ...]

    def upper_end(self, likelihood: GrowthLikelihood, place: int, drop: float) -> float:
        """Value of a parameter at which the likelihood, all else at its best, fell by `drop`."""
        from scipy.optimize import brentq

        start = self.values.copy()

        def fallen(value: float) -> float:
            begin = start.copy()
            begin[place] = value
            values, level = _climb(likelihood, begin, fixed=[place])
            start[:] = values
            return self.log_likelihood - level - drop

        top = 0.05
        while fallen(top) < 0.0:
            top *= 2.0
            if top > _MOST_SLOWING:
                return math.inf
        return float(brentq(fallen, 0.0 if top == 0.05 else 0.5 * top, top, rtol=1e-4))


def _bounds(likelihood: GrowthLikelihood, fixed: Sequence[int], at: Floats) -> Floats:
    bounds = np.tile([-_FAST, _FAST], (likelihood.size, 1))
    bounds[0] = -30.0, 30.0
    if likelihood.slowing_place is not None:
        bounds[likelihood.slowing_place] = 0.0, _MOST_SLOWING
    bounds[-3:] = _LOG_LEAST, _LOG_MOST
    for place in fixed:
        bounds[place] = at[place]
    return bounds


def _climb(
    likelihood: GrowthLikelihood, start: Floats, fixed: Sequence[int] = ()
) -> tuple[Floats, float]:
    from scipy.optimize import minimize

    bounds = _bounds(likelihood, fixed, start)

    def down(values: Floats) -> tuple[float, Floats]:
        value, slope = likelihood.value_and_slope(values)
        return -value, -slope

    found = minimize(
        down,
        np.clip(start, bounds[:, 0], bounds[:, 1]),
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": 500, "ftol": 1e-12, "gtol": 1e-6},
    )
    return np.asarray(found.x, np.float64), -float(found.fun)


def _first_guess(likelihood: GrowthLikelihood) -> Floats:
    """Least squares of straight lines through the logarithms, censored at their limit."""
    number = likelihood.group[likelihood.animal]
    design = np.zeros((len(likelihood.time), likelihood.groups + 1))
    design[:, 0], design[:, 1] = 1.0, likelihood.time
    for group in range(1, likelihood.groups):
        design[number == group, 1 + group] = -likelihood.time[number == group]
    line, *_ = np.linalg.lstsq(design, likelihood.log_volume, rcond=None)
    off = likelihood.log_volume - design @ line
    spread = math.log(max(float(np.std(off)), 0.05))
    slow = [] if likelihood.slowing_place is None else [0.0]
    return np.concatenate([line, slow, [spread - 0.3, spread - 0.3, spread - 0.7]])


def best_of(likelihood: GrowthLikelihood) -> Optimum:
    """Return the greatest likelihood found.

    Raises
    ------
    NotConverged
        Newton's method would still gain, or the estimates have no curvature.
    """
    guess = _first_guess(likelihood)
    place = likelihood.slowing_place
    starts = [guess]
    if place is not None:
        starts = []
        for slowing in _STARTS_OF_SLOWING:
            start = guess.copy()
            start[place] = slowing
            start[1] += 0.5 * slowing
            starts.append(start)
    values, level = max((_climb(likelihood, start) for start in starts), key=lambda one: one[1])
    fixed: list[int] = []
    notes = []
    names = {-3: "first volumes", -2: "growth rates"}
    for which, name in names.items():
        if values[which] < _NEGLIGIBLE:
            fixed.append(likelihood.size + which)
            notes.append(f"the {name} of animals do not differ beyond the error of measurement")
    if fixed:
        values[fixed] = _LOG_LEAST
        values, level = _climb(likelihood, values, fixed)
    if place is not None and values[place] < 1e-6:
        values[place] = 0.0
        fixed.append(place)
        notes.append("growth does not slow down within the data")
        values, level = _climb(likelihood, values, fixed)
    free = np.setdiff1d(np.arange(likelihood.size), fixed)
    values, level, covariance = _newton(likelihood, values, free)
    return Optimum(values, covariance, level, tuple(notes))


def _newton(
    likelihood: GrowthLikelihood, values: Floats, free: NDArray[np.intp]
) -> tuple[Floats, float, Floats]:
    for _ in range(8):
        level, slope = likelihood.value_and_slope(values)
        curvature = np.empty((len(free), len(free)))
        for row, place in enumerate(free):
            ahead, behind = values.copy(), values.copy()
            ahead[place] += _DIFFERENCE
            behind[place] -= _DIFFERENCE
            difference = (
                likelihood.value_and_slope(ahead)[1] - likelihood.value_and_slope(behind)[1]
            )
            curvature[row] = -difference[free] / (2.0 * _DIFFERENCE)
        curvature = 0.5 * (curvature + curvature.T)
        try:
            np.linalg.cholesky(curvature)
        except np.linalg.LinAlgError:
            raise NotConverged(
                "The growth curves do not settle: a rate or a spread is not determined by the "
                "volumes; fit a simpler law, or give more animals or days."
            ) from None
        inverse = np.linalg.inv(curvature)
        step = inverse @ slope[free]
        if 0.5 * float(slope[free] @ step) < _DECREMENT:
            covariance = np.zeros((likelihood.size, likelihood.size))
            covariance[np.ix_(free, free)] = inverse
            return values, level, covariance
        length = 1.0
        while length > 1e-4:
            tried = values.copy()
            tried[free] += length * step
            if likelihood.value_and_slope(tried)[0] > level:
                break
            length *= 0.5
        else:
            break
        values = tried
    raise NotConverged(
        "The growth curves did not settle; fit a simpler law, or give more animals or days."
    )
