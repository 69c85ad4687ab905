"""Complication of an organ from its dose, by published fits, with both statements beside it.

Every bin of a histogram has to be EQD2 of the organ's own alpha/beta before it goes in. The
sets of Burman 1991 overstate risk at the doses of today (a brain of 72 Gy throughout comes
out at 91 %); QUANTEC's statements stand beside them in `data/limits/complications.toml`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr

from scenarios.metrics.dose_volume import generalised_eud
from twin.errors import InvalidInput

__all__ = ["log_logistic_complication", "lyman_complication", "steepness_of_anchor"]


def lyman_complication(
    doses: ArrayLike, volumes: ArrayLike = 1.0, *, n: float, m: float, td50: float
) -> float:
    """Probability of complication, ``Phi((gEUD - TD50)/(m TD50))`` with ``a = 1/n``, [1].

    Lyman, Kutcher and Burman (G. J. Kutcher and C. Burman 1989, IJROBP 16:1623, doi
    10.1016/0360-3016(89)90972-3).

    Parameters
    ----------
    doses : array_like, [Gy]
        EQD2 of the organ's own alpha/beta.
    volumes : array_like
        Of each dose, in any unit.
    n : float, [1]
        Effect of volume: near 0 in series, 1 for the mean.
    m : float, [1]
        Slope.
    td50 : float, [Gy]
        Uniform dose with a complication in half of the patients.

    Examples
    --------
    >>> lyman_complication([60.0], n=0.25, m=0.15, td50=60.0)
    0.5
    """
    if not (0.0 < n < np.inf and 0.0 < m < np.inf and 0.0 < td50 < np.inf):
        raise InvalidInput(f"n, m and TD50 must be finite and above 0, not {n}, {m} and {td50} Gy.")
    return float(ndtr((generalised_eud(doses, volumes, a=1.0 / n) - td50) / (m * td50)))


def log_logistic_complication(dose_gy: float, *, td50: float, steepness: float) -> float:
    """Probability of complication, ``1 / (1 + (TD50/D)^k)``, [1].

    For the spinal cord: T. E. Schultheiss 2008, IJROBP 71:1455, doi
    10.1016/j.ijrobp.2007.11.075, TD50 69.4 Gy.

    Examples
    --------
    >>> log_logistic_complication(69.4, td50=69.4, steepness=18.9)
    0.5
    """
    if not 0.0 <= dose_gy < np.inf:
        raise InvalidInput(f"The dose is {dose_gy} Gy; it must be finite and at least 0 Gy.")
    if not (0.0 < td50 < np.inf and 0.0 < steepness < np.inf):
        raise InvalidInput(f"TD50 and k must be finite and above 0, not {td50} and {steepness}.")
    if dose_gy == 0.0:
        return 0.0
    exponent = steepness * math.log(td50 / dose_gy)
    return 1.0 / (1.0 + math.exp(min(exponent, 700.0)))


def steepness_of_anchor(dose_gy: float, probability: float, *, td50: float) -> float:
    """K of a log-logistic curve that passes through a stated risk at a dose, [1].

    Examples
    --------
    >>> round(steepness_of_anchor(50.0, 0.002, td50=69.4), 2)
    18.95
    """
    if not (0.0 < probability < 1.0 and 0.0 < dose_gy < np.inf and 0.0 < td50 < np.inf):
        raise InvalidInput("An anchor needs a probability between 0 and 1 and doses above 0 Gy.")
    if dose_gy == td50:
        raise InvalidInput("An anchor at TD50 says nothing of the steepness; take another dose.")
    return math.log(1.0 / probability - 1.0) / math.log(td50 / dose_gy)
