"""Reader of tetrahedra with cell tags from VTK's ``.vtu`` files, by VTK itself."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from twin.mesh_contents import MeshContents, damaged, other_solids, whole_numbers

__all__ = ["read_vtu"]

_TETRAHEDRON = 10
# VTK's numbers of cells of three dimensions (vtkCellType.h).
_KINDS = {
    **dict.fromkeys((11, 12, 25, 29, 33, 72), "hexahedra"),
    **dict.fromkeys((13, 15, 16, 26, 31, 32, 73), "prisms"),
    **dict.fromkeys((14, 27, 37, 74), "pyramids"),
    **dict.fromkeys((24, 71), "second-order tetrahedra"),
    **dict.fromkeys((41, 42), "cells of another kind"),
}


def read_vtu(path: Path) -> MeshContents:
    """Return the tetrahedra of a ``.vtu`` file with every whole-numbered array on its cells.

    Raises
    ------
    InvalidInput
        Not such a file, broken off; other cells than linear tetrahedra.
    """
    import pyvista
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkCommonCore import vtkCommand
    from vtkmodules.vtkIOXML import vtkXMLUnstructuredGridReader

    reader = vtkXMLUnstructuredGridReader()
    reader.SetFileName(str(path))
    with _messages() as said:
        failed: list[bool] = []
        reader.AddObserver(vtkCommand.ErrorEvent, lambda *_: failed.append(True))
        reader.Update()
    if failed:
        raise damaged(path, "VTK", said[0] if said else "it holds no unstructured grid")
    grid = pyvista.UnstructuredGrid(reader.GetOutput())
    count = grid.n_cells
    if count == 0:
        other_solids(path, {}, 0)
    kinds = np.asarray(grid.celltypes)
    starts = vtk_to_numpy(grid.GetCells().GetOffsetsArray())[:-1].astype(np.int64)
    nodes = vtk_to_numpy(grid.GetCells().GetConnectivityArray()).astype(np.int64)
    chosen = np.flatnonzero(kinds == _TETRAHEDRON)
    others = Counter(
        {
            _KINDS[int(kind)]: int(number)
            for kind, number in zip(*np.unique(kinds, return_counts=True), strict=True)
            if int(kind) in _KINDS
        }
    )
    other_solids(path, others, len(chosen))
    arrays = grid.GetCellData()
    tags = {}
    for place in range(arrays.GetNumberOfArrays()):
        array = arrays.GetArray(place)  # None where it holds text
        values = None if array is None else whole_numbers(vtk_to_numpy(array), count)
        if values is not None:
            tags[array.GetName() or f"array {place + 1}"] = values[chosen]
    return MeshContents(
        points=np.array(grid.points, np.float64),
        cells=nodes[starts[chosen][:, None] + np.arange(4)],
        tags=tags,
        names={},
        kind="VTK",
    )


@contextmanager
def _messages() -> Iterator[list[str]]:
    """Keep VTK's messages off the screen; at the end the list holds what they say of the file."""
    from vtkmodules.vtkCommonCore import (
        vtkLogger,
        vtkObject,
        vtkOutputWindow,
        vtkStringOutputWindow,
    )

    shown = vtkObject.GetGlobalWarningDisplay()
    vtkObject.GlobalWarningDisplayOn()  # where it is off, errors are not even told to observers
    said: list[str] = []
    window, before = vtkStringOutputWindow(), vtkOutputWindow.GetInstance()
    verbosity = vtkLogger.GetCurrentVerbosityCutoff()
    vtkOutputWindow.SetInstance(window)
    vtkLogger.SetStderrVerbosity(vtkLogger.VERBOSITY_OFF)
    try:
        yield said
    finally:
        vtkLogger.SetStderrVerbosity(verbosity)
        vtkOutputWindow.SetInstance(before)
        vtkObject.SetGlobalWarningDisplay(shown)
        lines = re.findall(r"\): (.+)", window.GetOutput() or "")
        said += [line for line in lines if not line.startswith("Algorithm")]
