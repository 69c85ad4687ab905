"""Bringing one image onto another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from twin.errors import InvalidInput
from twin.images import Image, same_grid
from twin.registration.deformable import displacement
from twin.registration.itk import one_thread
from twin.registration.linear import LEVELS, linear_matrix
from twin.registration.quality import Bar, RegistrationQuality, measured
from twin.registration.resample import resample_image, resample_labels
from twin.registration.transform import SpatialTransform
from twin.registration.working import Working, base_spacing, working

__all__ = ["Kind", "Registration", "register"]

Kind = Literal["rigid", "affine", "deformable"]
Progress = Callable[[float, str], None]
#: Level at which the figures are measured.
_MEASURED = 2.0


@dataclass(frozen=True, slots=True)
class Registration:
    """A moving image brought onto a fixed one.

    Parameters
    ----------
    kind : {"rigid", "affine", "deformable"}
    transform : SpatialTransform
        From points of the fixed image to points of the moving one.
    quality : RegistrationQuality
    grid : Image
        The fixed image, onto whose voxels `resample` brings others.
    """

    kind: Kind
    transform: SpatialTransform
    quality: RegistrationQuality
    grid: Image

    def describe(self) -> str:
        """One line: the kind and the two figures that say most."""
        return (
            f"{self.kind}: there and back misses by {self.quality.inverse_error_mm:.2f} mm, "
            f"squared local correlation {self.quality.local_correlation_after:.2f}"
        )

    def resample(self, image: Image, *, labels: bool = False) -> Image:
        """An image of the moving side on the voxels of the fixed one.

        Parameters
        ----------
        image : Image
            On any grid in the place of the moving image.
        labels : bool
            Whole numbers that stay so; else values are interpolated, float32.
        """
        if labels:
            return resample_labels(image, self.transform, self.grid)
        return resample_image(image, self.transform, self.grid)


def register(
    moving: Image,
    fixed: Image,
    *,
    kind: Kind = "rigid",
    ignore: Image | NDArray[np.bool_] | None = None,
    ignore_moving: Image | NDArray[np.bool_] | None = None,
    seed: int = 0,
    bar: Bar | None = None,
    progress: Progress | None = None,
) -> Registration:
    """The moving image brought onto the fixed one, with figures of how well that went.

    Every registration is made twice, each way round on its own, and the two are held
    against each other. The same images and seed give the same result.

    Parameters
    ----------
    moving, fixed : Image
        Of any contrast, spacing and orientation, and of the same part of the body.
    kind : {"rigid", "affine", "deformable"}
        Rigid for one patient's visits and modalities; affine and deformable for an atlas.
    ignore : Image or ndarray of bool, shape of `fixed`, or None
        Non-zero where the fixed image is not to count, such as in a tumour that the
        moving one does not show.
    ignore_moving : Image or ndarray of bool, shape of `moving`, or None
        The same of the moving image.
    seed : int
        Of the voxels that are looked at.
    bar : Bar or None
        What must be reached; the default one if None.
    progress : callable or None
        Called with the part done and a word.

    Raises
    ------
    InvalidInput
        An image that nothing can be matched in, or masks of another shape.
    NotConverged
        A result that is not to be trusted, with the figures.
    """
    if kind not in get_args(Kind):
        raise InvalidInput(
            f"kind is {kind!r}; a registration is {', '.join(get_args(Kind)[:-1])} or "
            f"{get_args(Kind)[-1]}."
        )
    if not 0 <= seed < 2**31 - 1:
        raise InvalidInput(f"seed is {seed}; give a whole number from 0 to 2147483646.")
    base = base_spacing(moving, fixed)
    a = _levels(moving, ignore_moving, base, what="The moving image")
    b = _levels(fixed, ignore, base, what="The fixed image")

    def half(first: float, word: str) -> Callable[[float, str], None]:
        def report(part: float, what: str) -> None:
            if progress is not None:
                progress(first + 0.48 * part, f"{word}, {what}")

        return report

    there = _one_way(a, b, kind, seed, half(0.0, "there"))
    back = _one_way(b, a, kind, seed, half(0.48, "back"))
    quality = measured(a[_MEASURED], b[_MEASURED], there, back, seed=seed)
    voxel = float(max(moving.spacing_mm.max(), fixed.spacing_mm.max()))
    quality.check(Bar() if bar is None else bar, voxel_mm=voxel)
    if progress is not None:
        progress(1.0, "done")
    return Registration(kind, there, quality, fixed)


def _levels(
    image: Image, ignore: Image | NDArray[np.bool_] | None, base: float, *, what: str
) -> dict[float, Working]:
    if ignore is not None and not isinstance(ignore, Image):
        mask = Image(np.asarray(ignore), image.affine)
        same_grid(mask, image, names=("The mask to be ignored", what.lower()))
        ignore = mask
    return {level: working(image, ignore, base * level, what=what) for level in LEVELS}


def _one_way(
    moving: dict[float, Working],
    fixed: dict[float, Working],
    kind: Kind,
    seed: int,
    report: Progress,
) -> SpatialTransform:
    share = 0.15 if kind == "deformable" else 1.0
    with one_thread():
        matrix = linear_matrix(
            moving,
            fixed,
            kind="rigid" if kind == "rigid" else "affine",
            seed=seed,
            report=lambda part: report(share * part, "position and size"),
        )
    if kind != "deformable":
        return SpatialTransform(matrix)
    field = displacement(
        moving,
        fixed,
        matrix,
        report=lambda part: report(share + (1.0 - share) * part, "shape"),
    )
    return SpatialTransform(matrix, field, fixed[LEVELS[-1]].affine)
