"""Which nodes of a mesh a process holds: all of them, unless ranks run together.

The compiled loops know nothing of ranks. What has to be known about the whole
mesh (sums, counts, values beyond the border) is asked of a `Share`; a process
alone holds everything, and each answer is what was given.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["ALONE", "Alone", "Share"]


class Share(Protocol):
    """The nodes of one rank: its own, then those next to them that belong to others."""

    def filling(self, stage: Callable[..., None]) -> Callable[..., None]:
        """A stage of `solvers.kernels` that also fetches its result beyond the border."""

    def fill(self, values: NDArray[np.float64]) -> None:
        """Fetch the values of others' nodes, shape (..., node), in place."""

    def mine(self, values: NDArray[Any]) -> NDArray[Any]:
        """What this rank holds of values on the whole mesh, shape (..., node)."""

    def whole(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values on the whole mesh, in its order, from those of every rank, shape (node,)."""

    def total(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum over the ranks, the same bits on each."""

    def counts(self, first: int, second: int) -> tuple[int, int]:
        """Sums over the ranks of two counts."""

    def most(self, value: float) -> float:
        """The greatest value on any rank; not a number if one is not."""

    def amount(self, mass: NDArray[np.float64], density: NDArray[np.float64]) -> float:
        """Integral of a density over the whole mesh, each node counted once, [mm3]."""


class Alone:
    """A process that holds the whole mesh.

    Examples
    --------
    >>> ALONE.amount(np.array([1.0, 2.0]), np.array([0.5, 0.25]))
    1.0
    """

    def filling(self, stage: Callable[..., None]) -> Callable[..., None]:
        """The stage itself."""
        return stage

    def fill(self, values: NDArray[np.float64]) -> None:
        """Nothing lies beyond a border."""

    def mine(self, values: NDArray[Any]) -> NDArray[Any]:
        """All of them."""
        return values

    def whole(self, values: NDArray[Any]) -> NDArray[Any]:
        """The values themselves."""
        return values

    def total(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The values themselves."""
        return values

    def counts(self, first: int, second: int) -> tuple[int, int]:
        """Both counts."""
        return first, second

    def most(self, value: float) -> float:
        """The value."""
        return value

    def amount(self, mass: NDArray[np.float64], density: NDArray[np.float64]) -> float:
        """Integral of a density over the mesh, [mm3]."""
        return float(mass @ density)


ALONE = Alone()
