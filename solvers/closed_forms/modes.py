"""Eigenmodes of diffusion in a box and in a ball, and what time stepping makes of them.

Separation of variables (Carslaw and Jaeger, Conduction of Heat in Solids, 2nd ed. 1959,
chapters 6 and 9). D in mm2/day, lengths in mm, times in days.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import lpmv, spherical_jn

from solvers.closed_forms.checks import positive
from twin.errors import InvalidInput

__all__ = [
    "ball_mode",
    "ball_mode_rate",
    "ball_root",
    "box_mode",
    "box_mode_amplitude",
    "box_mode_rate",
    "step_factor",
    "stepped_amplitude",
]

_KINDS = ("no-flux", "zero")


def _check_kind(boundary: str) -> None:
    if boundary not in _KINDS:
        raise InvalidInput(f"The boundary is {boundary!r}; it may be 'no-flux' or 'zero'.")


def box_mode_rate(lengths: ArrayLike, numbers: ArrayLike, diffusivity: ArrayLike) -> float:
    """Decay rate of a mode of a box, ``pi^2 sum D n^2 / L^2``, [1/day].

    Parameters
    ----------
    lengths : array_like, [mm], shape (axis,)
    numbers : array_like of int, shape (axis,)
    diffusivity : array_like, [mm2/day], shape () or (axis,)

    Examples
    --------
    >>> round(box_mode_rate([40.0], [1], 0.2), 9)
    0.001233701
    """
    ratio = np.asarray(numbers, np.float64) / np.asarray(lengths, np.float64)
    return float(math.pi**2 * np.sum(np.asarray(diffusivity, np.float64) * ratio**2))


def box_mode_amplitude(
    lengths: ArrayLike,
    numbers: ArrayLike,
    diffusivity: ArrayLike,
    time: float,
    rate: float = 0.0,
    *,
    boundary: str = "no-flux",
) -> float:
    """What is left of the amplitude of a mode of a box, with exponential growth `rate`, [1].

    The modes are products of ``cos(n pi x/L)`` without flux through the sides and of
    ``sin(n pi x/L)`` with zero density there (numbers from 1).

    Examples
    --------
    >>> round(box_mode_amplitude([40.0, 30.0, 20.0], [1, 0, 0], 0.2, 100.0), 9)
    0.883936497
    """
    _check_kind(boundary)
    if boundary == "zero" and not (np.asarray(numbers) >= 1).all():
        raise InvalidInput(
            f"The mode {numbers!r} is zero everywhere; with zero density on the sides every number "
            "is 1 or more."
        )
    return math.exp((rate - box_mode_rate(lengths, numbers, diffusivity)) * time)


def box_mode(
    points: ArrayLike, lengths: ArrayLike, numbers: ArrayLike, *, boundary: str = "no-flux"
) -> NDArray[np.float64]:
    """The mode itself at points of a box that begins at the origin, [1], shape (...,).

    Examples
    --------
    >>> float(box_mode([10.0, 0.0, 0.0], [40.0, 30.0, 20.0], [2, 0, 0]).round(12))
    0.0
    """
    _check_kind(boundary)
    wave = math.pi * np.asarray(numbers, np.float64) / np.asarray(lengths, np.float64)
    turn = np.cos if boundary == "no-flux" else np.sin
    return np.asarray(turn(np.asarray(points, np.float64) * wave).prod(axis=-1))


def step_factor(method: str, z: float) -> float:
    """What one step makes of ``u' = lambda u``, z = lambda dt, [1].

    Parameters
    ----------
    method : {"forward-euler", "backward-euler", "crank-nicolson", "bdf2"}
        BDF2 takes the principal root of ``(3/2 - z) g^2 - 2 g + 1/2 = 0``.

    Examples
    --------
    >>> round(step_factor("bdf2", -0.1), 9)
    0.904508497
    """
    if method == "forward-euler":
        return 1.0 + z
    if method == "backward-euler":
        return 1.0 / (1.0 - z)
    if method == "crank-nicolson":
        return (1.0 + 0.5 * z) / (1.0 - 0.5 * z)
    if method == "bdf2":
        if not z >= -0.5:
            raise InvalidInput(f"z is {z!r}; the roots of BDF2 are real from -0.5 on.")
        return (2.0 + math.sqrt(1.0 + 2.0 * z)) / (3.0 - 2.0 * z)
    raise InvalidInput(
        f"The method is {method!r}; it may be 'forward-euler', 'backward-euler', 'crank-nicolson' "
        "or 'bdf2'."
    )


def stepped_amplitude(method: str, decay_rate: float, step: float, steps: int) -> float:
    """Amplitude of a mode after `steps` steps of `step` [day]: the error in time alone, [1].

    Examples
    --------
    >>> rate = box_mode_rate([40.0], [1], 0.2)
    >>> round(stepped_amplitude("backward-euler", rate, 1.0, 100), 9)
    0.884003712
    """
    return float(step_factor(method, -decay_rate * step) ** steps)


@functools.lru_cache(maxsize=256)
def ball_root(degree: int, index: int, boundary: str = "no-flux") -> float:
    """The `index`-th positive root of ``j_l'(x)`` (no flux) or ``j_l(x)`` (zero density).

    Examples
    --------
    >>> round(ball_root(1, 1), 9), round(ball_root(0, 2, "zero") / math.pi, 9)
    (2.081575978, 2.0)
    """
    _check_kind(boundary)
    if not (degree >= 0 and index >= 1):
        raise InvalidInput(
            f"The mode has degree {degree!r} and index {index!r}; they begin at 0 and 1."
        )
    slope = boundary == "no-flux"

    def value(x: float) -> float:
        return float(spherical_jn(degree, x, derivative=slope))

    # The roots are more than 2 apart, and the first of degree l lies above l.
    low, found = max(0.5, float(degree)), 0
    while True:
        high = low + 0.5
        if value(low) * value(high) < 0.0:
            found += 1
            if found == index:
                return float(brentq(value, low, high, xtol=1e-14, rtol=1e-15 * 4))
        low = high


def ball_mode_rate(
    radius: float, diffusivity: float, degree: int, index: int, boundary: str = "no-flux"
) -> float:
    """Decay rate of a mode of a ball, ``D (x/R)^2``, [1/day].

    Examples
    --------
    >>> round(math.exp(-100.0 * ball_mode_rate(20.0, 0.2, 0, 2, "zero")), 9)
    0.138911133
    """
    positive(radius=radius, diffusivity=diffusivity)
    return diffusivity * (ball_root(degree, index, boundary) / radius) ** 2


def ball_mode(
    r: ArrayLike,
    theta: ArrayLike,
    radius: float,
    degree: int,
    index: int,
    *,
    order: int = 0,
    phi: ArrayLike = 0.0,
    boundary: str = "no-flux",
) -> NDArray[np.float64]:
    """A mode of a ball, ``j_l(x r/R) P_l^m(cos theta) cos(m phi)``, [1].

    Associated Legendre functions with the Condon-Shortley phase.

    Parameters
    ----------
    r : array_like, [mm]
        Distance from the centre.
    theta, phi : array_like, [rad]
        Angle from the axis, and about it.
    radius : float, [mm]

    Examples
    --------
    >>> round(float(ball_mode(10.0, 0.0, 20.0, 0, 1)), 9)  # sin(x/2)/(x/2), x = 4.4934
    0.347236983
    """
    if not 0 <= order <= degree:
        raise InvalidInput(f"The order is {order!r}; it lies between 0 and the degree {degree}.")
    positive(radius=radius)
    x = ball_root(degree, index, boundary)
    along = spherical_jn(degree, x * np.asarray(r, np.float64) / radius)
    around = lpmv(order, degree, np.cos(theta)) * np.cos(order * np.asarray(phi, np.float64))
    return np.asarray(along * around)
