"""Numerical error of a result, from the same run on two coarser meshes and with half the steps."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from solvers import error_bars
from solvers.error_bars import MeshEdges
from twin.errors import InvalidInput
from twin.results import describe_variables

if TYPE_CHECKING:
    import xarray as xr

    from twin.patient import Twin

__all__ = [
    "CURVES",
    "NEAR_TUMOUR_MM",
    "ORDERED",
    "edge_near_tumour",
    "edges_of",
    "with_error_bars",
]

#: Curves that carry an error bar, and those of them from which the order is observed.
CURVES = ("tumour_volume", "tumour_volume_soft", "tumour_burden")
ORDERED = ("tumour_volume", "tumour_volume_soft")
#: Elements whose centre lies this near to the tumour's abnormality count as near it [mm].
NEAR_TUMOUR_MM = 10.0
_EDGES = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))


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


def edges_of(twin: Twin) -> MeshEdges:
    """Mean edge lengths near the tumour of the three meshes, [mm].

    Raises
    ------
    InvalidInput
        The meshes are not each coarser than the one before.
    """
    meshes = twin, twin.on_coarse_mesh(), twin.on_coarsest_mesh()
    return MeshEdges(*(edge_near_tumour(one) for one in meshes))


def with_error_bars(
    edges: MeshEdges,
    fine: xr.Dataset,
    coarse: xr.Dataset,
    coarsest: xr.Dataset,
    halved: xr.Dataset | None,
    *,
    extrapolate: bool = False,
) -> xr.Dataset:
    """`fine` with the numerical error of its volumes and burden, and the order it rests on.

    Parameters
    ----------
    edges : MeshEdges
    fine, coarse : Dataset
        One run on the study mesh and on the coarse one.
    coarsest, halved : Dataset
        The same at `check_times` on the coarsest mesh, and with half the steps (None for a
        solver that does not step).
    extrapolate : bool
        Add the volumes extrapolated from the two finest meshes.

    Returns
    -------
    Dataset
        With ``<name>_error`` and ``<name>_mesh_spread`` of every curve and ``observed_order``;
        the errors (and what is extrapolated) are not numbers where the order is outside
        `error_bars.ORDERS`.
    """
    times = fine["time"].values
    checked = error_bars.check_times(times)
    order = error_bars.observed_order(
        [fine[name].values[..., checked] for name in ORDERED],
        [coarse[name].values[..., checked] for name in ORDERED],
        [coarsest[name].values for name in ORDERED],
        edges,
    )
    known = 1.0 if error_bars.is_asymptotic(order) else np.nan
    found: dict[str, Any] = {"observed_order": ((), order)}
    for name in CURVES:
        bar = error_bars.error_bar(
            times,
            fine[name].values,
            coarse[name].values,
            coarsest[name].values,
            None if halved is None else halved[name].values,
            edges,
        )
        found[f"{name}_error"] = (fine[name].dims, known * bar)
        curves = (one[name].values for one in (fine, coarse, coarsest))
        found[f"{name}_mesh_spread"] = (fine[name].dims, error_bars.mesh_spread(times, *curves))
    if extrapolate:
        for name in ORDERED:
            value = error_bars.extrapolated(fine[name].values, coarse[name].values, edges)
            found[f"{name}_extrapolated"] = (fine[name].dims, known * value)
    return describe_variables(fine.assign(found))
