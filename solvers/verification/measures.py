"""Orders and errors, measured from runs of several sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from solvers.verification.registry import Curve, Row

__all__ = ["order_rows", "root_mean_square"]

#: How far a measured order may lie from the theory's.
ORDER_TOLERANCE = 0.2


def root_mean_square(error: NDArray[np.float64], mass: NDArray[np.float64]) -> float:
    """Root of the mean square over a volume, nodes weighted by `mass`.

    Examples
    --------
    >>> root_mean_square(np.array([3.0, 4.0]), np.array([0.0, 2.0]))
    4.0
    """
    return float(np.sqrt(mass @ error**2 / mass.sum()))


def order_rows(
    what: str,
    size: str,
    sizes: Sequence[float],
    error_at: Callable[[float], float],
    *,
    order: float = 2.0,
    largest_error: float,
    error: str = "density error [1]",
) -> list[Row]:
    """Two rows: the order measured over `sizes`, and the error at the last of them.

    Parameters
    ----------
    what : str
        The problem; the rows begin with it.
    size : str
        What is made smaller with its unit, such as ``cell size [mm]``.
    sizes : sequence of float
        The finest last.
    error_at : callable
        Error of the engine at a size.
    order : float
        Order of the theory.
    largest_error : float
        Allowed at the finest size.
    """
    errors = [error_at(value) for value in sizes]
    slope = float(np.polyfit(np.log(sizes), np.log(errors), 1)[0])
    curve = Curve(size, tuple(map(float, sizes)), tuple(map(float, errors)), order, error)
    name, unit = size.rstrip("]").split(" [")
    finest = f"{what}: error at a {name} of {sizes[-1]:.3g} {unit}"
    return [
        Row(f"{what}: order in {name}", slope, order, ORDER_TOLERANCE, curve=curve),
        Row(finest, errors[-1], 0.0, largest_error),
    ]
