"""A made-up study whose tumour is a ball of known radius: for tests of pictures and reports.

The visible density falls linearly with the distance from the centre, so that every
outline is a sphere: at `level` its radius is ``radius_mm(number, day) + (0.8 - level) / SLOPE``.
"""

from __future__ import annotations

import datetime as dt
import json

import numpy as np
import xarray as xr
from scipy.spatial import Delaunay

from twin.calendar import Calendar
from twin.courses import Radiotherapy, Resection, Temozolomide
from twin.mesh import Mesh
from twin.parameters import load_parameter_set
from twin.patient import MESH_LABELS, Grid, Structure, Twin
from twin.regimen import Regimen
from twin.results import RESEARCH_USE_ONLY, describe_variables

HEAD_RADIUS_MM = 34.0
CENTRE_MM = np.array([6.0, 2.0, 4.0])
ENHANCING_RADIUS_MM = 10.0
LEVELS = {"t1gd": 0.80, "flair": 0.16}
SLOPE = 0.08  # density per millimetre
HORIZON = 400
CASES = ("expected", "faster growth", "more resistant")
_GROWTH_MM_PER_DAY = (0.02, 0.024, 0.022)


def regimens() -> dict[str, Regimen]:
    """Three arms; the second is named to be escaped in HTML."""
    radiotherapy = Radiotherapy(total_dose_gy=60.0, fractions=30, start_day=28.0)
    return {
        "no treatment": Regimen(),
        "60 Gy <in 30>": Regimen(radiotherapy),
        "resection & temozolomide": Regimen(Resection(day=10.0), radiotherapy, Temozolomide()),
    }


def radius_mm(arm: int, day: float, case: int = 0) -> float:
    """Radius of the T1Gd outline, [mm]."""
    growth = _GROWTH_MM_PER_DAY[case]
    if arm == 0 or day <= 28:
        return ENHANCING_RADIUS_MM + growth * day
    shrunk = ENHANCING_RADIUS_MM + growth * 28 - 0.06 * min(day - 28, 60)
    return shrunk + growth * max(0.0, day - 100) * (0.6 if arm == 1 else 0.4)


def ball_mesh(step_mm: float = 4.0) -> Mesh:
    """Tetrahedra on a body-centred lattice in a ball; the outermost are fluid."""
    steps = np.arange(-40.0, 40.0 + step_mm, step_mm)
    corners = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
    points = np.concatenate([corners, corners + step_mm / 2])
    # The lattice has many points on one sphere; Delaunay wants them moved a little.
    points += np.random.default_rng(0).uniform(-0.02, 0.02, points.shape)
    points = points[np.linalg.norm(points, axis=1) <= HEAD_RADIUS_MM]
    cells = Delaunay(points).simplices
    volume = np.linalg.det(points[cells[:, 1:]] - points[cells[:, :1]]) / 6.0
    cells, volume = cells[np.abs(volume) > 0.05], volume[np.abs(volume) > 0.05]
    cells = np.where((volume > 0)[:, None], cells, cells[:, [1, 0, 2, 3]])
    used, cells = np.unique(cells, return_inverse=True)
    cells = cells.reshape(-1, 4)
    points = points[used]
    middle = points[cells].mean(axis=1)
    from_tumour = np.linalg.norm(middle - CENTRE_MM, axis=1)
    label = np.select(
        [
            from_tumour < 5.0,
            from_tumour < ENHANCING_RADIUS_MM,
            np.linalg.norm(middle, axis=1) > 31.0,
            np.linalg.norm(middle, axis=1) > 24.0,
        ],
        [MESH_LABELS["necrosis"], MESH_LABELS["enhancing"], 1, 2],
        3,
    )
    names = {number: name for name, number in MESH_LABELS.items()}
    return Mesh(points, cells, label, names)


def ball_twin(mesh: Mesh | None = None) -> Twin:
    """The patient of the made-up study, with an image whose brightness tells left from right."""
    mesh = ball_mesh() if mesh is None else mesh
    side = 41
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = -40.0
    steps = -40.0 + 2.0 * np.arange(side)
    where = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1)
    radius = np.linalg.norm(where, axis=-1)
    from_tumour = np.linalg.norm(where - CENTRE_MM, axis=-1)
    tissues = np.select([radius < 24, radius < 31, radius < HEAD_RADIUS_MM], [3, 2, 1], 0)
    image = np.where(radius < HEAD_RADIUS_MM, 100.0 + where[..., 0], 0.0)
    organ = np.linalg.norm(where - np.array([-12.0, -6.0, -10.0]), axis=-1) < 6.0
    masks = {
        "necrosis": Structure(from_tumour < 5.0, "tumour"),
        "enhancing": Structure(
            (from_tumour >= 5.0) & (from_tumour < ENHANCING_RADIUS_MM), "tumour"
        ),
        "flair": Structure(
            (from_tumour >= ENHANCING_RADIUS_MM) & (from_tumour < 18.0) & (tissues >= 2), "tumour"
        ),
        "brain": Structure(tissues > 0, "organ", parameter="alpha_beta_brain"),
        "brainstem": Structure(
            organ, "organ", stylised=True, parameter="alpha_beta_brainstem", source="a ball"
        ),
    }
    return Twin(
        name="SURNAME^GIVEN",  # must never be printed
        mesh=mesh,
        coarse_mesh=mesh,
        coarsest_mesh=mesh,
        grid=Grid((side, side, side), affine),
        tissues=tissues.astype(np.int8),
        image=image.astype(np.float32),
        structures=masks,
        parameters=load_parameter_set("glioblastoma"),
        calendar=Calendar(dt.date(2026, 3, 30)),
        body_surface_m2=1.8,
        delivered=Regimen(),
    )


