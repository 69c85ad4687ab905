"""Diffusion-weighted MRI to diffusion tensors, by dipy's weighted least squares.

The tensors come out in world axes (right, anterior, superior), so a patient file takes them
as ``tensor = { file = ..., order = "xx yy zz yz xz xy", frame = "world" }``. Gradients in
text files are in the axes of the file's voxels; FSL's have the first reversed where the file
is neurological (a positive determinant of its affine).
"""

from __future__ import annotations

import math
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
#: Least eigenvalue of a tensor as a share of its largest; water in tissue is far above it
#: (assumed).
LEAST_RATIO = 1e-3
_MOST_VOLUMES = 4096
_NO_DIRECTION = 1e-3  # length of a vector that is none
_CHUNK = 50_000  # voxels fitted at a time


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
        Of the gradients, in right-anterior-superior axes; zero where there is none. A weak
        b-value that has one is taken as it is, one that has none as 0.
    mask : ndarray of bool, shape (i, j, k)
        Where to fit; where the mean signal without weighting is above a tenth of its 99th
        percentile if None.
    b0_threshold, highest_b : float, [s/mm2]
        What counts as without weighting, and up to what weighting is used.

    Raises
    ------
    InvalidInput
        Lengths that differ, no volume without weighting, fewer than six directions, no voxel
        with a positive definite tensor.
    """
    from dipy.core.gradients import gradient_table
    from dipy.reconst.dti import TensorModel

    scheme = _scheme(data, b_values, directions, b0_threshold, highest_b)
    base = np.asarray(data[..., scheme.plain], np.float64).mean(axis=3)
    if mask is None:
        mask = base > 0.1 * float(np.percentile(base, 99))
    mask = mask & (base > 0)
    if not mask.any():
        raise InvalidInput("No voxel has a signal to fit a tensor to.")
    table = gradient_table(scheme.b_values, bvecs=scheme.directions, b0_threshold=0.0)
    model = TensorModel(table, fit_method="WLS")
    place = np.argwhere(mask)
    matrices = np.empty((len(place), 3, 3))
    for start in range(0, len(place), _CHUNK):
        i, j, k = place[start : start + _CHUNK].T
        signal = np.asarray(data[i, j, k][:, scheme.used], np.float64)
        matrices[start : start + _CHUNK] = model.fit(signal).quadratic_form
    values = np.linalg.eigvalsh(matrices)
    # dipy lifts what is negative to a little above 0, which is no diffusivity
    good = values[:, 0] > LEAST_RATIO * values[:, 2]
    notes = list(scheme.notes)
    if not good.any():
        raise InvalidInput(
            "No voxel has a positive definite tensor; check that b-values and directions are "
            "those of this series."
        )
    if not good.all():
        notes.append(
            f"{int((~good).sum())} of {len(good)} voxels have no positive definite tensor and are "
            "left at zero"
        )
    mean = values.mean(axis=1)
    spread = ((values - mean[:, None]) ** 2).sum(axis=1)
    anisotropy = np.sqrt(1.5 * spread / (values**2).sum(axis=1))  # Basser and Pierpaoli 1996
    volumes = [np.zeros((*mask.shape, 6), np.float32)]
    volumes += [np.zeros(mask.shape, np.float32) for _ in range(2)]
    for volume, rows in zip(volumes, (from_matrices(matrices), anisotropy, mean), strict=True):
        volume[tuple(place[good].T)] = rows[good]
    return FittedTensor(volumes[0], volumes[1], volumes[2], tuple(notes))


@dataclass(frozen=True, slots=True, eq=False)
class _Scheme:
    """Which volumes are used, which of all are without weighting, and what weights the used."""

    used: NDArray[np.bool_]
    plain: NDArray[np.bool_]
    b_values: NDArray[np.float64]
    directions: NDArray[np.float64]
    notes: tuple[str, ...]


def _scheme(
    data: NDArray[np.floating],
    b_values: ArrayLike,
    directions: ArrayLike,
    b0_threshold: float,
    highest_b: float,
) -> _Scheme:
    b, vectors = np.asarray(b_values, np.float64), np.asarray(directions, np.float64)
    volumes = data.shape[3] if data.ndim == 4 else 1
    if b.ndim != 1 or volumes != len(b) or vectors.shape != (len(b), 3):
        raise InvalidInput(
            f"{volumes} volumes, {b.size} b-values and {len(vectors)} directions do not go "
            "together; each volume needs one of each."
        )
    if not ((b >= 0.0) & (b < 1e5)).all() or not np.isfinite(vectors).all():
        raise InvalidInput("A b-value is negative or not finite, or a direction is not finite.")
    if not 0.0 <= b0_threshold < highest_b < math.inf:
        raise InvalidInput(
            f"b-values up to {b0_threshold:g} count as without weighting and up to {highest_b:g} "
            "s/mm2 are used; the second must be the larger, and none negative."
        )
    length = np.linalg.norm(vectors, axis=1)
    directed = length > _NO_DIRECTION
    plain = b <= b0_threshold
    weighted = ~plain & directed & (b <= highest_b)
    if not plain.any():
        raise InvalidInput(
            f"No volume is without weighting (the lowest b-value is {b.min():g}, at most "
            f"{b0_threshold:g} s/mm2 count); state a higher threshold."
        )
    unit = vectors / np.where(directed, length, 1.0)[:, None] * directed[:, None]
    x, y, z = unit[weighted].T
    design = np.stack([x * x, y * y, z * z, y * z, x * z, x * y], axis=1)
    if len(design) < 6 or np.linalg.matrix_rank(design, tol=1e-3) < 6:
        raise InvalidInput(
            f"{len(design)} weighted volumes of b up to {highest_b:g} s/mm2 do not give six "
            "independent directions, which a tensor needs."
        )
    used = plain | weighted
    notes = [
        text.format(int(which.sum()))
        for which, text in (
            (~plain & (b > highest_b), f"{{}} volumes of b above {highest_b:g} s/mm2 are not used"),
            (
                ~plain & ~directed & (b <= highest_b),
                "{} weighted volumes without a direction, which averages are, are not used",
            ),
            (
                plain & ~directed & (b > 0.0),
                f"{{}} volumes of b up to {b0_threshold:g} s/mm2 have no direction and count as 0",
            ),
            (
                used & directed & (np.abs(length - 1.0) > 0.02),
                "{} directions are not of length 1 and are taken for their direction alone",
            ),
        )
        if which.any()
    ]
    return _Scheme(used, plain, np.where(directed, b, 0.0)[used], unit[used], tuple(notes))
