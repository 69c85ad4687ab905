"""How good a mesh is: angles, label volumes, edges about the tumour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from twin.errors import InvalidInput
from twin.mesh import Mesh
from twin.meshing.geometry import dihedral_extremes

__all__ = ["MeshQuality", "mesh_quality"]

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class MeshQuality:
    """Figures by which a mesh is accepted.

    Parameters
    ----------
    nodes, cells : int
        Numbers of vertices and tetrahedra.
    smallest_dihedral_deg, first_percentile_dihedral_deg, largest_dihedral_deg : float, [degree]
        Of all dihedral angles: the smallest; the first percentile of each
        cell's smallest; the largest.
    label_volume_error : mapping of str to float, [1]
        Volume of each label in the mesh over that of its voxels, minus one.
    edge_mm_near_tumour : float, [mm]
        Mean edge of the cells within `near_mm` of the tumour's labels; NaN
        where the mesh has none of these labels.
    near_mm : float, [mm]
        The distance that counts as near.
    """

    nodes: int
    cells: int
    smallest_dihedral_deg: float
    first_percentile_dihedral_deg: float
    largest_dihedral_deg: float
    label_volume_error: Mapping[str, float]
    edge_mm_near_tumour: float
    near_mm: float

    def as_dict(self) -> dict[str, Any]:
        """Return the figures as plain numbers, for JSON."""
        figures = {name: getattr(self, name) for name in self.__slots__}
        figures["label_volume_error"] = dict(self.label_volume_error)
        return figures

    def table(self) -> str:
        """Return the figures as lines of text with their units."""
        lines = [
            f"nodes                       {self.nodes:>10,}",
            f"cells                       {self.cells:>10,}",
            f"smallest dihedral angle     {self.smallest_dihedral_deg:>10.1f} degrees",
            f"  first percentile          {self.first_percentile_dihedral_deg:>10.1f} degrees",
            f"largest dihedral angle      {self.largest_dihedral_deg:>10.1f} degrees",
        ]
        if np.isfinite(self.edge_mm_near_tumour):
            lines.append(
                f"mean edge within {self.near_mm:>3.0f} mm     {self.edge_mm_near_tumour:>10.2f} mm"
            )
        lines += [
            f"volume of {name:<18}{100 * error:>+10.1f} % against its voxels"
            for name, error in self.label_volume_error.items()
        ]
        return "\n".join(lines)


def mesh_quality(
    mesh: Mesh,
    labels: ArrayLike,
    affine: ArrayLike,
    *,
    tumour_labels: Sequence[str] = ("enhancing", "necrosis"),
    near_mm: float = 25.0,
) -> MeshQuality:
    """Quality of `mesh` against the voxel labels that it was made from.

    Parameters
    ----------
    mesh : Mesh
    labels : ndarray of int, shape (i, j, k)
        Voxel labels, numbered as in ``mesh.label_names``.
    affine : ndarray, [mm], shape (4, 4)
        From voxel numbers to RAS millimetres.
    tumour_labels : sequence of str
        Names of the labels about which edges are measured.
    near_mm : float, [mm]
        How far from them.

    Raises
    ------
    InvalidInput
        The affine is not a finite, invertible 4 x 4 matrix.
    """
    labels = np.asarray(labels)
    affine = np.asarray(affine, float)
    if affine.shape != (4, 4) or not np.isfinite(affine).all():
        raise InvalidInput(
            f"The affine must be a finite 4 x 4 matrix, but has shape {affine.shape} or is "
            "not finite; give the matrix from voxel numbers to RAS millimetres."
        )
    voxel_volume = abs(float(np.linalg.det(affine[:3, :3])))
    if not voxel_volume > 0.0:
        raise InvalidInput("The affine cannot be inverted: its voxels have no volume.")
    errors = {}
    for number, name in mesh.label_names.items():
        wanted = np.count_nonzero(labels == number) * voxel_volume
        if wanted > 0.0:
            found = mesh.cell_volume[mesh.cell_label == number].sum()
            errors[name] = float(found / wanted - 1.0)
    smallest, largest = dihedral_extremes(mesh.points, mesh.cells)
    return MeshQuality(
        nodes=len(mesh.points),
        cells=len(mesh.cells),
        smallest_dihedral_deg=float(smallest.min()),
        first_percentile_dihedral_deg=float(np.percentile(smallest, 1)),
        largest_dihedral_deg=float(largest.max()),
        label_volume_error=errors,
        edge_mm_near_tumour=_mean_edge_near(mesh, tumour_labels, near_mm),
        near_mm=near_mm,
    )


def _mean_edge_near(mesh: Mesh, names: Sequence[str], near_mm: float) -> float:
    """Mean edge of the cells whose centroid lies within `near_mm` of the named labels' nodes."""
    own = mesh.cells_labelled(*names)
    if not own.any():
        return float("nan")
    nodes = np.unique(mesh.cells[own])
    centroids = mesh.points[mesh.cells].mean(axis=1)
    low, high = mesh.points[nodes].min(axis=0) - near_mm, mesh.points[nodes].max(axis=0) + near_mm
    close = np.flatnonzero(((centroids >= low) & (centroids <= high)).all(axis=1))
    distance, _ = cKDTree(mesh.points[nodes]).query(centroids[close], distance_upper_bound=near_mm)
    return float(mesh.edge_length()[close[np.isfinite(distance)]].mean())
