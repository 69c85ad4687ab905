"""The interfaces between labels as planes that pass by each vertex."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from twin.meshing.distances import LabelDistances

__all__ = ["InterfacePlanes", "feet", "interface_planes"]

Array = NDArray[Any]

#: The interface is looked for within this part of a cell edge.
LARGEST_PULL = 0.6
#: A difference of two distances that rises less than this per mm has no direction.
SMALLEST_SLOPE = 0.2
#: Rounds of projections onto each plane in turn, where a vertex has several.
_PROJECTIONS = 6


class InterfacePlanes(NamedTuple):
    """Up to three planes for each vertex: ``normal . x = offset`` for the first `number`."""

    number: Array
    normal: Array
    offset: Array


def interface_planes(
    points: Array, touching: Array, distances: LabelDistances, edge_mm: Array
) -> InterfacePlanes:
    """Planes tangent to the interfaces that pass by each vertex.

    The interface between two labels is where their distances (with offsets)
    are equal; it is linearised at the vertex by central differences.
    """
    planes = InterfacePlanes(
        np.zeros(len(points), np.int64), np.zeros((len(points), 3, 3)), np.zeros((len(points), 3))
    )
    label_count = touching.sum(axis=1)
    vertex = np.flatnonzero(label_count > 1)
    here, touch = points[vertex], touching[vertex]
    half_step = distances.spacing_mm / 2.0
    value = np.full(touch.shape, -np.inf)
    slope = np.zeros((*touch.shape, 3))
    for label in range(touch.shape[1]):
        some = np.flatnonzero(touch[:, label])
        value[some, label] = distances.at(label, here[some]) + distances.offset_mm[label]
        for axis in range(3):
            shift = np.eye(3)[axis] * half_step
            difference = distances.at(label, here[some] + shift).astype(float)
            difference -= distances.at(label, here[some] - shift)
            slope[some, label, axis] = difference / (2.0 * half_step)
    ranked = np.argsort(-value, axis=1, kind="stable")
    row = np.arange(len(vertex))
    first = ranked[:, 0]
    for rank in range(1, min(4, touch.shape[1])):
        other = ranked[:, rank]
        gradient = slope[row, first] - slope[row, other]
        steepness = np.linalg.norm(gradient, axis=1)
        use = np.flatnonzero((label_count[vertex] > rank) & (steepness > SMALLEST_SLOPE))
        at = vertex[use]
        normal = gradient[use] / steepness[use, None]
        gap = value[use, first[use]] - value[use, other[use]]
        most = LARGEST_PULL * edge_mm[at]
        pull = np.clip(-gap / steepness[use], -most, most)
        slot = planes.number[at]
        planes.normal[at, slot] = normal
        planes.offset[at, slot] = (normal * here[use]).sum(axis=1) + pull
        planes.number[at] += 1
    return planes


def feet(points: Array, planes: InterfacePlanes) -> Array:
    """Points moved onto their planes, [mm], shape (node, 3), by projections in turn.

    Examples
    --------
    >>> import numpy as np
    >>> planes = InterfacePlanes(np.array([1]), np.eye(3)[None], np.array([[4.0, 0.0, 0.0]]))
    >>> feet(np.array([[1.0, 2.0, 3.0]]), planes)
    array([[4., 2., 3.]])
    """
    moved = points.copy()
    for turn in range(_PROJECTIONS):
        for k in range(3):
            use = np.flatnonzero(planes.number > (k if turn == 0 else max(k, 1)))
            normal = planes.normal[use, k]
            gap = planes.offset[use, k] - (normal * moved[use]).sum(axis=1)
            moved[use] += gap[:, None] * normal
    return moved
