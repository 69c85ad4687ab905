"""Target volumes of radiotherapy from the structures of a twin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from twin.errors import InvalidInput
from twin.images import box_about

if TYPE_CHECKING:
    from twin.courses import Radiotherapy
    from twin.patient import Twin

__all__ = [
    "boost_target",
    "cavity_mask",
    "clinical_target",
    "distance_to",
    "gross_target",
    "grown",
    "margin_target",
    "planning_target",
    "structure_mask",
]

Mask = NDArray[np.bool_]
FLUID = 1


def structure_mask(twin: Twin, name: str) -> Mask:
    """Voxels of a structure, shape of the twin's grid.

    "gtv" and "core" are the enhancing tumour with its necrosis (after its
    resection: the cavity), "whole tumour" adds the FLAIR abnormality, "boost"
    by the name "enhancing" includes the necrosis inside it.

    Raises
    ------
    InvalidInput
        The twin has no such structure.
    """
    if name in ("gtv", "core"):
        return twin.structures["enhancing"].mask | twin.structures["necrosis"].mask
    if name == "whole tumour":
        return structure_mask(twin, "core") | twin.structures["flair"].mask
    if name not in twin.structures:
        known = ", ".join(sorted({"gtv", "core", "whole tumour", *twin.structures}))
        raise InvalidInput(f"The twin has no structure {name!r}; it has {known}.")
    return twin.structures[name].mask


def distance_to(mask: Mask, spacing_mm: float) -> NDArray[np.float32]:
    """Signed distance to the surface of a mask, [mm], negative inside, shape of `mask`.

    Measured between voxel centres and moved by half a voxel, so that the zero
    lies on the faces between voxels inside and outside.
    """
    outside = ndimage.distance_transform_edt(~mask)
    inside = np.zeros(mask.shape)
    if mask.any():
        box = box_about(mask, 1)  # what is nearest to a voxel inside lies no further away
        inside[box] = ndimage.distance_transform_edt(mask[box])
    signed = np.where(mask, 0.5 - inside, outside - 0.5) * spacing_mm
    return signed.astype(np.float32)


def _grown(mask: Mask, margin_mm: float, spacing_mm: float) -> Mask:
    """The voxels within a margin of a mask that is not empty, [mm]."""
    found = np.zeros(mask.shape, bool)
    box = box_about(mask, int(np.ceil(margin_mm / spacing_mm)) + 2)
    found[box] = distance_to(mask[box], spacing_mm) <= margin_mm
    return found


def gross_target(twin: Twin, radiotherapy: Radiotherapy) -> Mask:
    """Gross tumour volume of a course.

    Raises
    ------
    InvalidInput
        The twin has no such structure, or it is empty.
    """
    gross = structure_mask(twin, radiotherapy.target)
    if not gross.any():
        raise InvalidInput(
            f"The target {radiotherapy.target!r} is empty; choose a structure with voxels in it."
        )
    return gross


def boost_target(twin: Twin, radiotherapy: Radiotherapy) -> Mask | None:
    """Volume of a course's boost, the enhancing tumour with the necrosis inside it; None without.

    Raises
    ------
    InvalidInput
        The twin has no such structure.
    """
    name = radiotherapy.boost_target
    if name is None:
        return None
    return structure_mask(twin, "gtv" if name == "enhancing" else name)


def clinical_target(twin: Twin, radiotherapy: Radiotherapy, gross: Mask | None = None) -> Mask:
    """Clinical target volume of a course: that of its margin, or of the same volume by a density.

    `gross` stands for the course's own target where that has been redrawn.

    Raises
    ------
    InvalidInput
        A target by a density that the twin does not hold.
    """
    if radiotherapy.density_guided_day is None or gross is not None:
        return margin_target(twin, radiotherapy, gross)
    found = twin.guided.get(radiotherapy.guided_key)
    if found is None:
        raise InvalidInput(
            f"The target {radiotherapy.guided_key} has to be predicted first; run the course in a "
            "study, or give the twin of solvers.guided_targets.with_guided_targets."
        )
    return found.mask


def margin_target(twin: Twin, radiotherapy: Radiotherapy, gross: Mask | None = None) -> Mask:
    """The gross tumour and what lies within the clinical margin.

    The margin is cropped at the barriers to spread: outside of the brain,
    fluid, and what cannot be reached through brain tissue inside the margin
    (the other side of the falx, for example). `gross` stands for the course's own target where
    that has been redrawn.
    """
    gross = gross_target(twin, radiotherapy) if gross is None else gross
    return grown(twin, gross, radiotherapy.ctv_margin_mm)


def grown(twin: Twin, mask: Mask, margin_mm: float) -> Mask:
    """A mask and the brain within a margin of it that hangs together with it, [mm]."""
    tissue = (twin.tissues > FLUID) | mask
    near = _grown(mask, margin_mm, twin.grid.spacing_mm) & tissue
    box = box_about(near, 1)
    pieces, _ = ndimage.label(near[box])
    reached = np.unique(pieces[mask[box]])
    found = np.zeros(mask.shape, bool)
    found[box] = np.isin(pieces, reached[reached > 0])
    return found


def cavity_mask(twin: Twin, structure: str, margin_mm: float) -> Mask:
    """Voxels that a resection of a structure reaches with its margin [mm], residue included.

    Raises
    ------
    InvalidInput
        The twin has no such structure, or it is empty.
    """
    mask = structure_mask(twin, structure)
    if not mask.any():
        raise InvalidInput(f"The structure {structure!r} is empty; resect one with voxels in it.")
    return grown(twin, mask, margin_mm) if margin_mm > 0.0 else mask


def planning_target(twin: Twin, radiotherapy: Radiotherapy, gross: Mask | None = None) -> Mask:
    """Planning target volume: the clinical target and the planning margin around it."""
    clinical = clinical_target(twin, radiotherapy, gross)
    return _grown(clinical, radiotherapy.ptv_margin_mm, twin.grid.spacing_mm)
