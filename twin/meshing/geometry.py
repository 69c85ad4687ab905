"""Volumes, faces, neighbours and dihedral angles of tetrahedra."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from twin.compiled import compiled

__all__ = [
    "FACES",
    "cell_faces_area",
    "cell_neighbours",
    "cell_volumes",
    "dihedral_extremes",
]

Array = NDArray[Any]

#: Row ``v`` holds the face opposite vertex ``v``, turned so that the
#: tetrahedron (face, vertex v) is positively oriented if the cell is.
FACES = np.array([(1, 3, 2), (0, 2, 3), (0, 3, 1), (0, 1, 2)])

#: Most nodes of a mesh: three node numbers times four faces fit one 64-bit face key.
MOST_NODES = 1_500_000


@compiled
def _edges_of(points: Array, cell: Array, edges: Array) -> None:
    """Write the edges from vertex 0 to the other three."""
    for k in range(3):
        for d in range(3):
            edges[k, d] = points[cell[k + 1], d] - points[cell[0], d]


@compiled
def _cross(a: Array, b: Array, result: Array) -> None:
    """Write the cross product of two vectors."""
    result[0] = a[1] * b[2] - a[2] * b[1]
    result[1] = a[2] * b[0] - a[0] * b[2]
    result[2] = a[0] * b[1] - a[1] * b[0]


@compiled
def _inward_normals(points: Array, cell: Array, edges: Array, normals: Array) -> None:
    """Write the normals of the four faces, each twice as long as the face is large."""
    _edges_of(points, cell, edges)
    _cross(edges[1], edges[2], normals[1])
    _cross(edges[2], edges[0], normals[2])
    _cross(edges[0], edges[1], normals[3])
    for d in range(3):
        normals[0, d] = -normals[1, d] - normals[2, d] - normals[3, d]


@compiled
def cell_volumes(points: Array, cells: Array) -> Array:
    """Signed volume of each tetrahedron, [mm3], shape (cell,)."""
    volumes = np.empty(len(cells))
    edges, normal = np.empty((3, 3)), np.empty(3)
    for n in range(len(cells)):
        _edges_of(points, cells[n], edges)
        _cross(edges[0], edges[1], normal)
        volumes[n] = (
            normal[0] * edges[2, 0] + normal[1] * edges[2, 1] + normal[2] * edges[2, 2]
        ) / 6.0
    return volumes


@compiled
def cell_faces_area(points: Array, cells: Array) -> Array:
    """Area of the four faces of each tetrahedron, [mm2], shape (cell, 4)."""
    areas = np.empty(cells.shape)
    edges, normals = np.empty((3, 3)), np.empty((4, 3))
    for n in range(len(cells)):
        _inward_normals(points, cells[n], edges, normals)
        for k in range(4):
            x, y, z = normals[k, 0], normals[k, 1], normals[k, 2]
            areas[n, k] = 0.5 * np.sqrt(x * x + y * y + z * z)
    return areas


def cell_neighbours(cells: Array, node_count: int) -> Array:
    """Cell across each face (opposite vertex 0 to 3), -1 where none, shape (cell, 4)."""
    faces = np.sort(cells[:, FACES].reshape(-1, 3).astype(np.int64), axis=1)
    key = (faces[:, 0] * node_count + faces[:, 1]) * node_count + faces[:, 2]
    order = np.argsort(key, kind="stable")
    shared = key[order[1:]] == key[order[:-1]]
    first, second = order[:-1][shared], order[1:][shared]
    neighbour = np.full(len(faces), -1, np.int64)
    neighbour[first] = second // 4
    neighbour[second] = first // 4
    return neighbour.reshape(-1, 4)


@compiled
def _dihedral_cosines(points: Array, cells: Array) -> Array:
    """Return the largest and the smallest cosine of the six dihedral angles of each cell."""
    extremes = np.empty((len(cells), 2))
    edges, normals = np.empty((3, 3)), np.empty((4, 3))
    for n in range(len(cells)):
        _inward_normals(points, cells[n], edges, normals)
        for k in range(4):
            x, y, z = normals[k, 0], normals[k, 1], normals[k, 2]
            scale = 1.0 / max(np.sqrt(x * x + y * y + z * z), 1e-300)
            normals[k, 0], normals[k, 1], normals[k, 2] = x * scale, y * scale, z * scale
        largest, smallest = -1.0, 1.0
        for i in range(4):
            for j in range(i):
                cosine = -(
                    normals[i, 0] * normals[j, 0]
                    + normals[i, 1] * normals[j, 1]
                    + normals[i, 2] * normals[j, 2]
                )
                largest = max(largest, cosine)
                smallest = min(smallest, cosine)
        extremes[n, 0] = largest
        extremes[n, 1] = smallest
    return extremes


def dihedral_extremes(points: Array, cells: Array) -> tuple[Array, Array]:
    """Smallest and largest dihedral angle of each tetrahedron, [degree], shapes (cell,).

    Examples
    --------
    >>> import numpy as np
    >>> corner = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    >>> smallest, largest = dihedral_extremes(corner, np.array([[0, 1, 2, 3]]))
    >>> float(round(smallest[0], 2)), float(round(largest[0], 2))
    (54.74, 90.0)
    """
    cosines = np.clip(_dihedral_cosines(points, cells), -1.0, 1.0)
    angles = np.degrees(np.arccos(cosines))
    return angles[:, 0], angles[:, 1]
