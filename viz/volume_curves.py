"""Volume curves of all scenarios, with treatment days, dates, spread and numerical error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from twin.errors import InvalidInput
from viz.palette import INK, RESEARCH_USE, scenario_styles
from viz.subject import Subject, subject_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["curves", "curves_figure"]

_MM3_PER_ML = 1000.0
_ERROR_EVERY_DAYS = 60.0


def curves(
    results: xr.Dataset | Subject,
    *,
    threshold: str = "flair",
    soft: bool = True,
    logarithmic: bool = False,
    spread: bool = True,
    numerical_error: bool = True,
    marks: bool = True,
    legend: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Tumour volume of every scenario over time [ml], in `ax`, which is returned.

    Parameters
    ----------
    results : xarray.Dataset or Subject
        A study or one run.
    threshold : str
        "t1gd" or "flair".
    soft : bool
        The softened volume; otherwise the volume cut exactly at the threshold.
    logarithmic : bool
        Logarithmic axis of volume, from 0.1 ml at the lowest.
    spread : bool
        Band from the least to the greatest of the cases.
    numerical_error : bool
        Error bars, every 60 days, where there are any.
    marks : bool
        Days of fractions, drugs and operations under the curves.
    legend : bool
        Names of the scenarios.
    ax : matplotlib.axes.Axes or None
        A new one if None.

    Raises
    ------
    InvalidInput
        A threshold that the results do not have.
    """
    subject = subject_of(results)
    if threshold not in subject.thresholds:
        raise InvalidInput(
            f"There is no threshold {threshold!r} in the results; there are "
            f"{', '.join(subject.thresholds)}."
        )
    if ax is None:
        from matplotlib.figure import Figure as NewFigure

        ax = NewFigure(figsize=(9.0, 5.5), layout="constrained").subplots()
    days = np.asarray(subject.results["time"].values, float)
    name = "tumour_volume_soft" if soft else "tumour_volume"
    styles = scenario_styles(subject.scenarios)
    highest, lowest = 0.0, np.inf
    for number, scenario in enumerate(subject.scenarios):
        volumes = _volumes(subject, name, scenario, threshold) / _MM3_PER_ML
        centre = volumes[0]
        style: Any = styles[scenario]
        ax.plot(days, centre, label=scenario or "tumour", linewidth=1.9, zorder=3, **style)
        if spread and len(volumes) > 1:
            for edge in (volumes.min(axis=0), volumes.max(axis=0)):
                ax.plot(days, edge, color=style["color"], linewidth=0.6, alpha=0.55, zorder=2)
            ax.fill_between(
                days,
                volumes.min(axis=0),
                volumes.max(axis=0),
                color=style["color"],
                alpha=0.07,
                linewidth=0,
                zorder=1,
            )
        if numerical_error:
            _error_bars(ax, subject, name, scenario, threshold, number, style["color"])
        highest = max(highest, float(np.nanmax(centre)))
        lowest = min(lowest, float(np.nanmin(centre)))
    _axes(ax, days, lowest, highest, logarithmic)
    _date_axis(ax, subject, days)
    if marks:
        _treatment_rows(ax, subject, styles)
    quantity = "softened volume" if soft else "volume"
    level = subject.thresholds[threshold]
    ax.set_ylabel(f"{subject.site.threshold(threshold)} {quantity} [ml]")
    title = subject.site.threshold(threshold)
    ax.set_title(
        f"{title[:1].upper()}{title[1:]} {quantity} (visible density above {level:g})",
        loc="left",
        fontsize=11,
        color=INK,
    )
    if legend:
        ax.legend(loc="upper left", frameon=False, fontsize=9)
    return ax


def _volumes(subject: Subject, name: str, scenario: str, threshold: str) -> NDArray[np.float64]:
    """Volumes of all cases and draws, [mm3], shape (case, time); the reference case first."""
    array = subject.results[name].sel(threshold=threshold)
    if "scenario" in array.dims:
        array = array.isel(scenario=subject.scenarios.index(scenario))
    array = array.transpose(..., "time")
    return np.asarray(array.values, float).reshape(-1, array.sizes["time"])


def _error_bars(
    ax: Axes, subject: Subject, name: str, scenario: str, threshold: str, number: int, colour: str
) -> None:
    """Numerical error of the reference case, staggered so that no scenario hides another."""
    if f"{name}_error" not in subject.results.variables:
        return
    days = np.asarray(subject.results["time"].values, float)
    error = _volumes(subject, f"{name}_error", scenario, threshold)[0] / _MM3_PER_ML
    volume = _volumes(subject, name, scenario, threshold)[0] / _MM3_PER_ML
    first = (number + 1) * _ERROR_EVERY_DAYS / (len(subject.scenarios) + 1)
    wanted = np.arange(first, days[-1], _ERROR_EVERY_DAYS)
    at = np.searchsorted(days, wanted).clip(0, len(days) - 1)
    at = at[np.isfinite(error[at])]
    if len(at):
        ax.errorbar(
            days[at],
            volume[at],
            yerr=np.abs(error[at]),
            fmt="none",
            ecolor=colour,
            elinewidth=1.3,
            capsize=2.5,
            zorder=4,
        )


