"""The diffusion operator of diffusivities that change during a run, made anew in milliseconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from solvers.edge_graph import EdgeGraph
from solvers.operators import MeshOperators
from twin.compiled import compiled

__all__ = ["MovingOperator", "Operator", "RemadeOperator"]


class Operator(Protocol):
    """What a step of diffusion asks of an operator."""

    @property
    def largest_eigenvalue(self) -> float:
        """Bound of the spectrum of -L, [1/day]."""
        ...

    @property
    def explicit_limit_day(self) -> float:
        """Longest stable step of forward Euler, [day]."""
        ...

    @property
    def rows(self) -> tuple[Any, ...]:
        """The operator as the compiled loops take it."""
        ...


@dataclass(frozen=True, slots=True)
class RemadeOperator:
    """The operator of one instant.

    Parameters
    ----------
    rows : tuple
        As the compiled loops take it.
    largest_eigenvalue : float, [1/day]
        Gershgorin bound of the spectrum of -L.
    """

    rows: tuple[Any, ...]
    largest_eigenvalue: float

    @property
    def explicit_limit_day(self) -> float:
        """Longest stable step of forward Euler, [day]."""
        return 2.0 / self.largest_eigenvalue if self.largest_eigenvalue > 0 else np.inf


@dataclass(frozen=True, slots=True)
class MovingOperator:
    """All operators of one anatomy after some resections, whatever its diffusivities are.

    What balances the clipped exchanges, and the cap of nodes with little tissue, are those
    of the diffusivities at the beginning, so that the operator stays linear in them where
    none is clipped.

    Parameters
    ----------
    graph : EdgeGraph
        Of every edge on which there may be an exchange.
    to_edges : csr_matrix, [mm], shape (edge, cell)
    """

    graph: EdgeGraph
    to_edges: scipy.sparse.csr_matrix

    @classmethod
    def of(
        cls,
        operators: MeshOperators,
        diffusivity: NDArray[np.float64],
        open_cells: NDArray[np.bool_],
    ) -> MovingOperator:
        """The operators of elements through which cells can migrate.

        Parameters
        ----------
        operators : MeshOperators
        diffusivity : ndarray, [mm2/day], shape (cell,)
            At the beginning, from which balance and cap are taken.
        open_cells : ndarray of bool, shape (cell,)
            Active elements; the others' diffusivities are not read.
        """
        mass = operators.lumped_mass(open_cells)
        one, other = operators.edges.T
        start = operators.cell_to_edge @ np.where(open_cells, diffusivity, 0.0)
        inverse = np.divide(1.0, mass, out=np.zeros_like(mass), where=mass > 0)
        factor = np.ones(len(start))
        positive = np.flatnonzero(start > 1e-12 * start.max(initial=0.0))
        factor[positive] = operators.factors(positive, start[positive], start, inverse)
        touched = abs(operators.cell_to_edge) @ open_cells.astype(np.float64)
        keep = np.flatnonzero(touched > 1e-12 * touched.max(initial=0.0))
        to_edges = operators.cell_to_edge[keep] @ scipy.sparse.diags(open_cells.astype(float))
        to_edges = (scipy.sparse.diags(factor[keep]) @ to_edges).tocsr()
        to_edges.eliminate_zeros()
        graph = EdgeGraph.of(one[keep], other[keep], mass)
        return cls(graph, to_edges)

    def transmissibility(self, diffusivity: NDArray[np.float64]) -> NDArray[np.float64]:
        """Exchange over each edge, [mm3/day], shape (edge,); never negative."""
        return np.maximum(self.to_edges @ diffusivity, 0.0)

    def at(
        self,
        latest: NDArray[np.float64],
        change: NDArray[np.float64] | None = None,
        ahead_day: float = 0.0,
    ) -> RemadeOperator:
        """The operator of exchanges that go on changing, none of them below 0.

        Parameters
        ----------
        latest : ndarray, [mm3/day], shape (edge,)
        change : ndarray or None, [mm3/day2], shape (edge,)
        ahead_day : float, [day]
            So long after `latest`.
        """
        nothing = np.zeros(1)
        known = np.concatenate([nothing, latest])
        rising = np.zeros_like(known) if change is None else np.concatenate([nothing, change])
        first, row, count, column, number = self.graph.layout.parts
        weight = np.empty(number.shape, np.float32)
        inverse = self.graph.inverse_mass
        fastest = _weigh(first, row, count, number, known, rising, ahead_day, inverse, weight)
        return RemadeOperator((first, row, count, column, weight, inverse), 2.0 * fastest)


@compiled
def _weigh(first, row, count, number, latest, change, ahead, inverse_mass, weight):
    """Fill in the weights of all entries; the fastest outflow of a node, [1/day]."""
    lanes = number.shape[1]
    total = np.zeros(lanes)
    fastest = 0.0
    for s in range(first.shape[0] - 1):
        total[:] = 0.0
        for k in range(first[s], first[s + 1]):
            for lane in range(lanes):
                edge = number[k, lane]
                exchange = latest[edge] + ahead * change[edge]
                rounded = np.float32(max(exchange, 0.0))
                weight[k, lane] = rounded
                total[lane] += rounded
        for lane in range(lanes):
            if s * lanes + lane < count:
                fastest = max(fastest, total[lane] * inverse_mass[row[s * lanes + lane]])
    return fastest
