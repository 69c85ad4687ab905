"""Follow-up scans of a simulated patient, as a reader would outline them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from solvers.calibration.outlines import PATCH_MM, OutlineNoise
from solvers.finite_element import FiniteElementSolver
from twin.follow_up import FollowUp
from twin.meshing.voxel_cells import cells_at_voxels, linear_at
from twin.parameters import ParameterSet
from twin.patient import Twin
from twin.protocol import Save
from twin.regimen import Regimen
from twin.targets import FLUID, distance_to

__all__ = ["reader_errors", "simulated_follow_ups"]

#: Steps of the runs that make scans: not those of a fit to them.
STEP_DAY = 0.5


def reader_errors(
    shape: tuple[int, ...], spacing_mm: float, noise: OutlineNoise, rng: np.random.Generator
) -> NDArray[np.float64]:
    """How far out a reader draws an outline from place to place, [mm], shape of the grid.

    A smooth normal field whose values over `PATCH_MM` go together, and a shift of all of it.
    """
    smooth = gaussian_filter(rng.normal(size=shape), 0.5 * PATCH_MM / spacing_mm, mode="wrap")
    return noise.patch_mm * smooth / smooth.std() + noise.shared_mm * rng.normal()


def simulated_follow_ups(
    twin: Twin,
    parameters: ParameterSet,
    regimen: Regimen,
    days: Sequence[float],
    noise: OutlineNoise,
    *,
    oedema_mm: float = 0.0,
    seed: int = 0,
) -> list[FollowUp]:
    """Scans as a run on the twin's mesh shows them, with a reader's errors.

    Parameters
    ----------
    twin : Twin
        On another mesh than that of the fit, lest the fit's own errors cancel.
    parameters : ParameterSet
        The truth.
    regimen : Regimen
        Treatment since day 0.
    days : sequence of float, [day]
    noise : OutlineNoise
    oedema_mm : float, [mm]
        How far FLAIR lies outside of the cells: a half-normal draw with this standard deviation
        in so many scans out of all as the likelihood's two-piece normal has, else inside by the
        reader's own.
    seed : int
    """
    rng = np.random.default_rng(seed)
    times = [float(day) for day in days]
    run = FiniteElementSolver(step_day=STEP_DAY).solve(
        twin.replace(parameters=parameters), regimen, times, save=Save(fields_at=tuple(times))
    )
    grid, mesh = twin.grid, twin.mesh
    tissue = twin.tissues > FLUID
    cell = cells_at_voxels(mesh, grid.shape, grid.affine)
    inside = (cell >= 0) & tissue
    where = grid.to_world(np.argwhere(inside))
    found = []
    for number, day in enumerate(times):
        density = np.zeros(grid.shape)
        nodes = run["tumour_density"].values[number].astype(np.float64)
        density[inside] = linear_at(mesh, nodes, cell[inside], where)[0]
        masks = []
        for name, out in (("threshold_t1gd", 0.0), ("threshold_flair", oedema_mm)):
            mask = density > parameters.value(name)
            if mask.any():
                errors = reader_errors(grid.shape, grid.spacing_mm, noise, rng)
                if out > 0.0 and rng.uniform() < out / (out + noise.shared_mm):
                    errors = errors + abs(out * rng.normal())
                mask = (distance_to(mask, grid.spacing_mm) < errors) & tissue
            masks.append(mask)
        core, whole = masks
        date = twin.calendar.date(day)
        found.append(FollowUp(date, day, core, whole | core))
    return found
