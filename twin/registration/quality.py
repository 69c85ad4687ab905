"""Figures of a registration, and the bar below which there is no result."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from twin.errors import NotConverged
from twin.registration.fields import jacobian_determinant
from twin.registration.similarity import local_correlation, normalised_mutual_information
from twin.registration.transform import SpatialTransform
from twin.registration.working import Working

__all__ = ["Bar", "RegistrationQuality", "measured"]

_POINTS = 20_000  # at which both directions are compared


@dataclass(frozen=True, slots=True)
class Bar:
    """What a registration must reach; chosen by measurement.

    Pairs that belong together (two visits, phantoms, the packaged head warped by 12 mm with
    its greys turned round) missed by 0.03 to 0.85 mm there and back, with a squared
    correlation of 0.42 to 0.99. Noise, a ball, a torso or a body CT on a head missed by 10 mm
    and more or had a correlation below 0.24; a head without a skull on one with it
    missed by 3.2 mm when deformed, another patient's head by 3.0 to 3.7 mm when moved rigidly.
    Another patient's head deformed or stretched may pass, as an atlas does: no figure tells
    whose head it is.

    Parameters
    ----------
    inverse_error_mm : float, [mm]
        Largest median distance by which there and back misses; or a quarter of the largest
        side of a voxel, where that is more.
    local_correlation : float, [1]
        Least mean squared local correlation.
    overlap : float, [1]
        Least part of the fixed foreground within the moving image.
    """

    inverse_error_mm: float = 2.0
    local_correlation: float = 0.25
    overlap: float = 0.5


@dataclass(frozen=True, slots=True)
class RegistrationQuality:
    """How good a registration is, as far as the images themselves can tell.

    Parameters
    ----------
    mutual_information_before, mutual_information_after : float, [1]
        Normalised: 1 unrelated, 2 the same. Before: in the position of the headers.
    local_correlation_before, local_correlation_after : float, [1]
        Mean squared correlation in neighbourhoods, without what is to be ignored.
    inverse_error_mm : float, [mm]
        Median over the fixed foreground of how far a point misses itself when it goes to
        the moving image and back by a registration of its own that was found the other way
        round. A registration that is found twice can still be wrong; one that is not, is.
    inverse_error_mm_p95 : float, [mm]
        Of all points 95 % miss by less.
    overlap : float, [1]
        Part of the fixed foreground that lies within the moving image.
    least_jacobian, largest_jacobian : float, [1]
        By what volumes grow from the fixed to the moving image, at the least and the most;
        at or below 0 space would be folded.
    """

    mutual_information_before: float
    mutual_information_after: float
    local_correlation_before: float
    local_correlation_after: float
    inverse_error_mm: float
    inverse_error_mm_p95: float
    overlap: float
    least_jacobian: float
    largest_jacobian: float

    def as_dict(self) -> dict[str, float]:
        """The figures by name, rounded to four places."""
        return {name: round(value, 4) for name, value in asdict(self).items()}

    def describe(self) -> str:
        """The figures as a small table."""
        rows = (
            ("", "before", "after"),
            (
                "normalised mutual information (1 to 2)",
                f"{self.mutual_information_before:.3f}",
                f"{self.mutual_information_after:.3f}",
            ),
            (
                "squared local correlation (0 to 1)",
                f"{self.local_correlation_before:.3f}",
                f"{self.local_correlation_after:.3f}",
            ),
            ("there and back misses by, median", "", f"{self.inverse_error_mm:.2f} mm"),
            ("there and back misses by, 95 %", "", f"{self.inverse_error_mm_p95:.2f} mm"),
            ("within the moving image", "", f"{100 * self.overlap:.0f} %"),
            ("volumes change by a factor of, least", "", f"{self.least_jacobian:.2f}"),
            ("volumes change by a factor of, most", "", f"{self.largest_jacobian:.2f}"),
        )
        return "\n".join(f"{name:<40} {before:>8} {after:>9}" for name, before, after in rows)

    def check(self, bar: Bar, *, voxel_mm: float) -> None:
        """Hold the figures against a bar.

        Raises
        ------
        NotConverged
            Below it, with the figures and what may be the cause.
        """
        wrong = []
        largest = max(bar.inverse_error_mm, 0.25 * voxel_mm)
        if not self.overlap >= bar.overlap:
            wrong.append(
                f"{100 * self.overlap:.0f} % of the fixed foreground lie within the moving image "
                f"(at least {100 * bar.overlap:.0f} %)"
            )
        if not self.least_jacobian > 0.0:
            wrong.append(f"space is folded (least Jacobian {self.least_jacobian:.2f}, above 0)")
        if not self.inverse_error_mm <= largest:
            wrong.append(
                f"there and back misses by {self.inverse_error_mm:.1f} mm in the median (at most "
                f"{largest:.1f} mm)"
            )
        if not self.local_correlation_after >= bar.local_correlation:
            wrong.append(
                f"the squared local correlation is {self.local_correlation_after:.3f} (at least "
                f"{bar.local_correlation:.2f})"
            )
        if wrong:
            raise NotConverged(
                f"The registration is not to be trusted: {'; '.join(wrong)}; nothing was kept. "
                "Check that both images show the same part of the body of the same patient, that "
                "the tumour is given to be ignored, and bring images that lie far from each other "
                "(turned by more than about 40 degrees) roughly onto each other first."
            )


def _likeness(
    moving: Working, fixed: Working, transform: SpatialTransform
) -> tuple[float, float, float]:
    """Normalised mutual information, squared local correlation and overlap."""
    wanted = fixed.foreground & fixed.used
    back = np.linalg.inv(moving.affine)
    index = np.indices(fixed.data.shape).reshape(3, -1).T
    points = transform.points(index @ fixed.affine[:3, :3].T + fixed.affine[:3, 3])
    places = (points @ back[:3, :3].T + back[:3, 3]).T

    def there(values: NDArray[Any], order: int) -> NDArray[np.float32]:
        found = ndimage.map_coordinates(
            values.astype(np.float32), places, order=order, mode="constant"
        )
        return np.asarray(found, np.float32).reshape(fixed.data.shape)

    limits = np.array(moving.data.shape)[:, None] - 0.5
    inside = ((places >= -0.5) & (places <= limits)).all(axis=0).reshape(fixed.data.shape)
    overlap = float(inside[wanted].mean())
    both = wanted & inside & (there(moving.used, 0) > 0.5)
    if not both.any():
        return 1.0, 0.0, overlap
    picture = there(moving.data, 1)
    return (
        normalised_mutual_information(fixed.data[both], picture[both]),
        local_correlation(fixed.data, picture, both, width=5),
        overlap,
    )


def measured(
    moving: Working,
    fixed: Working,
    there: SpatialTransform,
    back: SpatialTransform,
    *,
    seed: int,
) -> RegistrationQuality:
    """The figures of a registration and of the one found the other way round.

    Parameters
    ----------
    moving, fixed : Working
        Of the same level.
    there : SpatialTransform
        From the fixed to the moving image.
    back : SpatialTransform
        From the moving to the fixed image, found by itself.
    seed : int
        Of the points that are compared.
    """
    mutual_before, local_before, _ = _likeness(moving, fixed, SpatialTransform(np.eye(4)))
    mutual, local, overlap = _likeness(moving, fixed, there)
    points = fixed.points(fixed.foreground & fixed.used)
    chosen = np.random.default_rng(seed).permutation(len(points))[:_POINTS]
    points = points[chosen]
    miss = np.linalg.norm(back.points(there.points(points)) - points, axis=1)
    volume = abs(float(np.linalg.det(there.matrix[:3, :3])))
    least = largest = 1.0
    if there.field is not None:
        local_volume = jacobian_determinant(there.field)
        least, largest = float(local_volume.min()), float(local_volume.max())
    return RegistrationQuality(
        mutual_before,
        mutual,
        local_before,
        local,
        float(np.median(miss)),
        float(np.percentile(miss, 95)),
        overlap,
        volume * least,
        volume * largest,
    )
