"""What there is at one instant of a run, on its grid or inside a step that has been taken."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from solvers.growth import sum_of
from solvers.kernels import cubic

if TYPE_CHECKING:
    from solvers.march import March

__all__ = ["Interval", "Kept", "Moment"]


@dataclass(slots=True)
class Interval:
    """The state on both sides of one step without a drug, and its slopes there."""

    begin: float
    end: float
    states: tuple[NDArray[np.float64], NDArray[np.float64]]
    slopes: tuple[NDArray[np.float64], NDArray[np.float64]]
    effectors: tuple[float, float] = (0.0, 0.0)
    sums: dict[tuple[int, ...], tuple[NDArray[np.float64], ...]] = field(default_factory=dict)

    def total(self, day: float, rows: tuple[int, ...]) -> NDArray[np.float64]:
        """Sum of rows at `day` by the cubic that meets both states and slopes (Hermite)."""
        if rows not in self.sums:
            self.sums[rows] = tuple(sum_of(a, rows) for a in (*self.states, *self.slopes))
        first, last, rising, ending = self.sums[rows]
        tau, result = self.end - self.begin, np.empty_like(first)
        cubic(first, last, rising, ending, (day - self.begin) / tau, tau, result)
        return result


@dataclass(frozen=True, slots=True)
class Kept:
    """What a step begins from: the state, and the effector cells where there are any."""

    state: NDArray[np.float64]
    effectors: float


@dataclass(frozen=True, slots=True)
class Moment:
    """What there is at one instant of a run.

    Parameters
    ----------
    day : float, [day]
    march : March
        The run; its mass and resected structures are those of this instant.
    """

    day: float
    march: March
    interval: Interval | None = None

    def total(self, *names: str) -> NDArray[np.float64]:
        """Sum of the named species, [1], shape (node,)."""
        rows = self.march.model.rows(*names)
        if self.interval is None:
            return sum_of(self.march.growth.state, rows)
        return self.interval.total(self.day, rows)

    @property
    def effector_cells(self) -> float:
        """Effector cells, [cells]; linear in time inside a step."""
        if self.interval is None:
            return self.march.kept_effectors()
        first, last = self.interval.effectors
        begin, end = self.interval.begin, self.interval.end
        return first + (last - first) * (self.day - begin) / (end - begin)
