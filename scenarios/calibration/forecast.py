"""Forecasts from a fit: volumes with intervals, density with its spread, progression by a date."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from scenarios.calibration.case import Case
from scenarios.calibration.store import FitFolder, draws_of, write_dataset
from solvers.batch import Request, solve_batch
from solvers.calibration.outlines import PatchedOutline
from solvers.prepared import prepare
from twin.errors import InvalidInput
from twin.meshing.voxel_cells import barycentric, cells_at_voxels
from twin.protocol import Progress
from twin.response import time_to_progression
from twin.results import RESEARCH_USE_ONLY

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Forecast", "chances_at_voxels", "forecast", "forecast_rows", "forecast_text"]

#: Draws that are run on; enough for the ends of a 90 % interval.
DRAWS = 200
PROBABILITIES = (0.05, 0.25, 0.5, 0.75, 0.95)
OUTLINES = ("T1Gd", "FLAIR")
#: What a reader's outlines add to a volume's logarithm: one reader's repeated enhancing volumes
#: vary by 8.2 %, FLAIR by 3.3 % (Huber 2017, Clin Neuroradiol 27:153 [unverified]).
READER_SD_LN = (0.082, 0.033)


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a fitted patient is forecast to be.

    Parameters
    ----------
    dataset : xarray.Dataset
        ``volume`` (draw, outline, time), ``density_mean`` and ``density_sd`` (node),
        ``day_of_progression`` (draw).
    runs : list of (ndarray, tuple of float, float)
        Of each different draw the visible density on the last day, shape (node,), the
        thresholds, and its share of all draws.
    """

    dataset: xr.Dataset
    runs: list[tuple[NDArray[np.float32], tuple[float, ...], float]]


def forecast(
    case: Case,
    folder: str | Path,
    at: dt.date,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    threads: int = 1,
    progress: Progress | None = None,
) -> Forecast:
    """Run draws of the posterior on to a date, under the treatment given.

    Parameters
    ----------
    case : Case
        The patient that was fitted.
    folder : path
        Of the fit.
    at : datetime.date
    draws : int
        Of equal weight.

    Raises
    ------
    InvalidInput
        No finished fit, one of another patient, a date before day 0 or more than ten years on.
    """
    import xarray as xr

    place = FitFolder(Path(folder))
    posterior = place.posterior()
    day = float(case.twin.calendar.day(at))
    if not 0.0 < day <= 3650.0:
        raise InvalidInput(
            f"The forecast is for {at.isoformat()}, day {day:g}; it must lie after "
            f"{case.twin.calendar.date(0).isoformat()} and within ten years."
        )
    names = tuple(str(name) for name in posterior.unknown.values)
    if names != case.unknowns.names:
        raise InvalidInput(
            f"The fit in {folder} is of {', '.join(names)}, not of "
            f"{', '.join(case.unknowns.names)}; calibrate the patient again in a new folder."
        )
    posterior_draws = draws_of(posterior)
    places = posterior_draws.places[posterior_draws.chosen(draws, seed)]
    unique, back = np.unique(places, axis=0, return_inverse=True)
    requests = [Request(case.regimen, case.unknowns.parameters(row)) for row in unique]
    times = np.unique(np.append(np.arange(0.0, math.floor(day) + 1.0), day))
    found = solve_batch(
        case.twin, requests, times, fields_at=[day], threads=threads, progress=progress
    )
    meter = _meter(case, day)
    hard = np.array(
        [
            [meter.volumes(density, level).sum() for level in _levels(request)]
            for request, density in zip(requests, found.density[:, 0], strict=True)
        ]
    )
    assessed = _assessed_from(case, day)
    progression = np.array(
        [time_to_progression(times, curve[0], start_day=assessed) for curve in found.soft]
    )
    density = found.density[back.ravel(), 0].astype(np.float64)
    dataset = xr.Dataset(
        {
            "volume": (
                ("draw", "outline", "time"),
                found.soft[back.ravel()],
                {"units": "mm3", "long_name": "softened visible volume"},
            ),
            "outlined_volume": (
                ("draw", "outline"),
                hard[back.ravel()],
                {"units": "mm3", "long_name": "volume above the threshold on the last day"},
            ),
            "day_of_progression": ("draw", progression[back.ravel()], {"units": "day"}),
            "density_mean": ("node", density.mean(axis=0).astype(np.float32), {"units": "1"}),
            "density_sd": ("node", density.std(axis=0).astype(np.float32), {"units": "1"}),
        },
        coords={
            "outline": list(OUTLINES),
            "time": ("time", times, {"units": "day"}),
            **{
                f"node_{axis}": ("node", case.twin.mesh.points[:, k], {"units": "mm"})
                for k, axis in enumerate("xyz")
            },
        },
        attrs={
            "title": f"forecast of {case.twin.name} for {at.isoformat()}",
            "inputs": posterior.attrs["inputs"],
            "date": at.isoformat(),
            "day": day,
            "assessed_from_day": assessed,
            "research_use_only": RESEARCH_USE_ONLY,
        },
    )
    write_dataset(place.path / f"forecast_{at.isoformat()}.nc", dataset)
    counts = np.bincount(back.ravel(), minlength=len(unique)) / draws
    runs = [
        (field, _levels(request), float(share))
        for field, request, share in zip(found.density[:, 0], requests, counts, strict=True)
    ]
    return Forecast(dataset, runs)


