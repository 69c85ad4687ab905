"""``twin plan``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from viz.cli.running import Output

DESCRIPTION = """\
Say what every treatment of a study is before anything runs: fractions, drugs and
operations with their dates, targets, doses to organs at risk, in what the arms
differ, how many runs it will be; and warn where a planner would raise an eyebrow,
with the limit and its source. No mesh is made, unless a target is guided by a
predicted density."""
EXAMPLES = """\
  twin plan demo/study.toml
  twin plan demo/study.toml --strict               exit with 1 if there are warnings
  twin plan demo/study.toml --json | python3 -m json.tool"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("study", metavar="STUDY.toml", help="the study's file")
    parser.add_argument(
        "--patient", metavar="PATH", help="patient.toml or built folder, instead of the study's own"
    )
    parser.add_argument("--strict", action="store_true", help="exit with 1 if there are warnings")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Say the plan."""
    from scenarios.planning import plan_study
    from scenarios.planning.record import plan_record
    from scenarios.study_file import read_study
    from twin.anatomy import read_anatomy

    read = read_study(arguments.study)
    path = arguments.patient or read.patient
    if read.study.density_guided:
        from twin import load

        with output.progress("loading the patient, to predict the density") as progress:
            plan = plan_study(read.study, load(path, progress=progress))
    else:
        plan = plan_study(read.study, read_anatomy(path))
    output.result(str(plan), {"ok": True, "command": "plan", **plan_record(plan)})
    return 1 if arguments.strict and plan.warnings else 0
