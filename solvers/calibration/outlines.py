"""What a segmented outline says of a density on the mesh: how far its surface lies off, by patch.

An observed outline is divided into patches about `PATCH_MM` wide. Of a density the volume above
the threshold is cut exactly inside elements and summed by patch, and so is the volume inside the
observed outline; their difference over the patch's area is the mean distance by which the
predicted surface lies outside (above 0) or inside the observed one. Readers' outlines wander by
about a millimetre over a centimetre, and lie as a whole further out or in: errors of the patches
are independent, with one more that all of them share.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from twin.compiled import compiled_sums
from twin.errors import InvalidInput
from twin.mesh import Mesh

__all__ = ["OutlineNoise", "PatchedOutline", "patched_outline"]

#: assumed: length over which two readers' outlines differ in the same direction.
PATCH_MM = 12.0
#: A patch of less area than this share of a full one is joined to its neighbour.
LEAST_SHARE = 0.3
_EDGES = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))


@dataclass(frozen=True, slots=True)
class OutlineNoise:
    """How far readers' outlines lie off.

    Parameters
    ----------
    patch_mm : float, [mm]
        Standard deviation of a patch's distance, on its own.
    shared_mm : float, [mm]
        That of the outline as a whole.
    """

    patch_mm: float
    shared_mm: float

    def __post_init__(self) -> None:
        for what, value in (("patch_mm", self.patch_mm), ("shared_mm", self.shared_mm)):
            if not 0.0 < value <= 50.0:
                raise InvalidInput(
                    f"An outline's noise has {what} {value:g} mm; it must lie above 0 and be at "
                    "most 50 mm."
                )

    def times(self, factor: float) -> OutlineNoise:
        """Both larger by a factor."""
        return OutlineNoise(self.patch_mm * factor, self.shared_mm * factor)


@dataclass(frozen=True, slots=True)
class PatchedOutline:
    """An observed outline on a mesh.

    Parameters
    ----------
    cells : ndarray, shape (cell, 4)
        Elements in which a tumour can live.
    volume : ndarray, [mm3], shape (cell,)
    patch : ndarray of int32, shape (cell,)
        Number of the patch that each element counts for.
    inside : ndarray, [mm3], shape (patch,)
        Volume within the observed outline.
    area : ndarray, [mm2], shape (patch,)
        Of the observed outline.
    edge_mm : float, [mm]
        Mean length of the edges of the elements that the outline crosses.
    """

    cells: NDArray[np.int32]
    volume: NDArray[np.float64]
    patch: NDArray[np.int32]
    inside: NDArray[np.float64]
    area: NDArray[np.float64]
    edge_mm: float = 0.0

    def volumes(self, density: NDArray[np.floating], level: float) -> NDArray[np.float64]:
        """Volume above a level by patch, [mm3], shape (patch,)."""
        total = np.zeros(len(self.inside))
        field = np.ascontiguousarray(density, np.float64)
        _cut_by_patch(self.cells, self.volume, self.patch, field, level, total)
        return total

    @classmethod
    def undivided(cls, mesh: Mesh, active: NDArray[np.bool_]) -> PatchedOutline:
        """All elements in which a tumour can live as one patch, without an outline: a meter."""
        cells = np.ascontiguousarray(mesh.cells[active], np.int32)
        volume = np.ascontiguousarray(mesh.cell_volume[active])
        return cls(cells, volume, np.zeros(len(cells), np.int32), np.zeros(1), np.ones(1))

    def distances(self, density: NDArray[np.floating], level: float) -> NDArray[np.float64]:
        """Mean distance of the predicted surface outside the observed one, [mm], shape (patch,).

        Parameters
        ----------
        density : ndarray, [1], shape (node,)
            What is visible.
        level : float, [1]
            Threshold of visibility.
        """
        return (self.volumes(density, level) - self.inside) / self.area


def patched_outline(
    mesh: Mesh,
    active: NDArray[np.bool_],
    signed_mm: NDArray[np.float64],
    patch_mm: float = PATCH_MM,
) -> PatchedOutline:
    """An observed outline, divided into patches.

    Parameters
    ----------
    mesh : Mesh
    active : ndarray of bool, shape (cell,)
        Elements in which a tumour can live.
    signed_mm : ndarray, [mm], shape (node,)
        Signed distance to the observed outline, negative inside.
    patch_mm : float, [mm]
        Width of a patch.

    Raises
    ------
    InvalidInput
        The outline encloses no tissue of the mesh, or all of it.
    """
    cells = np.ascontiguousarray(mesh.cells[active], np.int32)
    volume = np.ascontiguousarray(mesh.cell_volume[active])
    inner = -np.asarray(signed_mm, np.float64)
    values = inner[cells]
    crossed = (values.min(axis=1) < 0.0) & (values.max(axis=1) > 0.0)
    if not crossed.any():
        where = "no tissue" if not (values > 0.0).any() else "all tissue"
        raise InvalidInput(f"The outline encloses {where} of the mesh; check its file and labels.")
    points = np.asarray(mesh.points, np.float64)
    centres = points[cells].mean(axis=1)
    slope = np.linalg.norm(_gradients(points[cells], values), axis=1)
    # Area by the co-area formula: the change of the volume with the level, times the slope.
    step = 1e-3 * float(np.median(np.abs(values[crossed])))
    each = np.arange(len(cells), dtype=np.int32)
    below, above = np.zeros(len(cells)), np.zeros(len(cells))
    _cut_by_patch(cells, volume, each, inner, -0.5 * step, below)
    _cut_by_patch(cells, volume, each, inner, 0.5 * step, above)
    area = (below - above) * slope / step
    seeds = _spread_out(centres[crossed], patch_mm)
    nearest = cKDTree(seeds).query(centres, workers=1)[1]
    by_patch = np.bincount(nearest, area, minlength=len(seeds))
    kept = by_patch >= LEAST_SHARE * patch_mm**2
    if not kept.any():
        kept = by_patch == by_patch.max()
    nearest = cKDTree(seeds[kept]).query(centres, workers=1)[1].astype(np.int32)
    count = int(kept.sum())
    inside = np.zeros(count)
    _cut_by_patch(cells, volume, nearest, inner, 0.0, inside)
    of_patch = np.bincount(nearest, area, minlength=count).astype(np.float64)
    corners = points[cells[crossed]]
    edge = np.mean([np.linalg.norm(corners[:, i] - corners[:, j], axis=1) for i, j in _EDGES])
    return PatchedOutline(cells, volume, nearest, inside, of_patch, float(edge))


def _gradients(corners: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gradient of a linear function on each tetrahedron, shape (cell, 3)."""
    edges = corners[:, 1:] - corners[:, :1]
    rises = values[:, 1:] - values[:, :1]
    return np.linalg.solve(edges, rises[..., None])[..., 0]


