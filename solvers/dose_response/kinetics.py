"""Concentration of a drug in plasma and its exposure, from its doses.

Every route of one compartment and a bolus into two is a sum of exponentials after each dose,
``C(t) = sum_k a_k exp(-r_k t)``, so concentrations and areas of any schedule superpose in
closed form. An infusion is the area of a bolus of unit dose since its beginning, less that
since its end. Rates are in 1/h, times of doses in days as everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from twin.errors import InvalidInput
from twin.parameters import ParameterSet

__all__ = [
    "Dose",
    "Kinetics",
    "calvert_dose",
    "one_compartment",
    "oral",
    "temozolomide",
    "two_compartments",
]

HOURS_PER_DAY = 24.0


class Dose(Protocol):
    """When and how much: a `DrugDose`, or anything like it."""

    @property
    def day(self) -> float:
        """When it begins, [day]."""

    @property
    def mg_m2(self) -> float:
        """Amount by body surface, [mg/m2]."""


def _positive(kind: str, **values: float) -> None:
    for name, value in values.items():
        if not 0.0 < value < np.inf:
            raise InvalidInput(f"{kind}: {name} is {value}; it must be finite and above 0.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kinetics:
    """Response of the plasma to one milligram: ``sum_k amplitude_k exp(-rate_k t)``.

    Parameters
    ----------
    amplitudes : tuple of float, [1/L]
        Concentration of each term at the dose, by milligram; they sum to 0 for an oral dose.
    rates : tuple of float, [1/h]
    body_surface_m2 : float, [m2]
        Turns doses by body surface into milligrams.
    infusion_h : float, [h]
        How long each dose runs; 0 is a bolus.
    """

    amplitudes: tuple[float, ...]
    rates: tuple[float, ...]
    body_surface_m2: float
    infusion_h: float = 0.0

    def __post_init__(self) -> None:
        _positive("Kinetics", body_surface_m2=self.body_surface_m2)
        if len(self.amplitudes) != len(self.rates) or not self.rates:
            raise InvalidInput("Kinetics need one amplitude for each rate, and at least one.")
        for rate in self.rates:
            _positive("Kinetics", rate=rate)
        if not 0.0 <= self.infusion_h < np.inf:
            raise InvalidInput(f"An infusion of {self.infusion_h} h; it must be at least 0 h.")

    def concentration(self, doses: Sequence[Dose], times: ArrayLike) -> NDArray[np.float64]:
        """Concentration in plasma, [mg/L], shape of the times; a dose at t counts at t.

        Parameters
        ----------
        doses : sequence of Dose
            All of one drug.
        times : array_like, [day], any shape
        """
        if self.infusion_h == 0.0:
            return self._superposed(doses, times, self._response)
        # the rate is 1/T milligram an hour: the area since the beginning less that since the end
        length = self.infusion_h
        return self._superposed(
            doses,
            times,
            lambda hours: (self._area(hours) - self._area(hours - length)) / length,
        )

    def exposure(self, doses: Sequence[Dose], times: ArrayLike) -> NDArray[np.float64]:
        """Area under the concentration from the first dose to each time, [mg h/L].

        Parameters
        ----------
        doses : sequence of Dose
            All of one drug; a dose at time t counts from t on.
        times : array_like, [day], any shape
        """
        if self.infusion_h == 0.0:
            return self._superposed(doses, times, self._area)
        length = self.infusion_h
        return self._superposed(
            doses,
            times,
            lambda hours: (self._twice(hours) - self._twice(hours - length)) / length,
        )

    def _superposed(self, doses, times, response) -> NDArray[np.float64]:  # type: ignore[no-untyped-def]
        times = np.asarray(times, np.float64)
        latest = times.max(initial=-np.inf)
        given = [dose for dose in doses if dose.day <= latest]  # later ones add nothing
        if not given:
            return np.zeros(times.shape)
        column = (-1, *(1,) * times.ndim)
        days = np.array([dose.day for dose in given]).reshape(column)
        amounts = np.array([dose.mg_m2 * self.body_surface_m2 for dose in given]).reshape(column)
        each = amounts * response((times - days) * HOURS_PER_DAY)
        # in the order of the doses: the sum has the same bits whatever comes after
        return np.asarray(np.add.accumulate(each, axis=0)[-1])

    def _response(self, hours: NDArray[np.float64]) -> NDArray[np.float64]:
        """Concentration of a bolus of 1 mg, [1/L]."""
        after = np.maximum(hours, 0.0)
        found = sum(a * np.exp(-r * after) for a, r in self._terms)
        return np.where(hours >= 0.0, found, 0.0)

    def _area(self, hours: NDArray[np.float64]) -> NDArray[np.float64]:
        """Area of a bolus of 1 mg since it was given, [h/L]."""
        after = np.maximum(hours, 0.0)
        return np.asarray(sum(a / r * -np.expm1(-r * after) for a, r in self._terms))

    def _twice(self, hours: NDArray[np.float64]) -> NDArray[np.float64]:
        """Integral of `_area`, [h2/L]."""
        after = np.maximum(hours, 0.0)
        return np.asarray(sum(a / r * (after + np.expm1(-r * after) / r) for a, r in self._terms))

    @property
    def _terms(self) -> list[tuple[float, float]]:
        return list(zip(self.amplitudes, self.rates, strict=True))

    def peak(self, dose_mg: float) -> float:
        """Greatest concentration after one dose, [mg/L].

        At the end of an infusion, at the dose of a bolus, and where absorption and
        elimination of an oral dose are equal.
        """
        unit = _OneDose(0.0, dose_mg / self.body_surface_m2)
        if self.infusion_h > 0.0:
            return float(self.concentration([unit], self.infusion_h / HOURS_PER_DAY))
        if sum(self.amplitudes) > 1e-12 * max(abs(a) for a in self.amplitudes):
            return float(self.concentration([unit], 0.0))
        fast, slow = max(self.rates), min(self.rates)
        at = np.log(fast / slow) / (fast - slow)
        return float(self.concentration([unit], at / HOURS_PER_DAY))

    def steady(self, dose_mg: float, interval_h: float) -> tuple[float, float]:
        """Concentration just after a dose, and its mean, of equal boluses for ever, [mg/L].

        Parameters
        ----------
        dose_mg : float, [mg]
        interval_h : float, [h]
            Between doses.
        """
        _positive("Kinetics", dose_mg=dose_mg, interval_h=interval_h)
        after = sum(a / -np.expm1(-r * interval_h) for a, r in self._terms)
        mean = sum(a / r for a, r in self._terms) / interval_h
        return dose_mg * float(after), dose_mg * float(mean)


@dataclass(frozen=True, slots=True)
class _OneDose:
    day: float
    mg_m2: float


def one_compartment(
    *, clearance_l_h: float, half_life_h: float, body_surface_m2: float, infusion_h: float = 0.0
) -> Kinetics:
    """Kinetics of boluses or infusions into one compartment, ``C(t) = (dose/V) exp(-k t)``.

    ``k = ln 2 / half-life = CL/V``, so the area under one dose's curve is ``dose/CL``.

    Examples
    --------
    >>> kinetics = one_compartment(clearance_l_h=10, half_life_h=2.1, body_surface_m2=2.0)
    >>> round(float(kinetics.exposure([_OneDose(0.0, 75.0)], 30.0)), 9)
    15.0
    """
    _positive("One compartment", clearance_l_h=clearance_l_h, half_life_h=half_life_h)
    rate = float(np.log(2.0) / half_life_h)
    return Kinetics(
        amplitudes=(rate / clearance_l_h,),
        rates=(rate,),
        body_surface_m2=body_surface_m2,
        infusion_h=infusion_h,
    )


def oral(
    *,
    clearance_l_h: float,
    half_life_h: float,
    absorption_1_h: float,
    body_surface_m2: float,
    bioavailability: float = 1.0,
) -> Kinetics:
    """Kinetics of oral doses into one compartment, first-order absorption (Bateman).

    ``C(t) = F dose ka / (V (ka - k)) (exp(-k t) - exp(-ka t))``; where ka and k are equal to
    one part in a million they are set that far apart.

    Parameters
    ----------
    clearance_l_h : float, [L/h]
    half_life_h : float, [h]
        Of elimination.
    absorption_1_h : float, [1/h]
        ka.
    body_surface_m2 : float, [m2]
    bioavailability : float, [1]
        F, above 0 and at most 1.

    Examples
    --------
    >>> kinetics = oral(
    ...     clearance_l_h=10, half_life_h=2.1, absorption_1_h=5.8, body_surface_m2=2.0
    ... )
    >>> round(float(kinetics.exposure([_OneDose(0.0, 75.0)], 30.0)), 9)
    15.0
    """
    _positive(
        "An oral dose",
        clearance_l_h=clearance_l_h,
        half_life_h=half_life_h,
        absorption_1_h=absorption_1_h,
    )
    if not 0.0 < bioavailability <= 1.0:
        raise InvalidInput(
            f"The bioavailability is {bioavailability}; it must be above 0 and at most 1."
        )
    rate = float(np.log(2.0) / half_life_h)
    if abs(absorption_1_h / rate - 1.0) < 1e-6:
        absorption_1_h = rate * (1.0 + 1e-6)
    size = bioavailability * absorption_1_h * rate / clearance_l_h / (absorption_1_h - rate)
    return Kinetics(
        amplitudes=(size, -size), rates=(rate, absorption_1_h), body_surface_m2=body_surface_m2
    )


def two_compartments(
    *,
    volume_l: float,
    k10: float,
    k12: float,
    k21: float,
    body_surface_m2: float,
    infusion_h: float = 0.0,
) -> Kinetics:
    """Kinetics of boluses or infusions into a plasma that exchanges with tissue.

    ``C' = -(k10 + k12) C + k21 P``, ``P' = k12 C - k21 P``: two exponentials, the fast one
    of distribution and the slow one of elimination. One compartment gets the peak or the
    tail of such a drug (doxorubicin) badly wrong.

    Parameters
    ----------
    volume_l : float, [L]
        Of the plasma's compartment.
    k10, k12, k21 : float, [1/h]
        Elimination, to tissue, and back.
    body_surface_m2 : float, [m2]
    infusion_h : float, [h]

    Examples
    --------
    >>> kinetics = two_compartments(
    ...     volume_l=25.0, k10=0.6, k12=3.0, k21=0.15, body_surface_m2=2.0
    ... )
    >>> round(float(kinetics.concentration([_OneDose(0.0, 50.0)], 1.0)), 6)
    0.076159
    """
    _positive("Two compartments", volume_l=volume_l, k10=k10, k12=k12, k21=k21)
    total = k10 + k12 + k21
    root = float(np.sqrt(total * total - 4.0 * k10 * k21))
    fast = 0.5 * (total + root)
    slow = k10 * k21 / fast  # not the difference, which cancels
    a_fast = (fast - k21) / (fast - slow) / volume_l
    a_slow = (k21 - slow) / (fast - slow) / volume_l
    return Kinetics(
        amplitudes=(a_fast, a_slow),
        rates=(fast, slow),
        body_surface_m2=body_surface_m2,
        infusion_h=infusion_h,
    )


def temozolomide(parameters: ParameterSet, body_surface_m2: float) -> Kinetics:
    """Kinetics of temozolomide for these parameters and this body surface, [m2].

    Absorbed within minutes, so taken as a bolus (Ostermann et al. 2004, Clin Cancer Res
    10:3728, doi 10.1158/1078-0432.CCR-03-0807).
    """
    return one_compartment(
        clearance_l_h=parameters.value("temozolomide_clearance"),
        half_life_h=parameters.value("temozolomide_half_life"),
        body_surface_m2=body_surface_m2,
    )


def calvert_dose(target_auc: float, filtration_ml_min: float) -> float:
    """Dose of carboplatin for an exposure, ``AUC (GFR + 25)``, [mg].

    Calvert 1989, J Clin Oncol 7:1748, doi 10.1200/JCO.1989.7.11.1748.

    Parameters
    ----------
    target_auc : float, [mg min/mL]
        5 to 6; in mg h/L it is 1000/60 times as large a number.
    filtration_ml_min : float, [mL/min]
        Glomerular filtration rate.

    Examples
    --------
    >>> calvert_dose(5.0, 90.0)
    575.0
    """
    _positive("Calvert's formula", target_auc=target_auc)
    if not 0.0 <= filtration_ml_min <= 250.0:
        raise InvalidInput(
            f"The filtration rate is {filtration_ml_min} mL/min; it lies between 0 and 250."
        )
    return target_auc * (filtration_ml_min + 25.0)
