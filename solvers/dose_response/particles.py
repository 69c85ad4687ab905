"""Relative biological effectiveness of protons and carbon ions.

A proton dose d is worth ``RBE d`` of photons. With ``alpha = R alpha_x`` and ``sqrt(beta) = r
sqrt(beta_x)`` of the same cells and x = alpha_x/beta_x, equal effect gives
``RBE = (sqrt(x^2 + 4 d x R + 4 d^2 r^2) - x) / (2 d)``.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from twin.errors import InvalidInput

__all__ = ["PROTON_MODELS", "constant_rbe", "proton_factors", "proton_rbe"]

ProtonModel = Literal["constant", "mcnamara", "wedenberg"]
PROTON_MODELS: tuple[ProtonModel, ...] = ("constant", "mcnamara", "wedenberg")

#: Protons in the clinic: 1.1 everywhere (ICRU report 78 [unverified]).
CLINICAL_PROTON_RBE = 1.1


def proton_factors(
    let_kev_um: ArrayLike, alpha_beta: float, model: Literal["mcnamara", "wedenberg"]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """R and r: factors of alpha and of the root of beta, [1], shape of the LET.

    Parameters
    ----------
    let_kev_um : array_like, [keV/um]
        Dose-averaged linear energy transfer in water.
    alpha_beta : float, [Gy]
        Of the same cells under photons.
    model : {"mcnamara", "wedenberg"}
        A. L. McNamara, J. Schuemann and H. Paganetti 2015, Phys Med Biol 60:8399, doi
        10.1088/0031-9155/60/21/8399; M. Wedenberg, B. K. Lind and B. Hardemark 2013, Acta
        Oncol 52:580, doi 10.3109/0284186X.2012.705892.

    Examples
    --------
    >>> alpha, root_beta = proton_factors(2.0, 10.0, "wedenberg")
    >>> round(float(alpha), 4), float(root_beta)
    (1.0868, 1.0)
    """
    let = np.asarray(let_kev_um, np.float64)
    if not ((let >= 0.0) & (let < np.inf)).all():
        raise InvalidInput("An LET is negative or not finite; it must be at least 0 keV/um.")
    if not 0.0 < alpha_beta < np.inf:
        raise InvalidInput(f"alpha/beta is {alpha_beta} Gy; it must be finite and above 0.")
    if model == "mcnamara":
        return (
            0.99064 + 0.35605 * let / alpha_beta,
            1.1012 - 0.0038703 * np.sqrt(alpha_beta) * let,
        )
    if model == "wedenberg":
        return 1.0 + 0.434 * let / alpha_beta, np.ones_like(let)
    raise InvalidInput(f"The proton model is {model!r}; it may be 'mcnamara' or 'wedenberg'.")


def proton_rbe(
    dose: ArrayLike,
    let_kev_um: ArrayLike = 0.0,
    *,
    alpha_beta: float,
    model: ProtonModel,
) -> NDArray[np.float64]:
    """Relative biological effectiveness of a proton dose, [1].

    Parameters
    ----------
    dose : array_like, [Gy]
        Physical proton dose of one fraction; at 0 Gy the limit R is given.
    let_kev_um : array_like, [keV/um]
        Not read by the constant model.
    alpha_beta : float, [Gy]
    model : {"constant", "mcnamara", "wedenberg"}

    Examples
    --------
    >>> round(float(proton_rbe(2.0, 2.5, alpha_beta=10.0, model="mcnamara")), 4)
    1.0769
    >>> float(proton_rbe(2.0, alpha_beta=10.0, model="constant"))
    1.1
    """
    d = np.asarray(dose, np.float64)
    if not ((d >= 0.0) & (d < np.inf)).all():
        raise InvalidInput("A dose is negative or not finite; every dose must be at least 0 Gy.")
    if model == "constant":
        return constant_rbe(d, CLINICAL_PROTON_RBE)
    R, r = proton_factors(let_kev_um, alpha_beta, model)
    x = alpha_beta
    safe = np.where(d > 0.0, d, 1.0)
    root = np.sqrt(x * x + 4.0 * safe * x * R + 4.0 * safe**2 * r**2)
    return np.where(d > 0.0, (root - x) / (2.0 * safe), R)


def constant_rbe(dose: ArrayLike, value: float) -> NDArray[np.float64]:
    """The same effectiveness everywhere, [1]: 1.1 for protons, 2 to 4 for carbon ions.

    Carbon's varies strongly with depth; one number for it is coarse and has to be stated.

    Examples
    --------
    >>> constant_rbe([1.0, 2.0], 3.0).tolist()
    [3.0, 3.0]
    """
    if not 0.5 <= value <= 6.0:
        raise InvalidInput(
            f"The relative biological effectiveness is {value}; it must lie between 0.5 and 6."
        )
    return np.full(np.shape(dose), float(value))
