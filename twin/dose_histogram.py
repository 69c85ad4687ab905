"""Dose-volume histograms of structures whose outer voxels count in part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from twin.errors import GeometryMismatch, InvalidInput

__all__ = ["DoseHistogram", "dose_histogram", "dose_histograms"]

_WHOLE = 1.0 - 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class DoseHistogram:
    """The dose of every voxel of a structure, in order: nothing is put into bins.

    Each voxel has one dose. Where a structure is only a few voxels wide, put the dose onto a
    finer grid first (`twin.dose_resampling.resample_dose`).

    Parameters
    ----------
    dose_gy : ndarray, [Gy], shape (voxel,)
        Rising.
    below_ml : ndarray, [mL], shape (voxel + 1,)
        Volume of the first voxels: none, one, two, ...

    Examples
    --------
    >>> dose = np.array([10.0, 20.0, 30.0, 40.0]).reshape(4, 1, 1)
    >>> found = dose_histogram(dose, np.array([1.0, 1.0, 1.0, 0.5]).reshape(4, 1, 1), 1000.0)
    >>> found.volume_ml, round(found.mean_gy, 3), found.dose_at(0.5), found.share_at(30.0)
    (3.5, 22.857, 20.0, 0.42857142857142855)
    """

    dose_gy: NDArray[np.float32]
    below_ml: NDArray[np.float64]

    @property
    def volume_ml(self) -> float:
        """Volume of the structure, [mL]."""
        return float(self.below_ml[-1])

    @property
    def minimum_gy(self) -> float:
        """Least dose, [Gy]."""
        return float(self.dose_gy[0])

    @property
    def maximum_gy(self) -> float:
        """Largest dose, [Gy]."""
        return float(self.dose_gy[-1])

    @property
    def mean_gy(self) -> float:
        """Mean dose, [Gy]."""
        return float(self.parts_ml @ self.dose_gy.astype(np.float64)) / self.volume_ml

    @property
    def parts_ml(self) -> NDArray[np.float64]:
        """Volume of each voxel inside the structure, [mL], shape (voxel,)."""
        return np.diff(self.below_ml)

    def share_at(self, dose_gy: ArrayLike) -> NDArray[np.float64] | float:
        """Share of the structure that gets at least a dose, [1]: V20 is ``share_at(20.0)``."""
        return self.volume_at(dose_gy) / self.volume_ml

    def volume_at(self, dose_gy: ArrayLike) -> NDArray[np.float64] | float:
        """Volume that gets at least a dose, [mL], shape of `dose_gy`."""
        first = np.searchsorted(self.dose_gy, np.asarray(dose_gy, np.float64), side="left")
        found = self.volume_ml - self.below_ml[first]
        return float(found) if np.ndim(found) == 0 else found

    def dose_at(self, share: float) -> float:
        """Dose that a share of the structure gets at least, [Gy]: D95 is ``dose_at(0.95)``."""
        if not 0.0 <= share <= 1.0:
            raise InvalidInput(f"A share of the volume is {share}; it must lie between 0 and 1.")
        return self._dose_of_hottest(share * self.volume_ml)

    def dose_at_volume(self, volume_ml: float) -> float:
        """Least dose in the hottest part of a volume, [Gy]: D0.03cc is ``dose_at_volume(0.03)``.

        The least of all where the structure is smaller.
        """
        if not volume_ml >= 0.0:
            raise InvalidInput(f"A volume is {volume_ml} mL; it must not be below 0.")
        return self._dose_of_hottest(min(volume_ml, self.volume_ml))

    def _dose_of_hottest(self, volume_ml: float) -> float:
        rest = self.volume_ml - volume_ml
        first = int(np.searchsorted(self.below_ml, rest + 1e-9 * self.volume_ml, side="right")) - 1
        return float(self.dose_gy[min(max(first, 0), len(self.dose_gy) - 1)])

    def generalised_mean(self, exponent: float) -> float:
        """Mean of the doses to a power, [Gy]: gEUD with the exponent a.

        Niemierko A. A generalized concept of equivalent uniform dose (EUD). Med Phys 1999;
        26:1100 (abstract) [unverified].
        """
        if exponent == 0.0 or not np.isfinite(exponent):
            raise InvalidInput(
                f"The exponent of a mean is {exponent}; give a number that is not 0."
            )
        if exponent < 0.0 and self.minimum_gy <= 0.0:
            return 0.0
        top = self.maximum_gy if exponent > 0.0 else self.minimum_gy
        if top <= 0.0:
            return 0.0
        powers = (self.dose_gy.astype(np.float64) / top) ** exponent
        return top * float(self.parts_ml @ powers / self.volume_ml) ** (1.0 / exponent)


def dose_histogram(
    dose_gy: NDArray[np.generic], inside: NDArray[np.generic], voxel_mm3: float
) -> DoseHistogram:
    """Return the histogram of one structure.

    Parameters
    ----------
    dose_gy : ndarray, [Gy], shape (i, j, k)
    inside : ndarray, [1], shape (i, j, k)
        A mask, or the share of each voxel that lies inside the structure.
    voxel_mm3 : float, [mm3]

    Raises
    ------
    InvalidInput, GeometryMismatch
        Another shape, shares outside 0 to 1, a structure without a voxel, or one that the dose
        does not cover (NaN).
    """
    return dose_histograms(dose_gy, {"structure": inside}, voxel_mm3)["structure"]


def dose_histograms(
    dose_gy: NDArray[np.generic], structures: Mapping[str, NDArray[np.generic]], voxel_mm3: float
) -> dict[str, DoseHistogram]:
    """Return the histogram of each of several structures; see `dose_histogram`."""
    if not voxel_mm3 > 0.0 or not np.isfinite(voxel_mm3):
        raise InvalidInput(f"A voxel has {voxel_mm3} mm3; it must have more than 0.")
    found = {}
    for name, inside in structures.items():
        if inside.shape != dose_gy.shape:
            raise GeometryMismatch(
                f"The dose has the shape {dose_gy.shape} but {name} has {inside.shape}; put them "
                "onto one grid."
            )
        found[name] = _of_one(dose_gy, inside, voxel_mm3 / 1e3, name)
    return found


def _of_one(
    dose: NDArray[np.generic], inside: NDArray[np.generic], voxel_ml: float, name: str
) -> DoseHistogram:
    share: NDArray[np.float32] = np.ones(0, np.float32)
    part: NDArray[np.float32] = share
    if inside.dtype == np.bool_:
        whole = dose[inside].astype(np.float32)
    else:
        found = inside != 0
        values, share = dose[found].astype(np.float32), inside[found].astype(np.float32)
        if not ((share > 0.0) & (share <= 1.0 + 1e-5)).all():
            raise InvalidInput(f"{name} has shares of voxels outside 0 to 1.")
        full = share >= _WHOLE
        whole, part, share = values[full], values[~full], share[~full]
    if not len(whole) + len(part):
        raise InvalidInput(f"{name} marks no voxel of the dose grid.")
    whole.sort()  # whole voxels need no weights, which saves most of the time
    order = np.argsort(part, kind="stable")
    at = np.searchsorted(whole, part[order])
    doses = np.insert(whole, at, part[order])
    if not np.isfinite(doses).all():
        raise InvalidInput(
            f"{name} reaches beyond the dose grid; crop it, or say what is given there."
        )
    volumes = np.insert(np.ones(len(whole)), at, share[order]) * voxel_ml
    return DoseHistogram(doses, np.concatenate([[0.0], np.cumsum(volumes)]))
