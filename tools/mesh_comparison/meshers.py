"""The meshers, each from a case to points, cells and labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from cases import Case
from numpy.typing import NDArray

__all__ = ["MESHERS"]

Arrays = tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]

#: Edge of our lattice's cubes for tetrahedra of a wanted mean edge.
_CUBE = 1 / 0.9
#: Surfaces for the meshers that start from surfaces are taken from voxels of this size, [mm].
_SURFACE_MM = 2.0
#: Their points move by so many voxels at most when the steps are taken off: with more, the two
#: sides of a thin layer cross.
_SMOOTHED_BY = 0.35


def own_lattice(case: Case, *, move: bool = True) -> Arrays:
    """Our mesher, with cells of one size."""
    from twin.meshing import build_mesh

    cube = case.cell_mm * _CUBE
    mesh = build_mesh(
        case.labels,
        case.affine,
        label_names=case.names,
        cell_size_mm=np.full(case.labels.shape, cube),
        smallest_cell_mm=cube,
        move_vertices=move,
    )
    return np.array(mesh.points), mesh.cells.astype(np.int64), mesh.cell_label.astype(np.int64)


def own_unmoved(case: Case) -> Arrays:
    """Our lattice with its vertices left where they are."""
    return own_lattice(case, move=False)


def cgal(case: Case, **options: Any) -> Arrays:
    """CGAL's labelled-image mesher by pygalmesh."""
    import pygalmesh

    used = np.argwhere(case.labels > 0)
    low, high = used.min(axis=0) - 2, used.max(axis=0) + 3
    box = tuple(slice(max(a, 0), b) for a, b in zip(low, high, strict=True))
    spacing = float(np.linalg.norm(case.affine[:3, 0]))
    made = pygalmesh.generate_from_array(
        case.labels[box].astype(np.uint8),
        (spacing,) * 3,
        max_cell_circumradius=0.7 * case.cell_mm,
        max_facet_distance=0.4 * spacing,
        verbose=False,
        seed=0,
        **options,
    )
    cells = made.cells_dict["tetra"].astype(np.int64)
    label = np.asarray(made.get_cell_data("medit:ref", "tetra")).astype(np.int64)
    voxel = np.asarray(made.points, float) / spacing + np.array([part.start for part in box])
    return voxel @ case.affine[:3, :3].T + case.affine[:3, 3], cells, label


def cgal_plain(case: Case) -> Arrays:
    """CGAL without its optimisers."""
    return cgal(case, lloyd=False, odt=False, perturb=False, exude=False)


def cgal_exuded(case: Case) -> Arrays:
    """CGAL with the removal of slivers."""
    return cgal(case, lloyd=False, odt=False, perturb=True, exude=True)


def ftetwild(case: Case) -> Arrays:
    """FTetWild by pytetwild, from all interfaces together."""
    import pytetwild

    surface = _interfaces(case)
    points, cells = pytetwild.tetrahedralize(
        np.asarray(surface.points, float),
        surface.faces.reshape(-1, 4)[:, 1:].astype(np.int32),
        edge_length_abs=case.cell_mm,
        epsilon=0.3 / float(np.linalg.norm(np.ptp(np.asarray(surface.points), axis=0))),
        disable_filtering=True,
        num_threads=1,
        quiet=True,
    )
    return _labelled(case, np.asarray(points, float), np.asarray(cells, np.int64))


def tetgen(case: Case) -> Arrays:
    """TetGen, from all interfaces together, with quality bounds.

    They keep their steps: surfaces that are smoothed touch themselves somewhere in a head, and
    TetGen then leaves facets out without an error, and with them the tissue behind.
    """
    import tetgen as package

    generator = package.TetGen(_interfaces(case, smooth=False))
    points, cells, *_ = generator.tetrahedralize(
        order=1,
        mindihedral=10.0,
        minratio=1.4,
        maxvolume=case.cell_mm**3 / 8.48,
        quality=True,
        verbose=0,
    )
    return _labelled(case, np.asarray(points, float), np.asarray(cells, np.int64))


def _interfaces(case: Case, *, smooth: bool = True) -> Any:
    """All surfaces between labels, in RAS millimetres, as `pyvista.PolyData`."""
    from scipy import ndimage

    from viz.offscreen import quiet_pyvista

    pyvista = quiet_pyvista()
    spacing = float(np.linalg.norm(case.affine[:3, 0]))
    step = max(1.0, _SURFACE_MM / spacing) if spacing < _SURFACE_MM else 1.0
    count = [int(np.ceil(n / step)) for n in case.labels.shape]
    labels = ndimage.affine_transform(
        case.labels, np.full(3, step), order=0, output_shape=tuple(count), mode="constant"
    )
    grid = pyvista.ImageData(dimensions=labels.shape)
    grid.point_data["label"] = labels.ravel(order="F")
    surface = grid.contour_labels(
        "all",
        scalars="label",
        output_mesh_type="triangles",
        smoothing=smooth,
        smoothing_distance=_SMOOTHED_BY,
    )
    surface = surface.triangulate().clean()
    voxel = np.asarray(surface.points, float) * step
    surface.points = voxel @ case.affine[:3, :3].T + case.affine[:3, 3]
    return surface


def _labelled(case: Case, points: NDArray[np.float64], cells: NDArray[np.int64]) -> Arrays:
    """Cells with the label of the voxel at their centre; those outside are left out."""
    inverse = np.linalg.inv(case.affine)
    centre = points[cells].mean(axis=1) @ inverse[:3, :3].T + inverse[:3, 3]
    place = np.rint(centre).astype(int)
    inside = ((place >= 0) & (place < case.labels.shape)).all(axis=1)
    label = np.zeros(len(cells), np.int64)
    label[inside] = case.labels[tuple(place[inside].T)]
    kept = label > 0
    used, numbers = np.unique(cells[kept], return_inverse=True)
    return points[used], numbers.reshape(-1, 4), label[kept]


#: name: (how it is called in the table, package that must be there, licence, function)
MESHERS: dict[str, tuple[str, str | None, str, Callable[[Case], Arrays]]] = {
    "own": ("own lattice", None, "MIT", own_lattice),
    "unmoved": ("own lattice, vertices not moved", None, "MIT", own_unmoved),
    "cgal": ("CGAL (pygalmesh)", "pygalmesh", "GPL-3", cgal_plain),
    "cgal_exuded": ("CGAL, slivers removed", "pygalmesh", "GPL-3", cgal_exuded),
    "ftetwild": ("fTetWild (pytetwild)", "pytetwild", "MPL-2", ftetwild),
    "tetgen": ("TetGen (tetgen)", "tetgen", "AGPL-3", tetgen),
}
