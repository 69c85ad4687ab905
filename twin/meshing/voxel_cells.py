"""The element of a mesh that holds each voxel's centre."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from twin.compiled import compiled
from twin.mesh import Mesh

__all__ = ["cells_at_voxels", "linear_at"]

Array = NDArray[Any]

#: A centre this far outside an element, in barycentric coordinates, still counts as inside.
_TOLERANCE = 1e-9


@compiled
def _fill(points: Array, cells: Array, found: Array, tolerance: float) -> None:
    """Write each cell's number into the voxels whose centres it holds, the first cell wins."""
    low, high = np.empty(3, np.int64), np.empty(3, np.int64)
    a, edge, cofactor = np.empty(3), np.empty((3, 3)), np.empty((3, 3))
    for number in range(len(cells)):
        for d in range(3):
            a[d] = points[cells[number, 0], d]
            least = most = a[d]
            for k in range(3):
                x = points[cells[number, k + 1], d]
                edge[k, d] = x - a[d]
                least, most = min(least, x), max(most, x)
            low[d] = max(0, int(np.ceil(least - 1e-6)))
            high[d] = min(found.shape[d] - 1, int(np.floor(most + 1e-6)))
        for k in range(3):
            m, n = (k + 1) % 3, (k + 2) % 3
            for d in range(3):
                e, f = (d + 1) % 3, (d + 2) % 3
                cofactor[k, d] = edge[m, e] * edge[n, f] - edge[m, f] * edge[n, e]
        volume = edge[0, 0] * cofactor[0, 0] + edge[0, 1] * cofactor[0, 1]
        volume += edge[0, 2] * cofactor[0, 2]
        if volume == 0.0:
            continue
        for i in range(low[0], high[0] + 1):
            for j in range(low[1], high[1] + 1):
                for k in range(low[2], high[2] + 1):
                    if found[i, j, k] >= 0:
                        continue
                    rest = 1.0
                    inside = True
                    for m in range(3):
                        weight = (
                            cofactor[m, 0] * (i - a[0])
                            + cofactor[m, 1] * (j - a[1])
                            + cofactor[m, 2] * (k - a[2])
                        ) / volume
                        rest -= weight
                        if weight < -tolerance:
                            inside = False
                    if inside and rest >= -tolerance:
                        found[i, j, k] = number


def cells_at_voxels(
    mesh: Mesh, shape: tuple[int, int, int], affine: ArrayLike
) -> NDArray[np.int32]:
    """Number of the cell around each voxel's centre, -1 outside the mesh, shape (i, j, k).

    A centre on a face, an edge or a node goes to the cell with the lowest number.

    Parameters
    ----------
    mesh : Mesh
    shape : tuple of int
        Voxels along each axis.
    affine : ndarray, [mm], shape (4, 4)
        From voxel numbers to RAS millimetres.

    Examples
    --------
    >>> from twin.meshing.boxes import box_mesh
    >>> cell = cells_at_voxels(box_mesh((2.0, 2.0, 2.0), (1, 1, 1)), (3, 3, 4), np.eye(4))
    >>> int((cell >= 0).sum())  # 3 x 3 x 3 corners, edges and middles of the box
    27
    """
    inverse = np.linalg.inv(np.asarray(affine, float))
    points = mesh.points @ inverse[:3, :3].T + inverse[:3, 3]
    found = np.full(shape, -1, np.int32)
    _fill(np.ascontiguousarray(points), mesh.cells, found, _TOLERANCE)
    return found


def barycentric(corners: NDArray[np.float64], where: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights of the corners of tetrahedra at points, their sum 1, shape (point, 4).

    Parameters
    ----------
    corners : ndarray, [mm], shape (point, 4, 3)
        Of the tetrahedron around each point.
    where : ndarray, [mm], shape (point, 3)

    Examples
    --------
    >>> corner = np.array([[[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]])
    >>> barycentric(corner, np.array([[0.2, 0.1, 0.3]])).round(9).tolist()
    [[0.4, 0.2, 0.1, 0.3]]
    """
    if not len(where):
        return np.zeros((0, 4))
    edges = np.swapaxes(corners[:, 1:] - corners[:, :1], 1, 2)
    last = np.linalg.solve(edges, (where - corners[:, 0])[..., None])[..., 0]
    return np.column_stack([1.0 - last.sum(axis=1), last])


def linear_at(
    mesh: Mesh, values: NDArray[np.floating], cell: NDArray[np.integer], where: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values at points in cells, and the size of their gradient there, each shape (point,).

    Parameters
    ----------
    mesh : Mesh
    values : ndarray, any unit, shape (node,)
        Linear in each cell.
    cell : ndarray of int, shape (point,)
        As `cells_at_voxels` gives it.
    where : ndarray, [mm], shape (point, 3)

    Examples
    --------
    >>> from twin.meshing.boxes import box_mesh
    >>> mesh = box_mesh((2.0, 2.0, 2.0), (1, 1, 1))
    >>> values, where = 3.0 * mesh.points[:, 0], np.array([[1.0, 1.0, 1.0]])
    >>> found, slope = linear_at(mesh, values, np.array([0]), where)
    >>> found.round(9).tolist(), slope.round(9).tolist()
    ([3.0], [3.0])
    """
    used, number = np.unique(cell, return_inverse=True)
    corners = mesh.points[mesh.cells[used]]
    at = np.asarray(values, np.float64)[mesh.cells[used]]
    edges = corners[:, 1:] - corners[:, :1]
    gradient = np.linalg.solve(edges, (at[:, 1:] - at[:, :1])[..., None])[..., 0]
    found = at[number, 0] + ((where - corners[number, 0]) * gradient[number]).sum(axis=1)
    return found, np.linalg.norm(gradient, axis=1)[number]
