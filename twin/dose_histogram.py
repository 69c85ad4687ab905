"""Dose-volume histograms of structures whose outer voxels count in part.

Two conventions are in use for the dose that the hottest part of a volume gets at least.
"step": the dose of the first voxel, hottest first, at which the cumulated volume reaches
it. "linear": between the voxels' doses by interpolation over the cumulated volume at their
middles, and as percentiles are where all have one volume. They differ by up to a voxel's step;
every result names its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from twin.errors import GeometryMismatch, InvalidInput

__all__ = [
    "Convention",
    "DoseHistogram",
    "dose_histogram",
    "dose_histograms",
    "histogram_of_voxels",
]

Convention = Literal["step", "linear"]

_WHOLE = 1.0 - 1e-6
_ALIKE = 1e-9  # of a voxel's volume, or of all of them, is the rounding of sums


@dataclass(frozen=True, slots=True, eq=False)
class DoseHistogram:
    """The dose of every voxel of a structure, in order: nothing is put into bins.

    Each voxel has one dose. Where a structure is only a few voxels wide, put the dose onto a
    finer grid first (`twin.dose_resampling.resample_dose`).

    Parameters
    ----------
    dose_gy : ndarray of float32 or float64, [Gy], shape (voxel,)
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

    dose_gy: NDArray[np.floating]
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
        """Volume that gets at least a dose, to the rounding of the doses, [mL], shape of it."""
        rounding = 4.0 * float(np.finfo(self.dose_gy.dtype).eps)
        wanted = np.asarray(dose_gy, np.float64) * (1.0 - rounding)
        first = np.searchsorted(self.dose_gy, wanted, side="left")
        found = self.volume_ml - self.below_ml[first]
        return float(found) if np.ndim(found) == 0 else found

    def dose_at(self, share: float, *, convention: Convention = "step") -> float:
        """Dose that a share of the structure gets at least, [Gy]: D95 is ``dose_at(0.95)``.

        Examples
        --------
        >>> found = histogram_of_voxels([10.0, 20.0, 30.0], 1.0)
        >>> found.dose_at(0.75), found.dose_at(0.75, convention="linear")
        (10.0, 15.0)
        """
        if not 0.0 <= share <= 1.0:
            raise InvalidInput(f"A share of the volume is {share}; it must lie between 0 and 1.")
        return self._dose_of_hottest(share * self.volume_ml, convention)

    def dose_at_volume(self, volume_ml: float, *, convention: Convention = "step") -> float:
        """Least dose in the hottest part of a volume, [Gy]: D0.03cc is ``dose_at_volume(0.03)``.

        The least of all where the structure is smaller.
        """
        if not volume_ml >= 0.0:
            raise InvalidInput(f"A volume is {volume_ml} mL; it must not be below 0.")
        return self._dose_of_hottest(min(volume_ml, self.volume_ml), convention)

    def _dose_of_hottest(self, volume_ml: float, convention: Convention) -> float:
        rest = self.volume_ml - volume_ml
        if convention == "linear":
            return self._between_voxels(rest)
        if convention != "step":
            raise InvalidInput(f"The convention is {convention!r}; it may be 'step' or 'linear'.")
        rest += _ALIKE * self.volume_ml
        first = int(np.searchsorted(self.below_ml, rest, side="right")) - 1
        return float(self.dose_gy[min(max(first, 0), len(self.dose_gy) - 1)])

    def _between_voxels(self, rest_ml: float) -> float:
        """Dose where so much of the volume gets less, by interpolation, [Gy]."""
        count, parts = len(self.dose_gy), self.parts_ml
        each = self.volume_ml / count
        if np.abs(parts - each).max() <= _ALIKE * each:
            place = rest_ml / self.volume_ml * (count - 1)
            low = min(int(place), max(count - 2, 0))
            near = slice(low, low + 2)
            return float(np.interp(place, np.arange(count)[near], self.dose_gy[near]))
        middles = self.below_ml[:-1] + 0.5 * parts
        return float(np.interp(rest_ml, middles, self.dose_gy))

    def generalised_mean(self, exponent: float) -> float:
        """Mean of the doses to a power, ``(sum v D^a)^(1/a)``, [Gy]: gEUD with the exponent a.

        a is large for organs in series (the maximum counts), 1 for the mean, negative for
        tumours (the coldest part counts: any voxel without dose gives 0); 0 is the geometric
        mean (Niemierko A. A generalized concept of equivalent uniform dose (EUD). Med Phys 1999;
        26:1100 (abstract) [unverified]).
        """
        if not np.isfinite(exponent):
            raise InvalidInput(f"The exponent a of a mean is {exponent}; it must be finite.")
        doses = self.dose_gy.astype(np.float64)
        top = self.maximum_gy if exponent > 0.0 else self.minimum_gy  # so that no power overflows
        if top <= 0.0:
            return 0.0
        if exponent == 0.0:
            return top * float(np.exp(self.parts_ml @ np.log(doses / top) / self.volume_ml))
        powers = (doses / top) ** exponent
        return top * float(self.parts_ml @ powers / self.volume_ml) ** (1.0 / exponent)


def histogram_of_voxels(doses_gy: ArrayLike, volumes_ml: ArrayLike) -> DoseHistogram:
    """Return the histogram of voxels, or of anything else that has a dose and a volume.

    Parameters
    ----------
    doses_gy : array_like, [Gy], any shape
        In any order.
    volumes_ml : float or array_like of the same shape, [mL]

    Raises
    ------
    InvalidInput
        No voxel, a dose that is negative or not finite, a volume that is not above 0.

    Examples
    --------
    >>> histogram_of_voxels([20.0, 40.0, 55.0, 65.0], [4, 3, 2, 1]).mean_gy
    37.5
    """
    dose = np.asarray(doses_gy, np.float64).ravel()
    volume = np.broadcast_to(np.asarray(volumes_ml, np.float64), np.shape(doses_gy)).ravel()
    if dose.size == 0:
        raise InvalidInput("There is no dose: the structure has no voxel.")
    if not (np.isfinite(dose).all() and (dose >= 0.0).all()):
        raise InvalidInput("A dose is negative or not finite; every dose must be at least 0 Gy.")
    if not ((volume > 0.0) & (volume < np.inf)).all():
        raise InvalidInput("Volumes must be finite and above 0.")
    order = np.argsort(-dose, kind="stable")[::-1]
    return DoseHistogram(dose[order], np.concatenate([[0.0], np.cumsum(volume[order])]))


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
