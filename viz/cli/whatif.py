"""``twin whatif``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from scenarios.changes import GRAMMAR

if TYPE_CHECKING:
    from viz.cli.running import Output

DESCRIPTION = """\
Ask a trained surrogate about one changed treatment: volumes with an interval, in
milliseconds. A question outside of what it was trained on is said to be so, and
the solver is run instead."""
EXAMPLES = f"""\
  twin whatif demo/model --set radiotherapy.fractions=25
  twin whatif demo/model --set "radiotherapy.start=35 day" --set temozolomide=off

what --set may change:
{"".join(f"  {line}" + chr(10) for line in GRAMMAR.splitlines())}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("model", metavar="MODEL", help="folder of 'twin train'")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="changes",
        metavar="NAME=VALUE",
        help="one change, with its unit; may be given several times",
    )
    parser.add_argument(
        "--patient", metavar="PATH", help="patient.toml or built folder (default: the model's own)"
    )


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Answer the question."""
    from twin.errors import TherapyTwinError

    raise TherapyTwinError("The surrogate is not part of this version yet.")
