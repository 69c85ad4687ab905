"""Images onto cubic voxels, in one place."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from twin.errors import InvalidInput
from twin.images import Image

__all__ = ["to_isotropic"]

SMALLEST_SPACING_MM = 1.0


def to_isotropic(image: Image, *, labels: bool, smallest_mm: float = SMALLEST_SPACING_MM) -> Image:
    """Return the image on cubic voxels; an image that has them already is returned as it is.

    Parameters
    ----------
    image : Image
    labels : bool
        Nearest voxel (labels stay whole numbers); else linear.
    smallest_mm : float, [mm]
        The new side is the smallest old one, but not below this. Voxels that
        are cubic and smaller than this are resampled, too.

    Raises
    ------
    InvalidInput
        Voxels that are sheared, not boxes.

    Examples
    --------
    >>> thick = Image(np.zeros((4, 4, 2), np.uint8), np.diag([1.0, 1.0, 2.0, 1.0]))
    >>> to_isotropic(thick, labels=True).shape
    (4, 4, 4)
    """
    spacing = image.spacing_mm
    axes = image.affine[:3, :3] / spacing
    if not np.abs(axes.T @ axes - np.eye(3)).max() < 1e-3:
        raise InvalidInput(
            "The image's axes are not at right angles (a tilted scan); "
            "resample it onto a straight grid."
        )
    side = max(float(spacing.min()), smallest_mm)
    if np.abs(spacing - side).max() < 1e-3 * side:
        return image
    step = side / spacing
    shape = tuple(max(1, round(n / s)) for n, s in zip(image.shape, step, strict=True))
    # The block of voxels keeps its outer faces' middle: both grids share their centre.
    old_centre = (np.array(image.shape) - 1) / 2.0
    offset = old_centre - step * (np.array(shape) - 1) / 2.0
    source = image.data if labels else image.data.astype(np.float32)
    data = ndimage.affine_transform(
        source, step, offset, output_shape=shape, order=0 if labels else 1, mode="nearest"
    )
    affine = image.affine @ np.vstack(
        [np.column_stack([np.diag(step), offset]), [0.0, 0.0, 0.0, 1.0]]
    )
    return Image(data, affine)
