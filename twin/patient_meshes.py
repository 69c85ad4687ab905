"""The meshes of a patient: one to compute on and two coarser ones for the error bars."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from twin.mesh import Mesh
from twin.mesh_store import cached_mesh
from twin.meshing import (
    build_mesh_with_report,
    front_reach_mm,
    front_width_mm,
    wanted_cell_size,
)
from twin.own_mesh import check_coarser, own_mesh, replacing_cells
from twin.patient import MESH_LABELS

if TYPE_CHECKING:
    from twin.parameters import ParameterSet
    from twin.patient_file import MeshTable
    from twin.patient_images import PatientVoxels
    from twin.protocol import Progress

__all__ = ["mesh_labels", "patient_meshes"]

Mask = NDArray[np.bool_]

#: How much coarser the third mesh is than the second, at most.
_COARSEST_RATIO = 1.6


@dataclass(frozen=True, slots=True)
class _Cells:
    """Sizes of lattice cells: about the tumour, the largest, the smallest in thin layers, [mm]."""

    near_mm: float
    far_mm: float
    thin_mm: float

    def times(self, ratio: float) -> _Cells:
        return _Cells(self.near_mm * ratio, self.far_mm * ratio, self.thin_mm * ratio)


@dataclass(frozen=True, slots=True)
class _Front:
    """How far the tumour's front comes and how wide it is: white and grey matter, [mm]."""

    reach_mm: float
    white_mm: float
    grey_mm: float

    @classmethod
    def of(cls, parameters: ParameterSet, days: float) -> _Front | None:
        """The front of a patient's parameters; None where no time is to be resolved."""
        if days == 0.0:
            return None
        white, grey = (parameters.value(f"diffusivity_{tissue}") for tissue in ("white", "grey"))
        rate = parameters.value("proliferation_rate")
        return cls(
            front_reach_mm(max(white, grey), rate, days),
            *(float(front_width_mm(one, rate)) for one in (white, grey)),
        )

    def width_at(self, labels: NDArray[np.int16]) -> NDArray[np.float64]:
        """Width of the front in each voxel, [mm]; the tumour does not go through fluid."""
        width = np.full(labels.shape, self.white_mm)
        width[labels == MESH_LABELS["grey_matter"]] = self.grey_mm
        width[labels == MESH_LABELS["fluid"]] = np.inf
        return width


def mesh_labels(tissues: NDArray[np.int8], enhancing: Mask, necrosis: Mask) -> NDArray[np.int16]:
    """Return the labels to mesh: tissues, with the tumour's core over them.

    The FLAIR abnormality keeps its tissue.
    """
    labels = tissues.astype(np.int16)
    labels[enhancing] = MESH_LABELS["enhancing"]
    labels[necrosis] = MESH_LABELS["necrosis"]
    return labels


def patient_meshes(
    voxels: PatientVoxels,
    options: MeshTable,
    parameters: ParameterSet,
    folder: Path,
    report: Callable[[float, float, str], Progress],
) -> tuple[Mesh, Mesh, Mesh]:
    """Return the mesh and two coarser ones: those of the files in `folder`, else made here.

    Parameters
    ----------
    voxels : PatientVoxels
    options : MeshTable
    parameters : ParameterSet
        Say how wide the tumour's front is and how far it comes.
    folder : path
        Where the files named in `options` are.
    report : callable
        Gives the progress callback of a part of the work, from its begin, end and name.

    Raises
    ------
    InvalidInput
        A mesh of one's own that does not fit.
    """
    affine, ratio = voxels.grid.affine, options.coarse_ratio
    labels = mesh_labels(voxels.tissues, voxels.tumour["enhancing"], voxels.tumour["necrosis"])
    front = _Front.of(parameters, options.front_time)
    cells = _Cells(options.cell_size, options.far_mm, options.thin_mm)

    def made(cells: _Cells, begin: float, end: float, name: str) -> Mesh:
        return _mesh(labels, voxels, options, cells, front, report(begin, end, name))

    def instead_of(mesh: Mesh) -> _Cells:
        near, far = replacing_cells(mesh, options, labels, affine)
        return _Cells(near, far, min(2.0 * near, far))

    if options.file is None:
        fine = made(cells, 0.0, 0.65, "mesh")
    else:
        fine = own_mesh(folder / options.file, options, labels, affine)
        cells = instead_of(fine)
    cells = cells.times(ratio)
    if options.coarse_file is None:
        coarse = made(cells, 0.65, 0.9, "coarse mesh")
    else:
        coarse = own_mesh(folder / options.coarse_file, options, labels, affine)
        cells = instead_of(coarse)
    if options.file is not None:
        check_coarser(fine, coarse, labels, affine)
    coarsest = made(cells.times(min(ratio, _COARSEST_RATIO)), 0.9, 1.0, "coarsest mesh")
    return fine, coarse, coarsest


def _mesh(
    labels: NDArray[np.int16],
    voxels: PatientVoxels,
    options: MeshTable,
    cells: _Cells,
    front: _Front | None,
    report: Progress,
) -> Mesh:
    """Return the mesh with cells of these sizes, from the cache where it is there."""
    core = voxels.tumour["enhancing"] | voxels.tumour["necrosis"]
    flair = voxels.tumour["flair"]

    def make() -> Mesh:
        spacing = voxels.grid.spacing_mm
        near = ndimage.distance_transform_edt(~core) * spacing <= options.fine_margin
        sizes = wanted_cell_size(
            labels,
            spacing,
            fine_mm=cells.near_mm,
            fine_region=near | flair,
            coarse_mm=cells.far_mm,
            thin_layer_mm=cells.thin_mm,
            reach_mm=0.0 if front is None else front.reach_mm,
            front_width_mm=None if front is None else front.width_at(labels),
        )
        mesh, made = build_mesh_with_report(
            labels,
            voxels.grid.affine,
            label_names={number: name for name, number in MESH_LABELS.items()},
            cell_size_mm=sizes,
            smallest_cell_mm=cells.near_mm,
            seed=options.seed,
            progress=report,
        )
        return replace(mesh, origin=made.sentence())

    sizes_from: list[object] = [
        cells.near_mm, cells.far_mm, cells.thin_mm, options.fine_margin, options.seed,
    ]  # fmt: skip
    if front is not None:
        sizes_from += [front.reach_mm, front.white_mm, front.grey_mm]
    return cached_mesh([labels, flair, voxels.grid.affine, sizes_from, dict(MESH_LABELS)], make)
