"""Tables of ``patient.toml`` of what was given before day 0."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from twin.calendar import Calendar
from twin.courses import Course, Drug, Radiotherapy, Resection, Temozolomide
from twin.errors import InvalidInput
from twin.regimen import Regimen
from twin.toml_file import Date, FileModel, quantity

__all__ = ["HistoryTable", "cavity_name"]


class PastResection(FileModel):
    """``[[history.resection]]``."""

    date: Date
    cavity: str = Field(description="NIfTI file, non-zero in the cavity")


class PastRadiotherapy(FileModel):
    """``[[history.radiotherapy]]``; `date` is that of the first fraction."""

    date: Date
    total_dose: quantity("Gy", example="60 Gy")  # type: ignore[valid-type]
    fractions: Annotated[int, Field(ge=1, le=100)]
    target: str = "gtv"
    margin: quantity("mm", example="15 mm") = 15.0  # type: ignore[valid-type]
    planning_margin: quantity("mm", example="3 mm") = 3.0  # type: ignore[valid-type]
    weekdays_only: bool = True
    dose: str | None = Field(
        default=None,
        description='one of [doses], or "unknown"; else geometric about the outline of day 0',
    )
    overlap: Literal["refuse", "both"] = Field(
        default="refuse", description="where it overlaps an earlier course: refused, or both given"
    )


class PastTemozolomide(FileModel):
    """``[[history.temozolomide]]``: during the radiotherapy, and cycles after it."""

    daily: quantity("mg/m2", example="75 mg/m2") = 75.0  # type: ignore[valid-type]
    cycles: Annotated[int, Field(ge=0, le=24)] = 0
    first_cycle: quantity("mg/m2", example="150 mg/m2") = 150.0  # type: ignore[valid-type]
    later_cycles: quantity("mg/m2", example="200 mg/m2") = 200.0  # type: ignore[valid-type]


class PastDrug(FileModel):
    """``[[history.drug]]``: a drug by its schedule."""

    name: str = Field(description="a drug of data/drugs")
    schedule: str = Field(description='as the clinic writes it: "110 mg/m2 day 1 of 42, 2 cycles"')
    start: Date | None = Field(default=None, description="date of day 1 of the first cycle")


class HistoryTable(FileModel):
    """``[history]``: treatment given before day 0."""

    resection: tuple[PastResection, ...] = ()
    radiotherapy: tuple[PastRadiotherapy, ...] = ()
    temozolomide: tuple[PastTemozolomide, ...] = ()
    drug: tuple[PastDrug, ...] = ()

    def regimen(self, calendar: Calendar) -> Regimen:
        """Return what was delivered; all of it must lie before day 0."""
        courses: list[Course] = [
            Resection(day=float(calendar.day(past.date)), structure=cavity_name(number))
            for number, past in enumerate(self.resection)
        ]
        courses += [
            Radiotherapy(
                total_dose_gy=past.total_dose,
                fractions=past.fractions,
                start_day=float(calendar.day(past.date)),
                target=past.target,
                ctv_margin_mm=past.margin,
                ptv_margin_mm=past.planning_margin,
                weekdays_only=past.weekdays_only,
                dose=past.dose,
                overlap=past.overlap,
            )
            for past in self.radiotherapy
        ]
        courses += [
            Temozolomide(
                concurrent_mg_m2=past.daily,
                cycles=past.cycles,
                first_cycle_mg_m2=past.first_cycle,
                later_cycles_mg_m2=past.later_cycles,
            )
            for past in self.temozolomide
        ]
        courses += [
            Drug(
                name=past.name,
                schedule=past.schedule,
                start_day=None if past.start is None else float(calendar.day(past.start)),
            )
            for past in self.drug
        ]
        regimen = Regimen(*courses)
        try:
            regimen.check_overlap(calendar)
        except InvalidInput as error:
            raise InvalidInput(f"history: {error}") from None
        for event in regimen.schedule(calendar).events:
            if not event.day < 0:
                raise InvalidInput(
                    f"history: treatment on {calendar.text(event.day)} is not before the "
                    f"reference date {calendar.text(0)}; put later treatment into the study."
                )
        return regimen


def cavity_name(number: int) -> str:
    """Name of the structure that is the cavity of past resection `number` (from 0)."""
    return "cavity" if number == 0 else f"cavity_{number + 1}"
