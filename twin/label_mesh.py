"""Any label map to a mesh that has passed the quality gate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from twin.errors import InvalidInput
from twin.images import Image
from twin.mesh import Mesh
from twin.meshing import BuildReport, build_mesh_with_report, wanted_cell_size
from twin.meshing.gate import LIMITS, MeshRejected, Verdict, judge
from twin.meshing.inspection import MeshInspection, inspect_mesh
from twin.protocol import Progress
from twin.resampling import to_isotropic

__all__ = ["SMALLEST_SPACING_MM", "LabelMesh", "mesh_label_map"]

_REMEDY = "ask for smaller cells, or mend the labels there"
#: Without a wanted size the smallest cells are so many voxels wide, the largest so many cells.
_CELL_VOXELS, _FAR_CELLS = 1.5, 4.0
#: Voxels smaller than this are resampled to it, [mm].
SMALLEST_SPACING_MM = 0.3


@dataclass(frozen=True, slots=True)
class LabelMesh:
    """A mesh of a label map and what was found of it.

    Parameters
    ----------
    mesh : Mesh
    labels : ndarray of int, shape (i, j, k)
        The labels on cubic voxels, from which it was made.
    affine : ndarray, [mm], shape (4, 4)
    inspection : MeshInspection
    verdict : Verdict
    report : BuildReport
        What happened when it was made.
    cell_size_mm, far_cell_size_mm : float, [mm]
        Smallest and largest cells that were asked for.
    """

    mesh: Mesh
    labels: NDArray[Any]
    affine: NDArray[np.float64]
    inspection: MeshInspection
    verdict: Verdict
    report: BuildReport
    cell_size_mm: float
    far_cell_size_mm: float


def mesh_label_map(
    image: Image,
    names: Mapping[int, str],
    *,
    cell_size_mm: float | None = None,
    far_cell_size_mm: float | None = None,
    fine_around: Sequence[str] = (),
    fine_margin_mm: float = 25.0,
    seed: int = 0,
    progress: Progress | None = None,
) -> LabelMesh:
    """Mesh all voxels with a label above 0, measure the mesh and hold it to the quality gate.

    Cells are smallest about the labels in `fine_around`, and elsewhere as small as layers are
    thin, down to one and a half voxels. Voxels that are not cubes are resampled first, by the
    nearest one.

    Parameters
    ----------
    image : Image
        Whole numbers.
    names : mapping of int to str
        A name for every label that occurs.
    cell_size_mm : float or None, [mm]
        Edge of the smallest lattice cubes; one and a half voxels if None.
    far_cell_size_mm : float or None, [mm]
        Of the largest; four times the smallest if None.
    fine_around : sequence of str
    fine_margin_mm : float, [mm]
        Cells are smallest as far as this from the labels named.
    seed : int
        As for `build_mesh`.
    progress : callable or None

    Raises
    ------
    InvalidInput
        Not a label map, sizes out of range, a name that no label has.
    MeshRejected
        The mesh is below a bar of the quality gate; it holds the `LabelMesh`.

    Examples
    --------
    >>> box = np.zeros((16, 16, 12), np.uint8)
    >>> box[2:14, 2:14, 2:10] = 7
    >>> made = mesh_label_map(Image(box, np.diag([1.0, 1.0, 1.5, 1.0])), {7: "liver"})
    >>> made.verdict.passed, bool(abs(made.mesh.cell_volume.sum() / (12 * 12 * 12) - 1) < 0.01)
    (True, True)
    """
    if not np.issubdtype(image.data.dtype, np.integer):
        raise InvalidInput(
            f"A label map holds whole numbers, not {image.data.dtype}; save it as integers."
        )
    cubes = to_isotropic(image, labels=True, smallest_mm=SMALLEST_SPACING_MM)
    labels = np.asarray(cubes.data).astype(np.int32)
    spacing = float(cubes.spacing_mm.mean())
    fine = _CELL_VOXELS * spacing if cell_size_mm is None else float(cell_size_mm)
    far = _FAR_CELLS * fine if far_cell_size_mm is None else float(far_cell_size_mm)
    if not 0.0 <= fine_margin_mm < np.inf:
        raise InvalidInput(f"The fine margin is {fine_margin_mm:g} mm; give one from 0.")
    region = _region(labels, names, fine_around, fine_margin_mm / spacing)
    sizes = wanted_cell_size(
        labels,
        spacing,
        fine_mm=fine,
        fine_region=region,
        coarse_mm=far,
        thin_layer_mm=max(fine, _CELL_VOXELS * spacing),  # smaller ones would mesh the steps
    )
    mesh, report = build_mesh_with_report(
        labels,
        cubes.affine,
        label_names=names,
        cell_size_mm=sizes,
        smallest_cell_mm=fine,
        seed=seed,
        progress=progress,
    )
    inspection = inspect_mesh(mesh, labels, cubes.affine)
    verdict = judge(inspection, LIMITS)
    made = LabelMesh(mesh, labels, cubes.affine, inspection, verdict, report, fine, far)
    if not verdict.passed:
        raise MeshRejected("mesh", verdict, _REMEDY, made)
    return made


def _region(
    labels: NDArray[np.int32], names: Mapping[int, str], wanted: Sequence[str], margin: float
) -> NDArray[np.bool_]:
    """Voxels at most `margin` voxels from the labels that are named, shape (i, j, k)."""
    numbers = []
    for name in wanted:
        found = [number for number, known in names.items() if known == name]
        if not found or not (labels == found[0]).any():
            present = set(np.unique(labels).tolist())
            there = [known for number, known in names.items() if number in present]
            raise InvalidInput(f"No voxel is {name!r}; there are {', '.join(there)}.")
        numbers += found
    near = np.isin(labels, numbers)
    if near.any() and margin > 0.0:
        near = ndimage.distance_transform_edt(~near) <= margin
    return near
