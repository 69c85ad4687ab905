"""Tumour control: the probability that no clonogenic cell is left.

``TCP = exp(-N S)`` with N S the expected number of survivors (Poisson). A curve of one
patient is far too steep for many; the population's is the mean over their radiosensitivities
(S. Webb and A. E. Nahum 1993, Phys Med Biol 38:653, doi 10.1088/0031-9155/38/6/001). All is
done with logarithms: 10^9 cells with a survival of 10^-20 are numbers that cancel.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.integrate import quad
from scipy.special import ndtr

from twin.errors import InvalidInput

__all__ = ["log_survival_of_course", "population_control", "tumour_control"]


def log_survival_of_course(
    fractions: int,
    dose_per_fraction_gy: ArrayLike,
    *,
    alpha: float,
    beta: float,
    overall_time_day: float = 0.0,
    kickoff_day: float = np.inf,
    doubling_day: float = np.inf,
) -> NDArray[np.float64]:
    """Logarithm of the share of clonogens that are left, repopulation since its kick-off in.

    ``ln S = -n (alpha d + beta d^2) + ln 2 (T - T_k)/T_p`` for T above T_k, [1].

    Parameters
    ----------
    fractions : int
    dose_per_fraction_gy : array_like, [Gy]
        At each place.
    alpha : float, [1/Gy]
    beta : float, [1/Gy2]
    overall_time_day, kickoff_day, doubling_day : float, [day]
    """
    if not (int(fractions) == fractions and fractions >= 0):
        raise InvalidInput(f"There are {fractions!r} fractions; give a whole number from 0.")
    d = np.asarray(dose_per_fraction_gy, np.float64)
    if not ((d >= 0.0) & (d < np.inf)).all() or not (alpha >= 0.0 and beta >= 0.0):
        raise InvalidInput("Doses, alpha and beta must be finite and at least 0.")
    if not (doubling_day > 0.0 and overall_time_day >= 0.0 and kickoff_day >= 0.0):
        raise InvalidInput("A doubling time is above 0 day, the other times at least 0 day.")
    grown = np.log(2.0) * max(overall_time_day - kickoff_day, 0.0) / doubling_day
    return np.asarray(-fractions * d * (alpha + beta * d) + grown)


def tumour_control(clonogens: ArrayLike, log_survival: ArrayLike) -> float:
    """Probability that no clonogen is left, ``exp(-sum N_i S_i)``, [1].

    Parameters
    ----------
    clonogens : array_like, [cells], shape (place,)
        Before treatment, at each place.
    log_survival : array_like, [1]
        Of the whole treatment at each place.

    Examples
    --------
    >>> round(tumour_control(1e7, log_survival_of_course(30, 2.0, alpha=0.3, beta=0.03)), 4)
    0.9958
    """
    cells = np.asarray(clonogens, np.float64)
    if not ((cells >= 0.0) & (cells < np.inf)).all():
        raise InvalidInput("Numbers of clonogens must be finite and at least 0.")
    with np.errstate(divide="ignore"):
        logs = np.log(cells) + np.asarray(log_survival, np.float64)
    return float(np.exp(-np.exp(logs).sum()))


def population_control(
    clonogens: float,
    bed_gy: float,
    *,
    alpha_mean: float,
    alpha_sd: float,
    truncated: bool = False,
) -> float:
    """Control averaged over patients whose alpha is normally distributed, [1].

    ``integral of exp(-N exp(-alpha BED)) over N(alpha_mean, alpha_sd)``; alpha/beta is the
    same for all, so BED is.

    Parameters
    ----------
    clonogens : float, [cells]
    bed_gy : float, [Gy]
    alpha_mean, alpha_sd : float, [1/Gy]
    truncated : bool
        Leave out negative alphas (and renormalise), which a normal distribution has.

    Examples
    --------
    >>> round(population_control(1e7, 72.0, alpha_mean=0.3, alpha_sd=0.03), 6)
    0.970783
    """
    if not (0.0 <= clonogens < np.inf and 0.0 <= bed_gy < np.inf):
        raise InvalidInput("Clonogens and BED must be finite and at least 0.")
    if not (0.0 < alpha_mean < np.inf and 0.0 <= alpha_sd < np.inf):
        raise InvalidInput(
            f"alpha needs a mean above 0 and a deviation of at least 0 1/Gy, not {alpha_mean} and "
            f"{alpha_sd}."
        )
    if clonogens == 0.0:
        return 1.0
    log_cells = np.log(clonogens)

    def control(alpha: float) -> float:
        return float(np.exp(-np.exp(min(log_cells - alpha * bed_gy, 700.0))))

    if alpha_sd == 0.0:
        return control(alpha_mean)

    def weighted(z: float) -> float:
        density = np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)
        return density * control(alpha_mean + alpha_sd * z)

    low = -alpha_mean / alpha_sd if truncated else -12.0
    low = max(low, -12.0)
    steep = (log_cells / bed_gy - alpha_mean) / alpha_sd if bed_gy > 0.0 else 0.0
    points = sorted({float(np.clip(p, low, 12.0)) for p in (steep, steep - 1, steep + 1, 0.0)})
    value, _ = quad(weighted, low, 12.0, points=points, epsabs=1e-13, epsrel=1e-12, limit=400)
    return float(value / ndtr(-low)) if truncated else float(value)
