"""Compiled: one element's diffusion tensor as non-negative exchanges between nearby nodes."""

from __future__ import annotations

import numpy as np

from twin.compiled import compiled_sums

__all__ = ["MOST_LINKS", "redistribute"]

#: Nodes of an element, its face neighbours and theirs: 4 + 4 + 12.
_MOST_NODES = 20
#: Links that one element may have: every pair of those nodes.
MOST_LINKS = _MOST_NODES * (_MOST_NODES - 1) // 2
_RINGS = 2
#: How far the tensor of the links may miss that of the element before another ring is taken.
_TOLERANCE = 0.01
#: Ridge that keeps the dual problem solvable where no links can make up the tensor.
_RIDGE = 1e-5
_NEWTON_STEPS = 30
#: A link with less than this share of the element's exchange is left out.
_SMALL = 1e-6
_ROOT2 = np.sqrt(2.0)


@compiled_sums
def _dual(direction, galerkin, wanted, multiplier, value):
    """Height of the dual problem at `multiplier`; writes the shares that belong to it."""
    for e in range(len(galerkin)):
        value[e] = galerkin[e]
    height = 0.0
    for k in range(6):
        y = multiplier[k]
        height += y * (0.5 * _RIDGE * y - wanted[k])
        for e in range(len(galerkin)):
            value[e] += direction[k, e] * y
    for e in range(len(galerkin)):
        value[e] = max(value[e], 0.0)
        height += 0.5 * value[e] * value[e]
    return height


@compiled_sums
def _nearest_non_negative(direction, galerkin, wanted, multiplier, value):
    """Write into `value` the shares nearest to `galerkin`, none negative, with a given tensor.

    ``min sum (v - g)^2 / 2`` over ``v >= 0`` with ``sum v_e B_e = b``: the dual has six
    unknowns, ``v_e = max(0, g_e + B_e . y)``, and is convex and piecewise quadratic, so that
    Newton with a line search ends in a few steps. Returns the norm of what is missed.
    """
    count = len(galerkin)
    slope, matrix = np.empty(6), np.empty((6, 6))
    multiplier[:] = 0.0
    height = _dual(direction, galerkin, wanted, multiplier, value)
    for _ in range(_NEWTON_STEPS):
        for k in range(6):
            slope[k] = _RIDGE * multiplier[k] - wanted[k]
            for e in range(count):
                slope[k] += direction[k, e] * value[e]
            for m in range(k + 1):
                total = _RIDGE if k == m else 0.0
                for e in range(count):
                    total += direction[k, e] * direction[m, e] if value[e] > 0.0 else 0.0
                matrix[k, m] = matrix[m, k] = total
        if np.sum(slope * slope) < 1e-18:
            break
        step = np.linalg.solve(matrix, slope)
        fall, part = np.sum(slope * step), 1.0
        trial = multiplier - step
        lower = _dual(direction, galerkin, wanted, trial, value)
        while lower > height - 1e-4 * part * fall + 1e-15 and part > 1e-9:
            part *= 0.5
            trial = multiplier - part * step
            lower = _dual(direction, galerkin, wanted, trial, value)
        multiplier[:] = trial
        height = lower
    missed = 0.0
    for k in range(6):
        total = -wanted[k]
        for e in range(count):
            total += direction[k, e] * value[e]
        missed += total * total
    return np.sqrt(missed)


@compiled_sums
def _slope_of_nearest(direction, value, galerkin_slope, wanted_slope, result):
    """Write into `result` how `_nearest_non_negative` changes with its `galerkin` and `wanted`.

    Shares that are zero stay so: exact but where a share is about to become positive.
    """
    count = len(value)
    right, matrix = np.empty(6), np.empty((6, 6))
    for k in range(6):
        right[k] = wanted_slope[k]
        for e in range(count):
            right[k] -= direction[k, e] * galerkin_slope[e] if value[e] > 0.0 else 0.0
        for m in range(k + 1):
            total = _RIDGE if k == m else 0.0
            for e in range(count):
                total += direction[k, e] * direction[m, e] if value[e] > 0.0 else 0.0
            matrix[k, m] = matrix[m, k] = total
    multiplier = np.linalg.solve(matrix, right)
    for e in range(count):
        result[e] = galerkin_slope[e] if value[e] > 0.0 else 0.0
        for k in range(6):
            result[e] += direction[k, e] * multiplier[k] if value[e] > 0.0 else 0.0


@compiled_sums
def _add_ring(cells, neighbours, patch, start, count, nodes, known):
    """Append the face neighbours of ``patch[start:count]`` and their nodes; return both counts."""
    end = count
    for q in range(start, count):
        for face in range(4):
            other = neighbours[patch[q], face]
            if other < 0 or (patch[:end] == other).any():
                continue
            patch[end] = other
            end += 1
            for k in range(4):
                if not (nodes[:known] == cells[other, k]).any():
                    nodes[known] = cells[other, k]
                    known += 1
    return end, known


