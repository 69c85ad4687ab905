"""Marks on slices: sides of the patient, a scale, lines that are seen on any ground."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["bare_axes", "draw_scale_bar", "halo", "side_letters"]


def halo(width: float) -> list[Any]:
    """A dark edge, so that a line is seen over bright and dark tissue alike."""
    from matplotlib import patheffects

    return [patheffects.withStroke(linewidth=width, foreground="black", alpha=0.65)]


def bare_axes(ax: Axes) -> None:
    """Take ticks and frame away; black ground, millimetres of one length both ways."""
    ax.set_facecolor("black")
    ax.set_aspect("equal")
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_visible(False)


def side_letters(ax: Axes, orientation: str) -> None:
    """Letters of the patient's sides at the edges of a slice, by the radiological convention."""
    left, right, bottom, top = {
        "axial": ("R", "L", "P", "A"),
        "coronal": ("R", "L", "I", "S"),
        "sagittal": ("A", "P", "I", "S"),
    }[orientation]
    for x, y, text in (
        (0.03, 0.5, left),
        (0.97, 0.5, right),
        (0.5, 0.04, bottom),
        (0.5, 0.96, top),
    ):
        ax.text(
            x,
            y,
            text,
            transform=ax.transAxes,
            color="white",
            ha="center",
            va="center",
            fontsize=10,
            fontweight="bold",
        )


def draw_scale_bar(ax: Axes, length_mm: float = 20.0) -> None:
    """A bar of `length_mm` [mm] at the lower right."""
    high, low = ax.get_xlim()
    bottom, top = ax.get_ylim()
    left = low + 0.05 * (high - low)
    y = bottom + 0.05 * (top - bottom)
    # The x axis runs from right to left: the bar ends at the viewer's right.
    ax.plot([left, left + length_mm], [y, y], color="white", linewidth=2.5, solid_capstyle="butt")
    ax.text(
        left + length_mm / 2,
        y + 0.02 * (top - bottom),
        f"{length_mm:g} mm",
        color="white",
        ha="center",
        va="bottom",
        fontsize=8,
    )
