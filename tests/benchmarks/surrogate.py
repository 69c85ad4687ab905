"""The surrogate: from a loaded patient to a checked model on two threads, and its answers."""

from __future__ import annotations

import itertools
import math
import statistics

from benchmarks.head import Setting, timed, timed_work
from benchmarks.table import Row
from solvers.surrogate import SurrogateSolver
from solvers.surrogate_training import Plan

SECONDS = 150.0
MEDIAN_PERCENT, P95_PERCENT, WITHIN_7_DAYS_PERCENT, RUNS = 2.0, 10.0, 90.0, 50
WHAT_IF_MS = 20.0
THREADS = 2


def trained(setting: Setting) -> list[Row]:
    """Training, errors on held-out runs, and the time of what-ifs."""
    head, regimen = setting.twin(), setting.arm().regimen
    quick = Plan(training=8, calibration=8, held_out=8, steps=50) if setting.quick else None
    seconds, work, model = timed_work(
        lambda: SurrogateSolver.train(
            head, regimen, horizon_day=setting.study().days, plan=quick, threads=THREADS
        )
    )
    summary = model.summary()
    model.save(setting.model)
    rows = [Row("data, training and check", seconds, "s", None, SECONDS)]
    rows.append(Row("  seconds of the processors", work, "s"))
    record, held_out = summary["record"], summary["held_out"]
    rows += [Row(f"  {name}", value, "s") for name, value in record["seconds"].items()]
    rows.append(Row("runs learnt from", record["runs"]["training"]))
    rows.append(Row("held-out runs", held_out["runs"], "", RUNS))
    for name in ("FLAIR volume", "T1Gd volume"):
        promised = name.startswith("FLAIR")
        entry, error = held_out[name], held_out[name]["error_percent"] or {}
        within = entry["progression_within_7_days_percent"]
        covered = 100.0 * entry["interval_coverage_of_times"]
        rows += [
            Row(f"{name}, median error", error.get("median", math.nan), "%", None,
                MEDIAN_PERCENT if promised else None),
            Row(f"  {name}, 95th percentile", error.get("p95", math.nan), "%", None,
                P95_PERCENT if promised else None),
            Row(f"  {name}, progression within 7 days", within, "%",
                WITHIN_7_DAYS_PERCENT if promised else None),
            Row(f"  {name}, 90 % interval covers", covered, "%"),
            Row(f"  {name}, Dice of the outline", entry["dice"]["median"]),
        ]  # fmt: skip
    asked = _questions(head, regimen)
    first, _ = timed(lambda: model.answer(*next(asked)))
    each = [timed(lambda: model.answer(*next(asked)))[0] for _ in range(20)]
    many, _ = timed(lambda: [model.answer(*next(asked)) for _ in range(100)])
    rows += [
        Row("one what-if, median of 20", 1e3 * statistics.median(each), "ms", None, WHAT_IF_MS),
        Row("  the first one", 1e3 * first, "ms"),
        Row("100 what-ifs", many, "s"),
    ]
    return rows


def _questions(head, regimen):
    """Changed treatments without end, none asked twice in a row."""
    for fractions in itertools.cycle(range(24, 34)):
        yield (
            regimen.with_radiotherapy(fractions=fractions, keep="dose_per_fraction"),
            head.parameters,
        )
