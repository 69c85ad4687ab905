"""Numerical error of a result, from the same run on a second, coarser mesh."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from twin.errors import InvalidInput
from twin.results import describe_variables

if TYPE_CHECKING:
    import xarray as xr

    from twin.patient import Twin

__all__ = [
    "NEAR_TUMOUR_MM",
    "RULE",
    "edge_near_tumour",
    "two_mesh_error",
    "with_two_mesh_error",
]

#: Elements whose centre lies this near to the tumour's abnormality count as near it [mm].
NEAR_TUMOUR_MM = 10.0
_EDGES = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
RULE = (
    "numerical error: |fine - coarse| / ((H/h)^2 - 1), with the mean edge lengths h, H of the two "
    "meshes within 10 mm of the tumour; the lumped linear elements are of second order"
)


def edge_near_tumour(twin: Twin) -> float:
    """Mean edge length of the elements within 10 mm of the visible tumour, [mm].

    The visible tumour is necrosis, enhancing part and FLAIR abnormality together.
    """
    mask = np.logical_or.reduce(
        [twin.structures[name].mask for name in ("necrosis", "enhancing", "flair")]
    )
    reach = NEAR_TUMOUR_MM / twin.grid.spacing_mm
    # Distances are wanted near the tumour only, so the rest of the head is left out.
    inside = np.argwhere(mask)
    low = np.maximum(inside.min(axis=0) - math.ceil(reach), 0)
    high = np.minimum(inside.max(axis=0) + math.ceil(reach) + 1, mask.shape)
    box = tuple(slice(*ends) for ends in zip(low, high, strict=True))
    near = ndimage.distance_transform_edt(~mask[box]) <= reach

    centres = twin.mesh.points[twin.mesh.cells].mean(axis=1)
    voxels = np.rint(twin.grid.to_voxels(centres)).astype(np.int64) - low
    candidates = np.flatnonzero(((voxels >= 0) & (voxels < near.shape)).all(axis=1))
    chosen = candidates[near[tuple(voxels[candidates].T)]]
    if not len(chosen):
        raise InvalidInput(
            "No element of the mesh lies near the tumour; do the mesh and the segmentation "
            "belong together?"
        )
    corners = twin.mesh.points[twin.mesh.cells[chosen]]
    lengths = [np.linalg.norm(corners[:, a] - corners[:, b], axis=1) for a, b in _EDGES]
    return float(np.mean(lengths))


def two_mesh_error(
    fine: ArrayLike, coarse: ArrayLike, fine_edge_mm: float, coarse_edge_mm: float
) -> NDArray[np.float64]:
    """Error of `fine` by Richardson's rule for a method of second order, same unit and shape.

    |fine - coarse| / ((H/h)^2 - 1): Richardson 1911, Phil Trans R Soc A 210:307,
    doi 10.1098/rsta.1911.0009; as an error bar Roache 1994, J Fluids Eng 116:405,
    doi 10.1115/1.2910291 (there with a further factor of safety, here without).

    Parameters
    ----------
    fine, coarse : array_like
        The same result on the two meshes.
    fine_edge_mm, coarse_edge_mm : float, [mm]
        Mean edge lengths h and H.

    Examples
    --------
    >>> float(two_mesh_error(101.0, 104.0, 1.0, 2.0))
    1.0
    """
    if not 0.0 < 1.1 * fine_edge_mm <= coarse_edge_mm < np.inf:
        raise InvalidInput(
            f"The second mesh has edges of {coarse_edge_mm:.3g} mm near the tumour and the first "
            f"of {fine_edge_mm:.3g} mm; an error needs a second mesh at least 1.1 times coarser."
        )
    ratio = (coarse_edge_mm / fine_edge_mm) ** 2 - 1.0
    return np.abs(np.asarray(fine, np.float64) - np.asarray(coarse, np.float64)) / ratio


def with_two_mesh_error(twin: Twin, fine: xr.Dataset, coarse: xr.Dataset) -> xr.Dataset:
    """`fine` with the numerical error of its volumes, from the same run on the coarse mesh.

    Parameters
    ----------
    twin : Twin
        On its fine mesh.
    fine, coarse : Dataset
        One run on `twin` and on `twin.on_coarse_mesh()`.
    """
    edges = edge_near_tumour(twin), edge_near_tumour(twin.on_coarse_mesh())
    found = {
        f"{name}_error": (fine[name].dims, two_mesh_error(fine[name], coarse[name], *edges))
        for name in ("tumour_volume", "tumour_volume_soft", "tumour_burden")
    }
    return describe_variables(fine.assign(found))
