"""Distance that a front has to travel through tissue, on the mesh."""

from __future__ import annotations

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from scipy.sparse.csgraph import dijkstra

from twin.compiled import compiled
from twin.mesh import Mesh

__all__ = ["travel_distance"]


def travel_distance(
    mesh: Mesh,
    slowness: NDArray[np.float64],
    active_cells: NDArray[np.bool_],
    start: NDArray[np.float64],
    change: NDArray[np.float64] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Shortest way to each node through active elements, weighted by slowness, and its derivative.

    Both [mm], shape (node,); the derivative is that along `change` of the slowness.

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
    change : ndarray, [1], shape (cell,)
        Derivative of the slowness by something; none of it if None.
    """
    nodes = len(mesh.points)
    cells = mesh.cells[active_cells].astype(np.int64)
    weight = slowness[active_cells]
    count = np.bincount(cells.ravel(), minlength=nodes)

    def at_nodes(values: NDArray) -> NDArray[np.float64]:
        return np.bincount(cells.ravel(), np.repeat(values, 4), nodes) / np.maximum(count, 1)

    at_node = at_nodes(weight)
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
    distance, before = dijkstra(graph, directed=False, indices=nodes, return_predecessors=True)
    slope = np.zeros(nodes + 1)
    if change is not None:
        _along_the_way(
            np.argsort(distance), before, mesh.points, at_nodes(change[active_cells]), slope
        )
    return distance[:nodes], slope[:nodes]


@compiled
def _along_the_way(order, before, points, change, slope):
    """The derivative of each distance: that of the node before and of the way from there."""
    nodes = points.shape[0]
    for node in order:
        last = before[node]
        if node == nodes or last < 0 or last == nodes:
            continue
        length = 0.0
        for axis in range(3):
            length += (points[node, axis] - points[last, axis]) ** 2
        slope[node] = slope[last] + np.sqrt(length) * 0.5 * (change[node] + change[last])
