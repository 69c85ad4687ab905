"""The images of the reference visit, read, checked and put on one grid of cubic voxels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twin.drug_delivery import relative_perfusion
from twin.errors import GeometryMismatch, InvalidInput
from twin.hypoxia import HypoxiaImage, HypoxiaTable, hypoxia_image
from twin.image_files import IMAGE_ENDINGS, read_image, read_labels
from twin.images import Image, box_about, on_voxels_of, same_grid
from twin.label_conventions import convention, tissues_from
from twin.parameters import ParameterSet
from twin.patient import TISSUES, Grid
from twin.patient_file import PatientFile, VisitTable, cavity_name
from twin.patient_tables import tumour_labels
from twin.resampling import to_isotropic
from twin.site import Site
from twin.start_evidence import StartEvidence
from twin.start_images import agreed_tumour, start_evidence
from twin.tissue_images import partial_volumes, tensor_on_grid

__all__ = ["PatientVoxels", "read_voxels"]

Mask = NDArray[np.bool_]

_CROP_MARGIN = 4  # voxels kept around the head
#: Images that are resampled linearly; the others are labels.
_SMOOTH = ("t1", "part_", "density_", "hypoxia_", "perfusion")
_OUTSIDE_ALLOWED = 0.05  # part of the tumour that may lie outside the head


@dataclass(frozen=True, slots=True)
class PatientVoxels:
    """All images of the reference visit, on one grid of cubic voxels."""

    grid: Grid
    tissues: NDArray[np.int8]
    tumour: Mapping[str, Mask]
    organs: Mapping[str, Mask]
    cavities: Mapping[str, Mask]
    image: NDArray[np.float32] | None
    probabilities: Mapping[str, NDArray[np.float32]] | None
    tensor: NDArray[np.float32] | None
    evidence: StartEvidence | None
    hypoxia: HypoxiaImage | None = None
    perfusion: NDArray[np.float32] | None = None


def read_voxels(
    content: PatientFile, parameters: ParameterSet, folder: Path, where: str
) -> PatientVoxels:
    """Read every image, check that all lie on one grid, make it cubic, crop it to the head.

    Raises
    ------
    InvalidInput, GeometryMismatch
        One sentence about the first image that is wrong.
    """
    visit, site = content.reference, parameters.site
    images = _on_the_tissues_voxels(content, folder, where)
    if isinstance(visit.tissue_labels, str):
        by = convention(_own_file(visit.tissue_labels, folder))
        images["tissues"] = tissues_from(images["tissues"], by)
    for key, image in images.items():
        if key.startswith(("tissues", "segmentation", "structures")):
            images[key] = _whole_numbers(image, what=key.partition("_")[0])
    straight: dict[str, Any] = {
        key: to_isotropic(image, labels=not key.startswith(_SMOOTH))
        for key, image in images.items()
    }
    box = _head_box(straight["tissues"].data > 0, site)
    affine = np.array(straight["tissues"].affine)
    affine[:3, 3] += affine[:3, :3] @ [side.start for side in box]
    cut: dict[str, NDArray[Any]] = {key: image.data[box] for key, image in straight.items()}
    tissue_map = _tissue_map(cut["tissues"], visit, site)
    numbers = _tumour_numbers(visit, folder, where)
    readings = []
    for number, file in enumerate(visit.segmentations):
        key = f"segmentation_{number}"
        _check_marks(straight[key].data, file, site)
        parts = _tumour_masks(cut[key], numbers, file, site)
        _check_tumour_place(parts, tissue_map, visit, file, site)
        _check_whole(parts, straight[key].data, visit, file, site)
        readings.append(parts)
    spacing_mm = float(straight["tissues"].spacing_mm.mean())
    tumour, agreed = agreed_tumour(readings, visit, spacing_mm, where=where)
    organs: dict[str, Mask] = {}
    if content.structures is not None:
        numbers = {name: organ.label for name, organ in content.structures.labels.items()}
        organs = _labelled(cut["structures"], numbers, f"structures {content.structures.file}")
    cavities = {key: cut[key] > 0 for key in cut if key.startswith("cavity")}
    for name, mask in {**organs, **cavities}.items():
        if not mask.any():
            raise InvalidInput(f"{where}: {name} has no voxel in the {site.body}; check its file.")
    grid = Grid(tissue_map.shape, affine)  # type: ignore[arg-type]
    return PatientVoxels(
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
        evidence=start_evidence(
            agreed, cut, visit, parameters, tissue_map, tumour, spacing_mm, where=where
        ),
        hypoxia=None
        if visit.hypoxia is None
        else hypoxia_image(
            visit.hypoxia,
            cut[_hypoxia_key(visit.hypoxia)],
            tissue_map > TISSUES["fluid"],
            np.any(list(tumour.values()), axis=0),
            where=where,
        ),
        perfusion=_perfusion(cut, visit, tumour, where),
    )


def _hypoxia_key(table: HypoxiaTable) -> str:
    return f"hypoxia_{table.given[0]}"


def _perfusion(
    cut: Mapping[str, NDArray[Any]], visit: VisitTable, tumour: Mapping[str, Mask], where: str
) -> NDArray[np.float32] | None:
    table = visit.perfusion
    if table is None:
        return None
    caps = {"normal": table.normal, "lowest": table.lowest, "highest": table.highest}
    try:
        return relative_perfusion(cut["perfusion"], tumour, **caps)  # type: ignore[arg-type]
    except InvalidInput as error:
        raise InvalidInput(f"{where}: {error}") from None


def _on_the_tissues_voxels(content: PatientFile, folder: Path, where: str) -> dict[str, Image]:
    """Every image of the reference visit by its key, all with the voxels of the tissue map."""
    visit = content.reference
    tissues = read_labels(folder / visit.tissues, what="tissue map")
    read_already: dict[str, Image] = {}
    if visit.t1 is not None and not visit.tissues.lower().endswith(IMAGE_ENDINGS):
        # a DICOM segmentation leaves out slices without a voxel; the image has them all
        read_already["t1"] = read_image(folder / visit.t1, what="T1 image")
        tissues = on_voxels_of(tissues, read_already["t1"])
    files: dict[str, tuple[str, str]] = {
        f"segmentation_{number}": (file, "segmentation")
        for number, file in enumerate(visit.segmentations)
    }
    if content.structures is not None:
        files["structures"] = (content.structures.file, "structures")
    for number, past in enumerate(content.history.resection):
        files[cavity_name(number)] = (past.cavity, "cavity")
    if visit.t1 is not None:
        files["t1"] = (visit.t1, "T1 image")
    if visit.density is not None:
        for name, image in visit.density:
            if image is not None:
                files[f"density_{name}"] = (image.file, f"{name.upper()} image")
    if visit.hypoxia is not None:
        if content.model.oxygen:
            raise InvalidInput(
                f"{where}: the model has hypoxic cells (oxygen = true in [model]) and the visit a "
                "hypoxia image, which would count the lack of oxygen twice; leave one of them out."
            )
        try:
            tracer, table = visit.hypoxia.given
        except InvalidInput as error:
            raise InvalidInput(f"{where}: {error}") from None
        files[_hypoxia_key(visit.hypoxia)] = (table.file, f"{tracer.upper()} image")
    if visit.perfusion is not None:
        files["perfusion"] = (visit.perfusion.file, "perfusion image")
    if visit.tissue_probabilities is not None:
        for name, file in visit.tissue_probabilities:
            files[f"part_{name}"] = (file, f"probability of {name}")
    images = {"tissues": tissues}
    for key, (file, what) in files.items():
        read = read_image if key.startswith(_SMOOTH) else read_labels
        images[key] = read_already.get(key) or read(folder / file, what=what)
        if not file.lower().endswith(IMAGE_ENDINGS):
            images[key] = on_voxels_of(images[key], tissues)
        try:
            same_grid(
                images[key],
                tissues,
                names=(f"the {what} {file}", f"the tissue map {visit.tissues}"),
            )
        except GeometryMismatch as error:
            raise GeometryMismatch(f"{where}: {error}") from None
    return images


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


def _own_file(name: str, folder: Path) -> str | Path:
    """A convention's name as it is, a file of labels in the patient's folder."""
    return folder / name if name.endswith((".toml", ".json")) else name


def _tumour_numbers(visit: VisitTable, folder: Path, where: str) -> dict[str, int]:
    """Numbers of the tumour's parts; a file of labels is read."""
    if not isinstance(visit.labels, str):
        return visit.labels.numbers
    try:
        return tumour_labels(convention(_own_file(visit.labels, folder))).numbers
    except InvalidInput as error:
        raise InvalidInput(f"{where}: labels: {error}") from None


