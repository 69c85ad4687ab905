"""``twin train``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from viz.cli.running import Output

DESCRIPTION = """\
Train a neural surrogate of the study's patient on runs of the solver, over a range
of growth, radiosensitivity, dose per fraction, fractions, start day and drug effect.
Its error on runs that it has not seen is printed and stored with it."""
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


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Train and store the surrogate."""
    import time
    from pathlib import Path

    from solvers.surrogate import SurrogateSolver  # type: ignore[import-not-found]

    import twin
    from scenarios.study_file import read_study

    begin = time.perf_counter()
    read = read_study(arguments.study)
    with output.progress("loading the patient") as progress:
        patient = twin.load(arguments.patient or read.patient, progress=progress)
    read.study.check(patient)
    with output.progress("training") as progress:
        model = SurrogateSolver.train(
            patient,
            read.study,
            seed=read.study.seed if arguments.seed is None else arguments.seed,
            threads=arguments.threads,
            progress=progress,
        )
    folder = Path(arguments.output)
    model.save(folder)
    summary = model.summary()
    output.result(
        f"{model.describe()}\n\nModel: {folder} ({time.perf_counter() - begin:.0f} s)",
        {"ok": True, "command": "train", "model": str(folder), **summary},
    )
    return 0
