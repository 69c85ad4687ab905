"""Displacement fields on a grid: look up, compose, invert, and how they turn and stretch.

A field has shape (3, i, j, k) and is in voxels of its grid: the point of voxel x goes
to x + u(x).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from twin.compiled import compiled

__all__ = ["composed", "enlarged", "inverted", "jacobian_determinant", "jacobian_matrices", "moved"]

Field = NDArray[np.float32]


@compiled
def _lookup(values: Field, by: Field, hold: bool, result: Field) -> None:
    """Trilinear values at the places x + by(x); the edge's value outside if `hold`, else 0."""
    count, ni, nj, nk = values.shape
    for i in range(ni):
        for j in range(nj):
            for k in range(nk):
                x = i + by[0, i, j, k]
                y = j + by[1, i, j, k]
                z = k + by[2, i, j, k]
                outside = not (
                    -0.5 <= x <= ni - 0.5 and -0.5 <= y <= nj - 0.5 and -0.5 <= z <= nk - 0.5
                )
                if outside and not hold:
                    for c in range(count):
                        result[c, i, j, k] = 0.0
                    continue
                x = min(max(x, 0.0), ni - 1.0)
                y = min(max(y, 0.0), nj - 1.0)
                z = min(max(z, 0.0), nk - 1.0)
                a = min(int(x), ni - 2)
                b = min(int(y), nj - 2)
                d = min(int(z), nk - 2)
                p = x - a
                q = y - b
                r = z - d
                for c in range(count):
                    low = (
                        values[c, a, b, d] * (1 - p) * (1 - q)
                        + values[c, a + 1, b, d] * p * (1 - q)
                        + values[c, a, b + 1, d] * (1 - p) * q
                        + values[c, a + 1, b + 1, d] * p * q
                    )
                    high = (
                        values[c, a, b, d + 1] * (1 - p) * (1 - q)
                        + values[c, a + 1, b, d + 1] * p * (1 - q)
                        + values[c, a, b + 1, d + 1] * (1 - p) * q
                        + values[c, a + 1, b + 1, d + 1] * p * q
                    )
                    result[c, i, j, k] = low * (1 - r) + high * r


def moved(image: NDArray[np.float32], field: Field) -> NDArray[np.float32]:
    """Values of an image at x + u(x), 0 outside, shape (i, j, k).

    Examples
    --------
    >>> ramp = np.broadcast_to(np.arange(4.0, dtype=np.float32)[:, None, None], (4, 2, 2))
    >>> moved(ramp, np.full((3, 4, 2, 2), 0.5, np.float32) * [[[[1]]], [[[0]]], [[[0]]]])[:, 0, 0]
    array([0.5, 1.5, 2.5, 3. ], dtype=float32)
    """
    return _looked_up(image[None], field, hold=False)[0]


def _looked_up(values: NDArray[np.float32], field: Field, *, hold: bool) -> NDArray[np.float32]:
    result = np.empty(values.shape, np.float32)
    _lookup(
        np.ascontiguousarray(values, np.float32),
        np.ascontiguousarray(field, np.float32),
        hold,
        result,
    )
    return result


def composed(first: Field, second: Field) -> Field:
    """The field of `first` and then `second`: u(x) = first(x) + second(x + first(x)).

    Examples
    --------
    >>> one = np.ones((3, 4, 4, 4), np.float32)
    >>> float(composed(one, 2 * one).max())
    3.0
    """
    return first + _looked_up(second, first, hold=True)


def inverted(field: Field, *, iterations: int = 30) -> Field:
    """The field v with v(x) = -u(x + v(x)), by fixed-point iteration.

    It converges where the field's steepest slope is below 1, and in practice for fields
    without folds (Chen et al., Med Phys 2008;35:81, 10.1118/1.2816107 [unverified]).

    Examples
    --------
    >>> shift = np.full((3, 6, 6, 6), 0.25, np.float32)
    >>> float(inverted(shift).max())
    -0.25
    """
    inverse = -field
    for _ in range(iterations):
        inverse = 0.5 * inverse - 0.5 * _looked_up(field, inverse, hold=True)
    return inverse


def jacobian_matrices(field: Field) -> NDArray[np.float32]:
    """Derivatives of x + u(x) by x, [1], shape (i, j, k, 3, 3)."""
    result = np.empty((*field.shape[1:], 3, 3), np.float32)
    for row in range(3):
        for column, slope in enumerate(np.gradient(field[row])):
            result[..., row, column] = slope + (row == column)
    return result


def jacobian_determinant(field: Field) -> NDArray[np.float32]:
    """Volume of what a voxel becomes, in voxels, [1], shape (i, j, k); below 0 space is folded.

    Examples
    --------
    >>> stretch = np.zeros((3, 5, 5, 5), np.float32)
    >>> stretch[0] = 0.2 * np.arange(5)[:, None, None]
    >>> float(jacobian_determinant(stretch)[2, 2, 2].round(6))
    1.2000000476837158
    """
    (a, b, c), (d, e, f), (g, h, i) = (np.gradient(field[row]) for row in range(3))
    a, e, i = a + 1.0, e + 1.0, i + 1.0
    return np.asarray(a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g), np.float32)


def enlarged(
    field: Field,
    affine: NDArray[np.float64],
    shape: tuple[int, ...],
    to_affine: NDArray[np.float64],
) -> Field:
    """The field on another grid along the same axes, in voxels of that one."""
    step = np.linalg.inv(affine) @ to_affine
    scale = float(np.linalg.norm(affine[:3, 0]) / np.linalg.norm(to_affine[:3, 0]))
    return np.stack(
        [
            ndimage.affine_transform(
                scale * part,
                np.diag(step[:3, :3]).copy(),
                step[:3, 3],
                output_shape=tuple(shape),
                order=1,
                mode="nearest",
            )
            for part in field
        ]
    ).astype(np.float32)
