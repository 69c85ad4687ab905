"""Treatments as the clinic prescribes them, each turned into events on a calendar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from twin.calendar import Calendar
from twin.errors import InvalidInput
from twin.events import DrugDose, Event, Fraction, ResectionEvent

__all__ = ["Course", "Radiotherapy", "Resection", "Temozolomide"]

MAX_PRESCRIPTION_GY = 200.0
MAX_FRACTION_GY = 40.0


def _check(what: str, value: float, low: float, high: float, unit: str) -> None:
    if not low <= value <= high:
        raise InvalidInput(
            f"{what} is {value:g} {unit}, but must lie between {low:g} and {high:g} {unit}."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Radiotherapy:
    """A course of external radiotherapy.

    Parameters
    ----------
    total_dose_gy : float, [Gy]
        Prescribed to the target; 200 Gy at most.
    fractions : int
        Equal fractions; 40 Gy each at most.
    start_day : float, [day]
        Earliest time of the first fraction; its time of day is that of every fraction.
    target : str
        Structure of the gross tumour volume ("gtv": enhancing tumour with its necrosis).
    ctv_margin_mm, ptv_margin_mm : float, [mm]
        Clinical margin, cropped at barriers, and planning margin around that.
    boost_target : str or None
        Structure that is given `boost_total_dose_gy` in the same fractions.
    boost_total_dose_gy : float or None, [Gy]
        Total dose of the simultaneous boost, larger than `total_dose_gy`.
    weekdays_only : bool
        No fraction on Saturday or Sunday.
    """

    total_dose_gy: float
    fractions: int
    start_day: float
    target: str = "gtv"
    ctv_margin_mm: float = 15.0
    ptv_margin_mm: float = 3.0
    boost_target: str | None = None
    boost_total_dose_gy: float | None = None
    weekdays_only: bool = True

    def __post_init__(self) -> None:
        if not (isinstance(self.fractions, int) and 1 <= self.fractions <= 100):
            raise InvalidInput(
                f"Radiotherapy has {self.fractions!r} fractions; give a whole number from 1 to 100."
            )
        _check("The prescribed dose", self.total_dose_gy, 0.0, MAX_PRESCRIPTION_GY, "Gy")
        _check("The dose per fraction", self.dose_per_fraction_gy, 0.0, MAX_FRACTION_GY, "Gy")
        _check("The start of radiotherapy", self.start_day, -36500.0, 36500.0, "day")
        _check("The clinical margin", self.ctv_margin_mm, 0.0, 50.0, "mm")
        _check("The planning margin", self.ptv_margin_mm, 0.0, 20.0, "mm")
        if (self.boost_target is None) != (self.boost_total_dose_gy is None):
            raise InvalidInput("A boost needs both a target and a total dose; give both or none.")
        if self.boost_total_dose_gy is not None:
            _check(
                "The boost's total dose",
                self.boost_total_dose_gy,
                self.total_dose_gy,
                MAX_PRESCRIPTION_GY,
                "Gy",
            )

    @property
    def dose_per_fraction_gy(self) -> float:
        """Prescribed dose of one fraction, [Gy]."""
        return self.total_dose_gy / self.fractions

    def fraction_days(self, calendar: Calendar) -> list[float]:
        """Times of the fractions, [day]; whole days apart, weekends skipped."""
        days: list[float] = []
        offset = 0
        while len(days) < self.fractions:
            day = self.start_day + offset
            if not self.weekdays_only or calendar.is_weekday(day):
                days.append(day)
            offset += 1
        return days

    def events(self, calendar: Calendar, index: int, others: Sequence[Course]) -> list[Event]:
        """The fractions, as events of course number `index`."""
        dose = self.dose_per_fraction_gy
        return [Fraction(day, index, dose) for day in self.fraction_days(calendar)]

    def describe(self, calendar: Calendar, others: Sequence[Course]) -> str:
        """The course in one plain sentence."""
        days = self.fraction_days(calendar)
        when = "weekdays" if self.weekdays_only else "every day"
        text = (
            f"Radiotherapy: {self.total_dose_gy:g} Gy in {self.fractions} fractions of "
            f"{self.dose_per_fraction_gy:.3g} Gy, {when} from {calendar.text(days[0])} (day "
            f"{days[0]:g}) to {calendar.text(days[-1])} (day {days[-1]:g}), to "
            f"{self.target.upper()} + {self.ctv_margin_mm:g} mm (CTV) + {self.ptv_margin_mm:g} mm "
            "(PTV)"
        )
        if self.boost_target is not None:
            text += (
                f", with a simultaneous boost of the {self.boost_target} tumour to "
                f"{self.boost_total_dose_gy:g} Gy"
            )
        return text + "."


@dataclass(frozen=True, slots=True, kw_only=True)
class Temozolomide:
    """Temozolomide during radiotherapy and in cycles afterwards.

    The defaults are the schedule of Stupp et al. 2005, N Engl J Med 352:987,
    doi 10.1056/NEJMoa043330: 75 mg/m2 daily, weekends included, from the first
    to the last fraction, at most 49 days; 28 days later up to six cycles of
    days 1 to 5 of 28, first 150, then 200 mg/m2.
    """

    concurrent_mg_m2: float = 75.0
    max_concurrent_days: int = 49
    break_days: int = 28
    cycles: int = 6
    first_cycle_mg_m2: float = 150.0
    later_cycles_mg_m2: float = 200.0
    days_per_cycle: int = 5
    cycle_length_days: int = 28

    def __post_init__(self) -> None:
        for what, value in (
            ("The daily dose during radiotherapy", self.concurrent_mg_m2),
            ("The dose of the first cycle", self.first_cycle_mg_m2),
            ("The dose of the later cycles", self.later_cycles_mg_m2),
        ):
            _check(what, value, 0.0, 1000.0, "mg/m2")
        _check("The number of cycles", self.cycles, 0, 24, "cycles")
        _check("The break after radiotherapy", self.break_days, 0, 365, "day")
        _check("The longest concurrent course", self.max_concurrent_days, 0, 120, "day")
        _check("The length of a cycle", self.cycle_length_days, 1, 120, "day")
        _check("The days of a cycle", self.days_per_cycle, 1, self.cycle_length_days, "day")

    def _radiotherapy_days(self, calendar: Calendar, others: Sequence[Course]) -> list[float]:
        for course in others:
            if isinstance(course, Radiotherapy):
                return course.fraction_days(calendar)
        raise InvalidInput(
            "Temozolomide is given during radiotherapy, but this regimen has no radiotherapy; "
            "add one."
        )

    def events(self, calendar: Calendar, index: int, others: Sequence[Course]) -> list[Event]:
        """The doses, as events; the first radiotherapy of `others` sets their times."""
        days = self._radiotherapy_days(calendar, others)
        first, last = days[0], days[-1]
        doses: list[Event] = []
        length = min(round(last - first) + 1, self.max_concurrent_days)
        if self.concurrent_mg_m2 > 0:
            doses += [
                DrugDose(first + k, "temozolomide", self.concurrent_mg_m2) for k in range(length)
            ]
        for cycle in range(self.cycles):
            amount = self.first_cycle_mg_m2 if cycle == 0 else self.later_cycles_mg_m2
            begin = last + self.break_days + cycle * self.cycle_length_days
            doses += [
                DrugDose(begin + k, "temozolomide", amount)
                for k in range(self.days_per_cycle)
                if amount > 0
            ]
        return doses

    def describe(self, calendar: Calendar, others: Sequence[Course]) -> str:
        """The course in one plain sentence."""
        days = self._radiotherapy_days(calendar, others)
        length = min(round(days[-1] - days[0]) + 1, self.max_concurrent_days)
        text = (
            f"Temozolomide: {self.concurrent_mg_m2:g} mg/m2 daily, weekends included, for {length} "
            f"days from {calendar.text(days[0])}"
        )
        if self.cycles:
            begin = days[-1] + self.break_days
            text += (
                f"; then {self.cycles} cycles of days 1 to {self.days_per_cycle} of "
                f"{self.cycle_length_days} from {calendar.text(begin)}, first "
                f"{self.first_cycle_mg_m2:g}, then {self.later_cycles_mg_m2:g} mg/m2"
            )
        return text + "."


@dataclass(frozen=True, slots=True, kw_only=True)
class Resection:
    """Removal of a structure: "core" (enhancing tumour with its necrosis), or any other one."""

    day: float
    structure: str = "core"

    def __post_init__(self) -> None:
        _check("The day of the resection", self.day, -36500.0, 36500.0, "day")

    def events(self, calendar: Calendar, index: int, others: Sequence[Course]) -> list[Event]:
        """The resection, as one event."""
        return [ResectionEvent(self.day, self.structure)]

    def describe(self, calendar: Calendar, others: Sequence[Course]) -> str:
        """The operation in one plain sentence."""
        what = "enhancing tumour with its necrosis" if self.structure == "core" else self.structure
        return f"Resection of the {what} on {calendar.text(self.day)} (day {self.day:g})."


Course = Radiotherapy | Temozolomide | Resection
