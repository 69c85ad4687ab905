"""How much of a dose counts where oxygen is lacking, from an image of hypoxia.

The image's ratio r of uptake to blood gives the partial pressure of oxygen by the sigmoid
``r = r_oxic + (r_anoxic - r_oxic)/(1 + p/h)``, the pressure an enhancement ratio (Alper and
Howard-Flanders 1956, `solvers.dose_response.oxygen`), and f = OER/m times the dose counts: alpha
by f, beta by f squared. Alpha and beta fitted to patients hold some hypoxia already, so that f is
divided by its mean over the tumour, unless they are stated to be of cells with plenty of oxygen.

The form is that of I. Toma-Dasu and others 2012, Acta Oncol 51:222 [unverified], in which uptake
falls hyperbolically with the pressure; its numbers here are assumed. Reoxygenation during a
course is not in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from twin.errors import InvalidInput

if TYPE_CHECKING:
    from twin.hypoxia import HypoxiaImage
    from twin.parameters import ParameterSet

__all__ = [
    "HYPOXIA_PARAMETERS",
    "dose_factor",
    "hypoxia_sentence",
    "lack_of_oxygen",
    "mean_share",
    "oxygen_share",
]

HYPOXIA_PARAMETERS = (
    "hypoxia_ratio_oxic", "hypoxia_ratio_anoxic", "hypoxia_half_pressure", "oer_maximum",
    "oer_half_pressure",
)  # fmt: skip


def lack_of_oxygen(ratio: NDArray[np.floating], oxic: float, anoxic: float) -> NDArray[np.float64]:
    """``h/(p + h)``, [1]: 0 with plenty of oxygen, 1 without; ratios beyond the ends count as them.

    Raises
    ------
    InvalidInput
        The uptake without oxygen is not above that with plenty.

    Examples
    --------
    >>> lack_of_oxygen(np.array([0.5, 2.0, 4.0]), 1.0, 3.0).tolist()
    [0.0, 0.5, 1.0]
    """
    if not oxic < anoxic < np.inf:
        raise InvalidInput(
            f"Uptake rises without oxygen: hypoxia_ratio_anoxic ({anoxic:g}) must be above "
            f"hypoxia_ratio_oxic ({oxic:g})."
        )
    return np.clip((np.asarray(ratio, np.float64) - oxic) / (anoxic - oxic), 0.0, 1.0)


def oxygen_share(ratio: NDArray[np.floating], parameters: ParameterSet) -> NDArray[np.float64]:
    """Share f = OER/m of the dose that counts, [1], shape of the ratio.

    With s = h/(p + h) the pressure is h (1 - s)/s, which is put into (m p + k)/(p + k).
    """
    oxic, anoxic, half, most, of_half = (parameters.value(name) for name in HYPOXIA_PARAMETERS)
    lack = lack_of_oxygen(ratio, oxic, anoxic)
    plenty = half * (1.0 - lack)
    found: NDArray[np.float64] = (most * plenty + of_half * lack) / (plenty + of_half * lack) / most
    return found


def mean_share(image: HypoxiaImage, tumour: NDArray[np.bool_], parameters: ParameterSet) -> float:
    """What f is divided by: its mean over the tumour, or 1 where alpha is of oxic cells, [1]."""
    if image.alpha == "oxic":
        return 1.0
    return float(oxygen_share(image.ratio[tumour], parameters).mean())


def dose_factor(
    image: HypoxiaImage,
    ratio: NDArray[np.floating],
    tumour: NDArray[np.bool_],
    parameters: ParameterSet,
) -> NDArray[np.float64]:
    """Factor of the dose at places with these ratios, [1], shape of `ratio`.

    Parameters
    ----------
    image : HypoxiaImage
    ratio : ndarray, [1]
        Of the image, at the nodes for example.
    tumour : ndarray of bool, shape of the image
        Viable parts of it, over which alpha and beta are the mean.
    parameters : ParameterSet
    """
    return oxygen_share(ratio, parameters) / mean_share(image, tumour, parameters)


def hypoxia_sentence(
    image: HypoxiaImage, tumour: NDArray[np.bool_], parameters: ParameterSet
) -> str:
    """What the image does to a dose in the tumour, in words."""
    ratio = image.ratio[tumour]
    low, high = np.percentile(dose_factor(image, ratio, tumour, parameters), [5, 95])
    mean = float(oxygen_share(ratio, parameters).mean())
    meant = (
        f"divided by their mean of {mean:.2f}, since alpha and beta are the tumour's mean"
        if image.alpha == "mean"
        else f"on average {mean:.2f}, since alpha and beta are those of cells with plenty of oxygen"
    )
    return (
        f"By {image.tracer.upper()}-PET a dose counts {low:.2f} to {high:.2f} times in the tumour "
        f"without necrosis (5 to 95 %; shares of OER/m {meant}). BED and EQD2 of the tumour leave "
        "that out; the image is of day 0 and does not change. The way from uptake to oxygen is "
        "assumed (grade D)."
    )
