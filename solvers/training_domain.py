"""What a surrogate is asked about: ranges, the treatments between them, and the guard."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc

from solvers.batch import Request
from twin.courses import Drug, Radiotherapy, Resection, Temozolomide
from twin.errors import InvalidInput, OutsideTrainingDomain
from twin.parameters import ParameterSet
from twin.regimen import Regimen

__all__ = ["Range", "TrainingDomain", "default_ranges"]

#: Longest prescription in the design, [Gy]; more fractions of a large dose are cut to it.
MOST_DOSE_GY = 80.0
#: Share of the design without the drug.
WITHOUT_DRUG = 0.2
PARAMETERS = ("proliferation_rate", "diffusivity_white", "alpha", "dead_clearance_half_life")
DRUG = "temozolomide_kill"


@dataclass(frozen=True, slots=True)
class Range:
    """An interval of one input, ends included.

    Parameters
    ----------
    low, high : float, [`unit`]
    unit : str
    scale : {"log", "linear", "integer"}
        How the design spreads over it.
    """

    low: float
    high: float
    unit: str
    scale: str = "linear"

    def __post_init__(self) -> None:
        if self.scale not in ("log", "linear", "integer"):
            raise InvalidInput(
                f"The scale {self.scale!r} is not known; use log, linear or integer."
            )
        if not -math.inf < self.low < self.high < math.inf:
            raise InvalidInput(
                f"The range {self.low:g} to {self.high:g} {self.unit} is empty or reversed; "
                "give the smaller end first."
            )
        if self.scale == "log" and not self.low > 0.0:
            raise InvalidInput(f"A logarithmic range begins above 0, not at {self.low:g}.")

    def at(self, share: float) -> float:
        """Value a share of the way through the range."""
        if self.scale == "log":
            return float(self.low * (self.high / self.low) ** share)
        value = self.low + share * (self.high - self.low)
        return (
            float(min(round(value - 0.5 + share), self.high)) if self.scale == "integer" else value
        )

    def share(self, value: float) -> float:
        """Where `value` lies, 0 at the low end and 1 at the high one."""
        if self.scale == "log":
            return math.log(max(value, 1e-300) / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


def default_ranges(parameters: ParameterSet) -> dict[str, Range]:
    """The eight inputs of a patient's surrogate, around the patient's own values."""

    def around(name: str, factor: float) -> Range:
        entry = parameters[name]
        return Range(
            max(entry.low, entry.value / factor),
            min(entry.high, entry.value * factor),
            entry.unit,
            "log",
        )

    drug = parameters[DRUG]
    return {
        "proliferation_rate": around("proliferation_rate", 1.7),
        "diffusivity_white": around("diffusivity_white", 1.7),
        "alpha": around("alpha", 2.0),
        "dead_clearance_half_life": around("dead_clearance_half_life", 2.0),
        DRUG: Range(0.0, min(drug.high, 2.0 * drug.value), drug.unit),
        "dose_per_fraction": Range(1.8, 4.0, "Gy"),
        "fractions": Range(10, 35, "1", "integer"),
        "start_day": Range(14, 56, "day", "integer"),
    }


@dataclass(frozen=True, slots=True)
class TrainingDomain:
    """The questions that a surrogate may answer.

    One course of radiotherapy with the target and margins of `reference`, no
    boost, no resection; temozolomide by the schedule of `reference` or none.

    Parameters
    ----------
    ranges : mapping of str to Range
    reference : Regimen
        The treatment that what-ifs change.
    parameters : ParameterSet
        Of the patient; those without a range must keep these values.
    horizon_day : float, [day]
    """

    ranges: Mapping[str, Range]
    reference: Regimen
    parameters: ParameterSet
    horizon_day: float

    def __post_init__(self) -> None:
        if len(self.reference.radiotherapy) != 1 or self.reference.resections:
            raise InvalidInput(
                "A surrogate is trained around a regimen with one course of radiotherapy and "
                "no resection; choose another reference."
            )
        if self.reference.drugs:
            raise InvalidInput(
                f"A surrogate's reference has no drug by its schedule "
                f"({', '.join(drug.name for drug in self.reference.drugs)}), only temozolomide as "
                "it is usual; choose another reference."
            )
        if other := _untrained(self.reference):
            raise InvalidInput(
                f"A surrogate's reference has no {' and no '.join(other)}; choose another one."
            )
        if self.reference.radiotherapy[0].boost_target is not None:
            raise InvalidInput("A surrogate's reference has no boost; choose another reference.")
        if self.reference.radiotherapy[0].replans:
            raise InvalidInput(
                "A surrogate's reference is not replanned during a run; choose another reference."
            )
        if self.reference.radiotherapy[0].density_guided_day is not None:
            raise InvalidInput(
                "A surrogate's reference has no density-guided target; choose another reference."
            )
        expected = set(default_ranges(self.parameters))
        if set(self.ranges) != expected:
            raise InvalidInput(
                f"A surrogate needs ranges for exactly {', '.join(sorted(expected))}."
            )

    @property
    def course(self) -> Radiotherapy:
        """The reference's radiotherapy: its target and margins hold for every answer."""
        return self.reference.radiotherapy[0]

    def design(self, runs: int, seed: int) -> list[Request]:
        """Space-filling questions: a scrambled Sobol sequence over the ranges."""
        names = list(self.ranges)
        sampler = qmc.Sobol(len(names), seed=seed)
        points = sampler.random(2 ** math.ceil(math.log2(max(runs, 2))))[:runs]
        return [
            self.request({n: self.ranges[n].at(float(x)) for n, x in zip(names, p, strict=True)})
            for p in points
        ]

    def request(self, values: Mapping[str, float]) -> Request:
        """The run of one point of the design."""
        drug = self.ranges[DRUG]
        kill = values[DRUG] - drug.low - WITHOUT_DRUG * (drug.high - drug.low)
        kill = drug.low + max(kill, 0.0) / (1.0 - WITHOUT_DRUG)
        fractions = min(int(values["fractions"]), int(MOST_DOSE_GY / values["dose_per_fraction"]))
        course = replace(
            self.course,
            total_dose_gy=values["dose_per_fraction"] * fractions,
            fractions=fractions,
            start_day=float(values["start_day"]),
        )
        ratio = self._grey_ratio(self.parameters)
        parameters = self.parameters.replace(
            diffusivity_grey=values["diffusivity_white"] * ratio,
            **{name: values[name] for name in PARAMETERS},
            **({DRUG: kill} if kill > 0.0 else {}),
        )
        drugs = (self._schedule(),) if kill > 0.0 else ()
        return Request(Regimen(course, *drugs), parameters)

    def _schedule(self) -> Temozolomide:
        given = self.reference.temozolomide
        return given[0] if given else Temozolomide()

    @staticmethod
    def _grey_ratio(parameters: ParameterSet) -> float:
        return parameters.value("diffusivity_grey") / parameters.value("diffusivity_white")

    def values(self, regimen: Regimen, parameters: ParameterSet) -> dict[str, float]:
        """The eight inputs of a question, whether inside the ranges or not."""
        course = regimen.radiotherapy[0]
        given = bool(regimen.temozolomide)
        return {
            **{name: parameters.value(name) for name in PARAMETERS},
            DRUG: parameters.value(DRUG) if given else 0.0,
            "dose_per_fraction": course.dose_per_fraction_gy,
            "fractions": float(course.fractions),
            "start_day": course.start_day,
        }

    def refusals(
        self,
        regimen: Regimen,
        parameters: ParameterSet,
        times: Sequence[float] | NDArray[np.float64] = (),
    ) -> list[str]:
        """Why a question lies outside, in sentences; empty if it lies inside."""
        reasons: list[str] = []
        if regimen.resections:
            reasons.append("no resection was trained")
        if regimen.drugs:
            names = " and ".join(dict.fromkeys(drug.name for drug in regimen.drugs))
            reasons.append(f"no {names} by a schedule of its own was trained")
        reasons += [f"no {name} was trained" for name in _untrained(regimen)]
        if len(regimen.radiotherapy) != 1:
            reasons.append(
                f"it was trained on one course of radiotherapy, not {len(regimen.radiotherapy)}"
            )
            return reasons
        course = regimen.radiotherapy[0]
        if "transition_dose" in parameters:
            reasons.append("no transition dose was trained")
        if course.boost_target is not None:
            reasons.append("no boost was trained")
        for what in (
            "target",
            "ctv_margin_mm",
            "ptv_margin_mm",
            "weekdays_only",
            "fractions_per_day",
            "missed",
            "dose",
            "replans",
            "beams",
            "density_guided_day",
            "confirm_high_dose",
        ):
            mine, theirs = getattr(course, what), getattr(self.course, what)
            if mine != theirs:
                reasons.append(f"the {what.replace('_', ' ')} is {mine}, trained was {theirs}")
        if regimen.temozolomide and regimen.temozolomide != (self._schedule(),):
            reasons.append("another temozolomide schedule was trained")
        for name, value in self.values(regimen, parameters).items():
            limits = self.ranges[name]
            if not limits.low * (1 - 1e-9) <= value <= limits.high * (1 + 1e-9):
                reasons.append(
                    f"{name.replace('_', ' ')} is {value:.4g} {limits.unit}, trained was "
                    f"{limits.low:.4g} to {limits.high:.4g}"
                )
        if course.total_dose_gy > MOST_DOSE_GY + 1e-9:
            reasons.append(f"the dose is {course.total_dose_gy:g} Gy, trained was up to 80 Gy")
        ratio, own = self._grey_ratio(parameters), self._grey_ratio(self.parameters)
        if not abs(ratio - own) <= 1e-6 * own:
            reasons.append(f"grey to white diffusivity is {ratio:.3g}, trained was {own:.3g}")
        free = {*PARAMETERS, DRUG, "diffusivity_grey"}
        for name in self.parameters:
            if name in free or name.startswith(("alpha_beta_", "recovery_")):
                continue
            if parameters.value(name) != self.parameters.value(name):
                reasons.append(f"{name.replace('_', ' ')} differs from the trained value")
        if len(times) and float(np.max(times)) > self.horizon_day:
            reasons.append(
                f"day {float(np.max(times)):g} is beyond the trained {self.horizon_day:g}"
            )
        return reasons

    def check(
        self,
        regimen: Regimen,
        parameters: ParameterSet,
        times: Sequence[float] | NDArray[np.float64] = (),
    ) -> None:
        """Raise `OutsideTrainingDomain` unless the question lies inside."""
        reasons = self.refusals(regimen, parameters, times)
        if reasons:
            raise OutsideTrainingDomain(
                "The question lies outside what the surrogate was trained on: "
                + "; ".join(reasons)
                + "."
            )

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "ranges": {
                n: {"low": r.low, "high": r.high, "unit": r.unit, "scale": r.scale}
                for n, r in self.ranges.items()
            },
            "reference": self.reference.as_dict(),
            "parameters": self.parameters.as_dict(),
            "horizon_day": self.horizon_day,
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> TrainingDomain:
        """The domain that `as_dict` wrote."""
        return cls(
            {name: Range(**entry) for name, entry in content["ranges"].items()},
            Regimen.from_dict(content["reference"]),
            ParameterSet.from_dict(content["parameters"], where="model"),
            float(content["horizon_day"]),
        )


def _untrained(regimen: Regimen) -> list[str]:
    """Kinds of course that no surrogate learns, but for those with a sentence of their own."""
    known = (Radiotherapy, Temozolomide, Drug, Resection)
    others = [course for course in regimen.courses if not isinstance(course, known)]
    return list(dict.fromkeys(type(course).__name__.lower() for course in others))
