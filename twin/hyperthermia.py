"""Hyperthermia beside radiotherapy: how warm, how long, how often, how close to the fraction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from twin.calendar import Calendar
from twin.errors import InvalidInput
from twin.events import Event, HeatSession
from twin.radiotherapy import Radiotherapy, check_range

if TYPE_CHECKING:
    from twin.courses import Course

__all__ = ["BODY_CELSIUS", "HOTTEST_CELSIUS", "Hyperthermia", "Often", "check_temperature"]

#: Temperature without heating, and the highest at which thermal enhancement is known.
BODY_CELSIUS, HOTTEST_CELSIUS = 37.0, 47.0
Often = Literal["weekly", "twice weekly"]
#: Least time from one session to the next [day]: thermotolerance fades within three days.
_APART_DAYS = {"weekly": 7.0, "twice weekly": 3.0}
_MINUTE = 1.0 / 1440.0


def check_temperature(what: str, low: float, high: float) -> None:
    """Raise `InvalidInput` for temperatures outside of what the formulas are for.

    Examples
    --------
    >>> check_temperature("The map", 36.0, 41.0)
    Traceback (most recent call last):
    ...
    twin.errors.InvalidInput: The map is 36 to 41 degC, but temperatures lie between 37 (no \
heating) and 47 degC.
    """
    if not BODY_CELSIUS <= low <= high <= HOTTEST_CELSIUS:
        found = f"{low:g}" if low == high else f"{low:g} to {high:g}"
        raise InvalidInput(
            f"{what} is {found} degC, but temperatures lie between {BODY_CELSIUS:g} (no heating) "
            f"and {HOTTEST_CELSIUS:g} degC."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Hyperthermia:
    """Sessions of heat during the first course of radiotherapy.

    Parameters
    ----------
    temperature_c : float or None, [degC]
        The same everywhere in `structure`, 37 degC outside of it.
    temperature_map : str or None
        Name of one of the patient's temperature maps, in place of `temperature_c`.
    structure : str
        What is heated; a map has to cover it.
    minutes : float, [min]
        At that temperature, each session.
    often : {"weekly", "twice weekly"}
        From the first fraction on: with the next fraction that is at least 7, or 3, days later.
    gap_h : float, [h]
        From a fraction to the beginning of its session; negative, from the end of the session
        to the fraction.
    sessions : int or None
        At most so many; as many as the course of radiotherapy has room for if None.

    Examples
    --------
    >>> import datetime
    >>> calendar = Calendar(datetime.date(2026, 3, 30))
    >>> course = Radiotherapy(total_dose_gy=60, fractions=30, start_day=28)
    >>> heat = Hyperthermia(temperature_c=41.5, minutes=60)
    >>> [event.day for event in heat.events(calendar, 1, (course, heat))][:3]
    [28.041666666666668, 35.041666666666664, 42.041666666666664]
    """

    temperature_c: float | None = None
    temperature_map: str | None = None
    structure: str = "gtv"
    minutes: float = 60.0
    often: Often = "weekly"
    gap_h: float = 1.0
    sessions: int | None = None

    def __post_init__(self) -> None:
        if (self.temperature_c is None) == (self.temperature_map is None):
            raise InvalidInput(
                "Hyperthermia needs either a temperature of the heated structure, such as "
                'temperature = "41.5 degC", or the name of one of the patient\'s temperature maps '
                "(map), not both."
            )
        if self.temperature_c is not None:
            check_temperature("The temperature", self.temperature_c, self.temperature_c)
        check_range("A session of hyperthermia", self.minutes, 5.0, 240.0, "min")
        if not (self.gap_h == 0.0 or 1.0 / 60.0 <= abs(self.gap_h) <= 12.0):
            raise InvalidInput(
                f"The gap between fraction and hyperthermia is {self.gap_h:g} h; it is 0, or 1 min "
                "to 12 h, negative where the session comes before the fraction."
            )
        if self.often not in get_args(Often):
            raise InvalidInput(
                f"Hyperthermia is given {self.often!r}; it may be "
                f"{' or '.join(map(repr, get_args(Often)))}."
            )
        if self.sessions is not None and not (
            isinstance(self.sessions, int) and 1 <= self.sessions <= 60
        ):
            raise InvalidInput(
                f"Hyperthermia has {self.sessions!r} sessions; give a whole number from 1 to 60."
            )

    def _days(self, calendar: Calendar, others: Sequence[Course]) -> list[float]:
        """When the sessions begin, [day]."""
        fractions = Radiotherapy.first_days(calendar, others)
        if fractions is None:
            raise InvalidInput(
                "Hyperthermia is given during radiotherapy, but this regimen has no radiotherapy; "
                "add one, or leave the heat out."
            )
        shift = self.gap_h / 24.0 - (self.minutes * _MINUTE if self.gap_h < 0.0 else 0.0)
        days: list[float] = []
        last = -math.inf
        for day in fractions:
            if day - last >= _APART_DAYS[self.often] - 0.5:
                days.append(day + shift)
                last = day
        days = days if self.sessions is None else days[: self.sessions]
        if self.sessions is not None and len(days) < self.sessions:
            raise InvalidInput(
                f"Hyperthermia has {self.sessions} sessions, but only {len(days)} fit into the "
                f"course of radiotherapy {self.often}; write {len(days)} or fewer."
            )
        return days

    def events(self, calendar: Calendar, index: int, others: Sequence[Course]) -> list[Event]:
        """The sessions, as events; the first radiotherapy of `others` sets their times."""
        return [HeatSession(day, index, self.minutes) for day in self._days(calendar, others)]

    def describe(self, calendar: Calendar, others: Sequence[Course]) -> str:
        """The course in one plain sentence."""
        days = self._days(calendar, others)
        how = (
            f"by the temperature map {self.temperature_map!r}"
            if self.temperature_c is None
            else f"at {self.temperature_c:g} degC in the {self.structure.upper()}"
            if self.structure == "gtv"
            else f"at {self.temperature_c:g} degC in the {self.structure}"
        )
        plural = "" if len(days) == 1 else "s"
        text = f"Hyperthermia: {len(days)} session{plural} of {self.minutes:g} min {how}"
        if len(days) > 1:
            text += f", {self.often}"
        text += f" from {calendar.text(days[0])}"
        if len(days) > 1:
            text += f" to {calendar.text(days[-1])}"
        return f"{text}, {self._when()}."

    def _when(self) -> str:
        if self.gap_h == 0.0:
            return "together with the fraction"
        gap = abs(self.gap_h)
        length = f"{gap:g} h" if gap >= 1.0 else f"{60.0 * gap:.3g} min"
        return f"{length} {'after' if self.gap_h > 0.0 else 'before'} the day's fraction"
