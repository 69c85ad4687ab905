"""Isotropic linear elasticity: moduli, homogeneous strains, and migration damped by stress.

Stresses and moduli in kPa, strains dimensionless. Voigt order xx, yy, zz, yz, xz, xy
with tensor (not engineering) shear.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solvers.closed_forms.checks import at_least_zero, positive
from twin.errors import InvalidInput

__all__ = [
    "bulk_modulus",
    "damped_diffusivity",
    "energy_density",
    "hydrostatic_stress",
    "lame_lambda",
    "shear_modulus",
    "shear_stress",
    "stress_voigt",
    "uniaxial_strains",
    "von_mises",
]


def _check(young: float, poisson: float) -> None:
    positive(young=young)
    if not -1.0 < poisson < 0.5:
        raise InvalidInput(f"The Poisson ratio is {poisson!r}; it lies between -1 and 0.5.")


def lame_lambda(young: float, poisson: float) -> float:
    """First Lamé modulus, ``E nu/((1 + nu)(1 - 2 nu))``, [kPa].

    Examples
    --------
    >>> round(lame_lambda(0.694, 0.4), 9)
    0.991428571
    """
    _check(young, poisson)
    return young * poisson / ((1.0 + poisson) * (1.0 - 2.0 * poisson))


def shear_modulus(young: float, poisson: float) -> float:
    """Shear modulus, ``E/(2 (1 + nu))``, [kPa].

    Examples
    --------
    >>> round(shear_modulus(2.1, 0.45), 9)
    0.724137931
    """
    _check(young, poisson)
    return young / (2.0 * (1.0 + poisson))


def bulk_modulus(young: float, poisson: float) -> float:
    """Bulk modulus, ``E/(3 (1 - 2 nu))``, [kPa].

    Examples
    --------
    >>> round(bulk_modulus(0.694, 0.4), 9)
    1.156666667
    """
    _check(young, poisson)
    return young / (3.0 * (1.0 - 2.0 * poisson))


def uniaxial_strains(young: float, poisson: float, traction: float) -> NDArray[np.float64]:
    """Strains under a traction along x alone, ``(s, -nu s, -nu s)/E``, shape (3,).

    Examples
    --------
    >>> uniaxial_strains(2.0, 0.4, 0.02).round(9).tolist()
    [0.01, -0.004, -0.004]
    """
    _check(young, poisson)
    return traction / young * np.array([1.0, -poisson, -poisson])


def hydrostatic_stress(young: float, poisson: float, strain: float) -> float:
    """Stress under the same strain in every direction, ``3 K eps``, [kPa].

    Examples
    --------
    >>> round(hydrostatic_stress(2.0, 0.4, 0.01), 9)
    0.1
    """
    return 3.0 * bulk_modulus(young, poisson) * strain


def shear_stress(young: float, poisson: float, engineering_shear: float) -> float:
    """Stress of simple shear, ``G gamma``, [kPa].

    Examples
    --------
    >>> round(shear_stress(2.0, 0.4, 0.02), 9)
    0.014285714
    """
    return shear_modulus(young, poisson) * engineering_shear


def _stress(young: float, poisson: float, strain: ArrayLike) -> NDArray[np.float64]:
    tensor = np.asarray(strain, np.float64)
    if not (tensor.shape == (3, 3) and np.allclose(tensor, tensor.T, rtol=1e-12, atol=0.0)):
        raise InvalidInput("A strain is a symmetric tensor of shape (3, 3).")
    stretch = lame_lambda(young, poisson) * np.trace(tensor) * np.eye(3)
    return np.asarray(stretch + 2.0 * shear_modulus(young, poisson) * tensor)


def stress_voigt(young: float, poisson: float, strain: ArrayLike) -> NDArray[np.float64]:
    """Stress of a homogeneous strain, ``lambda tr(eps) I + 2 G eps``, [kPa], shape (6,).

    Parameters
    ----------
    strain : array_like, shape (3, 3)
        Symmetric.

    Examples
    --------
    >>> stress_voigt(2.0, 0.4, 0.01 * np.eye(3)).round(9).tolist()
    [0.1, 0.1, 0.1, 0.0, 0.0, 0.0]
    """
    s = _stress(young, poisson, strain)
    return s[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]


def energy_density(young: float, poisson: float, strain: ArrayLike) -> float:
    """Elastic energy of a volume, ``sigma : eps / 2``, [kPa].

    Examples
    --------
    >>> round(energy_density(2.0, 0.4, 0.01 * np.eye(3)), 9)
    0.0015
    """
    return float(0.5 * np.sum(_stress(young, poisson, strain) * np.asarray(strain, np.float64)))


def von_mises(stress: ArrayLike) -> float:
    """Von Mises stress of a stress in Voigt order, [kPa].

    Examples
    --------
    >>> von_mises([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])
    0.0
    """
    xx, yy, zz, yz, xz, xy = np.asarray(stress, np.float64)
    normal = (xx - yy) ** 2 + (yy - zz) ** 2 + (zz - xx) ** 2
    return math.sqrt(0.5 * normal + 3.0 * (yz**2 + xz**2 + xy**2))


def damped_diffusivity(diffusivity: float, coupling: float, stress: float) -> float:
    """Diffusivity under a von Mises stress, ``D0 exp(-gamma s)``, [mm2/day].

    Weis et al. 2013, Phys Med Biol 58:5851, doi 10.1088/0031-9155/58/17/5851.

    Parameters
    ----------
    coupling : float, [1/kPa]
    stress : float, [kPa]

    Examples
    --------
    >>> round(damped_diffusivity(0.14, 0.5, 1.2), 9)
    0.076833629
    """
    at_least_zero(diffusivity=diffusivity, coupling=coupling, stress=stress)
    return diffusivity * math.exp(-coupling * stress)
