"""How much of each element is fluid, grey and white matter, also after the tissue has moved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from solvers.sampling import element_means, element_means_adjoint
from twin.errors import InvalidInput
from twin.mesh import Mesh
from twin.patient import TISSUES, Grid, Twin

__all__ = ["SamplePoints", "TissueFractions", "sample_points"]

#: Levels of refinement: 4, 32 or 256 points in an element.
_LEVELS = 3
_INNER, _OUTER = 0.13819660112501053, 0.5854101966249685
#: Tetrahedra of a red refinement: corners 0 to 3, midpoints of the edges 01 02 03 12 13 23.
_CHILDREN = (
    (0, 4, 5, 6), (4, 1, 7, 8), (5, 7, 2, 9), (6, 8, 9, 3),
    (4, 5, 6, 8), (4, 5, 7, 8), (5, 6, 8, 9), (5, 7, 8, 9),
)  # fmt: skip


def sample_points(level: int) -> NDArray[np.float64]:
    """Barycentric coordinates of evenly weighted points, [1], shape (4 * 8**level, 4).

    The rule of four points that is exact for quadratics (Hammer and Stroud 1956
    [unverified]) in each of the 8**level tetrahedra of equal volume.

    Examples
    --------
    >>> sample_points(0).shape, sample_points(1).mean(axis=0).round(12).tolist()
    ((4, 4), [0.25, 0.25, 0.25, 0.25])
    """
    parts = np.eye(4)[None]
    for _ in range(level):
        a, b, c, d = np.moveaxis(parts, 1, 0)
        middle = [(a + b) / 2, (a + c) / 2, (a + d) / 2, (b + c) / 2, (b + d) / 2, (c + d) / 2]
        ten = np.stack([a, b, c, d, *middle], axis=1)
        parts = np.concatenate([ten[:, list(child)] for child in _CHILDREN])
    rule = np.full((4, 4), _INNER) + (_OUTER - _INNER) * np.eye(4)
    return np.ascontiguousarray((rule @ parts).reshape(-1, 4))


@dataclass(frozen=True, slots=True)
class SamplePoints:
    """Points of the elements at which images on a grid are read.

    Four points where the mean edge is up to two voxels long, 32 up to four, 256 beyond.
    Measured on a ball of 7 mm in voxels of 1 mm: its volume to 0.06 %; the fraction of the
    elements that its surface cuts to 0.09, 0.05 and 0.02 (root mean square) where edges are
    2.5, 3.8 and 7.6 voxels long. That is the voxels' own blur, not the number of points.

    Parameters
    ----------
    mesh : Mesh
    to_voxels : ndarray, shape (4, 4)
        From millimetres to voxels.
    groups : tuple of ndarray
        Elements of each level.
    """

    mesh: Mesh
    to_voxels: NDArray[np.float64]
    groups: tuple[NDArray[np.int64], ...]

    @classmethod
    def of(cls, mesh: Mesh, grid: Grid) -> SamplePoints:
        """The points of a mesh in a grid."""
        edge = mesh.edge_length() / grid.spacing_mm
        level = np.clip(np.ceil(np.log2(np.maximum(edge, 1e-9) / 2.0)), 0, _LEVELS - 1)
        groups = tuple(np.flatnonzero(level == number) for number in range(_LEVELS))
        return cls(mesh, np.linalg.inv(grid.affine), groups)

    def _corners(self, displacement: NDArray[np.float64] | None) -> NDArray[np.float64]:
        points = self.mesh.points
        if displacement is not None:
            if displacement.shape != points.shape:
                raise InvalidInput(
                    f"The displacement has shape {displacement.shape}, the mesh's points "
                    f"{points.shape}; give one vector a node."
                )
            points = points - displacement
        voxels = points @ self.to_voxels[:3, :3].T + self.to_voxels[:3, 3]
        return np.ascontiguousarray(voxels[self.mesh.cells])

    def mean(
        self,
        images: NDArray[np.float32],
        displacement: NDArray[np.float64] | None = None,
        *,
        coarser: int = 0,
    ) -> NDArray[np.float64]:
        """Mean of each image over each element, at ``x - displacement(x)``, (cell, image).

        Parameters
        ----------
        images : ndarray, shape (image, i, j, k)
            Interpolated linearly; constant beyond the grid.
        displacement : ndarray or None, [mm], shape (node, 3)
        coarser : int
            So many levels of points less, down to four points.
        """
        result = np.empty((len(self.mesh.cells), len(images)))
        corners = self._corners(displacement)
        for level, cells in enumerate(self.groups):
            points = sample_points(max(level - coarser, 0))
            element_means(images, corners, cells, points, result)
        return result

    def mean_vjp(
        self,
        images: NDArray[np.float32],
        displacement: NDArray[np.float64],
        cotangent: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Gradient of ``sum(cotangent * mean)`` by the displacement, [1/mm], shape (node, 3)."""
        result = np.zeros_like(self.mesh.points)
        corners = self._corners(displacement)
        weights = np.ascontiguousarray(cotangent, np.float64)
        for level, cells in enumerate(self.groups):
            element_means_adjoint(
                images, corners, self.mesh.cells, cells, sample_points(level), weights, result
            )
        return -result @ self.to_voxels[:3, :3]


