"""Images as registration works on them: cubic voxels, smoothed, with a foreground."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from twin.errors import InvalidInput
from twin.images import Image

__all__ = ["Working", "base_spacing", "sampled", "working"]

#: The finest level has about so many voxels along an image's longest side.
_VOXELS_ALONG = 120
_FEWEST_VOXELS = 8
_PERCENTILES = (0.5, 99.5)
_FOREGROUND = 0.12  # of the range of values: background below, foreground above
_LEAST_FOREGROUND = 150  # voxels


@dataclass(frozen=True, slots=True)
class Working:
    """One image at one level.

    Parameters
    ----------
    data : ndarray of float32, [1], shape (i, j, k)
        Values between the image's percentiles, from 0 to 1.
    affine : ndarray, [mm], shape (4, 4)
    foreground : ndarray of bool, shape (i, j, k)
        Head or body, as far as it is brighter than what surrounds it, without holes.
    used : ndarray of bool, shape (i, j, k)
        Not to be ignored.
    """

    data: NDArray[np.float32]
    affine: NDArray[np.float64]
    foreground: NDArray[np.bool_]
    used: NDArray[np.bool_]

    @property
    def spacing_mm(self) -> float:
        """Side of a voxel, [mm]."""
        return float(np.linalg.norm(self.affine[:3, 0]))

    def points(self, mask: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Centres of the voxels of a mask, [mm], shape (n, 3)."""
        return np.argwhere(mask) @ self.affine[:3, :3].T + self.affine[:3, 3]


def base_spacing(*images: Image) -> float:
    """Side of the voxels of the finest level, [mm]: of the images, but about 120 along a side."""
    finest = max(float(image.spacing_mm.min()) for image in images)
    longest = max(float((image.spacing_mm * image.shape).max()) for image in images)
    return max(finest, longest / _VOXELS_ALONG)


def working(image: Image, ignore: Image | None, spacing: float, *, what: str) -> Working:
    """The image on cubic voxels along its own axes, and what of it counts.

    Parameters
    ----------
    image : Image
    ignore : Image or None
        Non-zero where the image is not to count; on any grid.
    spacing : float, [mm]
    what : str
        Begins the errors, such as "The moving image".

    Raises
    ------
    InvalidInput
        Axes that are not at right angles, an image that is the same everywhere or too small.
    """
    axes = image.affine[:3, :3] / image.spacing_mm
    if not np.abs(axes.T @ axes - np.eye(3)).max() < 1e-3:
        raise InvalidInput(
            f"{what} has axes that are not at right angles (a tilted scan); resample it onto a "
            "straight grid."
        )
    step = spacing / image.spacing_mm
    shape = tuple(int(n) for n in np.maximum(1, np.rint(np.array(image.shape) / step)))
    if not min(shape) >= _FEWEST_VOXELS:
        raise InvalidInput(
            f"{what} is {' x '.join(f'{side:.0f}' for side in image.spacing_mm * image.shape)} mm "
            f"large, too thin to be registered at {spacing:.2g} mm; at least {_FEWEST_VOXELS} "
            "voxels of that size along every axis are needed."
        )
    offset = (np.array(image.shape) - 1) / 2.0 - step * (np.array(shape) - 1) / 2.0
    data = image.data.astype(np.float32)
    blurred = ndimage.gaussian_filter(data, 0.5 * np.sqrt(np.maximum(step**2 - 1.0, 0.0)))
    moved = ndimage.affine_transform(
        blurred, step, offset, output_shape=shape, order=1, mode="nearest"
    )
    low, high = np.percentile(moved, _PERCENTILES)
    if not high > low:
        low, high = float(moved.min()), float(moved.max())
    if not high > low:
        raise InvalidInput(f"{what} is {low:g} everywhere, so that nothing in it can be matched.")
    values = np.clip((moved - low) / (high - low), 0.0, 1.0).astype(np.float32)
    affine = image.affine @ np.vstack(
        [np.column_stack([np.diag(step), offset]), [0.0, 0.0, 0.0, 1.0]]
    )
    foreground = _foreground(values)
    used = np.ones(shape, bool) if ignore is None else ~_mask_on(ignore, shape, affine)
    if not int((foreground & used).sum()) >= _LEAST_FOREGROUND:
        raise InvalidInput(
            f"{what} shows something in {int((foreground & used).sum())} voxels of "
            f"{spacing:.2g} mm that are not to be ignored; at least {_LEAST_FOREGROUND} are needed."
        )
    return Working(values, affine, foreground, used)


def _foreground(values: NDArray[np.float32]) -> NDArray[np.bool_]:
    """The largest piece that is brighter than the background, holes filled."""
    bright = ndimage.binary_opening(ndimage.gaussian_filter(values, 1.0) > _FOREGROUND)
    parts, count = ndimage.label(bright)
    if count == 0:
        return np.asarray(values > _FOREGROUND)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return np.asarray(ndimage.binary_fill_holes(parts == sizes.argmax()))


def sampled(
    image: Image,
    shape: tuple[int, ...],
    affine: NDArray[np.float64],
    *,
    order: int = 1,
    outside: float = 0.0,
) -> NDArray[Any]:
    """Values of an image on another grid in the same place, shape (i, j, k)."""
    step = np.linalg.inv(image.affine) @ affine
    return np.asarray(
        ndimage.affine_transform(
            image.data.astype(np.float32),
            step[:3, :3],
            step[:3, 3],
            output_shape=tuple(shape),
            order=order,
            mode="constant",
            cval=outside,
        )
    )


def _mask_on(mask: Image, shape: tuple[int, ...], affine: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Voxels with any part of a mask, shape (i, j, k)."""
    inside = Image((np.asarray(mask.data) != 0).astype(np.float32), mask.affine)
    ratio = np.linalg.norm(affine[:3, 0]) / mask.spacing_mm
    wide = ndimage.gaussian_filter(inside.data, 0.4 * np.maximum(ratio - 1.0, 0.0))
    return sampled(Image(wide, mask.affine), shape, affine) > 0.1
