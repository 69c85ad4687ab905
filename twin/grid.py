"""The voxels of a twin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twin.errors import InvalidInput

__all__ = ["Grid"]


@dataclass(frozen=True, slots=True)
class Grid:
    """The cubic voxels on which every image and mask of a twin lies.

    Parameters
    ----------
    shape : tuple of int
        Voxels along right, anterior, superior.
    affine : ndarray, [mm], shape (4, 4)
        From voxel numbers to RAS millimetres of voxel centres.

    Examples
    --------
    >>> Grid((10, 10, 10), np.diag([2.0, 2.0, 2.0, 1.0])).voxel_mm3
    8.0
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]

    def __post_init__(self) -> None:
        affine = np.array(self.affine, np.float64)
        shape = tuple(int(side) for side in self.shape)
        if len(shape) != 3 or min(shape) < 1:
            raise InvalidInput(f"A grid has three positive sides, not {shape}.")
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            raise InvalidInput("A grid's affine must be 4 by 4 and finite.")
        sides = np.linalg.norm(affine[:3, :3], axis=0)
        turned = affine[:3, :3] / max(float(sides.max()), 1e-12)
        if not (sides.min() > 0 and np.abs(turned.T @ turned - np.eye(3)).max() < 5e-3):
            raise InvalidInput(
                f"A grid's voxels must be cubes, not {np.round(sides, 3).tolist()} mm or tilted."
            )
        affine.setflags(write=False)
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "affine", affine)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Grid):
            return NotImplemented
        return self.shape == other.shape and np.array_equal(self.affine, other.affine)

    def __hash__(self) -> int:
        return hash((self.shape, self.affine.tobytes()))

    @property
    def spacing_mm(self) -> float:
        """Side of a voxel, [mm]."""
        return float(np.linalg.norm(self.affine[:3, :3], axis=0).mean())

    @property
    def voxel_mm3(self) -> float:
        """Volume of a voxel, [mm3]."""
        return self.spacing_mm**3

    def volume_ml(self, mask: NDArray[np.bool_]) -> float:
        """Volume of a mask on these voxels, [mL]."""
        return float(mask.sum() * self.voxel_mm3 / 1e3)

    def to_world(self, voxels: NDArray[np.generic]) -> NDArray[np.float64]:
        """RAS positions of voxel numbers, [mm], shape (..., 3)."""
        return np.asarray(voxels, np.float64) @ self.affine[:3, :3].T + self.affine[:3, 3]

    def to_voxels(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Voxel numbers (not rounded) of RAS positions [mm], shape (..., 3)."""
        inverse = np.linalg.inv(self.affine)
        return np.asarray(points, np.float64) @ inverse[:3, :3].T + inverse[:3, 3]
