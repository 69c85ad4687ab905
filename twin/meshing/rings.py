"""The cells about an edge, and the best cells without that edge."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from twin.compiled import compiled

__all__ = [
    "MOST_IN_RING",
    "best_triangles",
    "cost",
    "each_cost",
    "is_flat",
    "ring_about",
    "write_triangles",
]

Array = NDArray[Any]

#: Rings of more vertices about an edge are left as they are.
MOST_IN_RING = 8
#: Energy of a cell that would be flat or inverted at the wanted places of its vertices.
_FLAT = 1e4
#: Part of the energy at the present places in the sum that a swap lowers.
_PRESENT_PART = 0.25
#: A cell counts as flat if its energy is above this: its height is below about a third of
#: a regular one's.
_FLAT_ENOUGH = 60.0


@compiled
def _energy(
    points: Array, a: int, b: int, c: int, d: int, flat: float, signed: bool = True
) -> float:
    """Inverse mean ratio**6 of the tetrahedron (a, b, c, d), at most `flat`.

    That of an inverted one is `flat` if `signed`.
    """
    bx, by, bz = (
        points[b, 0] - points[a, 0],
        points[b, 1] - points[a, 1],
        points[b, 2] - points[a, 2],
    )
    cx, cy, cz = (
        points[c, 0] - points[a, 0],
        points[c, 1] - points[a, 1],
        points[c, 2] - points[a, 2],
    )
    dx, dy, dz = (
        points[d, 0] - points[a, 0],
        points[d, 1] - points[a, 1],
        points[d, 2] - points[a, 2],
    )
    six_volumes = (by * cz - bz * cy) * dx + (bz * cx - bx * cz) * dy + (bx * cy - by * cx) * dz
    if signed and not six_volumes > 1e-9:
        return flat
    if not abs(six_volumes) > 1e-9:
        return flat
    edges = (
        (bx * bx + by * by + bz * bz + cx * cx + cy * cy + cz * cz + dx * dx + dy * dy + dz * dz)
        + ((cx - bx) ** 2 + (cy - by) ** 2 + (cz - bz) ** 2)
        + ((dx - bx) ** 2 + (dy - by) ** 2 + (dz - bz) ** 2)
        + ((dx - cx) ** 2 + (dy - cy) ** 2 + (dz - cz) ** 2)
    )
    cubed = (edges / 12.0) ** 3 / (0.5 * six_volumes) ** 2
    return min(cubed * cubed, flat)


@compiled
def cost(points: Array, wanted: Array, a: int, b: int, c: int, d: int) -> float:
    """Energy that a swap lowers: at the wanted places, and in part at the present ones.

    Infinite where the cell would be flat or inverted at present.
    """
    present = _energy(points, a, b, c, d, np.inf)
    if present == np.inf:
        return np.inf
    return _PRESENT_PART * present + _energy(wanted, a, b, c, d, _FLAT)


@compiled
def is_flat(wanted: Array, a: int, b: int, c: int, d: int) -> bool:
    """Whether the tetrahedron (a, b, c, d), in any orientation, is flat at the wanted places."""
    return _energy(wanted, a, b, c, d, _FLAT, False) > _FLAT_ENOUGH


@compiled
def each_cost(points: Array, wanted: Array, cells: Array) -> Array:
    """Cost of each cell, shape (cell,)."""
    costs = np.empty(len(cells))
    for n in range(len(cells)):
        a, b, c, d = cells[n]
        costs[n] = cost(points, wanted, a, b, c, d)
    return costs


@compiled
def _place_of(cell: Array, vertex: int) -> int:
    """Place of a vertex in a cell, -1 if it is not there."""
    for k in range(4):
        if cell[k] == vertex:
            return k
    return -1


@compiled
def ring_about(
    cells: Array, neighbour: Array, start: int, a: int, b: int, ring: Array, around: Array
) -> tuple[int, bool]:
    """Cells about the edge (a, b): how many, and whether they close; -1 if too many.

    Cell ``around[i]`` has the vertices a, b, ``ring[i]`` and ``ring[i + 1]``, positively
    oriented in this order.
    """
    # the first cell's two other vertices, so that (a, b, first, second) is positive
    place_a, place_b = _place_of(cells[start], a), _place_of(cells[start], b)
    first, second = -1, -1
    for k in range(4):
        if k != place_a and k != place_b:
            if first < 0:
                first = k
            else:
                second = k
    # sign of the permutation (place_a, place_b, first, second)
    inversions = 0
    if place_a > place_b:
        inversions += 1
    for k in (first, second):
        if place_a > k:
            inversions += 1
        if place_b > k:
            inversions += 1
    if inversions % 2 == 1:
        first, second = second, first
    cell, before, front = start, cells[start, first], cells[start, second]
    # go back to the beginning where the ring is open
    for _ in range(MOST_IN_RING + 1):
        other = neighbour[cell, _place_of(cells[cell], front)]
        if other < 0 or other == start:
            break
        for k in range(4):
            vertex = cells[other, k]
            if vertex != a and vertex != b and vertex != before:
                front, before = before, vertex
                break
        cell = other
    begin = cell
    count = 0
    ring[0] = before
    while True:
        if count == MOST_IN_RING:
            return -1, False
        around[count] = cell
        count += 1
        ring[count] = front
        other = neighbour[cell, _place_of(cells[cell], before)]
        if other < 0:
            return count, False
        if other == begin:
            return count, True
        for k in range(4):
            vertex = cells[other, k]
            if vertex != a and vertex != b and vertex != front:
                before, front = front, vertex
                break
        cell = other


@compiled
def best_triangles(
    points: Array,
    wanted: Array,
    a: int,
    b: int,
    ring: Array,
    count: int,
    best: Array,
    middle: Array,
) -> float:
    """Least cost of the cells that fill the polygon of the first `count` vertices of `ring`.

    Writes into `middle` the third corner of the triangle on each chord.
    """
    for i in range(count - 1):
        best[i, i + 1] = 0.0
    for length in range(2, count):
        for i in range(count - length):
            j = i + length
            best[i, j] = np.inf
            for k in range(i + 1, j):
                total = best[i, k] + best[k, j]
                if not total < best[i, j]:
                    continue
                total += cost(points, wanted, ring[i], ring[k], ring[j], b)
                if not total < best[i, j]:
                    continue
                total += cost(points, wanted, ring[i], ring[j], ring[k], a)
                if total < best[i, j]:
                    best[i, j] = total
                    middle[i, j] = k
    return best[0, count - 1]


@compiled
def write_triangles(
    a: int, b: int, ring: Array, count: int, middle: Array, fresh: Array, made: int
) -> int:
    """Append the cells of the best triangles to `fresh`; how many it then holds."""
    stack = np.empty((MOST_IN_RING + 2, 2), np.int64)
    stack[0, 0], stack[0, 1] = 0, count - 1
    held = 1
    while held:
        held -= 1
        i, j = stack[held]
        if j - i < 2:
            continue
        k = middle[i, j]
        fresh[made] = ring[i], ring[k], ring[j], b
        fresh[made + 1] = ring[i], ring[j], ring[k], a
        made += 2
        stack[held, 0], stack[held, 1] = i, k
        stack[held + 1, 0], stack[held + 1, 1] = k, j
        held += 2
    return made
