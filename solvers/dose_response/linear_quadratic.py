"""Linear-quadratic cell survival, straight above a transition dose where one is given.

``-ln S = alpha d + beta d^2`` for one acute fraction (Fowler 1989, Br J Radiol 62:679, doi
10.1259/0007-1285-62-740-679). Above a transition dose d_T the curve goes on along its
tangent, ``-ln S = alpha d_T + beta d_T^2 + (alpha + 2 beta d_T)(d - d_T)`` (the
linear-quadratic-linear model; Astrahan 2008, Med Phys 35:4161, doi 10.1118/1.2969065).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from twin.errors import InvalidInput

__all__ = ["log_surviving_fraction", "surviving_fraction"]


def log_surviving_fraction(
    dose: ArrayLike,
    *,
    alpha: float | NDArray[np.float64],
    alpha_beta: float | NDArray[np.float64],
    transition_dose: float = np.inf,
) -> NDArray[np.float64]:
    """Natural logarithm of the fraction of cells that survive one fraction, [1].

    Parameters
    ----------
    dose : array_like, [Gy]
        Dose of the fraction at each place, any shape.
    alpha : float or ndarray, [1/Gy]
    alpha_beta : float or ndarray, [Gy]
        Of each place where they differ, of the shape of `dose`.
    transition_dose : float, [Gy]
        Above it the curve is straight; infinite for the linear-quadratic model alone.

    Raises
    ------
    InvalidInput
        A negative or non-finite dose or alpha, an alpha/beta or a transition dose that is
        not positive.

    Examples
    --------
    >>> float(log_surviving_fraction(2.0, alpha=0.3, alpha_beta=10.0))
    -0.72
    >>> float(log_surviving_fraction(15.0, alpha=0.3, alpha_beta=10.0, transition_dose=10.0))
    -10.5
    """
    dose = np.asarray(dose, np.float64)
    if not (np.isfinite(dose).all() and (dose >= 0).all()):
        raise InvalidInput("A dose is negative or not finite; every dose must be at least 0 Gy.")
    if not np.all((np.asarray(alpha) >= 0.0) & np.isfinite(alpha)):
        raise InvalidInput(f"alpha is {alpha} 1/Gy; it must be finite and at least 0.")
    if not np.all((np.asarray(alpha_beta) > 0.0) & np.isfinite(alpha_beta)):
        raise InvalidInput(f"alpha/beta is {alpha_beta} Gy; it must be finite and above 0.")
    if not transition_dose > 0.0:
        raise InvalidInput(f"The transition dose is {transition_dose} Gy; it must be above 0.")
    curved = np.minimum(dose, transition_dose)
    straight = dose - curved
    slope = 1.0 + 2.0 * curved / alpha_beta  # over alpha, where it matters at d_T
    return np.asarray(-alpha * (curved * (1.0 + curved / alpha_beta) + straight * slope))


def surviving_fraction(
    dose: ArrayLike, *, alpha: float, alpha_beta: float, transition_dose: float = np.inf
) -> NDArray[np.float64]:
    """Fraction of cells that survive one fraction; see `log_surviving_fraction`.

    >>> round(float(surviving_fraction(2.0, alpha=0.3, alpha_beta=10.0)), 6)
    0.486752
    """
    return np.exp(
        log_surviving_fraction(
            dose, alpha=alpha, alpha_beta=alpha_beta, transition_dose=transition_dose
        )
    )
