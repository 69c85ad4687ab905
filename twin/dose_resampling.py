"""Values from one grid to another: the mean where voxels grow, linear where they shrink."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse

from twin.errors import InvalidInput
from twin.images import Image

__all__ = ["ResampledDose", "mean_on_grid", "resample_dose"]

_MOST_POINTS = 8  # along each side of a voxel of a turned grid


@dataclass(frozen=True, slots=True, eq=False)
class ResampledDose:
    """A dose on another grid.

    Parameters
    ----------
    image : Image
        [Gy], float32; mean over the part of each voxel that the dose covers.
    covered : ndarray, [1], shape of the image
        Share of each voxel that lies in the dose's own grid.
    """

    image: Image
    covered: NDArray[np.float32]


def resample_dose(dose: Image, grid: Image, *, outside: float = 0.0) -> ResampledDose:
    """Return a dose on the voxels of another image.

    Along each axis on which the new voxels are longer, a voxel gets the mean over its length
    (each old voxel counts by its overlap), so that the integral dose is kept; where they are
    shorter, the dose is interpolated linearly. On a grid that is turned against the dose's,
    linear interpolation is averaged over points inside each new voxel.

    Parameters
    ----------
    dose : Image
        [Gy].
    grid : Image
        Only its shape and affine count.
    outside : float, [Gy]
        Where the dose covers nothing of a voxel: 0, or NaN so that it shows.

    Raises
    ------
    InvalidInput
        The grids do not overlap, or the dose has values that are not finite.

    Examples
    --------
    >>> dose = Image(np.array([1.0, 3.0, 5.0, 7.0]).reshape(4, 1, 1), np.diag([2.0, 2, 2, 1]))
    >>> affine = np.diag([4.0, 2, 2, 1])
    >>> affine[0, 3] = 1.0  # between the first two
    >>> found = resample_dose(dose, Image(np.zeros((3, 1, 1)), affine))
    >>> found.image.data.ravel().tolist(), found.covered.ravel().tolist()
    ([2.0, 6.0, 0.0], [1.0, 1.0, 0.0])
    """
    values = np.asarray(dose.data, np.float32)
    if not np.isfinite(values).all():
        raise InvalidInput("The dose has values that are NaN or infinite; export it again.")
    result, covered = mean_on_grid(dose, grid)
    if not covered.any():
        raise InvalidInput(
            "The dose and the image do not overlap; check that they belong together."
        )
    result[covered <= 0.0] = outside
    return ResampledDose(Image(result, grid.affine), covered)


def mean_on_grid(image: Image, grid: Image) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Values of an image on another grid as `resample_dose` has it, and the share covered.

    The grid's axes may be in any order and direction; where nothing is covered the value is 0.
    """
    values = np.asarray(image.data, np.float32)
    to_image = np.linalg.inv(image.affine) @ grid.affine
    step = to_image[:3, :3]
    along = np.abs(step).argmax(axis=0)  # axis of the image that each axis of the grid runs along
    rest = np.where(np.arange(3)[:, None] == along, 0.0, step)
    if len(set(along.tolist())) < 3 or np.abs(rest).max() > 1e-5 * np.abs(step).max():
        return _by_points(values, grid.shape, to_image)
    result = values.transpose(along)
    steps = step[along, range(3)]
    starts = to_image[along, 3]
    weights = [
        _axis_weights(result.shape[axis], grid.shape[axis], float(steps[axis]), float(starts[axis]))
        for axis in range(3)
    ]
    shares = [share for _, share in weights]
    # the axis that shrinks most goes first
    for axis in sorted(range(3), key=lambda a: grid.shape[a] / result.shape[a]):
        lines = np.moveaxis(result, axis, 0)
        matrix = sparse.csr_array(weights[axis][0])  # a few old voxels for each new one
        mixed = matrix @ np.ascontiguousarray(lines).reshape(len(lines), -1)
        result = np.moveaxis(mixed.reshape(-1, *lines.shape[1:]), 0, axis)
    covered = np.einsum("i,j,k->ijk", *shares)
    return np.ascontiguousarray(result, np.float32), covered.astype(np.float32)


def _axis_weights(
    old: int, new: int, step: float, start: float
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Weights, shape (new, old), and how much of each new voxel is covered, shape (new,).

    New voxel n has its middle at ``start + step * n`` in numbers of old voxels.
    """
    middle = start + step * np.arange(new)
    step = abs(step)
    low, high = middle - step / 2.0, middle + step / 2.0
    covered = np.clip(np.minimum(high, old - 0.5) - np.maximum(low, -0.5), 0.0, None)
    covered = np.where(covered > 1e-6 * step, covered / step, 0.0)
    if step > 1.0 + 1e-6:
        edges = np.arange(old)
        overlap = np.minimum(high[:, None], edges + 0.5) - np.maximum(low[:, None], edges - 0.5)
        weights = np.clip(overlap, 0.0, None)
        total = weights.sum(axis=1, keepdims=True)
        weights = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
    else:
        place = np.clip(middle, 0.0, old - 1.0)
        left = np.minimum(place.astype(int), max(old - 2, 0))
        weights = np.zeros((new, old))
        rows = np.arange(new)
        weights[rows, left] = 1.0 - (place - left)
        if old > 1:
            weights[rows, left + 1] = place - left
        weights[covered == 0.0] = 0.0
    return weights.astype(np.float32), covered


def _by_points(
    values: NDArray[np.float32], shape: tuple[int, int, int], to_dose: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    lengths = np.linalg.norm(to_dose[:3, :3], axis=0)  # of a new voxel, in old ones
    counts = np.clip(np.ceil(lengths - 1e-6).astype(int), 1, _MOST_POINTS)
    padded = np.pad(values, 1, mode="edge")  # half a voxel beyond the middles is dose, too
    total, covered = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    inside = np.pad(np.ones(values.shape, np.float32), 1)
    steps = [(np.arange(count) + 0.5) / count - 0.5 for count in counts]
    for point in np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1).reshape(-1, 3):
        offset = to_dose[:3, :3] @ point + to_dose[:3, 3] + 1.0
        here = ndimage.affine_transform(inside, to_dose[:3, :3], offset, shape, order=0)
        total += here * ndimage.affine_transform(padded, to_dose[:3, :3], offset, shape, order=1)
        covered += here
    result = np.divide(total, covered, out=np.zeros(shape, np.float32), where=covered > 0)
    return result, covered / np.float32(np.prod(counts))
