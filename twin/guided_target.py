"""Clinical targets chosen by a predicted tumour density instead of one margin all around."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from twin.errors import InvalidInput
from twin.targets import FLUID, gross_target, margin_target

if TYPE_CHECKING:
    from twin.patient import Twin
    from twin.radiotherapy import Radiotherapy

__all__ = ["GuidedTarget", "guided_target"]


@dataclass(frozen=True, slots=True, eq=False)
class GuidedTarget:
    """A clinical target of the volume of a margin's, where the tumour is predicted to be densest.

    Parameters
    ----------
    mask : ndarray of bool, shape of the twin's grid
    day : float, [day]
        That the density is of.
    level : float, [1]
        Density at its surface, by carrying capacity.
    cells_outside, cells_outside_margin : float, [1]
        Share of the predicted cells outside of it, and outside of the margin's target.
    digest : str
        Hexadecimal SHA-256 of the voxels.
    """

    mask: NDArray[np.bool_]
    day: float
    level: float
    cells_outside: float
    cells_outside_margin: float
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        self.mask.setflags(write=False)
        voxels = np.packbits(self.mask).tobytes()
        object.__setattr__(self, "digest", hashlib.sha256(voxels).hexdigest())


def guided_target(
    twin: Twin, radiotherapy: Radiotherapy, density: NDArray[np.floating], day: float
) -> GuidedTarget:
    """The target of a course by a density in voxels.

    It holds the gross tumour and as many further voxels of brain tissue as the target of the
    course's clinical margin: those with the highest density, so that its surface is one of
    equal density, and no volume of this size that holds the gross tumour leaves out fewer cells.

    Parameters
    ----------
    twin : Twin
    radiotherapy : Radiotherapy
    density : ndarray, [1], shape of the twin's grid
        Living cells by carrying capacity; 0 where there are none.
    day : float, [day]

    Raises
    ------
    InvalidInput
        No margin to take the volume of, or fewer voxels with cells than it has.
    """
    gross, margin = gross_target(twin, radiotherapy), margin_target(twin, radiotherapy)
    wanted = int(margin.sum()) - int(gross.sum())
    if wanted < 1:
        raise InvalidInput(
            f"The clinical margin of {radiotherapy.ctv_margin_mm:g} mm adds nothing to the target "
            f"{radiotherapy.target!r}, so that a density has no volume to choose; give a margin."
        )
    cells = np.where((twin.tissues > FLUID) | gross, density, 0.0)
    free = np.flatnonzero(~gross & (cells > 0.0))
    if len(free) < wanted:
        raise InvalidInput(
            f"The predicted density of day {day:g} reaches {_ml(twin, len(free))} mL of brain "
            f"tissue around the target {radiotherapy.target!r}, but its margin of "
            f"{radiotherapy.ctv_margin_mm:g} mm holds {_ml(twin, wanted)} mL; give a "
            "smaller margin."
        )
    values = cells.ravel()[free]
    chosen = np.argsort(-values, kind="stable")[:wanted]
    mask = gross.copy()
    mask.ravel()[free[chosen]] = True
    total = float(cells.sum(dtype=np.float64))

    def outside(target: NDArray[np.bool_]) -> float:
        return float(cells[~target].sum(dtype=np.float64)) / total

    return GuidedTarget(mask, day, float(values[chosen[-1]]), outside(mask), outside(margin))


def _ml(twin: Twin, voxels: int) -> str:
    return f"{voxels * twin.grid.voxel_mm3 / 1e3:.1f}"
