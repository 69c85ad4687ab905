"""Target volumes of radiotherapy from the structures of a twin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from twin.errors import InvalidInput

if TYPE_CHECKING:
    from twin.courses import Radiotherapy
    from twin.patient import Twin

__all__ = [
    "boost_target",
    "clinical_target",
    "distance_to",
    "gross_target",
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
    inside = ndimage.distance_transform_edt(mask)
    signed = np.where(mask, 0.5 - inside, outside - 0.5) * spacing_mm
    return signed.astype(np.float32)


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


def clinical_target(twin: Twin, radiotherapy: Radiotherapy) -> Mask:
    """Clinical target volume of a course: that of its margin, or of the same volume by a density.

    Raises
    ------
    InvalidInput
        A target by a density that the twin does not hold.
    """
    if radiotherapy.density_guided_day is None:
        return margin_target(twin, radiotherapy)
    found = twin.guided.get(radiotherapy.guided_key)
    if found is None:
        raise InvalidInput(
            f"The target {radiotherapy.guided_key} has to be predicted first; run the course in a "
            "study, or give the twin of solvers.guided_targets.with_guided_targets."
        )
    return found.mask


def margin_target(twin: Twin, radiotherapy: Radiotherapy) -> Mask:
    """The gross tumour and what lies within the clinical margin.

    The margin is cropped at the barriers to spread: outside of the brain,
    fluid, and what cannot be reached through brain tissue inside the margin
    (the other side of the falx, for example).
    """
    gross = gross_target(twin, radiotherapy)
    tissue = (twin.tissues > FLUID) | gross
    near = distance_to(gross, twin.grid.spacing_mm) <= radiotherapy.ctv_margin_mm
    pieces, _ = ndimage.label(near & tissue)
    reached = np.unique(pieces[gross])
    return np.isin(pieces, reached[reached > 0])


def planning_target(twin: Twin, radiotherapy: Radiotherapy) -> Mask:
    """Planning target volume: the clinical target and the planning margin around it."""
    clinical = clinical_target(twin, radiotherapy)
    return distance_to(clinical, twin.grid.spacing_mm) <= radiotherapy.ptv_margin_mm
