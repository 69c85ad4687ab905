"""The engine's promises: one core, memory traffic, growth with the mesh, gradients, physics."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import time

import numpy as np
import torch

from benchmarks.head import Setting, timed
from benchmarks.table import Row
from solvers.adjoint.differentiable import DifferentiableRun
from solvers.adjoint.gradient import gradient
from solvers.batch import Request, solve_batch
from solvers.finite_element import FiniteElementSolver
from solvers.growth import Growth, GrowthRates
from solvers.kernels import stage
from solvers.operators import mesh_operators
from solvers.prepared import prepare
from solvers.volumes import VisibleVolumes
from twin.courses import Radiotherapy
from twin.meshing.boxes import box_mesh
from twin.model_choice import ModelChoice
from twin.regimen import Regimen

#: 60 Gy in 30 fractions from day 28 on; 270 days with volumes of every day.
COURSE = Regimen(Radiotherapy(total_dose_gy=60.0, fractions=30, start_day=28.0))
DAYS = np.arange(0.0, 271.0)
SECONDS = 1.0
TIME_ERROR = 0.1
TRAFFIC = 0.5
EXPONENT = 1.1
GRADIENT_RUNS = 4.0
GRADIENT_MEGABYTES = 1000.0
PHYSICS_SECONDS = 60.0
RANKS_RATIO = 1.6
BATCH = 64
BATCH_RATIO = 6.0
TEN = (
    "proliferation_rate", "diffusivity_white", "diffusivity_grey", "threshold_t1gd",
    "threshold_flair", "alpha", "alpha_beta", "dead_clearance_half_life", "carrying_capacity",
    "temozolomide_kill",
)  # fmt: skip


def course(setting: Setting) -> list[Row]:
    """270 days on the head on one core, and the error in time of every volume."""
    head, solver = setting.twin(), FiniteElementSolver()
    prepare(head).initial_state(head.parameters)
    solver.solve(head, COURSE, [0.0, 1.5, 40.0])  # compiles, and makes the dose
    found = [timed(lambda: solver.solve(head, COURSE, DAYS)) for _ in range(3)]
    seconds = min(each[0] for each in found)
    run = found[-1][1]
    fine = FiniteElementSolver(step_day=0.25).solve(head, COURSE, DAYS[::10])
    rows = [
        Row("270 days, 30 fractions, daily volumes, one core", seconds, "s", None, SECONDS),
        Row("  nodes", len(head.mesh.points)),
    ]
    for kind, name in (("tumour_volume_soft", "softened"), ("tumour_volume", "cut")):
        truth = fine[kind].values
        error = np.abs(run[kind].values[:, ::10] - truth) / np.maximum(truth, 1e-9)
        error = float(error[truth > 1000.0].max())
        label = f"  error in time, {name} volumes above 1 ml"
        rows.append(Row(label, 100.0 * error, "%", None, TIME_ERROR))
    return rows


def traffic(setting: Setting) -> list[Row]:
    """What one stage of a step moves through memory a second, against a triad of its size."""
    head = setting.twin()
    matrix = prepare(head).diffusion(head.parameters)
    nodes = len(matrix.mass)
    rng = np.random.default_rng(0)
    latest, before, start = rng.uniform(0, 1, (3, nodes))
    slope, result = np.empty((2, nodes))
    rows = matrix.rows

    def one() -> None:
        stage(*rows, latest, before, start, slope, result, 0.5, 0.2, 0.1, 0.1)

    moved = sum(array.nbytes for array in rows if isinstance(array, np.ndarray))
    moved += 5 * result.nbytes
    length = moved // 24
    a, b, c = np.empty(length), np.ones(length), np.full(length, 2.0)

    def triad() -> None:
        np.multiply(c, 3.0, out=a)
        np.add(b, a, out=a)

    step, compared = _best(one), _best(triad)
    own, theirs = moved / step / 1e9, 5 * 8 * length / compared / 1e9
    return [
        Row("one stage of a step", 1e3 * step, "ms"),
        Row("  working set", moved / 1e6, "MB"),
        Row("  memory traffic", own, "GB/s"),
        Row("  a triad of the same working set", theirs, "GB/s"),
        Row("  traffic over the triad's", own / theirs, "", TRAFFIC),
    ]


def _best(what, times: int = 30) -> float:
    """Shortest of several calls, [s]."""
    what()
    found = []
    for _ in range(times):
        begin = time.perf_counter()
        what()
        found.append(time.perf_counter() - begin)
    return min(found)


def scaling(setting: Setting) -> list[Row]:
    """Cost of a month with daily volumes on boxes of 10,000 to 1,000,000 nodes."""
    sides = (21, 31, 46) if setting.quick else (21, 46, 68, 99)
    rows, nodes, seconds = [], [], []
    for side in sides:
        mesh = box_mesh((60.0,) * 3, (side,) * 3)
        everywhere = np.ones(len(mesh.cells), bool)
        operators = mesh_operators(mesh)
        matrix = operators.diffusion(np.full(len(mesh.cells), 0.13), everywhere)
        meter = VisibleVolumes(
            mesh.cells, mesh.cell_volume, matrix.mass, (0.8, 0.16), 0.07, points=mesh.points
        )
        start = np.exp(-(np.linalg.norm(mesh.points - 30.0, axis=1) ** 2) / 100.0)
        nothing = np.zeros_like(start)
        growth = Growth.logistic(
            GrowthRates(0.03, 0.0116), {"viable": start, "dead": nothing, "necrosis": nothing}
        )
        growth.step(matrix, 0.5)
        begin = time.perf_counter()
        for _ in range(30):
            growth.step(matrix, 0.5)
            meter.measure(growth.total(growth.model.visible))
        nodes.append(len(mesh.points))
        seconds.append(time.perf_counter() - begin)
        rows.append(Row(f"30 steps with volumes, {len(mesh.points):,} nodes", seconds[-1], "s"))
        del mesh, operators, matrix, meter, growth
    slope = float(np.polyfit(np.log(nodes), np.log(seconds), 1)[0])
    return [*rows, Row("cost grows as nodes to the power of", slope, "", None, EXPONENT)]


def gradients(setting: Setting) -> list[Row]:
    """The gradient by ten parameters and the initial density, against the run alone."""
    head = setting.twin()
    solver = FiniteElementSolver()
    prepare(head).initial_state(head.parameters)
    solver.solve(head, COURSE, [0.0, 1.5, 40.0])
    alone = min(timed(lambda: solver.solve(head, COURSE, DAYS))[0] for _ in range(2))
    run = DifferentiableRun(head, COURSE, [90.0, 180.0, 270.0])
    names = [*TEN, "initial_density"]

    def misfit(result):
        return ((torch.log(result.soft + 1.0) - 9.0) ** 2).sum() + 1e-12 * result.burden.sum()

    gradient(run, misfit, names)  # compiles
    before = _peak_megabytes()
    seconds, _ = min((timed(lambda: gradient(run, misfit, names)) for _ in range(2)), key=_first)
    return [
        Row("one run, daily volumes", alone, "s"),
        Row("gradient by ten parameters and the initial density", seconds, "s"),
        Row("  of one run", seconds / alone, "runs", None, GRADIENT_RUNS),
        Row("  memory beyond the process before", _peak_megabytes() - before, "MB"),
        Row("  states kept and derivatives", _kept(run), "MB", None, GRADIENT_MEGABYTES),
    ]


def _first(found):
    return found[0]


def _kept(run: DifferentiableRun) -> float:
    """States on the tape and the arrays of the derivatives, [MB]."""
    nodes, model = len(run.twin.mesh.points), run.model
    state = 8e-6 * nodes * len(model.names)
    entries = sum(epoch.graph.layout.weight.size for epoch in run.run.epochs)
    return state * (len(run.run.steps) + 12) + 3 * 8e-6 * entries


def _peak_megabytes() -> float:
    unit = 1e6 if sys.platform == "darwin" else 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def batch(setting: Setting) -> list[Row]:
    """64 parameter sets at once on two threads, against one run alone on one core."""
    head, solver = setting.twin(), FiniteElementSolver()
    prepare(head).initial_state(head.parameters)
    solver.solve(head, COURSE, [0.0, 1.5, 40.0])
    base = head.parameters
    cases = [
        base.replace(alpha=base.value("alpha") * float(a), proliferation_rate=0.03 * float(r))
        for a, r in zip(np.linspace(0.7, 1.3, BATCH), np.linspace(1.0, 0.8, BATCH), strict=True)
    ]
    requests = [Request(COURSE, case) for case in cases]
    solve_batch(head, requests[:1], [0.0, 1.0, 30.0])  # compiles
    alone, found = timed(lambda: solver.solve(head.replace(parameters=cases[0]), COURSE, DAYS))
    seconds, many = timed(lambda: solve_batch(head, requests, DAYS, threads=2))
    truth = found.tumour_volume_soft.values
    counts = truth > 1000.0
    difference = float(np.max(np.abs(many.soft[0] - truth)[counts] / truth[counts]))
    return [
        Row("one run alone, one core", alone, "s"),
        Row(f"{BATCH} at once on two threads, a run", seconds / BATCH, "s"),
        Row("  so many times cheaper", alone * BATCH / seconds, "", BATCH_RATIO),
        Row("  single against double precision, volumes above 1 ml", difference, "", None, 1e-4),
    ]


def physics(setting: Setting) -> list[Row]:
    """The same course with oxygen and with mass effect."""
    head, solver = setting.twin(), FiniteElementSolver()
    prepare(head).initial_state(head.parameters)
    rows = []
    choices = {
        "the default model": ModelChoice(),
        "with a resistant line": ModelChoice(resistant=True),
        "with oxygen": ModelChoice(oxygen=True),
        "with mass effect": ModelChoice(mass_effect=True),
        "with oxygen and mass effect": ModelChoice(oxygen=True, mass_effect=True),
    }
    for name, choice in choices.items():
        patient = head.replace(model=choice)
        solver.solve(patient, COURSE, [0.0, 1.5, 7.0])  # compiles
        seconds, _ = timed(lambda patient=patient: solver.solve(patient, COURSE, DAYS))
        most = PHYSICS_SECONDS if choice.mass_effect and choice.oxygen else None
        rows.append(Row(f"270 days {name}", seconds, "s", None, most))
    return rows


def ranks(setting: Setting) -> list[Row]:
    """60 days with 30 fractions and daily volumes on half a million nodes: one rank and two."""
    if shutil.which("mpirun") is None:
        print("No mpirun here: ranks are not measured.", file=sys.stderr)
        return []
    target, count = setting.work / "ranks.json", 29 if setting.quick else 79
    command = [
        "mpirun", "-n", "2", sys.executable, "-m", "benchmarks.ranks_program", str(target),
        str(count),
    ]  # fmt: skip
    allowed = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    allowed |= {"OMPI_MCA_rmaps_base_oversubscribe": "1"}
    subprocess.run(command, check=True, env={**os.environ, **allowed})
    nodes, one, two, off = json.loads(target.read_text(encoding="utf-8"))
    return [
        Row(f"{nodes:,} nodes, one rank", one, "s"),
        Row("two ranks", two, "s"),
        Row("  so many times faster", one / two, "", RANKS_RATIO),
        Row("  difference of the volumes", off, "", None, 1e-10),
    ]
