"""Figures made of several 3D scenes: one treatment over time, all treatments on one day."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from viz.offscreen import quiet_pyvista
from viz.organ_outlines import organ_patches
from viz.palette import (
    BRAIN,
    CAVITY,
    DOSE,
    INK,
    RESEARCH_USE,
    THRESHOLD_COLOURS,
)
from viz.scene_3d import DOSE_LEVEL, Stage, scene
from viz.subject import Subject

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["PanelMaker", "over_time", "scenario_grid", "telling_days"]

_PANEL = (820, 740)
_MM3_PER_ML = 1000.0
#: Room of an entry of the legend, and of a row of it.
_ENTRY_INCH, _ROW_INCH = 2.7, 0.24


class PanelMaker:
    """Renders scenes to images, each once.

    Parameters
    ----------
    stage : Stage
    size : tuple of int
        Width and height of a panel, [pixel].
    """

    def __init__(self, stage: Stage, size: tuple[int, int] = _PANEL) -> None:
        self.stage = stage
        self.size = size
        self._kept: dict[tuple[str, float, str | None], NDArray[np.uint8]] = {}
        self._plotter: Any = None

    def __call__(self, scenario: str, day: float, case: str | None = None) -> NDArray[np.uint8]:
        """Picture of a scenario on the kept day nearest `day`, shape (height, width, 3)."""
        key = (scenario, self.stage.subject.nearest_field_day(day), case)
        if key not in self._kept:
            if self._plotter is None:
                pyvista = quiet_pyvista()
                self._plotter = pyvista.Plotter(off_screen=True, window_size=list(self.size))
            scene(
                self.stage,
                scenario=scenario,
                day=day,
                case=case,
                caption=False,
                plotter=self._plotter,
            )
            # Figures show panels at half their size, which smooths edges more cheaply.
            self._plotter.disable_anti_aliasing()
            self._plotter.render()  # a screenshot alone would show the panel before
            self._kept[key] = np.array(self._plotter.screenshot(return_img=True))
        return self._kept[key]

    def close(self) -> None:
        """Give the renderer's memory back; the pictures stay."""
        if self._plotter is not None:
            self._plotter.close()
            self._plotter = None


def telling_days(subject: Subject, scenario: str) -> list[tuple[float, str]]:
    """Four days that tell the story of a scenario, with a name for each.

    Day 0; the last kept day before treatment (or, after an operation, before
    radiotherapy); the first one after the last fraction, or drug; one year, or the end of a
    shorter study. Without treatment: day 0, 90, 180 and 365. A field kept on the
    very day of an event holds what is just after it, so that day is not "before".
    """
    kept = np.asarray(subject.results["field_time"].values, float)
    events = subject.schedule(scenario).events
    year = ("one year", 365.0) if kept[-1] >= 350.0 else ("end of the study", float(kept[-1]))
    if not events:
        wanted = [("day of the images", 0.0), ("3 months", 90.0), ("6 months", 180.0), year]
        return _distinct([(subject.nearest_field_day(day), text) for text, day in wanted])
    first = events[0].day
    fractions = subject.fraction_days(scenario)
    last = float(fractions[-1]) if len(fractions) else events[-1].day
    before = kept[kept < first]
    after = kept[kept > last]
    found = [
        (float(kept[0]), "day of the images"),
        (float(before[-1]) if len(before) else float(kept[0]), "before treatment"),
        (
            float(after[0]) if len(after) else float(kept[-1]),
            "after radiotherapy" if len(fractions) else "after the last treatment",
        ),
        (subject.nearest_field_day(year[1]), year[0]),
    ]
    if subject.regimen(scenario).resections and len(fractions):
        start = kept[kept < fractions[0]]
        found[1] = (float(start[-1]) if len(start) else found[0][0], "before radiotherapy")
    return _distinct(found)


def _distinct(days: list[tuple[float, str]]) -> list[tuple[float, str]]:
    seen: dict[float, str] = {}
    for day, text in days:
        seen.setdefault(day, text)
    return sorted(seen.items())


def over_time(
    panels: PanelMaker,
    scenario: str,
    *,
    days: Sequence[tuple[float, str]] | None = None,
    case: str | None = None,
) -> Figure:
    """One scenario on several days side by side, with volumes, as a matplotlib figure.

    Parameters
    ----------
    panels : PanelMaker
    scenario : str
    days : sequence of (float [day], str) or None
        Days and their names; `telling_days` if None.
    case : str or None
        The reference if None.
    """
    from matplotlib.figure import Figure as NewFigure

    subject = panels.stage.subject
    shown = telling_days(subject, scenario) if days is None else list(days)
    figure = NewFigure(figsize=(3.9 * len(shown), 4.9), dpi=100, facecolor="white")
    axes = figure.subplots(1, len(shown), squeeze=False)[0]
    for ax, (day, name) in zip(axes, shown, strict=True):
        kept = subject.nearest_field_day(day)
        _show(ax, panels(scenario, kept, case))
        ax.set_title(f"{name}\nday {kept:g}, {subject.calendar.text(kept)}", fontsize=11, color=INK)
        ax.text(
            0.5,
            -0.02,
            volumes_text(subject, scenario, kept, case),
            transform=ax.transAxes,
            ha="center",
            va="top",
            fontsize=10,
            color=INK,
        )
    figure.suptitle(scenario or "tumour", x=0.012, y=0.975, ha="left", fontsize=15, color=INK)
    extra = _finish(figure, subject, [scenario], [day for day, _ in shown])
    height = 4.9 + extra
    figure.subplots_adjust(
        left=0.01, right=0.99, top=1 - 1.03 / height, bottom=(0.735 + extra) / height, wspace=0.02
    )
    return figure


