"""A geometric dose by beams: attenuated along their way, shaped to the target across it.

For what-if only: photons of 6 MV in water, parallel rays in the axial plane, every beam open over
the shadow of the target. All beams count alike, and each is filtered so that every ray of it gives
the same dose in the middle of the target along it, as compensators do. It knows no scatter and no
tissue but water, and nothing of it was fitted to a machine.

- *along a beam*: ``exp(-mu z) - s exp(-b z)`` of the depth z below the skin, attenuation with
  build-up (an exponential less a steeper one, as in the pencil beams of T. Bortfeld, W. Schlegel
  and B. Rhein 1993, Med Phys 20:311 [unverified]); the maximum lies at 15 mm;
- *across it*: ``Phi((shift - d)/sigma)`` of the distance d to the edge of the target's shadow,
  the penumbra of `twin.dose`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import ndtr

from twin.errors import InvalidInput
from twin.targets import distance_to

if TYPE_CHECKING:
    from twin.grid import Grid

__all__ = [
    "ARRANGEMENTS",
    "CAVEAT",
    "beam_dose",
    "body_of",
    "depth_dose",
    "depth_mm",
    "toward_source",
]

#: assumed: effective attenuation of 6 MV photons in water, [1/mm].
ATTENUATION_PER_MM = 0.005
#: assumed: steepness [1/mm] and height [1] of the build-up, for 40 % at the skin.
BUILD_UP_PER_MM, BUILD_UP_SHARE = 0.22, 0.6
#: assumed: skull and scalp about the tissue map, which holds neither, [mm].
SHELL_MM = 12.0
#: Widest margin of an aperture beyond the target's shadow, and how far beyond it a beam reaches,
#: in standard deviations of the penumbra.
WIDEST_SIGMAS, REACH_SIGMAS = 4.0, 4.5
#: Gantry angles by the name of an arrangement, [deg].
ARRANGEMENTS = {
    "opposed": (90.0, 270.0),
    "three fields": (0.0, 120.0, 240.0),
    "four fields": (0.0, 90.0, 180.0, 270.0),
    "five fields": tuple(72.0 * k for k in range(5)),
    "seven fields": tuple(round(360.0 * k / 7.0, 3) for k in range(7)),
    "nine fields": tuple(40.0 * k for k in range(9)),
    "arc": tuple(10.0 * k for k in range(36)),
}

CAVEAT = (
    "Doses by beams are of a what-if model (6 MV photons in water from the outline of the tissue "
    "map, parallel rays, no scatter), not of a planning system; no complication "
    "probability is drawn from them."
)

Volume = NDArray[np.float32]
Mask = NDArray[np.bool_]


def depth_dose(depth_mm: NDArray[np.floating] | float) -> NDArray[np.float64]:
    """Dose of a beam at a depth below the skin, in an arbitrary unit.

    Examples
    --------
    Ten centimetres deeper it is exp(-0.5), once the build-up is over:

    >>> round(float(depth_dose(200.0) / depth_dose(100.0)), 6)
    0.606531
    """
    depth = np.asarray(depth_mm, np.float64)
    found: NDArray[np.float64] = np.exp(-ATTENUATION_PER_MM * depth) - BUILD_UP_SHARE * np.exp(
        -BUILD_UP_PER_MM * depth
    )
    return found


def toward_source(angle_deg: float) -> NDArray[np.float64]:
    """Unit vector from the patient to the source of a beam, RAS, shape (3,).

    By IEC 61217 for a patient on the back, head first: at 0 degrees the source is in front, at
    90 on the patient's left.

    Examples
    --------
    >>> toward_source(90.0).round(12).tolist()
    [-1.0, 0.0, 0.0]
    """
    angle = np.deg2rad(angle_deg)
    return np.array([-np.sin(angle), np.cos(angle), 0.0])


def body_of(tissues: NDArray[np.integer]) -> Mask:
    """Voxels of the tissue map and what it encloses, shape of `tissues`."""
    return ndimage.binary_fill_holes(tissues > 0)


def depth_mm(body: Mask, affine: NDArray[np.float64], source: NDArray[np.float64]) -> Volume:
    """Way through a body from where a beam enters it to each voxel's middle, [mm].

    Parameters
    ----------
    body : ndarray of bool, shape (i, j, k)
    affine : ndarray, [mm], shape (4, 4)
        Cubic voxels.
    source : ndarray, shape (3,)
        Unit vector towards the source, as `toward_source` gives it.

    Returns
    -------
    ndarray of float32, shape of `body`
        0 where nothing of the body lies towards the source.
    """
    steps = np.linalg.solve(affine[:3, :3], source)  # voxels for a millimetre towards the source
    axis = int(np.argmax(np.abs(steps)))
    length = float(1.0 / np.abs(steps[axis]))  # of the way from one slice to the next
    across = np.delete(steps, axis) * length
    planes = np.moveaxis(body.astype(np.float32), axis, 0)
    found = np.zeros(planes.shape, np.float32)
    order = range(len(planes)) if steps[axis] < 0 else range(len(planes) - 1, -1, -1)
    way = np.zeros(planes.shape[1:], np.float32)  # to the middles of the slice before
    before = np.zeros_like(way)
    for number in order:
        here = planes[number]
        way, before = (_moved(part, across) for part in (way, before))
        way = way + np.float32(0.5 * length) * (before + here)
        found[number], before = way, here
    return np.moveaxis(found, 0, axis)


def _moved(plane: Volume, across: NDArray[np.float64]) -> Volume:
    """A slice as seen from the next one further from the source."""
    if not np.any(np.abs(across) > 1e-9):
        return plane
    return ndimage.shift(plane, -across, order=1, mode="constant", prefilter=False)


@dataclass(frozen=True, slots=True)
class _Field:
    """One beam where it gives a dose.

    Parameters
    ----------
    voxel : ndarray of int, shape (n,)
        Flat numbers of the voxels within `REACH_SIGMAS` of the widest aperture.
    along : ndarray of float32, [1], shape (n,)
        Depth dose, 1 in the middle of the target along each ray.
    edge_mm : ndarray of float32, [mm], shape (n,)
        Distance to the edge of the target's shadow, negative inside it.
    """

    voxel: NDArray[np.int64]
    along: Volume
    edge_mm: Volume


def _field(body: Mask, grid: Grid, target: Mask, angle_deg: float, reach_mm: float) -> _Field:
    """The field of one beam, open over the target's shadow and as far as `reach_mm` beyond it."""
    source = toward_source(angle_deg)
    depth = depth_mm(body, grid.affine, source) + np.float32(SHELL_MM)
    view = _View.of(grid, source)
    pixel = view.pixels(np.argwhere(target))
    size = view.shape[0] * view.shape[1]
    number = np.ravel_multi_index(tuple(pixel.T), view.shape)
    count = np.bincount(number, minlength=size).reshape(view.shape)
    total = np.bincount(number, weights=depth[target], minlength=size).reshape(view.shape)
    # the middle of the target along each ray; beside it that of the nearest ray
    nearest = ndimage.distance_transform_edt(
        count == 0, return_distances=False, return_indices=True
    )
    middle = (total / np.maximum(count, 1))[tuple(nearest)]
    edge = distance_to(view.shadow(target), grid.spacing_mm)
    voxel, along, edges = [], [], []
    slab = int(np.prod(grid.shape[1:]))
    for i in range(grid.shape[0]):  # a slice at a time, for memory
        at = view.places(i, grid.shape)
        here = ndimage.map_coordinates(edge, at, order=1, mode="nearest")
        lit = np.flatnonzero(here <= reach_mm)
        at = [part.ravel()[lit] for part in at]
        to_middle = ndimage.map_coordinates(middle, at, order=1, mode="nearest")
        voxel.append(lit + i * slab)
        along.append(depth_dose(depth[i].ravel()[lit]) / depth_dose(to_middle))
        edges.append(here.ravel()[lit])
    return _Field(
        np.concatenate(voxel),
        np.concatenate(along).astype(np.float32),
        np.concatenate(edges).astype(np.float32),
    )


