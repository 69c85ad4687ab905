"""Lesions on axial slices: their diameters as a reader measures them."""

from __future__ import annotations

from dataclasses import dataclass

import contourpy
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from solvers.axial_slices import AxialSlices
from twin.diameters import Diameters, region_diameters

__all__ = ["Lesion", "lesions_on"]


@dataclass(frozen=True, slots=True)
class Lesion:
    """A connected piece of what is visible.

    Parameters
    ----------
    longest : Diameters
        On the slice where the longest diameter is greatest.
    largest : Diameters
        On the slice where the product of both is greatest.
    slices : int
        Slices that show it.
    """

    longest: Diameters
    largest: Diameters
    slices: int


def lesions_on(slices: AxialSlices, shown: NDArray[np.float64], level: float) -> list[Lesion]:
    """The lesions of a density on slices, the greatest product of diameters first.

    Parts hang together where pixels share a side, on one slice or on two that touch. The outline
    on a slice is where the density, linear between pixels, crosses the level.

    Parameters
    ----------
    slices : AxialSlices
    shown : ndarray, shape (slice, row, column)
        As `AxialSlices.show` gives it: excluded parts are 0.
    level : float
        What is visible lies above it.
    """
    shown = np.pad(shown, ((0, 0), (1, 1), (1, 1)))  # so that every outline is closed
    labels, _ = ndimage.label(shown > level)
    found = []
    for number, place in enumerate(ndimage.find_objects(labels), start=1):
        rows, columns = (slice(one.start - 1, one.stop + 1) for one in place[1:])
        x, y = (_padded(axis)[one] for axis, one in ((slices.across, columns), (slices.up, rows)))
        each = []
        for index in range(place[0].start, place[0].stop):
            here = labels[index, rows, columns]
            alone = np.where((here == number) | (here == 0), shown[index, rows, columns], 0.0)
            drawn = contourpy.contour_generator(x, y, alone)
            rings = [np.asarray(ring, np.float64) for ring in drawn.lines(level)]
            each.append(region_diameters([ring for ring in rings if len(ring) > 3]))
        longest = max(each, key=lambda one: one.longest_mm)
        largest = max(each, key=lambda one: one.product_mm2)
        found.append(Lesion(longest, largest, len(each)))
    return sorted(found, key=lambda lesion: -lesion.largest.product_mm2)


def _padded(axis: NDArray[np.float64]) -> NDArray[np.float64]:
    """An even axis, one step longer at both ends."""
    step = axis[1] - axis[0]
    return np.concatenate([[axis[0] - step], axis, [axis[-1] + step]])
