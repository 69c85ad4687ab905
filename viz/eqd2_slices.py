"""EQD2 on slices: isodose lines over the anatomy and the targets, for tumour and late effects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scenarios.metrics import eqd2
from scenarios.organs import eqd2_map
from twin.errors import InvalidInput
from twin.targets import clinical_target, gross_target, planning_target
from viz.palette import RESEARCH_USE
from viz.plane_sampling import ORIENTATIONS, sample_voxels
from viz.slice_marks import bare_axes, draw_scale_bar, halo, side_letters
from viz.slice_views import SliceViews

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from twin.patient import Twin
    from twin.radiotherapy import Radiotherapy

__all__ = ["TISSUES", "eqd2_slices", "has_eqd2"]

#: Parameters that are the alpha/beta of a row, and what the row is for.
TISSUES = {"alpha_beta": "tumour", "alpha_beta_brain": "late effects in brain"}
#: Isodose lines, as shares of the prescription's EQD2 (of the boost's, the last), and colours
#: that are told apart on grey by colour-blind readers too.
LINES = {0.3: "#56B4E9", 0.5: "#009E73", 0.8: "#F0E442", 0.95: "#E69F00", 1.05: "#D55E00"}
_BOOST_LINE = "#CC79A7"
_TARGETS: dict[str, tuple[str, Any]] = {
    "GTV": ("#FF5A5A", "-"),
    "CTV": ("#FFFFFF", "--"),
    "PTV": ("#FFFFFF", ":"),
}
_ORGAN = "#B08CFF"


def has_eqd2(views: SliceViews, scenario: str) -> bool:
    """Whether there is a patient, whose grid the dose lies on, and radiotherapy of one map."""
    courses = views.subject.regimen(scenario).radiotherapy
    redrawn = any(course.replans for course in courses)  # has no one map
    return views.subject.twin is not None and bool(courses) and not redrawn


def eqd2_slices(views: SliceViews, scenario: str) -> Figure:
    """Axial, coronal and sagittal EQD2 of an arm, a row for each alpha/beta.

    What was delivered before day 0 is in it. The levels are shares of the EQD2 of the first
    course's prescription, written in Gy.

    Parameters
    ----------
    views : SliceViews
        Of a study with its patient.
    scenario : str
        An arm with radiotherapy.
    """
    from matplotlib.figure import Figure as NewFigure

    subject, twin = views.subject, views.subject.twin
    if twin is None or not has_eqd2(views, scenario):
        raise InvalidInput(
            f"There is no EQD2 to draw of {scenario!r}: it needs the patient and radiotherapy."
        )
    regimen = subject.regimen(scenario)
    course = regimen.radiotherapy[0]
    rows = [name for name in TISSUES if name in twin.parameters]
    outlines = _outlines(twin, course)
    height = 1.35 + 4.2 * len(rows)
    figure = NewFigure(figsize=(13.6, height), dpi=100, facecolor="black")
    widths = [float(np.ptp(plane.across)) for plane in views.planes.values()]
    grid = figure.subplots(len(rows), 3, width_ratios=widths, squeeze=False)
    for axes, parameter in zip(grid, rows, strict=True):
        alpha_beta = twin.parameters.value(parameter)
        dose = eqd2_map(twin, regimen, alpha_beta).astype(np.float32)
        levels = _levels(course, alpha_beta)
        for ax, orientation in zip(axes, ORIENTATIONS, strict=True):
            _draw(views, ax, orientation, dose, levels, outlines)
            normal = ORIENTATIONS[orientation][2]
            ax.set_title(
                f"{orientation}, {'RAS'[normal]} = {views.centre[normal]:.0f} mm",
                color="#C9CDD3", fontsize=9,
            )  # fmt: skip
        _key(axes[0], levels, f"{TISSUES[parameter]}: alpha/beta {alpha_beta:g} Gy")
    figure.suptitle(
        f"{scenario}: EQD2 [Gy]", color="white", fontsize=14, x=0.015, y=1 - 0.13 / height,
        ha="left",
    )  # fmt: skip
    _words(figure, height, _remarks(twin, course))
    figure.subplots_adjust(
        left=0.13, right=0.99, bottom=0.5 / height, top=1 - 0.75 / height, wspace=0.02, hspace=0.09
    )
    return figure


def _levels(course: Radiotherapy, alpha_beta: float) -> dict[float, tuple[str, str]]:
    """Levels [Gy EQD2], each with its colour and words."""
    prescribed = float(eqd2(course.total_dose_gy, course.fractions, alpha_beta))
    found = {
        share * prescribed: (colour, f"{share * prescribed:.1f} Gy ({share:.0%})")
        for share, colour in LINES.items()
    }
    if course.boost_total_dose_gy is not None:
        boost = 0.95 * float(eqd2(course.boost_total_dose_gy, course.fractions, alpha_beta))
        found[boost] = (_BOOST_LINE, f"{boost:.1f} Gy (boost 95%)")
    return dict(sorted(found.items()))


def _outlines(twin: Twin, course: Radiotherapy) -> dict[str, NDArray[np.bool_]]:
    """The targets of a course, and the organs at risk but the brain itself."""
    found = {"GTV": gross_target(twin, course)}
    if course.dose is None:
        found |= {"CTV": clinical_target(twin, course), "PTV": planning_target(twin, course)}
    for name, structure in twin.structures.items():
        if structure.kind == "organ" and name != "brain" and structure.mask.any():
            found[name] = structure.mask
    return found


def _draw(
    views: SliceViews,
    ax: Axes,
    orientation: str,
    dose: NDArray[np.float32],
    levels: dict[float, tuple[str, str]],
    outlines: dict[str, NDArray[np.bool_]],
) -> None:
    plane, twin = views.planes[orientation], views.subject.twin
    assert twin is not None  # noqa: S101
    affine = np.asarray(twin.grid.affine, float)
    views.draw_anatomy(ax, orientation)
    for name, mask in outlines.items():
        inside = sample_voxels(mask, affine, plane.points).reshape(plane.shape)
        if inside.max() > 0.5:
            colour, style = _TARGETS.get(name, (_ORGAN, "-"))
            width = 1.3 if name in _TARGETS else 0.9
            ax.contour(
                plane.across, plane.up, inside, levels=[0.5], colors=[colour],
                linewidths=width, linestyles=style,
            )  # fmt: skip
    shown = sample_voxels(dose, affine, plane.points).reshape(plane.shape)
    for level, (colour, _) in levels.items():
        if shown.max() > level:
            lines = ax.contour(
                plane.across, plane.up, shown, levels=[level], colors=[colour], linewidths=1.5
            )
            lines.set_path_effects(halo(2.6))
    bare_axes(ax)
    views.frame(ax, orientation)
    side_letters(ax, orientation)
    if orientation == "axial":
        draw_scale_bar(ax)


def _key(ax: Axes, levels: dict[float, tuple[str, str]], title: str) -> None:
    """The levels of a row, highest first, at its left, clear of the picture."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=colour, linewidth=2, label=words)
        for _, (colour, words) in sorted(levels.items(), reverse=True)
    ]
    words, _, value = title.partition(": ")
    words = words.replace(" in ", "\nin ")
    key = ax.legend(
        handles=handles, title=f"{words}\n{value}\n", loc="center right",
        bbox_to_anchor=(-0.02, 0.5), frameon=False, labelcolor="white", fontsize=8.5,
        handlelength=1.3, borderaxespad=0.0,
    )  # fmt: skip
    key.get_title().set_color("white")
    key.get_title().set_fontsize(10)


