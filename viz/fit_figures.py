"""Pictures of fits: survival curves over counts, growth curves over measured volumes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from solvers.fitting.growth_laws import law_name
from solvers.fitting.survival_curves import Errors, survival_band
from solvers.fitting.tumour_volumes import TumourVolumes
from twin.storage import write_atomically
from viz.palette import INK, PAPER, scenario_styles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from solvers.fitting.colonies import ColonyCurve
    from solvers.fitting.growth_curves import GrowthFit
    from solvers.fitting.survival_curves import SurvivalFit

__all__ = ["growth_figure", "survival_figure", "write_figure"]

_DPI = 120
_MARKERS = "osD^v<>PX*"
_PANELS_ACROSS = 4
_MOST_CURVES = 8


def survival_figure(
    curves: Mapping[str, ColonyCurve], fits: Mapping[str, SurvivalFit], *, errors: Errors
) -> Figure:
    """Surviving fractions of all dishes, the fitted curves and their bands, one panel.

    Parameters
    ----------
    curves, fits : mapping of str
        By cell line; at most the first eight are drawn.
    errors : "quasi-poisson" or "poisson"
        Of the band.
    """
    from matplotlib.figure import Figure as NewFigure

    shown = list(fits)[:_MOST_CURVES]
    figure = NewFigure(figsize=(7.6, 5.8), facecolor=PAPER, layout="constrained")
    ax = figure.subplots()
    styles = scenario_styles(shown)
    lowest = 1.0
    for name in shown:
        curve, fit = curves[name], fits[name]
        style: Any = styles[name]
        doses = np.linspace(0.0, float(curve.dose.max()), 61)
        fitted, low, high = survival_band(curve, doses, confidence=fit.confidence, errors=errors)
        ax.fill_between(doses, low, high, color=style["color"], alpha=0.16, linewidth=0)
        lowest = min(lowest, float(low.min()))
        label = (
            f"{name}: α {fit.alpha.value:.3g} /Gy, β {fit.beta.value:.3g} /Gy², "
            f"dispersion {fit.dispersion:.1f}"
        )
        ax.plot(doses, fitted, label=label, linewidth=1.9, **style)
        lowest = min(lowest, _dishes(ax, curve, fit, style["color"]))
    ax.set_yscale("log")
    ax.set_ylim(0.5 * lowest, 2.0)
    ax.set_xlabel("dose [Gy]")
    ax.set_ylabel("surviving fraction")
    _quiet(ax)
    ax.legend(loc="lower left", frameon=False, fontsize=9)
    confidence = 100 * next(iter(fits.values())).confidence
    ax.set_title(
        f"Colonies over cells seeded and fitted plating efficiency; one symbol an experiment;\n"
        f"band: {confidence:g} % by profile likelihood; ▽ without colony",
        loc="left",
        fontsize=9.5,
        color=INK,
    )
    return figure


def _dishes(ax: Axes, curve: ColonyCurve, fit: SurvivalFit, colour: str) -> float:
    """Draw the dishes; the lowest place."""
    lowest = 1.0
    for number, name in enumerate(curve.experiments):
        own = curve.experiment_number == number
        seeded = curve.cells[own] * fit.plating_efficiency[name][1]
        grown = curve.colonies[own]
        there = grown > 0
        ax.plot(
            curve.dose[own][there],
            (grown / seeded)[there],
            _MARKERS[number % len(_MARKERS)],
            markersize=4.5,
            markerfacecolor="none",
            markeredgecolor=colour,
            alpha=0.85,
        )
        # Half a colony stands for none: only to show that a dish was there.
        ax.plot(curve.dose[own][~there], (0.5 / seeded)[~there], "v", color=colour, alpha=0.6)
        lowest = min(lowest, float(np.min(np.where(there, grown, 0.5) / seeded)))
    return lowest


def growth_figure(volumes: TumourVolumes, fit: GrowthFit, *, seed: int = 0) -> Figure:
    """A panel a group: every animal, the typical curve with its band, the control's curve.

    Parameters
    ----------
    volumes : TumourVolumes
    fit : GrowthFit
        The law of least AIC is drawn.
    seed : int
        Of the band.
    """
    from matplotlib.figure import Figure as NewFigure

    from solvers.fitting.growth_curves import typical_curve

    best = fit.best
    across = min(len(volumes.groups), _PANELS_ACROSS)
    down = math.ceil(len(volumes.groups) / across)
    figure = NewFigure(
        figsize=(1.2 + 3.4 * across, 0.9 + 3.1 * down), facecolor=PAPER, layout="constrained"
    )
    panels = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    days = np.linspace(0.0, float(volumes.time.max()), 81)
    control = typical_curve(volumes, best, volumes.groups[0], days, seed=seed)[0]
    highest = float(volumes.volume.max())
    for number, ax in enumerate(panels.flat):
        if number >= len(volumes.groups):
            ax.set_visible(False)
            continue
        name = volumes.groups[number]
        colour = scenario_styles(["", name] if number else [name])[name]["color"]
        for animal in np.flatnonzero(volumes.group == number):
            own = volumes.animal == animal
            order = np.argsort(volumes.time[own])
            day = volumes.time[own][order] + volumes.start
            size, small = volumes.volume[own][order], volumes.censored[own][order]
            ax.plot(day, size, color="#9AA5B1", linewidth=0.8, marker=".", markersize=3)
            ax.plot(day[small], size[small], "v", color=INK, markersize=4)
        centre, low, high = typical_curve(
            volumes, best, name, days, confidence=fit.confidence, seed=seed
        )
        ax.fill_between(days + volumes.start, low, high, color=colour, alpha=0.22, linewidth=0)
        ax.plot(days + volumes.start, centre, color=colour, linewidth=2.0)
        title = name
        if number:
            ax.plot(days + volumes.start, control, color="#000000", linewidth=1.0, linestyle=":")
            kill = best.kill_rate[name]
            title = f"{name}: kill {kill.value:.3g} ({kill.low:.3g} to {kill.high:.3g}) /day"
        else:
            rate = best.growth_rate
            title = f"{name}: growth {rate.value:.3g} ({rate.low:.3g} to {rate.high:.3g}) /day"
        if volumes.floor > 0.0:
            ax.axhline(volumes.floor, color=INK, linewidth=0.6, linestyle="--")
        ax.set_title(title, loc="left", fontsize=9, color=INK)
        _quiet(ax)
    panels[0, 0].set_yscale("log")
    panels[0, 0].set_ylim(0.6 * float(volumes.volume.min()), 1.6 * highest)
    for ax in panels[-1]:
        ax.set_xlabel("day")
    for row in panels:
        row[0].set_ylabel("tumour volume [mm³]")
    figure.suptitle(
        f"{law_name(best.law)} growth; grey: animals; line and band: the typical one, "
        f"{100 * fit.confidence:g} %; dotted: the control's; ▼ at or below the calipers' limit",
        fontsize=9.5,
        color=INK,
        x=0.01,
        ha="left",
    )
    return figure


def _quiet(ax: Axes) -> None:
    ax.grid(True, color="#E3E6EA", linewidth=0.7, zorder=0)
    ax.set_axisbelow(True)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)


def write_figure(path: Path, figure: Figure) -> None:
    """Write a figure as PNG, whole or not at all."""
    write_atomically(
        path, lambda temporary: figure.savefig(temporary, dpi=_DPI, facecolor=PAPER, format="png")
    )
