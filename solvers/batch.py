"""Many runs at once on the same matrices, in single precision.

A run's step reads the matrix once; here it serves every run of a block, and
the pointwise work of a stage is done in the same pass. Against torch's sparse
product alone this took 0.6 of the time on two cores, so the block is compiled
here; the matrices, the coefficients and the order of operations are those of
`FiniteElementSolver`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvers.block_kernels import (
    block_measure,
    block_react,
    block_slope,
    block_stage,
    block_survive,
)
from solvers.growth import GrowthRates
from solvers.legendre import legendre_step
from solvers.march import automatic_step
from solvers.prepared import Prepared, prepare
from solvers.stepping import Step, plan_steps
from solvers.treatment import NO_DRUG, Treatment
from solvers.volumes import softened_table
from twin.errors import InvalidInput, NotConverged
from twin.events import Fraction, Removed, ResectionEvent, Schedule
from twin.model_choice import ModelChoice
from twin.parameters import ParameterSet
from twin.patient import Twin
from twin.protocol import Progress, checked_times
from twin.regimen import Regimen

__all__ = ["BatchResult", "Request", "solve_batch"]

#: Runs that share one block; a block's width changes results in their last bits, so it is fixed.
BLOCK_WIDTH = 16
#: Added everywhere, so that no tail falls to denormal numbers, which cost a hundredfold; it
#: would have to grow 1e20-fold to be seen.
LEAST_DENSITY = 1e-24
#: The one row that radiation kills here, with the patient's own alpha and beta.
VIABLE = {0: (1.0, 1.0)}
#: Density below which single precision has gone wrong.
NEGATIVE_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class Request:
    """One run of a batch: a regimen and the parameters of its case."""

    regimen: Regimen
    parameters: ParameterSet


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What a batch of runs gave.

    Parameters
    ----------
    soft : ndarray, [mm3], shape (run, threshold, time)
        Softened volumes, T1Gd then FLAIR.
    viable : ndarray, [mm3], shape (run, time)
        Integral of the viable density (times the carrying capacity: cells).
    density : ndarray of float32, [1], shape (run, field time, node)
        Visible density.
    """

    soft: NDArray[np.float64]
    viable: NDArray[np.float64]
    density: NDArray[np.float32]


def solve_batch(
    twin: Twin,
    requests: Sequence[Request],
    times: Sequence[float] | NDArray[np.float64],
    *,
    fields_at: Sequence[float] | NDArray[np.float64] = (),
    step_day: float | None = None,
    threads: int = 1,
    progress: Progress | None = None,
) -> BatchResult:
    """Solve all `requests` on the twin's mesh.

    The diffusivities of white and grey matter keep one ratio over the batch, and all of its
    runs have the same resections.

    Parameters
    ----------
    times : array_like, [day]
        When volumes are measured.
    fields_at : array_like, [day], a subset of `times`
        When the visible density is kept.
    step_day : float or None, [day]
        Time grid between events; what the solver would choose for the run that grows
        fastest if None. Volumes in between come from the cubic through both ends of a step.
    threads : int
        Blocks solved side by side.

    Raises
    ------
    InvalidInput
        Different resections, diffusivities of different ratio, or another model than the default.
    NotConverged
        A density left its bounds.
    """
    wanted = checked_times(times, what="Output times")
    fields = checked_times(fields_at, what="Field times")
    if not np.isin(fields, wanted).all():
        raise InvalidInput("Every field time of a batch must be one of its output times.")
    if twin.model != ModelChoice():
        raise InvalidInput(
            f"A batch knows logistic growth with migration by tissue, not {twin.model.describe()}; "
            "solve such runs with TorchSolver.solve_many, or one by one."
        )
    prepared = prepare(twin)
    first = requests[0].parameters
    ratio = first.value("diffusivity_grey") / first.value("diffusivity_white")
    for request in requests:
        values = request.parameters
        own = values.value("diffusivity_grey") / values.value("diffusivity_white")
        if not abs(own - ratio) <= 1e-9 * ratio:
            raise InvalidInput(
                f"The runs of a batch need one ratio of grey to white diffusivity, not both "
                f"{ratio:g} and {own:g}; solve them one by one."
            )
        if request.regimen.resections != requests[0].regimen.resections:
            raise InvalidInput(
                "The runs of a batch need the same resections; solve the others on their own."
            )
    longest = (
        min(automatic_step(request.parameters) for request in requests)
        if step_day is None
        else step_day
    )
    soft = np.empty((len(requests), 2, len(wanted)))
    viable = np.empty((len(requests), len(wanted)))
    density = np.empty((len(requests), len(fields), len(twin.mesh.points)), np.float32)
    starts = range(0, len(requests), BLOCK_WIDTH)
    done = [0.0] * len(starts)

    def solve_block(number: int) -> None:
        rows = slice(starts[number], min(starts[number] + BLOCK_WIDTH, len(requests)))

        def report(share: float) -> None:
            done[number] = share
            if progress is not None:
                progress(sum(done) / len(done), f"{len(requests)} runs in {len(done)} blocks")

        block = _Block(prepared, requests[rows], longest)
        block.run(wanted, fields, soft[rows], viable[rows], density[rows], report)

    prepared.diffusion(first)  # made once, before the threads need it
    prepared.distances(first)
    with ThreadPoolExecutor(max_workers=max(1, threads)) as pool:
        list(pool.map(solve_block, range(len(starts))))
    return BatchResult(soft, viable, density)


