"""Poisson likelihood of colony counts, with one plating efficiency an experiment eliminated.

Colonies of dish i are Poisson with mean ``n_i p_e exp(-x_i . theta)``: n_i cells seeded, p_e
the plating efficiency of its experiment e, and ``x_i . theta`` the logarithm of cell kill,
linear in the coefficients theta = (alpha, beta). This is a generalised linear model with
logarithmic link (Frome EL, Beauchamp JJ 1968, Biometrics 24:595 [unverified]; Braselmann H
et al. 2015, Radiat Oncol 10:223, doi 10.1186/s13014-015-0529-y). For given theta the best p_e
is ``sum y / sum n exp(-x . theta)`` over the experiment; what is left is convex in theta.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twin.errors import NotConverged

__all__ = ["ColonyLikelihood", "minimum_along"]

Floats = NDArray[np.float64]

_MOST_STEPS = 200
_TOLERANCE = 1e-10  # of the deviance, and of a place on a line


@dataclass(frozen=True, slots=True)
class ColonyLikelihood:
    """Deviance of one curve and its derivatives.

    Parameters
    ----------
    colonies, cells : ndarray, [1], shape (dish,)
    experiment : ndarray of int, shape (dish,)
        Numbers from 0.
    basis : ndarray, shape (dish, coefficient)
        What multiplies each coefficient in the logarithm of cell kill, at least 0.
    """

    colonies: Floats
    cells: Floats
    experiment: NDArray[np.intp]
    basis: Floats

    def _sums(self, values: Floats) -> Floats:
        return np.bincount(self.experiment, values).astype(np.float64)

    def plating_efficiency(self, theta: Floats) -> Floats:
        """Best plating efficiency of each experiment, [1], shape (experiment,)."""
        surviving = self.cells * np.exp(-self.basis @ theta)
        return np.asarray(self._sums(self.colonies) / self._sums(surviving))

    def expected(self, theta: Floats) -> Floats:
        """Expected colonies, shape (dish,)."""
        exponent = -self.basis @ theta
        surviving = self.cells * np.exp(exponent)
        total = self._sums(surviving)
        return np.asarray(surviving * (self._sums(self.colonies) / total)[self.experiment])

    def deviance(self, theta: Floats) -> float:
        """Twice the distance to the likelihood of a perfect fit."""
        y, mu = self.colonies, self.expected(theta)
        counted = y > 0
        ratio = np.log(y[counted] / np.maximum(mu[counted], 1e-300))
        return float(2.0 * (np.sum(y[counted] * ratio) - np.sum(y - mu)))

    def log_likelihood(self, theta: Floats) -> float:
        """Poisson log-likelihood with its constant, for comparison between models."""
        from scipy.special import gammaln

        y, mu = self.colonies, self.expected(theta)
        counted = y > 0
        logs = np.sum(y[counted] * np.log(np.maximum(mu[counted], 1e-300)))
        return float(logs - np.sum(mu + gammaln(y + 1.0)))

    def pearson(self, theta: Floats) -> float:
        """Pearson's chi-squared, ``sum (y - mu)^2 / mu``."""
        mu = self.expected(theta)
        return float(np.sum((self.colonies - mu) ** 2 / np.maximum(mu, 1e-300)))

    def slope(self, theta: Floats) -> tuple[Floats, Floats]:
        """Gradient and Hessian of the deviance with respect to theta."""
        mu = self.expected(theta)
        x = self.basis
        gradient = 2.0 * (x.T @ (self.colonies - mu))
        weighted = mu[:, None] * x
        means = np.stack([self._sums(column) for column in weighted.T])
        hessian = x.T @ weighted - (means / self._sums(mu)) @ means.T
        return np.asarray(gradient), np.asarray(2.0 * hessian)

    def fit(self) -> Floats:
        """Coefficients of maximum likelihood, none below 0 (Newton's method, projected).

        Raises
        ------
        NotConverged
        """
        theta = np.full(self.basis.shape[1], 0.1) / np.maximum(self.basis.max(axis=0), 1e-12)
        value = self.deviance(theta)
        for _ in range(_MOST_STEPS):
            gradient, hessian = self.slope(theta)
            free = ~((theta <= 0.0) & (gradient > 0.0))
            if not free.any():
                return theta
            inside = hessian[np.ix_(free, free)]
            ridge = 1e-12 * np.diag(np.diag(inside) + 1e-300)
            step = np.zeros_like(theta)
            step[free] = np.linalg.solve(inside + ridge, -gradient[free])
            promised = -float(gradient @ step)
            if promised <= _TOLERANCE * (1.0 + abs(value)) * 1e-2:
                return theta
            length = 1.0
            while length > 1e-12:
                tried = np.maximum(theta + length * step, 0.0)
                lower = self.deviance(tried)
                if lower <= value - 1e-4 * float(gradient @ (theta - tried)):
                    break
                length *= 0.5
            else:
                return theta  # no step lowers it: rounding is reached
            theta, value = tried, lower
        raise NotConverged(
            f"The survival curve did not settle within {_MOST_STEPS} steps; check the table "
            "for dishes that contradict one another."
        )

    def least_along(
        self, start: Floats, direction: Floats, high: float = math.inf
    ) -> tuple[float, Floats]:
        """Least deviance at ``start + t direction`` with t from 0 to `high`, and where it is."""

        def on_line(t: float) -> tuple[float, float]:
            gradient, hessian = self.slope(start + t * direction)
            return float(gradient @ direction), float(direction @ hessian @ direction)

        theta = start + minimum_along(on_line, high) * direction
        return self.deviance(theta), theta


def minimum_along(slope: Callable[[float], tuple[float, float]], high: float) -> float:
    """Place of the least value of a convex function on [0, high], by its slope and curvature.

    Parameters
    ----------
    slope : callable
        First and second derivative at a place.
    high : float
        May be infinite where the function grows without end.

    Raises
    ------
    NotConverged

    Examples
    --------
    >>> round(minimum_along(lambda t: (2 * (t - 3), 2.0), float("inf")), 9)
    3.0
    >>> minimum_along(lambda t: (2 * (t + 3), 2.0), 10.0)
    0.0
    """
    first, curvature = slope(0.0)
    if first >= 0.0:
        return 0.0
    if math.isfinite(high) and slope(high)[0] <= 0.0:
        return high
    low, t = 0.0, (-first / curvature if curvature > 0.0 else 1.0)
    top = high
    for _ in range(_MOST_STEPS):
        if not low < t < top:
            t = 0.5 * (low + top) if math.isfinite(top) else 2.0 * low + 1.0
        first, curvature = slope(t)
        if first < 0.0:
            low = t
        else:
            top = t
        step = -first / curvature if curvature > 0.0 else math.inf
        if abs(step) <= _TOLERANCE * (abs(t) + 1e-9) or top - low <= _TOLERANCE * t:
            return t
        t += step
    raise NotConverged("A profile of the likelihood did not settle; check the table.")
