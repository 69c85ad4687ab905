"""Volumes of tissue above a threshold of visibility."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from twin.compiled import compiled_sums
from twin.errors import InvalidInput

__all__ = ["TABLE_TOP", "VisibleVolumes", "softened_table", "softened_visibility", "volume_above"]

TABLE_SIZE = 8192
BLOCK_CELLS = 64
TABLE_TOP = 1.25


def softened_visibility(
    density: ArrayLike, threshold: float, softness: float
) -> NDArray[np.float64]:
    """How visible a density is, between 0 and 1, same shape as `density`.

    ``(Phi((v - t)/s) - Phi(-t/s)) / (1 - Phi(-t/s))``: a reader's threshold t
    blurred with the normal distribution of width s, and exactly 0 where there
    is no tumour.

    Parameters
    ----------
    density : array_like, [1]
    threshold, softness : float, [1]

    Examples
    --------
    >>> softened_visibility(np.array([0.0, 0.16, 1.0]), 0.16, 0.05).round(4)
    array([0.    , 0.4997, 1.    ])
    """
    if not 0.0 < softness < np.inf:
        raise InvalidInput(f"The softness is {softness}; it must be finite and above 0.")
    none = ndtr(-threshold / softness)
    below = ndtr((np.asarray(density, np.float64) - threshold) / softness)
    return np.asarray((below - none) / (1.0 - none))


@compiled_sums
def _values(cells, density, e):
    return density[cells[e, 0]], density[cells[e, 1]], density[cells[e, 2]], density[cells[e, 3]]


@compiled_sums
def _partly(cells, volume, density, level, found, count):
    """Volume above the level of the cells that it cuts: rows 1 to 3 of `found`."""
    whole = 0.0
    # one corner above: the tetrahedron at it; one below: the rest without that
    for m in range(count[1]):
        e = found[1, m]
        a, b, c, d = _values(cells, density, e)
        top = max(max(a, b), max(c, d))
        x = top - level
        # of the four differences one is zero: replaced by x, which the others' product divides
        da, db, dc, dd = top - a, top - b, top - c, top - d
        product = 1.0
        product *= da if da > 0.0 else x
        product *= db if db > 0.0 else x
        product *= dc if dc > 0.0 else x
        product *= dd if dd > 0.0 else x
        whole += volume[e] * (x * x * x * x / product)
    for m in range(count[3]):
        e = found[3, m]
        a, b, c, d = _values(cells, density, e)
        low = min(min(a, b), min(c, d))
        x = level - low
        # equal to the level: nothing lies below it
        da, db, dc, dd = a - low, b - low, c - low, d - low
        product = 1.0
        product *= da if da > 0.0 else x
        product *= db if db > 0.0 else x
        product *= dc if dc > 0.0 else x
        product *= dd if dd > 0.0 else x
        share = x * x * x * x / product if product > 0.0 else 0.0
        whole += volume[e] * (1.0 - share)
    for m in range(count[2]):
        e = found[2, m]
        a, b, c, d = _values(cells, density, e)
        # the two above as a, b, the two below as c, d
        high, low = max(a, b), min(a, b)
        above_, below_ = max(c, d), min(c, d)
        a = max(high, above_)
        d = min(low, below_)
        one, two = min(high, above_), max(low, below_)
        b, c = max(one, two), min(one, two)
        # a prism between the corners a and b, cut into three tetrahedra
        ac = (a - level) / (a - c)
        ad = (a - level) / (a - d)
        bc = (b - level) / (b - c)
        bd = (b - level) / (b - d)
        whole += volume[e] * (ac * ad + bc * bd * (1.0 - ad) + bc * ad * (1.0 - ac))
    return whole


@compiled_sums
def _cut(cells, volume, blocks, nodes, block_volume, density, levels, flags, found, total):
    """Add up, for each level, the volume above it; `cells` are the active ones, by blocks.

    `flags` says in one byte a node which levels it exceeds.
    Block b holds the cells from ``blocks[b, 0]`` and the nodes from ``blocks[b, 1]``
    on; where all its nodes lie on one side, its volume is known. The others' cells are
    sorted, without a branch, into rows of `found` by the number of their corners above.
    """
    levels_ = levels.shape[0]
    count = np.zeros((levels_, 5), np.int64)
    for t in range(levels_):
        total[t] = 0.0
    for k in range(blocks.shape[0] - 1):
        some = 0
        every = 255
        for j in range(blocks[k, 1], blocks[k + 1, 1]):
            some |= flags[nodes[j]]
            every &= flags[nodes[j]]
        for t in range(levels_):
            if every >> t & 1:
                total[t] += block_volume[k]
            elif some >> t & 1:
                for e in range(blocks[k, 0], blocks[k + 1, 0]):
                    n = (flags[cells[e, 0]] >> t & 1) + (flags[cells[e, 1]] >> t & 1)
                    n += (flags[cells[e, 2]] >> t & 1) + (flags[cells[e, 3]] >> t & 1)
                    found[t, n, count[t, n]] = e
                    count[t, n] += 1
    for t in range(levels_):
        for m in range(count[t, 4]):
            total[t] += volume[found[t, 4, m]]
        total[t] += _partly(cells, volume, density, levels[t], found[t], count[t])


class _Blocks:
    """Cells in blocks with the nodes that each touches; sorted in space if `points` are given."""

    def __init__(
        self,
        cells: NDArray[np.int32],
        volume: NDArray[np.float64],
        points: NDArray[np.float64] | None = None,
    ) -> None:
        order = np.arange(len(cells))
        if points is not None and len(cells):
            order = np.argsort(_curve(points[cells].mean(axis=1)), kind="stable")
        self._room = threading.local()
        self.cells = np.ascontiguousarray(cells[order], np.int32)
        self.volume = np.ascontiguousarray(volume[order])
        starts = np.arange(0, len(cells) + BLOCK_CELLS, BLOCK_CELLS).clip(max=len(cells))
        starts = np.unique(starts)
        number = np.arange(len(cells)) // BLOCK_CELLS
        pairs = np.unique(
            np.repeat(number, 4).astype(np.int64) << 32 | self.cells.ravel().astype(np.int64)
        )
        self.nodes = (pairs & 0xFFFFFFFF).astype(np.int32)
        first = np.searchsorted(pairs >> 32, np.arange(len(starts)))
        self.blocks = np.stack([starts, first], axis=1).astype(np.int64)
        self.block_volume = np.add.reduceat(self.volume, starts[:-1]) if len(cells) else np.zeros(0)

    def _scratch(self, levels: int) -> NDArray[np.int32]:
        """Room for the numbers of cells; every thread its own, kept from call to call."""
        room: NDArray[np.int32] | None = getattr(self._room, "found", None)
        if room is None or len(room) < levels:
            room = self._room.found = np.empty((levels, 5, len(self.cells)), np.int32)
        return room

    def above(
        self, density: NDArray[np.float64], levels: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Volume above each level, [mm3], shape (level,)."""
        total, flags = np.empty(len(levels)), np.zeros(len(density), np.uint8)
        for bit, level in enumerate(levels):
            flags |= (density > level).astype(np.uint8) << np.uint8(bit)
        found = self._scratch(len(levels))
        _cut(
            self.cells, self.volume, self.blocks, self.nodes, self.block_volume,
            density, levels, flags, found, total,
        )  # fmt: skip
        return total


