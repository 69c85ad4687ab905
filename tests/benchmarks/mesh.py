"""Mesh of the head: seconds and quality; with empty caches it is the very first time."""

from __future__ import annotations

import time

from benchmarks.head import Setting
from benchmarks.table import Row
from twin.assemble import mesh_labels
from twin.meshing import mesh_quality

#: The promise; the very first time numba compiles as well.
SECONDS, SECONDS_FIRST = 40.0, 60.0
NODES = (80_000, 150_000)
SMALLEST_DIHEDRAL_DEG = 15.0
VOLUME_ERROR_PERCENT, FLUID_VOLUME_ERROR_PERCENT = 2.0, 10.0
EDGE_MM = 2.0


def first(setting: Setting) -> list[Row]:
    """Seconds of the very first time."""
    return _meshed(setting, SECONDS_FIRST)[0]


def again(setting: Setting) -> list[Row]:
    """Seconds when the mesher is compiled, and the quality of what it makes."""
    rows, head = _meshed(setting, SECONDS)
    masks = (head.structures[name].mask for name in ("enhancing", "necrosis"))
    quality = mesh_quality(head.mesh, mesh_labels(head.tissues, *masks), head.grid.affine)
    rows += [
        Row("nodes", quality.nodes, "", *NODES),
        Row("elements", quality.cells),
        Row("nodes of the second mesh", len(head.coarse_mesh.points)),
        Row("smallest dihedral angle", quality.smallest_dihedral_deg, "deg", SMALLEST_DIHEDRAL_DEG),
        Row("  1st percentile", quality.first_percentile_dihedral_deg, "deg"),
        Row("largest dihedral angle", quality.largest_dihedral_deg, "deg"),
        Row("mean edge near the tumour", quality.edge_mm_near_tumour, "mm", None, EDGE_MM),
    ]
    for name, error in quality.label_volume_error.items():
        most = FLUID_VOLUME_ERROR_PERCENT if name == "fluid" else VOLUME_ERROR_PERCENT
        rows.append(Row(f"volume error, {name}", 100.0 * error, "%", -most, most))
    begin = time.perf_counter()
    setting.twin()
    rows.append(Row("patient loaded, meshes cached", time.perf_counter() - begin, "s"))
    return rows


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
