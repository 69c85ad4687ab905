"""The oxygen effect: cells without oxygen need up to m times the dose.

The oxygen enhancement ratio ``OER(p) = (m p + k)/(p + k)`` runs from 1 without oxygen to m
with plenty, halfway at ``p = k`` (Alper and Howard-Flanders 1956, Nature 178:978, doi
10.1038/178978a0 [unverified]). With alpha and beta of cells rich in oxygen, the dose counts
by ``f = OER/m``, so alpha by f and beta by **f squared**. Alpha and beta fitted to patients
already hold some hypoxia: do not count it twice.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from twin.errors import InvalidInput

__all__ = ["hypoxia_factor", "oxygen_enhancement", "with_hypoxia"]


def oxygen_enhancement(pressure: ArrayLike, maximum: float, half: float) -> NDArray[np.float64]:
    """Oxygen enhancement ratio, ``(m p + k)/(p + k)``, [1], shape of the pressure.

    Parameters
    ----------
    pressure : array_like, [mmHg]
        Partial pressure of oxygen.
    maximum : float, [1]
        m: the ratio with plenty of oxygen, at least 1 (about 3).
    half : float, [mmHg]
        k: the pressure of half the effect (about 3).

    Raises
    ------
    InvalidInput
        A pressure that is negative or not finite, m below 1, k not above 0.

    Examples
    --------
    >>> oxygen_enhancement([0.0, 3.0], 3.0, 3.0).tolist()
    [1.0, 2.0]
    """
    p = np.asarray(pressure, np.float64)
    if not ((p >= 0.0) & (p < np.inf)).all():
        raise InvalidInput(
            f"A partial pressure of oxygen is {p.min() if p.size else p!r} mmHg or not finite; "
            "each must be finite and at least 0."
        )
    if not (1.0 <= maximum < np.inf and 0.0 < half < np.inf):
        raise InvalidInput(
            f"The oxygen enhancement has the maximum {maximum!r} and the half pressure {half!r} "
            "mmHg; the one is at least 1, the other above 0, both finite."
        )
    return np.asarray((maximum * p + half) / (p + half))


def hypoxia_factor(pressure: ArrayLike, maximum: float, half: float) -> NDArray[np.float64]:
    """Share of the dose that counts, ``f = OER/m``, [1]: 1/m without oxygen, 1 with plenty.

    Examples
    --------
    >>> hypoxia_factor(0.0, 2.0, 3.0).item()
    0.5
    """
    return oxygen_enhancement(pressure, maximum, half) / maximum


def with_hypoxia(
    alpha: ArrayLike, beta: ArrayLike, pressure: ArrayLike, maximum: float, half: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Radiosensitivities where oxygen is lacking: ``f alpha`` [1/Gy], ``f^2 beta`` [1/Gy2].

    Parameters
    ----------
    alpha, beta : array_like, [1/Gy] and [1/Gy2]
        Of cells rich in oxygen.
    pressure, maximum, half
        As in `oxygen_enhancement`.

    Examples
    --------
    >>> alpha, beta = with_hypoxia(0.3, 0.03, 0.0, 2.0, 3.0)
    >>> round(float(alpha), 9), round(float(beta), 9)
    (0.15, 0.0075)
    """
    f = hypoxia_factor(pressure, maximum, half)
    return f * np.asarray(alpha, np.float64), f**2 * np.asarray(beta, np.float64)
