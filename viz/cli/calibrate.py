"""``twin calibrate``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from viz.cli.running import Output

DESCRIPTION = """\
Fit a patient's parameters to follow-up scans: the most likely values, and draws of the
posterior by which forecasts have intervals. The patient file names the scans after day 0
([[follow_up]]) and the treatment given ([given]); see docs/calibration.md."""
EXAMPLES = """\
  twin calibrate patient/patient.toml -o patient/fit
  twin calibrate patient/patient.toml -o patient/fit --unknown diffusivity_white \\
      --unknown proliferation_rate --resume"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("patient", metavar="PATIENT.toml", help="with [[follow_up]] scans")
    parser.add_argument("-o", "--output", required=True, metavar="FIT", help="folder of the fit")
    parser.add_argument(
        "--unknown",
        action="append",
        default=[],
        metavar="PARAMETER",
        help="what is fitted, once for each (default: what the scans can tell about)",
    )
    parser.add_argument(
        "--starts", type=int, default=4, metavar="N", help="of the search (default: %(default)s)"
    )
    parser.add_argument(
        "--draws",
        type=int,
        default=1000,
        metavar="N",
        help="effective draws of the posterior (default: %(default)s)",
    )
    parser.add_argument(
        "--picture", metavar="FILE.png", help="draw prior and posterior of every unknown"
    )
    parser.add_argument("--resume", action="store_true", help="go on with an unfinished fit")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Fit and say what was learnt."""
    import time

    from scenarios.calibration.calibrate import calibrate, summary, summary_text
    from scenarios.calibration.case import read_case

    begin = time.perf_counter()
    with output.progress("loading the patient") as progress:
        case = read_case(arguments.patient, arguments.unknown, progress=progress)
    scans = ", ".join(scan.date.isoformat() for scan in case.follow_ups)
    output.say(
        f"{case.twin.name}: {len(case.follow_ups)} follow-up scans ({scans}); fitted are "
        f"{', '.join(case.unknowns.names)}."
    )
    for line in case.regimen.describe(case.twin.calendar):
        output.say(f"Given: {line}")
    with output.progress("fitting") as progress:
        done = calibrate(
            case,
            arguments.output,
            resume=arguments.resume,
            starts=arguments.starts,
            effective=arguments.draws,
            seed=0 if arguments.seed is None else arguments.seed,
            threads=arguments.threads,
            progress=progress,
        )
    rows = summary(done.posterior, case.unknowns.base)
    if arguments.picture:
        from viz.calibration_figure import draw_unknowns

        draw_unknowns(done.posterior, case.unknowns.base, rows, arguments.picture)
        output.say(f"Picture: {arguments.picture}")
    how = "found finished" if done.found_before else f"{time.perf_counter() - begin:.0f} s"
    output.result(
        f"{summary_text(rows, done.posterior)}\n\nFit: {arguments.output} ({how})\n"
        "Research use only: not for decisions about the care of any patient.",
        {
            "ok": True,
            "command": "calibrate",
            "fit": arguments.output,
            "unknowns": rows,
            "effective_draws": float(done.posterior.attrs["effective_draws"]),
            "pareto_k": float(done.posterior.attrs["pareto_k"]),
            "r_hat": float(done.posterior.attrs["r_hat"]),
            "found_before": done.found_before,
        },
    )
    return 0
