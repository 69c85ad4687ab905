"""A comparison as text for the terminal."""

from __future__ import annotations

import io
import math
import textwrap
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from scenarios.comparison import Comparison

__all__ = ["as_text", "days_text", "with_error"]


def with_error(value: float, error: float) -> str:
    """`value` with its error, to the digits that the error leaves.

    >>> with_error(12.3456, 0.21), with_error(123.4, 5.0), with_error(0.0, 0.0)
    ('12.3 ± 0.2', '123 ± 5', '0.00 ± 0.00')
    """
    digits = 2 if error < 0.095 else 1 if error < 0.95 else 0
    return f"{value:.{digits}f} ± {error:.{digits}f}"


def days_text(day: float, horizon_day: float) -> str:
    """A time, or that it lies beyond the horizon.

    >>> days_text(123.4, 540.0), days_text(math.inf, 540.0)
    ('123 d', '> 540 d')
    """
    return f"{day:.0f} d" if math.isfinite(day) else f"> {horizon_day:g} d"


def as_text(comparison: Comparison, *, width: int = 110) -> str:
    """The comparison as text: volumes, response, organs, differences, ranking, notes."""
    buffer = io.StringIO()
    console = Console(file=buffer, width=width, color_system=None, legacy_windows=False)
    for table in (
        _volumes(comparison),
        _response(comparison),
        _organs(comparison),
        *_rankings(comparison),
    ):
        console.print(table)
        console.print()
    lines = [_difference(name, entry) for name, entry in comparison.differences.items()]
    lines += [f"Warning: {sentence}" for sentence in comparison.warnings]
    lines += [f"Note: {sentence}" for sentence in comparison.notes if sentence]
    for line in lines:
        buffer.write(textwrap.fill(line, width, subsequent_indent="  ") + "\n")
    return buffer.getvalue().rstrip("\n")


def _table(title: str) -> Table:
    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("scenario", overflow="fold", ratio=2)
    return table


def _volumes(comparison: Comparison) -> Table:
    frame = comparison.table
    heads = [name for name in frame if " volume " in name and " error " not in name]
    table = _table(f"Visible volume [ml] with its numerical error, case {comparison.case!r}")
    for head in heads:
        table.add_column(Text(head.replace(" volume", "").replace(" [ml]", "")), justify="right")
    for name, row in frame.iterrows():
        cells = [with_error(row[h], row[h.replace(" [ml]", " error [ml]")]) for h in heads]
        table.add_row(Text(str(name)), *cells)
    return table


def _response(comparison: Comparison) -> Table:
    frame = comparison.table
    labels = [name.removesuffix(" nadir [ml]") for name in frame if name.endswith(" nadir [ml]")]
    table = _table(f"Response, case {comparison.case!r}")
    for label in labels:
        table.add_column(Text(f"{label} nadir [ml]"), justify="right")
        table.add_column("on day", justify="right")
        table.add_column(Text(f"{label} progression"), justify="right")
    for name, row in frame.iterrows():
        cells = []
        for label in labels:
            cells += [
                f"{row[f'{label} nadir [ml]']:.2f}",
                f"{row[f'{label} nadir day [d]']:.0f}",
                days_text(row[f"{label} progression [d]"], comparison.horizon_day),
            ]
        table.add_row(Text(str(name)), *cells)
    return table


def _organs(comparison: Comparison) -> Table:
    frame = comparison.organs
    organs = [name.removesuffix(" mean [Gy EQD2]") for name in frame if " mean [" in name]
    table = _table("Organs at risk, EQD2 [Gy]: mean / D0.03cc (geometric dose: lower bounds)")
    for organ in organs:
        table.add_column(Text(organ), justify="right")
    for name, row in frame.iterrows():
        cells = [
            f"{row[f'{organ} mean [Gy EQD2]']:.1f} / {row[f'{organ} D0.03cc [Gy EQD2]']:.1f}"
            for organ in organs
        ]
        table.add_row(Text(str(name)), *cells)
    return table


def _rankings(comparison: Comparison) -> list[Table]:
    if not comparison.rankings:
        return []
    table = _table("Rank over all cases (1 is best; equal ranks are ties)")
    for one in comparison.rankings:
        table.add_column(Text(one.endpoint), justify="right")
    for name in comparison.table.index:
        cells = []
        for one in comparison.rankings:
            tie = " =" if one.tied_with[name] else ""
            cells.append(f"{one.ranks[name]}{tie}")
        table.add_row(Text(str(name)), *cells)
    return [table]


def _difference(name: str, entry: dict[str, Any]) -> str:
    if entry["compared_with"] is None:
        return f"{name}: compared with no other arm."
    things = "; ".join(entry["differs_in"]) or "nothing"
    return f"{name}: compared with {entry['compared_with']!r}; differs in: {things}."
