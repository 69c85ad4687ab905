"""Rigid and affine registration by mutual information (SimpleITK), from many starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import SimpleITK
from numpy.typing import NDArray
from scipy import ndimage

from twin.errors import NotConverged
from twin.registration.itk import affine_matrix, to_itk
from twin.registration.similarity import normalised_mutual_information
from twin.registration.working import Working

__all__ = ["LEVELS", "linear_matrix"]

#: Voxels of the levels, in voxels of the finest one.
LEVELS = (4.0, 2.0, 1.0)
_BINS = 32
_ROTATIONS = 600  # that are tried: about 30 degrees apart
_STARTS_KEPT = 6  # of them, by their mutual information
_CANDIDATES = 4  # different results of the coarsest level that are tried at the next
_DIFFERENT = 0.5  # of a voxel: results that lie further apart are different
_POINTS = 3000  # at which they are compared
_STEPS = 60
_STEPS_TO_CHOOSE = 15  # with which candidates are told apart
_LONGEST_STEPS = (1.0, 0.2)  # of a line search, [voxels]; the second where the first fails
_SAMPLES = 60_000  # voxels looked at in a step of the finer levels
_BORDER = 2  # voxels around the foreground that are looked at too
_LEAST_OVERLAP = 0.5  # of the fixed foreground within the moving image

Matrix = NDArray[np.float64]


def linear_matrix(
    moving: dict[float, Working],
    fixed: dict[float, Working],
    *,
    kind: Literal["rigid", "affine"],
    seed: int,
    report: Callable[[float], None],
) -> Matrix:
    """The matrix from points of the fixed image to points of the moving one, [mm], shape (4, 4).

    Mattes' mutual information (Mattes et al., IEEE Trans Med Imaging 2003;22:120,
    10.1109/TMI.2003.809072 [unverified]) is improved from coarse to fine. The coarsest level
    starts from several positions: as the headers say, with the centres of the foregrounds on
    each other, and the likeliest of 600 rotations about these. One thread, so that the same seed
    gives the same matrix on every machine with the same libraries.

    Parameters
    ----------
    moving, fixed : dict of Working
        By level.
    kind : {"rigid", "affine"}
    seed : int
        Of the voxels looked at.
    report : callable
        Called with the part done, 0 to 1.

    Raises
    ------
    NotConverged
        No start led to images that overlap.
    """
    coarse, middle, fine = LEVELS
    kept = [*_from_starts(moving[coarse], fixed[coarse], seed)]
    report(0.4)
    tried = [
        _improved(moving[middle], fixed[middle], one, "rigid", seed, steps=_STEPS_TO_CHOOSE)
        for one in kept
    ]
    found = min(tried, key=lambda pair: pair[1])[0]
    report(0.7)
    stages = [(fine, "rigid")] if kind == "rigid" else [(middle, "affine"), (fine, "affine")]
    for number, (level, what) in enumerate(stages):
        found, _ = _improved(moving[level], fixed[level], found, what, seed)
        report(0.7 + 0.3 * (number + 1) / len(stages))
    if not _overlap(moving[coarse], fixed[coarse], found) >= _LEAST_OVERLAP:
        raise NotConverged(_APART)
    return found


_APART = (
    "The images do not come to lie on each other: every start ended with less than half of the "
    "fixed image's foreground within the moving image. Check that both show the same part of the "
    "body, or bring them roughly onto each other first."
)


def _from_starts(moving: Working, fixed: Working, seed: int) -> list[Matrix]:
    """The best different rigid registrations at the coarsest level.

    Which of them is right is seen at a finer level only: coarsely, a head looks the same from
    several sides.
    """
    points = fixed.points(fixed.foreground)
    found: list[tuple[float, Matrix]] = []
    for start in _likely(moving, fixed, _starts(moving, fixed), seed):
        matrix, value = _improved(moving, fixed, start, "rigid", seed)
        if np.isfinite(value) and _overlap(moving, fixed, matrix) >= _LEAST_OVERLAP:
            found.append((value, matrix))
    kept: list[Matrix] = []
    for _, matrix in sorted(found, key=lambda pair: pair[0]):
        apart = [
            np.linalg.norm(points @ (matrix - one)[:3, :3].T + (matrix - one)[:3, 3], axis=1).mean()
            for one in kept
        ]
        if all(distance > _DIFFERENT * fixed.spacing_mm for distance in apart):
            kept.append(matrix)
    if not kept:
        raise NotConverged(_APART)
    return kept[:_CANDIDATES]


def _starts(moving: Working, fixed: Working) -> list[Matrix]:
    """As the headers say, and the centres on each other with rotations of all directions."""
    centre_f = fixed.points(fixed.foreground & fixed.used).mean(axis=0)
    centre_m = moving.points(moving.foreground & moving.used).mean(axis=0)
    starts = [np.eye(4)]
    for turn in (np.eye(3), *_rotations()):
        matrix = np.eye(4)
        matrix[:3, :3] = turn
        matrix[:3, 3] = centre_m - turn @ centre_f
        starts.append(matrix)
    return starts


def _rotations() -> NDArray[np.float64]:
    """Rotations spread evenly, shape (n, 3, 3).

    A spiral on the sphere of quaternions: Alexa, Super-Fibonacci spirals, CVPR 2022,
    10.1109/CVPR52688.2022.00811 [unverified].
    """
    phi, psi = np.sqrt(2.0), 1.533751168755204288118041
    s = np.arange(_ROTATIONS) + 0.5
    t = s / _ROTATIONS
    alpha, beta = 2 * np.pi * s / phi, 2 * np.pi * s / psi
    r, big = np.sqrt(t), np.sqrt(1.0 - t)
    x, y, z, w = r * np.sin(alpha), r * np.cos(alpha), big * np.sin(beta), big * np.cos(beta)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.asarray(np.moveaxis(np.array(rows), -1, 0))


def _likely(moving: Working, fixed: Working, starts: list[Matrix], seed: int) -> list[Matrix]:
    """The starts with the largest normalised mutual information at a few points.

    The first two, which do not turn, are always among them.
    """
    points = fixed.points(_looked_at(fixed) > 0)
    values = fixed.data[_looked_at(fixed) > 0]
    chosen = np.random.default_rng(seed).permutation(len(points))[:_POINTS]
    points, values = points[chosen], values[chosen]
    back = np.linalg.inv(moving.affine)
    limits = np.array(moving.data.shape) - 0.5
    scores = []
    for start in starts:
        whole = back @ start
        places = points @ whole[:3, :3].T + whole[:3, 3]
        inside = ((places >= -0.5) & (places < limits)).all(axis=1)
        index = tuple(np.rint(places[inside]).astype(int).clip(0).T)
        used = moving.used[index]
        seen = moving.data[index][used]
        enough = inside.mean() >= _LEAST_OVERLAP and used.sum() > _POINTS // 10
        scores.append(
            normalised_mutual_information(values[inside][used], seen, bins=16) if enough else -1.0
        )
    order = np.argsort(-np.array(scores[2:]), kind="stable")[:_STARTS_KEPT] + 2
    return [starts[n] for n in (0, 1, *order.tolist()) if scores[n] > 0]


def _overlap(moving: Working, fixed: Working, matrix: Matrix) -> float:
    """Part of the fixed foreground that lies within the moving image, [1]."""
    voxel = np.linalg.inv(moving.affine) @ matrix
    points = fixed.points(fixed.foreground & fixed.used)
    place = points @ voxel[:3, :3].T + voxel[:3, 3]
    inside = (place >= -0.5) & (place <= np.array(moving.data.shape) - 0.5)
    return float(inside.all(axis=1).mean())


def _looked_at(image: Working) -> NDArray[np.uint8]:
    near = ndimage.binary_dilation(image.foreground, iterations=_BORDER)
    return np.asarray(near & image.used, np.uint8)


def _method(moving: Working, fixed: Working, seed: int) -> Any:
    """A registration of SimpleITK that is ready but for transform and optimiser."""
    method = SimpleITK.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)
    method.SetMetricAsMattesMutualInformation(numberOfHistogramBins=_BINS)
    looked_at = _looked_at(fixed)
    method.SetMetricFixedMask(to_itk(looked_at, fixed.affine))
    if not moving.used.all():
        method.SetMetricMovingMask(to_itk(moving.used.astype(np.uint8), moving.affine))
    share = _SAMPLES / max(int(looked_at.sum()), 1)
    if share < 1.0:
        method.SetMetricSamplingStrategy(method.RANDOM)
        method.SetMetricSamplingPercentage(
            min(1.0, share * float(looked_at.sum()) / looked_at.size), seed + 1
        )
    method.SetInterpolator(SimpleITK.sitkLinear)
    return method


def _improved(
    moving: Working,
    fixed: Working,
    start: Matrix,
    kind: str,
    seed: int,
    *,
    steps: int = _STEPS,
) -> tuple[Matrix, float]:
    """The matrix after ascent by conjugate gradients at one level, and its negative information.

    A line search may leap out of the image; then it is made again with shorter steps, and
    where that leads nowhere either the start is what is left.
    """
    images = to_itk(fixed.data, fixed.affine), to_itk(moving.data, moving.affine)
    try:
        method = _method(moving, fixed, seed)
        method.SetInitialTransform(_transform(start, fixed, kind), inPlace=True)
        at_start = float(method.MetricEvaluate(*images))
    except RuntimeError:  # too few points of the fixed image fall into the moving one
        return start, np.inf
    for longest in _LONGEST_STEPS:
        method = _method(moving, fixed, seed)
        transform = _transform(start, fixed, kind)
        method.SetInitialTransform(transform, inPlace=True)
        method.SetOptimizerAsConjugateGradientLineSearch(
            learningRate=1.0,
            numberOfIterations=steps,
            convergenceMinimumValue=1e-5,
            convergenceWindowSize=8,
            lineSearchLowerLimit=0.0,
            lineSearchUpperLimit=3.0,
            lineSearchEpsilon=0.02,
            maximumStepSizeInPhysicalUnits=longest * moving.spacing_mm,
            estimateLearningRate=method.EachIteration,
        )
        method.SetOptimizerScalesFromPhysicalShift()
        try:
            method.Execute(*images)
        except RuntimeError:  # as above
            continue
        matrix, value = affine_matrix(transform), float(method.GetMetricValue())
        if value <= at_start and _overlap(moving, fixed, matrix) >= _LEAST_OVERLAP:
            return matrix, value
    return start, at_start


def _transform(start: Matrix, fixed: Working, kind: str) -> Any:
    """The transform of SimpleITK about the centre of the fixed foreground."""
    centre = fixed.points(fixed.foreground).mean(axis=0)
    transform: Any = (
        SimpleITK.Euler3DTransform() if kind == "rigid" else SimpleITK.AffineTransform(3)
    )
    transform.SetCenter(centre.tolist())
    turn = start[:3, :3]
    if kind == "rigid":
        left, _, right = np.linalg.svd(turn)
        turn = left @ right
    transform.SetMatrix(turn.ravel().tolist(), *((1e-6,) if kind == "rigid" else ()))
    transform.SetTranslation((start[:3, :3] @ centre + start[:3, 3] - centre).tolist())
    return transform
