"""The images that say how cells migrate: partial volumes and the diffusion tensor."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twin.diffusion_tensor import (
    check_tensor,
    component_order,
    inside_tumour,
    known,
    resampled,
    to_world,
)
from twin.errors import GeometryMismatch, InvalidInput
from twin.images import read_volumes
from twin.patient import TISSUES, Grid
from twin.patient_tables import TensorTable
from twin.tissue_probabilities import check_probabilities

__all__ = ["partial_volumes", "tensor_on_grid"]

_LEAST_COVERED = 0.5  # of the head that tissue probabilities, of the white matter that tensors know


def partial_volumes(
    images: Mapping[str, NDArray[Any]], tissues: NDArray[np.int8], *, where: str
) -> dict[str, NDArray[np.float32]] | None:
    """The parts of voxels in ``part_NAME`` of `images`, checked; None if there are none.

    Raises
    ------
    InvalidInput
        Values outside 0 to 1, or maps that are empty in more than half of the head.
    """
    maps = {
        key.removeprefix("part_"): np.asarray(values, np.float32)
        for key, values in images.items()
        if key.startswith("part_")
    }
    if not maps:
        return None
    check_probabilities(maps, tuple(TISSUES), what=f"{where}: tissue_probabilities")
    covered = float((sum(maps.values())[tissues > 0] > 0.5).mean())  # type: ignore[index]
    if not covered >= _LEAST_COVERED:
        raise InvalidInput(
            f"{where}: tissue_probabilities sum to more than a half in {100 * covered:.0f} % of "
            f"the head, but must in {100 * _LEAST_COVERED:.0f} % at least; check that they are of "
            "the same patient and visit."
        )
    return {name: np.clip(values, 0.0, 1.0) for name, values in maps.items()}


def tensor_on_grid(
    table: TensorTable,
    folder: Path,
    grid: Grid,
    tissues: NDArray[np.int8],
    tumour: Mapping[str, NDArray[np.bool_]],
    *,
    where: str,
) -> NDArray[np.float32]:
    """The diffusion tensors of a file on the twin's grid, shape (*grid, 6).

    Turned into world axes, interpolated by their logarithms, zero outside the tissue,
    and in the tumour as the table's `tumour_tensor` says.

    Raises
    ------
    InvalidInput
        A tensor in tissue that is not positive definite, or an image that knows less than
        half of the white matter outside the tumour.
    """
    what = f"tensor image {table.file}"
    data, affine, file_affine = read_volumes(folder / table.file, 6, what="tensor image")
    try:
        turned = to_world(data[..., list(component_order(table.order))], table.frame, file_affine)
        head = _head_on(affine, data.shape[:3], grid, tissues)
        checked = check_tensor(turned, head, what=f"The {what}")
    except InvalidInput as error:
        raise InvalidInput(f"{where}: {error}") from None
    tensor = resampled(checked, affine, grid.shape, grid.affine)
    inside = np.any(list(tumour.values()), axis=0)
    tensor[(tissues == 0) & ~inside] = 0.0
    white = (tissues == TISSUES["white_matter"]) & ~inside
    covered = float(known(tensor[white]).mean()) if white.any() else 1.0
    if not covered >= _LEAST_COVERED:
        raise GeometryMismatch(
            f"{where}: the {what} knows a tensor in {100 * covered:.0f} % of the white matter "
            f"outside the tumour, but must in {100 * _LEAST_COVERED:.0f} % at least; check that it "
            "is registered to the tissue map."
        )
    try:
        return inside_tumour(tensor, inside, tissues, grid.affine, table.tumour_tensor)
    except InvalidInput as error:
        raise InvalidInput(f"{where}: {error}") from None


def _head_on(
    affine: NDArray[np.float64],
    shape: tuple[int, ...],
    grid: Grid,
    tissues: NDArray[np.int8],
) -> NDArray[np.bool_]:
    """Voxels of another grid whose centre lies in the head, shape (i, j, k)."""
    voxels = np.moveaxis(np.indices(shape), 0, -1)
    world = voxels @ affine[:3, :3].T + affine[:3, 3]
    index = np.rint(grid.to_voxels(world)).astype(int)
    inside = ((index >= 0) & (index < grid.shape)).all(axis=-1)
    head = np.zeros(shape, bool)
    head[inside] = tissues[tuple(index[inside].T)] > 0
    return head
