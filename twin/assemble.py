"""From a patient file and its images to a twin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from twin.errors import GeometryMismatch, InvalidInput
from twin.images import Image, read_nifti, same_grid
from twin.mesh import Mesh
from twin.mesh_store import cached_mesh
from twin.meshing import build_mesh, wanted_cell_size
from twin.own_mesh import check_coarser, own_mesh, replacing_cells
from twin.patient import MESH_LABELS, TISSUES, Grid, Structure, Twin
from twin.patient_file import MeshTable, PatientFile, VisitTable, cavity_name, read_patient_file
from twin.protocol import Progress
from twin.resampling import to_isotropic
from twin.tissue_images import partial_volumes, tensor_on_grid

__all__ = ["assemble", "mesh_labels"]

Mask = NDArray[np.bool_]

_COARSEST_RATIO = 1.6  # how much coarser the third mesh is than the second, at most
_CROP_MARGIN = 4  # voxels kept around the head
_OUTSIDE_ALLOWED = 0.05  # part of the tumour that may lie outside the head


@dataclass(frozen=True, slots=True)
class _Voxels:
    """All images of the reference visit, on one grid of cubic voxels."""

    grid: Grid
    tissues: NDArray[np.int8]
    tumour: Mapping[str, Mask]
    organs: Mapping[str, Mask]
    cavities: Mapping[str, Mask]
    image: NDArray[np.float32] | None
    probabilities: Mapping[str, NDArray[np.float32]] | None
    tensor: NDArray[np.float32] | None


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
    voxels = _read_voxels(content, path.parent, where)
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
    voxels: _Voxels,
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
    voxels: _Voxels,
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


def _structures(content: PatientFile, voxels: _Voxels) -> dict[str, Structure]:
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


def _read_voxels(content: PatientFile, folder: Path, where: str) -> _Voxels:
    """Read every image, check that all lie on one grid, make it cubic, crop it to the head."""
    visit = content.reference
    tissues = read_nifti(folder / visit.tissues, what="tissue map")
    files: dict[str, tuple[str, str]] = {"segmentation": (visit.segmentation, "segmentation")}
    if content.structures is not None:
        files["structures"] = (content.structures.file, "structures")
    for number, past in enumerate(content.history.resection):
        files[cavity_name(number)] = (past.cavity, "cavity")
    if visit.t1 is not None:
        files["t1"] = (visit.t1, "T1 image")
    if visit.tissue_probabilities is not None:
        for name, file in visit.tissue_probabilities:
            files[f"part_{name}"] = (file, f"probability of {name}")
    images = {"tissues": tissues}
    for key, (file, what) in files.items():
        images[key] = read_nifti(folder / file, what=what)
        try:
            same_grid(
                images[key],
                tissues,
                names=(f"the {what} {file}", f"the tissue map {visit.tissues}"),
            )
        except GeometryMismatch as error:
            raise GeometryMismatch(f"{where}: {error}") from None

    for key in ("tissues", "segmentation", "structures"):
        if key in images:
            images[key] = _whole_numbers(images[key], what=key)
    straight: dict[str, Any] = {
        key: to_isotropic(image, labels=key != "t1" and not key.startswith("part_"))
        for key, image in images.items()
    }
    box = _head_box(straight["tissues"].data > 0)
    affine = np.array(straight["tissues"].affine)
    affine[:3, 3] += affine[:3, :3] @ [side.start for side in box]
    cut: dict[str, NDArray[Any]] = {key: image.data[box] for key, image in straight.items()}
    tumour = _tumour_masks(cut["segmentation"], visit)
    tissue_map = _tissue_map(cut["tissues"], visit)
    _check_tumour_place(tumour, tissue_map, visit)
    _check_whole(tumour, straight["segmentation"].data, visit)
    organs: dict[str, Mask] = {}
    if content.structures is not None:
        numbers = {name: organ.label for name, organ in content.structures.labels.items()}
        organs = _labelled(cut["structures"], numbers, f"structures {content.structures.file}")
    cavities = {key: cut[key] > 0 for key in cut if key.startswith("cavity")}
    for name, mask in {**organs, **cavities}.items():
        if not mask.any():
            raise InvalidInput(f"{where}: {name} has no voxel in the head; check its file.")
    grid = Grid(tissue_map.shape, affine)  # type: ignore[arg-type]
    return _Voxels(
        grid=grid,
        tissues=tissue_map,
        tumour=tumour,
        organs=organs,
        cavities=cavities,
        image=cut["t1"].astype(np.float32) if "t1" in cut else None,
        probabilities=partial_volumes(cut, tissue_map, where=where),
        tensor=None
        if visit.tensor is None
        else tensor_on_grid(visit.tensor, folder, grid, tissue_map, tumour, where=where),
    )


def _whole_numbers(image: Image, *, what: str) -> Image:
    """Labels as int32; floats are taken only where they are whole."""
    data = image.data
    if data.dtype.kind == "f" and not (data == np.rint(data)).all():
        raise InvalidInput(f"The {what} holds values that are not whole; labels must be numbers.")
    if data.min() < 0 or data.max() > 32767:
        raise InvalidInput(
            f"The {what} has labels from {data.min():g} to {data.max():g}; 0 to 32767 are allowed."
        )
    return Image(data.astype(np.int32), image.affine)


def _labelled(data: NDArray[Any], numbers: Mapping[str, int], what: str) -> dict[str, Mask]:
    """Return a mask for each named number; a number without a name is refused."""
    present = np.flatnonzero(np.bincount(data.ravel()))
    unnamed = [int(number) for number in present if number and number not in numbers.values()]
    if unnamed:
        names = ", ".join(f"{name} = {number}" for name, number in numbers.items())
        raise InvalidInput(
            f"The {what} has a label {unnamed[0]} without a name (named are {names}); "
            "name it in labels or take it out of the file."
        )
    return {name: data == number for name, number in numbers.items()}


def _tumour_masks(data: NDArray[Any], visit: VisitTable) -> dict[str, Mask]:
    what = f"segmentation {visit.segmentation}"
    present = np.flatnonzero(np.bincount(data.ravel()))
    if len(present) == 1:
        kind = "background only" if present[0] == 0 else f"the label {present[0]} everywhere"
        raise InvalidInput(f"The {what} holds {kind}; it must mark the tumour's parts in a head.")
    masks = _labelled(data, visit.labels.numbers, what)
    for name in ("enhancing", "flair"):
        if not masks[name].any():
            raise InvalidInput(
                f"The {what} has no voxel of {name} (label {visit.labels.numbers[name]}); "
                "check the labels in the patient file."
            )
    masks.setdefault("necrosis", np.zeros(data.shape, bool))
    return masks


def _tissue_map(data: NDArray[Any], visit: VisitTable) -> NDArray[np.int8]:
    what = f"tissue map {visit.tissues}"
    masks = _labelled(data, dict(visit.tissue_labels), what)
    tissues = np.zeros(data.shape, np.int8)
    for name, mask in masks.items():
        if not mask.any():
            raise InvalidInput(f"The {what} has no voxel of {name}; it needs all three tissues.")
        tissues[mask] = TISSUES[name]
    return tissues


def _check_tumour_place(
    tumour: Mapping[str, Mask], tissues: NDArray[np.int8], visit: VisitTable
) -> None:
    whole = np.any(list(tumour.values()), axis=0)
    beyond = float((tissues[whole] == 0).mean())
    if not beyond <= _OUTSIDE_ALLOWED:
        raise InvalidInput(
            f"{100 * beyond:.0f} % of the tumour in {visit.segmentation} lies outside the head of "
            f"{visit.tissues}; at most {100 * _OUTSIDE_ALLOWED:.0f} % may: check that both are of "
            "the same patient and visit."
        )


def _check_whole(tumour: Mapping[str, Mask], data: NDArray[Any], visit: VisitTable) -> None:
    """Refuse a segmentation that reaches beyond the cropped head."""
    kept = sum(int(mask.sum()) for mask in tumour.values())
    if kept != np.count_nonzero(data):
        raise InvalidInput(
            f"The tumour in {visit.segmentation} reaches far out of the head of {visit.tissues}; "
            "check that both are of the same patient and visit."
        )


def _head_box(head: Mask) -> tuple[slice, ...]:
    """Return the box of the head with a small margin."""
    if not head.any():
        raise InvalidInput("The tissue map is background only; it must mark the head's tissues.")
    box = []
    for axis in range(3):
        filled = np.flatnonzero(head.any(axis=tuple(a for a in range(3) if a != axis)))
        start = max(0, int(filled[0]) - _CROP_MARGIN)
        box.append(slice(start, min(head.shape[axis], int(filled[-1]) + _CROP_MARGIN + 1)))
    return tuple(box)
