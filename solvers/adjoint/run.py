"""One run forwards with its states kept, and backwards with the derivative of what it gave.

The discrete adjoint: the derivative of the numbers that the scheme computes, not an
approximation of the equations' adjoint, so that it agrees with differences of the run to
rounding. Run with complex inputs, `backward` gives second derivatives by the complex step.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solvers.adjoint.diffusion import Diffusion, EdgeGraph, EdgeSlopes
from solvers.adjoint.measures import Measures
from solvers.growth import react, sum_of
from solvers.models import Model
from solvers.models.generated import pointwise_step
from solvers.stepping import Step
from twin.events import Event, Fraction, ResectionEvent

__all__ = ["AdjointRun", "Inputs", "Outputs", "Tape"]

#: States are kept up to so many bytes; beyond, every so many steps, the rest made again.
KEPT_BYTES = 400e6


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything that a run's numbers depend on, or the derivatives by it.

    Parameters
    ----------
    state : ndarray, [1], shape (species, node)
        On day 0.
    values : ndarray, shape (parameter + 1,)
        Of the model, the kill last and unused.
    edges : tuple of ndarray, [mm3/day], each of shape (edge,)
        Transmissibilities at first and after each resection.
    surviving : mapping of (int, int) to ndarray, [1], shape (node,)
        Share that survives a fraction, by course and row.
    kills : ndarray, [1/day], shape (part,)
        Mean kill rates in the parts of all steps, in order.
    """

    state: NDArray
    values: NDArray
    edges: tuple[NDArray, ...]
    surviving: Mapping[tuple[int, int], NDArray]
    kills: NDArray


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a run gives, or the derivatives by it.

    Parameters
    ----------
    soft, hard : ndarray, [mm3], shape (threshold, time)
    burden : ndarray, [mm3], shape (time,)
        Integral of what is alive (times the carrying capacity: cells).
    density : ndarray, [1], shape (field time, node)
        What is visible.
    """

    soft: NDArray
    hard: NDArray
    burden: NDArray
    density: NDArray


@dataclass(slots=True)
class Tape:
    """States kept on the way: before the first step, and after every `stride` steps."""

    stride: int
    states: dict[int, NDArray] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Epoch:
    """What holds between two resections."""

    graph: EdgeGraph
    measures: Measures


@dataclass(frozen=True, slots=True)
class _Reaction:
    """One part of a reaction: its state before, its length, and the number of its kill."""

    before: NDArray
    tau: float
    kill: int


class AdjointRun:
    """A fixed sequence of steps and events on one mesh.

    Parameters
    ----------
    model : Model
    steps : list of Step
        With every output at the end of one.
    parts : list of int
        Parts of each half of each step's reaction.
    epochs : list of Epoch
        Before and after each resection.
    times, field_times : ndarray, [day]
    first_events : tuple of Event
        At the beginning, before the first step.
    begin : float, [day]
    """

    def __init__(
        self,
        model: Model,
        steps: list[Step],
        parts: list[int],
        epochs: list[Epoch],
        times: NDArray[np.float64],
        field_times: NDArray[np.float64],
        first_events: tuple[Event, ...],
        begin: float,
    ) -> None:
        self.model, self.steps, self.parts, self.epochs = model, steps, parts, epochs
        self.first_events, self.begin = first_events, begin
        self._wanted = {float(day): k for k, day in enumerate(times)}
        self._fields = {float(day): k for k, day in enumerate(field_times)}
        self._offset = np.concatenate([[0], np.cumsum(2 * np.array(parts, np.int64))])
        self._visible = model.rows(*model.visible)
        self._alive = model.alive
        self._mobile = len(model.mobile)
        self._stepper = pointwise_step(model)
        self._epoch_of = self._number_epochs()

    def _number_epochs(self) -> list[int]:
        """The epoch in which each step is taken."""
        now = sum(isinstance(event, ResectionEvent) for event in self.first_events)
        found = []
        for step in self.steps:
            found.append(now)
            now += sum(isinstance(event, ResectionEvent) for event in step.events)
        self._last_epoch = now
        return found

    # --- forwards -------------------------------------------------------------------------

    def forward(self, inputs: Inputs, *, keep: bool = True) -> tuple[Outputs, Tape]:
        """Run to the end; the states that `backward` needs are kept if asked for."""
        dtype = np.result_type(inputs.state, inputs.edges[0], inputs.values, inputs.kills)
        state = np.array(inputs.state, dtype)
        levels, nodes = self.epochs[0].measures.levels, state.shape[1]
        out = Outputs(
            np.zeros((len(levels), len(self._wanted)), dtype),
            np.zeros((len(levels), len(self._wanted)), dtype),
            np.zeros(len(self._wanted), dtype),
            np.zeros((len(self._fields), nodes), dtype),
        )
        steps = max(len(self.steps), 1)
        fits = steps * state.nbytes <= KEPT_BYTES
        tape = Tape(1 if fits else math.ceil(math.sqrt(steps)))
        operators = self._operators(inputs)
        for event, epoch in self._numbered(self.first_events, 0):
            state = self._applied(state, event, inputs, epoch)
        self._measure(self.begin, state, self._first_epoch(), out)
        for k, step in enumerate(self.steps):
            if keep and k % tape.stride == 0:
                tape.states[k] = state
            state = self._stepped(k, state, inputs, operators)
            state, epoch = self._through_events(k, state, inputs)
            self._measure(step.end, state, epoch, out)
        return out, tape

    def _operators(self, inputs: Inputs) -> list[Diffusion]:
        return [
            Diffusion.of(epoch.graph, edges)
            for epoch, edges in zip(self.epochs, inputs.edges, strict=True)
        ]

    def _first_epoch(self) -> int:
        return self._epoch_of[0] if self.steps else self._last_epoch

    def _numbered(self, events: tuple[Event, ...], epoch: int) -> Iterator[tuple[Event, int]]:
        """Events with the epoch that holds after each."""
        for event in events:
            epoch += isinstance(event, ResectionEvent)
            yield event, epoch

    def _through_events(self, k: int, state: NDArray, inputs: Inputs) -> tuple[NDArray, int]:
        epoch = self._epoch_of[k]
        for event, epoch in self._numbered(self.steps[k].events, epoch):  # noqa: B020
            state = self._applied(state, event, inputs, epoch)
        return state, epoch

    def _applied(self, state: NDArray, event: Event, inputs: Inputs, epoch: int) -> NDArray:
        state = state.copy()
        if isinstance(event, Fraction):
            (dead,) = self.model.rows("dead")
            for (course, row), share in inputs.surviving.items():
                if course == event.course:
                    killed = state[row] * (1.0 - share)
                    state[row] = state[row] - killed
                    state[dead] = state[dead] + killed
        elif isinstance(event, ResectionEvent):
            state[:, self.epochs[epoch].graph.mass == 0.0] = 0.0
        return state

    def _reacted(
        self, state: NDArray, tau: float, first: int, parts: int, inputs: Inputs
    ) -> tuple[NDArray, list[_Reaction]]:
        """The reaction over `tau` in `parts`, and every part's state before."""
        found: list[_Reaction] = []
        values = np.array(inputs.values, np.result_type(inputs.values, inputs.kills, state))
        for part in range(parts):
            kill = inputs.kills[first + part]
            result = np.empty_like(state)
            pieces = react(self.model, values, state, result, tau / parts, kill)
            short = tau / parts / pieces
            for piece in range(pieces):
                found.append(_Reaction(state, short, first + part))
                if piece < pieces - 1:
                    following = np.empty_like(state)
                    self._stepper.forward(state, following, values, short, -np.inf)
                    state = following
            state = result
        return state, found

    def _stages(
        self, operator: Diffusion, state: NDArray, tau: float
    ) -> tuple[NDArray, list[list[NDArray]], NDArray | None]:
        """The state after diffusion, the stages of each of its parts, and what stands still."""
        moved = state.copy()
        if self.model.crowded:
            still = state[self._mobile :].sum(axis=0)
            stages = [operator.stages(state[: self._mobile], tau, still)]
            moved[: self._mobile] = stages[0][-1]
            return moved, stages, still
        stages = [operator.stages(state[row], tau) for row in range(self._mobile)]
        for row in range(self._mobile):
            moved[row] = stages[row][-1]
        return moved, stages, None

    def _stepped(
        self, k: int, state: NDArray, inputs: Inputs, operators: list[Diffusion]
    ) -> NDArray:
        step, parts, first = self.steps[k], self.parts[k], int(self._offset[k])
        tau = step.end - step.begin
        state, _ = self._reacted(state, 0.5 * tau, first, parts, inputs)
        state, _, _ = self._stages(operators[self._epoch_of[k]], state, tau)
        state, _ = self._reacted(state, 0.5 * tau, first + parts, parts, inputs)
        return state

    def _measure(self, day: float, state: NDArray, epoch: int, out: Outputs) -> None:
        measures = self.epochs[epoch].measures
        if day in self._wanted:
            k = self._wanted[day]
            visible = sum_of(state, self._visible)
            out.soft[:, k] = measures.soft(visible)
            out.hard[:, k] = measures.hard(visible)
            if self._alive:
                out.burden[k] = measures.mass @ sum_of(state, self._alive)
        if day in self._fields:
            out.density[self._fields[day]] = sum_of(state, self._visible)

    # --- backwards ------------------------------------------------------------------------

    def backward(self, inputs: Inputs, tape: Tape, bars: Outputs, *, edges: bool = True) -> Inputs:
        """Derivatives by all inputs of the sum of the outputs times `bars`.

        `edges` False leaves out those by the transmissibilities, which cost most.
        """
        dtype = np.result_type(inputs.state, inputs.edges[0], inputs.values, bars.soft)
        operators = self._operators(inputs)
        by = Inputs(
            np.zeros(inputs.state.shape, dtype),
            np.zeros(inputs.values.shape, dtype),
            (),
            {key: np.zeros(share.shape, dtype) for key, share in inputs.surviving.items()},
            np.zeros(inputs.kills.shape, dtype),
        )
        slopes = [EdgeSlopes(e.graph, dtype) for e in self.epochs]
        bar = by.state
        for k, state in self._backwards_through(inputs, tape, operators):
            bar = self._step_back(k, state, bar, inputs, operators, bars, by, slopes, edges)
        first = self._start(inputs, dtype)
        self._measure_back(self.begin, first[-1], self._first_epoch(), bars, bar)
        bar = self._events_back(self.first_events, 0, first, bar, inputs, by)
        return replace(by, state=bar, edges=tuple(s.finish() for s in slopes))

    def _start(self, inputs: Inputs, dtype: Any) -> list[NDArray]:
        """States before and after each of the first events."""
        found = [np.array(inputs.state, dtype)]
        for event, epoch in self._numbered(self.first_events, 0):
            found.append(self._applied(found[-1], event, inputs, epoch))
        return found

    def _backwards_through(
        self, inputs: Inputs, tape: Tape, operators: list[Diffusion]
    ) -> Iterator[tuple[int, NDArray]]:
        """Each step from the last to the first, with the state at its beginning."""
        for start in sorted(tape.states, reverse=True):
            stop = min(start + tape.stride, len(self.steps))
            states = [tape.states[start]]
            for k in range(start, stop - 1):
                state = self._stepped(k, states[-1], inputs, operators)
                states.append(self._through_events(k, state, inputs)[0])
            for k in range(stop - 1, start - 1, -1):
                yield k, states[k - start]

    def _step_back(
        self, k: int, state: NDArray, bar: NDArray, inputs: Inputs, operators: list[Diffusion],
        bars: Outputs, by: Inputs, slopes: list[EdgeSlopes], edges: bool,
    ) -> NDArray:  # fmt: skip
        step, parts, first = self.steps[k], self.parts[k], int(self._offset[k])
        tau, epoch = step.end - step.begin, self._epoch_of[k]
        between, before = self._reacted(state, 0.5 * tau, first, parts, inputs)
        moved, stages, still = self._stages(operators[epoch], between, tau)
        arrived, after = self._reacted(moved, 0.5 * tau, first + parts, parts, inputs)
        path, last = [arrived], epoch
        for event, last in self._numbered(step.events, epoch):
            path.append(self._applied(path[-1], event, inputs, last))
        self._measure_back(step.end, path[-1], last, bars, bar)
        bar = self._events_back(step.events, epoch, path, bar, inputs, by)
        bar = self._react_back(after, bar, inputs, by)
        bar = self._diffuse_back(
            operators[epoch], stages, still, bar, tau, slopes[epoch] if edges else None
        )
        return self._react_back(before, bar, inputs, by)

    def _react_back(
        self, parts: list[_Reaction], bar: NDArray, inputs: Inputs, by: Inputs
    ) -> NDArray:
        values = np.array(inputs.values, np.result_type(inputs.values, inputs.kills, bar))
        for part in reversed(parts):
            values[-1] = inputs.kills[part.kill]
            result, value_bar = np.empty_like(bar), np.zeros_like(by.values)
            self._stepper.backward(part.before, bar, result, values, part.tau, value_bar)
            by.kills[part.kill] += value_bar[-1]
            by.values[:-1] += value_bar[:-1]
            bar = result
        return bar

    def _diffuse_back(
        self, operator: Diffusion, stages: list[list[NDArray]], still: NDArray | None,
        bar: NDArray, tau: float, edges: EdgeSlopes | None,
    ) -> NDArray:  # fmt: skip
        result = bar.copy()
        if still is not None:
            still_bar = np.zeros_like(still)
            result[: self._mobile] = operator.reverse(
                stages[0], bar[: self._mobile], tau, edges, still, still_bar
            )
            result[self._mobile :] += still_bar
            return result
        for row in range(self._mobile):
            result[row] = operator.reverse(stages[row], bar[row], tau, edges)
        return result

    def _events_back(
        self, events: tuple[Event, ...], epoch: int, path: list[NDArray], bar: NDArray,
        inputs: Inputs, by: Inputs,
    ) -> NDArray:  # fmt: skip
        numbered = list(self._numbered(events, epoch))
        for (event, after), state in reversed(list(zip(numbered, path[:-1], strict=True))):
            bar = bar.copy()
            if isinstance(event, Fraction):
                (dead,) = self.model.rows("dead")
                for (course, row), share in inputs.surviving.items():
                    if course == event.course:
                        by.surviving[course, row][:] += state[row] * (bar[row] - bar[dead])
                        bar[row] = share * bar[row] + (1.0 - share) * bar[dead]
            elif isinstance(event, ResectionEvent):
                bar[:, self.epochs[after].graph.mass == 0.0] = 0.0
        return bar

    def _measure_back(
        self, day: float, state: NDArray, epoch: int, bars: Outputs, bar: NDArray
    ) -> None:
        """Add to `bar` the derivative of what was measured of `state`."""
        measures, rows = self.epochs[epoch].measures, list(self._visible)
        if day in self._wanted:
            k = self._wanted[day]
            visible = sum_of(state, self._visible)
            if np.any(bars.soft[:, k]):
                bar[rows] += measures.soft_slope(visible, bars.soft[:, k])
            if np.any(bars.hard[:, k]):
                bar[rows] += measures.hard_slope(visible, bars.hard[:, k])
            if bars.burden[k] != 0.0:
                bar[list(self._alive)] += bars.burden[k] * measures.mass
        if day in self._fields:
            bar[rows] += bars.density[self._fields[day]]
