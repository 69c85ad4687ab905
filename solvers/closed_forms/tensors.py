"""Diffusion tensors: mean diffusivity, anisotropy, migration along fibres, interpolation.

Basser and Pierpaoli 1996, J Magn Reson B 111:209, doi 10.1006/jmrb.1996.0086; Jbabdi et
al. 2005, Magn Reson Med 54:616, doi 10.1002/mrm.20625; Arsigny et al. 2006, Magn Reson
Med 56:411, doi 10.1002/mrm.20965. Tensors of shape (3, 3), Voigt order xx, yy, zz, yz,
xz, xy.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solvers.closed_forms.checks import positive
from twin.errors import InvalidInput

__all__ = [
    "fractional_anisotropy",
    "log_euclidean",
    "mean_diffusivity",
    "migration_tensor",
    "sharpened",
    "voigt",
]


def _tensor(values: ArrayLike) -> NDArray[np.float64]:
    tensor = np.asarray(values, np.float64)
    if not (tensor.shape == (3, 3) and np.isfinite(tensor).all()):
        raise InvalidInput(f"A tensor is finite and of shape (3, 3), not {tensor.shape}.")
    if not np.allclose(tensor, tensor.T, rtol=1e-9, atol=0.0):
        raise InvalidInput("A diffusion tensor is symmetric; this one is not.")
    return tensor


def _positive_definite(values: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    value, vector = np.linalg.eigh(_tensor(values))
    if not value[0] > 0.0:
        raise InvalidInput(f"The tensor has the eigenvalue {value[0]:.3g}; all must be above 0.")
    return value, vector


def voigt(tensor: ArrayLike) -> NDArray[np.float64]:
    """The tensor as xx, yy, zz, yz, xz, xy, shape (6,).

    Examples
    --------
    >>> voigt([[1, 6, 5], [6, 2, 4], [5, 4, 3]]).tolist()
    [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    """
    return _tensor(tensor)[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]


def mean_diffusivity(tensor: ArrayLike) -> float:
    """A third of the trace, in the tensor's unit.

    Examples
    --------
    >>> mean_diffusivity(np.diag([3.0, 2.0, 1.0]))
    2.0
    """
    return float(np.trace(_tensor(tensor)) / 3.0)


def fractional_anisotropy(tensor: ArrayLike) -> float:
    """Fractional anisotropy, 0 where isotropic and 1 along a line, [1].

    Examples
    --------
    >>> fractional_anisotropy(np.eye(3)), fractional_anisotropy(np.diag([1.0, 0.0, 0.0]))
    (0.0, 1.0)
    """
    matrix = _tensor(tensor)
    norm = float(np.sum(matrix**2))
    if not norm > 0.0:
        raise InvalidInput("The tensor is zero; it has no anisotropy.")
    off = matrix - np.trace(matrix) / 3.0 * np.eye(3)
    return min(1.0, math.sqrt(1.5 * float(np.sum(off**2)) / norm))


def migration_tensor(tensor: ArrayLike, diffusivity: float) -> NDArray[np.float64]:
    """Migration with the direction of water and a diffusivity of its own, ``D T/(tr T/3)``.

    Examples
    --------
    >>> migration_tensor(np.diag([2.0, 1.0, 0.0]), 0.65).diagonal().tolist()
    [1.3, 0.65, 0.0]
    """
    mean = mean_diffusivity(tensor)
    if not mean > 0.0:
        raise InvalidInput(f"The mean diffusivity is {mean!r}; it must be above 0.")
    return diffusivity * _tensor(tensor) / mean


def sharpened(tensor: ArrayLike, power: float) -> NDArray[np.float64]:
    """The tensor with its eigenvalues raised to `power`, scaled back to its own trace.

    Examples
    --------
    >>> sharpened(np.diag([2.0, 1.0, 1.0]), 2.0).diagonal().round(6).tolist()
    [2.666667, 0.666667, 0.666667]
    """
    positive(power=power)
    value, vector = _positive_definite(tensor)
    raised = (value / value[-1]) ** power
    return np.asarray((vector * (raised * value.sum() / raised.sum())) @ vector.T)


def log_euclidean(first: ArrayLike, second: ArrayLike, weight: float = 0.5) -> NDArray[np.float64]:
    """Interpolation of two tensors, ``exp((1 - w) log T1 + w log T2)``, in their unit.

    Examples
    --------
    >>> log_euclidean(np.eye(3), 4.0 * np.eye(3)).diagonal().round(9).tolist()
    [2.0, 2.0, 2.0]
    """
    total = np.zeros((3, 3))
    for tensor, share in ((first, 1.0 - weight), (second, weight)):
        value, vector = _positive_definite(tensor)
        total += share * (vector * np.log(value)) @ vector.T
    value, vector = np.linalg.eigh(total)
    return np.asarray((vector * np.exp(value)) @ vector.T)
