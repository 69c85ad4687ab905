"""From voxel labels to a checked tetrahedral mesh."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from twin.errors import InvalidInput
from twin.mesh import Mesh
from twin.meshing.build_report import BuildReport, PartTimer
from twin.meshing.distances import LabelDistances
from twin.meshing.fitting import fit_to_interfaces
from twin.meshing.geometry import MOST_NODES, cell_volumes, dihedral_extremes
from twin.meshing.labelling import label_cells, large_pieces
from twin.meshing.lattice import graded_lattice
from twin.meshing.octree import balanced_octree

if TYPE_CHECKING:
    from twin.protocol import Progress

__all__ = ["build_mesh", "build_mesh_with_report"]

Array = NDArray[Any]

_logger = logging.getLogger(__name__)

#: A fitted mesh with a dihedral angle outside these is thrown away for the lattice, [degree].
SMALLEST_DIHEDRAL_DEG = 15.0
LARGEST_DIHEDRAL_DEG = 160.0
#: Loose pieces of the domain with less than this part of all cells are dropped.
SMALLEST_PIECE = 1e-4
#: Relative difference allowed between the voxels' three edges and from right angles.
ISOTROPY_TOLERANCE = 1e-3


def build_mesh(
    labels: ArrayLike,
    affine: ArrayLike,
    *,
    label_names: Mapping[int, str],
    cell_size_mm: ArrayLike,
    smallest_cell_mm: float,
    seed: int = 0,
    move_vertices: bool = True,
    progress: Progress | None = None,
) -> Mesh:
    """Tetrahedral mesh of all voxels with a label, in RAS millimetres.

    A graded body-centred cubic lattice takes one label per tetrahedron such
    that every label keeps its volume; its vertices are then moved to the
    interfaces, and edges and faces swapped there. Should that leave a dihedral
    angle below 15 or above 160 degrees, the unmoved lattice, whose angles are
    at least 45 degrees, is returned instead and a warning is logged;
    `build_mesh_with_report` returns what happened as well.

    Parameters
    ----------
    labels : ndarray of int, shape (i, j, k)
        Anatomical label of each voxel; 0 is outside and is not meshed.
    affine : ndarray, [mm], shape (4, 4)
        From voxel numbers to RAS millimetres: equal spacing and right angles;
        it may rotate and reflect.
    label_names : mapping of int to str
        A name for every label that occurs.
    cell_size_mm : ndarray, [mm], shape (i, j, k)
        Wanted edge of the lattice's cubes (`wanted_cell_size` makes one). inf
        stands for any size.
    smallest_cell_mm : float, [mm]
        Edge of the smallest cubes; the others are 2, 4, ... times as large.
        The mean edge of a cell is 0.9 times that of its cube.
    seed : int
        For the order in which cells choose their labels. The same inputs and
        seed give the same mesh.
    move_vertices : bool
        False returns the lattice unmoved: stepped interfaces, best angles.
    progress : callable, optional
        Called with the part done, 0 to 1, and what is being done.

    Raises
    ------
    InvalidInput
        Shapes that differ, no labelled voxel, a label without a name, an
        anisotropic or singular affine, sizes that are not positive, too many
        nodes.

    Examples
    --------
    >>> import numpy as np
    >>> labels = np.zeros((12, 12, 12), int)
    >>> labels[2:10, 2:10, 2:10] = 1
    >>> mesh = build_mesh(
    ...     labels,
    ...     np.eye(4),
    ...     label_names={1: "white_matter"},
    ...     cell_size_mm=np.full(labels.shape, 2.0),
    ...     smallest_cell_mm=2.0,
    ... )
    >>> bool(abs(mesh.cell_volume.sum() / 8**3 - 1) < 0.01)
    True
    """
    return build_mesh_with_report(
        labels,
        affine,
        label_names=label_names,
        cell_size_mm=cell_size_mm,
        smallest_cell_mm=smallest_cell_mm,
        seed=seed,
        move_vertices=move_vertices,
        progress=progress,
    )[0]


def build_mesh_with_report(
    labels: ArrayLike,
    affine: ArrayLike,
    *,
    label_names: Mapping[int, str],
    cell_size_mm: ArrayLike,
    smallest_cell_mm: float,
    seed: int = 0,
    move_vertices: bool = True,
    progress: Progress | None = None,
) -> tuple[Mesh, BuildReport]:
    """Mesh as `build_mesh` makes it from the same arguments, and what happened meanwhile.

    Examples
    --------
    >>> import numpy as np
    >>> labels = np.pad(np.ones((8, 8, 8), int), 2)
    >>> mesh, report = build_mesh_with_report(
    ...     labels,
    ...     np.eye(4),
    ...     label_names={1: "white_matter"},
    ...     cell_size_mm=np.full(labels.shape, 2.0),
    ...     smallest_cell_mm=2.0,
    ... )
    >>> report.kind, report.lost_labels, list(report.seconds)
    ('fitted', (), ['lattice', 'distances', 'labels', 'interfaces', 'check'])
    """
    tell: Progress = progress if progress is not None else lambda part, what: None
    timer = PartTimer()
    labels = np.asarray(labels)
    affine = np.asarray(affine, float)
    sizes = np.asarray(cell_size_mm, np.float32)
    spacing = _checked_spacing(affine)
    _check_arrays(labels, label_names, sizes, smallest_cell_mm)

    tell(0.0, "lattice")
    timer.start("lattice")
    numbers = np.union1d([0], labels)
    compact = np.searchsorted(numbers, labels).astype(np.int16)
    wanted_volume = np.bincount(compact.ravel(), minlength=len(numbers)) * spacing**3
    finite = np.isfinite(sizes) & (compact > 0)
    coarsest = sizes[finite].max() if finite.any() else np.float32(smallest_cell_mm)
    wanted = np.where(compact > 0, np.minimum(sizes, coarsest), np.float32(np.inf))
    octree = balanced_octree(wanted, spacing, float(smallest_cell_mm))
    if not octree.expected_nodes <= MOST_NODES:
        raise InvalidInput(
            f"The wanted cell sizes ask for about {octree.expected_nodes:,} nodes; at most "
            f"{MOST_NODES:,} are possible: ask for larger cells."
        )
    points, cells = graded_lattice(octree)
    tell(0.1, "distances")
    timer.start("distances")
    distances = LabelDistances(compact, len(numbers), spacing)
    tell(0.2, "labels")
    timer.start("labels")
    label = label_cells(points, cells, distances, wanted_volume, seed)
    points, cells, label = _domain(points, cells, label)

    before = after = _extremes(points, cells)
    reason, swaps, repaired = "vertices were not to be moved", 0, 0
    if move_vertices:
        tell(0.3, "interfaces")
        timer.start("interfaces")
        fitted = fit_to_interfaces(
            points,
            cells,
            label,
            distances,
            wanted_volume,
            progress=lambda part: tell(0.3 + 0.7 * part, "interfaces"),
        )
        timer.start("check")
        swaps, repaired = fitted.swaps, fitted.repaired_cells
        after = _extremes(fitted.points, fitted.cells)
        reason = _not_good_enough(after, cell_volumes(fitted.points, fitted.cells))
        if not reason:
            points, cells, label = fitted.points, fitted.cells, fitted.label
        else:
            _logger.warning("The unmoved lattice with stepped interfaces is used: %s.", reason)
    tell(1.0, "done")
    if np.linalg.det(affine[:3, :3]) < 0:
        cells = cells[:, [0, 1, 3, 2]]
    world = (points / spacing) @ affine[:3, :3].T + affine[:3, 3]
    names = {int(number): label_names[int(number)] for number in numbers if number != 0}
    lost = tuple(names[int(number)] for number in np.setdiff1d(numbers[1:], numbers[label]))
    if lost:
        _logger.warning("Too small to be meshed with these cells: %s.", ", ".join(lost))
    mesh = Mesh(
        points=world,
        cells=cells.astype(np.int32),
        cell_label=numbers[label].astype(np.int16),
        label_names=names,
    )
    timer.start(None)
    kind: Literal["fitted", "lattice"] = "lattice" if reason else "fitted"
    return mesh, BuildReport(kind, reason, before, after, swaps, repaired, lost, timer.seconds)


def _extremes(points: Array, cells: Array) -> tuple[float, float]:
    """Smallest and largest dihedral angle, [degree]."""
    smallest, largest = dihedral_extremes(points, cells)
    return float(smallest.min()), float(largest.max())


def _not_good_enough(dihedral_deg: tuple[float, float], volumes: Array) -> str:
    """Why a fitted mesh cannot be used; empty if it can."""
    if not volumes.min() > 0.0:
        return "the mesh fitted to the interfaces has an inverted cell"
    smallest, largest = dihedral_deg
    if not smallest >= SMALLEST_DIHEDRAL_DEG:
        return (
            f"the mesh fitted to the interfaces has a dihedral angle of {smallest:.1f} degrees, "
            f"below {SMALLEST_DIHEDRAL_DEG:.0f}"
        )
    if not largest <= LARGEST_DIHEDRAL_DEG:
        return (
            f"the mesh fitted to the interfaces has a dihedral angle of {largest:.1f} degrees, "
            f"above {LARGEST_DIHEDRAL_DEG:.0f}"
        )
    return ""


def _domain(points: Array, cells: Array, label: Array) -> tuple[Array, Array, Array]:
    """Points, cells and labels of the domain alone, without loose crumbs."""
    inside = np.flatnonzero(label != 0)
    if len(inside) == 0:
        raise InvalidInput(
            "The labelled region is so small that no lattice cell took a label; "
            "ask for smaller cells."
        )
    keep = inside[large_pieces(cells[inside], len(points), SMALLEST_PIECE)]
    used, renumbered = np.unique(cells[keep], return_inverse=True)
    return points[used], renumbered.reshape(-1, 4), label[keep]


def _checked_spacing(affine: Array) -> float:
    """Edge of the cubic voxels, [mm]; `InvalidInput` where they are not cubes."""
    if affine.shape != (4, 4) or not np.isfinite(affine).all():
        raise InvalidInput(
            f"The affine must be a finite 4 x 4 matrix, but has shape {affine.shape} or is "
            "not finite; give the matrix from voxel numbers to RAS millimetres."
        )
    gram = affine[:3, :3].T @ affine[:3, :3]
    edges = np.sqrt(np.diag(gram))
    spacing = float(edges.mean())
    if not spacing > 0.0 or np.abs(gram / spacing**2 - np.eye(3)).max() > 2 * ISOTROPY_TOLERANCE:
        raise InvalidInput(
            "The voxels must be cubes, but their edges are "
            f"{edges[0]:.3g}, {edges[1]:.3g} and {edges[2]:.3g} mm or not at right angles; "
            "resample the labels to one spacing first."
        )
    return spacing


def _check_arrays(
    labels: Array, label_names: Mapping[int, str], sizes: Array, smallest_cell_mm: float
) -> None:
    """Raise `InvalidInput` for arrays that cannot be meshed."""
    if labels.ndim != 3 or not np.issubdtype(labels.dtype, np.integer):
        raise InvalidInput(
            f"labels must be whole numbers on a grid of three axes, but are {labels.dtype} of "
            f"shape {labels.shape}; convert them with astype(int)."
        )
    if sizes.shape != labels.shape:
        raise InvalidInput(
            f"cell_size_mm has shape {sizes.shape} but the labels have {labels.shape}; "
            "both must lie on the same grid."
        )
    present = np.unique(labels)
    if not (present > 0).any():
        raise InvalidInput("No voxel has a label above 0, so there is nothing to mesh.")
    if not (present.min() >= 0 and present.max() <= np.iinfo(np.int16).max):
        raise InvalidInput(
            f"Labels must lie between 0 and 32767, but run from {present.min()} to {present.max()}."
        )
    unnamed = [int(n) for n in present if n != 0 and int(n) not in label_names]
    if unnamed:
        raise InvalidInput(
            f"Label {unnamed[0]} occurs in the voxels but has no name in label_names, which has "
            f"{', '.join(f'{n}: {name}' for n, name in label_names.items()) or 'none'}."
        )
    if not (sizes > 0.0).all():
        raise InvalidInput(
            "cell_size_mm must be above 0 mm (inf for any size), but holds "
            f"{sizes[~(sizes > 0.0)][0]:g}."
        )
    if not 0.0 < smallest_cell_mm < np.inf:
        raise InvalidInput(
            f"smallest_cell_mm must be a positive length, but is {smallest_cell_mm:g}; "
            "a good value for a head is 1.8."
        )
