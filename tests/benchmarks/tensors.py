"""Many parameter sets at once on tensors, on the CPU and, where there is one, a GPU."""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.head import Setting, timed_work
from benchmarks.table import Row
from solvers.batch import Request
from solvers.finite_element import FiniteElementSolver
from solvers.prepared import prepare
from solvers.torch_executor import TorchSolver

#: A CPU is slow at it: a quarter of a year is enough to say how slow.
DAYS, STEP_DAY, RUNS = 91.0, 1.0, {"cpu": 16, "cuda": 64}
#: Of the largest volume, from the solver alone.
DIFFERENCE = {"float32": 1e-4, "float64": 1e-10}


def many(setting: Setting) -> list[Row]:
    """A run among many against one alone: same steps of a day, weekly volumes."""
    head, regimen = setting.twin(), setting.arm().regimen
    times = np.arange(0.0, DAYS + 1.0, 7.0)
    alpha = head.parameters.value("alpha")
    requests = [
        Request(regimen, head.parameters.replace(alpha=float(alpha * factor)))
        for factor in np.linspace(0.8, 1.2, max(RUNS.values()))
    ]
    first = head.replace(parameters=requests[0].parameters)
    prepare(head).distances(head.parameters)
    solver = FiniteElementSolver(step_day=STEP_DAY)
    solver.solve(first, regimen, [0.0, 40.0])  # compiles
    alone, own, truth = timed_work(
        lambda: solver.solve(first, regimen, times).tumour_volume_soft.values
    )
    rows = [
        Row("one run alone, one thread", alone, "s"),
        Row("  seconds of the processor", own, "s"),
    ]
    torch.set_num_threads(2)
    for device in ("cpu", *(["cuda"] if torch.cuda.is_available() else [])):
        count = RUNS[device]
        for dtype, allowed in DIFFERENCE.items():
            tensors = TorchSolver(device=device, dtype=dtype, step_day=STEP_DAY)
            tensors.solve_many(head, requests[:1], [0.0, 30.0])

            def run(tensors: TorchSolver = tensors, count: int = count) -> list:
                return tensors.solve_many(head, requests[:count], times, width=count)

            seconds, work, found = timed_work(run)
            apart = np.abs(found[0].tumour_volume_soft.values - truth)
            rows += [
                Row(f"{count} runs, {device}, {dtype}, a run", seconds / count, "s"),
                Row("  seconds of the processors", work / count, "s"),
                Row("  times cheaper than alone", alone * count / seconds),
                Row("  against alone", float(np.max(apart / truth.max())), "", None, allowed),
            ]
    return rows
