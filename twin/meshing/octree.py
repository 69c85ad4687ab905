"""A 2:1 balanced octree over the voxel grid, refined to a wanted cell size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from twin.errors import InvalidInput

__all__ = ["Octree", "balanced_octree"]

Array = NDArray[Any]

#: A cube is divided where a size below this part of its edge is wanted.
REFINE_BELOW = 0.75
#: Levels of division at most: the largest cubes are 2**5 times the smallest.
MOST_LEVELS = 5
#: Smallest cubes that would fill the box at most (float32, 1 GiB).
MOST_SMALLEST_CUBES = 2**28

_TOUCHING = np.ones((3, 3, 3), bool)  # neighbours by face, edge and corner


@dataclass(frozen=True, slots=True)
class Octree:
    """Cubes of edge ``smallest_mm * 2**k``; those that touch differ by one level at most.

    Parameters
    ----------
    origin_mm : ndarray, [mm], shape (3,)
        Lower corner of the whole box.
    smallest_mm : float, [mm]
        Edge of the cubes of the last level.
    refined, leaf, covering : list of bool ndarray
        Per level, coarse to fine: which cubes are divided; which are leaves
        that the lattice uses; which of these hold a part of the region, the
        rest being its rim.
    """

    origin_mm: Array
    smallest_mm: float
    refined: list[Array]
    leaf: list[Array]
    covering: list[Array]

    @property
    def expected_nodes(self) -> int:
        """About how many nodes the lattice has in the region: two for each cube."""
        return 2 * sum(int(np.count_nonzero(level)) for level in self.covering)

    @property
    def last_level(self) -> int:
        """Number of the finest level; level 0 is the coarsest."""
        return len(self.leaf) - 1


def _pooled(array: Array, reduce: Callable[..., Array]) -> Array:
    """One value per block of 2 x 2 x 2."""
    i, j, k = (n // 2 for n in array.shape)
    return reduce(array.reshape(i, 2, j, 2, k, 2), axis=(1, 3, 5))


def _divided(array: Array) -> Array:
    """Each entry repeated for its eight children."""
    return array.repeat(2, 0).repeat(2, 1).repeat(2, 2)


def _wanted_in_smallest_cubes(
    wanted_mm: Array, spacing_mm: float, smallest_mm: float, origin_mm: Array, shape: Array
) -> Array:
    """Wanted size in each smallest cube: the least of the voxels about its centre."""
    reach = max(1, int(np.ceil(smallest_mm / spacing_mm)))
    least = ndimage.minimum_filter(wanted_mm, size=reach + 1) if reach > 1 else wanted_mm
    voxel = [
        np.rint((origin_mm[d] + (np.arange(shape[d]) + 0.5) * smallest_mm) / spacing_mm).astype(int)
        for d in range(3)
    ]
    inside = [(v >= 0) & (v < n) for v, n in zip(voxel, wanted_mm.shape, strict=True)]
    result = np.full(shape, np.inf, np.float32)
    result[np.ix_(*inside)] = least[np.ix_(*(v[ok] for v, ok in zip(voxel, inside, strict=True)))]
    return result


def balanced_octree(wanted_mm: Array, spacing_mm: float, smallest_mm: float) -> Octree:
    """Octree whose leaves are about as large as wanted, balanced 2:1.

    Parameters
    ----------
    wanted_mm : ndarray, [mm], shape (i, j, k)
        Wanted edge of the cubes in each voxel; inf outside the region to be
        covered. Voxel (i, j, k) is centred at (i, j, k) times the spacing.
    spacing_mm : float, [mm]
        Edge of a voxel.
    smallest_mm : float, [mm]
        Edge of the smallest cubes.

    Raises
    ------
    InvalidInput
        The smallest cubes are so small that the box would hold too many.
    """
    largest_wanted = float(wanted_mm[np.isfinite(wanted_mm)].max())
    ratio = max(1.0, largest_wanted / (REFINE_BELOW * smallest_mm))
    last = min(MOST_LEVELS, int(np.floor(np.log2(ratio))))
    root_mm = smallest_mm * 2**last
    roots = np.ceil(np.array(wanted_mm.shape) * spacing_mm / root_mm).astype(int) + 2
    shape = roots * 2**last
    if not float(np.prod(shape.astype(float))) <= MOST_SMALLEST_CUBES:
        raise InvalidInput(
            f"A smallest cell of {smallest_mm:g} mm over this grid asks for a lattice of "
            f"{' x '.join(map(str, shape))} cells; at most {MOST_SMALLEST_CUBES} fit: "
            "ask for a larger smallest cell or crop the grid."
        )
    origin = np.full(3, -root_mm - spacing_mm / 2.0)

    least = [_wanted_in_smallest_cubes(wanted_mm, spacing_mm, smallest_mm, origin, shape)]
    for _ in range(last):
        least.insert(0, _pooled(least[0], np.min))

    refined = [least[k] < REFINE_BELOW * root_mm / 2**k for k in range(last)]
    refined.append(np.zeros(shape, bool))
    for level in range(last - 1, 0, -1):  # who touches a divided cube exists, so its parent divides
        neighbours = ndimage.binary_dilation(refined[level], _TOUCHING)
        refined[level - 1] |= _pooled(neighbours, np.any)

    exists = [np.ones(roots, bool)]
    exists.extend(_divided(refined[level]) for level in range(last))
    leaf, covering = [], []
    for level in range(last + 1):
        undivided = exists[level] & ~refined[level]
        holds = np.isfinite(least[level])
        leaf.append(undivided & ndimage.binary_dilation(holds, _TOUCHING))
        covering.append(undivided & holds)
    return Octree(origin, smallest_mm, refined, leaf, covering)
