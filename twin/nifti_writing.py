"""NIfTI files that hold voxels and their place, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twin.images import Image
from twin.storage import storage_errors, write_atomically

__all__ = ["smallest_type", "write_nifti", "write_values"]


def smallest_type(data: NDArray[Any]) -> NDArray[Any]:
    """Return `data` in the smallest type that keeps every value: whole numbers as integers.

    Examples
    --------
    >>> smallest_type(np.array([0.0, -1000.0])).dtype, smallest_type(np.array([0.5])).dtype
    (dtype('int16'), dtype('float32'))
    """
    if data.dtype.kind == "b":
        return data.view(np.uint8)
    if data.dtype.kind == "f" and not (data == np.rint(data)).all():
        return data.astype(np.float32)
    low, high = (data.min(), data.max()) if data.size else (0, 0)
    for kind in (np.uint8, np.int16, np.int32):
        limits = np.iinfo(kind)
        if limits.min <= low and high <= limits.max:
            return data.astype(kind)
    return data.astype(np.float32)


def write_nifti(path: Path, image: Image) -> None:
    """Write an image as compressed NIfTI, in mm, without any text in its header."""
    import nibabel as nib

    data = np.asfortranarray(smallest_type(np.asarray(image.data)))  # as the file stores it
    picture = nib.Nifti1Image(data, np.array(image.affine))
    picture.header.set_xyzt_units("mm")
    picture.set_qform(picture.affine, 1)
    picture.set_sform(picture.affine, 1)
    with storage_errors(path):
        nib.save(picture, path)


def write_values(path: Path, values: NDArray[Any], affine: NDArray[np.float64]) -> None:
    """Write values of any shape (x, y, z, ...) in their own type, in mm, whole or not at all."""
    import nibabel as nib

    picture = nib.Nifti1Image(values, affine)
    picture.header.set_xyzt_units("mm")
    write_atomically(path, lambda temporary: nib.save(picture, temporary))
