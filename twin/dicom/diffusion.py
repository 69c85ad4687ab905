"""A series of diffusion-weighted images to volumes with their b-values and directions."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from twin.dicom.frames import Slice
from twin.dicom.geometry import SAME_PLACE, stack_of
from twin.dicom.moments import date_of
from twin.dicom.pixel_values import physical_values
from twin.dicom.series import load_slices
from twin.errors import InvalidInput
from twin.images import MAX_VOXELS, Image, in_ras_order

__all__ = ["DiffusionSeries", "read_diffusion"]

_Key = tuple[float, tuple[float, ...] | None]


@dataclass(frozen=True, slots=True, eq=False)
class DiffusionSeries:
    """Diffusion-weighted volumes on one grid.

    Parameters
    ----------
    data : ndarray of float32, shape (i, j, k, volume)
        In RAS axis order; volumes by rising b-value.
    affine : ndarray, [mm], shape (4, 4)
        From voxel numbers to RAS millimetres.
    b_values : ndarray, [s/mm2], shape (volume,)
    directions : ndarray, [1], shape (volume, 3)
        Of the gradients, as unit vectors in RAS world axes (not those of the voxels); zero
        where there is no weighting.
    date : date or None
    frame_of_reference : str
        For pairing in memory only; never to be written or shown.
    notes : tuple of str
    """

    data: NDArray[np.float32]
    affine: NDArray[np.float64]
    b_values: NDArray[np.float64]
    directions: NDArray[np.float64]
    date: dt.date | None
    frame_of_reference: str = field(repr=False)
    notes: tuple[str, ...]


def read_diffusion(paths: Sequence[Path], *, what: str = "diffusion series") -> DiffusionSeries:
    """Return the volumes of a diffusion series, given as single slices or as frames of one file.

    Images with the same weighting at the same place are repetitions and make volumes of their
    own. Means over directions (trace images) are left out, and noted.

    Parameters
    ----------
    paths : sequence of path
        All files of the series, in any order.
    what : str
        What it is; errors begin with it.

    Raises
    ------
    InvalidInput, GeometryMismatch
        As in `twin.dicom.series.read_series`; no b-values, no directions, or a volume that
        lacks slices.
    """
    from twin.dicom.quiet import quiet_pydicom

    label = f"{what[:1].upper()}{what[1:]}"
    with quiet_pydicom():
        headers, slices, _ = load_slices(paths, label=label)
        date, frame = date_of(headers[0]), str(headers[0].get("FrameOfReferenceUID") or "")
    volumes, notes = _volumes(slices, label)
    count = len(volumes[0][1])
    if count * len(volumes) * slices[0].stored.size > MAX_VOXELS:
        raise InvalidInput(f"{label} has more than {MAX_VOXELS:,} voxels; crop or resample it.")
    ordered = [one for _, members in volumes for one in members]
    values, lowest, mended = physical_values(ordered, quantity="signal", what=label)
    stack = stack_of([one.plane for one in volumes[0][1]], what=label)
    images = [
        _upright(stack.put_together(values[n * count : (n + 1) * count], lowest), stack.affine)
        for n in range(len(volumes))
    ]
    directions = np.array([(0.0, 0.0, 0.0) if key[1] is None else key[1] for key, _ in volumes])
    return DiffusionSeries(
        data=np.stack([image.data for image in images], axis=-1),
        affine=images[0].affine,
        b_values=np.array([key[0] for key, _ in volumes]),
        directions=directions * (-1.0, -1.0, 1.0) + 0.0,  # LPS to RAS; no negative zeros
        date=date,
        frame_of_reference=frame,
        notes=(*stack.notes, *notes, *mended),
    )


def _upright(volume: NDArray, affine: NDArray[np.float64]) -> Image:
    return in_ras_order(volume.astype(np.float32), affine)


def _volumes(
    slices: Sequence[Slice], label: str
) -> tuple[list[tuple[_Key, list[Slice]]], tuple[str, ...]]:
    """Weighting and slices of each volume, the slices of all in the order of their places."""
    weighted: dict[_Key, list[Slice]] = defaultdict(list)
    averaged = 0
    for one in slices:
        if one.weighting is None:
            raise InvalidInput(
                f"{label} has images without a b-value; give the diffusion series alone, or "
                "convert it to NIfTI with .bval and .bvec files."
            )
        way = one.weighting.direction
        if one.weighting.averaged:
            averaged += 1
            continue
        if way is None and one.weighting.b_value > 0.0:
            raise InvalidInput(
                f"{label} states no direction for a b-value of {one.weighting.b_value:g} s/mm2 in "
                "the patient's axes (a trace image, or a maker's own way of writing it); convert "
                "it to NIfTI with .bval and .bvec files."
            )
        key = None if way is None else tuple(round(part, 4) for part in way)
        weighted[one.weighting.b_value, key].append(one)
    if not weighted:
        raise InvalidInput(f"{label} holds only means over directions; give the original images.")
    repeated = [
        (key, members)
        for key in sorted(weighted, key=lambda one: (one[0], one[1] or ()))
        for members in _repetitions(weighted[key], label)
    ]
    first = _places(repeated[0][1])
    for _, members in repeated:
        places = _places(members)
        if len(places) != len(first) or np.abs(places - first).max() > SAME_PLACE:
            raise InvalidInput(
                f"{label} has volumes with {len(first)} and with {len(places)} slices, or at "
                "other places: slices are missing; export the whole series."
            )
    notes = (f"{averaged} means over directions were left out",) if averaged else ()
    return repeated, notes


def _places(members: Sequence[Slice]) -> NDArray[np.float64]:
    normal = members[0].plane.normal
    return np.array([one.plane.position @ normal for one in members])


def _repetitions(members: Sequence[Slice], label: str) -> list[list[Slice]]:
    """Slices of one weighting, dealt out into volumes in the order of their numbers."""
    places = _places(members)
    order = sorted(range(len(members)), key=lambda k: places[k])
    stacks: list[list[Slice]] = []
    for k in order:
        if stacks and abs(places[k] - _places(stacks[-1][:1])[0]) <= SAME_PLACE:
            stacks[-1].append(members[k])
        else:
            stacks.append([members[k]])
    times = len(stacks[0])
    if any(len(stack) != times for stack in stacks):
        raise InvalidInput(
            f"{label} has places with {times} and with other numbers of images of one weighting: "
            "slices are missing; export the whole series."
        )
    for stack in stacks:
        stack.sort(key=lambda one: one.number)
    return [[stack[n] for stack in stacks] for n in range(times)]
