"""What the quality gate looks at: the worst elements, each label's volume, and where they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from twin.errors import GeometryMismatch, InvalidInput
from twin.mesh import Mesh
from twin.meshing.distances import capped_distance
from twin.meshing.geometry import cell_neighbours, dihedral_extremes
from twin.meshing.voxel_cells import cells_at_voxels

__all__ = ["LabelFigures", "MeshInspection", "Spot", "inspect_mesh"]

Array = NDArray[Any]

#: A label is thin where less than this part of it lies in balls of two cells' width.
THICK_PART = 0.5
#: Width over which misplaced voxels are summed to say where most of them are, in voxels.
_BLUR_VOXELS = 2.0
#: Mean edge of the lattice's tetrahedra over the edge of its cubes, see `build_mesh`.
EDGE_OF_CUBE = 0.9


@dataclass(frozen=True, slots=True)
class Spot:
    """A measured value and where it was found.

    Parameters
    ----------
    value : float
    where_mm : tuple of float, [mm]
        RAS position.
    label : str
        Label of the element there.
    """

    value: float
    where_mm: tuple[float, float, float]
    label: str


@dataclass(frozen=True, slots=True)
class LabelFigures:
    """One label in the mesh against its voxels.

    Parameters
    ----------
    voxel_mm3, mesh_mm3 : float, [mm3]
        Its volume in the voxels, and in the mesh.
    cell_mm : float, [mm]
        Mean edge of the cells that hold its voxels, over 0.9: the lattice's cube.
    thick_part : float, [1]
        Part of its voxels that lie in balls two cells wide that fit into it.
    misplaced : float, [1]
        Part of its voxels whose centre lies in a cell of another label, or in none.
    where_mm : tuple of float, [mm]
        Where most of the misplaced voxels are, else a voxel in its middle.
    """

    voxel_mm3: float
    mesh_mm3: float
    cell_mm: float
    thick_part: float
    misplaced: float
    where_mm: tuple[float, float, float]

    @property
    def volume_error(self) -> float:
        """Volume in the mesh over that in the voxels, minus one, [1]."""
        return self.mesh_mm3 / self.voxel_mm3 - 1.0

    @property
    def thin(self) -> bool:
        """Whether most of the label is less than two cells wide."""
        return self.thick_part < THICK_PART

    @property
    def cells_wide(self) -> float:
        """Edge of a cube of the label's volume, in cells, [1]."""
        return float(np.cbrt(self.voxel_mm3)) / self.cell_mm


@dataclass(frozen=True, slots=True)
class MeshInspection:
    """What `inspect_mesh` found.

    Parameters
    ----------
    smallest_dihedral, largest_dihedral : Spot, [degree]
        The sharpest and the flattest angle of all tetrahedra.
    smallest_volume : Spot, [mm3]
        The smallest tetrahedron; not positive if it is inverted.
    labels : mapping of str to LabelFigures
        Every label that has voxels; empty where only the elements were looked at.
    cut_off : Spot or None, [1]
        Part of the mesh's volume that hangs on no face of the rest, although its
        voxels do, and where the largest such piece is.
    uncovered : Spot or None, [1]
        Part of the labelled voxels whose centre lies in no cell, and where most of them are.
    """

    smallest_dihedral: Spot
    largest_dihedral: Spot
    smallest_volume: Spot
    labels: Mapping[str, LabelFigures]
    cut_off: Spot | None
    uncovered: Spot | None


