"""Diffusion on a patient mesh: lumped mass and non-negative transmissibilities.

The weak form is ``(du/dt, v) + (D grad u, grad v) = 0`` on linear tetrahedra,
with the mass lumped at the nodes. Its stiffness is the Laplacian of a graph:
``(K u)_i = sum_j T_ij (u_i - u_j)`` with a transmissibility ``T_ij`` for each
edge, linear in the diffusivities of the elements around it. On elements with
obtuse angles some are negative and would break the maximum principle; these
are set to zero, which keeps every row's sum, so cells are conserved, and the
others are scaled so that every node spreads its cells as fast as before.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse
import ufl
from numpy.typing import NDArray

from solvers import dolfinx_compat
from solvers.sliced_rows import SlicedRows, sliced
from twin.compiled import compiled
from twin.errors import InvalidInput
from twin.mesh import Mesh

__all__ = ["EDGES", "DiffusionMatrix", "MeshOperators", "element_gradients", "mesh_operators"]

logger = logging.getLogger(__name__)

#: Largest exchange of a node with its neighbours, by the 99th percentile of all nodes.
SLIVER_CAP = 2.25
#: Rounds in which the spread of every node is restored after clipping, and the least and
#: greatest change of a node in one.
BALANCING_ROUNDS = 16
LEAST_CHANGE, MOST_CHANGE = 0.2, 5.0
#: Corners of an element that each of its six edges joins.
EDGES = np.array([(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)])


@dataclass(frozen=True, slots=True)
class DiffusionMatrix:
    """The operator ``L = -M^-1 K`` of one field of diffusivity.

    ``(L u)_i = sum_j T_ij (u_j - u_i) / m_i``: constants are kept and cells are
    conserved to rounding whatever the precision of T, so T is stored in single
    precision (rounded to 6e-8 of itself) to halve the memory that a step reads.

    Parameters
    ----------
    indptr, indices : ndarray of int32
        Compressed rows: the neighbours of each node.
    transmissibility : ndarray of float32, [mm3/day]
        T of each neighbour, not negative, symmetric.
    mass : ndarray, [mm3], shape (node,)
        Volume of active tissue that belongs to each node; 0 where there is none.
    inverse_mass : ndarray, [1/mm3], shape (node,)
        Its inverse, 0 where there is no mass.
    largest_eigenvalue : float, [1/day]
        Gershgorin bound of the spectrum of -L; 2 over it is the explicit step's limit.
    clipped_share : float, [1]
        Share of all transmissibility that was negative and has been removed.
    """

    indptr: NDArray[np.int32]
    indices: NDArray[np.int32]
    transmissibility: NDArray[np.float32]
    mass: NDArray[np.float64]
    inverse_mass: NDArray[np.float64]
    largest_eigenvalue: float
    clipped_share: float
    _sliced: SlicedRows | None = field(init=False, repr=False, compare=False, default=None)

    @property
    def explicit_limit_day(self) -> float:
        """Longest stable step of forward Euler, [day]."""
        return 2.0 / self.largest_eigenvalue if self.largest_eigenvalue > 0 else np.inf

    @property
    def rows(self) -> tuple[Any, ...]:
        """The operator as the compiled loops take it; laid out on first use."""
        if self._sliced is None:
            rows = sliced(self.indptr, self.indices, self.transmissibility)
            object.__setattr__(self, "_sliced", rows)
            return (*rows.parts, self.inverse_mass)
        return (*self._sliced.parts, self.inverse_mass)

    def matrix(self) -> scipy.sparse.csr_matrix:
        """L itself, [1/day], shape (node, node): rows sum to zero, no off-diagonal is negative."""
        nodes = len(self.mass)
        off = scipy.sparse.csr_matrix(
            (self.transmissibility.astype(np.float64), self.indices, self.indptr),
            shape=(nodes, nodes),
        )
        laplacian = off - scipy.sparse.diags(np.asarray(off.sum(axis=1)).ravel())
        return (scipy.sparse.diags(self.inverse_mass) @ laplacian).tocsr()


@dataclass(frozen=True, slots=True)
class MeshOperators:
    """What dolfinx assembles once for a mesh, in the mesh's own order of nodes.

    Parameters
    ----------
    edges : ndarray, shape (edge, 2)
        Node numbers of every edge, the smaller first.
    cell_to_edge : csr_matrix, [mm], shape (edge, cell)
        Transmissibility of each edge for a unit diffusivity in each element.
    """

    mesh: Mesh
    edges: NDArray[np.int64]
    cell_to_edge: scipy.sparse.csr_matrix

    def lumped_mass(self, active_cells: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Volume of the active elements shared out to their nodes, [mm3], shape (node,)."""
        quarter = np.where(active_cells, self.mesh.cell_volume, 0.0) / 4.0
        nodes = len(self.mesh.points)
        total = np.bincount(self.mesh.cells.ravel(), np.repeat(quarter, 4), minlength=nodes)
        return np.asarray(total, np.float64)

    def diffusion(
        self,
        diffusivity: NDArray[np.float64],
        active_cells: NDArray[np.bool_],
        *,
        clip: bool = True,
    ) -> DiffusionMatrix:
        """The operator for a diffusivity in every element.

        Parameters
        ----------
        diffusivity : ndarray, [mm2/day], shape (cell,)
        active_cells : ndarray of bool, shape (cell,)
            Where the tumour can live; no flux leaves these elements.
        clip : bool
            Remove negative transmissibilities and restore every node's spread (the full
            operator is for tests alone).

        Raises
        ------
        InvalidInput
            A diffusivity that is negative or not finite, or an exchange with a node that no
            active element touches (links made for other active elements).
        """
        if not (np.isfinite(diffusivity).all() and diffusivity.min() >= 0.0):
            raise InvalidInput(
                "A diffusivity is negative or not finite; each must be at least 0 mm2/day."
            )
        value = full = self.cell_to_edge @ np.where(active_cells, diffusivity, 0.0)
        negative = float(-value[value < 0].sum())
        total = float(np.abs(value).sum())
        if clip:
            value = np.maximum(value, 0.0)
        mass = self.lumped_mass(active_cells)
        inverse = np.divide(1.0, mass, out=np.zeros_like(mass), where=mass > 0)
        keep = np.abs(value) > 1e-12 * np.abs(value).max(initial=0.0)
        (first, second), value = self.edges[keep].T, value[keep]
        nodes = len(mass)
        if not (mass[first].all() and mass[second].all()):
            raise InvalidInput(
                "An exchange leads to a node without active tissue, where cells would be lost; "
                "make the links of a tensor for the elements that are active now."
            )
        if clip:
            value = value * self.factors(np.flatnonzero(keep), value, full, inverse)
        value = value.astype(np.float32)
        rows = scipy.sparse.csr_matrix(
            (
                np.concatenate([value, value]),
                (np.concatenate([first, second]), np.concatenate([second, first])),
            ),
            shape=(nodes, nodes),
        )
        rows.sort_indices()
        outflow = np.bincount(first, value, nodes) + np.bincount(second, value, nodes)
        return DiffusionMatrix(
            rows.indptr.astype(np.int32),
            rows.indices.astype(np.int32),
            rows.data,
            mass,
            inverse,
            float(2.0 * (outflow * inverse).max(initial=0.0)),
            negative / total if total > 0 else 0.0,
        )

    def factors(
        self,
        kept: NDArray[np.int64],
        value: NDArray[np.float64],
        full: NDArray[np.float64],
        inverse_mass: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """What clipped transmissibilities are multiplied by, [1], shape (kept edge,).

        Parameters
        ----------
        kept : ndarray, shape (kept edge,)
            Numbers of the edges that are left.
        value : ndarray, [mm3/day], shape (kept edge,)
            Their transmissibilities.
        full : ndarray, [mm3/day], shape (edge,)
            Those of all edges before clipping.
        inverse_mass : ndarray, [1/mm3], shape (node,)
        """
        first, second = self.edges[kept].T
        factor = self._balancing(kept, value, full)
        return factor * _sliver_factors(first, second, value * factor, inverse_mass)

    def _balancing(
        self, kept: NDArray[np.int64], value: NDArray[np.float64], full: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Factors of the kept edges, [1], that give back what clipping added to the spread.

        A node's exchange spreads its cells by ``sum_j T_ij |x_j - x_i|^2``; without its
        negative part it spreads them too fast (by 6 % on patient lattices). So the edges
        are scaled by ``g_i g_j``, with the g that restore this sum at every node to that of the
        full operator: symmetric, never negative, no entry more. (Own; the iteration is
        that of Sinkhorn and Knopp 1967, Pac J Math 21:343 [unverified], damped.)
        """
        nodes = len(self.mesh.points)
        first, second = np.ascontiguousarray(self.edges.T.astype(np.int32))
        length = ((self.mesh.points[first] - self.mesh.points[second]) ** 2).sum(axis=1)
        wanted = np.zeros(nodes)
        spread_of(first, second, full * length, np.ones(nodes), wanted)
        one, other = first[kept], second[kept]
        factor = balanced(one, other, value * length[kept], wanted, BALANCING_ROUNDS)
        return np.asarray(factor[one] * factor[other])


def _sliver_factors(
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    value: NDArray[np.float64],
    inverse: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Factors of the edges, [1], that keep slivers from shortening everybody's step.

    A node with little active tissue around it exchanges with its neighbours
    many times faster than any other, long before anything grows. Its exchange
    is capped at `SLIVER_CAP` times the 99th percentile of all nodes; both ends
    of an edge see the same factor, so cells are conserved.
    """
    nodes = len(inverse)
    exchange = (np.bincount(first, value, nodes) + np.bincount(second, value, nodes)) * inverse
    positive = exchange[exchange > 0]
    if not len(positive):
        return np.ones(len(value))
    cap = SLIVER_CAP * float(np.quantile(positive, 0.99))
    factor = np.minimum(1.0, cap / np.maximum(exchange, 1e-300))
    return np.minimum(factor[first], factor[second])


def element_gradients(mesh: Mesh) -> NDArray[np.float64]:
    """``volume * grad(phi)`` of the four P1 functions of each element, [mm2], shape (cell, 4, 3).

    Assembled by dolfinx: the gradient tested with a constant on each element.
    """
    domain = dolfinx_compat.tetrahedra(mesh.points, mesh.cells)
    linear = dolfinx_compat.function_space(domain, "Lagrange", 1)
    constant = dolfinx_compat.function_space(domain, "DG", 0)
    trial, test = ufl.TrialFunction(linear), ufl.TestFunction(constant)
    nodes, cells = len(mesh.points), len(mesh.cells)
    node_of, cell_of = (
        dolfinx_compat.order_of_nodes(domain, linear),
        dolfinx_compat.order_of_cells(domain, constant),
    )
    gradient = np.zeros((cells, 4, 3))
    for axis in range(3):
        form = ufl.grad(trial)[axis] * test * ufl.dx
        matrix = dolfinx_compat.assembled(form, (cells, nodes)).tocoo()
        cell, node = cell_of[matrix.row], node_of[matrix.col]
        corner = (mesh.cells[cell] == node[:, None]).argmax(axis=1)
        gradient[cell, corner, axis] = matrix.data
    return gradient


def mesh_operators(mesh: Mesh) -> MeshOperators:
    """Assemble, through dolfinx, what diffusion on a mesh needs.

    The product of two rows of `element_gradients` over the volume is the element's
    share of the stiffness.
    """
    gradient = element_gradients(mesh)
    nodes, cells = len(mesh.points), len(mesh.cells)
    pair_value = (
        -np.einsum("cpk,cpk->cp", gradient[:, EDGES[:, 0]], gradient[:, EDGES[:, 1]])
        / mesh.cell_volume[:, None]
    )
    ends = np.sort(mesh.cells[:, EDGES].astype(np.int64), axis=2)
    code, edge = np.unique(ends[..., 0] * nodes + ends[..., 1], return_inverse=True)
    cell_to_edge = scipy.sparse.csr_matrix(
        (pair_value.ravel(), (edge.ravel(), np.repeat(np.arange(cells), len(EDGES)))),
        shape=(len(code), cells),
    )
    edges = np.stack([code // nodes, code % nodes], axis=1)
    logger.info("assembled %d nodes, %d elements, %d edges", nodes, cells, len(edges))
    return MeshOperators(mesh, edges, cell_to_edge)


@compiled
def spread_of(first, second, weight, factor, result):
    """Sum of ``weight * factor`` of the other end over the edges of each node, to `result`."""
    result[:] = 0.0
    for e in range(first.shape[0]):
        result[first[e]] += weight[e] * factor[second[e]]
        result[second[e]] += weight[e] * factor[first[e]]


@compiled
def balanced(first, second, weight, wanted, rounds):
    """Factors g of the nodes with ``g_i sum_j w_ij g_j`` near `wanted`, by so many rounds.

    A node whose wanted sum is not positive keeps 1.
    """
    nodes = wanted.shape[0]
    factor, found = np.ones(nodes), np.empty(nodes)
    for _ in range(rounds):
        spread_of(first, second, weight, factor, found)
        for i in range(nodes):
            change = 1.0
            if found[i] > 0.0 and wanted[i] > 0.0:
                change = min(max(wanted[i] / found[i], LEAST_CHANGE), MOST_CHANGE)
            factor[i] = np.sqrt(factor[i] * change)
    return factor
