"""Days of the simulation and dates of the clinic."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass

from twin.errors import InvalidInput

__all__ = ["Calendar"]


@dataclass(frozen=True, slots=True)
class Calendar:
    """Day 0.0 is midnight at the start of `reference_date`.

    Examples
    --------
    >>> import datetime
    >>> calendar = Calendar(datetime.date(2026, 3, 30))
    >>> calendar.date(28.4)
    datetime.date(2026, 4, 27)
    >>> calendar.is_weekday(5.5)
    False
    >>> calendar.day(datetime.date(2026, 3, 2))
    -28
    """

    reference_date: dt.date

    def __post_init__(self) -> None:
        if isinstance(self.reference_date, dt.datetime) or not isinstance(
            self.reference_date, dt.date
        ):
            raise InvalidInput(
                f"The reference date must be a calendar date such as 2026-03-30, "
                f"not {self.reference_date!r}."
            )

    def date(self, day: float) -> dt.date:
        """Calendar date on which `day` [day] falls."""
        return self.reference_date + dt.timedelta(days=math.floor(day))

    def day(self, date: dt.date) -> int:
        """Whole days from the reference date to `date`, [day]."""
        return (date - self.reference_date).days

    def is_weekday(self, day: float) -> bool:
        """Whether `day` [day] falls on Monday to Friday."""
        return self.date(day).weekday() < 5

    def text(self, day: float) -> str:
        """Weekday and date of `day`, for sentences.

        >>> import datetime
        >>> Calendar(datetime.date(2026, 3, 30)).text(28)
        'Mon 27 Apr 2026'
        """
        return f"{self.date(day):%a %d %b %Y}"
