"""Training and checking a surrogate on runs of the finite-element solver."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from solvers.batch import BLOCK_WIDTH, BatchResult, Request, solve_batch
from solvers.closure import Ensemble, train_ensemble
from solvers.density_closure import DensityModes, fit_modes, odds
from solvers.prepared import prepare
from solvers.reduced_features import OFFSET_MM3, ReducedAnswer, ReducedModel
from solvers.shells import ShellModel, build_shells
from solvers.training_domain import TrainingDomain
from twin.errors import InvalidInput, NotConverged
from twin.patient import Twin
from twin.protocol import Progress

__all__ = ["Plan", "Trained", "train"]

LEVEL = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much a training costs; the numbers of runs fill blocks of the batch.

    Parameters
    ----------
    training, calibration, held_out : int
        Runs to learn from, to set the intervals by, and to measure errors on. No
        run serves twice.
    step_day : float, [day]
        Time grid of the training runs between events. The runs that set the intervals
        and measure the errors take the solver's own.
    steps : int
        Of the optimiser.
    field_interval_day : float, [day]
        Spacing of the density fields that are learnt.
    """

    training: int = 96
    calibration: int = 16
    held_out: int = 64
    step_day: float = 3.5
    steps: int = 2500
    members: int = 5
    hidden: int = 64
    field_interval_day: float = 63.0

    def __post_init__(self) -> None:
        for name, least in (("training", 8), ("calibration", 8), ("held_out", 8)):
            if not getattr(self, name) >= least:
                raise InvalidInput(
                    f"A surrogate needs at least {least} {name} runs, not {getattr(self, name)}; "
                    "with fewer nothing can be said about its error."
                )


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training made."""

    reduced: ReducedModel
    scalars: Ensemble
    fields: Ensemble
    modes: DensityModes
    interval_factor: NDArray[np.float64]
    interval_floor: NDArray[np.float64]
    held_out: dict[str, NDArray]
    record: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Runs:
    """Solver runs beside their reduced answers."""

    requests: list[Request]
    result: BatchResult
    answers: list[ReducedAnswer]

    def part(self, low: int, high: int) -> _Runs:
        """Runs `low` to `high` alone."""
        rows, whole = slice(low, high), self.result
        result = BatchResult(whole.soft[rows], whole.viable[rows], whole.density[rows])
        return _Runs(self.requests[rows], result, self.answers[rows])

    @property
    def features(self) -> NDArray[np.float64]:
        return np.stack([answer.features for answer in self.answers])

    @property
    def truth(self) -> NDArray[np.float64]:
        """Logarithms of the solver's volumes, shape (run, time, 3)."""
        both = np.concatenate([self.result.soft, self.result.viable[:, None]], axis=1)
        return np.log(both + OFFSET_MM3).transpose(0, 2, 1)

    @property
    def reduced(self) -> NDArray[np.float64]:
        return np.stack([answer.logs for answer in self.answers])


def train(
    twin: Twin,
    domain: TrainingDomain,
    *,
    plan: Plan,
    seed: int,
    threads: int,
    progress: Progress | None,
) -> Trained:
    """Run the solver over the domain and fit the closure; see `solvers.surrogate`."""
    prepared = prepare(twin)
    begin = time.perf_counter()

    def report(low: float, high: float, what: str) -> Progress:
        def told(share: float, _: str = "") -> None:
            if progress is not None:
                progress(low + share * (high - low), what)

        return told

    shells = build_shells(prepared, domain.parameters, domain.course)
    reduced = ReducedModel(shells, domain, twin.calendar, twin.body_surface_m2)
    times = reduced.grid()
    every = max(1, round(plan.field_interval_day / 7.0))
    field_times = times[::every]
    count = plan.training + plan.calibration + plan.held_out
    requests = domain.design(count, seed)
    order = np.random.default_rng(seed).permutation(count)
    requests = [requests[k] for k in order]
    ends = np.cumsum([plan.training, plan.calibration, plan.held_out])

    def solve(
        rows: slice, fields: NDArray, low: float, high: float, what: str, step_day: float
    ) -> _Runs:
        chosen = requests[rows]
        result = solve_batch(
            twin, chosen, times, fields_at=fields, step_day=step_day, threads=threads,
            progress=report(low, high, what),
        )  # fmt: skip
        if not (np.isfinite(result.soft).all() and np.isfinite(result.viable).all()):
            raise NotConverged("A training run gave a volume that is not finite; nothing is kept.")
        return _Runs(chosen, result, [reduced.answer(r.regimen, r.parameters) for r in chosen])

    setting_up = time.perf_counter() - begin
    training = solve(
        slice(0, ends[0]), field_times, 0.02, 0.3, f"{ends[0]} solver runs to learn from",
        plan.step_day,
    )  # fmt: skip
    check_fields = field_times[1::3]
    checking = solve(
        slice(ends[0], ends[2]), check_fields, 0.3, 0.8, f"{ends[2] - ends[0]} to check it by",
        1.0,
    )  # fmt: skip
    calibration = checking.part(0, plan.calibration)
    held_out = checking.part(plan.calibration, plan.calibration + plan.held_out)
    solved = time.perf_counter()
    rows = np.arange(0, len(times), every)[: len(field_times)]
    mass = prepared.diffusion(domain.parameters).mass
    with _one_thread_each(), ThreadPoolExecutor(max_workers=min(2, max(1, threads))) as pool:
        density = pool.submit(_train_fields, mass, shells, training, rows, plan, seed)
        scalars = pool.submit(
            train_ensemble,
            training.features,
            training.truth - training.reduced,
            members=plan.members,
            hidden=plan.hidden,
            steps=plan.steps,
            seed=seed,
            report=lambda share: report(0.8, 1.0, "networks")(share, ""),
        ).result()
        modes, fields = density.result()
    trained = time.perf_counter()
    factor, floor = _intervals(scalars, training, calibration)
    record = {
        "runs": {k: getattr(plan, k) for k in ("training", "calibration", "held_out")},
        "blocks_of": BLOCK_WIDTH,
        "nodes": len(twin.mesh.points),
        "shells": len(shells.mass),
        "seconds": {
            "reduced model": round(setting_up, 1),
            "solver runs": round(solved - begin - setting_up, 1),
            "training": round(trained - solved, 1),
        },
        "seed": seed,
        "step_day": plan.step_day,
        "interval_level": LEVEL,
    }
    test = _held_out(
        scalars, fields, modes, shells, mass, held_out, check_fields, times, factor, floor
    )
    return Trained(reduced, scalars, fields, modes, factor, floor, test, record)


