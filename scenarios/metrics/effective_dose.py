"""Doses that count alike whatever the fraction: BED and EQD2, with repopulation for BED alone."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from twin.errors import InvalidInput

__all__ = [
    "bed",
    "bed_with_repopulation",
    "dose_per_fraction_of_bed",
    "dose_to_repopulation_a_day",
    "eqd2",
]


def bed(total_dose_gy: ArrayLike, fractions: int, alpha_beta_gy: float) -> NDArray[np.float64]:
    """Biologically effective dose n d (1 + d / (alpha/beta)), [Gy].

    Fowler 1989, Br J Radiol 62:679, doi 10.1259/0007-1285-62-740-679.

    Parameters
    ----------
    total_dose_gy : array_like, [Gy]
        Total physical dose n d, at any number of places.
    fractions : int
        Number n of equal fractions.
    alpha_beta_gy : float, [Gy]

    Examples
    --------
    >>> float(bed(60.0, 30, 10.0))
    72.0
    """
    if not (int(fractions) == fractions and fractions >= 1):
        raise InvalidInput(f"There are {fractions!r} fractions; give a whole number from 1.")
    if not 0.0 < alpha_beta_gy < math.inf:
        raise InvalidInput(f"alpha/beta is {alpha_beta_gy!r} Gy; it must be above 0 Gy.")
    total = np.asarray(total_dose_gy, np.float64)
    if not (total >= 0.0).all():
        raise InvalidInput("A dose is negative or not a number; doses are 0 Gy or more.")
    return total * (1.0 + total / (fractions * alpha_beta_gy))


def eqd2(total_dose_gy: ArrayLike, fractions: int, alpha_beta_gy: float) -> NDArray[np.float64]:
    """Equivalent dose in fractions of 2 Gy, BED / (1 + 2 / (alpha/beta)), [Gy].

    Fowler 1989, Br J Radiol 62:679, doi 10.1259/0007-1285-62-740-679; parameters as `bed`.

    Examples
    --------
    >>> round(float(eqd2(40.0, 15, 10.0)), 2)
    42.22
    """
    return bed(total_dose_gy, fractions, alpha_beta_gy) / (1.0 + 2.0 / alpha_beta_gy)


def dose_per_fraction_of_bed(bed_gy: float, fractions: int, alpha_beta_gy: float) -> float:
    """Dose of each of so many fractions that has this BED, [Gy].

    The positive root of ``d^2 + (alpha/beta) d - (alpha/beta) BED / n = 0``.

    Examples
    --------
    >>> dose_per_fraction_of_bed(72.0, 30, 10.0)
    2.0
    """
    if not (int(fractions) == fractions and fractions >= 1):
        raise InvalidInput(f"There are {fractions!r} fractions; give a whole number from 1.")
    if not 0.0 < alpha_beta_gy < math.inf:
        raise InvalidInput(f"alpha/beta is {alpha_beta_gy!r} Gy; it must be above 0 Gy.")
    if not 0.0 <= bed_gy < math.inf:
        raise InvalidInput(f"The BED is {bed_gy!r} Gy; it must be finite and at least 0 Gy.")
    each = bed_gy / fractions
    # 2c/(b + root) instead of (root - b)/2, which cancels for small doses
    return 2.0 * each / (1.0 + math.sqrt(1.0 + 4.0 * each / alpha_beta_gy))


def dose_to_repopulation_a_day(alpha: float, doubling_day: float) -> float:
    """BED that a day of repopulation takes back, ``ln 2 / (alpha T_p)``, [Gy/day].

    Fowler 2010, Br J Radiol 83:554, doi 10.1259/bjr/31372149.

    Parameters
    ----------
    alpha : float, [1/Gy]
        Of tumour control: with one from images or in vitro the number has no meaning.
    doubling_day : float, [day]
        T_p, doubling time of clonogenic cells during treatment.

    Examples
    --------
    >>> round(dose_to_repopulation_a_day(0.3, 3.0), 4)
    0.7702
    """
    if not (0.0 < alpha < math.inf and 0.0 < doubling_day < math.inf):
        raise InvalidInput(
            f"Repopulation needs alpha above 0 1/Gy and a doubling time above 0 day, not {alpha!r} "
            f"and {doubling_day!r}."
        )
    return math.log(2.0) / (alpha * doubling_day)


def bed_with_repopulation(
    bed_gy: float,
    overall_time_day: float,
    *,
    kickoff_day: float,
    doubling_day: float,
    alpha: float,
) -> float:
    """BED less what repopulates after its kick-off, [Gy].

    ``BED - ln 2 (T - T_k) / (alpha T_p)`` for T above T_k. For BED alone: in a run the growth
    model is the repopulation, and subtracting this as well would count it twice.

    Parameters
    ----------
    bed_gy : float, [Gy]
        Without repopulation.
    overall_time_day, kickoff_day, doubling_day : float, [day]
        T from the first to the last fraction, T_k and T_p.
    alpha : float, [1/Gy]
        Of tumour control.

    Examples
    --------
    >>> round(bed_with_repopulation(
    ...     84.0, 46.0, kickoff_day=21.0, doubling_day=3.0, alpha=0.3), 3)
    64.746
    """
    if not (0.0 <= overall_time_day < math.inf and 0.0 <= kickoff_day < math.inf):
        raise InvalidInput(
            f"The overall time and the kick-off must be at least 0 day, not {overall_time_day!r} "
            f"and {kickoff_day!r}."
        )
    lost = dose_to_repopulation_a_day(alpha, doubling_day)
    return bed_gy - lost * max(overall_time_day - kickoff_day, 0.0)