@dataclass(frozen=True, slots=True)
class _View:
    """The plane across a beam: pixels as large as voxels, seen from the source.

    `rows` turn voxel numbers into pixels, with `low` taken off.
    """

    rows: NDArray[np.float64]
    low: NDArray[np.float64]
    shape: tuple[int, int]

    @classmethod
    def of(cls, grid: Grid, source: NDArray[np.float64]) -> _View:
        right = np.array([source[1], -source[0], 0.0])  # in the axial plane, across the beam
        rows = np.stack([right, np.array([0.0, 0.0, 1.0])]) @ grid.affine[:3, :3] / grid.spacing_mm
        ends = [(0, side - 1) for side in grid.shape]
        corners = np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(-1, 3) @ rows.T
        low = np.floor(corners.min(axis=0)) - 1.0
        shape = np.ceil(corners.max(axis=0) - low).astype(int) + 3
        return cls(rows, low, (int(shape[0]), int(shape[1])))

    def pixels(self, voxels: NDArray[np.floating] | NDArray[np.integer]) -> NDArray[np.int64]:
        """The pixel behind which each place lies, shape (n, 2)."""
        return np.rint(voxels @ self.rows.T - self.low).astype(np.int64)

    def places(self, i: int, shape: tuple[int, int, int]) -> list[NDArray[np.float64]]:
        """Pixels, not rounded, of slice `i` of a grid of this shape; two of shape (j, k)."""
        j, k = np.indices(shape[1:])
        return [row @ np.array([i, 0, 0]) + row[1] * j + row[2] * k - low
                for row, low in zip(self.rows, self.low, strict=True)]  # fmt: skip

    def shadow(self, target: Mask) -> Mask:
        """Pixels behind which any part of a target lies."""
        found = np.zeros(self.shape, bool)
        third = (-1.0 / 3.0, 0.0, 1.0 / 3.0)  # parts of a voxel, so that no pixel is missed
        inside = np.argwhere(target)
        for offset in np.stack(np.meshgrid(third, third, third), axis=-1).reshape(-1, 3):
            seen = self.pixels(inside + offset)
            found[seen[:, 0], seen[:, 1]] = True
        return found


