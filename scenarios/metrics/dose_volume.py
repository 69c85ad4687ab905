"""Dose to a volume and volume of a dose: of voxels, or of anything else that has a volume.

By `twin.dose_histogram`, which says what the conventions "step" and "linear" are. ICRU report 83
asks for D98, D50 and D2 [unverified].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from twin.dose_histogram import Convention, histogram_of_voxels
from twin.errors import InvalidInput

__all__ = [
    "Convention",
    "DoseStatistics",
    "dose_at_volume",
    "dose_statistics",
    "dose_to_hottest_volume",
    "generalised_eud",
    "mean_dose",
    "paddick_index",
    "volume_receiving",
]


def mean_dose(dose_gy: NDArray[np.floating], mask: NDArray[np.bool_]) -> float:
    """Mean dose in `mask`, [Gy]; `InvalidInput` if the mask is empty."""
    if not mask.any():
        raise InvalidInput("The mask of a structure is empty; there is no dose in it.")
    return float(dose_gy[mask].mean(dtype=np.float64))


def dose_to_hottest_volume(
    dose_gy: NDArray[np.floating],
    mask: NDArray[np.bool_],
    voxel_mm3: ArrayLike,
    volume_mm3: float,
) -> float:
    """Least dose in the hottest `volume_mm3` of `mask` (D0.03cc for 30 mm3), [Gy].

    By the 'step' convention: the dose of the first voxel, hottest first, at which
    the cumulated volume reaches `volume_mm3`; the least dose of the structure if
    all of it is smaller than that.

    Parameters
    ----------
    dose_gy : ndarray, [Gy], any shape
    mask : ndarray of bool, same shape
    voxel_mm3 : float or ndarray of the same shape, [mm3]
    volume_mm3 : float, [mm3]

    Examples
    --------
    >>> dose = np.array([20.0, 40.0, 55.0, 65.0])
    >>> dose_to_hottest_volume(dose, dose > 0, [4.0, 3.0, 2.0, 1.0], 1.5)
    55.0
    """
    if not mask.any():
        raise InvalidInput("The mask of a structure is empty; there is no dose in it.")
    volumes = np.broadcast_to(np.asarray(voxel_mm3, np.float64), dose_gy.shape)[mask]
    return dose_at_volume(dose_gy[mask], volumes, volume=volume_mm3, convention="step")


def dose_at_volume(
    doses: ArrayLike,
    volumes: ArrayLike,
    *,
    share: float | None = None,
    volume: float | None = None,
    convention: Convention,
) -> float:
    """Least dose in the hottest part of a structure, D_x, [Gy].

    Parameters
    ----------
    doses : array_like, [Gy], shape (voxel,)
    volumes : float or array_like of the same shape
        In any unit; equal ones may be a single number.
    share : float, [1]
        The part as a share of the whole, above 0 and at most 1 (0.95 for D95); or
    volume : float
        the part as a volume, in the unit of `volumes` (0.03 ml for D0.03cc).
    convention : {"step", "linear"}

    Examples
    --------
    >>> dose_at_volume([20.0, 40.0, 55.0, 65.0], [4, 3, 2, 1], share=0.2, convention="step")
    55.0
    >>> dose_at_volume([10.0, 20.0, 30.0], 1.0, share=0.5, convention="linear")
    20.0
    """
    found = histogram_of_voxels(doses, volumes)
    if (share is None) == (volume is None):
        raise InvalidInput("Give either a share or a volume of the structure.")
    if share is not None:
        if not 0.0 < share <= 1.0:
            raise InvalidInput(f"The share of the volume is {share}; it lies above 0, at most 1.")
        return found.dose_at(share, convention=convention)
    part = float(volume)  # type: ignore[arg-type]
    if not 0.0 < part < np.inf:
        raise InvalidInput(f"The volume is {volume}; it must be finite and above 0.")
    return found.dose_at_volume(part, convention=convention)


def volume_receiving(doses: ArrayLike, volumes: ArrayLike, level_gy: float) -> float:
    """Share of a structure that gets at least a dose, V_D, [1].

    Examples
    --------
    >>> volume_receiving([20.0, 40.0, 55.0, 65.0], [4, 3, 2, 1], 40.0)
    0.6
    """
    found = histogram_of_voxels(doses, volumes)
    if not 0.0 <= level_gy < np.inf:
        raise InvalidInput(f"The dose is {level_gy} Gy; it must be finite and at least 0 Gy.")
    return float(found.share_at(level_gy))


@dataclass(frozen=True, slots=True)
class DoseStatistics:
    """What a structure gets, [Gy]; D by `convention`, homogeneity as ICRU 83 defines it [1].

    `homogeneity` is (D2 - D98)/D50, 0 for an even dose.
    """

    mean: float
    least: float
    greatest: float
    d98: float
    d95: float
    d50: float
    d2: float
    homogeneity: float
    convention: Convention


def dose_statistics(
    doses: ArrayLike, volumes: ArrayLike = 1.0, *, convention: Convention = "step"
) -> DoseStatistics:
    """Mean, extremes and D98, D95, D50, D2 of a structure.

    Examples
    --------
    >>> dose_statistics([20.0, 40.0, 55.0, 65.0], [4, 3, 2, 1]).mean
    37.5
    """
    found = histogram_of_voxels(doses, volumes)
    at = {share: found.dose_at(share, convention=convention) for share in (0.98, 0.95, 0.5, 0.02)}
    return DoseStatistics(
        mean=found.mean_gy,
        least=found.minimum_gy,
        greatest=found.maximum_gy,
        d98=at[0.98],
        d95=at[0.95],
        d50=at[0.5],
        d2=at[0.02],
        homogeneity=(at[0.02] - at[0.98]) / at[0.5] if at[0.5] > 0.0 else np.nan,
        convention=convention,
    )


def generalised_eud(doses: ArrayLike, volumes: ArrayLike = 1.0, *, a: float) -> float:
    """Generalised equivalent uniform dose, ``(sum v D^a)^(1/a)``, [Gy], volumes summing to 1.

    See `DoseHistogram.generalised_mean`, also for a.

    Examples
    --------
    >>> generalised_eud([10.0, 20.0, 30.0, 60.0], [0.4, 0.3, 0.2, 0.1], a=1.0)
    22.0
    """
    return histogram_of_voxels(doses, volumes).generalised_mean(a)


def paddick_index(target: float, prescription: float, both: float) -> float:
    """Conformity, ``TV_PIV^2 / (TV PIV)``, [1]; 1 is a dose that fits the target exactly.

    Paddick 2000, J Neurosurg 93 (suppl 3):219 [unverified].

    Parameters
    ----------
    target, prescription : float
        Volumes of the target and of all that gets the prescribed dose, in one unit.
    both : float
        Volume of the target that gets the prescribed dose.

    Examples
    --------
    >>> paddick_index(30.0, 36.0, 27.0)
    0.675
    """
    if not (target > 0.0 and prescription > 0.0 and 0.0 <= both <= min(target, prescription)):
        raise InvalidInput(
            f"Conformity needs volumes above 0 and an overlap within both, not {target:g}, "
            f"{prescription:g} and {both:g}."
        )
    return both * both / (target * prescription)
