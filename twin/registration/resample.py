"""Images, labels and tensors through a transform onto another grid."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from twin.diffusion_tensor import from_matrices, known, log_tensor, to_matrices
from twin.errors import InvalidInput
from twin.images import Image, box_about
from twin.registration.transform import SpatialTransform

__all__ = ["resample_image", "resample_labels", "resample_tensors"]

_CHUNK = 1_000_000  # voxels worked on at a time
_MOST_LABELS = 1000
_HALF = 0.5  # weight of known voxels from which a mean is known


def _places(
    transform: SpatialTransform, grid: Image, moving_affine: NDArray[np.float64]
) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Runs of the grid's voxels, and where they lie in voxels of the moving image, shape (3, n)."""
    back = np.linalg.inv(moving_affine)
    count = int(np.prod(grid.shape))
    for start in range(0, count, _CHUNK):
        run = slice(start, min(start + _CHUNK, count))
        voxels = np.stack(np.unravel_index(np.arange(run.start, run.stop), grid.shape), axis=-1)
        points = transform.points(voxels @ grid.affine[:3, :3].T + grid.affine[:3, 3])
        yield run, (points @ back[:3, :3].T + back[:3, 3]).T


def _blur(image: Image, grid: Image) -> NDArray[np.float64]:
    """Standard deviation along each axis that a coarser grid asks for, [voxels of the image]."""
    ratio = float(grid.spacing_mm.mean()) / image.spacing_mm
    return np.asarray(0.4 * np.sqrt(np.maximum(ratio**2 - 1.0, 0.0)))


def resample_image(image: Image, transform: SpatialTransform, grid: Image) -> Image:
    """The image on the grid of another, float32; its least value where it does not reach.

    Parameters
    ----------
    image : Image
        On the moving side of `transform`.
    transform : SpatialTransform
    grid : Image
        On the fixed side; its values do not count.
    """
    data = image.data.astype(np.float32)
    outside = float(data.min())
    blurred = ndimage.gaussian_filter(data, _blur(image, grid), mode="nearest")
    result = np.empty(int(np.prod(grid.shape)), np.float32)
    for run, places in _places(transform, grid, image.affine):
        result[run] = ndimage.map_coordinates(
            blurred, places, order=1, mode="grid-constant", cval=outside
        )
    return Image(result.reshape(grid.shape), grid.affine)


def resample_labels(labels: Image, transform: SpatialTransform, grid: Image) -> Image:
    """The labels on the grid of another: of each voxel the one with the largest part of it.

    Every label is interpolated as an image of ones and zeros, so that borders stay smooth.
    Onto a coarser grid it is not blurred before: that would shrink what is round.

    Raises
    ------
    InvalidInput
        Values that are not whole numbers, or more than 1000 different ones.
    """
    values = labels.data
    kind = values.dtype
    if kind.kind == "f":
        if not (values == np.rint(values)).all():
            raise InvalidInput("Labels must be whole numbers; this image holds fractions.")
        values = values.astype(np.int32)
        kind = values.dtype
    numbers = np.unique(values)
    if len(numbers) > _MOST_LABELS:
        raise InvalidInput(
            f"The label image holds {len(numbers)} different numbers; at most {_MOST_LABELS} are "
            "taken for labels. Is it an ordinary image?"
        )
    result = np.zeros(int(np.prod(grid.shape)), kind)
    best = np.zeros(result.size, np.float32)
    sought = [int(number) for number in numbers if number != 0]
    parts = [_part(values, number) for number in sought]
    for run, places in _places(transform, grid, labels.affine):
        rest = np.ones(run.stop - run.start, np.float32)
        for number, (corner, part) in zip(sought, parts, strict=True):
            local = places - corner[:, None]
            near = ((local > -1.0) & (local < np.array(part.shape)[:, None])).all(axis=0)
            share = ndimage.map_coordinates(part, local[:, near], order=1, mode="grid-constant")
            index = np.flatnonzero(near)
            rest[index] -= share
            more = share > best[run][index]
            result[run.start + index[more]] = number
            best[run.start + index[more]] = share[more]
        result[run][rest > best[run]] = 0
    return Image(result.reshape(grid.shape), grid.affine)


def _part(values: NDArray[Any], number: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The first voxel of the box about one label, and that label as ones in it."""
    there = values == number
    box = box_about(there)
    low = np.array([side.start for side in box])
    return low, there[box].astype(np.float32)


def resample_tensors(
    tensors: NDArray[np.floating[Any]],
    affine: NDArray[np.float64],
    transform: SpatialTransform,
    grid: Image,
) -> NDArray[np.float32]:
    """Diffusion tensors on the grid of an image, turned with the tissue, shape (*grid, 6).

    The mean of logarithms (log-Euclidean) of the tensors around, turned back by the
    local rotation of `transform`. Unknown tensors do not count; where they have more than
    half of the weight the result is unknown (zeros).

    Parameters
    ----------
    tensors : ndarray, shape (i, j, k, 6)
        Voigt order of `twin.diffusion_tensor`, in world axes of the moving side.
    affine : ndarray, [mm], shape (4, 4)
        Of `tensors`.
    transform : SpatialTransform
    grid : Image
    """
    there = known(tensors)
    logarithm = log_tensor(tensors)
    size = np.zeros(there.shape)
    size[there] = np.linalg.slogdet(to_matrices(np.asarray(tensors[there], np.float64)))[1] / 3.0
    logarithm[..., :3] += size[..., None]
    result = np.zeros((int(np.prod(grid.shape)), 6), np.float32)
    for run, places in _places(transform, grid, affine):
        weight = ndimage.map_coordinates(
            there.astype(np.float32), places, order=1, mode="grid-constant"
        )
        enough = weight >= _HALF
        if not enough.any():
            continue
        index = np.flatnonzero(enough)
        mean = np.stack(
            [
                ndimage.map_coordinates(
                    logarithm[..., number], places[:, index], order=1, mode="grid-constant"
                )
                for number in range(6)
            ],
            axis=-1,
        )
        values, vectors = np.linalg.eigh(to_matrices(mean / weight[index][:, None]))
        voxels = np.stack(np.unravel_index(run.start + index, grid.shape), axis=-1)
        turns = transform.rotations(voxels @ grid.affine[:3, :3].T + grid.affine[:3, 3])
        vectors = np.swapaxes(turns, -1, -2) @ vectors
        full = (vectors * np.exp(values)[:, None, :]) @ np.swapaxes(vectors, -1, -2)
        result[run.start + index] = from_matrices(full)
    return result.reshape(*grid.shape, 6)
