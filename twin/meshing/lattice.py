"""The graded body-centred cubic lattice: tetrahedra from a balanced octree.

Every leaf has a vertex at its centre and at its corners. Two leaves of the same
size that share a face are joined by four tetrahedra, each on both centres and
one edge of the face; an edge that has a vertex in its middle (because smaller
leaves touch it) is cut in two. Where four small leaves meet the face of a large
one, the face is cut into eight triangles, each joined to the centres on either
side. No dihedral angle is below 45 degrees.

Sources: F. Labelle and J. R. Shewchuk, Isosurface stuffing, ACM Transactions on
Graphics 26(3), 57 (2007), doi:10.1145/1276377.1276448, section 3 (the graded
lattice); N. Molino, R. Bridson, J. Teran and R. Fedkiw, A crystalline, red
green strategy for meshing highly deformable objects with tetrahedra, 12th
International Meshing Roundtable (2003), 103-114 (a lattice moved to the surface).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from twin.meshing.geometry import cell_volumes
from twin.meshing.octree import Octree

__all__ = ["graded_lattice"]

Array = NDArray[Any]

_AXES = np.eye(3, dtype=np.int64)


class _VertexKeys:
    """One integer per lattice vertex; vertices count in halves of the smallest cube."""

    def __init__(self, octree: Octree) -> None:
        shape = 2 * np.array(octree.leaf[-1].shape, np.int64) + 1
        self._strides = np.array([shape[1] * shape[2], shape[2], 1])
        corners = []
        for level, leaf in enumerate(octree.leaf):
            width = 2 * 2 ** (octree.last_level - level)
            lower = np.argwhere(leaf) * width
            for step in np.ndindex(2, 2, 2):
                corners.append(np.unique(self.of(lower + np.array(step) * width)))
        self._corners = np.unique(np.concatenate(corners))

    def of(self, vertex: Array) -> Array:
        """Return the key of each vertex, shape (..., 3) to (...)."""
        return vertex @ self._strides

    def vertex(self, key: Array) -> Array:
        """Return the vertex of each key, shape (n,) to (n, 3)."""
        i, rest = np.divmod(key, self._strides[0])
        j, k = np.divmod(rest, self._strides[1])
        return np.stack([i, j, k], axis=1)

    def is_corner(self, vertex: Array) -> Array:
        """Whether each vertex is the corner of some leaf."""
        key = self.of(vertex)
        place = np.minimum(np.searchsorted(self._corners, key), len(self._corners) - 1)
        return self._corners[place] == key


def _between_equals(lower: Array, axis: int, width: int, keys: _VertexKeys) -> list[Array]:
    """Tetrahedra between leaves at `lower` and their equal neighbours up the axis."""
    along, u, v = (_AXES[(axis + k) % 3] * width for k in range(3))
    centre = lower + width // 2
    across = centre + along
    face = lower + along
    square = [face, face + u, face + u + v, face + v]
    tetrahedra = []
    for k in range(4):
        start, end = square[k], square[(k + 1) % 4]
        middle = (start + end) // 2
        cut = keys.is_corner(middle)
        tetrahedra.append(np.stack([centre, across, start, end], axis=1)[~cut])
        tetrahedra.append(np.stack([centre, across, start, middle], axis=1)[cut])
        tetrahedra.append(np.stack([centre, across, middle, end], axis=1)[cut])
    return tetrahedra


def _between_large_and_small(lower: Array, axis: int, side: int, width: int) -> list[Array]:
    """Tetrahedra between large leaves at `lower` and the four small ones on one face."""
    along, u, v = (_AXES[(axis + k) % 3] * width for k in range(3))
    centre = lower + width // 2
    face = lower + along if side > 0 else lower
    middle = face + (u + v) // 2
    square = [face, face + u, face + u + v, face + v]
    tetrahedra = []
    for k in range(4):
        corner = square[k]
        small_centre = (corner + middle) // 2 + side * along // 4
        for other in (square[(k + 1) % 4], square[k - 1]):
            edge_middle = (corner + other) // 2
            for apex in (centre, small_centre):
                tetrahedra.append(np.stack([apex, middle, corner, edge_middle], axis=1))
    return tetrahedra


def graded_lattice(octree: Octree) -> tuple[Array, Array]:
    """Points [mm], shape (node, 3), and positively oriented tetrahedra, shape (cell, 4).

    Parameters
    ----------
    octree : Octree
        Its leaves become the cubes of the lattice.

    Examples
    --------
    >>> import numpy as np
    >>> from twin.meshing.octree import balanced_octree
    >>> points, cells = graded_lattice(balanced_octree(np.full((4, 4, 4), 2.0), 1.0, 2.0))
    >>> bool((cell_volumes(points, cells) > 0).all())
    True
    """
    keys = _VertexKeys(octree)
    tetrahedra: list[Array] = []
    for level, leaf in enumerate(octree.leaf):
        width = 2 * 2 ** (octree.last_level - level)
        cubes = np.argwhere(leaf)
        for axis in range(3):
            for side in (1, -1):
                neighbour = cubes + side * _AXES[axis]
                inside = ((neighbour >= 0) & (neighbour < leaf.shape)).all(axis=1)
                lower = cubes[inside] * width
                at = tuple(neighbour[inside].T)
                if side > 0:  # each pair of equals once
                    tetrahedra += _between_equals(lower[leaf[at]], axis, width, keys)
                divided = octree.refined[level][at]
                if divided.any():
                    tetrahedra += _between_large_and_small(lower[divided], axis, side, width)
    key = keys.of(np.concatenate(tetrahedra))
    used, cells = np.unique(key, return_inverse=True)
    cells = cells.reshape(-1, 4)
    points = octree.origin_mm + keys.vertex(used) * (octree.smallest_mm / 2.0)
    inverted = cell_volumes(points, cells) < 0
    cells[inverted] = cells[inverted][:, [0, 1, 3, 2]]
    return points, cells
