"""A run as a differentiable function of parameters, initial density, diffusivities and doses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from solvers.adjoint.diffusion import EdgeGraph
from solvers.adjoint.measures import Measures
from solvers.adjoint.run import AdjointRun, Epoch
from solvers.adjoint.tensors import by_differences, run_through, transmissibilities
from solvers.dose_response.kinetics import HOURS_PER_DAY
from solvers.initial_state import settled_state, weighing_of
from solvers.march import automatic_step
from solvers.models import Model, compose
from solvers.prepared import prepare
from solvers.stepping import Step, plan_steps
from solvers.treatment import Treatment
from twin.courses import Radiotherapy
from twin.errors import InvalidInput
from twin.events import Removed, ResectionEvent
from twin.patient import Twin
from twin.protocol import checked_thresholds, checked_times
from twin.regimen import Regimen

__all__ = ["FIELDS", "DifferentiableRun", "Result"]

#: Fields that a derivative may be asked by, beside the parameters' names.
FIELDS = ("initial_density", "diffusivity", "dose")
_FRONT = (
    "diffusivity_white", "diffusivity_grey", "proliferation_rate", "threshold_t1gd",
    "threshold_flair",
)  # fmt: skip
_TREATMENT = (
    "alpha", "alpha_beta", "temozolomide_kill", "temozolomide_clearance", "temozolomide_half_life",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Result:
    """What a differentiable run gives: tensors that autograd can go back from.

    Parameters
    ----------
    soft, hard : Tensor, [mm3], shape (threshold, time)
    burden : Tensor, [cells], shape (time,)
    density : Tensor, [1], shape (field time, node)
        Visible density.
    """

    soft: Tensor
    hard: Tensor
    burden: Tensor
    density: Tensor


class DifferentiableRun:
    """One run on one mesh whose numbers can be differentiated, exactly, as often as twice.

    The steps are those of the finite-element solver, with every output at the end of one, and
    in double precision throughout.

    Parameters
    ----------
    twin : Twin
    regimen : Regimen
    times, fields_at : sequence of float, [day]
        When volumes are measured, and the density.
    thresholds : mapping of str to float, [1]
        Those of the patient if None.
    model : Model or None
        The patient's choice if None.
    step_day : float or None, [day]

    Raises
    ------
    InvalidInput
        Times out of order, or mass effect, which acts on the diffusivities during the run.
    """

    def __init__(
        self,
        twin: Twin,
        regimen: Regimen,
        times: Sequence[float],
        *,
        fields_at: Sequence[float] = (),
        thresholds: Mapping[str, float] | None = None,
        model: Model | None = None,
        step_day: float | None = None,
    ) -> None:
        if twin.model.immunity:
            raise InvalidInput(
                "Gradients do not go through effector cells; set immunity = false in [model]."
            )
        if twin.model.mass_effect:
            raise InvalidInput(
                "Gradients do not go through mass effect yet; set mass_effect = false in [model]."
            )
        if not twin.model.grows:
            raise InvalidInput(
                "Gradients are of a model with growth; set growth to a law of growth in [model]."
            )
        self.twin, self.regimen = twin, regimen
        self.model = compose(twin.model) if model is None else model
        self.prepared = prepare(twin)
        self.treatment = Treatment(self.prepared, regimen, twin.parameters)
        self.treatment.require_linear_quadratic("The gradient", independent=True)
        self.treatment.require_temozolomide_alone("The gradient")
        self.treatment.require_planned_targets("The gradient")
        self.treatment.require_even_oxygen("The gradient")
        self.treatment.require_even_delivery("The gradient")
        self.treatment.require_known("The gradient")
        wanted = checked_times(times, what="Output times")
        fields = checked_times(fields_at, what="Field times")
        for days in (wanted, fields):
            if len(days) and days[0] < 0.0:
                raise InvalidInput(f"An output is wanted at day {days[0]:g}, before day 0.")
        levels = checked_thresholds(thresholds, twin.parameters)
        self.thresholds = levels
        longest = automatic_step(twin.parameters) if step_day is None else step_day
        outputs = np.union1d(wanted, fields)
        steps = list(_at_outputs(plan_steps(self.treatment.schedule, outputs, step_day=longest)))
        last = float(outputs[-1]) if len(outputs) else 0.0
        steps = [step for step in steps if step.end <= last]
        parts = [self.treatment.kills(step.begin, step.end).shape[1] for step in steps]
        events = self.treatment.schedule.events
        first = tuple(event for event in events if event.day == 0.0)
        self._removed = self._resections(first, steps)
        self._diffusivity = self.prepared.diffusivity(twin.parameters)
        self._borders = _part_borders(steps, parts)
        self.run = AdjointRun(
            self.model, steps, parts, [self._epoch(removed, tuple(levels.values())) for removed in
            self._removed], wanted, fields, first, 0.0,
        )  # fmt: skip

    @staticmethod
    def _resections(first: tuple, steps: list[Step]) -> list[Removed]:
        """What has been removed in each epoch."""
        found: list[Removed] = [()]
        for event in (*first, *(event for step in steps for event in step.events)):
            if isinstance(event, ResectionEvent):
                found.append(tuple(dict.fromkeys((*found[-1], event.cavity))))
        return found

    def _epoch(self, removed: Removed, levels: tuple[float, ...]) -> Epoch:
        operators, mesh = self.prepared.operators, self.twin.mesh
        active = self.prepared.active_cells(removed)
        mass = operators.lumped_mass(active)
        _, keep = self._edges(removed, torch.from_numpy(self._diffusivity))
        one, other = operators.edges[keep].T
        softness = self.twin.parameters.value("visibility_softness")
        measures = Measures(mesh.cells[active], mesh.cell_volume[active], mass, levels, softness)
        return Epoch(EdgeGraph.of(one, other, mass), measures)

    def _edges(self, removed: Removed, diffusivity: Tensor) -> tuple[Tensor, NDArray[np.int64]]:
        operators, active = self.prepared.operators, self.prepared.active_cells(removed)
        mass = operators.lumped_mass(active)
        inverse = np.divide(1.0, mass, out=np.zeros_like(mass), where=mass > 0)
        living = torch.where(torch.from_numpy(active), diffusivity, torch.zeros(()).double())
        return transmissibilities(
            operators.cell_to_edge, operators.edges, self.twin.mesh.points, living, inverse
        )

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Parameters that the run depends on."""
        names = (*self.model.parameters, *_FRONT)
        return tuple(dict.fromkeys((*names, *_TREATMENT, "carrying_capacity")))

    def __call__(
        self,
        parameters: Mapping[str, Tensor] | None = None,
        *,
        initial_density: Tensor | None = None,
        diffusivity: Tensor | None = None,
        dose: Mapping[int, Tensor] | None = None,
    ) -> Result:
        """Run with some parameters or fields in place of the patient's own.

        Parameters
        ----------
        parameters : mapping of str to Tensor, shape ()
        initial_density : Tensor, [1], shape (node,)
            Viable density on day 0.
        diffusivity : Tensor, [mm2/day], shape (cell,)
        dose : mapping of int to Tensor, [Gy], shape (node,)
            Total dose of courses, by their number in the regimen.
        """
        self._check_fields(initial_density, diffusivity, dose or {})
        p = self._parameters(parameters or {})
        values = torch.stack([p(name) for name in self.model.parameters] + [p(None)])
        cells = self._cell_diffusivity(p) if diffusivity is None else diffusivity
        edges = [self._edges(removed, cells)[0] for removed in self._removed]
        found = run_through(
            self.run, self._state(p, values, initial_density), values, self._kills(p), edges,
            self._surviving(p, values, dose or {}),
        )  # fmt: skip
        return Result(found[0], found[1], found[2] * p("carrying_capacity"), found[3])

    def _check_fields(
        self, density: Tensor | None, diffusivity: Tensor | None, dose: Mapping[int, Tensor]
    ) -> None:
        mesh = self.twin.mesh
        nodes, cells = len(mesh.points), len(mesh.cells)
        _check_field(density, "initial density", "1", nodes, 1.0 if self.model.bounded else np.inf)
        _check_field(diffusivity, "diffusivity", "mm2/day", cells, np.inf)
        for number, field in dose.items():
            if number >= len(self.regimen.courses) or not isinstance(
                self.regimen.courses[number], Radiotherapy
            ):
                raise InvalidInput(f"Course {number} of the regimen is no radiotherapy.")
            _check_field(field, f"dose of course {number}", "Gy", nodes, np.inf)

    def _parameters(self, given: Mapping[str, Tensor]) -> Callable[[str | None], Tensor]:
        known = self.twin.parameters
        for name in given:
            if name not in known:
                raise InvalidInput(f"There is no parameter {name!r} to differentiate by.")

        def value(name: str | None) -> Tensor:
            if name is None:
                return torch.zeros((), dtype=torch.float64)
            if name in given:
                return given[name].double()
            return torch.tensor(known.value(name), dtype=torch.float64)

        return value

    def _cell_diffusivity(self, p: Callable[[str | None], Tensor]) -> Tensor:
        known = self.twin.parameters

        def field(values: NDArray[np.float64]) -> NDArray[np.float64]:
            white, grey = values.tolist()
            return self.prepared.diffusivity(
                known.replace(diffusivity_white=white, diffusivity_grey=grey)
            )

        return by_differences(field, torch.stack([p("diffusivity_white"), p("diffusivity_grey")]))

    def _state(
        self, p: Callable[[str | None], Tensor], values: Tensor, density: Tensor | None
    ) -> Tensor:
        known = self.twin.parameters
        distances = self.prepared.distances(known)
        lives = self.prepared.living_nodes()
        weighing = weighing_of(known, self.prepared.observed_density)
        base = np.sqrt(known.value("diffusivity_white") / known.value("diffusivity_grey"))

        def field(front: NDArray[np.float64]) -> NDArray[np.float64]:
            white, grey, rate, upper, lower = front
            way = distances["beyond"] + (np.sqrt(white / grey) - base) * distances["beyond_slope"]
            state = settled_state(
                {**distances, "beyond": way}, float(np.sqrt(white / rate)), upper, lower, weighing
            )
            return np.where(lives, np.stack([state["viable"], state["necrosis"]]), 0.0)

        viable, necrosis = by_differences(field, torch.stack([p(name) for name in _FRONT]))
        imaged = {
            "viable": viable if density is None else density,
            "dead": torch.zeros_like(viable),
            "necrosis": necrosis,
        }
        found = self.model.initial(imaged, self.model.namespace(values))  # type: ignore[arg-type]
        nothing = torch.zeros_like(viable)
        return torch.stack([torch.as_tensor(found.get(n, nothing)) for n in self.model.names])

    def _surviving(
        self, p: Callable[[str | None], Tensor], values: Tensor, dose: Mapping[int, Tensor]
    ) -> dict[tuple[int, int], Tensor]:
        sensitivities = self.model.sensitivities(values)  # type: ignore[arg-type]
        found = {}
        for number, course in enumerate(self.regimen.courses):
            if not isinstance(course, Radiotherapy):
                continue
            total = dose.get(number)
            if total is None:
                total = torch.from_numpy(self.prepared.dose_at_nodes(course))
            each = total / course.fractions
            for row, (of_alpha, of_beta) in sensitivities.items():
                log_kill = p("alpha") * each * (of_alpha + of_beta * each / p("alpha_beta"))
                found[number, row] = torch.exp(-log_kill)
        return found

    def _kills(self, p: Callable[[str | None], Tensor]) -> Tensor:
        """Mean kill rate of the drug in every part, as `Treatment.kills` gives it."""
        borders = torch.from_numpy(self._borders)
        doses = self.treatment.schedule.drug_doses
        if not doses or not len(borders):
            return torch.zeros(len(borders), dtype=torch.float64)
        days = torch.tensor([dose.day for dose in doses], dtype=torch.float64)
        given = torch.tensor([dose.mg_m2 for dose in doses], dtype=torch.float64)
        amounts = given * self.twin.body_surface_m2 / p("temozolomide_clearance")
        rate = np.log(2.0) / p("temozolomide_half_life") * HOURS_PER_DAY
        since = (borders[..., None] - days).clamp(min=0.0)
        exposure = -(amounts * torch.expm1(-rate * since)).sum(dim=-1)
        length = borders[:, 1] - borders[:, 0]
        return p("temozolomide_kill") * (exposure[:, 1] - exposure[:, 0]) / length


