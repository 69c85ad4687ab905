"""A registered image over the fixed one in three planes, to be judged by eye."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from twin.images import Image, same_grid
from twin.storage import write_atomically
from viz.palette import INK, ORANGE, PAPER, RESEARCH_USE, SKY

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["ignored_on", "overlay_figure", "write_overlay"]

_PLANES = (  # name, normal axis, axis to the right, axis upwards, letters left and right
    ("axial", 2, 0, 1, ("L", "R")),
    ("coronal", 1, 0, 2, ("L", "R")),
    ("sagittal", 0, 1, 2, ("P", "A")),
)
_SQUARES = 8  # along the longer side of a picture
_CONTOUR_LEVELS = (0.25, 0.55)  # of the range of the registered image's values
_DPI = 110


def _scaled(data: NDArray[np.generic]) -> NDArray[np.float32]:
    """Values between the percentiles 0.5 and 99.5 as 0 to 1."""
    values = np.asarray(data, np.float32)
    low, high = np.percentile(values, (0.5, 99.5))
    if not high > low:
        low, high = float(values.min()), float(values.max())
    return np.asarray(np.clip((values - low) / max(high - low, 1e-12), 0.0, 1.0), np.float32)


def _middle(values: NDArray[np.float32], mask: NDArray[np.bool_] | None) -> list[int]:
    """The voxel that the planes go through: middle of the mask, else of what is bright."""
    there = mask if mask is not None and mask.any() else values > 0.12
    if not there.any():
        return [n // 2 for n in values.shape]
    return [round(float(place.mean())) for place in np.nonzero(there)]


def overlay_figure(
    fixed: Image,
    registered: Image,
    *,
    mask: NDArray[np.bool_] | None = None,
    title: str = "",
) -> Figure:
    """Three planes: a checkerboard of both images above, contours of one on the other below.

    Parameters
    ----------
    fixed, registered : Image
        On the same voxels.
    mask : ndarray of bool, shape of the images, or None
        What was ignored; its outline is drawn, and the planes go through its middle.
    title : str
        Such as the figures of quality, one line.

    Raises
    ------
    GeometryMismatch
        Images on different grids.
    """
    from matplotlib.figure import Figure

    same_grid(fixed, registered, names=("The fixed image", "the registered image"))
    a, b = _scaled(fixed.data), _scaled(registered.data)
    centre = _middle(a, mask)
    figure = Figure(figsize=(12.0, 8.6), facecolor=PAPER, layout="constrained")
    axes = figure.subplots(2, 3)
    for column, (name, normal, across, up, letters) in enumerate(_PLANES):
        below = np.asarray(np.take(a, centre[normal], axis=normal)).T
        above = np.asarray(np.take(b, centre[normal], axis=normal)).T
        size = (fixed.spacing_mm[across], fixed.spacing_mm[up])
        extent = (0.0, below.shape[1] * size[0], 0.0, below.shape[0] * size[1])
        outline = None if mask is None else mask.take(centre[normal], axis=normal).T.astype(float)
        top, bottom = axes[0, column], axes[1, column]
        _show(top, _checkerboard(below, above, extent), extent, f"{name}: both in squares", letters)
        _show(bottom, below, extent, f"{name}: outlines of the registered image", letters)
        _contours(bottom, above, extent, _CONTOUR_LEVELS, ORANGE)
        if outline is not None:
            for ax in (top, bottom):
                _contours(ax, outline, extent, (0.5,), SKY)
    note = "; blue: ignored" if mask is not None else ""
    figure.suptitle(f"{title}{note}  ({RESEARCH_USE})".strip(), color=INK, fontsize=11)
    return figure


def ignored_on(mask: Image, fixed: Image) -> NDArray[np.bool_]:
    """A mask of what was ignored on the voxels of an image, shape of `fixed`."""
    from twin.registration.resample import resample_labels
    from twin.registration.transform import SpatialTransform

    there = Image((np.asarray(mask.data) != 0).astype(np.uint8), mask.affine)
    return np.asarray(resample_labels(there, SpatialTransform(np.eye(4)), fixed).data != 0)


def _checkerboard(
    a: NDArray[np.float32], b: NDArray[np.float32], extent: tuple[float, float, float, float]
) -> NDArray[np.float32]:
    """Squares of one image and of the other in turn, of the same side in millimetres."""
    side = max(extent[1], extent[3]) / _SQUARES
    row = (np.arange(a.shape[0]) + 0.5) * extent[3] / a.shape[0] // side
    column = (np.arange(a.shape[1]) + 0.5) * extent[1] / a.shape[1] // side
    return np.where((row[:, None] + column[None, :]) % 2 == 0, a, b)


def _show(
    ax: Axes,
    picture: NDArray[np.float32],
    extent: tuple[float, float, float, float],
    title: str,
    letters: tuple[str, str],
) -> None:
    ax.imshow(picture, origin="lower", extent=extent, cmap="gray", vmin=0, vmax=1)
    ax.set_title(title, fontsize=10, color=INK)
    ax.set_axis_off()
    for place, letter in zip((0.02, 0.98), letters, strict=True):
        ax.text(
            place,
            0.5,
            letter,
            transform=ax.transAxes,
            color="white",
            fontsize=11,
            ha="left" if place < 0.5 else "right",
        )


def _contours(
    ax: Axes,
    values: NDArray[np.floating],
    extent: tuple[float, float, float, float],
    levels: tuple[float, ...],
    colour: str,
) -> None:
    inside = tuple(level for level in levels if float(values.min()) < level < float(values.max()))
    if inside and min(values.shape) > 1:
        ax.contour(
            values, levels=inside, colors=colour, linewidths=0.9, origin="lower", extent=extent
        )


def write_overlay(
    path: Path,
    fixed: Image,
    registered: Image,
    *,
    mask: NDArray[np.bool_] | None = None,
    title: str = "",
) -> None:
    """Write `overlay_figure` as PNG, whole or not at all."""
    figure = overlay_figure(fixed, registered, mask=mask, title=title)
    write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=_DPI, format="png"))
