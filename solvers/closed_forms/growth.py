"""Growth of a well-mixed tumour: logistic, Gompertz and exponential, with kill.

Logistic growth with a kill linear in the density is a Bernoulli equation: with
``R(t) = rho t - int k`` its solution is
``N0 exp(R(t)) / (1 + (rho N0 / K) int_0^t exp(R))``.
Gompertz: Norton 1988, Cancer Res 48:7067. Times in days, rates in 1/day, sizes
in whatever unit the capacity has.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from scipy.integrate import quad

from solvers.closed_forms.checks import at_least_zero, positive
from twin.errors import InvalidInput

__all__ = [
    "doubling_time",
    "exponential",
    "exponential_delay",
    "gompertz",
    "gompertz_with_impulses",
    "gompertz_with_kill",
    "logistic",
    "logistic_with_decaying_kill",
    "logistic_with_impulses",
    "logistic_with_kill",
    "volume_doubling_time",
]


def exponential(initial: float, rate: float, time: float) -> float:
    """Size after unlimited growth: ``N0 exp(rho t)``.

    Examples
    --------
    >>> round(exponential(1.0, 0.05, 20.0), 6)
    2.718282
    """
    at_least_zero(initial=initial)
    return initial * math.exp(rate * time)


def exponential_delay(surviving_fraction: float, rate: float) -> float:
    """Days that exponential growth needs to make up for a kill: ``-ln S / rho``, [day].

    Examples
    --------
    >>> round(exponential_delay(0.5, 0.03), 4)
    23.1049
    """
    positive(surviving_fraction=surviving_fraction, rate=rate)
    return -math.log(surviving_fraction) / rate


def doubling_time(rate: float) -> float:
    """Doubling time of exponential growth, ``ln 2 / rho``, [day].

    Examples
    --------
    >>> round(doubling_time(0.03), 4)
    23.1049
    """
    positive(rate=rate)
    return math.log(2.0) / rate


def volume_doubling_time(first: float, second: float, days: float) -> float:
    """Doubling time between two volumes, ``days ln 2 / ln(V2/V1)``, negative if shrinking, [day].

    Examples
    --------
    >>> volume_doubling_time(20.0, 10.0, 30.0)
    -30.0
    """
    positive(first=first, second=second, days=days)
    if first == second:
        return math.inf
    return days * math.log(2.0) / math.log(second / first)


def logistic(initial: float, rate: float, time: float, capacity: float = 1.0) -> float:
    """Size after logistic growth, ``N' = rho N (1 - N/K)``.

    Examples
    --------
    >>> round(logistic(0.1, 0.05, 100.0), 10)
    0.9428256186
    """
    return logistic_with_kill(initial, rate, 0.0, time, capacity)


def logistic_with_kill(
    initial: float, rate: float, kill: float, time: float, capacity: float = 1.0
) -> float:
    """Size after logistic growth with a constant kill, ``N' = rho N (1 - N/K) - k N``.

    Examples
    --------
    >>> round(logistic_with_kill(0.1, 0.05, 0.05, 100.0), 10)
    0.0666666667
    """
    at_least_zero(initial=initial, time=time)
    positive(capacity=capacity)
    net = rate - kill
    integral = time if net == 0.0 else math.expm1(net * time) / net
    return initial * math.exp(net * time) / (1.0 + rate * initial / capacity * integral)


def logistic_with_decaying_kill(
    initial: float,
    rate: float,
    kill: float,
    elimination: float,
    time: float,
    capacity: float = 1.0,
) -> float:
    """Size after logistic growth with a drug that wears off, ``k(t) = kill exp(-elimination t)``.

    The integral of the Bernoulli solution is taken numerically, to 1e-12 of itself.

    Examples
    --------
    >>> round(logistic_with_decaying_kill(0.3, 0.05, 0.3, 0.1, 30.0), 10)
    0.0684739623
    """
    at_least_zero(initial=initial, time=time)
    positive(elimination=elimination, capacity=capacity)

    def exponent(day: float) -> float:
        return rate * day + kill / elimination * math.expm1(-elimination * day)

    # Scaled by its largest value, so that a strong drug does not underflow the integrand.
    top = max(exponent(time), 0.0)
    integral = quad(
        lambda day: math.exp(exponent(day) - top), 0.0, time, epsabs=0.0, epsrel=1e-12, limit=400
    )[0]
    scale = math.exp(-top)
    return (
        initial
        * math.exp(exponent(time) - top)
        / (scale + rate * initial / capacity * float(integral))
    )


def logistic_with_impulses(
    initial: float,
    rate: float,
    times: Sequence[float],
    survival: float | Sequence[float],
    time: float,
    capacity: float = 1.0,
) -> float:
    """Size after logistic growth between instants at which a fraction survives.

    Parameters
    ----------
    times : sequence of float, [day]
        In increasing order; the impulse at t acts after growth up to t, and one at
        `time` itself counts.
    survival : float or sequence of float, [1]
        Of every impulse, or one for each.

    Examples
    --------
    >>> round(logistic_with_impulses(0.5, 0.0, [1.0, 2.0], 0.5, 3.0), 6)
    0.125
    """
    return _between_impulses(
        initial, times, survival, time, lambda size, days: logistic(size, rate, days, capacity)
    )


def gompertz(initial: float, rate: float, time: float, capacity: float) -> float:
    """Size after Gompertz growth, ``V' = a V ln(K/V)``: ``K (V0/K)^exp(-a t)``.

    Examples
    --------
    >>> round(gompertz(1.0, 0.01, 50.0, 300.0), 8)
    9.43346551
    """
    return gompertz_with_kill(initial, rate, 0.0, time, capacity)


def gompertz_with_kill(
    initial: float, rate: float, kill: float, time: float, capacity: float
) -> float:
    """Size after Gompertz growth with a constant kill, ``V' = a V ln(K/V) - k V``.

    ``ln V`` relaxes with the rate a towards ``ln K - k/a``.

    Examples
    --------
    >>> round(gompertz_with_kill(30.0, 0.01, 0.02, 1e5, 300.0), 6)  # 300 exp(-2)
    40.600585
    """
    at_least_zero(initial=initial, time=time)
    positive(rate=rate, capacity=capacity)
    if initial == 0.0:
        return 0.0
    aim = math.log(capacity) - kill / rate
    return math.exp(aim + (math.log(initial) - aim) * math.exp(-rate * time))


def gompertz_with_impulses(
    initial: float,
    rate: float,
    times: Sequence[float],
    survival: float | Sequence[float],
    time: float,
    capacity: float,
) -> float:
    """Size after Gompertz growth between impulses; as `logistic_with_impulses`.

    Examples
    --------
    >>> round(gompertz_with_impulses(300.0, 0.01, [10.0], 0.5, 10.0, 300.0), 6)
    150.0
    """
    return _between_impulses(
        initial, times, survival, time, lambda size, days: gompertz(size, rate, days, capacity)
    )


def _between_impulses(
    initial: float,
    times: Sequence[float],
    survival: float | Sequence[float],
    time: float,
    grown: Callable[[float, float], float],
) -> float:
    shares = [survival] * len(times) if isinstance(survival, int | float) else list(survival)
    if len(shares) != len(times):
        raise InvalidInput(
            f"There are {len(times)} impulses but {len(shares)} survivals; give one for each."
        )
    size, day = initial, 0.0
    for at, share in zip(times, shares, strict=True):
        if not at >= day:
            raise InvalidInput(
                f"The impulse on day {at!r} comes before day {day:g}; give them in order, from "
                "day 0 on."
            )
        if at > time:
            break
        size, day = grown(size, at - day) * share, at
    return grown(size, time - day)
