"""RT structure sets: contours, their volumes, and masks on any grid.

A structure is what lies inside an odd number of its contours on each plane (holes, keyholes
and islands alike), through a slab that reaches half-way to the next plane with contours.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twin.dicom.files import read_dataset
from twin.dicom.geometry import LPS_TO_RAS
from twin.dicom.moments import date_of
from twin.dicom.rasterise import covered, polygon_area
from twin.errors import InvalidInput
from twin.images import Image

__all__ = ["Contours", "StructureSet", "read_structure_set"]

_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR", "INTERPOLATED_PLANAR")
_SAME_PLANE = 0.05  # [mm]
_FLAT = 0.2  # [mm] that points of one contour may lie off its plane
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

    def slabs(self, alone_mm: float = 1.0) -> NDArray[np.float64]:
        """Lower and upper end of each plane's slab along the normal, [mm], shape (plane, 2)."""
        usual = self.spacing_mm or alone_mm
        gaps = np.diff(self.places)
        half = np.where(gaps > _GAP * usual, usual, gaps) / 2.0
        below = np.concatenate([[usual / 2.0], half])
        above = np.concatenate([half, [usual / 2.0]])
        return np.stack([self.places - below, self.places + above], axis=1)

    def axes(self) -> NDArray[np.float64]:
        """Two directions in the planes, [1], shape (2, 3)."""
        seed = np.eye(3)[int(np.abs(self.normal).argmin())]
        one = np.cross(self.normal, seed)
        one /= np.linalg.norm(one)
        return np.stack([one, np.cross(self.normal, one)])

    def volume_ml(self, alone_mm: float = 1.0) -> float:
        """Area of the contours times their slabs, [mL]."""
        axes, slabs = self.axes(), self.slabs(alone_mm)
        areas = [polygon_area([p @ axes.T for p in polygons]) for polygons in self.polygons]
        return float(np.dot(areas, slabs[:, 1] - slabs[:, 0]) / 1e3)


