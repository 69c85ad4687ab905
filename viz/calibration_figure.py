"""Picture of a fit: prior and posterior of each unknown, and of each pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scenarios.calibration.store import draws_of
from twin.parameters import LogNormal, ParameterSet
from viz.palette import BRAIN, CAVITY, RESEARCH_USE, VERMILLION

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["draw_unknowns"]

#: Points of the draws that are shown in a pair's panel.
SHOWN = 400
INCH = 1.9


def draw_unknowns(
    posterior: xr.Dataset,
    base: ParameterSet,
    rows: Sequence[Mapping[str, Any]],
    path: str | Path,
) -> Path:
    """Draw prior and posterior of every unknown on the diagonal, pairs of draws below it.

    Parameters
    ----------
    posterior : xarray.Dataset
        As `scenarios.calibration` keeps it.
    base : ParameterSet
        With the priors.
    rows : sequence of mapping
        Of `scenarios.calibration.calibrate.summary`.
    path : path
        Of the PNG file.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = [str(name) for name in posterior.unknown.values]
    values = np.asarray(posterior.value.values, np.float64)
    weights = np.asarray(posterior.weight.values, np.float64)
    learnt = {row["name"]: row.get("contraction", 0.0) for row in rows}
    count = len(names)
    figure = Figure(figsize=(INCH * count + 1.2, INCH * count + 1.0))
    FigureCanvasAgg(figure)
    axes = figure.subplots(count, count, squeeze=False)
    chosen = draws_of(posterior).chosen(SHOWN, seed=0)
    for i, name in enumerate(names):
        for j, other in enumerate(names):
            panel = axes[i, j]
            if j > i:
                panel.axis("off")
                continue
            if i == j:
                _diagonal(panel, values[:, i], weights, base, name, learnt.get(name, 0.0))
            else:
                panel.plot(
                    values[chosen, j], values[chosen, i], ".", color=CAVITY, ms=2.5, alpha=0.5
                )
                _scaled(panel, "y", base, name)
            _scaled(panel, "x", base, other)
            panel.tick_params(labelsize=6, labelbottom=i == count - 1, labelleft=0 == j < i)
            panel.tick_params(which="minor", labelbottom=False, labelleft=False)
            if i == count - 1:
                panel.set_xlabel(_label(base, other), fontsize=7)
            if j == 0 and i > 0:
                panel.set_ylabel(_label(base, name), fontsize=7)
    figure.suptitle(
        "What the scans say: prior (grey) and posterior", x=0.02, ha="left", fontsize=11
    )
    figure.text(
        0.98, 0.985, RESEARCH_USE.capitalize(), ha="right", va="top", color=VERMILLION, fontsize=8
    )
    figure.tight_layout(rect=(0, 0, 1, 0.97))
    target = Path(path)
    figure.savefig(target, dpi=130)
    return target


def _label(base: ParameterSet, name: str) -> str:
    unit = base[name].unit
    return name.replace("_", " ") + ("" if unit == "1" else f"\n[{unit}]")


def _scaled(panel: Any, axis: str, base: ParameterSet, name: str) -> None:
    """The middle 99 % of the prior, on a logarithmic axis where it is log-normal."""
    prior = base[name].prior
    if prior is None:
        return
    low, high = prior.quantile(0.005), prior.quantile(0.995)
    if isinstance(prior, LogNormal) and high > 5.0 * low:  # a narrow one has no decades to label
        getattr(panel, f"set_{axis}scale")("log")
    getattr(panel, f"set_{axis}lim")(low, high)


def _diagonal(
    panel: Any,
    values: NDArray[np.float64],
    weights: NDArray[np.float64],
    base: ParameterSet,
    name: str,
    contraction: float,
) -> None:
    """Prior's density and the draws' histogram, by standard deviations of the prior."""
    prior = base[name].prior
    if prior is None:
        return
    steps = np.linspace(0.005, 0.995, 200)
    places = np.array([prior.quantile(float(p)) for p in steps])
    logarithmic = isinstance(prior, LogNormal)
    line = np.log(places) if logarithmic else places
    density = np.gradient(steps, line)
    panel.fill_between(places, density, color=BRAIN, lw=0)
    own = np.log(values) if logarithmic else values
    heights, edges = np.histogram(own, bins=24, weights=weights, density=True)
    panel.stairs(heights, np.exp(edges) if logarithmic else edges, color=CAVITY, lw=1.4)
    panel.set_yticks([])
    panel.set_ylim(0, 1.15 * max(float(heights.max()), float(density.max())))
    panel.set_title(f"learnt {100 * max(0.0, contraction):.0f} %", fontsize=7, pad=2)
