"""What a MONAI bundle says of its network."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twin.errors import InvalidInput
from twin.networks.models import read_json

__all__ = ["MonaiBundle", "read_monai_bundle"]

_WHAT = "MONAI bundle"


@dataclass(frozen=True, slots=True)
class MonaiBundle:
    """A MONAI bundle, from its ``configs/metadata.json``.

    Parameters
    ----------
    name, version : str
    channels : tuple of str
        Roles of the images in the network's order, as small words.
    outputs : tuple of str
        What each channel of the prediction is.
    inference : str
        The configuration's file name within ``configs``.
    """

    name: str
    version: str
    channels: tuple[str, ...]
    outputs: tuple[str, ...]
    inference: str


def read_monai_bundle(folder: Path) -> MonaiBundle:
    """Return what a MONAI bundle says of itself; nothing of it is run.

    Raises
    ------
    InvalidInput
        No metadata, no inference configuration, or no statement of one image
        as input and of what its prediction's channels are.
    """
    metadata = read_json(folder / "configs" / "metadata.json", what=_WHAT)
    names = ("inference.json", "inference.yaml", "inference.yml")
    inference = next((name for name in names if (folder / "configs" / name).is_file()), None)
    if inference is None:
        raise InvalidInput(
            f"The {_WHAT} has no configs/inference.json, so how to run it is unknown; "
            "copy the whole bundle."
        )
    form = metadata.get("network_data_format")
    image = _part(form, "inputs", "image")
    prediction = _part(form, "outputs", "pred")
    if image is None or prediction is None:
        raise InvalidInput(
            f"configs/metadata.json of the {_WHAT} states no network_data_format with an input "
            '"image" and an output "pred"; only bundles that segment an image can be run.'
        )
    return MonaiBundle(
        name=str(metadata.get("name", metadata.get("task", "MONAI bundle"))),
        version=str(metadata.get("version", "")),
        channels=_roles(image),
        outputs=_channels(prediction),
        inference=inference,
    )


def _part(form: object, side: str, name: str) -> Mapping[str, Any] | None:
    part = form.get(side) if isinstance(form, dict) else None
    entry = part.get(name) if isinstance(part, dict) else None
    return entry if isinstance(entry, dict) else None


def _channels(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """The ``channel_def`` of an input or output, in order; channels without one are numbered."""
    meaning = entry.get("channel_def")
    meaning = meaning if isinstance(meaning, dict) else {}
    count = entry.get("num_channels", len(meaning))
    count = count if isinstance(count, int) and 1 <= count <= 256 else max(1, len(meaning))
    return tuple(str(meaning.get(str(number), f"channel {number}")) for number in range(count))


def _roles(entry: Mapping[str, Any]) -> tuple[str, ...]:
    roles: list[str] = []
    for number, name in enumerate(_channels(entry)):
        word = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "image"
        word = word if word[0].isalpha() else f"image_{word}"
        roles.append(word if word not in roles else f"{word}_{number}")
    return tuple(roles)
