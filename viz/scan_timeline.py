"""Response categories over time: what each scan of each treatment would show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scenarios.comparison import compare
from viz.palette import INK, RESEARCH_USE
from viz.subject import Subject

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["CATEGORY_COLOURS", "scan_timeline"]

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


def scan_timeline(subject: Subject, case: str | None = None) -> Figure:
    """One row a treatment, a mark a scan with its category and the volume under it [ml].

    Parameters
    ----------
    subject : Subject
        A study.
    case : str or None
        The first if None.
    """
    from matplotlib.figure import Figure as NewFigure

    comparison = compare(subject.results, case=case)
    arms = list(comparison.scans)
    height = 1.9 + 0.72 * len(arms)
    figure = NewFigure(figsize=(13.0, height), dpi=100)
    ax = figure.add_axes((0.26, 0.75 / height, 0.72, 1.0 - 1.75 / height))
    for row, name in enumerate(arms):
        given = subject.fraction_days(name)
        if len(given):
            ax.plot(
                [given.min(), given.max()], [row, row], color="#8FA3B5", lw=9, solid_capstyle="butt"
            )
            ax.text(
                0.5 * (given.min() + given.max()), row, "radiotherapy", ha="center", va="center",
                fontsize=7, color=INK,
            )  # fmt: skip
        for scan in comparison.scans[name].scans:
            word = "base" if scan.category == "baseline" else scan.category
            ax.text(
                scan.day, row, word, ha="center", va="center", fontsize=8.5,
                color="#FFFFFF" if scan.category in _DARK else INK,
                bbox={
                    "boxstyle": "round,pad=0.28", "fc": CATEGORY_COLOURS[scan.category],
                    "ec": INK, "lw": 1.4 if scan.confirmed else 0.6,
                    "ls": "-" if scan.confirmed else ":",
                },
            )  # fmt: skip
            ax.text(
                scan.day, row + 0.40, f"{scan.volume_mm3 / 1000.0:.1f}", ha="center", va="center",
                fontsize=7.5, color="#52606D",
            )  # fmt: skip
        ax.axhline(row + 0.58, color="#E4E7EB", lw=0.8)
    ax.set_ylim(len(arms) - 0.4, -0.6)
    ax.set_xlim(-18.0, comparison.horizon_day + 14.0)
    ax.set_yticks(np.arange(len(arms)), [f"{n} {name}" for n, name in enumerate(arms, start=1)])
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("day")
    for side in ("left", "right", "top"):
        ax.spines[side].set_visible(False)
    ax.set_title(
        f"What scans would show: RANO 2.0 by T1Gd volume [ml], imaging only, case "
        f"{comparison.case!r}",
        loc="left",
        fontsize=11.5,
        pad=26,
    )
    for place, (category, meaning) in zip(_PLACES, _MEANINGS.items(), strict=True):
        ax.text(
            place, 1.0 + 0.28 / len(arms), f"{category} {meaning}",
            transform=ax.transAxes, fontsize=8, va="center",
            color="#FFFFFF" if category in _DARK else INK,
            bbox={"boxstyle": "round,pad=0.2", "fc": CATEGORY_COLOURS[category], "ec": "none"},
        )  # fmt: skip
    figure.text(
        0.985, 0.985, RESEARCH_USE.capitalize(), ha="right", va="top", fontsize=9.5, color="#D55E00"
    )
    figure.text(
        0.985, 0.01, "dotted frame: seen, but not confirmed by a later scan", ha="right",
        fontsize=8, color="#52606D",
    )  # fmt: skip
    return figure
