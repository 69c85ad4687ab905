"""Runs the benchmarks, each step in its own process, prints one table and keeps the figures.

Nothing here fails on a time: the exit status is 1 only where a step crashed.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import Reference, busy_seconds, describe_machine
from benchmarks.table import Row, format_table, short

ROOT = Path(__file__).resolve().parents[2]
HISTORY = Path(__file__).with_name("results") / "history.jsonl"
ONE_THREAD = dict.fromkeys(
    [f"{name}_NUM_THREADS" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA")], "1"
)
MESH_MEGABYTES = 1500.0
#: A million nodes.
SCALING_MEGABYTES = 8000.0
EMPTY = ("TWIN_CACHE", "NUMBA_CACHE_DIR")
DEMO_SECONDS = 240.0
#: Parts, and the steps of each: what it is called, module.function, most MB, empty caches of.
PARTS: Mapping[str, Sequence[tuple[str, str, float | None, tuple[str, ...]]]] = {
    "mesh": (
        ("mesh, the very first time", "mesh.first", MESH_MEGABYTES, EMPTY),
        ("mesh, compiled", "mesh.again", MESH_MEGABYTES, EMPTY[:1]),
    ),
    "run": (
        ("one run, one core", "run.alone", None, ()),
        ("batch in single precision", "run.batch", None, ()),
        ("many runs on tensors", "tensors.many", None, ()),
    ),
    "engine": (
        ("one course, one core", "engine.course", None, ()),
        ("memory traffic", "engine.traffic", None, ()),
        ("growth of the cost with the mesh", "engine.scaling", SCALING_MEGABYTES, ()),
        ("gradients", "engine.gradients", None, ()),
        ("64 runs at once", "engine.batch", None, ()),
        ("physics, one core", "engine.physics", None, ()),
        ("treatments, one core", "treatments.added", None, ()),
        ("two ranks", "engine.ranks", None, ()),
    ),
    "study": (("the whole study, two threads", "study.whole", None, ()),),
    "surrogate": (("the surrogate, two threads", "surrogate.trained", None, ()),),
    "pictures": (("pictures and report", "pictures.drawn", None, ()),),
    "commands": (("commands, whole processes", "commands.typed", None, ()),),
    "histograms": (("dose-volume histograms, one core", "histograms.measured", None, ()),),
}  # fmt: skip
#: A part draws or asks what another one left in the folder of work, by this name.
NEEDS = {"pictures": {"study": "results"}, "commands": {"study": "results", "surrogate": "model"}}
#: What `make demo` does when everything is installed: rows that add up.
DEMO = (
    "patient loaded, meshes cached", "6 treatments, 3 cases, 2 meshes", "data, training and check",
    "twin whatif", "twin compare", "pictures", "report",
)  # fmt: skip


def main() -> int:
    """Measure the chosen parts."""
    given = _arguments()
    work = Path(given.work or tempfile.mkdtemp(prefix="bench-")).resolve()
    work.mkdir(parents=True, exist_ok=True)
    machine = describe_machine()
    found: list[tuple[str, list[Row]]] = []
    references: list[Reference] = []
    crashed = []
    try:
        for part in with_needs(given.only, work):
            for name, step, megabytes, empty in PARTS[part]:
                print(f"{name} ...", file=sys.stderr, flush=True)
                outcome = measured(step, work, given.quick, megabytes, empty)
                if outcome is None:
                    crashed.append(step)
                    continue
                references.append(outcome[0])
                found.append((name, outcome[1]))
    finally:
        if given.work is None:
            shutil.rmtree(work, ignore_errors=True)
    found += demo_row(found)
    if found:
        print(report(found, references, machine))
        if given.quick:
            print("On a coarse mesh, to try the benchmarks: the figures mean nothing.")
        else:
            keep(HISTORY, found, references, machine)
            print(f"Kept in {HISTORY.relative_to(ROOT)}.")
    for step in crashed:
        print(f"{step} crashed; see above.", file=sys.stderr)
    return 1 if crashed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)

    def parts(text: str) -> list[str]:
        names = text.split(",")
        for name in names:
            if name not in PARTS:
                raise argparse.ArgumentTypeError(f"{name!r} is not among {', '.join(PARTS)}")
        return names

    parser.add_argument("--only", type=parts, default=list(PARTS), metavar="PART,PART")
    parser.add_argument("--quick", action="store_true", help="a coarse mesh; not kept, to try it")
    parser.add_argument("--work", metavar="DIR", help="keep what the parts leave for each other")
    return parser.parse_args()


def with_needs(chosen: Sequence[str], work: Path) -> list[str]:
    """The chosen parts in their order, with those whose results they need and do not find."""
    wanted = set(chosen)
    for part in chosen:
        needs = NEEDS.get(part, {})
        wanted |= {other for other, left in needs.items() if not (work / left).is_dir()}
    return [part for part in PARTS if part in wanted]


def measured(
    step: str, work: Path, quick: bool, megabytes: float | None, empty: Sequence[str]
) -> tuple[Reference, list[Row]] | None:
    """Reference and rows of one step, its peak memory and who disturbed it; None if it crashed."""
    output = work / f"{step}.json"
    output.unlink(missing_ok=True)
    search = os.pathsep.join([str(ROOT / "tests"), str(ROOT)])
    environment = {**os.environ, **ONE_THREAD, "PYTHONPATH": search}
    if step.startswith("mesh."):  # compiled code of the mesh steps, kept from the first to the next
        environment["NUMBA_CACHE_DIR"] = str(work / "numba")
    for name in empty:
        folder = work / ("numba" if name == "NUMBA_CACHE_DIR" else f"cache-{step}")
        shutil.rmtree(folder, ignore_errors=True)
        environment[name] = str(folder)
    command = [sys.executable, "-m", "benchmarks.child", step, str(work), str(output)]
    begin, busy = time.perf_counter(), busy_seconds()
    process = subprocess.Popen([*command, *["--quick"] * quick], env=environment, cwd=work)
    _, status, usage = os.wait4(process.pid, 0)
    available = (time.perf_counter() - begin) * (os.cpu_count() or 1)
    others = busy_seconds() - busy - usage.ru_utime - usage.ru_stime
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode or not output.is_file():
        return None
    content = json.loads(output.read_text(encoding="utf-8"))
    rows = [Row(**row) for row in content["rows"]]
    unit = 1e6 if sys.platform == "darwin" else 1e3
    rows.append(Row("peak memory", usage.ru_maxrss / unit, "MB", None, megabytes))
    if math.isfinite(others):
        rows.append(Row("taken by other programs", max(0.0, 100.0 * others / available), "%"))
    return Reference(**content["reference"]), rows


def demo_row(found: Sequence[tuple[str, Sequence[Row]]]) -> list[tuple[str, list[Row]]]:
    """What the steps of `make demo` add up to, if all of them were measured."""
    rows = {row.what: row for _, each in found for row in each}
    if not all(name in rows for name in DEMO):
        return []
    seconds = sum(rows[name].measured for name in DEMO)
    return [("make demo, installed already", [Row("its steps", seconds, "s", None, DEMO_SECONDS)])]


def report(
    found: Sequence[tuple[str, Sequence[Row]]],
    references: Sequence[Reference],
    machine: Mapping[str, Any],
) -> str:
    """The table with its machine above and what was missed below."""
    low, high = (end(r.product_ms for r in references) for end in (min, max))
    speeds = sorted(r.triad_gb_s for r in references)
    missed = [row.what.strip() for _, rows in found for row in rows if row.met is False]
    promised = sum(row.met is not None for _, rows in found for row in rows)
    return "\n".join(
        [
            f"\n{machine['processor']}, {machine['cores']} cores, load at the start "
            f"{machine['load']}.",
            f"Reference, one thread, beside each step: triad {short(speeds[0])} to "
            f"{short(speeds[-1])} GB/s (96 MB), sparse product {short(low)} to {short(high)} ms "
            "(110,592 rows, 27-point).",
            "'products' is a time in such products, measured beside it: it carries over to other "
            "machines.\n",
            format_table(found),
            f"\n{promised - len(missed)} of {promised} promises kept"
            + (f"; missed: {', '.join(missed)}." if missed else "."),
        ]
    )


def keep(
    path: Path,
    found: Sequence[tuple[str, Sequence[Row]]],
    references: Sequence[Reference],
    machine: Mapping[str, Any],
) -> None:
    """Append one line of JSON to the history."""
    record = {
        "date": dt.date.today().isoformat(),
        "commit": _commit(),
        **machine,
        "triad_gb_s": [round(r.triad_gb_s, 2) for r in references],
        "product_ms": [round(r.product_ms, 3) for r in references],
        "figures": {name: dict(map(_figure, rows)) for name, rows in found},
    }
    path.parent.mkdir(exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def _figure(row: Row) -> tuple[str, float | None]:
    value = float(f"{row.measured:.4g}") if math.isfinite(row.measured) else None
    return f"{row.what.strip()} [{row.unit or 1}]", value


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    try:
        told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return told.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
