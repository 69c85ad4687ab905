"""Response on scans as tables for the terminal: every criterion side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from scenarios.lesion_scans import CRITERIA

if TYPE_CHECKING:
    from scenarios.comparison import Comparison
    from scenarios.scans import Scans

__all__ = ["criteria_tables", "when_text"]


def table_of(title: str) -> Table:
    """An empty table of arms by their numbers and names."""
    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("scenario", overflow="fold", min_width=28)
    return table


def when_text(scans: Scans) -> str:
    """Best response and the days between which progression came.

    >>> from scenarios.scans import Scans
    >>> when_text(Scans(()))
    'not assessed'
    """
    between = scans.progression
    if between is not None:
        return f"{scans.best}; {between[0]:.0f} to {between[1]:.0f}"
    return scans.best


def criteria_tables(comparison: Comparison) -> list[Table]:
    """Best response and progression by every criterion; nothing where diameters are not known."""
    chosen = comparison.by_diameters
    if not chosen:
        return []
    table = table_of(
        "Scans by each criterion, imaging only: best response; progression between days (first: "
        "the study's)"
    )
    table.add_column("baseline [mm]", justify="right")
    for name in chosen:
        table.add_column(Text(CRITERIA[name].label), justify="right")
    table.add_column("RANO 2.0 by volume", justify="right")
    first = next(iter(chosen.values()))
    for number, (arm, volume) in enumerate(comparison.scans.items(), start=1):
        scans = first[arm].scans
        size = "-" if not scans else "none seen"
        if scans and scans[0].size > 0.0:
            size = f"{scans[0].longest_mm:.0f} x {scans[0].perpendicular_mm:.0f}"
        table.add_row(
            Text(f"{number} {arm}"),
            size,
            *(when_text(arms[arm]) for arms in chosen.values()),
            when_text(volume),
        )
    return [table]
