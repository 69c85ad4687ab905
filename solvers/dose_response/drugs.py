"""What a drug's concentration or exposure does to cells, alone and with radiation."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from twin.errors import InvalidInput

__all__ = ["INTERACTIONS", "emax_rate", "log_kill", "sensitised"]

Interaction = Literal["additive", "supra-additive"]
INTERACTIONS: tuple[Interaction, ...] = ("additive", "supra-additive")


def log_kill(exposure: ArrayLike, kill: float) -> NDArray[np.float64]:
    """Fraction of cells that survive an exposure, ``S = exp(-kappa AUC)``, [1].

    Parameters
    ----------
    exposure : array_like, [mg h/L]
        Area under the concentration.
    kill : float, [L/(mg h)]
        kappa, calibrated.

    Examples
    --------
    >>> round(float(log_kill(15.0, 0.05)), 4)
    0.4724
    """
    area = np.asarray(exposure, np.float64)
    if not ((area >= 0.0) & (area < np.inf)).all() or not 0.0 <= kill < np.inf:
        raise InvalidInput("An exposure and its kill must be finite and at least 0.")
    return np.exp(-kill * area)


def emax_rate(
    concentration: ArrayLike, *, largest: float, half: float, hill: float
) -> NDArray[np.float64]:
    """Rate at which cells die, ``E_max C^h / (EC50^h + C^h)``, [1/day].

    A. V. Hill 1910 [unverified]; it saturates, where log-kill goes on rising.

    Parameters
    ----------
    concentration : array_like, [mg/L]
    largest : float, [1/day]
        E_max.
    half : float, [mg/L]
        EC50, of half the effect.
    hill : float, [1]
        Steepness, 1 to 4.

    Examples
    --------
    >>> float(emax_rate(5.0, largest=1.2, half=5.0, hill=2.0))
    0.6
    """
    c = np.asarray(concentration, np.float64)
    if not ((c >= 0.0) & (c < np.inf)).all():
        raise InvalidInput("A concentration is negative or not finite; it is at least 0 mg/L.")
    if not (0.0 <= largest < np.inf and 0.0 < half < np.inf and 0.0 < hill < np.inf):
        raise InvalidInput(
            f"An Emax effect needs 0 <= E_max, 0 < EC50 and 0 < h, all finite, not {largest:g} "
            f"/day, {half:g} mg/L and {hill:g}."
        )
    ratio = (c / half) ** hill
    return np.asarray(largest * ratio / (1.0 + ratio))


def sensitised(
    alpha: float, concentration: ArrayLike, *, interaction: Interaction, strength: float = 0.0
) -> NDArray[np.float64]:
    """Alpha while the drug is there, [1/Gy], shape of the concentration.

    "additive": radiation and drug kill as if alone. "supra-additive": ``alpha (1 + s C)``,
    the drug makes radiation kill more in proportion to its concentration at the fraction.

    Parameters
    ----------
    alpha : float, [1/Gy]
    concentration : array_like, [mg/L]
        At the time of the fraction.
    interaction : {"additive", "supra-additive"}
    strength : float, [L/mg]
        s; must be 0 where the interaction is additive.

    Examples
    --------
    >>> round(float(sensitised(0.1, 5.0, interaction="supra-additive", strength=0.02)), 12)
    0.11
    """
    if interaction not in INTERACTIONS:
        raise InvalidInput(
            f"The interaction is {interaction!r}; it may be {' or '.join(INTERACTIONS)}."
        )
    if not 0.0 <= strength < np.inf or (interaction == "additive" and strength != 0.0):
        raise InvalidInput(
            f"The strength of the interaction is {strength:g} L/mg; it must be at least 0, and 0 "
            "where the effects are additive."
        )
    c = np.asarray(concentration, np.float64)
    if not ((c >= 0.0) & (c < np.inf)).all():
        raise InvalidInput("A concentration is negative or not finite; it is at least 0 mg/L.")
    return np.asarray(alpha * (1.0 + strength * c))
