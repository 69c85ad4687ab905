"""The same problem as tensors: many runs at once, on a CPU or a GPU, differentiable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from solvers.batch import Request
from solvers.finite_element import NUMERICS_VERSION
from solvers.halved_steps import solve_with_error_bars
from solvers.march import Stepping
from solvers.models import Model, compose
from solvers.prepared import Prepared, prepare
from solvers.torch_block import Block
from solvers.torch_device import device_of
from solvers.torch_measure import TensorRecorder, TensorVolumes
from solvers.torch_plan import Run, first_state
from twin.errors import InvalidInput
from twin.model_choice import ModelChoice
from twin.patient import Twin
from twin.protocol import Progress, Save, State, checked_thresholds, checked_times
from twin.regimen import Regimen

__all__ = ["BLOCK_WIDTH", "TorchSolver", "TorchVolumes"]

#: Runs side by side; a block's width changes results in their last bits, so it has one default.
BLOCK_WIDTH = 16
#: Beside the model's own parameters, what derivatives can be taken by.
OTHER_PARAMETERS = (
    "alpha", "alpha_beta", "carrying_capacity", "diffusivity_grey", "diffusivity_white",
    "temozolomide_kill",
)  # fmt: skip


class TorchVolumes(NamedTuple):
    """What `TorchSolver.volumes` gives.

    Parameters
    ----------
    soft : Tensor, [mm3], shape (threshold, time)
        Softened volumes.
    burden : Tensor, [cells], shape (time,)
        Viable cells.
    """

    soft: Tensor
    burden: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchSolver:
    """The finite-element scheme on tensors, many runs at once.

    The matrices, the splitting, the formula of the reaction and the grid of each
    run are those of `FiniteElementSolver`; a run has the same steps alone and among
    others. Steps of a fixed grid only; no mass effect and no diffusion tensor.

    Parameters
    ----------
    device : str
        "cpu", "cuda" (or "cuda:1" and so on) or "mps".
    dtype : {"float64", "float32"}
    step_day : float or None, [day]
        Spacing of the time grid; by the rate of growth if None.
    profile : {"settled", "step"}
        Initial state inside the outlines.
    clip : bool
        Remove negative transmissibilities.
    model : Model or ModelChoice or None
        The patient's own choice if None.

    Examples
    --------
    >>> "batch" in TorchSolver(device="cpu").capabilities
    True
    """

    device: str = "cpu"
    dtype: str = "float64"
    step_day: float | None = None
    profile: str = "settled"
    clip: bool = True
    model: Model | ModelChoice | None = None

    def __post_init__(self) -> None:
        device_of(self.device, self.dtype)
        Stepping(self.step_day, None)
        if self.profile not in ("settled", "step"):
            raise InvalidInput(f"The profile is {self.profile!r}; it may be 'settled' or 'step'.")
        if isinstance(self.model, ModelChoice):
            _check_supported(self.model)

    @property
    def capabilities(self) -> frozenset[str]:
        """What this solver can simulate."""
        treatments = {"radiotherapy", "boost", "temozolomide", "drugs", "resection", "dead_pool"}
        return frozenset(treatments | {"batch", "gradients"})

    def options(self) -> dict[str, Any]:
        """Every choice that alters a result, for hashes and records."""
        model = compose(self.model) if isinstance(self.model, ModelChoice) else self.model
        return {
            "solver": "torch",
            "numerics_version": NUMERICS_VERSION,
            "device": self.device,
            "dtype": self.dtype,
            "step_day": self.step_day,
            "profile": self.profile,
            "clip": self.clip,
            "model": compose(model).name
            if isinstance(model, ModelChoice)
            else model and model.name,
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
        """One run by the result schema; arguments and errors as `FiniteElementSolver.solve`."""
        save = Save() if save is None else save
        request = Request(regimen, twin.parameters)
        (dataset,) = self._solved(twin, [request], times, save, start, progress)
        if error_bars:
            dataset = solve_with_error_bars(self, twin, regimen, dataset, save)
        return dataset

    def solve_many(
        self,
        twin: Twin,
        requests: Sequence[Request],
        times: Sequence[float],
        *,
        save: Save | None = None,
        width: int = BLOCK_WIDTH,
        progress: Progress | None = None,
    ) -> list[xr.Dataset]:
        """One dataset a request, solved in blocks of `width` runs.

        Runs with one ratio of grey to white diffusivity and the same resections share
        products with one matrix; others of the block have their own.

        Parameters
        ----------
        twin : Twin
            The anatomy and the model; its parameters are not used.
        requests : sequence of Request
        times : sequence of float, [day]
        save : Save, optional
        width : int
            Runs side by side.
        progress : callable, optional
        """
        if not width >= 1:
            raise InvalidInput(f"A block is {width} runs wide; it must be at least 1.")
        save = Save() if save is None else save
        datasets: list[xr.Dataset] = []
        for begin in range(0, len(requests), width):

            def report(share: float, text: str, begin: int = begin) -> None:
                if progress is not None:
                    done = begin + share * min(width, len(requests) - begin)
                    progress(done / len(requests), text)

            chosen = requests[begin : begin + width]
            datasets += self._solved(twin, chosen, times, save, None, report)
        return datasets

    def state(
        self, twin: Twin, regimen: Regimen, day: float, *, start: State | None = None
    ) -> State:
        """The last state on the grid not after `day`, as `FiniteElementSolver.state`."""
        prepared, model = prepare(twin), self._model_of(twin)
        with torch.no_grad():
            request = Request(regimen, twin.parameters)
            run = self._run(prepared, model, request, np.array([day]), start)
            if day < run.begin:
                raise InvalidInput(
                    f"A state is wanted at day {day:g}, before the run begins at {run.begin:g}."
                )
            run.moves = [move for move in run.moves if move.kept and move.end <= day]
            block = self._block(prepared, model, [run])
            for _ in block.reach():
                pass
        reached = run.moves[-1].end if run.moves else run.begin
        rows = [row[:, 0].double().cpu().numpy() for row in block.state]
        return State(reached, dict(zip(model.names, rows, strict=True)), block.removed[0])

    def volumes(
        self,
        twin: Twin,
        regimen: Regimen,
        times: Sequence[float],
        parameters: Mapping[str, Tensor] | None = None,
        *,
        initial: Mapping[str, Tensor] | None = None,
    ) -> TorchVolumes:
        """Softened volumes and burden of one run, differentiable by autograd.

        The shape of the front on day 0 is held as the twin's parameters give it, and the number
        of stages of a step as their values ask; one state a step is kept for the way back.

        Parameters
        ----------
        twin : Twin
        regimen : Regimen
        times : sequence of float, [day]
        parameters : mapping of str to Tensor, shape (), optional
            Of the model's parameters, `alpha`, `alpha_beta`, `carrying_capacity`,
            `diffusivity_grey`, `diffusivity_white` and `temozolomide_kill`; the twin's where
            they are not given.
        initial : mapping of str to Tensor, [1], shape (node,), optional
            Species on day 0.
        """
        prepared, model = prepare(twin), self._model_of(twin)
        device, dtype = device_of(self.device, self.dtype)
        given = {
            name: tensor.to(device, dtype).reshape(())
            for name, tensor in (parameters or {}).items()
        }
        known = sorted({*model.parameters, *OTHER_PARAMETERS})
        for name in given:
            if name not in known:
                raise InvalidInput(
                    f"Derivatives by {name!r} are not to be had; they are by {', '.join(known)}."
                )
        plain = {name: float(each.detach()) for name, each in given.items()}
        values = twin.parameters.replace(**plain)
        wanted = checked_times(times, what="Output times")
        run = self._run(prepared, model, Request(regimen, values), wanted, None)
        run.treatment.require_temozolomide_alone("The gradient of the tensor executor")
        block = self._block(prepared, model, [run], given=given)
        block.begin_with(self._imaged(prepared, twin, model, given), initial or {})
        thresholds = tuple(checked_thresholds(None, values).values())
        capacity = given.get("carrying_capacity", values.value("carrying_capacity"))
        soft, burden = [], []
        for instant in block.reach():
            meter = TensorVolumes.of(
                prepared, instant.removed, thresholds, values.value("visibility_softness"), device
            )
            soft.append(meter.soft(instant.total(model.rows(*model.visible))[:, None])[:, 0])
            burden.append(capacity * meter.total(instant.total(model.alive)))
        return TorchVolumes(torch.stack(soft, dim=1), torch.stack(burden))

    def _imaged(
        self, prepared: Prepared, twin: Twin, model: Model, given: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """The model's species on day 0 as functions of its own parameters."""
        device, dtype = device_of(self.device, self.dtype)
        state = prepared.initial_state(twin.parameters, self.profile)
        imaged: Any = {
            name: torch.tensor(row, dtype=dtype, device=device) for name, row in state.items()
        }
        values = [given.get(name, twin.parameters.value(name)) for name in model.parameters]
        return dict(model.initial(imaged, model.namespace([*values, 0.0])))  # type: ignore[arg-type]

    def _model_of(self, twin: Twin) -> Model:
        if isinstance(self.model, Model):
            return self.model
        choice = twin.model if self.model is None else self.model
        _check_supported(choice)
        return compose(choice)

    def _run(
        self,
        prepared: Prepared,
        model: Model,
        request: Request,
        outputs: NDArray[np.float64],
        start: State | None,
    ) -> Run:
        return Run(
            prepared,
            model,
            request.regimen,
            request.parameters,
            outputs=outputs.tolist(),
            step_day=Stepping(self.step_day, None).longest(request.parameters),
            state=first_state(prepared, model, request.parameters, start, self.profile),
            begin=None if start is None else start.day,
            removed=() if start is None else start.removed,
        )

    def _block(
        self,
        prepared: Prepared,
        model: Model,
        runs: Sequence[Run],
        given: Mapping[str, Tensor] | None = None,
    ) -> Block:
        device, dtype = device_of(self.device, self.dtype)
        return Block(prepared, model, runs, device, dtype, given=given, clip=self.clip)

    def _solved(
        self,
        twin: Twin,
        requests: Sequence[Request],
        times: Sequence[float],
        save: Save,
        start: State | None,
        progress: Progress | None,
    ) -> Iterator[xr.Dataset]:
        """The runs of one block."""
        wanted = checked_times(times, what="Output times")
        fields = checked_times(save.fields_at, what="Field times")
        begin = 0.0 if start is None else start.day
        for values in (wanted, fields):
            if len(values) and values[0] < begin:
                raise InvalidInput(
                    f"An output is wanted at day {values[0]:g}, before the run begins at {begin:g}."
                )
        prepared, model = prepare(twin), self._model_of(twin)
        device, _ = device_of(self.device, self.dtype)
        outputs = np.union1d(wanted, fields)
        with torch.no_grad():
            runs = [self._run(prepared, model, r, outputs, start) for r in requests]
            twins = [twin.replace(parameters=request.parameters) for request in requests]
            recorders = [
                TensorRecorder(prepared, own, model, save, wanted, fields, device) for own in twins
            ]
            block = self._block(prepared, model, runs)
            for done, instant in enumerate(block.reach()):
                recorders[instant.run].record_instant(instant)
                if progress is not None:
                    share = (done + 1) / (len(outputs) * len(runs))
                    progress(share, f"day {instant.day:g}")
        return (
            recorder.dataset(run.regimen, self.options(), run.treatment.total_dose())
            for run, recorder in zip(runs, recorders, strict=True)
        )


def _check_supported(choice: ModelChoice) -> None:
    """Refuse the parts of a model that are not stepped here."""
    for wanted, what in (
        (not choice.grows, 'model without growth (growth = "none")'),
        (choice.mass_effect, "mass effect (mass_effect = true)"),
        (choice.immunity, "effector cells (immunity = true)"),
        (choice.migration == "tensor", 'diffusion along fibres (migration = "tensor")'),
    ):
        if wanted:
            raise InvalidInput(
                f"The torch solver has no {what}; use the finite-element solver for this model."
            )
