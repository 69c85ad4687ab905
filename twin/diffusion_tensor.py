"""Diffusion tensor images: components, axes, checks, and the log-Euclidean mean.

A tensor is six numbers in Voigt order, xx yy zz yz xz xy, in right-anterior-superior
axes; six zeros say that none is known. Direction and anisotropy alone count, so that
the unit does not matter.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from twin.errors import InvalidInput

__all__ = [
    "VOIGT",
    "WHITE",
    "TumourTensor",
    "check_tensor",
    "component_order",
    "from_matrices",
    "inside_tumour",
    "known",
    "log_tensor",
    "resampled",
    "to_matrices",
    "to_world",
]

TumourTensor = Literal["isotropic", "mirror", "measured"]
#: Places of the six components in a matrix.
VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
#: Number of white matter in a tissue map.
WHITE = 3
#: Least eigenvalue allowed, as a share of the largest: what single precision tells from 0.
LEAST_SHARE = 1e-6
_NAMES = ("xx", "yy", "zz", "yz", "xz", "xy")
_HALF = 0.5  # weight of known voxels from which a mean is known
_CHUNK = 400_000  # voxels worked on at a time


def component_order(order: str) -> tuple[int, ...]:
    """Numbers of the file's volumes in Voigt order.

    Parameters
    ----------
    order : str
        Such as ``"xx xy xz yy yz zz"`` (FSL) or ``"xx yy zz xy xz yz"`` (MRtrix).

    Raises
    ------
    InvalidInput
        Not the six components, each once.

    Examples
    --------
    >>> component_order("xx xy xz yy yz zz")
    (0, 3, 5, 4, 2, 1)
    """
    names = ["".join(sorted(name)) for name in order.lower().replace(",", " ").split()]
    if sorted(names) != sorted(_NAMES):
        raise InvalidInput(
            f'the order "{order}" does not name each of xx, yy, zz, yz, xz, xy once; write for '
            'example "xx xy xz yy yz zz" (FSL) or "xx yy zz xy xz yz" (MRtrix).'
        )
    return tuple(names.index(name) for name in _NAMES)


def to_matrices(tensor: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Symmetric matrices of tensors in Voigt order, shape (..., 3, 3).

    Examples
    --------
    >>> to_matrices(np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])).tolist()
    [[1.0, 6.0, 5.0], [6.0, 2.0, 4.0], [5.0, 4.0, 3.0]]
    """
    matrix = np.empty((*tensor.shape[:-1], 3, 3))
    for number, (row, column) in enumerate(VOIGT):
        matrix[..., row, column] = matrix[..., column, row] = tensor[..., number]
    return matrix


