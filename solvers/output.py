"""What a run writes down, and the dataset that is made of it."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy
import xarray as xr
from numpy.typing import NDArray

from solvers.growth import Growth, sum_of
from solvers.prepared import Prepared
from twin.errors import NotConverged
from twin.patient import Twin
from twin.protocol import checked_thresholds
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
        thresholds: Mapping[str, float] | None,
        times: NDArray[np.float64],
        field_times: NDArray[np.float64],
    ) -> None:
        self._prepared, self._twin = prepared, twin
        self.thresholds = checked_thresholds(thresholds, twin.parameters)
        self._softness = twin.parameters.value("visibility_softness")
        self.times, self.field_times = times, field_times
        self._wanted = {float(t): k for k, t in enumerate(times)}
        self._fields = {float(t): k for k, t in enumerate(field_times)}
        self._volumes = np.full((2, len(self.thresholds), len(times)), np.nan)
        self._burden = np.full(len(times), np.nan)
        self._density = np.zeros((len(field_times), len(twin.mesh.points)), np.float32)

    def record(
        self,
        day: float,
        growth: Growth,
        mass: NDArray[np.float64],
        removed: tuple[str, ...],
    ) -> None:
        """Write down the state at `day`."""
        model = growth.model
        visible = growth.total(model.visible)
        living = sum_of(growth.state, model.alive)
        most = float(living.max(initial=0.0))
        if model.bounded and not most <= 1.0 + ABOVE_ONE_TOLERANCE:
            raise NotConverged(
                f"The viable density reached {most:.4g} of the carrying capacity on day {day:g}; "
                "it cannot pass 1: choose a smaller step."
            )
        if day in self._wanted:
            k = self._wanted[day]
            meter = self._prepared.meter(removed, tuple(self.thresholds.values()), self._softness)
            self._volumes[:, :, k] = meter.measure(visible)
            self._burden[k] = float(mass @ living)
        if day in self._fields:
            self._density[self._fields[day]] = visible

    def dataset(
        self, regimen: Regimen, options: Mapping[str, Any], dose: NDArray[np.float64]
    ) -> xr.Dataset:
        """The run by the result schema."""
        capacity = self._twin.parameters.value("carrying_capacity")
        return run_dataset(
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
        parameters=json.dumps(twin.parameters.as_dict()),
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
