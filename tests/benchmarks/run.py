"""One 540-day run on the head's mesh, one core, and the batch on two threads."""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np

from benchmarks.head import Setting, Stopwatch, timed, timed_work
from benchmarks.table import Row
from solvers import growth
from solvers.batch import Request, solve_batch
from solvers.finite_element import FiniteElementSolver
from solvers.output import Recorder
from solvers.prepared import prepare
from solvers.volumes import VisibleVolumes

SECONDS = 4.0
#: Relative, of the single-precision batch with the solver; volumes under 1 ml do not count.
BATCH_DIFFERENCE = 1e-4
SMALL_MM3 = 1000.0


def alone(setting: Setting) -> list[Row]:
    """Preparation, one run and where its time goes, and its error in time."""
    head, regimen = setting.twin(), setting.arm().regimen
    times = setting.study().times
    days = float(times[-1])
    prepared = prepare(head)
    assembly, _ = timed(lambda: prepared.operators)
    matrix, diffusion = timed(lambda: prepared.diffusion(head.parameters))
    state, _ = timed(lambda: prepared.initial_state(head.parameters))
    dose, _ = timed(lambda: [prepared.dose_at_nodes(course) for course in regimen.radiotherapy])
    solver = FiniteElementSolver()
    solver.solve(head, regimen, [0.0, 1.0, 40.0])  # compiles
    seconds, work, daily = timed_work(lambda: solver.solve(head, regimen, times))
    rows = [
        Row("assembly by dolfinx", assembly, "s"),
        Row("matrix of diffusion", matrix, "s"),
        Row("distances and initial state", state, "s"),
        Row("dose", dose, "s"),
        Row("540 days, daily volumes", seconds, "s", None, SECONDS),
        Row("  seconds of the processor", work, "s"),
        Row("  a day", 1e3 * seconds / days, "ms"),
    ]
    watch = Stopwatch()
    with ExitStack() as stack:
        stack.enter_context(watch.on(growth.Growth, "diffuse", "diffusion"))
        stack.enter_context(watch.on(growth, "react", "reaction"))
        stack.enter_context(watch.on(growth.Growth, "irradiate", "fractions"))
        stack.enter_context(watch.on(VisibleVolumes, "__init__", "getting ready to measure"))
        stack.enter_context(watch.on(Recorder, "record", "volumes, cut and softened"))
        solver.solve(head, regimen, times)
    for label, part in watch.seconds.items():
        rows.append(Row(f"    {label}", 1e3 * part / days, "ms"))
    rows += [
        Row("explicit limit of the step", diffusion.explicit_limit_day, "day"),
        Row("transmissibility clipped away", 100.0 * diffusion.clipped_share, "%"),
    ]
    weekly = times[::7]
    fine = FiniteElementSolver(step_day=0.25).solve(head, regimen, weekly)
    coarse = daily.sel(time=weekly)
    for kind, name in (("tumour_volume_soft", "softened"), ("tumour_volume", "cut")):
        error = _largest_difference(coarse[kind].values, fine[kind].values)
        rows.append(Row(f"chosen steps against 0.25 day, {name} volumes", 100.0 * error, "%"))
    return rows


def batch(setting: Setting) -> list[Row]:
    """The batch against one run alone, same days, steps and outputs."""
    head, regimen = setting.twin(), setting.arm().regimen
    times = setting.study().times
    prepare(head).operators  # noqa: B018 (made here, not in what is timed)
    alpha = head.parameters.value("alpha")
    factors = np.linspace(0.8, 1.2, 32)
    cases = [head.parameters.replace(alpha=float(alpha * factor)) for factor in factors]
    requests = [Request(regimen, case) for case in cases]
    solver = FiniteElementSolver()
    solver.solve(head, regimen, [0.0, 40.0])
    solve_batch(head, requests[:1], [0.0, 1.0, 30.0])  # compiles
    one, found = timed(
        lambda: solver.solve(head.replace(parameters=cases[0]), regimen, times).tumour_volume_soft
    )
    rows = [Row("one run alone, one thread", one, "s")]
    for count, threads in ((16, 1), (32, 2)):
        chosen = requests[:count]
        seconds, many = timed(
            lambda chosen=chosen, threads=threads: solve_batch(head, chosen, times, threads=threads)
        )
        label = f"batch of {count} on {threads} thread" + "s" * (threads > 1)
        rows += [
            Row(f"{label}, a run", seconds / count, "s"),
            Row("  of one run alone", 100.0 * seconds / count / one, "%"),
        ]
    difference = _largest_difference(many.soft[0], found.values)
    rows.append(Row("batch against alone, volumes", difference, "", None, BATCH_DIFFERENCE))
    return rows


def _largest_difference(values, truth) -> float:
    """Largest relative difference where the volume is above 1 ml."""
    counts = truth > SMALL_MM3
    return float(np.max(np.abs(values - truth)[counts] / truth[counts], initial=0.0))
