"""A made-up patient for whole courses: a round head of 24 mm with a round tumour."""

from __future__ import annotations

import datetime as dt
import functools

import numpy as np

from twin.calendar import Calendar
from twin.courses import Radiotherapy, Temozolomide
from twin.meshing import build_mesh, wanted_cell_size
from twin.parameters import load_parameter_set
from twin.patient import MESH_LABELS, Grid, Structure, Twin
from twin.regimen import Regimen

__all__ = ["bench_twin", "short_course"]

_VOXEL_MM, _SIDE = 2.0, 27
_TUMOUR_MM = np.array([5.0, 2.0, 3.0])


@functools.lru_cache(maxsize=1)
def bench_twin() -> Twin:
    """The patient on a mesh of about 3,000 nodes by the patient's mesher; made in a second."""
    affine = np.diag([_VOXEL_MM, _VOXEL_MM, _VOXEL_MM, 1.0])
    affine[:3, 3] = -_VOXEL_MM * (_SIDE - 1) / 2
    steps = affine[0, 3] + _VOXEL_MM * np.arange(_SIDE)
    points = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1)
    radius = np.linalg.norm(points, axis=-1)
    tumour = np.linalg.norm(points - _TUMOUR_MM, axis=-1)
    tissues = np.select([radius < 15, radius < 21, radius < 24], [3, 2, 1], 0).astype(np.int8)
    core = tumour < 6.0
    masks = {
        "necrosis": Structure(tumour < 3.0, "tumour"),
        "enhancing": Structure(core & (tumour >= 3.0), "tumour"),
        "flair": Structure(~core & (tumour < 10.0) & (tissues >= 2), "tumour"),
        "brain": Structure(tissues > 0, "organ", parameter="alpha_beta_brain"),
    }
    labels = tissues.astype(np.int16)
    labels[masks["enhancing"].mask] = MESH_LABELS["enhancing"]
    labels[masks["necrosis"].mask] = MESH_LABELS["necrosis"]
    size = wanted_cell_size(
        labels, _VOXEL_MM, fine_mm=3.0, fine_region=tumour < 12.0, coarse_mm=12.0, grading=0.5
    )
    mesh = build_mesh(
        labels,
        affine,
        label_names={number: name for name, number in MESH_LABELS.items()},
        cell_size_mm=size,
        smallest_cell_mm=3.0,
    )
    return Twin(
        name="bench",
        mesh=mesh,
        coarse_mesh=mesh,
        coarsest_mesh=mesh,
        grid=Grid((_SIDE, _SIDE, _SIDE), affine),
        tissues=tissues,
        image=None,
        structures=masks,
        parameters=load_parameter_set("glioblastoma"),
        calendar=Calendar(dt.date(2026, 3, 30)),
        body_surface_m2=1.8,
        delivered=Regimen(),
    )


def short_course() -> Regimen:
    """Thirty fractions with temozolomide, begun on day 2.25."""
    return Regimen(
        Radiotherapy(total_dose_gy=60.0, fractions=30, start_day=2.25), Temozolomide(cycles=1)
    )