def _axes(
    ax: Axes, days: NDArray[np.float64], lowest: float, highest: float, logarithmic: bool
) -> None:
    ax.set_xlim(days[0], days[-1])
    if logarithmic:
        ax.set_yscale("log")
        ax.set_ylim(np.clip(0.5 * lowest, 0.1, 10.0), max(20.0, 1.6 * highest))
        ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    else:
        ax.set_ylim(0.0, max(1e-6, 1.05 * highest))
    ax.set_xlabel("day")
    ax.grid(True, color="#E3E6EA", linewidth=0.7, zorder=0)
    ax.set_axisbelow(True)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)


def _date_axis(ax: Axes, subject: Subject, days: NDArray[np.float64]) -> None:
    """Calendar dates along the top."""
    months = _month_starts(subject, days)
    top = ax.secondary_xaxis("top")
    top.set_xticks([day for day, _ in months], [text for _, text in months], fontsize=8)
    top.tick_params(length=3, colors="#52606D")
    top.spines["top"].set_color("#9AA5B1")


def _month_starts(subject: Subject, days: NDArray[np.float64]) -> list[tuple[float, str]]:
    """Days and names of the first of every month, or every third one in a long study."""
    import datetime as dt

    first, last = subject.calendar.date(float(days[0])), subject.calendar.date(float(days[-1]))
    every = 1 if days[-1] - days[0] <= 200 else (2 if days[-1] - days[0] <= 400 else 3)
    found = []
    month = first.year * 12 + first.month
    while (start := dt.date(month // 12, month % 12 + 1, 1)) <= last:
        if (month % 12) % every == 0 or every == 1:
            found.append((float(subject.calendar.day(start)), f"{start:%b %Y}"))
        month += 1
    return found


def _treatment_rows(ax: Axes, subject: Subject, styles: dict[str, dict[str, str]]) -> None:
    """A row for each treated scenario: bars for fractions, dots for drugs, x for surgery."""
    treated = [name for name in subject.scenarios if subject.schedule(name).events]
    if not treated:
        return
    height = 0.052 * len(treated)
    rows = ax.inset_axes((0.0, -0.15 - height, 1.0, height))
    rows.sharex(ax)
    for row, name in enumerate(treated):
        colour = styles[name]["color"]
        y = len(treated) - 1 - row
        schedule = subject.schedule(name)
        fractions = [event.day for event in schedule.fractions]
        drugs = [event.day for event in schedule.drug_doses]
        operations = [event.day for event in schedule.resections]
        if fractions:
            rows.vlines(fractions, y - 0.02, y + 0.38, colors=colour, linewidth=0.9)
        if drugs:
            rows.plot(drugs, np.full(len(drugs), y - 0.22), ".", color=colour, markersize=2.2)
        if operations:
            rows.plot(
                operations,
                np.full(len(operations), float(y)),
                "x",
                color=colour,
                markersize=6,
                markeredgewidth=2,
            )
        rows.text(
            0.992,
            (y + 0.6) / len(treated),
            name,
            transform=rows.transAxes,
            ha="right",
            va="center",
            fontsize=7.5,
            color=INK,
        )
    rows.set_ylim(-0.6, len(treated) - 0.4)
    rows.set_yticks([])
    rows.tick_params(bottom=False, labelbottom=False)
    for spine in rows.spines.values():
        spine.set_color("#CBD2D9")


def curves_figure(
    results: xr.Dataset | Subject, *, logarithmic: bool = False, soft: bool = True
) -> Figure:
    """Both thresholds side by side with one legend, as a `matplotlib.figure.Figure`."""
    from matplotlib.figure import Figure as NewFigure

    subject = subject_of(results)
    figure = NewFigure(figsize=(13.0, 7.0), dpi=100)
    axes = figure.subplots(1, len(subject.thresholds), squeeze=False)[0]
    for ax, threshold in zip(axes, subject.thresholds, strict=True):
        curves(
            subject, threshold=threshold, soft=soft, logarithmic=logarithmic, ax=ax, legend=False
        )
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="lower center",
        ncols=3,
        frameon=False,
        fontsize=10.5,
        bbox_to_anchor=(0.5, 0.05),
    )
    notes = ["line: reference case"]
    if len(subject.cases) > 1:
        notes.append(f"band: spread of the cases ({', '.join(subject.cases)})")
    if "tumour_volume_soft_error" in subject.results.variables:
        notes.append("bars: numerical error, where it is known")
    notes.append("below: | fraction, · drug day, × operation")
    figure.text(0.5, 0.022, "; ".join(notes), ha="center", fontsize=9, color="#52606D")
    figure.text(
        0.985, 0.975, RESEARCH_USE.capitalize(), ha="right", va="top", fontsize=9.5, color="#D55E00"
    )
    figure.subplots_adjust(left=0.055, right=0.985, top=0.88, bottom=0.385, wspace=0.16)
    return figure
