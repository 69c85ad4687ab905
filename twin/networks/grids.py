"""From an image's voxels to the voxels on which a network was trained, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from twin.errors import InvalidInput
from twin.images import Image

__all__ = ["NetworkGrid"]

_AXIS = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
_ORDER = {"linear": 1, "cubic": 3}


@dataclass(frozen=True, slots=True)
class NetworkGrid:
    """The block of an image in another voxel size and another order of axes.

    Both blocks share their centre and, to half a voxel, their faces.

    Parameters
    ----------
    image_shape : tuple of int
        Voxels of the image, axes right, anterior, superior.
    step : ndarray, [voxel], shape (3,)
        Sides of a voxel of the network in voxels of the image, in the image's axes.
    shape : tuple of int
        Voxels of the network's block, in the image's axes.
    axes, signs : tuple of int
        Which axis of the image each axis of the network is, and its direction.
    """

    image_shape: tuple[int, int, int]
    step: NDArray[np.float64]
    shape: tuple[int, int, int]
    axes: tuple[int, ...]
    signs: tuple[int, ...]

    @classmethod
    def of(cls, image: Image, spacing_mm: Sequence[float], orientation: str) -> NetworkGrid:
        """Return the grid for an image.

        Parameters
        ----------
        image : Image
        spacing_mm : sequence of float, [mm], shape (3,)
            Of the network, in the order of its own axes.
        orientation : str
            Where the network's axes run, for example ``RAS`` or ``LPS``.

        Raises
        ------
        InvalidInput
            Axes that are not at right angles.

        Examples
        --------
        >>> thick = Image(np.zeros((4, 4, 2), np.float32), np.diag([1.0, 1.0, 2.0, 1.0]))
        >>> NetworkGrid.of(thick, (1.0, 1.0, 1.0), "RAS").shape
        (4, 4, 4)
        """
        directions = image.affine[:3, :3] / image.spacing_mm
        if not np.abs(directions.T @ directions - np.eye(3)).max() < 1e-3:
            raise InvalidInput(
                "The image's axes are not at right angles (a tilted scan); "
                "resample it onto a straight grid."
            )
        turned = [_AXIS[letter] for letter in orientation]
        axes = tuple(axis for axis, _ in turned)
        signs = tuple(sign for _, sign in turned)
        spacing = np.empty(3)
        spacing[list(axes)] = spacing_mm
        step = spacing / image.spacing_mm
        near = np.abs(step - 1.0) < 1e-3
        step[near] = 1.0
        shape = [max(1, round(side / part)) for side, part in zip(image.shape, step, strict=True)]
        return cls(image.shape, step, (shape[0], shape[1], shape[2]), axes, signs)

    @property
    def offset(self) -> NDArray[np.float64]:
        """Where the first voxel of the block lies, [voxel] of the image, shape (3,)."""
        return (np.array(self.image_shape) - 1) / 2.0 - self.step * (np.array(self.shape) - 1) / 2.0

    @property
    def changes_voxels(self) -> bool:
        """Whether values are interpolated, not only turned."""
        return bool((self.step != 1.0).any())

    def to_network(self, data: NDArray[np.generic], interpolation: str) -> NDArray[np.float32]:
        """Return an image's values on the network's grid and in its order of axes.

        Where the network's voxels are larger, the image is smoothed first (a
        Gaussian of half the surplus in voxels), so that nothing is sampled past.

        Parameters
        ----------
        data : ndarray, shape (i, j, k)
        interpolation : str
            ``linear``, ``cubic``, or ``nearest``, which smooths nothing.
        """
        values = data.astype(np.float32)
        if self.changes_voxels:
            if interpolation == "nearest":
                order = 0
            else:
                order = _ORDER[interpolation]
                sigma = np.maximum(0.0, (self.step - 1.0) / 2.0)
                if sigma.any():
                    values = ndimage.gaussian_filter(values, sigma, mode="nearest")
            values = ndimage.affine_transform(
                values, self.step, self.offset, self.shape, order=order, mode="nearest"
            )
        turned = np.transpose(values, self.axes)
        return np.ascontiguousarray(turned[tuple(slice(None, None, sign) for sign in self.signs)])

    def from_network(self, data: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a volume of the network's grid on the voxels of the image, linear between."""
        straight = data[tuple(slice(None, None, sign) for sign in self.signs)]
        values = np.transpose(straight, np.argsort(self.axes))
        if not self.changes_voxels:
            return np.ascontiguousarray(values)
        return ndimage.affine_transform(
            values, 1.0 / self.step, -self.offset / self.step, self.image_shape, order=1,
            mode="nearest",
        )  # fmt: skip
