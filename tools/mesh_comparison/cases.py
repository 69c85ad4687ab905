"""What is meshed: a phantom whose shapes are known, and the head of the packaged example."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["CASES", "Case", "make_case"]

CASES = ("phantom", "head")


@dataclass(frozen=True)
class Case:
    """Voxel labels to mesh with cells of one size.

    Parameters
    ----------
    labels : ndarray of int16, shape (i, j, k)
    affine : ndarray, [mm], shape (4, 4)
    names : dict of int to str
    cell_mm : float, [mm]
        Wanted edge of the elements, the same everywhere, which every mesher understands.
    """

    labels: NDArray[Any]
    affine: NDArray[np.float64]
    names: dict[int, str]
    cell_mm: float


def make_case(name: str) -> Case:
    """The case of this name."""
    return _phantom() if name == "phantom" else _head()


def _phantom() -> Case:
    """Balls of 1 mm voxels: white matter 12, grey 20, a film of fluid to 22, a core of 6 mm."""
    side = 49
    steps = np.arange(side) - (side - 1) / 2.0
    points = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1)
    radius = np.linalg.norm(points, axis=-1)
    labels = np.select([radius < 12, radius < 20, radius < 22], [3, 2, 1], 0).astype(np.int16)
    labels[np.linalg.norm(points - np.array([9.0, 0.0, 0.0]), axis=-1) < 6.0] = 4
    affine = np.eye(4)
    affine[:3, 3] = steps[0]
    names = {1: "fluid", 2: "grey_matter", 3: "white_matter", 4: "enhancing"}
    return Case(labels, affine, names, 2.5)


def _head() -> Case:
    """The packaged glioblastoma: five labels in a head of 1 mm voxels."""
    from importlib.resources import as_file

    import twin
    from twin.examples import data_file
    from twin.patient import MESH_LABELS
    from twin.patient_meshes import mesh_labels

    with as_file(data_file("examples", "glioblastoma")) as folder:
        patient = twin.load(folder / "patient.toml")
    core = (patient.structures[name].mask for name in ("enhancing", "necrosis"))
    names = {number: name for name, number in MESH_LABELS.items()}
    return Case(mesh_labels(patient.tissues, *core), np.array(patient.grid.affine), names, 4.0)
