"""One diffusion step and its reverse, with the derivative by every edge's transmissibility."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solvers.adjoint.kernels import (
    crowded_edges,
    crowded_transposed,
    transposed,
    transposed_with_edges,
)
from solvers.edge_graph import EdgeGraph
from solvers.kernels import crowded_stage, stage
from solvers.legendre import legendre_coefficients, stages_needed

__all__ = ["Diffusion", "EdgeGraph", "EdgeSlopes"]


class EdgeSlopes:
    """The derivative by every edge, while it is added up."""

    def __init__(self, graph: EdgeGraph, dtype: Any) -> None:
        self.graph = graph
        self.edges = np.zeros(len(graph.one), dtype)
        self.entries = np.zeros(graph.layout.weight.shape, dtype)

    def finish(self) -> NDArray:
        """The derivative by every edge, shape (edge,)."""
        number = self.graph.layout.weight.ravel()
        parts = [
            np.bincount(number, part, len(self.edges) + 1)[1:]
            for part in (self.entries.real.ravel(), self.entries.imag.ravel())
        ]
        if np.iscomplexobj(self.entries):
            return self.edges + parts[0] + 1j * parts[1]
        return self.edges + parts[0]


@dataclass(frozen=True, slots=True)
class Diffusion:
    """One operator, ready to step and to be reversed.

    Parameters
    ----------
    graph : EdgeGraph
    rows : tuple
        As `EdgeGraph.rows` gives it.
    limit : float, [day]
        Longest stable explicit step.
    """

    graph: EdgeGraph
    rows: tuple[Any, ...]
    limit: float

    @classmethod
    def of(cls, graph: EdgeGraph, transmissibility: NDArray) -> Diffusion:
        """The operator of these transmissibilities."""
        return cls(graph, graph.rows(transmissibility), graph.explicit_limit(transmissibility))

    def stages(self, start: NDArray, tau: float, still: NDArray | None = None) -> list[NDArray]:
        """States of all stages of RKL2 from `start` on, the last one the result.

        Parameters
        ----------
        start : ndarray, shape (node,), or (species, node) where they hinder each other
        tau : float, [day]
        still : ndarray, shape (node,)
            Sum of what does not migrate; None for species that do not hinder each other.
        """
        if not np.isfinite(self.limit):
            return [start]
        kernel: Any = stage if still is None else crowded_stage
        rows = (*self.rows, self.graph.inverse_mass)
        rows = rows if still is None else (*rows, still)
        table = legendre_coefficients(stages_needed(tau, self.limit))
        slope = np.empty_like(start)
        found = [start, np.empty_like(start)]
        kernel(*rows, start, start, start, slope, found[1], 1.0, 0.0, table[0, 2] * tau, 0.0)
        for mu, nu, mu_step, gamma_step in table[1:]:
            found.append(np.empty_like(start))
            kernel(
                *rows, found[-2], found[-3], start, slope, found[-1],
                mu, nu, mu_step * tau, gamma_step * tau,
            )  # fmt: skip
        return found

    def reverse(
        self,
        stages: list[NDArray],
        bar: NDArray,
        tau: float,
        edges: EdgeSlopes | None,
        still: NDArray | None = None,
        still_bar: NDArray | None = None,
    ) -> NDArray:
        """From the derivative `bar` by the result to that by the start.

        The derivative by the edges is added to `edges` where it is wanted, that by what
        does not migrate to `still_bar`.
        """
        if len(stages) == 1:
            return bar
        table = legendre_coefficients(len(stages) - 1)
        back: Any = transposed if still is None else crowded_transposed
        with_edges: Any = transposed_with_edges
        start_bar, slope_bar = np.zeros_like(bar), np.zeros_like(bar)
        now, before = bar, np.zeros_like(bar)

        def through(w: NDArray, factor: float, at: NDArray, into: NDArray) -> None:
            """Add factor times the transposed derivative of L at `at`, applied to w."""
            scaled = w * self.graph.inverse_mass
            if still is None:
                if edges is None:
                    back(*self.rows, scaled, factor, into)
                else:
                    with_edges(*self.rows, scaled, factor, into, at, edges.entries)
                return
            filled = still + at.sum(axis=0)
            back(*self.rows, filled, at, scaled, factor, into, still_bar)
            if edges is not None:
                crowded_edges(
                    self.graph.one, self.graph.other, filled, scaled, at, factor, edges.edges
                )

        for j in range(len(stages) - 1, 1, -1):
            mu, nu, mu_step, gamma_step = table[j - 1]
            before += mu * now
            through(now, mu_step * tau, stages[j - 1], before)
            start_bar += (1.0 - mu - nu) * now
            slope_bar += (gamma_step * tau) * now
            earlier = nu * now
            if j == 2:
                start_bar += earlier
                earlier = np.zeros_like(now)
            now, before = before, earlier
        start_bar += now
        slope_bar += (table[0, 2] * tau) * now
        through(slope_bar, 1.0, stages[0], start_bar)
        return start_bar