@dataclass(frozen=True, slots=True, eq=False)
class StructureSet:
    """Structures of one set.

    Parameters
    ----------
    structures : mapping of str to Contours
        By their names as given; those without a closed contour are left out and noted.
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

    def volume_ml(self, name: str) -> float:
        """Volume of a structure by its contours, [mL]."""
        return self._contours(name).volume_ml()

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

    def share(self, name: str, grid: Image) -> NDArray[np.float32]:
        """Share of each voxel that lies inside a structure, [1], shape of the grid."""
        return shares(self._contours(name), grid)

    def _contours(self, name: str) -> Contours:
        if name not in self.structures:
            known = ", ".join(self.structures) or "none"
            raise InvalidInput(f"There is no structure {name} with contours; there are {known}.")
        return self.structures[name]


def shares(contours: Contours, grid: Image) -> NDArray[np.float32]:
    """Share of each voxel of a grid inside contours, [1], shape of the grid.

    Exact in the planes where these are parallel to a pair of the grid's axes; else by a
    stack of the contours' own, interpolated.
    """
    steps = grid.affine[:3, :3] / grid.spacing_mm
    along = np.abs(contours.normal @ steps)
    axis = int(along.argmax())
    straight = along[axis] > 1.0 - 1e-5 and np.abs(steps.T @ steps - np.eye(3)).max() < 1e-3
    if straight:
        return _along_axis(contours, grid, axis)
    return _through_own_stack(contours, grid)


def _along_axis(contours: Contours, grid: Image, axis: int) -> NDArray[np.float32]:
    inverse = np.linalg.inv(grid.affine)
    plane = [a for a in range(3) if a != axis]
    shape = tuple(grid.shape[a] for a in plane)
    out = np.zeros((grid.shape[axis], *shape), np.float32)
    direction = float(contours.normal @ grid.affine[:3, axis]) / grid.spacing_mm[axis]
    thick = float(grid.spacing_mm[axis])
    start = float(contours.normal @ grid.affine[:3, 3])
    for polygons, (low, high) in zip(
        contours.polygons, contours.slabs(thick).tolist(), strict=True
    ):
        # voxel k spans start + direction * thick * (k -+ 1/2) along the normal
        ends = sorted(((low - start) / (direction * thick), (high - start) / (direction * thick)))
        first, last = max(0, int(np.floor(ends[0] + 0.5))), int(np.ceil(ends[1] - 0.5))
        span = [
            (k, min(ends[1], k + 0.5) - max(ends[0], k - 0.5))
            for k in range(first, min(last, grid.shape[axis] - 1) + 1)
        ]
        span = [(k, part) for k, part in span if part > 1e-6]
        if not span:
            continue
        points = [(p @ inverse[:3, :3].T + inverse[:3, 3])[:, plane] for p in polygons]
        inside = covered(points, shape)  # type: ignore[arg-type]
        for k, part in span:
            out[k] += np.float32(part) * inside
    return np.clip(np.moveaxis(out, 0, axis), 0.0, 1.0)


def _through_own_stack(contours: Contours, grid: Image) -> NDArray[np.float32]:
    from scipy import ndimage

    side = float(grid.spacing_mm.min()) / 2.0
    axes = contours.axes()
    points = np.concatenate([p for polygons in contours.polygons for p in polygons])
    flat = points @ axes.T
    low = flat.min(axis=0) - 2 * side
    shape = np.ceil((flat.max(axis=0) + 2 * side - low) / side).astype(int) + 1
    slabs = contours.slabs(side)
    places = np.arange(slabs[0, 0] - side, slabs[-1, 1] + 2 * side, side)
    layers = [
        covered([(p @ axes.T - low) / side for p in polygons], tuple(shape))  # type: ignore[arg-type]
        for polygons in contours.polygons
    ]
    own = np.zeros((*shape, len(places)), np.float32)
    for k, place in enumerate(places):
        inside = np.flatnonzero((slabs[:, 0] <= place) & (place < slabs[:, 1]))
        if len(inside):
            own[..., k] = layers[int(inside[0])]
    index = np.moveaxis(np.indices(grid.shape), 0, -1).reshape(-1, 3)
    world = index @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    coordinates = np.stack(
        [
            (world @ axes[0] - low[0]) / side,
            (world @ axes[1] - low[1]) / side,
            (world @ contours.normal - places[0]) / side,
        ]
    )
    found = ndimage.map_coordinates(own, coordinates, order=1, mode="constant", cval=0.0)
    return np.asarray(found.reshape(grid.shape), np.float32)


def read_structure_set(path: Path) -> StructureSet:
    """Return the structures of an RT structure set.

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
    names: dict[int, str] = {}
    frame = ""
    for item in dataset.get("StructureSetROISequence") or ():
        number = int(item.get("ROINumber") or 0)
        name = " ".join(str(item.get("ROIName") or "").split())[:64] or f"structure {number}"
        names[number] = f"{name} {number}" if name in names.values() else name
        frame = frame or str(item.get("ReferencedFrameOfReferenceUID") or "")
    found: dict[str, Contours] = {}
    empty, open_ones = [], []
    for item in dataset.get("ROIContourSequence") or ():
        number = int(item.get("ReferencedROINumber") or 0)
        name = names.get(number)
        if name is None:
            continue
        closed, others = _polygons(item, what, name)
        if closed:
            found[name] = _in_planes(closed, what, name)
        elif others:
            open_ones.append(name)
        if others and closed:
            open_ones.append(name)
    empty = [name for name in names.values() if name not in found and name not in open_ones]
    notes = []
    if empty:
        notes.append(f"without contours: {', '.join(empty)}")
    if open_ones:
        notes.append(f"points and open lines not used: {', '.join(dict.fromkeys(open_ones))}")
    if not found:
        raise InvalidInput(f"{what} has no structure with a closed contour; export its contours.")
    return StructureSet(found, frame, date_of(dataset), tuple(notes), names)


def _polygons(item: Any, what: str, name: str) -> tuple[list[NDArray[np.float64]], int]:
    """Closed contours in RAS millimetres, and how many others there are."""
    closed, others = [], 0
    for contour in item.get("ContourSequence") or ():
        data = contour.get("ContourData")
        points = np.array([] if data is None else data, dtype=np.float64)
        if points.size % 3 or not np.isfinite(points).all():
            raise InvalidInput(f"{what} has a contour of {name} with damaged points.")
        points = points.reshape(-1, 3)
        kind = str(contour.get("ContourGeometricType") or "").upper()
        if kind not in _CLOSED or len(points) < 3:
            others += 1
            continue
        closed.append(points @ LPS_TO_RAS[:3, :3].T)
    return closed, others


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
