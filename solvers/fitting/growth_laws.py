"""Exponential, Gompertz and logistic growth under a constant kill rate, in closed form.

With ``y = ln(V / V_0)``, V_0 the volume of the typical animal at the start:

* exponential: ``dy/dt = r - k``
* Gompertz: ``dy/dt = r - k - s y``, so that V stops at ``V_0 exp(r / s)`` without kill
* logistic: ``dy/dt = r - k + s (1 - exp(y))``, stopping at ``V_0 (1 + r / s)``

r [1/day] is the growth rate at V_0 without kill, k [1/day] the kill rate, s [1/day] how
fast growth slows down; s = 0 is exponential growth in all of them. The forms are the usual
ones (Benzekry S et al. 2014, PLoS Comput Biol 10:e1003800, doi
10.1371/journal.pcbi.1003800 [unverified]), written about the start.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from twin.errors import InvalidInput

__all__ = [
    "LAWS",
    "Law",
    "final_volume",
    "law_name",
    "log_growth",
    "log_growth_slopes",
    "time_to_multiple",
]

Floats = NDArray[np.float64]
Law = Literal["exponential", "gompertz", "logistic"]

LAWS: tuple[Law, ...] = ("exponential", "gompertz", "logistic")
_SMALL = 1e-4  # of a product of rate and time: below it a series is more exact


def law_name(law: Law) -> str:
    """How a law is written within a sentence.

    Examples
    --------
    >>> law_name("gompertz")
    'Gompertz'
    """
    return "Gompertz" if law == "gompertz" else law


def _filled(rate: Floats, time: Floats) -> tuple[Floats, Floats]:
    """``(exp(g t) - 1) / g`` and its derivative with respect to g; t and t^2/2 at g = 0."""
    product = rate * time
    small = np.abs(product) < _SMALL
    safe = np.where(small, 1.0, rate)
    grown = np.exp(np.where(small, 0.0, np.minimum(product, 500.0)))
    series = time * (1.0 + product / 2.0 + product**2 / 6.0)
    value = np.where(small, series, (grown - 1.0) / safe)
    slope = np.where(
        small,
        time**2 * (0.5 + product / 3.0 + product**2 / 8.0),
        (time * grown - value) / safe,
    )
    return value, slope


def log_growth(law: Law, time: Floats, start: Floats, net: Floats, slowing: float) -> Floats:
    """``ln(V / V_0)`` at `time`; see `log_growth_slopes`.

    Examples
    --------
    >>> float(log_growth("exponential", np.array(10.0), np.array(0.0), np.array(0.1), 0.0))
    1.0
    """
    return log_growth_slopes(law, time, start, net, slowing)[0]


def log_growth_slopes(
    law: Law, time: Floats, start: Floats, net: Floats, slowing: float
) -> tuple[Floats, Floats, Floats, Floats]:
    """``y = ln(V / V_0)`` and its derivatives with respect to start, net rate and slowing.

    Parameters
    ----------
    law : "exponential", "gompertz" or "logistic"
    time : ndarray, [day], any shape
        Since the start, at least 0.
    start : ndarray, [1]
        y at the start: how much larger this animal's tumour is than the typical one's.
    net : ndarray, [1/day]
        r - k.
    slowing : float, [1/day]
        s, at least 0.

    Returns
    -------
    tuple of ndarray
        y, dy/dstart, dy/dnet [day], dy/dslowing [day].
    """
    if law == "gompertz":  # its terms in time are the same for all starts and rates
        filled, slope = _filled(np.asarray(-slowing), np.asarray(time, float))
        decay = np.exp(-slowing * time)
        y = start * decay + net * filled
        by_slowing = -start * time * decay - net * slope
        return y, np.broadcast_to(decay, y.shape), np.broadcast_to(filled, y.shape), by_slowing
    time, start, net = np.broadcast_arrays(time, start, net)
    if law == "exponential":
        return start + net * time, np.ones_like(time), time.astype(float), np.zeros_like(time)
    g = net + slowing
    filled, slope = _filled(g, time)
    size = np.exp(start)
    crowd = 1.0 + slowing * size * filled
    y = start + g * time - np.log(crowd)
    by_net = time - slowing * size * slope / crowd
    return y, 1.0 / crowd, by_net, by_net - size * filled / crowd


def time_to_multiple(law: Law, multiple: float, net: Floats, slowing: Floats) -> Floats:
    """Days until the typical tumour has `multiple` times its first volume; infinite if never.

    Parameters
    ----------
    law : "exponential", "gompertz" or "logistic"
    multiple : float, [1]
        Above 1.
    net, slowing : array_like, [1/day]

    Examples
    --------
    >>> time_to_multiple("exponential", 4.0, np.array([0.1, -0.1]), np.array(0.0)).round(3).tolist()
    [13.863, inf]
    """
    if not 1.0 < multiple < math.inf:
        raise InvalidInput(f"The multiple of the first volume is {multiple}; it must exceed 1.")
    net, slowing = np.broadcast_arrays(np.asarray(net, float), np.asarray(slowing, float))
    wanted = math.log(multiple)
    time = np.full(net.shape, math.inf)
    flat = (slowing <= 1e-9 * np.abs(net)) | (law == "exponential")
    straight = flat & (net > 0.0)
    time[straight] = wanted / net[straight]
    n, s = net[~flat], slowing[~flat]
    with np.errstate(divide="ignore", invalid="ignore"):
        if law == "gompertz":
            found = np.where(n > s * wanted, -np.log1p(-s * wanted / n) / s, math.inf)
        else:
            g = n + s
            reached = (g > 0.0) & (multiple * s < g)
            ratio = multiple * (1.0 - s / g) / (1.0 - multiple * s / g)
            found = np.where(reached, np.log(np.where(reached, ratio, 1.0)) / g, math.inf)
    time[~flat] = found
    return time


def final_volume(law: Law, first: float, rate: float, slowing: float) -> float:
    """Volume at which growth stops without kill, in the unit of `first`; infinite if never.

    Examples
    --------
    >>> final_volume("logistic", 100.0, 0.09, 0.01)
    1000.0
    """
    if law == "exponential" or slowing <= 0.0:
        return math.inf
    ratio = rate / slowing
    if law == "gompertz":
        return first * math.exp(ratio) if ratio < 700.0 else math.inf
    return first * (1.0 + ratio)
