"""Writers of mesh files, after the formats' own documents and apart from the readers under test.

gmsh: https://gmsh.info/doc/texinfo/gmsh.html (MSH 2.2, 4.1). XDMF:
https://www.xdmf.org/index.php/XDMF_Model_and_Format. VTK's files are written by VTK.
"""

from __future__ import annotations

import struct

import numpy as np


def _names(names):
    if names is None:
        return b""
    lines = "".join(f'3 {number} "{name}"\n' for number, name in names.items())
    return f"$PhysicalNames\n{len(names)}\n{lines}$EndPhysicalNames\n".encode()


def write_msh2(path, points, cells, tags, *, names=None, binary=False):
    """Version 2.2, with a point and a triangle that a reader of volumes must pass over."""
    out = [f"$MeshFormat\n2.2 {int(binary)} 8\n".encode()]
    out += [struct.pack("<i", 1) + b"\n"] if binary else []
    out += [b"$EndMeshFormat\n", _names(names), f"$Nodes\n{len(points)}\n".encode()]
    numbered = list(enumerate(points.tolist(), 1))
    if binary:
        out += [struct.pack("<i3d", number, *place) for number, place in numbered]
    else:
        out += [f"{n} {x!r} {y!r} {z!r}\n".encode() for n, (x, y, z) in numbered]
    out.append(f"\n$EndNodes\n$Elements\n{len(cells) + 2}\n".encode())
    rows = [(15, [99, 1], [1]), (2, [98, 1], [1, 2, 3])]
    rows += [
        (4, [int(tag), 1], [node + 1 for node in cell])
        for cell, tag in zip(cells, tags, strict=True)
    ]
    for number, (kind, groups, nodes) in enumerate(rows, 1):
        if binary:
            values = (kind, 1, len(groups), number, *groups, *nodes)
            out.append(struct.pack(f"<{len(values)}i", *values))
        else:
            text = " ".join(map(str, (number, kind, len(groups), *groups, *nodes)))
            out.append(f"{text}\n".encode())
    path.write_bytes(b"".join(out) + b"\n$EndElements\n")
    return path


def write_msh4(path, points, cells, tags, *, names=None, binary=False, first_node=1):
    """Version 4.1: a block of elements for each run of one tag; some entities have no group."""

    def put(kind, *values):
        if binary:
            letter = {"int": "i", "size": "Q", "real": "d"}[kind]
            return struct.pack(f"<{len(values)}{letter}", *values)
        return (" ".join(map(repr, values)) + "\n").encode()

    out = [f"$MeshFormat\n4.1 {int(binary)} 8\n".encode()]
    out += [struct.pack("<i", 1) + b"\n"] if binary else []
    out += [b"$EndMeshFormat\n$Comments\nby hand\n$EndComments\n", _names(names)]
    groups = sorted({int(tag) for tag in tags})
    out += [b"$Entities\n", put("size", 1, 0, 1, len(groups))]
    out += [put("int", 7), put("real", 0.0, 0.0, 0.0), put("size", 0)]
    out += [put("int", 8), put("real", *[0.0] * 6), put("size", 0), put("size", 0)]
    for entity, group in enumerate(groups, 1):
        out += [put("int", entity), put("real", *[0.0] * 6), put("size", 1), put("int", group)]
        out += [put("size", 1), put("int", 8)]
    count = len(points)
    out += [b"\n$EndEntities\n$Nodes\n", put("size", 1, count, first_node, first_node + count - 1)]
    out += [put("int", 3, 1, 0), put("size", count)]
    out += [put("size", *range(first_node, first_node + count))]
    out += [put("real", *place) for place in points.tolist()]
    changes = np.flatnonzero(np.diff(tags)) + 1
    blocks = list(zip([0, *changes.tolist()], [*changes.tolist(), len(cells)], strict=True))
    out += [b"\n$EndNodes\n$Elements\n", put("size", len(blocks) + 1, len(cells) + 1, 1, 1)]
    out += [put("int", 2, 8, 2), put("size", 1)]
    out += [put("size", 1, *(first_node + node for node in range(3)))]
    number = 2
    for begin, end in blocks:
        out += [put("int", 3, groups.index(int(tags[begin])) + 1, 4), put("size", end - begin)]
        for cell in cells[begin:end].tolist():
            out.append(put("size", number, *(first_node + node for node in cell)))
            number += 1
    path.write_bytes(b"".join(out) + b"\n$EndElements\n")
    return path


def write_vtu(path, points, cells, tags, *, name="label", **more):
    """With VTK, and a triangle before the tetrahedra; `more` arrays lie on all cells."""
    import pyvista

    listed = np.column_stack([np.full(len(cells), 4), cells]).ravel()
    kinds = np.r_[5, np.full(len(cells), 10)].astype(np.uint8)
    grid = pyvista.UnstructuredGrid(np.r_[3, 0, 1, 2, listed], kinds, points)
    for key, values in {name: tags, **more}.items():
        grid.cell_data[key] = np.r_[0, values]
    grid.save(path)
    return path


def write_xdmf(path, points, cells, tags, *, form="HDF", own_grid=False):
    """One grid with mesh and tags, or the tags on a grid of their own as dolfinx has them."""
    arrays = {"points": points, "cells": cells.astype(np.int64), "tags": np.asarray(tags, np.int32)}
    store = path.with_suffix(".h5")
    if form == "HDF":
        import h5py

        with h5py.File(store, "w") as file:
            for name, values in arrays.items():
                file[f"Mesh/{name}"] = values

    def item(name):
        values = arrays[name]
        shape = " ".join(map(str, values.shape))
        kind = "Float" if values.dtype.kind == "f" else "Int"
        text = f"{store.name}:/Mesh/{name}"
        if form == "XML":
            text = " ".join(map(repr, values.ravel().tolist()))
        if form == "Binary":
            text = f"{path.stem}_{name}.bin"
            values.tofile(path.with_name(text))
        return (
            f'<DataItem Dimensions="{shape}" NumberType="{kind}" Format="{form}" '
            f'Precision="{values.itemsize}">{text}</DataItem>'
        )

    topology = (
        f'<Topology TopologyType="Tetrahedron" NumberOfElements="{len(cells)}">{item("cells")}'
        "</Topology>"
    )
    geometry = f'<Geometry GeometryType="XYZ">{item("points")}</Geometry>'
    attribute = f'<Attribute Name="tissue" Center="Cell">{item("tags")}</Attribute>'
    grids = f'<Grid Name="mesh">{topology}{geometry}{attribute}</Grid>'
    if own_grid:
        again = '<xi:include xpointer="xpointer(/Xdmf/Domain/Grid/Geometry)" />'
        grids = (
            f'<Grid Name="mesh" GridType="Uniform">{topology}{geometry}</Grid>'
            f'<Grid Name="tags" GridType="Uniform">{again}{topology}{attribute}</Grid>'
        )
    path.write_text(
        '<?xml version="1.0"?>\n<Xdmf Version="3.0" xmlns:xi="https://www.w3.org/2001/XInclude">'
        f"<Domain>{grids}</Domain></Xdmf>\n"
    )
    return path