def beam_dose(
    body: Mask,
    grid: Grid,
    target: Mask,
    angles_deg: Sequence[float],
    *,
    sigma_mm: float,
    coverage: float,
) -> Volume:
    """Relative dose of beams about a target, 1 in its median, shape of the grid.

    Apertures are the target's shadow widened by the least margin at which 98 % of the target
    receive `coverage` of its median.

    Parameters
    ----------
    body : ndarray of bool, shape of the grid
        What attenuates, as water.
    grid : Grid
    target : ndarray of bool, shape of the grid
    angles_deg : sequence of float, [deg]
        Of the gantry, one a beam.
    sigma_mm : float, [mm]
        Of the penumbra.
    coverage : float, [1]

    Raises
    ------
    InvalidInput
        No margin gives the coverage: these beams are too uneven in the target.
    """
    widest = WIDEST_SIGMAS * sigma_mm
    reach = widest + REACH_SIGMAS * sigma_mm
    fields = [_field(body, grid, target, angle, reach) for angle in angles_deg]
    inside = target.ravel()
    kept = [(one.along[inside[one.voxel]], one.edge_mm[inside[one.voxel]]) for one in fields]

    def within(shift: float) -> NDArray[np.float64]:
        return np.sum([along * ndtr((shift - edge) / sigma_mm) for along, edge in kept], axis=0)

    def covered(shift: float) -> float:
        dose = within(shift)
        return float(np.percentile(dose, 2) / np.percentile(dose, 50))

    low, high = 0.0, widest
    best = covered(high)
    if not best >= coverage:
        raise InvalidInput(
            f"With beams from {', '.join(f'{angle:g}' for angle in angles_deg)} degrees 98 % of "
            f"the target get only {100.0 * best:.1f} % of its median dose or more, and at least "
            f"{100.0 * coverage:.1f} % are asked for; add beams from other sides."
        )
    for _ in range(40):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if covered(middle) >= coverage else (middle, high)
    total = np.zeros(target.size, np.float32)
    for one in fields:
        edge = (np.float32(high) - one.edge_mm) / np.float32(sigma_mm)
        total[one.voxel] += one.along * ndtr(edge)
    return total.reshape(grid.shape) / np.float32(np.percentile(within(high), 50))
