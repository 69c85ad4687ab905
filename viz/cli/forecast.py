"""``twin forecast``."""

from __future__ import annotations

import argparse
import datetime as dt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from viz.cli.running import Output

DESCRIPTION = """\
Forecast a fitted patient to a date, under the treatment that the patient file says was
given: volumes with 50 and 90 % intervals, probability of progression, and the density with
its spread at every node (forecast_DATE.nc in the fit's folder)."""
EXAMPLES = """\
  twin forecast patient/fit --at 2026-10-01
  twin forecast patient/fit --at 2026-10-01 --json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("fit", metavar="FIT", help="folder that 'twin calibrate' wrote")
    parser.add_argument("--at", required=True, metavar="DATE", help="such as 2026-10-01")
    parser.add_argument(
        "--draws", type=int, default=200, metavar="N", help="runs (default: %(default)s)"
    )
    parser.add_argument("--patient", metavar="PATIENT.toml", help="where it is now, if it moved")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Run draws on and say what they come to."""
    from pathlib import Path

    from scenarios.calibration.case import read_case
    from scenarios.calibration.forecast import (
        forecast,
        forecast_rows,
        forecast_text,
        progression_probability,
    )
    from scenarios.calibration.store import FitFolder
    from twin.errors import InvalidInput

    try:
        at = dt.date.fromisoformat(arguments.at)
    except ValueError:
        raise InvalidInput(
            f"--at is {arguments.at!r}; write a date as year-month-day, such as 2026-10-01."
        ) from None
    if not 20 <= arguments.draws <= 10_000:
        raise InvalidInput(f"--draws is {arguments.draws}; give 20 to 10000.")
    place = FitFolder(Path(arguments.fit))
    record = place.record
    if record is None:
        raise InvalidInput(f"{arguments.fit} holds no fit; run 'twin calibrate' first.")
    path = arguments.patient or record["patient"]
    with output.progress("loading the patient") as progress:
        case = read_case(path, record["unknowns"], progress=progress)
    with output.progress("forecasting") as progress:
        found = forecast(
            case,
            arguments.fit,
            at,
            draws=arguments.draws,
            seed=0 if arguments.seed is None else arguments.seed,
            threads=arguments.threads,
            progress=progress,
        )
    rows = forecast_rows(found)
    output.result(
        f"{forecast_text(found, rows)}\n"
        "Research use only: not for decisions about the care of any patient.",
        {
            "ok": True,
            "command": "forecast",
            "fit": arguments.fit,
            "date": at.isoformat(),
            "volumes": rows,
            "probability_of_progression": progression_probability(found),
        },
    )
    return 0
