"""``twin trial``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scenarios.trials.frozen import Frozen
    from viz.cli.running import Output

DESCRIPTION = """\
Predict published trials on a cohort of virtual patients. Radiosensitivity and the effect of
temozolomide were fitted to the two arms of one trial and frozen; every other trial is a test
of them, hit or miss. Progression is predicted in time, survival only as a ratio between arms.
Research use only."""
EXAMPLES = """\
  twin trial --list
  twin trial stupp
  twin trial perry --picture perry.png
  twin trial --all --markdown
  twin trial stupp --fit -o frozen.toml       fit again (minutes)
  twin trial --all --frozen frozen.toml"""

#: Of a fit where nothing else is said.
DEFAULT_PATIENTS, DEFAULT_SEED = 400, 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("trial", nargs="?", metavar="TRIAL", help="name of a trial")
    parser.add_argument("--list", action="store_true", help="say which trials there are")
    parser.add_argument("--all", action="store_true", help="predict every trial")
    parser.add_argument(
        "--fit", action="store_true", help="fit alpha and temozolomide_kill to the trial"
    )
    parser.add_argument("-o", "--output", metavar="FILE.toml", help="with --fit: the frozen values")
    parser.add_argument(
        "--frozen", metavar="FILE.toml", help="predict with these values, not the packaged ones"
    )
    parser.add_argument(
        "--patients",
        type=int,
        metavar="N",
        help="virtual patients (default: as many as in the fit)",
    )
    parser.add_argument("--picture", metavar="FILE.png", help="draw curves and ratios")
    parser.add_argument(
        "--markdown", action="store_true", help="the comparisons as a Markdown table alone"
    )
    parser.add_argument("--force", action="store_true", help="replace files that are there")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """List, fit or predict."""
    from viz.trial_text import list_text

    _check(arguments)
    if arguments.list:
        from scenarios.trials.trial_file import trial_names

        names = list(trial_names())
        output.result(list_text(), {"ok": True, "command": "trial", "trials": names})
        return 0
    return _fit(arguments, output) if arguments.fit else _predict(arguments, output)


def _check(arguments: argparse.Namespace) -> None:
    """Refuse options that do not belong together."""
    from twin.errors import InvalidInput

    asked = [bool(arguments.trial), arguments.list, arguments.all]
    if sum(asked) != 1:
        raise InvalidInput(
            "Name one trial, or give --all or --list; 'twin trial --list' says which there are."
        )
    if arguments.fit and not arguments.trial:
        raise InvalidInput("--fit fits to one trial; name it, as in: twin trial stupp --fit.")
    if arguments.output and not arguments.fit:
        raise InvalidInput("-o is for the frozen values of --fit; give --fit, or leave it out.")
    if arguments.fit and (arguments.frozen or arguments.picture or arguments.markdown):
        raise InvalidInput(
            "--fit makes frozen values and predicts nothing; leave out --frozen, --picture and "
            "--markdown, and predict with --frozen FILE afterwards."
        )


def _fit(arguments: argparse.Namespace, output: Output) -> int:
    from scenarios.trials.fitting import fit_trial
    from scenarios.trials.frozen import write_frozen
    from viz.cli.targets import target_file
    from viz.trial_text import frozen_data, frozen_text

    target = target_file(arguments.output, ".toml", force=arguments.force)
    with output.progress(f"Fitting to {arguments.trial}") as progress:
        frozen = fit_trial(
            arguments.trial,
            patients=DEFAULT_PATIENTS if arguments.patients is None else arguments.patients,
            seed=DEFAULT_SEED if arguments.seed is None else arguments.seed,
            threads=arguments.threads,
            progress=progress,
        )
    if target is not None:
        write_frozen(target, frozen)
    lines = [
        *frozen_text(frozen),
        f"  Correlation of their errors (logarithms): {frozen.correlation:.2f}.",
        "For a patient's file, [parameters]:",
        *(f"  {line}" for line in frozen.patient_lines()),
    ]
    lines += [f"Written: {target}"] if target is not None else []
    data = {"ok": True, "command": "trial", "fit": frozen_data(frozen)}
    output.result("\n".join(lines), {**data, "file": None if target is None else str(target)})
    return 0


def _predict(arguments: argparse.Namespace, output: Output) -> int:
    from scenarios.trials.predict import predict_trials
    from scenarios.trials.trial_file import load_trial, trial_names
    from scenarios.trials.verdicts import order_of
    from viz.cli.targets import target_file
    from viz.trial_text import frozen_data, markdown_table, trial_data, trials_text

    names = trial_names() if arguments.all else (arguments.trial,)
    for name in names:
        load_trial(name)
    picture = target_file(arguments.picture, ".png", force=arguments.force)
    frozen = _frozen(arguments.frozen)
    seed = frozen.seed if arguments.seed is None else arguments.seed
    with output.progress("Virtual patients") as progress:
        cohort, found = predict_trials(
            names,
            frozen,
            patients=arguments.patients,
            seed=seed,
            threads=arguments.threads,
            progress=progress,
        )
    text = markdown_table(found) if arguments.markdown else trials_text(frozen, cohort, found, seed)
    if picture is not None:
        from viz.fit_figures import write_figure
        from viz.trial_figure import trials_figure

        write_figure(picture, trials_figure(found))
        if not arguments.markdown:
            text += f"\nWritten: {picture}"
    order = order_of([v for one in found for v in one.verdicts if v.use == "tested"])
    output.result(
        text,
        {
            "ok": True,
            "command": "trial",
            "frozen": frozen_data(frozen),
            "patients": len(cohort),
            "seed": seed,
            "trials": [trial_data(one, cohort, seed) for one in found],
            "order": {"right": order.right, "pairs": order.pairs, "sentence": order.sentence()},
            "picture": None if picture is None else str(picture),
        },
    )
    return 0


def _frozen(path: str | None) -> Frozen:
    from scenarios.trials.frozen import load_frozen, read_frozen

    return load_frozen() if path is None else read_frozen(Path(path))
