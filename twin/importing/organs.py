"""Organs in one label map, small ones on top; targets and outlines stay by themselves."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["MOST_LOST", "OrganMap", "is_target_or_outline", "organ_map"]

#: What a patient file names itself (StructuresTable).
_RESERVED = ("necrosis", "enhancing", "flair", "brain", "gtv", "core", "cavity")
#: Part of an organ's voxels that smaller ones may take.
MOST_LOST = 0.01
_NO_ORGAN = re.compile(
    r"(?<![a-z])(gtv|ctv|ptv|itv|target|tumou?rs?|neoplasms?|lesions?|metasta\w*|mets?|cancer|"
    r"carcinoma|gliom\w*|gliobl\w*|oedema|edema|boost|body|external|skin|outline|couch|patient|"
    r"prv|ring|margin|dose|isodose|isocent\w*|poi|points?|marker|bolus|air|artefact|artifact|"
    r"border\w*|scar|block|help|opt|avoid\w*)(?![a-z])"
)


@dataclass(frozen=True, slots=True)
class OrganMap:
    """Labels of organs.

    Parameters
    ----------
    data : ndarray of uint8, shape of the grid
    labels : mapping of str to int
        Number of each organ in it.
    left_out : mapping of str to str
        Why each other structure is not in it.
    lost : mapping of str to float
        Part of an organ's voxels that a smaller one took.
    """

    data: NDArray[np.uint8]
    labels: Mapping[str, int]
    left_out: Mapping[str, str]
    lost: Mapping[str, float]


def is_target_or_outline(name: str) -> bool:
    """Whether a structure of this name is a target, an outline or a help of planning, no organ.

    Examples
    --------
    >>> is_target_or_outline("GTV_Mass"), is_target_or_outline("lt_lung")
    (True, False)
    """
    return bool(_NO_ORGAN.search(re.sub(r"[0-9]+", " ", name.casefold()).replace("_", " ")))


def organ_map(packed: Mapping[str, NDArray[np.uint8]], shape: tuple[int, ...]) -> OrganMap:
    """Return organs in one map; where two overlap, the voxels are the smaller one's.

    An organ that would lose more than 1 % of its voxels so is left out.

    Parameters
    ----------
    packed : mapping of str to ndarray of uint8
        Masks as `numpy.packbits` packs them, their first axis running fastest.
    shape : tuple of int

    Examples
    --------
    >>> masks = {"heart": [1, 0, 0, 0], "lung": [0, 1, 1, 0], "chest": [1, 1, 1, 1]}
    >>> found = organ_map({name: np.packbits(mask) for name, mask in masks.items()}, (4,))
    >>> found.data.tolist(), dict(found.left_out)
    ([1, 2, 2, 0], {'chest': 'overlaps heart and lung by 75 %'})
    """
    count = int(np.prod(shape))
    voxels = {name: int(np.unpackbits(mask).sum()) for name, mask in packed.items()}
    data = np.zeros(count, np.uint8)
    labels: dict[str, int] = {}
    left_out: dict[str, str] = {}
    lost: dict[str, float] = {}
    for name in sorted(packed, key=lambda one: (voxels[one], one)):
        if is_target_or_outline(name):
            left_out[name] = "a target, an outline or a help of planning"
            continue
        if name in _RESERVED:
            left_out[name] = "its name is one of the program's own"
            continue
        if not voxels[name]:
            left_out[name] = "marks no voxel"
            continue
        mask = np.unpackbits(packed[name], count=count).astype(bool)
        under = np.bincount(data[mask], minlength=len(labels) + 1)[1:]
        part = float(under.sum()) / voxels[name]
        if part > MOST_LOST:
            others = [other for other, number in labels.items() if under[number - 1]]
            shown = " and ".join(others[:2]) + (" and others" if len(others) > 2 else "")
            left_out[name] = f"overlaps {shown} by {100 * part:.0f} %"
        elif len(labels) == 255:
            left_out[name] = "more than 255 organs"
        else:
            labels[name] = len(labels) + 1
            data[mask & (data == 0)] = labels[name]
            if part:
                lost[name] = part
    return OrganMap(data.reshape(shape, order="F"), labels, left_out, lost)
