"""RT structure sets: contours, their volumes, and masks on any grid.

A structure is what lies inside an odd number of its contours on each plane (holes, keyholes
and islands alike), through a slab that reaches half-way to the next plane with contours.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twin.dicom.files import read_dataset
from twin.dicom.geometry import LPS_TO_RAS
from twin.dicom.header_values import numbers_of, whole_of
from twin.dicom.moments import date_of
from twin.dicom.rasterise import covered, polygon_area
from twin.dicom.structure_names import names_to_show
from twin.errors import InvalidInput
from twin.images import MAX_VOXELS, Image

__all__ = ["Contours", "StructureSet", "read_structure_set"]

_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR", "INTERPOLATED_PLANAR")
_SAME_PLANE = 0.05  # [mm]
_FLAT = 0.2  # [mm] that points of one contour may lie off its plane
_FARTHEST = 1e5  # [mm] from the origin
_GAP = 1.75  # of the usual distance of planes: nothing lies between them


@dataclass(frozen=True, slots=True, eq=False)
class Contours:
    """Closed contours of one structure, plane by plane.

    Parameters
    ----------
    normal : ndarray, [1], shape (3,)
        Across the planes, in RAS axes.
    places : ndarray, [mm], shape (plane,)
        Along the normal, rising.
    polygons : tuple of tuple of ndarray, [mm], shape (point, 3)
        For each plane its contours, in RAS millimetres.
    """

    normal: NDArray[np.float64]
    places: NDArray[np.float64]
    polygons: tuple[tuple[NDArray[np.float64], ...], ...]

    @property
    def spacing_mm(self) -> float:
        """Usual distance of planes, [mm]; 0 for a single plane."""
        return float(np.median(np.diff(self.places))) if len(self.places) > 1 else 0.0

    def wide_gaps(self) -> NDArray[np.bool_]:
        """Whether nothing lies between a plane and the next, shape (plane - 1,)."""
        return np.asarray(np.diff(self.places) > _GAP * self.spacing_mm)

    def slabs(self, alone_mm: float = 1.0, *, end_caps: bool = True) -> NDArray[np.float64]:
        """Lower and upper end of each plane's slab along the normal, [mm], shape (plane, 2).

        Each reaches half-way to its neighbours; the outermost as far beyond the last contour
        (`end_caps`), as a mask on the slices has it, or up to it, as some planning systems have
        it in their histograms.
        """
        usual = self.spacing_mm or alone_mm
        half = np.where(self.wide_gaps(), usual, np.diff(self.places)) / 2.0
        cap = usual / 2.0 if end_caps or len(self.places) == 1 else 0.0
        below = np.concatenate([[cap], half])
        above = np.concatenate([half, [cap]])
        return np.stack([self.places - below, self.places + above], axis=1)

    def axes(self) -> NDArray[np.float64]:
        """Two directions in the planes, [1], shape (2, 3)."""
        seed = np.eye(3)[int(np.abs(self.normal).argmin())]
        one = np.cross(self.normal, seed)
        one /= np.linalg.norm(one)
        return np.stack([one, np.cross(self.normal, one)])

    def volume_ml(self, alone_mm: float = 1.0, *, end_caps: bool = True) -> float:
        """Area of the contours times their slabs, [mL]; see `slabs`."""
        axes, slabs = self.axes(), self.slabs(alone_mm, end_caps=end_caps)
        areas = [polygon_area([p @ axes.T for p in polygons]) for polygons in self.polygons]
        return float(np.dot(areas, slabs[:, 1] - slabs[:, 0]) / 1e3)


@dataclass(frozen=True, slots=True, eq=False)
class StructureSet:
    """Structures of one set.

    Parameters
    ----------
    structures : mapping of str to Contours
        By their names (see `names_to_show`); those without a closed contour are left out and
        noted.
    frame_of_reference : str
        For pairing in memory only.
    date : date or None
    notes : tuple of str
    numbers : mapping of int to str
        Name of each ROI number, also of those without contours.
    """

    structures: Mapping[str, Contours]
    frame_of_reference: str = field(repr=False)
    date: dt.date | None
    notes: tuple[str, ...]
    numbers: Mapping[int, str] = field(default_factory=dict)

    def volume_ml(self, name: str, *, end_caps: bool = True) -> float:
        """Volume of a structure by its contours, [mL]; see `Contours.slabs`."""
        return self._contours(name).volume_ml(end_caps=end_caps)

    def mask(self, name: str, grid: Image) -> NDArray[np.bool_]:
        """Voxels of a grid that lie more than half inside a structure, shape of the grid.

        Raises
        ------
        InvalidInput
            No such structure, or none of it lies in the grid.
        """
        found = self.share(name, grid) > 0.5
        if not found.any():
            raise InvalidInput(
                f"The structure {name} marks no voxel of the image; it lies outside or is too "
                "small."
            )
        return found

    def share(self, name: str, grid: Image, *, end_caps: bool = True) -> NDArray[np.float32]:
        """Share of each voxel that lies inside a structure, [1], shape of the grid."""
        return shares(self._contours(name), grid, end_caps=end_caps)

    def _contours(self, name: str) -> Contours:
        if name not in self.structures:
            known = ", ".join(self.structures) or "none"
            raise InvalidInput(f"There is no structure {name} with contours; there are {known}.")
        return self.structures[name]


def shares(contours: Contours, grid: Image, *, end_caps: bool = True) -> NDArray[np.float32]:
    """Share of each voxel of a grid inside contours, [1], shape of the grid.

    Sums to the contours' volume where their planes are parallel to a pair of the grid's
    axes; else by a stack of the contours' own, interpolated.
    """
    steps = grid.affine[:3, :3] / grid.spacing_mm
    along = np.abs(contours.normal @ steps)
    axis = int(along.argmax())
    straight = along[axis] > 1.0 - 1e-5 and np.abs(steps.T @ steps - np.eye(3)).max() < 1e-3
    if straight:
        return _along_axis(contours, grid, axis, end_caps)
    return _through_own_stack(contours, grid, end_caps)


def _along_axis(contours: Contours, grid: Image, axis: int, end_caps: bool) -> NDArray[np.float32]:
    inverse = np.linalg.inv(grid.affine)
    plane = [a for a in range(3) if a != axis]
    ends = np.array([grid.shape[a] for a in plane])
    found = np.zeros(grid.shape, np.float32, order="F" if axis == 2 else "C")
    out = np.moveaxis(found, axis, 0)
    touched: dict[int, list[tuple[slice, slice]]] = {}
    direction = float(contours.normal @ grid.affine[:3, axis]) / grid.spacing_mm[axis]
    thick = float(grid.spacing_mm[axis])
    start = float(contours.normal @ grid.affine[:3, 3])
    for polygons, (low, high) in zip(
        contours.polygons, contours.slabs(thick, end_caps=end_caps).tolist(), strict=True
    ):
        # voxel k spans start + direction * thick * (k -+ 1/2) along the normal
        slab = sorted(((low - start) / (direction * thick), (high - start) / (direction * thick)))
        first, last = max(0, int(np.floor(slab[0] + 0.5))), int(np.ceil(slab[1] - 0.5))
        span = [
            (k, min(slab[1], k + 0.5) - max(slab[0], k - 0.5))
            for k in range(first, min(last, grid.shape[axis] - 1) + 1)
        ]
        span = [(k, part) for k, part in span if part > 1e-6]
        if not span:
            continue
        points = [(p @ inverse[:3, :3].T + inverse[:3, 3])[:, plane] for p in polygons]
        together = np.concatenate(points)
        begin = np.clip(np.floor(together.min(axis=0) + 0.5), 0, ends).astype(int)
        end = np.clip(np.ceil(together.max(axis=0) + 0.5), 0, ends).astype(int)
        if (end <= begin).any():
            continue
        inside = covered([p - begin for p in points], tuple((end - begin).tolist()))
        box = (slice(begin[0], end[0]), slice(begin[1], end[1]))
        for k, part in span:
            here = out[k][box]
            here += np.float32(part) * inside
            touched.setdefault(k, []).append(box)
    for k, boxes in touched.items():
        for box in boxes:
            here = out[k][box]
            np.clip(here, 0.0, 1.0, out=here)
    return found


def _through_own_stack(contours: Contours, grid: Image, end_caps: bool) -> NDArray[np.float32]:
    """Shares on a grid that is turned against the contours' planes.

    The contours fill a stack of their own, with voxels of half the grid's smallest side, which
    is interpolated at eight points of each voxel that lies near it.
    """
    from scipy import ndimage

    side = float(grid.spacing_mm.min()) / 2.0
    axes = contours.axes()
    turn = np.vstack([axes, contours.normal])
    points = np.concatenate([p for polygons in contours.polygons for p in polygons])
    flat = points @ axes.T
    low = flat.min(axis=0) - 2 * side
    shape = np.ceil((flat.max(axis=0) + 2 * side - low) / side).astype(int) + 1
    slabs = contours.slabs(side, end_caps=end_caps)
    places = np.arange(slabs[0, 0] - side, slabs[-1, 1] + 2 * side, side)
    if len(places) * int(shape.prod()) > MAX_VOXELS:
        raise InvalidInput(
            "The structure is too large to be put onto an image that is turned against its "
            "planes; resample the image."
        )
    own = np.zeros((*shape, len(places)), np.float32)
    for polygons, (begin, end) in zip(contours.polygons, slabs.tolist(), strict=True):
        layer = covered([(p @ axes.T - low) / side for p in polygons], tuple(shape))  # type: ignore[arg-type]
        within = np.minimum(places + side / 2, end) - np.maximum(places - side / 2, begin)
        for k in np.flatnonzero(within > 0.0):
            own[..., k] += np.float32(min(1.0, within[k] / side)) * layer
    # voxels of the grid that the stack can reach
    corners = np.array(np.meshgrid(*[(-1.0, n) for n in own.shape])).reshape(3, -1) * side
    world = (corners + np.array([*low, places[0]])[:, None]).T @ turn
    inverse = np.linalg.inv(grid.affine)
    box = world @ inverse[:3, :3].T + inverse[:3, 3]
    first = np.clip(np.floor(box.min(axis=0)).astype(int), 0, grid.shape)
    last = np.clip(np.ceil(box.max(axis=0)).astype(int) + 1, 0, grid.shape)
    out = np.zeros(grid.shape, np.float32)
    if (last <= first).any():
        return out
    where = tuple(slice(f, n) for f, n in zip(first, last, strict=True))
    to_own = turn @ grid.affine[:3, :3] / side
    start = (turn @ grid.affine[:3, 3] - np.array([*low, places[0]])) / side
    for corner in np.array(np.meshgrid(*[(-0.25, 0.25)] * 3)).reshape(3, -1).T:
        out[where] += ndimage.affine_transform(
            own, to_own, start + to_own @ (first + corner), tuple(last - first),
            order=1, mode="constant", cval=0.0,
        ) / np.float32(8.0)  # fmt: skip
    return np.clip(out, 0.0, 1.0)


def read_structure_set(path: Path, *, identifiers: Iterable[str] = ()) -> StructureSet:
    """Return the structures of an RT structure set.

    Parameters
    ----------
    path : path
    identifiers : iterable of str
        What no name of a structure may show beside what this header holds; see `names_to_show`.

    Raises
    ------
    InvalidInput
        Another kind of object, no structure with a closed contour, points that are not numbers,
        contours that are not flat.
    """
    dataset = read_dataset(path)
    what = f"The structure set {path.name}"
    if str(dataset.get("Modality") or "").upper() != "RTSTRUCT":
        raise InvalidInput(f"{path.name} is not an RT structure set (RTSTRUCT).")
    labels: list[tuple[int, str]] = []
    frame = ""
    for item in dataset.get("StructureSetROISequence") or ():
        labels.append((whole_of(item.get("ROINumber")), str(item.get("ROIName") or "")))
        frame = frame or str(item.get("ReferencedFrameOfReferenceUID") or "")
    names = names_to_show(dataset, labels, identifiers=identifiers)
    closed: dict[str, list[NDArray[np.float64]]] = {}  # also of several items of one structure
    open_ones: dict[str, None] = {}
    for item in dataset.get("ROIContourSequence") or ():
        name = names.get(whole_of(item.get("ReferencedROINumber")))
        if name is None:
            continue
        polygons, others = _polygons(item, what, name)
        if polygons:
            closed.setdefault(name, []).extend(polygons)
        if others:
            open_ones[name] = None
    found = {name: _in_planes(polygons, what, name) for name, polygons in closed.items()}
    empty = [name for name in names.values() if name not in found and name not in open_ones]
    notes = [note for name, contours in found.items() for note in _remarks(name, contours)]
    if empty:
        notes.append(f"without contours: {', '.join(empty)}")
    if open_ones:
        notes.append(f"points and open lines not used: {', '.join(open_ones)}")
    if not found:
        raise InvalidInput(f"{what} has no structure with a closed contour; export its contours.")
    return StructureSet(found, frame, date_of(dataset), tuple(notes), names)


def _polygons(item: Any, what: str, name: str) -> tuple[list[NDArray[np.float64]], int]:
    """Closed contours in RAS millimetres, and how many others there are."""
    closed, others = [], 0
    for contour in item.get("ContourSequence") or ():
        points = numbers_of(contour.get("ContourData"))
        if points is None or points.size % 3 or (points.size and np.abs(points).max() > _FARTHEST):
            raise InvalidInput(f"{what} has a contour of {name} with damaged points.")
        points = points.reshape(-1, 3)
        kind = str(contour.get("ContourGeometricType") or "").upper()
        if kind not in _CLOSED or len(points) < 3:
            others += 1
            continue
        closed.append(points @ LPS_TO_RAS[:3, :3].T)
    return closed, others


def _remarks(name: str, contours: Contours) -> list[str]:
    """What to know of a structure's planes."""
    if len(contours.places) == 1:
        return [f"{name} has contours on one plane alone"]
    gaps, wide = np.diff(contours.places), contours.wide_gaps()
    if not wide.any():
        return []
    return [
        f"{name} has no contour for {gaps[wide].max():.3g} mm where {contours.spacing_mm:.3g} mm "
        f"are usual ({int(wide.sum())} such gaps): it counts as absent there"
    ]


