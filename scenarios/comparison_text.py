"""A comparison as text for the terminal."""

from __future__ import annotations

import io
import math
import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from scenarios.complications import percent
from scenarios.control_table import control_tables
from scenarios.fair_text import plans_table, statement_table
from scenarios.response_text import criteria_tables, time_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from scenarios.comparison import Comparison
    from scenarios.ranking import Ranking

__all__ = [
    "NOT_ASYMPTOTIC",
    "as_text",
    "days_text",
    "error_head",
    "volume_heads",
    "with_error",
]

#: What stands where there is no error bar.
NOT_ASYMPTOTIC = "not asymptotic"
#: What brackets in a table mean.
BRACKETS = f"[x]: {NOT_ASYMPTOTIC}, no error bar, meshes x apart"


def with_error(value: float, error: float, spread: float = math.nan) -> str:
    """`value` with its error, to the digits that the error leaves.

    Without an error bar, in brackets how far the meshes are apart, where it is known; what
    brackets mean stands over the table (`BRACKETS`).

    >>> with_error(12.3456, 0.21), with_error(123.4, 5.0), with_error(0.0, 0.0)
    ('12.3 ± 0.2', '123 ± 5', '0.00 ± 0.00')
    >>> with_error(12.3456, math.nan)
    '12.3 (not asymptotic)'
    >>> with_error(12.3456, math.nan, 0.41)
    '12.3 [0.4]'
    """
    if math.isnan(error) and math.isnan(spread):
        return f"{_rounded(value, 0.4)} ({NOT_ASYMPTOTIC})"
    if math.isnan(error):
        return f"{_rounded(value, spread)} [{_rounded(spread, spread)}]"
    return f"{_rounded(value, error)} ± {_rounded(error, error)}"


def _rounded(value: float, error: float) -> str:
    digits = 2 if error < 0.095 else 1 if error < 0.95 else 0
    return f"{value:.{digits}f}"


def error_head(head: str, what: str = "error") -> str:
    """The column of a volume's or time's error, or of its mesh spread.

    >>> error_head("FLAIR volume 90 d [ml]"), error_head("T1Gd progression [d]", "mesh spread")
    ('FLAIR volume 90 d error [ml]', 'T1Gd progression mesh spread [d]')
    """
    return head.replace(" [", f" {what} [")


def volume_heads(frame: pd.DataFrame) -> list[str]:
    """The columns of volumes, without those of their errors."""
    return [
        name
        for name in frame
        if " volume " in name and not name.endswith((" error [ml]", " mesh spread [ml]"))
    ]


def days_text(day: float, horizon_day: float, error: float = 0.0, spread: float = math.nan) -> str:
    """A time with its error, or that it lies beyond the horizon; as `with_error` without one.

    >>> days_text(123.4, 540.0, 2.2), days_text(123.4, 540.0), days_text(math.inf, 540.0)
    ('123 ± 2 d', '123 d', '> 540 d')
    >>> days_text(123.4, 540.0, math.nan)
    '123 d (not asymptotic)'
    >>> days_text(123.4, 540.0, math.nan, 7.2)
    '123 d [7 d]'
    """
    if not math.isfinite(day):
        return f"> {horizon_day:g} d"
    if math.isnan(error) and math.isnan(spread):
        return f"{day:.0f} d ({NOT_ASYMPTOTIC})"
    if math.isnan(error):
        return f"{day:.0f} d [{spread:.0f} d]"
    return f"{day:.0f} ± {error:.0f} d" if round(error) else f"{day:.0f} d"


def as_text(comparison: Comparison, *, width: int = 120) -> str:
    """The comparison as text: volumes, response, organs, differences, ranking, notes."""
    buffer = io.StringIO()
    console = Console(file=buffer, width=width, color_system=None, legacy_windows=False)
    for table in (
        *control_tables(comparison.control, comparison.case),
        _volumes(comparison),
        *([_response(comparison)] if any(" nadir [" in head for head in comparison.table) else []),
        *([_scans(comparison)] if comparison.scans else []),
        *criteria_tables(comparison),
        *time_table(comparison),
        *([_organs(comparison)] if len(comparison.organs.columns) else []),
        *_recovered(comparison),
        *_complications(comparison),
        *_rankings(comparison),
        *(statement_table(one) for one in comparison.statements if one.outcomes),
        *map(plans_table, comparison.plans),
    ):
        console.print(table)
        console.print()
    lines = [
        _difference(name, entry, comparison.rankings)
        for name, entry in comparison.differences.items()
    ]
    lines += [f"Warning: {sentence}" for sentence in comparison.warnings]
    lines += [f"Note: {sentence}" for sentence in comparison.notes if sentence]
    for line in lines:
        buffer.write(textwrap.fill(line, width, subsequent_indent="  ") + "\n")
    return buffer.getvalue().rstrip("\n")


def _table(title: str) -> Table:
    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("scenario", overflow="fold", min_width=28)
    return table


def _volumes(comparison: Comparison) -> Table:
    frame = comparison.table
    heads = volume_heads(frame)
    title = f"Softened visible volume [ml] ± numerical error, case {comparison.case!r}"
    errors = frame[[error_head(head) for head in heads]].to_numpy(float)
    table = _table(f"{title}\n{BRACKETS}" if np.isnan(errors).any() else title)
    for head in heads:
        table.add_column(Text(head.replace(" volume", "").replace(" [ml]", "")), justify="right")
    for number, (name, row) in enumerate(frame.iterrows(), start=1):
        cells = [
            Text(
                with_error(
                    row[h], row[error_head(h)], row.get(error_head(h, "mesh spread"), math.nan)
                )
            )
            for h in heads
        ]
        table.add_row(Text(f"{number} {name}"), *cells)
    return table


