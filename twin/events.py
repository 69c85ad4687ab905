"""What happens to the patient, one instant at a time."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "Cavity",
    "DrugDose",
    "Event",
    "Fraction",
    "HeatSession",
    "Removed",
    "ResectionEvent",
    "Schedule",
]


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

    `auc` [mg min/mL] is the exposure that a dose is given for (carboplatin), `mg` [mg] an amount
    that is the same for everybody (antibodies); its `mg_m2` is not a number until the patient's
    filtration rate, or body surface, is known. `cycle` is the number of its cycle
    where the prescription has one, 0 during radiotherapy.
    """

    day: float
    drug: str
    mg_m2: float
    auc: float | None = None
    cycle: int | None = None
    mg: float | None = None


@dataclass(frozen=True, slots=True)
class Cavity:
    """What a resection takes out where that is not simply a structure; see `twin.resection`."""

    structure: str
    margin_mm: float
    residual: float


#: Everything resected so far: structures by name, and cavities with a margin or a residue.
Removed = tuple[str | Cavity, ...]


@dataclass(frozen=True, slots=True)
class ResectionEvent:
    """Removal of a structure; nothing grows in its place afterwards."""

    day: float
    structure: str
    margin_mm: float = 0.0
    residual: float = 0.0

    @property
    def cavity(self) -> str | Cavity:
        """What is removed: the structure's name, or a `Cavity` with its margin and residue.

        Examples
        --------
        >>> ResectionEvent(7.0, "core").cavity
        'core'
        """
        if self.margin_mm == 0.0 and self.residual == 0.0:
            return self.structure
        return Cavity(self.structure, self.margin_mm, self.residual)


@dataclass(frozen=True, slots=True)
class HeatSession:
    """One session of hyperthermia, from `day` on; `course` numbers it in its regimen."""

    day: float
    course: int
    minutes: float


Event = Fraction | DrugDose | ResectionEvent | HeatSession
_ORDER: dict[type, int] = {ResectionEvent: 0, DrugDose: 1, Fraction: 2}


@dataclass(frozen=True, slots=True)
class Schedule:
    """Events in time order.

    At one instant a resection comes before a drug before a fraction before anything else.
    """

    events: tuple[Event, ...]

    @classmethod
    def of(cls, events: list[Event]) -> Schedule:
        """Schedule of `events`, sorted."""
        return cls(tuple(sorted(events, key=lambda event: (event.day, _ORDER.get(type(event), 3)))))

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

    def without_heat(self) -> Schedule:
        """The schedule without its sessions of hyperthermia."""
        return Schedule(tuple(one for one in self.events if not isinstance(one, HeatSession)))

    @property
    def heat_sessions(self) -> tuple[HeatSession, ...]:
        """The sessions of hyperthermia, in time order."""
        return tuple(event for event in self.events if isinstance(event, HeatSession))
