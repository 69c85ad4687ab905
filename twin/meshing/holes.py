"""Cells taken out of a mesh and others put in their place."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from twin.compiled import compiled

__all__ = ["fill_hole"]

Array = NDArray[Any]


@compiled
def _same_face(one: Array, two: Array) -> bool:
    """Whether two faces have the same three vertices."""
    same = 0
    for i in range(3):
        if one[i] == two[0] or one[i] == two[1] or one[i] == two[2]:
            same += 1
    return same == 3


@compiled
def fill_hole(
    cells: Array,
    neighbour: Array,
    label: Array,
    used: int,
    hole: Array,
    hole_count: int,
    fresh: Array,
    fresh_label: Array,
    fresh_count: int,
    faces: Array,
) -> int:
    """Put the cells `fresh` in place of the cells `hole`; how many places are then used.

    A place that is left over gets the label -1.
    """
    outer = np.empty((4 * hole_count, 3), np.int64)
    outer_cell = np.empty(4 * hole_count, np.int64)
    outer_back = np.empty(4 * hole_count, np.int64)
    outer_count = 0
    for n in range(hole_count):
        cell = hole[n]
        for k in range(4):
            other = neighbour[cell, k]
            inside = False
            for m in range(hole_count):
                inside |= hole[m] == other
            if inside:
                continue
            for d in range(3):
                outer[outer_count, d] = cells[cell, faces[k, d]]
            outer_cell[outer_count] = other
            outer_back[outer_count] = -1
            if other >= 0:
                for m in range(4):
                    if neighbour[other, m] == cell:
                        outer_back[outer_count] = m
                        break
            outer_count += 1
    place = np.empty(fresh_count, np.int64)
    for n in range(fresh_count):
        if n < hole_count:
            place[n] = hole[n]
        else:
            place[n] = used
            used += 1
    for n in range(fresh_count, hole_count):
        label[hole[n]] = -1
        neighbour[hole[n]] = -1
    one, two = np.empty(3, np.int64), np.empty(3, np.int64)
    for n in range(fresh_count):
        cells[place[n]] = fresh[n]
        label[place[n]] = fresh_label[n]
        neighbour[place[n]] = -1
    for n in range(fresh_count):
        for k in range(4):
            for d in range(3):
                one[d] = fresh[n, faces[k, d]]
            found = False
            for m in range(outer_count):
                if _same_face(one, outer[m]):
                    neighbour[place[n], k] = outer_cell[m]
                    if outer_cell[m] >= 0:
                        neighbour[outer_cell[m], outer_back[m]] = place[n]
                    outer_cell[m] = -2  # done
                    found = True
                    break
            if found:
                continue
            for m in range(fresh_count):
                if m == n:
                    continue
                for kk in range(4):
                    for d in range(3):
                        two[d] = fresh[m, faces[kk, d]]
                    if _same_face(one, two):
                        neighbour[place[n], k] = place[m]
    for m in range(outer_count):  # a cell beyond a face that is no longer there
        if outer_cell[m] >= 0:
            neighbour[outer_cell[m], outer_back[m]] = -1
    return used
