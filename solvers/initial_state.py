"""The density on day 0, from the outlines on the reference scan.

The initial state decides the ranking of treatments, so it is explicit. A
front that has settled has one shape, which depends on the width
``w = sqrt(D/rho)`` alone. The enhancing outline is where it crosses the T1Gd
threshold and the FLAIR outline where it crosses the lower one:

- inside the enhancing outline the settled front goes on inwards at its own width;
- between the outlines it is stretched so that it meets both of them;
- outside FLAIR it falls as ``exp(-s/w)``, s the way through tissue from the outline;
- what is necrotic begins as dead tissue: the nodes with necrosis on every side.

Where the patient has several segmentations, `initial_shift` moves both outlines by so many
standard deviations of theirs. Where images show a density it is weighed against the one of
the outlines, each by its precision, and shifted by what is left of its spread.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.integrate import solve_ivp
from scipy.interpolate import PchipInterpolator

from twin.errors import InvalidInput
from twin.targets import distance_to, structure_mask

if TYPE_CHECKING:
    from twin.parameters import ParameterSet
    from twin.patient import Twin

__all__ = [
    "ObservedDensity",
    "at_nodes",
    "initial_state",
    "outline_distances",
    "settled_front",
    "settled_state",
    "weighing_of",
]

Profile = Literal["settled", "step"]


class ObservedDensity(NamedTuple):
    """A density seen in images, at the nodes, each of shape (node,), [1]; NaN where none is."""

    density: NDArray[np.float64]
    sd: NDArray[np.float64]

    @classmethod
    def of(cls, twin: Twin) -> ObservedDensity | None:
        """What the twin's images show; a node takes the voxels about it that know something."""
        evidence = twin.evidence
        if evidence is None or evidence.density is None or evidence.density_sd is None:
            return None
        known = np.isfinite(evidence.density)
        part = at_nodes(twin, known)
        seen = part > 0.5
        share = np.where(seen, part, 1.0)

        def mean(values: NDArray) -> NDArray[np.float64]:
            found = at_nodes(twin, np.where(known, values, 0.0)) / share
            return np.where(seen, found, np.nan)

        return cls(mean(evidence.density), mean(evidence.density_sd))

    def weighed(
        self, outlined: NDArray[np.float64], profile_sd: float, shift: float
    ) -> NDArray[np.float64]:
        """Viable cells from those of the outlines and from the images, [1], shape (node,).

        The outlines' density u is taken to be known to ``2 s sqrt(u (1 - u))``, so that
        noise puts no cells where the front is far away; both are weighed by precision, the
        result is shifted by `shift` of its standard deviations and kept in 0 to 1.

        Examples
        --------
        >>> seen = ObservedDensity(np.array([0.8, np.nan]), np.array([0.2, np.nan]))
        >>> seen.weighed(np.array([0.5, 0.3]), 0.2, 0.0).round(3).tolist()
        [0.65, 0.3]
        """
        known = np.isfinite(self.density)
        spread = np.maximum(4.0 * profile_sd**2 * outlined * (1.0 - outlined), 1e-12)
        variance = np.where(known, self.sd, 1.0) ** 2
        total = spread + variance
        mean = (outlined * variance + np.where(known, self.density, 0.0) * spread) / total
        shifted = mean + shift * np.sqrt(spread * variance / total)
        return np.where(known, np.clip(shifted, 0.0, 1.0), outlined)


@functools.lru_cache(maxsize=1)
def settled_front() -> tuple[PchipInterpolator, PchipInterpolator]:
    """The settled front and its inverse: density of place, place of density.

    ``U'' + 2 U' + U (1 - U) = 0``, the wave of least speed ``2 sqrt(D rho)`` of
    Fisher's equation (Kolmogorov, Petrovsky and Piskunov 1937 [unverified]),
    with place in units of sqrt(D/rho) and U(0) = 1/2. From U = 0.80 to U = 0.16
    it is 6.11 widths long.
    """
    root = np.sqrt(2.0) - 1.0  # 1 - U grows as exp(root z) away from U = 1
    start = 1e-9
    solution = solve_ivp(
        lambda z, y: [y[1], -2.0 * y[1] - y[0] * (1.0 - y[0])],
        (0.0, 90.0),
        [1.0 - start, -start * root],
        rtol=1e-10,
        atol=1e-14,
        max_step=0.05,
    )
    place, density = solution.t, solution.y[0]
    keep = density > 1e-12
    place, density = place[keep], density[keep]
    place = place - np.interp(-0.5, -density, place)
    return PchipInterpolator(place, density), PchipInterpolator(density[::-1], place[::-1])


def outline_distances(twin: Twin, shift: float = 0.0) -> dict[str, NDArray[np.float64]]:
    """Signed distances of every node to the outlines, [mm], shape (node,), negative inside.

    "core" is the enhancing outline (with the necrosis in it), "whole" the outer
    edge of the FLAIR abnormality; both lie `shift` standard deviations further out than the
    consensus of several segmentations. The outer one is kept outside the inner one.
    """
    result = {}
    for key, name in (("core", "core"), ("whole", "whole tumour")):
        mask = structure_mask(twin, name)
        if not mask.any():
            raise InvalidInput(
                f"The segmentation has no {name}; the initial state needs it outlined."
            )
        distance = distance_to(mask, twin.grid.spacing_mm)
        if shift != 0.0 and twin.evidence is not None and twin.evidence.spread_mm:
            distance = distance - shift * twin.evidence.spread_mm[key]
        result[key] = at_nodes(twin, distance)
    result["whole"] = np.minimum(result["whole"], result["core"])
    return result


