"""Reader of tetrahedra with cell tags from XDMF files, as dolfinx, meshio and ParaView write them.

XDMF Model and Format, https://www.xdmf.org/index.php/XDMF_Model_and_Format. Numbers lie in the
file itself, in an HDF5 file beside it, or in a raw binary one. dolfinx writes mesh and tags as
two grids that share their points, which meshio 5.3.5 refuses.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twin.errors import InvalidInput
from twin.mesh_contents import MeshContents, damaged, other_solids, whole_numbers

__all__ = ["read_xdmf"]

Array = NDArray[Any]

_MOST_BYTES = 2**31  # of the XML text
_KINDS = {
    "hexahedron": "hexahedra",
    "hexahedron_20": "hexahedra",
    "hex_20": "hexahedra",
    "wedge": "prisms",
    "wedge_15": "prisms",
    "pyramid": "pyramids",
    "pyramid_13": "pyramids",
    "tetrahedron_10": "second-order tetrahedra",
    "tet_10": "second-order tetrahedra",
}
# Codes in a mixed topology: nodes of the cell (None: written after the code), and its kind.
_MIXED: dict[int, tuple[int | None, str]] = {
    1: (None, ""), 2: (None, ""), 3: (None, ""), 4: (3, ""), 5: (4, ""), 6: (4, "tetrahedra"),
    7: (5, "pyramids"), 8: (6, "prisms"), 9: (8, "hexahedra"), 34: (3, ""), 35: (9, ""),
    36: (6, ""), 37: (8, ""), 38: (10, "second-order tetrahedra"), 39: (13, "pyramids"),
    40: (15, "prisms"), 48: (20, "hexahedra"), 49: (24, "hexahedra"), 50: (27, "hexahedra"),
}  # fmt: skip


def read_xdmf(path: Path) -> MeshContents:
    """Return the tetrahedra of an ``.xdmf`` file with every whole-numbered array on its cells.

    Where the file has several grids, the first one with tagged tetrahedra is read.

    Raises
    ------
    InvalidInput
        Not such a file, broken off, an HDF5 file that is missing; other cells
        than linear tetrahedra; tetrahedra that the tags leave out.
    """
    try:
        return _read(path)
    except InvalidInput:
        raise
    except (ET.ParseError, OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(path, "XDMF", error) from None


def _tree(path: Path) -> ET.Element:
    """Return the root; the standard parser opens no other file and limits expansion (expat)."""
    if path.stat().st_size > _MOST_BYTES:
        raise ValueError("it is larger than 2 GiB; keep the numbers in an HDF5 file")
    return ET.parse(path).getroot()  # noqa: S314 - see above


def _read(path: Path) -> MeshContents:
    root = _tree(path)
    grids = [
        (grid, topology)
        for grid in root.iter("Grid")
        if (topology := grid.find("Topology")) is not None
    ]
    geometry = next(root.iter("Geometry"), None)
    if not grids or geometry is None:
        raise ValueError("it has no grid with topology and geometry")
    others: Counter[str] = Counter()
    found: list[Array] = []
    tags: dict[str, NDArray[np.int64]] = {}
    for grid, topology in grids:
        cells, chosen, count = _tetrahedra(topology, path, others)
        if len(cells):
            found.append(cells)
            tags = _cell_tags(grid, path, chosen, count)
        if tags:
            own = grid.find("Geometry")
            geometry = geometry if own is None else own
            break
    other_solids(path, others, sum(map(len, found)))
    cells, most = found[-1 if tags else 0], max(map(len, found))
    if len(cells) < most:
        raise InvalidInput(
            f"The mesh {path} has {most:,} tetrahedra, but only {len(cells):,} have a tag; each "
            "needs one."
        )
    return MeshContents(
        points=_points(geometry, path),
        cells=cells,
        tags=tags,
        names={},
        kind="XDMF",
    )


def _points(geometry: ET.Element, path: Path) -> NDArray[np.float64]:
    kind = geometry.get("GeometryType", geometry.get("Type", "XYZ")).upper()
    if kind != "XYZ":
        raise ValueError(f"its points are of the kind {kind}, not XYZ")
    return _item(geometry, path).astype(np.float64).reshape(-1, 3)


def _tetrahedra(
    topology: ET.Element, path: Path, others: Counter[str]
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Return corners of the tetrahedra, which cells they are, and how many cells there are."""
    kind = topology.get("TopologyType", topology.get("Type", "")).lower()
    if kind == "mixed":
        return _mixed(_item(topology, path).astype(np.int64).ravel(), others)
    if kind != "tetrahedron":
        count = int(_item(topology, path).shape[0]) if kind in _KINDS else 0
        others[_KINDS.get(kind, "")] += count
        return np.empty((0, 4), np.int64), np.empty(0, np.int64), count
    cells = _item(topology, path).astype(np.int64).reshape(-1, 4)
    return cells, np.arange(len(cells)), len(cells)


