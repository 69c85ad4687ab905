"""One label per tetrahedron, such that each label keeps its volume.

A tetrahedron takes the label whose smoothed signed distance plus an offset is
largest. Thin layers would lose that contest too often, so the offsets are
adjusted until every label has the volume of its voxels. A few sweeps that
favour the labels of neighbours (a Potts model relaxed by iterated conditional
modes: J. Besag, On the statistical analysis of dirty pictures, Journal of the
Royal Statistical Society B 48, 259-302 (1986),
doi:10.1111/j.2517-6161.1986.tb01412.x) take off the teeth.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from twin.compiled import compiled
from twin.meshing.distances import LabelDistances
from twin.meshing.geometry import cell_faces_area, cell_neighbours, cell_volumes

__all__ = ["interface_areas", "label_cells", "large_pieces", "volume_offset_step"]

Array = NDArray[Any]

#: Weight of the neighbours' labels against the own distance in cell edges.
NEIGHBOUR_WEIGHT = 0.15
#: Sweeps of the Potts model for each set of offsets; later ones change one cell in 10,000.
SWEEPS = 4
#: Times that the offsets are adjusted.
OFFSET_STEPS = 8
#: An offset changes by this many voxels at most in one step, and in all.
LARGEST_OFFSET_STEP = 0.3
LARGEST_OFFSET = 1.0

# The distances are averaged over the centroid and a point towards each vertex.
_SAMPLE_WEIGHTS = np.array(
    [
        [0.25, 0.25, 0.25, 0.25],
        [0.55, 0.15, 0.15, 0.15],
        [0.15, 0.55, 0.15, 0.15],
        [0.15, 0.15, 0.55, 0.15],
        [0.15, 0.15, 0.15, 0.55],
    ]
)

# Edge of the regular tetrahedron of volume V: the cube root of 6 sqrt(2) V.
_EDGE_CUBED_PER_VOLUME = 6.0 * np.sqrt(2.0)


def _mean_distances(points: Array, cells: Array, distances: LabelDistances) -> Array:
    """Mean signed distance of each cell to each label, [mm], shape (cell, label)."""
    mean = np.zeros((len(cells), len(distances.offset_mm)), np.float32)
    for weights in _SAMPLE_WEIGHTS:
        place = sum(weight * points[cells[:, k]] for k, weight in enumerate(weights))
        for label in range(mean.shape[1]):
            mean[:, label] += distances.at(label, place)
    mean /= len(_SAMPLE_WEIGHTS)
    return mean


@compiled
def _potts_sweep(
    order: Array, label: Array, score: Array, neighbour: Array, face_part: Array, weight: float
) -> int:
    """Give each cell in `order` its best label among its own and its neighbours'."""
    changes = 0
    for cell in order:
        best = label[cell]
        best_score = -1e30
        for candidate_face in range(-1, 4):  # -1 stands for the cell itself
            candidate = label[cell]
            if candidate_face >= 0:
                if neighbour[cell, candidate_face] < 0:
                    continue
                candidate = label[neighbour[cell, candidate_face]]
            total = score[cell, candidate]
            for face in range(4):
                other = neighbour[cell, face]
                if other >= 0 and label[other] == candidate:
                    total += weight * face_part[cell, face]
            if total > best_score:
                best, best_score = candidate, total
        if best != label[cell]:
            label[cell] = best
            changes += 1
    return changes


@compiled
def _cells_at_interfaces(label: Array, neighbour: Array) -> Array:
    """Numbers of the cells that have a neighbour of another label."""
    found = np.empty(len(label), np.int64)
    count = 0
    for cell in range(len(label)):
        for face in range(4):
            other = neighbour[cell, face]
            if other >= 0 and label[other] != label[cell]:
                found[count] = cell
                count += 1
                break
    return found[:count]


@compiled
def interface_areas(label: Array, neighbour: Array, area: Array, label_count: int) -> Array:
    """Area between each two labels, [mm2], shape (label, label), symmetric; 0 is the outside.

    Parameters
    ----------
    label : ndarray, shape (cell,)
    neighbour : ndarray, shape (cell, 4)
        The cell across each face, -1 where there is none.
    area : ndarray, [mm2], shape (cell, 4)
        Of the faces.
    label_count : int
    """
    total = np.zeros((label_count, label_count))
    for cell in range(len(label)):
        own = label[cell]
        for face in range(4):
            other = neighbour[cell, face]
            across = label[other] if other >= 0 else 0
            if across != own:
                total[own, across] += area[cell, face]
                if other < 0:
                    total[across, own] += area[cell, face]
    return total