def synthetic_results(twin: Twin) -> xr.Dataset:
    """Results of three arms and three cases on the mesh of `twin`, by the schema."""
    arms = regimens()
    names, points = list(arms), twin.mesh.points
    time, field_time = np.arange(HORIZON + 1.0), np.arange(0.0, HORIZON, 14.0)
    levels = np.array(list(LEVELS.values()))
    from_centre = np.linalg.norm(points - CENTRE_MM, axis=1)
    radius = np.array(
        [[[radius_mm(i, day, c) for day in time] for c in range(3)] for i in range(len(names))]
    )
    outline = radius[:, :, None, :] + ((0.8 - levels) / SLOPE)[None, None, :, None]
    volume = 4.0 / 3.0 * np.pi * outline**3
    density = np.zeros((len(names), len(field_time), len(points)), np.float32)
    for i in range(len(names)):
        for k, day in enumerate(field_time):
            density[i, k] = np.clip(0.8 + SLOPE * (radius_mm(i, day) - from_centre), 0.0, 1.0)
            if i == 2 and day >= 10:
                density[i, k][from_centre < ENHANCING_RADIUS_MM] = 0.0
    fractions = np.full((2, len(names), 30), np.nan)
    for i, regimen in enumerate(arms.values()):
        for k, event in enumerate(regimen.schedule(twin.calendar).fractions):
            fractions[:, i, k] = event.day, event.dose_gy
    prescribed = np.nansum(fractions[1], axis=1)
    dose = prescribed[:, None] * np.clip(1.0 - (from_centre - 20.0) / 10.0, 0.0, 1.0)
    progression = np.full((len(names), 3, 2), np.inf)
    progression[0], progression[1, 1] = 55.4, 310.2
    curve = ("scenario", "case", "threshold", "time")
    single = ("scenario", "case", "threshold")
    study = {
        "format": 1,
        "name": "three treatments of a ball",
        "scenarios": [
            {
                "name": name,
                "compared_with": names[i - 1] if i else None,
                "differs_in": regimen.differences(arms[names[i - 1]]) if i else [],
                "regimen": regimen.as_dict(),
                "description": regimen.describe(twin.calendar),
            }
            for i, (name, regimen) in enumerate(arms.items())
        ],
        "cases": [{"name": case, "changes": {}, "description": "as stated."} for case in CASES],
        "warnings": ["The front is narrower than two elements."],
    }
    data = {
        "tumour_volume": (curve, volume),
        "tumour_volume_soft": (curve, 0.99 * volume),
        "tumour_volume_error": (curve, 0.02 * volume),
        "tumour_volume_soft_error": (curve, 0.01 * 0.99 * volume),
        "tumour_burden": (("scenario", "case", "time"), 1e5 * volume[:, :, 0]),
        "tumour_burden_error": (("scenario", "case", "time"), 1e3 * volume[:, :, 0]),
        "tumour_density": (("scenario", "field_time", "node"), density),
        "dose": (("scenario", "node"), dose.astype(np.float32)),
        "organ_eqd2_mean": (("scenario", "organ"), np.outer(prescribed, [0.31, 0.07])),
        "organ_eqd2_d003cc": (("scenario", "organ"), np.outer(prescribed, [1.01, 0.22])),
        "fraction_day": (("scenario", "fraction"), fractions[0]),
        "fraction_dose": (("scenario", "fraction"), fractions[1]),
        "nadir_volume_soft": (single, 0.99 * volume.min(axis=-1)),
        "nadir_day": (single, volume.argmin(axis=-1).astype(float)),
        "time_to_progression": (single, progression),
        "time_to_progression_error": (single, np.where(np.isfinite(progression), 1.5, 0.0)),
        "mesh": ((), 0),
        "cells": (("cell", "vertex"), twin.mesh.cells),
        "cell_label": (("cell",), twin.mesh.cell_label),
    }
    coordinates = {
        "scenario": names,
        "case": list(CASES),
        "threshold": list(LEVELS),
        "threshold_level": ("threshold", levels),
        "organ": ["brain", "brainstem"],
        "organ_stylised": ("organ", [False, True]),
        "organ_alpha_beta": ("organ", [2.0, 2.0]),
        "time": time,
        "field_time": field_time,
        **{f"node_{axis}": ("node", points[:, k]) for k, axis in enumerate("xyz")},
    }
    attrs = {
        "title": study["name"],
        "research_use_only": RESEARCH_USE_ONLY,
        "twin_hash": twin.content_hash,
        "reference_date": "2026-03-30",
        "seed": 7,
        "study": json.dumps(study),
        "parameters": json.dumps(twin.parameters.as_dict()),
        "options": json.dumps({"solver": "made up"}),
        "versions": json.dumps({"numpy": np.__version__}),
        "label_names": json.dumps({str(k): v for k, v in twin.mesh.label_names.items()}),
    }
    return describe_variables(xr.Dataset(data, coordinates, attrs=attrs))
