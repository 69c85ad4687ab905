"""What a run writes down, and the dataset that is made of it."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
import xarray as xr
from numpy.typing import NDArray

from solvers.fewest_cells import FewestCells
from solvers.models import Model
from solvers.moments import Moment
from solvers.prepared import Prepared
from twin.errors import InvalidInput, NotConverged
from twin.packaged_numbers import with_numbers_in_use
from twin.patient import Twin
from twin.protocol import Save, checked_thresholds
from twin.regimen import Regimen
from twin.results import RESEARCH_USE_ONLY, describe_variables

__all__ = ["Recorder", "run_dataset"]

#: By this much rounding and a step's error may carry the viable density past 1. (With the
#: dead not yet cleared the total may pass 1: viable cells migrate into what has died.)
ABOVE_ONE_TOLERANCE = 1e-3


class Recorder:
    """Measures the volumes and keeps the fields that were asked for."""

    def __init__(
        self,
        prepared: Prepared,
        twin: Twin,
        model: Model,
        save: Save,
        times: NDArray[np.float64],
        field_times: NDArray[np.float64],
    ) -> None:
        self._prepared, self._twin, self._model = prepared, twin, model
        self.thresholds = checked_thresholds(save.thresholds, twin.parameters)
        self._groups = self._sums(save)
        self._softness = twin.parameters.value("visibility_softness")
        self.times, self.field_times = times, field_times
        self._wanted = {float(t): k for k, t in enumerate(times)}
        self._fields = {float(t): k for k, t in enumerate(field_times)}
        self._volumes = np.full((2, len(self.thresholds), len(times)), np.nan)
        self._burden = np.full(len(times), np.nan)
        self._alive = tuple(model.names[k] for k in model.alive)
        nodes = len(twin.mesh.points)
        self._density = np.zeros((len(field_times), nodes), np.float32)
        kept = () if save.species is None else save.species
        model.rows(*kept)
        self._species = {name: np.zeros_like(self._density) for name in kept}
        self._fewest = FewestCells(save.fewest_from)
        self._effectors = np.zeros(len(times)) if twin.model.immunity else None
        self._moved: _Moved | None = None
        if twin.model.mass_effect:
            self._moved = _Moved.of(nodes, len(twin.mesh.cells), len(times), len(field_times))

    def _sums(self, save: Save) -> dict[tuple[str, ...], list[int]]:
        """The sums of species that thresholds are applied to, with the thresholds' numbers."""
        own = {} if save.visible is None else save.visible
        for name in own:
            if name not in self.thresholds:
                raise InvalidInput(
                    f"A sum of species is given for the threshold {name!r}, but the thresholds "
                    f"are {', '.join(self.thresholds)}."
                )
        groups: dict[tuple[str, ...], list[int]] = {}
        for k, name in enumerate(self.thresholds):
            names = tuple(own.get(name, self._model.visible))
            self._model.rows(*names)
            groups.setdefault(names, []).append(k)
        return groups

    def record(self, moment: Moment) -> None:
        """Write down one instant of a run."""
        day, march = moment.day, moment.march
        if day in self._wanted:
            k = self._wanted[day]
            levels = list(self.thresholds.values())
            for names, numbers in self._groups.items():
                meter = self._prepared.meter(
                    march.removed, tuple(levels[n] for n in numbers), self._softness
                )
                self._volumes[:, numbers, k] = meter.measure(moment.total(*names))
            if self._alive:
                living = moment.total(*self._alive)
                self._check(day, march.share.most(float(living.max(initial=0.0))))
                self._burden[k] = march.amount(living)
                self._fewest.offer(day, self._burden[k], lambda: march.share.whole(living))
        if self._effectors is not None and day in self._wanted:
            self._effectors[self._wanted[day]] = moment.effector_cells
        if march.mass_effect is not None and self._moved is not None:
            displacement = march.mass_effect.displacement(day)
            if day in self._wanted:
                largest = float(np.linalg.norm(displacement, axis=1).max(initial=0.0))
                self._moved.largest[self._wanted[day]] = largest
            if day in self._fields:
                self._moved.displacement[self._fields[day]] = displacement
                self._moved.stress[self._fields[day]] = march.mass_effect.stress(day)
        if day in self._fields:
            k = self._fields[day]
            self._density[k] = march.share.whole(moment.total(*self._model.visible))
            for name, values in self._species.items():
                values[k] = march.share.whole(moment.total(name))

    def _check(self, day: float, most: float) -> None:
        if self._model.bounded and not most <= 1.0 + ABOVE_ONE_TOLERANCE:
            raise NotConverged(
                f"The viable density reached {most:.4g} of the carrying capacity on day {day:g}; "
                "it cannot pass 1: choose a smaller step."
            )

    def dataset(
        self, regimen: Regimen, options: Mapping[str, Any], dose: NDArray[np.float64]
    ) -> xr.Dataset:
        """The run by the result schema."""
        capacity = self._twin.parameters.value("carrying_capacity")
        dataset = run_dataset(
            self._twin,
            regimen,
            options,
            thresholds=self.thresholds,
            times=self.times,
            hard=self._volumes[0],
            soft=self._volumes[1],
            burden=self._burden * capacity,
            field_times=self.field_times,
            density=self._density,
            dose=dose,
        )
        for name, values in self._species.items():
            dataset[f"{name}_density"] = (
                ("field_time", "node"),
                values,
                {"units": "1", "long_name": f"{name.replace('_', ' ')}, share of capacity"},
            )
        dataset = self._fewest.added_to(dataset)
        if self._effectors is not None:
            dataset = describe_variables(dataset.assign(effector_cells=("time", self._effectors)))
        return dataset if self._moved is None else self._moved.added_to(dataset)


