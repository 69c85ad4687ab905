"""How well a density agrees with observations: errors in units of their noise.

Every observation gives numbers r whose half sum of squares is minus the logarithm of its
likelihood (but for a constant), so that least squares is the most likely fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from solvers.calibration.outlines import OutlineNoise, PatchedOutline
from twin.errors import InvalidInput
from twin.parameters import ParameterSet

__all__ = ["Observation", "Outline", "Volume"]

#: Numerical error of where a front lies, as a share of the elements' edges. Measured against a
#: mesh of 1.9 mm on the example, over 63 days: 0.01 to 0.29 mm at 3 mm, 0.11 to 0.50 mm at 5 mm.
MESH_ERROR = 0.08


class Observation(Protocol):
    """What was seen on one day."""

    @property
    def day(self) -> float:
        """When, [day]."""

    @property
    def what(self) -> str:
        """In words, for tables and pictures."""

    def errors(
        self, density: NDArray[np.floating], parameters: ParameterSet
    ) -> NDArray[np.float64]:
        """Errors of a density, shape (node,), over their noise, [1]."""


@dataclass(frozen=True, slots=True)
class Outline:
    """A segmented outline where the visible density crosses a threshold.

    Of the patches' distances the mean and the deviations from it count separately: for a
    normal distribution with independent and one shared error that is exactly its likelihood.

    Parameters
    ----------
    day : float, [day]
    what : str
    patches : PatchedOutline
    threshold : str
        Name of the parameter that is its threshold.
    noise : OutlineNoise
    inward_mm : float or None, [mm]
        Standard deviation of the whole outline where the prediction lies inside of it, if that
        is another one: oedema takes a FLAIR outline further out than cells are.
    """

    day: float
    what: str
    patches: PatchedOutline
    threshold: str
    noise: OutlineNoise
    inward_mm: float | None = None

    def distances(
        self, density: NDArray[np.floating], parameters: ParameterSet
    ) -> NDArray[np.float64]:
        """How far outside the outline the density's surface lies, [mm], shape (patch,)."""
        return self.patches.distances(density, parameters.value(self.threshold))

    def errors(
        self, density: NDArray[np.floating], parameters: ParameterSet
    ) -> NDArray[np.float64]:
        """Deviation of each patch from the mean, and the mean, over their noise.

        The mean alone where oedema may lie around it, whose shape says nothing of cells.
        """
        found = self.distances(density, parameters)
        mean, own = float(found.mean()), self.noise.patch_mm
        besides = np.hypot(own / np.sqrt(len(found)), MESH_ERROR * self.patches.edge_mm)
        outside = 1.0 / np.hypot(self.noise.shared_mm, besides)
        of_mean = mean * outside
        if self.inward_mm is not None:
            inside = 1.0 / np.hypot(self.inward_mm, besides)
            bent = mean * inside + (outside - inside) * _ramp(mean, self.noise.shared_mm)
            return np.array([bent])
        return np.append((found - mean) / own, of_mean)


def _ramp(value: float, width: float) -> float:
    """0 well below 0 and `value` well above it, with a smooth bend, through 0 at 0.

    The integral of a normal distribution function, so that the search finds no kink.
    """
    z = value / width
    bend = width * (np.exp(-0.5 * z * z) - 1.0) / np.sqrt(2.0 * np.pi)
    return float(value * ndtr(z) + bend)


@dataclass(frozen=True, slots=True)
class Volume:
    """A visible volume alone, its logarithm with a normal error.

    A volume below what can be seen is a complete response: any prediction below it agrees.

    Parameters
    ----------
    day : float, [day]
    what : str
    patches : PatchedOutline
        Elements that are measured; how they are divided does not matter.
    threshold : str
    observed_mm3 : float, [mm3]
        0 for nothing to be seen.
    sd_ln : float, [1]
        Standard deviation of the logarithm.
    least_mm3 : float, [mm3]
        Smallest volume that can be seen.
    """

    day: float
    what: str
    patches: PatchedOutline
    threshold: str
    observed_mm3: float
    sd_ln: float
    least_mm3: float

    def __post_init__(self) -> None:
        if not (self.observed_mm3 >= 0.0 and self.sd_ln > 0.0 and self.least_mm3 > 0.0):
            raise InvalidInput(
                f"The volume on day {self.day:g} is {self.observed_mm3:g} mm3 with an error of "
                f"{self.sd_ln:g}; it must be at least 0, the error above 0."
            )

    def volume_mm3(self, density: NDArray[np.floating], parameters: ParameterSet) -> float:
        """The predicted volume, [mm3]."""
        return float(self.patches.volumes(density, parameters.value(self.threshold)).sum())

    def errors(
        self, density: NDArray[np.floating], parameters: ParameterSet
    ) -> NDArray[np.float64]:
        """One number: the difference of the logarithms over its noise."""
        predicted = max(self.volume_mm3(density, parameters), self.least_mm3)
        seen = max(self.observed_mm3, self.least_mm3)
        return np.array([np.log(predicted / seen) / self.sd_ln])
