"""Tables of a fair comparison for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from scenarios.paired_plans import PlanPair
    from scenarios.statements import Statement

__all__ = ["plans_table", "statement_table"]


def _table(title: str, first: str) -> Table:
    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(first, overflow="fold", min_width=36)
    return table


def statement_table(one: Statement) -> Table:
    """Differences of two arms in every case."""
    title = f"{one.arm!r} less {one.other!r}, which differ in {one.about} alone, by case"
    table = _table(title, "case")
    for outcome in one.outcomes:
        table.add_column(Text(f"{outcome.endpoint} [{outcome.unit}]"), justify="right")
    for case in one.outcomes[0].differences:
        cells = [f"{outcome.differences[case]:+.3g}" for outcome in one.outcomes]
        table.add_row(Text(case), *cells)
    better = [one.better or "not determined" for one in one.outcomes]
    table.add_row(Text("better"), *map(Text, better), style="bold")
    return table


def plans_table(pair: PlanPair) -> Table:
    """Two plans of one patient, quantity by quantity."""
    title = (
        f"Plan {pair.arm!r} against {pair.other!r}, over {pair.over}\n"
        f"better, worse: in so many of {pair.cases}, later progression and less of all else; "
        "clear: in so many by more than both\n"
        f"numerical errors; difference: median (range) of {pair.arm!r} less {pair.other!r}"
    )
    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("quantity", overflow="fold")
    for head in ("better", "worse", "clear", "P better (95 %)", "difference"):
        table.add_column(head, justify="right")
    for row in pair.rows:
        chance = "-" if row.better or row.worse else "same"
        if row.interval is not None and chance == "-":
            chance = f"{row.probability:.2f} ({row.interval[0]:.2f}-{row.interval[1]:.2f})"
        table.add_row(
            Text(row.quantity),
            f"{row.better}",
            f"{row.worse}",
            "-" if row.beyond_error is None else f"{row.beyond_error}",
            chance,
            f"{row.median:+.2g} ({row.least:+.2g} to {row.greatest:+.2g}) {row.unit}",
        )
    return table
