"""A regimen: all that is given to one patient, as the clinic prescribes it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from twin.calendar import Calendar
from twin.courses import Course, Drug, Hyperthermia, Radiotherapy, Resection, Temozolomide
from twin.errors import InvalidInput
from twin.events import Schedule

__all__ = ["Regimen", "add_course_kind"]

_KINDS: dict[str, type[Course]] = {
    "radiotherapy": Radiotherapy,
    "temozolomide": Temozolomide,
    "drug": Drug,
    "resection": Resection,
    "hyperthermia": Hyperthermia,
}


def add_course_kind(name: str, kind: type[Any]) -> None:
    """Let regimens hold a course of treatment of one's own; see docs/adding-a-treatment.md.

    Parameters
    ----------
    name : str
        What records call it.
    kind : type
        A frozen dataclass with `events` and `describe`, as the courses of `twin.courses` have.

    Raises
    ------
    InvalidInput
        The name is taken by another kind, or the class lacks a method.
    """
    for method in ("events", "describe"):
        if not callable(getattr(kind, method, None)):
            raise InvalidInput(f"A course of treatment needs {method}(), which {kind!r} has not.")
    known = _KINDS.get(name)
    if known is not None and known.__qualname__ != kind.__qualname__:
        raise InvalidInput(
            f"There is a treatment {name!r} already ({known.__name__}); choose another name."
        )
    _KINDS[name] = kind


def _kind(course: Course) -> str:
    return next(name for name, kind in _KINDS.items() if type(course) is kind)


@dataclass(frozen=True, slots=True, init=False)
class Regimen:
    """Courses of treatment; physical quantities only, no sensitivity.

    Parameters
    ----------
    *courses : Radiotherapy, Temozolomide, Drug, Resection or Hyperthermia
        In any order.

    Examples
    --------
    >>> import datetime
    >>> calendar = Calendar(datetime.date(2026, 3, 30))
    >>> regimen = Regimen(Radiotherapy(total_dose_gy=60, fractions=30, start_day=28))
    >>> len(regimen.schedule(calendar).fractions)
    30
    >>> regimen.with_radiotherapy(fractions=25).radiotherapy[0].total_dose_gy
    50.0
    """

    courses: tuple[Course, ...]

    def __init__(self, *courses: Course) -> None:
        for course in courses:
            if type(course) not in _KINDS.values():
                raise InvalidInput(
                    f"A regimen is made of {', '.join(k.__name__ for k in _KINDS.values())}, "
                    f"not of {course!r}."
                )
        object.__setattr__(self, "courses", tuple(courses))

    @property
    def radiotherapy(self) -> tuple[Radiotherapy, ...]:
        """The courses of radiotherapy."""
        return tuple(course for course in self.courses if isinstance(course, Radiotherapy))

    @property
    def temozolomide(self) -> tuple[Temozolomide, ...]:
        """The courses of temozolomide."""
        return tuple(course for course in self.courses if isinstance(course, Temozolomide))

    @property
    def drugs(self) -> tuple[Drug, ...]:
        """The drugs by their schedule."""
        return tuple(course for course in self.courses if isinstance(course, Drug))

    @property
    def drug_names(self) -> tuple[str, ...]:
        """Every drug of the regimen by name, in order of the names."""
        names = {course.name for course in self.drugs}
        return tuple(sorted(names | ({"temozolomide"} if self.temozolomide else set())))

    @property
    def resections(self) -> tuple[Resection, ...]:
        """The operations."""
        return tuple(course for course in self.courses if isinstance(course, Resection))

    @property
    def hyperthermia(self) -> tuple[Hyperthermia, ...]:
        """The courses of hyperthermia."""
        return tuple(course for course in self.courses if isinstance(course, Hyperthermia))

    def schedule(self, calendar: Calendar) -> Schedule:
        """Every event of the regimen in time order."""
        return Schedule.of(
            [
                event
                for index, course in enumerate(self.courses)
                for event in course.events(calendar, index, self.courses)
            ]
        )

    def check_overlap(self, calendar: Calendar) -> None:
        """Refuse a prescription of which courses overlap without a rule.

        Raises
        ------
        InvalidInput
            A course of radiotherapy begins before another ends, and is not of overlap "both".
        """
        begin: dict[int, float] = {}
        end: dict[int, float] = {}
        for fraction in self.schedule(calendar).fractions:
            begin.setdefault(fraction.course, fraction.day)
            end[fraction.course] = fraction.day
        ordered = sorted(begin, key=lambda number: (begin[number], number))
        for place, later in enumerate(ordered):
            course = self.courses[later]
            if isinstance(course, Radiotherapy) and course.overlap == "both":
                continue
            last = max((end[earlier] for earlier in ordered[:place]), default=-math.inf)
            if begin[later] <= last:
                raise InvalidInput(
                    f"A course of radiotherapy begins on {calendar.text(begin[later])} (day "
                    f"{begin[later]:g}), while another lasts until {calendar.text(last)} (day "
                    f'{last:g}); start it later, or write overlap = "both" in it to give both, '
                    "each on its own days."
                )

    def describe(self, calendar: Calendar) -> list[str]:
        """The regimen in plain sentences, one a course."""
        if not self.courses:
            return ["No treatment."]
        return [course.describe(calendar, self.courses) for course in self.courses]

    def with_radiotherapy(self, *, keep: str = "dose_per_fraction", **changes: Any) -> Regimen:
        """A regimen whose radiotherapy is changed.

        Parameters
        ----------
        keep : {"dose_per_fraction", "total_dose"}
            What stays when the number of fractions changes and no dose is given.
        **changes
            Fields of `Radiotherapy`, or `dose_per_fraction_gy` [Gy].
        """
        if keep not in ("dose_per_fraction", "total_dose"):
            raise InvalidInput(f"keep is {keep!r}; it may be 'dose_per_fraction' or 'total_dose'.")
        if len(self.radiotherapy) != 1:
            raise InvalidInput(
                f"The regimen has {len(self.radiotherapy)} courses of radiotherapy; "
                "changing one needs exactly one."
            )
        old = self.radiotherapy[0]
        per_fraction = changes.pop("dose_per_fraction_gy", None)
        fractions = changes.get("fractions", old.fractions)
        if per_fraction is not None:
            if "total_dose_gy" in changes:
                raise InvalidInput(
                    "Give the total dose or the dose per fraction of radiotherapy, not both."
                )
            changes["total_dose_gy"] = float(per_fraction) * fractions
        elif "total_dose_gy" not in changes and keep == "dose_per_fraction":
            changes["total_dose_gy"] = old.total_dose_gy / old.fractions * fractions
        new = replace(old, **changes)
        return Regimen(*(new if course is old else course for course in self.courses))

    def delayed(self, *, days: float) -> Regimen:
        """The same regimen with radiotherapy (and what hangs on it) later by `days` [day]."""
        return Regimen(
            *(
                replace(course, start_day=course.start_day + days)
                if isinstance(course, Radiotherapy)
                else course
                for course in self.courses
            )
        )

    def differences(self, other: Regimen) -> list[str]:
        """What differs from `other`, in words; one entry for each thing that differs."""
        found: list[str] = []
        mine_of, theirs_of = _by_name(self.courses), _by_name(other.courses)
        for name in sorted({*mine_of, *theirs_of}, key=_place):
            mine, theirs = mine_of.get(name, []), theirs_of.get(name, [])
            if len(mine) != len(theirs):
                found.append(
                    name
                    if not theirs
                    else (f"no {name}" if not mine else f"number of {name} courses")
                )
                continue
            for a, b in zip(mine, theirs, strict=True):
                if type(a) is not type(b):  # temozolomide as it is usual, and by a schedule
                    found.append(f"{name} schedule")
                    continue
                fields = asdict(a)
                before = asdict(b)
                changed = [key for key in fields if fields[key] != before[key]]
                if name == "radiotherapy":
                    changed = _grouped_radiotherapy(changed)
                found += [f"{name} {key.replace('_', ' ')}" for key in changed]
        return found

    def as_dict(self) -> list[dict[str, Any]]:
        """A list that JSON can hold, one entry a course."""
        return [{"kind": _kind(course), **_written(course)} for course in self.courses]

    @classmethod
    def from_dict(cls, entries: list[Mapping[str, Any]]) -> Regimen:
        """The regimen that `as_dict` wrote."""
        courses = []
        for entry in entries:
            values = dict(entry)
            kind = values.pop("kind", None)
            if kind not in _KINDS:
                raise InvalidInput(
                    f"A course of kind {kind!r} is not known; there are {', '.join(_KINDS)}."
                )
            courses.append(_KINDS[kind](**values))
        return cls(*courses)


def _written(course: Course) -> dict[str, Any]:
    """All fields of a course but later ones that say nothing (`twin.radiotherapy.LATER`)."""
    found = asdict(course)
    for one in fields(course):
        if one.metadata.get("later") and getattr(course, one.name) == one.default:
            del found[one.name]
    return found


def _by_name(courses: tuple[Course, ...]) -> dict[str, list[Course]]:
    """Courses of each kind in their order; drugs each under their own name."""
    found: dict[str, list[Course]] = {}
    for course in courses:
        name = _kind(course)
        if isinstance(course, Drug):
            name = course.name
        found.setdefault(name, []).append(course)
    return found


def _place(name: str) -> tuple[int, str]:
    """Kinds in the order of `_KINDS`, drugs by name among them."""
    return list(_KINDS).index(name if name in _KINDS else "drug"), name


def _grouped_radiotherapy(changed: list[str]) -> list[str]:
    """Fields that are one clinical choice, said once: dose and fractions; the boost's two."""
    rest = [key for key in changed if key not in ("boost_target", "boost_total_dose_gy")]
    if "total_dose_gy" in rest and "fractions" in rest:
        rest = ["fractionation"] + [k for k in rest if k not in ("total_dose_gy", "fractions")]
    if any(key.startswith("boost") for key in changed):
        rest.append("boost")
    return rest
