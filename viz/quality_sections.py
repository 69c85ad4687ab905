"""Tables and sentences of a quality page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from viz.html import Raw, items, paragraph, section, table

if TYPE_CHECKING:
    from twin.meshing.inspection import Spot
    from viz.quality_subject import QualitySubject

__all__ = ["bars_section", "labels_section", "others_section", "solver_section"]


def bars_section(subject: QualitySubject) -> Raw:
    """Whether the mesh passes, each figure against its bar and its target, and where it is."""
    verdict, limits, found = subject.verdict, subject.limits, subject.inspection
    rows: list[list[object]] = [
        [
            "smallest dihedral angle",
            f"{found.smallest_dihedral.value:.1f}°",
            f"at least {limits.smallest_dihedral_deg:g}°",
            f"{limits.wanted_smallest_deg:g}°",
            _place(found.smallest_dihedral),
        ],
        [
            "largest dihedral angle",
            f"{found.largest_dihedral.value:.1f}°",
            f"at most {limits.largest_dihedral_deg:g}°",
            f"{limits.wanted_largest_deg:g}°",
            _place(found.largest_dihedral),
        ],
        [
            "smallest element",
            f"{found.smallest_volume.value:.3g} mm³",
            "above 0",
            "",
            _place(found.smallest_volume),
        ],
    ]
    if found.cut_off is not None:
        rows.append(
            [
                "cut off from the rest though its voxels are not",
                f"{100 * found.cut_off.value:.2g} %",
                f"at most {100 * limits.cut_off_part:g} %",
                "",
                _place(found.cut_off) if found.cut_off.value > 0 else "",
            ]
        )
    judged = (
        "The mesh passes the quality gate."
        if verdict.passed
        else "The mesh does not pass the quality gate."
    )
    size = f"{len(subject.mesh.points):,} nodes, {len(subject.mesh.cells):,} tetrahedra."
    parts = [paragraph(judged, size)]
    if verdict.failures:
        parts += [paragraph("Below a bar:", kind="warning"), items(verdict.failures)]
    if verdict.short:
        parts += [paragraph("Within the bars, but short of the targets:"), items(verdict.short)]
    heads = ["", "found", "bar", "target", "where (RAS, mm)"]
    return section("bars", "Bars", *parts, table(heads, rows))


def _place(spot: Spot) -> str:
    where = ", ".join(f"{x:.1f}" for x in spot.where_mm)
    return f"{spot.label.replace('_', ' ')} ({where})" if spot.label else f"({where})"


def labels_section(subject: QualitySubject) -> Raw:
    """Volume, place and surface of every label against its voxels; what is lost of thin layers."""
    heads = [
        "",
        "voxels, ml",
        "mesh, ml",
        "difference",
        "bar",
        "cells, mm",
        "at least two cells wide",
        "voxels misplaced",
        "surfaces apart, mm",
        "image's surface from mesh's, mm",
    ]
    rows = []
    for name, figures in subject.inspection.labels.items():
        apart = subject.distances.get(name)
        small = figures.cells_wide < subject.limits.small_cells
        rows.append(
            [
                name.replace("_", " "),
                f"{figures.voxel_mm3 / 1000:.2f}",
                f"{figures.mesh_mm3 / 1000:.2f}",
                f"{round(100 * figures.volume_error, 1) + 0.0:+.1f}\u00a0%",
                "not judged" if small else f"±{100 * subject.limits.volume_bar(figures):g}\u00a0%",
                f"{figures.cell_mm:.1f}",
                f"{100 * figures.thick_part:.0f} %",
                f"{100 * figures.misplaced:.1f} %",
                "" if apart is None else f"{apart.mean_mm:.2f}",
                "" if apart is None else f"{apart.from_image_mm:.2f}",
            ]
        )
    lost = [
        f"{name.replace('_', ' ')}: {100 * figures.misplaced:.0f} % of its voxels lie in elements "
        "of another label, or in none"
        for name, figures in subject.inspection.labels.items()
        if figures.thin and figures.misplaced > 0.05
    ]
    parts = [
        table(heads, rows),
        paragraph(
            "Surfaces apart is the mean distance between the surface of a label in the mesh and "
            "in the image, both ways; its last column is the way from the image, which is long "
            "where a layer is missing from the mesh.",
            kind="small",
        ),
    ]
    if lost:
        parts += [
            paragraph(
                "Layers thinner than two cells keep their volume, not everywhere their place:"
            ),
            items(lost),
        ]
    if subject.verdict.remarks:
        parts += [paragraph("How the labels were judged:"), items(subject.verdict.remarks)]
    return section("labels", "Labels against their voxels", *parts)


def solver_section(subject: QualitySubject) -> Raw:
    """The share of stiffness of the wrong sign, and what the solver does about it."""
    share = subject.share
    return section(
        "solver",
        "What the solver meets",
        paragraph(
            f"With {subject.share_of}, {100 * share.by_number:.1f} % of the edges have a positive "
            f"off-diagonal in the stiffness matrix (a negative transmissibility), "
            f"{100 * share.by_value:.2f} % of all by value. The solver sets these to zero, which "
            "keeps the sum of every row, so that cells are conserved and no density becomes "
            "negative, and scales the others so that every node spreads its cells as fast as "
            "before."
        ),
    )


def others_section(subject: QualitySubject) -> Raw:
    """The coarser meshes; nothing where there are none."""
    if not subject.others:
        return Raw("")
    rows = [
        [
            name,
            f"{len(other.mesh.points):,}",
            f"{other.inspection.smallest_dihedral.value:.1f}°",
            f"{other.inspection.largest_dihedral.value:.1f}°",
            "passes" if other.verdict.passed else "does not pass",
        ]
        for name, other in subject.others.items()
    ]
    return section(
        "others",
        "The coarser meshes",
        paragraph(
            "They give the error bars. They are meant to resolve less, so their elements alone "
            "are judged."
        ),
        table(["", "nodes", "smallest angle", "largest angle", ""], rows),
    )
