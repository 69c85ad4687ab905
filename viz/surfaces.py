"""Surfaces for the 3D scenes: levels of a field on the tetrahedra, masks, the brain."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from viz.offscreen import quiet_pyvista
from viz.subject import Subject

__all__ = ["brain_surface", "level_surface", "mask_surface"]

_TETRAHEDRON = 10  # VTK's number of the linear tetrahedron


def level_surface(
    points: NDArray[np.float64],
    cells: NDArray[np.integer[Any]],
    values: NDArray[np.float64],
    level: float,
    *,
    smooth: bool = False,
) -> Any:
    """Closed surface of the region where `values` reach `level`, as `pyvista.PolyData`.

    Parameters
    ----------
    points : ndarray, [mm], shape (node, 3)
    cells : ndarray, shape (cell, 4)
        Tetrahedra that count; the surface also closes where they end.
    values : ndarray, shape (node,)
        Linear inside each tetrahedron.
    level : float
        In the unit of `values`.
    smooth : bool
        Take away the facets for display (Taubin 1995, without shrinking); never for measuring.

    Examples
    --------
    >>> corners = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    >>> half = level_surface(corners, np.array([[0, 1, 2, 3]]), corners[:, 2], 0.5)
    >>> round(half.volume * 6, 6)  # what is left of a tetrahedron's 1/6
    0.125
    """
    pyvista = quiet_pyvista()
    if (values == level).any():  # a cut through a node would leave pieces without volume
        level -= 1e-6 * float(np.ptp(values))
    inside = cells[(values[cells] > level).any(axis=1)]
    if len(inside) == 0:
        return pyvista.PolyData()
    used, local = np.unique(inside, return_inverse=True)
    grid = pyvista.UnstructuredGrid({_TETRAHEDRON: local.reshape(-1, 4)}, points[used])
    grid.point_data["value"] = values[used]
    region = grid.clip_scalar(scalars="value", value=level, invert=False)
    surface = _triangles(region)
    if surface.n_points == 0:
        return surface
    if smooth:
        surface = surface.smooth_taubin(n_iter=30, pass_band=0.05)
    # Outwards everywhere: pieces of cut tetrahedra come out of VTK in either sense.
    return surface.compute_normals(
        cell_normals=False, split_vertices=False, auto_orient_normals=True
    )


def _triangles(grid: Any) -> Any:
    surface = grid.extract_surface(
        pass_pointid=False, pass_cellid=False, algorithm="dataset_surface"
    )
    return surface.triangulate()


def mask_surface(
    mask: NDArray[np.bool_] | NDArray[np.float32],
    affine: NDArray[np.float64],
    *,
    sigma_mm: float = 0.8,
    step_mm: float = 1.0,
    level: float = 0.5,
) -> Any:
    """Smooth surface of a voxel mask in world millimetres, as `pyvista.PolyData`.

    Parameters
    ----------
    mask : ndarray, shape (i, j, k)
        What lies inside; softened by a Gaussian before the surface at 0.5 is taken.
    affine : ndarray, shape (4, 4)
        From voxel numbers to RAS millimetres.
    sigma_mm : float, [mm]
        Width of the Gaussian.
    step_mm : float, [mm]
        Spacing at which the surface is sampled: larger means fewer triangles.
    level : float, [1]
        Of the softened mask; below 0.5 the surface lies a little outside.
    """
    pyvista = quiet_pyvista()
    solid = np.asarray(mask, np.float32)
    if not (solid > 0.5).any():
        return pyvista.PolyData()
    spacing = float(np.linalg.norm(affine[:3, 0]))
    margin = int(np.ceil((3 * sigma_mm + 2 * step_mm) / spacing))
    box = ndimage.find_objects((solid > 0.5).astype(np.int8))[0]
    low = np.array([part.start for part in box]) - margin
    solid = np.pad(solid[box], margin)
    soft = ndimage.gaussian_filter(solid, sigma_mm / spacing, mode="constant", truncate=3.0)
    zoom = spacing / step_mm
    if zoom < 0.95:
        count = np.maximum(2, np.round(np.array(soft.shape) * zoom)).astype(int)
        factor = (np.array(soft.shape) - 1) / (count - 1)
        soft = ndimage.affine_transform(soft, factor, output_shape=tuple(count), order=1)
    else:
        factor = np.ones(3)
    image = pyvista.ImageData(dimensions=soft.shape)
    image.point_data["inside"] = soft.ravel(order="F")
    surface = image.contour([level], scalars="inside", method="flying_edges")
    voxel = np.asarray(surface.points, np.float64) * factor + low
    surface.points = voxel @ affine[:3, :3].T + affine[:3, 3]
    return surface.smooth_taubin(n_iter=20, pass_band=0.08)


def brain_surface(subject: Subject) -> Any:
    """The cortex as a smooth surface, from the voxel tissues or, without a twin, the mesh.

    At another site, the surface of all that the tissue map covers.

    The ventricles and deep clefts are filled: seen through a translucent
    surface they would hide the tumour.
    """
    if subject.twin is not None:
        tissues = np.asarray(subject.twin.tissues)
        affine = np.asarray(subject.twin.grid.affine, float)
        spacing = float(np.linalg.norm(affine[:3, 0]))
        coarse = (tissues > 0)[::2, ::2, ::2]
        depth = ndimage.distance_transform_edt(np.pad(coarse, 1))[1:-1, 1:-1, 1:-1] * 2 * spacing
        deep = (depth > 12.0).repeat(2, 0).repeat(2, 1).repeat(2, 2)
        solid = tissues >= (2 if subject.site.is_brain else 1)
        for name in ("necrosis", "enhancing", "flair"):
            found = subject.structure_mask(name)
            solid = solid if found is None else solid | found
        i, j, k = solid.shape
        return mask_surface(
            solid | deep[:i, :j, :k],
            affine,
            sigma_mm=0.75 if subject.site.is_brain else 1.5 * spacing,
            step_mm=max(1.5, spacing),
        )
    pyvista = quiet_pyvista()
    grid = pyvista.UnstructuredGrid({_TETRAHEDRON: subject.cells}, subject.points)
    return _triangles(grid).smooth_taubin(n_iter=40, pass_band=0.05)
