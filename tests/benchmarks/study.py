"""The whole study, from a loaded patient to a finished results folder, on two threads."""

from __future__ import annotations

import shutil

from benchmarks.head import Setting, Stopwatch, timed, timed_work
from benchmarks.table import Row
from scenarios.comparison import compare
from scenarios.results_folder import ResultsFolder
from scenarios.run import run_study
from solvers.finite_element import FiniteElementSolver
from twin.results import open_results

SECONDS = 90.0
THREADS = 2


def whole(setting: Setting) -> list[Row]:
    """Seconds of all runs, and the share of writing them."""
    shutil.rmtree(setting.results, ignore_errors=True)
    head, watch = setting.twin(), Stopwatch()
    with (
        watch.on(ResultsFolder, "put", "runs"),
        watch.on(ResultsFolder, "finish", "end"),
    ):
        seconds, work, outcome = timed_work(lambda: _run(setting, head))
    outcome.results.close()
    writing = watch.seconds["runs"] / THREADS + watch.seconds["end"]
    again, _ = timed(lambda: _run(setting, head).results.close())
    with open_results(setting.results) as results:
        comparing, _ = timed(lambda: str(compare(results)))
    size = sum(file.stat().st_size for file in setting.results.rglob("*") if file.is_file())
    return [
        Row("6 treatments, 3 cases, 2 meshes", seconds, "s", None, SECONDS),
        Row("  seconds of the processors", work, "s"),
        Row("  a run", THREADS * seconds / outcome.runs, "s"),
        Row("  share of writing", 100.0 * writing / seconds, "%"),
        Row("  results on disk", size / 1e6, "MB"),
        Row("runs", outcome.runs),
        Row("again, finished already", again, "s"),
        Row("comparison", comparing, "s"),
    ]


def _run(setting, head):
    return run_study(
        setting.study(),
        head,
        FiniteElementSolver(),
        setting.results,
        threads=THREADS,
        patient=str(setting.patient),
    )