def _mixed(
    values: NDArray[np.int64], others: Counter[str]
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    at, number = 0, 0
    starts, chosen = [], []
    while at < len(values):
        nodes, kind = _MIXED[int(values[at])]
        if nodes is None:
            nodes, at = int(values[at + 1]), at + 1
        if kind == "tetrahedra":
            starts.append(at + 1)
            chosen.append(number)
        elif kind:
            others[kind] += 1
        at += 1 + nodes
        number += 1
    if at != len(values):
        raise ValueError("its topology ends early")
    corners = values[np.array(starts, np.int64)[:, None] + np.arange(4)]
    return corners, np.array(chosen, np.int64), number


def _cell_tags(
    grid: ET.Element, path: Path, chosen: NDArray[np.int64], count: int
) -> dict[str, NDArray[np.int64]]:
    tags = {}
    for attribute in grid.iter("Attribute"):
        if attribute.get("Center", "Node").lower() == "cell":
            values = whole_numbers(_item(attribute, path), count)
            if values is not None:
                tags[attribute.get("Name", "tags")] = values[chosen]
    return tags


def _item(parent: ET.Element, path: Path) -> Array:
    """Return the numbers of the one DataItem in `parent`, in their shape."""
    item = parent.find("DataItem")
    if item is None:
        raise ValueError(f"a {parent.tag} has no DataItem")
    shape = [int(side) for side in item.get("Dimensions", "").split()]
    kind = item.get("NumberType", item.get("DataType", "Float")).lower()
    letter = {"float": "f", "int": "i", "uint": "u", "char": "i", "uchar": "u"}[kind]
    size = {"char": 1, "uchar": 1}.get(kind, int(item.get("Precision", "4")))
    text = (item.text or "").strip()
    form = item.get("Format", "XML").upper()
    if form == "XML":
        values = np.array(text.split(), np.float64 if letter == "f" else np.int64)
    elif form == "HDF":
        values = _from_hdf5(text, path)
    elif form == "BINARY":
        order = ">" if item.get("Endian", "Native").lower() == "big" else "<"
        values = np.fromfile(_beside(path, text), np.dtype(f"{order}{letter}{size}"))
    else:
        raise ValueError(f"numbers in the form {form} are not read")
    return values.reshape(shape) if shape else values


def _beside(path: Path, name: str) -> Path:
    file = path.parent / name
    if not file.is_file():
        raise InvalidInput(
            f"The mesh {path} keeps its numbers in {name}, which is not there; copy both files."
        )
    return file


def _from_hdf5(text: str, path: Path) -> Array:
    name, _, inside = text.partition(":")
    file = _beside(path, name)
    try:
        import h5py
    except ImportError:
        raise InvalidInput(
            f"The mesh {path} keeps its numbers in HDF5, which needs h5py from where dolfinx "
            "comes from (Debian: python3-h5py); install it, or save the mesh as .vtu."
        ) from None
    with h5py.File(file, "r") as opened:
        return np.asarray(opened[inside][()])
