"""The labelled lattice fitted to the interfaces of the voxel labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from twin.meshing.distances import LabelDistances
from twin.meshing.geometry import (
    cell_faces_area,
    cell_neighbours,
    cell_volumes,
    dihedral_extremes,
)
from twin.meshing.labelling import interface_areas, volume_offset_step
from twin.meshing.smoothing import star_of, sweep

__all__ = ["fit_to_interfaces", "labels_touching"]

Array = NDArray[Any]

#: Rounds of new interface planes, and sweeps over the vertices in each.
ROUNDS = 10
SWEEPS = 2
#: The weight of the distance to the interface, against the shape, rises from one
#: to the other over this part of the rounds.
FIRST_INTERFACE_WEIGHT = 1.0
LAST_INTERFACE_WEIGHT = 40.0
RISING_PART = 0.6
#: Vertices within this many rings of cells about an interface move.
RINGS_MOVED = 3
#: Cells with a dihedral angle below this have their vertices let go, [degree].
WANTED_DIHEDRAL_DEG = 22.0
REPAIR_ROUNDS = 8
#: The interface is looked for within this part of a cell edge.
LARGEST_PULL = 0.6
#: A difference of two distances that rises less than this per mm has no direction.
SMALLEST_SLOPE = 0.2

_EDGE_CUBED_PER_VOLUME = 6.0 * np.sqrt(2.0)


class InterfacePlanes(NamedTuple):
    """Up to three planes for each vertex: ``normal . x = offset`` for the first `number`."""

    number: Array
    normal: Array
    offset: Array


def labels_touching(cells: Array, label: Array, node_count: int, label_count: int) -> Array:
    """Whether a cell of each label meets each vertex, shape (node, label)."""
    touching = np.zeros((node_count, label_count), bool)
    touching[cells.ravel(), np.repeat(label, 4)] = True
    return touching


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


def _with_rings(vertex_mask: Array, cells: Array, rings: int) -> Array:
    """Grow the mask by `rings` layers of cells."""
    grown = vertex_mask.copy()
    for _ in range(rings):
        grown[cells[grown[cells].any(axis=1)].ravel()] = True
    return grown


def fit_to_interfaces(
    points: Array,
    cells: Array,
    label: Array,
    touching: Array,
    distances: LabelDistances,
    wanted_volume: Array,
    *,
    progress: Callable[[float], None],
) -> Array:
    """Points moved to the interfaces, [mm], shape (node, 3); no cell is ever inverted.

    Parameters
    ----------
    points : ndarray, [mm], shape (node, 3)
        A valid mesh: the lattice. Not changed.
    cells : ndarray, shape (cell, 4)
    label : ndarray, shape (cell,)
    touching : ndarray of bool, shape (node, label)
        The labels that meet each vertex; column 0 is the outside.
    distances : LabelDistances
        Its offsets are adjusted so that volumes stay right as vertices move.
    wanted_volume : ndarray, [mm3], shape (label,)
    progress : callable
        Told the part done, 0 to 1.
    """
    points = points.copy()
    star = star_of(cells, len(points))
    incident = np.bincount(cells.ravel(), minlength=len(points))
    volume = np.bincount(cells.ravel(), np.repeat(cell_volumes(points, cells), 4), len(points))
    edge = np.cbrt(_EDGE_CUBED_PER_VOLUME * volume / incident)
    neighbour = cell_neighbours(cells, len(points))
    free = _with_rings(touching.sum(axis=1) > 1, cells, RINGS_MOVED)
    vertices = np.flatnonzero(free)
    largest_offset_step = 0.3 * distances.spacing_mm
    rise = np.linspace(0.0, 1.0 / RISING_PART, ROUNDS).clip(max=1.0)
    weights = FIRST_INTERFACE_WEIGHT * (LAST_INTERFACE_WEIGHT / FIRST_INTERFACE_WEIGHT) ** rise
    for done, weight in enumerate(weights):
        planes = interface_planes(points, touching, distances, edge)
        interface_weight = np.full(len(points), weight)
        for _ in range(SWEEPS):
            sweep(points, vertices, *star, *planes, interface_weight)
        progress((done + 1) / (ROUNDS + 1))
        if done < ROUNDS - 1:
            found = np.bincount(label, cell_volumes(points, cells), len(wanted_volume))
            area = cell_faces_area(points, cells)
            label_area = interface_areas(label, neighbour, area, len(wanted_volume))
            distances.offset_mm += volume_offset_step(
                wanted_volume, found, label_area, largest_offset_step
            )
    for _ in range(REPAIR_ROUNDS):
        smallest, _ = dihedral_extremes(points, cells)
        bad = cells[smallest < WANTED_DIHEDRAL_DEG].ravel()
        if not len(bad):
            break
        interface_weight[bad] *= 0.2
        about = np.zeros(len(points), bool)
        about[bad] = True
        again = np.flatnonzero(_with_rings(about, cells, 1) & free)
        for _ in range(3):
            sweep(points, again, *star, *planes, interface_weight)
    progress(1.0)
    return points
