"""Results of a study from the results of its runs."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scenarios import organs
from solvers import mesh_error
from twin import response
from twin.results import (
    DENSITY_STEP,
    DOSE_STEP,
    RESEARCH_USE_ONLY,
    describe_variables,
    rounded_to_step,
)

if TYPE_CHECKING:
    import xarray as xr

    from scenarios.study import Study
    from twin.patient import Twin

__all__ = ["Edges", "gather"]

_CURVES = ("tumour_volume", "tumour_volume_soft", "tumour_burden")


@dataclass(frozen=True, slots=True)
class Edges:
    """Mean edge lengths near the tumour of the two meshes, [mm]."""

    fine_mm: float
    coarse_mm: float


def gather(
    study: Study,
    twin: Twin,
    run_of: Callable[[int, int, bool], xr.Dataset],
    edges: Edges,
) -> xr.Dataset:
    """Results of every scenario and case, by the result schema.

    Parameters
    ----------
    study : Study
    twin : Twin
    run_of : callable
        The run of scenario number, case number, and whether on the fine mesh.
        Densities are read from the first case on the fine mesh only.
    edges : Edges

    Returns
    -------
    xarray.Dataset
        In memory, with units everywhere.
    """
    import xarray as xr

    scenarios, cases = len(study.scenarios), len(study.cases)
    first = run_of(0, 0, True)
    levels = [str(name) for name in first["threshold"].values]
    fine = _curves(run_of, scenarios, cases, fine=True)
    coarse = _curves(run_of, scenarios, cases, fine=False)

    data: dict[str, Any] = {}
    for name in _CURVES:
        dims = ("scenario", "case", *first[name].dims)
        data[name] = (dims, fine[name])
        data[f"{name}_error"] = (
            dims,
            mesh_error.two_mesh_error(fine[name], coarse[name], edges.fine_mm, edges.coarse_mm),
        )
    data.update(_response(study, twin, fine, coarse, edges))
    data.update(_treatment(study, twin))
    data.update(_fields(run_of, scenarios))
    data["mesh"] = ((), np.int32(0))
    data["cells"] = (("cell", "vertex"), twin.mesh.cells)
    data["cell_label"] = (("cell",), twin.mesh.cell_label)

    at_risk = organs.organs_of(twin)
    coordinates: dict[str, Any] = {
        "scenario": [scenario.name for scenario in study.scenarios],
        "case": [case.name for case in study.cases],
        "threshold": levels,
        "threshold_level": ("threshold", first["threshold_level"].values),
        "organ": list(at_risk),
        "organ_stylised": ("organ", np.array([o.stylised for o in at_risk.values()], np.int8)),
        "organ_alpha_beta": (
            "organ",
            np.array([twin.parameters.value(str(o.parameter)) for o in at_risk.values()], float),
        ),
        "time": first["time"].values,
        "field_time": first["field_time"].values,
    }
    for axis, column in zip("xyz", twin.mesh.points.T, strict=True):
        coordinates[f"node_{axis}"] = ("node", column)
    results = xr.Dataset(data, coordinates, attrs=_attrs(study, twin, first, edges))
    return describe_variables(results)


def _curves(
    run_of: Callable[[int, int, bool], xr.Dataset], scenarios: int, cases: int, *, fine: bool
) -> dict[str, NDArray[np.float64]]:
    rows: dict[str, list[list[Any]]] = {name: [] for name in _CURVES}
    for i in range(scenarios):
        runs = [run_of(i, j, fine) for j in range(cases)]
        for name in _CURVES:
            rows[name].append([run[name].values for run in runs])
    return {name: np.array(values, np.float64) for name, values in rows.items()}


def _response(
    study: Study,
    twin: Twin,
    fine: dict[str, NDArray[np.float64]],
    coarse: dict[str, NDArray[np.float64]],
    edges: Edges,
) -> dict[str, Any]:
    times = study.times
    volume, coarse_volume = fine["tumour_volume_soft"], coarse["tumour_volume_soft"]
    shape = volume.shape[:3]
    least, day, reached, reached_coarse = (np.empty(shape) for _ in range(4))
    for i, scenario in enumerate(study.scenarios):
        start = study.assessed_from(scenario, twin)
        for place in np.ndindex(shape[1:]):
            curve = volume[(i, *place)]
            lowest = response.nadir(times, curve, start_day=start)
            least[(i, *place)], day[(i, *place)] = lowest.volume_mm3, lowest.day
            reached[(i, *place)] = response.time_to_progression(times, curve, start_day=start)
            reached_coarse[(i, *place)] = response.time_to_progression(
                times, coarse_volume[(i, *place)], start_day=start
            )
    dims = ("scenario", "case", "threshold")
    end = study.days
    error = mesh_error.two_mesh_error(
        np.minimum(reached, end), np.minimum(reached_coarse, end), edges.fine_mm, edges.coarse_mm
    )
    return {
        "nadir_volume_soft": (dims, least),
        "nadir_day": (dims, day),
        "time_to_progression": (dims, reached),
        "time_to_progression_error": (dims, error),
    }


def _treatment(study: Study, twin: Twin) -> dict[str, Any]:
    doses = [organs.organ_doses(twin, scenario.regimen) for scenario in study.scenarios]
    fractions = [scenario.regimen.schedule(twin.calendar).fractions for scenario in study.scenarios]
    longest = max(1, *(len(one) for one in fractions))
    days = np.full((len(fractions), longest), math.nan)
    amounts = days.copy()
    for i, one in enumerate(fractions):
        days[i, : len(one)] = [event.day for event in one]
        amounts[i, : len(one)] = [event.dose_gy for event in one]
    return {
        "organ_eqd2_mean": (
            ("scenario", "organ"),
            np.array([[dose.mean_gy for dose in arm.values()] for arm in doses]),
        ),
        "organ_eqd2_d003cc": (
            ("scenario", "organ"),
            np.array([[dose.d003cc_gy for dose in arm.values()] for arm in doses]),
        ),
        "fraction_day": (("scenario", "fraction"), days),
        "fraction_dose": (("scenario", "fraction"), amounts),
    }


def _fields(run_of: Callable[[int, int, bool], xr.Dataset], scenarios: int) -> dict[str, Any]:
    runs = [run_of(i, 0, True) for i in range(scenarios)]
    density = np.empty((scenarios, *runs[0]["tumour_density"].shape), np.float32)
    for i, run in enumerate(runs):
        density[i] = rounded_to_step(run["tumour_density"].values, DENSITY_STEP)
    dims = ("scenario", "field_time", "node")
    found: dict[str, Any] = {
        "tumour_density": (dims, density, {"rounded_to_multiples_of": DENSITY_STEP})
    }
    if all("dose" in run for run in runs):
        dose = np.stack([run["dose"].values.astype(np.float32) for run in runs])
        found["dose"] = (
            ("scenario", "node"),
            rounded_to_step(dose, DOSE_STEP),
            {"rounded_to_multiples_of": DOSE_STEP},
        )
    return found


def _attrs(study: Study, twin: Twin, first: xr.Dataset, edges: Edges) -> dict[str, Any]:
    return {
        "title": study.name,
        "research_use_only": RESEARCH_USE_ONLY,
        "twin_hash": twin.content_hash,
        "reference_date": twin.calendar.reference_date.isoformat(),
        "seed": study.seed,
        "study": json.dumps(study.as_dict(twin), ensure_ascii=False),
        "regimen": json.dumps({s.name: s.regimen.as_dict() for s in study.scenarios}),
        "parameters": json.dumps(twin.parameters.as_dict(), ensure_ascii=False),
        "options": first.attrs.get("options", "{}"),
        "versions": first.attrs.get("versions", "{}"),
        "label_names": json.dumps({str(k): v for k, v in twin.mesh.label_names.items()}),
        "fields_case": study.cases[0].name,
        "fields": (
            f"Densities are of the case {study.cases[0].name!r}, rounded to multiples of "
            f"{DENSITY_STEP:g}; those of the other cases are in runs/."
        ),
        "edge_near_tumour_mm": edges.fine_mm,
        "coarse_edge_near_tumour_mm": edges.coarse_mm,
        "numerical_error_rule": mesh_error.RULE,
        "progression_rule": response.PROGRESSION_RULE,
        "organ_caveat": organs.CAVEAT,
    }
