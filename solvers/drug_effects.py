"""What each drug of a schedule does over time: how fast cells die, and what radiation gains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from solvers.dose_response import (
    Kinetics,
    calvert_dose,
    emax_rate,
    one_compartment,
    oral,
    sensitised,
    temozolomide,
    two_compartments,
)
from twin.double_counting import refuse_double_counting
from twin.drugs import load_drug
from twin.errors import InvalidInput
from twin.events import DrugDose

if TYPE_CHECKING:
    from twin.drugs import DrugData
    from twin.parameters import ParameterSet

__all__ = [
    "DrugEffect",
    "EmaxKill",
    "LogKill",
    "acts_on_effector_cells",
    "doses_by_drug",
    "doses_of_patient",
    "drug_effects",
    "kinetics_of",
    "sensitisation",
]

HOURS_PER_DAY = 24.0
#: mL/min in L/h.
LITRES_AN_HOUR = 0.06
#: Calvert's formula: what leaves otherwise than by filtration, [mL/min].
NOT_FILTERED_ML_MIN = 25.0
#: Half-lives of the slowest term after which a dose is gone: a share of 1e-12.
HALF_LIVES = 40.0
#: Widths of panels grow by this factor with the time since a dose.
GROWTH = 1.5
#: Points and weights of Gauss and Legendre on [-1, 1], for a saturating effect.
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(12)


class Patient(Protocol):
    """What doses depend on: a `Twin`, or an `Anatomy`."""

    @property
    def body_surface_m2(self) -> float:
        """Body surface, [m2]."""

    @property
    def gfr_ml_min(self) -> float | None:
        """Glomerular filtration rate, [mL/min]."""


def doses_of_patient(doses: Sequence[DrugDose], patient: Patient) -> tuple[DrugDose, ...]:
    """The doses by this patient's body surface.

    Those for an exposure are worked out as dose = AUC (GFR + 25) (Calvert 1989).

    Raises
    ------
    InvalidInput
        A dose for an exposure, and the patient has no filtration rate.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> patient = SimpleNamespace(body_surface_m2=2.0, gfr_ml_min=75.0)
    >>> doses_of_patient([DrugDose(0.0, "carboplatin", float("nan"), auc=5.0)], patient)[0].mg_m2
    250.0
    """
    return tuple(_of_patient(dose, patient) for dose in doses)


def _of_patient(dose: DrugDose, patient: Patient) -> DrugDose:
    if dose.auc is not None:
        return _calvert(dose, dose.auc, patient)
    if dose.mg is not None:
        return replace(dose, mg_m2=dose.mg / patient.body_surface_m2)
    return dose


def _calvert(dose: DrugDose, auc: float, patient: Patient) -> DrugDose:
    if patient.gfr_ml_min is None:
        raise InvalidInput(
            f"{dose.drug.capitalize()} is given for AUC {auc:g}, but the patient has no filtration "
            'rate; add gfr = "90 mL/min" to [patient], or write the dose in mg/m2.'
        )
    return replace(dose, mg_m2=calvert_dose(auc, patient.gfr_ml_min) / patient.body_surface_m2)


@dataclass(frozen=True, slots=True, eq=False)
class LogKill:
    """Kill by exposure, ``k = kappa r C``: its integral over any interval is exact.

    Parameters
    ----------
    drug : str
    doses : tuple of DrugDose
    kinetics : Kinetics
    tumour_to_plasma : float, [1]
        r.
    kill : float, [L/(mg h)]
        kappa, by the area under the tumour's concentration.
    """

    drug: str
    doses: tuple[DrugDose, ...]
    kinetics: Kinetics
    tumour_to_plasma: float
    kill: float

    def mean_kill(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean kill rate between successive times [day], [1/day], shape (time - 1,)."""
        if self.kill == 0.0:
            return np.zeros(len(times) - 1)
        exposure = self.kinetics.exposure(self.doses, times)
        return self.kill * self.tumour_to_plasma * _mean(exposure, times)


