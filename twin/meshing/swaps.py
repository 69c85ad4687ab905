"""Faces and edges swapped where that gives better tetrahedra, above all at interfaces.

Where the lattice meets an interface, many cells have all four vertices on it: two of
their faces look to one side and two to the other. Such a cell can never lie flat, so
it holds the interface rough. Removing the edge that two of its faces share, or the
edge opposite, removes it. An edge is removed by cutting the ring of vertices about it
into triangles, each joined to both ends of the edge; the best triangles are found by
dynamic programming (G. T. Klincsek, Minimal triangulations of polygonal domains,
Annals of Discrete Mathematics 9, 121-123 (1980), doi:10.1016/S0167-5060(08)70044-X;
for tetrahedra: L. A. Freitag and C. Ollivier-Gooch, Tetrahedral mesh improvement
using swapping and smoothing, International Journal for Numerical Methods in
Engineering 40, 3979-4002 (1997),
doi:10.1002/(SICI)1097-0207(19971115)40:21<3979::AID-NME251>3.0.CO;2-9). The reverse
of removing an edge with three cells, a face between two cells replaced by an edge
with three, is tried as well. A swap is made where it lowers the sum of the cells'
inverse mean ratios to the sixth power, which is also what moving vertices lowers.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from twin.compiled import compiled
from twin.meshing.geometry import FACES
from twin.meshing.holes import fill_hole
from twin.meshing.rings import (
    MOST_IN_RING,
    best_triangles,
    cost,
    each_cost,
    is_flat,
    ring_about,
    write_triangles,
)

__all__ = ["Swapped", "swap_to_better"]

Array = NDArray[Any]

#: Cells that fill a hole at most.
_MOST_CELLS = 2 * MOST_IN_RING
#: A swap must lower the sum of costs by this part.
_LEAST_GAIN = 0.02
#: A vertex inside keeps so many cells, one at the outer surface so many: with fewer it has
#: little volume of its own, and what it exchanges with its neighbours changes too fast.
_LEAST_CELLS, _LEAST_CELLS_OUTSIDE = 12, 6


class Swapped(NamedTuple):
    """Cells, labels and neighbours after swapping, and how many swaps were made."""

    cells: Array
    label: Array
    neighbour: Array
    swaps: int


class _Cells(NamedTuple):
    """The mesh as it is swapped.

    Parameters
    ----------
    cells, neighbour : ndarray, shape (place, 4)
    label : ndarray, shape (place,)
        -1 where a place is free.
    cost : ndarray, [1], shape (place,)
    valence, least : ndarray, shape (node,)
        How many cells each vertex has, and down to how many it may come.
    """

    cells: Array
    neighbour: Array
    label: Array
    cost: Array
    valence: Array
    least: Array


class _Work(NamedTuple):
    """Room for one attempt: the ring about an edge, and triangles of it."""

    ring: Array
    around: Array
    turned: Array
    turned_cells: Array
    best: Array
    middle: Array
    middle_two: Array


class _Offer(NamedTuple):
    """The best exchange so far: the cells of the hole, and those that would fill it."""

    hole: Array
    fresh: Array
    label: Array


@compiled
def _may_be_dropped(
    cells: Array, neighbour: Array, cell: int, a: int, b: int, ring: Array, around: Array
) -> bool:
    """Whether the edge across from (a, b) is inside, so that the rest stays in one piece."""
    c, d = -1, -1
    for k in range(4):
        vertex = cells[cell, k]
        if vertex != a and vertex != b:
            if c < 0:
                c = vertex
            else:
                d = vertex
    _, closed = ring_about(cells, neighbour, cell, c, d, ring, around)
    return closed


@compiled
def _offer_edge(
    points: Array,
    wanted: Array,
    mesh: _Cells,
    cell: int,
    a: int,
    b: int,
    gain: float,
    work: _Work,
    offer: _Offer,
) -> tuple[float, int, int]:
    """Write into `offer` the cells without the edge (a, b), if they gain more than `gain`.

    Returns the gain, and how many cells leave and come; the latter are -1 if there is no
    such offer.
    """
    nothing = gain, -1, -1
    cells, neighbour, label = mesh.cells, mesh.neighbour, mesh.label
    count, closed = ring_about(cells, neighbour, cell, a, b, work.ring, work.around)
    if count < 0:
        return nothing
    lost = 2 if closed else 1  # cells of a and of b
    if mesh.valence[a] - lost < mesh.least[a] or mesh.valence[b] - lost < mesh.least[b]:
        return nothing
    before = 0.0
    for k in range(count):
        if mesh.cost[work.around[k]] > mesh.cost[cell]:
            return nothing  # a worse cell has tried this edge before
        before += mesh.cost[work.around[k]]
    shift, changes = 0, 0  # turned so that the labels about the edge are two runs at most
    for k in range(0 if closed else 1, count):
        if label[work.around[k]] != label[work.around[(k - 1) % count]]:
            changes += 1
            shift = k
    if changes != 0 and not (closed and changes == 2):
        return nothing
    if count == 1 and not _may_be_dropped(
        cells, neighbour, cell, a, b, work.turned, work.turned_cells
    ):
        return nothing
    for k in range(count):
        work.turned_cells[k] = work.around[(k + shift) % count]
        work.turned[k] = work.ring[(k + shift) % count]
    work.turned[count] = work.turned[0] if closed else work.ring[count]
    first, second = count, 0  # cells in the two runs
    for k in range(1, count):
        if label[work.turned_cells[k]] != label[work.turned_cells[0]]:
            first, second = k, count - k
            break
    limit = before * (1.0 - _LEAST_GAIN) - gain
    if changes == 0 and closed:
        corners = count
    else:
        # two faces of an interface or of the outer surface are exchanged
        corners = first + 1
        if not is_flat(wanted, a, b, work.turned[0], work.turned[first]):
            return nothing
    after = best_triangles(points, wanted, a, b, work.turned, corners, work.best, work.middle)
    if not after < limit:
        return nothing
    rest = work.turned[first:]
    if second > 0:
        after += best_triangles(points, wanted, a, b, rest, second + 1, work.best, work.middle_two)
        if not after < limit:
            return nothing
    made = write_triangles(a, b, work.turned, corners, work.middle, offer.fresh, 0)
    offer.label[:made] = label[work.turned_cells[0]]
    if second > 0:
        so_far = made
        made = write_triangles(a, b, rest, second + 1, work.middle_two, offer.fresh, so_far)
        offer.label[so_far:made] = label[work.turned_cells[first]]
    offer.hole[:count] = work.turned_cells[:count]
    return before - after, count, made


@compiled
def _offer_face(
    points: Array,
    wanted: Array,
    mesh: _Cells,
    cell: int,
    face: int,
    faces: Array,
    gain: float,
    offer: _Offer,
) -> tuple[float, int, int]:
    """Write into `offer` the three cells about a new edge through a face; see `_offer_edge`."""
    nothing = gain, -1, -1
    cells, neighbour, label = mesh.cells, mesh.neighbour, mesh.label
    other = neighbour[cell, face]
    if other < 0 or label[other] != label[cell]:
        return nothing
    apex = cells[cell, face]
    a, b, c = cells[cell, faces[face, 0]], cells[cell, faces[face, 1]], cells[cell, faces[face, 2]]
    opposite = cells[other].sum() - a - b - c
    if mesh.cost[other] > mesh.cost[cell]:
        return nothing
    before = mesh.cost[cell] + mesh.cost[other]
    limit = before * (1.0 - _LEAST_GAIN) - gain
    after = cost(points, wanted, opposite, apex, a, b)
    if not after < limit:
        return nothing
    after += cost(points, wanted, opposite, apex, b, c)
    if not after < limit:
        return nothing
    after += cost(points, wanted, opposite, apex, c, a)
    if not after < limit:
        return nothing
    offer.fresh[0] = opposite, apex, a, b
    offer.fresh[1] = opposite, apex, b, c
    offer.fresh[2] = opposite, apex, c, a
    offer.label[:3] = label[cell]
    offer.hole[0], offer.hole[1] = cell, other
    return before - after, 2, 3


@compiled
def _swap_pass(
    points: Array,
    wanted: Array,
    mesh: _Cells,
    used: int,
    candidates: Array,
    faces: Array,
) -> tuple[int, int]:
    """Make the best swap of each candidate's edges and faces; places used, and swaps made."""
    size = MOST_IN_RING + 2
    work = _Work(
        np.empty(size, np.int64),
        np.empty(size, np.int64),
        np.empty(size, np.int64),
        np.empty(size, np.int64),
        np.empty((size, size)),
        np.empty((size, size), np.int64),
        np.empty((size, size), np.int64),
    )
    offer = _Offer(
        np.empty(MOST_IN_RING, np.int64),
        np.empty((_MOST_CELLS, 4), np.int64),
        np.empty(_MOST_CELLS, np.int64),
    )
    cells, label, valence = mesh.cells, mesh.label, mesh.valence
    swaps = 0
    for cell in candidates:
        if label[cell] < 0 or used + _MOST_CELLS > len(cells):
            continue
        gain, leave, come = 0.0, -1, -1
        for i in range(4):
            for j in range(i):
                a, b = cells[cell, i], cells[cell, j]
                more, left, came = _offer_edge(points, wanted, mesh, cell, a, b, gain, work, offer)
                if came >= 0:
                    gain, leave, come = more, left, came
        for face in range(4):
            more, left, came = _offer_face(points, wanted, mesh, cell, face, faces, gain, offer)
            if came >= 0:
                gain, leave, come = more, left, came
        if come >= 0:
            for n in range(leave):
                for k in range(4):
                    valence[cells[offer.hole[n], k]] -= 1
            for n in range(come):
                for k in range(4):
                    valence[offer.fresh[n, k]] += 1
            used = fill_hole(
                cells,
                mesh.neighbour,
                label,
                used,
                offer.hole,
                leave,
                offer.fresh,
                offer.label,
                come,
                faces,
            )
            for n in range(come):
                place = offer.hole[n] if n < leave else used - come + n
                a, b, c, d = cells[place]
                mesh.cost[place] = cost(points, wanted, a, b, c, d)
            swaps += 1
    return used, swaps


