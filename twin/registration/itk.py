"""Arrays to SimpleITK and back; heavy, so that it is imported inside functions only.

SimpleITK is told right-anterior-superior coordinates, as everywhere here, although it
names its own left-posterior-superior: it does not mind as long as all images do so.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import SimpleITK
from numpy.typing import NDArray

__all__ = ["affine_matrix", "one_thread", "to_itk"]


@contextmanager
def one_thread() -> Iterator[None]:
    """SimpleITK on one thread meanwhile.

    A registration's own setting does not reach the parts that it is made of, whose sums
    would then depend on which thread ends first.
    """
    before = SimpleITK.ProcessObject.GetGlobalDefaultNumberOfThreads()
    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        yield
    finally:
        SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(before)


def to_itk(data: NDArray[Any], affine: NDArray[np.float64]) -> SimpleITK.Image:
    """The image of SimpleITK with values `data`, shape (i, j, k), in the place of `affine`."""
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(data.transpose(2, 1, 0)))
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    image.SetDirection((affine[:3, :3] / spacing).ravel().tolist())
    return image


def affine_matrix(transform: Any) -> NDArray[np.float64]:
    """The matrix of a linear transform, [mm], shape (4, 4)."""
    origin = np.array(transform.TransformPoint((0.0, 0.0, 0.0)))
    columns = [np.array(transform.TransformPoint(row)) - origin for row in np.eye(3).tolist()]
    matrix = np.eye(4)
    matrix[:3, :3] = np.stack(columns, axis=1)
    matrix[:3, 3] = origin
    return matrix
