"""What a file says about a mesh, before anything of it is believed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twin.errors import InvalidInput

__all__ = ["MeshContents", "damaged", "other_solids", "whole_numbers"]

#: Cells of three dimensions that are no linear tetrahedra, and what to do about them.
_SOLIDS = {
    "hexahedra": "split them into tetrahedra",
    "prisms": "split them into tetrahedra",
    "pyramids": "split them into tetrahedra",
    "second-order tetrahedra": "save the mesh with linear ones (gmsh: -order 1)",
    "cells of another kind": "save the mesh with linear tetrahedra only",
}


@dataclass(frozen=True, slots=True)
class MeshContents:
    """The tetrahedra of a file, in its own unit, order and numbers.

    Parameters
    ----------
    points : ndarray, shape (node, 3)
    cells : ndarray of int64, shape (cell, 4)
        Node numbers from 0; in no particular orientation.
    tags : mapping of str to ndarray of int64, shape (cell,)
        Every array of whole numbers that the file has on the tetrahedra.
    names : mapping of int to str
        Names of tags, where the file has them (gmsh's physical groups).
    kind : str
        The format, for messages.
    """

    points: NDArray[np.float64]
    cells: NDArray[np.int64]
    tags: Mapping[str, NDArray[np.int64]]
    names: Mapping[int, str]
    kind: str


def damaged(path: Path, kind: str, reason: object) -> InvalidInput:
    """Return the error for a file that breaks off or breaks its format."""
    text = str(reason).splitlines()[0] if str(reason) else type(reason).__name__
    return InvalidInput(
        f"The mesh {path} cannot be read as {kind} ({text}); save it again, for example as .vtu."
    )


def other_solids(path: Path, counts: Mapping[str, int], tetrahedra: int) -> None:
    """Refuse a mesh without tetrahedra, or with other cells of three dimensions.

    Parameters
    ----------
    path : Path
    counts : mapping of str to int
        How many cells of each kind in `_SOLIDS` the file has; others are ignored.
    tetrahedra : int
    """
    for kind, remedy in _SOLIDS.items():
        if counts.get(kind, 0):
            raise InvalidInput(
                f"The mesh {path} has {counts[kind]:,} {kind}; only linear tetrahedra are "
                f"simulated: {remedy}."
            )
    if tetrahedra == 0:
        raise InvalidInput(
            f"The mesh {path} has no tetrahedra; a mesh of the volume is needed, not of surfaces."
        )


def whole_numbers(values: NDArray[Any], count: int) -> NDArray[np.int64] | None:
    """`values` as one whole number for each of `count` cells, or None where they are not."""
    flat = np.asarray(values)
    if flat.size != count or flat.dtype.kind not in "iufb":
        return None
    flat = flat.reshape(count)
    if flat.dtype.kind == "f" and not (
        np.isfinite(flat).all() and (flat == np.rint(flat)).all() and (np.abs(flat) < 2**53).all()
    ):
        return None
    return flat.astype(np.int64)