def _remarks(twin: Twin, course: Radiotherapy) -> str:
    remarks = "in brackets the share of the prescription's EQD2"
    if twin.delivered.radiotherapy:
        remarks += "; what was given before day 0 is in it"
    if course.dose is None:
        remarks += "; geometric dose, outside the PTV a lower bound"
    return remarks


def _words(figure: Figure, height: float, remarks: str) -> None:
    from matplotlib.lines import Line2D

    handles: list[Any] = [
        Line2D([], [], color=colour, linestyle=style, label=name)
        for name, (colour, style) in _TARGETS.items()
    ]
    handles.append(Line2D([], [], color=_ORGAN, label="organs at risk"))
    figure.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(0.01, 0.0), ncols=4, frameon=False,
        labelcolor="white", fontsize=9,
    )  # fmt: skip
    for y, words, colour, size in (
        (1 - 0.2 / height, RESEARCH_USE.capitalize(), "#F0E442", 10),
        (
            1 - 0.42 / height,
            "radiological convention: the patient's right is on the viewer's left",
            "#C9CDD3",
            8.5,
        ),
        (
            0.22 / height,
            remarks,
            "#C9CDD3",
            8.5,
        ),
    ):
        figure.text(0.985, y, words, color=colour, fontsize=size, ha="right", va="center")
