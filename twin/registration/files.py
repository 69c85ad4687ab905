"""A registration written to a folder, in the convention of ITK, ANTs and 3D Slicer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from twin.dicom.geometry import LPS_TO_RAS
from twin.registration.registering import Registration

__all__ = ["write_registration"]

_VECTOR = 1007  # NIfTI's code for vectors, as ITK and ANTs take it: not turned when read


def write_registration(registration: Registration, folder: Path) -> list[str]:
    """Names of the files written into an existing folder.

    ``transform.tfm`` is the linear part, ``displacement.nii.gz`` the field of a deformable
    one, both as ITK has them: points of the fixed image go to points of the moving one,
    first by the field, then by the matrix (``antsApplyTransforms -t transform.tfm -t
    displacement.nii.gz``). ``registration.json`` holds the figures, and the matrix in
    right-anterior-superior coordinates.
    """
    import SimpleITK

    from twin import __version__

    transform = registration.transform
    matrix = LPS_TO_RAS @ transform.matrix @ LPS_TO_RAS
    linear = SimpleITK.AffineTransform(3)
    linear.SetMatrix(matrix[:3, :3].ravel().tolist())
    linear.SetTranslation(matrix[:3, 3].tolist())
    SimpleITK.WriteTransform(linear, str(folder / "transform.tfm"))
    written = ["transform.tfm", "registration.json"]
    if transform.field is not None and transform.field_affine is not None:
        _write_field(transform.field, transform.field_affine, folder / "displacement.nii.gz")
        written.insert(1, "displacement.nii.gz")
    document: dict[str, Any] = {
        "kind": registration.kind,
        "program": f"therapy-twin {__version__}",
        "matrix_fixed_to_moving_ras_mm": transform.matrix.tolist(),
        "displacement_before_matrix": transform.field is not None,
        "quality": registration.quality.as_dict(),
    }
    (folder / "registration.json").write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    return written


def _write_field(field: NDArray[np.float32], affine: NDArray[np.float64], path: Path) -> None:
    """Displacements in ITK's coordinates, [mm], as one vector per voxel."""
    turn = LPS_TO_RAS[:3, :3] @ affine[:3, :3]
    vectors = np.einsum("ab,bijk->ijka", turn, field).astype(np.float32)
    image = nib.Nifti1Image(vectors[:, :, :, None, :], affine)
    image.header.set_intent(_VECTOR)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)
