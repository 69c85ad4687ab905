"""How wrong a volume may be: the error in space by three meshes, in time by halved steps.

Pure functions of numbers. The same run is done on the study mesh and on two
coarser ones, and on the coarsest once more with every step in two halves.

*Space.* Lumped linear elements are of second order, so on edges h < H < G the
error of the finest is ``|V_H - V_h| / ((H/h)^2 - 1)`` (Richardson 1911, doi
10.1098/rsta.1911.0009) and, as well, the same with G. Patient lattices are not
nested: where a curve crosses its own limit one of the two differences is small
by chance, rarely both, so the greater is taken. Whether the second order is
there is not asked of every value but of the run: the observed order comes from
the root-mean-square differences of all its volume curves, each by its greatest
value. Outside `ORDERS` the run is *not asymptotic*: its error bars are not
numbers, and what is left to say is how far apart the three meshes are.

*Time.* The splitting is of second order in the step, so its error is
``4/3 |V_t - V_t/2|``. Relative to the volume it hardly depends on the mesh, so
the coarsest mesh serves.

*Together*: the sum, times `SAFETY`. The factor is the literature's, the
orders were chosen once, by tumours whose truth is known; `docs/error-bars.md` has the figures.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

from twin.errors import InvalidInput

__all__ = [
    "CHECK_EVERY_DAYS",
    "ORDER",
    "ORDERS",
    "RULE",
    "SAFETY",
    "MeshEdges",
    "check_times",
    "error_bar",
    "extrapolated",
    "is_asymptotic",
    "mesh_spread",
    "observed_order",
    "space_error",
    "time_error",
]

#: Order of the lumped linear elements.
ORDER = 2.0
#: Observed orders at which an error bar is given.
ORDERS = (1.5, 2.5)
#: Factor of safety of Roache 1994, doi 10.1115/1.2910291, for three nested meshes. Ours are not
#: nested, but take the greater of two differences; the study of coverage finds it enough.
SAFETY = 1.25
#: Smaller volumes count by their difference and not by their own size, [mm3].
SMALL_MM3 = 1000.0
#: On the coarsest mesh curves are measured every so many days at most, [day].
CHECK_EVERY_DAYS = 7.0
#: Orders beyond these are not told apart.
_LOWEST, _HIGHEST = 0.01, 9.0
#: A mesh must be this much coarser than the one before.
_COARSER = 1.1

RULE = (
    "numerical error: 1.25 times the error in space, the greater of |V(H) - V(h)| / ((H/h)^2 - 1) "
    "from two coarser meshes with the mean edge lengths within 10 mm of the tumour, plus that in "
    "time, from halved steps; where the order observed over the three meshes is outside 1.5 to "
    "2.5 it says 'not asymptotic'"
)


@dataclass(frozen=True, slots=True)
class MeshEdges:
    """Mean edge lengths near the tumour of the three meshes, [mm], the finest first.

    Raises
    ------
    InvalidInput
        Not each at least 1.1 times coarser than the one before.

    Examples
    --------
    >>> MeshEdges(1.0, 1.6, 2.56).ratios
    (1.6, 2.56)
    """

    fine_mm: float
    coarse_mm: float
    coarsest_mm: float

    def __post_init__(self) -> None:
        edges = self.fine_mm, self.coarse_mm, self.coarsest_mm
        for finer, coarser in itertools.pairwise(edges):
            if not 0.0 < _COARSER * finer <= coarser < np.inf:
                raise InvalidInput(
                    f"The meshes have edges of {edges[0]:.3g}, {edges[1]:.3g} and {edges[2]:.3g} "
                    f"mm near the tumour; an error bar needs each at least {_COARSER:g} times "
                    "coarser than the one before: build the patient with other cell sizes."
                )

    @property
    def ratios(self) -> tuple[float, float]:
        """The two coarser edges by the finest, [1]."""
        return self.coarse_mm / self.fine_mm, self.coarsest_mm / self.fine_mm


def observed_order(
    fine: Sequence[ArrayLike],
    coarse: Sequence[ArrayLike],
    coarsest: Sequence[ArrayLike],
    edges: MeshEdges,
) -> float:
    """The order p at which the curves of one run converge, [1]; not a number if they are equal.

    From ``|V_G - V_h| / |V_H - V_h| = ((G/h)^p - 1) / ((H/h)^p - 1)``, where
    |.| is the root of the mean square over all values of all curves, each
    curve by its greatest value on the finest mesh (or by 1 ml where that is less, so
    that a speck on the meshes' own scale does not decide); between 0.01 and 9.

    Parameters
    ----------
    fine, coarse, coarsest : sequence of array_like, [mm3]
        Arrays of curves, the last axis time; the same shapes on all meshes.
    edges : MeshEdges

    Examples
    --------
    >>> h = np.array([1.0, 1.6, 2.56])
    >>> curves = [[[100.0 + 3.0 * edge**2, 50.0 - edge**2]] for edge in h]
    >>> round(observed_order(*curves, MeshEdges(*h)), 6)
    2.0
    """
    near, far = 0.0, 0.0
    for one, two, three in zip(fine, coarse, coarsest, strict=True):
        values = np.asarray(one, np.float64)
        greatest = np.abs(values).max(axis=-1, keepdims=True)
        scale = 1.0 / np.maximum(greatest, SMALL_MM3)
        near += float((((np.asarray(two) - values) * scale) ** 2).sum())
        far += float((((np.asarray(three) - values) * scale) ** 2).sum())
    if near == 0.0 and far == 0.0:
        return float("nan")
    first, second = edges.ratios

    def excess(order: float) -> float:
        model = (second**order - 1.0) / (first**order - 1.0)
        return float(np.sqrt(near) * model - np.sqrt(far))

    if excess(_LOWEST) >= 0.0:
        return _LOWEST
    if excess(_HIGHEST) <= 0.0:
        return _HIGHEST
    return float(brentq(excess, _LOWEST, _HIGHEST, xtol=1e-10))


def is_asymptotic(order: ArrayLike) -> NDArray[np.bool_]:
    """Whether an observed order allows an error bar; curves that are equal (no order) do.

    >>> is_asymptotic([1.4, 2.0, 2.6, np.nan]).tolist()
    [False, True, False, True]
    """
    value = np.asarray(order, np.float64)
    return np.isnan(value) | ((value >= ORDERS[0]) & (value <= ORDERS[1]))


def space_error(
    fine: ArrayLike, coarse: ArrayLike, coarsest: ArrayLike, edges: MeshEdges
) -> NDArray[np.float64]:
    """Error in space of `fine`, same unit and shape; what it is worth `observed_order` says.

    Examples
    --------
    >>> float(space_error(101.0, 104.0, 100.0, MeshEdges(1.0, 2.0, 4.0)))
    1.0
    """
    value = np.asarray(fine, np.float64)
    first, second = (ratio**ORDER - 1.0 for ratio in edges.ratios)
    by_coarse = np.abs(np.asarray(coarse, np.float64) - value) / first
    by_coarsest = np.abs(np.asarray(coarsest, np.float64) - value) / second
    return np.asarray(np.maximum(by_coarse, by_coarsest))


def extrapolated(fine: ArrayLike, coarse: ArrayLike, edges: MeshEdges) -> NDArray[np.float64]:
    """Richardson's extrapolation of the two finest meshes to none, same unit and shape.

    >>> float(extrapolated(103.0, 107.68, MeshEdges(1.0, 1.6, 2.56)))
    100.0
    """
    value = np.asarray(fine, np.float64)
    return value - (np.asarray(coarse, np.float64) - value) / (edges.ratios[0] ** ORDER - 1.0)


def time_error(fine: ArrayLike, single: ArrayLike, halved: ArrayLike) -> NDArray[np.float64]:
    """Error in time of `fine`, same unit and shape, from another mesh and halved steps.

    Parameters
    ----------
    fine : array_like
        Values on the study mesh.
    single, halved : array_like
        Values on the coarsest mesh with the same steps and with half the steps.

    Examples
    --------
    >>> float(time_error(200.0, 100.0, 103.0))
    8.0
    """
    value, one = np.asarray(fine, np.float64), np.asarray(single, np.float64)
    scale = np.divide(value, one, out=np.ones_like(one), where=one > 0.0)
    return np.abs(4.0 / 3.0 * (np.asarray(halved, np.float64) - one) * scale)


def check_times(times: ArrayLike) -> NDArray[np.intp]:
    """Which of the output times are measured on the coarsest mesh: the ends, and weekly between.

    >>> check_times([0, 1, 2, 7, 8, 15, 16]).tolist()
    [0, 3, 5, 6]
    """
    days = np.asarray(times, np.float64)
    chosen: list[int] = []
    for place, day in enumerate(days):
        if not chosen or day >= days[chosen[-1]] + CHECK_EVERY_DAYS or place == len(days) - 1:
            chosen.append(place)
    return np.array(chosen, np.intp)


def error_bar(
    times: ArrayLike,
    fine: ArrayLike,
    coarse: ArrayLike,
    coarsest: ArrayLike,
    halved: ArrayLike | None,
    edges: MeshEdges,
) -> NDArray[np.float64]:
    """The error bar of curves, same unit and shape as `fine`, whatever their order.

    Parameters
    ----------
    times : array_like, [day], shape (time,)
    fine, coarse : array_like, shape (..., time)
    coarsest, halved : array_like, shape (..., check time)
        At `check_times`; their part of the error is interpolated in between.
        `halved` is None where the method has no steps.
    edges : MeshEdges

    Examples
    --------
    >>> edges = MeshEdges(1.0, 2.0, 4.0)
    >>> error_bar([0.0, 7.0], [101.0, 101.0], [104.0, 101.0], [101.0, 101.0], None, edges).tolist()
    [1.25, 0.0]
    """
    value, days = np.asarray(fine, np.float64), np.asarray(times, np.float64)
    checked = check_times(days)
    at_checks = value[..., checked]
    near = space_error(value, coarse, value, edges)
    far = space_error(at_checks, at_checks, coarsest, edges)
    in_time = np.zeros_like(far) if halved is None else time_error(at_checks, coarsest, halved)
    far, in_time = (_between(days, days[checked], part) for part in (far, in_time))
    return SAFETY * (np.maximum(near, far) + in_time)


def mesh_spread(
    times: ArrayLike, fine: ArrayLike, coarse: ArrayLike, coarsest: ArrayLike
) -> NDArray[np.float64]:
    """How far the coarser meshes are from the finest at most, same unit and shape as `fine`.

    Parameters
    ----------
    times, fine, coarse, coarsest : array_like
        As in `error_bar`.

    Examples
    --------
    >>> mesh_spread([0.0, 7.0], [10.0, 10.0], [11.0, 10.0], [8.0, 12.0]).tolist()
    [2.0, 2.0]
    """
    value, days = np.asarray(fine, np.float64), np.asarray(times, np.float64)
    checked = check_times(days)
    far = np.abs(np.asarray(coarsest, np.float64) - value[..., checked])
    near = np.abs(np.asarray(coarse, np.float64) - value)
    return np.asarray(np.maximum(near, _between(days, days[checked], far)))


def _between(
    days: NDArray[np.float64], known: NDArray[np.float64], values: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Values at `known` days interpolated to `days`, along the last axis."""
    rows = values.reshape(-1, values.shape[-1]) if values.size else values.reshape(-1, len(known))
    found = np.array([np.interp(days, known, row) for row in rows])
    return found.reshape(*values.shape[:-1], len(days))