def scenario_grid(panels: PanelMaker, day: float, *, case: str | None = None) -> Figure:
    """All scenarios on one day, as a matplotlib figure.

    Parameters
    ----------
    panels : PanelMaker
    day : float, [day]
        The nearest kept day is shown and named.
    case : str or None
        The reference if None.
    """
    from matplotlib.figure import Figure as NewFigure

    subject = panels.stage.subject
    kept = subject.nearest_field_day(day)
    columns = min(3, len(subject.scenarios))
    rows = math.ceil(len(subject.scenarios) / columns)
    figure = NewFigure(figsize=(4.3 * columns, 4.15 * rows + 1.1), dpi=100, facecolor="white")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in axes[len(subject.scenarios) :]:
        ax.set_axis_off()
    for ax, scenario in zip(axes, subject.scenarios, strict=False):
        _show(ax, panels(scenario, kept, case))
        ax.set_title(scenario or "tumour", fontsize=11.5, color=INK)
        ax.text(
            0.5,
            -0.01,
            volumes_text(subject, scenario, kept, case),
            transform=ax.transAxes,
            ha="center",
            va="top",
            fontsize=10,
            color=INK,
        )
    figure.suptitle(
        f"All treatments on day {kept:g}, {subject.calendar.text(kept)}",
        x=0.015,
        y=0.985,
        ha="left",
        fontsize=15,
        color=INK,
    )
    extra = _finish(figure, subject, subject.scenarios, [kept])
    height = 4.15 * rows + 1.1 + extra
    figure.subplots_adjust(
        left=0.01,
        right=0.99,
        top=1 - 0.8 / height,
        bottom=(0.72 + extra) / height,
        wspace=0.02,
        hspace=0.2,
    )
    return figure


def volumes_text(subject: Subject, scenario: str, day: float, case: str | None) -> str:
    """Volumes at both thresholds on a day, cut exactly at the threshold, [ml]."""
    array = subject.select("tumour_volume", scenario=scenario, case=case)
    parts = []
    for threshold in subject.thresholds:
        value = float(array.sel(threshold=threshold).interp(time=day)) / _MM3_PER_ML
        parts.append(f"{subject.site.threshold(threshold)} {_ml(value)}")
    return ",  ".join(parts)


def _ml(value: float) -> str:
    if value < 0.05:
        return "under 0.05 ml" if value > 0 else "0 ml"
    return f"{value:.1f} ml" if value < 100 else f"{value:.0f} ml"


def _show(ax: Axes, image: NDArray[np.uint8]) -> None:
    ax.imshow(image, interpolation="antialiased")
    ax.set_axis_off()


def _finish(
    figure: Figure, subject: Subject, scenarios: Sequence[str], days: Sequence[float]
) -> float:
    """Legend of the surfaces that occur, and the banner; by how much the figure grew, [inch]."""
    from matplotlib.patches import Patch

    handles: list[Any] = [
        Patch(
            facecolor=THRESHOLD_COLOURS.get(threshold, INK),
            alpha=1.0 if number == 0 else 0.75,
            label=f"{subject.site.threshold(threshold)}: visible density above {level:g}",
        )
        for number, (threshold, level) in enumerate(subject.thresholds.items())
    ]
    if any(subject.dose(name) is not None and subject.prescription(name) > 0 for name in scenarios):
        handles.append(
            Patch(
                facecolor="white",
                edgecolor=DOSE,
                linewidth=1.5,
                label=f"{100 * DOSE_LEVEL:g} % of the prescribed dose (whole plan)",
            )
        )
    if any(subject.resected(name, max(days)) for name in scenarios) and subject.twin is not None:
        handles.append(Patch(facecolor=CAVITY, label="resection cavity"))
    handles += organ_patches(subject)
    handles.append(Patch(facecolor=BRAIN, label=subject.site.organ))
    columns = min(len(handles), max(1, int(figure.get_figwidth() / _ENTRY_INCH)))
    extra = _ROW_INCH * (math.ceil(len(handles) / columns) - 1)
    figure.set_figheight(figure.get_figheight() + extra)
    figure.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0.008, 0.0),
        ncols=columns,
        frameon=False,
        fontsize=9.5,
    )
    figure.text(
        0.99, 0.975, RESEARCH_USE.capitalize(), ha="right", va="top", fontsize=10, color="#B34A00"
    )
    return extra
