"""Patients whose follow-up scans come from a run with known parameters on another mesh."""

from __future__ import annotations

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np

import twin
from scenarios.calibration.simulated import simulated_follow_ups
from solvers.calibration.outlines import OutlineNoise
from twin.regimen import Regimen


def write_followed_patient(
    source: Path,
    target: Path,
    days: list[int],
    truth: dict[str, float],
    *,
    patch_mm: float,
    shared_mm: float,
    seed: int,
) -> Path:
    """Copy an untreated patient and add follow-up scans, as its coarse mesh with half steps shows.

    Parameters
    ----------
    source : Path
        A ``patient.toml`` without follow-ups.
    target : Path
        New folder.
    days : list of int, [day]
    truth : dict
        Parameters of the run.
    patch_mm, shared_mm : float, [mm]
        Errors of the reader.
    seed : int
    """
    shutil.copytree(source.parent, target)
    patient = twin.load(source)
    scans = simulated_follow_ups(
        patient.on_coarse_mesh(),
        patient.parameters.replace(**truth),
        Regimen(),
        days,
        OutlineNoise(patch_mm, shared_mm),
        seed=seed,
    )
    text = (target / "patient.toml").read_text(encoding="utf-8")
    for number, scan in enumerate(scans, start=1):
        labels = np.where(scan.core, 4, np.where(scan.whole, 2, 0)).astype(np.uint8)
        name = f"follow_up_{number}.nii.gz"
        nib.save(nib.Nifti1Image(labels, patient.grid.affine), target / name)
        text += f'\n[[follow_up]]\ndate = {scan.date.isoformat()}\nsegmentation = "{name}"\n'
    (target / "patient.toml").write_text(text, encoding="utf-8")
    return target / "patient.toml"