def at_nodes(twin: Twin, values: NDArray) -> NDArray[np.float64]:
    """Values on the twin's grid, interpolated linearly to the mesh's nodes, shape (node,)."""
    index = twin.grid.to_voxels(twin.mesh.points)
    return ndimage.map_coordinates(
        np.asarray(values, np.float32), index.T, order=1, mode="nearest", output=np.float64
    )


def initial_state(
    parameters: ParameterSet,
    distances: dict[str, NDArray[np.float64]],
    *,
    profile: Profile = "settled",
    observed: ObservedDensity | None = None,
    grows: bool = True,
) -> dict[str, NDArray[np.float64]]:
    """Viable, dead and necrotic tissue on day 0, each of shape (node,), [1].

    Parameters
    ----------
    parameters : ParameterSet
        D, rho and the thresholds; other ones rebuild the state under the same outlines.
    distances : dict
        "core" and "whole" as `outline_distances` gives them; "beyond", the way through
        tissue from the FLAIR outline, [mm]; "necrotic", 1 where all is necrosis and 0
        elsewhere. Each of shape (node,).
    profile : {"settled", "step"}
        "step" fills the enhancing outline above its threshold and the FLAIR
        abnormality above its own, with nothing outside; for comparison only.
    observed : ObservedDensity or None
        A density from images, weighed against that of the outlines.
    grows : bool
        Without growth no front has settled; the profile has the width `outline_width` of the
        parameters, how sharp an outline is taken to be, [mm].

    Raises
    ------
    InvalidInput
        The parameters give no front, or the profile is not known.
    """
    upper, lower = parameters.value("threshold_t1gd"), parameters.value("threshold_flair")
    if not 0.0 < lower < upper < 1.0:
        raise InvalidInput(
            f"The thresholds must satisfy 0 < FLAIR < T1Gd < 1, not {lower:g} and {upper:g}."
        )
    if profile == "step":
        rim = np.where(distances["whole"] <= 0, 0.5 * (lower + upper), 0.0)
        return _with_necrosis(np.where(distances["core"] <= 0, 0.5 * (1.0 + upper), rim), distances)
    if profile != "settled":
        raise InvalidInput(f"The profile is {profile!r}; it may be 'settled' or 'step'.")
    width = _front_width(parameters) if grows else parameters.value("outline_width")
    return settled_state(distances, width, upper, lower, weighing_of(parameters, observed))


def _front_width(parameters: ParameterSet) -> float:
    """Width of the settled front, sqrt(D/rho), [mm]."""
    diffusivity = parameters.value("diffusivity_white")
    rate = parameters.value("proliferation_rate")
    if not (diffusivity > 0.0 and rate > 0.0):
        raise InvalidInput(
            f"The settled front needs a diffusivity and a proliferation rate above 0, not "
            f"{diffusivity:g} mm2/day and {rate:g} /day; choose profile='step' without growth."
        )
    return float(np.sqrt(diffusivity / rate))


#: From the density of the outlines to that of outlines and images.
Weighing = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def weighing_of(parameters: ParameterSet, observed: ObservedDensity | None) -> Weighing | None:
    """How these parameters weigh what is observed; None where nothing is."""
    if observed is None:
        return None
    profile_sd = parameters.value("initial_profile_sd")
    shift = parameters.value("initial_shift")
    return lambda outlined: observed.weighed(outlined, profile_sd, shift)


def settled_state(
    distances: dict[str, NDArray[np.float64]],
    width_mm: float,
    upper: float,
    lower: float,
    weighing: Weighing | None = None,
) -> dict[str, NDArray[np.float64]]:
    """The settled state of a front of this width, [mm], between these thresholds, [1]."""
    viable = _settled_density(
        distances["core"], distances["whole"], distances["beyond"], width_mm, upper, lower
    )
    if weighing is not None:
        viable = weighing(viable)
    return _with_necrosis(viable, distances)


def _with_necrosis(
    viable: NDArray[np.float64], distances: dict[str, NDArray[np.float64]]
) -> dict[str, NDArray[np.float64]]:
    """What is necrotic set apart from what lives, node by node, so that no node holds both."""
    dead = distances["necrotic"] > 0
    return {
        "viable": np.where(dead, 0.0, viable),
        "dead": np.zeros_like(viable),
        "necrosis": np.where(dead, viable, 0.0),
    }


def _settled_density(
    core: NDArray, whole: NDArray, beyond: NDArray, width: float, upper: float, lower: float
) -> NDArray[np.float64]:
    """The profile described at the head of this file, shape of `core`."""
    front, place_of = settled_front()
    at_upper, at_lower = float(place_of(upper)), float(place_of(lower))
    gap = np.maximum(core - whole, 1e-6)  # both distances positive and negative in between
    share = np.clip(core / gap, 0.0, 1.0)
    inside = core <= 0.0
    place = np.where(inside, at_upper + core / width, at_upper + share * (at_lower - at_upper))
    place = np.maximum(place, front.x[0])
    density = front(np.minimum(place, at_lower))
    outside = ~inside & (whole > 0.0)
    return np.where(outside, lower * np.exp(-beyond / width), density)
