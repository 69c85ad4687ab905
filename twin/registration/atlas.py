"""The anatomy of an atlas on a patient who has a tumour segmentation and one image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.resources import as_file
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twin.diffusion_tensor import component_order, to_world
from twin.errors import InvalidInput
from twin.examples import data_file
from twin.images import Image, read_volumes, same_grid
from twin.registration.registering import Kind, Registration, register
from twin.registration.resample import resample_tensors

__all__ = ["Atlas", "PatientAnatomy", "bring_atlas", "default_atlas", "read_atlas"]


@dataclass(frozen=True, slots=True)
class Atlas:
    """A head with known anatomy.

    Parameters
    ----------
    image : Image
        By which it is brought onto a patient.
    tissues : Image
        Label map.
    structures : Image or None
        Label map of organs.
    structure_labels : mapping of str to int
        Their numbers by name.
    tensors : ndarray or None, shape (i, j, k, 6)
        Diffusion tensors, Voigt order, world axes.
    tensor_affine : ndarray or None, [mm], shape (4, 4)
    ignore : Image or None
        Non-zero where the atlas' image shows what is not anatomy.
    """

    image: Image
    tissues: Image
    structures: Image | None = None
    structure_labels: Mapping[str, int] = field(default_factory=dict)
    tensors: NDArray[np.float32] | None = None
    tensor_affine: NDArray[np.float64] | None = None
    ignore: Image | None = None

    def __post_init__(self) -> None:
        if (self.tensors is None) != (self.tensor_affine is None):
            raise InvalidInput("An atlas' tensors need the affine of their grid.")


@dataclass(frozen=True, slots=True)
class PatientAnatomy:
    """What an atlas says of a patient, on the grid of the patient's image.

    Parameters
    ----------
    tissues : Image
        Also in the tumour: the tissue that was there before, as far as the atlas knows.
    structures : Image or None
    structure_labels : mapping of str to int
    tensors : ndarray or None, shape (i, j, k, 6)
        Turned by the local rotation; zeros where unknown.
    registration : Registration
        Of the atlas' image onto the patient's.
    """

    tissues: Image
    structures: Image | None
    structure_labels: Mapping[str, int]
    tensors: NDArray[np.float32] | None
    registration: Registration


def bring_atlas(
    atlas: Atlas,
    patient_image: Image,
    tumour: Image | NDArray[np.bool_],
    *,
    kind: Kind = "deformable",
    seed: int = 0,
    progress: Callable[[float, str], None] | None = None,
) -> PatientAnatomy:
    """The atlas' tissues, organs and tensors on the patient's grid.

    Inside the tumour nothing is matched; there the deformation around it is continued
    smoothly, and the atlas' tissue is what was there before the tumour. Mass effect shows
    as deformation as far as the tissue around the tumour does.

    Parameters
    ----------
    atlas : Atlas
    patient_image : Image
        T1, T2 or FLAIR, without skull if the atlas has none.
    tumour : Image or ndarray of bool, shape of `patient_image`
        Non-zero in tumour and oedema.
    kind : {"deformable", "affine", "rigid"}
    seed : int
    progress : callable or None

    Raises
    ------
    NotConverged
        The atlas does not come to lie on the patient, with the figures.
    """
    registration = register(
        atlas.image,
        patient_image,
        kind=kind,
        ignore=tumour,
        ignore_moving=atlas.ignore,
        seed=seed,
        progress=progress,
    )
    tensors = None
    if atlas.tensors is not None and atlas.tensor_affine is not None:
        tensors = resample_tensors(
            atlas.tensors, atlas.tensor_affine, registration.transform, patient_image
        )
    return PatientAnatomy(
        registration.resample(atlas.tissues, labels=True),
        None if atlas.structures is None else registration.resample(atlas.structures, labels=True),
        dict(atlas.structure_labels),
        tensors,
        registration,
    )


def default_atlas() -> Atlas:
    """The packaged head (ICBM 2009a template, no skull), without the tumour painted into it.

    Its organs are stylised; data/anatomy/NOTICE.md says what they and its terms are.

    Examples
    --------
    >>> sorted(default_atlas().structure_labels)[:2]
    ['brainstem', 'hippocampus_left']
    """
    with as_file(data_file("examples", "glioblastoma")) as folder:
        return read_atlas(folder / "patient.toml")


def read_atlas(path: str | Path) -> Atlas:
    """The reference visit of a ``patient.toml`` (or of the folder that holds one) as an atlas.

    Its T1 image, tissues, organs and tensors are used; its segmentations are what is
    ignored in the T1 image.

    Raises
    ------
    InvalidInput
        No such file, or one without a T1 image.
    """
    from twin.image_files import read_image, read_labels
    from twin.patient_file import read_patient_file

    place = Path(path)
    file = place / "patient.toml" if place.is_dir() else place
    content, folder = read_patient_file(file), file.parent
    visit = next((one for one in content.visit if one.reference), content.visit[0])
    if visit.t1 is None:
        raise InvalidInput(
            f"{file} names no T1 image (t1), by which an atlas is brought onto a patient."
        )
    image = read_image(folder / visit.t1, what="T1 image of the atlas")
    ignore = np.zeros(image.shape, bool)
    for name in visit.segmentations:
        part = read_labels(folder / name, what="segmentation of the atlas")
        same_grid(part, image, names=("The atlas' segmentation", "its T1 image"))
        ignore |= part.data != 0
    structures, labels = None, {}
    if content.structures is not None:
        structures = read_labels(folder / content.structures.file, what="organs of the atlas")
        labels = {name: organ.label for name, organ in content.structures.labels.items()}
    tensors, affine = _tensors(folder, visit.tensor)
    return Atlas(
        image,
        read_labels(folder / visit.tissues, what="tissues of the atlas"),
        structures,
        labels,
        tensors,
        affine,
        Image(ignore, image.affine) if ignore.any() else None,
    )


def _tensors(
    folder: Path, table: Any
) -> tuple[NDArray[np.float32] | None, NDArray[np.float64] | None]:
    """The tensors of an atlas in world axes and Voigt order, and their affine."""
    if table is None:
        return None, None
    data, affine, file_affine = read_volumes(
        folder / table.file, 6, what="tensor image of the atlas"
    )
    turned = to_world(data[..., list(component_order(table.order))], table.frame, file_affine)
    return turned.astype(np.float32), affine
