"""Trials in a picture: curves of progression by arm, and ratios published and predicted."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scenarios.metrics.forecast import kaplan_meier
from scenarios.trials.verdicts import Verdict
from viz.palette import BLUE, INK, ORANGE, PAPER, RESEARCH_USE, scenario_styles
from viz.trial_text import DAYS_A_MONTH

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from scenarios.trials.predict import PredictedTrial

__all__ = ["draw_progression", "draw_ratios", "trials_figure"]

_MONTHS_SHOWN = 24.0


def trials_figure(found: Sequence[PredictedTrial]) -> Figure:
    """Curves of a single trial beside its ratios; of several trials the ratios alone."""
    from matplotlib.figure import Figure as NewFigure

    verdicts = [verdict for one in found for verdict in one.verdicts]
    if len(found) > 1:
        height = 2.0 + 0.62 * len(verdicts)
        figure = NewFigure(figsize=(9.6, height), facecolor=PAPER, layout="constrained")
        draw_ratios(figure.subplots(), verdicts, with_trial=True)
        return figure
    figure = NewFigure(figsize=(12.4, 5.0), facecolor=PAPER, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1.0))
    draw_progression(left, found[0])
    draw_ratios(right, verdicts, with_trial=False)
    return figure


def draw_progression(ax: Axes, found: PredictedTrial) -> Axes:
    """Share of the virtual patients without progression over months, by arm.

    A dot marks the predicted median, a bar with a diamond the published one with its interval.
    """
    styles = scenario_styles([arm.name for arm in found.trial.arm])
    months = np.linspace(0.0, _MONTHS_SHOWN, 481)
    for number, arm in enumerate(found.trial.arm):
        style: Any = styles[arm.name]
        times = found.arms[arm.name].progression / DAYS_A_MONTH
        happened = np.isfinite(times)
        ended = np.where(happened, times, 1e6)
        curve = kaplan_meier(ended, happened.astype(float), months)
        ax.plot(months, curve, drawstyle="steps-post", linewidth=1.9, label=arm.name, **style)
        median = float(np.median(times))
        if median < _MONTHS_SHOWN:
            ax.plot(median, 0.5, "o", color=style["color"], markersize=6, zorder=5)
        published = arm.published.progression
        if published is None:
            continue
        height = 0.5 + 0.05 * (number + 1)
        middle = published.median / DAYS_A_MONTH
        if published.interval is not None:
            ends = [end / DAYS_A_MONTH for end in published.interval]
            ax.plot(ends, [height, height], color=style["color"], linewidth=2.2, alpha=0.6)
        ax.plot(middle, height, "D", color=style["color"], markersize=6, markeredgecolor=INK)
    ax.axhline(0.5, color=INK, linewidth=0.6, linestyle=":")
    ax.set_xlim(0.0, _MONTHS_SHOWN)
    ax.set_ylim(0.0, 1.02)
    ax.set_xticks(np.arange(0.0, _MONTHS_SHOWN + 1.0, 3.0))
    ax.set_xlabel("months from randomisation")
    ax.set_ylabel("share of virtual patients without progression")
    ax.legend(loc="upper right", frameon=False, fontsize=9)
    _quiet(ax)
    marks = "● median predicted"
    if any(arm.published.progression is not None for arm in found.trial.arm):
        marks += ", ◆ published with 95 % interval"
    ax.set_title(f"{found.trial.title}: {marks}", loc="left", fontsize=9.5, color=INK)
    return ax


def draw_ratios(ax: Axes, verdicts: Sequence[Verdict], *, with_trial: bool) -> Axes:
    """Ratios of median times, published above and predicted below, one row a comparison."""
    rows = np.arange(len(verdicts))[::-1].astype(float)
    names = []
    for row, verdict in zip(rows, verdicts, strict=True):
        for (middle, low, high), shift, colour, mark in (
            (verdict.published, 0.14, BLUE, "D"),
            (verdict.predicted, -0.14, ORANGE, "o"),
        ):
            ax.plot([low, high], [row + shift] * 2, color=colour, linewidth=2.2)
            ax.plot(middle, row + shift, mark, color=colour, markersize=7, markeredgecolor=INK)
        word = "fitted" if verdict.use == "fitted" else ("hit" if verdict.hit else "miss")
        text = f"{verdict.arms[0]} over {verdict.arms[1]}"
        label = textwrap.fill(text, 52 if with_trial else 32)
        if with_trial:
            label = f"{verdict.trial}, {verdict.endpoint}\n{label}"
        else:
            label = f"{verdict.endpoint}\n{label}"
        names.append(label)
        ax.annotate(
            word, (1.0, row), xycoords=("axes fraction", "data"), xytext=(6, 0),
            textcoords="offset points", va="center", fontsize=9, color=INK,
            fontweight="bold" if word == "miss" else "normal",
        )  # fmt: skip
    ax.axvline(1.0, color=INK, linewidth=0.8)
    ax.set_xscale("log")
    ticks = [0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0]
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.set_xticks([], minor=True)
    low = min(0.7, *(0.95 * min(v.published[1], v.predicted[1]) for v in verdicts))
    high = max(2.0, *(1.05 * max(v.published[2], v.predicted[2]) for v in verdicts))
    ax.set_xlim(low, high)
    ax.set_ylim(-0.6, len(verdicts) - 0.4)
    ax.set_yticks(rows, names, fontsize=8.5)
    ax.set_xlabel(f"ratio of median times, first arm over second ({RESEARCH_USE})")
    ax.plot([], [], "D-", color=BLUE, markeredgecolor=INK, label="published, 95 %")
    ax.plot(
        [],
        [],
        "o-",
        color=ORANGE,
        markeredgecolor=INK,
        label="predicted, 95 % of the cohort (survival: times to a large tumour)",
    )
    ax.legend(
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        ncols=2 if with_trial else 1,
        frameon=False,
        fontsize=9,
    )
    _quiet(ax)
    return ax


def _quiet(ax: Axes) -> None:
    ax.grid(True, color="#E3E6EA", linewidth=0.7, zorder=0)
    ax.set_axisbelow(True)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
