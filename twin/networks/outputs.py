"""A network's labels on disk, with the record of how they were made."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

from twin.errors import InvalidInput
from twin.networks.segmenting import NetworkSegmentation
from twin.nifti_writing import write_values
from twin.storage import write_atomically

__all__ = ["record_path", "write_segmentation"]


def record_path(labels: Path) -> Path:
    """Return where the record of a label map stands: ``labels.nii.gz`` has ``labels.json``.

    Examples
    --------
    >>> record_path(Path("out/labels.nii.gz")).name
    'labels.json'
    """
    return labels.with_name(labels.name.removesuffix(".gz").removesuffix(".nii") + ".json")


def check_name(path: str | os.PathLike[str], *, option: str) -> Path:
    """Return the path of a NIfTI file to be written.

    Raises
    ------
    InvalidInput
        Another ending, or a folder that does not exist.
    """
    file = Path(path)
    if not file.name.endswith((".nii", ".nii.gz")):
        raise InvalidInput(f"{option} is {file}; it must end in .nii.gz or .nii.")
    if not file.parent.is_dir():
        raise InvalidInput(f"The folder {file.parent} of {option} does not exist; make it first.")
    return file


def write_segmentation(
    result: NetworkSegmentation,
    labels: str | os.PathLike[str],
    *,
    probabilities: str | os.PathLike[str] | None = None,
) -> tuple[Path, ...]:
    """Write labels, their record and, if asked, probabilities; return the paths.

    Parameters
    ----------
    result : NetworkSegmentation
    labels : path
        A NIfTI file; the record goes beside it as JSON.
    probabilities : path or None
        A NIfTI file with one volume for each output channel.

    Raises
    ------
    InvalidInput
        Names that are no NIfTI files, or probabilities that the model does not give.
    """
    place = check_name(labels, option="-o")
    extra = None
    if probabilities is not None:
        extra = check_name(probabilities, option="--probabilities")
        if result.probabilities is None:
            raise InvalidInput(
                "This kind of model gives labels, not probabilities; leave --probabilities out."
            )
    record = dict(result.record)
    record["volumes_ml"] = {
        str(number): round(volume, 4) for number, volume in result.volumes_ml.items()
    }
    record["warnings"] = list(result.warnings)
    written = [place]
    data = np.asarray(result.labels.data)
    small = data.astype(np.uint8) if int(data.max(initial=0)) < 256 else data
    if extra is not None and result.probabilities is not None:
        record["probability_volumes"] = list(result.probabilities)
        stack = np.stack([np.asarray(image.data) for image in result.probabilities.values()], -1)
        write_values(extra, stack.astype(np.float32), result.labels.affine)
        written.append(extra)
    write_values(place, small, result.labels.affine)
    beside = record_path(place)
    text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
    write_atomically(beside, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    return (*written, beside)
