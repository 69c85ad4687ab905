"""A ball that grows from within: isotropic growth strain ``g u(r)``, outside free or held.

The thermo-elastic solution with ``alpha T`` for ``g u`` (Timoshenko and Goodier, Theory
of Elasticity, 3rd ed. 1970, section 152). Lengths in mm, stresses in kPa.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from scipy.integrate import quad

from solvers.closed_forms.thick_walls import RadialState
from twin.errors import InvalidInput

__all__ = ["gaussian_moment", "growing_ball", "moment_of"]


def gaussian_moment(r: float, width: float) -> float:
    """``int_0^r exp(-s^2/w^2) s^2 ds``, [mm3].

    Examples
    --------
    >>> round(gaussian_moment(1e3, 2.0), 9)  # sqrt(pi)/4 w^3
    3.544907702
    """
    s = r / width
    if s < 0.05:  # the series, where the closed form cancels
        return r**3 * (1 / 3 - s**2 / 5 + s**4 / 14 - s**6 / 54 + s**8 / 264)
    return width**3 * (math.sqrt(math.pi) / 4.0 * math.erf(s) - 0.5 * s * math.exp(-s * s))


def moment_of(density: Callable[[float], float]) -> Callable[[float], float]:
    """``int_0^r u(s) s^2 ds`` of any density, as a function of r in mm, to 1e-12 of itself.

    Examples
    --------
    >>> round(moment_of(lambda s: 1.0)(3.0), 9)
    9.0
    """
    return lambda r: float(
        quad(lambda s: density(s) * s * s, 0.0, r, epsabs=0.0, epsrel=1e-12, limit=200)[0]
    )


def growing_ball(
    r: float,
    *,
    young: float,
    poisson: float,
    radius: float,
    growth_strain: float,
    density: Callable[[float], float],
    moment: Callable[[float], float] | None = None,
    outside: str = "free",
) -> RadialState:
    """Displacement and stresses at distance `r` from the centre of the ball.

    Parameters
    ----------
    growth_strain : float, [1]
        Strain g where the density is 1.
    density : callable
        Density u at a distance [mm] from the centre.
    moment : callable or None
        Its integral with s^2, where it is known; taken numerically if None.
    outside : {"free", "clamped"}

    Examples
    --------
    >>> at = growing_ball(
    ...     5.0, young=2.0, poisson=0.4, radius=40.0, growth_strain=0.05,
    ...     density=lambda s: math.exp(-s * s / 128.0),
    ... )
    >>> round(at.displacement, 9)
    0.17484113
    """
    if outside not in ("free", "clamped"):
        raise InvalidInput(f"The outside is {outside!r}; it may be 'free' or 'clamped'.")
    if not (0.0 <= r <= radius < math.inf and radius > 0.0):
        raise InvalidInput(f"r is {r!r} mm; it lies between 0 and the radius of {radius!r} mm.")
    if not (0.0 < young < math.inf and -1.0 < poisson < 0.5):
        raise InvalidInput(
            f"E is {young!r} kPa and nu {poisson!r}; E is above 0, nu between -1 and 0.5."
        )
    integral = moment or moment_of(density)
    g, nu = growth_strain, poisson
    whole = integral(radius) / radius**3
    mean = integral(r) / r**3 if r > 0.0 else density(0.0) / 3.0
    if outside == "free":
        stretch = 2.0 * (1.0 - 2.0 * nu) / (1.0 - nu) * g * whole
    else:
        stretch = -(1.0 + nu) / (1.0 - nu) * g * whole
    displacement = r * ((1.0 + nu) / (1.0 - nu) * g * mean + stretch)
    even = young / (1.0 - 2.0 * nu) * stretch
    radial = even - 2.0 * young * g / (1.0 - nu) * mean
    hoop = even + young * g / (1.0 - nu) * (mean - density(r))
    return RadialState(displacement, radial, hoop, hoop)
