"""Where a study's runs are kept until they are gathered: in memory, or in a results folder too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from scenarios.results_folder import ResultsFolder

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Keeping", "Memory", "Store"]


class Store(Protocol):
    """Runs by their hash."""

    def done(self) -> set[str]:
        """Hashes of the runs that are there."""

    def put(self, run: str, dataset: xr.Dataset) -> None:
        """Keep a run."""

    def get(self, run: str) -> xr.Dataset:
        """A run that is there."""


class Memory:
    """Runs kept in memory alone."""

    def __init__(self) -> None:
        self._runs: dict[str, xr.Dataset] = {}

    def done(self) -> set[str]:
        """Hashes of the runs that are there."""
        return set(self._runs)

    def put(self, run: str, dataset: xr.Dataset) -> None:
        """Keep a run."""
        self._runs[run] = dataset

    def get(self, run: str) -> xr.Dataset:
        """A run that is there."""
        return self._runs[run]


class Keeping:
    """A results folder that also keeps what `gather` will ask for, so that nothing is read back."""

    def __init__(self, place: ResultsFolder, with_fields: set[str]) -> None:
        self._place, self._with_fields = place, with_fields
        self._kept: dict[str, xr.Dataset] = {}

    def done(self) -> set[str]:
        """Hashes of the runs that are there."""
        return self._place.done()

    def put(self, run: str, dataset: xr.Dataset) -> None:
        """Keep a run."""
        self._place.put(run, dataset)
        if run not in self._with_fields:
            dataset = dataset.drop_vars(["tumour_density", "dose"], errors="ignore")
        self._kept[run] = dataset

    def get(self, run: str) -> xr.Dataset:
        """A run that is there."""
        if run not in self._kept:
            with self._place.get(run) as opened:
                fields = [] if run in self._with_fields else ["tumour_density", "dose"]
                self._kept[run] = opened.drop_vars(fields, errors="ignore").load()
        return self._kept[run]
