"""A mesh of one's own: from a file with tissue tags to a mesh that passes the same gate as ours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from twin.errors import InvalidInput
from twin.gmsh_file import read_gmsh
from twin.mesh import Mesh
from twin.mesh_contents import MeshContents
from twin.meshing.geometry import cell_volumes
from twin.meshing.quality import mesh_quality
from twin.own_mesh_checks import (
    check_geometry,
    check_place,
    check_size,
    check_volumes,
    check_whole,
)
from twin.patient import MESH_LABELS
from twin.patient_file import MeshTable
from twin.vtu_file import read_vtu
from twin.xdmf_file import read_xdmf

__all__ = [
    "NEAR_MM",
    "check_coarser",
    "own_mesh",
    "read_mesh_file",
    "replacing_cells",
]

#: Cells this near to the tumour say how fine a mesh is, [mm].
NEAR_MM = 10.0
#: Mean edge of our lattice's tetrahedra over the edge of its cubes, see `build_mesh`.
_EDGE_OF_CUBE = 0.9
#: Least ratio of the two meshes' edges from which an error can be told (Richardson).
_LEAST_RATIO = 1.1
_READERS = {".msh": read_gmsh, ".vtu": read_vtu, ".xdmf": read_xdmf}
_MM = {"mm": 1.0, "cm": 10.0, "m": 1000.0}
_OUTSIDE = -1
# Names that writers give to the one array of tissue tags.
_USUAL_TAGS = (
    "physical groups", "gmsh:physical", "cell_label", "label", "labels", "tissue", "cell_tags",
    "mesh_tags", "medit:ref",
)  # fmt: skip


def read_mesh_file(path: Path) -> MeshContents:
    """Return what a ``.msh``, ``.vtu`` or ``.xdmf`` file holds.

    Raises
    ------
    InvalidInput
        Missing, of another kind, damaged, or without linear tetrahedra.
    """
    if not path.is_file():
        raise InvalidInput(f"The mesh {path} does not exist; check name and folder.")
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InvalidInput(
            f'The mesh {path} ends in "{path.suffix}"; {", ".join(_READERS)} are read: save it '
            "as one of them."
        )
    return reader(path)


def own_mesh(
    path: Path, options: MeshTable, labels: NDArray[np.int16], affine: NDArray[np.float64]
) -> Mesh:
    """Return the mesh in a file, checked against the images that it must belong to.

    Nodes and cells keep their order; nodes of no tetrahedron are left out, and
    tetrahedra that are turned inside out are turned back.

    Parameters
    ----------
    path : Path
    options : MeshTable
        Labels, array of tags, coordinates and unit of the file.
    labels : ndarray of int16, shape (i, j, k)
        Voxel labels as our own mesh is made from, numbered as `MESH_LABELS`.
    affine : ndarray, [mm], shape (4, 4)
        From voxel numbers to RAS millimetres.

    Raises
    ------
    InvalidInput
        Not a mesh of tetrahedra with a known tag each; points that are not
        finite; another unit; flat, overlapping or unconnected cells; tissues
        that do not lie where the images have them.
    """
    contents = read_mesh_file(path)
    label = _labels_of(contents, options, path)
    kept = label != _OUTSIDE
    if not kept.any():
        raise InvalidInput(f"The mesh {path} has no tetrahedra but those outside; check labels.")
    used, numbers = np.unique(contents.cells[kept], return_inverse=True)
    if not (used[0] >= 0 and used[-1] < len(contents.points)):
        raise InvalidInput(
            f"The mesh {path} has {len(contents.points):,} nodes, but a cell names node "
            f"{used[0] if used[0] < 0 else used[-1]}; save it again."
        )
    cells, label = numbers.reshape(-1, 4), label[kept]
    points = contents.points[used] * _MM[options.unit]
    check_whole(path, points, label, labels)
    check_size(path, points, labels, affine)
    if options.coordinates == "LPS":
        points = points * np.array([-1.0, -1.0, 1.0])
    turned = cell_volumes(points, cells) < 0.0
    cells[turned] = cells[turned][:, [0, 1, 3, 2]]
    check_geometry(path, points, cells)
    check_place(path, points, cells, label, labels, affine, coordinates=options.coordinates)
    present = np.union1d(labels[labels > 0], label)
    mesh = Mesh(
        points=points,
        cells=cells.astype(np.int32),
        cell_label=label.astype(np.int16),
        label_names={n: name for name, n in MESH_LABELS.items() if n in present},
        origin=f"read from {path.name}, {options.coordinates}, {options.unit}",
    )
    check_volumes(path, mesh, labels, affine)
    return mesh


def replacing_cells(
    mesh: Mesh, options: MeshTable, labels: NDArray[np.int16], affine: NDArray[np.float64]
) -> tuple[float, float]:
    """Cells near and far of our own mesher that are as fine as `mesh`, [mm]."""
    near = mesh_quality(mesh, labels, affine, near_mm=NEAR_MM).edge_mm_near_tumour / _EDGE_OF_CUBE
    far = options.far_cell_size if options.far_cell_size is not None else 4.0 * near
    return near, max(near, far)


def check_coarser(
    fine: Mesh, coarse: Mesh, labels: NDArray[np.int16], affine: NDArray[np.float64]
) -> None:
    """Refuse a second mesh that is too fine to tell an error.

    Raises
    ------
    InvalidInput
        Its edges near the tumour are less than 1.1 times as long.
    """
    edges = [
        mesh_quality(mesh, labels, affine, near_mm=NEAR_MM).edge_mm_near_tumour
        for mesh in (fine, coarse)
    ]
    if not _LEAST_RATIO * edges[0] <= edges[1]:
        raise InvalidInput(
            f"The coarse mesh has edges of {edges[1]:.2f} mm near the tumour and the mesh itself "
            f"of {edges[0]:.2f} mm; the error bars need a second mesh at least {_LEAST_RATIO} "
            "times coarser: give one, or leave coarse_file out."
        )


def _labels_of(contents: MeshContents, options: MeshTable, path: Path) -> NDArray[np.int64]:
    """Our label of each tetrahedron, `_OUTSIDE` where it is left out."""
    tags = _tags_of(contents, options, path)
    meaning = _meanings(contents, options, path)
    present, place = np.unique(tags, return_inverse=True)
    unknown = [int(tag) for tag in present if int(tag) not in meaning]
    if unknown:
        name = contents.names.get(unknown[0])
        called = f'{unknown[0]} ("{name}")' if name is not None else str(unknown[0])
        share = np.isin(tags, unknown[0]).sum()
        known = ", ".join(
            f"{label} = {tag}"
            for label in (*MESH_LABELS, "outside")
            for tag, number in meaning.items()
            if number == MESH_LABELS.get(label, _OUTSIDE)
        )
        raise InvalidInput(
            f"The mesh {path} has {share:,} tetrahedra with the tag {called}, which stands for no "
            f"tissue (known are {known or 'none'}); name it in labels of [mesh], or as "
            "outside what is not to be simulated."
        )
    return np.array([meaning[int(tag)] for tag in present], np.int64)[place.reshape(-1)]


def _tags_of(contents: MeshContents, options: MeshTable, path: Path) -> NDArray[np.int64]:
    arrays = contents.tags
    there = ", ".join(f'"{name}"' for name in arrays)
    if options.tags is not None:
        if options.tags not in arrays:
            raise InvalidInput(
                f'The mesh {path} has no tags "{options.tags}" on its tetrahedra; it has '
                f"{there or 'none at all'}."
            )
        return arrays[options.tags]
    if not arrays:
        raise InvalidInput(
            f"The mesh {path} has {len(contents.cells):,} tetrahedra, but no whole number on each "
            "that tells its tissue; save it with physical groups (gmsh) or an array of tags on "
            "its cells."
        )
    usual = [name for name in _USUAL_TAGS if name in arrays]
    if len(arrays) > 1 and len(usual) != 1:
        raise InvalidInput(
            f"The mesh {path} has several arrays on its cells ({there}); say in [mesh] with tags "
            "which of them tells the tissue."
        )
    return next(iter(arrays.values())) if len(arrays) == 1 else arrays[usual[0]]


def _meanings(contents: MeshContents, options: MeshTable, path: Path) -> Mapping[int, int]:
    """Our label of each tag: by the table `labels`, else by the file's names, else by numbers."""
    meaning: dict[int, int] = {}
    numbers = {**MESH_LABELS, "outside": _OUTSIDE}
    if not options.labels:
        if contents.names:
            by_name = {tag: numbers.get(_plain(name)) for tag, name in contents.names.items()}
            return {tag: number for tag, number in by_name.items() if number is not None}
        return {number: number for number in MESH_LABELS.values()}
    tag_of = {name: tag for tag, name in contents.names.items()}
    for label, wanted in options.labels.items():
        for item in wanted if isinstance(wanted, tuple) else (wanted,):
            if isinstance(item, str) and item not in tag_of:
                raise InvalidInput(
                    f'The mesh {path} has no physical group of volumes "{item}", which labels '
                    f"names as {label}; it has {', '.join(tag_of) or 'no names: give numbers'}."
                )
            tag = tag_of[item] if isinstance(item, str) else item
            if meaning.setdefault(tag, numbers[label]) != numbers[label]:
                raise InvalidInput(
                    f"labels of [mesh] names the tag {tag} twice, the second time as {label}; "
                    "give each tag one tissue."
                )
    return meaning


def _plain(name: str) -> str:
    return name.strip().lower().replace(" ", "_").replace("-", "_")
