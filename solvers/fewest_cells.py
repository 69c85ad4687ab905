"""The density of viable cells on the day on which a run has fewest of them under treatment."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["DAY", "FIELD", "FewestCells"]

FIELD, DAY = "viable_density_at_fewest", "fewest_cells_day"


class FewestCells:
    """Keeps the viable density of one day, that of the least burden since `from_day`.

    One copy of a field is held, taken anew only on days that have fewer cells than all before;
    the run is not touched. Single precision holds a density down to 1e-38 of the capacity.

    Parameters
    ----------
    from_day : float or None, [day]
        None keeps nothing.
    """

    def __init__(self, from_day: float | None) -> None:
        self._from = from_day
        self._least, self._day = np.inf, np.nan
        self._density: NDArray[np.float32] | None = None

    def offer(self, day: float, amount: float, density: Callable[[], NDArray]) -> None:
        """Take note of a day: the integral of its viable density [mm3], and that density [1]."""
        if self._from is not None and day >= self._from and amount < self._least:
            self._least, self._day = amount, day
            self._density = density().astype(np.float32)

    def added_to(self, dataset: xr.Dataset) -> xr.Dataset:
        """`dataset` with the day and its field, where one was kept."""
        if self._density is None:
            return dataset
        named = {"units": "day", "long_name": "day of fewest viable cells since treatment began"}
        field = {"units": "1", "long_name": "viable density on that day, share of capacity"}
        return dataset.assign(
            {DAY: ((), self._day, named), FIELD: (("node",), self._density, field)}
        )
