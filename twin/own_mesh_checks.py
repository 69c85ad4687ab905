"""What a mesh of one's own must fulfil, each check with one sentence about what is wrong."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from twin.errors import InvalidInput
from twin.mesh import Mesh
from twin.meshing.build import SMALLEST_DIHEDRAL_DEG
from twin.meshing.geometry import FACES, MOST_NODES, cell_volumes, dihedral_extremes
from twin.meshing.quality import mesh_quality
from twin.patient import MESH_LABELS

__all__ = ["check_geometry", "check_place", "check_size", "check_volumes", "check_whole"]

Array = NDArray[Any]

_logger = logging.getLogger(__name__)

#: Cells with a smaller dihedral angle are flat: they couple their nodes without bound, [degree].
FLATTEST_DEG = 1.0
#: Nodes nearer than this are one node twice, [mm].
ONE_NODE_MM = 1e-6
#: A mesh may be this much smaller or larger than the head of the images.
_SIZE_RATIO = 4.0
#: Least part of the mesh's volume, and of each tissue's, in voxels of the same tissue.
LEAST_AGREEMENT, LEAST_TISSUE_AGREEMENT = 0.5, 0.25
#: Differences of a label's volume from its voxels' at which one is warned, and at which refused.
_VOLUME_WARNED, _VOLUME_REFUSED = 0.05, 0.5
_SMALL_MM3 = 1000.0  # a difference below this is never refused
_NAMES = {number: name for name, number in MESH_LABELS.items()}


def check_whole(path: Path, points: Array, label: Array, voxels: Array) -> None:
    """Refuse points that are not finite, too many nodes and a mesh without one of the tissues."""
    if not np.isfinite(points).all():
        first = int(np.flatnonzero(~np.isfinite(points).all(axis=1))[0])
        raise InvalidInput(
            f"The mesh {path} has a node at {points[first].tolist()} (number {first} from 0); "
            "every coordinate must be finite: save it again."
        )
    if len(points) > MOST_NODES:
        raise InvalidInput(
            f"The mesh {path} has {len(points):,} nodes; at most {MOST_NODES:,} are possible: "
            "make it coarser."
        )
    for name, number in MESH_LABELS.items():
        if (label == number).any():
            continue
        if name != "necrosis":
            there = ", ".join(_NAMES[int(found)] for found in np.unique(label))
            raise InvalidInput(
                f'The mesh {path} has no tetrahedra of "{name}", only of {there}; '
                "it needs the three tissues and the enhancing tumour: check labels of [mesh]."
            )
        if (voxels == number).any():
            _logger.warning("The mesh %s has no necrosis, but the images have.", path)


def check_size(path: Path, points: Array, voxels: Array, affine: Array) -> None:
    """Refuse a mesh of which the size says that it is in another unit."""
    inside = np.argwhere(voxels > 0) @ affine[:3, :3].T
    head = float(np.ptp(inside, axis=0).max())
    size = float(np.ptp(points, axis=0).max())
    if head <= _SIZE_RATIO * size and size <= _SIZE_RATIO * head:
        return
    factors = {"m": 1000.0, "cm": 10.0}
    near = [u for u, f in factors.items() if 1 / _SIZE_RATIO < f * size / head < _SIZE_RATIO]
    words = {"m": "metres", "cm": "centimetres"}
    remedy = (
        f'it seems to be in {words[near[0]]}: write unit = "{near[0]}"'
        if near
        else "check that it is of this patient, and its unit"
    )
    raise InvalidInput(
        f"The mesh {path} is {size:.3g} mm large and the head in the images {head:.3g} mm; "
        f"{remedy}."
    )


def check_geometry(path: Path, points: Array, cells: Array) -> None:
    """Refuse flat or overlapping cells, and cells that only touch; warn about sharp ones."""
    volumes = cell_volumes(points, cells)
    smallest = dihedral_extremes(points, cells)[0] if volumes.min() > 0.0 else np.zeros(1)
    if not (volumes.min() > 0.0 and smallest.min() >= FLATTEST_DEG):
        flat = int((volumes <= 0.0).sum() or (smallest < FLATTEST_DEG).sum())
        worst = int(volumes.argmin() if volumes.min() <= 0.0 else smallest.argmin())
        where = ", ".join(f"{x:.4g}" for x in points[cells[worst]].mean(axis=0))
        raise InvalidInput(
            f"The mesh {path} has {flat:,} flat tetrahedra (a dihedral angle below "
            f"{FLATTEST_DEG:g} degree), one at {where} mm; improve the mesh (gmsh: -optimize)."
        )
    pairs = cKDTree(points).query_pairs(ONE_NODE_MM, output_type="ndarray")
    if len(pairs):
        where = ", ".join(f"{x:.4g}" for x in points[pairs[0, 0]])
        raise InvalidInput(
            f"The mesh {path} has {len(pairs):,} nodes twice at one place, one at {where} mm, so "
            "that its tissues do not hang together; merge them (gmsh: Coherence Mesh)."
        )
    overlapping = _overlapping(cells, len(points))
    if overlapping is not None:
        where = ", ".join(f"{x:.4g}" for x in points[cells[overlapping]].mean(axis=0))
        raise InvalidInput(
            f"The mesh {path} has tetrahedra that lie over one another, one at {where} mm; each "
            "face may have one tetrahedron on either side."
        )
    if smallest.min() < SMALLEST_DIHEDRAL_DEG:
        _logger.warning(
            "The mesh %s has a dihedral angle of %.1f degrees; below %.0f, where our own meshes "
            "end, results lose accuracy.",
            path,
            smallest.min(),
            SMALLEST_DIHEDRAL_DEG,
        )


def _overlapping(cells: Array, nodes: int) -> int | None:
    """A cell that shares a face with two others or with one on the same side, or None."""
    faces = cells[:, FACES].reshape(-1, 3).astype(np.int64)
    a, b, c = faces.T
    even = ((a > b).astype(np.int8) + (a > c) + (b > c)) % 2 == 0
    low, high = faces.min(axis=1), faces.max(axis=1)
    key = (low * nodes + (faces.sum(axis=1) - low - high)) * nodes + high
    order = np.argsort(key, kind="stable")
    key, even = key[order], even[order]
    same = key[1:] == key[:-1]
    thrice = same[1:] & same[:-1]
    wrong = same & (even[1:] == even[:-1])
    wrong[1:] |= thrice
    return int(order[np.flatnonzero(wrong)[0]] // 4) if wrong.any() else None


def _agreement(
    points: Array, cells: Array, label: Array, voxels: Array, affine: Array
) -> tuple[float, dict[int, float]]:
    """Part of the volume in voxels of the same label: of all, and of each label."""
    inverse = np.linalg.inv(affine)
    centres = points[cells].mean(axis=1) @ inverse[:3, :3].T + inverse[:3, 3]
    place = np.rint(centres).astype(np.int64)
    inside = ((place >= 0) & (place < voxels.shape)).all(axis=1)
    same = np.zeros(len(cells), bool)
    same[inside] = voxels[tuple(place[inside].T)] == label[inside]
    volume = np.abs(cell_volumes(points, cells))
    each = {
        int(number): float(volume[same & (label == number)].sum() / volume[label == number].sum())
        for number in np.unique(label)
    }
    return float(volume[same].sum() / volume.sum()), each


def check_place(
    path: Path,
    points: Array,
    cells: Array,
    label: Array,
    voxels: Array,
    affine: Array,
    *,
    coordinates: str,
) -> None:
    """Refuse a mesh whose tissues do not lie where the images have them."""
    found = _agreement(points, cells, label, voxels, affine)
    if _agrees(*found):
        return
    part, each = found
    least = min(each, key=lambda number: each[number])
    said, needed = f"{100 * part:.0f} % of the mesh {path}", LEAST_AGREEMENT
    if part >= LEAST_AGREEMENT:
        said = f"{100 * each[least]:.0f} % of the {_NAMES[least]} of the mesh {path}"
        needed = LEAST_TISSUE_AGREEMENT
    other = "LPS" if coordinates == "RAS" else "RAS"
    flipped = _agreement(points * np.array([-1.0, -1.0, 1.0]), cells, label, voxels, affine)
    remedy = (
        f'with coordinates = "{other}" it fits: write that'
        if _agrees(*flipped)
        else "check that both are of the same patient, their coordinates, and labels of [mesh]"
    )
    raise InvalidInput(
        f"Only {said} lies in voxels of the same tissue, and at least {100 * needed:.0f} % must; "
        f"{remedy}."
    )


def _agrees(part: float, each: dict[int, float]) -> bool:
    return part >= LEAST_AGREEMENT and min(each.values()) >= LEAST_TISSUE_AGREEMENT


def check_volumes(path: Path, mesh: Mesh, voxels: Array, affine: Array) -> None:
    """Refuse tissues with quite another volume than in the images, and warn about some."""
    voxel_mm3 = abs(float(np.linalg.det(affine[:3, :3])))
    off = mesh_quality(mesh, voxels, affine, tumour_labels=()).label_volume_error
    for name, error in off.items():
        wanted = float((voxels == MESH_LABELS[name]).sum()) * voxel_mm3
        said = f"The {name} of the mesh {path} has {100 * error:+.0f} % of volume"
        if abs(error) > _VOLUME_REFUSED and abs(error) * wanted > _SMALL_MM3:
            raise InvalidInput(
                f"{said} against its voxels; at most {100 * _VOLUME_REFUSED:.0f} % are accepted: "
                "check that mesh and images are of the same visit."
            )
        if abs(error) > _VOLUME_WARNED:
            _logger.warning("%s against its voxels.", said)
