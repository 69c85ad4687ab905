"""Marginal likelihood of tumour volumes: animals are random, small volumes are censored.

The logarithm of a measured volume is normal about the animal's curve with deviation sigma;
one at or below the limit of the calipers says only that it is that small (Tobin J 1958,
Econometrica 26:24 [unverified]). Each animal has its own first volume (log-normal, tau_0)
and its own net growth rate (normal, tau_1), independent of each other. Both are integrated
out by adaptive Gauss-Hermite quadrature about each animal's own best values (Pinheiro JC,
Bates DM 1995, J Comput Graph Stat 4:12 [unverified]); the gradient is the mean of the
complete data's over the same nodes (Fisher's identity).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvers.fitting.growth_laws import Law, log_growth_slopes

__all__ = ["GrowthLikelihood"]

Floats = NDArray[np.float64]

_NODES = 15  # a direction: errors of 1e-6 where a quarter of the rows is censored
_INNER_STEPS = 40
_LOG_2PI = math.log(2.0 * math.pi)


@dataclass(frozen=True, slots=True)
class GrowthLikelihood:
    """Log-likelihood of a law and its gradient.

    The parameters are, in order: mean ln of the first volume, growth rate, one kill rate a
    treated group, slowing (none for exponential growth), and the logarithms of tau_0, tau_1
    and sigma. Times are in the unit that the rates are per.

    Parameters
    ----------
    law : "exponential", "gompertz" or "logistic"
    time : ndarray, shape (row,)
    log_volume : ndarray, shape (row,)
        The logarithm of the limit where censored.
    censored : ndarray of bool, shape (row,)
    animal : ndarray of int, shape (row,)
        From 0.
    group : ndarray of int, shape (animal,)
        0 for the control, which has no kill rate.
    groups : int
    """

    law: Law
    time: Floats
    log_volume: Floats
    censored: NDArray[np.bool_]
    animal: NDArray[np.intp]
    group: NDArray[np.intp]
    groups: int

    @property
    def size(self) -> int:
        """Number of parameters."""
        return 2 + (self.groups - 1) + (self.law != "exponential") + 3

    @property
    def slowing_place(self) -> int | None:
        """Where the slowing stands among the parameters."""
        return None if self.law == "exponential" else self.groups + 1

    def _split(self, values: Floats) -> tuple[float, Floats, float, float, float, float]:
        """Mean, net rate by animal, slowing, and the three deviations."""
        kills = np.concatenate([[0.0], values[2 : self.groups + 1]])
        place = self.slowing_place
        slowing = 0.0 if place is None else float(values[place])
        tau_0, tau_1, sigma = np.exp(values[-3:])
        return (
            float(values[0]), values[1] - kills[self.group], slowing,
            float(tau_0), float(tau_1), float(sigma),
        )  # fmt: skip

    def _rows(self, eta: Floats, sigma: float) -> tuple[Floats, Floats, Floats, Floats]:
        """Log-density of rows, first and minus second derivative by eta, first by ln sigma."""
        from scipy.special import log_ndtr

        z = (self.log_volume[:, None] - eta) / sigma
        density = -0.5 * z**2 - math.log(sigma) - 0.5 * _LOG_2PI
        first, second, spread = z / sigma, np.full_like(z, sigma**-2), z**2 - 1.0
        held = self.censored
        if held.any():
            low = z[held]
            log_below = log_ndtr(low)
            # Density over tail grows only linearly, so its logarithm is taken first.
            mills = np.exp(-0.5 * low**2 - 0.5 * _LOG_2PI - log_below)
            density[held] = log_below
            first[held] = -mills / sigma
            # Between 0 and 1 over sigma squared; far in the tail its terms cancel.
            second[held] = np.clip(mills * (mills + low), 0.0, 1.0) / sigma**2
            spread[held] = -mills * low
        return density, first, second, spread

    def _by_animal(self, values: Floats) -> Floats:
        """Sums of rows, shape (animal, ...)."""
        out = np.zeros((len(self.group), *values.shape[1:]))
        np.add.at(out, self.animal, values)
        return out

    def _posterior(self, values: Floats) -> tuple[Floats, Floats]:
        """Each animal's best two effects in deviations, and a square root of their spread."""
        mean, net, slowing, tau_0, tau_1, sigma = self._split(values)
        effects = np.zeros((len(self.group), 2))

        def curves(at: Floats) -> tuple[Floats, Floats]:
            y, by_start, by_net, _ = log_growth_slopes(
                self.law, self.time, tau_0 * at[self.animal, 0],
                net[self.animal] + tau_1 * at[self.animal, 1], slowing,
            )  # fmt: skip
            return mean + y, np.column_stack([tau_0 * by_start, tau_1 * by_net])

        def height(at: Floats) -> Floats:
            density = self._rows(curves(at)[0][:, None], sigma)[0]
            return self._by_animal(density)[:, 0] - 0.5 * np.sum(at**2, axis=1)

        level = height(effects)
        for _ in range(_INNER_STEPS):
            eta, slopes = curves(effects)
            _, first, second, _ = self._rows(eta[:, None], sigma)
            gradient = self._by_animal(first * slopes) - effects
            precision = self._precision(second, slopes)
            root = _inverse_root(precision)
            step = np.einsum("aij,akj,ak->ai", root, root, gradient)
            length = np.ones(len(effects))
            for _ in range(20):
                tried = height(effects + length[:, None] * step)
                worse = ~(tried >= level - 1e-9 * (1.0 + np.abs(level)))
                if not worse.any():
                    break
                length[worse] *= 0.5
            effects = effects + length[:, None] * step
            level = height(effects)
            if float(np.max(np.abs(length[:, None] * step), initial=0.0)) < 1e-7:
                break
        eta, slopes = curves(effects)
        precision = self._precision(self._rows(eta[:, None], sigma)[2], slopes)
        return effects, _inverse_root(precision)

    def _precision(self, second: Floats, slopes: Floats) -> Floats:
        products = second[:, :, None] * slopes[:, :, None] * slopes[:, None, :]
        return np.eye(2) + self._by_animal(products)

    def value_and_slope(self, values: Floats) -> tuple[float, Floats]:
        """Log-likelihood and its gradient, shape (parameter,)."""
        mean, net, slowing, tau_0, tau_1, sigma = self._split(values)
        centre, factor = self._posterior(values)
        nodes, log_weights = _grid()
        # Effects in deviations, shape (animal, node, 2).
        at = centre[:, None, :] + np.einsum("aij,nj->ani", factor, nodes)
        y, _, by_net, by_slowing = log_growth_slopes(
            self.law, self.time[:, None], tau_0 * at[self.animal, :, 0],
            net[self.animal, None] + tau_1 * at[self.animal, :, 1], slowing,
        )  # fmt: skip
        density, first, _, spread = self._rows(mean + y, sigma)
        joint = self._by_animal(density) - 0.5 * np.sum(at**2, axis=2) - _LOG_2PI
        joint += log_weights + np.log(factor[:, 0, 0] * factor[:, 1, 1])[:, None]
        top = joint.max(axis=1, keepdims=True)
        weight = np.exp(joint - top)
        total = weight.sum(axis=1, keepdims=True)
        value = float(np.sum(top + np.log(total)))
        weight /= total
        own = weight[self.animal]
        slope = np.zeros(self.size)
        slope[0] = np.sum(own * first)
        rate = np.sum(own * first * by_net, axis=1)
        slope[1] = rate.sum()
        by_group = np.bincount(self.group[self.animal], rate, minlength=self.groups)
        slope[2 : self.groups + 1] = -by_group[1:]
        if self.slowing_place is not None:
            slope[self.slowing_place] = np.sum(own * first * by_slowing)
        # Effects of the animals are normal with deviation tau: d ln p / d ln tau = u^2 - 1.
        slope[-3:-1] = np.sum(weight[:, :, None] * (at**2 - 1.0), axis=(0, 1))
        slope[-1] = np.sum(own * spread)
        return value, slope


def _inverse_root(precision: Floats) -> Floats:
    """R with ``R R^T`` the inverse of each 2 x 2 matrix, which is the unit matrix or larger.

    Upper triangular, the transposed inverse of the Cholesky factor; written out, because
    calls of LAPACK for so small matrices are slow.
    """
    first = np.sqrt(precision[:, 0, 0])
    below = precision[:, 0, 1] / first
    second = np.sqrt(np.maximum(precision[:, 1, 1] - below**2, 1.0))  # no less, but for rounding
    root = np.zeros_like(precision)
    root[:, 0, 0] = 1.0 / first
    root[:, 1, 1] = 1.0 / second
    root[:, 0, 1] = -below / (first * second)
    return root


def _grid() -> tuple[Floats, Floats]:
    """Nodes in two dimensions and logarithms of their weights over the standard normal's kernel."""
    node, weight = np.polynomial.hermite_e.hermegauss(_NODES)
    both = np.array([(a, b) for a in node for b in node])
    logs = np.array([math.log(v) + math.log(w) for v in weight for w in weight])
    return both, logs + 0.5 * np.sum(both**2, axis=1)
