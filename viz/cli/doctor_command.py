"""``twin doctor``; what it finds out is in `viz.cli.doctor`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from viz.cli.running import Output

DESCRIPTION = """\
Say what is installed (versions, MPI, GPU, off-screen rendering), what is missing,
and how to get it. Exit status 1 where something that is needed is missing."""
EXAMPLES = """\
  twin doctor
  twin doctor --json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add no options: there are none of its own."""


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Examine the machine."""
    from viz.cli import doctor

    found = doctor.report()
    output.result(doctor.as_text(found), {"command": "doctor", **found})
    return 0 if found["ok"] else 1