def _curve(places: NDArray[np.float64]) -> NDArray[np.int64]:
    """Position of each place along a Morton curve of 1,024 steps a side: near places stay near."""
    low, span = places.min(axis=0), float(np.ptp(places, axis=0).max())
    step = ((places - low) * (1023.0 / max(span, 1e-300))).astype(np.int64)
    code = np.zeros(len(places), np.int64)
    for bit in range(10):
        for axis in range(3):
            code |= (step[:, axis] >> bit & 1) << (3 * bit + axis)
    return code


@compiled_sums
def _soften(density, mass, table, total):
    """Add up, for each row of `table`, the softened volume at the nodes."""
    scale = (table.shape[1] - 1) / TABLE_TOP
    for t in range(table.shape[0]):
        total[t] = 0.0
    for i in range(density.shape[0]):
        v = density[i]
        if v < 1e-9:
            continue
        x = min(v * scale, table.shape[1] - 1.000001)
        k = int(x)
        w = x - k
        for t in range(table.shape[0]):
            total[t] += mass[i] * ((1.0 - w) * table[t, k] + w * table[t, k + 1])


def volume_above(
    cells: NDArray[np.int32],
    cell_volume: NDArray[np.float64],
    density: NDArray[np.float64],
    level: float,
) -> float:
    """Volume in which a linear density exceeds `level`, cut exactly inside elements, [mm3].

    Parameters
    ----------
    cells : ndarray, shape (cell, 4)
    cell_volume : ndarray, [mm3], shape (cell,)
    density : ndarray, [1], shape (node,)
    level : float, [1]
    """
    blocks = _Blocks(np.asarray(cells), np.asarray(cell_volume))
    return float(blocks.above(np.asarray(density, np.float64), np.array([level]))[0])


def softened_table(thresholds: Sequence[float], softness: float) -> NDArray[np.float64]:
    """`softened_visibility` at equal steps of density from 0 to 1.25, shape (threshold, entry)."""
    grid = np.linspace(0.0, TABLE_TOP, TABLE_SIZE)
    return np.stack([softened_visibility(grid, level, softness) for level in thresholds])


class VisibleVolumes:
    """Measures hard and softened volumes of one mesh at several thresholds.

    The softened volume is integrated with the lumped mass (second order in the
    size of the elements, as the solution is) from a table of 8,192 entries
    (error below 1e-6 of the volume).
    """

    def __init__(
        self,
        cells: NDArray[np.int32],
        cell_volume: NDArray[np.float64],
        mass: NDArray[np.float64],
        thresholds: Sequence[float],
        softness: float,
        *,
        points: NDArray[np.float64] | None = None,
    ) -> None:
        self._blocks = _Blocks(cells, cell_volume, points)
        self._mass = mass
        self._levels = np.asarray(thresholds, np.float64)
        if len(self._levels) > 8:
            raise InvalidInput(f"{len(self._levels)} thresholds are given; there can be 8 at most.")
        self._table = softened_table(thresholds, softness)

    def measure(self, density: NDArray[np.float64]) -> NDArray[np.float64]:
        """Hard volumes, then softened ones, [mm3], shape (2, threshold)."""
        result = np.empty((2, len(self._levels)))
        result[0] = self._blocks.above(density, self._levels)
        _soften(density, self._mass, self._table, result[1])
        return result
