"""Doses of courses whose target is redrawn, in the run, on the run's own tumour."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from solvers.initial_state import at_nodes
from solvers.prepared import Prepared
from twin.dose import redrawn_dose
from twin.errors import InvalidInput
from twin.events import Fraction, Schedule
from twin.meshing.voxel_cells import cells_at_voxels
from twin.parameters import ParameterSet
from twin.patient import Twin
from twin.radiotherapy import Radiotherapy
from twin.regimen import Regimen
from twin.replan import Replan

__all__ = ["RedrawnDoses", "tumour_voxels"]

_DOSE, _TARGET = "redrawn_dose_", "redrawn_target_"


@dataclass(frozen=True, slots=True)
class _Order:
    """What is to be redrawn after a fraction, as dose map number `number`."""

    number: int
    course: int
    radiotherapy: Radiotherapy
    replan: Replan
    day: float


class RedrawnDoses:
    """Numbers every dose map of a regimen, and draws those that follow from the run.

    The map of a course as planned has the course's number in the regimen; redrawn ones have the
    numbers after that of the last course.
    """

    def __init__(self, prepared: Prepared, regimen: Regimen, schedule: Schedule) -> None:
        self._prepared = prepared
        self._map_of: dict[Fraction, int] = {}
        self._orders: dict[Fraction, _Order] = {}
        self._dose: dict[int, NDArray[np.float64]] = {}
        self._target: dict[int, NDArray[np.bool_]] = {}
        number = len(regimen.courses)
        for index, course in enumerate(regimen.courses):
            if not (isinstance(course, Radiotherapy) and course.replans):
                continue
            plans = {plan.after_fraction: plan for plan in course.replans}
            given = [fraction for fraction in schedule.fractions if fraction.course == index]
            current = index
            for count, fraction in enumerate(given, start=1):
                self._map_of[fraction] = current
                if count in plans:
                    self._orders[fraction] = _Order(
                        number, index, course, plans[count], fraction.day
                    )
                    current, number = number, number + 1

    def __bool__(self) -> bool:
        return bool(self._orders)

    def map_of(self, fraction: Fraction) -> int:
        """Number of the dose map that a fraction is given by."""
        return self._map_of.get(fraction, fraction.course)

    def each(self, number: int) -> NDArray[np.float64] | None:
        """Dose of one fraction of a redrawn map at the nodes, [Gy], shape (node,).

        None where the number is that of a course as planned; not a number everywhere where the
        run has not come so far.
        """
        if all(order.number != number for order in self._orders.values()):
            return None
        unknown = np.full(len(self._prepared.twin.mesh.points), np.nan)
        return self._dose.get(number, unknown)

    def orders_draw(self, fraction: Fraction) -> bool:
        """Whether a target is redrawn after this fraction."""
        return fraction in self._orders

    def draw(
        self, fraction: Fraction, density: NDArray[np.float64], parameters: ParameterSet
    ) -> None:
        """Redraw what is to be redrawn after a fraction.

        Parameters
        ----------
        fraction : Fraction
        density : ndarray, [1], shape (node,)
            Visible tumour just after it.
        parameters : ParameterSet
            With the thresholds of visibility.

        Raises
        ------
        InvalidInput
            There is no tumour above the threshold.
        """
        order, twin = self._orders[fraction], self._prepared.twin
        level = order.replan.level(parameters)
        gross = tumour_voxels(twin, density, level)
        if not gross.any():
            raise InvalidInput(
                f"The target is to be redrawn on day {order.day:g}, but no tumour is above a "
                f"density of {level:g} then; give a lower threshold (above), redraw it on "
                "FLAIR, or leave the replan out."
            )
        found = redrawn_dose(twin, order.radiotherapy, gross)
        self._target[order.number] = gross
        self._dose[order.number] = np.maximum(at_nodes(twin, found.per_fraction_gy), 0.0)

    def memory(self) -> dict[str, NDArray[Any]]:
        """What a run that goes on needs of what has been drawn."""
        kept: dict[str, NDArray[Any]] = {}
        for number, dose in self._dose.items():
            kept[f"{_DOSE}{number}"] = dose
            kept[f"{_TARGET}{number}"] = np.packbits(self._target[number])
        return kept

    def recall(self, memory: Mapping[str, NDArray[Any]] | None, day: float) -> None:
        """Take what a state of this day holds of what was drawn until then.

        Raises
        ------
        InvalidInput
            It lacks something.
        """
        shape = self._prepared.twin.grid.shape
        for order in self._orders.values():
            if order.day > day:
                continue
            if memory is None or f"{_DOSE}{order.number}" not in memory:
                raise InvalidInput(
                    f"The state of day {day:g} has no target redrawn on day {order.day:g}; it was "
                    "made under another treatment."
                )
            bits = np.unpackbits(memory[f"{_TARGET}{order.number}"], count=int(np.prod(shape)))
            self._target[order.number] = bits.reshape(shape).astype(bool)
            self._dose[order.number] = np.asarray(memory[f"{_DOSE}{order.number}"], np.float64)

    def added_to(self, dataset: xr.Dataset) -> xr.Dataset:
        """The dataset of a run with its redrawn targets; as it is where there are none."""
        drawn = [order for order in self._orders.values() if order.number in self._target]
        if not drawn:
            return dataset
        twin = self._prepared.twin
        masks = [self._target[order.number] for order in drawn]
        long_name = "redrawn gross tumour volumes, voxels of the twin's grid packed into bits"
        found = dataset.assign(
            redrawn_target=(
                ("redraw", "byte"),
                np.stack([np.packbits(mask) for mask in masks]),
                {"units": "1", "long_name": long_name},
            )
        )
        found.attrs["redrawn_targets"] = json.dumps(
            [
                {
                    "course": order.course,
                    "after_fraction": order.replan.after_fraction,
                    "day": order.day,
                    "volume_ml": twin.grid.volume_ml(mask),
                }
                for order, mask in zip(drawn, masks, strict=True)
            ]
        )
        return found


def tumour_voxels(twin: Twin, density: NDArray[np.float64], level: float) -> NDArray[np.bool_]:
    """Voxels in whose middle a density of the mesh is at a level or above.

    Parameters
    ----------
    twin : Twin
    density : ndarray, [1], shape (node,)
        Linear inside the elements.
    level : float, [1]

    Returns
    -------
    ndarray of bool, shape of the twin's grid
    """
    mesh, grid = twin.mesh, twin.grid
    found = np.zeros(grid.shape, bool)
    high = density[mesh.cells].max(axis=1) >= level
    if not high.any():
        return found
    around = grid.to_voxels(mesh.points[np.unique(mesh.cells[high])])
    low = np.clip(np.floor(around.min(axis=0)), 0, None).astype(int)
    top = np.minimum(np.ceil(around.max(axis=0)).astype(int) + 1, grid.shape)
    box = tuple(slice(a, b) for a, b in zip(low.tolist(), top.tolist(), strict=True))
    affine = np.array(grid.affine)
    affine[:3, 3] += affine[:3, :3] @ low
    cell = cells_at_voxels(mesh, tuple((top - low).tolist()), affine)
    inside = cell >= 0
    where = np.argwhere(inside) @ affine[:3, :3].T + affine[:3, 3]
    corners = mesh.points[mesh.cells[cell[inside]]]
    edges = np.swapaxes(corners[:, 1:] - corners[:, :1], 1, 2)
    weights = np.linalg.solve(edges, (where - corners[:, 0])[..., None])[..., 0]
    values = density[mesh.cells[cell[inside]]]
    seen = values[:, 0] + np.einsum("ij,ij->i", weights, values[:, 1:] - values[:, :1]) >= level
    part = np.zeros(cell.shape, bool)
    part[inside] = seen
    found[box] = part
    return found
