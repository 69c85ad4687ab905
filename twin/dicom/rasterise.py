"""Polygons onto pixels: the share of each that lies inside, by the even-odd rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twin.compiled import compiled

__all__ = ["covered", "polygon_area"]

#: Lines across a pixel without a corner in it; between corners there is always one.
LINES = 4


def covered(polygons: Sequence[NDArray[np.float64]], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Share of each pixel that lies inside an odd number of polygons, [1], shape `shape`.

    Measured exactly along lines of the first axis. Between the corners of the polygons that
    lie in a row of pixels the lines are `LINES` a pixel, at least one, in the middle of their
    strips: where polygons do not cross, the sum over all pixels is their area exactly. Holes
    are polygons inside others; a keyhole's channel, there and back along one line, adds nothing.

    Parameters
    ----------
    polygons : sequence of ndarray, [pixels], shape (point, 2)
        Closed by themselves; pixel (i, j) is centred at (i, j).
    shape : tuple of int

    Examples
    --------
    >>> square = np.array([(-0.5, -0.5), (1.0, -0.5), (1.0, 0.2), (-0.5, 0.2)])
    >>> covered([square], (3, 1)).ravel().astype(float).round(6).tolist()
    [0.7, 0.35, 0.0]
    """
    out = np.zeros(shape, np.float32)
    starts, ends = _edges(polygons)
    if len(starts):
        fill(starts, ends, out)
    return out


def _edges(polygons: Sequence[NDArray[np.float64]]) -> tuple[NDArray, NDArray]:
    """Edges that rise or fall, from their lower to their upper end, [pixels], shape (edge, 2)."""
    if not polygons:
        return np.empty((0, 2)), np.empty((0, 2))
    a = np.concatenate([np.asarray(p, np.float64) for p in polygons])
    b = np.concatenate([np.roll(np.asarray(p, np.float64), -1, axis=0) for p in polygons])
    up = (a[:, 1] < b[:, 1])[:, None]
    steep = a[:, 1] != b[:, 1]
    return np.where(up, a, b)[steep], np.where(up, b, a)[steep]


@compiled
def fill(starts: Any, ends: Any, out: Any) -> None:
    """Add the inside of edges, each from its lower to its upper end, shape (edge, 2), to `out`."""
    height = out.shape[1]
    # The edges in each row, in one list with the rows' beginnings.
    begin = np.zeros(height + 1, np.int64)
    for e in range(len(starts)):
        first = max(0, int(np.floor(starts[e, 1] + 0.5)))
        last = min(height - 1, int(np.floor(ends[e, 1] + 0.5)))
        for j in range(first, last + 1):
            begin[j + 1] += 1
    for j in range(height):
        begin[j + 1] += begin[j]
    listed = np.empty(begin[height], np.int64)
    free = begin[:-1].copy()
    for e in range(len(starts)):
        first = max(0, int(np.floor(starts[e, 1] + 0.5)))
        last = min(height - 1, int(np.floor(ends[e, 1] + 0.5)))
        for j in range(first, last + 1):
            listed[free[j]] = e
            free[j] += 1
    for j in range(height):
        edges = listed[begin[j] : begin[j + 1]]
        if len(edges) < 2:
            continue
        low_y, high_y = j - 0.5, j + 0.5
        breaks = np.empty(2 + 2 * len(edges))
        breaks[0], breaks[1], count = low_y, high_y, 2
        for e in edges:
            for y in (starts[e, 1], ends[e, 1]):
                if low_y < y < high_y:
                    breaks[count] = y
                    count += 1
        breaks = np.sort(breaks[:count])
        crossing = np.empty(len(edges))
        for b in range(count - 1):
            strip = breaks[b + 1] - breaks[b]
            if strip < 1e-9:
                continue
            lines = int(np.ceil(strip * LINES - 1e-9))
            part = strip / lines
            for line in range(lines):
                y = breaks[b] + (line + 0.5) * part
                found = 0
                for e in edges:
                    low, high = starts[e, 1], ends[e, 1]
                    if low <= y < high:
                        share = (y - low) / (high - low)
                        crossing[found] = starts[e, 0] + share * (ends[e, 0] - starts[e, 0])
                        found += 1
                row = np.sort(crossing[:found])
                for k in range(0, found - 1, 2):
                    _add_span(out, j, row[k] + 0.5, row[k + 1] + 0.5, part)


@compiled
def _add_span(out: Any, j: int, low: float, high: float, part: float) -> None:
    """Add `part` times the share of each pixel of row `j` between two places."""
    low, high = max(low, 0.0), min(high, float(out.shape[0]))
    if high <= low:
        return
    first, last = int(low), min(int(high), out.shape[0] - 1)
    if first == last:
        out[first, j] += (high - low) * part
        return
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
    boxes = [(p.min(axis=0), p.max(axis=0)) for p in polygons]
    for number, polygon in enumerate(polygons):
        x, y = (polygon - polygon[0]).T
        own = abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2.0
        middles = (polygon + np.roll(polygon, -1, axis=0)) / 2.0
        depth = 0
        for k, other in enumerate(polygons):
            apart = (boxes[k][0] > boxes[number][1]) | (boxes[k][1] < boxes[number][0])
            if k != number and not apart.any():
                depth += _mostly_inside(middles, other)
        total += own if depth % 2 == 0 else -own
    return total


def _mostly_inside(points: NDArray[np.float64], polygon: NDArray[np.float64]) -> bool:
    """Whether most of the points, shape (point, 2), lie in a polygon: some may lie on it."""
    a, b = polygon[:, None], np.roll(polygon, -1, axis=0)[:, None]
    y = points[None, :, 1]
    crosses = (a[..., 1] <= y) != (b[..., 1] <= y)
    height = np.where(crosses, b[..., 1] - a[..., 1], 1.0)
    at = a[..., 0] + (y - a[..., 1]) / height * (b[..., 0] - a[..., 0])
    odd = (crosses & (at > points[None, :, 0])).sum(axis=0) % 2
    return bool(odd.mean() > 0.5)
