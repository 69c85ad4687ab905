"""A tumour drawn into an organ of a label map, for phantoms and studies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from twin.errors import InvalidInput
from twin.images import Image

__all__ = ["PlacedTumour", "place_tumour"]

#: Lobes are balls of this part of the whole's radius: more than half, so that each holds the
#: centre and the tumour is in one piece.
_LOBE_RADIUS = (0.55, 0.75)


@dataclass(frozen=True, slots=True)
class PlacedTumour:
    """A label map with a drawn tumour.

    Parameters
    ----------
    labels : Image
        The map with the tumour over the organ.
    number : int
        Label of the tumour.
    centre_mm : tuple of float, [mm]
        RAS position of the ball that holds it.
    volume_mm3 : float, [mm3]
        Of its voxels.
    """

    labels: Image
    number: int
    centre_mm: tuple[float, float, float]
    volume_mm3: float


def place_tumour(
    labels: Image,
    organ: int,
    radius_mm: float,
    *,
    seed: int = 0,
    lobes: int = 0,
    number: int | None = None,
) -> PlacedTumour:
    """Draw a tumour wholly inside an organ, at a place that the seed chooses.

    Parameters
    ----------
    labels : Image
        Whole numbers; voxels may be of any shape.
    organ : int
        Label of the organ. The ball that holds the tumour fits into it.
    radius_mm : float, [mm]
        Of the ball, at least one voxel.
    seed : int
        Chooses among all places where the ball fits, evenly, and the lobes.
    lobes : int
        0 draws the ball itself; more draws so many balls of 0.55 to 0.75 of its radius that
        overlap and touch it from inside.
    number : int or None
        Label of the tumour; one above the largest if None.

    Raises
    ------
    InvalidInput
        No such organ, a number that is taken, a tumour that does not fit or is smaller than
        a voxel.

    Examples
    --------
    >>> box = np.zeros((30, 30, 30), np.uint8)
    >>> box[3:27, 3:27, 3:27] = 5
    >>> drawn = place_tumour(Image(box, np.eye(4)), 5, 6.0)
    >>> drawn.number, int((drawn.labels.data == 6).sum())  # 4/3 pi 6**3 is 905
    (6, 925)
    """
    data = np.asarray(labels.data)
    if not np.issubdtype(data.dtype, np.integer):
        raise InvalidInput(f"A label map holds whole numbers, not {data.dtype}.")
    mask = data == organ
    if organ <= 0 or not mask.any():
        there = ", ".join(str(int(n)) for n in np.unique(data) if n != 0)
        raise InvalidInput(f"No voxel has the label {organ}; there are {there or 'none'}.")
    spacing = labels.spacing_mm
    if not spacing.max() <= radius_mm < np.inf:
        raise InvalidInput(
            f"A tumour of radius {radius_mm:g} mm cannot be drawn in voxels of up to "
            f"{spacing.max():g} mm; give at least one voxel."
        )
    if not 0 <= lobes <= 20:
        raise InvalidInput(f"A tumour has 0 to 20 lobes, not {lobes}.")
    mine = int(data.max()) + 1 if number is None else number
    if mine <= 0 or (data == mine).any():
        raise InvalidInput(f"The label {mine} is taken or not positive; choose another number.")
    box = ndimage.find_objects(mask.astype(np.int8))[0]
    depth = ndimage.distance_transform_edt(np.pad(mask[box], 1), sampling=spacing)[1:-1, 1:-1, 1:-1]
    # The border lies half a voxel before the nearest centre outside, along the widest side.
    free = depth - 0.5 * float(spacing.max())
    if not (free >= radius_mm).any():
        raise InvalidInput(
            f"A tumour of radius {radius_mm:g} mm does not fit into label {organ}; the largest "
            f"that does has {max(0.0, float(free.max())):.1f} mm."
        )
    random = np.random.default_rng(seed)
    places = np.argwhere(free >= radius_mm)
    start = np.array([part.start for part in box])
    centre = places[random.integers(len(places))] + start
    drawn = _drawn(data.shape, centre, spacing, radius_mm, lobes, random)
    result = data.astype(np.promote_types(data.dtype, np.min_scalar_type(mine)))
    result[drawn] = mine
    x, y, z = (float(v) for v in labels.affine[:3, :3] @ centre + labels.affine[:3, 3])
    return PlacedTumour(
        Image(result, labels.affine), mine, (x, y, z), float(drawn.sum()) * labels.voxel_mm3
    )


def _drawn(
    shape: tuple[int, ...],
    centre: NDArray[np.int64],
    spacing: NDArray[np.float64],
    radius: float,
    lobes: int,
    random: np.random.Generator,
) -> NDArray[np.bool_]:
    """Voxels of the tumour, shape (i, j, k)."""
    reach = np.ceil(radius / spacing).astype(int) + 1
    low = np.maximum(centre - reach, 0)
    high = np.minimum(centre + reach + 1, shape)
    axes = [(np.arange(low[k], high[k]) - centre[k]) * spacing[k] for k in range(3)]
    away: NDArray[Any] = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    inside = np.linalg.norm(away, axis=-1) <= radius
    if lobes:
        parts = np.zeros(inside.shape, bool)
        for _ in range(lobes):
            own = radius * random.uniform(*_LOBE_RADIUS)
            direction = random.standard_normal(3)
            middle = (radius - own) * direction / np.linalg.norm(direction)
            parts |= np.linalg.norm(away - middle, axis=-1) <= own
        inside &= parts
    drawn = np.zeros(shape, bool)
    drawn[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = inside
    return drawn
