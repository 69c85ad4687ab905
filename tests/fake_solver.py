"""A solver in closed form, exponential growth cut by each fraction, to test what is around it."""

from __future__ import annotations

import json
import math
import time

import numpy as np
import xarray as xr

from twin.dose import dose_maps
from twin.protocol import Save
from twin.results import describe_variables


class FakeSolver:
    """Volumes V0 exp(rho t) S^n (1 + 0.01 h^2), with the mesh's mean edge h [mm].

    Parameters
    ----------
    seconds : float, [s]
        Wait in every run, so that it can be interrupted.
    fail_after : int or None
        Number of runs after which one fails.
    """

    capabilities = frozenset({"radiotherapy"})

    def __init__(self, *, seconds=0.0, fail_after=None, growth=1.0):
        self.seconds, self.fail_after, self.growth = seconds, fail_after, growth
        self.calls = 0

    def options(self):
        return {"growth": self.growth}

    def solve(
        self, twin, regimen, times, *, save=None, start=None, error_bars=False, progress=None
    ):
        save = save or Save()
        self.calls += 1
        if self.fail_after is not None and self.calls > self.fail_after:
            raise RuntimeError("the fake solver fails on purpose")
        time.sleep(self.seconds)
        if progress is not None:
            progress(0.5, "half")
        rho = twin.parameters.value("proliferation_rate") * self.growth
        alpha = twin.parameters.value("alpha")
        fractions = regimen.schedule(twin.calendar).fractions
        edge = float(twin.mesh.edge_length().mean())

        def curve(day, scale):
            given = sum(event.dose_gy for event in fractions if event.day <= day)
            return scale * math.exp(rho * day - alpha * given) * (1.0 + 0.01 * edge**2)

        volume = np.array([[curve(t, 2e3) for t in times], [curve(t, 2e4) for t in times]])
        nodes = twin.mesh.points
        radius = np.linalg.norm(nodes - nodes.mean(axis=0), axis=1)
        density = np.array([np.exp(-radius / (5.0 + 0.01 * t)) for t in save.fields_at])
        dose = np.zeros(len(nodes))
        for one in dose_maps(twin, regimen):
            voxels = np.rint(twin.grid.to_voxels(nodes)).astype(int)
            voxels = np.clip(voxels, 0, np.array(twin.grid.shape) - 1)
            dose += one.total_gy[tuple(voxels.T)]
        data = {
            "tumour_volume": (("threshold", "time"), volume),
            "tumour_volume_soft": (("threshold", "time"), volume * 1.01),
            "tumour_burden": ("time", volume[1] * 1e4),
            "tumour_density": (
                ("field_time", "node"),
                density.reshape(len(save.fields_at), len(nodes)).astype(np.float32),
            ),
            "dose": ("node", dose.astype(np.float32)),
        }
        coordinates = {
            "time": np.asarray(times, float),
            "field_time": np.asarray(save.fields_at, float),
            "threshold": ["t1gd", "flair"],
            "threshold_level": ("threshold", [0.8, 0.16]),
        }
        dataset = describe_variables(xr.Dataset(data, coordinates))
        dataset.attrs["options"] = json.dumps(self.options())
        return dataset