def _classified(
    mean_distance: Array,
    offset_mm: Array,
    edge_mm: Array,
    neighbour: Array,
    face_part: Array,
    seed: int,
) -> Array:
    """Label of each cell for given offsets, shape (cell,)."""
    score = np.clip((mean_distance + offset_mm.astype(np.float32)) / edge_mm[:, None], -1.0, 1.0)
    label = score.argmax(axis=1)
    random = np.random.default_rng(seed)
    for _ in range(SWEEPS):
        order = random.permutation(_cells_at_interfaces(label, neighbour))
        if not _potts_sweep(order, label, score, neighbour, face_part, 4 * NEIGHBOUR_WEIGHT):
            break
    return label


def volume_offset_step(missing: Array, interface_area: Array, most: float) -> Array:
    """Change of each label's offset that would move its interfaces by the missing volume, [mm].

    Across the interface between two labels the difference of their distances has the
    slope two, so offsets that change by a and b move it by half of a - b. That holds for
    all interfaces together: a small linear system, in which the outside stays.

    Parameters
    ----------
    missing : ndarray, [mm3], shape (label,)
        Volume that each label should gain; that of label 0, the outside, is not looked at.
    interface_area : ndarray, [mm2], shape (label, label)
        As `interface_areas` gives it.
    most : float, [mm]
        Longest step.

    Examples
    --------
    >>> area = np.array([[0.0, 10.0, 0.0], [10.0, 0.0, 4.0], [0.0, 4.0, 0.0]])
    >>> volume_offset_step(np.array([0.0, -1.0, 1.0]), area, 9.0).round(9)
    array([0. , 0. , 0.5])
    """
    matrix = 0.5 * (np.diag(interface_area.sum(axis=1)) - interface_area)
    step = np.zeros(len(missing))
    step[1:] = np.linalg.lstsq(matrix[1:, 1:], missing[1:], rcond=1e-9)[0]
    return np.clip(step, -most, most)


def label_cells(
    points: Array, cells: Array, distances: LabelDistances, wanted_volume: Array, seed: int
) -> Array:
    """Label of each cell, shape (cell,); sets ``distances.offset_mm``.

    Parameters
    ----------
    points : ndarray, [mm], shape (node, 3)
    cells : ndarray, shape (cell, 4)
    distances : LabelDistances
    wanted_volume : ndarray, [mm3], shape (label,)
        Volume of the voxels of each label.
    seed : int
        For the order in which the Potts sweeps visit cells.
    """
    spacing = distances.spacing_mm
    count = len(wanted_volume)
    mean = _mean_distances(points, cells, distances)
    volume = cell_volumes(points, cells)
    edge = np.cbrt(_EDGE_CUBED_PER_VOLUME * volume).astype(np.float32)
    neighbour = cell_neighbours(cells, len(points))
    area = cell_faces_area(points, cells)
    face_part = (area / area.sum(axis=1, keepdims=True)).astype(np.float32)
    offset = distances.offset_mm.copy()
    for step in range(OFFSET_STEPS + 1):
        label = _classified(mean, offset, edge, neighbour, face_part, seed)
        if step == OFFSET_STEPS:
            break
        found = np.bincount(label, weights=volume, minlength=count)
        border_area = interface_areas(label, neighbour, area, count).sum(axis=1)
        missing = (wanted_volume - found) / np.maximum(border_area, 1e-9)
        missing[0] = 0.0
        most = LARGEST_OFFSET_STEP * spacing
        offset += np.clip(missing, -most, most)
        np.clip(offset, -LARGEST_OFFSET * spacing, LARGEST_OFFSET * spacing, out=offset)
    distances.offset_mm[:] = offset
    return label


def large_pieces(cells: Array, node_count: int, smallest_part: float) -> Array:
    """Mask of the cells in face-connected pieces of at least this part of all cells."""
    neighbour = cell_neighbours(cells, node_count)
    has = neighbour >= 0
    row = np.broadcast_to(np.arange(len(cells))[:, None], neighbour.shape)[has]
    graph = coo_matrix((np.ones(len(row), np.int8), (row, neighbour[has])), (len(cells),) * 2)
    _, piece = connected_components(graph, directed=False)
    mask: Array = (np.bincount(piece) >= smallest_part * len(cells))[piece]
    return mask
