"""One run under way: its steps, its events, and what is to be seen in between."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvers.checkpoint import check_effector_cells
from solvers.effector_cells import EffectorCells
from solvers.event_effects import apply_event
from solvers.growth import Growth, sum_of
from solvers.mass_effect import UPDATE_STEPS, MassEffect
from solvers.models import Model
from solvers.moments import Interval, Kept, Moment
from solvers.moving_operator import Operator
from solvers.prepared import Prepared
from solvers.shares import ALONE, Share
from solvers.stepping import plan_steps
from solvers.treatment import NO_DRUG, Treatment
from twin.errors import InvalidInput, NotConverged
from twin.events import Event, Fraction, Removed, ResectionEvent
from twin.parameters import ParameterSet
from twin.patient import Twin
from twin.protocol import State
from twin.regimen import Regimen

__all__ = ["March", "Stepping", "automatic_step"]

#: The tolerance is kept over so many days.
TOLERANCE_DAYS = 100.0
_LEAST_STEP = 1.0 / 1024.0


@dataclass(frozen=True, slots=True)
class Stepping:
    """How a run steps.

    Parameters
    ----------
    step_day : float or None, [day]
        Spacing of the grid (the longest step, with a tolerance); None for `automatic_step`.
    tolerance : float or None, [1]
        Error in time of the visible volume, relative, that 100 days may add; None for fixed steps.
    halved : bool
        Take every step, and every side step to an output, as two of half the length.
    """

    step_day: float | None = None
    tolerance: float | None = None
    halved: bool = False

    def __post_init__(self) -> None:
        if self.step_day is not None and not 0.0 < self.step_day <= 30.0:
            raise InvalidInput(
                f"The step is {self.step_day} day; it must lie above 0 and at most at 30 days."
            )
        if self.tolerance is not None and not 1e-9 <= self.tolerance <= 0.1:
            raise InvalidInput(
                f"The tolerance in time is {self.tolerance}; it must lie between 1e-9 and 0.1 "
                "(of the visible volume, for 100 days)."
            )

    def longest(self, parameters: ParameterSet) -> float:
        """The spacing of the grid for these parameters, [day]."""
        return automatic_step(parameters) if self.step_day is None else self.step_day


def automatic_step(parameters: ParameterSet) -> float:
    """The longest of a few steps in which cells grow by 9 % at most, [day].

    The error in time of every volume of the packaged head then stays below 0.05 % over
    270 days with 30 fractions (against steps of a quarter of a day).

    Examples
    --------
    >>> from twin.parameters import load_parameter_set
    >>> automatic_step(load_parameter_set("glioblastoma"))
    3.0
    """
    rate = parameters.value("proliferation_rate") if "proliferation_rate" in parameters else 0.09
    steps = (3.0, 2.0, 1.0, 0.5)
    return next((step for step in steps if rate * step <= 0.0901), 0.25)


class March:
    """A run that is stepped on from its start.

    Parameters
    ----------
    prepared : Prepared
    twin : Twin
    regimen : Regimen
    start : State or None
        Go on from here; day 0 as the images show it if None.
    model : Model
    stepping : Stepping
    profile : str
        Initial state inside the outlines.
    clip : bool
        As in `FiniteElementSolver`.
    share : Share
        The nodes that `prepared` and this process hold.
    """

    def __init__(
        self,
        prepared: Prepared,
        twin: Twin,
        regimen: Regimen,
        start: State | None,
        *,
        model: Model,
        stepping: Stepping,
        profile: str,
        clip: bool,
        share: Share = ALONE,
    ) -> None:
        self.prepared, self.parameters, self.model = prepared, twin.parameters, model
        self.stepping, self._clip, self.share = stepping, clip, share
        self.step_day = stepping.longest(twin.parameters)
        values = model.values_of(twin.parameters)
        self.treatment = Treatment(prepared, regimen, twin.parameters)
        if "hypoxic" in model.names:
            self.treatment.require_even_oxygen("A model with hypoxic cells")
        if share is not ALONE:
            self.treatment.require_planned_targets("A run on several ranks")
            self.treatment.require_even_delivery("A run on several ranks")
        if start is not None:
            self.treatment.redrawn.recall(start.memory, start.day)
        self.sensitivities = model.sensitivities(values)
        self.day = 0.0 if start is None else start.day
        self.removed: Removed = () if start is None else start.removed
        past = [event for event in self.treatment.schedule.events if event.day <= self.day]
        rough = [0.0, *(event.day for event in past if isinstance(event, ResectionEvent))]
        self._smooth_from = max(rough) + 1.0
        #: The slope of the state at a day, where it has been worked out.
        self._slope: tuple[float, NDArray[np.float64] | None] = (self.day, None)
        self._trial = self.step_day if start is None or start.step_day is None else start.step_day
        state = _first_state(prepared, twin, model, start, profile, share)
        self.growth = Growth(model, values, state, share)
        self.effectors = self._effectors(twin, start)
        self.mass_effect = self._mass_effect(twin, start)
        self._use_operators()
        if self.mass_effect is not None and not self.mass_effect.begun:
            self.mass_effect.update(self.day, self._visible())
        if start is None:
            for event in self.treatment.schedule.events:
                if event.day == 0.0:
                    self._apply(event)

    def _mass_effect(self, twin: Twin, start: State | None) -> MassEffect | None:
        if not twin.model.mass_effect:
            return None
        if self.share is not ALONE:
            raise InvalidInput(
                "Mass effect runs on one rank only; start it without mpirun, or set "
                "mass_effect = false in [model]."
            )
        if twin.parameters.value("growth_strain") == 0.0:
            return None  # no stress, and nothing moves
        every = UPDATE_STEPS * self.step_day * (0.5 if self.stepping.halved else 1.0)
        memory = None if start is None else start.memory
        if memory is not None and "mass_effect_days" not in memory:
            memory = None
        return MassEffect(self.prepared, self.parameters, every, memory)

    def _effectors(self, twin: Twin, start: State | None) -> EffectorCells | None:
        drugs = self.treatment.checkpoints
        check_effector_cells([drug.name for drug in drugs], twin.model)
        if not twin.model.immunity:
            return None
        memory = None if start is None else (start.memory or {})
        return EffectorCells(twin.parameters, drugs, memory)

    def _visible(self) -> NDArray[np.float64]:
        return self.growth.total(self.model.visible)

    def _use_operators(self) -> None:
        self._diffusion = self.prepared.diffusion(self.parameters, self.removed, clip=self._clip)
        self.mass: NDArray[np.float64] = self._diffusion.mass
        if self.mass_effect is not None:
            self.mass_effect.after(self.removed)

    def _operator(self, day: float) -> Operator:
        """The operator of diffusion on a day."""
        return self._diffusion if self.mass_effect is None else self.mass_effect.operator(day)

    def _apply(self, event: Event) -> None:
        apply_event(self, event)

    def redraw_after(self, fraction: Fraction) -> None:
        """Draw the target anew where the plan says so after this fraction."""
        if self.treatment.redrawn.orders_draw(fraction):
            self.treatment.redrawn.draw(fraction, self._visible(), self.parameters)

    def resect(self, event: ResectionEvent) -> None:
        """Take a cavity out of the mesh with all that is in it."""
        if event.cavity in self.removed:
            return
        self.removed = (*self.removed, event.cavity)
        self._use_operators()
        self.growth.remove(self.mass == 0.0)
        self._smooth_from = event.day + 1.0
        if self.mass_effect is not None:
            self.mass_effect.begin_again(event.day, self._visible())

    def _advance(self, begin: float, end: float) -> None:
        middle = 0.5 * (begin + end)
        halves = ((begin, middle), (middle, end))
        for first, last in halves if self.stepping.halved else ((begin, end),):
            operator, half = self._operator(0.5 * (first + last)), 0.5 * (first + last)
            self._meet_effectors(first, half)
            self.growth.step(operator, last - first, *self.treatment.kills(first, last))
            self._meet_effectors(half, last)

    def _meet_effectors(self, begin: float, end: float) -> None:
        """The pool's part of half a step: every live density by one factor."""
        if self.effectors is None:
            return
        burden = self.amount(sum_of(self.growth.state, self.model.alive))
        surviving = self.effectors.advance(begin, end, burden)
        self.growth.kill(np.full(self.growth.state.shape[1], surviving))

    def kept_effectors(self) -> float:
        """Effector cells now, [cells]; 0 without them."""
        return 0.0 if self.effectors is None else self.effectors.count

    def _keep(self) -> Kept:
        return Kept(self.growth.state.copy(), self.kept_effectors())

    def _put_back(self, kept: Kept) -> None:
        self.growth.state[:] = kept.state
        if self.effectors is not None:
            self.effectors.count = kept.effectors

    def to_day(self, day: float) -> None:
        """Step on to the last grid point that is not after `day`."""
        for step in self._plan(np.array([day])):
            if step.end > day:
                break
            for _ in self._pieces(step.end):
                pass
            self._arrive(step.events)

    def reach(self, outputs: NDArray[np.float64]) -> Iterator[Moment]:
        """Step on, stopping at every output [day], increasing."""
        if len(outputs) and outputs[0] == self.day:
            yield Moment(self.day, self)
        for step in self._plan(outputs):
            for begin, before in self._pieces(step.end):
                inside = [day for day in step.outputs if begin < day < self.day]
                if inside:
                    yield from self._between(begin, before, inside)
                if self.day < step.end and self.day in step.outputs:
                    yield Moment(self.day, self)
            self._arrive(step.events)
            if step.outputs and step.outputs[-1] == step.end:
                yield Moment(step.end, self)

    def _plan(self, outputs: NDArray[np.float64]) -> list:
        return plan_steps(self.treatment.schedule, outputs, begin=self.day, step_day=self.step_day)

    def _arrive(self, events: tuple[Event, ...]) -> None:
        if events:
            self._slope = (self.day, None)
        for event in events:
            self._apply(event)

    def _pieces(self, end: float) -> Iterator[tuple[float, Kept]]:
        """Take the steps to `end`; after each, where it began and the state there."""
        while self.day < end:
            begin, before = self.day, self._keep()
            if self.mass_effect is not None:
                self.mass_effect.update(begin, self._visible())
            if self.stepping.tolerance is None:
                self._advance(begin, end)
                self.day = end
            else:
                self.day = self._adapted(begin, end, before)
            yield begin, before

    def _adapted(self, begin: float, end: float, before: Kept) -> float:
        """One step within the tolerance, by doubling; where it ended."""
        assert self.stepping.tolerance is not None  # noqa: S101
        allowed = self.stepping.tolerance / TOLERANCE_DAYS
        rows = self.model.rows(*self.model.visible)
        while True:
            tau = min(self._trial, end - begin)
            stop = end if tau > 0.999999 * (end - begin) else begin + tau
            self._advance(begin, stop)
            whole = sum_of(self.growth.state, rows)
            self._put_back(before)
            middle = 0.5 * (begin + stop)
            self._advance(begin, middle)
            self._advance(middle, stop)
            halves = sum_of(self.growth.state, rows)
            tumour = self.amount(halves)
            error = self.amount(np.abs(whole - halves)) / 3.0 / max(tumour, 1e-12)
            ratio = allowed * (stop - begin) / max(error, 1e-300)
            wished = (stop - begin) * float(np.clip(0.9 * np.sqrt(ratio), 0.3, 2.0))
            if ratio >= 1.0:
                cut_short = stop == end and tau < self._trial
                self._trial = max(self._trial, wished) if cut_short else wished
                self._trial = min(self._trial, self.step_day)
                return stop
            if wished < _LEAST_STEP:
                raise NotConverged(
                    f"On day {begin:g} a step of {tau:.3g} day still misses the tolerance in time "
                    f"of {self.stepping.tolerance:g}; ask for a larger tolerance."
                )
            self._trial = wished
            self._put_back(before)

    def _between(self, begin: float, before: Kept, inside: list[float]) -> Iterator[Moment]:
        """Moments inside the step that has been taken; the run itself stays where it is."""
        smooth = (
            begin >= self._smooth_from and np.max(self.treatment.kills(begin, self.day)) < NO_DRUG
        )
        if smooth:
            after = self.growth.state
            day, slope = self._slope
            if day != begin or slope is None:
                slope = self.growth.slope(self._operator(begin), before.state)
            slopes = slope, self.growth.slope(self._operator(self.day))
            self._slope = (self.day, slopes[1])
            cells = before.effectors, self.kept_effectors()
            if self.effectors is not None:
                kill = self.effectors.kill_rate(begin, self.day)
                slopes = (
                    self.growth.killed(slopes[0], before.state, kill * cells[0]),
                    self.growth.killed(slopes[1], after, kill * cells[1]),
                )
            interval = Interval(begin, self.day, (before.state, after), slopes, cells)
            for day in inside:
                yield Moment(day, self, interval)
            return
        arrived, after_all = self.day, self._keep()
        for day in inside:
            self._put_back(before)
            self._advance(begin, day)
            self.day = day
            yield Moment(day, self)
        self._put_back(after_all)
        self.day = arrived

    def amount(self, density: NDArray[np.float64]) -> float:
        """Integral of a density over the whole mesh, [mm3]."""
        return self.share.amount(self.mass, density)

    def state(self) -> State:
        """All that is needed to go on."""
        species = {name: self.share.whole(values) for name, values in self.growth.species().items()}
        trial = None if self.stepping.tolerance is None else self._trial
        memory: dict[str, NDArray[np.float64]] = {}
        for part in (self.mass_effect, self.effectors, self.treatment.redrawn):
            memory |= {} if part is None else part.memory()
        return State(self.day, species, self.removed, step_day=trial, memory=memory or None)


def _first_state(
    prepared: Prepared,
    twin: Twin,
    model: Model,
    start: State | None,
    profile: str,
    share: Share,
) -> NDArray[np.float64]:
    """Rows of the model's species at the beginning, [1], shape (species, node)."""
    if start is None:
        imaged = prepared.initial_state(twin.parameters, profile)
        return model.initial_state(imaged, model.values_of(twin.parameters))
    missing = set(model.names) - set(start.species)
    if missing:
        raise InvalidInput(
            f"The state of day {start.day:g} has no {sorted(missing)[0]!r}, which the model "
            f'"{model.name}" needs; it was made with another model.'
        )
    rows = (np.asarray(start.species[name], np.float64) for name in model.names)
    return np.stack([share.mine(row) for row in rows])
