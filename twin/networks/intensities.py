"""Intensities as a network wants them, and whether an image is like those of its training."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from twin.errors import InvalidInput
from twin.networks.recipe import ExpectedRange, InputTable

__all__ = ["normalised", "outside_expectation", "statistics"]


def normalised(
    values: NDArray[np.float32], kind: InputTable, inside: NDArray[np.bool_], *, role: str
) -> NDArray[np.float32]:
    """Return an image's values as the recipe's normalisation makes them.

    "z-score of nonzero" takes mean and standard deviation over `inside` and
    leaves 0 elsewhere; "z-score" takes both over all voxels; "window" maps its
    bounds to 0 and 1 and cuts off beyond; "none" changes nothing.

    Parameters
    ----------
    values : ndarray, shape (i, j, k)
    kind : InputTable
    inside : ndarray of bool, shape (i, j, k)
        Where the image as it was given is not zero.
    role : str
        Named in errors.

    Raises
    ------
    InvalidInput
        An image whose values are all the same.
    """
    if kind.normalisation == "none":
        return values
    if kind.normalisation == "window" and kind.window is not None:
        low, high = kind.window
        return np.clip((values - low) / (high - low), 0.0, 1.0).astype(np.float32)
    over = inside if kind.normalisation == "z-score of nonzero" else np.ones_like(inside)
    chosen = values[over].astype(np.float64)
    if not (chosen.size and chosen.std() > 0.0):
        raise InvalidInput(
            f"The {role} image has the same value everywhere, so it cannot be normalised; "
            "give the image itself, not a mask or an empty file."
        )
    result = np.zeros_like(values)
    result[over] = (chosen - chosen.mean()) / chosen.std()
    return result


def statistics(data: NDArray[np.generic], *, nonzero: bool) -> dict[str, float]:
    """Return mean, standard deviation, minimum and maximum of an image.

    Parameters
    ----------
    data : ndarray
    nonzero : bool
        Over voxels other than 0 alone.

    Examples
    --------
    >>> statistics(np.array([0.0, 1.0, 3.0]), nonzero=True)["mean"]
    2.0
    """
    chosen = data[data != 0] if nonzero else data
    if chosen.size == 0:
        return dict.fromkeys(("mean", "standard_deviation", "minimum", "maximum"), 0.0)
    return {
        "mean": float(chosen.mean(dtype=np.float64)),
        "standard_deviation": float(chosen.std(dtype=np.float64)),
        "minimum": float(chosen.min()),
        "maximum": float(chosen.max()),
    }


def outside_expectation(
    found: dict[str, float], expected: ExpectedRange, *, role: str
) -> list[str]:
    """Return a sentence for each statistic that lies outside what the network was trained on.

    Examples
    --------
    >>> outside_expectation({"mean": 9.0}, ExpectedRange(mean=(0.0, 1.0)), role="t1")
    ["The t1 image's mean is 9, outside the 0 to 1 of the network's training; doubt the result."]
    """
    sentences = []
    for name, value in found.items():
        bounds = getattr(expected, name)
        if bounds is not None and not bounds[0] <= value <= bounds[1]:
            sentences.append(
                f"The {role} image's {name.replace('_', ' ')} is {value:.4g}, outside the "
                f"{bounds[0]:.4g} to {bounds[1]:.4g} of the network's training; doubt the result."
            )
    return sentences
