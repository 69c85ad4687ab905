"""Resection of a Gaussian tumour ``A exp(-r^2/(2 sigma^2))``. Lengths in mm."""

from __future__ import annotations

import math

from solvers.closed_forms.checks import at_least_zero, positive

__all__ = [
    "extent_of_resection",
    "gaussian_mass_left",
    "gaussian_visible_radius",
    "gaussian_visible_volume",
]


def gaussian_mass_left(cavity_radius: float, sigma: float) -> float:
    """Share of the cells outside a spherical cavity at the centre, [1].

    ``erfc(s) + 2 s/sqrt(pi) exp(-s^2)``, s = R/(sigma sqrt 2).

    Examples
    --------
    >>> round(gaussian_mass_left(10.0, 8.0), 9)
    0.667922261
    """
    at_least_zero(cavity_radius=cavity_radius)
    positive(sigma=sigma)
    s = cavity_radius / (sigma * math.sqrt(2.0))
    return math.erfc(s) + 2.0 * s / math.sqrt(math.pi) * math.exp(-s * s)


def gaussian_visible_radius(threshold: float, sigma: float, amplitude: float = 1.0) -> float:
    """Radius at which the density falls to a threshold, 0 where it is nowhere above, [mm].

    Examples
    --------
    >>> round(gaussian_visible_radius(0.8, 8.0), 6)
    5.344378
    """
    positive(threshold=threshold, sigma=sigma, amplitude=amplitude)
    if amplitude <= threshold:
        return 0.0
    return sigma * math.sqrt(2.0 * math.log(amplitude / threshold))


def gaussian_visible_volume(
    threshold: float, sigma: float, amplitude: float = 1.0, cavity_radius: float = 0.0
) -> float:
    """Volume above a threshold outside a spherical cavity at the centre, [mm3].

    Examples
    --------
    >>> round(gaussian_visible_volume(0.8, 8.0), 3)
    639.411
    """
    at_least_zero(cavity_radius=cavity_radius)
    radius = gaussian_visible_radius(threshold, sigma, amplitude)
    return 4.0 * math.pi / 3.0 * max(0.0, radius**3 - cavity_radius**3)


def extent_of_resection(before: float, after: float) -> float:
    """Extent of resection, ``1 - V_after/V_before``, [1].

    Sanai et al. 2011, J Neurosurg 115:3, doi 10.3171/2011.2.JNS10998.

    Examples
    --------
    >>> extent_of_resection(40.0, 4.0)
    0.9
    """
    positive(before=before)
    at_least_zero(after=after)
    return 1.0 - after / before
