"""Compiled loops of one time step, for real or complex numbers; each frees the interpreter."""

from __future__ import annotations

import math

import numpy as np

from solvers.sliced_rows import LANES
from twin.compiled import compiled, compiled_sums

#: A density below this is an error, not rounding.
NEGATIVE_TOLERANCE = -1e-12

__all__ = [
    "NEGATIVE_TOLERANCE",
    "crowded_stage",
    "cubic",
    "quotient",
    "react_at_length",
    "stage",
    "survive",
]


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
def quotient(before, after, step):
    """``after`` becomes ``(after - before)/step``, in place; arrays of shape (species, node)."""
    factor = 1.0 / step
    for s in range(after.shape[0]):
        for i in range(after.shape[1]):
            after[s, i] = (after[s, i] - before[s, i]) * factor


@compiled_sums
def cubic(first, last, rising, ending, share, tau, result):
    """What lies between two states with their slopes, at a share of the step of `tau`."""
    a = (1.0 + 2.0 * share) * (1.0 - share) ** 2
    b = share * share * (3.0 - 2.0 * share)
    c = share * (1.0 - share) ** 2 * tau
    d = -share * share * (1.0 - share) * tau
    for i in range(result.shape[0]):
        result[i] = a * first[i] + b * last[i] + c * rising[i] + d * ending[i]
