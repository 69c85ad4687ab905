"""What is measured of a state, with derivatives by every node."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from solvers.adjoint.kernels import cut_slopes

__all__ = ["Measures"]


@dataclass(frozen=True, slots=True)
class Measures:
    """Softened and hard volumes above thresholds, and their derivatives.

    Parameters
    ----------
    cells : ndarray, shape (cell, 4)
        Active elements.
    volume : ndarray, [mm3], shape (cell,)
    mass : ndarray, [mm3], shape (node,)
    levels : tuple of float, [1]
    softness : float, [1]
    """

    cells: NDArray[np.int32]
    volume: NDArray[np.float64]
    mass: NDArray[np.float64]
    levels: tuple[float, ...]
    softness: float

    def soft(self, density: NDArray) -> NDArray:
        """Softened volumes, [mm3], shape (threshold,); `volumes.softened_visibility`, exactly."""
        return np.array([self.mass @ self._visibility(density, level) for level in self.levels])

    def _visibility(self, density: NDArray, level: float) -> NDArray:
        none = ndtr(-level / self.softness)
        return (ndtr((density - level) / self.softness) - none) / (1.0 - none)

    def soft_slope(self, density: NDArray, bars: NDArray) -> NDArray:
        """Derivative of the weighted sum of the softened volumes by every node."""
        total = np.zeros_like(density)
        for level, bar in zip(self.levels, bars, strict=True):
            z = (density - level) / self.softness
            height = 1.0 / (math.sqrt(2.0 * math.pi) * self.softness)
            height /= 1.0 - ndtr(-level / self.softness)
            total = total + bar * height * np.exp(-0.5 * z * z)
        return self.mass * total

    def hard(self, density: NDArray) -> NDArray:
        """Volumes above the thresholds, cut exactly inside elements, [mm3], shape (threshold,)."""
        spare = np.zeros_like(density)
        return np.array(
            [cut_slopes(self.cells, self.volume, density, t, 0.0, spare) for t in self.levels]
        )

    def hard_slope(self, density: NDArray, bars: NDArray) -> NDArray:
        """Derivative of the weighted sum of the hard volumes by every node."""
        total = np.zeros(density.shape, np.result_type(density, bars))
        for level, bar in zip(self.levels, bars, strict=True):
            cut_slopes(self.cells, self.volume, density, level, bar, total)
        return total