@compiled_sums
def redistribute(
    points, cells, neighbours, volume, tensor, galerkin, tensor_slope, galerkin_slope,
    first, last, ends, exchange, slope, owner, missed,
):  # fmt: skip
    """Links of the elements from `first` to before `last`; return how many were written.

    Parameters
    ----------
    points : ndarray, [mm], shape (node, 3)
    cells, neighbours : ndarray of int, shape (cell, 4)
        Nodes; element across the face opposite each, -1 where there is none.
    volume : ndarray, [mm3], shape (cell,)
    tensor : ndarray, [mm2/day], shape (cell, 6)
    galerkin : ndarray, [mm3/day], shape (cell, 6)
        Transmissibility of the element's six edges, 01 02 03 12 13 23.
    tensor_slope, galerkin_slope : ndarray, shape (cell, 6)
        How they change with a parameter that leaves the mean diffusivity alone.
    ends, exchange, slope, owner
        Written: nodes of each link, shape (link, 2), its transmissibility [mm3/day], how that
        changes with the parameter, and its element.
    missed : ndarray, [1], shape (cell,)
        Written: how far the links' tensor is from the element's, over its mean diffusivity.
    """
    nodes = np.empty(_MOST_NODES, np.int64)
    patch = np.empty(_MOST_NODES, np.int64)
    pairs = np.empty((MOST_LINKS, 2), np.int64)
    direction = np.empty((6, MOST_LINKS))
    length2, prior, value = np.empty(MOST_LINKS), np.empty(MOST_LINKS), np.empty(MOST_LINKS)
    prior_slope, value_slope = np.empty(MOST_LINKS), np.empty(MOST_LINKS)
    wanted, wanted_slope, multiplier = np.empty(6), np.empty(6), np.empty(6)
    at = 0
    for c in range(first, last):
        mean = (tensor[c, 0] + tensor[c, 1] + tensor[c, 2]) / 3.0
        missed[c] = 0.0
        if mean <= 0.0:
            continue
        if galerkin[c].min() >= -1e-12 * galerkin[c].max():
            edge = 0
            for p in range(4):
                for q in range(p + 1, 4):
                    ends[at, 0], ends[at, 1] = cells[c, p], cells[c, q]
                    exchange[at], owner[at] = max(galerkin[c, edge], 0.0), c
                    slope[at] = galerkin_slope[c, edge]
                    at += 1
                    edge += 1
            continue
        for k in range(6):
            scale = (1.0 if k < 3 else _ROOT2) / mean
            wanted[k], wanted_slope[k] = scale * tensor[c, k], scale * tensor_slope[c, k]
        for k in range(4):
            nodes[k] = cells[c, k]
        patch[0] = c
        begin, count, known, links, off = 0, 1, 4, 0, 0.0
        for _ in range(_RINGS):
            end, known = _add_ring(cells, neighbours, patch, begin, count, nodes, known)
            begin, count = count, end
            links = 0
            edge = 0
            for p in range(known):
                for q in range(p + 1, known):
                    x = points[nodes[p], 0] - points[nodes[q], 0]
                    y = points[nodes[p], 1] - points[nodes[q], 1]
                    z = points[nodes[p], 2] - points[nodes[q], 2]
                    square = x * x + y * y + z * z
                    direction[0, links] = x * x / square
                    direction[1, links] = y * y / square
                    direction[2, links] = z * z / square
                    direction[3, links] = _ROOT2 * y * z / square
                    direction[4, links] = _ROOT2 * x * z / square
                    direction[5, links] = _ROOT2 * x * y / square
                    prior[links], prior_slope[links] = 0.0, 0.0
                    if q < 4:
                        scale = square / (volume[c] * mean)
                        prior[links] = galerkin[c, edge] * scale
                        prior_slope[links] = galerkin_slope[c, edge] * scale
                        edge += 1
                    length2[links] = square
                    pairs[links, 0], pairs[links, 1] = nodes[p], nodes[q]
                    links += 1
            off = _nearest_non_negative(direction, prior[:links], wanted, multiplier, value[:links])
            if off < _TOLERANCE:
                break
        missed[c] = off
        _slope_of_nearest(
            direction, value[:links], prior_slope[:links], wanted_slope, value_slope[:links]
        )
        total, total_slope = 0.0, 0.0
        for e in range(links):
            if value[e] > _SMALL:
                total += value[e]
                total_slope += value_slope[e]
        kept = 3.0 / total  # the mean diffusivity is kept in any case
        for e in range(links):
            if value[e] > _SMALL:
                ends[at, 0], ends[at, 1] = pairs[e, 0], pairs[e, 1]
                scale = kept * volume[c] * mean / length2[e]
                exchange[at], owner[at] = value[e] * scale, c
                slope[at] = (value_slope[e] - value[e] * total_slope / total) * scale
                at += 1
    return at
