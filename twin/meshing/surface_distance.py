"""How far the surfaces of the labels lie from where the image has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from twin.compiled import compiled
from twin.mesh import Mesh
from twin.meshing.geometry import FACES, cell_neighbours

__all__ = ["SurfaceDistance", "label_faces", "surface_distances"]

Array = NDArray[Any]

#: Standard deviation of the Gaussian that takes the steps off the voxels, in voxels.
SMOOTHING_VOXELS = 0.5
#: Faces nearest to a point, by their centres, among which the nearest one is looked for.
_CANDIDATES = 16


@dataclass(frozen=True, slots=True)
class SurfaceDistance:
    """Distances between the surface of a label in the mesh and in the image.

    Parameters
    ----------
    mean_mm, most_mm : float, [mm]
        Mean of both directions; 95th percentile of the worse direction.
    from_mesh_mm, from_image_mm : float, [mm]
        Mean distance of the mesh's surface from the image's, and the other way round. Where
        a thin layer is lost in places, the second one tells.
    area_mm2 : float, [mm2]
        Area of the surface in the mesh.
    """

    mean_mm: float
    most_mm: float
    from_mesh_mm: float
    from_image_mm: float
    area_mm2: float


def label_faces(mesh: Mesh) -> dict[int, NDArray[np.int32]]:
    """Faces between each label and all others or the outside, shape (face, 3), turned outwards.

    Examples
    --------
    >>> from twin.meshing.boxes import box_mesh
    >>> len(label_faces(box_mesh((1.0, 1.0, 1.0), (1, 1, 1)))[1])
    12
    """
    neighbour = cell_neighbours(mesh.cells, len(mesh.points))
    other = np.where(neighbour >= 0, mesh.cell_label[neighbour], 0)
    cell, face = np.nonzero(other != mesh.cell_label[:, None])
    corners = mesh.cells[cell[:, None], FACES[face][:, ::-1]]
    label = mesh.cell_label[cell]
    return {int(number): corners[label == number] for number in np.unique(label)}


@compiled
def _squared_to_triangle(p: Array, a: Array, b: Array, c: Array) -> float:
    """Squared distance of a point from a triangle.

    By regions, as in C. Ericson, Real-Time Collision Detection (2005), section 5.1.5.
    """
    ab, ac, ap = b - a, c - a, p - a
    d1, d2 = (ab * ap).sum(), (ac * ap).sum()
    if d1 <= 0.0 and d2 <= 0.0:
        return (ap * ap).sum()
    bp = p - b
    d3, d4 = (ab * bp).sum(), (ac * bp).sum()
    if d3 >= 0.0 and d4 <= d3:
        return (bp * bp).sum()
    vc = d1 * d4 - d3 * d2
    if vc <= 0.0 and d1 >= 0.0 and d3 <= 0.0:
        rest = ap - ab * (d1 / (d1 - d3))
        return (rest * rest).sum()
    cp = p - c
    d5, d6 = (ab * cp).sum(), (ac * cp).sum()
    if d6 >= 0.0 and d5 <= d6:
        return (cp * cp).sum()
    vb = d5 * d2 - d1 * d6
    if vb <= 0.0 and d2 >= 0.0 and d6 <= 0.0:
        rest = ap - ac * (d2 / (d2 - d6))
        return (rest * rest).sum()
    va = d3 * d6 - d5 * d4
    if va <= 0.0 and d4 - d3 >= 0.0 and d5 - d6 >= 0.0:
        rest = bp - (c - b) * ((d4 - d3) / ((d4 - d3) + (d5 - d6)))
        return (rest * rest).sum()
    total = va + vb + vc
    rest = ap - ab * (vb / total) - ac * (vc / total)
    return (rest * rest).sum()


@compiled
def _distances(where: Array, points: Array, faces: Array, candidates: Array) -> Array:
    """Distance of each point from the nearest of its candidate faces, [mm]."""
    found = np.empty(len(where))
    for n in range(len(where)):
        least = np.inf
        for candidate in candidates[n]:
            a, b, c = faces[candidate]
            least = min(least, _squared_to_triangle(where[n], points[a], points[b], points[c]))
        found[n] = np.sqrt(least)
    return found


def _from_faces(where: Array, points: Array, faces: Array) -> Array:
    """Distance of points from a surface, [mm]."""
    centres = points[faces].mean(axis=1)
    count = min(_CANDIDATES, len(faces))
    _, candidates = cKDTree(centres).query(where, k=count)
    found: Array = _distances(where, points, faces, candidates.reshape(len(where), count))
    return found


def _crossings(own: Array, origin: Array, affine: Array) -> tuple[Array, Array]:
    """Points of the smooth surface of a voxel region, and unit normals there, [mm], (point, 3).

    The softened region is one half there, linearly between neighbouring voxels.
    """
    soft = ndimage.gaussian_filter(own.astype(np.float32), SMOOTHING_VOXELS, truncate=4.0)
    # a voxel's own sign is kept, so that a layer of one voxel is not smoothed away
    soft = np.where(own, np.maximum(soft, 0.5001), np.minimum(soft, 0.4999))
    slope = np.stack(np.gradient(soft), axis=-1)
    points, normals = [], []
    for axis in range(3):
        low = tuple(slice(0, -1) if k == axis else slice(None) for k in range(3))
        high = tuple(slice(1, None) if k == axis else slice(None) for k in range(3))
        cut = np.argwhere(own[low] != own[high])
        here = tuple(cut.T)
        first, second = soft[low][here], soft[high][here]
        part = ((0.5 - first) / (second - first)).astype(float)
        place = cut.astype(float)
        place[:, axis] += part
        points.append(place)
        weight = part[:, None]
        normals.append(slope[low][here] * (1 - weight) + slope[high][here] * weight)
    where = np.concatenate(points) + origin
    normal = np.concatenate(normals) @ np.linalg.inv(affine[:3, :3])
    length = np.linalg.norm(normal, axis=1, keepdims=True)
    normal = np.divide(normal, length, out=np.zeros_like(normal), where=length > 1e-12)
    return where @ affine[:3, :3].T + affine[:3, 3], normal


def _from_crossings(where: Array, surface: Array, normal: Array, spacing: float) -> Array:
    """Distance of points from the smooth voxel surface, [mm].

    From the plane through the nearest point of the surface, where that is nearly opposite.
    """
    direct, nearest = cKDTree(surface).query(where)
    gap = where - surface[nearest]
    along = np.abs((gap * normal[nearest]).sum(axis=1))
    aside = np.sqrt(np.maximum(direct**2 - along**2, 0.0))
    found: Array = np.where(aside <= spacing, along, direct)
    return found


def _on_faces(points: Array, faces: Array, count: int, random: np.random.Generator) -> Array:
    """Random points spread evenly over faces, [mm], shape (count, 3)."""
    corners = points[faces]
    area = _areas(points, faces)
    chosen = random.choice(len(faces), count, p=area / area.sum())
    u, v = random.random((2, count))
    root = np.sqrt(u)
    weights = np.stack([1 - root, root * (1 - v), root * v], axis=1)
    spread: Array = (weights[:, :, None] * corners[chosen]).sum(axis=1)
    return spread


def _areas(points: Array, faces: Array) -> Array:
    corners = points[faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    areas: Array = 0.5 * np.linalg.norm(cross, axis=1)
    return areas


def surface_distances(
    mesh: Mesh, labels: ArrayLike, affine: ArrayLike, *, points: int = 8000, seed: int = 0
) -> Mapping[str, SurfaceDistance]:
    """Distance of each label's surface in the mesh from its surface in the image, both ways.

    The image's surface is that of the label's voxels with the steps taken off by a
    Gaussian of half a voxel.

    Parameters
    ----------
    mesh : Mesh
    labels : ndarray of int, shape (i, j, k)
        Numbered as in ``mesh.label_names``.
    affine : ndarray, [mm], shape (4, 4)
        From voxel numbers to RAS millimetres.
    points : int
        So many random points of each surface are taken.
    seed : int

    Returns
    -------
    mapping of str to SurfaceDistance
        Labels that have both voxels and elements.

    Examples
    --------
    >>> from twin.meshing.boxes import box_mesh
    >>> half = np.eye(4)
    >>> half[:3, 3] = 0.5
    >>> there = np.pad(np.ones((20, 20, 20), int), 1)
    >>> half[:3, 3] -= 1.0
    >>> found = surface_distances(box_mesh((20.0, 20.0, 20.0), (4, 4, 4)), there, half)
    >>> found["white_matter"].mean_mm < 0.03  # all but the edges, which are smoothed
    True
    """
    voxels, matrix = np.asarray(labels), np.asarray(affine, float)
    spacing = float(np.cbrt(abs(np.linalg.det(matrix[:3, :3]))))
    random = np.random.default_rng(seed)
    found = {}
    for number, faces in label_faces(mesh).items():
        mask = voxels == number
        if not mask.any():
            continue
        box = ndimage.find_objects(mask.astype(np.int8))[0]
        origin = np.array([part.start for part in box]) - 2.0
        surface, normal = _crossings(np.pad(mask[box], 2), origin, matrix)
        chosen = surface[random.integers(0, len(surface), points)]
        back = _from_faces(chosen, mesh.points, faces)
        there = _from_crossings(
            _on_faces(mesh.points, faces, points, random), surface, normal, spacing
        )
        found[mesh.label_names[number]] = SurfaceDistance(
            mean_mm=0.5 * float(there.mean() + back.mean()),
            most_mm=float(max(np.percentile(there, 95), np.percentile(back, 95))),
            from_mesh_mm=float(there.mean()),
            from_image_mm=float(back.mean()),
            area_mm2=float(_areas(mesh.points, faces).sum()),
        )
    return found