def inspect_mesh(
    mesh: Mesh, labels: ArrayLike | None = None, affine: ArrayLike | None = None
) -> MeshInspection:
    """Figures of a mesh, and of it against the voxel labels it was made from, with their places.

    Parameters
    ----------
    mesh : Mesh
    labels : ndarray of int or None, shape (i, j, k)
        Voxel labels, numbered as in ``mesh.label_names``; 0 is outside. Without them
        the elements alone are looked at.
    affine : ndarray, [mm], shape (4, 4)
        From voxel numbers to RAS millimetres; voxels are cubes. Goes with `labels`.

    Raises
    ------
    InvalidInput
        No labelled voxel, or a label without a name.
    GeometryMismatch
        No voxel of the labels lies in the mesh.

    Examples
    --------
    >>> from twin.meshing.boxes import box_mesh
    >>> half = np.eye(4)
    >>> half[:3, 3] = 0.5  # voxel (0, 0, 0) is centred at half a millimetre
    >>> found = inspect_mesh(box_mesh((4.0, 4.0, 4.0), (2, 2, 2)), np.ones((4, 4, 4), int), half)
    >>> round(found.smallest_dihedral.value, 9), round(found.labels["white_matter"].mesh_mm3, 9)
    (45.0, 64.0)
    """
    smallest, largest = dihedral_extremes(mesh.points, mesh.cells)
    shape = (
        _spot(mesh, smallest, int(smallest.argmin())),
        _spot(mesh, largest, int(largest.argmax())),
        _spot(mesh, mesh.cell_volume, int(mesh.cell_volume.argmin())),
    )
    if labels is None or affine is None:
        return MeshInspection(*shape, MappingProxyType({}), None, None)
    voxels = np.asarray(labels)
    matrix = np.asarray(affine, float)
    present = _present(mesh, voxels)
    cell = cells_at_voxels(mesh, voxels.shape, matrix)  # type: ignore[arg-type]
    here = cell >= 0
    if not (here & (voxels > 0)).any():
        raise GeometryMismatch(
            "No labelled voxel lies in the mesh; check that both are of the same patient and in "
            "the same coordinates (RAS, mm)."
        )
    found = np.where(here, mesh.cell_label[cell], 0)
    edge = mesh.edge_length() / EDGE_OF_CUBE
    usual = float(np.average(edge, weights=mesh.cell_volume))
    outside = (voxels > 0) & ~here
    figures = {
        mesh.label_names[number]: _label_figures(
            mesh, number, voxels, found, cell, edge, usual, matrix
        )
        for number in present
    }
    where = _densest(outside, matrix) if outside.any() else _middle(voxels > 0, matrix)
    uncovered = Spot(float(outside.sum() / (voxels > 0).sum()), where, "")
    return MeshInspection(
        *shape, MappingProxyType(figures), _cut_off(mesh, voxels, matrix), uncovered
    )


def _present(mesh: Mesh, voxels: Array) -> list[int]:
    """Labels that occur in the voxels, each with a name in the mesh."""
    present = [int(number) for number in np.unique(voxels) if number > 0]
    if not present:
        raise InvalidInput("No voxel has a label above 0, so there is nothing to hold a mesh to.")
    unnamed = [number for number in present if number not in mesh.label_names]
    if unnamed:
        raise InvalidInput(
            f"Label {unnamed[0]} occurs in the voxels but has no name in the mesh, which has "
            f"{', '.join(f'{n}: {name}' for n, name in mesh.label_names.items())}."
        )
    return present


def _spot(mesh: Mesh, values: Array, cell: int) -> Spot:
    where = mesh.points[mesh.cells[cell]].mean(axis=0)
    label = mesh.label_names[int(mesh.cell_label[cell])]
    return Spot(float(values[cell]), _triple(where), label)


def _triple(point: Array) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in point)
    return x, y, z


def _label_figures(
    mesh: Mesh,
    number: int,
    voxels: Array,
    found: Array,
    cell: Array,
    edge: Array,
    usual_mm: float,
    affine: Array,
) -> LabelFigures:
    spacing = float(np.cbrt(abs(np.linalg.det(affine[:3, :3]))))
    box = ndimage.find_objects((voxels == number).astype(np.int8))[0]
    own = voxels[box] == number
    shift = np.eye(4)
    shift[:3, 3] = [part.start for part in box]
    at = cell[box][own]
    cell_mm = float(edge[at[at >= 0]].mean()) if (at >= 0).any() else usual_mm
    wrong = own & (found[box] != number)
    where = _densest(wrong, affine @ shift) if wrong.any() else _middle(own, affine @ shift)
    return LabelFigures(
        voxel_mm3=float(own.sum()) * spacing**3,
        mesh_mm3=float(mesh.cell_volume[mesh.cell_label == number].sum()),
        cell_mm=cell_mm,
        thick_part=_thick_part(own, cell_mm / spacing),
        misplaced=float(wrong.sum() / own.sum()),
        where_mm=where,
    )


