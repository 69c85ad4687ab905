"""nnU-Net's ``dataset.json``: names of channels and labels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twin.errors import InvalidInput
from twin.importing.file_names import name_says
from twin.importing.privacy import clean_name
from twin.label_conventions import labels_of_table, tumour_part

__all__ = ["DatasetJson", "read_dataset_json"]

_MAX_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class DatasetJson:
    """What ``dataset.json`` says of the images beside it.

    Parameters
    ----------
    channels : mapping of int to str
        Contrast of each channel ("t1", ...), where its name tells.
    labels : mapping of int to str
        Name of each number but 0.
    tumour : mapping of str to int
        Numbers of "necrosis", "enhancing" and "flair", where names tell.
    """

    channels: Mapping[int, str]
    labels: Mapping[int, str]
    tumour: Mapping[str, int]


def read_dataset_json(path: Path) -> DatasetJson | None:
    """Return what a ``dataset.json`` says, None where it is not nnU-Net's.

    Labels that are regions (lists of numbers) are left out: which numbers an
    output holds for them depends on the trainer.

    Raises
    ------
    InvalidInput
        Not JSON, or larger than 1 MiB.
    """
    if path.stat().st_size > _MAX_BYTES:
        raise InvalidInput(f"{path.name} is larger than 1 MiB; give nnU-Net's own file.")
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        raise InvalidInput(f"{path.name} is not JSON; export or remove it.") from None
    if not isinstance(content, dict) or not isinstance(content.get("labels"), dict):
        return None
    labels = {number: clean_name(name) for name, number in labels_of_table(content["labels"])}
    channels: dict[int, str] = {}
    given = content.get("channel_names", content.get("modality"))
    for key, value in given.items() if isinstance(given, dict) else ():
        contrast = name_says(str(value)).contrast
        if str(key).isdecimal() and contrast:
            channels[int(key)] = contrast
    tumour = {
        part: number for number, name in labels.items() if (part := tumour_part(name)) is not None
    }
    return DatasetJson(channels, labels, tumour)
