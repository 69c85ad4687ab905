"""Runs side by side, each by its own plan, as the columns of tensors.

Every run keeps its own clock: the n-th move of the block is the n-th step of
every run's own grid, whatever day that is. So a run among others takes the
steps that it would take alone, and its events come exactly once at their times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from solvers.models import Model
from solvers.prepared import Prepared
from solvers.torch_edges import laplacian_of
from solvers.torch_plan import Move, Run
from solvers.torch_steps import GraphLaplacian, Reaction, Rows, diffuse, migration
from twin.courses import Radiotherapy
from twin.errors import InvalidInput
from twin.events import Event, Fraction, Removed, ResectionEvent

__all__ = ["Block", "Instant"]

#: Added to single-precision densities, so that no tail falls to denormal numbers, which cost
#: a hundredfold; it would have to grow 1e20-fold to be seen.
LEAST_DENSITY = 1e-24
#: An operator, the columns that it serves, and the scale of each one's diffusivity.
Group = tuple[GraphLaplacian, list[int], NDArray[np.float64]]
_DIFFUSIVITIES = ("diffusivity_white", "diffusivity_grey")


@dataclass(frozen=True, slots=True)
class Instant:
    """An output of one run that is due.

    Parameters
    ----------
    run : int
        Its column.
    day : float, [day]
    removed : tuple of str or Cavity
        What has been resected from it.
    total : callable
        From numbers of species to their sum, [1], shape (node,).
    """

    run: int
    day: float
    removed: Removed
    total: Callable[[tuple[int, ...]], Tensor]


class Block:
    """Runs of one model on one mesh, stepped together.

    Parameters
    ----------
    runs : sequence of Run
    given : mapping of str to Tensor, shape (), optional
        Parameters that derivatives are wanted by, in place of those of the (only) run.
    clip : bool
        Remove negative transmissibilities.
    """

    def __init__(
        self,
        prepared: Prepared,
        model: Model,
        runs: Sequence[Run],
        device: torch.device,
        dtype: torch.dtype,
        *,
        given: Mapping[str, Tensor] | None = None,
        clip: bool = True,
    ) -> None:
        self._prepared, self.model, self.runs, self._clip = prepared, model, runs, clip
        self._device, self._dtype, self._given = device, dtype, dict(given or {})
        self.removed = [run.removed for run in runs]
        stacked = np.stack([run.values for run in runs], axis=1)
        values = [
            self._given[name] if name in self._given else self._placed(row)
            for name, row in zip(model.parameters, stacked, strict=True)
        ]
        self._reaction = Reaction(model, values)
        self.state: Rows = [
            self._placed(np.stack([run.state[k] for run in runs], axis=1))
            for k in range(len(model.names))
        ]
        self._doses: dict[Radiotherapy, Tensor] = {}
        self._lost: dict[int, list[Tensor]] = {}
        self._last: list[tuple[object, ...]] = [()] * len(runs)
        self._use_operators()
        if dtype == torch.float32:
            lives = self._placed(prepared.operators.lumped_mass(prepared.active_cells()) > 0)
            for k in model.mobile:
                self.state[k] = self.state[k] + LEAST_DENSITY * lives[:, None]

    def begin_with(self, *species: Mapping[str, Tensor]) -> None:
        """Put other densities on day 0, each [1], shape (node,); later ones come first."""
        for found in species:
            for name, row in found.items():
                (k,) = self.model.rows(name)
                column = row.to(self._device, self._dtype)[:, None]
                self.state[k] = column.expand(-1, len(self.runs))

    def _placed(self, values: NDArray) -> Tensor:
        return torch.tensor(values, dtype=self._dtype, device=self._device)

    def _use_operators(self) -> None:
        """The operator of each group of runs that share one: `(operator, columns, scale)`."""
        groups: dict[object, list[int]] = {}
        for column, run in enumerate(self.runs):
            white, grey = (run.parameters.value(name) for name in _DIFFUSIVITIES)
            ratio = round(grey / white, 9) if white > 0.0 else (white, grey)
            groups.setdefault((ratio, self.removed[column]), []).append(column)
        self._groups: list[Group] = []
        for columns in groups.values():
            first = self.runs[columns[0]].parameters
            white = first.value("diffusivity_white")
            own = [self.runs[c].parameters.value("diffusivity_white") for c in columns]
            scale = np.array([value / white if white > 0.0 else 1.0 for value in own])
            self._groups.append((self._operator(columns[0]), columns, scale))

    def _operator(self, column: int) -> GraphLaplacian:
        parameters, removed = self.runs[column].parameters, self.removed[column]
        wanted = [self._given.get(name) for name in _DIFFUSIVITIES]
        matrix = self._prepared.diffusion(parameters, removed, clip=self._clip)
        if all(each is None for each in wanted):
            return GraphLaplacian.of(matrix, self._device, self._dtype)
        return laplacian_of(self._prepared, parameters, removed, wanted, matrix, clip=self._clip)

    def reach(self) -> Iterator[Instant]:
        """Step on; every output when it is due."""
        for column, run in enumerate(self.runs):
            for event in run.first_events:
                self._apply({column: event})
        yield from (self._instant(c, run.begin) for c, run in enumerate(self.runs) if run.at_begin)
        for number in range(max(len(run.moves) for run in self.runs)):
            moves = {c: r.moves[number] for c, r in enumerate(self.runs) if number < len(r.moves)}
            tau = np.zeros(len(self.runs))
            for column, move in moves.items():
                tau[column] = move.end - move.begin
            before = self.state
            self._advance(tau, [run.kills(number) for run in self.runs])
            yield from self._between(before, moves)
            for place in range(max(len(move.events) for move in moves.values())):
                self._apply({c: m.events[place] for c, m in moves.items() if place < len(m.events)})
            yield from (self._instant(c, move.end) for c, move in moves.items() if move.output)
            aside = [column for column, move in moves.items() if not move.kept]
            if aside:
                kept = torch.ones(len(self.runs), dtype=torch.bool, device=self._device)
                kept[aside] = False
                self.state = [
                    torch.where(kept, new, old) for new, old in zip(self.state, before, strict=True)
                ]

    def _instant(self, column: int, day: float) -> Instant:
        state = self.state
        return Instant(column, day, self.removed[column], lambda rows: _sum(state, rows, column))

    def _between(self, before: Rows, moves: Mapping[int, Move]) -> Iterator[Instant]:
        """Outputs inside the steps just taken: cubics of states and slopes (Hermite)."""
        columns = [column for column, move in moves.items() if move.between]
        if not columns:
            return
        ends = [[row[:, columns] for row in state] for state in (before, self.state)]
        parts = [*ends, *(self._slope(state, columns) for state in ends)]
        for place, column in enumerate(columns):
            move = moves[column]
            sums: dict[tuple[int, ...], list[Tensor]] = {}
            for day in move.between:
                tau = move.end - move.begin
                s = (day - move.begin) / tau
                weights = (
                    (1.0 + 2.0 * s) * (1.0 - s) ** 2,
                    s * s * (3.0 - 2.0 * s),
                    s * (1.0 - s) ** 2 * tau,
                    -s * s * (1.0 - s) * tau,
                )

                def total(
                    rows: tuple[int, ...],
                    weights: Sequence[float] = weights,
                    place: int = place,
                    sums: dict[tuple[int, ...], list[Tensor]] = sums,
                ) -> Tensor:
                    if rows not in sums:
                        sums[rows] = [_sum(part, rows, place) for part in parts]
                    weighed = [w * part for w, part in zip(weights, sums[rows], strict=True)]
                    return sum(weighed[1:], weighed[0])

                yield Instant(column, day, self.removed[column], total)

    def _slope(self, state: Rows, columns: list[int]) -> Rows:
        """Rate of change of some runs without a drug, [1/day]."""
        result = self._reaction.of_runs(columns).slope(state)
        count = len(self.model.mobile)
        for operator, own, scale in self._groups:
            if not np.isfinite(operator.limit_day):
                continue
            here = [place for place, column in enumerate(columns) if column in own]
            if not here:
                continue
            factor = self._placed(np.array([scale[own.index(columns[p])] for p in here]))
            rows = [row[:, here] for row in state]
            moving = migration(operator, rows[:count], self._still(rows))
            for k, change in enumerate(moving):
                index = torch.tensor(here, device=self._device)
                result[k] = result[k].index_add(1, index, factor * change)
        return result

    def _still(self, state: Rows) -> Tensor | None:
        """Sum of the species that do not migrate, where crowding slows those that do."""
        rest = state[len(self.model.mobile) :]
        return sum(rest[1:], rest[0]) if self.model.crowded else None

    def _advance(self, tau: NDArray[np.float64], kills: Sequence[NDArray[np.float64]]) -> None:
        groups = self._groups  # those of this step, also when it is taken again on the way back
        if torch.is_grad_enabled():  # keep one state a step, not every number in between
            found = checkpoint(
                lambda *state: tuple(self._strang(list(state), groups, tau, kills)),
                *self.state,
                use_reentrant=False,
            )
            self.state = list(found)
        else:
            self.state = self._strang(self.state, groups, tau, kills)

    def _react(
        self, state: Rows, tau: NDArray[np.float64], kills: Sequence[NDArray[np.float64]]
    ) -> Rows:
        """The reaction over `tau` [day], in as many equal parts as each run has kill rates."""
        parts = np.array([len(rates) for rates in kills])
        for part in range(parts.max()):
            columns = np.flatnonzero(parts > part)
            length = self._placed((tau / parts)[columns])
            kill = self._placed(np.array([kills[c][part] for c in columns]))
            if "temozolomide_kill" in self._given:
                (run,) = self.runs
                kappa = run.parameters.value("temozolomide_kill")
                kill = kill * (self._given["temozolomide_kill"] / kappa)
            if len(columns) == len(parts):
                state = self._reaction.over(state, length, kill)
                continue
            chosen = torch.tensor(columns, device=self._device)
            some = [row[:, chosen] for row in state]
            moved = self._reaction.of_runs(chosen).over(some, length, kill)
            state = [row.index_copy(1, chosen, new) for row, new in zip(state, moved, strict=True)]
        return state

    def _strang(
        self,
        state: Rows,
        groups: Sequence[Group],
        tau: NDArray[np.float64],
        kills: Sequence[NDArray[np.float64]],
    ) -> Rows:
        state = self._react(state, 0.5 * tau, [rates[0] for rates in kills])
        count = len(self.model.mobile)
        mobile, rest, still = state[:count], state[count:], self._still(state)
        if len(groups) == 1:
            ((operator, _, scale),) = groups
            mobile = diffuse(operator, mobile, still, tau, scale)
        else:
            moved = [
                diffuse(
                    operator,
                    [row[:, columns] for row in mobile],
                    None if still is None else still[:, columns],
                    tau[columns],
                    scale,
                )
                for operator, columns, scale in groups
            ]
            order = np.argsort([c for _, columns, _ in groups for c in columns])
            mobile = [torch.cat(parts, dim=1)[:, order] for parts in zip(*moved, strict=True)]
        return self._react([*mobile, *rest], 0.5 * tau, [rates[1] for rates in kills])

    def _apply(self, events: Mapping[int, Event]) -> None:
        """One event of each of some runs."""
        fractions = {c: each for c, each in events.items() if isinstance(each, Fraction)}
        if fractions:
            self._irradiate(fractions)
        for column, event in events.items():
            if isinstance(event, ResectionEvent) and event.cavity not in self.removed[column]:
                self.removed[column] = (*self.removed[column], event.cavity)
                self._use_operators()
                mass = self._prepared.operators.lumped_mass(
                    self._prepared.active_cells(self.removed[column])
                )
                left = torch.ones_like(self.state[0])
                left[:, column] = self._placed(mass > 0.0)
                self.state = [left * row for row in self.state]

    def _irradiate(self, fractions: Mapping[int, Fraction]) -> None:
        for column, fraction in fractions.items():
            kind = self.runs[column].treatment.kind_of(fraction)
            if self._last[column] != kind:
                self._last[column] = kind
                for row, lost in self._lost_share(column, fraction).items():
                    nothing = torch.zeros_like(lost)
                    columns = self._lost.setdefault(row, [nothing] * len(self.runs))
                    columns[column] = lost
        chosen = torch.zeros(len(self.runs), dtype=self._dtype, device=self._device)
        chosen[list(fractions)] = 1.0
        (dead,) = self.model.rows("dead")
        for row, columns in self._lost.items():
            killed = self.state[row] * (torch.stack(columns, dim=1) * chosen)
            self.state[row] = self.state[row] - killed
            self.state[dead] = self.state[dead] + killed

    def _each(self, column: int, number: int) -> Tensor:
        """Dose of one fraction of a course at the nodes, [Gy], shape (node,)."""
        course = self.runs[column].regimen.courses[number]
        if not isinstance(course, Radiotherapy):
            raise InvalidInput(f"Course {number} of the regimen is no radiotherapy.")
        if course not in self._doses:
            total = self._prepared.dose_at_nodes(course)
            self._doses[course] = self._placed(total / course.fractions)
        return self._doses[course]

    def _lost_share(self, column: int, fraction: Fraction) -> dict[int, Tensor]:
        """Share of the cells of each row that one fraction kills, shape (node,)."""
        run = self.runs[column]
        dose = self._each(column, fraction.course)
        pairing = dose  # with what the damage of this fraction pairs, by beta
        for course, share in run.treatment.unrepaired(fraction):
            pairing = pairing + 2.0 * share * self._each(column, course)
        alpha = self._given.get("alpha", run.parameters.value("alpha"))
        gain = run.treatment.gain(fraction)  # of alpha alone
        ratio = self._given.get("alpha_beta", run.parameters.value("alpha_beta"))
        named = zip(self.model.parameters, run.values.tolist(), strict=True)
        values = [self._given.get(name, value) for name, value in named]
        found = {}
        for row, (of_alpha, of_beta) in self.model.sensitivities([*values, 0.0]).items():  # type: ignore[arg-type]
            if float(torch.as_tensor(of_alpha).detach()) == 0.0:
                found[row] = torch.zeros_like(dose)
                continue
            log = alpha * of_alpha * dose * (gain + pairing / (ratio * (of_alpha / of_beta)))
            found[row] = 1.0 - torch.exp(-log)
        return found


def _sum(state: Rows, rows: tuple[int, ...], column: int) -> Tensor:
    """Sum of some species of one run, in their order, shape (node,)."""
    first, *rest = rows
    total = state[first][:, column]
    for row in rest:
        total = total + state[row][:, column]
    return total
