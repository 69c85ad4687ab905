"""NIfTI and NRRD files of a folder: images and label maps, told apart by name and by values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twin.errors import InvalidInput
from twin.importing.dataset_json import DatasetJson
from twin.importing.file_names import name_says
from twin.importing.found import Found, Labels

__all__ = ["found_in_volume", "label_values", "reason_against_labels"]

_MOST_LABELS = 256
_CONVENTIONS = (
    # numbers that may be there, those that must be (oedema, enhancing), name
    (frozenset({1, 2, 4}), {2, 4}, "brats"),
    (frozenset({1, 2, 3}), {2, 3}, "brats2023"),
)


def label_values(data: NDArray[Any]) -> tuple[int, ...] | None:
    """Whole numbers of a label map in rising order, None where the values are not labels.

    Examples
    --------
    >>> label_values(np.array([[[0.0, 2.0]]])), label_values(np.array([[[0.5]]])) is None
    ((0, 2), True)
    """
    if data.dtype.kind not in "iufb":
        return None
    smallest, largest = data.min(), data.max()
    if not (smallest >= 0 and largest <= 32767):
        return None
    if data.dtype.kind == "f" and not (data == np.rint(data)).all():
        return None
    present = np.flatnonzero(np.bincount(data.astype(np.int32, copy=False).ravel()))
    return tuple(int(value) for value in present) if len(present) <= _MOST_LABELS else None


def reason_against_labels(values: tuple[int, ...]) -> str:
    """Why a label map can be no outline of anything, empty where it can.

    Examples
    --------
    >>> reason_against_labels((1,))
    'it is 1 everywhere, without background'
    """
    if len(values) == 1:
        if values[0] == 0:
            return "it is background only"
        return f"it is {values[0]} everywhere, without background"
    return ""


def found_in_volume(path: Path, dataset: DatasetJson | None) -> Found:
    """Return what a NIfTI or NRRD file holds.

    Parameters
    ----------
    path : path
    dataset : DatasetJson or None
        nnU-Net's description of the folder, where there is one.

    Raises
    ------
    InvalidInput
        The file is damaged, too large, not three-dimensional or without orientation.
    """
    from twin.image_files import read_image

    volumes = _volumes(path)
    if volumes > 1:
        return Found(
            kind="not used",
            source="NIfTI",
            files=(path,),
            notes=(
                f"image of {volumes} volumes: not used (twin tensor fits tensors where it is "
                "diffusion-weighted)",
            ),
        )
    says = name_says(path.name)
    image = read_image(path, what="image")
    values = label_values(image.data)
    contrast, guessed = says.contrast, "name of the file"
    if says.channel is not None and dataset is not None:
        contrast = dataset.channels.get(says.channel)
        guessed = "dataset.json"
    named_image = contrast is not None and not says.labels
    if says.labels and values is None:
        raise InvalidInput(
            f"{path.name} is named as a label map, but its values are no labels (whole numbers "
            f"from 0 to 32767, at most {_MOST_LABELS} different ones); rename or replace it."
        )
    is_labels = values is not None and not named_image and (says.labels or len(values) <= 64)
    spacing = tuple(float(side) for side in image.spacing_mm)
    common: dict[str, Any] = {
        "source": "NRRD" if path.suffix in (".nrrd", ".nhdr") else "NIfTI",
        "shape": image.shape,
        "spacing_mm": spacing,
        "files": (path,),
        "case": says.case,
        "affine": image.affine,
    }
    if not is_labels or values is None:
        return Found(
            kind="image",
            contrast=contrast or "image",
            guessed_from=guessed if contrast else "",
            notes=() if contrast else ("what it shows is not known from its name",),
            **common,
        )
    labels = _labels(values, says.role, dataset)
    problem = reason_against_labels(values)
    notes = () if says.labels else ("taken for a label map by its values (a guess)",)
    return Found(
        kind="labels",
        contrast=says.role,
        guessed_from="numbers" if labels.convention else "",
        structures=tuple(labels.names.get(number, f"{number}") for number in labels.numbers),
        labels=labels,
        problem=problem,
        notes=notes,
        **common,
    )


def _volumes(path: Path) -> int:
    """Volumes that the header of a NIfTI file states; 1 where it cannot be read, or is no NIfTI."""
    import nibabel as nib

    if not path.name.lower().endswith((".nii", ".nii.gz")):
        return 1
    try:
        shape = nib.load(path).shape  # type: ignore[attr-defined]
    except MemoryError:
        raise
    except Exception:  # nibabel raises many kinds on garbage; the reader says what is wrong
        return 1
    return int(np.prod(shape[3:], dtype=np.int64)) if len(shape) > 3 else 1


def _labels(values: tuple[int, ...], role: str, dataset: DatasetJson | None) -> Labels:
    numbers = tuple(value for value in values if value)
    background = 0 in values
    if dataset is not None:
        names = {number: dataset.labels.get(number, "") or f"{number}" for number in numbers}
        if set(numbers) <= set(dataset.labels):
            return Labels(numbers, None, dataset.tumour, names, background)
    if role == "tissues" and set(numbers) == {1, 2, 3}:
        return Labels(numbers, None, {}, {}, background)
    if not role:
        from twin.label_conventions import convention

        for allowed, needed, name in _CONVENTIONS:
            if needed <= set(numbers) <= allowed:
                tumour = dict(convention(name).tumour)
                names = {number: part for part, number in tumour.items() if number in numbers}
                return Labels(numbers, name, tumour, names, background)
    return Labels(numbers, background=background)
