"""``twin report``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from viz.cli.running import Output

DESCRIPTION = "Pictures of a study and one self-contained report.html that gathers them."
EXAMPLES = """\
  twin report demo/results
  twin report demo/results -o demo/report.html --pictures demo/pictures --model demo/model"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("results", metavar="RESULTS", help="results folder of 'twin run'")
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="the report (default: report.html in the folder)"
    )
    parser.add_argument(
        "--pictures", metavar="DIR", help="folder of pictures (default: pictures in the folder)"
    )
    parser.add_argument(
        "--patient", metavar="PATH", help="patient.toml or built folder (default: the study's own)"
    )
    parser.add_argument(
        "--model", metavar="MODEL", help="folder of 'twin train': adds its errors and what-ifs"
    )


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Draw the pictures and write the report."""
    from pathlib import Path

    from viz.pictures import write_pictures
    from viz.report import write_report

    folder = Path(arguments.results)
    base = folder if folder.is_dir() else folder.parent
    target = Path(arguments.output or base / "report.html")
    surrogate, answers = None, []
    if arguments.model is not None:
        from scenarios.surrogate_study import report_answers, report_summary
        from solvers.surrogate import SurrogateSolver

        model = SurrogateSolver.load(arguments.model)
        surrogate, answers = report_summary(model), report_answers(model)
    with output.progress("drawing") as progress:
        pictures = write_pictures(
            folder,
            Path(arguments.pictures or base / "pictures"),
            patient=arguments.patient,
            progress=progress,
        )
    with output.progress("writing the report") as progress:
        report = write_report(
            folder,
            target,
            patient=arguments.patient,
            pictures=pictures,
            surrogate=surrogate,
            what_if=answers,
            progress=progress,
        )
    output.result(
        "\n".join(["Pictures:", *(f"  {path}" for path in pictures), f"Report: {report}"]),
        {
            "ok": True,
            "command": "report",
            "report": str(report),
            "pictures": [str(path) for path in pictures],
        },
    )
    return 0
