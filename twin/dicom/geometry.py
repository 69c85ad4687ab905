"""Slices put in order along their normal, and the grid that they make, in RAS millimetres.

DICOM places a slice by the centre of its first voxel and the directions in which columns and
rows are counted, in LPS axes (Image Plane Module, PS3.3 C.7.6.2). Order, spacing and gaps
come from these positions alone, never from names or numbers of files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from twin.errors import GeometryMismatch, InvalidInput
from twin.images import MAX_VOXELS

__all__ = ["LPS_TO_RAS", "SAME_PLACE", "Plane", "Stack", "check_alike", "stack_of"]

#: DICOM's axes run to left, posterior and superior; ours to right, anterior and superior.
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_EVEN = 0.05  # gaps that differ by less than this part of the usual one count as equal
_GAP = 1.5  # of the usual gap: a slice is missing
_ASTRAY = 0.05  # of the step: how far a slice may lie from its place in an even grid
_UNEVEN = 0.5  # of the usual gap: slices that lie closer do not belong to one stack
_FARTHEST = 1e5  # [mm] from the origin
SAME_PLACE = 0.01  # [mm]
_UPRIGHT = 0.1  # [pixels]
_MOST_TILT_DEG = 45.0


@dataclass(frozen=True, slots=True)
class Plane:
    """Where one slice lies, in LPS millimetres.

    Parameters
    ----------
    position : ndarray, [mm], shape (3,)
        Centre of the first voxel.
    along_columns, along_rows : ndarray, [1], shape (3,)
        Directions in which the column and the row number rise.
    spacing : tuple of float, [mm]
        Between columns, and between rows.
    size : tuple of int
        Columns and rows.
    """

    position: NDArray[np.float64]
    along_columns: NDArray[np.float64]
    along_rows: NDArray[np.float64]
    spacing: tuple[float, float]
    size: tuple[int, int]

    @classmethod
    def of(
        cls,
        position: Sequence[float],
        orientation: Sequence[float],
        spacing: Sequence[float],
        size: tuple[int, int],
        *,
        what: str,
    ) -> Plane:
        """The plane of ImagePositionPatient, ImageOrientationPatient and PixelSpacing.

        Raises
        ------
        InvalidInput
            Values that are missing, not finite, or directions not at right angles.
        """
        place, axes, sides = (_numbers(one) for one in (position, orientation, spacing))
        numbers = place.shape == (3,) and axes.shape == (6,)
        if not (numbers and np.isfinite(axes).all() and np.abs(place).max() < _FARTHEST):
            raise InvalidInput(
                f"{what} states no position and orientation in the patient, so its slices cannot "
                "be placed; export the original images."
            )
        one, other = axes[:3], axes[3:]
        lengths = np.linalg.norm(one), np.linalg.norm(other)
        if (
            not (abs(lengths[0] - 1) < 1e-2 and abs(lengths[1] - 1) < 1e-2)
            or abs(one @ other) > 1e-2
        ):
            raise InvalidInput(
                f"{what} has an orientation whose directions are not at right angles; export it "
                "again."
            )
        rows, columns = sides if sides.shape == (2,) else (0.0, 0.0)
        if not (0.0 < rows < 1e3 and 0.0 < columns < 1e3):
            raise InvalidInput(f"{what} has no spacing of its pixels in mm; export it again.")
        one = one / lengths[0]
        other = other - (other @ one) * one
        return cls(place, one, other / np.linalg.norm(other), (float(columns), float(rows)), size)

    @property
    def normal(self) -> NDArray[np.float64]:
        """Direction across the slice, [1], shape (3,)."""
        return np.cross(self.along_columns, self.along_rows)


def _numbers(values: Sequence[float] | None) -> NDArray[np.float64]:
    """Numbers of a header; none where they are missing or no numbers."""
    try:
        return np.array(values, np.float64)
    except (TypeError, ValueError):
        return np.empty(0)


@dataclass(frozen=True, slots=True)
class Stack:
    """Slices in order, and how they make a grid.

    Parameters
    ----------
    order : ndarray of int, shape (slice,)
        Numbers of the planes, by rising place along the normal.
    places : ndarray, [mm], shape (slice,)
        Along the normal.
    affine : ndarray, [mm], shape (4, 4)
        From (column, row, slice) of the grid to RAS millimetres.
    even_places : ndarray or None, [mm], shape (new slice,)
        Where the slices of the even grid lie, if they have to be interpolated.
    moves : ndarray or None, [pixels], shape (slice, 2)
        Where rows and columns of each slice begin in the upright grid, if it has to be made.
    wider : tuple of int
        Rows and columns by which the upright grid is larger than a slice.
    notes : tuple of str
        What was found and mended.
    """

    order: NDArray[np.int64]
    places: NDArray[np.float64]
    affine: NDArray[np.float64]
    even_places: NDArray[np.float64] | None
    moves: NDArray[np.float64] | None
    wider: tuple[int, int]
    notes: tuple[str, ...]

    def put_together(self, slices: Sequence[NDArray], outside: float) -> NDArray:
        """Return the grid's values from those of the planes.

        Parameters
        ----------
        slices : sequence of ndarray, shape (row, column)
            In the planes' order before sorting.
        outside : float
            Value where an upright grid reaches beyond a slice.

        Returns
        -------
        ndarray, shape (column, row, slice)
        """
        if self.moves is None:
            volume = np.stack([slices[k] for k in self.order])
        else:
            rows, columns = slices[0].shape
            size = (rows + self.wider[0], columns + self.wider[1])
            volume = np.empty((len(slices), *size), np.float32)
            for at, move in enumerate(self.moves):
                ndimage.affine_transform(
                    slices[self.order[at]].astype(np.float32), np.eye(2), -move, size,
                    output=volume[at], order=1, mode="constant", cval=outside,
                )  # fmt: skip
        if self.even_places is not None:
            volume = _interpolated(volume.astype(np.float32), self.places, self.even_places)
        return volume.transpose(2, 1, 0)


def _interpolated(volume: NDArray, places: NDArray, wanted: NDArray) -> NDArray:
    """Linear between slices, which are counted along the first axis."""
    low = np.clip(np.searchsorted(places, wanted, side="right") - 1, 0, len(places) - 2)
    share = np.clip((wanted - places[low]) / (places[low + 1] - places[low]), 0.0, 1.0)
    share = share.astype(np.float32)[:, None, None]
    return np.asarray(volume[low] * (1 - share) + volume[low + 1] * share)


def stack_of(planes: Sequence[Plane], *, what: str, thickness: float | None = None) -> Stack:
    """Put slices in order and say what grid they make.

    Gaps that differ by less than 5 % count as even, as where beds of a PET join, as long as no
    slice lies more than 5 % of a gap from where it then stands; slices that are less even
    are interpolated linearly to the smallest gap. A gap of more than 1.5 usual ones is refused.

    Parameters
    ----------
    planes : sequence of Plane
        At places that all differ.
    what : str
        What they are; errors begin with it.
    thickness : float or None, [mm]
        Taken for the spacing of a single slice; 1 mm if None.

    Raises
    ------
    GeometryMismatch
        Slices of different size, spacing or direction.
    InvalidInput
        A gap, two slices at one place, slices that are tilted by more than 45 degrees.
    """
    first = planes[0]
    check_alike(planes, what=what)
    normal = first.normal
    along = np.array([plane.position @ normal for plane in planes])
    order = np.argsort(along, kind="stable")
    places = along[order]
    notes: list[str] = []
    steps = np.diff(places)
    even_places = None
    if len(planes) == 1:
        step = float(thickness) if thickness and 0.0 < thickness < 1e3 else 1.0
        told = "" if step == thickness else ", whose thickness is not known and taken as 1 mm"
        notes.append(f"a single slice{told}")
    else:
        if not steps.min() > SAME_PLACE:
            raise InvalidInput(f"{what} has two slices at one place; give one series alone.")
        step = float(np.median(steps))
        _check_gaps(places, steps, step, what)
        step, even_places = _even_grid(places, steps, step, notes)
    start, moves, wider = _upright(planes, order, places, notes, what)
    count = len(planes) if even_places is None else len(even_places)
    if (first.size[0] + wider[1]) * (first.size[1] + wider[0]) * count > MAX_VOXELS:
        raise InvalidInput(f"{what} has more than {MAX_VOXELS:,} voxels; crop or resample it.")
    columns, rows = first.spacing
    affine = np.eye(4)
    affine[:3, 0] = columns * first.along_columns
    affine[:3, 1] = rows * first.along_rows
    affine[:3, 2] = step * normal
    affine[:3, 3] = start
    return Stack(order, places, LPS_TO_RAS @ affine, even_places, moves, wider, tuple(notes))


def _even_grid(
    places: NDArray[np.float64], steps: NDArray[np.float64], usual: float, notes: list[str]
) -> tuple[float, NDArray[np.float64] | None]:
    """The step of an even grid, and its places if they are not those of the slices."""
    step = float((places[-1] - places[0]) / len(steps))
    astray = np.abs(places - places[0] - step * np.arange(len(places))).max()
    if np.abs(steps / usual - 1.0).max() <= _EVEN and astray <= _ASTRAY * step:
        if np.ptp(steps) > 1e-3 * step:
            notes.append(
                f"slices are {steps.min():.4g} to {steps.max():.4g} mm apart; taken as even"
            )
        return step, None
    count = int(np.ceil((places[-1] - places[0]) / steps.min() - 1e-6)) + 1
    even = np.linspace(places[0], places[-1], count)
    step = float(even[1] - even[0])
    notes.append(
        f"slices are {steps.min():.3g} to {steps.max():.3g} mm apart; interpolated to {step:.3g} mm"
    )
    return step, even


def check_alike(planes: Sequence[Plane], *, what: str) -> None:
    """Check that slices have one size, one spacing and one direction.

    Raises
    ------
    GeometryMismatch
        With what differs.
    """
    for plane in planes[1:]:
        _check_alike(planes[0], plane, what)


def _check_alike(first: Plane, other: Plane, what: str) -> None:
    if first.size != other.size:
        raise GeometryMismatch(
            f"{what} has slices of {first.size[0]} x {first.size[1]} and of {other.size[0]} x "
            f"{other.size[1]} pixels; give one series alone."
        )
    axes = np.abs(np.array([first.along_columns, first.along_rows])
                  - np.array([other.along_columns, other.along_rows])).max()  # fmt: skip
    if not axes < 1e-3:
        raise GeometryMismatch(
            f"{what} has slices in different directions (a scout among them?); give one stack of "
            "parallel slices."
        )
    apart = np.abs(np.array(first.spacing) / np.array(other.spacing) - 1.0).max()
    if not apart < 1e-3:
        raise GeometryMismatch(
            f"{what} has slices with pixels of {first.spacing[0]:.4g} and "
            f"{other.spacing[0]:.4g} mm; give one series alone."
        )


def _check_gaps(places: NDArray, steps: NDArray, step: float, what: str) -> None:
    if len(steps) == 1:
        return
    if not steps.min() >= _UNEVEN * step:
        raise InvalidInput(
            f"{what} has slices {steps.min():.3g} mm apart where {step:.3g} mm are usual: two "
            "stacks are mixed; give one alone."
        )
    wide = np.flatnonzero(steps > _GAP * step)
    if not len(wide):
        return
    ends = [-1, *wide.tolist(), len(places) - 1]
    runs = [(b - a, places[a + 1], places[b]) for a, b in pairwise(ends)]
    count, begin, end = max(runs)
    at = int(wide[0])
    raise InvalidInput(
        f"{what} has a gap of {steps[at]:.4g} mm after the slice at {places[at]:.4g} mm (slices "
        f"are {step:.3g} mm apart): slices are missing, or it is not one stack. The largest stack "
        f"without a gap has {count} slices, {begin:.4g} to {end:.4g} mm; give these alone."
    )


def _upright(
    planes: Sequence[Plane],
    order: NDArray[np.int64],
    places: NDArray[np.float64],
    notes: list[str],
    what: str,
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None, tuple[int, int]]:
    """First voxel of an upright grid, where each slice's rows and columns begin, its extra size.

    Slices of a tilted gantry lie aside of each other; None where they do not.
    """
    first = planes[order[0]]
    start = first.position
    aside = np.array([planes[k].position - start for k in order])
    aside -= np.outer(places - places[0], first.normal)
    rows = aside @ first.along_rows / first.spacing[1]
    columns = aside @ first.along_columns / first.spacing[0]
    pixels = np.stack([rows, columns], axis=1)
    if len(order) < 2 or np.abs(pixels).max() <= _UPRIGHT:
        return start, None, (0, 0)
    tilt = float(np.degrees(np.arctan2(np.linalg.norm(aside[-1]), places[-1] - places[0])))
    if tilt > _MOST_TILT_DEG:
        raise InvalidInput(
            f"{what} has slices that lie {tilt:.0f} degrees aslant of each other; give one stack."
        )
    notes.append(
        f"slices lie aslant by {tilt:.1f} degrees (a tilted gantry); moved onto an upright grid"
    )
    low = np.floor(pixels.min(axis=0)).astype(int)
    high = np.ceil(pixels.max(axis=0)).astype(int)
    start = (
        start
        + low[0] * first.spacing[1] * first.along_rows
        + low[1] * first.spacing[0] * first.along_columns
    )
    return start, pixels - low, (int(high[0] - low[0]), int(high[1] - low[1]))
