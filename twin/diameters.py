"""Longest diameter of a region on a slice, and its perpendicular, by the outline.

Both lie within the region: a line across a hole or a bay is none of its diameters. RANO (Wen et
al. 2010, J Clin Oncol 28:1963, doi 10.1200/JCO.2009.26.3541 [unverified]; 2.0 by Wen et al. 2023,
J Clin Oncol 41:5187, doi 10.1200/JCO.23.01059) and RECIST 1.1 (Eisenhauer et al. 2009, Eur J
Cancer 45:228, doi 10.1016/j.ejca.2008.10.026) measure so, the solid part alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twin.compiled import compiled
from twin.errors import InvalidInput

__all__ = ["Diameters", "region_diameters"]

#: A line may leave the outline by so much of its length: an outline's straight pieces are chords
#: of what they follow.
_SLACK = 0.01


@dataclass(frozen=True, slots=True)
class Diameters:
    """Longest diameter of a region and the longest one at right angles to it, [mm]."""

    longest_mm: float
    perpendicular_mm: float

    @property
    def product_mm2(self) -> float:
        """Their product, [mm2]."""
        return self.longest_mm * self.perpendicular_mm


@compiled
def _inside_length(starts, ends, origin_x, origin_y, along_x, along_y, low, high, met):
    """Total and greatest length, in ``[low, high]`` along a line, that lies inside (even-odd).

    `starts` and `ends` are the sides of all rings; `met` is room for their crossings.
    """
    count = 0
    for k in range(starts.shape[0]):
        ax, ay = starts[k, 0] - origin_x, starts[k, 1] - origin_y
        bx, by = ends[k, 0] - origin_x, ends[k, 1] - origin_y
        one = ay * along_x - ax * along_y
        other = by * along_x - bx * along_y
        if (one > 0.0) != (other > 0.0):
            share = one / (one - other)
            first = ax * along_x + ay * along_y
            met[count] = first + share * (bx * along_x + by * along_y - first)
            count += 1
    found = np.sort(met[:count])
    total = 0.0
    greatest = 0.0
    for k in range(0, count - 1, 2):
        begin, end = max(found[k], low), min(found[k + 1], high)
        if end > begin:
            total += end - begin
            greatest = max(greatest, end - begin)
    return total, greatest


@compiled
def _longest(points, starts, ends, slack, met):
    """Numbers of the two points furthest apart whose line lies inside but for `slack`."""
    best, one, other = 0.0, -1, -1
    for i in range(points.shape[0]):
        for j in range(i + 1, points.shape[0]):
            dx, dy = points[j, 0] - points[i, 0], points[j, 1] - points[i, 1]
            squared = dx * dx + dy * dy
            if squared <= best:
                continue
            length = math.sqrt(squared)
            inside, _ = _inside_length(
                starts, ends, points[i, 0], points[i, 1], dx / length, dy / length, 0.0, length, met
            )
            if inside >= (1.0 - slack) * length:
                best, one, other = squared, i, j
    return one, other


@compiled
def _perpendicular(points, starts, ends, along_x, along_y, step, met):
    """Greatest length inside along any line at right angles to a direction.

    Between two corners that length is linear in the line's place, so that the greatest is met
    just before or just after a corner.
    """
    best = 0.0
    for k in range(points.shape[0]):
        for side in (-step, step):
            x, y = points[k, 0] + side * along_x, points[k, 1] + side * along_y
            _, greatest = _inside_length(
                starts, ends, x, y, -along_y, along_x, -np.inf, np.inf, met
            )
            best = max(best, greatest)
    return best


def region_diameters(rings: Sequence[NDArray[np.float64]]) -> Diameters:
    """Diameters of the region inside its rings, holes left out.

    The longest ends at corners, so an outline's corners should lie close together.

    Parameters
    ----------
    rings : sequence of ndarray, [mm], shape (corner, 2)
        Outlines and holes, each closed (its first corner may be repeated at the end).

    Raises
    ------
    InvalidInput
        A ring of fewer than three corners, or a corner that is not finite.

    Examples
    --------
    >>> region_diameters([np.array([[0.0, 0], [4, 0], [4, 3], [0, 3]])])
    Diameters(longest_mm=5.0, perpendicular_mm=3.75)
    """
    starts, ends = [], []
    for ring in rings:
        corners = np.asarray(ring, np.float64)
        if len(corners) and np.array_equal(corners[0], corners[-1]):
            corners = corners[:-1]
        if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 3:
            raise InvalidInput("An outline needs three corners of two coordinates at least.")
        if not np.isfinite(corners).all():
            raise InvalidInput("An outline has a corner that is not finite.")
        starts.append(corners)
        ends.append(np.roll(corners, -1, axis=0))
    if not starts:
        return Diameters(0.0, 0.0)
    points, after = np.concatenate(starts), np.concatenate(ends)
    met = np.empty(len(points))
    one, other = _longest(points, points, after, _SLACK, met)
    if one < 0:
        return Diameters(0.0, 0.0)
    line = points[other] - points[one]
    length = float(np.linalg.norm(line))
    along = line / length
    step = 1e-9 * max(float(np.abs(points).max()), 1.0)
    across = _perpendicular(points, points, after, along[0], along[1], step, met)
    return Diameters(length, round(float(across), 9))
