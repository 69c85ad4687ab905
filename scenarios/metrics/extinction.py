"""Extinction: the probability that a handful of cells in expectation is none in fact.

A continuous density regrows from a millionth of a cell; a tumour does not. With n clonogenic
cells left in expectation, each surviving on its own, their number is Poisson's and none is left
with ``exp(-n)`` (S. Webb and A. E. Nahum 1993, Phys Med Biol 38:653, doi
10.1088/0031-9155/38/6/001). It is stated afterwards and never changes the density.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from twin.errors import InvalidInput

__all__ = ["drawn_extinction", "extinction_probability"]


def extinction_probability(clonogens: ArrayLike) -> NDArray[np.float64]:
    """Probability that no clonogenic cell is left of each piece, ``exp(-n)``, [1].

    Parameters
    ----------
    clonogens : array_like, [cells]
        Expected number that is left.

    Examples
    --------
    >>> extinction_probability([0.0, 1.0, 1e9]).round(4).tolist()
    [1.0, 0.3679, 0.0]
    """
    cells = np.asarray(clonogens, np.float64)
    if not ((cells >= 0.0) | np.isnan(cells)).all():
        raise InvalidInput("Numbers of clonogenic cells must be at least 0.")
    return np.exp(-cells)


def drawn_extinction(clonogens: ArrayLike, seed: int | list[int]) -> NDArray[np.bool_]:
    """Which pieces are extinct in one draw, each on its own, shape of `clonogens`.

    The same seed and place give the same random number whatever the arm, so that of two arms
    the one that leaves fewer cells in a piece is never drawn to keep it alone.

    Examples
    --------
    >>> drawn_extinction([1e9, 0.0], seed=1).tolist()
    [False, True]
    """
    cells = np.asarray(clonogens, np.float64)
    chance = np.random.default_rng(seed).random(cells.shape)
    return np.nan_to_num(chance < extinction_probability(cells)).astype(bool)
