"""Study files (TOML): what they may hold, and the study that one describes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema

from scenarios.scans import ScanCalendar
from scenarios.study import LONGEST_STUDY_DAY, Case, Scenario, Study
from twin.courses import Drug, Radiotherapy, Resection, Temozolomide
from twin.errors import InvalidInput
from twin.regimen import Regimen
from twin.setup_error import drawn_setup_errors
from twin.toml_file import FileModel, check, read_toml
from twin.units import parse_quantity

__all__ = ["StudyFile", "read_study", "study_json_schema"]


def _parser(unit: str, *, whole: bool = False) -> BeforeValidator:
    """Text with a unit to a number in `unit`."""

    def parse(text: Any) -> float | int:
        plain = isinstance(text, int | float) and not isinstance(text, bool)
        value = parse_quantity(str(text) if plain else text, unit, where="")
        if not whole:
            return value
        if value != round(value):
            raise InvalidInput(f'"{text}" must be a whole number of {unit}s.')
        return round(value)

    return BeforeValidator(parse)


# Written as text with a unit ("60 Gy"), a plain number in the stated unit afterwards.
_TEXT = WithJsonSchema({"type": "string"})
Gray = Annotated[float, _parser("Gy"), _TEXT]
Day = Annotated[float, _parser("day"), _TEXT]
Hour = Annotated[float, _parser("h"), _TEXT]
WholeDays = Annotated[int, _parser("day", whole=True), _TEXT]
Millimetre = Annotated[float, _parser("mm"), _TEXT]
DosePerSurface = Annotated[float, _parser("mg/m2"), _TEXT]


def _with_unit(value: Any) -> Any:
    if isinstance(value, int | float):
        raise InvalidInput(
            f'{value} has no unit; write it in quotes with its unit, such as "0.025 1/Gy".'
        )
    return value


ParameterText = Annotated[str, BeforeValidator(_with_unit)]


def _quantity(meaning: str, default: str | None = None, *, example: str = "") -> Any:
    """A field whose value is written with its unit, such as `default` or `example`."""
    description = f"{meaning}, with its unit"
    if default is None:
        return Field(description=description, examples=[example])
    return Field(
        default=default, validate_default=True, description=description, examples=[default]
    )


class _Table(FileModel):
    model_config = ConfigDict(strict=True)


class BoostTable(_Table):
    """A simultaneous boost in the same fractions."""

    target: str = Field(default="enhancing", description="structure that is boosted")
    total_dose: Gray = _quantity("total dose of the boosted structure", example="75 Gy")


class RadiotherapyTable(_Table):
    """A course of external radiotherapy, fractions on weekdays."""

    total_dose: Gray = _quantity("prescribed total dose", example="60 Gy")
    fractions: int = Field(description="number of equal fractions", ge=1, le=100)
    start: Day = _quantity("earliest time of the first fraction after day 0", example="28 day")
    target: str = Field(default="gtv", description="structure that is treated")
    margin: Millimetre = _quantity("clinical margin, cropped at barriers", "15 mm")
    planning_margin: Millimetre = _quantity("planning margin", "3 mm")
    weekdays_only: bool = Field(default=True, description="no fraction on Saturday or Sunday")
    boost: BoostTable | None = None
    dose: str | None = Field(
        default=None, description="name of a planned dose in patient.toml, scaled to total_dose"
    )
    fractions_per_day: int = Field(default=1, ge=1, le=3, description="on a treatment day")
    interval: Hour = _quantity("time between the fractions of a day", "6 h")
    missed: list[int] = Field(
        default_factory=list, description="numbers of fractions that are not given at their time"
    )
    compensation: Literal["append", "second fraction", "none"] = Field(
        default="append",
        description="missed fractions follow at the end, on the next days as second ones, or never",
    )

    def course(self) -> Radiotherapy:
        """The course, checked."""
        return Radiotherapy(
            total_dose_gy=self.total_dose,
            fractions=self.fractions,
            start_day=self.start,
            target=self.target,
            ctv_margin_mm=self.margin,
            ptv_margin_mm=self.planning_margin,
            boost_target=None if self.boost is None else self.boost.target,
            boost_total_dose_gy=None if self.boost is None else self.boost.total_dose,
            weekdays_only=self.weekdays_only,
            dose=self.dose,
            fractions_per_day=self.fractions_per_day,
            interval_h=self.interval,
            missed=tuple(self.missed),
            compensation=self.compensation,
        )


class TemozolomideTable(_Table):
    """Temozolomide with radiotherapy and in cycles afterwards; empty for the usual schedule."""

    concurrent: DosePerSurface = _quantity("daily dose with radiotherapy", "75 mg/m2")
    longest_concurrent: WholeDays = _quantity("most days with radiotherapy", "49 day")
    break_after_radiotherapy: WholeDays = _quantity("time to the first cycle", "28 day")
    cycles: int = Field(default=6, ge=0, le=24, description="number of cycles afterwards")
    first_cycle: DosePerSurface = _quantity("daily dose of the first cycle", "150 mg/m2")
    later_cycles: DosePerSurface = _quantity("daily dose of later cycles", "200 mg/m2")
    days_per_cycle: int = Field(default=5, ge=1, le=28, description="days of treatment a cycle")
    cycle_length: WholeDays = _quantity("time from cycle to cycle", "28 day")

    def course(self) -> Temozolomide:
        """The course, checked."""
        return Temozolomide(
            concurrent_mg_m2=self.concurrent,
            max_concurrent_days=self.longest_concurrent,
            break_days=self.break_after_radiotherapy,
            cycles=self.cycles,
            first_cycle_mg_m2=self.first_cycle,
            later_cycles_mg_m2=self.later_cycles,
            days_per_cycle=self.days_per_cycle,
            cycle_length_days=self.cycle_length,
        )


class DrugTable(_Table):
    """A drug by its schedule, as the clinic writes it."""

    name: str = Field(description="a drug of data/drugs, such as lomustine")
    schedule: str = Field(
        description='such as "110 mg/m2 day 1 of 42, 6 cycles", "75 mg/m2 daily during '
        'radiotherapy" or "60 mg/m2 every 21 days, 4 cycles"; ", then " joins several'
    )
    start: Day | None = Field(
        default=None, description="day 1 of the first cycle after day 0", examples=["28 day"]
    )
    break_after_radiotherapy: WholeDays = _quantity(
        "time from the last fraction to the first cycle, where there is no start", "28 day"
    )

    def course(self) -> Drug:
        """The course, checked."""
        return Drug(
            name=self.name,
            schedule=self.schedule,
            start_day=self.start,
            break_days=self.break_after_radiotherapy,
        )


class ResectionTable(_Table):
    """Removal of a structure."""

    day: Day = _quantity("time of the operation after day 0", example="7 day")
    structure: str = Field(
        default="core", description="what is removed; core is enhancing tumour with its necrosis"
    )

    def course(self) -> Resection:
        """The operation, checked."""
        return Resection(day=self.day, structure=self.structure)


class ScenarioTable(_Table):
    """One treatment arm; without any course, no treatment."""

    name: str = Field(description="unique name of the arm")
    compared_with: str | None = Field(
        default=None, description="name of the arm that this one is compared with"
    )
    radiotherapy: list[RadiotherapyTable] = Field(default_factory=list)
    temozolomide: TemozolomideTable | None = None
    drug: list[DrugTable] = Field(default_factory=list)
    resection: list[ResectionTable] = Field(default_factory=list)

    def scenario(self) -> Scenario:
        """The arm, checked; errors name it."""
        tables: list[Any] = [*self.resection, *self.radiotherapy]
        if self.temozolomide is not None:
            tables.append(self.temozolomide)
        tables += self.drug
        try:
            self._check_drugs()
            if self.temozolomide is not None and not self.radiotherapy:
                raise InvalidInput(
                    "temozolomide is given with radiotherapy, but there is none; add "
                    "[[scenario.radiotherapy]] or leave temozolomide out."
                )
            return Scenario(
                self.name, Regimen(*(table.course() for table in tables)), self.compared_with
            )
        except InvalidInput as error:
            raise InvalidInput(f"Scenario {self.name!r}: {error}") from None

    def _check_drugs(self) -> None:
        """Refuse a drug that two tables give."""
        given = [table.name for table in self.drug]
        if self.temozolomide is not None and "temozolomide" in given:
            raise InvalidInput(
                "temozolomide is given by [scenario.temozolomide] and by [[scenario.drug]] as "
                "well; keep one of the two."
            )
        for name in given:
            if given.count(name) > 1:
                raise InvalidInput(
                    f"{name} is given by {given.count(name)} tables; write one, with its schedules "
                    'joined by ", then ".'
                )


class ScansTable(_Table):
    """When scans are made, for response categories; they decide no treatment."""

    after_radiotherapy: Day = _quantity(
        "time from the last fraction to the baseline scan", "28 day"
    )
    every: Day = _quantity("time between scans after that", "56 day")
    confirmed_after: Day = _quantity("a response seen again so much later is confirmed", "28 day")
    protected: Day = _quantity(
        "progression so soon after radiotherapy has to be seen again", "84 day"
    )

    def calendar(self) -> ScanCalendar:
        """The calendar, checked."""
        return ScanCalendar(
            after_radiotherapy_day=self.after_radiotherapy,
            every_day=self.every,
            confirmed_after_day=self.confirmed_after,
            protected_day=self.protected,
        )


class SetupErrorsTable(_Table):
    """Set-up errors: each case is also run with the dose of all arms displaced alike."""

    systematic: Millimetre = _quantity("standard deviation of the shift along each axis", "2 mm")
    random: Millimetre = _quantity("that of single fractions, which blurs the dose", "2 mm")
    draws: int = Field(default=4, ge=1, le=100, description="number of shifts that are drawn")
    seed: int = Field(default=0, ge=0, description="of the draws")

    def cases(self, cases: Sequence[Case]) -> list[Case]:
        """The cases as planned, and each with every shift, the same for all of them."""
        errors = drawn_setup_errors(self.systematic, self.random, self.draws, self.seed)
        displaced = [
            Case(f"{case.name}, set-up {k}", dict(case.changes), error)
            for case in cases
            for k, error in enumerate(errors, start=1)
        ]
        return [*cases, *displaced]


class CaseTable(_Table):
    """One assumption about the unknown parameters."""

    name: str = Field(description="unique name of the case")
    parameters: dict[str, ParameterText] = Field(
        default_factory=dict,
        description='changed parameters with their units, such as alpha = "0.025 1/Gy"',
    )


class StudyFile(_Table):
    """A study: treatment arms by assumptions, for one patient."""

    format: Literal[1] = Field(description="version of this file format")
    patient: str = Field(
        description="patient.toml or a built folder, relative to the folder of this file"
    )
    name: str = Field(default="study", description="title of the study")
    horizon: Day = _quantity("end of the simulation after day 0", "540 day")
    fields_every: Day = _quantity("interval of the stored densities", "7 day")
    seed: int = Field(default=0, ge=0, description="recorded with the results")
    scans: ScansTable = Field(default_factory=ScansTable)
    setup_errors: SetupErrorsTable | None = None
    scenario: list[ScenarioTable] = Field(min_length=1)
    case: list[CaseTable] = Field(
        default_factory=lambda: [CaseTable(name="expected")], min_length=1
    )

    def study(self) -> Study:
        """The study, checked."""
        if not self.horizon <= LONGEST_STUDY_DAY:
            raise InvalidInput(
                f"The horizon is {self.horizon:g} day; at most {LONGEST_STUDY_DAY:g} day can be "
                "simulated."
            )
        cases = [Case(table.name, dict(table.parameters)) for table in self.case]
        return Study(
            [table.scenario() for table in self.scenario],
            cases if self.setup_errors is None else self.setup_errors.cases(cases),
            days=self.horizon,
            fields_every_days=self.fields_every,
            seed=self.seed,
            name=self.name,
            scans=self.scans.calendar(),
        )


@dataclass(frozen=True, slots=True)
class ReadStudy:
    """A study and the path of its patient."""

    study: Study
    patient: Path


def read_study(path: str | Path) -> ReadStudy:
    """The study in a file and the path of its patient.

    Raises
    ------
    InvalidInput
        No such file, not TOML, an unknown key (the nearest known one is
        suggested), a value without its unit or out of range.
    """
    file = Path(path)
    if file.is_dir():
        raise InvalidInput(f"{path} is a folder; give the study file, such as {path}/study.toml.")
    if not file.exists():
        raise InvalidInput(
            f"There is no study file {path}; 'twin init --example glioblastoma DIR' makes one."
        )
    table = check(StudyFile, read_toml(file, what="study file"), where=file.name)
    try:
        study = table.study()
    except InvalidInput as error:
        raise InvalidInput(f"{file.name}: {error}") from None
    return ReadStudy(study, file.parent / table.patient)


def study_json_schema() -> dict[str, Any]:
    """JSON Schema of study files.

    Examples
    --------
    >>> study_json_schema()["properties"]["horizon"]["examples"]
    ['540 day']
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **StudyFile.model_json_schema(),
        "title": "study.toml",
    }
