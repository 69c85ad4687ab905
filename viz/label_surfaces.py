"""Smooth surfaces of the labels of a mesh, for pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twin.errors import InvalidInput
from twin.mesh import Mesh
from twin.meshing.geometry import FACES, cell_neighbours
from viz.offscreen import quiet_pyvista

__all__ = ["LabelSurface", "label_surface"]

#: Iterations of the filter, and the part of the frequencies that pass.
_ITERATIONS, _PASS_BAND = 20, 0.1


@dataclass(frozen=True, slots=True)
class LabelSurface:
    """A surface for pictures, and what smoothing did to what it encloses.

    Parameters
    ----------
    surface : pyvista.PolyData
        Triangles, [mm], turned outwards.
    volume_error : float, [1]
        Volume that it encloses over that of the elements, minus one.
    """

    surface: Any
    volume_error: float


def label_surface(mesh: Mesh, *names: str, smooth: bool = True) -> LabelSurface:
    """Closed surface about the elements of some labels together.

    Facets are taken off by a windowed sinc filter (G. Taubin, T. Zhang, G. Golub, Optimal
    surface smoothing as filter design, ECCV 1996, 283-292, doi:10.1007/BFb0015544), which hardly
    shrinks; how much it does is in the result. For pictures, never for measuring.

    Parameters
    ----------
    mesh : Mesh
    *names : str
        Labels; the surfaces between them are left out.
    smooth : bool
        Without it the faces of the elements as they are.

    Raises
    ------
    InvalidInput
        No element has one of these labels.

    Examples
    --------
    >>> from twin.meshing.boxes import ball_mesh
    >>> smooth = label_surface(ball_mesh(10.0, 6), "white_matter")
    >>> abs(smooth.volume_error) < 0.01
    True
    """
    inside = mesh.cells_labelled(*names)
    if not inside.any():
        raise InvalidInput(
            f"The mesh has no element of {', '.join(names)}; it has "
            f"{', '.join(mesh.label_names.values())}."
        )
    faces = _boundary(mesh.cells[inside], len(mesh.points))
    used, local = np.unique(faces, return_inverse=True)
    pyvista = quiet_pyvista()
    corners = np.column_stack([np.full(len(faces), 3), local.reshape(-1, 3)])
    surface = pyvista.PolyData(mesh.points[used], corners.ravel())
    if smooth:
        surface = surface.smooth_taubin(
            n_iter=_ITERATIONS,
            pass_band=_PASS_BAND,
            non_manifold_smoothing=True,
            normalize_coordinates=True,
        )
    enclosed = _enclosed(np.asarray(surface.points, float), local.reshape(-1, 3))
    return LabelSurface(surface, enclosed / float(mesh.cell_volume[inside].sum()) - 1.0)


def _boundary(cells: NDArray[np.integer[Any]], nodes: int) -> NDArray[np.int64]:
    """Faces with one cell alone, turned outwards, shape (face, 3)."""
    cell, face = np.nonzero(cell_neighbours(cells, nodes) < 0)
    found: NDArray[np.int64] = cells[cell[:, None], FACES[face][:, ::-1]].astype(np.int64)
    return found


def _enclosed(points: NDArray[np.float64], faces: NDArray[np.int64]) -> float:
    """Volume inside a closed surface by the divergence theorem, [mm3]."""
    a, b, c = (points[faces[:, k]] - points.mean(axis=0) for k in range(3))
    return float((np.cross(a, b) * c).sum() / 6.0)