@dataclass(frozen=True, slots=True)
class _Moved:
    """What mass effect does, where it is on.

    Parameters
    ----------
    displacement : ndarray of float32, [mm], shape (field time, node, 3)
    stress : ndarray of float32, [kPa], shape (field time, cell)
    largest : ndarray, [mm], shape (time,)
    """

    displacement: NDArray[np.float32]
    stress: NDArray[np.float32]
    largest: NDArray[np.float64]

    @classmethod
    def of(cls, nodes: int, cells: int, times: int, field_times: int) -> _Moved:
        return cls(
            np.zeros((field_times, nodes, 3), np.float32),
            np.zeros((field_times, cells), np.float32),
            np.zeros(times),
        )

    def added_to(self, dataset: xr.Dataset) -> xr.Dataset:
        found = dataset.assign(
            displacement=(("field_time", "node", "axis"), self.displacement),
            von_mises=(("field_time", "cell"), self.stress),
            largest_displacement=(("time",), self.largest),
        )
        return describe_variables(found)


def run_dataset(
    twin: Twin,
    regimen: Regimen,
    options: Mapping[str, Any],
    *,
    thresholds: Mapping[str, float],
    times: NDArray[np.float64],
    hard: NDArray[np.float64],
    soft: NDArray[np.float64],
    burden: NDArray[np.float64],
    field_times: NDArray[np.float64],
    density: NDArray[np.float32],
    dose: NDArray[np.float64],
) -> xr.Dataset:
    """A dataset by the result schema from the arrays of one run.

    Parameters
    ----------
    hard, soft : ndarray, [mm3], shape (threshold, time)
    burden : ndarray, [cells], shape (time,)
    density : ndarray, [1], shape (field_time, node)
    dose : ndarray, [Gy], shape (node,)
    """
    mesh = twin.mesh
    result = xr.Dataset(
        {
            "tumour_volume": (("threshold", "time"), hard),
            "tumour_volume_soft": (("threshold", "time"), soft),
            "tumour_burden": (("time",), burden),
            "tumour_density": (("field_time", "node"), density.astype(np.float32, copy=False)),
            "dose": (("node",), dose.astype(np.float32)),
            "cells": (("cell", "vertex"), mesh.cells),
            "cell_label": (("cell",), mesh.cell_label),
            "mesh": ((), np.int32(0)),
        },
        coords={
            "time": times,
            "field_time": field_times,
            "threshold": list(thresholds),
            "threshold_level": ("threshold", list(thresholds.values())),
            "node_x": ("node", mesh.points[:, 0]),
            "node_y": ("node", mesh.points[:, 1]),
            "node_z": ("node", mesh.points[:, 2]),
        },
    )
    result = describe_variables(result)
    result.attrs.update(
        research_use_only=RESEARCH_USE_ONLY,
        twin_hash=twin.content_hash,
        regimen=json.dumps(regimen.as_dict()),
        parameters=json.dumps(with_numbers_in_use(twin.parameters, regimen, twin.model).as_dict()),
        options=json.dumps(dict(options)),
        versions=json.dumps(_versions()),
        label_names=json.dumps({str(k): v for k, v in mesh.label_names.items()}),
        reference_date=twin.calendar.reference_date.isoformat(),
    )
    return result


def _versions() -> dict[str, str]:
    from solvers.dolfinx_compat import VERSION

    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "xarray": xr.__version__,
        "dolfinx": VERSION,
    }
