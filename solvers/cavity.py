"""The elements that a resection takes out of a mesh: the cavity, whose wall nothing crosses.

The operators are assembled on what is left, so that the wall is one of no flux, and the nodes
inside are emptied. What stays behind (the residue) is the outermost part of the cavity: of a
tumour that is not removed in whole the part at its edge is left, and it keeps its own density,
for it is full of cells already and could not be pushed into the brain beside it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from solvers.initial_state import at_nodes
from twin.errors import InvalidInput
from twin.events import Cavity
from twin.patient import Twin
from twin.targets import cavity_mask, distance_to, structure_mask

__all__ = ["removed_cells"]

#: Structures that are labels of the mesh, whose outline it follows.
_LABELLED = {"enhancing": ("enhancing",), "core": ("enhancing", "necrosis")}


def removed_cells(twin: Twin, cavity: str | Cavity) -> NDArray[np.bool_]:
    """Elements that are taken out, shape (cell,).

    Parameters
    ----------
    twin : Twin
    cavity : str or Cavity
        A structure, by its centre or by the mesh's own labels; or one with a margin and a
        share that stays behind.

    Raises
    ------
    InvalidInput
        No such structure, or nothing of it that the mesh could resolve.
    """
    if isinstance(cavity, str):
        return _of_structure(twin, cavity)
    mask = cavity_mask(twin, cavity.structure, cavity.margin_mm)
    found = _of_structure(twin, cavity.structure)
    if cavity.margin_mm > 0.0:
        found = found | _inside(twin, mask)
    if cavity.residual > 0.0:
        found = _without_rim(twin, found, mask, cavity)
    return found


def _of_structure(twin: Twin, structure: str) -> NDArray[np.bool_]:
    if structure in _LABELLED:
        return twin.mesh.cells_labelled(*_LABELLED[structure])
    found = _inside(twin, structure_mask(twin, structure))
    if not found.any():
        raise InvalidInput(f"The structure {structure!r} is too small for the mesh to be resected.")
    return found


def _inside(twin: Twin, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Elements whose centre lies in a mask, shape (cell,)."""
    return at_nodes(twin, mask.astype(np.float32))[twin.mesh.cells].mean(axis=1) >= 0.5


def _without_rim(
    twin: Twin, found: NDArray[np.bool_], mask: NDArray[np.bool_], cavity: Cavity
) -> NDArray[np.bool_]:
    """The elements but for the outermost, which hold the residual share of their volume."""
    depth = -at_nodes(twin, distance_to(mask, twin.grid.spacing_mm))
    cells = np.flatnonzero(found)
    order = cells[np.argsort(depth[twin.mesh.cells[cells]].mean(axis=1), kind="stable")]
    volume = twin.mesh.cell_volume[order]
    filled = np.cumsum(volume) - 0.5 * volume  # an element goes to the nearer side
    rim = filled <= cavity.residual * volume.sum()
    if not rim.any() or rim.all():
        raise InvalidInput(
            f"{100 * cavity.residual:.3g} % of the cavity in {cavity.structure!r} is less than an "
            f"element of the mesh, of which it has {len(cells)}; leave the residue out, or take "
            "a finer mesh."
        )
    kept = found.copy()
    kept[order[rim]] = False
    return kept
