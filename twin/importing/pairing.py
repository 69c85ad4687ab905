"""What belongs with what: frames of reference, grids, objects that refer to others, days."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import numpy as np

from twin.importing.found import USED_KINDS, Found

__all__ = ["days_from", "frame_letters", "in_order", "partners_of", "reference_of", "same_voxels"]

_ORDER = (*USED_KINDS, "localiser", "not used")
_NEAR = 0.05  # of a voxel: corners may differ by so much


def in_order(found: Sequence[Found]) -> list[Found]:
    """Images by date and contrast, then what is drawn on them, dose and plan."""
    return sorted(
        found,
        key=lambda one: (
            _ORDER.index(one.kind),
            one.date or dt.date.max,
            one.modality,
            one.contrast,
            one.structures,
            tuple(path.as_posix() for path in one.files[:1]),
        ),
    )


def same_voxels(a: Found, b: Found) -> bool:
    """Whether two NIfTI or NRRD files lie on the same voxels."""
    if a.affine is None or b.affine is None or a.shape is None or a.shape != b.shape:
        return False
    ends = np.array(np.meshgrid(*[(0.0, side - 1.0) for side in a.shape])).reshape(3, -1)
    apart = np.abs(((a.affine - b.affine) @ np.vstack([ends, np.ones(8)]))[:3]).max()
    smallest = min(np.linalg.norm(one.affine[:3, :3], axis=0).min() for one in (a, b))  # type: ignore[index]
    return bool(apart <= _NEAR * smallest)


def frame_letters(found: Sequence[Found]) -> tuple[str, ...]:
    """Of each: a letter for DICOM's frame of reference, a number for a grid of other files."""
    letters: dict[str, str] = {}
    grids: list[Found] = []
    names = []
    for one in found:
        if one.frame_uid:
            names.append(letters.setdefault(one.frame_uid, _letter(len(letters))))
        elif one.affine is not None:
            place = next((i for i, grid in enumerate(grids) if same_voxels(grid, one)), None)
            if place is None:
                grids.append(one)
                place = len(grids) - 1
            names.append(f"grid {place + 1}")
        else:
            names.append("")
    return tuple(names)


def _letter(number: int) -> str:
    """A, B, ..., Z, AA, AB, ...: as columns of a table are called."""
    text = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        text = chr(ord("A") + rest) + text
    return text


def partners_of(found: Sequence[Found]) -> tuple[tuple[int, ...], ...]:
    """Of each: numbers of what it refers to; where that is absent, of images in its frame.

    An image has no partners: they are its own who name it.
    """
    places: dict[str, list[int]] = {}
    for number, one in enumerate(found, start=1):
        if one.uid:
            places.setdefault(one.uid, []).append(number)
    answer: list[tuple[int, ...]] = []
    for number, one in enumerate(found, start=1):
        if one.kind in ("image", "localiser", "not used"):
            answer.append(())
            continue
        named = {place for uid in one.refers_to for place in places.get(uid, ())} - {number}
        if one.kind == "dose":  # by its plan alone nothing says where it lies
            named |= set(_images_of_frame(found, one))
        if not named:
            named = set(_images_of_frame(found, one)) or set(_images_of_grid(found, one))
        answer.append(tuple(sorted(named)))
    return tuple(answer)


def _images_of_frame(found: Sequence[Found], one: Found) -> list[int]:
    return [
        number
        for number, other in enumerate(found, start=1)
        if other.kind == "image" and one.frame_uid and other.frame_uid == one.frame_uid
    ]


def _images_of_grid(found: Sequence[Found], one: Found) -> list[int]:
    return [
        number
        for number, other in enumerate(found, start=1)
        if other.kind == "image" and same_voxels(other, one)
    ]


def reference_of(found: Sequence[Found]) -> dt.date | None:
    """Day 0: of the first images that something is drawn on, else the first of all images."""
    drawn = [
        found[number - 1].date
        for one, partners in zip(found, partners_of(found), strict=True)
        if one.kind in ("labels", "segmentation", "structure set")
        for number in partners
        if found[number - 1].kind == "image"
    ]
    for dates in (
        drawn,
        [one.date for one in found if one.kind == "image"],
        [one.date for one in found if one.kind != "not used"],
    ):
        known = [date for date in dates if date is not None]
        if known:
            return min(known)
    return None


def days_from(found: Sequence[Found], reference: dt.date | None) -> tuple[int | None, ...]:
    """Of each: days from the reference, None where it states no date."""
    return tuple(
        None if one.date is None or reference is None else (one.date - reference).days
        for one in found
    )
