"""The whole treatment of every scenario of a study, worked out before anything runs."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from scenarios import description
from scenarios.planning.doses import OrganPlan, TargetPlan, organ_plans, target_plans
from scenarios.planning.heat import HeatPlan, heat_plans
from scenarios.planning.limits import Limits, load_limits
from scenarios.planning.schedule import (
    DrugPlan,
    FractionPlan,
    drug_plans,
    fraction_plans,
    operation_dates,
)
from scenarios.planning.warnings import PlanWarning, warnings_of
from scenarios.recovery import recovery_sentence
from scenarios.redrawn import has_replans
from scenarios.tumour_control import ControlProbability, control_of, regrown_bed
from solvers.drug_effects import doses_of_patient
from solvers.guided_targets import with_guided_targets
from solvers.hypoxia import hypoxia_sentence
from solvers.radiosensitivity import REPOPULATION
from twin.errors import InvalidInput
from twin.markers import marker_sentences
from twin.radiotherapy import UNKNOWN_DOSE
from twin.targets import cavity_mask

if TYPE_CHECKING:
    from scenarios.study import Scenario, Study
    from twin.anatomy import Anatomy
    from twin.calendar import Calendar
    from twin.patient import Twin
    from twin.regimen import Regimen

__all__ = ["ArmPlan", "GroupedWarning", "OperationPlan", "PastPlan", "StudyPlan", "plan_study"]


@dataclass(frozen=True, slots=True)
class OperationPlan:
    """One resection.

    Parameters
    ----------
    course : int
        Its number in the regimen, from 0.
    date : date
    structure : str
    volume_ml : float, [mL]
        Of what is taken out by its voxels at day 0: with the margin, without what stays behind.
    """

    course: int
    date: dt.date
    structure: str
    volume_ml: float


@dataclass(frozen=True, slots=True)
class PastPlan:
    """What was delivered before day 0, in sentences and dates.

    `geometric` where a course of radiotherapy has no planned dose; `unknown_gy` are the total
    doses of those of which no dose is known, [Gy].
    """

    sentences: tuple[str, ...]
    fractions: tuple[FractionPlan, ...]
    operation_dates: tuple[dt.date, ...]
    geometric: bool = False
    unknown_gy: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class ArmPlan:
    """One scenario, with dates, doses and volumes.

    `sentences` has one entry a course of the regimen, `FractionPlan.course` is an index of it.
    `control` is there where the model does not grow, by the patient's own parameters.
    `compared_with` and `doses_as_in` are numbers of arms from 1, the latter the first arm whose
    radiotherapy is the same. `replanned` where a target is redrawn in the run, so that no organ
    dose is known. `isotoxic` says how its doses were rescaled.
    """

    number: int
    name: str
    compared_with: int | None
    differs_in: tuple[str, ...]
    sentences: tuple[str, ...]
    first: dt.date | None
    last: dt.date | None
    operations: tuple[OperationPlan, ...]
    fractions: tuple[FractionPlan, ...]
    targets: tuple[TargetPlan, ...]
    organs: tuple[OrganPlan, ...]
    drugs: tuple[DrugPlan, ...]
    heat: tuple[HeatPlan, ...]
    doses_as_in: int | None
    warnings: tuple[PlanWarning, ...]
    replanned: bool = False
    control: ControlProbability | None = None
    isotoxic: str | None = None


@dataclass(frozen=True, slots=True)
class GroupedWarning:
    """A warning and the numbers of the arms that it is about; none: about the study."""

    warning: PlanWarning
    arms: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """All of a study that is said before it runs.

    `regrown_bed` is the BED [Gy] that repopulation takes back over an overall time [day], where
    the model has a kick-off time instead of growth.
    """

    study: str
    days: float
    patient: str
    calendar: Calendar
    body_surface_m2: float
    gfr_ml_min: float | None
    alpha_beta_gy: float
    regrown_bed: Callable[[float], float] | None
    markers: tuple[str, ...]
    drug_remarks: tuple[str, ...]
    past: PastPlan
    arms: tuple[ArmPlan, ...]
    cases: tuple[tuple[str, str], ...]
    warnings: tuple[GroupedWarning, ...]
    unchecked: tuple[str, ...]
    recovery: str = ""
    hypoxia: str = ""
    isotoxic: str | None = None

    @property
    def runs(self) -> int:
        """Scenarios by cases."""
        return len(self.arms) * len(self.cases)

    def __str__(self) -> str:
        from scenarios.planning.text import plan_text

        return plan_text(self)


def plan_study(study: Study, patient: Anatomy | Twin, *, limits: Limits | None = None) -> StudyPlan:
    """The plan of a study for a patient; nothing is run and no mesh is needed.

    Parameters
    ----------
    study : Study
    patient : Anatomy or Twin
    limits : Limits or None
        Those of ``data/limits`` if None.

    Raises
    ------
    InvalidInput
        The study cannot be run on this patient; the scenario is named.
    """
    # The fields of an Anatomy are all that is asked of the twin in this package.
    twin = cast("Twin", patient)
    rules = (load_limits() if limits is None else limits).at(twin.parameters.site)
    study.check(twin)
    study = study.resolved(twin)
    past = _past(twin)
    numbers = {scenario.name: i + 1 for i, scenario in enumerate(study.scenarios)}
    arms: list[ArmPlan] = []
    known_ml: dict[tuple[str, float], float] = {}
    for scenario in study.scenarios:
        same = _same_doses(study, scenario.regimen, len(arms) + 1)
        try:
            arm = _arm(scenario, twin)
            if same is None:
                level = rules.radiotherapy.coverage_level.value
                here = with_guided_targets(twin, scenario.regimen)
                targets = tuple(target_plans(here, scenario.regimen, level, known_ml))
                organs = tuple(organ_plans(here, scenario.regimen, rules))
            else:
                targets, organs = arms[same - 1].targets, arms[same - 1].organs
        except InvalidInput as error:
            raise InvalidInput(f"Scenario {scenario.name!r}: {error}") from None
        arm = replace(
            arm,
            number=numbers[scenario.name],
            compared_with=numbers.get(scenario.compared_with or ""),
            differs_in=tuple(study.differs_in(scenario)),
            targets=targets,
            organs=organs,
            doses_as_in=same,
            control=None if twin.model.grows else control_of(twin, scenario.regimen),
            isotoxic=None if scenario.rescaled is None else scenario.rescaled.sentence,
        )
        arms.append(replace(arm, warnings=tuple(warnings_of(arm, past, rules))))
    return StudyPlan(
        study=study.name,
        days=study.days,
        patient=twin.name,
        calendar=twin.calendar,
        body_surface_m2=twin.body_surface_m2,
        gfr_ml_min=twin.gfr_ml_min,
        alpha_beta_gy=twin.parameters.value("alpha_beta"),
        regrown_bed=functools.partial(regrown_bed, twin.parameters)
        if not twin.model.grows and REPOPULATION[0] in twin.parameters
        else None,
        markers=marker_sentences(twin.parameters),
        drug_remarks=description.drug_remarks(study, twin.parameters),
        past=past,
        arms=tuple(arms),
        cases=tuple(
            (case.name, description.changes_text(case, twin.parameters).replace("_", " "))
            for case in study.cases
        ),
        warnings=tuple(_grouped(arms, _of_study(study, twin))),
        unchecked=tuple(
            sorted({plan.drug for arm in arms for plan in arm.drugs if plan.drug not in rules.drug})
        ),
        recovery=recovery_sentence(twin.parameters),
        hypoxia=_hypoxia(twin),
        isotoxic=None if study.isotoxic is None else study.isotoxic.describe(),
    )


def _hypoxia(twin: Twin) -> str:
    """What a hypoxia image does to the effect of radiation; nothing without one."""
    if twin.hypoxia is None:
        return ""
    viable = twin.structures["enhancing"].mask | twin.structures["flair"].mask
    return hypoxia_sentence(twin.hypoxia, viable, twin.parameters)


def _of_study(study: Study, twin: Twin) -> list[str]:
    """Warnings that are about the study, not about one treatment."""
    return [
        *description.warnings_of_arms(study, twin.calendar),
        *description.unpaired_warnings(study, twin.parameters),
        *description.illustrative(study, twin),
    ]


def _past(twin: Twin) -> PastPlan:
    schedule = twin.delivered.schedule(twin.calendar)
    operations = operation_dates(schedule.resections, twin.calendar)
    return PastPlan(
        sentences=tuple(twin.delivered.describe(twin.calendar)) if twin.delivered.courses else (),
        fractions=tuple(
            fraction_plans(schedule.fractions, twin.calendar, twin.parameters.value("alpha_beta"))
        ),
        operation_dates=tuple(date for date, _ in operations),
        geometric=any(course.dose is None for course in twin.delivered.radiotherapy),
        unknown_gy=tuple(
            course.total_dose_gy
            for course in twin.delivered.radiotherapy
            if course.dose == UNKNOWN_DOSE
        ),
    )


def _arm(scenario: Scenario, twin: Twin) -> ArmPlan:
    """What the events of a scenario say; no doses, no comparison."""
    regimen, calendar = scenario.regimen, twin.calendar
    schedule = regimen.schedule(calendar)
    fractions = fraction_plans(schedule.fractions, calendar, twin.parameters.value("alpha_beta"))
    dates = [calendar.date(event.day) for event in schedule.events]
    return ArmPlan(
        number=0,
        name=scenario.name,
        compared_with=None,
        differs_in=(),
        sentences=tuple(regimen.describe(calendar)),
        first=min(dates, default=None),
        last=max(dates, default=None),
        operations=tuple(_operations(regimen, twin)),
        fractions=tuple(fractions),
        targets=(),
        organs=(),
        drugs=tuple(
            drug_plans(
                doses_of_patient(schedule.drug_doses, twin),
                calendar,
                fractions,
                twin.body_surface_m2,
            )
        ),
        heat=tuple(heat_plans(twin, regimen)),
        doses_as_in=None,
        warnings=(),
        replanned=has_replans(regimen),
    )


def _operations(regimen: Regimen, twin: Twin) -> Iterator[OperationPlan]:
    for operation in regimen.resections:
        yield OperationPlan(
            course=next(i for i, course in enumerate(regimen.courses) if course is operation),
            date=twin.calendar.date(operation.day),
            structure=operation.structure,
            volume_ml=(1.0 - operation.residual)
            * twin.grid.volume_ml(cavity_mask(twin, operation.structure, operation.margin_mm)),
        )


def _same_doses(study: Study, regimen: Regimen, number: int) -> int | None:
    """The first arm before number `number` with the same courses of radiotherapy."""
    for other, scenario in enumerate(study.scenarios[: number - 1], start=1):
        earlier = scenario.regimen
        guided = any(one.density_guided_day is not None for one in regimen.radiotherapy)
        if guided and earlier.resections != regimen.resections:
            continue  # the predicted density is another
        if earlier.radiotherapy == regimen.radiotherapy:
            return other
    return None


def _grouped(arms: list[ArmPlan], of_study: list[str]) -> Iterator[GroupedWarning]:
    """Each warning once, with the arms that it is about."""
    found: dict[str, tuple[PlanWarning, list[int]]] = {}
    for arm in arms:
        for warning in arm.warnings:
            numbers = found.setdefault(warning.sentence, (warning, []))[1]
            if arm.number not in numbers:
                numbers.append(arm.number)
    yield from (GroupedWarning(warning, tuple(numbers)) for warning, numbers in found.values())
    yield from (GroupedWarning(PlanWarning("study", sentence), ()) for sentence in of_study)
