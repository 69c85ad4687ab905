"""Patients whose follow-up scans come from a run with known parameters on another mesh."""

from __future__ import annotations

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

import twin
from solvers.finite_element import FiniteElementSolver
from twin.protocol import Save
from twin.regimen import Regimen
from twin.targets import distance_to
from viz.plane_sampling import MeshSampler

#: Width of the errors that a reader makes together, as `solvers.calibration.outlines` has it.
CORRELATED_MM = 12.0


def reader_errors(
    shape: tuple[int, ...], spacing_mm: float, patch_mm: float, shared_mm: float, seed: int
) -> NDArray[np.float64]:
    """A smooth random displacement of an outline, [mm], shape of the grid."""
    rng = np.random.default_rng(seed)
    sigma = 0.5 * CORRELATED_MM / spacing_mm
    smooth = gaussian_filter(rng.normal(size=shape), sigma, mode="wrap")
    return patch_mm * smooth / smooth.std() + shared_mm * rng.normal()


def write_followed_patient(
    source: Path,
    target: Path,
    days: list[int],
    truth: dict[str, float],
    *,
    given: str = "",
    regimen: Regimen | None = None,
    patch_mm: float = 1.0,
    shared_mm: float = 0.5,
    seed: int = 0,
) -> Path:
    """Copy a patient and add follow-up scans, as a run on its coarse mesh with half steps shows it.

    Parameters
    ----------
    source : Path
        A ``patient.toml`` without follow-ups.
    target : Path
        New folder.
    days : list of int, [day]
    truth : dict
        Parameters of the run.
    given : str
        Tables of treatment for the new file, and `regimen` the same for the run.
    patch_mm, shared_mm : float, [mm]
        Errors of the reader.
    """
    shutil.copytree(
        source.parent,
        target,
        ignore=shutil.ignore_patterns("results", "model*", "*.html", "pictures", "study.toml"),
    )
    patient = twin.load(source)
    parameters = patient.parameters.replace(**truth)
    coarse = patient.on_coarse_mesh().replace(parameters=parameters)
    times = [float(day) for day in days]
    solver = FiniteElementSolver(step_day=0.5)
    run = solver.solve(coarse, regimen or Regimen(), times, save=Save(fields_at=times))
    grid = patient.grid
    everywhere = np.stack(
        np.meshgrid(*(np.arange(side) for side in grid.shape), indexing="ij"), axis=-1
    ).reshape(-1, 3)
    head = patient.tissues.ravel() > 1
    sampler = MeshSampler(coarse.mesh.points, coarse.mesh.cells, grid.to_world(everywhere[head]))
    text = (target / "patient.toml").read_text(encoding="utf-8")
    for number, day in enumerate(days):
        density = np.zeros(grid.shape)
        density[patient.tissues > 1] = sampler(run.tumour_density.values[number])
        labels = np.zeros(grid.shape, np.uint8)
        for value, name, k in ((2, "threshold_flair", 0), (4, "threshold_t1gd", 1)):
            mask = density > parameters.value(name)
            if mask.any():
                errors = reader_errors(
                    grid.shape, grid.spacing_mm, patch_mm, shared_mm, seed + 10 * number + k
                )
                mask = (distance_to(mask, grid.spacing_mm) < errors) & (patient.tissues > 1)
            labels[mask] = value
        name = f"follow_up_{number + 1}.nii.gz"
        nib.save(nib.Nifti1Image(labels, grid.affine), target / name)
        date = patient.calendar.date(day).isoformat()
        text += f'\n[[follow_up]]\ndate = {date}\nsegmentation = "{name}"\n'
    (target / "patient.toml").write_text(text + given, encoding="utf-8")
    return target / "patient.toml"
