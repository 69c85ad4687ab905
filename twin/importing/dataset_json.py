"""nnU-Net's ``dataset.json``: names of channels and labels."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twin.errors import InvalidInput
from twin.importing.file_names import name_says
from twin.importing.privacy import clean_name

__all__ = ["DatasetJson", "read_dataset_json", "tumour_part"]

_MAX_BYTES = 2**20
_PARTS = (
    ("flair", r"edema|oedema|flair|ed|snfh|peritumou?ral|infiltration"),
    ("necrosis", r"necro\w*|ncr|net|non[ _-]?enhancing\w*|ncr[ _/-]net"),
    ("enhancing", r"et|enhanc\w*|active"),
)


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


def tumour_part(name: str) -> str | None:
    """Return "necrosis", "enhancing" or "flair" for a label named so, None for another.

    Examples
    --------
    >>> tumour_part("non-enhancing tumor core"), tumour_part("Edema"), tumour_part("liver")
    ('necrosis', 'flair', None)
    """
    folded = name.casefold().replace("_", " ")
    for part, pattern in _PARTS:
        if re.search(rf"(?<![a-z])({pattern})(?![a-z])", folded):
            return part
    return None


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
    labels: dict[int, str] = {}
    for key, value in content["labels"].items():
        # version 2 writes name: number, version 1 writes "number": name
        name, number = (key, value) if isinstance(value, int) else (value, key)
        if isinstance(name, str) and str(number).isdecimal() and 0 < int(number) <= 32767:
            labels[int(number)] = clean_name(name)
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
