"""How alike two images are whose scales of grey differ."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["local_correlation", "local_moments", "normalised_mutual_information"]

_BINS = 48
_LEAST_VARIANCE = 1e-4  # of values from 0 to 1: below it a neighbourhood has no structure

Floats = NDArray[np.float32]


def normalised_mutual_information(
    a: NDArray[np.floating], b: NDArray[np.floating], *, bins: int = _BINS
) -> float:
    """Normalised mutual information of paired values from 0 to 1: 1 unrelated, 2 the same.

    (H(A) + H(B)) / H(A, B) with the entropies of a joint histogram (48 by 48 bins unless told):
    Studholme, Hill, Hawkes, Pattern Recognition 1999;32:71,
    10.1016/S0031-3203(98)00091-0 [unverified].

    Examples
    --------
    >>> ramp = np.linspace(0.0, 1.0, 4800)
    >>> round(normalised_mutual_information(ramp, 1.0 - ramp), 3)
    2.0
    >>> round(normalised_mutual_information(np.tile(ramp, 48), np.repeat(ramp, 48)), 3)
    1.0
    """
    joint, _, _ = np.histogram2d(
        np.ravel(a), np.ravel(b), bins=bins, range=((0.0, 1.0), (0.0, 1.0))
    )
    total = joint.sum()
    if not total > 0:
        return 1.0

    def entropy(counts: NDArray[np.float64]) -> float:
        share = counts[counts > 0] / total
        return float(-(share * np.log(share)).sum())

    both = entropy(joint)
    return (entropy(joint.sum(1)) + entropy(joint.sum(0))) / both if both > 0 else 1.0


def local_moments(
    fixed: Floats, moving: Floats, weight: Floats, width: int
) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Means and (co)variances in cubes about each voxel, of the voxels with weight.

    Parameters
    ----------
    fixed, moving : ndarray, [1], shape (i, j, k)
    weight : ndarray, [1], shape (i, j, k)
        0 where nothing is known.
    width : int
        Side of the cubes, [voxels].

    Returns
    -------
    mean of fixed, mean of moving, covariance, variance of fixed, variance of moving
    """

    def mean(values: Floats) -> Floats:
        return np.asarray(ndimage.uniform_filter(values, width, mode="constant"), np.float32)

    total = np.maximum(mean(weight), 1e-3)
    f, m = weight * fixed, weight * moving
    mean_f, mean_m = mean(f) / total, mean(m) / total
    covariance = mean(f * moving) / total - mean_f * mean_m
    variance_f = np.maximum(mean(f * fixed) / total - mean_f**2, 0.0)
    variance_m = np.maximum(mean(m * moving) / total - mean_m**2, 0.0)
    return mean_f, mean_m, covariance, variance_f, variance_m


def local_correlation(
    fixed: Floats, moving: Floats, known: NDArray[np.bool_], width: int = 7
) -> float:
    """Mean squared correlation in cubes about the voxels of a mask, [1]; the sign does not count.

    A neighbourhood counts by its contrast (the standard deviation of `fixed`), so that
    one without structure does not.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> image = rng.random((16, 16, 16)).astype(np.float32)
    >>> round(local_correlation(image, 1 - image, np.ones((16, 16, 16), bool)), 3)
    1.0
    """
    _, _, covariance, f, m = local_moments(fixed, moving, known.astype(np.float32), width)
    share = covariance**2 / np.maximum(f * m, _LEAST_VARIANCE**2)
    weight = np.sqrt(f[known])
    return float((share[known] * weight).sum() / max(float(weight.sum()), 1e-12))
