"""``twin build``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from viz.cli.running import Output

DESCRIPTION = """\
Make the twin of a patient: images and outlines onto one grid, two meshes, and a
report of their quality. Meshes are cached by content, so a second build is quick."""
EXAMPLES = """\
  twin build demo/patient.toml -o demo/patient
  twin build demo/patient.toml -o demo/patient --json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("patient", metavar="PATIENT.toml", help="the patient's file")
    parser.add_argument(
        "-o", "--output", required=True, metavar="DIR", help="folder of the built patient"
    )
    parser.add_argument("--force", action="store_true", help="replace another built patient there")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Build the patient."""
    import json
    import time
    from pathlib import Path

    import twin

    begin = time.perf_counter()
    with output.progress("building the patient") as progress:
        patient = twin.build(
            arguments.patient, arguments.output, force=arguments.force, progress=progress
        )
    seconds = time.perf_counter() - begin
    folder = Path(arguments.output)
    quality = folder / "quality.json"
    table = folder / "quality.txt"
    output.say(patient.describe())
    output.result(
        (table.read_text(encoding="utf-8") if table.exists() else "")
        + f"\n{folder} holds the built patient ({seconds:.1f} s).",
        {
            "ok": True,
            "command": "build",
            "folder": str(folder),
            "twin_hash": patient.content_hash,
            "quality": json.loads(quality.read_text(encoding="utf-8")) if quality.exists() else {},
            "seconds": round(seconds, 2),
        },
    )
    return 0