def _levels(request: Request) -> tuple[float, ...]:
    """Thresholds of the outlines, [1]."""
    return tuple(request.parameters.value(f"threshold_{name.lower()}") for name in OUTLINES)


def chances_at_voxels(case: Case, found: Forecast) -> NDArray[np.float64]:
    """Share of the draws in which each voxel lies within each outline on the forecast's day.

    Returns
    -------
    ndarray, [1], shape (outline, *grid)
    """
    grid, mesh = case.twin.grid, case.twin.mesh
    cell = cells_at_voxels(mesh, grid.shape, grid.affine)
    inside = cell >= 0
    where = grid.to_world(np.argwhere(inside))
    weights = barycentric(mesh.points[mesh.cells[cell[inside]]], where)
    rows = np.repeat(np.arange(len(where)), 4)
    at_voxels = sparse.csr_matrix(
        (weights.ravel(), (rows, mesh.cells[cell[inside]].ravel())),
        shape=(len(where), len(mesh.points)),
    )
    share = np.zeros((len(OUTLINES), *grid.shape))
    for density, levels, weight in found.runs:
        values = at_voxels @ density.astype(np.float64)
        for k, level in enumerate(levels):
            share[k][inside] += weight * (values > level)
    return share


def _assessed_from(case: Case, day: float) -> float:
    """First fraction of radiotherapy, else the first treatment, else day 0, [day]."""
    schedule = case.regimen.schedule(case.twin.calendar)
    events = schedule.fractions or schedule.events
    return min(events[0].day, day) if events else 0.0


def _meter(case: Case, day: float) -> PatchedOutline:
    """Volumes above a threshold on a day, cut exactly inside elements; cavities are left out."""
    events = case.regimen.schedule(case.twin.calendar).resections
    removed = tuple(event.cavity for event in events if event.day <= day)
    return PatchedOutline.undivided(case.twin.mesh, prepare(case.twin).active_cells(removed))


def forecast_rows(found: Forecast, seed: int = 0) -> list[dict[str, Any]]:
    """One row an outline: median, 50 and 90 % interval of the volume that is drawn, [mL].

    The reader's own error is in it, seeded.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for k, name in enumerate(OUTLINES):
        volume = found.dataset.outlined_volume.values[:, k] / 1e3
        drawn = np.concatenate(
            [volume * np.exp(READER_SD_LN[k] * rng.normal(size=len(volume))) for _ in range(20)]
        )
        low, lower, middle, upper, high = np.quantile(drawn, PROBABILITIES)
        rows.append(
            {
                "outline": name,
                "median_ml": float(middle),
                "interval_50_ml": [float(lower), float(upper)],
                "interval_90_ml": [float(low), float(high)],
            }
        )
    return rows


def forecast_text(found: Forecast, rows: list[dict[str, Any]]) -> str:
    """The rows and the probability of progression in words."""
    dataset = found.dataset
    lines = [f"Forecast for {dataset.attrs['date']} (day {dataset.attrs['day']:g}):"]
    for row in rows:
        half, most = row["interval_50_ml"], row["interval_90_ml"]
        lines.append(
            f"  {row['outline']:<6} volume {row['median_ml']:.3g} ml; 50 % between {half[0]:.3g} "
            f"and {half[1]:.3g}, 90 % between {most[0]:.3g} and {most[1]:.3g} ml"
        )
    lines.append(
        f"  progression by then: probability {100 * progression_probability(found):.0f} % "
        f"(of {dataset.sizes['draw']} draws; softened T1Gd volume 40 % above its least since day "
        f"{dataset.attrs['assessed_from_day']:g})"
    )
    return "\n".join(lines)


def progression_probability(found: Forecast) -> float:
    """Share of the draws that have progressed by the forecast's date, [1]."""
    return float(np.isfinite(found.dataset.day_of_progression.values).mean())
