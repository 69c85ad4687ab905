"""What happens to the patient, one instant at a time."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DrugDose", "Event", "Fraction", "ResectionEvent", "Schedule"]


@dataclass(frozen=True, slots=True)
class Fraction:
    """One fraction of radiotherapy.

    `course` numbers the `Radiotherapy` in its regimen (its dose map says where
    the dose goes); `dose_gy` is the prescribed dose of this fraction [Gy].
    """

    day: float
    course: int
    dose_gy: float


@dataclass(frozen=True, slots=True)
class DrugDose:
    """One dose of a drug, by body surface [mg/m2].

    `auc` [mg min/mL] is the exposure that a dose is given for (carboplatin); its `mg_m2` is not
    a number until the patient's filtration rate is known. `cycle` is the number of its cycle
    where the prescription has one, 0 during radiotherapy.
    """

    day: float
    drug: str
    mg_m2: float
    auc: float | None = None
    cycle: int | None = None


@dataclass(frozen=True, slots=True)
class ResectionEvent:
    """Removal of a structure; nothing grows in its place afterwards."""

    day: float
    structure: str


Event = Fraction | DrugDose | ResectionEvent
_ORDER = {ResectionEvent: 0, DrugDose: 1, Fraction: 2}


@dataclass(frozen=True, slots=True)
class Schedule:
    """Events in time order; at one instant a resection comes before a drug before a fraction."""

    events: tuple[Event, ...]

    @classmethod
    def of(cls, events: list[Event]) -> Schedule:
        """Schedule of `events`, sorted."""
        return cls(tuple(sorted(events, key=lambda event: (event.day, _ORDER[type(event)]))))

    @property
    def fractions(self) -> tuple[Fraction, ...]:
        """The fractions of radiotherapy, in time order."""
        return tuple(event for event in self.events if isinstance(event, Fraction))

    @property
    def drug_doses(self) -> tuple[DrugDose, ...]:
        """The drug doses, in time order."""
        return tuple(event for event in self.events if isinstance(event, DrugDose))

    @property
    def resections(self) -> tuple[ResectionEvent, ...]:
        """The resections, in time order."""
        return tuple(event for event in self.events if isinstance(event, ResectionEvent))
