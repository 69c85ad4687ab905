"""The wanted cell size: fine where the tumour may come, coarse elsewhere, thin layers kept."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from twin.errors import InvalidInput
from twin.meshing.distances import capped_distance
from twin.meshing.octree import balanced_octree

__all__ = [
    "expected_nodes",
    "front_reach_mm",
    "front_width_mm",
    "layer_thickness",
    "wanted_cell_size",
]

Array = NDArray[Any]


def layer_thickness(labels: Array, spacing_mm: float, *, most_voxels: int = 4) -> Array:
    """Local thickness of the layer that each voxel lies in, [mm], inf where it is thick.

    The thickness is twice the radius of the largest ball (of at most
    `most_voxels`) that fits into the label and covers the voxel, as in
    T. Hildebrand and P. Ruegsegger, A new method for the model-independent
    assessment of thickness in three-dimensional images, Journal of Microscopy
    185, 67-75 (1997), doi:10.1046/j.1365-2818.1997.1340694.x.

    Parameters
    ----------
    labels : ndarray of int, shape (i, j, k)
        0 is the outside and gets inf.
    spacing_mm : float, [mm]
        Edge of a voxel.
    most_voxels : int
        Largest radius tried; a voxel that it covers counts as thick.
    """
    thickness = np.full(labels.shape, np.inf, np.float32)
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        own = labels[box] == label
        depth = capped_distance(~np.pad(own, 1), most_voxels + 1)
        radius = np.full(depth.shape, 0.5, np.float32)  # a single voxel
        for tried in range(1, most_voxels + 1):
            core = depth > tried - 0.5
            if not core.any():
                break
            radius[capped_distance(core, tried + 1) <= tried] = tried
        inner = radius[1:-1, 1:-1, 1:-1]
        layer = np.where(inner < most_voxels, 2.0 * inner * spacing_mm, np.inf)
        thickness[box][own] = layer[own]
    return thickness


def expected_nodes(cell_size_mm: Array, spacing_mm: float, smallest_cell_mm: float) -> int:
    """Return about how many nodes `build_mesh` will make, in a tenth of its time.

    A body-centred cubic lattice has two nodes in a cube. To stay within a
    budget, multiply both sizes by the cube root of the excess.

    Parameters
    ----------
    cell_size_mm : ndarray, [mm], shape (i, j, k)
        As `wanted_cell_size` makes it: inf outside.
    spacing_mm, smallest_cell_mm : float, [mm]
        Edge of a voxel, and of the smallest cube.

    Examples
    --------
    >>> import numpy as np
    >>> expected_nodes(np.full((20, 20, 20), 2.0), 1.0, 2.0)
    2000
    """
    return balanced_octree(cell_size_mm, spacing_mm, smallest_cell_mm).expected_nodes


def front_reach_mm(diffusivity: float, proliferation_rate: float, days: float) -> float:
    """How far a front of Fisher's equation comes, [mm]: its speed ``2 sqrt(D rho)`` times the time.

    R. A. Fisher, The wave of advance of advantageous genes, Annals of Eugenics 7, 355-369
    (1937), doi:10.1111/j.1469-1809.1937.tb02153.x.

    Parameters
    ----------
    diffusivity : float, [mm2/day]
        The largest that the front meets.
    proliferation_rate : float, [1/day]
    days : float, [day]

    Examples
    --------
    >>> front_reach_mm(0.16, 0.04, 180.0)
    28.8
    """
    if not (0.0 <= diffusivity < np.inf and 0.0 <= proliferation_rate < np.inf and days >= 0.0):
        raise InvalidInput(
            f"A front needs a diffusivity, a rate and a time from 0, but they are {diffusivity:g} "
            f"mm2/day, {proliferation_rate:g} per day and {days:g} days."
        )
    return float(2.0 * np.sqrt(diffusivity * proliferation_rate) * days)


def front_width_mm(diffusivity: ArrayLike, proliferation_rate: float) -> Array:
    """Width ``sqrt(D / rho)`` of a front of Fisher's equation, [mm], of the diffusivity's shape.

    Cells as wide as the front is leave an error of a few per cent in volumes.

    Parameters
    ----------
    diffusivity : float or ndarray, [mm2/day]
    proliferation_rate : float, [1/day]

    Examples
    --------
    >>> float(front_width_mm(0.16, 0.04))
    2.0
    """
    diffusivity = np.asarray(diffusivity, float)
    if not ((diffusivity >= 0.0).all() and 0.0 < proliferation_rate < np.inf):
        raise InvalidInput(
            "A front needs diffusivities from 0 and a rate above 0, but the rate is "
            f"{proliferation_rate:g} per day and the smallest diffusivity {diffusivity.min():g}."
        )
    return np.asarray(np.sqrt(diffusivity / proliferation_rate))


def wanted_cell_size(
    labels: ArrayLike,
    spacing_mm: float,
    *,
    fine_mm: float,
    fine_region: ArrayLike,
    coarse_mm: float,
    grading: float = 0.3,
    thin_layer_mm: float | None = None,
    reach_mm: float = 0.0,
    front_width_mm: ArrayLike | None = None,
) -> Array:
    """Wanted cell size in each voxel, [mm], float32, shape (i, j, k); inf outside.

    The size is `fine_mm` in the fine region and grows outwards by `grading`
    millimetres per millimetre up to `coarse_mm`. Layers thinner than that get
    cells as small as they are thick, but not below `thin_layer_mm`. As far as a
    front may come, cells are at most as wide as the front is.

    Parameters
    ----------
    labels : ndarray of int, shape (i, j, k)
        Voxel labels; 0 is outside.
    spacing_mm : float, [mm]
        Edge of a voxel.
    fine_mm, coarse_mm : float, [mm]
        Smallest and largest cell.
    fine_region : ndarray of bool, shape (i, j, k)
        Where the smallest cells are wanted; may be empty.
    grading : float, [1]
        Growth of the size per distance from the fine region.
    thin_layer_mm : float, [mm], optional
        Smallest cell that a thin layer may ask for outside the fine region;
        twice `fine_mm` unless given.
    reach_mm : float, [mm]
        How far from the fine region the tumour may come, see `front_reach_mm`.
    front_width_mm : float or ndarray of shape (i, j, k), [mm], optional
        Width of the front there, see the function of that name; cells are not made smaller
        than `fine_mm` for it. Goes with `reach_mm`.

    Raises
    ------
    InvalidInput
        Sizes that are not positive, finite and in order, or shapes that differ.

    Examples
    --------
    >>> import numpy as np
    >>> labels = np.ones((40, 4, 4), int)
    >>> region = np.zeros(labels.shape, bool)
    >>> region[0] = True
    >>> size = wanted_cell_size(
    ...     labels, 1.0, fine_mm=2.0, fine_region=region, coarse_mm=8.0, thin_layer_mm=8.0
    ... )
    >>> [round(float(size[i, 2, 2]), 3) for i in (0, 10, 39)]
    [2.0, 5.0, 8.0]
    """
    labels = np.asarray(labels)
    region = np.asarray(fine_region, bool)
    thin_layer_mm = 2.0 * fine_mm if thin_layer_mm is None else thin_layer_mm
    if labels.ndim != 3 or not np.issubdtype(labels.dtype, np.integer):
        raise InvalidInput(
            f"labels must be whole numbers on a grid of three axes, but are {labels.dtype} of "
            f"shape {labels.shape}; convert them with astype(int)."
        )
    if region.shape != labels.shape:
        raise InvalidInput(
            f"The fine region has shape {region.shape} but the labels have {labels.shape}; "
            "both must lie on the same grid."
        )
    if not (0.0 < spacing_mm < np.inf and 0.0 < fine_mm <= coarse_mm < np.inf):
        raise InvalidInput(
            f"Cell sizes need 0 < fine_mm <= coarse_mm and a positive voxel spacing, but "
            f"fine_mm is {fine_mm:g}, coarse_mm {coarse_mm:g} and the spacing {spacing_mm:g}; "
            "good values for a head are fine_mm=1.8 and coarse_mm=7.2."
        )
    if not (0.0 < grading < np.inf and 0.0 < thin_layer_mm < np.inf):
        raise InvalidInput(
            f"grading and thin_layer_mm must be positive, but are {grading:g} and "
            f"{thin_layer_mm:g}; good values are 0.3 and twice fine_mm."
        )
    size = np.full(labels.shape, coarse_mm, np.float32)
    width = _checked_width(front_width_mm, reach_mm, labels.shape)
    if region.any():
        distance = ndimage.distance_transform_edt(~region) * spacing_mm
        np.minimum(size, fine_mm + grading * distance, out=size, casting="same_kind")
        if width is not None:
            beyond = np.maximum(distance - reach_mm, 0.0)
            at_front = np.maximum(width, fine_mm) + grading * beyond
            np.minimum(size, at_front, out=size, casting="same_kind")
    thin = np.maximum(layer_thickness(labels, spacing_mm), thin_layer_mm)
    np.minimum(size, thin, out=size, casting="same_kind")
    size[labels <= 0] = np.inf
    return size


def _checked_width(
    front_width_mm: ArrayLike | None, reach_mm: float, shape: tuple[int, ...]
) -> Array | None:
    """Width of the front, [mm]; None where none is given."""
    if not 0.0 <= reach_mm < np.inf or (front_width_mm is None) != (reach_mm == 0.0):
        raise InvalidInput(
            f"reach_mm is {reach_mm:g} and front_width_mm is "
            f"{'not given' if front_width_mm is None else 'given'}; give both, the reach above "
            "0 mm, or neither."
        )
    if front_width_mm is None:
        return None
    width = np.asarray(front_width_mm, float)
    if width.shape not in ((), shape) or not (width >= 0.0).all():
        raise InvalidInput(
            f"front_width_mm must be lengths from 0 mm, one or on the grid of shape {shape}, "
            f"but has shape {width.shape}."
        )
    return width
