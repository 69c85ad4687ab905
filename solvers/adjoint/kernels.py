"""Compiled loops of the reversed step, for real or complex numbers.

``L(u)_i = sum_j T_ij q_ij (u_j - u_i) / m_i`` with q = 1, or ``1 - (N_i + N_j)/2`` where
species hinder each other, N the sum of all. With ``p = w / m`` the product ``w . L(u)``
is ``sum over edges of T q (p_i - p_j) (u_j - u_i)``, from which every derivative is read.
"""

from __future__ import annotations

import numpy as np

from solvers.sliced_rows import LANES
from twin.compiled import compiled, compiled_sums

__all__ = [
    "crowded_edges",
    "crowded_transposed",
    "cut_slopes",
    "transposed",
    "transposed_with_edges",
]


@compiled_sums
def transposed(first, row, count, column, weight, scaled, factor, result):
    """Add ``factor L^T w`` to `result`, with `scaled` = w / m."""
    total = np.empty(LANES, result.dtype)
    here = np.empty(LANES, result.dtype)
    for b in range(first.shape[0] - 1):
        at = b * LANES
        for c in range(LANES):
            total[c] = 0.0
            here[c] = scaled[row[at + c]]
        for k in range(first[b], first[b + 1]):
            for c in range(LANES):
                total[c] += weight[k, c] * (scaled[column[k, c]] - here[c])
        for c in range(min(LANES, count - at)):
            result[row[at + c]] += factor * total[c]


@compiled_sums
def transposed_with_edges(
    first, row, count, column, weight, scaled, factor, result, density, slopes
):
    """The same; the derivative by every entry's transmissibility is added to `slopes`.

    An edge has two entries, each with half of its derivative.
    """
    total = np.empty(LANES, result.dtype)
    here = np.empty(LANES, result.dtype)
    value = np.empty(LANES, result.dtype)
    for b in range(first.shape[0] - 1):
        at = b * LANES
        for c in range(LANES):
            total[c] = 0.0
            here[c] = scaled[row[at + c]]
            value[c] = density[row[at + c]]
        for k in range(first[b], first[b + 1]):
            for c in range(LANES):
                j = column[k, c]
                total[c] += weight[k, c] * (scaled[j] - here[c])
                slopes[k, c] += factor * here[c] * (density[j] - value[c])
        for c in range(min(LANES, count - at)):
            result[row[at + c]] += factor * total[c]


@compiled_sums
def crowded_transposed(
    first, row, count, column, weight, filled, density, scaled, factor, result, still_bar
):
    """The same for species that hinder each other, arrays of shape (species, node).

    `filled` is the sum N of all species; its derivative by those that do not migrate is
    added to `still_bar`.
    """
    species = density.shape[0]
    total = np.empty(species, result.dtype)
    for place in range(count):
        lane, b = place % LANES, place // LANES
        i = row[place]
        total[:] = 0.0
        crowd = 0.0 * filled[i]
        for k in range(first[b], first[b + 1]):
            j, t = column[k, lane], weight[k, lane]
            room = 1.0 - 0.5 * (filled[i] + filled[j])
            for s in range(species):
                difference = scaled[s, i] - scaled[s, j]
                total[s] -= t * room * difference
                crowd -= 0.5 * t * difference * (density[s, j] - density[s, i])
        for s in range(species):
            result[s, i] += factor * (total[s] + crowd)
        still_bar[i] += factor * crowd


@compiled_sums
def crowded_edges(one, other, filled, scaled, density, factor, result):
    """Add the derivative by every edge's transmissibility, species hindering each other."""
    species = density.shape[0]
    for e in range(one.shape[0]):
        i, j = one[e], other[e]
        total = 0.0 * result[e]
        for s in range(species):
            total += (scaled[s, i] - scaled[s, j]) * (density[s, j] - density[s, i])
        result[e] += factor * (1.0 - 0.5 * (filled[i] + filled[j])) * total


@compiled
def cut_slopes(cells, volume, density, level, bar, result):
    """The volume above `level`; `bar` times its derivative by each node is added to `result`.

    For complex densities the real part decides on which side a corner lies.
    """
    whole = 0.0 * density[0]
    order = np.empty(4, np.int64)
    for e in range(cells.shape[0]):
        above = 0
        for k in range(4):
            order[k] = cells[e, k]
            above += density[order[k]].real > level
        if above == 0:
            continue
        if above == 4:
            whole += volume[e]
            continue
        for k in range(1, 4):  # sorted by insertion, the largest first
            node = order[k]
            m = k - 1
            while m >= 0 and density[order[m]].real < density[node].real:
                order[m + 1] = order[m]
                m -= 1
            order[m + 1] = node
        a, b, c, d = density[order[0]], density[order[1]], density[order[2]], density[order[3]]
        weight = bar * volume[e]
        if above == 1:
            x = a - level
            f = x * x * x / ((a - b) * (a - c) * (a - d))
            whole += volume[e] * f
            # x / (a - b) stays finite where x and all differences are small
            result[order[0]] += (
                weight * f * (3.0 / x - 1.0 / (a - b) - 1.0 / (a - c) - 1.0 / (a - d))
            )
            result[order[1]] += weight * f / (a - b)
            result[order[2]] += weight * f / (a - c)
            result[order[3]] += weight * f / (a - d)
        elif above == 3:
            x = level - d
            if x.real <= 0.0:
                whole += volume[e]
                continue
            f = x * x * x / ((a - d) * (b - d) * (c - d))
            whole += volume[e] * (1.0 - f)
            result[order[3]] += (
                weight * f * (3.0 / x - 1.0 / (a - d) - 1.0 / (b - d) - 1.0 / (c - d))
            )
            result[order[0]] += weight * f / (a - d)
            result[order[1]] += weight * f / (b - d)
            result[order[2]] += weight * f / (c - d)
        else:
            ac, ad = (a - level) / (a - c), (a - level) / (a - d)
            bc, bd = (b - level) / (b - c), (b - level) / (b - d)
            whole += volume[e] * (ac * ad + bc * bd * (1.0 - ad) + bc * ad * (1.0 - ac))
            by_ac = ad - bc * ad
            by_ad = ac - bc * bd + bc * (1.0 - ac)
            by_bc = bd * (1.0 - ad) + ad * (1.0 - ac)
            by_bd = bc * (1.0 - ad)
            # (p - level)/(p - q): by p (level - q)/(p - q)^2, by q (p - level)/(p - q)^2
            by_a = by_ac * (1.0 - ac) / (a - c) + by_ad * (1.0 - ad) / (a - d)
            by_b = by_bc * (1.0 - bc) / (b - c) + by_bd * (1.0 - bd) / (b - d)
            result[order[0]] += weight * by_a
            result[order[1]] += weight * by_b
            result[order[2]] += weight * (by_ac * ac / (a - c) + by_bc * bc / (b - c))
            result[order[3]] += weight * (by_ad * ad / (a - d) + by_bd * bd / (b - d))
    return whole
