"""The treatments of a study file: what the table of each may hold, and the course that it is."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema

from twin.beams import ARRANGEMENTS
from twin.courses import Drug, Radiotherapy, Resection, Temozolomide
from twin.drug_delivery import Delivery
from twin.errors import InvalidInput
from twin.replan import Replan, VisibleOn
from twin.toml_file import FileModel
from twin.units import parse_quantity

__all__ = [
    "Day",
    "DrugTable",
    "Millimetre",
    "RadiotherapyTable",
    "ResectionTable",
    "StudyTable",
    "TemozolomideTable",
    "quantity",
]


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
Degree = Annotated[float, _parser("deg"), _TEXT]
Hour = Annotated[float, _parser("h"), _TEXT]
WholeDays = Annotated[int, _parser("day", whole=True), _TEXT]
Millimetre = Annotated[float, _parser("mm"), _TEXT]
DosePerSurface = Annotated[float, _parser("mg/m2"), _TEXT]


def quantity(meaning: str, default: str | None = None, *, example: str = "") -> Any:
    """A field whose value is written with its unit, such as `default` or `example`."""
    description = f"{meaning}, with its unit"
    if default is None:
        return Field(description=description, examples=[example])
    return Field(
        default=default, validate_default=True, description=description, examples=[default]
    )


class StudyTable(FileModel):
    """Base of every table: strict about types."""

    model_config = ConfigDict(strict=True)


class BoostTable(StudyTable):
    """A simultaneous boost in the same fractions."""

    target: str = Field(default="enhancing", description="structure that is boosted")
    total_dose: Gray = quantity("total dose of the boosted structure", example="75 Gy")


class ReplanTable(StudyTable):
    """The target redrawn, in the run, on the predicted tumour."""

    after_fraction: int = Field(ge=1, description="after which the tumour is seen")
    visible_on: VisibleOn = Field(default="t1gd", description="image that shows the tumour")
    above: float | None = Field(
        default=None, gt=0.0, lt=1.0, description="density of its outline; the image's if absent"
    )

    def replan(self) -> Replan:
        """The replan, checked."""
        return Replan(
            after_fraction=self.after_fraction, visible_on=self.visible_on, above=self.above
        )


class RadiotherapyTable(StudyTable):
    """A course of external radiotherapy, fractions on weekdays."""

    total_dose: Gray = quantity("prescribed total dose", example="60 Gy")
    fractions: int = Field(description="number of equal fractions", ge=1, le=100)
    start: Day = quantity("earliest time of the first fraction after day 0", example="28 day")
    target: str = Field(default="gtv", description="structure that is treated")
    margin: Millimetre = quantity("clinical margin, cropped at barriers", "15 mm")
    planning_margin: Millimetre = quantity("planning margin", "3 mm")
    weekdays_only: bool = Field(default=True, description="no fraction on Saturday or Sunday")
    boost: BoostTable | None = None
    dose: str | None = Field(
        default=None, description="name of a planned dose in patient.toml, scaled to total_dose"
    )
    density_guided: Day | None = Field(
        default=None,
        description="the target has the margin's volume, but lies where the density predicted for "
        "this day is highest",
        examples=["28 day"],
    )
    fractions_per_day: int = Field(default=1, ge=1, le=3, description="on a treatment day")
    interval: Hour = quantity("time between the fractions of a day", "6 h")
    every: WholeDays = quantity("from a treatment day to the next, at the least", "1 day")
    missed: list[int] = Field(
        default_factory=list, description="numbers of fractions that are not given at their time"
    )
    compensation: Literal["append", "second fraction", "none"] = Field(
        default="append",
        description="missed fractions follow at the end, on the next days as second ones, or never",
    )
    overlap: Literal["refuse", "both"] = Field(
        default="refuse",
        description="where it overlaps an earlier course in time: refused, or both are given",
    )

    beams: list[Degree] = Field(
        default_factory=list,
        description="gantry angles of the geometric dose, which then enters and leaves along them",
        examples=[["0 deg", "120 deg", "240 deg"]],
    )
    arrangement: Literal[tuple(ARRANGEMENTS)] | None = Field(  # type: ignore[valid-type]
        default=None, description="beams by a name, instead of angles"
    )
    replan: list[ReplanTable] = Field(
        default_factory=list, description="when the target is redrawn on the predicted tumour"
    )
    confirm_high_dose: bool = Field(
        default=False, description="a dose above 200 Gy, or 40 Gy a fraction, is meant"
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
            every_days=self.every,
            confirm_high_dose=self.confirm_high_dose,
            dose=self.dose,
            density_guided_day=self.density_guided,
            fractions_per_day=self.fractions_per_day,
            interval_h=self.interval,
            missed=tuple(self.missed),
            compensation=self.compensation,
            overlap=self.overlap,
            replans=tuple(table.replan() for table in self.replan),
            beams=self._beams(),
        )

    def _beams(self) -> tuple[float, ...]:
        if self.arrangement is None:
            return tuple(self.beams)
        if self.beams:
            raise InvalidInput(
                "radiotherapy has both beams and arrangement; give the angles or a name."
            )
        return ARRANGEMENTS[self.arrangement]


class TemozolomideTable(StudyTable):
    """Temozolomide with radiotherapy and in cycles afterwards; empty for the usual schedule."""

    concurrent: DosePerSurface = quantity("daily dose with radiotherapy", "75 mg/m2")
    longest_concurrent: WholeDays = quantity("most days with radiotherapy", "49 day")
    break_after_radiotherapy: WholeDays = quantity("time to the first cycle", "28 day")
    cycles: int = Field(default=6, ge=0, le=24, description="number of cycles afterwards")
    first_cycle: DosePerSurface = quantity("daily dose of the first cycle", "150 mg/m2")
    later_cycles: DosePerSurface = quantity("daily dose of later cycles", "200 mg/m2")
    days_per_cycle: int = Field(default=5, ge=1, le=28, description="days of treatment a cycle")
    cycle_length: WholeDays = quantity("time from cycle to cycle", "28 day")

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


class DrugTable(StudyTable):
    """A drug by its schedule, as the clinic writes it."""

    name: str = Field(description="a drug of data/drugs, such as lomustine")
    schedule: str = Field(
        description='such as "110 mg/m2 day 1 of 42, 6 cycles", "75 mg/m2 daily during '
        'radiotherapy" or "60 mg/m2 every 21 days, 4 cycles"; ", then " joins several'
    )
    start: Day | None = Field(
        default=None, description="day 1 of the first cycle after day 0", examples=["28 day"]
    )
    break_after_radiotherapy: WholeDays = quantity(
        "time from the last fraction to the first cycle, where there is no start", "28 day"
    )
    delivery: Delivery = Field(
        default="uniform",
        description="everywhere alike, held back by the barrier outside of enhancing tumour, or "
        "by the patient's perfusion image",
    )

    def course(self) -> Drug:
        """The course, checked."""
        return Drug(
            name=self.name,
            schedule=self.schedule,
            start_day=self.start,
            break_days=self.break_after_radiotherapy,
            delivery=self.delivery,
        )


class ResectionTable(StudyTable):
    """Removal of a structure."""

    day: Day = quantity("time of the operation after day 0", example="7 day")
    structure: str = Field(
        default="core", description="what is removed; core is enhancing tumour with its necrosis"
    )
    margin: Millimetre = quantity("brain around the structure that is removed as well", "0 mm")
    residual: float = Field(
        default=0.0, ge=0.0, le=0.9, description="share of the cavity that stays as a rim"
    )

    def course(self) -> Resection:
        """The operation, checked."""
        return Resection(
            day=self.day,
            structure=self.structure,
            margin_mm=self.margin,
            residual=self.residual,
        )
