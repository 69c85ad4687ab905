"""A picture of where a mesh misses a bar of the quality gate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twin.mesh import Mesh
from twin.meshing.gate import Verdict
from twin.storage import write_atomically
from viz.mesh_slices import MeshSlices
from viz.palette import INK, RESEARCH_USE

__all__ = ["draw_rejected"]

_ZOOM_CELLS = 9.0


def draw_rejected(
    path: Path,
    verdict: Verdict,
    mesh: Mesh,
    labels: NDArray[Any],
    affine: NDArray[np.float64],
    image: NDArray[Any] | None = None,
) -> Path:
    """Path of a PNG with three planes through each of the first three places that fail.

    Parameters
    ----------
    path : Path
    verdict : Verdict
        With at least one failure.
    mesh : Mesh
    labels : ndarray of int, shape (i, j, k)
        Voxel labels that the mesh was made from.
    affine : ndarray, [mm], shape (4, 4)
    image : ndarray or None, shape (i, j, k)
    """
    from matplotlib.figure import Figure

    shown = verdict.failures[:3]
    figure = Figure(figsize=(12.0, 4.4 * len(shown)), layout="constrained", dpi=100)
    rows = figure.subfigures(len(shown), 1, squeeze=False)[:, 0]
    for row, failure in zip(rows, shown, strict=True):
        centre = np.array(failure.where_mm)
        slices = MeshSlices(mesh, labels, affine, image, centre)
        near = np.linalg.norm(mesh.points[mesh.cells].mean(axis=1) - centre, axis=1).argsort()[:20]
        zoom = max(6.0, _ZOOM_CELLS * float(mesh.edge_length()[near].mean()))
        for ax, orientation in zip(
            row.subplots(1, 3), ("axial", "coronal", "sagittal"), strict=True
        ):
            slices.draw(ax, orientation, zoom_mm=zoom, voxels=True)
            ax.plot(*_on_plane(centre, orientation), "o", ms=16, mfc="none", mec="red", mew=2)
        row.suptitle(f"{failure}; {RESEARCH_USE}", color=INK, fontsize=10)
    write_atomically(path, lambda part: figure.savefig(part, format="png"))
    return path


def _on_plane(centre: NDArray[np.float64], orientation: str) -> tuple[list[float], list[float]]:
    from viz.plane_sampling import ORIENTATIONS

    first, second, _ = ORIENTATIONS[orientation]
    return [float(centre[first])], [float(centre[second])]
