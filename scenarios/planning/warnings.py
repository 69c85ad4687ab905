"""Where a planner would raise an eyebrow: one sentence each, with number, limit and source."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from scenarios.planning.limits import DrugLimits, Limit, Limits, OrganLimit
from scenarios.planning.schedule import DrugPlan, FractionPlan, date_text

if TYPE_CHECKING:
    from scenarios.planning.doses import OrganReading
    from scenarios.planning.plan import ArmPlan, PastPlan

__all__ = ["PlanWarning", "warnings_of"]


@dataclass(frozen=True, slots=True)
class PlanWarning:
    """One thing to look at again.

    Parameters
    ----------
    rule : str
        Which rule, such as "radiotherapy.coverage" or "organ.brainstem".
    sentence : str
        All that a reader needs.
    value, limit : float or None, [`unit`]
    unit, source : str
    """

    rule: str
    sentence: str
    value: float | None = None
    limit: float | None = None
    unit: str = ""
    source: str = ""


def _plain(value: float) -> str:
    return f"{value:.4g}"


def _unit(unit: str, value: float) -> str:
    return {"1": "", "day": " day" if value == 1 else " days"}.get(unit, f" {unit}")


def _amount(limit: Limit) -> str:
    return f"{_plain(limit.value)}{_unit(limit.unit, limit.value)}"


def _warning(rule: str, limit: Limit, value: float, text: str, meaning: str = "") -> PlanWarning:
    source = "; ".join(part for part in (meaning, limit.source) if part)
    sentence = f"{text} ({source}); {limit.check}."
    return PlanWarning(rule, sentence, float(value), limit.value, limit.unit, limit.source)


def warnings_of(arm: ArmPlan, past: PastPlan, limits: Limits) -> list[PlanWarning]:
    """Every warning about one arm, in the order: dates, doses, organs, drugs."""
    found = [*_days(arm, limits), *_operations(arm, past, limits)]
    found += [*_doses(arm, limits), *_organs(arm), *_unknown(past)]
    for plan in arm.drugs:
        known = limits.drug.get(plan.drug)
        if known is not None:
            found += _drug(plan, known, (*past.fractions, *arm.fractions))
    return found


def _days(arm: ArmPlan, limits: Limits) -> Iterator[PlanWarning]:
    rules = limits.radiotherapy
    for course in arm.fractions:
        count, allowed = course.weekend_fractions, rules.weekend_fractions
        if count > allowed.value:
            one = count == 1
            yield _warning(
                "radiotherapy.weekend_fractions",
                allowed,
                count,
                f"{count} fraction{' falls' if one else 's fall'} on a Saturday or Sunday, "
                f"{_plain(allowed.value)} expected",
            )
        hours = course.least_interval_h
        if hours is not None and hours < rules.least_interval.value - 1e-6:
            yield _warning(
                "radiotherapy.least_interval",
                rules.least_interval,
                hours,
                f"Fractions of one day are {_plain(hours)} h apart, less than "
                f"{_amount(rules.least_interval)}",
            )
    ordered = sorted(arm.fractions, key=lambda course: course.begin_day)
    for before, after in pairwise(ordered):
        if after.begin_day <= before.end_day:
            shared = (min(before.last, after.last) - after.first).days + 1
            yield _warning(
                "radiotherapy.overlap",
                rules.overlap,
                shared,
                f"Two courses of radiotherapy overlap for {shared} day{'' if shared == 1 else 's'} "
                f"from {date_text(after.first)}, none expected",
            )


def _operations(arm: ArmPlan, past: PastPlan, limits: Limits) -> Iterator[PlanWarning]:
    """The time from the last operation to the radiotherapy that follows it."""
    rules = limits.radiotherapy
    all_courses = (*past.fractions, *arm.fractions)
    operations = sorted({*past.operation_dates, *(one.date for one in arm.operations)})
    for course in arm.fractions:
        inside = [date for date in operations if course.first < date <= course.last]
        for date in inside:
            yield _warning(
                "radiotherapy.overlap",
                rules.overlap,
                (course.last - date).days + 1,
                f"The operation on {date_text(date)} falls into radiotherapy that lasts until "
                f"{date_text(course.last)}",
            )
        before = [date for date in operations if date <= course.first]
        if not before:
            continue
        last = before[-1]
        if any(last <= other.last < course.first for other in all_courses if other is not course):
            continue  # other radiotherapy followed that operation
        days = (course.first - last).days
        text = f"Radiotherapy starts {days} days after surgery ({date_text(last)})"
        least, most = rules.least_days_after_surgery, rules.most_days_after_surgery
        if days < least.value:
            yield _warning(
                "radiotherapy.least_days_after_surgery",
                least,
                days,
                f"{text}, earlier than {_amount(least)}",
            )
        if days > most.value:
            yield _warning(
                "radiotherapy.most_days_after_surgery",
                most,
                days,
                f"{text}, later than {_amount(most)}",
            )


def _doses(arm: ArmPlan, limits: Limits) -> Iterator[PlanWarning]:
    rules = limits.radiotherapy
    if not arm.targets:
        return
    courses = list(zip(arm.targets, arm.fractions, strict=True))
    total = sum(
        course.total_gy
        if target.boost is None
        else max(course.total_gy, target.boost.dose_per_fraction_gy * course.fractions)
        for target, course in courses
    )
    text = f"The target gets {_plain(total)} Gy in all"
    least, most = rules.least_total_dose, rules.most_total_dose
    if least is not None and total < least.value * (1.0 - 1e-9):
        rule = "radiotherapy.least_total_dose"
        yield _warning(rule, least, total, f"{text}, below {_amount(least)}")
    if most is not None and total > most.value * (1.0 + 1e-9):
        rule = "radiotherapy.most_total_dose"
        yield _warning(rule, most, total, f"{text}, above {_amount(most)}")
    for target, course in courses:
        share, each = target.brain_share, course.doses_gy[-1]
        whole, largest = rules.whole_brain_share, rules.whole_brain_fraction
        if (
            whole is not None
            and largest is not None
            and share >= whole.value
            and each > (largest.value * (1.0 + 1e-9))
        ):
            yield _warning(
                "radiotherapy.whole_brain_fraction",
                largest,
                each,
                f"A fraction gives {_plain(each)} Gy to a {target.covered} that holds "
                f"{100 * share:.0f} % of the brain, more than {_amount(largest)}",
            )
        wanted = rules.coverage
        if target.coverage < wanted.value:
            gray = target.coverage_level * target.prescription_gy
            yield _warning(
                "radiotherapy.coverage",
                wanted,
                target.coverage,
                f"Only {100 * target.coverage:.1f} % of the {target.covered} gets {_plain(gray)} "
                f"Gy, {100 * target.coverage_level:.0f} % of the prescription; "
                f"{100 * wanted.value:.0f} % of it should",
            )


def _organs(arm: ArmPlan) -> Iterator[PlanWarning]:
    """The highest limit that is crossed, of each organ and measure."""
    crossed: dict[tuple[str, str], tuple[OrganReading, OrganLimit]] = {}
    for organ in arm.organs:
        for reading in organ.readings:
            key = reading.name, reading.limit.measure
            if reading.value_gy <= reading.limit.value:
                continue
            if key not in crossed or crossed[key][1].value < reading.limit.value:
                crossed[key] = reading, reading.limit
    for (name, measure), (reading, limit) in crossed.items():
        value, left = reading.value_gy, reading.recovered_gy
        credit = "" if left is None else f" ({left:.1f} Gy with recovery of earlier courses)"
        text = f"{measure} of {name} is {value:.1f} Gy EQD2{credit}, above {_amount(limit)}"
        yield _warning(f"organ.{name}", limit, value, text, limit.meaning)


def _unknown(past: PastPlan) -> Iterator[PlanWarning]:
    """Earlier radiotherapy that no organ dose can hold."""
    for total in past.unknown_gy:
        yield PlanWarning(
            "radiotherapy.unknown_dose",
            f"The dose of an earlier course of {_plain(total)} Gy is not known, so that organ "
            "doses leave it out and no limit is checked against it; check its plan.",
            total,
            unit="Gy",
        )


def _drug(
    plan: DrugPlan, limits: DrugLimits, courses: Sequence[FractionPlan]
) -> Iterator[PlanWarning]:
    for name, highest in _drug_values(plan, courses).items():
        limit: Limit | None = getattr(limits, name)
        if limit is None or highest is None:
            continue
        value, text = highest
        below = name in ("cycle_interval", "break_after_radiotherapy")
        if (value < limit.value) if below else (value > limit.value * (1.0 + 1e-9)):
            than = "less than" if below else "more than"
            yield _warning(
                f"drug.{plan.drug}.{name}",
                limit,
                value,
                f"{plan.drug.capitalize()}: {text}, {than} {_amount(limit)}",
            )


_Value = tuple[float, str] | None


def _drug_values(plan: DrugPlan, courses: Sequence[FractionPlan]) -> dict[str, _Value]:
    """What is compared with each limit of a drug, and in words; None where there is none."""
    cycles, beside = plan.cycles, plan.concurrent
    dates = sorted(date for block in plan.blocks for date in block.dates)
    on_a_day = max((dates.count(date), date) for date in set(dates))
    starts = [block.dates[0] for block in cycles]
    between = [(b - a).days for a, b in pairwise(starts)]
    after = [
        days for start in starts if (days := _days_since(start, courses)) is not None and days > 0
    ]
    days = len({date for block in beside for date in block.dates})
    longest = max((len(set(block.dates)) for block in cycles), default=0)

    def dose(blocks: Sequence, where: str) -> _Value:
        if not blocks:
            return None
        most = max(block.mg_m2 for block in blocks)
        return most, f"{_plain(most)} mg/m2 a dose {where}".rstrip()

    def of(value: int, text: Callable[[], str], *, there: bool = True) -> _Value:
        return (float(value), text()) if there else None

    return {
        "daily_dose": dose(cycles, "in the cycles"),
        "first_cycle_dose": dose(cycles[:1], "in the first cycle"),
        "concurrent_dose": dose(beside, "during radiotherapy"),
        "concurrent_days": of(days, lambda: f"{days} days during radiotherapy"),
        "cycles": of(len(cycles), lambda: f"{len(cycles)} cycles"),
        "days_in_a_cycle": of(longest, lambda: f"{longest} days in a row in a cycle"),
        "cycle_interval": of(
            min(between, default=0),
            lambda: f"{min(between)} days from cycle to cycle",
            there=bool(between),
        ),
        "break_after_radiotherapy": of(
            min(after, default=0),
            lambda: f"a cycle starts {min(after)} days after the last fraction",
            there=bool(after),
        ),
        "most_on_a_day": of(
            on_a_day[0], lambda: f"{on_a_day[0]} doses on {date_text(on_a_day[1])}"
        ),
    }


def _days_since(start: dt.date, courses: Sequence[FractionPlan]) -> int | None:
    """Days since the last radiotherapy that ended before `start`."""
    ends = [course.last for course in courses if course.last <= start]
    return (start - max(ends)).days if ends else None