def _check_field(field: Tensor | None, what: str, unit: str, length: int, most: float) -> None:
    """Refuse a field of the wrong length, or with a value below 0, above `most` or no number."""
    if field is None:
        return
    values = field.detach()
    if tuple(values.shape) != (length,):
        raise InvalidInput(
            f"The {what} has shape {tuple(values.shape)}; it must be ({length},) on this mesh."
        )
    wrong = ~((values >= 0.0) & (values <= most) & torch.isfinite(values))
    if bool(wrong.any()):
        place = int(wrong.nonzero()[0])
        upper = f" and at most {most:g}" if np.isfinite(most) else " and finite"
        raise InvalidInput(
            f"The {what} is {float(values[place]):g} {unit} at place {place}; it must be at "
            f"least 0{upper}."
        )


def _at_outputs(steps: list[Step]) -> Iterator[Step]:
    """The steps, cut wherever an output lies inside one."""
    for step in steps:
        begin = step.begin
        for day in step.outputs:
            if begin < day < step.end:
                yield Step(begin, day, (), (day,))
                begin = day
        yield Step(begin, step.end, step.events, (step.end,))


def _part_borders(steps: list[Step], parts: list[int]) -> NDArray[np.float64]:
    """Begin and end of every part of every half step, [day], shape (part, 2)."""
    found = []
    for step, count in zip(steps, parts, strict=True):
        middle = 0.5 * (step.begin + step.end)
        for begin, end in ((step.begin, middle), (middle, step.end)):
            ends = np.linspace(begin, end, count + 1)
            found.append(np.stack([ends[:-1], ends[1:]], axis=1))
    return np.concatenate(found) if found else np.zeros((0, 2))
