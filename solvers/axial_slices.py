"""What axial slices of a stated thickness show of a density on a tetrahedral mesh."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twin.compiled import compiled
from twin.errors import InvalidInput

__all__ = ["PIXEL_MM", "AxialSlices"]

#: assumed: width of a pixel [mm], as usual in the head; outlines are found between pixels.
PIXEL_MM = 1.0
#: A slice is the mean of planes at most so far apart, [mm].
_PLANE_MM = 1.25
_MOST_SLICE_MM = 20.0


@compiled
def _locate(points, cells, low, steps, shape, owner, weight):
    """The cell of every raster point and its weights; points of no cell keep owner -1."""
    for c in range(cells.shape[0]):
        a, b = points[cells[c, 0]], points[cells[c, 1]]
        d, e = points[cells[c, 2]], points[cells[c, 3]]
        first = np.empty(3, np.int64)
        last = np.empty(3, np.int64)
        empty = False
        for axis in range(3):
            least = min(min(a[axis], b[axis]), min(d[axis], e[axis]))
            most = max(max(a[axis], b[axis]), max(d[axis], e[axis]))
            first[axis] = max(math.ceil((least - low[axis]) / steps[axis] - 1e-9), 0)
            last[axis] = min(math.floor((most - low[axis]) / steps[axis] + 1e-9), shape[axis] - 1)
            empty = empty or first[axis] > last[axis]
        if empty:
            continue
        ux, uy, uz = b[0] - a[0], b[1] - a[1], b[2] - a[2]
        vx, vy, vz = d[0] - a[0], d[1] - a[1], d[2] - a[2]
        wx, wy, wz = e[0] - a[0], e[1] - a[1], e[2] - a[2]
        volume = ux * (vy * wz - vz * wy) - uy * (vx * wz - vz * wx) + uz * (vx * wy - vy * wx)
        for i in range(first[0], last[0] + 1):
            px = low[0] + i * steps[0] - a[0]
            for j in range(first[1], last[1] + 1):
                py = low[1] + j * steps[1] - a[1]
                for k in range(first[2], last[2] + 1):
                    pz = low[2] + k * steps[2] - a[2]
                    one = px * (vy * wz - vz * wy) - py * (vx * wz - vz * wx)
                    one = (one + pz * (vx * wy - vy * wx)) / volume
                    two = ux * (py * wz - pz * wy) - uy * (px * wz - pz * wx)
                    two = (two + uz * (px * wy - py * wx)) / volume
                    three = ux * (vy * pz - vz * py) - uy * (vx * pz - vz * px)
                    three = (three + uz * (vx * py - vy * px)) / volume
                    if min(min(one, two), min(three, 1.0 - one - two - three)) >= -1e-9:
                        owner[k, j, i] = c
                        weight[k, j, i, 0] = one
                        weight[k, j, i, 1] = two
                        weight[k, j, i, 2] = three


@compiled
def _mean(values, cells, counts, owner, weight, planes, result):
    """Mean over each slice's planes of a nodal field, 0 where no counting cell lies."""
    for s in range(result.shape[0]):
        for j in range(result.shape[1]):
            for i in range(result.shape[2]):
                total = 0.0
                for k in range(s * planes, (s + 1) * planes):
                    c = owner[k, j, i]
                    if c >= 0 and counts[c]:
                        one, two, three = weight[k, j, i, 0], weight[k, j, i, 1], weight[k, j, i, 2]
                        total += (1.0 - one - two - three) * values[cells[c, 0]]
                        total += one * values[cells[c, 1]] + two * values[cells[c, 2]]
                        total += three * values[cells[c, 3]]
                result[s, j, i] = total / planes


@dataclass(frozen=True, slots=True)
class AxialSlices:
    """Contiguous axial slices of a mesh, on square pixels.

    Parameters
    ----------
    across, up : ndarray, [mm], shape (column,), (row,)
        RAS x and y of the pixels' centres, ascending.
    middle : ndarray, [mm], shape (slice,)
        RAS z of the slices' middles; slices meet at multiples of their thickness.
    thickness_mm : float, [mm]
    cells : ndarray, shape (cell, 4)
    planes : int
        Planes whose mean is a slice.
    owner, weight : ndarray, shape (plane, row, column) and that with 3
        Cell of each point, -1 outside, and the weights of its last three corners.
    """

    across: NDArray[np.float64]
    up: NDArray[np.float64]
    middle: NDArray[np.float64]
    thickness_mm: float
    cells: NDArray[np.int64]
    planes: int
    owner: NDArray[np.int32]
    weight: NDArray[np.float32]

    @classmethod
    def of(
        cls,
        points: NDArray[np.float64],
        cells: NDArray[np.integer],
        thickness_mm: float,
        *,
        within: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
        pixel_mm: float = PIXEL_MM,
    ) -> AxialSlices:
        """Slices through a mesh, or through the box `within` of it.

        Parameters
        ----------
        points : ndarray, [mm], shape (node, 3)
            RAS.
        cells : ndarray, shape (cell, 4)
        thickness_mm : float, [mm]
            Above 0, at most 20.
        within : (ndarray, ndarray) or None, [mm], shape (3,)
            Lowest and highest corner.
        pixel_mm : float, [mm]
        """
        if not 0.0 < thickness_mm <= _MOST_SLICE_MM:
            raise InvalidInput(
                f"The slices are {thickness_mm:g} mm thick; they must be above 0 and at most "
                f"{_MOST_SLICE_MM:g} mm."
            )
        least, most = (points.min(axis=0), points.max(axis=0)) if within is None else within
        planes = max(1, math.ceil(thickness_mm / _PLANE_MM - 1e-9))
        first = math.floor(least[2] / thickness_mm)
        slices = max(1, math.ceil(most[2] / thickness_mm) - first)
        axes = [
            pixel_mm * np.arange(math.floor(a / pixel_mm) - 1, math.ceil(b / pixel_mm) + 2)
            for a, b in zip(least[:2], most[:2], strict=True)
        ]
        apart = thickness_mm / planes
        shape = np.array([len(axes[0]), len(axes[1]), slices * planes])
        low = np.array([axes[0][0], axes[1][0], first * thickness_mm + 0.5 * apart])
        owner = np.full(shape[::-1], -1, np.int32)
        weight = np.zeros((*shape[::-1], 3), np.float32)
        near = np.asarray(cells, np.int64)
        _locate(
            np.ascontiguousarray(points, np.float64), near, low,
            np.array([pixel_mm, pixel_mm, apart]), shape, owner, weight,
        )  # fmt: skip
        middle = thickness_mm * (first + 0.5 + np.arange(slices))
        return cls(axes[0], axes[1], middle, float(thickness_mm), near, planes, owner, weight)

    def show(
        self, values: NDArray[np.float64], counts: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float64]:
        """A nodal field on the slices, shape (slice, row, column), the mean over the thickness.

        Parameters
        ----------
        values : ndarray, shape (node,)
        counts : ndarray of bool or None, shape (cell,)
            Cells that add to it; what lies in others counts as 0, as does what lies outside.
        """
        result = np.empty((len(self.middle), len(self.up), len(self.across)))
        used = np.ones(len(self.cells), bool) if counts is None else np.asarray(counts, bool)
        _mean(
            np.ascontiguousarray(values, np.float64), self.cells, used, self.owner, self.weight,
            self.planes, result,
        )  # fmt: skip
        return result
