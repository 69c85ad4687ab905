"""Endpoints: the numbers by which treatment arms are compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from twin.site import site_from_record

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Endpoint", "default_endpoints"]

#: Unit for people and what the results' own is multiplied by, by variable.
_UNITS = {
    "tumour_volume": ("ml", 1e-3),
    "tumour_volume_soft": ("ml", 1e-3),
    "tumour_burden": ("cells", 1.0),
    "time_to_progression": ("d", 1.0),
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One number by which arms are compared.

    Parameters
    ----------
    name : str
        As tables show it, unit included.
    variable : str
        Variable of the results; its error is the one called `variable` + "_error".
    threshold : str or None
        Visibility threshold, where the variable has one.
    day : float or None, [day]
        Day at which a curve is read.
    larger_is_better : bool
    """

    name: str
    variable: str
    threshold: str | None = None
    day: float | None = None
    larger_is_better: bool = False

    @property
    def unit(self) -> str:
        """Unit of differences as people read them."""
        return _UNITS[self.variable][0] if self.variable in _UNITS else ""

    @property
    def scale(self) -> float:
        """What the results are multiplied by for `unit`."""
        return _UNITS[self.variable][1] if self.variable in _UNITS else 1.0

    def values(self, results: xr.Dataset) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Value and numerical error, shape (scenario, case); infinite times at the horizon.

        Where the error is not known, the distance between the meshes stands for it, and where
        that is not known either, infinity.
        """
        value, error = self._read(results, ""), self._read(results, "_error")
        spread = np.full_like(error, np.inf)
        if f"{self.variable}_mesh_spread" in results:
            spread = self._read(results, "_mesh_spread")
        if self.variable == "time_to_progression":
            value = np.minimum(value, float(results["time"].values[-1]))
        return value, np.where(np.isnan(error), spread, error)

    def _read(self, results: xr.Dataset, end: str) -> NDArray[np.float64]:
        """The variable whose name ends so, shape (scenario, case)."""
        array = results[f"{self.variable}{end}"]
        if self.threshold is not None:
            array = array.sel(threshold=self.threshold)
        if self.day is not None:
            array = array.sel(time=self.day)
        return np.asarray(array.transpose("scenario", "case").values, np.float64)


def default_endpoints(results: xr.Dataset) -> list[Endpoint]:
    """The endpoints of a study of this length that its days and thresholds allow."""
    days = set(results["time"].values.tolist())
    thresholds = results["threshold"].values.tolist()
    found: list[Endpoint] = []
    if "tumour_control" in results:  # arms treated to cure are not ranked by what is left to see
        return found
    site = site_from_record(results.attrs)
    if "flair" in thresholds:
        found += [
            Endpoint(
                f"{site.threshold('flair')} volume, {day:g} d", "tumour_volume_soft", "flair", day
            )
            for day in (180.0, 365.0)
            if day in days
        ]
    if "t1gd" in thresholds:
        found.append(
            Endpoint(
                f"{site.threshold('t1gd')} progression",
                "time_to_progression",
                "t1gd",
                larger_is_better=True,
            )
        )
    last = max(day for day in days)
    day = 365.0 if 365.0 in days else last
    found.append(Endpoint(f"tumour burden, {day:g} d", "tumour_burden", day=day))
    return found
