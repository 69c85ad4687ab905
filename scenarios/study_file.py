"""Study files (TOML): what they may hold, and the study that one describes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from scenarios.course_tables import (
    Day,
    DrugTable,
    Millimetre,
    RadiotherapyTable,
    ResectionTable,
    StudyTable,
    TemozolomideTable,
    quantity,
)
from scenarios.fair_tables import IsotoxicTable, SensitivityTable
from scenarios.hyperthermia_table import HyperthermiaTable
from scenarios.scans import ScanCalendar
from scenarios.study import LONGEST_STUDY_DAY, Case, Scenario, Study
from twin.errors import InvalidInput
from twin.regimen import Regimen
from twin.setup_error import drawn_setup_errors
from twin.toml_file import check, read_toml

__all__ = ["StudyFile", "read_study", "study_json_schema"]


def _with_unit(value: Any) -> Any:
    if isinstance(value, int | float):
        raise InvalidInput(
            f'{value} has no unit; write it in quotes with its unit, such as "0.025 1/Gy".'
        )
    return value


ParameterText = Annotated[str, BeforeValidator(_with_unit)]


class ScenarioTable(StudyTable):
    """One treatment arm; without any course, no treatment."""

    name: str = Field(description="unique name of the arm")
    compared_with: str | None = Field(
        default=None, description="name of the arm that this one is compared with"
    )
    radiotherapy: list[RadiotherapyTable] = Field(default_factory=list)
    temozolomide: TemozolomideTable | None = None
    drug: list[DrugTable] = Field(default_factory=list)
    resection: list[ResectionTable] = Field(default_factory=list)
    hyperthermia: list[HyperthermiaTable] = Field(default_factory=list)

    def scenario(self) -> Scenario:
        """The arm, checked; errors name it."""
        tables: list[Any] = [*self.resection, *self.radiotherapy]
        if self.temozolomide is not None:
            tables.append(self.temozolomide)
        tables += [*self.drug, *self.hyperthermia]
        try:
            self._check_drugs()
            if self.temozolomide is not None and not self.radiotherapy:
                raise InvalidInput(
                    "temozolomide is given with radiotherapy, but there is none; add "
                    "[[scenario.radiotherapy]] or leave temozolomide out."
                )
            if self.hyperthermia and not self.radiotherapy:
                raise InvalidInput(
                    "hyperthermia is given with radiotherapy, but there is none; add "
                    "[[scenario.radiotherapy]] or leave hyperthermia out."
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


class ScansTable(StudyTable):
    """When scans are made, for response categories; they decide no treatment."""

    after_radiotherapy: Day = quantity("time from the last fraction to the baseline scan", "28 day")
    every: Day = quantity("time between scans after that", "56 day")
    confirmed_after: Day = quantity("a response seen again so much later is confirmed", "28 day")
    protected: Day = quantity(
        "progression so soon after radiotherapy has to be seen again", "84 day"
    )
    slice: Millimetre = quantity("thickness of the axial slices for diameters", "5 mm")
    criteria: Literal["rano", "recist"] = Field(
        default="rano", description="the criteria by diameters that the study is judged by"
    )
    pseudo_progression: bool = Field(
        default=False,
        description="also say what scans would read with transient enhancement after "
        "chemoradiation, by the parameters pseudoprogression_*",
    )

    def calendar(self) -> ScanCalendar:
        """The calendar, checked."""
        return ScanCalendar(
            after_radiotherapy_day=self.after_radiotherapy,
            every_day=self.every,
            confirmed_after_day=self.confirmed_after,
            protected_day=self.protected,
            slice_mm=self.slice,
            criteria=self.criteria,
            pseudo_progression=self.pseudo_progression,
        )


class SetupErrorsTable(StudyTable):
    """Set-up errors: each case is also run with the dose of all arms displaced alike."""

    systematic: Millimetre = quantity("standard deviation of the shift along each axis", "2 mm")
    random: Millimetre = quantity("that of single fractions, which blurs the dose", "2 mm")
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


class CaseTable(StudyTable):
    """One assumption about the unknown parameters."""

    name: str = Field(description="unique name of the case")
    parameters: dict[str, ParameterText] = Field(
        default_factory=dict,
        description='changed parameters with their units, such as alpha = "0.025 1/Gy"',
    )


class StudyFile(StudyTable):
    """A study: treatment arms by assumptions, for one patient."""

    format: Literal[1] = Field(description="version of this file format")
    patient: str = Field(
        description="patient.toml or a built folder, relative to the folder of this file"
    )
    name: str = Field(default="study", description="title of the study")
    horizon: Day = quantity("end of the simulation after day 0", "540 day")
    fields_every: Day = quantity("interval of the stored densities", "7 day")
    seed: int = Field(default=0, ge=0, description="recorded with the results")
    scans: ScansTable = Field(default_factory=ScansTable)
    setup_errors: SetupErrorsTable | None = None
    isotoxic: IsotoxicTable | None = None
    sensitivity: SensitivityTable = Field(default_factory=SensitivityTable)
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
            isotoxic=None if self.isotoxic is None else self.isotoxic.rule(),
            sensitivity=self.sensitivity.fractionation or self.sensitivity.margin,
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
