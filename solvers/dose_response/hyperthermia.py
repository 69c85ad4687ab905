"""Heat: its dose in equivalent minutes, and how much more radiation kills with it.

Thermal dose is the time at 43 degC that does the same, ``CEM43 = t R^(43 - T)`` with R = 0.5 above
and 0.25 below 43 degC (Sapareto and Dewey 1984, Int J Radiat Oncol Biol Phys 10:787, doi
10.1016/0360-3016(84)90379-1).

Radiosensitisation is that of the linear-quadratic model with temperature-dependent parameters,
``alpha(T, t) = alpha(37) (alpha(41)/alpha(37))^((T - 37)/4 exp(-mu |t|))`` and beta alike, t the
time between fraction and heat (van Leeuwen and others 2017, Int J Hyperthermia 33:160
[unverified]; the form as in public simulation code of thermoradiotherapy).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from twin.errors import InvalidInput
from twin.hyperthermia import BODY_CELSIUS, check_temperature

__all__ = ["equivalent_minutes", "thermal_enhancement"]

#: Temperature at which thermal dose is counted, and where its time factor breaks, [degC].
REFERENCE_CELSIUS = 43.0
_ABOVE, _BELOW = 0.5, 0.25
#: Temperature that an enhancement is stated for, [degC].
STATED_CELSIUS = 41.0


def equivalent_minutes(minutes: float, celsius: ArrayLike) -> NDArray[np.float64]:
    """Thermal dose CEM43, [min at 43 degC], shape of `celsius`; 0 at body temperature.

    Parameters
    ----------
    minutes : float, [min]
    celsius : array_like, [degC]
        37 to 47.

    Examples
    --------
    >>> equivalent_minutes(60.0, [37.0, 41.0, 43.0, 44.0]).tolist()
    [0.0, 3.75, 60.0, 120.0]
    """
    warm = _checked(celsius)
    if not 0.0 <= minutes < np.inf:
        raise InvalidInput(f"A session lasts {minutes} min; it must be at least 0 and finite.")
    per_degree = np.where(warm > REFERENCE_CELSIUS, _ABOVE, _BELOW)
    dose = minutes * per_degree ** (REFERENCE_CELSIUS - warm)
    return np.where(warm > BODY_CELSIUS, dose, 0.0)


def thermal_enhancement(
    celsius: ArrayLike, gap_h: float, *, at_41: float, fading: float
) -> NDArray[np.float64]:
    """Factor on alpha, or on beta, of a fraction beside a session of heat, [1].

    Parameters
    ----------
    celsius : array_like, [degC]
        37 (where the factor is 1) to 47.
    gap_h : float, [h]
        From the one's end to the other's beginning, in either order; 0 where they overlap.
    at_41 : float, [1]
        The factor at 41 degC without a gap.
    fading : float, [1/h]
        mu, with which its logarithm falls.

    Examples
    --------
    >>> thermal_enhancement([37.0, 41.0], 0.0, at_41=1.73, fading=0.5).tolist()
    [1.0, 1.73]
    """
    warm = _checked(celsius)
    if not (0.0 < at_41 < np.inf and 0.0 <= fading < np.inf and gap_h >= 0.0):
        raise InvalidInput(
            f"An enhancement of {at_41} at 41 degC that fades with {fading} per hour over {gap_h} "
            "h is none; the first must be above 0, the others at least 0."
        )
    share = np.exp(-fading * gap_h)
    degrees = (warm - BODY_CELSIUS) / (STATED_CELSIUS - BODY_CELSIUS)
    return np.asarray(at_41 ** (degrees * share))


def _checked(celsius: ArrayLike) -> NDArray[np.float64]:
    warm = np.asarray(celsius, np.float64)
    if warm.size:
        check_temperature("The tissue", float(warm.min()), float(warm.max()))
    return warm
