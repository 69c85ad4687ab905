"""Reader of gmsh's ``.msh`` files: versions 2.2 and 4.1, as text and binary.

Gmsh reference manual, "MSH file format" and "MSH file format version 2 (Legacy)",
https://gmsh.info/doc/texinfo/gmsh.html. Read here rather than by meshio 5.3.5 (of January
2024), which refuses files of the format 4.1 in which some entities have no physical group.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from twin.errors import InvalidInput
from twin.mesh_contents import MeshContents, damaged, other_solids

__all__ = ["read_gmsh"]

Array = NDArray[Any]

_TAGS = "physical groups"
_TETRAHEDRON = 4
# Nodes of each element type, by gmsh's numbers.
_NODES = {
    1: 2, 2: 3, 3: 4, 4: 4, 5: 8, 6: 6, 7: 5, 8: 3, 9: 6, 10: 9, 11: 10, 12: 27, 13: 18, 14: 14,
    15: 1, 16: 8, 17: 20, 18: 15, 19: 13, 20: 9, 21: 10, 22: 12, 23: 15, 24: 15, 25: 21, 26: 4,
    27: 5, 28: 6, 29: 20, 30: 35, 31: 56,
}  # fmt: skip
_KINDS = {
    **dict.fromkeys((5, 12, 17), "hexahedra"),
    **dict.fromkeys((6, 13, 18), "prisms"),
    **dict.fromkeys((7, 14, 19), "pyramids"),
    **dict.fromkeys((11, 29, 30, 31), "second-order tetrahedra"),
}


@dataclass(slots=True)
class _Numbers:
    """The numbers of one section, taken one after another."""

    text: Array | None
    binary: bytes = b""
    order: str = "<"
    size_bytes: int = 8
    at: int = field(default=0, init=False)

    def take(self, kind: Literal["int", "size", "real"], count: int) -> Array:
        """Return the next `count` numbers; text holds all kinds alike."""
        if self.text is not None:
            found = self.text[self.at : self.at + count]
            self.at += count
        else:
            letter = {"int": "i4", "size": f"u{self.size_bytes}", "real": "f8"}[kind]
            dtype = np.dtype(self.order + letter)
            length = count * dtype.itemsize
            if self.at + length > len(self.binary):
                raise ValueError("it ends early")
            found = np.frombuffer(self.binary, dtype, count, self.at)
            self.at += length
        if len(found) != count:
            raise ValueError("it ends early")
        return found.astype(np.float64 if kind == "real" else np.int64)

    def one(self, kind: Literal["int", "size"]) -> int:
        """Return the next whole number."""
        return int(self.take(kind, 1)[0])


@dataclass(slots=True)
class _Cells:
    """Tetrahedra gathered block by block, and how many there are of other cells."""

    corners: list[Array] = field(default_factory=list)
    groups: list[Array] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)

    def add(self, kind: int, corners: Array, groups: Array) -> None:
        if kind == _TETRAHEDRON:
            self.corners.append(corners)
            self.groups.append(groups)
        elif kind in _KINDS:
            self.others[_KINDS[kind]] += len(corners)


def read_gmsh(path: Path) -> MeshContents:
    """Return the tetrahedra of a ``.msh`` file with their physical groups.

    Raises
    ------
    InvalidInput
        Not such a file, another version, broken off; other cells than linear
        tetrahedra; a volume in several physical groups.
    """
    data = path.read_bytes()
    try:
        return _read(path, data)
    except InvalidInput:
        raise
    except (ValueError, IndexError, KeyError, OverflowError, MemoryError) as error:
        raise damaged(path, "a gmsh mesh", error) from None


def _read(path: Path, data: bytes) -> MeshContents:
    sections = _sections(data)
    header = sections["MeshFormat"].split(maxsplit=3)
    version, is_binary, size = header[0].decode(), header[1] == b"1", int(header[2])
    if version not in ("2", "2.1", "2.2", "4.1"):
        raise InvalidInput(
            f"The mesh {path} is of gmsh's format {version}; 2.2 and 4.1 are read: save it with "
            "Mesh.MshFileVersion = 4.1."
        )
    order = "<"
    if is_binary:
        one = sections["MeshFormat"].split(b"\n", 1)[1][:4]
        order = "<" if one == b"\x01\x00\x00\x00" else ">"

    def numbers(name: str) -> _Numbers:
        if is_binary:
            return _Numbers(None, sections[name], order, size)
        return _Numbers(np.array(list(map(float, sections[name].split()))))

    if version == "4.1":
        tags, points = _nodes_4(numbers("Nodes"))
        entities = _volume_groups(numbers("Entities"), path) if "Entities" in sections else {}
        cells = _elements_4(numbers("Elements"), entities)
    else:
        count, body = _leading_count(sections["Nodes"]) if is_binary else (0, b"")
        tags, points = (
            _nodes_2_binary(count, body, order) if is_binary else _nodes_2_text(numbers("Nodes"))
        )
        if is_binary:
            total, body = _leading_count(sections["Elements"])
            cells = _elements_2_binary(total, _Numbers(None, body, order))
        else:
            cells = _elements_2_text(numbers("Elements"))
    other_solids(path, cells.others, sum(map(len, cells.corners)))
    corners = _numbered(np.concatenate(cells.corners), tags)
    groups = np.concatenate(cells.groups)
    return MeshContents(
        points=points,
        cells=corners,
        tags={_TAGS: groups} if (groups != 0).any() else {},
        names=_group_names(sections.get("PhysicalNames", b"0")),
        kind=f"gmsh {version}",
    )


def _sections(data: bytes) -> dict[str, bytes]:
    """Every section of the file by its name."""
    found: dict[str, bytes] = {}
    at = 0
    while (start := re.compile(rb"\s*\$([A-Za-z]+)[ \t\r]*\n").match(data, at)) is not None:
        name = start.group(1).decode()
        end = data.find(f"$End{name}".encode(), start.end())
        if end < 0:
            raise ValueError(f"${name} does not end")
        found[name] = data[start.end() : end]
        at = end + len(f"$End{name}")
    for name in ("MeshFormat", "Nodes", "Elements"):
        if name not in found:
            raise ValueError(f"it has no ${name}")
    return found


def _group_names(section: bytes) -> dict[int, str]:
    """Names of the physical groups of volumes."""
    names = {}
    for line in section.decode(errors="replace").splitlines()[1:]:
        dimension, number, name = shlex.split(line)
        if int(dimension) == 3:
            names[int(number)] = name
    return names


def _numbered(corners: Array, tags: Array) -> NDArray[np.int64]:
    """Node tags, which need not be consecutive, as positions in the list of nodes."""
    order = np.argsort(tags, kind="stable")
    place = np.minimum(np.searchsorted(tags[order], corners), len(tags) - 1)
    numbers: NDArray[np.int64] = order[place]
    if not (tags[numbers] == corners).all():
        raise ValueError("a cell names a node that does not exist")
    return numbers


def _nodes_4(numbers: _Numbers) -> tuple[Array, Array]:
    blocks, _, _, _ = numbers.take("size", 4)
    tags, points = [np.empty(0, np.int64)], [np.empty((0, 3))]
    for _ in range(blocks):
        dimension, _, parametric = numbers.take("int", 3)
        count = numbers.one("size")
        tags.append(numbers.take("size", count))
        width = 3 + (dimension if parametric else 0)
        points.append(numbers.take("real", count * width).reshape(count, width)[:, :3])
    return np.concatenate(tags), np.concatenate(points)


def _volume_groups(numbers: _Numbers, path: Path) -> dict[int, int]:
    """Physical group of each volume that has one."""
    groups = {}
    for dimension, count in enumerate(numbers.take("size", 4)):
        for _ in range(count):
            tag = numbers.one("int")
            numbers.take("real", 3 if dimension == 0 else 6)
            physical = numbers.take("int", numbers.one("size"))
            if dimension > 0:
                numbers.take("int", numbers.one("size"))
            if dimension == 3 and len(physical) > 1:
                raise InvalidInput(
                    f"The mesh {path} has volume {tag} in the physical groups "
                    f"{' and '.join(map(str, physical))}; put each volume into one only."
                )
            if dimension == 3 and len(physical) == 1:
                groups[tag] = abs(int(physical[0]))
    return groups


def _elements_4(numbers: _Numbers, groups: dict[int, int]) -> _Cells:
    cells = _Cells()
    for _ in range(numbers.take("size", 4)[0]):
        dimension, entity, kind = (int(number) for number in numbers.take("int", 3))
        count, width = numbers.one("size"), 1 + _nodes_of(kind)
        rows = numbers.take("size", count * width).reshape(count, width)
        group = groups.get(entity, 0) if dimension == 3 else 0
        cells.add(kind, rows[:, 1:], np.full(count, group, np.int64))
    return cells


def _leading_count(section: bytes) -> tuple[int, bytes]:
    line, body = section.split(b"\n", 1)
    return int(line), body


def _nodes_2_text(numbers: _Numbers) -> tuple[Array, Array]:
    count = numbers.one("size")
    rows = numbers.take("real", 4 * count).reshape(count, 4)
    return rows[:, 0].astype(np.int64), rows[:, 1:]


def _nodes_2_binary(count: int, body: bytes, order: str) -> tuple[Array, Array]:
    dtype = np.dtype([("tag", f"{order}i4"), ("place", f"{order}f8", (3,))])
    if len(body) < count * dtype.itemsize:
        raise ValueError("it ends early")
    rows = np.frombuffer(body, dtype, count)
    return rows["tag"].astype(np.int64), rows["place"].astype(np.float64)


def _elements_2_text(numbers: _Numbers) -> _Cells:
    """Lines of number, type, how many tags, tags, nodes; the first tag is the group."""
    total = numbers.one("size")
    values = numbers.take("int", len(numbers.text if numbers.text is not None else ()) - 1)
    starts: dict[tuple[int, int], list[int]] = {}
    at = 0
    for _ in range(total):
        kind, tags = int(values[at + 1]), int(values[at + 2])
        starts.setdefault((kind, tags), []).append(at)
        at += 3 + tags + _nodes_of(kind)
    if at > len(values):
        raise ValueError("it ends early")
    cells, places = _Cells(), []
    for (kind, tags), begin in starts.items():
        first = np.array(begin)
        nodes = values[first[:, None] + 3 + tags + np.arange(_nodes_of(kind))]
        groups = values[first + 3] if tags else np.zeros(len(first), np.int64)
        cells.add(kind, nodes, groups)
        if kind == _TETRAHEDRON:
            places.append(first)
    if len(places) > 1:  # back into the file's order
        order = np.argsort(np.concatenate(places))
        cells.corners = [np.concatenate(cells.corners)[order]]
        cells.groups = [np.concatenate(cells.groups)[order]]
    return cells


def _elements_2_binary(total: int, numbers: _Numbers) -> _Cells:
    cells, read = _Cells(), 0
    while read < total:
        kind, count, tags = (int(number) for number in numbers.take("int", 3))
        if not 0 < count <= total - read or tags < 0:
            raise ValueError("a block of elements has a wrong length")
        width = 1 + tags + _nodes_of(kind)
        rows = numbers.take("int", count * width).reshape(count, width)
        groups = rows[:, 1] if tags else np.zeros(count, np.int64)
        cells.add(kind, rows[:, 1 + tags :], groups)
        read += count
    return cells


def _nodes_of(kind: int) -> int:
    if kind not in _NODES:
        raise ValueError(f"an element is of the unknown type {kind}")
    return _NODES[kind]
