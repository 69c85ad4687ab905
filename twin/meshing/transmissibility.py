"""How much of a mesh's stiffness has the wrong sign."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix

from twin.mesh import Mesh
from twin.meshing.geometry import FACES

__all__ = ["NegativeShare", "negative_transmissibility_share"]

#: Below this part of the largest a transmissibility counts as zero.
_ZERO = 1e-12


@dataclass(frozen=True, slots=True)
class NegativeShare:
    """Part of the exchanges between nodes that would flow up the gradient.

    Parameters
    ----------
    by_value : float, [1]
        Sum of the negative transmissibilities over that of all, without signs.
    by_number : float, [1]
        Part of the edges that carry any of which it is negative.
    """

    by_value: float
    by_number: float


def negative_transmissibility_share(
    mesh: Mesh, diffusivity: NDArray[np.float64] | None = None
) -> NegativeShare:
    """Share of negative transmissibility, which the solver removes.

    The transmissibility of an edge is minus its entry in the stiffness matrix of linear
    elements: over the cells about the edge, the sum of ``D l cot(angle) / 6``, where l is the
    length of the opposite edge of the cell and the angle is that between the cell's faces at
    the opposite edge. It is negative where these angles are mostly obtuse; density then flows
    from less to more, and undershoots.

    Parameters
    ----------
    mesh : Mesh
    diffusivity : ndarray or None, [mm2/day], shape (cell,)
        The same everywhere if None; 0 where no tumour can live.

    Examples
    --------
    >>> from twin.meshing.boxes import box_mesh
    >>> negative_transmissibility_share(box_mesh((2.0, 2.0, 2.0), (2, 2, 2)))
    NegativeShare(by_value=0.0, by_number=0.0)
    """
    corners = mesh.points[mesh.cells]
    normal = np.empty((len(mesh.cells), 4, 3))  # inward, as long as the face is large
    for vertex, (a, b, c) in enumerate(FACES):
        first, second = corners[:, b] - corners[:, a], corners[:, c] - corners[:, a]
        normal[:, vertex] = 0.5 * np.cross(first, second)
    one, two = np.triu_indices(4, 1)
    scale = -1.0 / (9.0 * mesh.cell_volume)
    if diffusivity is not None:
        scale *= np.asarray(diffusivity, float)
    value = np.empty((6, len(mesh.cells)))
    ends = np.empty((2, 6, len(mesh.cells)), np.int32)
    for pair, (i, j) in enumerate(zip(one, two, strict=True)):
        value[pair] = scale * np.einsum("cd,cd->c", normal[:, i], normal[:, j])
        np.minimum(mesh.cells[:, i], mesh.cells[:, j], out=ends[0, pair])
        np.maximum(mesh.cells[:, i], mesh.cells[:, j], out=ends[1, pair])
    ends = ends.reshape(2, -1)
    edges = coo_matrix((value.ravel(), (ends[0], ends[1])), (len(mesh.points),) * 2).tocsr().data
    size = np.abs(edges)
    carrying = size > _ZERO * size.max()
    negative = carrying & (edges < 0.0)
    if not carrying.any():
        return NegativeShare(0.0, 0.0)
    return NegativeShare(
        float(size[negative].sum() / size.sum()), float(negative.sum() / carrying.sum())
    )
