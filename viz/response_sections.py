"""Tables of the report on scans by each criterion and on times against other arms."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from scenarios.lesion_scans import CRITERIA
from scenarios.response_text import when_text
from scenarios.time_measures import bounds_text
from viz.html import Raw, table

if TYPE_CHECKING:
    from scenarios.comparison import Comparison

__all__ = ["criteria_table", "times_table"]


def criteria_table(comparison: Comparison) -> Raw:
    """Best response and progression by every criterion; nothing where diameters are not known."""
    chosen = comparison.response.by_diameters
    if not chosen:
        return Raw("")
    heads = ["treatment", *(CRITERIA[name].label for name in chosen)]
    heads += ["RANO 2.0 by volume"] if comparison.scans else []
    rows = []
    for arm in map(str, comparison.table.index):
        row: list[object] = [arm, *(when_text(arms[arm]) for arms in chosen.values())]
        rows.append([*row, when_text(comparison.scans[arm])] if comparison.scans else row)
    return table(
        heads,
        rows,
        caption=(
            "Scans by each criterion, imaging only: best response; days between which progression "
            "came. The study's own criterion first."
        ),
    )


def times_table(comparison: Comparison) -> Raw:
    """Days gained, delay of progression and doubling time of every arm."""
    if not comparison.response.times:
        return Raw("")
    heads = ["treatment"]
    for threshold in comparison.response.times:
        name = comparison.label(threshold)
        heads += [f"{name}, days gained (on day)", f"{name}, delay", f"{name}, doubling time"]
    rows = []
    for arm in map(str, comparison.table.index):
        row: list[object] = [arm]
        for arms in comparison.response.times.values():
            one = arms[arm]
            date = "" if one.gained is None else f" ({one.date:.0f})"
            doubling = f"{one.doubling:.0f}" if math.isfinite(one.doubling) else "-"
            row += [bounds_text(one.gained) + date, bounds_text(one.delayed), doubling]
        rows.append(row)
    return table(
        heads,
        rows,
        caption=(
            "Days gained against no treatment (Neal 2013), delay of progression against the "
            "compared arm, and doubling time from progression on [d]."
        ),
    )
