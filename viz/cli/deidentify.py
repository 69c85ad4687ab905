"""``twin deidentify``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from twin.dicom.deidentify import CleanFolder
    from viz.cli.running import Output

DESCRIPTION = """\
Write copies of a folder's DICOM files without who they are of (DICOM PS3.15, annex E,
basic profile): names, numbers, institutions, free text and private elements go, UIDs are
replaced alike in all files, and a patient's dates move by the same whole weeks. All files
or none are written; files that are no DICOM image, segmentation or radiotherapy object
are named and not copied. Faces and writing within pixels are warned of, not removed: look
at the images before you give them away."""
EXAMPLES = """\
  twin deidentify hospital -o clean
  twin deidentify hospital -o clean --key secret.key     later files will fit these
  twin deidentify hospital -o clean --json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("folder", metavar="FOLDER", help="the folder with DICOM files")
    parser.add_argument(
        "-o", "--output", required=True, metavar="CLEAN", help="new folder for the copies"
    )
    parser.add_argument(
        "--key",
        metavar="FILE",
        help="secret from which pseudonyms and dates follow, made if absent (default: forgotten)",
    )
    parser.add_argument(
        "--keep-burnt-in",
        action="store_true",
        help="also copy images that say that writing is in their pixels",
    )


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Write the clean copies."""
    from twin.dicom.deidentify import deidentify

    with output.progress("cleaning") as progress:
        done = deidentify(
            arguments.folder,
            arguments.output,
            key=arguments.key,
            keep_burnt_in=arguments.keep_burnt_in,
            progress=progress,
        )
    for place, reason in done.left_out:
        output.say(f"Not copied: {place} ({reason})")
    for warning in done.warnings:
        output.say(f"Warning: {warning}")
    if done.key_made:
        output.say(
            f"Warning: {arguments.key} was made; keep it secret, for with it and the originals "
            "the copies can be told."
        )
    output.result(
        _text(done),
        {
            "ok": True,
            "command": "deidentify",
            "folder": str(done.folder),
            "files": done.files,
            "patients": done.patients,
            "changed": done.changed,
            "left_out": [{"file": place, "reason": reason} for place, reason in done.left_out],
            "warnings": list(done.warnings),
        },
    )
    return 0


def _text(done: CleanFolder) -> str:
    changes = ", ".join(f"{count} {what}" for what, count in done.changed.items())
    people = "1 patient" if done.patients == 1 else f"{done.patients} patients"
    return (
        f"{done.folder} holds {done.files} clean files of {people}; elements: {changes}.\n"
        f"{len(done.left_out)} files were not copied."
    )
