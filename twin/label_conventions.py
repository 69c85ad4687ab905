"""What the numbers of a label map mean, by the convention that it follows.

Known by name are the files in ``data/label_conventions/``; a path gives one of one's own in
the same form, nnU-Net's ``dataset.json`` or a MONAI bundle's ``metadata.json``.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from twin.errors import InvalidInput
from twin.examples import data_folder
from twin.images import Image

__all__ = [
    "Convention",
    "convention",
    "convention_names",
    "labels_of_table",
    "tissues_from",
    "tumour_part",
]

_MAX_BYTES = 2**20
_MOST = 32767
_TISSUES = ("fluid", "grey_matter", "white_matter")
_PARTS = (
    ("flair", r"edema|oedema|flair|ed|snfh|peritumou?ral|infiltration"),
    ("necrosis", r"necro\w*|ncr|net|non[ _-]?enhancing\w*|ncr[ _/-]net"),
    ("enhancing", r"et|enhanc\w*|active"),
)


@dataclass(frozen=True, slots=True)
class Convention:
    """Numbers of a label map.

    Parameters
    ----------
    name, title : str
    labels : mapping of str to int
        Every named structure; 0 is the background.
    tumour : mapping of str to int
        "necrosis", "enhancing" and "flair", where it has tumour parts.
    tissues : mapping of str to tuple of (int, int)
        Ranges of numbers, both ends in, that are fluid, grey and white matter.
    source : str
    """

    name: str
    title: str
    labels: Mapping[str, int]
    tumour: Mapping[str, int]
    tissues: Mapping[str, tuple[tuple[int, int], ...]]
    source: str


def convention_names() -> tuple[str, ...]:
    """Names of the packaged conventions.

    Examples
    --------
    >>> "totalsegmentator" in convention_names()
    True
    """
    files = data_folder().joinpath("label_conventions").iterdir()
    return tuple(sorted(f.name.removesuffix(".toml") for f in files if f.name.endswith(".toml")))


def convention(name: str | Path) -> Convention:
    """Return a convention by name, or from a TOML or JSON file.

    Parameters
    ----------
    name : str or path
        A packaged name ("freesurfer"), or a path that ends in .toml or .json.

    Raises
    ------
    InvalidInput
        No such name (the nearest is suggested), a file that is damaged or names no label.

    Examples
    --------
    >>> convention("brats").tumour["enhancing"]
    4
    >>> convention("totalsegmentator").labels["liver"]
    5
    """
    text = str(name)
    if text.endswith((".toml", ".json")):
        return _from_file(Path(text))
    known = convention_names()
    if text not in known:
        near = difflib.get_close_matches(text, known, n=1)
        hint = f' (did you mean "{near[0]}"?)' if near else ""
        raise InvalidInput(
            f'"{text}" is not a convention{hint}; write one of {", ".join(known)}, a .toml file of '
            "your own, nnU-Net's dataset.json, or a table of numbers."
        )
    file = data_folder().joinpath("label_conventions", f"{text}.toml")
    return _from_toml(text, tomllib.loads(file.read_text(encoding="utf-8")), where=file.name)


def _from_file(path: Path) -> Convention:
    if not path.is_file():
        raise InvalidInput(f"There is no label file {path}; check its name and folder.")
    if path.stat().st_size > _MAX_BYTES:
        raise InvalidInput(f"The label file {path} is larger than 1 MiB; give a small table.")
    try:
        text = path.read_text(encoding="utf-8")
        content = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except (ValueError, RecursionError):  # also what is not UTF-8
        kind = "TOML" if path.suffix == ".toml" else "JSON"
        raise InvalidInput(
            f"The label file {path} is not {kind} in UTF-8; save it again."
        ) from None
    if not isinstance(content, dict):
        raise InvalidInput(f"The label file {path} must hold a table of labels.")
    if path.suffix == ".toml":
        return _from_toml(path.stem, content, where=path.name)
    return _from_json(path.stem, content, where=path.name)


def _from_toml(name: str, content: Mapping[str, Any], *, where: str) -> Convention:
    unknown = set(content) - {"format", "title", "source", "note", "labels", "tumour", "tissues"}
    if unknown:
        raise InvalidInput(f"{where}: {sorted(unknown)[0]!r} is not known here.")
    if content.get("format") != 1:
        raise InvalidInput(f"{where}: the format must be 1; write format = 1.")
    labels = _numbers(content.get("labels", {}), where)
    tumour = _numbers(content.get("tumour", {}), where)
    if odd := set(tumour) - {"necrosis", "enhancing", "flair"}:
        raise InvalidInput(
            f"{where}: {sorted(odd)[0]!r} is no part of a tumour; they are necrosis, enhancing and "
            "flair."
        )
    tissues = {}
    table = content.get("tissues", {})
    if not isinstance(table, dict):
        raise InvalidInput(f"{where}: tissues are a table of name = [labels].")
    for tissue, values in table.items():
        if tissue not in _TISSUES:
            raise InvalidInput(f"{where}: {tissue!r} is no tissue; they are {', '.join(_TISSUES)}.")
        if not isinstance(values, list):
            raise InvalidInput(f"{where}: {tissue} is a list of labels and ranges.")
        tissues[tissue] = tuple(_range(value, where) for value in values)
    _check_apart(tissues, where)
    if not labels and not tumour and not tissues:
        raise InvalidInput(f"{where} names no label; write them as [labels] with name = number.")
    return Convention(
        name, str(content.get("title", name)), labels, tumour, tissues,
        str(content.get("source", "")),
    )  # fmt: skip


def _from_json(name: str, content: Mapping[str, Any], *, where: str) -> Convention:
    """nnU-Net's labels (both versions) or the channels of a MONAI bundle's output."""
    table = content.get("labels")
    if not isinstance(table, dict):
        table = _monai_channels(content)
    if not isinstance(table, dict):
        raise InvalidInput(
            f"{where} has no labels; give nnU-Net's dataset.json or MONAI's metadata.json."
        )
    labels = {" ".join(label.split()): number for label, number in labels_of_table(table)}
    if not labels:
        raise InvalidInput(f"{where} names no label but the background and regions.")
    tumour = {part: n for one, n in labels.items() if (part := tumour_part(one)) is not None}
    return Convention(name, name, labels, tumour, {}, where)


def labels_of_table(table: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Names with their numbers, of the ``labels`` of either version of ``dataset.json``.

    Version 2 writes name: number, version 1 "number": name; the background and regions (lists
    of numbers) are left out.

    Examples
    --------
    >>> labels_of_table({"background": 0, "liver": 1, "all": [1, 2]})
    [('liver', 1)]
    >>> labels_of_table({"0": "background", "1": "liver"})
    [('liver', 1)]
    """
    found = []
    for key, value in table.items():
        name, number = (key, value) if isinstance(value, int) else (value, key)
        if isinstance(name, str) and str(number).isdecimal() and 0 < int(number) <= _MOST:
            found.append((name, int(number)))
    return found