def _check_marks(data: NDArray[Any], file: str, site: Site) -> None:
    """Refuse a segmentation with one label everywhere."""
    what = f"segmentation {file}"
    present = np.flatnonzero(np.bincount(data.ravel()))
    if len(present) == 1:
        kind = "background only" if present[0] == 0 else f"the label {present[0]} everywhere"
        raise InvalidInput(
            f"The {what} holds {kind}; it must mark the tumour's parts in a {site.body}."
        )


def _tumour_masks(
    data: NDArray[Any], numbers: Mapping[str, int], file: str, site: Site
) -> dict[str, Mask]:
    what = f"segmentation {file}"
    named = _labelled(data, {site.part(name): n for name, n in numbers.items()}, what)
    masks = {name: named[site.part(name)] for name in numbers}
    for name in ("enhancing", "flair"):
        if not masks[name].any():
            raise InvalidInput(
                f"The {what} has no voxel of {site.part(name)} (label {numbers[name]}); "
                "check the labels in the patient file."
            )
    masks.setdefault("necrosis", np.zeros(data.shape, bool))
    return masks


def _tissue_map(data: NDArray[Any], visit: VisitTable, site: Site) -> NDArray[np.int8]:
    what = f"tissue map {visit.tissues}"
    written = {} if isinstance(visit.tissue_labels, str) else dict(visit.tissue_labels)
    known = {name: n for name, n in written.items() if n is not None} or TISSUES
    masks = _labelled(data, {site.tissue(name): n for name, n in known.items()}, what)
    tissues = np.zeros(data.shape, np.int8)
    for name, own in zip(known, masks, strict=True):
        if not masks[own].any():
            count = "all three" if len(known) == 3 else "all its"
            raise InvalidInput(f"The {what} has no voxel of {own}; it needs {count} tissues.")
        tissues[masks[own]] = TISSUES[name]
    return tissues


