"""Changes of drugs that are given by their schedule: ``lomustine.start=35 day``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from twin.courses import Drug
from twin.drug_schedules import with_amount
from twin.errors import InvalidInput
from twin.regimen import Regimen

__all__ = ["DRUG_FIELDS", "changed_drugs"]

#: Name of the change: (field of the course, unit, or None for text).
DRUG_FIELDS: dict[str, tuple[str, str | None]] = {
    "schedule": ("schedule", None),
    "amount": ("amount", None),
    "start": ("start_day", "day"),
    "break": ("break_days", "day"),
    "delivery": ("delivery", None),
}
_WORDS = {"schedule": "schedule", "start_day": "start [day]", "break_days": "break [day]"}


def changed_drugs(
    regimen: Regimen,
    switches: Mapping[str, bool],
    wanted: Mapping[str, Mapping[str, Any]],
    sentences: list[str],
) -> Regimen:
    """The regimen with drugs switched and changed; what was done is added to `sentences`.

    Parameters
    ----------
    regimen : Regimen
    switches : mapping of str to bool
        By drug. On adds it where a schedule is among `wanted`.
    wanted : mapping of str to mapping of str to value
        Fields of `Drug` by drug, and "amount" as text.
    sentences : list of str

    Raises
    ------
    InvalidInput
        A drug that is switched off and changed, or on without a schedule; a change of one that
        is not given; an amount for parts of different amounts.
    """
    for name in dict.fromkeys([*switches, *wanted]):
        fields, present = dict(wanted.get(name, {})), _given(regimen, name)
        if switches.get(name) is False:
            if fields:
                raise InvalidInput(f"{name} is switched off and changed; do one of the two.")
            regimen = Regimen(*(course for course in regimen.courses if course is not present))
            sentences.append(f"No {name}." if present else f"No {name}, as before.")
        elif present is None:
            regimen = _added(regimen, name, fields, switches, sentences)
        elif not fields and name == "temozolomide":  # which would be the usual schedule
            raise InvalidInput(
                "temozolomide is given already, by a schedule of its own; change that by "
                "temozolomide.schedule."
            )
        elif not fields:
            sentences.append(f"With {name}, as before.")
        else:
            regimen = _changed(regimen, present, fields, sentences)
    return regimen


def _given(regimen: Regimen, name: str) -> Drug | None:
    return next((course for course in regimen.drugs if course.name == name), None)


def _added(
    regimen: Regimen,
    name: str,
    fields: dict[str, Any],
    switches: Mapping[str, bool],
    sentences: list[str],
) -> Regimen:
    if "schedule" not in fields or name not in switches:
        raise InvalidInput(
            f"There is no {name} in this treatment to change; to add it set {name}=on with "
            f'{name}.schedule and, for cycles, {name}.start, such as {name}.schedule="110 mg/m2 '
            f'day 1 of 42, 6 cycles" and {name}.start="28 day".'
        )
    schedule = fields.pop("schedule")
    amount = fields.pop("amount", None)
    if amount is not None:
        schedule = with_amount(schedule, amount)
    course = Drug(name=name, schedule=schedule, **fields)
    sentences.append(f"With {name}: {'; then '.join(map(str, course.parts))}.")
    return Regimen(*regimen.courses, course)


def _changed(regimen: Regimen, old: Drug, fields: dict[str, Any], sentences: list[str]) -> Regimen:
    amount = fields.pop("amount", None)
    if amount is not None:
        fields["schedule"] = with_amount(fields.get("schedule", old.schedule), amount)
    new = dataclasses.replace(old, **fields)
    for field in fields:
        before, after = getattr(old, field), getattr(new, field)
        if before != after:
            now, then = value_text(after), value_text(before)
            what = _WORDS.get(field, field)
            sentences.append(f"{old.name.capitalize()}: {what} is {now} instead of {then}.")
    return Regimen(*(new if course is old else course for course in regimen.courses))


def value_text(value: Any) -> str:
    """A value of a course for a sentence."""
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
