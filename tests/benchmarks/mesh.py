"""Mesh of the head: seconds and quality; with empty caches it is the very first time."""

from __future__ import annotations

import time

import numpy as np
from scipy import ndimage

from benchmarks.head import Setting, timed
from benchmarks.table import Row
from twin.meshing import (
    build_mesh_with_report,
    mesh_quality,
    negative_transmissibility_share,
    wanted_cell_size,
)
from twin.meshing.geometry import dihedral_extremes
from twin.meshing.surface_distance import surface_distances
from twin.patient_meshes import mesh_labels

#: The promise; the very first time numba compiles as well.
SECONDS, SECONDS_FIRST = 25.0, 60.0
NODES = (80_000, 150_000)
#: The same head with cells so small at the tumour, and what that may take.
FINE_MM, FINE_MARGIN_MM, FINE_SECONDS = 1.5, 20.0, 60.0
SMALLEST_DIHEDRAL_DEG, PERCENTILE_DEG, LARGEST_DIHEDRAL_DEG = 20.0, 30.0, 150.0
VOLUME_ERROR_PERCENT, FLUID_VOLUME_ERROR_PERCENT = 1.0, 5.0
SURFACE_MM = 0.45
EDGE_MM = 2.0
#: A ball in a box of 50 mm, whose area has a closed form.
BALL_RADIUS_MM, BALL_CELL_MM, BALL_AREA_PERCENT = 18.0, 2.0, 3.0


def first(setting: Setting) -> list[Row]:
    """Seconds of the very first time."""
    return _meshed(setting, SECONDS_FIRST)[0]


def again(setting: Setting) -> list[Row]:
    """Seconds when the mesher is compiled, and the quality of what it makes."""
    rows, head = _meshed(setting, SECONDS)
    masks = [head.structures[name].mask for name in ("enhancing", "necrosis")]
    labels, affine = mesh_labels(head.tissues, *masks), head.grid.affine
    quality = mesh_quality(head.mesh, labels, affine)
    rows += [
        Row("nodes", quality.nodes, "", *NODES),
        Row("elements", quality.cells),
        Row("nodes of the second mesh", len(head.coarse_mesh.points)),
        *_angles(head.mesh),
        Row("mean edge near the tumour", quality.edge_mm_near_tumour, "mm", None, EDGE_MM),
    ]
    for name, error in quality.label_volume_error.items():
        most = FLUID_VOLUME_ERROR_PERCENT if name == "fluid" else VOLUME_ERROR_PERCENT
        rows.append(Row(f"volume error, {name}", 100.0 * error, "%", -most, most))
    surfaces = surface_distances(head.mesh, labels, affine)
    areas = [distance.area_mm2 for distance in surfaces.values()]
    mean_mm = float(np.average([one.mean_mm for one in surfaces.values()], weights=areas))
    rows.append(Row("surface off, all by area", mean_mm, "mm", None, SURFACE_MM))
    rows += [Row(f"  {name}", distance.mean_mm, "mm") for name, distance in surfaces.items()]
    share = negative_transmissibility_share(head.mesh)
    rows += [
        Row("stiffness of the wrong sign, by value", 100.0 * share.by_value, "%"),
        Row("  by number of edges", 100.0 * share.by_number, "%"),
        _ball(),
        *_fine(head, labels, masks, 2.0 if setting.quick else 1.0),
    ]
    begin = time.perf_counter()
    setting.twin()
    rows.append(Row("patient loaded, meshes cached", time.perf_counter() - begin, "s"))
    return rows


def _angles(mesh):
    smallest, largest = dihedral_extremes(mesh.points, mesh.cells)
    percentile = float(np.percentile(smallest, 1))
    return [
        Row("smallest dihedral angle", float(smallest.min()), "deg", SMALLEST_DIHEDRAL_DEG),
        Row("  1st percentile of each cell's", percentile, "deg", PERCENTILE_DEG),
        Row("largest dihedral angle", float(largest.max()), "deg", None, LARGEST_DIHEDRAL_DEG),
    ]


def _ball():
    """How much the area of a meshed ball is off."""
    at = np.indices((50,) * 3) - np.array([24.58, 24.17, 23.75])[:, None, None, None]
    labels = np.zeros(at.shape[1:], int)
    labels[(slice(3, -3),) * 3] = 1
    labels[(at**2).sum(axis=0) < BALL_RADIUS_MM**2] = 2
    ball = labels == 2
    sizes = wanted_cell_size(
        labels, 1.0, fine_mm=BALL_CELL_MM, fine_region=ball, coarse_mm=4 * BALL_CELL_MM
    )
    mesh, _ = build_mesh_with_report(
        labels,
        np.eye(4),
        label_names={1: "white_matter", 2: "enhancing"},
        cell_size_mm=sizes,
        smallest_cell_mm=BALL_CELL_MM,
    )
    found = surface_distances(mesh, labels, np.eye(4))["enhancing"].area_mm2
    off = 100.0 * (found / (4.0 * np.pi * BALL_RADIUS_MM**2) - 1.0)
    return Row("area of a ball off", off, "%", -BALL_AREA_PERCENT, BALL_AREA_PERCENT)


def _fine(head, labels, masks, coarser):
    """Seconds, nodes and angles with small cells."""
    core, spacing = masks[0] | masks[1], head.grid.spacing_mm
    near = ndimage.distance_transform_edt(~core) * spacing <= FINE_MARGIN_MM
    fine_mm = FINE_MM * coarser
    sizes = wanted_cell_size(
        labels,
        spacing,
        fine_mm=fine_mm,
        fine_region=near | head.structures["flair"].mask,
        coarse_mm=4 * fine_mm,
    )
    seconds, (mesh, report) = timed(
        lambda: build_mesh_with_report(
            labels,
            head.grid.affine,
            label_names=dict(head.mesh.label_names),
            cell_size_mm=sizes,
            smallest_cell_mm=fine_mm,
        )
    )
    return [
        Row(f"mesh with cells of {fine_mm:g} mm", seconds, "s", None, FINE_SECONDS),
        *(Row(f"  {part}", spent, "s") for part, spent in report.seconds.items()),
        Row("nodes", len(mesh.points)),
        *_angles(mesh),
    ]


def _meshed(setting, most):
    """Rows of seconds and the head; when the study's mesh is whole, the second begins."""
    started = {}

    def progress(part, what):
        name = what.partition(",")[0]
        started.setdefault(name, time.perf_counter())

    begin = time.perf_counter()
    head = setting.twin(progress)
    end = time.perf_counter()
    rows = [
        Row("the study's mesh", started["coarse mesh"] - started["mesh"], "s", None, most),
        Row("images and both meshes", end - begin, "s"),
    ]
    return rows, head
