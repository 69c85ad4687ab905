"""MONAI bundles and nnU-Net folders, which prepare images and decide on labels themselves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from twin.errors import InvalidInput
from twin.images import Image, read_nifti, same_grid
from twin.networks.child_process import run_model
from twin.networks.grids import NetworkGrid
from twin.networks.models import Model
from twin.networks.monai_bundle import read_monai_bundle
from twin.networks.nnunet import read_nnunet
from twin.networks.segmenting import NetworkSegmentation, by_role, image_records, model_record

__all__ = ["labels_of_channels", "segment_by_folder"]


def segment_by_folder(
    images: Mapping[str, Image],
    model: Model,
    *,
    orientation: str,
    time_limit_s: float,
    threads: int,
) -> NetworkSegmentation:
    """Return labels by a MONAI bundle or an nnU-Net folder; see `twin.networks.segment`."""
    if model.kind == "nnunet":
        return _by_nnunet(images, model, orientation, time_limit_s, threads)
    return _by_monai(images, model, time_limit_s, threads)


def _by_nnunet(
    images: Mapping[str, Image],
    model: Model,
    orientation: str,
    time_limit_s: float,
    threads: int,
) -> NetworkSegmentation:
    known = read_nnunet(model.path)
    ordered = by_role(images, known.channels)
    grid = ordered[0]
    turn = NetworkGrid.of(grid, _turned_spacing(grid, orientation), orientation)
    names = [f"image_{number:04d}.nii.gz" for number in range(len(ordered))]

    def read(folder: Path, answer: Mapping[str, Any]) -> tuple[Image, str]:
        result = read_nifti(folder / "result.nii.gz", what="network's label map")
        same_grid(grid, result, names=("The image", "the network's result"))
        return Image(np.rint(result.data.astype(np.float64)).astype(np.uint16), grid.affine), str(
            answer["version"]
        )

    labels, engine = run_model(
        {
            "kind": "nnunet",
            "model": str(model.path.resolve()),
            "threads": threads,
            "images": names,
            "folds": list(known.folds),
            "checkpoint": known.checkpoint,
        },
        write=lambda folder: _write(folder, names, ordered, turn),
        read=read,
        time_limit_s=time_limit_s,
    )
    record = model_record(model, name=known.name, version="", engine=engine)
    record["preprocessing"] = "nnU-Net's own, from its plans"
    record["orientation_of_files"] = orientation
    record["configuration"] = known.configuration
    record["spacing_mm"] = known.spacing_mm
    record["patch"] = known.patch
    record["folds"] = list(known.folds)
    sentences = (
        f'The nnU-Net "{known.name}" (SHA-256 {model.sha256[:16]}...) was run by {engine} in a '
        f"process of its own, with the weights of folds {', '.join(known.folds)} and mirroring.",
        f"It prepared the images ({', '.join(known.channels)}, axes {orientation}) and decided "
        "on labels by its own plans.",
    )
    return _result(labels, dict(known.labels), sentences, (), record, known.channels, ordered)


def _by_monai(
    images: Mapping[str, Image], model: Model, time_limit_s: float, threads: int
) -> NetworkSegmentation:
    known = read_monai_bundle(model.path)
    ordered = by_role(images, known.channels)
    grid = ordered[0]
    turn = NetworkGrid.of(grid, _turned_spacing(grid, "RAS"), "RAS")
    names = [f"image_{number:04d}.nii.gz" for number in range(len(ordered))]

    def read(folder: Path, answer: Mapping[str, Any]) -> tuple[NDArray[np.float32], str]:
        return np.load(folder / "result.npy"), str(answer["version"])

    channels, engine = run_model(
        {
            "kind": "monai",
            "model": str(model.path.resolve()),
            "threads": threads,
            "images": names,
            "inference": known.inference,
        },
        write=lambda folder: _write(folder, names, ordered, turn),
        read=read,
        time_limit_s=time_limit_s,
    )
    if channels.shape[1:] != grid.shape:
        raise InvalidInput(
            f"The bundle's result has {' x '.join(map(str, channels.shape[1:]))} voxels, but the "
            f"image {' x '.join(map(str, grid.shape))}: its postprocessing does not bring results "
            "back to the image (Invertd); ask its authors."
        )
    data, label_names, how = labels_of_channels(channels, known.outputs)
    record = model_record(model, name=known.name, version=known.version, engine=engine)
    record["preprocessing"] = "the bundle's own"
    sentences = (
        f'The MONAI bundle "{known.name}" {known.version} (SHA-256 {model.sha256[:16]}...) was run '
        f"by {engine} in a process of its own.",
        f"It prepared the images ({', '.join(known.channels)}) and brought its result back by "
        f"itself; {how}.",
    )
    labels = Image(data, grid.affine)
    return _result(labels, label_names, sentences, (), record, known.channels, ordered)


def labels_of_channels(
    channels: NDArray[np.float32], names: tuple[str, ...]
) -> tuple[NDArray[np.uint16], dict[int, str], str]:
    """Return one label map for what a bundle left, what its numbers mean, and how it was made.

    A single channel is a label map already. Of several, each a mask, the
    largest is drawn first and the smaller ones over it, so that nested regions
    stay visible; channel `i` gets the number `i + 1`.

    Parameters
    ----------
    channels : ndarray, shape (channel, i, j, k)
    names : tuple of str
        What the metadata call the network's channels.

    Raises
    ------
    InvalidInput
        Values that are no labels or masks.
    """
    whole = np.round(channels)
    if not (np.abs(channels - whole).max() < 1e-3 and whole.min() >= 0 and whole.max() < 2**16):
        raise InvalidInput(
            "The bundle's result is neither labels nor masks: its postprocessing does not decide "
            "(AsDiscreted); ask its authors."
        )
    if len(channels) == 1:
        data = whole[0].astype(np.uint16)
        present = [int(number) for number in np.unique(data) if number]
        known = {i: name for i, name in enumerate(names) if i}
        meaning = {i: known.get(i, f"label {i}") for i in present}
        return data, meaning, "its labels are its own"
    if len(channels) != len(names):
        raise InvalidInput(
            f"The bundle left {len(channels)} masks, but its metadata name {len(names)} channels; "
            "ask its authors."
        )
    data = np.zeros(channels.shape[1:], np.uint16)
    sizes = [int((mask > 0.5).sum()) for mask in channels]
    for number in sorted(range(len(sizes)), key=lambda i: (-sizes[i], i)):
        data[channels[number] > 0.5] = number + 1
    meaning = {i + 1: name for i, name in enumerate(names)}
    return data, meaning, "its masks were drawn over one another, the largest first"


def _turned_spacing(image: Image, orientation: str) -> list[float]:
    """The image's own voxel sides in another order of axes, so that nothing is resampled."""
    axis = {"R": 0, "L": 0, "A": 1, "P": 1, "S": 2, "I": 2}
    if sorted(axis.get(letter, -1) for letter in orientation) != [0, 1, 2]:
        raise InvalidInput(
            f"--orientation is {orientation!r}; write three letters such as RAS or LPS."
        )
    return [float(image.spacing_mm[axis[letter]]) for letter in orientation]


def _write(folder: Path, names: list[str], images: list[Image], turn: NetworkGrid) -> None:
    """Write the images as NIfTI with axes as `turn` has them; nothing of a name or header stays."""
    move = np.zeros((4, 4))
    move[3, 3] = 1.0
    for column, (axis, sign) in enumerate(zip(turn.axes, turn.signs, strict=True)):
        move[axis, column] = sign
        if sign < 0:
            move[axis, 3] = turn.image_shape[axis] - 1
    for name, image in zip(names, images, strict=True):
        picture = nib.Nifti1Image(turn.to_network(image.data, "linear"), image.affine @ move)
        picture.header.set_xyzt_units("mm")
        nib.save(picture, folder / name)


def _result(
    labels: Image,
    label_names: dict[int, str],
    sentences: tuple[str, ...],
    warnings: tuple[str, ...],
    record: dict[str, Any],
    roles: tuple[str, ...],
    images: list[Image],
) -> NetworkSegmentation:
    record["images"] = image_records(roles, images)
    record["labels"] = {str(number): name for number, name in label_names.items()}
    if not labels.data.any():
        warnings = (*warnings, "The network found nothing: every voxel is background.")
    return NetworkSegmentation(labels, label_names, None, sentences, warnings, record)
