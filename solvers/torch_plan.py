"""The steps, events and outputs of one run among others, planned before it begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvers.dose_response import log_surviving_fraction
from solvers.models import Model
from solvers.prepared import Prepared
from solvers.stepping import plan_steps
from solvers.treatment import NO_DRUG, Treatment
from twin.errors import InvalidInput
from twin.events import Event, Removed, ResectionEvent
from twin.parameters import ParameterSet
from twin.protocol import State
from twin.regimen import Regimen

__all__ = ["Move", "Run", "first_state"]


@dataclass(frozen=True, slots=True)
class Move:
    """From `begin` to `end` [day], then `events`.

    An output may be wanted at the end, just after the events, and others at days
    `between`. Where `kept` is false it is a side step: the state of `begin` is put back.
    """

    begin: float
    end: float
    events: tuple[Event, ...] = ()
    output: bool = True
    between: tuple[float, ...] = ()
    kept: bool = True


class Run:
    """What is one run's own.

    Parameters
    ----------
    outputs : sequence of float, [day]
    state : ndarray, [1], shape (species, node)
        At day `begin`, before its events.
    """

    def __init__(
        self,
        prepared: Prepared,
        model: Model,
        regimen: Regimen,
        parameters: ParameterSet,
        *,
        outputs: Sequence[float],
        step_day: float,
        state: NDArray[np.float64],
        begin: float | None = None,
        removed: Removed = (),
    ) -> None:
        self.regimen, self.parameters = regimen, parameters
        self.values = model.values_of(parameters)[:-1]
        self.treatment = Treatment(prepared, regimen, parameters)
        self.treatment.require_linear_quadratic("The tensor executor")
        self.treatment.require_planned_targets("The tensor executor")
        self.treatment.require_even_oxygen("The tensor executor")
        self.treatment.require_even_delivery("The tensor executor")
        self.treatment.require_known("The tensor executor")
        schedule = self.treatment.schedule
        self.begin = 0.0 if begin is None else begin
        self.state, self.removed = state, removed
        self.first_events = (
            tuple(event for event in schedule.events if event.day == 0.0) if begin is None else ()
        )
        self.at_begin = bool(len(outputs)) and outputs[0] == self.begin
        self.moves = self._planned(outputs, step_day)
        for _ in schedule.fractions[:1]:  # says what is wrong with them
            log_surviving_fraction(
                0.0, alpha=parameters.value("alpha"), alpha_beta=parameters.value("alpha_beta")
            )

    def _planned(self, outputs: Sequence[float], step_day: float) -> list[Move]:
        """The steps of its grid; outputs inside a step that is not smooth are steps aside."""
        schedule = self.treatment.schedule
        past = [event for event in schedule.events if event.day <= self.begin]
        rough = [0.0, *(event.day for event in past if isinstance(event, ResectionEvent))]
        smooth_from = max(rough) + 1.0  # what was cut must be blurred before it is interpolated
        removed, moves = set(self.removed), []
        for step in plan_steps(schedule, outputs, begin=self.begin, step_day=step_day):
            inside = tuple(day for day in step.outputs if day < step.end)
            drug = bool(inside) and self.treatment.kills(step.begin, step.end).max() >= NO_DRUG
            if drug or step.begin < smooth_from:
                moves += [Move(step.begin, day, kept=False) for day in inside]
                inside = ()
            last = bool(step.outputs) and step.outputs[-1] == step.end
            moves.append(Move(step.begin, step.end, step.events, last, inside))
            for event in step.events:
                if isinstance(event, ResectionEvent) and event.cavity not in removed:
                    removed.add(event.cavity)
                    smooth_from = event.day + 1.0
        return moves

    def kills(self, number: int) -> NDArray[np.float64]:
        """Mean kill rates in equal parts of a move's halves, [1/day], shape (2, part)."""
        if number >= len(self.moves):
            return np.zeros((2, 1))
        move = self.moves[number]
        return self.treatment.kills(move.begin, move.end)


def first_state(
    prepared: Prepared,
    model: Model,
    parameters: ParameterSet,
    start: State | None,
    profile: str,
) -> NDArray[np.float64]:
    """Rows of the model's species at the beginning, [1], shape (species, node)."""
    if start is None:
        imaged = prepared.initial_state(parameters, profile)
        return model.initial_state(imaged, model.values_of(parameters))
    missing = set(model.names) - set(start.species)
    if missing:
        raise InvalidInput(
            f"The state of day {start.day:g} has no {sorted(missing)[0]!r}, which the model "
            f'"{model.name}" needs; it was made with another model.'
        )
    return np.stack([np.asarray(start.species[name], np.float64) for name in model.names])
