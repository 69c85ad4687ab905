"""How evenly a drug reaches the tumour: everywhere alike, past a barrier, or with perfusion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from twin.drugs import load_drug
from twin.errors import InvalidInput

if TYPE_CHECKING:
    from twin.parameters import ParameterSet
    from twin.regimen import Regimen

__all__ = [
    "BARRIER_QUANTITY",
    "Delivery",
    "check_deliveries",
    "deliveries_of",
    "delivery_remarks",
    "relative_perfusion",
]

#: What a study may say of a drug.
Delivery = Literal["uniform", "barrier", "perfusion"]
#: Quantity of a drug's file that "barrier" takes outside of the enhancing tumour.
BARRIER_QUANTITY = "brain_to_plasma"


class Perfused(Protocol):
    """What delivery asks of a patient: a `Twin`, or an `Anatomy`."""

    @property
    def perfusion(self) -> NDArray[np.float32] | None:
        """Perfusion over the tumour's mean, [1]."""

    @property
    def parameters(self) -> ParameterSet:
        """The parameter set, whose site has a barrier or none."""


def deliveries_of(regimen: Regimen) -> dict[str, str]:
    """The delivery of each drug that a regimen gives by its schedule.

    Raises
    ------
    InvalidInput
        Two courses of one drug that reach the tumour otherwise.
    """
    found: dict[str, str] = {}
    for course in regimen.drugs:
        if found.setdefault(course.name, course.delivery) != course.delivery:
            raise InvalidInput(
                f"Two courses of {course.name} have the deliveries {found[course.name]!r} and "
                f"{course.delivery!r}; give both the same one."
            )
    return found


def check_deliveries(regimen: Regimen, patient: Perfused) -> None:
    """Refuse a delivery for which drug or patient have no numbers.

    Raises
    ------
    InvalidInput
        A barrier for a drug whose file has no ratio in the brain, perfusion without an image, a
        drug that sensitises to radiation but does not reach all alike.
    """
    for name, delivery in deliveries_of(regimen).items():
        if delivery == "uniform":
            continue
        drug = load_drug(name)
        if delivery == "barrier" and not patient.parameters.site.is_brain:
            raise InvalidInput(
                f'{name.capitalize()} has delivery = "barrier", but only the brain has one and the '
                f'parameter set is {patient.parameters.name!r}; write "uniform".'
            )
        if delivery == "barrier" and not drug.has(BARRIER_QUANTITY):
            raise InvalidInput(
                f'{name.capitalize()} has delivery = "barrier", but its file states no '
                f"{BARRIER_QUANTITY}"
                + (
                    ", as its kill is by the plasma and holds the barrier already; "
                    if drug.patient_parameters
                    else "; add it with its source, or "
                )
                + 'write delivery = "uniform".'
            )
        if delivery == "perfusion" and patient.perfusion is None:
            raise InvalidInput(
                f'{name.capitalize()} has delivery = "perfusion", but the patient has no perfusion '
                'image; add perfusion = { file = "..." } to the visit, or write "uniform".'
            )
        if drug.interaction != "additive":
            raise InvalidInput(
                f"{name.capitalize()} makes radiation kill more where its concentration is high; "
                'that is known for delivery = "uniform" only, so write that.'
            )


def delivery_remarks(regimen: Regimen) -> list[str]:
    """What a reader should know of drugs that the brain's barrier would keep out, in sentences.

    Examples
    --------
    >>> from twin.courses import Drug
    >>> from twin.regimen import Regimen
    >>> drug = Drug(name="doxorubicin", schedule="60 mg/m2 every 21 days, 1 cycle", start_day=1.0)
    >>> print(*delivery_remarks(Regimen(drug)))
    Doxorubicin is taken to reach infiltrated brain as it reaches enhancing tumour; delivery =
    "barrier" keeps it out where the barrier is intact.
    """
    return [
        f"{name.capitalize()} is taken to reach infiltrated brain as it reaches enhancing tumour; "
        'delivery = "barrier" keeps it out where the barrier is intact.'
        for name, delivery in deliveries_of(regimen).items()
        if delivery == "uniform" and load_drug(name).has(BARRIER_QUANTITY)
    ]


def relative_perfusion(
    image: NDArray[np.float64],
    tumour: Mapping[str, NDArray[np.bool_]],
    *,
    normal: float | None,
    lowest: float,
    highest: float,
) -> NDArray[np.float32]:
    """Perfusion over its reference, capped, [1], shape of the grid.

    Parameters
    ----------
    image : ndarray, shape of the grid
        Blood volume or permeability, in any unit.
    tumour : mapping of str to ndarray of bool
        With "enhancing" and "flair".
    normal : float or None, [unit of the image]
        The reference; without one it is the mean over enhancing tumour and FLAIR abnormality, and
        the capped map is scaled so that its mean there is 1: the drug then kills as much in all
        as its file says, only elsewhere.
    lowest, highest : float, [1]
        Caps.

    Raises
    ------
    InvalidInput
        Values that are negative or no numbers, no perfusion at all in the tumour.

    Examples
    --------
    >>> enhancing = np.array([True, True, False, False])
    >>> parts = {"enhancing": enhancing, "flair": ~enhancing}
    >>> relative_perfusion(np.array([3.0, 5.0, 1.0, 1.0]), parts, normal=None, lowest=0.1,
    ...     highest=4.0)
    array([1.2, 2. , 0.4, 0.4], dtype=float32)
    """
    values = np.asarray(image, np.float64)
    if not np.isfinite(values).all() or values.min() < 0.0:
        raise InvalidInput(
            "The perfusion image holds values that are negative or no numbers; they must be 0 or "
            "more."
        )
    inside = tumour["enhancing"] | tumour["flair"]
    reference = values[inside].mean() if normal is None else normal
    if not reference > 0.0:
        raise InvalidInput(
            "The perfusion image is 0 all over the tumour; check that it is of this patient and "
            "visit."
        )
    found = np.clip(values / reference, lowest, highest)
    if normal is None:
        found /= found[inside].mean()
    return found.astype(np.float32)