def _in_planes(closed: list[NDArray[np.float64]], what: str, name: str) -> Contours:
    """Contours sorted into planes that are parallel to each other."""
    largest = max(closed, key=lambda p: float(np.ptp(p, axis=0).sum()))
    _, _, directions = np.linalg.svd(largest - largest.mean(axis=0), full_matrices=False)
    normal = directions[2] if len(directions) == 3 else np.array([0.0, 0.0, 1.0])
    nearest = np.eye(3)[int(np.abs(normal).argmax())]
    if abs(float(normal @ nearest)) > 1.0 - 1e-4:  # flat along an axis, to rounding
        normal = nearest
    normal = normal * np.sign(normal[int(np.abs(normal).argmax())])
    places = np.array([float((p @ normal).mean()) for p in closed])
    off = max(float(np.ptp(p @ normal)) for p in closed)
    if off > _FLAT:
        raise InvalidInput(
            f"{what} has contours of {name} that lie {off:.2g} mm off one direction of planes; "
            "export them on parallel planes."
        )
    order = np.argsort(places, kind="stable")
    planes: list[list[NDArray[np.float64]]] = []
    at: list[float] = []
    for k in order.tolist():
        if at and places[k] - at[-1] <= _SAME_PLANE:
            planes[-1].append(closed[k])
            continue
        planes.append([closed[k]])
        at.append(float(places[k]))
    return Contours(normal, np.array(at), tuple(tuple(group) for group in planes))
