"""Response on scans as tables for the terminal: every criterion side by side."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from scenarios.lesion_scans import CRITERIA
from scenarios.time_measures import bounds_text

if TYPE_CHECKING:
    from scenarios.comparison import Comparison
    from scenarios.scans import Scans

__all__ = ["criteria_tables", "time_table", "when_text"]


def table_of(title: str, least_width: int = 28) -> Table:
    """An empty table of arms by their numbers and names."""
    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("scenario", overflow="fold", min_width=least_width)
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
    chosen = comparison.response.by_diameters
    if not chosen:
        return []
    table = table_of(
        "Scans by each criterion, imaging only: best response; progression between days (first: "
        "the study's)"
    )
    table.add_column("baseline [mm]", justify="right")
    for name in chosen:
        table.add_column(Text(CRITERIA[name].label), justify="right")
    if comparison.scans:
        table.add_column("RANO 2.0 by volume", justify="right")
    for number, (arm, found) in enumerate(next(iter(chosen.values())).items(), start=1):
        scans = found.scans
        size = "-" if not scans else "none seen"
        if scans and scans[0].size > 0.0:
            size = f"{scans[0].longest_mm:.0f} x {scans[0].perpendicular_mm:.0f}"
        said = [when_text(arms[arm]) for arms in chosen.values()]
        said += [when_text(comparison.scans[arm])] if comparison.scans else []
        table.add_row(Text(f"{number} {arm}"), size, *said)
    return [table]


def time_table(comparison: Comparison) -> list[Table]:
    """Days gained, delay of progression and doubling time; nothing where there are none."""
    measures = comparison.response.times
    if not measures:
        return []
    table = table_of(
        f"Days gained on a date, delay of progression, doubling time [d], case {comparison.case!r}",
        least_width=16,
    )
    table.add_column("date", justify="right")
    for threshold in measures:
        label = comparison.label(threshold)
        table.add_column(Text(f"{label}\ngained"), justify="right")
        table.add_column(Text(f"{label}\ndelay"), justify="right")
        if threshold == "t1gd":
            table.add_column(Text("by\nscans"), justify="right")
        table.add_column(Text(f"{label}\ndoubling"), justify="right")
    for number, arm in enumerate(map(str, comparison.table.index), start=1):
        dates = {arms[arm].date for arms in measures.values() if arms[arm].gained is not None}
        cells = [", ".join(f"{date:.0f}" for date in dates) or "-"]
        for threshold, arms in measures.items():
            one = arms[arm]
            cells += [bounds_text(one.gained), bounds_text(one.delayed)]
            if threshold == "t1gd":
                cells.append(bounds_text(one.delayed_by_scans))
            cells.append(f"{one.doubling:.0f}" if math.isfinite(one.doubling) else "-")
        table.add_row(Text(f"{number} {arm}"), *cells)
    return [table]
