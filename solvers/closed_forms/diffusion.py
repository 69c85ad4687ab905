"""Diffusion in free space: the heat kernel, with growth, in one to three dimensions.

Standard results (Crank, The Mathematics of Diffusion, 2nd ed. 1975). D in mm2/day, times in
days, lengths in mm; a mass has the unit of a density times mm^dimension.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solvers.closed_forms.checks import positive
from twin.errors import InvalidInput

__all__ = ["anisotropic_kernel", "gaussian_spread", "heat_kernel", "visible_radius"]


def heat_kernel(
    radius: ArrayLike,
    time: float,
    diffusivity: float,
    *,
    dimension: int = 3,
    mass: float = 1.0,
    rate: float = 0.0,
) -> NDArray[np.float64]:
    """Density around a point source, ``M (4 pi D t)^(-d/2) exp(rho t - r^2/(4 D t))``.

    Parameters
    ----------
    radius : array_like, [mm], any shape
    time : float, [day]
    diffusivity : float, [mm2/day]
    mass : float
        Integral of the density at the beginning.
    rate : float, [1/day]
        Exponential growth.

    Examples
    --------
    >>> round(float(heat_kernel(0.0, 10.0, 0.2, dimension=1)), 9)
    0.19947114
    """
    positive(time=time, diffusivity=diffusivity)
    if dimension not in (1, 2, 3):
        raise InvalidInput(f"The dimension is {dimension!r}; it may be 1, 2 or 3.")
    spread = 4.0 * diffusivity * time
    distance = np.asarray(radius, np.float64)
    peak = mass * (math.pi * spread) ** (-0.5 * dimension)
    return np.asarray(peak * np.exp(rate * time - distance**2 / spread))


def gaussian_spread(
    radius: ArrayLike,
    time: float,
    diffusivity: float,
    *,
    sigma: float,
    amplitude: float = 1.0,
    dimension: int = 3,
    rate: float = 0.0,
) -> NDArray[np.float64]:
    """A Gaussian after diffusion: ``sigma^2`` grows by ``2 D t``, the mass is kept.

    Parameters
    ----------
    radius : array_like, [mm], any shape
    sigma : float, [mm]
        Standard deviation at time 0, where its peak is `amplitude`.

    Examples
    --------
    >>> round(float(gaussian_spread(4.0, 10.0, 0.2, sigma=2.0)), 9)
    0.130065024
    """
    positive(sigma=sigma, diffusivity=diffusivity)
    variance = sigma**2 + 2.0 * diffusivity * time
    peak = amplitude * (sigma**2 / variance) ** (0.5 * dimension)
    distance = np.asarray(radius, np.float64)
    return np.asarray(peak * np.exp(rate * time - 0.5 * distance**2 / variance))


def anisotropic_kernel(
    position: ArrayLike,
    time: float,
    tensor: ArrayLike,
    *,
    mass: float = 1.0,
    rate: float = 0.0,
) -> NDArray[np.float64]:
    """Density around a point source in an anisotropic medium.

    ``M (4 pi t)^(-3/2) det(D)^(-1/2) exp(rho t - x D^-1 x / (4 t))``.

    Parameters
    ----------
    position : array_like, [mm], shape (..., 3)
    tensor : array_like, [mm2/day], shape (3, 3)
        Symmetric and positive definite.

    Examples
    --------
    >>> at = anisotropic_kernel([2.0, 1.0, 0.5], 20.0, [[0.5, 0.1, 0], [0.1, 0.2, 0], [0, 0, 0.1]])
    >>> round(float(at), 9)
    0.002262874
    """
    positive(time=time)
    matrix = np.asarray(tensor, np.float64)
    if not (matrix.shape == (3, 3) and np.linalg.eigvalsh(0.5 * (matrix + matrix.T))[0] > 0.0):
        raise InvalidInput("The tensor must be of shape (3, 3) and positive definite.")
    x = np.asarray(position, np.float64)
    square = np.einsum("...i,ij,...j->...", x, np.linalg.inv(matrix), x)
    peak = mass * (4.0 * math.pi * time) ** -1.5 / math.sqrt(float(np.linalg.det(matrix)))
    return np.asarray(peak * np.exp(rate * time - square / (4.0 * time)))


def visible_radius(
    time: float,
    diffusivity: float,
    rate: float,
    *,
    mass: float,
    threshold: float,
    dimension: int = 3,
) -> float:
    """Radius at which a growing point source falls to a visible density, [mm].

    0 where even its centre is below. Skellam 1951, Biometrika 38:196, doi
    10.1093/biomet/38.1-2.196.

    Parameters
    ----------
    threshold : float
        Visible density, in the unit of the density.

    Examples
    --------
    >>> round(visible_radius(100.0, 0.2, 0.03, mass=1000.0, threshold=0.16), 6)
    16.613734
    """
    positive(threshold=threshold, mass=mass)
    centre = float(heat_kernel(0.0, time, diffusivity, dimension=dimension, mass=mass, rate=rate))
    above = math.log(centre / threshold)
    return math.sqrt(4.0 * diffusivity * time * above) if above > 0.0 else 0.0
