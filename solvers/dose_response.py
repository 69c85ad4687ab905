"""Cell kill by radiation and drugs, as pure functions of arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from twin.errors import InvalidInput

__all__ = ["log_surviving_fraction", "surviving_fraction"]


def log_surviving_fraction(
    dose: ArrayLike, *, alpha: float, alpha_beta: float
) -> NDArray[np.float64]:
    """Natural logarithm of the fraction of cells that survive one fraction.

    Linear-quadratic: ``ln S = -(alpha d + beta d^2)`` with ``beta = alpha /
    (alpha/beta)`` (Fowler 1989, Br J Radiol 62:679, doi 10.1259/0007-1285-62-740-679).

    Parameters
    ----------
    dose : array_like, [Gy]
        Dose of the fraction at each place, any shape.
    alpha : float, [1/Gy]
    alpha_beta : float, [Gy]

    Raises
    ------
    InvalidInput
        A negative or non-finite dose or alpha, or an alpha/beta that is not positive.

    Examples
    --------
    >>> float(log_surviving_fraction(2.0, alpha=0.3, alpha_beta=10.0))
    -0.72
    """
    dose = np.asarray(dose, np.float64)
    if not (np.isfinite(dose).all() and (dose >= 0).all()):
        raise InvalidInput("A dose is negative or not finite; every dose must be at least 0 Gy.")
    if not 0.0 <= alpha < np.inf:
        raise InvalidInput(f"alpha is {alpha} 1/Gy; it must be finite and at least 0.")
    if not 0.0 < alpha_beta < np.inf:
        raise InvalidInput(f"alpha/beta is {alpha_beta} Gy; it must be finite and above 0.")
    return -alpha * dose * (1.0 + dose / alpha_beta)


def surviving_fraction(dose: ArrayLike, *, alpha: float, alpha_beta: float) -> NDArray[np.float64]:
    """Fraction of cells that survive one fraction; see `log_surviving_fraction`.

    >>> round(float(surviving_fraction(2.0, alpha=0.3, alpha_beta=10.0)), 6)
    0.486752
    """
    return np.exp(log_surviving_fraction(dose, alpha=alpha, alpha_beta=alpha_beta))