def _thick_part(own: Array, radius: float) -> float:
    """Part of a region that balls of `radius` voxels cover which fit into it.

    The largest ball that fits may be centred between voxels, up to half a voxel off; of
    this a quarter is granted to its radius and half a voxel to what it covers.
    """
    reach = int(np.ceil(radius)) + 2
    padded = np.pad(own, reach)
    core = capped_distance(~padded, reach) >= radius + 0.25
    if not core.any():
        return 0.0
    covered = capped_distance(core, reach) <= radius + 0.5
    return float((covered & padded).sum() / own.sum())


def _densest(mask: Array, affine: Array) -> tuple[float, float, float]:
    """RAS position of the voxel of `mask` with most others of it nearby, [mm]."""
    blurred = ndimage.gaussian_filter(mask.astype(np.float32), _BLUR_VOXELS, mode="constant")
    place = np.array(np.unravel_index(np.where(mask, blurred, -1.0).argmax(), mask.shape))
    return _triple(affine[:3, :3] @ place + affine[:3, 3])


def _middle(mask: Array, affine: Array) -> tuple[float, float, float]:
    """RAS position of the voxel of `mask` that is nearest to their mean, [mm]."""
    places = np.argwhere(mask)
    place = places[((places - places.mean(axis=0)) ** 2).sum(axis=1).argmin()]
    return _triple(affine[:3, :3] @ place + affine[:3, 3])


def _cut_off(mesh: Mesh, voxels: Array, affine: Array) -> Spot:
    """Part of the volume in pieces of the mesh that the voxels join to larger ones."""
    neighbour = cell_neighbours(mesh.cells, len(mesh.points))
    has = neighbour >= 0
    row = np.broadcast_to(np.arange(len(mesh.cells))[:, None], neighbour.shape)[has]
    graph = coo_matrix((np.ones(len(row), np.int8), (row, neighbour[has])), (len(has),) * 2)
    count, piece = connected_components(graph, directed=False)
    if count == 1:
        return Spot(0.0, _spot(mesh, mesh.cell_volume, 0).where_mm, "")
    joined, _ = ndimage.label(voxels > 0)
    inverse = np.linalg.inv(affine)
    centre = mesh.points[mesh.cells].mean(axis=1)
    place = np.rint(centre @ inverse[:3, :3].T + inverse[:3, 3]).astype(np.int64)
    inside = ((place >= 0) & (place < voxels.shape)).all(axis=1)
    region = np.zeros(len(centre), np.int64)
    region[inside] = joined[tuple(place[inside].T)]
    volume = np.bincount(piece, mesh.cell_volume)
    # The region that holds most of a piece is its own; a piece in none has region 0.
    held = np.where(region > 0, mesh.cell_volume, 0.0)
    share = coo_matrix((held, (piece, region)), (count, region.max() + 1)).tocsr()
    home = np.asarray(share.argmax(axis=1)).ravel()
    loose = np.zeros(count, bool)
    for number in np.unique(home[home > 0]):
        mine = np.flatnonzero(home == number)
        loose[mine[mine != mine[volume[mine].argmax()]]] = True
    if not loose.any():
        return Spot(0.0, _triple(centre[0]), "")
    largest = int(np.where(loose, volume, 0.0).argmax())
    cells = np.flatnonzero(piece == largest)
    name = mesh.label_names[int(mesh.cell_label[cells[0]])]
    part = float(volume[loose].sum() / volume.sum())
    return Spot(part, _triple(centre[cells].mean(axis=0)), name)
