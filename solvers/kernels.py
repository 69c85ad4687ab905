"""Compiled loops of one time step, for real or complex numbers; each frees the interpreter."""

from __future__ import annotations

import math

import numpy as np

from solvers.sliced_rows import LANES
from twin.compiled import compiled, compiled_sums

#: A density below this is an error, not rounding.
NEGATIVE_TOLERANCE = -1e-12

__all__ = ["NEGATIVE_TOLERANCE", "crowded_stage", "react_at_length", "slope_of", "stage", "survive"]


@compiled
def react_at_length(viable, dead, necrosis, tau, rate, kill, decay, half_decay, mean_decay):
    """Logistic growth with a dead pool over a step of any length, for the surrogate's shells."""
    wrong = 0
    for i in range(viable.shape[0]):
        u, d = viable[i], dead[i]
        wrong += not u >= NEGATIVE_TOLERANCE
        crowd = necrosis[i] + d * mean_decay + 0.5 * tau * kill * u
        a = rate * (1.0 - crowd) - kill
        x = a * tau
        integral = tau if abs(x) < 1e-15 else math.expm1(x) / a
        z = rate * u * integral
        viable[i] = u * math.exp(x) / (1.0 + z)
        killed = kill * u * integral
        if rate > 0.0 and kill > 0.0:
            killed = kill * math.log1p(z) / rate
        dead[i] = d * decay + killed * half_decay
    return wrong


@compiled
def survive(viable, dead, surviving):
    """One fraction: what does not survive moves to the dead pool, in place."""
    for i in range(viable.shape[0]):
        killed = viable[i] * (1.0 - surviving[i])
        viable[i] -= killed
        dead[i] += killed


@compiled_sums
def stage(
    first, row, count, column, weight, inverse_mass, latest, before, start, slope, result,
    mu, nu, mu_tau, gamma_tau,
):  # fmt: skip
    """One stage of the Runge-Kutta-Legendre step.

    ``result = mu latest + nu before + (1 - mu - nu) start + mu_tau L latest + gamma_tau slope``,
    where `slope` is ``L start``; a first stage (`nu` = 0, `gamma_tau` = 0) writes it. The
    matrix is laid out as in `solvers.sliced_rows`.
    """
    beginning = nu == 0.0 and gamma_tau == 0.0
    rest = 1.0 - mu - nu
    total = np.empty(LANES, latest.dtype)
    here = np.empty(LANES, latest.dtype)
    for b in range(first.shape[0] - 1):
        at = b * LANES
        for c in range(LANES):
            total[c] = 0.0
            here[c] = latest[row[at + c]]
        for k in range(first[b], first[b + 1]):
            for c in range(LANES):
                total[c] += weight[k, c] * (latest[column[k, c]] - here[c])
        for c in range(min(LANES, count - at)):
            i = row[at + c]
            change = total[c] * inverse_mass[i]
            if beginning:
                slope[i] = change
                result[i] = start[i] + mu_tau * change
            else:
                result[i] = (
                    mu * here[c] + nu * before[i] + rest * start[i]
                    + mu_tau * change + gamma_tau * slope[i]
                )  # fmt: skip


@compiled_sums
def crowded_stage(
    first, row, count, column, weight, inverse_mass, still, latest, before, start, slope, result,
    mu, nu, mu_tau, gamma_tau,
):  # fmt: skip
    """The same for several species that hinder each other: arrays of shape (species, node).

    The transmissibility of an edge is multiplied by ``1 - (T_i + T_j)/2``, T the sum
    of all species at this stage; `still` is the sum of those that do not migrate.
    """
    beginning = nu == 0.0 and gamma_tau == 0.0
    rest = 1.0 - mu - nu
    species = latest.shape[0]
    filled = still.copy()
    for s in range(species):
        for i in range(filled.shape[0]):
            filled[i] += latest[s, i]
    total = np.empty(LANES, latest.dtype)
    room = np.empty(LANES, latest.dtype)
    for s in range(species):
        now = latest[s]
        for b in range(first.shape[0] - 1):
            at = b * LANES
            for c in range(LANES):
                total[c] = 0.0
                room[c] = 1.0 - 0.5 * filled[row[at + c]]
            for k in range(first[b], first[b + 1]):
                for c in range(LANES):
                    j = column[k, c]
                    total[c] += (
                        weight[k, c] * (room[c] - 0.5 * filled[j]) * (now[j] - now[row[at + c]])
                    )
            for c in range(min(LANES, count - at)):
                i = row[at + c]
                change = total[c] * inverse_mass[i]
                if beginning:
                    slope[s, i] = change
                    result[s, i] = start[s, i] + mu_tau * change
                else:
                    result[s, i] = (
                        mu * now[i] + nu * before[s, i] + rest * start[s, i]
                        + mu_tau * change + gamma_tau * slope[s, i]
                    )  # fmt: skip


@compiled_sums
def slope_of(first, row, count, column, weight, inverse_mass, density, result):
    """``L density``, the rate of change by diffusion, [1/day], shape (node,)."""
    total = np.empty(LANES, density.dtype)
    here = np.empty(LANES, density.dtype)
    for b in range(first.shape[0] - 1):
        at = b * LANES
        for c in range(LANES):
            total[c] = 0.0
            here[c] = density[row[at + c]]
        for k in range(first[b], first[b + 1]):
            for c in range(LANES):
                total[c] += weight[k, c] * (density[column[k, c]] - here[c])
        for c in range(min(LANES, count - at)):
            result[row[at + c]] = total[c] * inverse_mass[row[at + c]]
