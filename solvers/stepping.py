"""When a run steps, when something happens, and when something is written down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvers.drug_effects import acts_on_effector_cells
from twin.errors import InvalidInput
from twin.events import DrugDose, Event, ResectionEvent, Schedule

__all__ = ["Step", "plan_steps"]

#: Ends of steps after a dose [day]: short ones while its concentration falls fast.
PULSE_BORDERS = (0.0, 0.125, 0.25, 0.5, 1.0)
#: Drugs of many small doses, which parts of the steps follow well enough.
MILD = ("temozolomide",)


@dataclass(frozen=True, slots=True)
class Step:
    """From `begin` to `end` [day]; then `events`; outputs that lie in between were side steps.

    `outputs` are the wanted times t with begin < t <= end; one at `end` is
    taken after the events there.
    """

    begin: float
    end: float
    events: tuple[Event, ...]
    outputs: tuple[float, ...]


def plan_steps(
    schedule: Schedule,
    outputs: Sequence[float] | NDArray[np.float64],
    *,
    begin: float = 0.0,
    step_day: float = 1.0,
) -> list[Step]:
    """The steps that reach the last output.

    The grid is ``k * step_day`` from day 0, united with the times of the
    instantaneous events, whatever the outputs are: asking for more of them
    changes nothing, and a run that goes on from a grid point takes the same
    steps. Drug doses act through their exposure; where the grid is wider than a day,
    steps of a day are taken around a dose, and for two days after what leaves a rough
    density: the images at the beginning, and a resection.

    Parameters
    ----------
    schedule : Schedule
    outputs : sequence of float, [day], increasing
    begin : float, [day]
        A grid point whose events have been applied.
    step_day : float, [day]

    Examples
    --------
    >>> from twin.events import Fraction
    >>> steps = plan_steps(Schedule((Fraction(1.5, 0, 2.0),)), [1.5, 1.75, 3.0])
    >>> [(s.begin, s.end, len(s.events), s.outputs) for s in steps]
    [(0.0, 1.0, 0, ()), (1.0, 1.5, 1, (1.5,)), (1.5, 2.0, 0, (1.75,)), (2.0, 3.0, 0, (3.0,))]
    """
    if not 0.0 < step_day <= 30.0:
        raise InvalidInput(
            f"The step is {step_day} day; it must lie above 0 and at most at 30 days."
        )
    wanted = np.asarray(outputs, np.float64)
    last = float(wanted[-1]) if len(wanted) else begin
    instants: dict[float, list[Event]] = {}
    for event in schedule.events:
        if not isinstance(event, DrugDose) and event.day > begin:
            instants.setdefault(event.day, []).append(event)
    borders = _pulse_borders(schedule)
    if step_day > 1.0:
        borders |= _daily_borders(schedule)
    for border in borders:
        if border > begin:
            instants.setdefault(border, [])
    first = int(np.floor(begin / step_day)) + 1
    grid = {k * step_day for k in range(first, int(np.ceil(last / step_day)) + 1)}
    ends = sorted(t for t in grid | set(instants) if t > begin)
    steps: list[Step] = []
    for end in ends:
        inside = wanted[(wanted > begin) & (wanted <= end)]
        steps.append(Step(begin, end, tuple(instants.get(end, ())), tuple(inside.tolist())))
        if end >= last:
            break
        begin = end
    return steps


def _pulse_borders(schedule: Schedule) -> set[float]:
    """Times at which a step ends for the pulse of a drug other than temozolomide, [day].

    A dose of a cycle kills as much as a week of temozolomide, and within an hour.
    """
    return {
        event.day + after
        for event in schedule.events
        if isinstance(event, DrugDose) and event.drug not in MILD
        for after in (PULSE_BORDERS[:1] if _slow(event) else PULSE_BORDERS)
    }


def _slow(event: DrugDose) -> bool:
    """Whether a dose acts for weeks and at once: a checkpoint drug's."""
    return acts_on_effector_cells(event.drug)


def _daily_borders(schedule: Schedule) -> set[float]:
    """Days between which a wide grid takes steps of a day, [day]."""
    borders = {1.0, 2.0}
    for event in schedule.events:
        if isinstance(event, DrugDose) and not _slow(event):
            day = float(np.floor(event.day))
            borders |= {day, day + 1.0, day + 2.0}
        elif isinstance(event, ResectionEvent):
            borders |= {event.day + 1.0, event.day + 2.0}
    return borders
