"""A tiny synthetic patient for tests: a head of 25 mm radius with a round tumour."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np

SPACING_MM = 2.0
HEAD_RADIUS_MM = 25.0
TUMOUR_CENTRE_MM = (6.0, 2.0, 4.0)
NECROSIS_RADIUS_MM = 3.0
ENHANCING_RADIUS_MM = 6.0
FLAIR_RADIUS_MM = 10.0

PATIENT_TOML = """\
format = 1

[patient]
name = "small"
body_surface = "1.8 m2"

[[visit]]
date = 2026-03-30
reference = true
t1 = "t1.nii.gz"
tissues = "tissues.nii.gz"
segmentation = "segmentation.nii.gz"
labels = "brats"

[structures]
file = "structures.nii.gz"

[structures.labels]
brainstem = { label = 1, parameter = "alpha_beta_brainstem", stylised = true, source = "a ball" }

[parameters]
set = "glioblastoma"

[mesh]
cell_size = "2.6 mm"
fine_margin = "5 mm"
far_cell_size = "10.4 mm"
"""


def write_small_patient(folder: Path, *, toml: str = PATIENT_TOML) -> Path:
    """Write the images and ``patient.toml`` into `folder`; return the path of the latter.

    A ball of white matter (15 mm), grey matter (to 22 mm) and fluid (to 25 mm)
    at 2 mm voxels; necrosis of 3, enhancing tumour of 6 and FLAIR abnormality
    of 10 mm radius about (6, 2, 4) mm; a stylised "brainstem" of 5 mm at the
    opposite side. Day 0 is Monday 30 March 2026.
    """
    folder.mkdir(parents=True, exist_ok=True)
    side = 29
    affine = np.diag([SPACING_MM, SPACING_MM, SPACING_MM, 1.0])
    affine[:3, 3] = -SPACING_MM * (side - 1) / 2
    steps = affine[0, 3] + SPACING_MM * np.arange(side)
    points = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1)
    radius = np.linalg.norm(points, axis=-1)
    from_tumour = np.linalg.norm(points - np.array(TUMOUR_CENTRE_MM), axis=-1)

    tissues = np.select([radius < 15, radius < 22, radius < HEAD_RADIUS_MM], [3, 2, 1], 0)
    segmentation = np.select(
        [
            from_tumour < NECROSIS_RADIUS_MM,
            from_tumour < ENHANCING_RADIUS_MM,
            (from_tumour < FLAIR_RADIUS_MM) & (tissues >= 2),
        ],
        [1, 4, 2],
        0,
    )
    organ = np.linalg.norm(points - np.array([-8.0, -6.0, -10.0]), axis=-1) < 5.0
    t1 = np.select([tissues == 1, tissues == 2, tissues == 3], [40, 120, 180], 0)
    t1[segmentation == 4] = 230

    for name, data, kind in (
        ("tissues", tissues, np.int8),
        ("segmentation", segmentation, np.uint8),
        ("structures", organ, np.uint8),
        ("t1", t1, np.uint8),
    ):
        nib.save(nib.Nifti1Image(data.astype(kind), affine), folder / f"{name}.nii.gz")
    path = folder / "patient.toml"
    path.write_text(toml, encoding="utf-8")
    return path
