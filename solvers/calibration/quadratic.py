"""Errors of a fit as quadratic functions of the unknowns, from runs that were made."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from twin.errors import InvalidInput

__all__ = ["QuadraticErrors", "terms_of"]


def terms_of(unknowns: int) -> int:
    """Number of the terms up to the second power.

    >>> terms_of(6)
    28
    """
    return (unknowns + 1) * (unknowns + 2) // 2


@dataclass(frozen=True)
class QuadraticErrors:
    """Errors by powers of coordinates that are centred and scaled by a normal distribution.

    Parameters
    ----------
    centre : ndarray, shape (unknown,)
    whiten : ndarray, shape (unknown, unknown)
        From ``z - centre`` to coordinates of unit variance.
    coefficients : ndarray, shape (term, error)
    """

    centre: NDArray[np.float64]
    whiten: NDArray[np.float64]
    coefficients: NDArray[np.float64]

    @classmethod
    def fitted(
        cls,
        places: NDArray[np.float64],
        errors: NDArray[np.float64],
        centre: NDArray[np.float64],
        covariance: NDArray[np.float64],
    ) -> QuadraticErrors:
        """Fitted to runs by least squares, those near the centre counting most.

        Parameters
        ----------
        places : ndarray, shape (run, unknown)
        errors : ndarray, shape (run, error)
        centre : ndarray, shape (unknown,)
        covariance : ndarray, shape (unknown, unknown)
            Where the runs matter.

        Raises
        ------
        InvalidInput
            Fewer runs than terms.
        """
        whiten = np.linalg.inv(np.linalg.cholesky(covariance))
        near = (places - centre) @ whiten.T
        terms = _powers(near)
        if len(terms) < terms.shape[1]:
            raise InvalidInput(
                f"{len(terms)} runs are too few for the {terms.shape[1]} terms of "
                f"{places.shape[1]} unknowns."
            )
        # a run as far off as draws hardly come counts as little as they do
        weight = np.exp(-0.125 * (near**2).sum(axis=1)) + 1e-3
        solved = np.linalg.lstsq(terms * weight[:, None], errors * weight[:, None], rcond=1e-10)[0]
        return cls(centre, whiten, solved)

    def __call__(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        """Errors, shape (place, error), at places, shape (place, unknown)."""
        return _powers((places - self.centre) @ self.whiten.T) @ self.coefficients

    def log_likelihood(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        """Minus half the sum of the errors' squares, shape (place,)."""
        terms = _powers((places - self.centre) @ self.whiten.T)
        return -0.5 * np.einsum("ij,ij->i", terms @ self._gram, terms)

    @cached_property
    def _gram(self) -> NDArray[np.float64]:
        return self.coefficients @ self.coefficients.T


def _powers(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """1, each coordinate, and each product of two, shape (place, term)."""
    count = x.shape[1]
    first, second = np.triu_indices(count)
    return np.concatenate([np.ones((len(x), 1)), x, x[:, first] * x[:, second]], axis=1)
