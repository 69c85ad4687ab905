"""The probability of tumour control of every arm, where the tumour is treated to cure.

``TCP = exp(-sum n V S)`` over the voxels of the gross tumour, n the density of clonogens and S what
survives all fractions, with incomplete repair between those of a day and with repopulation from
its kick-off time on where the parameters have one. It is asked of a model without growth alone:
with growth the equation repopulates itself, and its radiosensitivity is one fitted to images.

Three numbers stand beside each other, since one patient's curve is far too steep for many
(S. Webb and A. E. Nahum 1993, Phys Med Biol 38:653, doi 10.1088/0031-9155/38/6/001):

- of one patient with the values of the parameters (Poisson);
- of the population: the mean over patients whose alpha varies by its prior;
- its 90 % interval: the population's number where alpha/beta, the density of clonogens and
  repopulation are drawn from their priors, seeded.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from scenarios.metrics import tumour_control
from solvers.dose_response import log_surviving_fraction, repair_between
from solvers.radiosensitivity import REPOPULATION, check_basis
from twin.dose import dose_maps
from twin.parameters import Normal
from twin.targets import structure_mask

if TYPE_CHECKING:
    from twin.parameters import Parameter, ParameterSet
    from twin.patient import Twin
    from twin.regimen import Regimen

__all__ = [
    "CONTROL_PARAMETERS",
    "RULE",
    "ControlProbability",
    "control_of",
    "control_sentence",
    "percent_of_control",
    "regrown_bed",
]

#: Doses of voxels are counted in steps of this, [Gy a fraction].
DOSE_STEP_GY = 1e-3
#: Patients of the population, at the middles of as many equal shares of alpha's prior.
PATIENTS = 64
#: Draws of what is not known about all patients, one in each of as many equal shares of a prior.
DRAWS = 1024
SEED = 20260330
#: Parameters that are drawn for the interval, where they have a prior.
_UNKNOWN = ("alpha_beta", "clonogen_density", *REPOPULATION, "repair_half_life")

#: All that a probability of control depends on.
CONTROL_PARAMETERS = ("alpha", *_UNKNOWN, "transition_dose")

NO_RADIOTHERAPY = "Without radiotherapy there is no probability of control."
WITH_GROWTH = "The model grows, so that control is not asked of it."
NO_CLONOGENS = "The parameters have no clonogen_density."
OTHER_TREATMENT = (
    "Drugs and operations are not in a probability of control, nor is heat, and this arm has some."
)
BY_LET = "An effectiveness by LET is not in a probability of control; give the dose a constant rbe."
REDRAWN_TARGET = "A target that is redrawn during the run is not in a probability of control."
BY_OXYGEN = "A hypoxia image is not in a probability of control; leave it out of the patient file."
RULE = (
    "Tumour control (TCP) is exp(-surviving clonogens) of the gross tumour of day 0, by its dose "
    "in each voxel: of one patient with the values of the parameters, and of a population whose "
    "alpha varies between patients by its prior, with the 90 % interval from the priors of "
    "alpha/beta, clonogen density and repopulation (seeded; not that of the mean alpha nor of the "
    "model, and misses of the target, hypoxia and spread are not in it). A geometric dose covers "
    "its target by construction. Without growth there is no progression: it could only be told of "
    "tumours that were not controlled."
)


@dataclass(frozen=True, slots=True)
class ControlProbability:
    """Probability of tumour control of one arm, [1]; not a number where there is none.

    Parameters
    ----------
    patient : float, [1]
        Of one patient with the values of the parameters.
    population : float, [1]
        Mean over patients whose alpha varies.
    low, high : float, [1]
        Its 90 % interval.
    clonogens : float
        In the gross tumour before treatment, [cells].
    draws : tuple of float, [1]
        The population's under each draw; the same draws for every arm, so that arms compare.
    reason : str
        Why there is none; empty where there is one.
    """

    patient: float = math.nan
    population: float = math.nan
    low: float = math.nan
    high: float = math.nan
    clonogens: float = math.nan
    draws: tuple[float, ...] = ()
    reason: str = ""

    @property
    def known(self) -> bool:
        """Whether there is a probability."""
        return math.isfinite(self.patient)

    def record(self) -> dict[str, Any]:
        """As plain data that JSON can hold."""
        if not self.known:
            return {"reason": self.reason}
        return {
            "patient": self.patient,
            "population": self.population,
            "interval_90": [self.low, self.high],
            "clonogens": self.clonogens,
        }


@dataclass(frozen=True, slots=True)
class _Doses:
    """Doses of the gross tumour, sorted into places of one dose.

    Parameters
    ----------
    each_gy : ndarray, [Gy], shape (course, place)
        Of one fraction.
    volume_mm3 : ndarray, [mm3], shape (place,)
    given : tuple of int
        Fractions of each course.
    hours : tuple of ndarray, [h], shape (fraction,)
        When each course's are given.
    overall_day : float, [day]
        From the first fraction of all to the last.
    """

    each_gy: NDArray[np.float64]
    volume_mm3: NDArray[np.float64]
    given: tuple[int, ...]
    hours: tuple[NDArray[np.float64], ...]
    overall_day: float


def control_of(twin: Twin, regimen: Regimen) -> ControlProbability:
    """Probability of tumour control of a regimen.

    Parameters
    ----------
    twin : Twin
        With the parameters and set-up error of a case; or any object with its voxels, such as an
        `Anatomy`.
    regimen : Regimen
        Treatment before day 0 is in the images, and not counted.

    Raises
    ------
    InvalidInput
        A radiosensitivity of another basis than tumour control.
    """
    reason = _reason(twin, regimen)
    if reason:
        return ControlProbability(reason=reason)
    parameters = twin.parameters
    check_basis(parameters, twin.model)
    doses = _doses_of(twin, regimen)
    values = {name: parameters.value(name) for name in _used(parameters)}
    drawn = [_population(doses, parameters, one) for one in _draws(parameters, values)]
    low, high = np.quantile(drawn, [0.05, 0.95]) if drawn else (math.nan, math.nan)
    cells = values["clonogen_density"] * doses.volume_mm3
    return ControlProbability(
        patient=tumour_control(cells, _log_survival(doses, values)),
        population=_population(doses, parameters, values),
        low=float(low),
        high=float(high),
        clonogens=float(cells.sum()),
        draws=tuple(drawn),
    )


def regrown_bed(parameters: ParameterSet, overall_day: float) -> float:
    """BED that repopulation takes back over an overall time, ``ln 2 (T - T_k)/(alpha T_p)``, [Gy].

    Fowler 2010, Br J Radiol 83:554, doi 10.1259/bjr/31372149; T from the first fraction to the
    last. For a model without growth alone, which has no other repopulation; 0 without a kick-off.
    """
    values = {name: parameters.value(name) for name in _used(parameters)}
    return _regrown(overall_day, values) / values["alpha"]


def control_sentence(one: ControlProbability) -> str:
    """A probability of control in words.

    Examples
    --------
    >>> control_sentence(ControlProbability(0.955, 0.843, 0.7, 0.93, 4.2e6))
    'Tumour control: 84 % of a population (90 % interval 70 to 93 %), 96 % of one patient with the \
values of the parameters; 4.2e+06 clonogens.'
    """
    if not one.known:
        return f"Tumour control: {one.reason}"
    population, low, high, patient = (
        percent_of_control(value) for value in (one.population, one.low, one.high, one.patient)
    )
    return (
        f"Tumour control: {population} % of a population (90 % interval {low} to {high} %), "
        f"{patient} % of one patient with the values of the parameters; {one.clonogens:.2g} "
        "clonogens."
    )


def percent_of_control(probability: float) -> str:
    """A probability in percent, with no more digits than mean something.

    >>> percent_of_control(0.843), percent_of_control(0.9963), percent_of_control(0.99999)
    ('84', '99.6', '> 99.9')
    """
    of_hundred = 100.0 * probability
    if of_hundred > 99.9 or of_hundred < 0.1:
        return "> 99.9" if of_hundred > 50.0 else "< 0.1"
    return f"{of_hundred:.1f}" if of_hundred > 98.95 or of_hundred < 1.0 else f"{of_hundred:.0f}"


def _reason(twin: Twin, regimen: Regimen) -> str:
    if twin.model.grows:
        return WITH_GROWTH
    if "clonogen_density" not in twin.parameters:
        return NO_CLONOGENS
    if not regimen.radiotherapy:
        return NO_RADIOTHERAPY
    if len(regimen.courses) > len(regimen.radiotherapy):
        return OTHER_TREATMENT
    named = {course.dose for course in regimen.radiotherapy}
    if any(plan.variable for name, plan in twin.doses.items() if name in named):
        return BY_LET
    if any(course.replans for course in regimen.radiotherapy):
        return REDRAWN_TARGET
    if twin.hypoxia is not None:
        return BY_OXYGEN
    return ""


def _used(parameters: ParameterSet) -> tuple[str, ...]:
    return tuple(name for name in CONTROL_PARAMETERS if name in parameters)


def _doses_of(twin: Twin, regimen: Regimen) -> _Doses:
    gross = structure_mask(twin, "gtv")
    maps = dose_maps(twin, regimen)
    steps = np.rint([one.per_fraction_gy[gross] / DOSE_STEP_GY for one in maps]).astype(np.int64)
    places, counts = np.unique(steps, axis=1, return_counts=True)
    days = [np.array(course.fraction_days(twin.calendar)) for course in regimen.radiotherapy]
    everything = np.concatenate(days)
    return _Doses(
        each_gy=places * DOSE_STEP_GY,
        volume_mm3=counts * twin.grid.voxel_mm3,
        given=tuple(one.given for one in maps),
        hours=tuple(24.0 * (day - day[0]) for day in days),
        overall_day=float(everything.max() - everything.min()),
    )


def _log_survival(doses: _Doses, values: Mapping[str, float]) -> NDArray[np.float64]:
    """Logarithm of what survives the whole treatment at each place, [1], shape (place,)."""
    alpha, ratio = values["alpha"], values["alpha_beta"]
    total = np.zeros(len(doses.volume_mm3))
    for each, given, hours in zip(doses.each_gy, doses.given, doses.hours, strict=True):
        total += given * log_surviving_fraction(
            each,
            alpha=alpha,
            alpha_beta=ratio,
            transition_dose=values.get("transition_dose", math.inf),
        )
        # damage of fractions hours before: beta d^2 times the mean of what is unrepaired
        if "repair_half_life" in values:
            unrepaired = repair_between(hours, values["repair_half_life"]).mean() - 1.0
            total -= given * alpha / ratio * unrepaired * each**2
    return total + _regrown(doses.overall_day, values)


def _regrown(overall_day: float, values: Mapping[str, float]) -> float:
    """``ln 2 (T - T_k) / T_p`` for T above T_k, [1] (Fowler 1989, Br J Radiol 62:679)."""
    kickoff, doubling = (values.get(name, math.inf) for name in REPOPULATION)
    return math.log(2.0) * max(overall_day - kickoff, 0.0) / doubling


def _population(doses: _Doses, parameters: ParameterSet, values: Mapping[str, float]) -> float:
    """Control averaged over patients, at equal shares of alpha's prior above 0, [1]."""
    shares = (np.arange(PATIENTS) + 0.5) / PATIENTS
    alphas = _quantiles(parameters["alpha"], shares)
    unit = _log_survival(doses, {**values, "alpha": 1.0}) - _regrown(doses.overall_day, values)
    log_cells = np.log(values["clonogen_density"] * doses.volume_mm3)
    log_cells = log_cells + _regrown(doses.overall_day, values)
    left = np.exp(np.minimum(log_cells + alphas[:, None] * unit, 700.0)).sum(axis=1)
    return float(np.exp(-left).mean())


