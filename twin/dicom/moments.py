"""Dates and times of DICOM headers."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from typing import Any

from twin.dicom.header_values import text_of

__all__ = ["Moment", "date_of", "moment_of"]

_DATES = (
    "AcquisitionDate", "AcquisitionDateTime", "SeriesDate", "ContentDate", "StructureSetDate",
    "StudyDate",
)  # fmt: skip
_SECONDS_A_DAY = 86400.0


@dataclass(frozen=True, slots=True, order=True)
class Moment:
    """A time of day, with its date where that is known.

    Parameters
    ----------
    day : int or None
        Day number of the calendar (`datetime.date.toordinal`).
    seconds : float, [s]
        After midnight.
    """

    day: int | None
    seconds: float

    def until(self, later: Moment) -> float:
        """Seconds to a later moment; within one day where a date is not known, [s].

        Examples
        --------
        >>> Moment(None, 86000.0).until(Moment(None, 600.0))
        1000.0
        >>> Moment(10, 0.0).until(Moment(11, 60.0))
        86460.0
        """
        if self.day is None or later.day is None:
            return (later.seconds - self.seconds) % _SECONDS_A_DAY
        return (later.day - self.day) * _SECONDS_A_DAY + later.seconds - self.seconds


def moment_of(
    dataset: Any, *, time: str = "", date: str = "", date_time: str = ""
) -> Moment | None:
    """Return the moment that elements of a header state, or None.

    Parameters
    ----------
    dataset : pydicom.Dataset
    time, date, date_time : str
        Keywords of a TM, a DA and a DT element; the last goes first where it is there.
    """
    text = text_of(dataset, date_time)
    if len(text) >= 10:
        seconds = _seconds(text[8:])
        if seconds is not None:
            return Moment(_day(text[:8]), seconds)
    seconds = _seconds(text_of(dataset, time))
    return None if seconds is None else Moment(_day(text_of(dataset, date)), seconds)


def date_of(dataset: Any) -> dt.date | None:
    """Return the date of acquisition, or the next best that the header states."""
    for key in _DATES:
        day = _day(text_of(dataset, key))
        if day is not None:
            return dt.date.fromordinal(day)
    return None


def _day(text: str) -> int | None:
    try:
        found = dt.datetime.strptime(re.sub(r"[.\-:/]", "", text)[:8], "%Y%m%d").date()
    except ValueError:
        return None
    return found.toordinal() if found.year >= 1900 else None


def _seconds(text: str) -> float | None:
    match = re.match(r"(\d{2})(?::?(\d{2})(?::?(\d{2})(\.\d+)?)?)?", text)
    if match is None:
        return None
    hours, minutes, seconds, part = match.groups()
    whole = 3600 * int(hours) + 60 * int(minutes or 0) + int(seconds or 0)
    return whole + float(part or 0.0) if whole <= _SECONDS_A_DAY else None
