"""A drug as the clinic prescribes it: a name, and a schedule in the clinic's words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from twin.calendar import Calendar
from twin.drug_schedules import Cycles, DuringRadiotherapy, SchedulePart, read_schedule
from twin.drugs import load_drug
from twin.errors import InvalidInput
from twin.events import DrugDose, Event
from twin.radiotherapy import LATER, Radiotherapy, check_range

if TYPE_CHECKING:
    from twin.courses import Course

__all__ = ["Drug"]

#: Exposures are targets of Calvert's formula, which is of this drug.
DOSED_BY_EXPOSURE = "carboplatin"
#: How each delivery is said in the sentence of a course.
_REACHES = {
    "uniform": "",
    "barrier": "; held back by the barrier outside of enhancing tumour",
    "perfusion": "; delivered in proportion to perfusion",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Drug:
    """A drug by its schedule.

    Parameters
    ----------
    name : str
        A drug of ``data/drugs``.
    schedule : str
        As the clinic writes it, read by `twin.drug_schedules.read_schedule`.
    start_day : float or None, [day]
        Day 1 of the first cycle. None where cycles follow radiotherapy.
    break_days : float, [day]
        From the last fraction to the first cycle, where no start is given.
    delivery : {"uniform", "barrier", "perfusion"}
        How it reaches the tumour: everywhere alike, past a barrier that is broken in enhancing
        tumour only, or with the patient's perfusion image (`twin.drug_delivery`).

    Raises
    ------
    InvalidInput
        A drug or a schedule that is not known, cycles without a start, a start without cycles.

    Examples
    --------
    >>> import datetime
    >>> drug = Drug(name="lomustine", schedule="110 mg/m2 day 1 of 42, 6 cycles", start_day=28.0)
    >>> drug.describe(Calendar(datetime.date(2026, 3, 30)), ())
    'Lomustine: 110 mg/m2 on day 1 of 42, 6 cycles, from Mon 27 Apr 2026.'
    """

    name: str
    schedule: str
    start_day: float | None = None
    break_days: float = 28.0
    delivery: str = field(default="uniform", metadata=LATER)

    def __post_init__(self) -> None:
        data = load_drug(self.name)
        fixed = data.fixed_doses
        if data.effect == "checkpoint" and self.delivery != "uniform":
            raise InvalidInput(
                f"{self.name.capitalize()} acts on effector cells, not in the tumour, so its "
                f"delivery cannot be {self.delivery!r}; leave it out."
            )
        check_range("The break after radiotherapy", self.break_days, 0, 365, "day")
        if self.start_day is not None:
            check_range(f"The start of {self.name}", self.start_day, -36500.0, 36500.0, "day")
        if self.delivery not in _REACHES:
            raise InvalidInput(
                f"The delivery of {self.name} is {self.delivery!r}; there are "
                f"{', '.join(_REACHES)}."
            )
        cycles = [part for part in self.parts if isinstance(part, Cycles)]
        if len(cycles) == len(self.parts) and self.start_day is None:
            raise InvalidInput(
                f"{self.name.capitalize()} in cycles ({self.schedule}) has no start; give the day "
                'of the first dose, such as start = "28 day".'
            )
        if not cycles and self.start_day is not None:
            raise InvalidInput(
                f"{self.name.capitalize()} ({self.schedule}) begins with radiotherapy, but a start "
                f"on day {self.start_day:g} is given as well; leave the start out."
            )
        for part in self.parts:
            if part.amount.unit == "AUC" and self.name != DOSED_BY_EXPOSURE:
                raise InvalidInput(
                    f"{self.name.capitalize()} is given as {part.amount}, but only "
                    f"{DOSED_BY_EXPOSURE} is dosed by its exposure; write an amount in mg/m2."
                )

            if (part.amount.unit == "mg") != fixed:
                right = "mg, the same for everybody" if fixed else "mg/m2"
                raise InvalidInput(
                    f"{self.name.capitalize()} is given as {part.amount}, but it is dosed in "
                    f'{right}; write an amount such as "{"200 mg" if fixed else "100 mg/m2"}".'
                )

    @property
    def parts(self) -> tuple[SchedulePart, ...]:
        """The parts of the schedule, in order."""
        return read_schedule(self.schedule)

    def _radiotherapy_days(
        self, calendar: Calendar, others: Sequence[Course]
    ) -> tuple[float, float]:
        """Times of the first and the last fraction of the first course of radiotherapy, [day]."""
        days = Radiotherapy.first_days(calendar, others)
        if days is None:
            raise InvalidInput(
                f"{self.name.capitalize()} is given during radiotherapy ({self.schedule}), but "
                "this regimen has no radiotherapy; add one, or write cycles."
            )
        return days[0], days[-1]

    def _times(
        self, calendar: Calendar, others: Sequence[Course]
    ) -> list[tuple[SchedulePart, float, float]]:
        """Each part with the time of its first dose or cycle, and that at which it ends, [day].

        A part during radiotherapy ends with the last fraction, cycles where the next would begin.
        """
        found: list[tuple[SchedulePart, float, float]] = []
        begin = self.start_day
        for part in self.parts:
            if isinstance(part, DuringRadiotherapy):
                first, last = self._radiotherapy_days(calendar, others)
                found.append((part, first, last))
                if begin is not None and begin <= last:
                    raise InvalidInput(
                        f"The cycles of {self.name} begin on day {begin:g}, before radiotherapy "
                        f"ends on day {last:g}; start them later, or leave the start out."
                    )
                begin = last + self.break_days if begin is None else begin
                continue
            assert begin is not None  # noqa: S101 - checked when it was made
            end = begin + part.length_days * part.cycles
            found.append((part, begin, end))
            begin = end
        return found

    def events(self, calendar: Calendar, index: int, others: Sequence[Course]) -> list[Event]:
        """The doses, as events; the first radiotherapy of `others` sets those beside it."""
        doses: list[Event] = []
        cycle = 0
        for part, begin, end in self._times(calendar, others):
            if isinstance(part, DuringRadiotherapy):
                count = round(end - begin) // part.interval_days + 1
                doses += [self._dose(begin + k * part.interval_days, part, 0) for k in range(count)]
                continue
            for number in range(part.cycles):
                cycle += 1
                start = begin + number * part.length_days
                doses += [self._dose(start + day - 1, part, cycle) for day in part.days]
        return doses

    def _dose(self, day: float, part: SchedulePart, cycle: int) -> DrugDose:
        amount = part.amount
        if amount.unit == "AUC":
            return DrugDose(day, self.name, math.nan, auc=amount.value, cycle=cycle)
        if amount.unit == "mg":
            return DrugDose(day, self.name, math.nan, mg=amount.value, cycle=cycle)
        return DrugDose(day, self.name, amount.value, cycle=cycle)

    def describe(self, calendar: Calendar, others: Sequence[Course]) -> str:
        """The course in one plain sentence."""
        said = []
        for part, begin, end in self._times(calendar, others):
            if isinstance(part, DuringRadiotherapy):
                days = round(end - begin) + 1
                said.append(f"{part}, for {days} days from {calendar.text(begin)}")
            else:
                said.append(f"{part}, from {calendar.text(begin)}")
        return f"{self.name.capitalize()}: {'; then '.join(said)}{_REACHES[self.delivery]}."
