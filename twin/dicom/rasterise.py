"""Polygons onto pixels: the share of each that lies inside, by the even-odd rule."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from twin.compiled import compiled

__all__ = ["covered", "polygon_area"]

#: Lines across a pixel along which the polygons' inside is measured exactly.
SUB_ROWS = 8


def covered(polygons: Sequence[NDArray[np.float64]], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Share of each pixel that lies inside an odd number of polygons, [1], shape `shape`.

    Exact along the first axis, by `SUB_ROWS` lines along the second. Holes are polygons
    inside others; a keyhole's channel, there and back along one line, adds nothing.

    Parameters
    ----------
    polygons : sequence of ndarray, [pixels], shape (point, 2)
        Closed by themselves; pixel (i, j) is centred at (i, j).
    shape : tuple of int

    Examples
    --------
    >>> square = np.array([(-0.5, -0.5), (1.0, -0.5), (1.0, 0.5), (-0.5, 0.5)])
    >>> covered([square], (3, 1)).ravel().tolist()
    [1.0, 0.5, 0.0]
    """
    out = np.zeros(shape, np.float32)
    if not polygons:
        return out
    starts = np.concatenate([np.asarray(p, np.float64) for p in polygons])
    ends = np.concatenate([np.roll(np.asarray(p, np.float64), -1, axis=0) for p in polygons])
    fill(starts, ends, out)
    return out


@compiled
def fill(starts, ends, out):  # type: ignore[no-untyped-def]
    """Add the inside of edges from `starts` to `ends`, shape (edge, 2), to `out`."""
    width, height = out.shape
    crossing = np.empty(len(starts))
    part = 1.0 / SUB_ROWS
    for j in range(height):
        for sub in range(SUB_ROWS):
            y = j - 0.5 + (sub + 0.5) * part
            count = 0
            for e in range(len(starts)):
                a, b = starts[e, 1], ends[e, 1]
                if (a <= y) != (b <= y):
                    share = (y - a) / (b - a)
                    crossing[count] = starts[e, 0] + share * (ends[e, 0] - starts[e, 0])
                    count += 1
            if count < 2:
                continue
            row = np.sort(crossing[:count])
            for k in range(0, count - 1, 2):
                low, high = max(row[k] + 0.5, 0.0), min(row[k + 1] + 0.5, float(width))
                if high <= low:
                    continue
                first, last = int(low), min(int(high), width - 1)
                if first == last:
                    out[first, j] += (high - low) * part
                    continue
                out[first, j] += (first + 1 - low) * part
                for i in range(first + 1, last):
                    out[i, j] += part
                out[last, j] += (high - last) * part


def polygon_area(polygons: Sequence[NDArray[np.float64]]) -> float:
    """Area inside an odd number of polygons that do not cross each other, in their unit squared.

    Examples
    --------
    >>> outer = np.array([(0, 0), (4, 0), (4, 4), (0, 4)], float)
    >>> polygon_area([outer, outer / 2 + 1])
    12.0
    """
    total = 0.0
    for number, polygon in enumerate(polygons):
        x, y = polygon[:, 0], polygon[:, 1]
        own = abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2.0
        depth = sum(_inside(polygon[0], other) for k, other in enumerate(polygons) if k != number)
        total += own if depth % 2 == 0 else -own
    return total


def _inside(point: NDArray[np.float64], polygon: NDArray[np.float64]) -> bool:
    a, b = polygon, np.roll(polygon, -1, axis=0)
    crosses = (a[:, 1] <= point[1]) != (b[:, 1] <= point[1])
    height = np.where(crosses, b[:, 1] - a[:, 1], 1.0)
    at = a[:, 0] + (point[1] - a[:, 1]) / height * (b[:, 0] - a[:, 0])
    return bool((crosses & (at > point[0])).sum() % 2)