@contextlib.contextmanager
def _one_thread_each() -> Iterator[None]:
    """Small networks are quicker on one thread each than on several that wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _train_fields(mass, shells, training, rows, plan, seed):
    """Modes of the density's correction and the network of their coefficients."""
    weights = shells.weights
    truth = training.result.density
    correction = np.empty_like(truth)
    for k, answer in enumerate(training.answers):
        base = odds((weights @ answer.visible[rows].T).T)
        correction[k] = odds(truth[k]) - base
    flat = correction.reshape(-1, correction.shape[-1])
    modes, coefficients = fit_modes(flat, truth.reshape(flat.shape), mass, seed)
    coefficients = coefficients.reshape(*correction.shape[:2], -1)
    importance = coefficients.reshape(-1, coefficients.shape[-1]).std(axis=0)
    importance = importance**2 / (importance**2).mean()
    fields = train_ensemble(
        training.features[:, rows],
        coefficients,
        members=3,
        hidden=plan.hidden,
        steps=plan.steps,
        seed=seed + 1,
        output_weight=np.maximum(importance, 0.02),
        batch=256,
    )
    return modes, fields


def spread_of(members: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard deviation over the members, shape (..., output)."""
    return members.std(axis=0)


def _intervals(
    scalars: Ensemble, training: _Runs, calibration: _Runs
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Split-conformal factors of the scaled error, by output, counted by run.

    The score of a run is the 90th percentile over its times of ``|error| /
    (spread + floor)``; the factor is the ``ceil((n + 1) 0.9)``-th smallest score of
    the calibration runs (Lei et al. 2018, J Am Stat Assoc 113:1094,
    doi 10.1080/01621459.2017.1307116 [unverified], for one score a unit).
    """
    members = scalars.predict(training.features.reshape(-1, training.features.shape[-1]))
    residual = np.abs(
        members.mean(axis=0) - (training.truth - training.reduced).reshape(-1, members.shape[-1])
    )
    floor = np.maximum(np.median(residual, axis=0), 1e-4)
    scores = []
    for features, truth, base in zip(
        calibration.features, calibration.truth, calibration.reduced, strict=True
    ):
        members = scalars.predict(features)
        error = np.abs(base + members.mean(axis=0) - truth)
        scores.append(np.quantile(error / (spread_of(members) + floor), LEVEL, axis=0))
    ordered = np.sort(scores, axis=0)
    place = min(int(np.ceil((len(ordered) + 1) * LEVEL)), len(ordered)) - 1
    return ordered[place], floor


def _held_out(
    scalars: Ensemble,
    fields: Ensemble,
    modes: DensityModes,
    shells: ShellModel,
    mass: NDArray[np.float64],
    runs: _Runs,
    field_times: NDArray[np.float64],
    times: NDArray[np.float64],
    factor: NDArray[np.float64],
    floor: NDArray[np.float64],
) -> dict[str, NDArray]:
    """Answers and truth on runs that nothing was learnt from."""
    predicted, half = [], []
    for features, base in zip(runs.features, runs.reduced, strict=True):
        members = scalars.predict(features)
        predicted.append(base + members.mean(axis=0))
        half.append(factor * (spread_of(members) + floor))
    rows = np.searchsorted(times, field_times)
    dice, mean_error = [], []
    parameters = runs.requests[0].parameters
    levels = [parameters.value("threshold_t1gd"), parameters.value("threshold_flair")]
    for k, answer in enumerate(runs.answers):
        coefficients = fields.predict(answer.features[rows]).mean(axis=0)
        density = modes.density(shells.weights, answer.visible[rows], coefficients)
        truth = runs.result.density[k]
        pair = []
        for level in levels:
            a, b = density > level, truth > level
            both, each = (a & b) @ mass, a @ mass + b @ mass
            pair.append(np.where(each > 0, 2 * both / np.maximum(each, 1e-9), 1.0))
        dice.append(pair)
        mean_error.append(np.abs(density - truth)[:, truth.max(axis=0) > 0.01].mean())
    starts = [request.regimen.radiotherapy[0].start_day for request in runs.requests]
    return {
        "times": times,
        "log_truth": runs.truth,
        "log_predicted": np.stack(predicted),
        "log_half_width": np.stack(half),
        "log_reduced": runs.reduced,
        "start_day": np.array(starts),
        "dice": np.array(dice),
        "density_error": np.array(mean_error),
    }
