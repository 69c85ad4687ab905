"""Compiled loops of one time step, for real or complex numbers; each releases the interpreter lock."""

from __future__ import annotations

import math

import numpy as np

from twin.compiled import compiled, compiled_sums

#: A density below this is an error, not rounding.
NEGATIVE_TOLERANCE = -1e-12

__all__ = ["NEGATIVE_TOLERANCE", "crowded_stage", "react_at_length", "stage", "survive"]


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
    indptr, indices, weights, inverse_mass, latest, before, start, slope, result,
    mu, nu, mu_tau, gamma_tau,
):  # fmt: skip
    """One stage of the Runge-Kutta-Legendre step.

    ``result = mu latest + nu before + (1 - mu - nu) start + mu_tau L latest + gamma_tau slope``,
    where `slope` is ``L start``; a first stage (`nu` = 0, `gamma_tau` = 0) writes it.
    """
    first = nu == 0.0 and gamma_tau == 0.0
    rest = 1.0 - mu - nu
    for i in range(result.shape[0]):
        here = latest[i]
        total = 0.0
        for k in range(indptr[i], indptr[i + 1]):
            total += weights[k] * (latest[indices[k]] - here)
        total *= inverse_mass[i]
        if first:
            slope[i] = total
            result[i] = start[i] + mu_tau * total
        else:
            result[i] = (
                mu * here + nu * before[i] + rest * start[i] + mu_tau * total + gamma_tau * slope[i]
            )


@compiled_sums
def crowded_stage(
    indptr, indices, weights, inverse_mass, still, latest, before, start, slope, result,
    mu, nu, mu_tau, gamma_tau,
):  # fmt: skip
    """The same for several species that hinder each other: arrays of shape (species, node).

    The transmissibility of an edge is multiplied by ``1 - (T_i + T_j)/2``, T the sum
    of all species at this stage; `still` is the sum of those that do not migrate.
    """
    first = nu == 0.0 and gamma_tau == 0.0
    rest = 1.0 - mu - nu
    species, nodes = latest.shape
    filled = still.copy()
    for s in range(species):
        for i in range(nodes):
            filled[i] += latest[s, i]
    sums = np.empty(species, latest.dtype)
    for i in range(nodes):
        sums[:] = 0.0
        room = 1.0 - 0.5 * filled[i]
        for k in range(indptr[i], indptr[i + 1]):
            j = indices[k]
            weight = weights[k] * (room - 0.5 * filled[j])
            for s in range(species):
                sums[s] += weight * (latest[s, j] - latest[s, i])
        for s in range(species):
            total = sums[s] * inverse_mass[i]
            if first:
                slope[s, i] = total
                result[s, i] = start[s, i] + mu_tau * total
            else:
                result[s, i] = (
                    mu * latest[s, i] + nu * before[s, i] + rest * start[s, i]
                    + mu_tau * total + gamma_tau * slope[s, i]
                )  # fmt: skip
