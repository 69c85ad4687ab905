"""The patient mesh: tetrahedra with one anatomical label each."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from twin.errors import InvalidInput

__all__ = ["Mesh"]


@dataclass(frozen=True, slots=True)
class Mesh:
    """Linear tetrahedra in RAS millimetres, checked on construction.

    Parameters
    ----------
    points : ndarray, [mm], shape (node, 3)
        Node coordinates, float64, right-anterior-superior.
    cells : ndarray, shape (cell, 4)
        Node numbers of each tetrahedron, int32, positively oriented.
    cell_label : ndarray, shape (cell,)
        Label of each tetrahedron, int16.
    label_names : mapping of int to str
        The name of every label that occurs.
    origin : str
        How it was made, in a sentence for reports; says nothing about its content.

    Raises
    ------
    InvalidInput
        Wrong shapes, numbers out of range, an inverted or flat tetrahedron,
        a label without a name.
    """

    points: NDArray[np.float64]
    cells: NDArray[np.int32]
    cell_label: NDArray[np.int16]
    label_names: Mapping[int, str]
    origin: str = field(default="", compare=False)
    cell_volume: NDArray[np.float64] = field(init=False, repr=False)
    _edge_length: list[NDArray[np.float64]] = field(
        init=False, repr=False, compare=False, default_factory=list
    )  # worked out when it is first asked for

    def __post_init__(self) -> None:
        points = np.ascontiguousarray(self.points, np.float64)
        cells = np.ascontiguousarray(self.cells, np.int32)
        label = np.ascontiguousarray(self.cell_label, np.int16)
        if points.ndim != 2 or points.shape[1] != 3 or not np.isfinite(points).all():
            raise InvalidInput(
                f"Mesh points must be finite and of shape (node, 3), not {points.shape}."
            )
        if cells.ndim != 2 or cells.shape[1] != 4 or len(cells) == 0:
            raise InvalidInput(f"Mesh cells must be of shape (cell, 4), not {cells.shape}.")
        if not (cells.min() >= 0 and cells.max() < len(points)):
            raise InvalidInput("Mesh cells name a node that does not exist.")
        if label.shape != (len(cells),):
            raise InvalidInput(
                f"Mesh has {len(cells)} cells but {label.shape[0]} labels; each needs one."
            )
        unnamed = sorted(set(np.unique(label).tolist()) - set(self.label_names))
        if unnamed:
            raise InvalidInput(f"Mesh label {unnamed[0]} has no name; add it to label_names.")
        edges = points[cells[:, 1:]] - points[cells[:, :1]]
        volume = np.linalg.det(edges) / 6.0
        if not volume.min() > 0.0:
            raise InvalidInput(
                f"Mesh cell {int(volume.argmin())} has volume {volume.min():.3g} mm3; "
                "every tetrahedron must be positively oriented."
            )
        for array in (points, cells, label, volume):
            array.setflags(write=False)
        object.__setattr__(self, "points", points)
        object.__setattr__(self, "cells", cells)
        object.__setattr__(self, "cell_label", label)
        object.__setattr__(self, "label_names", MappingProxyType(dict(self.label_names)))
        object.__setattr__(self, "cell_volume", volume)

    @property
    def content_hash(self) -> str:
        """Hexadecimal SHA-256 of nodes, cells, labels and their names."""
        digest = hashlib.sha256()
        for array in (self.points, self.cells, self.cell_label):
            digest.update(array.tobytes())
        digest.update(repr(sorted(self.label_names.items())).encode())
        return digest.hexdigest()

    def label_number(self, name: str) -> int:
        """Number of the label called `name`; `InvalidInput` if there is none."""
        for number, known in self.label_names.items():
            if known == name:
                return number
        raise InvalidInput(
            f"The mesh has no label {name!r}; it has {', '.join(self.label_names.values())}."
        )

    def cells_labelled(self, *names: str) -> NDArray[np.bool_]:
        """Mask of the cells whose label is one of `names`, shape (cell,)."""
        numbers = [number for number, known in self.label_names.items() if known in names]
        return np.isin(self.cell_label, numbers)

    def edge_length(self) -> NDArray[np.float64]:
        """Mean edge length of each cell, [mm], shape (cell,); read only, worked out once."""
        if not self._edge_length:
            corners = self.points[self.cells]
            total = np.zeros(len(self.cells))
            for a in range(4):
                for b in range(a):
                    total += np.linalg.norm(corners[:, a] - corners[:, b], axis=1)
            total /= 6.0
            total.setflags(write=False)
            self._edge_length.append(total)
        return self._edge_length[0]