class _Block:
    """Up to `BLOCK_WIDTH` runs side by side; the last one is repeated to fill the block."""

    def __init__(self, prepared: Prepared, requests: Sequence[Request], step_day: float) -> None:
        padded = [*requests, *[requests[-1]] * (BLOCK_WIDTH - len(requests))]
        self.count, self.step_day, self._rough_until = len(requests), step_day, 1.0
        base = padded[0].parameters
        self._prepared, self._base = prepared, base
        self.removed: Removed = ()
        self._use_operators()
        white = base.value("diffusivity_white")
        self.scale = _row(r.parameters.value("diffusivity_white") / white for r in padded)
        rates = [GrowthRates.of(request.parameters) for request in padded]
        self.rate = _row(rate.proliferation for rate in rates)
        self.clearance = _row(rate.clearance for rate in rates)
        self.treatments = [Treatment(prepared, r.regimen, r.parameters) for r in padded]
        for treatment in self.treatments[: self.count]:
            treatment.require_planned_targets("The batch")
            treatment.require_even_delivery("A batch")
            treatment.require_known("A batch")
        states = [prepared.initial_state(request.parameters) for request in padded]
        self.viable, self.dead, self.necrosis = (
            np.stack([state[name].astype(np.float32) for state in states], axis=1)
            for name in ("viable", "dead", "necrosis")
        )
        self.viable[self.diffusion.mass > 0] += np.float32(LEAST_DENSITY)
        self.work = [np.empty_like(self.viable) for _ in range(4)]
        self.surviving = np.ones_like(self.viable)
        self._last: list[tuple[object, ...]] = [()] * BLOCK_WIDTH
        self._fractions: dict[float, list[tuple[int, Fraction]]] = {}
        for column, treatment in enumerate(self.treatments):
            for fraction in treatment.schedule.fractions:
                self._fractions.setdefault(fraction.day, []).append((column, fraction))
        self.tables, self.kind = _softened_tables([request.parameters for request in padded])

    def _use_operators(self) -> None:
        """Take the operators of what has not been removed."""
        self.diffusion = self._prepared.diffusion(self._base, self.removed)
        self.inverse_mass = self.diffusion.inverse_mass.astype(np.float32)
        self.mass = self.diffusion.mass

    def run(
        self,
        wanted: NDArray[np.float64],
        fields: NDArray[np.float64],
        soft: NDArray[np.float64],
        viable: NDArray[np.float64],
        density: NDArray[np.float32],
        report: Callable[[float], None],
    ) -> None:
        """Step to the last wanted time and fill the arrays of results."""
        events = [event for treatment in self.treatments for event in treatment.schedule.events]
        steps = plan_steps(Schedule.of(events), wanted, step_day=self.step_day)
        fields_at = {float(t): k for k, t in enumerate(fields)}
        wanted_at = {float(t): k for k, t in enumerate(wanted)}

        def write(day: float, measured: _Measured) -> None:
            if day in wanted_at:
                soft[:, :, wanted_at[day]] = measured.soft[0, :, : self.count].T
                viable[:, wanted_at[day]] = measured.burden[0, : self.count]

        def keep(day: float) -> None:
            if day in fields_at:
                visible = self.viable + self.dead + self.necrosis
                density[:, fields_at[day]] = visible[:, : self.count].T

        self._apply(0.0)
        now = self._measured()
        write(0.0, now)
        keep(0.0)
        for number, step in enumerate(steps):
            begin = step.begin
            stops = [
                d for d in step.outputs if d < step.end and (d in fields_at or self._rough(step))
            ]
            for end in (*stops, step.end):
                self._step(begin, end)
                after = self._measured()
                for day in step.outputs:
                    if begin < day < end:
                        write(day, now.between(after, (day - begin) / (end - begin), end - begin))
                begin, now = end, after
                if end < step.end:
                    write(end, now)
                    keep(end)
            if step.events:
                self._apply(step.end)
                now = self._measured()
            write(step.end, now)
            keep(step.end)
            if number % 10 == 0 or number == len(steps) - 1:
                report((number + 1) / len(steps))

    def _rough(self, step: Step) -> bool:
        """Whether volumes inside a step are stepped to: after a jump, and where there is a drug."""
        if step.begin < self._rough_until:
            return True
        return any(t.kills(step.begin, step.end).max() >= NO_DRUG for t in self.treatments)

    def _measured(self) -> _Measured:
        """Volumes of the state as it is, and their rates of change without a drug."""
        growing, seen = self.work[0], self.work[1]  # free between steps
        d = self.diffusion
        block_slope(
            d.indptr, d.indices, d.transmissibility, self.inverse_mass, self.scale, self.viable,
            self.dead, self.necrosis, self.rate, self.clearance, growing, seen,
        )  # fmt: skip
        soft, burden = np.empty((2, 2, BLOCK_WIDTH)), np.empty((2, BLOCK_WIDTH))
        block_measure(
            self.viable, self.dead, self.necrosis, growing, seen, self.mass, self.tables,
            self.kind, soft, burden,
        )  # fmt: skip
        return _Measured(soft, burden)

    def _resect(self, day: float) -> None:
        """Take out what is removed on a day, in all runs alike."""
        for event in self.treatments[0].schedule.events:
            if not isinstance(event, ResectionEvent) or event.day != day:
                continue
            if event.cavity not in self.removed:
                self.removed = (*self.removed, event.cavity)
                self._use_operators()
                for rows in (self.viable, self.dead, self.necrosis):
                    rows[self.mass == 0.0] = 0.0
                self._rough_until = day + 1.0

    def _apply(self, day: float) -> None:
        self._resect(day)
        chosen = np.zeros(BLOCK_WIDTH, np.bool_)
        for column, fraction in self._fractions.get(day, ()):
            treatment = self.treatments[column]
            kind = treatment.kind_of(fraction)
            if self._last[column] != kind:
                self.surviving[:, column] = treatment.surviving(fraction, VIABLE)[0]
                self._last[column] = kind
            chosen[column] = True
        if chosen.any():
            block_survive(self.viable, self.dead, self.surviving, chosen)

    def _step(self, begin: float, end: float) -> None:
        parts = max(1, int(np.ceil(float(self.rate.max()) * (end - begin) / 1.0)))
        borders = np.linspace(begin, end, parts + 1)
        for first, last in itertools.pairwise(borders):
            self._strang(float(first), float(last))

    def _kills(self, begin: float, end: float) -> tuple[NDArray, NDArray]:
        """Mean kill rates in parts of both halves, each of shape (part, run)."""
        found = [treatment.kills(begin, end) for treatment in self.treatments]
        parts = max(kills.shape[1] for kills in found)
        full = [np.broadcast_to(kills, (2, parts)) for kills in found]
        first, second = np.stack(full, axis=-1).astype(np.float32)
        return first, second

    def _react(self, tau: float, kills: NDArray) -> int:
        wrong = 0
        for kill in kills:
            wrong += block_react(
                self.viable, self.dead, self.necrosis, tau / len(kills), self.rate,
                self.clearance, kill, -NEGATIVE_TOLERANCE,
            )  # fmt: skip
        return wrong

    def _strang(self, begin: float, end: float) -> None:
        tau = end - begin
        first, second = self._kills(begin, end)
        wrong = self._react(0.5 * tau, first)
        limit = self.diffusion.explicit_limit_day / float(self.scale.max())
        d = self.diffusion
        rows = d.indptr, d.indices, d.transmissibility, self.inverse_mass, self.scale
        self.viable, self.work = legendre_step(
            block_stage, rows, tau, limit, self.viable, self.work
        )
        wrong += self._react(0.5 * tau, second)
        if wrong:
            raise NotConverged(
                f"{wrong} densities of the batch fell below zero; choose a smaller step than "
                f"{tau:g} day."
            )


