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
    table.add_column(first, overflow="fold", min_width=28)
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
        "better: later progression, less of all else; > errors: apart by more than both numerical "
        f"errors;\ndifference, median and range: {pair.arm!r} less {pair.other!r}"
    )
    table = _table(title, "quantity")
    for head in ("better", "worse", "> errors", "P better (95 %)", "difference", "range"):
        table.add_column(head, justify="right")
    for row in pair.rows:
        chance = "-"
        if row.interval is not None:
            chance = f"{row.probability:.2f} ({row.interval[0]:.2f}-{row.interval[1]:.2f})"
        table.add_row(
            Text(row.quantity),
            f"{row.better} of {pair.cases}",
            f"{row.worse} of {pair.cases}",
            "-" if row.beyond_error is None else f"{row.beyond_error} of {pair.cases}",
            chance,
            f"{row.median:+.3g} {row.unit}",
            f"{row.least:+.3g} to {row.greatest:+.3g}",
        )
    return table
