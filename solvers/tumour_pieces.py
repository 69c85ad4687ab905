"""Connected pieces of what is left of a tumour, whatever its density.

The density of a spreading tumour is above 0 everywhere, so that a fixed floor either joins all or
misses what treatment has thinned out. Here a piece is what belongs to a peak of the density: two
peaks are two pieces where, on every way between them along the edges of the mesh, the density
falls below a share of the lower peak. (The share is the persistence of a peak on a logarithmic
scale, as in H. Edelsbrunner, D. Letscher and A. Zomorodian 2002, Discrete Comput Geom 28:511
[unverified].) It depends on no unit and no floor, and the pieces together hold every cell.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from twin.compiled import compiled

__all__ = ["SEPARATION", "Pieces", "mesh_graph", "tumour_pieces"]

#: assumed: two peaks are two pieces where the density between them is less than a hundredth of
#: the lower one.
SEPARATION = 0.01


@dataclass(frozen=True, slots=True)
class Pieces:
    """The pieces of a density, the one with most cells first.

    Parameters
    ----------
    amount : ndarray, [mm3], shape (piece,)
        Integral of the density over each.
    peak : ndarray of int, shape (piece,)
        Node of the greatest density of each.
    piece : ndarray of int, shape (node,)
        Number of every node's piece, -1 where there are no cells.
    """

    amount: NDArray[np.float64]
    peak: NDArray[np.int64]
    piece: NDArray[np.int64]


def mesh_graph(cells: NDArray[np.integer], nodes: int) -> scipy.sparse.csr_matrix:
    """Which nodes share an edge of the given elements, shape (node, node)."""
    first = np.concatenate([cells[:, a] for a in range(4) for b in range(4) if a != b])
    second = np.concatenate([cells[:, b] for a in range(4) for b in range(4) if a != b])
    one = np.ones(len(first), np.int8)
    graph = scipy.sparse.csr_matrix((one, (first, second)), shape=(nodes, nodes))
    graph.sum_duplicates()
    return graph


@compiled
def _root(parent, node):
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


@compiled
def _join(order, density, start, neighbour, share, parent):
    """Join the nodes from the densest down; the root of a piece is its peak."""
    done = np.zeros(len(density), np.bool_)
    for node in order:
        best = -1
        for k in range(start[node], start[node + 1]):
            other = neighbour[k]
            if done[other] and (best < 0 or density[other] > density[best]):
                best = other
        done[node] = True
        if best < 0:
            continue
        own = _root(parent, best)
        parent[node] = own
        for k in range(start[node], start[node + 1]):
            other = neighbour[k]
            if not done[other] or other == node:
                continue
            root = _root(parent, other)
            if root == own:
                continue
            if density[node] >= share * min(density[root], density[own]):
                if density[root] > density[own]:
                    parent[own] = root
                    own = root
                else:
                    parent[root] = own
    for node in order:
        parent[node] = _root(parent, node)


def tumour_pieces(
    graph: scipy.sparse.csr_matrix,
    mass: NDArray[np.float64],
    density: NDArray[np.floating],
    *,
    separation: float = SEPARATION,
) -> Pieces:
    """The pieces of a nodal density.

    Parameters
    ----------
    graph : csr_matrix, shape (node, node)
        As `mesh_graph` gives it.
    mass : ndarray, [mm3], shape (node,)
        Volume that each node stands for; none where no cell can live.
    density : ndarray, [1], shape (node,)
    separation : float, [1]
        Share of the lower peak below which the density must fall between two pieces.

    Examples
    --------
    >>> line = scipy.sparse.diags([1.0, 1.0], [-1, 1], (5, 5), format="csr")
    >>> tumour_pieces(line, np.ones(5), np.array([1.0, 1e-6, 0.0, 1e-5, 1e-4])).amount.tolist()
    [1.000001, 0.00011]
    """
    value = np.asarray(density, np.float64)
    present = np.flatnonzero((value > 0.0) & (mass > 0.0))
    order = present[np.argsort(-value[present], kind="stable")]
    parent = np.arange(len(value))
    _join(
        order, value, graph.indptr.astype(np.int64), graph.indices.astype(np.int64), separation,
        parent,
    )  # fmt: skip
    amount_at = np.bincount(parent[present], (value * mass)[present], len(value))
    peaks = np.unique(parent[present])
    peaks = peaks[np.argsort(-amount_at[peaks], kind="stable")]
    piece = np.full(len(value), -1)
    number = np.full(len(value), -1)
    number[peaks] = np.arange(len(peaks))
    piece[present] = number[parent[present]]
    return Pieces(amount_at[peaks], peaks, piece)
