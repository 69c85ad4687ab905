"""Cumulative dose-volume histograms drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from viz.palette import INK, PAPER, RESEARCH_USE, scenario_styles

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from twin.dicom.dose_file import StoredHistogram
    from twin.dose_files import DoseGrid
    from twin.structure_doses import StructureDose
    from viz.dvh_text import Asked

__all__ = ["dvh_figure"]

_MOST_CURVES = 28
_POINTS = 800
_LONGEST_NAME = 30


def dvh_figure(
    found: Mapping[str, StructureDose],
    dose: DoseGrid,
    asked: Asked,
    *,
    stored: Mapping[str, StoredHistogram] | None = None,
) -> Figure:
    """Share of each structure that gets at least a dose, the largest structures if many.

    Parameters
    ----------
    found : mapping of str to StructureDose
    dose : DoseGrid
    asked : Asked
        The prescription is drawn as a line.
    stored : mapping of str to StoredHistogram
        The planning system's, as dots of the same colour.
    """
    from matplotlib.figure import Figure as NewFigure

    there = [name for name, one in found.items() if one.histogram is not None]
    largest = sorted(there, key=lambda name: -found[name].volume_ml)[:_MOST_CURVES]
    names = [name for name in there if name in largest]
    figure = NewFigure(figsize=(9.2, 5.4), facecolor=PAPER, layout="constrained")
    ax = figure.subplots()
    styles = scenario_styles(names)
    end, lines = 0.0, []
    for name in names:
        one, style = found[name], styles[name]
        if one.histogram is None:
            continue
        end = max(end, one.histogram.maximum_gy)
        doses = np.linspace(0.0, one.histogram.maximum_gy, _POINTS)
        shares = 100.0 * np.asarray(one.histogram.share_at(doses))
        # down to nothing beyond the largest dose
        doses, shares = np.append(doses, doses[-1]), np.append(shares, 0.0)
        plain: Any = style
        lines += ax.plot(doses, shares, linewidth=1.8, label=_label(name, one), **plain)
        if stored and name in stored:
            curve = stored[name]
            at = np.linspace(0, len(curve.dose_gy) - 1, 60).astype(int)
            # what gets less than half a bin is in no stored curve, but in the structure
            known = float(one.histogram.share_at(curve.dose_gy[0]))
            ax.plot(
                curve.dose_gy[at],
                100.0 * known * curve.volume_ml[at] / curve.volume_ml[0],
                ".",
                markersize=3.5,
                color=style["color"],
            )
    if asked.prescription_gy is not None:
        end = max(end, asked.prescription_gy)
        ax.axvline(asked.prescription_gy, color=INK, linewidth=0.8, linestyle=(0, (1, 2)))
        ax.text(
            asked.prescription_gy, 101.5, f"{asked.prescription_gy:g} Gy", fontsize=8.5, color=INK,
            ha="center", va="bottom",
        )  # fmt: skip
    ax.set_xlim(0.0, 1.03 * end if end > 0.0 else 1.0)
    ax.set_ylim(0.0, 100.8)
    ax.set_yticks(range(0, 101, 10))
    kind = f"{dose.kind} dose" if dose.kind else "dose"
    ax.set_xlabel(f"{kind} [Gy]")
    ax.set_ylabel("volume that gets at least the dose [%]")
    ax.grid(True, color="#E3E6EA", linewidth=0.7, zorder=0)
    ax.set_axisbelow(True)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    ax.legend(
        handles=lines, loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False,
        fontsize=9 if len(lines) <= 18 else 7, borderaxespad=0.0, handlelength=2.6,
    )  # fmt: skip
    part = f" of a {dose.summation.lower().replace('_', ' ')}" if dose.summation else ""
    which = f", {kind}{part}" if dose.kind else ""
    beside = "; dots: stored by the planning system" if stored else ""
    fewer = f"; the {len(names)} largest of {len(there)}" if len(names) < len(there) else ""
    ax.set_title(
        f"Dose-volume histograms{which}{fewer}{beside}; {RESEARCH_USE}",
        loc="left", fontsize=9.5, color=INK, pad=18 if asked.prescription_gy is not None else 8,
    )  # fmt: skip
    return figure


def _label(name: str, one: StructureDose) -> str:
    """A name as the legend can show it: no formula, no letter that it lacks, none left out."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    font = get_font(findfont(FontProperties()))
    name = "".join(letter if font.get_char_index(ord(letter)) else "?" for letter in name)
    short = name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
    text = short.replace("$", r"\$")
    text = f" {text}" if text.startswith("_") else text
    return text if one.whole else f"{text} ({100 * one.covered:.3g} % covered)"
