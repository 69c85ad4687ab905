"""``twin train``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from viz.cli.running import Output

DESCRIPTION = """\
Train a neural surrogate of the study's patient on runs of the finite-element solver,
over a range of growth, radiosensitivity, dose per fraction, fractions, start day and
drug effect. Its error on runs that it has not seen is printed and stored with it. A
model that is there already, of the same patient, study and seed, is kept."""
EXAMPLES = """\
  twin train demo/study.toml -o demo/model
  twin train demo/study.toml -o demo/model --seed 1 --json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("study", metavar="STUDY.toml", help="the study whose patient is learned")
    parser.add_argument(
        "-o", "--output", required=True, metavar="MODEL", help="folder of the model"
    )
    parser.add_argument(
        "--patient", metavar="PATH", help="patient.toml or built folder, instead of the study's own"
    )
    parser.add_argument(
        "--runs", type=int, metavar="N", help="solver runs to learn from (default: 96)"
    )


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Train and store the surrogate."""
    import os
    import time
    from pathlib import Path

    import twin
    from scenarios.study_file import read_study
    from scenarios.surrogate_study import reference_scenario
    from solvers.surrogate import SurrogateSolver
    from solvers.surrogate_store import check_folder
    from solvers.surrogate_training import Plan

    begin = time.perf_counter()
    read = read_study(arguments.study)
    reference_scenario(read.study)  # refuses before anything is loaded
    folder = Path(arguments.output)
    check_folder(folder)
    plan = Plan() if arguments.runs is None else Plan(training=arguments.runs)
    seed = read.study.seed if arguments.seed is None else arguments.seed
    path = Path(arguments.patient or read.patient)
    with output.progress("loading the patient") as progress:
        patient = twin.load(path, progress=progress)
    read.study.check(patient)
    reference = reference_scenario(read.study.resolved(patient))
    inputs = _inputs(patient, reference.regimen, read.study.days, plan, seed)
    kept = _same_model(folder, inputs)
    if kept is not None:
        output.say(f"{folder} holds this model already; it is kept.")
        _tell(kept, folder, "kept", output)
        return 0
    threads = arguments.threads or os.cpu_count() or 1
    with output.progress("training") as progress:
        model = SurrogateSolver.train(
            patient,
            reference.regimen,
            horizon_day=read.study.days,
            plan=plan,
            seed=seed,
            threads=threads,
            progress=progress,
        )
    model.save(
        folder,
        inputs=inputs,
        reference_name=reference.name,
        patient=os.path.relpath(path.resolve(), folder.resolve()),
    )
    _tell(model, folder, f"{time.perf_counter() - begin:.0f} s", output)
    return 0


def _inputs(patient: Any, regimen: Any, horizon_day: float, plan: Any, seed: int) -> str:
    """Hash of everything that a training depends on."""
    import dataclasses
    import json

    from solvers.finite_element import NUMERICS_VERSION
    from twin.storage import sha256_of

    content = {
        "twin": patient.content_hash,
        "parameters": patient.parameters.as_dict(),
        "reference": regimen.as_dict(),
        "horizon_day": horizon_day,
        "plan": dataclasses.asdict(plan),
        "seed": seed,
        "numerics_version": NUMERICS_VERSION,
    }
    return sha256_of(json.dumps(content, sort_keys=True))


def _same_model(folder: Path, inputs: str) -> Any:
    """The model in `folder` if it was made from the same inputs."""
    from solvers.surrogate import SurrogateSolver
    from twin.errors import InvalidInput

    try:
        model = SurrogateSolver.load(folder)
    except InvalidInput:
        return None
    return model if model.about.get("inputs") == inputs else None


def _tell(model: Any, folder: Path, how: str, output: Output) -> None:
    output.result(
        f"{model.describe()}\n\nModel: {folder} ({how})",
        {"ok": True, "command": "train", "model": str(folder), **model.summary()},
    )