@dataclass(frozen=True, slots=True)
class TissueFractions:
    """Fractions of fluid, grey and white matter of the elements of one twin.

    From tissue probabilities where the twin has them, filled up by the tissue map to a sum
    of 1; else from the elements' labels (1 or 0) while nothing has moved, and from the
    tissue map, read between voxels, after it has. The tumour's core counts as white matter
    where labels are used, as it does for migration.

    Parameters
    ----------
    points : SamplePoints
    maps : ndarray of float32, [1], shape (3, i, j, k)
        In the order of `twin.patient.TISSUES`; they sum to 1 everywhere, since voxels outside
        the head repeat the nearest one in it.
    labelled : ndarray or None, [1], shape (cell, 3)
        Fractions by label, for a twin without probabilities.
    """

    points: SamplePoints
    maps: NDArray[np.float32]
    labelled: NDArray[np.float64] | None

    @classmethod
    def of(cls, twin: Twin) -> TissueFractions:
        """The fractions of a twin; about half a second for a head of 1 mm voxels."""
        head = twin.tissues > 0
        maps = np.stack([twin.tissues == number for number in TISSUES.values()])
        maps = maps.astype(np.float32)
        labelled = None
        if twin.tissue_probabilities is not None:
            given = np.stack([twin.tissue_probabilities[name] for name in TISSUES])
            given /= np.maximum(given.sum(axis=0), 1.0)  # sums of a little over 1 are allowed
            maps = given + (1.0 - given.sum(axis=0)) * maps
        else:
            fluid = twin.mesh.cells_labelled("fluid")
            grey = twin.mesh.cells_labelled("grey_matter")
            labelled = np.stack([fluid, grey, ~(fluid | grey)], axis=1).astype(np.float64)
        nearest: Any = ndimage.distance_transform_edt(
            ~head, return_distances=False, return_indices=True
        )
        maps = np.ascontiguousarray(maps[(slice(None), *nearest)], np.float32)
        return cls(SamplePoints.of(twin.mesh, twin.grid), maps, labelled)

    def fractions(self, displacement: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """Fluid, grey and white matter in each element, [1], shape (cell, 3); rows sum to 1.

        Parameters
        ----------
        displacement : ndarray or None, [mm], shape (node, 3)
            Of the tissue: at x lies what was at ``x - displacement``. None is not the same as
            zeros for a twin without probabilities: labels then give whole elements.
        """
        if displacement is None and self.labelled is not None:
            return self.labelled
        return self.points.mean(self.maps, displacement)

    def fractions_vjp(
        self, displacement: NDArray[np.float64], cotangent: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Gradient of ``sum(cotangent * fractions)`` by the displacement, [1/mm], (node, 3).

        Exact but at voxel centres, where the slope of the images jumps.
        """
        return self.points.mean_vjp(self.maps, displacement, cotangent)
