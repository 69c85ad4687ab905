"""The quality of a mesh as one self-contained page: pictures, angles, volumes, places."""

from __future__ import annotations

import io
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from twin.results import RESEARCH_USE_ONLY
from twin.storage import write_atomically
from viz.html import Raw, image, items, paragraph, section, text
from viz.mesh_scene import draw_mesh_scene
from viz.mesh_slices import MeshSlices
from viz.quality_sections import bars_section, labels_section, others_section, solver_section

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from viz.label_surfaces import LabelSurface
    from viz.quality_subject import QualitySubject

__all__ = ["write_quality_page"]

_VIEWS = ("axial", "coronal", "sagittal")
#: Half width of the views from near, [mm], and in cells where these are larger.
_ZOOM_MM, _ZOOM_CELLS = 28.0, 14.0
_CONTENTS = {
    "bars": "Bars",
    "planes": "Planes",
    "scene": "3D",
    "angles": "Angles",
    "labels": "Labels",
    "solver": "Solver",
    "others": "Coarser meshes",
}


def write_quality_page(subject: QualitySubject, target: Path, *, title: str) -> Path:
    """Path of the page, written whole or not at all.

    Parameters
    ----------
    subject : QualitySubject
    target : path
        The HTML file; its folder must exist.
    title : str
        Heading, such as "Quality of the mesh". Never the name of a person or a file.

    Raises
    ------
    StorageFailed
        It cannot be written.
    """
    page = _page(subject, title)
    write_atomically(target, lambda part: part.write_text(page, encoding="utf-8"))
    return target


def _page(subject: QualitySubject, title: str) -> str:
    picture, surfaces = draw_mesh_scene(subject.mesh, subject.centre)
    sections = [
        bars_section(subject),
        _planes_section(subject),
        _scene_section(subject, picture, surfaces),
        _angles_section(subject),
        labels_section(subject),
        solver_section(subject),
        others_section(subject),
    ]
    shown = [part for part in sections if part]
    style = files("viz").joinpath("report.css").read_text(encoding="utf-8")
    links = " ".join(
        f'<a href="#{anchor}">{text(name)}</a>'
        for anchor, name in _CONTENTS.items()
        if any(part.startswith(f'<section id="{anchor}"') for part in shown)
    )
    return (
        '<!DOCTYPE html>\n<html lang="en-GB">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)} (research use only)</title>\n<style>\n{style}</style>\n</head>\n"
        f'<body>\n<div class="banner" role="note">{text(RESEARCH_USE_ONLY)}</div>\n'
        f'<nav aria-label="Contents">{links}</nav>\n<main>\n<h1>{text(title)}</h1>\n'
        + str(items(subject.notes))
        + "\n".join(shown)
        + "\n</main>\n</body>\n</html>\n"
    )


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _planes_section(subject: QualitySubject) -> Raw:
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    slices = MeshSlices(subject.mesh, subject.labels, subject.affine, subject.image, subject.centre)
    near = np.linalg.norm(subject.mesh.points - subject.centre, axis=1).argsort()[:50]
    cells = np.isin(subject.mesh.cells, near).any(axis=1)
    zoom = max(_ZOOM_MM, _ZOOM_CELLS * float(subject.mesh.edge_length()[cells].mean()))
    zoom = min(zoom, 0.5 * float(np.ptp(subject.mesh.points, axis=0).max()))
    figure = Figure(figsize=(14.0, 9.8), layout="constrained", dpi=100, facecolor="black")
    axes = figure.subplots(2, 3)
    for column, view in enumerate(_VIEWS):
        slices.draw(axes[0, column], view)
        slices.draw(axes[1, column], view, zoom_mm=zoom, voxels=True)
    present = set(np.unique(subject.mesh.cell_label).tolist())
    named = [name for number, name in subject.mesh.label_names.items() if number in present]
    if len(named) <= 12:
        figure.legend(
            handles=[
                Line2D([], [], color=slices.colours[name], label=name.replace("_", " "))
                for name in named
            ],
            loc="outside lower center",
            ncols=min(len(named), 6),
            facecolor="black",
            labelcolor="white",
            edgecolor="black",
        )
    ground = "the image" if subject.image is not None else "the labelled voxels"
    words = (
        f"The elements over {ground} in three planes through the centre of {subject.centre_of}: "
        "all of it, and from near. Thick lines are where the labels meet; the dotted steps are "
        "the voxels' labels."
    )
    return section("planes", "Mesh over image", image(_png(figure), words, words))


def _scene_section(subject: QualitySubject, picture: Any, surfaces: dict[str, LabelSurface]) -> Raw:
    from matplotlib.image import imsave

    buffer = io.BytesIO()
    imsave(buffer, picture, format="png")
    worst = max(surfaces, key=lambda name: abs(surfaces[name].volume_error))
    words = (
        f"Left: cut open at the centre of {subject.centre_of}. Right: surfaces smoothed for the "
        "picture alone, which changes what they enclose by at most "
        f"{100 * abs(surfaces[worst].volume_error):.1f} % ({worst.replace('_', ' ')})."
    )
    return section("scene", "In three dimensions", image(buffer.getvalue(), words, words))


def _angles_section(subject: QualitySubject) -> Raw:
    from matplotlib.figure import Figure

    from twin.meshing.geometry import dihedral_extremes
    from viz.palette import BLUE, INK, ORANGE, VERMILLION

    smallest, largest = dihedral_extremes(subject.mesh.points, subject.mesh.cells)
    limits = subject.limits
    figure = Figure(figsize=(10.0, 3.4), layout="constrained", dpi=100)
    ax = figure.subplots()
    bins = [2.0 * edge for edge in range(91)]
    ax.hist(smallest, bins, color=BLUE, alpha=0.85, label="smallest of each element")
    ax.hist(largest, bins, color=ORANGE, alpha=0.85, label="largest of each element")
    ax.set_yscale("log")
    for x in (limits.smallest_dihedral_deg, limits.largest_dihedral_deg):
        ax.axvline(x, color=VERMILLION, label="bars" if x < 90 else None)
    for x in (limits.wanted_smallest_deg, limits.wanted_largest_deg):
        ax.axvline(x, color=INK, linestyle="--", label="targets" if x < 90 else None)
    ax.set_xlim(0.0, 180.0)
    ax.set_xticks(np.arange(0, 181, 20))
    ax.set_xlabel("dihedral angle [degree]")
    ax.set_ylabel("elements")
    ax.legend(frameon=False, loc="upper center", ncols=4, bbox_to_anchor=(0.5, 1.18))
    below = [(bound, float((smallest < bound).mean())) for bound in (20.0, 30.0)]
    first = np.percentile(smallest, 1)
    return section(
        "angles",
        "Angles",
        image(_png(figure), "Histogram of the smallest and largest dihedral angles.", ""),
        paragraph(
            "Smallest dihedral angle of each element: first percentile "
            f"{first:.1f}°, median {np.median(smallest):.1f}°; "
            + " and ".join(f"{100 * part:.3g} % are below {bound:.0f}°" for bound, part in below)
            + "."
        ),
    )
