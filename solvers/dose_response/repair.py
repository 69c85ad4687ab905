"""Incomplete repair of sublethal damage, within a long fraction and between close ones.

Damage that could pair with later damage is repaired with the rate ``mu = ln 2 / T_half``,
so beta counts by less within a fraction of length T (Lea and Catcheside's G) and by more
where fractions follow each other before repair is complete (Thames).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from twin.errors import InvalidInput

__all__ = ["lea_catcheside", "log_survival_of_acute_doses", "repair_between", "thames_factor"]


def _rate(half_life_h: float) -> float:
    if not 0.0 < half_life_h < np.inf:
        raise InvalidInput(f"The repair half-life is {half_life_h} h; it must be above 0 h.")
    return float(np.log(2.0) / half_life_h)


def lea_catcheside(duration_h: ArrayLike, half_life_h: float) -> NDArray[np.float64]:
    """Factor of beta for a fraction of constant dose rate, ``G = 2 (x - 1 + e^-x) / x^2``, [1].

    With ``x = mu T``; 1 for an acute fraction (D. E. Lea and D. G. Catcheside 1942, J Genet
    44:216 [unverified]).

    Parameters
    ----------
    duration_h : array_like, [h]
        Time with the beam on, at least 0.
    half_life_h : float, [h]
        Of repair.

    Examples
    --------
    >>> round(float(lea_catcheside(0.5, 1.5)), 4)
    0.9272
    >>> float(lea_catcheside(0.0, 1.5))
    1.0
    """
    rate = _rate(half_life_h)
    duration = np.asarray(duration_h, np.float64)
    if not ((duration >= 0.0) & (duration < np.inf)).all():
        raise InvalidInput("A fraction's duration is negative or not finite; it is at least 0 h.")
    x = rate * duration
    small = x < 1e-3  # the series to x^4 is exact to rounding here, the quotient is not
    safe = np.where(small, 1.0, x)
    series = 1.0 - x / 3.0 + x**2 / 12.0 - x**3 / 60.0 + x**4 / 360.0
    return np.where(small, series, 2.0 * (safe + np.expm1(-safe)) / safe**2)


def thames_factor(fractions_a_day: int, interval_h: float, half_life_h: float) -> float:
    """Additional share of beta for equal fractions several times a day, h_m, [1].

    ``beta -> beta (1 + h_m)``, ``h_m = (2/m) (phi/(1-phi)) (m - (1-phi^m)/(1-phi))`` with
    ``phi = exp(-mu dT)``; repair over night is complete (Thames 1985, Int J Radiat Biol
    47:319 [unverified]).

    Parameters
    ----------
    fractions_a_day : int
        m, at least 1.
    interval_h : float, [h]
        dT, between fractions of one day.
    half_life_h : float, [h]

    Examples
    --------
    >>> round(thames_factor(2, 6.0, 1.5), 6)
    0.0625
    >>> thames_factor(1, 24.0, 1.5)
    0.0
    """
    if not (int(fractions_a_day) == fractions_a_day and fractions_a_day >= 1):
        raise InvalidInput(
            f"There are {fractions_a_day!r} fractions a day; give a whole number from 1."
        )
    if not 0.0 < interval_h < np.inf:
        raise InvalidInput(f"Fractions follow each other after {interval_h} h; it must be above 0.")
    m, phi = int(fractions_a_day), float(np.exp(-_rate(half_life_h) * interval_h))
    return 2.0 / m * sum((m - gap) * phi**gap for gap in range(1, m))


def repair_between(times_h: ArrayLike, half_life_h: float) -> NDArray[np.float64]:
    """What later damage pairs with, for equal acute fractions: 1 + 2 sum over earlier ones.

    With these factors of beta the kill of each fraction depends on the ones before it only:
    their product is the survival of all of them. Shape of `times_h`, [1].

    Parameters
    ----------
    times_h : array_like, [h], shape (fraction,)
        In time order.

    Examples
    --------
    >>> repair_between([0.0, 6.0, 24.0], 1.5).round(4).tolist()
    [1.0, 1.125, 1.0005]
    """
    rate = _rate(half_life_h)
    times = np.asarray(times_h, np.float64)
    if times.ndim != 1 or not (np.diff(times) >= 0).all():
        raise InvalidInput("Times of fractions must be a list in time order.")
    left = 0.0  # sum over earlier fractions of exp(-mu gap), carried on
    factors = np.ones(len(times))
    for k in range(1, len(times)):
        left = (left + 1.0) * float(np.exp(-rate * (times[k] - times[k - 1])))
        factors[k] += 2.0 * left
    return factors


def log_survival_of_acute_doses(
    doses: ArrayLike, times_h: ArrayLike, *, alpha: float, beta: float, half_life_h: float
) -> float:
    """Logarithm of the survival of several acute doses, [1].

    ``-ln S = alpha D + beta (sum d_i^2 + 2 sum_{i<j} d_i d_j exp(-mu |t_i - t_j|))``, the
    generalised linear-quadratic model of pulses.

    Parameters
    ----------
    doses : array_like, [Gy], shape (fraction,)
    times_h : array_like, [h], shape (fraction,)
    alpha : float, [1/Gy]
    beta : float, [1/Gy2]
    half_life_h : float, [h]

    Examples
    --------
    >>> round(log_survival_of_acute_doses([2, 2], [0, 1], alpha=0.3, beta=0.03, half_life_h=1.5), 6)
    -1.591191
    """
    d, t = np.asarray(doses, np.float64), np.asarray(times_h, np.float64)
    if d.shape != t.shape or d.ndim != 1:
        raise InvalidInput("Each dose needs its time; give lists of the same length.")
    if not ((d >= 0.0) & (d < np.inf)).all():
        raise InvalidInput("A dose is negative or not finite; every dose must be at least 0 Gy.")
    pairs = np.exp(-_rate(half_life_h) * np.abs(t[:, None] - t[None, :]))
    return -float(alpha * d.sum() + beta * d @ pairs @ d)
