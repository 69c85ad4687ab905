"""The dose of each structure: put onto one grid, as fine as the structure needs.

Contours are filled on the dose's own grid. A mask keeps its voxels, and the dose is interpolated
onto them, where they are not longer than the dose's; longer ones are divided; a large structure
on much finer voxels goes onto the dose's grid by the share of each voxel that it fills. The
voxels of small structures are divided further in 3 or 5 a side: odd numbers, so that the middle
of every voxel, where the dose was calculated, is still there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twin.dicom.structure_set import Contours, shares
from twin.dose_histogram import DoseHistogram, dose_histogram
from twin.dose_resampling import mean_on_grid
from twin.errors import InvalidInput
from twin.images import Image
from twin.outlines import Drawn, Voxels

__all__ = ["PARTS", "StructureDose", "structure_dose"]

#: Into how many a voxel may be divided along each side.
PARTS = (1, 3, 5)
#: With fewer voxels than so many a structure's are divided in 3, or in 5.
_FEW, _FEWER = 25_000, 1_000
_MOST = 2**24  # voxels of a mask that the dose is interpolated onto
_MOST_OUTSIDE = 2**26  # voxels of a box that reaches beyond the dose
_COVERED = 1e-4  # of a structure that may lie outside by rounding


@dataclass(frozen=True, slots=True, eq=False)
class StructureDose:
    """What one structure gets.

    Parameters
    ----------
    histogram : DoseHistogram or None
        Of the part that the dose covers; None where it covers nothing, or nothing is enclosed.
    volume_ml : float, [mL]
        Of the whole structure.
    covered : float, [1]
        Share of the structure that the dose covers.
    grid : {"dose", "structure"}
        Whose voxels it was measured on,
    parts : tuple of int
        into how many each was divided along its sides,
    spacing_mm : tuple of float, [mm]
        and how long they are then.
    """

    histogram: DoseHistogram | None
    volume_ml: float
    covered: float
    grid: str
    parts: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]

    @property
    def whole(self) -> bool:
        """Whether the dose covers all of it."""
        return self.covered >= 1.0 - _COVERED


def structure_dose(
    name: str, outline: Drawn | Voxels, dose: Image, *, parts: int | None = None
) -> StructureDose:
    """Return the dose of one structure.

    Parameters
    ----------
    name : str
        For messages.
    outline : Drawn or Voxels
    dose : Image
        [Gy].
    parts : {1, 3, 5} or None
        Into how many each voxel is divided along its sides; by the structure's size if None.

    Raises
    ------
    InvalidInput
        A structure that reaches absurdly far beyond the dose.

    Examples
    --------
    >>> dose = Image(np.broadcast_to(np.arange(10.0)[:, None, None], (10, 10, 10)), np.eye(4))
    >>> affine = np.eye(4)
    >>> affine[:3, 3] = 3.0
    >>> found = structure_dose("box", Voxels(Image(np.ones((4, 4, 4), bool), affine)), dose)
    >>> round(found.volume_ml, 6), found.covered, round(found.histogram.mean_gy, 6), found.parts
    (0.064, 1.0, 4.5, (5, 5, 5))
    """
    if parts is not None and parts not in PARTS:
        raise InvalidInput(f"A voxel cannot be divided in {parts}; choose 1, 3 or 5.")
    if isinstance(outline, Drawn):
        return _of_contours(name, outline, dose, parts)
    return _of_voxels(outline.inside, dose, parts)


def _parts(voxels: float, wanted: int | None) -> int:
    if wanted is not None:
        return wanted
    return 1 if voxels >= _FEW else 3 if voxels >= _FEWER else 5


def _of_contours(name: str, drawn: Drawn, dose: Image, wanted: int | None) -> StructureDose:
    first, last = _box(drawn.contours, dose)
    low, high = np.maximum(first, 0), np.minimum(last, dose.shape)
    if not ((first >= low) & (last <= high)).all() and np.prod(1.0 * last - first) > _MOST_OUTSIDE:
        raise InvalidInput(
            f"{name} reaches {np.ptp([first, last], axis=0).max()} voxels of the dose along one "
            "axis, far beyond it; check that they belong together, or name the others alone."
        )
    box = _lattice(dose, first, last)
    share = shares(drawn.contours, box, end_caps=drawn.end_caps)
    total = float(share.sum(dtype=np.float64))
    if not total > 0.0:
        return _measured(None, 0.0, 0.0, "dose", dose, np.ones(3, np.int64))
    volume = total * dose.voxel_mm3 / 1e3
    parts = _parts(total, wanted)
    times = np.full(3, parts)
    if (high <= low).any():
        return _measured(None, volume, 0.0, "dose", dose, times)
    share = share[tuple(slice(a, b) for a, b in zip(low - first, high - first, strict=True))]
    covered = float(share.sum(dtype=np.float64)) / total
    if not covered > 0.0:
        return _measured(None, volume, 0.0, "dose", dose, times)
    grid = _lattice(dose, low, high, times)
    if parts == 1:
        values = _cut(dose.data, low, high)
    else:
        share = shares(drawn.contours, grid, end_caps=drawn.end_caps)
        values = mean_on_grid(dose, grid)[0]
    found = dose_histogram(values, share, grid.voxel_mm3)
    return _measured(found, volume, covered, "dose", dose, times)


def _box(contours: Contours, dose: Image) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First voxel of the dose's lattice that contours reach, and the one after the last."""
    points = np.concatenate([p for polygons in contours.polygons for p in polygons])
    steps = dose.affine[:3, :3] / dose.spacing_mm
    thick = float(dose.spacing_mm[np.abs(contours.normal @ steps).argmax()])
    beyond = (contours.spacing_mm or thick) / 2.0 * contours.normal
    if len(contours.places) == 2:  # a plane of a stated thickness: places are not its points'
        beyond = 2.0 * beyond
    both = np.concatenate([points - beyond, points + beyond])
    inverse = np.linalg.inv(dose.affine)
    places = both @ inverse[:3, :3].T + inverse[:3, 3]
    return (
        np.floor(places.min(axis=0) + 0.5).astype(np.int64),
        np.floor(places.max(axis=0) + 0.5).astype(np.int64) + 1,
    )


