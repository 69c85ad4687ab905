"""Whole processes of the command line, from the shell's prompt to the next."""

from __future__ import annotations

import statistics
import subprocess
import sys

from benchmarks.head import Setting, timed
from benchmarks.table import Row


def typed(setting: Setting) -> list[Row]:
    """Seconds of short commands, the median of three; needs what the parts
    `study` and `surrogate` leave."""
    model = str(setting.model)
    rows = []
    for arguments in (
        ("--help",),
        ("compare", str(setting.results)),
        ("whatif", model, "--set", "radiotherapy.fractions=25"),
    ):
        found = [timed(lambda arguments=arguments: _run(arguments))[0] for _ in range(3)]
        rows.append(Row(f"twin {arguments[0]}", statistics.median(found), "s"))
    return rows


def _run(arguments):
    subprocess.run(
        [sys.executable, "-m", "viz.cli", *arguments], check=True, stdout=subprocess.DEVNULL
    )
