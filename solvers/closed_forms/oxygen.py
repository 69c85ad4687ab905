"""Oxygen where it diffuses and is used: spheroid, slab, cylinder, ball, tissue around a vessel.

Zero-order use M [mmHg/s] (Thomlinson and Gray 1955, Br J Cancer 9:539, doi
10.1038/bjc.1955.55; Krogh 1919, J Physiol 52:409, doi 10.1113/jphysiol.1919.sp001839
[unverified]) or first-order use k p, k in 1/s. D in mm2/s, pressures in mmHg, lengths
in mm.
"""

from __future__ import annotations

import math

from scipy.optimize import brentq
from scipy.special import iv

from solvers.closed_forms.checks import at_least_zero, positive
from twin.errors import InvalidInput

__all__ = [
    "critical_radius",
    "critical_slab_half_width",
    "diffusion_length",
    "first_order_ball",
    "first_order_cylinder",
    "first_order_slab",
    "krogh_cylinder",
    "necrotic_radius",
    "spheroid_pressure",
    "zero_order_slab",
]


def critical_radius(pressure: float, consumption: float, diffusivity: float) -> float:
    """Radius of the largest spheroid without an anoxic core, ``sqrt(6 D p0/M)``, [mm].

    Examples
    --------
    >>> round(critical_radius(40.0, 15.0, 0.002), 6)
    0.178885
    """
    positive(pressure=pressure, consumption=consumption, diffusivity=diffusivity)
    return math.sqrt(6.0 * diffusivity * pressure / consumption)


def necrotic_radius(
    pressure: float, consumption: float, diffusivity: float, radius: float
) -> float:
    """Radius of the anoxic core of a spheroid, 0 where there is none, [mm].

    Where p and dp/dr vanish together:
    ``p0 = M/(6D) (R^2 - 3 r_n^2 + 2 r_n^3/R)``.

    Examples
    --------
    >>> round(necrotic_radius(40.0, 15.0, 0.002, 0.5), 6)
    0.388024
    """
    positive(radius=radius)
    critical = critical_radius(pressure, consumption, diffusivity)
    if radius <= critical:
        return 0.0
    ratio = (critical / radius) ** 2
    # 1 - 3 s^2 + 2 s^3 falls from 1 to 0 for s = r_n/R from 0 to 1
    share = brentq(
        lambda s: (1.0 - s) ** 2 * (1.0 + 2.0 * s) - ratio, 0.0, 1.0, xtol=1e-15, rtol=1e-14
    )
    return radius * float(share)


def spheroid_pressure(
    r: float, pressure: float, consumption: float, diffusivity: float, radius: float
) -> float:
    """Oxygen at distance `r` from the centre of a spheroid in a medium of `pressure`, [mmHg].

    ``p0 - M/(6D) (R^2 - r^2)`` without, and with another ``-2 r_n^3 (1/r - 1/R)`` in the
    bracket outside, an anoxic core of radius r_n; 0 inside it.

    Examples
    --------
    >>> round(spheroid_pressure(0.1, 40.0, 15.0, 0.002, 0.15), 9)
    24.375
    """
    at_least_zero(r=r)
    if not r <= radius:
        raise InvalidInput(f"r is {r!r} mm; it lies inside the radius of {radius:g} mm.")
    core = necrotic_radius(pressure, consumption, diffusivity, radius)
    if r <= core:
        return 0.0 if core > 0.0 else pressure - consumption * radius**2 / (6.0 * diffusivity)
    bracket = radius**2 - r**2
    if core > 0.0:
        bracket -= 2.0 * core**3 * (1.0 / r - 1.0 / radius)
    return pressure - consumption / (6.0 * diffusivity) * bracket


def critical_slab_half_width(pressure: float, consumption: float, diffusivity: float) -> float:
    """Half width of the thickest slab without an anoxic middle, ``sqrt(2 D p0/M)``, [mm].

    Examples
    --------
    >>> round(critical_slab_half_width(40.0, 15.0, 0.002), 6)
    0.10328
    """
    positive(pressure=pressure, consumption=consumption, diffusivity=diffusivity)
    return math.sqrt(2.0 * diffusivity * pressure / consumption)