def _response(comparison: Comparison) -> Table:
    frame = comparison.table
    labels = [name.removesuffix(" nadir [ml]") for name in frame if name.endswith(" nadir [ml]")]
    table = _table(f"Response of the softened volume, case {comparison.case!r}")
    for label in labels:
        table.add_column(Text(f"{label} nadir [ml] (day)"), justify="right")
        table.add_column(Text(f"{label} progression"), justify="right")
    for number, (name, row) in enumerate(frame.iterrows(), start=1):
        cells = []
        for label in labels:
            cells += [
                f"{row[f'{label} nadir [ml]']:.2f} ({row[f'{label} nadir day [d]']:.0f})",
                days_text(
                    row[f"{label} progression [d]"],
                    comparison.horizon_day,
                    row[f"{label} progression error [d]"],
                    row.get(f"{label} progression mesh spread [d]", math.nan),
                ),
            ]
        table.add_row(Text(f"{number} {name}"), *cells)
    return table


def _scans(comparison: Comparison) -> Table:
    table = _table(
        f"What scans would show (RANO 2.0 by T1Gd volume, imaging only), case {comparison.case!r}"
    )
    for head in ("baseline", "best response", "progression"):
        table.add_column(head, justify="right")
    for number, (name, found) in enumerate(comparison.scans.items(), start=1):
        if found.scans:
            first = found.scans[0]
            baseline = f"{first.volume_mm3 / 1000.0:.1f} ml, day {first.day:.0f}"
        else:
            baseline = "after the horizon"
        between = found.progression
        if between is not None:
            progression = f"between day {between[0]:.0f} and {between[1]:.0f}"
        elif found.scans:
            progression = f"none until day {found.scans[-1].day:.0f}"
        else:
            progression = "not assessed"
        table.add_row(Text(f"{number} {name}"), baseline, found.best, progression)
    return table


def _organs(comparison: Comparison) -> Table:
    """Organs as rows and arms, by their numbers, as columns: there are often more organs."""
    frame = comparison.organs
    organs = [name.removesuffix(" mean [Gy EQD2]") for name in frame if " mean [" in name]
    title = (
        "Organs at risk, EQD2 [Gy] as mean / D0.03cc, by scenario (geometric ones: lower bounds)"
    )
    return _organ_table(comparison, organs, title, "")


def _recovered(comparison: Comparison) -> list[Table]:
    """As `_organs`, less recovery between courses; nothing where no arm is credited any."""
    end = " mean with recovery [Gy EQD2]"
    organs = [name.removesuffix(end) for name in comparison.organs if name.endswith(end)]
    title = "The same with recovery between courses, which is assumed"
    return [_organ_table(comparison, organs, title, " with recovery")] if organs else []


def _organ_table(comparison: Comparison, organs: list[str], title: str, what: str) -> Table:
    frame = comparison.organs
    table = _by_organ(title, len(frame))
    for organ in organs:
        mean, highest = (f"{organ} {name}{what} [Gy EQD2]" for name in ("mean", "D0.03cc"))
        cells = [f"{row[mean]:.1f} / {row[highest]:.1f}" for _, row in frame.iterrows()]
        table.add_row(Text(organ), *cells)
    return table


def _by_organ(title: str, arms: int) -> Table:
    """An empty table of organs by arms, these by their numbers."""
    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("organ")
    for number in range(1, arms + 1):
        table.add_column(str(number), justify="right")
    return table


def _complications(comparison: Comparison) -> list[Table]:
    """Complication probabilities as `_organs`; nothing where no arm has any."""
    frame = comparison.organs
    heads = [name for name in frame if name.endswith(" NTCP [1]")]
    if not heads:
        return []
    title = (
        "Complication probability (NTCP) by scenario, of the fits below (-: no planned dose or fit)"
    )
    table = _by_organ(title, len(frame))
    for head in heads:
        table.add_row(
            Text(head.removesuffix(" NTCP [1]")), *(percent(value) for value in frame[head])
        )
    return [table]


def _rankings(comparison: Comparison) -> list[Table]:
    if not comparison.rankings:
        return []
    table = _table("Rank over all cases (1 is best, = is tied with another)")
    for one in comparison.rankings:
        table.add_column(Text(one.endpoint), justify="right")
    for number, name in enumerate(comparison.table.index, start=1):
        cells = []
        for one in comparison.rankings:
            tie = " =" if one.tied_with[name] else ""
            cells.append(f"{one.ranks[name]}{tie}")
        table.add_row(Text(f"{number} {name}"), *cells)
    return [table]


def _difference(name: str, entry: dict[str, Any], rankings: Sequence[Ranking]) -> str:
    if entry["compared_with"] is None:
        return f"{name}: compared with no other arm."
    things = "; ".join(entry["differs_in"]) or "nothing"
    other = entry["compared_with"]
    text = f"{name}: compared with {other!r}; differs in: {things}"
    better = [
        f"{one.better_in[name][other]} of {one.cases} ({one.endpoint})"
        for one in rankings
        if one.cases > 1
    ]
    return text + (f"; better in {', '.join(better)} cases." if better else ".")