def from_matrices(matrix: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Voigt order of symmetric matrices, shape (..., 6); the inverse of `to_matrices`."""
    return np.stack([np.asarray(matrix, np.float64)[..., r, c] for r, c in VOIGT], axis=-1)


def to_world(
    tensor: NDArray[np.floating[Any]], frame: str, file_affine: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Tensors in right-anterior-superior axes, shape (..., 6).

    Parameters
    ----------
    tensor : ndarray, shape (..., 6)
        Voigt order, in the axes of `frame`.
    frame : {"world", "image", "fsl"}
        "world": as they are. "image": along the file's voxel axes. "fsl": these, with the
        first reversed where the file's affine has a positive determinant, as FSL writes
        gradients and tensors (FSL FDT user guide [unverified]).
    file_affine : ndarray, [mm], shape (4, 4)
        Of the file, before its axes are put in any order.

    Raises
    ------
    InvalidInput
        Axes that are not at right angles.
    """
    if frame == "world":
        return np.asarray(tensor, np.float64)
    axes = file_affine[:3, :3] / np.linalg.norm(file_affine[:3, :3], axis=0)
    if not np.abs(axes.T @ axes - np.eye(3)).max() < 1e-3:
        raise InvalidInput(
            "The tensor image's axes are not at right angles; resample it, or give its tensors "
            'in world axes (frame = "world").'
        )
    if frame == "fsl" and np.linalg.det(axes) > 0:
        axes = axes * [-1.0, 1.0, 1.0]
    left, _, right = np.linalg.svd(axes)
    turn = left @ right  # the nearest rotation (or reflection, which a tensor does not feel)
    return from_matrices(turn @ to_matrices(tensor) @ turn.T)


def known(tensor: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
    """Where there is a tensor at all, shape (...)."""
    return np.asarray((tensor != 0).any(axis=-1))


def check_tensor(
    tensor: NDArray[np.floating[Any]], tissue: NDArray[np.bool_], *, what: str
) -> NDArray[np.float32]:
    """The tensors with zeros outside `tissue`, all others checked.

    Parameters
    ----------
    tensor : ndarray, shape (i, j, k, 6)
    tissue : ndarray of bool, shape (i, j, k)
    what : str
        Begins the error, such as "Tensor image dti.nii.gz".

    Raises
    ------
    InvalidInput
        A tensor in tissue that is not finite or not positive definite.
    """
    used = known(tensor) & tissue
    values = np.asarray(tensor[used], np.float64)
    place = np.argwhere(used)
    finite = np.isfinite(values).all(axis=-1)
    if not finite.all():
        where = tuple(place[int((~finite).argmax())].tolist())
        raise InvalidInput(
            f"{what} has {int((~finite).sum())} tensors in tissue that are NaN or infinite, the "
            f"first at voxel {where}; fit them again, or set all six components there to 0."
        )
    for start in range(0, len(values), _CHUNK):
        eigenvalues = np.linalg.eigvalsh(to_matrices(values[start : start + _CHUNK]))
        bad = ~(eigenvalues[:, 0] > LEAST_SHARE * np.abs(eigenvalues).max(axis=1))
        if bad.any():
            first = int(bad.argmax())
            where = tuple(place[start + first].tolist())
            raise InvalidInput(
                f"{what} has {_not_positive(values)} tensors in tissue with an eigenvalue that is "
                f"not positive, the first at voxel {where} ({eigenvalues[first, 0]:.3g}); fit them "
                "with a positivity constraint, or set all six components there to 0 (no "
                "direction); check that order and frame are those of the file."
            )
    return np.where(used[..., None], tensor, 0.0).astype(np.float32)


def _not_positive(values: NDArray[np.float64]) -> int:
    """How many of the tensors have an eigenvalue that is not positive."""
    eigenvalues = np.linalg.eigvalsh(to_matrices(values))
    return int((~(eigenvalues[:, 0] > LEAST_SHARE * np.abs(eigenvalues).max(axis=1))).sum())


def log_tensor(tensor: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Matrix logarithm without its trace, in Voigt order, shape (..., 6).

    The trace of a logarithm is the size of the tensor, which does not count; without
    it an unknown tensor (zeros) is 0, isotropic, and means of known and unknown are
    defined (log-Euclidean: Arsigny 2006, Magn Reson Med 56:411, 10.1002/mrm.20965
    [unverified]).

    Examples
    --------
    >>> log_tensor(np.array([np.e, 1.0, 1 / np.e, 0.0, 0.0, 0.0])).round(12)[:3].tolist()
    [1.0, 0.0, -1.0]
    """
    result = np.zeros(tensor.shape)
    there = known(tensor)
    result[there] = _log(np.asarray(tensor[there], np.float64))
    result[..., :3] -= result[..., :3].mean(axis=-1, keepdims=True)
    return result


def _log(tensor: NDArray[np.float64]) -> NDArray[np.float64]:
    """Matrix logarithms, shape (n, 6)."""
    result = np.empty(tensor.shape)
    for start in range(0, len(tensor), _CHUNK):
        part = slice(start, start + _CHUNK)
        values, vectors = np.linalg.eigh(to_matrices(tensor[part]))
        result[part] = from_matrices((vectors * np.log(values)[:, None, :]) @ _turned(vectors))
    return result


def _exp(logarithm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Matrix exponentials, shape (n, 6)."""
    values, vectors = np.linalg.eigh(to_matrices(logarithm))
    return from_matrices((vectors * np.exp(values)[:, None, :]) @ _turned(vectors))


def _turned(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.swapaxes(vectors, -1, -2)


def resampled(
    tensor: NDArray[np.floating[Any]],
    affine: NDArray[np.float64],
    shape: tuple[int, int, int],
    to_affine: NDArray[np.float64],
) -> NDArray[np.float32]:
    """The tensors on another grid, by the trilinear mean of their logarithms.

    Unknown tensors do not count; where they have more than half of the weight the mean
    is unknown. Places outside the image are unknown. On the same grid nothing changes.

    Parameters
    ----------
    tensor : ndarray, shape (i, j, k, 6)
        In world axes, which resampling leaves alone.
    affine : ndarray, [mm], shape (4, 4)
        Of `tensor`.
    shape, to_affine
        The grid wanted.

    Returns
    -------
    ndarray of float32, shape (*shape, 6)
    """
    step = np.linalg.inv(affine) @ to_affine
    if tensor.shape[:3] == tuple(shape) and np.abs(step - np.eye(4)).max() < 1e-6:
        return np.asarray(tensor, np.float32)
    there = known(tensor)
    logarithm = np.zeros(tensor.shape)
    logarithm[there] = _log(np.asarray(tensor[there], np.float64))

    def moved(values: NDArray[Any]) -> NDArray[np.float64]:
        return ndimage.affine_transform(
            values.astype(np.float64),
            step[:3, :3],
            step[:3, 3],
            output_shape=shape,
            order=1,
            mode="grid-constant",
            cval=0.0,
        )

    weight = moved(there)
    sums = np.stack([moved(logarithm[..., number]) for number in range(6)], axis=-1)
    enough = weight >= _HALF
    result = np.zeros((*shape, 6), np.float32)
    result[enough] = _exp(sums[enough] / weight[enough][:, None])
    return result


def inside_tumour(
    tensor: NDArray[np.floating[Any]],
    tumour: NDArray[np.bool_],
    tissues: NDArray[np.int8],
    to_world_axes: NDArray[np.float64],
    choice: TumourTensor,
) -> NDArray[np.float32]:
    """The tensors with those in tumour and oedema taken as `choice` says.

    Parameters
    ----------
    tensor : ndarray, shape (i, j, k, 6)
    tumour : ndarray of bool, shape (i, j, k)
        Tumour and oedema: the measured tensor is not that of the tract there.
    tissues : ndarray of int8, shape (i, j, k)
        0 outside the head, `WHITE` in white matter.
    to_world_axes : ndarray, [mm], shape (4, 4)
        The grid's affine.
    choice : {"isotropic", "mirror", "measured"}
        "mirror" reflects about the plane midway between the left and right ends of the
        head's tissues: approximate, since no head is symmetric or lies straight. It is taken
        where both voxels are white matter and the other is outside the tumour; elsewhere
        in the tumour there is no direction.

    Returns
    -------
    ndarray of float32, shape (i, j, k, 6)

    Raises
    ------
    InvalidInput
        "mirror" on a grid whose first axis is more than 20 degrees from left-right.
    """
    result = np.array(tensor, np.float32)
    if choice == "measured":
        return result
    result[tumour] = 0.0
    white = tissues == WHITE
    if choice == "isotropic" or not (tumour & white).any():
        return result
    axis = to_world_axes[:3, 0] / np.linalg.norm(to_world_axes[:3, 0])
    if not abs(axis[0]) > np.cos(np.deg2rad(20.0)):
        raise InvalidInput(
            'The images lie more than 20 degrees askew, so tumour_tensor = "mirror" has no plane '
            'to mirror at; straighten the images or choose "isotropic".'
        )
    filled = np.flatnonzero((tissues > 0).any(axis=(1, 2)))
    place = np.argwhere(tumour & white)
    other = place.copy()
    other[:, 0] = int(filled[0]) + int(filled[-1]) - place[:, 0]
    inside = (other[:, 0] >= 0) & (other[:, 0] < len(tumour))
    place, other = place[inside], other[inside]
    good = (white & ~tumour)[tuple(other.T)]
    place, other = place[good], other[good]
    reflection = np.eye(3) - 2.0 * np.outer(axis, axis)
    seen = to_matrices(np.asarray(tensor)[tuple(other.T)])
    result[tuple(place.T)] = from_matrices(reflection @ seen @ reflection)
    return result