@dataclass(frozen=True, slots=True)
class _Measured:
    """Volumes of every run and, second, their rates of change."""

    soft: NDArray[np.float64]
    burden: NDArray[np.float64]

    def between(self, after: _Measured, share: float, tau: float) -> _Measured:
        """At a share of the step of `tau` [day] to `after`, by the cubic through both ends."""
        s = share

        def cubic(one: NDArray, other: NDArray) -> NDArray:
            value = (1 + 2 * s) * (1 - s) ** 2 * one[0] + s * s * (3 - 2 * s) * other[0]
            value = value + tau * (s * (1 - s) ** 2 * one[1] - s * s * (1 - s) * other[1])
            return value[None]

        return _Measured(cubic(self.soft, after.soft), cubic(self.burden, after.burden))


def _softened_tables(runs: Sequence[ParameterSet]) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Tables of softened visibility, shape (threshold, kind, entry), and which is each run's."""
    names = ("threshold_t1gd", "threshold_flair", "visibility_softness")
    seen = [tuple(one.value(name) for name in names) for one in runs]
    kinds = list(dict.fromkeys(seen))
    tables = [softened_table(levels, softness) for *levels, softness in kinds]
    number = np.array([kinds.index(one) for one in seen], np.int32)
    return np.stack(tables, axis=1).astype(np.float32), number


def _row(values: Iterable[float]) -> NDArray[np.float32]:
    return np.array(list(values), np.float32)
