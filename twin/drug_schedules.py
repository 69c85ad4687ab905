"""The schedule of a drug as the clinic writes it: read here, and nowhere else.

Three forms can be read, joined by ", then " where one follows another::

    110 mg/m2 day 1 of 42, 6 cycles
    75 mg/m2 daily during radiotherapy
    60 mg/m2 every 21 days, 4 cycles
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from twin.errors import InvalidInput
from twin.radiotherapy import check_range

__all__ = ["Amount", "Cycles", "DuringRadiotherapy", "SchedulePart", "read_schedule", "with_amount"]

_LARGEST = {"mg/m2": 10000.0, "mg": 10000.0, "AUC": 10.0}
_LONGEST_CYCLE_DAY = 365
_MOST_CYCLES = 60
_FORMS = (
    '"110 mg/m2 day 1 of 42, 6 cycles" (also "days 1-5 of 28", "days 1, 8, 15 of 28"), '
    '"75 mg/m2 daily during radiotherapy" (or weekly), or "60 mg/m2 every 21 days, 4 cycles"; an '
    'amount may also be "200 mg" or "AUC 5", and ", then " joins schedules that follow each other'
)
_AMOUNT = r"(?:(?P<mg_m2>\S+?) ?mg/m(?:2|²|\^2)|(?P<mg>[^\s/]+?) ?mg|auc ?(?P<auc>\S+))"
_ANY_AMOUNT = r"\d\S*? ?mg/m(?:2|²|\^2)|\d[\d.]* ?mg(?!/)|auc ?\d[\d.]*"
_CYCLE_COUNT = r", ?(?P<cycles>-?\d+) cycles?"
_DURING = re.compile(rf"{_AMOUNT} (?P<how>daily|weekly) during radiotherapy")
_DAYS = re.compile(
    rf"{_AMOUNT},? (?:on )?days? (?P<days>-?\d[-\d, ]*?) of (?P<length>-?\d+)(?: days?)?"
    rf"{_CYCLE_COUNT}"
)
_EVERY = re.compile(rf"{_AMOUNT},? every (?P<length>-?\d+) (?P<unit>days?|weeks?){_CYCLE_COUNT}")
_RANGE = re.compile(r"(-?\d+)(?: ?- ?(-?\d+))?")


@dataclass(frozen=True, slots=True)
class Amount:
    """One dose: by body surface [mg/m2], the same for all [mg], or for an exposure [mg min/mL].

    The last is written "AUC 5" (carboplatin).
    """

    value: float
    unit: str

    def __str__(self) -> str:
        return f"AUC {self.value:g}" if self.unit == "AUC" else f"{self.value:g} {self.unit}"


@dataclass(frozen=True, slots=True)
class DuringRadiotherapy:
    """A dose every `interval_days` [day] from the first to the last fraction, weekends included."""

    amount: Amount
    interval_days: int

    def __str__(self) -> str:
        how = "daily" if self.interval_days == 1 else "weekly"
        weekends = ", weekends included" if self.interval_days == 1 else ""
        return f"{self.amount} {how} during radiotherapy{weekends}"


@dataclass(frozen=True, slots=True)
class Cycles:
    """Doses on stated days (from 1) of each of some cycles of `length_days` [day]."""

    amount: Amount
    days: tuple[int, ...]
    length_days: int
    cycles: int

    def __str__(self) -> str:
        plural = "" if self.cycles == 1 else "s"
        return f"{self.amount} on {_days_text(self.days)} of {self.length_days}, " + (
            f"{self.cycles} cycle{plural}"
        )


SchedulePart = DuringRadiotherapy | Cycles


@cache
def read_schedule(text: str) -> tuple[SchedulePart, ...]:
    """The parts of a schedule, in the order in which they are given.

    Parameters
    ----------
    text : str
        As the clinic writes it; case, and spaces around commas, do not matter.

    Raises
    ------
    InvalidInput
        What cannot be read (the forms that can are shown), a day outside of its cycle, an amount
        or a number of cycles out of range, a part during radiotherapy that is not the first.

    Examples
    --------
    >>> read_schedule("150 mg/m2 days 1-5 of 28, 6 cycles")[0].days
    (1, 2, 3, 4, 5)
    """
    if not isinstance(text, str):
        raise InvalidInput(f"The schedule {text!r} is no text; write it as one of {_FORMS}.")
    plain = " ".join(text.replace("–", "-").split()).removesuffix(".")
    parts = tuple(_part(one, text) for one in re.split(r",? then ", plain.lower()))
    for part in parts[1:]:
        if isinstance(part, DuringRadiotherapy):
            raise InvalidInput(
                f'The schedule "{text}" goes on with radiotherapy after cycles; write what is '
                "given during radiotherapy first, or as a drug of its own."
            )
    return parts


def with_amount(schedule: str, amount: str) -> str:
    """The schedule with another amount, which must be the same in all of its parts.

    Examples
    --------
    >>> with_amount("110 mg/m2 day 1 of 42, 6 cycles", "90 mg/m2")
    '90 mg/m2 day 1 of 42, 6 cycles'
    """
    parts = read_schedule(schedule)
    if len({part.amount for part in parts}) > 1:
        raise InvalidInput(
            f'The schedule "{schedule}" has several amounts, so one cannot take the place of all; '
            "give a whole schedule."
        )
    plain = " ".join(schedule.replace("–", "-").split())
    changed = re.sub(_ANY_AMOUNT, " ".join(str(amount).split()), plain, flags=re.IGNORECASE)
    read_schedule(changed)
    return changed


def _part(text: str, whole: str) -> SchedulePart:
    found = _DURING.fullmatch(text)
    if found is not None:
        return DuringRadiotherapy(_amount(found, whole), 1 if found["how"] == "daily" else 7)
    found = _EVERY.fullmatch(text)
    if found is not None:
        length = int(found["length"]) * (7 if found["unit"].startswith("week") else 1)
        return _cycles(found, (1,), length, whole)
    found = _DAYS.fullmatch(text)
    if found is not None:
        length = int(found["length"])
        return _cycles(found, _days(found["days"], length, whole), length, whole)
    raise _unreadable(whole, text)


def _unreadable(whole: str, part: str) -> InvalidInput:
    where = "" if part == " ".join(whole.split()).lower().removesuffix(".") else f' at "{part}"'
    return InvalidInput(f'The schedule "{whole}" cannot be read{where}; write {_FORMS}.')


def _amount(found: re.Match[str], whole: str) -> Amount:
    groups = {"mg/m2": "mg_m2", "mg": "mg", "AUC": "auc"}
    unit = next(unit for unit, group in groups.items() if found[group] is not None)
    written = found[groups[unit]]
    try:
        value = float(written)
    except ValueError:
        raise _unreadable(whole, written) from None
    if not 0.0 < value <= _LARGEST[unit]:
        shown = f"AUC {value:g}" if unit == "AUC" else f"{value:g} {unit}"
        raise InvalidInput(
            f'The schedule "{whole}" gives {shown}, but a dose lies above 0 and at most at '
            f"{_LARGEST[unit]:g} {'mg min/mL' if unit == 'AUC' else unit}."
        )
    return Amount(value, unit)


def _cycles(found: re.Match[str], days: tuple[int, ...], length: int, whole: str) -> Cycles:
    where = f'The schedule "{whole}":'
    cycles = int(found["cycles"])
    check_range(f"{where} the length of a cycle", length, 1, _LONGEST_CYCLE_DAY, "day")
    check_range(f"{where} the number of cycles", cycles, 1, _MOST_CYCLES, "cycles")
    return Cycles(_amount(found, whole), days, length, cycles)


def _days(text: str, length: int, whole: str) -> tuple[int, ...]:
    """The days that "1-5, 8" names, each once and in order."""
    named: list[int] = []
    for word in text.split(","):
        found = _RANGE.fullmatch(word.strip())
        if found is None:
            raise _unreadable(whole, word.strip())
        first = int(found[1])
        last = first if found[2] is None else int(found[2])
        if not 1 <= first <= last <= length:
            raise InvalidInput(
                f'The schedule "{whole}" has day{"" if first == last else "s"} {word.strip()}; the '
                f"days of a cycle of {length} are numbered from 1 to {length}, the lower one first."
            )
        named += range(first, last + 1)
    if len(set(named)) < len(named):
        raise InvalidInput(f'The schedule "{whole}" names a day of its cycle twice; name it once.')
    return tuple(sorted(named))


def _days_text(days: tuple[int, ...]) -> str:
    """Days in words: "day 1", "days 1 to 5", "days 1, 8, 15"."""
    if len(days) == 1:
        return f"day {days[0]}"
    if len(days) > 2 and days[-1] - days[0] == len(days) - 1:
        return f"days {days[0]} to {days[-1]}"
    return f"days {', '.join(map(str, days))}"
