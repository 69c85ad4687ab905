"""The edges of a mesh, on which an operator of other transmissibilities is soon made anew."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from solvers.sliced_rows import SlicedRows, sliced

__all__ = ["EdgeGraph"]


@dataclass(frozen=True, slots=True)
class EdgeGraph:
    """The edges of a mesh after some resections, with the node masses.

    Parameters
    ----------
    one, other : ndarray of int32, shape (edge,)
        Ends of every edge that carries any exchange.
    mass, inverse_mass : ndarray, [mm3] and [1/mm3], shape (node,)
    layout : SlicedRows
        Whose weights are numbers of edges, from 1 on.
    """

    one: NDArray[np.int32]
    other: NDArray[np.int32]
    mass: NDArray[np.float64]
    inverse_mass: NDArray[np.float64]
    layout: SlicedRows

    @classmethod
    def of(cls, one: NDArray, other: NDArray, mass: NDArray[np.float64]) -> EdgeGraph:
        """The graph of these edges."""
        nodes, number = len(mass), np.arange(1, len(one) + 1)
        rows = scipy.sparse.csr_matrix(
            (
                np.concatenate([number, number]),
                (np.concatenate([one, other]), np.concatenate([other, one])),
            ),
            shape=(nodes, nodes),
        )
        rows.sort_indices()
        inverse = np.divide(1.0, mass, out=np.zeros_like(mass), where=mass > 0)
        return cls(
            np.asarray(one, np.int32),
            np.asarray(other, np.int32),
            mass,
            inverse,
            sliced(rows.indptr, rows.indices, rows.data),
        )

    def rows(self, transmissibility: NDArray) -> tuple[Any, ...]:
        """The operator of these transmissibilities, [mm3/day], as the compiled loops take it."""
        known = np.concatenate([np.zeros(1, transmissibility.dtype), transmissibility])
        first, row, count, column, number = self.layout.parts
        return first, row, count, column, known[number]

    def explicit_limit(self, transmissibility: NDArray) -> float:
        """Longest stable step of forward Euler, [day]."""
        real = np.asarray(transmissibility).real
        nodes = len(self.mass)
        outflow = np.bincount(self.one, real, nodes) + np.bincount(self.other, real, nodes)
        fastest = float((outflow * self.inverse_mass).max(initial=0.0))
        return 1.0 / fastest if fastest > 0 else np.inf