def zero_order_slab(
    x: float, pressure: float, consumption: float, diffusivity: float, half_width: float
) -> float:
    """Oxygen at distance `x` from the middle of a slab, ``p0 - M (h^2 - x^2)/(2D)``, [mmHg].

    With an anoxic middle ``p0 (1 - (h - |x|)/depth)^2`` to the depth ``sqrt(2 D p0/M)``.

    Examples
    --------
    >>> round(zero_order_slab(0.0, 40.0, 15.0, 0.002, 0.1), 6)
    2.5
    """
    depth = critical_slab_half_width(pressure, consumption, diffusivity)
    if half_width <= depth:
        return pressure - consumption * (half_width**2 - x**2) / (2.0 * diffusivity)
    return pressure * max(0.0, 1.0 - (half_width - abs(x)) / depth) ** 2


def diffusion_length(rate: float, diffusivity: float) -> float:
    """Length over which first-order use lets oxygen fall by e, ``sqrt(D/k)``, [mm].

    Examples
    --------
    >>> round(diffusion_length(0.5, 0.002), 6)
    0.063246
    """
    positive(rate=rate, diffusivity=diffusivity)
    return math.sqrt(diffusivity / rate)


def first_order_slab(
    x: float, pressure: float, rate: float, diffusivity: float, half_width: float
) -> float:
    """Oxygen in a slab with first-order use, ``p0 cosh(phi x)/cosh(phi h)``, [mmHg].

    Examples
    --------
    >>> round(first_order_slab(0.0, 40.0, 0.5, 0.002, 0.1), 6)
    15.790839
    """
    length = diffusion_length(rate, diffusivity)
    return pressure * math.cosh(x / length) / math.cosh(half_width / length)


def first_order_cylinder(
    r: float, pressure: float, rate: float, diffusivity: float, radius: float
) -> float:
    """Oxygen in a cylinder with first-order use, ``p0 I0(phi r)/I0(phi R)``, [mmHg].

    Examples
    --------
    >>> first_order_cylinder(0.1, 40.0, 0.5, 0.002, 0.1)
    40.0
    """
    length = diffusion_length(rate, diffusivity)
    return pressure * float(iv(0, r / length) / iv(0, radius / length))


def first_order_ball(
    r: float, pressure: float, rate: float, diffusivity: float, radius: float
) -> float:
    """Oxygen in a ball with first-order use, ``p0 R sinh(phi r)/(r sinh(phi R))``, [mmHg].

    Examples
    --------
    >>> round(first_order_ball(0.1, 40.0, 0.5, 0.002, 0.1), 9)
    40.0
    """
    length = diffusion_length(rate, diffusivity)
    inner = 1.0 / length if r == 0.0 else math.sinh(r / length) / r
    return pressure * radius * inner / math.sinh(radius / length)


def krogh_cylinder(
    r: float,
    pressure: float,
    consumption: float,
    diffusivity: float,
    vessel_radius: float,
    tissue_radius: float,
) -> float:
    """Oxygen around a vessel that serves a cylinder of tissue, zero-order use, [mmHg].

    ``p_v + M/(4D) (r^2 - r_v^2) - M R^2/(2D) ln(r/r_v)``, no flux at R; where nothing
    is anoxic.

    Examples
    --------
    >>> krogh_cylinder(0.005, 40.0, 15.0, 0.002, 0.005, 0.05)
    40.0
    """
    positive(vessel_radius=vessel_radius, consumption=consumption, diffusivity=diffusivity)
    if not vessel_radius <= r <= tissue_radius:
        raise InvalidInput(
            f"r is {r!r} mm; it lies between the vessel's {vessel_radius:g} mm and the tissue's "
            f"{tissue_radius:g} mm."
        )
    return (
        pressure
        + consumption / (4.0 * diffusivity) * (r**2 - vessel_radius**2)
        - consumption * tissue_radius**2 / (2.0 * diffusivity) * math.log(r / vessel_radius)
    )