def _of_voxels(inside: Image, dose: Image, wanted: int | None) -> StructureDose:
    data: NDArray = inside.data
    if data.dtype != np.bool_:
        data = data.astype(np.float32)
    total = float(data.sum(dtype=np.float64))
    volume = total * inside.voxel_mm3 / 1e3
    to_dose = np.linalg.inv(dose.affine) @ inside.affine
    lengths = np.linalg.norm(to_dose[:3, :3], axis=0)  # of a voxel, in the dose's
    times = np.ceil(lengths - 1e-3).astype(np.int64).clip(1)
    if data.size * int(times.prod()) > _MOST:
        return _on_dose(inside, volume, dose, times)
    times = times * _parts(total * float(times.prod()), wanted)
    grid = _lattice(inside, np.zeros(3, np.int64), np.array(inside.shape), times)
    values, covered = _dose_on(dose, grid)
    for axis, count in enumerate(times.tolist()):
        data = data if count == 1 else np.repeat(data, count, axis=axis)
    if covered is None:
        share, part = data, 1.0
    else:
        share = data * covered
        part = float(share.sum(dtype=np.float64)) / (total * float(times.prod()))
    if not part > 0.0:
        return _measured(None, volume, 0.0, "structure", inside, times)
    found = dose_histogram(values, share, grid.voxel_mm3)
    return _measured(found, volume, part, "structure", inside, times)


def _dose_on(dose: Image, grid: Image) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Doses on a grid and the share of each voxel covered; None where all of them are."""
    shift = np.linalg.inv(dose.affine) @ grid.affine
    first = np.rint(shift[:3, 3]).astype(np.int64)
    last = first + grid.shape
    same = np.abs(shift[:3, :3] - np.eye(3)).max() < 1e-6
    same = same and np.abs(shift[:3, 3] - first).max() < 1e-3
    if same and (first >= 0).all() and (last <= dose.shape).all():
        return _cut(dose.data, first, last), None
    values, covered = mean_on_grid(dose, grid)
    return values, None if covered.min() >= 1.0 - 1e-6 else covered


def _on_dose(inside: Image, volume: float, dose: Image, times: NDArray[np.int64]) -> StructureDose:
    """A large structure on much finer voxels: the share of each voxel of the dose that it fills."""
    corners = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in inside.shape])).reshape(3, -1)
    to_dose = np.linalg.inv(dose.affine) @ inside.affine
    places = to_dose[:3, :3] @ corners + to_dose[:3, 3:]
    low = np.floor(places.min(axis=1) + 0.5).astype(np.int64).clip(0)
    high = np.minimum(np.floor(places.max(axis=1) + 0.5).astype(np.int64) + 1, dose.shape)
    whole = np.ones(3, np.int64)
    if (high <= low).any():
        return _measured(None, volume, 0.0, "dose", dose, whole)
    data = inside.data
    for axis, count in enumerate(times.tolist()):
        data = data if count == 1 else np.repeat(data, count, axis=axis)
    fine = Image(data, _lattice(inside, np.zeros(3, int), np.array(inside.shape), times).affine)
    filled, covered = mean_on_grid(fine, _lattice(dose, low, high))
    share = np.clip(filled * covered, 0.0, 1.0)
    share[share < 1e-6] = 0.0
    part = float(share.sum(dtype=np.float64)) * dose.voxel_mm3 / 1e3 / volume
    if not part > 0.0:
        return _measured(None, volume, 0.0, "dose", dose, whole)
    found = dose_histogram(_cut(dose.data, low, high), share, dose.voxel_mm3)
    return _measured(found, volume, part, "dose", dose, whole)


def _measured(
    histogram: DoseHistogram | None,
    volume_ml: float,
    covered: float,
    grid: str,
    image: Image,
    times: NDArray[np.int64],
) -> StructureDose:
    a, b, c = (image.spacing_mm / times).tolist()
    i, j, k = times.tolist()
    return StructureDose(histogram, volume_ml, min(covered, 1.0), grid, (i, j, k), (a, b, c))


def _lattice(
    image: Image,
    first: NDArray[np.int64],
    last: NDArray[np.int64],
    parts: NDArray[np.int64] | None = None,
) -> Image:
    """An empty image on some voxels of another's lattice, each divided along its sides."""
    times = np.ones(3, np.int64) if parts is None else parts
    affine = image.affine.copy()
    affine[:3, :3] = image.affine[:3, :3] / times
    start = first - 0.5 + 0.5 / times
    affine[:3, 3] = image.affine[:3, :3] @ start + image.affine[:3, 3]
    shape = tuple(((last - first) * times).tolist())
    return Image(np.broadcast_to(np.False_, shape), affine)


def _cut(data: NDArray[np.generic], low: NDArray[np.int64], high: NDArray[np.int64]) -> NDArray:
    box = tuple(slice(a, b) for a, b in zip(low.tolist(), high.tolist(), strict=True))
    return np.asarray(data[box], np.float32)
