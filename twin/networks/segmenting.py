"""Labels from images by a network that the user has on disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twin.errors import InvalidInput
from twin.images import Image, same_grid
from twin.networks.models import Model, find_model
from twin.networks.recipe import Recipe

__all__ = ["NetworkSegmentation", "segment"]

#: For the record of every result.
CAUTION = "research use only: a network's labels are to be looked at before they are used"

Progress = Callable[[float, str], None]


@dataclass(frozen=True, slots=True)
class NetworkSegmentation:
    """What a network said, on the voxels of the images that it was given.

    Parameters
    ----------
    labels : Image of uint16
    label_names : mapping of int to str
        What the numbers mean, without the background 0.
    probabilities : mapping of str to Image or None
        By output channel, 0 to 1; None where the model gives labels alone.
    sentences : tuple of str
        What was done, in order, for people.
    warnings : tuple of str
        Why to doubt the result.
    record : mapping
        Model, hash, images and settings, for the file beside the labels.
    """

    labels: Image
    label_names: Mapping[int, str]
    probabilities: Mapping[str, Image] | None
    sentences: tuple[str, ...]
    warnings: tuple[str, ...]
    record: Mapping[str, Any]

    @property
    def volumes_ml(self) -> dict[int, float]:
        """Volume of each label, [mL]."""
        most = max(self.label_names, default=0)
        counts = np.bincount(self.labels.data.ravel(), minlength=most + 1)
        millilitre = self.labels.voxel_mm3 / 1000.0
        return {
            number: float(counts[number]) * millilitre
            for number in sorted({*self.label_names, *np.flatnonzero(counts).tolist()} - {0})
        }


def segment(
    images: Mapping[str, Image],
    model: str | os.PathLike[str],
    *,
    recipe: str | os.PathLike[str] | None = None,
    trust_model: bool = False,
    orientation: str = "RAS",
    time_limit_s: float = 3600.0,
    threads: int = 1,
    progress: Progress | None = None,
) -> NetworkSegmentation:
    """Return labels for a patient's images by a network on disk.

    An ONNX network is prepared for and run here, as its recipe says: axes
    turned, voxels resampled, intensities normalised, a window slid over the
    volume, probabilities brought back to the image's voxels, and then decided
    upon. TorchScript is run the same way but in a process of its own; MONAI
    bundles and nnU-Net folders prepare and decide by themselves, in a process
    of their own, too. Nothing is fetched.

    Parameters
    ----------
    images : mapping of str to Image
        By role (``t1``, ``flair``), all on the same voxels.
    model : path
        ``.onnx``, ``.pt``, ``.ts``, or the folder of a MONAI bundle or nnU-Net result.
    recipe : path or None
        The recipe of an ONNX or TorchScript network, where it is not beside it.
    trust_model : bool
        Allow models that can run code.
    orientation : str
        For nnU-Net: how the axes of its training files ran.
    time_limit_s : float, [s]
        For models in a process of their own.
    threads : int
    progress : callable or None

    Raises
    ------
    InvalidInput
        A model that is not trusted or cannot be loaded, missing or surplus
        images, or a recipe that does not fit.
    GeometryMismatch
        Images that do not lie on the same voxels.
    NotConverged
        The time limit passed.
    """
    from twin.networks import folder_models, patch_models

    if not images:
        raise InvalidInput("No image is given; name at least one.")
    roles = list(images)
    for role in roles[1:]:
        same_grid(
            images[roles[0]], images[role], names=(f"The {roles[0]} image", f"the {role} image")
        )
    found = find_model(model, trusted=trust_model)
    if found.kind in ("monai", "nnunet"):
        if recipe is not None:
            raise InvalidInput(
                f"--recipe goes with .onnx, .pt and .ts; a {found.kind_name} says itself what it "
                "expects."
            )
        return folder_models.segment_by_folder(
            images, found, orientation=orientation, time_limit_s=time_limit_s, threads=threads
        )
    return patch_models.segment_by_patches(
        images,
        found,
        recipe=recipe,
        time_limit_s=time_limit_s,
        threads=threads,
        progress=progress,
    )


def by_role(images: Mapping[str, Image], channels: tuple[str, ...]) -> list[Image]:
    """Return the images in a network's order of channels.

    Images named by their place alone (``1``, ``2``) are taken in that order.

    Raises
    ------
    InvalidInput
        A role that the network does not have, or one that is missing.
    """
    if all(role.isdigit() for role in images):
        if len(images) != len(channels):
            raise InvalidInput(
                f"{len(images)} images are given, but the network takes {len(channels)}: "
                f"{', '.join(channels)}; give each as ROLE=FILE."
            )
        return list(images.values())
    for role in images:
        if role not in channels:
            raise InvalidInput(
                f"The network has no input {role!r}; its inputs are {', '.join(channels)}."
            )
    missing = [role for role in channels if role not in images]
    if missing:
        raise InvalidInput(
            f"The network also needs {', '.join(missing)}; give each as ROLE=FILE "
            f"(its inputs are {', '.join(channels)})."
        )
    return [images[role] for role in channels]


def image_records(roles: tuple[str, ...], images: list[Image]) -> dict[str, Any]:
    """Return what the record says of the images: no names of files, only of what is in them."""
    from twin.storage import sha256_of

    return {
        role: {
            "voxels": list(image.shape),
            "spacing_mm": [round(float(side), 6) for side in image.spacing_mm],
            "sha256_of_voxels": sha256_of(np.asarray(image.data), np.asarray(image.affine)),
        }
        for role, image in zip(roles, images, strict=True)
    }


def model_record(model: Model, *, name: str, version: str, engine: str) -> dict[str, Any]:
    """Return what the record says of the model."""
    from twin import __version__

    return {
        "caution": CAUTION,
        "made_by": f"therapy-twin {__version__}",
        "model": {
            "name": name,
            "version": version,
            "kind": model.kind_name,
            "sha256": model.sha256,
            "engine": engine,
        },
    }


def decided(
    probabilities: NDArray[np.float32], recipe: Recipe, grid: Image
) -> tuple[Image, dict[str, Image]]:
    """Return labels and the image of each channel's probability.

    "argmax" takes the most probable channel. "threshold" draws the channels in
    their order over one another, each where it reaches its threshold.

    Parameters
    ----------
    probabilities : ndarray, shape (channel, i, j, k)
    recipe : Recipe
    grid : Image
        Whose voxels they lie on.
    """
    channels = recipe.output.channel
    if recipe.output.decision == "argmax":
        numbers = np.array([channel.label for channel in channels], np.uint16)
        labels = numbers[probabilities.argmax(axis=0)]
    else:
        labels = np.zeros(grid.shape, np.uint16)
        for channel, values in zip(channels, probabilities, strict=True):
            labels[values >= channel.threshold] = channel.label
    maps = {
        channel.name: Image(values, grid.affine)
        for channel, values in zip(channels, probabilities, strict=True)
    }
    return Image(labels, grid.affine), maps