def _valences(cells: Array, neighbour: Array, node_count: int) -> tuple[Array, Array]:
    """How many cells each vertex has, and down to how many it may come."""
    least = np.full(node_count, _LEAST_CELLS)
    for face in range(4):
        outer = neighbour[:, face] < 0
        least[cells[outer][:, FACES[face]]] = _LEAST_CELLS_OUTSIDE
    return np.bincount(cells.ravel(), minlength=node_count), least


def swap_to_better(
    points: Array,
    wanted: Array,
    cells: Array,
    label: Array,
    neighbour: Array,
    *,
    worse_than: float,
    among: Array | None = None,
) -> Swapped:
    """Cells and labels after swaps that lower the energy; every cell stays valid at `points`.

    A cell at the outer surface, all of whose vertices lie on it, may be dropped.

    Parameters
    ----------
    points : ndarray, [mm], shape (node, 3)
        A valid mesh.
    wanted : ndarray, [mm], shape (node, 3)
        Where the vertices should go, such as their feet on the interfaces.
    cells : ndarray of int64, shape (cell, 4)
        Positively oriented. Not changed, nor are `label` and `neighbour`.
    label : ndarray of int64, shape (cell,)
        From 0.
    neighbour : ndarray of int64, shape (cell, 4)
        The cell across each face, -1 where there is none.
    worse_than : float, [1]
        Cells of a larger energy are tried, the worst first.
    among : ndarray of int64 or None, shape (some,)
        Only these cells are tried; all if None.
    """
    spare = max(64, len(cells) // 8)
    used = len(cells)
    cells = np.concatenate([cells, np.zeros((spare, 4), np.int64)])
    label = np.concatenate([label, np.full(spare, -1, np.int64)])
    neighbour = np.concatenate([neighbour, np.full((spare, 4), -1, np.int64)])
    costs = np.concatenate([each_cost(points, wanted, cells[:used]), np.zeros(spare)])
    tried = np.arange(used) if among is None else among
    order = np.argsort(-costs[tried], kind="stable")
    candidates = tried[order[costs[tried[order]] > worse_than]]
    valences = _valences(cells[:used], neighbour[:used], len(points))
    mesh = _Cells(cells, neighbour, label, costs, *valences)
    used, swaps = _swap_pass(points, wanted, mesh, used, candidates, FACES)
    keep = np.flatnonzero(label[:used] >= 0)
    number = np.full(used + 1, -1, np.int64)  # the last one stands for no cell
    number[keep] = np.arange(len(keep))
    return Swapped(cells[keep], label[keep], number[neighbour[keep]], swaps)
