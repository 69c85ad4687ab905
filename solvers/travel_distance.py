"""Distance that a front has to travel through tissue, on the mesh."""

from __future__ import annotations

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from scipy.sparse.csgraph import dijkstra

from twin.mesh import Mesh

__all__ = ["travel_distance"]


def travel_distance(
    mesh: Mesh,
    slowness: NDArray[np.float64],
    active_cells: NDArray[np.bool_],
    start: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Shortest way to each node through active elements, weighted by slowness, [mm], shape (node,).

    Shortest paths over edges and over pairs of edges (about sixty directions
    a node; on the patient lattice a straight way is overestimated by 3.5 % in
    the mean and by 6 % at most); infinite where there is no way.

    Parameters
    ----------
    mesh : Mesh
    slowness : ndarray, [1], shape (cell,)
        Millimetres counted for each millimetre, at least 1.
    active_cells : ndarray of bool, shape (cell,)
    start : ndarray, [mm], shape (node,)
        Distance already known at the nodes to start from, infinite elsewhere.
    """
    nodes = len(mesh.points)
    cells = mesh.cells[active_cells].astype(np.int64)
    weight = slowness[active_cells]
    count = np.bincount(cells.ravel(), minlength=nodes)
    at_node = np.bincount(cells.ravel(), np.repeat(weight, 4), nodes) / np.maximum(count, 1)
    pairs = np.concatenate([cells[:, [a, b]] for a in range(4) for b in range(4) if a != b])
    link = scipy.sparse.csr_matrix(
        (np.ones(len(pairs), np.float32), (pairs[:, 0], pairs[:, 1])), shape=(nodes, nodes)
    )
    near = (link @ link + link).tocoo()
    keep = near.row < near.col
    first, second = near.row[keep], near.col[keep]
    length = np.linalg.norm(mesh.points[first] - mesh.points[second], axis=1)
    length *= 0.5 * (at_node[first] + at_node[second])
    sources = np.flatnonzero(np.isfinite(start) & (count > 0))
    row = np.concatenate([first, np.full(len(sources), nodes)])
    column = np.concatenate([second, sources])
    value = np.concatenate([length, np.maximum(start[sources], 1e-9)])
    graph = scipy.sparse.csr_matrix((value, (row, column)), shape=(nodes + 1, nodes + 1))
    return dijkstra(graph, directed=False, indices=nodes)[:nodes]
