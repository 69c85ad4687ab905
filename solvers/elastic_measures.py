"""Strain, stress and von Mises stress of each element, and their derivatives, as compiled loops.

Everything is plain arithmetic of float64 or complex128 arrays (for complex steps): no
absolute value, no comparison. Voigt order xx, yy, zz, yz, xz, xy with tensor shear.
"""

from __future__ import annotations

import numpy as np

from twin.compiled import compiled_sums

__all__ = ["LEAST_STRESS_KPA", "stress", "von_mises", "von_mises_vjp"]

#: The von Mises stress s is computed as ``sqrt(s^2 + LEAST_STRESS_KPA^2)``, so that it has
#: a derivative where there is no shear; what has no stress reads this.
LEAST_STRESS_KPA = 1e-9


@compiled_sums
def _strain(cell, cells, gradient, displacement, out):
    """Symmetric gradient of the displacement in one element, in Voigt order, into `out`."""
    for k in range(6):
        out[k] = 0.0
    for a in range(4):
        node = cells[cell, a]
        x, y, z = displacement[node, 0], displacement[node, 1], displacement[node, 2]
        gx, gy, gz = gradient[cell, a, 0], gradient[cell, a, 1], gradient[cell, a, 2]
        out[0] += gx * x
        out[1] += gy * y
        out[2] += gz * z
        out[3] += 0.5 * (gy * z + gz * y)
        out[4] += 0.5 * (gx * z + gz * x)
        out[5] += 0.5 * (gx * y + gy * x)


@compiled_sums
def stress(cells, gradient, first_lame, shear, displacement, growth):
    """Stress ``lambda tr(eps - eps*) I + 2 G (eps - eps*)``, [kPa], shape (cell, 6).

    Parameters
    ----------
    gradient : ndarray, [1/mm], shape (cell, 4, 3)
    first_lame, shear : ndarray, [kPa], shape (cell,)
    displacement : ndarray, [mm], shape (node, 3)
    growth : ndarray, [1], shape (cell,)
        Isotropic growth strain.
    """
    result = np.empty((cells.shape[0], 6), displacement.dtype)
    for cell in range(cells.shape[0]):
        strain = result[cell]
        _strain(cell, cells, gradient, displacement, strain)
        trace = strain[0] + strain[1] + strain[2] - 3.0 * growth[cell]
        for k in range(6):
            strain[k] *= 2.0 * shear[cell]
        for k in range(3):
            strain[k] += first_lame[cell] * trace - 2.0 * shear[cell] * growth[cell]
    return result


@compiled_sums
def von_mises(cells, gradient, shear, displacement, least):
    """Von Mises stress, [kPa], shape (cell,); growth in every direction alike has no share.

    With e the strain's deviator, ``sqrt(6 G^2 e:e + least^2)``.
    """
    result = np.empty(cells.shape[0], displacement.dtype)
    strain = np.empty(6, displacement.dtype)
    for cell in range(cells.shape[0]):
        _strain(cell, cells, gradient, displacement, strain)
        mean = (strain[0] + strain[1] + strain[2]) / 3.0
        square = 0.0 * mean
        for k in range(3):
            square += (strain[k] - mean) ** 2 + 2.0 * strain[3 + k] ** 2
        result[cell] = np.sqrt(6.0 * shear[cell] ** 2 * square + least**2)
    return result


@compiled_sums
def von_mises_vjp(cells, gradient, shear, displacement, least, bar):
    """Derivative of ``sum(bar * von_mises)`` by the displacement, shape (node, 3)."""
    result = np.zeros_like(displacement)
    strain = np.empty(6, displacement.dtype)
    for cell in range(cells.shape[0]):
        _strain(cell, cells, gradient, displacement, strain)
        mean = (strain[0] + strain[1] + strain[2]) / 3.0
        square = 0.0 * mean
        for k in range(3):
            strain[k] -= mean
            square += strain[k] ** 2 + 2.0 * strain[3 + k] ** 2
        stiff = 6.0 * shear[cell] ** 2
        scale = bar[cell] * stiff / np.sqrt(stiff * square + least**2)
        for a in range(4):
            node = cells[cell, a]
            gx, gy, gz = gradient[cell, a, 0], gradient[cell, a, 1], gradient[cell, a, 2]
            result[node, 0] += scale * (strain[0] * gx + strain[5] * gy + strain[4] * gz)
            result[node, 1] += scale * (strain[5] * gx + strain[1] * gy + strain[3] * gz)
            result[node, 2] += scale * (strain[4] * gx + strain[3] * gy + strain[2] * gz)
    return result
