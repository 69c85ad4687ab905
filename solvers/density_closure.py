"""The density at every node: the shells' own, corrected by a few learnt modes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

__all__ = ["DensityModes", "fit_modes", "odds"]

#: Density below which the correction fades out.
FLOOR = 2e-3
MODES = 24
MOST_SNAPSHOTS = 320


def odds(density: NDArray) -> NDArray[np.float32]:
    """``log((u + e) / (1 - u + e))``, same shape: a correction of it keeps densities in bounds."""
    u = np.clip(np.asarray(density, np.float32), 0.0, 1.0)
    return np.log((u + np.float32(FLOOR)) / (np.float32(1.0 + FLOOR) - u))


def from_odds(value: NDArray) -> NDArray[np.float32]:
    """The density of which `odds` is `value`, same shape, between 0 and 1."""
    e = np.exp(value)
    u = (e * np.float32(1.0 + FLOOR) - np.float32(FLOOR)) / (1.0 + e)
    return np.clip(u, 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class DensityModes:
    """Modes of the correction.

    Parameters
    ----------
    modes : ndarray of float32, shape (mode, node)
    """

    modes: NDArray[np.float32]

    def density(
        self,
        weights: scipy.sparse.csr_matrix,
        visible: NDArray[np.float64],
        coefficients: NDArray[np.float64],
    ) -> NDArray[np.float32]:
        """Visible density at the nodes, shape (time, node), from shells and coefficients."""
        base = odds((weights @ visible.T).T)
        return from_odds(base + coefficients.astype(np.float32) @ self.modes)


def fit_modes(
    correction: NDArray[np.float32],
    density: NDArray[np.float32],
    mass: NDArray[np.float64],
    seed: int,
) -> tuple[DensityModes, NDArray[np.float32]]:
    """Principal modes of the corrections, weighted by the change of density that they stand for.

    Returns the modes and the coefficients of all corrections, shape (snapshot, mode).

    Parameters
    ----------
    correction, density : ndarray, shape (snapshot, node)
    mass : ndarray, [mm3], shape (node,)
    """
    chosen = np.random.default_rng(seed).permutation(len(correction))[:MOST_SNAPSHOTS]
    sample, level = correction[chosen], density[chosen]
    weight = np.sqrt(mass * ((level * (1.0 - np.clip(level, 0, 1))).mean(axis=0) + 1e-4))
    weight = weight.astype(np.float32)
    scaled = sample * weight
    values, vectors = np.linalg.eigh((scaled @ scaled.T).astype(np.float64))
    keep = np.argsort(values)[::-1][: min(MODES, len(values))]
    keep = keep[values[keep] > 1e-9 * values.max()]
    basis = (vectors[:, keep] / np.sqrt(values[keep])).T.astype(np.float32) @ scaled
    inverse = np.divide(1.0, weight, out=np.zeros_like(weight), where=weight > 0)
    return DensityModes(basis * inverse), correction @ (basis * weight).T
