"""A mesh cut into one part a rank, and what each part needs from the others.

The nodes are halved along the longest side of the box around them, so that the
work on both sides is equal, and so on (recursive coordinate bisection: Berger
and Bokhari 1987, IEEE Trans Comput C-36:570, doi 10.1109/TC.1987.1676942). Every
rank works out the whole partition by itself, from the same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twin.errors import InvalidInput

__all__ = ["Layout", "node_owners"]

#: A node costs as much as so many of its row's entries, for the reaction and the sums of stages.
NODE_WORK = 10.0
#: Rings of elements around a part within which the columns of its rows must lie.
_MOST_RINGS = 3


def node_owners(
    points: NDArray[np.float64], work: NDArray[np.float64], ranks: int
) -> NDArray[np.int32]:
    """The rank that owns each node, shape (node,).

    Parameters
    ----------
    points : ndarray, [mm], shape (node, 3)
    work : ndarray, shape (node,)
        Share of the work at each node, in any unit, above 0.
    ranks : int

    Examples
    --------
    >>> line = np.zeros((6, 3))
    >>> line[:, 1] = [5, 0, 4, 1, 3, 2]
    >>> node_owners(line, np.ones(6), 3).tolist()
    [2, 0, 2, 0, 1, 1]
    """
    if len(points) < ranks:
        raise InvalidInput(
            f"The mesh has {len(points)} nodes, too few for {ranks} ranks; start fewer."
        )
    owner = np.zeros(len(points), np.int32)
    waiting = [(np.arange(len(points)), 0, ranks)]
    while waiting:
        nodes, first, count = waiting.pop()
        if count == 1:
            owner[nodes] = first
            continue
        axis = int(np.ptp(points[nodes], axis=0).argmax())
        nodes = nodes[np.argsort(points[nodes, axis], kind="stable")]
        left = count // 2
        done = np.cumsum(work[nodes])
        cut = int(np.searchsorted(done, done[-1] * left / count, side="right"))
        cut = min(max(cut, left), len(nodes) - (count - left))
        waiting += [(nodes[:cut], first, left), (nodes[cut:], first + left, count - left)]
    return owner


@dataclass(frozen=True, slots=True)
class Layout:
    """The nodes that one rank holds, and what goes to and comes from each neighbour.

    Parameters
    ----------
    nodes : ndarray of int64, shape (local,)
        Numbers in the whole mesh: the rank's own in increasing order, then the
        others', by owner and number.
    own : int
        How many are the rank's own.
    order : ndarray of int64, shape (node,)
        All nodes, by owner and number: what the ranks hold, put one after the other.
    sizes : tuple of int
        Nodes of each rank's own.
    gives : tuple of (int, ndarray of int64)
        For each neighbouring rank the local numbers of own nodes that it holds too.
    takes : tuple of (int, int, int)
        For each neighbouring rank where its nodes begin and end.
    cells : ndarray of int64, shape (cell,)
        The elements that this rank counts: each is counted by the owner of its first node.
    """

    nodes: NDArray[np.int64]
    own: int
    order: NDArray[np.int64]
    sizes: tuple[int, ...]
    gives: tuple[tuple[int, NDArray[np.int64]], ...]
    takes: tuple[tuple[int, int, int], ...]
    cells: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        points: NDArray[np.float64],
        cells: NDArray[np.int32],
        indptr: NDArray[np.int32],
        indices: NDArray[np.int32],
        *,
        ranks: int,
        rank: int,
        rings: int = 1,
    ) -> Layout:
        """What `rank` of `ranks` holds.

        With every own node it holds the corners of the elements around it, and as
        many rings of elements more as the rows of the matrix reach.

        Parameters
        ----------
        points : ndarray, [mm], shape (node, 3)
        cells : ndarray, shape (cell, 4)
        indptr, indices : ndarray
            Compressed rows of the diffusion operator.
        rings : int
            Rings of elements that are held in any case, for rows that change later.

        Raises
        ------
        InvalidInput
            Rows that reach further than three rings of elements.
        """
        owner = node_owners(points, np.diff(indptr) + NODE_WORK, ranks)
        row = np.repeat(np.arange(len(points)), np.diff(indptr))
        needed: list[NDArray[np.bool_]] = []
        for other in range(ranks):
            is_own = owner == other
            held = is_own
            for ring in range(1, _MOST_RINGS + 1):
                held = _ring(cells, held)
                if ring >= rings and held[indices[is_own[row]]].all():
                    break
            else:
                raise InvalidInput(
                    "The diffusion operator joins nodes that lie more than "
                    f"{_MOST_RINGS} elements apart; such a patient runs on one rank only."
                )
            needed.append(held & ~is_own)
        own = np.flatnonzero(owner == rank)
        others = np.flatnonzero(needed[rank])
        others = others[np.argsort(owner[others], kind="stable")]
        neighbours = np.unique(owner[others])
        borders = np.searchsorted(owner[others], neighbours)
        ends = [*borders[1:], len(others)]
        gives = [
            (other, np.searchsorted(own, np.flatnonzero(needed[other] & (owner == rank))))
            for other in range(ranks)
            if other != rank
        ]
        return cls(
            np.concatenate([own, others]),
            len(own),
            np.argsort(owner, kind="stable"),
            tuple(np.bincount(owner, minlength=ranks).tolist()),
            tuple((other, local) for other, local in gives if len(local)),
            tuple(
                (int(other), len(own) + int(first), len(own) + int(end))
                for other, first, end in zip(neighbours, borders, ends, strict=True)
            ),
            np.flatnonzero(owner[cells[:, 0]] == rank),
        )

    def numbers(self) -> NDArray[np.int32]:
        """Local number of every node of the mesh, -1 where the rank does not hold it."""
        local = np.full(len(self.order), -1, np.int32)
        local[self.nodes] = np.arange(len(self.nodes), dtype=np.int32)
        return local


def _ring(cells: NDArray[np.int32], held: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """These nodes and all corners of the elements that touch them."""
    grown = held.copy()
    grown[cells[held[cells].any(axis=1)].ravel()] = True
    return grown
