"""Dose to a volume and volume of a dose: of voxels, or of anything else that has a volume.

Two conventions are in use for the dose that the hottest part of a volume gets at least.
"step": the dose of the first voxel, hottest first, at which the cumulated volume reaches
it. "linear": between the voxels' doses by interpolation over the cumulated volume at their
middles, as percentiles are. They differ by up to a voxel's step; every result names its
own. ICRU report 83 asks for D98, D50 and D2 [unverified].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

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

Convention = Literal["step", "linear"]


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


def _sorted(doses: ArrayLike, volumes: ArrayLike) -> tuple[NDArray[np.float64], NDArray]:
    """Doses, hottest first, with their volumes."""
    dose = np.asarray(doses, np.float64).ravel()
    volume = np.broadcast_to(np.asarray(volumes, np.float64), dose.shape).ravel()
    if dose.size == 0:
        raise InvalidInput("There is no dose: the structure has no voxel.")
    if not (np.isfinite(dose).all() and (dose >= 0.0).all()):
        raise InvalidInput("A dose is negative or not finite; every dose must be at least 0 Gy.")
    if not ((volume > 0.0) & (volume < np.inf)).all():
        raise InvalidInput("Volumes must be finite and above 0.")
    order = np.argsort(-dose, kind="stable")
    return dose[order], volume[order]


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
    dose, each = _sorted(doses, volumes)
    if (share is None) == (volume is None):
        raise InvalidInput("Give either a share or a volume of the structure.")
    whole = float(each.sum())
    if share is not None:
        if not 0.0 < share <= 1.0:
            raise InvalidInput(f"The share of the volume is {share}; it lies above 0, at most 1.")
        part = share * whole
    else:
        part = float(volume)  # type: ignore[arg-type]
        if not 0.0 < part < np.inf:
            raise InvalidInput(f"The volume is {volume}; it must be finite and above 0.")
    reached = np.cumsum(each)
    if convention == "step":
        found = reached >= part * (1.0 - 1e-9)
        return float(dose[int(found.argmax()) if found.any() else -1])
    if convention != "linear":
        raise InvalidInput(f"The convention is {convention!r}; it may be 'step' or 'linear'.")
    if np.ptp(each) <= 1e-12 * each[0]:
        return float(np.percentile(dose, 100.0 * (1.0 - min(part / whole, 1.0))))
    return float(np.interp(part, reached - 0.5 * each, dose))


def volume_receiving(doses: ArrayLike, volumes: ArrayLike, level_gy: float) -> float:
    """Share of a structure that gets at least a dose, V_D, [1].

    Examples
    --------
    >>> volume_receiving([20.0, 40.0, 55.0, 65.0], [4, 3, 2, 1], 40.0)
    0.6
    """
    dose, each = _sorted(doses, volumes)
    if not 0.0 <= level_gy < np.inf:
        raise InvalidInput(f"The dose is {level_gy} Gy; it must be finite and at least 0 Gy.")
    return float(each[dose >= level_gy].sum() / each.sum())


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
    dose, each = _sorted(doses, volumes)
    at = {
        share: dose_at_volume(dose, each, share=share, convention=convention)
        for share in (0.98, 0.95, 0.5, 0.02)
    }
    return DoseStatistics(
        mean=float((dose * each).sum() / each.sum()),
        least=float(dose[-1]),
        greatest=float(dose[0]),
        d98=at[0.98],
        d95=at[0.95],
        d50=at[0.5],
        d2=at[0.02],
        homogeneity=(at[0.02] - at[0.98]) / at[0.5] if at[0.5] > 0.0 else np.nan,
        convention=convention,
    )


def generalised_eud(doses: ArrayLike, volumes: ArrayLike = 1.0, *, a: float) -> float:
    """Generalised equivalent uniform dose, ``(sum v D^a)^(1/a)``, [Gy], volumes summing to 1.

    a is large for organs in series (the maximum counts), 1 for the mean, negative for
    tumours (the coldest part counts: any voxel without dose gives 0); 0 is the geometric
    mean (A. Niemierko 1999, Med Phys 26:1100 [unverified]).

    Examples
    --------
    >>> generalised_eud([10.0, 20.0, 30.0, 60.0], [0.4, 0.3, 0.2, 0.1], a=1.0)
    22.0
    """
    if not np.isfinite(a):
        raise InvalidInput(f"a is {a}; it must be finite.")
    dose, each = _sorted(doses, volumes)
    part = each / each.sum()
    top = float(dose[0])
    if top == 0.0 or (a <= 0.0 and dose[-1] == 0.0):
        return 0.0
    if a == 0.0:
        return float(np.exp((part * np.log(dose)).sum()))
    reference = top if a > 0.0 else float(dose[-1])  # so that no power overflows
    return float(reference * (part * (dose / reference) ** a).sum() ** (1.0 / a))


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
