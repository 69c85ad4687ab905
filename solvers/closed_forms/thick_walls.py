"""Lamé's thick-walled sphere and cylinder under pressure.

Timoshenko and Goodier, Theory of Elasticity, 3rd ed. 1970, sections 28 and 136. Inner
radius a, outer radius b, pressures inside and outside, [kPa] and [mm].
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from twin.errors import InvalidInput

__all__ = ["RadialState", "cylinder_under_pressure", "sphere_under_pressure"]


@dataclass(frozen=True, slots=True)
class RadialState:
    """Radial displacement [mm] and the principal stresses [kPa] at one radius."""

    displacement: float
    radial: float
    hoop: float
    axial: float

    @property
    def von_mises(self) -> float:
        """Von Mises stress, [kPa]."""
        r, t, z = self.radial, self.hoop, self.axial
        return math.sqrt(0.5 * ((r - t) ** 2 + (t - z) ** 2 + (z - r) ** 2))


def _check(a: float, b: float, r: float, young: float, poisson: float) -> None:
    if not 0.0 < a <= r <= b < math.inf:
        raise InvalidInput(
            f"r is {r!r} mm; it lies between the inner radius {a!r} and the outer radius {b!r} mm."
        )
    if not (0.0 < young < math.inf and -1.0 < poisson < 0.5):
        raise InvalidInput(
            f"E is {young!r} kPa and nu {poisson!r}; E is above 0, nu between -1 and 0.5."
        )


def sphere_under_pressure(
    r: float,
    *,
    young: float,
    poisson: float,
    inner_radius: float,
    outer_radius: float,
    inner_pressure: float,
    outer_pressure: float = 0.0,
) -> RadialState:
    """Displacement and stresses in a thick-walled sphere at radius `r`.

    Examples
    --------
    >>> at = sphere_under_pressure(
    ...     10.0, young=2.0, poisson=0.4, inner_radius=10.0, outer_radius=30.0, inner_pressure=0.1
    ... )
    >>> round(at.hoop, 9), round(at.radial, 9)
    (0.055769231, -0.1)
    """
    a, b = inner_radius, outer_radius
    _check(a, b, r, young, poisson)
    wall = b**3 - a**3
    even = (inner_pressure * a**3 - outer_pressure * b**3) / wall
    uneven = (inner_pressure - outer_pressure) * a**3 * b**3 / wall / r**3
    radial, hoop = even - uneven, even + 0.5 * uneven
    strain = ((1.0 - poisson) * hoop - poisson * radial) / young
    return RadialState(r * strain, radial, hoop, hoop)


def cylinder_under_pressure(
    r: float,
    *,
    young: float,
    poisson: float,
    inner_radius: float,
    outer_radius: float,
    inner_pressure: float,
    outer_pressure: float = 0.0,
) -> RadialState:
    """Displacement and stresses in a thick-walled cylinder in plane strain at radius `r`.

    Examples
    --------
    >>> at = cylinder_under_pressure(
    ...     10.0, young=2.0, poisson=0.4, inner_radius=10.0, outer_radius=30.0, inner_pressure=0.1
    ... )
    >>> round(at.displacement, 9)
    0.805
    """
    a, b = inner_radius, outer_radius
    _check(a, b, r, young, poisson)
    wall = b**2 - a**2
    even = (inner_pressure * a**2 - outer_pressure * b**2) / wall
    uneven = (inner_pressure - outer_pressure) * a**2 * b**2 / wall / r**2
    radial, hoop = even - uneven, even + uneven
    axial = poisson * (radial + hoop)
    strain = (hoop - poisson * (radial + axial)) / young
    return RadialState(r * strain, radial, hoop, axial)
