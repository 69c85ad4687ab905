"""Fields of the tetrahedral mesh and of the voxels on points of a plane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse

from twin.meshing.voxel_cells import barycentric
from viz.offscreen import quiet_pyvista

__all__ = ["MeshSampler", "Plane", "sample_voxels"]

#: In-plane axes (across, up) and the normal, of each orientation, as indices of R, A, S.
ORIENTATIONS = {"axial": (0, 1, 2), "coronal": (0, 2, 1), "sagittal": (1, 2, 0)}


@dataclass(frozen=True)
class Plane:
    """A regular raster of points in a plane along the anatomical axes.

    Parameters
    ----------
    orientation : {"axial", "coronal", "sagittal"}
    position : float, [mm]
        RAS coordinate of the plane along its normal.
    across, up : ndarray, [mm], shape (n,), (m,)
        RAS coordinates of the raster's columns and rows, ascending.
    """

    orientation: str
    position: float
    across: NDArray[np.float64]
    up: NDArray[np.float64]

    @property
    def points(self) -> NDArray[np.float64]:
        """RAS positions of the raster, [mm], shape (m * n, 3)."""
        first, second, normal = ORIENTATIONS[self.orientation]
        mesh_across, mesh_up = np.meshgrid(self.across, self.up)
        found = np.empty((mesh_across.size, 3))
        found[:, first] = mesh_across.ravel()
        found[:, second] = mesh_up.ravel()
        found[:, normal] = self.position
        return found

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.up), len(self.across)


class MeshSampler:
    """Linear interpolation from the nodes of a mesh to fixed points, found once.

    Parameters
    ----------
    points : ndarray, [mm], shape (node, 3)
    cells : ndarray, shape (cell, 4)
    where : ndarray, [mm], shape (point, 3)

    Examples
    --------
    >>> corners = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    >>> here = MeshSampler(corners, np.array([[0, 1, 2, 3]]), np.array([[0.2, 0.1, 0.3]]))
    >>> here(corners[:, 0]).round(6).tolist()
    [0.2]
    """

    def __init__(
        self,
        points: NDArray[np.float64],
        cells: NDArray[np.integer[Any]],
        where: NDArray[np.float64],
    ) -> None:
        near = _cells_near(points, cells, where)
        owner = np.full(len(where), -1)
        if len(near):
            owner = _owning_cell(points, cells[near], where)
            owner = np.where(owner >= 0, near[np.maximum(owner, 0)], -1)
        self.inside: NDArray[np.bool_] = owner >= 0
        rows = np.flatnonzero(self.inside)
        corners = points[cells[owner[rows]]] if len(rows) else np.zeros((0, 4, 3))
        weights = barycentric(corners, where[rows]).clip(0.0, 1.0)
        weights /= weights.sum(axis=1, keepdims=True)  # points a hair outside their cell
        nodes = cells[owner[rows]] if len(rows) else np.zeros((0, 4), int)
        self._matrix = sparse.csr_matrix(
            (weights.ravel(), (np.repeat(rows, 4), nodes.ravel())),
            shape=(len(where), len(points)),
        )

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """`values` [any unit], shape (node,), at the points; 0 outside the mesh."""
        return self._matrix @ values


def _cells_near(
    points: NDArray[np.float64], cells: NDArray[np.integer[Any]], where: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Numbers of the cells whose box meets the box of the points."""
    low, high = where.min(axis=0) - 1e-6, where.max(axis=0) + 1e-6
    above = (points > high)[cells].all(axis=1).any(axis=1)
    below = (points < low)[cells].all(axis=1).any(axis=1)
    return np.flatnonzero(~(above | below))


def _owning_cell(
    points: NDArray[np.float64], cells: NDArray[np.integer[Any]], where: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Number of the cell around each point, -1 outside."""
    pyvista = quiet_pyvista()
    used, local = np.unique(cells, return_inverse=True)
    grid = pyvista.UnstructuredGrid({10: local.reshape(-1, 4)}, points[used])
    grid.cell_data["number"] = np.arange(len(cells), dtype=np.int64)
    probed = pyvista.PolyData(np.ascontiguousarray(where)).sample(grid)
    number = np.asarray(probed.point_data["number"], np.int64)
    valid = np.asarray(probed.point_data["vtkValidPointMask"]).astype(bool)
    return np.where(valid, number, -1)


def sample_voxels(
    array: NDArray[Any],
    affine: NDArray[np.float64],
    where: NDArray[np.float64],
    *,
    linear: bool = True,
) -> NDArray[np.float64]:
    """Values of a voxel array at RAS points [mm], shape (point,); 0 outside it.

    >>> grid = np.arange(8.0).reshape(2, 2, 2)
    >>> sample_voxels(grid, np.eye(4), np.array([[0.5, 0.5, 0.5]])).tolist()
    [3.5]
    """
    inverse = np.linalg.inv(affine)
    voxel = where @ inverse[:3, :3].T + inverse[:3, 3]
    source = np.asarray(array, np.float32) if array.dtype == bool else array
    return ndimage.map_coordinates(
        source, voxel.T, output=np.float64, order=1 if linear else 0, cval=0.0
    )
