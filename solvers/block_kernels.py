"""Compiled loops of one time step for many runs at once: arrays of shape (node, run), float32."""

from __future__ import annotations

import numpy as np

from solvers.volumes import TABLE_TOP
from twin.compiled import compiled, compiled_sums

__all__ = ["block_measure", "block_react", "block_slope", "block_stage", "block_survive"]


@compiled_sums
def block_stage(
    indptr, indices, weights, inverse_mass, scale, latest, before, start, slope, result,
    mu, nu, mu_tau, gamma_tau,
):  # fmt: skip
    """One stage of RKL2 for every run; `scale` multiplies the diffusivity of each.

    The same as `solvers.kernels.stage`, column by column.
    """
    first = nu == 0.0 and gamma_tau == 0.0
    rest = np.float32(1.0 - mu - nu)
    mu_, nu_ = np.float32(mu), np.float32(nu)
    mu_t, gamma_t = np.float32(mu_tau), np.float32(gamma_tau)
    runs = latest.shape[1]
    total = np.empty(runs, np.float32)
    for i in range(latest.shape[0]):
        total[:] = np.float32(0.0)
        out = np.float32(0.0)
        for k in range(indptr[i], indptr[i + 1]):
            w = weights[k]
            out += w
            row = latest[indices[k]]
            for c in range(runs):
                total[c] += w * row[c]
        factor = inverse_mass[i]
        for c in range(runs):
            value = factor * scale[c] * (total[c] - out * latest[i, c])
            if first:
                slope[i, c] = value
                result[i, c] = start[i, c] + mu_t * value
            else:
                result[i, c] = (
                    mu_ * latest[i, c]
                    + nu_ * before[i, c]
                    + rest * start[i, c]
                    + mu_t * value
                    + gamma_t * slope[i, c]
                )


@compiled_sums
def block_react(viable, dead, necrosis, tau, rate, clearance, kill, lowest):
    """Growth, kill and clearance over `tau` for every run, in place; `rate` and so on by run.

    The step of `solvers.models.generated` for the default model; the exponential by the
    diagonal Pade approximant of order 3, whose error is below 1e-7 where ``rate tau < 0.5``.
    Returns how many viable densities lay below `lowest`.
    """
    runs = viable.shape[1]
    one, half, two = np.float32(1.0), np.float32(0.5), np.float32(2.0)
    tenth, twelfth = np.float32(1.0 / 10.0), np.float32(1.0 / 120.0)
    whole = np.float32(tau)
    middle = half * whole
    decay = np.exp(-clearance * whole)
    half_decay = np.exp(-clearance * middle)
    gain = -kill * np.expm1(-clearance * whole) / np.maximum(clearance, np.float32(1e-12))
    half_gain = -kill * np.expm1(-clearance * middle) / np.maximum(clearance, np.float32(1e-12))
    least = np.float32(lowest)
    below_least = 0
    for i in range(viable.shape[0]):
        for c in range(runs):
            u, d, fixed = viable[i, c], dead[i, c], necrosis[i, c]
            below_least += not u >= least
            x = (rate[c] * (one - d - fixed) - kill[c]) * middle
            square = x * x
            even = one + square * tenth
            share = half + square * twelfth
            below = one / (even - x * share)
            phi = two * share * below
            w = u * (even + x * share) * below / (one + rate[c] * u * middle * phi)
            held = d * half_decay[c] + half_gain[c] * u
            x = (rate[c] * (one - held - fixed) - kill[c]) * whole
            square = x * x
            even = one + square * tenth
            share = half + square * twelfth
            below = one / (even - x * share)
            phi = two * share * below
            viable[i, c] = u * (even + x * share) * below / (one + rate[c] * u * whole * phi)
            dead[i, c] = d * decay[c] + gain[c] * w
    return below_least


@compiled
def block_survive(viable, dead, surviving, chosen):
    """One fraction in the runs marked in `chosen`, in place."""
    runs = viable.shape[1]
    for i in range(viable.shape[0]):
        for c in range(runs):
            if chosen[c]:
                killed = viable[i, c] * (np.float32(1.0) - surviving[i, c])
                viable[i, c] -= killed
                dead[i, c] += killed


@compiled_sums
def block_slope(
    indptr, indices, weights, inverse_mass, scale, viable, dead, necrosis, rate, clearance,
    growing, seen,
):  # fmt: skip
    """Rates of change of every run without a drug, [1/day], shape (node, run).

    `growing` is that of the viable density, `seen` that of all that is visible.
    """
    runs = viable.shape[1]
    total = np.empty(runs, np.float32)
    one = np.float32(1.0)
    for i in range(viable.shape[0]):
        total[:] = np.float32(0.0)
        out = np.float32(0.0)
        for k in range(indptr[i], indptr[i + 1]):
            w = weights[k]
            out += w
            row = viable[indices[k]]
            for c in range(runs):
                total[c] += w * row[c]
        factor = inverse_mass[i]
        for c in range(runs):
            u, d = viable[i, c], dead[i, c]
            born = rate[c] * u * (one - u - d - necrosis[i, c])
            moved = factor * scale[c] * (total[c] - out * u)
            growing[i, c] = born + moved
            seen[i, c] = born + moved - clearance[c] * d


@compiled_sums
def block_measure(viable, dead, necrosis, growing, seen, mass, tables, kind, soft, burden):
    """Softened volumes (2, threshold, run) and viable volume (2, run), then their slopes.

    From the densities and their rates of change; `tables`, shape (threshold, kind, entry), of
    `solvers.volumes.softened_table`, and which kind each run is measured by.
    """
    runs = viable.shape[1]
    top = np.float32(tables.shape[2] - 1.0001)
    scale = np.float32((tables.shape[2] - 1) / TABLE_TOP)
    soft[:] = 0.0
    burden[:] = 0.0
    place = np.empty(runs, np.int32)
    share = np.empty(runs, np.float32)
    for i in range(viable.shape[0]):
        m = mass[i]
        if m == 0.0:
            continue
        most = np.float32(0.0)
        for c in range(runs):
            u = viable[i, c]
            burden[0, c] += m * u
            burden[1, c] += m * growing[i, c]
            v = u + dead[i, c] + necrosis[i, c]
            most = max(most, v)
            x = min(max(v * scale, np.float32(0.0)), top)
            place[c] = np.int32(x)
            share[c] = x - place[c]
        if most < 1e-7:
            continue
        for t in range(tables.shape[0]):
            for c in range(runs):
                j, k = kind[c], place[c]
                low, rise = tables[t, j, k], tables[t, j, k + 1] - tables[t, j, k]
                soft[0, t, c] += m * (low + share[c] * rise)
                soft[1, t, c] += m * rise * scale * seen[i, c]
