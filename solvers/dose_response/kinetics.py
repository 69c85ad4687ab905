"""Concentration of a drug in plasma, from its doses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from twin.errors import InvalidInput
from twin.events import DrugDose
from twin.parameters import ParameterSet

__all__ = ["OneCompartment"]

HOURS_PER_DAY = 24.0


@dataclass(frozen=True, slots=True)
class OneCompartment:
    """One-compartment kinetics after bolus doses.

    ``C(t) = (dose/V) exp(-k t)`` with ``k = ln 2 / half-life`` and ``V = CL/k``,
    so the area under one dose's curve is ``dose/CL`` (temozolomide: Ostermann
    et al. 2004, Clin Cancer Res 10:3728, doi 10.1158/1078-0432.CCR-03-0807).

    Parameters
    ----------
    clearance_l_h : float, [L/h]
    half_life_h : float, [h]
    body_surface_m2 : float, [m2]
        Turns doses by body surface into milligrams.
    """

    clearance_l_h: float
    half_life_h: float
    body_surface_m2: float

    def __post_init__(self) -> None:
        for name in ("clearance_l_h", "half_life_h", "body_surface_m2"):
            value = getattr(self, name)
            if not 0.0 < value < np.inf:
                raise InvalidInput(f"{name} is {value}; it must be finite and above 0.")

    @classmethod
    def of_temozolomide(cls, parameters: ParameterSet, body_surface_m2: float) -> OneCompartment:
        """Kinetics of temozolomide for these parameters and this body surface, [m2]."""
        return cls(
            clearance_l_h=parameters.value("temozolomide_clearance"),
            half_life_h=parameters.value("temozolomide_half_life"),
            body_surface_m2=body_surface_m2,
        )

    def exposure(self, doses: Sequence[DrugDose], times: ArrayLike) -> NDArray[np.float64]:
        """Area under the concentration from the first dose to each time, [mg h/L].

        Parameters
        ----------
        doses : sequence of DrugDose
            All of one drug; a dose at time t counts from t on.
        times : array_like, [day], any shape

        Examples
        --------
        >>> kinetics = OneCompartment(clearance_l_h=10, half_life_h=2.1, body_surface_m2=2.0)
        >>> float(kinetics.exposure([DrugDose(0.0, "temozolomide", 75.0)], 30.0))
        15.0
        """
        times = np.asarray(times, np.float64)
        rate = np.log(2.0) / self.half_life_h * HOURS_PER_DAY
        total = np.zeros(times.shape)
        for dose in doses:
            area = dose.mg_m2 * self.body_surface_m2 / self.clearance_l_h
            total += area * -np.expm1(-rate * np.maximum(times - dose.day, 0.0))
        return total
