"""Compiled loop of one run on spherical shells; it frees the interpreter."""

from __future__ import annotations

import math

import numpy as np

from solvers.kernels import react_at_length, survive
from solvers.volumes import TABLE_TOP
from twin.compiled import compiled, compiled_sums

__all__ = ["march_shells"]


@compiled_sums
def _spread(flow, inverse_volume, values, result):
    """``div(D grad u)`` on shells, [1/day]; `flow` through the faces between them."""
    last = values.shape[0] - 1
    inwards = 0.0
    for j in range(last):
        outwards = flow[j] * (values[j + 1] - values[j])
        result[j] = (outwards - inwards) * inverse_volume[j]
        inwards = outwards
    result[last] = -inwards * inverse_volume[last]


@compiled_sums
def _diffuse(flow, inverse_volume, tau, table, values, work):
    """Diffusion over `tau` [day] by RKL2 (`solvers.legendre`), in place; `work` has 4 rows."""
    slope, change, before, latest = work[0], work[1], work[2], work[3]
    _spread(flow, inverse_volume, values, slope)
    count = values.shape[0]
    for j in range(count):
        before[j] = values[j]
        latest[j] = values[j] + table[0, 2] * tau * slope[j]
    for s in range(1, table.shape[0]):
        mu, nu = table[s, 0], table[s, 1]
        mu_tau, gamma_tau = table[s, 2] * tau, table[s, 3] * tau
        rest = 1.0 - mu - nu
        _spread(flow, inverse_volume, latest, change)
        for j in range(count):
            new = (
                mu * latest[j]
                + nu * before[j]
                + rest * values[j]
                + mu_tau * change[j]
                + gamma_tau * slope[j]
            )
            before[j] = latest[j]
            latest[j] = new
    for j in range(count):
        values[j] = latest[j]


@compiled_sums
def _measure(viable, dead, volume, table, result):
    """Softened volume at each row of `table` (`solvers.volumes.softened_table`), [mm3]."""
    scale = (table.shape[1] - 1) / TABLE_TOP
    for t in range(table.shape[0]):
        result[t] = 0.0
    for j in range(viable.shape[0]):
        seen = viable[j] + dead[j]
        if seen < 1e-9:
            continue
        x = min(seen * scale, table.shape[1] - 1.000001)
        k = int(x)
        w = x - k
        for t in range(table.shape[0]):
            result[t] += volume[j] * ((1.0 - w) * table[t, k] + w * table[t, k + 1])


@compiled
def march_shells(
    ends, kills, kind, survival, flow, volume, table, soft_table, rate, clearance,
    viable, dead, soft, judged_from, rise, least_seen, enough, stops,
):  # fmt: skip
    """All steps of one run; how many were taken, and how many densities were wrong.

    Half of the reaction, diffusion, half of the reaction, then the fraction at the end of the
    step, as `solvers.growth` does on a mesh.

    Parameters
    ----------
    ends : ndarray, [day], shape (step + 1,)
        Day 0 and the end of every step.
    kills : ndarray, [1/day], shape (step, 2)
        The drug's mean kill rate in both halves.
    kind : ndarray of int, shape (step,)
        Row of `survival` of the fraction at the end of a step; below 0 without one.
    survival : ndarray, [1], shape (kind, shell)
    flow : ndarray, [mm3/day], shape (shell - 1,)
    volume : ndarray, [mm3], shape (shell,)
    table : ndarray, shape (stage, 4)
        Coefficients of RKL2.
    soft_table : ndarray, shape (threshold, entry)
    viable, dead : ndarray, [1], shape (shell,)
        In place.
    soft : ndarray, [mm3], shape (step + 1, threshold)
        Filled up to the last step taken.
    judged_from, rise, least_seen, enough : float
        The run ends early once, since day `judged_from`, the first softened volume has passed
        `rise` times its least value and `least_seen` [mm3], and at any time `enough` [mm3].
    stops : bool
        No drug is given any more once the run has progressed.
    """
    inverse_volume = 1.0 / volume
    necrosis = np.zeros_like(viable)
    work = np.empty((4, viable.shape[0]))
    _measure(viable, dead, volume, soft_table, soft[0])
    wrong = 0
    least = math.inf
    progressed = False
    large = soft[0, 0] >= enough
    for s in range(kills.shape[0]):
        first, second = kills[s, 0], kills[s, 1]
        if stops and progressed:
            first = second = 0.0
        tau = ends[s + 1] - ends[s]
        half = 0.5 * tau
        product = clearance * half
        decay, half_decay = math.exp(-product), math.exp(-0.5 * product)
        mean = (1.0 - decay) / product
        wrong += react_at_length(viable, dead, necrosis, half, rate, first, decay, half_decay, mean)
        _diffuse(flow, inverse_volume, tau, table, viable, work)
        wrong += react_at_length(
            viable, dead, necrosis, half, rate, second, decay, half_decay, mean
        )
        if kind[s] >= 0:
            survive(viable, dead, survival[kind[s]])
        now = soft[s + 1]
        _measure(viable, dead, volume, soft_table, now)
        large = large or now[0] >= enough
        if ends[s + 1] >= judged_from:
            progressed = progressed or now[0] >= max(rise * least, least_seen)
            least = min(least, now[0])
        if large and progressed:
            return s + 1, wrong
    return kills.shape[0], wrong
