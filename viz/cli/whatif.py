"""``twin whatif``."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING, Any

from scenarios.changes import GRAMMAR

if TYPE_CHECKING:
    from viz.cli.running import Output

DESCRIPTION = """\
Ask a trained surrogate about one changed treatment: volumes with an interval, in
milliseconds. A question outside of what it was trained on is said to be so, and
the solver is run instead."""
EXAMPLES = f"""\
  twin whatif demo/model --set radiotherapy.fractions=25
  twin whatif demo/model --set "radiotherapy.start=35 day" --set temozolomide=off

what --set may change:
{"".join(f"  {line}" + chr(10) for line in GRAMMAR.splitlines())}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("model", metavar="MODEL", help="folder of 'twin train'")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="changes",
        metavar="NAME=VALUE",
        help="one change, with its unit; may be given several times",
    )
    parser.add_argument(
        "--patient", metavar="PATH", help="patient.toml or built folder (default: the model's own)"
    )


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Answer the question."""
    import time
    from pathlib import Path

    from scenarios.changes import apply_changes
    from scenarios.surrogate_study import days_to_show, what_if_rows, what_if_text
    from solvers.surrogate import SurrogateSolver

    folder = Path(arguments.model)
    model = SurrogateSolver.load(folder)
    domain = model.domain
    regimen, parameters, sentences = apply_changes(
        domain.reference, domain.parameters, arguments.changes
    )
    days = days_to_show(domain.horizon_day)
    reference = model.answer(domain.reference, domain.parameters, days)
    reasons = domain.refusals(regimen, parameters, days)
    data: dict[str, Any] = {
        "ok": True,
        "command": "whatif",
        "changes": sentences,
        "treatment": regimen.describe(model.trained.reduced.calendar),
        "refused": reasons,
    }
    lines = [*(sentences or ["Nothing is changed."]), "", *data["treatment"], ""]
    if reasons:
        output.say("Outside what the surrogate was trained on: " + "; ".join(reasons) + ".")
        output.say("The finite-element solver is run instead.")
        soft, low, high, progression, error, seconds = _by_solver(
            arguments, folder, model, regimen, parameters, days, output
        )
        data["answered_by"], interval = "finite_element", "numerical error"
    else:
        begin = time.perf_counter()
        found = model.answer(regimen, parameters, days)
        seconds = time.perf_counter() - begin
        soft, low, high = found.soft, found.low, found.high
        progression, error = found.time_to_progression, found.progression_error_day
        data["answered_by"], interval = "surrogate", "90 % interval"
    rows = what_if_rows(days, soft, low, high, reference.soft)
    data["volumes"], data["seconds"] = rows, round(seconds, 4)
    data["time_to_progression_day"] = {
        name: None if math.isinf(day) else round(day, 1) for name, day in progression.items()
    }
    lines += [what_if_text(rows, interval), ""]
    for name, label in (("t1gd", "T1Gd"), ("flair", "FLAIR")):
        lines.append(
            f"  progression on {label}: " + _day(progression[name], error[name], domain.horizon_day)
        )
    by = "the surrogate" if not reasons else "the finite-element solver"
    took = f"{1e3 * seconds:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
    lines += ["", f"Softened volumes, answered by {by} in {took}. Research use only."]
    output.result("\n".join(lines), data)
    return 0


def _day(day: float, error: float, horizon_day: float) -> str:
    if math.isinf(day):
        return f"> {horizon_day:g} d"
    return f"day {day:.0f} (+- {error:.1f} d)"


def _by_solver(
    arguments: argparse.Namespace,
    folder: Any,
    model: Any,
    regimen: Any,
    parameters: Any,
    days: list[float],
    output: Output,
) -> tuple[Any, ...]:
    """Volumes with their numerical error from the finite-element solver."""
    import time

    import numpy as np

    import twin
    from solvers.finite_element import FiniteElementSolver
    from twin.errors import GeometryMismatch
    from twin.response import time_to_progression

    path = arguments.patient or (folder / model.about.get("patient", "patient.toml")).resolve()
    patient = twin.load(path)
    if patient.content_hash != model.about["twin_hash"]:
        raise GeometryMismatch(
            "The model was trained on another patient or mesh than the one that is there now; "
            "train it again, or name the patient by --patient."
        )
    begin = time.perf_counter()
    every = np.union1d(np.arange(0.0, days[-1], 1.0), days)
    with output.progress("solving") as progress:
        found = FiniteElementSolver().solve(
            patient.replace(parameters=parameters),
            regimen,
            every.tolist(),
            error_bars=True,
            progress=progress,
        )
    seconds = time.perf_counter() - begin
    curve, bar = found.tumour_volume_soft, found.tumour_volume_soft_error
    soft, error = (a.sel(time=days).values for a in (curve, bar))
    fractions = regimen.schedule(patient.calendar).fractions
    start = fractions[0].day if fractions else 0.0
    progression = {
        name: time_to_progression(every, curve.sel(threshold=name).values, start_day=start)
        for name in ("t1gd", "flair")
    }
    spacing = dict.fromkeys(progression, 1.0)
    return soft, np.maximum(soft - error, 0.0), soft + error, progression, spacing, seconds
