"""The stiffness of an elastic body: blocks of 3 by 3 for each node and each edge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from twin.compiled import compiled_sums
from twin.mesh import Mesh

__all__ = ["ElasticMatrix", "elastic_matrix"]

_PAIRS = np.array([(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)])


@dataclass(frozen=True, slots=True)
class ElasticMatrix:
    """Forces [kPa mm2] on the free nodes for displacements [mm] of the free and the fixed ones.

    Parameters
    ----------
    free : ndarray of bool, shape (node,)
        Nodes that move; a node of no element is not one of them.
    upper : bsr_matrix, [kPa mm], shape (3 free, 3 free)
        The upper triangle of the free nodes' symmetric stiffness, diagonal included.
    fixed_columns : bsr_matrix, [kPa mm], shape (3 free, 3 fixed)
    """

    free: NDArray[np.bool_]
    upper: scipy.sparse.bsr_matrix
    fixed_columns: scipy.sparse.bsr_matrix


@compiled_sums
def _blocks(cells, gradient, volume, first_lame, shear, edge, pairs, swapped, diagonal, off):
    """Add every element's ``V (lambda g_a g_b' + G g_b g_a' + G g_a.g_b I)`` to its blocks."""
    for cell in range(cells.shape[0]):
        first, second = volume[cell] * first_lame[cell], volume[cell] * shear[cell]
        g = gradient[cell]
        for a in range(4):
            node = cells[cell, a]
            square = g[a, 0] ** 2 + g[a, 1] ** 2 + g[a, 2] ** 2
            for i in range(3):
                for j in range(3):
                    diagonal[node, i, j] += (first + second) * g[a, i] * g[a, j]
                diagonal[node, i, i] += second * square
        for p in range(pairs.shape[0]):
            a, b = pairs[p, 0], pairs[p, 1]
            if swapped[cell, p]:
                a, b = b, a
            block = off[edge[cell, p]]
            product = g[a, 0] * g[b, 0] + g[a, 1] * g[b, 1] + g[a, 2] * g[b, 2]
            for i in range(3):
                for j in range(3):
                    block[i, j] += first * g[a, i] * g[b, j] + second * g[b, i] * g[a, j]
                block[i, i] += second * product


def elastic_matrix(
    mesh: Mesh,
    gradient: NDArray[np.float64],
    first_lame: NDArray[np.float64],
    shear: NDArray[np.float64],
    held: NDArray[np.generic],
) -> ElasticMatrix:
    """The stiffness of linear tetrahedra with constant moduli, exactly integrated.

    Parameters
    ----------
    gradient : ndarray, [1/mm], shape (cell, 4, 3)
    first_lame, shear : ndarray, [kPa], shape (cell,)
    held : ndarray of bool, shape (node,)
    """
    nodes = len(mesh.points)
    free = ~held.astype(np.bool_)
    free &= np.bincount(mesh.cells.ravel(), minlength=nodes) > 0
    moving, order = int(free.sum()), np.empty(nodes, np.int64)
    order[free] = np.arange(moving)  # the free nodes first: the edges below are then grouped
    order[~free] = np.arange(moving, nodes)
    ends = order[mesh.cells[:, _PAIRS]]
    swapped = ends[..., 0] > ends[..., 1]
    low, high = ends.min(axis=2), ends.max(axis=2)
    code, edge = np.unique((low * nodes + high).ravel(), return_inverse=True)
    diagonal, off = np.zeros((nodes, 3, 3)), np.zeros((len(code), 3, 3))
    _blocks(
        mesh.cells, gradient, mesh.cell_volume, first_lame, shear,
        edge.reshape(low.shape), _PAIRS, swapped, diagonal, off,
    )  # fmt: skip
    first, second = code // nodes, code % nodes
    inner = second < moving  # and so the first
    row = np.concatenate([np.arange(moving), first[inner]])
    column = np.concatenate([np.arange(moving), second[inner]])
    blocks = np.concatenate([diagonal[free], off[inner]])
    mixed = (first < moving) & (second >= moving)
    return ElasticMatrix(
        free,
        _rows_of_blocks(row, column, blocks, (moving, moving)),
        _rows_of_blocks(first[mixed], second[mixed] - moving, off[mixed], (moving, nodes - moving)),
    )


def _rows_of_blocks(
    row: NDArray[np.int64],
    column: NDArray[np.int64],
    blocks: NDArray[np.float64],
    shape: tuple[int, int],
) -> scipy.sparse.bsr_matrix:
    """Compressed rows of blocks, columns ascending; each place at most once."""
    order = np.lexsort((column, row))
    starts = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=shape[0]))])
    return scipy.sparse.bsr_matrix(
        (blocks[order], column[order].astype(np.int32), starts.astype(np.int32)),
        shape=(3 * shape[0], 3 * shape[1]),
        blocksize=(3, 3),
    )
