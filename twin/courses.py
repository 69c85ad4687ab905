"""Treatments as the clinic prescribes them, each turned into events on a calendar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from twin.calendar import Calendar
from twin.drug_course import Drug
from twin.errors import InvalidInput
from twin.events import DrugDose, Event
from twin.hyperthermia import Hyperthermia
from twin.radiotherapy import Radiotherapy, check_range
from twin.resection import Resection

__all__ = ["Course", "Drug", "Hyperthermia", "Radiotherapy", "Resection", "Temozolomide"]


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
            check_range(what, value, 0.0, 1000.0, "mg/m2")
        check_range("The number of cycles", self.cycles, 0, 24, "cycles")
        check_range("The break after radiotherapy", self.break_days, 0, 365, "day")
        check_range("The longest concurrent course", self.max_concurrent_days, 0, 120, "day")
        check_range("The length of a cycle", self.cycle_length_days, 1, 120, "day")
        check_range("The days of a cycle", self.days_per_cycle, 1, self.cycle_length_days, "day")

    def _radiotherapy_days(self, calendar: Calendar, others: Sequence[Course]) -> list[float]:
        days = Radiotherapy.first_days(calendar, others)
        if days is None:
            raise InvalidInput(
                "Temozolomide is given during radiotherapy, but this regimen has no radiotherapy; "
                "add one."
            )
        return days

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


Course = Radiotherapy | Temozolomide | Drug | Resection | Hyperthermia
