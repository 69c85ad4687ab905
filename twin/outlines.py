"""Outlines of structures in whatever file they come: contours, segmentations, label maps."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from twin.errors import InvalidInput
from twin.image_files import IMAGE_ENDINGS, read_labels
from twin.images import Image, box_about

if TYPE_CHECKING:
    from twin.dicom.structure_set import Contours

__all__ = ["Drawn", "Outlines", "Voxels", "read_outlines"]

_SMOOTH_MM = 1.0  # distance of planes between those that were drawn
_SMALL_ML, _JUMP = 5.0, 0.1  # where the volume by slabs is held against the interpolated one


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """A structure by contours on planes.

    Parameters
    ----------
    contours : Contours
    end_caps : bool
        Whether it reaches half a plane's distance beyond its outermost contours.
    """

    contours: Contours
    end_caps: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Voxels:
    """A structure by voxels.

    Parameters
    ----------
    inside : Image
        bool, or float32 share of each voxel [1], of the box about the structure.
    """

    inside: Image


@dataclass(frozen=True, slots=True, eq=False)
class Outlines:
    """Structures of one file.

    Parameters
    ----------
    structures : mapping of str to Drawn or Voxels
    kind : str
        "structure set", "segmentation" or "label map".
    numbers : mapping of int to str
        Name of each number, by which a planning system's histograms refer to it.
    frame_of_reference : str
        "" where the file has none. For pairing in memory only.
    notes : tuple of str
    """

    structures: Mapping[str, Drawn | Voxels]
    kind: str
    numbers: Mapping[int, str]
    frame_of_reference: str = field(repr=False)
    notes: tuple[str, ...]


def read_outlines(
    path: str | Path,
    *,
    labels: str | Path | None = None,
    only: Sequence[str] = (),
    smooth: Sequence[str] = (),
    end_caps: bool = True,
    identifiers: Iterable[str] = (),
) -> Outlines:
    """Return the structures of a DICOM structure set or segmentation, or of a label map.

    Parameters
    ----------
    path : path
        RTSTRUCT, SEG, NIfTI or NRRD (``.seg.nrrd`` with its names).
    labels : str, path or None
        Convention that names the numbers of a label map; see `convention`. None: "label 1", ...
    only : sequence of str
        Names to take; all if empty.
    smooth : sequence of str
        Names whose contours are interpolated between their planes; see `denser`.
    end_caps : bool
        Of contours; see `Drawn`.
    identifiers : iterable of str
        What no name may show.

    Raises
    ------
    InvalidInput, GeometryMismatch
        Missing, damaged, another kind of file, no structure, an unknown name.
    """
    file = Path(path)
    if file.is_dir():
        raise InvalidInput(
            f"The structures {file} are a folder; name the one file that holds them."
        )
    if not file.is_file():
        raise InvalidInput(f"The structures {file} do not exist; check name and folder.")
    if file.name.lower().endswith(IMAGE_ENDINGS):
        if smooth or not end_caps:
            raise _not_contours(file, smooth)
        return _of_labels(file, labels, only, identifiers)
    from twin.dicom.files import read_header

    header = read_header(file)
    modality = "" if header is None else str(header.get("Modality") or "").upper()
    if modality not in ("RTSTRUCT", "SEG"):
        raise InvalidInput(
            f"The structures {file} are neither a DICOM structure set (RTSTRUCT) nor a "
            "segmentation (SEG), nor a label map named .nii, .nii.gz or .nrrd; name such a file."
        )
    if labels is not None:
        raise InvalidInput(f"{file.name} holds names of its own; leave --labels out.")
    if modality == "RTSTRUCT":
        return _of_contours(file, only, smooth, end_caps, identifiers)
    if smooth or not end_caps:
        raise _not_contours(file, smooth)
    return _of_segments(file, only, identifiers)


def _not_contours(file: Path, smooth: Sequence[str]) -> InvalidInput:
    option = "--interpolate" if smooth else "--end-slabs none"
    return InvalidInput(
        f"{file.name} has voxels and no contours, so that {option} has no meaning; leave it out."
    )


def _chosen(names: Sequence[str], only: Sequence[str], file: Path) -> list[str]:
    for name in only:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}."
            raise InvalidInput(f"{file.name} has no structure {name!r}; {hint}")
    return [name for name in names if name in only] if only else list(names)


def _of_contours(
    file: Path,
    only: Sequence[str],
    smooth: Sequence[str],
    end_caps: bool,
    identifiers: Iterable[str],
) -> Outlines:
    from twin.dicom.between_planes import denser
    from twin.dicom.structure_set import read_structure_set

    found = read_structure_set(file, identifiers=identifiers)
    for name in only:
        if name in found.numbers.values() and name not in found.structures:
            raise InvalidInput(
                f"{file.name} has no closed contour of {name}; draw it, or leave it."
            )
    chosen = _chosen(list(found.structures), only, file)
    _chosen(chosen, smooth, file)
    several = [one.spacing_mm for one in found.structures.values() if one.spacing_mm > 0.0]
    usual = float(np.median(several)) if several else 0.0
    structures = {}
    others = tuple(f"{name} has " for name in found.structures if name not in chosen)
    notes = [note for note in found.notes if not (others and note.startswith(others))]
    for name in chosen:
        contours = found.structures[name]
        if name in smooth:
            contours = denser(contours, _SMOOTH_MM)
        elif note := _jumps(name, contours):
            notes.append(note)
        if len(contours.places) == 1 and usual:
            contours = _of_thickness(contours, usual)
            notes.append(f"{name} is taken to be {usual:.3g} mm thick, as planes lie elsewhere")
            structures[name] = Drawn(contours, end_caps=True)
            continue
        structures[name] = Drawn(contours, end_caps)
    return Outlines(
        structures, "structure set", found.numbers, found.frame_of_reference, tuple(notes)
    )


def _jumps(name: str, contours: Contours) -> str:
    """What to know where a small structure is another one when it is interpolated."""
    from twin.dicom.between_planes import denser

    if len(contours.places) < 2 or (slabs := contours.volume_ml(end_caps=False)) > _SMALL_ML:
        return ""
    smooth = denser(contours, _SMOOTH_MM).volume_ml(end_caps=False)
    if abs(slabs - smooth) <= _JUMP * smooth:
        return ""
    return (
        f"{name} changes so much from plane to plane that its volume is {slabs:.3g} mL by slabs, "
        f"{smooth:.3g} mL interpolated between planes (--interpolate)"
    )


def _of_thickness(contours: Contours, thick_mm: float) -> Contours:
    """One plane as two whose slabs are together so thick."""
    from twin.dicom.structure_set import Contours as Planes

    place, apart = float(contours.places[0]), thick_mm / 4.0
    places = np.array([place - apart, place + apart])
    return Planes(contours.normal, places, contours.polygons * 2)


def _of_segments(file: Path, only: Sequence[str], identifiers: Iterable[str]) -> Outlines:
    from twin.dicom.segmentation import read_segmentation

    found = read_segmentation(file, identifiers=identifiers)
    structures = {}
    for name in _chosen(list(found.segments), only, file):
        image = found.segments[name]
        if (voxels := _boxed(image.data, image.affine)) is not None:
            structures[name] = voxels
    if not structures:
        raise InvalidInput(f"{file.name} has no voxel in the structures asked for.")
    numbers = {number: name for name, number in found.labels.items()}
    return Outlines(structures, "segmentation", numbers, found.frame_of_reference, found.notes)


def _of_labels(
    file: Path, labels: str | Path | None, only: Sequence[str], identifiers: Iterable[str]
) -> Outlines:
    layers, own = _layers(file)
    named = _names_of(labels)
    found: dict[str, Voxels] = {}
    numbers: dict[int, str] = {}
    given: list[tuple[tuple[int, int], str]] = []
    boxes: dict[tuple[int, int], Any] = {}
    for layer, image in enumerate(layers):
        for number, box in _boxes(image.data, file):
            boxes[layer, number] = box
            name = named.get(number) or own.get((layer, number)) or f"label {number}"
            given.append(((layer, number), name))
    if not given:
        raise InvalidInput(f"The label map {file} is background only; it holds no structure.")
    shown = _shown([name for _, name in given], identifiers)
    wanted = _chosen(shown, only, file)
    for ((layer, number), _), name in zip(given, shown, strict=True):
        if name not in wanted:
            continue
        image, box = layers[layer], boxes[layer, number]
        found[name] = _cropped(image.data[box] == number, image.affine, box)
        numbers[number] = name
    return Outlines(found, "label map", numbers, "", ())


def _layers(file: Path) -> tuple[tuple[Image, ...], dict[tuple[int, int], str]]:
    """Label maps of a file, and the names by layer and label that it holds itself."""
    if file.name.lower().endswith((".nrrd", ".nhdr")):
        from twin.nrrd_file import read_nrrd_segments

        segments = read_nrrd_segments(file, what="label map")
        return segments.layers, {place: name for name, place in segments.segments.items()}
    return (read_labels(file, what="label map"),), {}


def _names_of(labels: str | Path | None) -> dict[int, str]:
    if labels is None:
        return {}
    from twin.label_conventions import convention

    known = convention(labels)
    return {number: name for part in (known.tumour, known.labels) for name, number in part.items()}


def _boxes(data: NDArray[Any], file: Path) -> list[tuple[int, tuple[slice, ...]]]:
    """Numbers of a label map with the box about each."""
    from scipy import ndimage

    whole = np.asarray(data)
    low, high = float(whole.min()), float(whole.max())
    if whole.dtype.kind == "f" and not (whole == np.rint(whole)).all():
        raise InvalidInput(
            f"The structures {file} are no label map: values between {low:g} and {high:g} are not "
            "whole numbers; give labels or a mask."
        )
    if not 0 <= low <= high <= 32767:
        raise InvalidInput(
            f"The label map {file} has values from {low:g} to {high:g}; labels lie between 0 and "
            "32767."
        )
    found = ndimage.find_objects(whole.astype(np.int32, copy=False))
    boxes = [(number, box) for number, box in enumerate(found, start=1) if box is not None]
    if len(boxes) > 1024:
        raise InvalidInput(
            f"The structures {file} have {len(boxes)} different values; a label map has at most "
            "1024: is it another image?"
        )
    return boxes


def _shown(names: Sequence[str], identifiers: Iterable[str]) -> list[str]:
    from pydicom.dataset import Dataset

    from twin.dicom.structure_names import names_to_show

    found = names_to_show(Dataset(), list(enumerate(names, start=1)), identifiers=identifiers)
    return list(found.values())


def _boxed(data: NDArray[Any], affine: NDArray[np.float64]) -> Voxels | None:
    filled = data > 0
    if not filled.any():
        return None
    box = box_about(filled)
    return _cropped(np.array(data[box]), affine, box)


def _cropped(inside: NDArray[Any], affine: NDArray[np.float64], box: tuple[slice, ...]) -> Voxels:
    moved = affine.copy()
    moved[:3, 3] = affine[:3, :3] @ [part.start for part in box] + affine[:3, 3]
    return Voxels(Image(np.ascontiguousarray(inside), moved))
