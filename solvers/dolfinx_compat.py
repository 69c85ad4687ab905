"""The one place that knows which dolfinx is installed.

Everything else asks this module in today's words. dolfinx 0.5 (Debian 12),
0.9 (Debian 13) and 0.10 or newer (conda-forge, Debian unstable) are known to work.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import dolfinx
import numpy as np
import scipy.sparse
import ufl
from dolfinx import fem
from dolfinx import mesh as dolfinx_mesh
from mpi4py import MPI
from numpy.typing import NDArray

__all__ = [
    "VERSION",
    "assembled",
    "function_space",
    "order_of_cells",
    "order_of_nodes",
    "tetrahedra",
]

VERSION: str = dolfinx.__version__  # type: ignore[attr-defined]


_compiling = threading.RLock()


@contextlib.contextmanager
def _quiet_compiler() -> Iterator[None]:
    """Compile one form at a time, its build messages (sent to the root logger) kept to itself.

    ffcx 0.5 leaves the file that marks a compilation to be closed by the
    interpreter, which warns of it.
    """
    with _compiling, warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        before = logging.root.manager.disable
        logging.disable(logging.INFO)
        try:
            yield
        finally:
            logging.disable(before)


@_quiet_compiler()
def tetrahedra(points: NDArray[np.float64], cells: NDArray[np.int32]) -> dolfinx_mesh.Mesh:
    """A dolfinx mesh of linear tetrahedra on this process alone.

    Parameters
    ----------
    points : ndarray, [mm], shape (node, 3)
    cells : ndarray, shape (cell, 4)
    """
    numbers = cells.astype(np.int64)
    try:
        import basix.ufl

        element: Any = basix.ufl.element("Lagrange", "tetrahedron", 1, shape=(3,))
        domain = ufl.Mesh(element)
        make: Any = dolfinx_mesh.create_mesh
        return make(MPI.COMM_SELF, cells=numbers, x=points, e=domain)
    except ImportError:  # dolfinx 0.5: elements come from ufl itself
        domain = ufl.Mesh(ufl.VectorElement("Lagrange", ufl.tetrahedron, 1))
        return dolfinx_mesh.create_mesh(MPI.COMM_SELF, numbers, points, domain)


@_quiet_compiler()
def function_space(mesh: dolfinx_mesh.Mesh, family: str, degree: int) -> Any:
    """A scalar function space on the mesh."""
    make = getattr(fem, "functionspace", None) or fem.FunctionSpace
    return make(mesh, (family, degree))


def _rows(dofmap: Any, width: int) -> NDArray[np.int32]:
    """A dofmap as an array of shape (cell, width); older releases keep adjacency lists."""
    return np.asarray(getattr(dofmap, "array", dofmap), np.int32).reshape(-1, width)


def order_of_nodes(mesh: dolfinx_mesh.Mesh, space: Any) -> NDArray[np.int64]:
    """Number, in the input's order, of the node of each degree of freedom of a P1 space."""
    tables = getattr(mesh.geometry, "dofmaps", None)  # a list from 0.11 on, one table before
    geometry = _rows(tables[0] if isinstance(tables, list) else mesh.geometry.dofmap, 4)
    dofs = _rows(space.dofmap.list, 4)
    node = np.empty(dofs.max() + 1, np.int64)
    node[dofs] = np.asarray(mesh.geometry.input_global_indices)[geometry]
    return node


def order_of_cells(mesh: dolfinx_mesh.Mesh, space: Any) -> NDArray[np.int64]:
    """Number, in the input's order, of the cell of each degree of freedom of a DG0 space."""
    dofs = _rows(space.dofmap.list, 1).ravel()
    cell = np.empty(len(dofs), np.int64)
    cell[dofs] = np.asarray(mesh.topology.original_cell_index)
    return cell


def assembled(form: Any, shape: tuple[int, int]) -> scipy.sparse.csr_matrix:
    """The matrix of a bilinear form, in the order of dolfinx's degrees of freedom."""
    with _quiet_compiler():
        compiled = fem.form(form)
    matrix = fem.assemble_matrix(compiled)
    finish = getattr(matrix, "scatter_reverse", None) or matrix.finalize
    finish()
    return scipy.sparse.csr_matrix(
        (np.array(matrix.data), np.array(matrix.indices), np.array(matrix.indptr)), shape=shape
    )
