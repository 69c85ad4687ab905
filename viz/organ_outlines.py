"""Organs at risk in pictures, at sites where they lie about the tumour and not around it.

In a head the organ is the picture; in a pelvis, a neck or a chest a planner looks for outlines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from viz.palette import ORANGE, PURPLE, SKY
from viz.plane_sampling import Plane, sample_voxels
from viz.slice_marks import halo
from viz.surfaces import mask_surface

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from viz.subject import Subject

__all__ = ["add_organs", "draw_organs", "organ_colours", "organ_lines", "organ_patches"]

_COLOURS = (SKY, PURPLE, "#9AD9C0", ORANGE, "#B9A7E0", "#D8C99B")


def organ_colours(subject: Subject) -> dict[str, str]:
    """Colour of each organ that pictures show; none in the brain or without a twin."""
    if subject.twin is None or subject.site.is_brain:
        return {}
    names = [
        name
        for name, one in subject.twin.structures.items()
        if one.kind == "organ" and name != "brain"
    ]
    return {name: _COLOURS[k % len(_COLOURS)] for k, name in enumerate(names)}


def _affine(subject: Subject) -> NDArray[np.float64]:
    if subject.twin is None:
        return np.eye(4)
    return np.asarray(subject.twin.grid.affine, float)


def draw_organs(ax: Axes, subject: Subject, plane: Plane) -> None:
    """Outlines of the organs on a slice."""
    for name, colour in organ_colours(subject).items():
        mask = subject.structure_mask(name)
        if mask is None:
            continue
        inside = sample_voxels(mask, _affine(subject), plane.points).reshape(plane.shape)
        if inside.max() > 0.5:
            drawn = ax.contour(
                plane.across, plane.up, inside, levels=[0.5], colors=[colour], linewidths=1.1
            )
            drawn.set_path_effects(halo(2.0))


def organ_lines(subject: Subject) -> list[Any]:
    """Lines of a legend of slices."""
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], color=colour, linewidth=1.5, label=name.replace("_", " "))
        for name, colour in organ_colours(subject).items()
    ]


def add_organs(plotter: Any, subject: Subject) -> None:
    """Organs as pale surfaces in a 3D scene, once."""
    for name, colour in organ_colours(subject).items():
        mask = subject.structure_mask(name)
        if mask is None or f"organ {name}" in plotter.actors:
            continue
        surface = mask_surface(mask, _affine(subject), sigma_mm=2.0, step_mm=2.0)
        if surface.n_points:
            plotter.add_mesh(
                surface, color=colour, opacity=0.35, smooth_shading=True, culling="back",
                name=f"organ {name}", render=False,
            )  # fmt: skip


def organ_patches(subject: Subject) -> list[Any]:
    """Patches of a legend of 3D scenes."""
    from matplotlib.patches import Patch

    return [
        Patch(facecolor=colour, alpha=0.6, label=name.replace("_", " "))
        for name, colour in organ_colours(subject).items()
    ]
