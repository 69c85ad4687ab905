"""The grammar of a change: ``radiotherapy.fractions=25``, the same everywhere."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from scenarios.description import unpaired_sentences
from scenarios.drug_changes import DRUG_FIELDS, changed_drugs, value_text
from twin.courses import Course, Hyperthermia, Resection, Temozolomide
from twin.drugs import drug_names
from twin.errors import InvalidInput
from twin.packaged_numbers import with_packaged_numbers
from twin.regimen import Regimen
from twin.repopulation import against_kickoff
from twin.units import parse_quantity

if TYPE_CHECKING:
    from twin.parameters import ParameterSet

__all__ = ["GRAMMAR", "apply_changes"]

#: name of the change: (field of the course, unit, or None for text, "" for a whole number)
_RADIOTHERAPY: dict[str, tuple[str, str | None]] = {
    "total_dose": ("total_dose_gy", "Gy"),
    "dose_per_fraction": ("dose_per_fraction_gy", "Gy"),
    "fractions": ("fractions", ""),
    "start": ("start_day", "day"),
    "target": ("target", None),
    "margin": ("ctv_margin_mm", "mm"),
    "planning_margin": ("ptv_margin_mm", "mm"),
    "boost_target": ("boost_target", None),
    "boost_total_dose": ("boost_total_dose_gy", "Gy"),
}
_TEMOZOLOMIDE: dict[str, tuple[str, str | None]] = {
    "concurrent": ("concurrent_mg_m2", "mg/m2"),
    "cycles": ("cycles", ""),
    "first_cycle": ("first_cycle_mg_m2", "mg/m2"),
    "later_cycles": ("later_cycles_mg_m2", "mg/m2"),
}
_RESECTION: dict[str, tuple[str, str | None]] = {
    "day": ("day", "day"),
    "structure": ("structure", None),
    "margin": ("margin_mm", "mm"),
    "residual": ("residual", "1"),
}
_HYPERTHERMIA: dict[str, tuple[str, str | None]] = {
    "temperature": ("temperature_c", "degC"),
    "minutes": ("minutes", "min"),
    "sessions": ("sessions", ""),
    "often": ("often", None),
}
_FIELDS = {
    "radiotherapy": _RADIOTHERAPY,
    "temozolomide": _TEMOZOLOMIDE,
    "resection": _RESECTION,
    "hyperthermia": _HYPERTHERMIA,
}
#: Courses that a change may alter besides radiotherapy.
_TYPES: dict[str, type[Temozolomide] | type[Resection] | type[Hyperthermia]] = {
    "temozolomide": Temozolomide,
    "resection": Resection,
    "hyperthermia": Hyperthermia,
}

GRAMMAR = """\
radiotherapy.fractions=25            keeps the dose per fraction, unless a dose is given too
radiotherapy.dose_per_fraction=2.5 Gy
radiotherapy.total_dose=40 Gy
radiotherapy.start=35 day            also margin, planning_margin, target,
                                     boost_target, boost_total_dose
