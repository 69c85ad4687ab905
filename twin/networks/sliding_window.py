"""A network slid over a volume that is larger than the box it sees."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from twin.errors import InvalidInput

__all__ = ["ACTIVATIONS", "gaussian_weights", "slide", "window_starts"]

#: From a network's raw numbers to probabilities, along the first axis.
ACTIVATIONS: dict[str, Callable[[NDArray[np.float32]], NDArray[np.float32]]]

_SIGMA = 1.0 / 8.0


def _softmax(values: NDArray[np.float32]) -> NDArray[np.float32]:
    risen = np.exp(values - values.max(axis=0))
    return risen / risen.sum(axis=0)


def _sigmoid(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return 0.5 * (1.0 + np.tanh(0.5 * values))


def _none(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return values


ACTIVATIONS = {"softmax": _softmax, "sigmoid": _sigmoid, "none": _none}


def gaussian_weights(size: Sequence[int]) -> NDArray[np.float32]:
    """Return the weight of each voxel of a patch: most at its centre.

    A Gaussian with a standard deviation of an eighth of the side (Isensee et
    al. 2021, Nature Methods 18:203, doi:10.1038/s41592-020-01008-z), at least
    a thousandth, so that no voxel is without weight.

    Examples
    --------
    >>> gaussian_weights((1, 1, 9))[0, 0].astype(float).round(3).tolist()
    [0.002, 0.029, 0.206, 0.674, 1.0, 0.674, 0.206, 0.029, 0.002]
    """
    total = np.ones(tuple(size))
    for axis, side in enumerate(size):
        along = np.arange(side) - (side - 1) / 2.0
        shape = [1, 1, 1]
        shape[axis] = side
        total = total * np.exp(-0.5 * (along / (side * _SIGMA)) ** 2).reshape(shape)
    return np.maximum(total / total.max(), 1e-3).astype(np.float32)


def window_starts(side: int, patch: int, overlap: float) -> list[int]:
    """Return where patches begin along an axis: evenly, the last one ending with the axis.

    Examples
    --------
    >>> window_starts(20, 8, 0.5)
    [0, 4, 8, 12]
    """
    if side <= patch:
        return [0]
    count = 1 + int(np.ceil((side - patch) / max(1.0, patch * (1.0 - overlap))))
    return [round(start) for start in np.linspace(0, side - patch, count)]


def slide(
    network: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    volume: NDArray[np.float32],
    *,
    patch: Sequence[int],
    overlap: float,
    activation: str,
    channels: int,
    progress: Callable[[float], None] | None = None,
) -> NDArray[np.float32]:
    """Return the network's probabilities over a whole volume.

    Each patch is turned into probabilities and added with `gaussian_weights`;
    the sum is divided by the sum of the weights. A volume that is smaller than
    a patch gets zeros around it (evenly), which are cut off again.

    Parameters
    ----------
    network : callable
        From an array of shape (1, input, i, j, k) to (1, `channels`, i, j, k).
    volume : ndarray of float32, shape (input, i, j, k)
    patch : sequence of int, [voxel], shape (3,)
    overlap : float
        Part of a patch that the next one shares, 0 to 0.9.
    activation : str
        A key of `ACTIVATIONS`.
    channels : int
        How many output channels there must be.
    progress : callable or None
        Called with the part done.

    Raises
    ------
    InvalidInput
        The network's output has another shape, values that are not finite or,
        with activation "none", values that are no probabilities.
    """
    sides = volume.shape[1:]
    before = [max(0, patch[axis] - sides[axis]) // 2 for axis in range(3)]
    after = [max(0, patch[axis] - sides[axis]) - before[axis] for axis in range(3)]
    padded = np.pad(volume, [(0, 0), *zip(before, after, strict=True)])
    whole = padded.shape[1:]
    weights = gaussian_weights(patch)
    total = np.zeros((channels, *whole), np.float32)
    weight = np.zeros(whole, np.float32)
    starts = list(product(*[window_starts(whole[a], patch[a], overlap) for a in range(3)]))
    for number, start in enumerate(starts):
        box = tuple(slice(begin, begin + side) for begin, side in zip(start, patch, strict=True))
        given = np.ascontiguousarray(padded[(slice(None), *box)])[None]
        part = _checked(network(given), (1, channels, *patch))[0]
        total[(slice(None), *box)] += _probabilities(part, activation) * weights
        weight[box] += weights
        if progress is not None:
            progress((number + 1) / len(starts))
    total /= weight
    cut = tuple(slice(b, b + side) for b, side in zip(before, sides, strict=True))
    return np.ascontiguousarray(total[(slice(None), *cut)])


def _checked(result: NDArray[np.float32], expected: tuple[int, ...]) -> NDArray[np.float32]:
    if result.shape != expected:
        raise InvalidInput(
            f"The network's output has the shape {result.shape} where its recipe says "
            f"{expected} (1, channels, patch); correct the recipe's channels or patch."
        )
    if not np.isfinite(result).all():
        raise InvalidInput(
            "The network's output holds values that are not finite; check the recipe's "
            "normalisation, or take another model."
        )
    return result.astype(np.float32, copy=False)


def _probabilities(values: NDArray[np.float32], activation: str) -> NDArray[np.float32]:
    result = ACTIVATIONS[activation](values)
    if not (result.min() >= -1e-4 and result.max() <= 1.0 + 1e-4):
        raise InvalidInput(
            f"The network's output runs from {result.min():.4g} to {result.max():.4g}, but "
            'activation = "none" says that it is probabilities; write "softmax" or "sigmoid".'
        )
    return result
