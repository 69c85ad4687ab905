"""The days of a treatment, counted from its events: fractions, drug doses, operations."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from scenarios.metrics import bed, eqd2
from twin.calendar import Calendar
from twin.events import DrugDose, Fraction, ResectionEvent

__all__ = [
    "DrugBlock",
    "DrugPlan",
    "FractionPlan",
    "Gap",
    "date_text",
    "drug_plans",
    "fraction_plans",
    "operation_dates",
]

_SATURDAY = 5
_DAY = dt.timedelta(days=1)


def date_text(date: dt.date) -> str:
    """Weekday and date, as `Calendar.text` writes them.

    Examples
    --------
    >>> date_text(dt.date(2026, 4, 27))
    'Mon 27 Apr 2026'
    """
    return f"{date:%a %d %b %Y}"


@dataclass(frozen=True, slots=True)
class Gap:
    """Days from Monday to Friday without a fraction between two fractions; ends included."""

    first: dt.date
    last: dt.date


@dataclass(frozen=True, slots=True)
class FractionPlan:
    """One course of radiotherapy as it is given.

    Parameters
    ----------
    course : int
        Its number in the regimen, from 0.
    begin_day, end_day : float, [day]
        Times of the first and the last fraction.
    fractions : int
    doses_gy : tuple of float, [Gy]
        The different prescribed doses of one fraction, rising.
    total_gy, bed_gy, eqd2_gy : float, [Gy]
        Sum of the prescription over the fractions that are given, and its effect on the tumour.
    first, last : date
    dates : tuple of date
        Every day with a fraction, in order.
    weekends_skipped : int
        Between the first and the last fraction.
    gaps : tuple of Gap
        Further days without a fraction.
    weekend_fractions : int
    most_a_day : int
    least_interval_h : float or None, [h]
        Between two fractions of one day.
    """

    course: int
    begin_day: float
    end_day: float
    fractions: int
    doses_gy: tuple[float, ...]
    total_gy: float
    bed_gy: float
    eqd2_gy: float
    first: dt.date
    last: dt.date
    dates: tuple[dt.date, ...]
    weekends_skipped: int
    gaps: tuple[Gap, ...]
    weekend_fractions: int
    most_a_day: int
    least_interval_h: float | None

    @property
    def overall_days(self) -> int:
        """Overall treatment time, first and last day included, [day]."""
        return (self.last - self.first).days + 1

    @property
    def weekdays(self) -> tuple[int, ...]:
        """Days of the week with a fraction, Monday is 0."""
        return tuple(sorted({date.weekday() for date in self.dates}))


def fraction_plans(
    fractions: Iterable[Fraction], calendar: Calendar, alpha_beta_gy: float
) -> list[FractionPlan]:
    """Each course of radiotherapy of a schedule, in the order of the regimen.

    Parameters
    ----------
    fractions : iterable of Fraction
    calendar : Calendar
    alpha_beta_gy : float, [Gy]
        Of the tumour.
    """
    by_course: dict[int, list[Fraction]] = {}
    for fraction in fractions:
        by_course.setdefault(fraction.course, []).append(fraction)
    return [
        _fraction_plan(sorted(found, key=lambda f: f.day), calendar, alpha_beta_gy)
        for _, found in sorted(by_course.items())
    ]


def _fraction_plan(
    given: Sequence[Fraction], calendar: Calendar, alpha_beta: float
) -> FractionPlan:
    days = [calendar.date(fraction.day) for fraction in given]
    dates = sorted(set(days))
    skipped, gaps = _without(dates)
    same_day = [
        24.0 * (later.day - earlier.day)
        for (earlier, one), (later, other) in pairwise(zip(given, days, strict=True))
        if one == other
    ]
    return FractionPlan(
        course=given[0].course,
        begin_day=given[0].day,
        end_day=given[-1].day,
        fractions=len(given),
        doses_gy=tuple(sorted({round(fraction.dose_gy, 9) for fraction in given})),
        total_gy=sum(fraction.dose_gy for fraction in given),
        bed_gy=sum(float(bed(fraction.dose_gy, 1, alpha_beta)) for fraction in given),
        eqd2_gy=sum(float(eqd2(fraction.dose_gy, 1, alpha_beta)) for fraction in given),
        first=dates[0],
        last=dates[-1],
        dates=tuple(dates),
        weekends_skipped=skipped,
        gaps=gaps,
        weekend_fractions=sum(day.weekday() >= _SATURDAY for day in days),
        most_a_day=max(Counter(days).values()),
        least_interval_h=min(same_day, default=None),
    )


def _without(dates: Sequence[dt.date]) -> tuple[int, tuple[Gap, ...]]:
    """Weekends without a fraction, and the other days without one, as gaps."""
    weekends: set[dt.date] = set()
    gaps: list[Gap] = []
    for one, other in pairwise(dates):
        empty = [one + k * _DAY for k in range(1, (other - one).days)]
        for date in empty:
            if date.weekday() >= _SATURDAY:
                weekends.add(date - (date.weekday() - _SATURDAY) * _DAY)
        working = [date for date in empty if date.weekday() < _SATURDAY]
        if working:
            gaps.append(Gap(working[0], working[-1]))
    treated = set(dates)
    whole = {saturday for saturday in weekends if not {saturday, saturday + _DAY} & treated}
    return len(whole), tuple(gaps)


@dataclass(frozen=True, slots=True)
class DrugBlock:
    """Doses of one drug, all alike: a cycle, or the days with radiotherapy.

    Where the prescription has no cycles, successive days are one.

    `cycle` is its number from 1, None on days with radiotherapy; `dates` has one entry a dose.
    """

    dates: tuple[dt.date, ...]
    mg_m2: float
    cycle: int | None

    @property
    def label(self) -> str:
        """Name of the row in a table."""
        return "with radiotherapy" if self.cycle is None else f"cycle {self.cycle}"


@dataclass(frozen=True, slots=True)
class DrugPlan:
    """All doses of one drug, in blocks, for a body surface [m2]."""

    drug: str
    blocks: tuple[DrugBlock, ...]
    body_surface_m2: float

    def mg(self, block: DrugBlock) -> float:
        """One dose of a block, [mg]."""
        return block.mg_m2 * self.body_surface_m2

    @property
    def total_mg(self) -> float:
        """All doses together, [mg]."""
        return sum(self.mg(block) * len(block.dates) for block in self.blocks)

    @property
    def total_mg_m2(self) -> float:
        """All doses together, [mg/m2]."""
        return sum(block.mg_m2 * len(block.dates) for block in self.blocks)

    @property
    def doses(self) -> int:
        """Number of doses."""
        return sum(len(block.dates) for block in self.blocks)

    @property
    def concurrent(self) -> tuple[DrugBlock, ...]:
        """The blocks with radiotherapy."""
        return tuple(block for block in self.blocks if block.cycle is None)

    @property
    def cycles(self) -> tuple[DrugBlock, ...]:
        """The blocks without radiotherapy."""
        return tuple(block for block in self.blocks if block.cycle is not None)


def drug_plans(
    doses: Iterable[DrugDose],
    calendar: Calendar,
    courses: Sequence[FractionPlan],
    body_surface_m2: float,
) -> list[DrugPlan]:
    """Each drug of a schedule, by name, its doses in blocks: cycles, or successive days."""
    by_drug: dict[str, list[DrugDose]] = {}
    for dose in doses:
        by_drug.setdefault(dose.drug, []).append(dose)
    plans = []
    for drug, given in by_drug.items():
        runs: list[list[DrugDose]] = []
        for dose in sorted(given, key=lambda one: calendar.date(one.day)):
            if not runs or not _together(runs[-1][-1], dose, calendar):
                runs.append([])
            runs[-1].append(dose)
        blocks, cycle = [], 0
        for run in runs:
            dates = tuple(calendar.date(dose.day) for dose in run)
            beside = any(
                course.first <= dates[-1] and dates[0] <= course.last for course in courses
            )
            if run[0].cycle is not None:  # as prescribed: 0 with radiotherapy
                beside = run[0].cycle == 0
            cycle += not beside
            blocks.append(DrugBlock(dates, run[0].mg_m2, None if beside else cycle))
        plans.append(DrugPlan(drug, tuple(blocks), body_surface_m2))
    return plans


def _together(one: DrugDose, other: DrugDose, calendar: Calendar) -> bool:
    """Whether two successive doses belong to one block."""
    if one.mg_m2 != other.mg_m2 or one.cycle != other.cycle:
        return False
    return one.cycle is not None or calendar.date(other.day) - calendar.date(one.day) <= _DAY


def operation_dates(
    events: Iterable[ResectionEvent], calendar: Calendar
) -> list[tuple[dt.date, str]]:
    """Date and structure of each operation, in order."""
    return [(calendar.date(event.day), event.structure) for event in events]
