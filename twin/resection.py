"""Surgery: what is removed, with which margin, and what stays behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from twin.calendar import Calendar
from twin.errors import InvalidInput
from twin.events import Cavity, Event, ResectionEvent
from twin.radiotherapy import LATER, check_range

if TYPE_CHECKING:
    from twin.courses import Course

__all__ = ["MOST_LEFT", "Resection"]

#: The largest share of the cavity that may stay: with more it is a biopsy.
MOST_LEFT = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Resection:
    """Removal of a structure, with a margin or without, in whole or but for a rim.

    Parameters
    ----------
    day : float, [day]
    structure : str
        "core" (enhancing tumour with its necrosis) or any other structure of the patient, such
        as a cavity that was drawn beforehand.
    margin_mm : float, [mm]
        Brain within this distance of the structure is removed as well; as a clinical margin it
        does not cross fluid, and reaches only what hangs together with the structure.
    residual : float, [1]
        Share of the cavity's volume that stays as a rim on its wall, with the cells in it:
        1 - the extent of resection.

    Examples
    --------
    >>> import datetime
    >>> operation = Resection(day=7, margin_mm=5, residual=0.05)
    >>> operation.describe(Calendar(datetime.date(2026, 3, 30)), ())
    'Resection of the enhancing tumour with its necrosis and 5 mm around it on Mon 06 Apr 2026 \
(day 7), of which 5 % stays behind as a rim.'
    """

    day: float
    structure: str = "core"
    margin_mm: float = field(default=0.0, metadata=LATER)
    residual: float = field(default=0.0, metadata=LATER)

    def __post_init__(self) -> None:
        check_range("The day of the resection", self.day, -36500.0, 36500.0, "day")
        check_range("The margin of the resection", self.margin_mm, 0.0, 30.0, "mm")
        if not 0.0 <= self.residual <= MOST_LEFT:
            raise InvalidInput(
                f"The resection leaves {100 * self.residual:g} % of the cavity behind; the share "
                f"lies between 0 and {100 * MOST_LEFT:g} %."
            )

    @property
    def cavity(self) -> str | Cavity:
        """What is removed: the structure's name, or a `Cavity` with its margin and residue."""
        return ResectionEvent(self.day, self.structure, self.margin_mm, self.residual).cavity

    def events(self, calendar: Calendar, index: int, others: Sequence[Course]) -> list[Event]:
        """The resection, as one event."""
        return [ResectionEvent(self.day, self.structure, self.margin_mm, self.residual)]

    def describe(self, calendar: Calendar, others: Sequence[Course]) -> str:
        """The operation in one plain sentence."""
        what = "enhancing tumour with its necrosis" if self.structure == "core" else self.structure
        text = f"Resection of the {what}"
        if self.margin_mm:
            text += f" and {self.margin_mm:g} mm around it"
        text += f" on {calendar.text(self.day)} (day {self.day:g})"
        if self.residual:
            text += f", of which {100 * self.residual:.3g} % stays behind as a rim"
        return text + "."
