"""Three orthogonal slices through the tumour, with contours and dose over the anatomy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from viz.organ_outlines import draw_organs, organ_colours, organ_lines
from viz.palette import (
    CAVITY_LINE,
    DOSE_MAP,
    RESEARCH_USE,
    THRESHOLD_COLOURS,
)
from viz.plane_sampling import ORIENTATIONS, MeshSampler, Plane, sample_voxels
from viz.slice_marks import bare_axes, draw_scale_bar, halo, side_letters
from viz.subject import Subject, subject_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from twin.patient import Twin

__all__ = ["SliceViews", "slices"]

#: Isodose lines are drawn at these fractions of the prescription, the last of a boost too, [1].
ISODOSES = (0.5, 0.8, 0.95)
_RASTER_MM = 0.75
_TISSUE_GREY = {"fluid": 0.12, "grey_matter": 0.55, "white_matter": 0.8}


class SliceViews:
    """Planes through the tumour with all that is needed to draw fields on them, found once.

    Parameters
    ----------
    subject : Subject
    centre : sequence of float or None, [mm]
        RAS position that the three planes go through; the tumour's centre on day 0 if None.
    """

    def __init__(self, subject: Subject, centre: Sequence[float] | None = None) -> None:
        self.subject = subject
        self.centre = np.asarray(subject.tumour_centre if centre is None else centre, float)
        low, high = subject.points.min(axis=0) - 6.0, subject.points.max(axis=0) + 6.0
        self.planes: dict[str, Plane] = {}
        self._anatomy: dict[str, NDArray[np.float64]] = {}
        self._tissue: dict[str, MeshSampler] = {}
        self._whole: dict[str, MeshSampler] = {}
        for orientation, (first, second, normal) in ORIENTATIONS.items():
            plane = Plane(
                orientation,
                float(self.centre[normal]),
                np.arange(low[first], high[first], _RASTER_MM),
                np.arange(low[second], high[second], _RASTER_MM),
            )
            self.planes[orientation] = plane
            self._tissue[orientation] = MeshSampler(
                subject.points, subject.tissue_cells, plane.points
            )
            self._whole[orientation] = MeshSampler(subject.points, subject.cells, plane.points)
            self._anatomy[orientation] = self._grey(plane)
        self._half_height = 0.5 * max(float(np.ptp(plane.up)) for plane in self.planes.values())

    def _grey(self, plane: Plane) -> NDArray[np.float64]:
        """T1 image of a plane, or greys of the tissues without one, scaled to 0 to 1."""
        subject = self.subject
        if subject.twin is not None and subject.twin.image is not None:
            affine = np.asarray(subject.twin.grid.affine, float)
            values = sample_voxels(subject.twin.image, affine, plane.points).reshape(plane.shape)
            bright = values[values > 0]
            # Enhancing tumour may saturate; the rest of the brain keeps its contrast.
            top = np.percentile(bright, 95.0) if bright.size else 1.0
            return np.clip(0.8 * values / top, 0.0, 1.0)
        grey = np.zeros(len(subject.points))
        for number, name in subject.label_names.items():
            nodes = subject.cells[subject.cell_label == number].ravel()
            grey[nodes] = np.maximum(grey[nodes], _TISSUE_GREY.get(name, 0.65))
        return self._whole[plane.orientation](grey).reshape(plane.shape)

    def on_plane(
        self, values: NDArray[np.float64], orientation: str, *, fluid: bool = False
    ) -> NDArray[np.float64]:
        """A nodal field on the raster of a plane; 0 outside (and in fluid, unless asked)."""
        sampler = (self._whole if fluid else self._tissue)[orientation]
        return sampler(values).reshape(self.planes[orientation].shape)

    def draw(
        self,
        ax: Axes,
        orientation: str,
        *,
        scenario: str | None = None,
        day: float = 0.0,
        case: str | None = None,
        show_dose: bool = True,
        letters: bool = True,
        scale_bar: bool = True,
        zoom_mm: float | None = None,
    ) -> Axes:
        """One slice drawn into `ax`, which is returned.

        Parameters
        ----------
        ax : matplotlib.axes.Axes
        orientation : {"axial", "coronal", "sagittal"}
        scenario, case : str or None
            The first ones if None.
        day : float, [day]
            The nearest kept day is drawn.
        show_dose, letters, scale_bar : bool
            Isodose lines and wash; letters of the sides; a bar of 2 cm.
        zoom_mm : float or None, [mm]
            Half width of the square around the tumour that is shown; all if None.
        """
        subject, plane = self.subject, self.planes[orientation]
        name = subject.scenarios[0] if scenario is None else scenario
        self.draw_anatomy(ax, orientation)
        if show_dose:
            self._draw_dose(ax, orientation, name)
        self._draw_cavity(ax, orientation, name, day)
        draw_organs(ax, subject, plane)
        density = self.on_plane(subject.density(day, scenario=name, case=case), orientation)
        # The lower level first and wider, so that both are seen where they run together.
        thresholds = list(subject.thresholds.items())
        for place, (threshold, level) in reversed(list(enumerate(thresholds))):
            width = 1.5 + 0.9 * place
            if density.max() > level:
                outline = ax.contour(
                    plane.across,
                    plane.up,
                    density,
                    levels=[level],
                    colors=[THRESHOLD_COLOURS.get(threshold, "white")],
                    linewidths=width,
                )
                outline.set_path_effects(halo(width + 1.2))
        bare_axes(ax)
        self.frame(ax, orientation, zoom_mm)
        if letters:
            side_letters(ax, orientation)
        if scale_bar:
            draw_scale_bar(ax)
        return ax

    def draw_anatomy(self, ax: Axes, orientation: str) -> None:
        """The image of a slice, or greys of its tissues."""
        plane = self.planes[orientation]
        ax.imshow(
            self._anatomy[orientation],
            extent=(plane.across[0], plane.across[-1], plane.up[0], plane.up[-1]),
            origin="lower",
            cmap="gray",
            vmin=0.0,
            vmax=1.05,
            interpolation="bilinear",
        )

    def frame(self, ax: Axes, orientation: str, zoom_mm: float | None = None) -> None:
        """Limits of the view; left and right by the radiological convention."""
        plane = self.planes[orientation]
        first, second, _ = ORIENTATIONS[orientation]
        if zoom_mm is None:
            across = (plane.across[0], plane.across[-1])
            middle = 0.5 * (plane.up[0] + plane.up[-1])
            up = (middle - self._half_height, middle + self._half_height)
        else:
            across = (self.centre[first] - zoom_mm, self.centre[first] + zoom_mm)
            up = (self.centre[second] - zoom_mm, self.centre[second] + zoom_mm)
        # R on the left of axial and coronal views, A on the left of the sagittal one.
        ax.set_xlim(across[1], across[0])
        ax.set_ylim(*up)

    def _draw_dose(self, ax: Axes, orientation: str, scenario: str) -> None:
        subject, plane = self.subject, self.planes[orientation]
        dose, prescription = subject.dose(scenario), subject.prescription(scenario)
        if dose is None or not prescription > 0:
            return
        shown = self.on_plane(dose, orientation, fluid=True)
        boost = subject.boost(scenario)
        top = 1.1 * max(prescription, boost)
        wash = np.ma.masked_less(shown, 0.2 * prescription)
        ax.imshow(
            wash,
            extent=(plane.across[0], plane.across[-1], plane.up[0], plane.up[-1]),
            origin="lower",
            cmap=DOSE_MAP,
            vmin=0.0,
            vmax=top,
            alpha=0.20,
            interpolation="bilinear",
        )
        wanted = [fraction * prescription for fraction in ISODOSES]
        if boost > 0:
            wanted.append(ISODOSES[-1] * boost)
        levels = [level for level in wanted if shown.max() > level]
        if levels:
            lines = ax.contour(
                plane.across,
                plane.up,
                shown,
                levels=levels,
                cmap=DOSE_MAP,
                vmin=0.0,
                vmax=top,
                linewidths=0.9,
                linestyles="--",
            )
            labels = ax.clabel(lines, fmt=lambda gray: f"{gray:.3g} Gy", fontsize=7.5)
            for label in labels:
                label.set_color("white")
                label.set_path_effects(halo(2.0))

    def _draw_cavity(self, ax: Axes, orientation: str, scenario: str, day: float) -> None:
        subject, plane = self.subject, self.planes[orientation]
        for structure in subject.resected(scenario, subject.nearest_field_day(day)):
            mask = subject.structure_mask(structure)
            if mask is None or subject.twin is None:
                continue
            affine = np.asarray(subject.twin.grid.affine, float)
            inside = sample_voxels(mask, affine, plane.points).reshape(plane.shape)
            if inside.max() > 0.5:
                ax.contourf(
                    plane.across, plane.up, inside, levels=[0.5, 2.0], colors=["black"], alpha=0.75
                )
                ax.contour(
                    plane.across,
                    plane.up,
                    inside,
                    levels=[0.5],
                    colors=[CAVITY_LINE],
                    linewidths=1.4,
                    linestyles=":",
                )


def slices(
    results: xr.Dataset | Subject | SliceViews,
    *,
    scenario: str | None = None,
    day: float | Sequence[float] = 0.0,
    case: str | None = None,
    twin: Twin | None = None,
    centre: Sequence[float] | None = None,
    figure: Figure | None = None,
    show_dose: bool = True,
) -> Figure:
    """A figure of axial, coronal and sagittal slices through the tumour, a row for each day.

    Parameters
    ----------
    results : xarray.Dataset, Subject or SliceViews
        A study or a run; `SliceViews` shares its planes among figures.
    scenario, case : str or None
        The first ones if None.
    day : float or sequence of float, [day]
        The nearest kept days are drawn and named.
    twin : Twin or None
        Gives the T1 image; without it the tissues of the mesh are drawn in greys.
    centre : sequence of float or None, [mm]
        RAS position of the planes; the tumour's centre on day 0 if None.
    figure : matplotlib.figure.Figure or None
        Drawn into if given.
    show_dose : bool
        Isodose lines and a wash in the first row, in Gy of physical dose.
    """
    from matplotlib.figure import Figure as NewFigure

    views = results
    if not isinstance(views, SliceViews):
        views = SliceViews(subject_of(results, twin), centre)  # type: ignore[arg-type]
    subject = views.subject
    name = subject.scenarios[0] if scenario is None else scenario
    days = [subject.nearest_field_day(float(one)) for one in np.atleast_1d(day)]
    height = 0.95 + 4.35 * len(days)
    if figure is None:
        figure = NewFigure(figsize=(13.0, height), dpi=100, facecolor="black")
    widths = [float(np.ptp(plane.across)) for plane in views.planes.values()]
    grid = figure.subplots(len(days), 3, width_ratios=widths, squeeze=False)
    for row, (axes, shown) in enumerate(zip(grid, days, strict=True)):
        for ax, orientation in zip(axes, ORIENTATIONS, strict=True):
            first = orientation == "axial"
            views.draw(
                ax,
                orientation,
                scenario=name,
                day=shown,
                case=case,
                show_dose=show_dose and row == 0,
                scale_bar=first,
            )
            normal = ORIENTATIONS[orientation][2]
            where = f"{orientation}, {'RAS'[normal]} = {views.centre[normal]:.0f} mm"
            when = f"day {shown:g}, {subject.calendar.text(shown)}: " if first else ""
            ax.set_title(when + where, color="white", fontsize=10)
    figure.suptitle(
        name or "tumour", color="white", fontsize=14, x=0.015, y=1 - 0.13 / height, ha="left"
    )
    _words(figure, subject, name, max(days), show_dose, height)
    figure.subplots_adjust(
        left=0.01,
        right=0.99,
        bottom=(0.65 if organ_colours(subject) else 0.4) / height,
        top=1 - 0.75 / height,
        wspace=0.02,
        hspace=0.09,
    )
    return figure


def _words(
    figure: Figure, subject: Subject, scenario: str, day: float, show_dose: bool, height: float
) -> None:
    """Legend, banner and the convention of sides."""
    from matplotlib.lines import Line2D

    handles: list[Any] = [
        Line2D(
            [],
            [],
            color=THRESHOLD_COLOURS.get(threshold, "white"),
            linewidth=2,
            label=f"{subject.site.threshold(threshold)} outline (visible density {level:g})",
        )
        for threshold, level in subject.thresholds.items()
    ]
    if show_dose and subject.dose(scenario) is not None and subject.prescription(scenario) > 0:
        label = "isodose of the whole plan (physical dose)"
        handles.append(Line2D([], [], color="#D060F0", linestyle="--", label=label))
    handles += organ_lines(subject)
    if subject.resected(scenario, day):
        label = "resection cavity"
        handles.append(Line2D([], [], color=CAVITY_LINE, linestyle=":", label=label))
    figure.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0.01, 0.0),
        ncols=4,
        frameon=False,
        labelcolor="white",
        fontsize=9,
    )
    figure.text(
        0.985,
        1 - 0.2 / height,
        RESEARCH_USE.capitalize(),
        color="#F0E442",
        fontsize=10,
        ha="right",
        va="center",
    )
    figure.text(
        0.985,
        1 - 0.42 / height,
        "radiological convention: the patient's right is on the viewer's left",
        color="#C9CDD3",
        fontsize=8.5,
        ha="right",
        va="center",
    )