def _spread_out(places: NDArray[np.float64], apart_mm: float) -> NDArray[np.float64]:
    """Some of the places, each about so far from the others, shape (place, 3)."""
    middle = places.mean(axis=0)
    first = int(np.argmax(((places - middle) ** 2).sum(axis=1)))
    chosen = [first]
    far = np.linalg.norm(places - places[first], axis=1)
    while far.max() > 0.8 * apart_mm:
        chosen.append(int(far.argmax()))
        far = np.minimum(far, np.linalg.norm(places - places[chosen[-1]], axis=1))
    return places[chosen]


@compiled_sums
def _cut_by_patch(cells, volume, patch, density, level, total):
    """Add the volume above the level to the patch of each cell, cut exactly inside elements."""
    for e in range(cells.shape[0]):
        a, b = density[cells[e, 0]], density[cells[e, 1]]
        c, d = density[cells[e, 2]], density[cells[e, 3]]
        top, low = max(max(a, b), max(c, d)), min(min(a, b), min(c, d))
        if top <= level:
            continue
        if low >= level:
            total[patch[e]] += volume[e]
            continue
        # sorted: a and b the two largest, c and d the two smallest
        high, above_ = max(a, b), max(c, d)
        small, below_ = min(a, b), min(c, d)
        a, d = max(high, above_), min(small, below_)
        one, two = min(high, above_), max(small, below_)
        b, c = max(one, two), min(one, two)
        if b <= level:
            share = (a - level) ** 3 / ((a - b) * (a - c) * (a - d))
        elif c >= level:
            share = 1.0 - (level - d) ** 3 / ((a - d) * (b - d) * (c - d))
        else:
            ac, ad = (a - level) / (a - c), (a - level) / (a - d)
            bc, bd = (b - level) / (b - c), (b - level) / (b - d)
            share = ac * ad + bc * bd * (1.0 - ad) + bc * ad * (1.0 - ac)
        total[patch[e]] += volume[e] * share
