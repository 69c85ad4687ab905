"""``twin verify``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from solvers.verification.registry import Outcome
    from viz.cli.running import Output

DESCRIPTION = """\
Hold the solver on this machine against closed forms, exact solutions and independent
integrators: what was measured, what it must be, how far off it may be. Takes
less than a minute. Exit status 1 where anything is out of bounds."""
EXAMPLES = """\
  twin verify
  twin verify --only diffusion
  twin verify --only 'growth.*' --json
  twin verify --html verification.html"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "--only",
        metavar="PATTERN",
        help="the checks whose name, such as diffusion.box_modes, contains this (or fits it, "
        "with * and ?)",
    )
    parser.add_argument(
        "--html", metavar="FILE", help="write one page with the table and convergence plots too"
    )


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Run the checks."""
    import time
    from pathlib import Path

    from solvers.verification.registry import all_checks, chosen, run_checks, summary

    begin = time.perf_counter()
    checks = all_checks()
    if arguments.only is not None:
        checks = chosen(checks, arguments.only)
    target = None
    if arguments.html is not None:
        from viz.verification_page import check_target

        target = Path(arguments.html)
        check_target(target)
    with output.progress("verifying") as progress:
        outcomes = run_checks(checks, progress)
    counts = summary(outcomes)
    seconds = time.perf_counter() - begin
    if target is not None:
        from viz.verification_page import write_page

        write_page(outcomes, target)
    total = counts["passed"] + counts["failed"]
    verdict = f"{counts['passed']} of {total} rows passed in {seconds:.0f} s."
    where = f"\nPage: {target}" if target is not None else ""
    output.result(
        f"{as_text(outcomes)}\n{verdict}{where}",
        {
            "ok": counts["failed"] == 0,
            "command": "verify",
            **counts,
            "seconds": round(seconds, 1),
            **({"html": str(target)} if target is not None else {}),
            "rows": _rows(outcomes),
        },
    )
    return 0 if counts["failed"] == 0 else 1


def as_text(outcomes: Sequence[Outcome], *, width: int = 120) -> str:
    """The rows as a table for the terminal."""
    import io

    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    buffer = io.StringIO()
    console = Console(file=buffer, width=width, color_system=None, legacy_windows=False)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("what", overflow="fold", min_width=40)
    for head in ("measured", "expected", "allowed"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("unit", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for outcome in outcomes:
        for row in outcome.rows:
            what = f"{row.what} ({row.note})" if row.note else row.what
            table.add_row(
                Text(what),
                number(row.measured),
                number(row.expected),
                f"± {row.allowed:.2g}",
                row.unit,
                row.verdict if row.passed else row.verdict.upper(),
            )
    console.print(table)
    return buffer.getvalue().rstrip("\n")


def number(value: float) -> str:
    """A value to six digits, or that there is none.

    >>> number(0.25), number(float("nan"))
    ('0.25', 'none')
    """
    return f"{value:.6g}" if value == value else "none"


def _rows(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """The rows as JSON can hold them; null where there is no number."""
    import math

    rows = []
    for outcome in outcomes:
        for row in outcome.rows:
            curve = row.curve
            rows.append(
                {
                    "check": outcome.check.full_name,
                    "what": row.what,
                    "measured": row.measured if math.isfinite(row.measured) else None,
                    "expected": row.expected,
                    "allowed": row.allowed,
                    "unit": row.unit,
                    "verdict": row.verdict,
                    **({"note": row.note} if row.note else {}),
                    **({"sizes": list(curve.sizes), "errors": list(curve.errors)} if curve else {}),
                }
            )
    return rows
