"""What an nnU-Net result folder says of its network."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twin.errors import InvalidInput
from twin.networks.models import read_json

__all__ = ["NnunetFolder", "read_nnunet"]

_WHAT = "nnU-Net folder"
_CHECKPOINTS = ("checkpoint_final.pth", "checkpoint_best.pth")


@dataclass(frozen=True, slots=True)
class NnunetFolder:
    """A trained nnU-Net (version 2), from its ``dataset.json`` and ``plans.json``.

    Parameters
    ----------
    name : str
        Of the data set.
    channels : tuple of str
        Roles of the images in the network's order, as small words.
    labels : mapping of int to str
        Numbers of its label map, without the background.
    configuration : str
        Of the folder's name (``3d_fullres``), empty where that does not tell.
    spacing_mm : tuple of float or None, [mm]
        Of the network's voxels in the order of its array, slices first.
    patch : tuple of int or None, [voxel]
        In the same order.
    folds : tuple of str
        Those that have weights.
    checkpoint : str
        The name of the file with the weights.
    """

    name: str
    channels: tuple[str, ...]
    labels: Mapping[int, str]
    configuration: str
    spacing_mm: tuple[float, ...] | None
    patch: tuple[int, ...] | None
    folds: tuple[str, ...]
    checkpoint: str


def read_nnunet(folder: Path) -> NnunetFolder:
    """Return what an nnU-Net result folder says of itself; nothing of it is run.

    Raises
    ------
    InvalidInput
        A file is missing or does not say what it must; no fold has weights; a
        cascade, which needs the result of another network first.
    """
    dataset = read_json(folder / "dataset.json", what=_WHAT)
    plans = read_json(folder / "plans.json", what=_WHAT)
    channels = dataset.get("channel_names", dataset.get("modality"))
    labels = dataset.get("labels")
    if not isinstance(channels, dict) or not channels or not isinstance(labels, dict):
        raise InvalidInput(
            f"dataset.json of the {_WHAT} lacks channel_names or labels; copy it from the training."
        )
    try:
        ordered = [str(channels[str(number)]) for number in range(len(channels))]
    except KeyError:
        raise InvalidInput(
            f"dataset.json of the {_WHAT} does not number its channels 0, 1, ...; correct it."
        ) from None
    configuration = folder.name.split("__")[-1] if "__" in folder.name else ""
    stated = plans.get("configurations", {}).get(configuration, {})
    if "previous_stage" in stated:
        raise InvalidInput(
            f"The {_WHAT} is the second network of a cascade, which needs another's result; "
            "give a 3d_fullres or 2d folder."
        )
    folds, checkpoint = _folds(folder)
    return NnunetFolder(
        name=str(dataset.get("name", plans.get("dataset_name", "nnU-Net"))),
        channels=_roles(ordered),
        labels=_labels(labels, dataset.get("regions_class_order")),
        configuration=configuration,
        spacing_mm=_numbers(stated.get("spacing"), float),
        patch=_numbers(stated.get("patch_size"), int),
        folds=folds,
        checkpoint=checkpoint,
    )


def _roles(names: list[str]) -> tuple[str, ...]:
    """Small words, each one once: ``T1-Gd`` becomes ``t1_gd``."""
    roles: list[str] = []
    for number, name in enumerate(names):
        word = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "image"
        word = word if word[0].isalpha() else f"image_{word}"
        roles.append(word if word not in roles else f"{word}_{number}")
    return tuple(roles)


def _labels(labels: Mapping[str, Any], order: object) -> dict[int, str]:
    """Numbers of the label map; regions (lists) get theirs from ``regions_class_order``."""
    try:
        if any(isinstance(value, list) for value in labels.values()):
            regions = [name for name, value in labels.items() if value != 0]
            if not isinstance(order, list):
                raise ValueError
            return {int(n): name for n, name in zip(order, regions, strict=True)}
        numbers = {int(value): name for name, value in labels.items() if name != "ignore"}
    except (TypeError, ValueError):
        raise InvalidInput(
            f"The labels in dataset.json of the {_WHAT} are not numbers, or regions without "
            "regions_class_order; correct it."
        ) from None
    return {number: name for number, name in sorted(numbers.items()) if number}


def _folds(folder: Path) -> tuple[tuple[str, ...], str]:
    for checkpoint in _CHECKPOINTS:
        found = sorted(path.parent.name for path in folder.glob(f"fold_*/{checkpoint}"))
        folds = [name.removeprefix("fold_") for name in found]
        numbered = tuple(name for name in folds if name.isdigit())
        if folds:
            return numbered or tuple(folds), checkpoint
    raise InvalidInput(
        f"The {_WHAT} holds no weights (fold_0/checkpoint_final.pth and so on); copy them there."
    )


def _numbers(value: object, kind: type) -> tuple[Any, ...] | None:
    if not isinstance(value, list):
        return None
    return tuple(kind(part) for part in value if isinstance(part, int | float))
