"""Travelling waves of Fisher's equation ``u_t = D u_xx + rho u (1 - u)``, and critical sizes.

Fisher 1937, Ann Eugen 7:355, doi 10.1111/j.1469-1809.1937.tb02153.x; Kolmogorov,
Petrovsky and Piskunov 1937. D in mm2/day, rho in 1/day, lengths in mm.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.integrate import solve_ivp
from scipy.special import jn_zeros

from solvers.closed_forms.checks import positive
from twin.errors import InvalidInput

__all__ = [
    "ablowitz_zeppetella",
    "ablowitz_zeppetella_speed",
    "bramson_speed",
    "critical_ball_radius",
    "critical_box_rate",
    "critical_cylinder_radius",
    "critical_slab_width",
    "growth_from_rims",
    "leading_edge_length",
    "rim_distance",
    "tail_decay",
    "wave_speed",
    "wave_speed_of_tail",
]

#: Where the integration along the wave begins: 1 - u. The error it makes is of its square.
_START = 1e-7


def wave_speed(diffusivity: float, rate: float) -> float:
    """Least speed of a front, ``2 sqrt(D rho)``, [mm/day].

    Examples
    --------
    >>> round(wave_speed(0.65, 0.012), 6)
    0.176635
    """
    positive(diffusivity=diffusivity, rate=rate)
    return 2.0 * math.sqrt(diffusivity * rate)


def leading_edge_length(diffusivity: float, rate: float) -> float:
    """Length over which the slowest front falls by e ahead of it, ``sqrt(D/rho)``, [mm].

    Examples
    --------
    >>> leading_edge_length(0.25, 0.01)
    5.0
    """
    positive(diffusivity=diffusivity, rate=rate)
    return math.sqrt(diffusivity / rate)


def bramson_speed(diffusivity: float, rate: float, time: float, dimension: int = 1) -> float:
    """Speed of a front from a compact seed at a late time, [mm/day].

    ``2 sqrt(D rho) - ((d + 2)/2) sqrt(D/rho) / t``: 3/2 on a line (Bramson 1983, Mem Am
    Math Soc 44:285, doi 10.1090/memo/0285), another ``(d - 1)/2`` from the curvature of
    a front in d dimensions (Gärtner 1982, Math Nachr 105:317, doi
    10.1002/mana.19821050117) [unverified].

    Examples
    --------
    >>> round(bramson_speed(0.14, 0.03, 200.0), 6)
    0.113413
    """
    positive(time=time)
    if dimension not in (1, 2, 3):
        raise InvalidInput(f"The dimension is {dimension!r}; it may be 1, 2 or 3.")
    lag = 0.5 * (dimension + 2) * leading_edge_length(diffusivity, rate) / time
    return wave_speed(diffusivity, rate) - lag


def ablowitz_zeppetella(
    position: ArrayLike, time: float, diffusivity: float, rate: float
) -> NDArray[np.float64]:
    """Density of an exact travelling wave, ``(1 + exp(z/sqrt 6))^-2``, [1], shape of `position`.

    ``z = x sqrt(rho/D) - (5/sqrt 6) rho t`` (Ablowitz and Zeppetella 1979, Bull Math
    Biol 41:835, doi 10.1007/BF02462380).

    Parameters
    ----------
    position : array_like, [mm], any shape
    time : float, [day]

    Examples
    --------
    >>> float(ablowitz_zeppetella(0.0, 0.0, 0.14, 0.03))
    0.25
    """
    positive(diffusivity=diffusivity, rate=rate)
    z = np.asarray(position, np.float64) * math.sqrt(rate / diffusivity)
    z = z - 5.0 / math.sqrt(6.0) * rate * time
    return np.asarray((1.0 + np.exp(z / math.sqrt(6.0))) ** -2)


def ablowitz_zeppetella_speed(diffusivity: float, rate: float) -> float:
    """Speed of that wave, ``(5/sqrt 6) sqrt(D rho)``, [mm/day].

    Examples
    --------
    >>> round(ablowitz_zeppetella_speed(0.14, 0.03), 6)
    0.132288
    """
    positive(diffusivity=diffusivity, rate=rate)
    return 5.0 / math.sqrt(6.0) * math.sqrt(diffusivity * rate)


def rim_distance(inner: float, outer: float, diffusivity: float = 1.0, rate: float = 1.0) -> float:
    """Distance between two densities on the slowest settled flat front, [mm].

    By integrating ``p dp/du = 2 p - u (1 - u)``, p = -du/dx, from u = 1 along the wave
    of speed 2 in units of ``sqrt(D/rho)``.

    Parameters
    ----------
    inner, outer : float, [1]
        Densities, ``0 < outer < inner < 1``.

    Examples
    --------
    >>> round(rim_distance(0.80, 0.16), 5)
    6.10605
    """
    if not _START < 1.0 - inner < 1.0 - outer < 1.0:
        raise InvalidInput(
            f"The densities are {inner!r} and {outer!r}; they must lie between 0 and 1, the inner "
            "one above the outer one."
        )
    length = leading_edge_length(diffusivity, rate)
    return length * (_place_on_wave(outer) - _place_on_wave(inner))


@functools.lru_cache(maxsize=64)
def _place_on_wave(density: float) -> float:
    """Where the wave of speed 2 has this density, in units of sqrt(D/rho); u = 1 - 1e-7 is at 1."""
    steep = math.sqrt(2.0) - 1.0  # root of lambda^2 + 2 lambda - 1 = 0: the way out of u = 1
    # p = steep w + curve w^2 + ... with w = 1 - u solves p p' = -2 p + w - w^2
    curve = -1.0 / (3.0 * steep + 2.0)

    def slope(log_w: float, state: NDArray[np.float64]) -> list[float]:
        w = math.exp(log_w)
        p = state[0]
        return [w * (-2.0 * p + w * (1.0 - w)) / p, w / p]

    end = solve_ivp(
        slope,
        (math.log(_START), math.log1p(-density)),
        [steep * _START + curve * _START**2, 1.0],
        method="DOP853",
        rtol=1e-12,
        atol=0.0,
    )
    return float(end.y[1, -1])


def growth_from_rims(
    gap: float, speed: float, inner: float = 0.80, outer: float = 0.16
) -> tuple[float, float]:
    """Diffusivity [mm2/day] and proliferation rate [1/day] of a settled flat front.

    The rims' gap gives ``D/rho``, their speed gives ``D rho``.

    Parameters
    ----------
    gap : float, [mm]
        Distance between the rims of the densities `inner` and `outer`.
    speed : float, [mm/day]

    Examples
    --------
    >>> d, rho = growth_from_rims(rim_distance(0.8, 0.16, 0.14, 0.03), wave_speed(0.14, 0.03))
    >>> round(d, 9), round(rho, 9)
    (0.14, 0.03)
    """
    positive(gap=gap, speed=speed)
    length = gap / rim_distance(inner, outer)
    return 0.5 * speed * length, 0.5 * speed / length


def tail_decay(speed: float, diffusivity: float, rate: float) -> float:
    """Decay a of the tail ``exp(-a x)`` of a front of this speed, [1/mm].

    The smaller root of ``D a^2 - c a + rho = 0``; ``sqrt(rho/D)`` at the least speed.

    Examples
    --------
    >>> round(tail_decay(2.5, 1.0, 1.0), 6)
    0.5
    """
    least = wave_speed(diffusivity, rate)
    if not speed >= least * (1.0 - 1e-12):
        raise InvalidInput(f"The speed is {speed!r} mm/day; a front moves at {least:.6g} at least.")
    root = math.sqrt(max(speed * speed - least * least, 0.0))
    return 2.0 * rate / (speed + root)  # the smaller root, without cancellation


def wave_speed_of_tail(decay: float, diffusivity: float, rate: float) -> float:
    """Speed of the front that grows out of a tail ``exp(-a x)``, [mm/day].

    ``D a + rho/a`` for a below ``sqrt(rho/D)``, else the least speed.

    Examples
    --------
    >>> wave_speed_of_tail(0.5, 1.0, 1.0)
    2.5
    """
    positive(decay=decay)
    least = wave_speed(diffusivity, rate)
    if decay >= math.sqrt(rate / diffusivity):
        return least
    return diffusivity * decay + rate / decay


def critical_slab_width(diffusivity: float, rate: float) -> float:
    """Width below which a slab with zero density at both sides dies out, [mm].

    ``pi sqrt(D/rho)`` (Skellam 1951, Biometrika 38:196, doi 10.1093/biomet/38.1-2.196).

    Examples
    --------
    >>> round(critical_slab_width(0.14, 0.03), 6)
    6.786616
    """
    return math.pi * leading_edge_length(diffusivity, rate)


def critical_cylinder_radius(diffusivity: float, rate: float) -> float:
    """Radius below which a long cylinder dies out, ``j_0,1 sqrt(D/rho)``, [mm].

    Examples
    --------
    >>> round(critical_cylinder_radius(1.0, 1.0), 6)
    2.404826
    """
    return float(jn_zeros(0, 1)[0]) * leading_edge_length(diffusivity, rate)


def critical_ball_radius(diffusivity: float, rate: float) -> float:
    """Radius below which a ball dies out, ``pi sqrt(D/rho)``, [mm].

    Examples
    --------
    >>> round(critical_ball_radius(1.0, 1.0), 6)
    3.141593
    """
    return math.pi * leading_edge_length(diffusivity, rate)


def critical_box_rate(diffusivity: float, lengths: ArrayLike) -> float:
    """Proliferation rate at which a box with zero density on its sides just lives, [1/day].

    ``D pi^2 sum 1/L^2``; `lengths` in mm.

    Examples
    --------
    >>> round(critical_box_rate(1.0, [3.14159265]), 6)
    1.0
    """
    positive(diffusivity=diffusivity)
    sides = np.asarray(lengths, np.float64)
    if not (sides > 0.0).all():
        raise InvalidInput(f"The sides are {lengths!r} mm; each must be above 0 mm.")
    return float(diffusivity * math.pi**2 * np.sum(sides**-2.0))
