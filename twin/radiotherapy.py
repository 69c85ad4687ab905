"""External radiotherapy as the clinic prescribes it: dose, fractions, their days."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from twin.calendar import Calendar
from twin.errors import InvalidInput
from twin.events import Event, Fraction
from twin.replan import Replan

if TYPE_CHECKING:
    from twin.courses import Course

__all__ = ["COMPENSATIONS", "UNKNOWN_DOSE", "Compensation", "Radiotherapy", "check_range"]

#: Name of the dose of an earlier course of which no dose is known.
UNKNOWN_DOSE = "unknown"
#: Fields with this metadata are written only where they are not at their default, so that what
#: was written before there were such fields stays the same.
LATER: Mapping[str, bool] = MappingProxyType({"later": True})

#: What becomes of missed fractions: given on treatment days after the last one, as a second
#: fraction on the next days, or not at all.
Compensation = Literal["append", "second fraction", "none"]
COMPENSATIONS: tuple[Compensation, ...] = ("append", "second fraction", "none")
#: What is to be done with a course that overlaps an earlier one.
Overlap = Literal["refuse", "both"]
MAX_PRESCRIPTION_GY = 200.0
MAX_FRACTION_GY = 40.0
#: How far above these a dose may be that is confirmed to be meant.
CONFIRMED = 5.0
MAX_BEAMS = 72


def check_range(what: str, value: float, low: float, high: float, unit: str) -> None:
    """Raise `InvalidInput` for a value outside of its range, ends included."""
    if not low <= value <= high:
        raise InvalidInput(
            f"{what} is {value:g} {unit}, but must lie between {low:g} and {high:g} {unit}."
        )


def _target(name: str) -> str:
    """How a target is written: the customary short names in capitals.

    >>> _target("gtv"), _target("left_lobe")
    ('GTV', 'left lobe')
    """
    return name.upper() if len(name) <= 4 else name.replace("_", " ")


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
    fractions_per_day : int
        1 to 3 on every treatment day.
    interval_h : float, [h]
        Between the fractions of one day.
    every_days : int
        From a treatment day to the next one, at the least; 2 is every second day.
    dose : str or None
        Name of a planned dose of the patient, whose prescription is scaled to `total_dose_gy`;
        None for the geometric dose about the target.
    missed : tuple of int
        Numbers, from 1, of planned fractions that are not given at their time.
    compensation : {"append", "second fraction", "none"}
        How missed fractions are made up for: at the end; as a second fraction, `interval_h`
        later, on the next treatment days; or not at all.
    overlap : {"refuse", "both"}
        What holds where the course overlaps an earlier one in time: it is refused, or both are
        given, each on its own days.
    beams : tuple of float, [deg]
        Gantry angles of the beams that give the geometric dose (`twin.beams`); without them it
        follows from distances alone.
    replans : tuple of Replan
        When the target is redrawn on the predicted tumour, with the same margins and dose per
        fraction; of the geometric dose only.
    density_guided_day : float or None, [day]
        The clinical target has the volume of the one by the clinical margin, but lies where the
        tumour is predicted to be densest on this day; None for the margin's itself.
    confirm_high_dose : bool
        A prescription above 200 Gy or a fraction above 40 Gy is meant, not one in cGy.
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
    fractions_per_day: int = 1
    interval_h: float = 6.0
    missed: tuple[int, ...] = ()
    compensation: Compensation = "append"
    dose: str | None = None
    overlap: Overlap = field(default="refuse", metadata=LATER)
    replans: tuple[Replan, ...] = field(default=(), metadata=LATER)
    beams: tuple[float, ...] = field(default=(), metadata=LATER)
    every_days: int = field(default=1, metadata=LATER)
    density_guided_day: float | None = field(default=None, metadata=LATER)
    confirm_high_dose: bool = field(default=False, metadata=LATER)

    def __post_init__(self) -> None:
        if not (isinstance(self.fractions, int) and 1 <= self.fractions <= 100):
            raise InvalidInput(
                f"Radiotherapy has {self.fractions!r} fractions; give a whole number from 1 to 100."
            )
        self._check_high("The prescribed dose", self.total_dose_gy, MAX_PRESCRIPTION_GY)
        self._check_high("The dose per fraction", self.dose_per_fraction_gy, MAX_FRACTION_GY)
        check_range("The start of radiotherapy", self.start_day, -36500.0, 36500.0, "day")
        check_range("The clinical margin", self.ctv_margin_mm, 0.0, 50.0, "mm")
        check_range("The planning margin", self.ptv_margin_mm, 0.0, 20.0, "mm")
        if (self.boost_target is None) != (self.boost_total_dose_gy is None):
            raise InvalidInput("A boost needs both a target and a total dose; give both or none.")
        if self.boost_total_dose_gy is not None:
            check_range(
                "The boost's total dose",
                self.boost_total_dose_gy,
                self.total_dose_gy,
                MAX_PRESCRIPTION_GY,
                "Gy",
            )

        if self.dose is not None and self.boost_target is not None:
            raise InvalidInput(
                f"The dose {self.dose!r} of a plan has its boost in it; leave the boost out."
            )
        if self.overlap not in ("refuse", "both"):
            raise InvalidInput(
                f"The rule for an overlap is {self.overlap!r}; it may be 'refuse' or 'both'."
            )
        if self.density_guided_day is not None:
            check_range("The day of the density", self.density_guided_day, 0.0, 36500.0, "day")
            if self.dose is not None:
                raise InvalidInput(
                    f"The dose {self.dose!r} of a plan has its target in it; leave the "
                    "density-guided target out."
                )
        self._check_timing()
        self._check_replans()
        self._check_beams()

    def _check_beams(self) -> None:
        object.__setattr__(self, "beams", tuple(float(angle) for angle in self.beams))
        for angle in self.beams:
            check_range("The angle of a beam", angle, 0.0, 360.0, "deg")
        if len({angle % 360.0 for angle in self.beams}) < len(self.beams):
            raise InvalidInput("Two beams come from one angle; give each angle once.")
        if len(self.beams) > MAX_BEAMS:
            raise InvalidInput(f"There are {len(self.beams)} beams; {MAX_BEAMS} at most are drawn.")
        if self.beams and self.dose is not None:
            raise InvalidInput(
                f"The dose {self.dose!r} of a plan has its beams in it; leave beams out."
            )

    def _check_replans(self) -> None:
        plans = [Replan(**one) if isinstance(one, Mapping) else one for one in self.replans]
        object.__setattr__(self, "replans", tuple(plans))
        numbers = [one.after_fraction for one in plans]
        if numbers != sorted(set(numbers)):
            raise InvalidInput(
                f"The target is redrawn after fractions {', '.join(map(str, numbers))}; give them "
                "in rising order, each once."
            )
        if plans and not numbers[-1] < self.fractions_given:
            raise InvalidInput(
                f"The target is redrawn after fraction {numbers[-1]}, but of "
                f"{self.fractions_given} that are given one at least has to follow."
            )
        if plans and (self.dose is not None or self.boost_target is not None):
            raise InvalidInput(
                "Only the geometric dose without a boost can be redrawn on the predicted tumour; "
                f"leave out {'the boost' if self.dose is None else 'the planned dose'} or replan."
            )

    def _check_timing(self) -> None:
        if self.fractions_per_day not in (1, 2, 3):
            raise InvalidInput(
                f"There are {self.fractions_per_day!r} fractions a day; give 1, 2 or 3."
            )
        if not (isinstance(self.every_days, int) and 1 <= self.every_days <= 14):
            raise InvalidInput(
                f"Radiotherapy is given every {self.every_days!r} days; give a whole number from 1 "
                "to 14."
            )
        check_range("The interval between fractions of a day", self.interval_h, 1.0, 12.0, "h")
        if (self.fractions_per_day - 1) * self.interval_h >= 24.0:
            raise InvalidInput(
                f"{self.fractions_per_day} fractions {self.interval_h:g} h apart do not fit into a "
                "day; give a shorter interval."
            )
        object.__setattr__(self, "missed", tuple(sorted(set(self.missed))))
        for number in self.missed:
            if not (isinstance(number, int) and 1 <= number <= self.fractions):
                raise InvalidInput(
                    f"Fraction {number!r} is said to be missed, but they are numbered from 1 to "
                    f"{self.fractions}."
                )
        if len(self.missed) == self.fractions:
            raise InvalidInput("All fractions are missed; leave the course out instead.")
        if self.compensation not in COMPENSATIONS:
            raise InvalidInput(
                f"The compensation is {self.compensation!r}; it may be "
                f"{', '.join(map(repr, COMPENSATIONS))}."
            )
        if self.missed and self.compensation == "second fraction" and self.fractions_per_day > 1:
            raise InvalidInput(
                "Missed fractions cannot be made up by a second one on days that have several "
                'already; use compensation = "append".'
            )

    def _check_high(self, what: str, value: float, usual: float) -> None:
        """Refuse a dose that looks like cGy unless it is confirmed."""
        if self.confirm_high_dose:
            check_range(what, value, 0.0, CONFIRMED * usual, "Gy")
            return
        try:
            check_range(what, value, 0.0, usual, "Gy")
        except InvalidInput as error:
            remedy = "were cGy meant? If it is right, write confirm_high_dose = true."
            end = f"; {remedy}" if value > usual else "."
            raise InvalidInput(str(error).rstrip(".") + end) from None

    @property
    def dose_per_fraction_gy(self) -> float:
        """Prescribed dose of one fraction, [Gy]."""
        return self.total_dose_gy / self.fractions

    @property
    def guided_key(self) -> str:
        """Name of the density-guided target.

        >>> Radiotherapy(
        ...     total_dose_gy=60, fractions=30, start_day=9, density_guided_day=7
        ... ).guided_key
        'gtv + 15 mm by the density of day 7'
        """
        return (
            f"{self.target} + {self.ctv_margin_mm:g} mm by the density of day "
            f"{self.density_guided_day:g}"
        )

    @property
    def fractions_given(self) -> int:
        """Fractions that are given: all but missed ones that nothing makes up for."""
        return self.fractions - (len(self.missed) if self.compensation == "none" else 0)

    @property
    def given_dose_gy(self) -> float:
        """Dose of the fractions that are given, [Gy]."""
        return self.dose_per_fraction_gy * self.fractions_given

    def where_dose_goes(self) -> Radiotherapy:
        """The course without its times: courses that are equal so have one dose map."""
        return replace(
            self, start_day=0.0, weekdays_only=True, fractions_per_day=1, interval_h=6.0,
            missed=(), compensation="append", overlap="refuse", replans=(), every_days=1,
        )  # fmt: skip

    def fraction_days(self, calendar: Calendar) -> list[float]:
        """Times of the fractions that are given, [day], in order; weekends skipped.

        Examples
        --------
        >>> import datetime
        >>> monday = Calendar(datetime.date(2026, 3, 30))
        >>> course = Radiotherapy(total_dose_gy=8, fractions=4, start_day=0.375, missed=(2,))
        >>> course.fraction_days(monday)
        [0.375, 2.375, 3.375, 4.375]
        >>> replace(course, compensation="second fraction").fraction_days(monday)
        [0.375, 2.375, 2.625, 3.375]
        """
        step = self.interval_h / 24.0
        planned: list[float] = []  # one treatment day after another, more than will be needed
        offset = 0
        while len(planned) < self.fractions + len(self.missed):
            day = self.start_day + offset
            if not self.weekdays_only or calendar.is_weekday(day):
                planned += [day + k * step for k in range(self.fractions_per_day)]
                offset += self.every_days - 1
            offset += 1
        regular = planned[: self.fractions]
        missed = [regular[number - 1] for number in self.missed]
        given = [day for day in regular if day not in missed]
        if self.compensation == "append":
            given += planned[self.fractions : self.fractions + len(missed)]
        elif self.compensation == "second fraction":
            single, later = list(given), planned[self.fractions :]
            for lost in missed:
                after = [day for day in single if day > lost]
                if after:
                    single.remove(after[0])
                    given.append(after[0] + step)
                else:
                    given.append(later.pop(0))
        return sorted(given)

    @staticmethod
    def first_days(calendar: Calendar, courses: Sequence[Course]) -> list[float] | None:
        """Times of the fractions of the first course of radiotherapy, [day]; None without one."""
        for course in courses:
            if isinstance(course, Radiotherapy):
                return course.fraction_days(calendar)
        return None

    def events(self, calendar: Calendar, index: int, others: Sequence[Course]) -> list[Event]:
        """The fractions, as events of course number `index`."""
        dose = self.dose_per_fraction_gy
        return [Fraction(day, index, dose) for day in self.fraction_days(calendar)]

    def describe(self, calendar: Calendar, others: Sequence[Course]) -> str:
        """The course in one plain sentence."""
        days = self.fraction_days(calendar)
        when = "weekdays" if self.weekdays_only else "every day"
        if self.every_days > 1:
            kind = "weekday" if self.weekdays_only else "day"
            when = f"every {self.every_days} days or the next {kind}"
        if self.fractions_per_day > 1:
            when = f"{self.fractions_per_day} a day {self.interval_h:g} h apart, {when}"
        text = (
            f"Radiotherapy: {self.total_dose_gy:g} Gy in {self.fractions} fractions of "
            f"{self.dose_per_fraction_gy:.3g} Gy, {when} from {calendar.text(days[0])} (day "
            f"{days[0]:g}) to {calendar.text(days[-1])} (day {days[-1]:g}), "
        )
        if self.dose == UNKNOWN_DOSE:
            text += "by a dose that is not known, so that organ doses leave it out"
        elif self.dose is not None:
            text += f"by the planned dose {self.dose!r}"
        else:
            day, of_volume, where = self.density_guided_day, "", ""
            if day is not None:
                of_volume = "the volume of "
                where = f", where the density predicted for day {day:g} is highest,"
            text += (
                f"to {of_volume}{_target(self.target)} + {self.ctv_margin_mm:g} mm (CTV){where} + "
                f"{self.ptv_margin_mm:g} mm (PTV)"
            )
        if self.beams:
            text += f", by {self._about_beams()}"
        if self.boost_target is not None:
            text += (
                f", with a simultaneous boost of the {self.boost_target} tumour to "
                f"{self.boost_total_dose_gy:g} Gy"
            )
        for plan in self.replans:
            text += f"; {plan.describe()}"
        if self.missed:
            text += "; " + self._about_missed()
        return text + "."

    def _about_beams(self) -> str:
        if len(self.beams) > 9:
            return f"{len(self.beams)} beams around the head"
        angles = [f"{angle:.4g}" for angle in self.beams]
        if len(angles) == 1:
            return f"a beam from {angles[0]} degrees"
        return f"beams from {', '.join(angles[:-1])} and {angles[-1]} degrees"

    def _about_missed(self) -> str:
        numbers = ", ".join(map(str, self.missed))
        one = len(self.missed) == 1
        text = f"fraction{'' if one else 's'} {numbers} {'is' if one else 'are'} missed and "
        if self.compensation == "none":
            return text + f"not made up for, so that {self.given_dose_gy:.4g} Gy are given"
        if self.compensation == "append":
            return text + "given at the end"
        return text + (
            f"made up for by second fractions, {self.interval_h:g} h later, on the next days"
        )
