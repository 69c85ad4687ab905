"""The gradients of the linear functions of a mesh, as dolfinx assembles them."""

from __future__ import annotations

import numpy as np
import ufl
from numpy.typing import NDArray

from solvers import dolfinx_compat
from twin.mesh import Mesh

__all__ = ["nodal_gradients"]


def nodal_gradients(mesh: Mesh) -> NDArray[np.float64]:
    """Gradient of the function of each corner of each element, [1/mm], shape (cell, 4, 3).

    The gradient of the P1 functions, tested with a constant on each element, gives the
    volume times the gradient.

    Examples
    --------
    >>> unit = Mesh([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 2]], [[0, 1, 2, 3]], [1], {1: "a"})
    >>> nodal_gradients(unit)[0].round(12).tolist()
    [[-1.0, -1.0, -0.5], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.5]]
    """
    domain = dolfinx_compat.tetrahedra(mesh.points, mesh.cells)
    linear = dolfinx_compat.function_space(domain, "Lagrange", 1)
    constant = dolfinx_compat.function_space(domain, "DG", 0)
    trial, test = ufl.TrialFunction(linear), ufl.TestFunction(constant)
    node_of = dolfinx_compat.order_of_nodes(domain, linear)
    cell_of = dolfinx_compat.order_of_cells(domain, constant)
    gradient = np.zeros((len(mesh.cells), 4, 3))
    for axis in range(3):
        form = ufl.grad(trial)[axis] * test * ufl.dx
        matrix = dolfinx_compat.assembled(form, (len(mesh.cells), len(mesh.points))).tocoo()
        cell, node = cell_of[matrix.row], node_of[matrix.col]
        corner = (mesh.cells[cell] == node[:, None]).argmax(axis=1)
        gradient[cell, corner, axis] = matrix.data
    return gradient / mesh.cell_volume[:, None, None]
