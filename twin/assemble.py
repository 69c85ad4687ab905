"""From a patient file and its images to a twin."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from twin.errors import InvalidInput
from twin.mesh import Mesh
from twin.mesh_store import cached_mesh
from twin.meshing import build_mesh, wanted_cell_size
from twin.own_mesh import check_coarser, own_mesh, replacing_cells
from twin.patient import MESH_LABELS, Structure, Twin
from twin.patient_file import MeshTable, PatientFile, read_patient_file
from twin.patient_images import PatientVoxels, read_voxels
from twin.protocol import Progress

__all__ = ["assemble", "mesh_labels"]

Mask = NDArray[np.bool_]

_COARSEST_RATIO = 1.6  # how much coarser the third mesh is than the second, at most


def assemble(
    path: Path, *, mesh: MeshTable | None = None, progress: Progress | None = None
) -> Twin:
    """Return the twin that a ``patient.toml`` describes; meshes come from the cache if there.

    Raises
    ------
    InvalidInput, GeometryMismatch
        One sentence about the first thing that is wrong.
    """
    report: Progress = progress if progress is not None else lambda part, what: None
    content = read_patient_file(path)
    where = path.name
    parameters = content.parameters.resolve(where=where)
    try:
        delivered = content.history.regimen(content.calendar)
    except InvalidInput as error:
        raise InvalidInput(f"{where}: {error}") from None
    report(0.0, "images")
    voxels = read_voxels(content, parameters, path.parent, where)
    report(0.05, "mesh")
    labels = mesh_labels(voxels.tissues, voxels.tumour["enhancing"], voxels.tumour["necrosis"])
    options = mesh if mesh is not None else content.mesh
    parts = (
        _part_of(report, 0.05, 0.65, "mesh"),
        _part_of(report, 0.65, 0.9, "coarse mesh"),
        _part_of(report, 0.9, 1.0, "coarsest mesh"),
    )
    fine, coarse, coarsest = _meshes(labels, voxels, options, path.parent, parts)
    report(1.0, "done")
    return Twin(
        name=content.patient.name,
        mesh=fine,
        coarse_mesh=coarse,
        coarsest_mesh=coarsest,
        grid=voxels.grid,
        tissues=voxels.tissues,
        image=voxels.image,
        structures=_structures(content, voxels),
        parameters=parameters,
        calendar=content.calendar,
        body_surface_m2=content.patient.body_surface,
        delivered=delivered,
        model=content.model.choice,
        tissue_probabilities=voxels.probabilities,
        tensor=voxels.tensor,
        evidence=voxels.evidence,
    )


def _part_of(report: Progress, start: float, end: float, name: str) -> Progress:
    """Return a progress callback for the part of the work between `start` and `end`."""
    return lambda part, what: report(start + (end - start) * part, f"{name}, {what}")


def mesh_labels(tissues: NDArray[np.int8], enhancing: Mask, necrosis: Mask) -> NDArray[np.int16]:
    """Return the labels to mesh: tissues, with the tumour's core over them.

    The FLAIR abnormality keeps its tissue.
    """
    labels = tissues.astype(np.int16)
    labels[enhancing] = MESH_LABELS["enhancing"]
    labels[necrosis] = MESH_LABELS["necrosis"]
    return labels


def _meshes(
    labels: NDArray[np.int16],
    voxels: PatientVoxels,
    options: MeshTable,
    folder: Path,
    reports: tuple[Progress, Progress, Progress],
) -> tuple[Mesh, Mesh, Mesh]:
    """Return the mesh and two coarser ones: those of the files in `folder`, else made here."""
    affine, ratio = voxels.grid.affine, options.coarse_ratio
    near_mm, far_mm = options.cell_size, options.far_mm
    if options.file is None:
        fine = _mesh(labels, voxels, options, (near_mm, far_mm), reports[0])
    else:
        fine = own_mesh(folder / options.file, options, labels, affine)
        near_mm, far_mm = replacing_cells(fine, options, labels, affine)
    near_mm, far_mm = near_mm * ratio, far_mm * ratio
    if options.coarse_file is None:
        coarse = _mesh(labels, voxels, options, (near_mm, far_mm), reports[1])
    else:
        coarse = own_mesh(folder / options.coarse_file, options, labels, affine)
        near_mm, far_mm = replacing_cells(coarse, options, labels, affine)
    if options.file is not None:
        check_coarser(fine, coarse, labels, affine)
    further = min(ratio, _COARSEST_RATIO)
    coarsest = _mesh(labels, voxels, options, (near_mm * further, far_mm * further), reports[2])
    return fine, coarse, coarsest


def _mesh(
    labels: NDArray[np.int16],
    voxels: PatientVoxels,
    options: MeshTable,
    cells_mm: tuple[float, float],
    report: Progress,
) -> Mesh:
    """Return the mesh with cells so large near and far, from the cache where it is there."""
    core = voxels.tumour["enhancing"] | voxels.tumour["necrosis"]
    flair = voxels.tumour["flair"]
    fine_mm, far_mm = cells_mm

    def make() -> Mesh:
        spacing = voxels.grid.spacing_mm
        near = ndimage.distance_transform_edt(~core) * spacing <= options.fine_margin
        sizes = wanted_cell_size(
            labels,
            spacing,
            fine_mm=fine_mm,
            fine_region=near | flair,
            coarse_mm=far_mm,
            thin_layer_mm=far_mm,  # far from the tumour a layer keeps its volume only
        )
        return build_mesh(
            labels,
            voxels.grid.affine,
            label_names={number: name for name, number in MESH_LABELS.items()},
            cell_size_mm=sizes,
            smallest_cell_mm=fine_mm,
            seed=options.seed,
            progress=report,
        )

    sizes_from = [fine_mm, far_mm, options.fine_margin, options.seed]
    return cached_mesh([labels, flair, voxels.grid.affine, sizes_from, dict(MESH_LABELS)], make)


def _structures(content: PatientFile, voxels: PatientVoxels) -> dict[str, Structure]:
    image = "segmentation of the reference visit"
    structures = {
        name: Structure(mask, "tumour", source=image) for name, mask in voxels.tumour.items()
    }
    structures |= {
        name: Structure(mask, "tumour", source="cavity of a resection")
        for name, mask in voxels.cavities.items()
    }
    core = voxels.tumour["enhancing"] | voxels.tumour["necrosis"]
    structures["brain"] = Structure(
        (voxels.tissues > 0) | core, "organ", parameter="alpha_beta_brain", source="tissue map"
    )
    tables = {} if content.structures is None else content.structures.labels
    for name, table in tables.items():
        mask = voxels.organs[name]
        structures[name] = Structure(
            mask, "organ", stylised=table.stylised, parameter=table.parameter, source=table.source
        )
    return structures
