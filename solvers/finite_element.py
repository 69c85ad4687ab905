"""The finite-element solver: one run at a time, in double precision."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from solvers.growth import Growth
from solvers.mesh_error import with_two_mesh_error
from solvers.models import Model, compose
from solvers.output import Recorder
from solvers.prepared import Prepared, prepare
from solvers.stepping import plan_steps
from solvers.treatment import Treatment
from twin.errors import InvalidInput
from twin.events import Event, Fraction, ResectionEvent
from twin.patient import Twin
from twin.protocol import Progress, Save, State, checked_times
from twin.regimen import Regimen

__all__ = ["NUMERICS_VERSION", "FiniteElementSolver"]

#: Raised by hand whenever a change alters results; part of every run's hash.
NUMERICS_VERSION = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class FiniteElementSolver:
    """A growth model on linear tetrahedra with lumped mass.

    Strang splitting: the reaction by the model's own step (exact for logistic
    growth), diffusion by the stabilised explicit RKL2 method with as many stages as
    the step needs.

    Parameters
    ----------
    step_day : float, [day]
        Spacing of the time grid; instantaneous events add their own times.
    profile : {"settled", "step"}
        Initial state inside the outlines, see `solvers.initial_state`.
    clip : bool
        Remove negative transmissibilities; only tests of accuracy switch it off.
    model : Model or None
        The patient's own choice if None.
    """

    step_day: float = 1.0
    profile: str = "settled"
    clip: bool = True
    model: Model | None = None

    def __post_init__(self) -> None:
        if not 0.0 < self.step_day <= 30.0:
            raise InvalidInput(
                f"The step is {self.step_day} day; it must lie above 0 and at most at 30 days."
            )
        if self.profile not in ("settled", "step"):
            raise InvalidInput(f"The profile is {self.profile!r}; it may be 'settled' or 'step'.")

    @property
    def capabilities(self) -> frozenset[str]:
        """What this solver can simulate."""
        return frozenset({"radiotherapy", "boost", "temozolomide", "resection", "dead_pool"})

    def options(self) -> dict[str, Any]:
        """Every choice that alters a result, for hashes and records."""
        return {
            "solver": "finite_element",
            "numerics_version": NUMERICS_VERSION,
            "step_day": self.step_day,
            "profile": self.profile,
            "clip": self.clip,
        }

    def solve(
        self,
        twin: Twin,
        regimen: Regimen,
        times: Sequence[float],
        *,
        save: Save | None = None,
        start: State | None = None,
        error_bars: bool = False,
        progress: Progress | None = None,
    ) -> xr.Dataset:
        """One run by the result schema.

        Parameters
        ----------
        twin : Twin
        regimen : Regimen
            Events before day 0 are history, already in the images.
        times : sequence of float, [day]
            When volumes are measured; at the time of an event, just after it.
        save : Save, optional
            Times of fields, and other thresholds than the patient's.
        start : State, optional
            Go on from here, as `state` gave it; `times` begin no earlier.
        error_bars : bool
            Run the coarse mesh as well and add `tumour_volume_error` (two-mesh).
        progress : callable, optional

        Raises
        ------
        InvalidInput
            Times out of order or before the start, a structure that is missing.
        NotConverged
            The density left its bounds.
        """
        save = Save() if save is None else save
        wanted = checked_times(times, what="Output times")
        fields = checked_times(save.fields_at, what="Field times")
        begin = 0.0 if start is None else start.day
        for values in (wanted, fields):
            if len(values) and values[0] < begin:
                raise InvalidInput(
                    f"An output is wanted at day {values[0]:g}, before the run begins at {begin:g}."
                )
        prepared = prepare(twin)
        outputs = np.union1d(wanted, fields)
        run = _Run(self, prepared, twin, regimen, start)
        recorder = Recorder(prepared, twin, save.thresholds, wanted, fields)
        for done, day in enumerate(run.reach(outputs)):
            recorder.record(day, run.growth, run.mass, run.removed)
            if progress is not None:
                progress((done + 1) / len(outputs), f"day {day:g}")
        dataset = recorder.dataset(regimen, self.options(), run.treatment.total_dose())
        if error_bars:
            coarse = self.solve(
                twin.on_coarse_mesh(), regimen, times, save=replace(save, fields_at=())
            )
            dataset = with_two_mesh_error(twin, dataset, coarse)
        return dataset

    def state(
        self, twin: Twin, regimen: Regimen, day: float, *, start: State | None = None
    ) -> State:
        """The last state on the grid not after `day`: going on from it changes nothing.

        >>> FiniteElementSolver().capabilities >= {"radiotherapy"}
        True
        """
        run = _Run(self, prepare(twin), twin, regimen, start)
        if day < run.day:
            raise InvalidInput(
                f"A state is wanted at day {day:g}, before the run begins at {run.day:g}."
            )
        for step in plan_steps(
            run.treatment.schedule, [day], begin=run.day, step_day=self.step_day
        ):
            if step.end > day:
                break
            run.take(step.end, step.events)
        return run.state()


class _Run:
    """One run under way."""

    def __init__(
        self,
        solver: FiniteElementSolver,
        prepared: Prepared,
        twin: Twin,
        regimen: Regimen,
        start: State | None,
    ) -> None:
        self.solver, self.prepared, self.parameters = solver, prepared, twin.parameters
        model = compose(twin.model) if solver.model is None else solver.model
        values = model.values_of(twin.parameters)
        self.treatment = Treatment(prepared, regimen, twin.parameters)
        self.sensitivities = model.sensitivities(values)
        self.day = 0.0 if start is None else start.day
        self.removed: tuple[str, ...] = () if start is None else start.removed
        self.growth = Growth(model, values, _first_state(solver, prepared, twin, model, start))
        self._use_operators()
        if start is None:
            for event in self.treatment.schedule.events:
                if event.day == 0.0:
                    self._apply(event)

    def _use_operators(self) -> None:
        self.diffusion = self.prepared.diffusion(
            self.parameters, self.removed, clip=self.solver.clip
        )
        self.mass: NDArray[np.float64] = self.diffusion.mass

    def _apply(self, event: Event) -> None:
        if isinstance(event, Fraction):
            self.growth.irradiate(self.treatment.surviving(event, self.sensitivities))
        elif isinstance(event, ResectionEvent) and event.structure not in self.removed:
            self.removed = (*self.removed, event.structure)
            self._use_operators()
            self.growth.remove(self.mass == 0.0)

    def _advance(self, end: float) -> None:
        kill = self.treatment.mean_kill([self.day, 0.5 * (self.day + end), end])
        self.growth.step(self.diffusion, end - self.day, float(kill[0]), float(kill[1]))

    def take(self, end: float, events: tuple[Event, ...]) -> None:
        """One step of the grid, then the events at its end."""
        self._advance(end)
        self.day = end
        for event in events:
            self._apply(event)

    def reach(self, outputs: NDArray[np.float64]) -> Iterator[float]:
        """Step on, and stop with every output's state in place."""
        if len(outputs) and outputs[0] == self.day:
            yield self.day
        schedule, step_day = self.treatment.schedule, self.solver.step_day
        for step in plan_steps(schedule, outputs, begin=self.day, step_day=step_day):
            between = [day for day in step.outputs if day < step.end]
            if between:
                kept, begin = self.growth.state.copy(), self.day
                for day in between:
                    self._advance(day)
                    yield day
                    self.growth.state[:] = kept
                    self.day = begin
            self.take(step.end, step.events)
            if step.outputs and step.outputs[-1] == step.end:
                yield step.end

    def state(self) -> State:
        """All that is needed to go on."""
        return State(day=self.day, species=self.growth.species(), removed=self.removed)


def _first_state(
    solver: FiniteElementSolver,
    prepared: Prepared,
    twin: Twin,
    model: Model,
    start: State | None,
) -> NDArray[np.float64]:
    """Rows of the model's species at the beginning, [1], shape (species, node)."""
    if start is None:
        imaged = prepared.initial_state(twin.parameters, solver.profile)
        return model.initial_state(imaged, model.values_of(twin.parameters))
    missing = set(model.names) - set(start.species)
    if missing:
        raise InvalidInput(
            f"The state of day {start.day:g} has no {sorted(missing)[0]!r}, which the model "
            f'"{model.name}" needs; it was made with another model.'
        )
    return np.stack([np.asarray(start.species[name], np.float64) for name in model.names])