temozolomide.cycles=3                also concurrent, first_cycle, later_cycles
resection.day=7 day                  also structure, margin, residual
hyperthermia.minutes=45 min          also temperature, sessions, often
lomustine.start=35 day               a drug by its schedule; also schedule, amount, break, delivery
lomustine=off; on, with a schedule
radiotherapy=off, temozolomide=off, temozolomide=on, resection=off, hyperthermia=off
parameters.alpha=0.05 1/Gy           any parameter of the patient, with its unit"""


def apply_changes(
    regimen: Regimen, parameters: ParameterSet, changes: Iterable[str]
) -> tuple[Regimen, ParameterSet, list[str]]:
    """The regimen and parameters after `changes`, and what was changed in plain sentences.

    Parameters
    ----------
    regimen : Regimen
    parameters : ParameterSet
    changes : iterable of str
        By the grammar of `GRAMMAR`; all are applied together, so their order
        does not matter.

    Raises
    ------
    InvalidInput
        An unknown name (the nearest known one is suggested), a value without its
        unit or out of range, a change of a course that the regimen does not have.

    Examples
    --------
    >>> from twin.courses import Radiotherapy
    >>> from twin.parameters import load_parameter_set
    >>> standard = Regimen(Radiotherapy(total_dose_gy=60, fractions=30, start_day=28))
    >>> base = load_parameter_set("glioblastoma")
    >>> new, _, said = apply_changes(standard, base, ["radiotherapy.fractions=25"])
    >>> new.radiotherapy[0].total_dose_gy
    50.0
    >>> said
    ['Radiotherapy: 50 Gy in 25 fractions of 2 Gy instead of 60 Gy in 30.']
    """
    wanted: dict[str, dict[str, Any]] = {kind: {} for kind in _FIELDS}
    switches: dict[str, bool] = {}
    values: dict[str, float] = {}
    seen: set[str] = set()
    drugs = _by_schedule(regimen)
    drug_switches: dict[str, bool] = {}
    drug_changes: dict[str, dict[str, Any]] = {}
    for change in changes:
        name, text = _split(change)
        if name in seen:
            raise InvalidInput(f"{name} is set twice; give it once.")
        seen.add(name)
        kind, _, key = name.partition(".")
        if kind == "parameters" and key:
            key = parameters.site.internal(key)
            parameters = with_packaged_numbers(parameters, [key])
            values[key] = parse_quantity(text, parameters[key].unit, where=name, at_least=None)
        elif kind in drugs and not key:
            drug_switches[kind] = _switch(name, text)
        elif kind in drugs and key in DRUG_FIELDS:
            field, unit = DRUG_FIELDS[key]
            drug_changes.setdefault(kind, {})[field] = _value(name, text, unit)
        elif kind in _FIELDS and not key:
            switches[kind] = _switch(name, text)
        elif kind in _FIELDS and key in _FIELDS[kind]:
            field, unit = _FIELDS[kind][key]
            wanted[kind][field] = _value(name, text, unit)
        else:
            raise _unknown(name, parameters)
    sentences: list[str] = []
    regimen = _switched(regimen, switches, wanted, sentences)
    regimen = _changed_radiotherapy(regimen, wanted["radiotherapy"], sentences)
    for kind, course_type in _TYPES.items():
        regimen = _changed(regimen, kind, course_type, wanted[kind], sentences)
    regimen = changed_drugs(regimen, drug_switches, drug_changes, sentences)
    for key, value in values.items():
        entry = parameters[key]
        own = parameters.site.parameter(key)
        sentences.append(f"{own}: {value:g} instead of {entry.value:g} {entry.unit}.")
    changed = parameters.replace(**values)
    if values:
        sentences += unpaired_sentences(changed, irradiated=bool(regimen.radiotherapy))
    return regimen, changed, sentences


def _by_schedule(regimen: Regimen) -> set[str]:
    """Drugs that changes take by their schedule; temozolomide only where it is given by one."""
    given = {course.name for course in regimen.drugs}
    return {name for name in drug_names() if name != "temozolomide" or name in given}


def _split(change: str) -> tuple[str, str]:
    name, equals, text = change.partition("=")
    if not (equals and name.strip() and text.strip()):
        raise InvalidInput(
            f"{change!r} is not a change; write name=value, such as radiotherapy.fractions=25."
        )
    return name.strip(), text.strip()


def _switch(name: str, text: str) -> bool:
    if text not in ("on", "off"):
        raise InvalidInput(f"{name} is {text!r}; it may be on or off, or set {name}.SOMETHING.")
    return text == "on"


def _value(name: str, text: str, unit: str | None) -> Any:
    if unit is None:
        return text
    if unit:
        return parse_quantity(text, unit, where=name)
    try:
        return int(text)
    except ValueError:
        raise InvalidInput(f"{name} is {text!r}; give a whole number, such as 25.") from None


def _unknown(name: str, parameters: ParameterSet) -> InvalidInput:
    reason = against_kickoff(name, parameters)
    if reason:
        return InvalidInput(f"{name!r} cannot be changed.{reason}")
    known = [*_FIELDS, *(f"parameters.{parameters.site.parameter(key)}" for key in parameters)]
    known += drug_names()
    known += [f"{drug}.{key}" for drug in drug_names() for key in DRUG_FIELDS]
    known += [f"{kind}.{key}" for kind, fields in _FIELDS.items() for key in fields]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(sorted(known))}."
    return InvalidInput(f"{name!r} cannot be changed; {hint}")


def _of_kind(regimen: Regimen, kind: str) -> tuple[Course, ...]:
    if kind == "radiotherapy":
        return regimen.radiotherapy
    return tuple(course for course in regimen.courses if isinstance(course, _TYPES[kind]))


def _switched(
    regimen: Regimen,
    switches: dict[str, bool],
    wanted: dict[str, dict[str, Any]],
    sentences: list[str],
) -> Regimen:
    for kind, on in switches.items():
        present = _of_kind(regimen, kind)
        if not on:
            if wanted[kind]:
                raise InvalidInput(f"{kind} is switched off and changed; do one of the two.")
            regimen = Regimen(*(course for course in regimen.courses if course not in present))
            if present:
                sentences.append(f"No {kind}.")
            else:
                sentences.append(f"No {kind}, as before.")
        elif present:
            sentences.append(f"With {kind}, as before.")
        elif kind == "temozolomide":
            regimen = Regimen(*regimen.courses, Temozolomide())
            sentences.append("With temozolomide.")
        else:
            raise InvalidInput(
                f"{kind}=on cannot add a course, because its dose and day are not known; "
                "add it to the scenario in the study file."
            )
    if regimen.temozolomide and not regimen.radiotherapy:
        raise InvalidInput(
            "Temozolomide is given with radiotherapy, but there is none; set temozolomide=off too."
        )
    return regimen


def _changed_radiotherapy(
    regimen: Regimen, fields: dict[str, Any], sentences: list[str]
) -> Regimen:
    if not fields:
        return regimen
    if len(regimen.radiotherapy) != 1:
        raise InvalidInput(
            f"The regimen has {len(regimen.radiotherapy) or 'no'} courses of radiotherapy; a "
            "change needs exactly one."
        )
    old = regimen.radiotherapy[0]
    if fields.get("boost_target") == "off":
        fields = {**fields, "boost_target": None, "boost_total_dose_gy": None}
    new_regimen = regimen.with_radiotherapy(**dict(fields))
    new = new_regimen.radiotherapy[0]
    if (new.total_dose_gy, new.fractions) != (old.total_dose_gy, old.fractions):
        sentences.append(
            f"Radiotherapy: {new.total_dose_gy:g} Gy in {new.fractions} fractions of "
            f"{new.dose_per_fraction_gy:.3g} Gy instead of {old.total_dose_gy:g} Gy in "
            f"{old.fractions}."
        )
    for field, words in (
        ("start_day", "starts on day"),
        ("target", "target is"),
        ("ctv_margin_mm", "clinical margin [mm] is"),
        ("ptv_margin_mm", "planning margin [mm] is"),
        ("boost_target", "boost target is"),
        ("boost_total_dose_gy", "boost dose [Gy] is"),
    ):
        before, after = getattr(old, field), getattr(new, field)
        if before != after:
            sentences.append(
                f"Radiotherapy: {words} {value_text(after)} instead of {value_text(before)}."
            )
    return new_regimen


def _changed(
    regimen: Regimen,
    kind: str,
    course_type: type[Temozolomide] | type[Resection] | type[Hyperthermia],
    fields: dict[str, Any],
    sentences: list[str],
) -> Regimen:
    if not fields:
        return regimen
    present = [course for course in regimen.courses if isinstance(course, course_type)]
    if len(present) != 1:
        raise InvalidInput(
            f"The regimen has {len(present) or 'no'} {kind}; a change needs exactly one."
        )
    old = present[0]
    new = dataclasses.replace(old, **fields)
    for field in fields:
        before, after = getattr(old, field), getattr(new, field)
        sentences.append(
            f"{kind.capitalize()}: {field.replace('_', ' ')} is {value_text(after)} instead of "
            f"{value_text(before)}."
        )
    return Regimen(*(new if course is old else course for course in regimen.courses))
