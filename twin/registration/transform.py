"""Where each point of one image lies in another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from twin.errors import InvalidInput
from twin.registration.fields import Field, jacobian_matrices

__all__ = ["SpatialTransform"]


@dataclass(frozen=True, slots=True)
class SpatialTransform:
    """From points of the fixed image to points of the moving one.

    A point is moved by the displacement field, where there is one, and then by the matrix.

    Parameters
    ----------
    matrix : ndarray, [mm], shape (4, 4)
        In right-anterior-superior coordinates.
    field : ndarray of float32 or None, [voxels of its grid], shape (3, i, j, k)
    field_affine : ndarray or None, [mm], shape (4, 4)
        Of the field's grid.

    Examples
    --------
    >>> shift = np.eye(4)
    >>> shift[0, 3] = 5.0
    >>> SpatialTransform(shift).points(np.zeros((1, 3))).tolist()
    [[5.0, 0.0, 0.0]]
    """

    matrix: NDArray[np.float64]
    field: Field | None = None
    field_affine: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        if (self.field is None) != (self.field_affine is None):
            raise InvalidInput("A displacement field needs the affine of its grid.")
        for array in (self.matrix, self.field, self.field_affine):
            if array is not None and not np.isfinite(array).all():
                raise InvalidInput("A transform holds numbers that are not finite.")

    def points(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Places in the moving image, [mm], shape (n, 3), of points of the fixed one."""
        moved = np.asarray(points, np.float64)
        if self.field is not None and self.field_affine is not None:
            back = np.linalg.inv(self.field_affine)
            voxels = (moved @ back[:3, :3].T + back[:3, 3]).T
            by = np.stack(
                [
                    ndimage.map_coordinates(part, voxels, order=1, mode="nearest")
                    for part in self.field
                ],
                axis=-1,
            )
            moved = moved + by @ self.field_affine[:3, :3].T
        return np.asarray(moved @ self.matrix[:3, :3].T + self.matrix[:3, 3])

    def derivatives(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Derivatives of `points` at points of the fixed image, [1], shape (n, 3, 3)."""
        linear = self.matrix[:3, :3]
        if self.field is None or self.field_affine is None:
            return np.broadcast_to(linear, (len(points), 3, 3))
        back = np.linalg.inv(self.field_affine)
        voxels = (np.asarray(points, np.float64) @ back[:3, :3].T + back[:3, 3]).T
        slopes = jacobian_matrices(self.field)
        local = np.empty((len(points), 3, 3))
        for row in range(3):
            for column in range(3):
                local[:, row, column] = ndimage.map_coordinates(
                    slopes[..., row, column], voxels, order=1, mode="nearest"
                )
        return np.asarray(linear @ self.field_affine[:3, :3] @ local @ back[:3, :3])

    def rotations(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """The rotation within the derivatives, [1], shape (n, 3, 3).

        The orthogonal factor of the polar decomposition: the finite strain of Alexander et
        al., IEEE Trans Med Imaging 2001;20:1131, 10.1109/42.963816 [unverified].
        """
        left, _, right = np.linalg.svd(self.derivatives(points))
        return np.asarray(left @ right)
