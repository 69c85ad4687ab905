"""Contours between the planes that were drawn: the shape goes over from one into the next.

Raya SP, Udupa JK. Shape-based interpolation of multidimensional objects. IEEE Trans Med Imaging
1990;9:32-42 [unverified].
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from twin.dicom.rasterise import covered
from twin.dicom.structure_set import Contours
from twin.errors import InvalidInput

__all__ = ["denser"]

_PIXELS = 150_000  # of the box around all contours
_SIDES = (0.02, 1.0)  # [mm]
_MOST_PLANES = 2000
_EVEN = 0.02  # of a distance by which others may be longer and count as the same


def denser(contours: Contours, distance_mm: float) -> Contours:
    """Return contours with further planes between those that were drawn.

    On each the signed distance to the outline is interpolated linearly between its neighbours:
    a cone stays a cone where slabs (`Contours.slabs`) make steps of it, and what moves aside by
    more than its width vanishes between. A wall is exact where
    it changes by less than its thickness. Drawn planes stay as they are, and wide gaps stay empty.
    Beyond the outermost planes nothing is added but half of the new distance: leave `end_caps`
    out.

    Measured on a breast plan whose planning system stored its histograms: slabs are nearer to its
    volumes for seven of nine structures (Breast 0.1 % off against 0.3 %), this for a scar of
    0.34 mL (3 % off against 44 %).

    Parameters
    ----------
    contours : Contours
    distance_mm : float, [mm]
        Largest distance of the planes, to 2 %.

    Raises
    ------
    InvalidInput
        A distance that is not above 0, or more than 2000 planes.

    Examples
    --------
    >>> square = np.array([(0, 0, 0), (8, 0, 0), (8, 8, 0), (0, 8, 0)], float)
    >>> inner = square / 2 + np.array([2.0, 2.0, 6.0])
    >>> drawn = Contours(np.array([0.0, 0, 1]), np.array([0.0, 6.0]), ((square,), (inner,)))
    >>> denser(drawn, 2.0).places.tolist()
    [0.0, 2.0, 4.0, 6.0]
    """
    if not (np.isfinite(distance_mm) and distance_mm > 0.0):
        raise InvalidInput(
            f"Planes cannot be {distance_mm} mm apart; give a distance above 0, such as 1."
        )
    gaps, wide, usual = np.diff(contours.places), contours.wide_gaps(), contours.spacing_mm
    if not len(gaps) or gaps[~wide].max() <= (1.0 + _EVEN) * distance_mm:
        return contours
    # the usual distance divided, so that uneven ones stay alike and none becomes a wide gap
    step = usual / np.ceil(usual / distance_mm - _EVEN)
    parts = np.where(wide, 1, np.ceil(gaps / step - _EVEN)).astype(np.int64)
    if parts.sum() > _MOST_PLANES:
        raise InvalidInput(
            f"Planes {distance_mm:g} mm apart would be {parts.sum()}; choose a larger distance."
        )
    axes = contours.axes()
    flat = [[points @ axes.T for points in polygons] for polygons in contours.polygons]
    every = np.concatenate([points for polygons in flat for points in polygons])
    size = np.ptp(every, axis=0)
    side = float(np.clip(np.sqrt(size.prod() / _PIXELS), *_SIDES))
    low = every.min(axis=0) - 1.5 * side  # outermost edges between pixels, not through middles
    shape = tuple(int(n) for n in np.ceil(size / side).astype(int) + 5)
    places, planes = [float(contours.places[0])], [contours.polygons[0]]
    layers = [_signed_distance([(p - low) / side for p in polygons], shape) for polygons in flat]
    for number, (below, above) in enumerate(pairwise(layers)):
        for k in range(1, parts[number]):
            share = k / parts[number]
            place = float(contours.places[number] + share * gaps[number])
            rings = [
                (ring * side + low) @ axes + place * contours.normal
                for ring in _zero_lines((1.0 - share) * below + share * above)
            ]
            if rings:  # else the shapes have nothing between them
                places.append(place)
                planes.append(tuple(rings))
        places.append(float(contours.places[number + 1]))
        planes.append(contours.polygons[number + 1])
    return Contours(contours.normal, np.array(places), tuple(planes))


def _signed_distance(
    polygons: list[NDArray[np.float64]], shape: tuple[int, ...]
) -> NDArray[np.float32]:
    """Distance to the outline, positive inside, [pixels]."""
    from scipy import ndimage

    share = covered(polygons, (shape[0], shape[1]))
    inside = share >= 0.5
    if not inside.any():  # thinner than a pixel
        inside = share >= share.max()
    within = ndimage.distance_transform_edt(inside)
    outside = ndimage.distance_transform_edt(~inside)
    return np.where(inside, within - 0.5, 0.5 - outside).astype(np.float32)


def _zero_lines(distance: NDArray[np.float32]) -> list[NDArray[np.float64]]:
    """Closed lines along which a distance is 0, in numbers of (first, second) axis."""
    import contourpy

    padded = np.pad(distance, 1, constant_values=-1.0)
    lines = contourpy.contour_generator(z=padded).lines(0.0)
    return [np.asarray(line)[:-1, ::-1] - 1.0 for line in lines if len(line) > 3]
