"""Viable tumour cells from images: diffusion (ADC) and amino-acid PET, each with its noise.

Each map becomes a density by carrying capacity with a standard deviation, and the maps
are put together voxel by voxel in proportion to their precision. The outlines of contrast
enhancement and FLAIR enter by themselves: they are where the density crosses the
thresholds of visibility (`solvers.initial_state` puts both together).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from twin.errors import InvalidInput

__all__ = ["DensityMap", "background_uptake", "density_from_adc", "density_from_uptake", "together"]

Array = NDArray[np.float32]

#: Tissue at least this far from the FLAIR outline is the background of a PET image, [mm].
BACKGROUND_DISTANCE_MM = 20.0
#: Fewer voxels of background than this give no mean worth the name.
LEAST_BACKGROUND = 100


@dataclass(frozen=True, slots=True, eq=False)
class DensityMap:
    """A density and its standard deviation, NaN where the image says nothing.

    Parameters
    ----------
    density, sd : ndarray of float32, [1], shape (i, j, k)
    """

    density: Array
    sd: Array


def density_from_adc(
    adc: NDArray[np.floating],
    solid: NDArray[np.bool_],
    *,
    free_water: float,
    at_capacity: float,
    noise: float,
) -> DensityMap:
    """Return the density where cells hinder the diffusion of water: in solid enhancing tumour.

    ``u = (ADC_w - ADC) / (ADC_w - ADC_K)``, linear between free water and tissue at capacity
    (N. C. Atuegwu and others 2013, Transl Oncol 6:256 [unverified]; D. A. Hormuth and others
    use it for brain tumours). In oedema and necrosis ADC follows water, not cells, so the map
    says nothing there.

    Parameters
    ----------
    adc : ndarray, [mm2/s], shape (i, j, k)
    solid : ndarray of bool, shape (i, j, k)
        Enhancing tumour without necrosis.
    free_water, at_capacity : float, [mm2/s]
        ADC without cells, and at carrying capacity.
    noise : float, [mm2/s]
        Standard deviation of a voxel's ADC.

    Raises
    ------
    InvalidInput
        The two ends reversed or equal, noise that is not positive, values in another unit.

    Examples
    --------
    >>> found = density_from_adc(
    ...     np.full((1, 1, 1), 1.5e-3), np.ones((1, 1, 1), bool),
    ...     free_water=2.5e-3, at_capacity=0.5e-3, noise=0.2e-3,
    ... )
    >>> float(found.density[0, 0, 0]), round(float(found.sd[0, 0, 0]), 6)
    (0.5, 0.1)
    """
    if not 0.0 < at_capacity < free_water < np.inf:
        raise InvalidInput(
            f"ADC falls with cells: it needs 0 < at capacity < free water, not {at_capacity:g} "
            f"and {free_water:g} mm2/s."
        )
    _check_noise(noise, "ADC", "mm2/s")
    inside = np.asarray(adc)[solid]
    typical = float(np.median(inside)) if inside.size else free_water
    if not 0.1 * at_capacity <= typical <= 4.0 * free_water:
        raise InvalidInput(
            f"The ADC in the enhancing tumour is {typical:.3g} mm2/s in the median, far from "
            f"{at_capacity:g} to {free_water:g} mm2/s; check the unit that is stated for the image."
        )
    span = free_water - at_capacity
    density = np.where(solid, (free_water - adc) / span, np.nan).astype(np.float32)
    sd = np.where(solid, noise / span, np.nan).astype(np.float32)
    return DensityMap(density, sd)


def background_uptake(
    uptake: NDArray[np.floating],
    tissue: NDArray[np.bool_],
    tumour: NDArray[np.bool_],
    spacing_mm: float,
) -> float:
    """Mean uptake of tissue at least 20 mm from the tumour's outline, in the image's unit.

    Raises
    ------
    InvalidInput
        Less than 100 such voxels, or no uptake in them.
    """
    far = ndimage.distance_transform_edt(~tumour) * spacing_mm >= BACKGROUND_DISTANCE_MM
    values = np.asarray(uptake)[tissue & far]
    if values.size < LEAST_BACKGROUND:
        raise InvalidInput(
            f"Only {values.size} voxels of tissue lie {BACKGROUND_DISTANCE_MM:g} mm or more from "
            f"the tumour; the background of a PET image needs {LEAST_BACKGROUND}: state it instead."
        )
    mean = float(values.mean())
    if not mean > 0.0:
        raise InvalidInput(
            f"The PET image has a mean of {mean:g} in tissue far from the tumour, which must be "
            "above 0; check that it is registered and not a difference image."
        )
    return mean


def density_from_uptake(
    uptake: NDArray[np.floating],
    tissue: NDArray[np.bool_],
    *,
    background: float,
    ratio_at_capacity: float,
    noise: float,
) -> DensityMap:
    """Return the density from amino-acid uptake (FET) over that of healthy tissue.

    ``u = (r - 1) / (r_K - 1)`` with the tumour-to-brain ratio r: uptake in proportion to
    cells, as J. Lipkova and others 2019 take it (IEEE Trans Med Imaging 38:1875,
    10.1109/TMI.2019.2902044 [unverified in this form]).

    Parameters
    ----------
    uptake : ndarray, shape (i, j, k)
        In any unit.
    tissue : ndarray of bool, shape (i, j, k)
        Where cells can be; the map says nothing elsewhere.
    background : float
        Uptake of healthy tissue, in the same unit.
    ratio_at_capacity : float, [1]
        Tumour-to-brain ratio at carrying capacity.
    noise : float, [1]
        Standard deviation of a voxel's ratio.

    Examples
    --------
    >>> found = density_from_uptake(
    ...     np.full((1, 1, 1), 4.0), np.ones((1, 1, 1), bool),
    ...     background=2.0, ratio_at_capacity=3.0, noise=0.2,
    ... )
    >>> float(found.density[0, 0, 0]), round(float(found.sd[0, 0, 0]), 6)
    (0.5, 0.1)
    """
    if not (0.0 < background < np.inf and 1.0 < ratio_at_capacity < np.inf):
        raise InvalidInput(
            "Uptake needs a background above 0 and a ratio at capacity above 1, not "
            f"{background:g} and {ratio_at_capacity:g}."
        )
    _check_noise(noise, "PET ratio", "1")
    span = ratio_at_capacity - 1.0
    density = np.where(tissue, (np.asarray(uptake) / background - 1.0) / span, np.nan)
    sd = np.where(tissue, noise / span, np.nan)
    return DensityMap(density.astype(np.float32), sd.astype(np.float32))


def together(maps: Sequence[DensityMap]) -> DensityMap:
    """Return the maps as one, each voxel by precision, as of independent noise.

    Examples
    --------
    >>> def flat(density, sd):
    ...     return DensityMap(np.full((1, 1, 1), density), np.full((1, 1, 1), sd))
    >>> found = together([flat(0.2, 0.1), flat(0.8, 0.2)])
    >>> round(float(found.density[0, 0, 0]), 4), round(float(found.sd[0, 0, 0]), 4)
    (0.32, 0.0894)
    """
    precision = np.zeros(maps[0].density.shape)
    weighted = np.zeros(maps[0].density.shape)
    for each in maps:
        known = np.isfinite(each.density)
        weight = np.where(known, 1.0 / np.where(known, each.sd, 1.0).astype(np.float64) ** 2, 0.0)
        precision += weight
        weighted += weight * np.where(known, each.density, 0.0)
    seen = precision > 0.0
    safe = np.where(seen, precision, 1.0)
    density = np.where(seen, weighted / safe, np.nan).astype(np.float32)
    return DensityMap(density, np.where(seen, safe**-0.5, np.nan).astype(np.float32))


def _check_noise(noise: float, what: str, unit: str) -> None:
    if not 0.0 < noise < np.inf:
        raise InvalidInput(f"The noise of the {what} must be above 0 {unit}, but is {noise:g}.")