def _monai_channels(content: Mapping[str, Any]) -> Any:
    place: Any = content
    for key in ("network_data_format", "outputs", "pred", "channel_def"):
        place = place.get(key) if isinstance(place, dict) else None
    return place


def _numbers(table: Any, where: str) -> dict[str, int]:
    if not isinstance(table, dict):
        raise InvalidInput(f"{where}: labels are a table of name = number.")
    seen: dict[int, str] = {}
    for name, number in table.items():
        if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= _MOST:
            raise InvalidInput(f"{where}: {name} is {number!r}; a label is 1 to {_MOST}.")
        if number in seen:
            raise InvalidInput(f"{where}: {seen[number]} and {name} both have the label {number}.")
        seen[number] = name
    return {name: number for number, name in seen.items()}


def _range(value: Any, where: str) -> tuple[int, int]:
    ends = [value, value] if isinstance(value, int) else value
    if not (isinstance(ends, list) and len(ends) == 2 and all(isinstance(e, int) for e in ends)):
        raise InvalidInput(
            f"{where}: {value!r} is neither a label nor a range such as [1000, 1035]."
        )
    if not 1 <= ends[0] <= ends[1] <= _MOST:
        raise InvalidInput(f"{where}: the range {ends} must rise within 1 to {_MOST}.")
    return ends[0], ends[1]


def _check_apart(tissues: Mapping[str, tuple[tuple[int, int], ...]], where: str) -> None:
    """Refuse a label that is two tissues."""
    ends = sorted((low, high, name) for name, pairs in tissues.items() for low, high in pairs)
    for (_, high, one), (low, _, other) in pairwise(ends):
        if low <= high and one != other:
            raise InvalidInput(f"{where}: the label {low} is both {one} and {other}; say which.")


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


def tissues_from(labels: Image, by: Convention) -> Image:
    """Return the map of tissues of a brain's label map: 1 fluid, 2 grey, 3 white matter.

    Parameters
    ----------
    labels : Image
        Whole numbers.
    by : Convention
        One with tissues.

    Raises
    ------
    InvalidInput
        A convention without tissues, or a label that is in none of them.
    """
    if not by.tissues:
        raise InvalidInput(
            f"The convention {by.name} does not say what is fluid, grey or white matter; give a "
            "tissue map, or labels of one that does (freesurfer)."
        )
    found = np.zeros(labels.shape, np.int8)
    data = np.asarray(labels.data, np.int64)
    for number, tissue in enumerate(_TISSUES, start=1):
        for low, high in by.tissues.get(tissue, ()):
            found[(data >= low) & (data <= high)] = number
    lost = data[(found == 0) & (data != 0)]
    if lost.size:
        raise InvalidInput(
            f"The label {int(lost[0])} is no tissue of the convention {by.name}; name it in a file "
            "of your own, or take it out."
        )
    return Image(found, labels.affine)