def _check_tumour_place(
    tumour: Mapping[str, Mask], tissues: NDArray[np.int8], visit: VisitTable, file: str, site: Site
) -> None:
    whole = np.any(list(tumour.values()), axis=0)
    beyond = float((tissues[whole] == 0).mean())
    if not beyond <= _OUTSIDE_ALLOWED:
        raise InvalidInput(
            f"{100 * beyond:.0f} % of the tumour in {file} lies outside the {site.body} of "
            f"{visit.tissues}; at most {100 * _OUTSIDE_ALLOWED:.0f} % may: check that both are of "
            "the same patient and visit."
        )


def _check_whole(
    tumour: Mapping[str, Mask], data: NDArray[Any], visit: VisitTable, file: str, site: Site
) -> None:
    """Refuse a segmentation that reaches beyond the cropped head."""
    kept = sum(int(mask.sum()) for mask in tumour.values())
    if kept != np.count_nonzero(data):
        raise InvalidInput(
            f"The tumour in {file} reaches far out of the {site.body} of {visit.tissues}; "
            "check that both are of the same patient and visit."
        )


def _head_box(head: Mask, site: Site) -> tuple[slice, ...]:
    """Return the box of the head with a small margin."""
    if not head.any():
        raise InvalidInput(
            f"The tissue map is background only; it must mark the {site.body}'s tissues."
        )
    return box_about(head, _CROP_MARGIN)
