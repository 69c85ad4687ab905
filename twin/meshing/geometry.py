"""Volumes, faces, neighbours and dihedral angles of tetrahedra."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from twin.meshing.compiled import compiled

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


def cell_volumes(points: Array, cells: Array) -> Array:
    """Signed volume of each tetrahedron, [mm3], shape (cell,)."""
    origin = points[cells[:, 0]]
    a, b, c = (points[cells[:, k]] - origin for k in (1, 2, 3))
    return np.einsum("ij,ij->i", np.cross(a, b), c) / 6.0


def cell_faces_area(points: Array, cells: Array) -> Array:
    """Area of the four faces of each tetrahedron, [mm2], shape (cell, 4)."""
    areas = np.empty(cells.shape)
    for vertex, face in enumerate(FACES):
        a, b, c = (points[cells[:, k]] for k in face)
        areas[:, vertex] = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2.0
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
def _dihedral_cosines(points: Array, cells: Array, extremes: Array) -> None:
    """Write the largest and the smallest cosine of the six dihedral angles of each cell."""
    edge = np.empty((3, 3))
    normal = np.empty((4, 3))
    for cell in range(len(cells)):
        for k in range(3):
            for d in range(3):
                edge[k, d] = points[cells[cell, k + 1], d] - points[cells[cell, 0], d]
        # inward normals: faces 1, 2 and 3 hold vertex 0, face 0 closes the sum to zero
        for k in range(3):
            p, q = (k + 1) % 3, (k + 2) % 3
            normal[k + 1, 0] = edge[p, 1] * edge[q, 2] - edge[p, 2] * edge[q, 1]
            normal[k + 1, 1] = edge[p, 2] * edge[q, 0] - edge[p, 0] * edge[q, 2]
            normal[k + 1, 2] = edge[p, 0] * edge[q, 1] - edge[p, 1] * edge[q, 0]
        for d in range(3):
            normal[0, d] = -normal[1, d] - normal[2, d] - normal[3, d]
        for k in range(4):
            length = np.sqrt(normal[k, 0] ** 2 + normal[k, 1] ** 2 + normal[k, 2] ** 2)
            for d in range(3):
                normal[k, d] /= max(length, 1e-300)
        largest, smallest = -1.0, 1.0
        for i in range(4):
            for j in range(i):
                cosine = -(
                    normal[i, 0] * normal[j, 0]
                    + normal[i, 1] * normal[j, 1]
                    + normal[i, 2] * normal[j, 2]
                )
                largest = max(largest, cosine)
                smallest = min(smallest, cosine)
        extremes[cell, 0] = largest
        extremes[cell, 1] = smallest


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
    extremes = np.empty((len(cells), 2))
    _dihedral_cosines(np.ascontiguousarray(points), np.ascontiguousarray(cells), extremes)
    angles = np.degrees(np.arccos(np.clip(extremes, -1.0, 1.0)))
    return angles[:, 0], angles[:, 1]