@dataclass(frozen=True, slots=True, eq=False)
class EmaxKill:
    """Kill that saturates, ``k = E_max c^h / (EC50^h + c^h)`` at the tumour's c = r C.

    Its integral is by Gauss and Legendre on panels that widen with the time since the last
    dose, so that neither a fast phase nor a slow one is missed.

    Parameters
    ----------
    drug, doses, kinetics, tumour_to_plasma
        As of `LogKill`.
    largest : float, [1/day]
    half : float, [mg/L]
    hill : float, [1]
    borders : ndarray, [day], shape (panel + 1,)
    sums : ndarray, [1], shape (panel + 1,)
        Integral of the rate up to each border.
    """

    drug: str
    doses: tuple[DrugDose, ...]
    kinetics: Kinetics
    tumour_to_plasma: float
    largest: float
    half: float
    hill: float
    borders: NDArray[np.float64]
    sums: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        drug: str,
        doses: tuple[DrugDose, ...],
        kinetics: Kinetics,
        tumour_to_plasma: float,
        *,
        largest: float,
        half: float,
        hill: float,
    ) -> EmaxKill:
        """The effect with its integral from dose to dose worked out."""
        panels = _panels(doses, kinetics)
        bare = cls(
            drug, doses, kinetics, tumour_to_plasma, largest, half, hill, panels, np.zeros(0)
        )
        each = bare._integral(panels[:-1], panels[1:])
        return replace(bare, sums=np.concatenate([[0.0], np.cumsum(each)]))

    def _integral(
        self, begin: NDArray[np.float64], end: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Integral of the rate inside one panel each, [1], shape of the times."""
        middle, half = 0.5 * (begin + end), 0.5 * (end - begin)
        times = middle[:, None] + half[:, None] * _NODES
        plasma = np.maximum(self.kinetics.concentration(self.doses, times), 0.0)
        rate = emax_rate(
            self.tumour_to_plasma * plasma, largest=self.largest, half=self.half, hill=self.hill
        )
        return half * (rate @ _WEIGHTS)

    def mean_kill(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean kill rate between successive times [day], [1/day], shape (time - 1,)."""
        inside = np.clip(times, self.borders[0], self.borders[-1])
        place = np.clip(
            np.searchsorted(self.borders, inside, side="right") - 1, 0, len(self.sums) - 2
        )
        total = self.sums[place] + self._integral(self.borders[place], inside)
        return _mean(total, times)


DrugEffect = LogKill | EmaxKill


def _mean(total: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Differences by the lengths; 0 where an event and a grid point differ in the last bit."""
    length = np.diff(times)
    return np.divide(np.diff(total), length, out=np.zeros_like(length), where=length > 0)


def _panels(doses: Sequence[DrugDose], kinetics: Kinetics) -> NDArray[np.float64]:
    """Borders of panels from the first dose until the last one is gone, [day]."""
    first = np.log(2.0) / max(kinetics.rates) / HOURS_PER_DAY
    last = HALF_LIVES * np.log(2.0) / min(kinetics.rates) / HOURS_PER_DAY
    count = int(np.ceil(np.log(last * (GROWTH - 1.0) / first + 1.0) / np.log(GROWTH)))
    after = first * (GROWTH ** np.arange(count + 1) - 1.0) / (GROWTH - 1.0)
    starts = {dose.day for dose in doses}
    starts |= {day + kinetics.infusion_h / HOURS_PER_DAY for day in starts}
    days = np.array(sorted(starts))
    found = []
    for begin, end in zip(days, [*days[1:], days[-1] + last], strict=True):
        borders = begin + after
        found.append(borders[borders < end])
    return np.append(np.concatenate(found), days[-1] + last)


def drug_effects(
    doses: Sequence[DrugDose], parameters: ParameterSet, patient: Patient
) -> tuple[DrugEffect, ...]:
    """The effect of each drug that kills, in the order in which they are first given.

    Checkpoint drugs kill nothing by themselves; `solvers.checkpoint` has them.

    Parameters
    ----------
    doses : sequence of DrugDose
    parameters : ParameterSet
        A number of a drug that is in it (``lomustine_kill``) takes the place of the drug's own.
    patient : Twin
    """
    by_drug = doses_by_drug(doses, patient)
    drugs = {name: load_drug(name) for name in by_drug}
    refuse_double_counting(drugs.values(), parameters)
    return tuple(
        _effect(drug, by_drug[name], parameters, patient)
        for name, drug in drugs.items()
        if not acts_on_effector_cells(name)
    )


def acts_on_effector_cells(drug: str) -> bool:
    """Whether a drug kills nothing by itself, but lets effector cells kill faster.

    Examples
    --------
    >>> acts_on_effector_cells("pembrolizumab"), acts_on_effector_cells("lomustine")
    (True, False)
    """
    return load_drug(drug).effect == "checkpoint"


def doses_by_drug(doses: Sequence[DrugDose], patient: Patient) -> dict[str, tuple[DrugDose, ...]]:
    """The patient's doses of each drug, in the order in which they are first given."""
    by_drug: dict[str, tuple[DrugDose, ...]] = {}
    for dose in doses_of_patient(doses, patient):
        by_drug[dose.drug] = (*by_drug.get(dose.drug, ()), dose)
    return by_drug


def _effect(
    drug: DrugData, doses: tuple[DrugDose, ...], parameters: ParameterSet, patient: Patient
) -> DrugEffect:
    if drug.patient_parameters:  # temozolomide, whose kill is by the area under the plasma curve
        kinetics = temozolomide(parameters, patient.body_surface_m2)
        return LogKill(drug.name, doses, kinetics, 1.0, parameters.value(f"{drug.name}_kill"))
    kinetics = kinetics_of(drug, parameters, patient)
    ratio = drug.value("tumour_to_plasma", parameters)
    if drug.effect == "log-kill":
        return LogKill(drug.name, doses, kinetics, ratio, drug.value("kill", parameters))
    return EmaxKill.of(
        drug.name,
        doses,
        kinetics,
        ratio,
        largest=drug.value("largest_kill_rate", parameters),
        half=drug.value("half_concentration", parameters),
        hill=drug.value("hill", parameters),
    )


def kinetics_of(drug: DrugData, parameters: ParameterSet, patient: Patient) -> Kinetics:
    """The kinetics of a drug in a patient, from its clearance, half-lives and volume."""
    surface = patient.body_surface_m2

    def value(quantity: str) -> float:
        return drug.value(quantity, parameters)

    def of_patient(quantity: str) -> float:
        return value(quantity) * (surface if "m2" in drug.unit(quantity) else 1.0)

    clearance = of_patient("clearance")
    if drug.clearance_by_filtration and patient.gfr_ml_min is not None:
        clearance = (patient.gfr_ml_min + NOT_FILTERED_ML_MIN) * LITRES_AN_HOUR
    infusion = value("infusion_time") if drug.has("infusion_time") else 0.0
    if drug.kinetics == "two compartments":
        fast, slow = (np.log(2.0) / value(f"half_life_{which}") for which in ("fast", "slow"))
        volume = of_patient("volume")
        return _two_compartments(drug.name, clearance, volume, fast, slow, surface, infusion)
    half_life = value("half_life")
    if drug.has("absorption"):
        available = value("bioavailability") if drug.has("bioavailability") else 1.0
        return oral(
            clearance_l_h=clearance,
            half_life_h=half_life,
            absorption_1_h=value("absorption"),
            body_surface_m2=surface,
            bioavailability=available,
        )
    return one_compartment(
        clearance_l_h=clearance,
        half_life_h=half_life,
        body_surface_m2=surface,
        infusion_h=infusion,
    )


def _two_compartments(
    name: str,
    clearance: float,
    volume: float,
    fast: float,
    slow: float,
    surface: float,
    infusion: float,
) -> Kinetics:
    """Two compartments by clearance [L/h], volume [L] and both rates [1/h].

    ``k10 = CL/V``, ``k21 = fast slow / k10``, ``k12 = fast + slow - k10 - k21`` (M. Gibaldi and
    D. Perrier, Pharmacokinetics, 1982, chapter 2 [unverified]); the area of a dose is dose/CL.
    """
    k10 = clearance / volume
    if not slow < k10 < fast:
        raise InvalidInput(
            f"{name.capitalize()}: clearance/volume is {k10:.3g} /h, but must lie between the "
            f"rates of its half-lives, {slow:.3g} and {fast:.3g} /h; correct the volume or the "
            "half-lives."
        )
    k21 = fast * slow / k10
    return two_compartments(
        volume_l=volume,
        k10=k10,
        k12=fast + slow - k10 - k21,
        k21=k21,
        body_surface_m2=surface,
        infusion_h=infusion,
    )


def sensitisation(effect: DrugEffect, day: float, parameters: ParameterSet) -> float:
    """Factor on alpha at a fraction, [1]: the stated one above the stated level, else 1."""
    drug = load_drug(effect.drug)
    if drug.interaction == "additive":
        return 1.0
    level = drug.value("sensitising_concentration", parameters)
    there = effect.tumour_to_plasma * float(effect.kinetics.concentration(effect.doses, day))
    return float(
        sensitised(
            1.0,
            1.0 if there >= level else 0.0,
            interaction="supra-additive",
            strength=drug.value("sensitisation", parameters) - 1.0,
        )
    )
