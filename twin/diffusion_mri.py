"""Diffusion-weighted MRI to diffusion tensors, by dipy's weighted least squares.

The tensors come out in world axes (right, anterior, superior), so a patient file takes them
as ``tensor = { file = ..., order = "xx yy zz yz xz xy", frame = "world" }``. Gradients in
text files are in the axes of the file's voxels; FSL's have the first reversed where the file
is neurological (a positive determinant of its affine).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from twin.diffusion_tensor import from_matrices
from twin.errors import InvalidInput

__all__ = ["FittedTensor", "fit_tensor", "read_gradients", "world_directions"]

#: b-values up to this count as without weighting, [s/mm2].
B0_THRESHOLD = 50.0
#: A tensor is no good description of stronger weighting, [s/mm2] (assumed: usual practice).
HIGHEST_B = 1500.0
_MOST_VOLUMES = 4096


@dataclass(frozen=True, slots=True, eq=False)
class FittedTensor:
    """Tensors of water's diffusion.

    Parameters
    ----------
    tensor : ndarray of float32, [mm2/s], shape (i, j, k, 6)
        xx yy zz yz xz xy in right-anterior-superior axes; zero where none was fitted.
    fractional_anisotropy : ndarray of float32, [1], shape (i, j, k)
    mean_diffusivity : ndarray of float32, [mm2/s], shape (i, j, k)
        A third of the trace: the ADC.
    notes : tuple of str
    """

    tensor: NDArray[np.float32]
    fractional_anisotropy: NDArray[np.float32]
    mean_diffusivity: NDArray[np.float32]
    notes: tuple[str, ...]


def read_gradients(b_values: Path, directions: Path) -> tuple[NDArray, NDArray]:
    """Return b-values [s/mm2], shape (volume,), and directions, shape (volume, 3), of text files.

    Directions may be written in three rows or three columns; NaN stands for none.

    Raises
    ------
    InvalidInput
        Missing, no numbers, or of different lengths.
    """
    values = _numbers(b_values, "b-values").ravel()
    vectors = _numbers(directions, "directions")
    if vectors.shape == (3, len(values)) and len(values) != 3:
        vectors = vectors.T
    if vectors.shape != (len(values), 3):
        raise InvalidInput(
            f"{directions.name} holds {' x '.join(map(str, vectors.shape))} numbers, which are not "
            f"three for each of the {len(values)} b-values in {b_values.name}."
        )
    return values, np.nan_to_num(vectors, nan=0.0)


def _numbers(path: Path, what: str) -> NDArray[np.float64]:
    if not path.is_file():
        raise InvalidInput(f"There is no file {path} of {what}; check its name, or state it.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = np.loadtxt(path, ndmin=2, max_rows=_MOST_VOLUMES)
    except (ValueError, UnicodeDecodeError):
        raise InvalidInput(f"{path.name} must hold nothing but numbers ({what}).") from None
    if found.size == 0:
        raise InvalidInput(f"{path.name} holds no {what}.")
    return found


def world_directions(directions: ArrayLike, file_affine: ArrayLike) -> NDArray[np.float64]:
    """Turn directions by FSL's convention into right-anterior-superior axes, shape (volume, 3).

    Parameters
    ----------
    directions : array_like, [1], shape (volume, 3)
        In the axes of the file's voxels, the first reversed where the file is neurological.
    file_affine : array_like, shape (4, 4)
        Of the file as it is stored.

    Examples
    --------
    >>> world_directions([[1.0, 0.0, 0.0]], np.diag([2.0, 2.0, 2.0, 1.0])).tolist()
    [[-1.0, 0.0, 0.0]]
    >>> world_directions([[1.0, 0.0, 0.0]], np.diag([-2.0, 2.0, 2.0, 1.0])).tolist()
    [[-1.0, 0.0, 0.0]]
    """
    axes = np.asarray(file_affine, np.float64)[:3, :3]
    turned = axes / np.linalg.norm(axes, axis=0)
    vectors = np.array(directions, np.float64)
    if np.linalg.det(axes) > 0:
        vectors[:, 0] *= -1.0
    return vectors @ turned.T + 0.0


def fit_tensor(
    data: NDArray[np.floating],
    b_values: ArrayLike,
    directions: ArrayLike,
    *,
    mask: NDArray[np.bool_] | None = None,
    b0_threshold: float = B0_THRESHOLD,
    highest_b: float = HIGHEST_B,
) -> FittedTensor:
    """Fit a tensor to each voxel's signal by weighted least squares.

    Parameters
    ----------
    data : ndarray, shape (i, j, k, volume)
        Signal.
    b_values : array_like, [s/mm2], shape (volume,)
    directions : array_like, [1], shape (volume, 3)
        Of the gradients, in right-anterior-superior axes.
    mask : ndarray of bool, shape (i, j, k)
        Where to fit; where the mean signal without weighting is above a tenth of its 99th
        percentile if None.
    b0_threshold, highest_b : float, [s/mm2]
        What counts as without weighting, and up to what weighting is used.

    Raises
    ------
    InvalidInput
        Lengths that differ, no volume without weighting, fewer than six directions.
    """
    from dipy.core.gradients import gradient_table
    from dipy.reconst.dti import TensorModel

    signal = np.asarray(data, np.float64)
    b, vectors = np.asarray(b_values, np.float64), np.asarray(directions, np.float64)
    if signal.ndim != 4 or signal.shape[3] != len(b) or vectors.shape != (len(b), 3):
        raise InvalidInput(
            f"{signal.shape[-1] if signal.ndim == 4 else 1} volumes, {len(b)} b-values and "
            f"{len(vectors)} directions do not go together; each volume needs one of each."
        )
    if not ((b >= 0.0) & (b < 1e5)).all():
        raise InvalidInput("A b-value is negative or not finite; they are in s/mm2.")
    length = np.linalg.norm(vectors, axis=1)
    plain = (b <= b0_threshold) | (length < 1e-3)
    used = plain | (b <= highest_b)
    if not plain.any():
        raise InvalidInput(
            f"No volume is without weighting (the lowest b-value is {b.min():g}, at most "
            f"{b0_threshold:g} s/mm2 count); state a higher threshold."
        )
    weighted = used & ~plain
    unit = vectors[weighted] / length[weighted, None]
    x, y, z = unit.T
    design = np.stack([x * x, y * y, z * z, y * z, x * z, x * y], axis=1)
    if weighted.sum() < 6 or np.linalg.matrix_rank(design, tol=1e-3) < 6:
        raise InvalidInput(
            f"{int(weighted.sum())} weighted volumes of b up to {highest_b:g} s/mm2 do not give "
            "six independent directions, which a tensor needs."
        )
    notes = []
    if not used.all():
        notes.append(f"{int((~used).sum())} volumes of b above {highest_b:g} s/mm2 are not used")
    base = signal[..., plain].mean(axis=3)
    if mask is None:
        mask = base > 0.1 * float(np.percentile(base, 99))
    mask = mask & (base > 0)
    if not mask.any():
        raise InvalidInput("No voxel has a signal to fit a tensor to.")
    clean = np.where(plain, 0.0, b)
    vectors = np.where(plain[:, None], 0.0, vectors / np.maximum(length, 1e-12)[:, None])
    table = gradient_table(clean[used], bvecs=vectors[used], b0_threshold=0.0)
    fit = TensorModel(table, fit_method="WLS").fit(signal[mask][:, used])
    matrices = np.asarray(fit.quadratic_form)
    values = np.linalg.eigvalsh(matrices)
    good = values[:, 0] > 0.0
    if not good.all():
        notes.append(
            f"{int((~good).sum())} of {len(good)} voxels have no positive definite tensor and are "
            "left at zero"
        )
    tensor = np.zeros((*mask.shape, 6), np.float32)
    anisotropy, mean = (np.zeros(mask.shape, np.float32) for _ in range(2))
    rows = np.where(good[:, None], from_matrices(matrices), 0.0)
    tensor[mask] = rows
    anisotropy[mask] = np.where(good, np.asarray(fit.fa), 0.0)
    mean[mask] = np.where(good, np.asarray(fit.md), 0.0)
    return FittedTensor(tensor, anisotropy, mean, tuple(notes))
