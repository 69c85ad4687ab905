"""The finite-element solver: one run at a time, in double precision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import xarray as xr

from solvers.march import March, Stepping
from solvers.mass_effect import memory_of_mass_effect
from solvers.memory_need import check_memory, memory_of_run
from solvers.models import Model, compose
from solvers.output import Recorder
from solvers.prepared import Prepared, prepare
from solvers.shares import ALONE, Share
from solvers.treatment import Treatment
from twin.errors import InvalidInput
from twin.patient import Twin
from twin.protocol import Progress, Save, State, checked_times
from twin.regimen import Regimen

__all__ = ["NUMERICS_VERSION", "FiniteElementSolver"]

_Made = TypeVar("_Made")
#: Raised by hand whenever a change alters results; part of every run's hash.
NUMERICS_VERSION = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class FiniteElementSolver:
    """A growth model on linear tetrahedra with lumped mass.

    Strang splitting: the reaction by the model's own step (exact for logistic
    growth), diffusion by the stabilised explicit RKL2 method with as many stages as
    the step needs.

    Parameters
    ----------
    step_day : float or None, [day]
        Spacing of the time grid; instantaneous events add their own times. None
        chooses it by the rate of growth (`solvers.march.automatic_step`).
    tolerance : float or None, [1]
        Adapt the steps so that 100 days add no larger relative error in time to the
        visible volume than this; `step_day` is then the longest step.
    profile : {"settled", "step"}
        Initial state inside the outlines, see `solvers.initial_state`.
    clip : bool
        Remove negative transmissibilities; only tests of accuracy switch it off.
    model : Model or None
        The patient's own choice if None.
    comm : mpi4py communicator or None
        Its ranks run together and each gets the whole result; this process alone if None.
        Results do not depend on the number of ranks but for their last digits.
    """

    step_day: float | None = None
    tolerance: float | None = None
    profile: str = "settled"
    clip: bool = True
    model: Model | None = None
    comm: Any = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.stepping()  # refuses what cannot work
        if self.comm is not None and not hasattr(self.comm, "Get_size"):
            raise InvalidInput(
                f"The communicator is a {type(self.comm).__name__}; give one of mpi4py, or None."
            )
        if self.profile not in ("settled", "step"):
            raise InvalidInput(f"The profile is {self.profile!r}; it may be 'settled' or 'step'.")

    def stepping(self) -> Stepping:
        """How its runs step."""
        return Stepping(self.step_day, self.tolerance)

    @property
    def capabilities(self) -> frozenset[str]:
        """What this solver can simulate."""
        return frozenset(
            {
                "radiotherapy",
                "boost",
                "temozolomide",
                "drugs",
                "resection",
                "dead_pool",
                "mass_effect",
                "replanning",
                "hyperthermia",
                "immunity",
            }
        )

    def options(self) -> dict[str, Any]:
        """Every choice that alters a result, for hashes and records."""
        return {
            "solver": "finite_element",
            "numerics_version": NUMERICS_VERSION,
            "step_day": self.step_day,
            "tolerance": self.tolerance,
            "profile": self.profile,
            "clip": self.clip,
            "model": None if self.model is None else self.model.name,
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
        extrapolate: bool = False,
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
            Run the two coarser meshes as well, and half the steps, from day 0, and add
            `tumour_volume_error` and the like (`solvers.error_bars`).
        extrapolate : bool
            With the error bars, add the volumes extrapolated from the two finest meshes.
        progress : callable, optional

        Raises
        ------
        InvalidInput
            Times out of order or before the start, a structure that is missing.
        NotConverged
            The density left its bounds.
        """
        if extrapolate and not error_bars:
            raise InvalidInput(
                "Volumes are extrapolated from the meshes of the error bars; ask for "
                "error_bars=True as well."
            )
        save = Save() if save is None else save
        wanted = checked_times(times, what="Output times")
        fields = checked_times(save.fields_at, what="Field times")
        begin = 0.0 if start is None else start.day
        for values in (wanted, fields):
            if len(values) and values[0] < begin:
                raise InvalidInput(
                    f"An output is wanted at day {values[0]:g}, before the run begins at {begin:g}."
                )
        outputs = np.union1d(wanted, fields)

        def set_up() -> tuple[March, Recorder]:
            self._check_memory(twin, len(fields), save, error_bars)
            march = self._march(twin, regimen, start)
            return march, Recorder(march.prepared, twin, march.model, save, wanted, fields)

        march, recorder = self._on_every_rank(set_up)
        for done, moment in enumerate(march.reach(outputs)):
            recorder.record(moment)
            if progress is not None:
                progress((done + 1) / len(outputs), f"day {moment.day:g}")
        treatment = march.treatment  # with what it has redrawn; else the dose of the whole mesh
        if not treatment.redrawn:
            treatment = Treatment(prepare(twin), regimen, twin.parameters)
        dataset = recorder.dataset(regimen, self.options(), treatment.total_dose())
        dataset = treatment.redrawn.added_to(dataset)
        if error_bars:
            from solvers.halved_steps import solve_with_error_bars

            dataset = solve_with_error_bars(
                self, twin, regimen, dataset, save, extrapolate=extrapolate
            )
        return dataset

    def state(
        self, twin: Twin, regimen: Regimen, day: float, *, start: State | None = None
    ) -> State:
        """The last state on the grid not after `day`: going on from it changes nothing.

        >>> FiniteElementSolver().capabilities >= {"radiotherapy"}
        True
        """
        march = self._on_every_rank(lambda: self._march(twin, regimen, start))
        if day < march.day:
            raise InvalidInput(
                f"A state is wanted at day {day:g}, before the run begins at {march.day:g}."
            )
        march.to_day(day)
        return march.state()

    def _check_memory(self, twin: Twin, fields: int, save: Save, error_bars: bool) -> None:
        """Refuse a run that this machine cannot hold, before it begins."""
        model = compose(twin.model) if self.model is None else self.model
        need = memory_of_run(
            len(twin.mesh.points),
            len(twin.mesh.cells),
            fields,
            meshes=2 if error_bars else 1,
            species=len(model.names),
            fields=1 + len(save.species or ()),
            voxels=twin.tissues.size,
        )
        if twin.model.mass_effect:
            need += memory_of_mass_effect(len(twin.mesh.points), len(twin.mesh.cells), fields)
        check_memory(need, "This run")

    def _march(self, twin: Twin, regimen: Regimen, start: State | None) -> March:
        prepared, share = self._share_of(twin)
        return March(
            prepared,
            twin,
            regimen,
            start,
            model=compose(twin.model) if self.model is None else self.model,
            stepping=self.stepping(),
            profile=self.profile,
            clip=self.clip,
            share=share,
        )

    def _on_every_rank(self, action: Callable[[], _Made]) -> _Made:
        """What is made without the other ranks; all raise where one of them fails."""
        if self.comm is None or self.comm.Get_size() == 1:
            return action()
        from solvers.distributed import agreed, compile_first

        compile_first(self.comm)
        return agreed(self.comm, action)

    def _share_of(self, twin: Twin) -> tuple[Prepared, Share]:
        """The anatomy as this rank sees it, and the nodes that it holds."""
        prepared = prepare(twin)
        if self.comm is None or self.comm.Get_size() == 1:
            return prepared, ALONE
        if twin.model.mass_effect:
            raise InvalidInput(
                f"Mass effect is worked out on one process only, not on {self.comm.Get_size()} "
                "ranks; start it without mpirun."
            )
        if not twin.model.grows:
            raise InvalidInput(
                "A tumour without growth is simulated on one process only, not on "
                f"{self.comm.Get_size()} ranks; start it without mpirun."
            )
        from solvers.distributed import part_of

        part = part_of(prepared, self.comm, twin.parameters, clip=self.clip)
        return part, part.share
