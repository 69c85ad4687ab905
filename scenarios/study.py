"""What the clinic chooses (scenarios) by what nature chooses (cases): a study."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scenarios import description
from scenarios.arms import Case, Scenario
from scenarios.pseudo_progression import require_pseudo_progression
from scenarios.scans import ScanCalendar
from solvers.checkpoint import check_effector_cells
from solvers.drug_effects import doses_of_patient
from solvers.guided_targets import check_guided
from solvers.radiosensitivity import check_basis
from twin.dose import check_dose
from twin.double_counting import refuse_double_counting
from twin.drug_delivery import check_deliveries
from twin.drugs import load_drug
from twin.errors import InvalidInput
from twin.events import DrugDose, Fraction, HeatSession, ResectionEvent
from twin.regimen import Regimen
from twin.targets import cavity_mask
from twin.temperature_map import temperature_on_grid

if TYPE_CHECKING:
    import xarray as xr

    from scenarios.isotoxic import Isotoxic
    from twin.patient import Twin
    from twin.protocol import Progress, Solver

__all__ = ["Case", "Scenario", "Study"]

LONGEST_STUDY_DAY = 3650.0
_FIELDS = (
    "scenarios", "cases", "days", "fields_every_days", "seed", "name", "scans", "isotoxic",
    "sensitivity",
)  # fmt: skip
_EVENT_WORDS = {
    Fraction: "a fraction",
    ResectionEvent: "a resection",
    HeatSession: "a session of hyperthermia",
}


@dataclass(frozen=True, slots=True, init=False)
class Study:
    """Scenarios by cases, over the same days.

    Parameters
    ----------
    scenarios : mapping of str to Regimen, or iterable of Scenario
    cases : iterable of Case
        The first is the reference: pictures and stored fields are of it.
    days : float, [day]
        Horizon; volumes are kept daily until then.
    fields_every_days : float, [day]
        Interval at which the density of every node is kept.
    seed : int
        Recorded with the results; the finite-element solver draws nothing.
    name : str
    scans : ScanCalendar
        When scans are made, for response categories.
    isotoxic : Isotoxic or None
        What is to be equal in all arms; `resolved` rescales their doses so.
    sensitivity : bool
        `resolved` adds the cases that a statement about fraction size or margin needs.

    Examples
    --------
    >>> from twin.courses import Radiotherapy
    >>> standard = Regimen(Radiotherapy(total_dose_gy=60, fractions=30, start_day=28))
    >>> study = Study({"standard": standard, "later": standard.delayed(days=14)}, days=180)
    >>> [scenario.name for scenario in study.scenarios]
    ['standard', 'later']
    """

    scenarios: tuple[Scenario, ...]
    cases: tuple[Case, ...]
    days: float
    fields_every_days: float
    seed: int
    name: str
    scans: ScanCalendar
    isotoxic: Isotoxic | None
    sensitivity: bool

    def __init__(
        self,
        scenarios: Mapping[str, Regimen] | Iterable[Scenario],
        cases: Iterable[Case] = (Case("expected"),),
        *,
        days: float = 540.0,
        fields_every_days: float = 7.0,
        seed: int = 0,
        name: str = "study",
        scans: ScanCalendar | None = None,
        isotoxic: Isotoxic | None = None,
        sensitivity: bool = False,
    ) -> None:
        if isinstance(scenarios, Mapping):
            scenarios = [Scenario(label, regimen) for label, regimen in scenarios.items()]
        object.__setattr__(self, "scenarios", tuple(scenarios))
        object.__setattr__(self, "cases", tuple(cases))
        object.__setattr__(self, "days", float(days))
        object.__setattr__(self, "fields_every_days", float(fields_every_days))
        object.__setattr__(self, "seed", int(seed))
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "scans", ScanCalendar() if scans is None else scans)
        object.__setattr__(self, "isotoxic", isotoxic)
        object.__setattr__(self, "sensitivity", bool(sensitivity))
        self._check()

    def _check(self) -> None:
        for what, named in (("scenario", self.scenarios), ("case", self.cases)):
            names = [item.name for item in named]
            if not names:
                raise InvalidInput(f"A study needs at least one {what}.")
            for label in names:
                if names.count(label) > 1:
                    raise InvalidInput(f"Two {what}s are called {label!r}; rename one.")
        for scenario in self.scenarios:
            if scenario.compared_with is not None:
                self.scenario(scenario.compared_with)
        if self.isotoxic is not None and self.isotoxic.as_in is not None:
            self.scenario(self.isotoxic.as_in)
        if not 1.0 <= self.days <= LONGEST_STUDY_DAY:
            raise InvalidInput(
                f"The horizon is {self.days:g} day, but must lie between 1 and "
                f"{LONGEST_STUDY_DAY:g} day."
            )
        if not 0.25 <= self.fields_every_days <= LONGEST_STUDY_DAY:
            raise InvalidInput(
                f"Fields are kept every {self.fields_every_days:g} day, but the interval must lie "
                f"between 0.25 and {LONGEST_STUDY_DAY:g} day."
            )

    def scenario(self, name: str) -> Scenario:
        """The scenario called `name`."""
        import difflib

        names = [scenario.name for scenario in self.scenarios]
        if name in names:
            return self.scenarios[names.index(name)]
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}."
        raise InvalidInput(f"There is no scenario {name!r}; {hint}")

    @property
    def times(self) -> NDArray[np.float64]:
        """Days at which volumes are kept: every day and the horizon, [day]."""
        whole = np.arange(0.0, math.floor(self.days) + 1.0)
        return whole if whole[-1] == self.days else np.append(whole, self.days)

    @property
    def field_times(self) -> NDArray[np.float64]:
        """Days at which fields are kept, from day 0, [day]."""
        count = math.floor(self.days / self.fields_every_days + 1e-9) + 1
        return np.arange(count) * self.fields_every_days

    @property
    def density_guided(self) -> bool:
        """Whether any arm has a target that a predicted density chooses."""
        courses = [one for arm in self.scenarios for one in arm.regimen.radiotherapy]
        return any(one.density_guided_day is not None for one in courses)

    def assessed_from(self, scenario: Scenario, twin: Twin) -> float:
        """Day from which response is assessed, [day].

        The first fraction of radiotherapy; without radiotherapy the first
        treatment, without treatment day 0.
        """
        schedule = scenario.regimen.schedule(twin.calendar)
        events = schedule.fractions or schedule.events
        return min(events[0].day, self.days) if events else 0.0

    def differs_in(self, scenario: Scenario) -> list[str]:
        """What an arm does otherwise than the arm that it is compared with, as prescribed."""
        if scenario.compared_with is None:
            return []
        return scenario.prescribed.differences(self.scenario(scenario.compared_with).prescribed)

    def check(self, twin: Twin) -> None:
        """Raise `InvalidInput` unless every arm and case can be run on `twin`."""
        for scenario in self.scenarios:
            try:
                schedule = scenario.regimen.schedule(twin.calendar)
                scenario.regimen.check_overlap(twin.calendar)
                doses_of_patient(schedule.drug_doses, twin)
                refuse_double_counting(map(load_drug, scenario.regimen.drug_names), twin.parameters)
                check_deliveries(scenario.regimen, twin)
                check_guided(scenario.regimen, twin.calendar)
                for course in scenario.regimen.radiotherapy:
                    check_dose(twin, course)
                for operation in scenario.regimen.resections:
                    cavity_mask(twin, operation.structure, operation.margin_mm)
                for heat in scenario.regimen.hyperthermia:
                    temperature_on_grid(twin, heat)
                check_effector_cells(scenario.regimen.drug_names, twin.model)
            except InvalidInput as error:
                raise InvalidInput(f"Scenario {scenario.name!r}: {error}") from None
            for event in schedule.events:
                if event.day < 0.0:
                    raise InvalidInput(
                        f"Scenario {scenario.name!r} treats on day {event.day:g}, before day 0; "
                        "treatment given already belongs in the patient's history."
                    )
                if event.day > self.days and not isinstance(event, DrugDose):
                    what = _EVENT_WORDS.get(type(event), "a treatment")
                    raise InvalidInput(
                        f"Scenario {scenario.name!r} has {what} on day {event.day:g} "
                        f"({twin.calendar.text(event.day)}), after the horizon of {self.days:g} "
                        f"days; start earlier, or set the horizon to {math.ceil(event.day)} day "
                        "or more."
                    )
        require_pseudo_progression(self.scans, twin.parameters)
        irradiated = any(scenario.regimen.radiotherapy for scenario in self.scenarios)
        for case in self.cases:
            parameters = case.parameters(twin.parameters)
            if irradiated:
                check_basis(parameters, twin.model)

    def warnings(self, twin: Twin) -> list[str]:
        """What a reader of the results should know beforehand, in plain sentences."""
        return description.warnings(self, twin)

    def describe(self, twin: Twin) -> str:
        """The plan in plain sentences, with warnings, as text of several lines."""
        self.check(twin)
        return description.describe(self.resolved(twin), twin)

    def replace(self, **changes: Any) -> Study:
        """A study with some fields changed, checked anew."""
        return Study(**{**{name: getattr(self, name) for name in _FIELDS}, **changes})

    def resolved(self, twin: Twin) -> Study:
        """The study as it is run on a patient, with the doses and cases that it asks for."""
        study = self
        if self.sensitivity:
            from scenarios.sensitivity import sensitivity_cases

            if not twin.model.grows:
                raise InvalidInput(
                    "[sensitivity] adds cases of growth and of the start of a model that grows, "
                    "which this patient's does not; write cases of alpha_beta instead."
                )
            names = {case.name for case in self.cases}
            more = [one for one in sensitivity_cases(twin.parameters) if one.name not in names]
            study = self.replace(cases=(*self.cases, *more))
        if self.isotoxic is None:
            return study
        from scenarios.rescaling import rescaled_study

        return rescaled_study(study, twin)

    def as_dict(self, twin: Twin) -> dict[str, Any]:
        """The resolved study as plain data that JSON can hold."""
        return {
            "format": 1,
            "name": self.name,
            "days": self.days,
            "fields_every_days": self.fields_every_days,
            "seed": self.seed,
            "scans": asdict(self.scans),
            **({} if self.isotoxic is None else {"isotoxic": self.isotoxic.as_dict()}),
            "scenarios": [
                {
                    "name": scenario.name,
                    "compared_with": scenario.compared_with,
                    "differs_in": self.differs_in(scenario),
                    "assessed_from_day": self.assessed_from(scenario, twin),
                    "regimen": scenario.regimen.as_dict(),
                    "description": scenario.regimen.describe(twin.calendar),
                    **(
                        {}
                        if scenario.rescaled is None
                        else {"isotoxic": scenario.rescaled.as_dict()}
                    ),
                }
                for scenario in self.scenarios
            ],
            "cases": [
                {
                    "name": case.name,
                    "changes": {
                        name: {"value": value, "unit": case.parameters(twin.parameters)[name].unit}
                        for name, value in case.values(twin.parameters).items()
                    },
                    "description": description.changes_text(case, twin.parameters),
                    **({} if case.setup is None else {"setup": case.setup.as_dict()}),
                    **({} if case.profile is None else {"profile": case.profile}),
                }
                for case in self.cases
            ],
            "warnings": self.warnings(twin),
        }

    def run(
        self,
        twin: Twin,
        solver: Solver,
        folder: str | Path | None = None,
        *,
        resume: bool = False,
        threads: int = 1,
        progress: Progress | None = None,
    ) -> xr.Dataset:
        """Results of every scenario and case, by the result schema.

        Parameters
        ----------
        twin : Twin
        solver : Solver
        folder : path or None
            Results folder; without one the results stay in memory.
        resume : bool
            Go on with an unfinished study in `folder` (a new folder will do).
        threads : int
            Runs at the same time.
        progress : callable or None
            Called with the fraction done and a message.
        """
        from scenarios.run import run_in_memory, run_study

        if folder is None:
            return run_in_memory(self, twin, solver, threads=threads, progress=progress)
        return run_study(
            self, twin, solver, folder, resume=resume, threads=threads, progress=progress
        ).results
