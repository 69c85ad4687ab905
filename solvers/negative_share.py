"""How much of a mesh's transmissibility has the wrong sign, which the solver removes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twin.mesh import Mesh

__all__ = ["NegativeShare", "negative_share"]

_EDGES = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))


@dataclass(frozen=True, slots=True)
class NegativeShare:
    """Share of the transmissibilities that are negative: positive off-diagonals of the stiffness.

    Parameters
    ----------
    by_value : float, [1]
        Of the sum of their absolute values.
    by_number : float, [1]
        Of the edges that carry any.
    """

    by_value: float
    by_number: float


def negative_share(
    mesh: Mesh,
    diffusivity: NDArray[np.float64] | None = None,
    active_cells: NDArray[np.bool_] | None = None,
) -> NegativeShare:
    """Share of negative transmissibilities of a mesh, the ones that `MeshOperators` clips.

    The transmissibility of an edge is ``-sum D V grad(phi_i) . grad(phi_j)`` over the
    elements about it, negative where their dihedral angles opposite the edge are
    mostly obtuse.

    Parameters
    ----------
    mesh : Mesh
    diffusivity : ndarray or None, [mm2/day], shape (cell,)
        1 everywhere if None.
    active_cells : ndarray of bool or None, shape (cell,)
        Where the tumour can live; everywhere if None.

    Examples
    --------
    >>> from twin.meshing.boxes import box_mesh
    >>> negative_share(box_mesh((2.0, 2.0, 2.0), (2, 2, 2)))
    NegativeShare(by_value=0.0, by_number=0.0)
    """
    weight = np.ones(len(mesh.cells)) if diffusivity is None else np.array(diffusivity, float)
    if active_cells is not None:
        weight[~active_cells] = 0.0
    corner = mesh.points[mesh.cells]
    a, b, c = (corner[:, k] - corner[:, 0] for k in (1, 2, 3))
    # Six volumes times the gradients of corners 1 to 3; that of corner 0 is minus their sum.
    normal = np.empty((len(mesh.cells), 4, 3))
    normal[:, 1], normal[:, 2], normal[:, 3] = np.cross(b, c), np.cross(c, a), np.cross(a, b)
    normal[:, 0] = -normal[:, 1:].sum(axis=1)
    scale = -weight / (36.0 * mesh.cell_volume)
    nodes = len(mesh.points)
    codes, values = [], []
    for i, j in _EDGES:
        values.append(scale * (normal[:, i] * normal[:, j]).sum(axis=1))
        first, second = mesh.cells[:, i].astype(np.int64), mesh.cells[:, j].astype(np.int64)
        codes.append(np.minimum(first, second) * nodes + np.maximum(first, second))
    _, edge = np.unique(np.concatenate(codes), return_inverse=True)
    total = np.bincount(edge.ravel(), np.concatenate(values))
    size = np.abs(total)
    carrying = size > 1e-12 * size.max(initial=0.0)
    negative = carrying & (total < 0.0)
    if not carrying.any():
        return NegativeShare(0.0, 0.0)
    return NegativeShare(
        float(size[negative].sum() / size.sum()), float(negative.sum() / carrying.sum())
    )
