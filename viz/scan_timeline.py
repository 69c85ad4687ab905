"""Response categories over time: what each scan of each treatment would show, by each criterion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scenarios.comparison import Comparison, compare
from scenarios.lesion_scans import CRITERIA
from scenarios.scans import Scans
from viz.palette import INK, RESEARCH_USE
from viz.subject import Subject

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["CATEGORY_COLOURS", "has_scans", "scan_timeline"]

#: From complete response to progression; readable without colour by the letters on them.
CATEGORY_COLOURS = {
    "baseline": "#FFFFFF",
    "CR": "#00704A",
    "PR": "#4DAF7C",
    "MR": "#A6D8BD",
    "SD": "#D9DEE4",
    "PD?": "#F5C26B",
    "PD": "#D55E00",
}
_MEANINGS = {
    "CR": "complete response",
    "PR": "partial response",
    "SD": "stable",
    "PD?": "progression, not confirmed",
    "PD": "progression",
}
_DARK = ("CR", "PD")
#: Where the key's entries begin, in widths of the axes.
_PLACES = (0.002, 0.155, 0.30, 0.385, 0.59)
_QUIET = "#52606D"
#: Height of one criterion's line of marks, and of what is between two arms [inch].
_LINE_INCH, _GAP_INCH = 0.52, 0.34


def has_scans(subject: Subject) -> bool:
    """Whether any criterion judges the scans of a study."""
    comparison = compare(subject.results)
    return bool(comparison.scans or comparison.response.by_diameters)


def scan_timeline(subject: Subject, case: str | None = None) -> Figure:
    """A line a criterion of each treatment, a mark a scan with its category and size under it.

    Sizes are volumes [ml], the two diameters of the largest lesion [mm] and sums of longest
    diameters [mm]. Beside each line an arrow spans the days between which progression came.

    Parameters
    ----------
    subject : Subject
        A study.
    case : str or None
        The first if None. Diameters are known of the case whose densities are kept.
    """
    from matplotlib.figure import Figure as NewFigure

    comparison = compare(subject.results, case=case)
    arms = [str(name) for name in comparison.table.index]
    lines = bool(comparison.scans) + len(comparison.response.by_diameters)
    tall = len(arms) * (lines * _LINE_INCH + _GAP_INCH)
    height = 1.75 + tall
    figure = NewFigure(figsize=(13.0, height), dpi=100)
    ax = figure.add_axes((0.29, 0.75 / height, 0.69, tall / height))
    for row, name in enumerate(arms):
        top = row * (lines * _LINE_INCH + _GAP_INCH)
        _draw_arm(ax, subject, comparison, name, top + 0.12)
        _name(ax, f"{row + 1} {name}", top + 0.12 + 0.5 * (lines - 1) * _LINE_INCH, lines)
        ax.axhline(top + lines * _LINE_INCH + 0.30, color="#E4E7EB", lw=0.8)
    ax.set_ylim(tall - 0.05, -0.15)
    ax.set_xlim(-18.0, comparison.horizon_day + 14.0)
    ax.set_yticks([])
    ax.set_xlabel("day")
    for side in ("left", "right", "top"):
        ax.spines[side].set_visible(False)
    _key(figure, ax, comparison, tall, height)
    return figure


def _draw_arm(ax: Axes, subject: Subject, comparison: Comparison, name: str, at: float) -> None:
    """The lines of one arm from height `at` on, [inch]."""
    every: list[tuple[str, Scans[Any]]] = [
        (CRITERIA[criterion].label, arms[name])
        for criterion, arms in comparison.response.by_diameters.items()
    ]
    if comparison.scans:
        every.append(("RANO 2.0 by volume", comparison.scans[name]))
    given = subject.fraction_days(name)
    if len(given):
        bottom = at + (len(every) - 1) * _LINE_INCH
        middle = 0.5 * (given.min() + given.max())
        ax.fill_between([given.min(), given.max()], at - 0.14, bottom + 0.14, color="#C9D3DD", lw=0)
        ax.text(
            middle, 0.5 * (at + bottom), "radiotherapy", ha="center", va="center", fontsize=7,
            color=INK, rotation=90 if len(every) > 1 else 0,
        )  # fmt: skip
    for number, (label, scans) in enumerate(every):
        y = at + number * _LINE_INCH
        ax.text(
            -0.005, y, label, transform=ax.get_yaxis_transform(), ha="right", va="center",
            fontsize=8, color=INK if number == 0 else _QUIET,
        )  # fmt: skip
        if scans.progression is not None:
            ax.plot(scans.progression, [y, y], color=CATEGORY_COLOURS["PD"], lw=3.0, zorder=1.5)
        for scan in scans.scans:
            _mark(ax, scan, y)


def _mark(ax: Axes, scan: Any, y: float) -> None:
    word = "base" if scan.category == "baseline" else scan.category
    ax.text(
        scan.day, y, word, ha="center", va="center", fontsize=8.5,
        color="#FFFFFF" if scan.category in _DARK else INK,
        bbox={
            "boxstyle": "round,pad=0.24", "fc": CATEGORY_COLOURS[scan.category],
            "ec": INK, "lw": 1.4 if scan.confirmed else 0.6,
            "ls": "-" if scan.confirmed else ":",
        },
    )  # fmt: skip
    ax.text(scan.day, y + 0.245, _size(scan), ha="center", va="center", fontsize=7.0, color=_QUIET)


def _size(scan: Any) -> str:
    """Volume [ml], or diameters [mm] of the largest lesion, of a scan."""
    if hasattr(scan, "volume_mm3"):
        return f"{scan.volume_mm3 / 1000.0:.1f}"
    if scan.size == 0.0:
        return "none"
    if scan.unit == "mm":
        return f"{scan.size:.0f}"
    return f"{scan.longest_mm:.0f} x {scan.perpendicular_mm:.0f}"


def _name(ax: Axes, words: str, y: float, lines: int) -> None:
    """An arm's name, in as many lines as fit beside its marks."""
    import textwrap

    shown = "\n".join(textwrap.wrap(words, 26)[: max(2, lines + 1)])
    ax.text(
        -0.415, y, shown, transform=ax.get_yaxis_transform(), ha="left", va="center", fontsize=9.5
    )


def _key(figure: Figure, ax: Axes, comparison: Comparison, tall: float, height: float) -> None:
    label = comparison.label("t1gd")
    what = f"RANO 2.0 by {label} volume [ml]"
    if comparison.response.by_diameters:
        what = f"{label} diameters [mm]" + (" and volume [ml]" if comparison.scans else "")
    ax.set_title(
        f"What scans would show: {what}, imaging only, case {comparison.case!r}",
        loc="left",
        fontsize=11.5,
        pad=26,
    )
    for place, (category, meaning) in zip(_PLACES, _MEANINGS.items(), strict=True):
        ax.text(
            place, 1.0 + 0.15 / tall, f"{category} {meaning}",
            transform=ax.transAxes, fontsize=8, va="center",
            color="#FFFFFF" if category in _DARK else INK,
            bbox={"boxstyle": "round,pad=0.2", "fc": CATEGORY_COLOURS[category], "ec": "none"},
        )  # fmt: skip
    figure.text(
        0.985, 1 - 0.06 / height, RESEARCH_USE.capitalize(), ha="right", va="top", fontsize=9.5,
        color="#D55E00",
    )  # fmt: skip
    figure.text(
        0.985, 0.08 / height, "dotted frame: seen, but not confirmed by a later scan; red bar: "
        "progression came between these scans", ha="right", fontsize=8, color=_QUIET,
    )  # fmt: skip
