"""The labelled lattice fitted to the interfaces of the voxel labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from twin.meshing.distances import LabelDistances
from twin.meshing.geometry import (
    FACES,
    cell_faces_area,
    cell_neighbours,
    cell_volumes,
    dihedral_extremes,
)
from twin.meshing.interfaces import InterfacePlanes, feet, interface_planes
from twin.meshing.labelling import interface_areas, volume_offset_step
from twin.meshing.smoothing import Star, star_of, sweep
from twin.meshing.swaps import swap_to_better

__all__ = ["Fitted", "fit_to_interfaces"]

Array = NDArray[Any]

#: Rounds of new interface planes, and sweeps over the vertices in each.
ROUNDS = 14
SWEEPS = 2
#: Rounds that begin with swaps, and the energy from which a cell is tried: while the
#: interfaces still pull gently, so that the volumes settle afterwards.
SWAP_ROUNDS = (1, 3, 5)
SWAPPED_ENERGY = 4.0
#: The weight of the distance to the interface, against the shape, rises from one
#: to the other over this part of the rounds.
FIRST_INTERFACE_WEIGHT = 1.0
LAST_INTERFACE_WEIGHT = 25.0
RISING_PART = 0.5
#: Vertices within this many rings of cells about an interface move. With more of them the angles
#: are no better, and fewer cells inside a label are the lattice's, whose errors are smallest.
RINGS_MOVED = 1
#: Cells with a dihedral angle outside this range have their vertices let go, [degree].
WANTED_DIHEDRAL_DEG = (24.0, 140.0)
REPAIR_ROUNDS = 8
#: Rounds of the repair that begin with swaps.
REPAIR_SWAPS = 2
#: A label's offset changes by this part of a voxel at most in one round.
LARGEST_OFFSET_STEP = 0.3

_EDGE_CUBED_PER_VOLUME = 6.0 * np.sqrt(2.0)


class Fitted(NamedTuple):
    """A fitted mesh, and what it took.

    Parameters
    ----------
    points : ndarray, [mm], shape (node, 3)
    cells : ndarray of int64, shape (cell, 4)
    label : ndarray of int64, shape (cell,)
    swaps : int
        Edges and faces swapped.
    repaired_cells : int
        Cells outside the wanted angles when the interfaces were met, which the repair
        then brought inside.
    """

    points: Array
    cells: Array
    label: Array
    swaps: int
    repaired_cells: int


@dataclass(slots=True)
class _State:
    """The mesh as it is fitted, and what follows from its cells.

    Parameters
    ----------
    touching : ndarray of bool, shape (node, label)
        The labels that meet each vertex; column 0 is the outside.
    edge_mm : ndarray, [mm], shape (node,)
        Mean edge of the cells about each vertex.
    free : ndarray of bool, shape (node,)
        Vertices that move.
    """

    points: Array
    cells: Array
    label: Array
    neighbour: Array
    label_count: int
    star: Star
    touching: Array
    edge_mm: Array
    free: Array
    swaps: int = 0

    @classmethod
    def of(cls, points: Array, cells: Array, label: Array, label_count: int) -> _State:
        """Return the state of a valid mesh; `points` are then changed in place."""
        cells, label = cells.astype(np.int64), label.astype(np.int64)
        neighbour = cell_neighbours(cells, len(points))
        nothing = np.zeros(0)
        state = cls(
            points, cells, label, neighbour, label_count, Star(nothing, nothing), nothing,
            nothing, nothing,
        )  # fmt: skip
        state.refresh()
        return state

    def refresh(self) -> None:
        """Work out again what follows from the cells."""
        count = len(self.points)
        corner = self.cells.ravel()
        incident = np.bincount(corner, minlength=count)
        volume = np.repeat(cell_volumes(self.points, self.cells), 4)
        mean = np.bincount(corner, volume, count) / np.maximum(incident, 1)
        self.edge_mm = np.cbrt(_EDGE_CUBED_PER_VOLUME * mean)
        self.star = star_of(self.cells, count)
        touching = np.zeros((count, self.label_count), bool)
        touching[corner, np.repeat(self.label, 4)] = True
        for face in range(4):
            outer = self.neighbour[:, face] < 0
            touching[self.cells[outer][:, FACES[face]].ravel(), 0] = True
        self.touching = touching
        self.free = _with_rings(touching.sum(axis=1) > 1, self.cells, RINGS_MOVED)
        self.free &= incident > 0

    def swap(self, wanted: Array, worse_than: float, among: Array | None = None) -> None:
        """Swap edges and faces where that gives better cells at the `wanted` places."""
        swapped = swap_to_better(
            self.points,
            wanted,
            self.cells,
            self.label,
            self.neighbour,
            worse_than=worse_than,
            among=among,
        )
        self.cells, self.label, self.neighbour = swapped.cells, swapped.label, swapped.neighbour
        self.swaps += swapped.swaps
        self.refresh()

    def volumes(self) -> Array:
        """Volume of each label, [mm3], shape (label,)."""
        return np.bincount(self.label, cell_volumes(self.points, self.cells), self.label_count)


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
    distances: LabelDistances,
    wanted_volume: Array,
    *,
    progress: Callable[[float], None],
) -> Fitted:
    """Mesh with its vertices on the interfaces; no cell is ever inverted.

    Parameters
    ----------
    points : ndarray, [mm], shape (node, 3)
        A valid mesh: the lattice. Not changed, nor are its cells and labels.
    cells : ndarray, shape (cell, 4)
    label : ndarray, shape (cell,)
        From 1; 0, the outside, has no cells.
    distances : LabelDistances
        Its offsets are adjusted so that volumes stay right as vertices move.
    wanted_volume : ndarray, [mm3], shape (label,)
    progress : callable
        Told the part done, 0 to 1.
    """
    state = _State.of(points.copy(), cells, label, len(wanted_volume))
    largest_step = LARGEST_OFFSET_STEP * distances.spacing_mm
    rise = np.linspace(0.0, 1.0 / RISING_PART, ROUNDS).clip(max=1.0)
    weights = FIRST_INTERFACE_WEIGHT * (LAST_INTERFACE_WEIGHT / FIRST_INTERFACE_WEIGHT) ** rise
    for done, weight in enumerate(weights):
        planes = interface_planes(state.points, state.touching, distances, state.edge_mm)
        if done in SWAP_ROUNDS:
            state.swap(feet(state.points, planes), SWAPPED_ENERGY)
            planes = interface_planes(state.points, state.touching, distances, state.edge_mm)
        interface_weight = np.full(len(points), weight)
        vertices = np.flatnonzero(state.free)
        for _ in range(SWEEPS):
            sweep(state.points, vertices, *state.star, *planes, interface_weight)
        progress((done + 1) / (ROUNDS + 1))
        if done < ROUNDS - 1:
            area = cell_faces_area(state.points, state.cells)
            border = interface_areas(state.label, state.neighbour, area, len(wanted_volume))
            distances.offset_mm += volume_offset_step(
                wanted_volume - state.volumes(), border, largest_step
            )
    repaired = _repair(state, planes, interface_weight)
    progress(1.0)
    used, cells = np.unique(state.cells, return_inverse=True)
    return Fitted(
        state.points[used], cells.reshape(-1, 4), state.label, state.swaps, max(0, repaired)
    )


def _outside_wanted_angles(state: _State) -> Array:
    """Mask of the cells with a dihedral angle outside the wanted range, shape (cell,)."""
    smallest, largest = dihedral_extremes(state.points, state.cells)
    mask: Array = (smallest < WANTED_DIHEDRAL_DEG[0]) | (largest > WANTED_DIHEDRAL_DEG[1])
    return mask


def _repair(state: _State, planes: InterfacePlanes, interface_weight: Array) -> int:
    """Swap, and let vertices off the interfaces, where angles are bad; how many cells it mended."""
    at_first = -1
    for turn in range(REPAIR_ROUNDS):
        outside = _outside_wanted_angles(state)
        if at_first < 0:
            at_first = int(outside.sum())
        if not outside.any():
            break
        if turn < REPAIR_SWAPS:
            state.swap(state.points, 0.0, np.flatnonzero(outside))
            outside = _outside_wanted_angles(state)
        bad = state.cells[outside].ravel()
        interface_weight[bad] *= 0.2
        about = np.zeros(len(state.points), bool)
        about[bad] = True
        again = np.flatnonzero(_with_rings(about, state.cells, 1) & state.free)
        for _ in range(3):
            sweep(state.points, again, *state.star, *planes, interface_weight)
    return at_first - int(_outside_wanted_angles(state).sum())