def _quantiles(entry: Parameter, shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values of a parameter by its prior, moved to its own value, above 0; itself without one.

    The relative spread is the prior's: a patient or case that states another value keeps it.
    """
    prior = entry.prior
    if prior is None:
        return np.full(len(shares), entry.value)
    if isinstance(prior, Normal):
        sd = prior.sd * (entry.value / prior.mean if prior.mean > 0.0 else 1.0)
        least = ndtr(-entry.value / sd)
        return np.asarray(entry.value + sd * ndtri(least + (1.0 - least) * shares))
    return np.asarray(entry.value * np.exp(prior.sigma_ln * ndtri(shares)))


def _draws(parameters: ParameterSet, values: dict[str, float]) -> Iterator[dict[str, float]]:
    """The values with those of `_UNKNOWN` drawn from their priors, independent of each other.

    A Latin hypercube: of every prior each of `DRAWS` equal shares is met once.
    """
    names = [name for name in _UNKNOWN if name in values and parameters[name].prior is not None]
    if not names:
        return
    random = np.random.default_rng(SEED)
    columns = [
        _quantiles(parameters[name], (random.permutation(DRAWS) + random.random(DRAWS)) / DRAWS)
        for name in names
    ]
    for row in zip(*columns, strict=True):
        yield {**values, **dict(zip(names, map(float, row), strict=True))}
