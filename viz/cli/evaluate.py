"""``twin evaluate``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from viz.cli.running import Output

DESCRIPTION = """\
Leave the last follow-up scan of each patient out, fit to the others, forecast it, and score
the forecast beside three that need no model: nothing changes, exponential growth of the
volume, and the tumour dilated to the same volume."""
EXAMPLES = """\
  twin evaluate patient/patient.toml -o patient/evaluation
  twin evaluate one/patient.toml two/patient.toml -o evaluation --json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("patient", nargs="+", metavar="PATIENT.toml", help="one or several")
    parser.add_argument(
        "-o", "--output", required=True, metavar="DIR", help="a folder in it keeps each fit"
    )
    parser.add_argument(
        "--draws",
        type=int,
        default=400,
        metavar="N",
        help="effective draws of each posterior (default: %(default)s)",
    )
    parser.add_argument("--resume", action="store_true", help="go on with unfinished fits")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Fit, forecast and score each patient."""
    import dataclasses
    import json
    from pathlib import Path

    from scenarios.calibration.case import read_case
    from scenarios.calibration.evaluate import evaluate, evaluation_text, paired_text
    from twin.storage import write_atomically

    found = []
    for number, path in enumerate(arguments.patient, start=1):
        with output.progress(f"loading patient {number}") as progress:
            case = read_case(path, progress=progress)
        with output.progress(f"evaluating patient {number}") as progress:
            done = evaluate(
                case,
                Path(arguments.output) / f"patient_{number}",
                resume=arguments.resume,
                effective=arguments.draws,
                seed=0 if arguments.seed is None else arguments.seed,
                threads=arguments.threads,
                progress=progress,
            )
        found.append(done)
    texts = [evaluation_text(one) for one in found]
    if len(found) > 1:
        texts.append(paired_text(found))
    record: dict[str, Any] = {
        "ok": True,
        "command": "evaluate",
        "folder": arguments.output,
        "patients": [_plain(dataclasses.asdict(one)) for one in found],
    }
    text = json.dumps(record, indent=1, allow_nan=False)
    write_atomically(
        Path(arguments.output) / "evaluation.json",
        lambda part: part.write_text(text, encoding="utf-8"),
    )
    texts.append("Research use only: not for decisions about the care of any patient.")
    output.result("\n\n".join(texts), record)
    return 0


def _plain(value: Any) -> Any:
    """Numbers that are not finite as null."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not abs(value) < float("inf"):
        return None
    return value
