"""``twin run``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from viz.cli.running import Output

DESCRIPTION = """\
Simulate every treatment of a study under every case of the unknown parameters,
each on three meshes, and compare them. The results folder can be continued after
an interruption with --resume; a finished study is not run again."""
#: Under mpirun every process takes part in the runs.
ON_ALL_RANKS = True
EXAMPLES = """\
  twin run demo/study.toml -o demo/results
  twin run demo/study.toml -o demo/results --resume
  twin run demo/study.toml --plan                  only say what would be run
  twin run demo/study.toml -o demo/results --vtu 28   .vtu files every 28 days
  mpirun -n 4 twin run demo/study.toml -o demo/results   every run on four processes"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("study", metavar="STUDY.toml", help="the study's file")
    parser.add_argument(
        "-o",
        "--output",
        metavar="DIR",
        help="results folder (default: results/ and the file's name)",
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on with an unfinished study, or begin a new one"
    )
    parser.add_argument(
        "--plan", action="store_true", help="only describe the study in plain sentences"
    )
    parser.add_argument(
        "--patient", metavar="PATH", help="patient.toml or built folder, instead of the study's own"
    )
    parser.add_argument(
        "--vtu", type=float, metavar="DAYS", help="also write .vtu files, one every so many days"
    )


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Run the study."""
    import os
    import time
    from pathlib import Path

    import twin
    from scenarios.comparison import compare
    from scenarios.run import run_study
    from scenarios.study_file import read_study
    from twin.errors import InvalidInput, TherapyTwinError
    from viz.export import check_interval, export_vtu, export_xdmf

    begin = time.perf_counter()
    read = read_study(arguments.study)
    study = read.study
    if arguments.seed is not None:
        study = study.replace(seed=arguments.seed)
    if arguments.vtu is not None:
        check_interval(arguments.vtu)
    folder = Path(arguments.output or Path("results") / Path(arguments.study).stem)
    if folder.exists() and not folder.is_dir():
        raise InvalidInput(f"{folder} is a file; give a folder for the results with -o.")
    patient_path = Path(arguments.patient) if arguments.patient else read.patient
    with output.progress("loading the patient") as progress:
        patient = twin.load(patient_path, progress=progress)
    plan = study.describe(patient)
    if arguments.plan:
        output.result(
            plan, {"ok": True, "command": "run", "plan": study.resolved(patient).as_dict(patient)}
        )
        return 0
    output.say(plan + "\n")

    from solvers.finite_element import FiniteElementSolver

    ranks = output.ranks
    try:
        with output.progress("simulating") as progress:
            outcome = run_study(
                study,
                patient,
                FiniteElementSolver(comm=None if ranks is None else ranks.comm),
                folder,
                resume=arguments.resume,
                threads=arguments.threads,
                progress=progress,
                patient=os.path.relpath(patient_path, folder),
            )
    except KeyboardInterrupt:
        raise TherapyTwinError(
            "Interrupted; the runs that were finished are kept, go on with --resume."
        ) from None
    if ranks is not None and not ranks.leads:
        return 0
    exported = export_xdmf(outcome.results, folder)
    if arguments.vtu is not None:
        for scenario in map(str, outcome.results["scenario"].values):
            exported.append(export_vtu(outcome.results, folder, scenario, every=arguments.vtu))
    seconds = time.perf_counter() - begin
    comparison = compare(outcome.results)
    if outcome.finished_before:
        output.say(f"The study in {folder} is finished already; nothing was run.\n")
    else:
        output.say(
            f"{outcome.runs} runs done"
            + (f", {outcome.reused} reused" if outcome.reused else "")
            + f", {seconds:.1f} s.\n"
        )
    output.result(
        f"{comparison}\n\n"
        f"Results: {folder / 'results.nc'}\nTable: {folder / 'table.csv'}\n"
        f"ParaView: {folder / 'paraview'}\nNext: twin report {folder}",
        {
            "ok": True,
            "command": "run",
            "folder": str(folder),
            "results": str(folder / "results.nc"),
            "table": str(folder / "table.csv"),
            "paraview": [str(path) for path in exported],
            "finished_before": outcome.finished_before,
            "runs": outcome.runs,
            "reused": outcome.reused,
            "threads": arguments.threads,
            "seconds": round(seconds, 2),
            "comparison": comparison.as_dict(),
        },
    )
    return 0
