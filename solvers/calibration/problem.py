"""A fit to be made: unknowns, observations, and the runs that compare the two."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from solvers.batch import BLOCK_WIDTH, Request, solve_batch
from solvers.calibration.likelihood import Observation
from solvers.calibration.unknowns import Unknowns
from twin.errors import InvalidInput, NotConverged
from twin.patient import Twin
from twin.regimen import Regimen

__all__ = ["Problem", "Records"]


@dataclass(slots=True)
class Records:
    """Runs that were made already, by their coordinates.

    Parameters
    ----------
    errors : mapping of bytes to ndarray, shape (error,)
    changed : callable
        Called after some were added, such as to keep them in a file.
    """

    errors: dict[bytes, NDArray[np.float64]] = field(default_factory=dict)
    changed: Callable[[Records], None] = lambda records: None

    def arrays(self, unknowns: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Coordinates, shape (run, unknown), and errors, shape (run, error)."""
        keys = [np.frombuffer(key, np.float64) for key in self.errors]
        places = np.array(keys).reshape(-1, unknowns)
        return places, np.array(list(self.errors.values()))


class Problem:
    """Unknown parameters, what was observed, and runs of the solver between the two.

    Parameters
    ----------
    twin : Twin
    regimen : Regimen
        Treatment between the scans.
    unknowns : Unknowns
    observations : sequence of Observation
    threads : int
        Blocks of runs side by side.
    records : Records or None
        Runs that were made already and need not be made again.

    Raises
    ------
    InvalidInput
        Nothing was observed, or on a day before day 0.
    """

    def __init__(
        self,
        twin: Twin,
        regimen: Regimen,
        unknowns: Unknowns,
        observations: Sequence[Observation],
        *,
        threads: int = 1,
        records: Records | None = None,
    ) -> None:
        if not observations:
            raise InvalidInput("Nothing was observed after day 0; there is nothing to fit to.")
        self.twin, self.regimen, self.unknowns = twin, regimen, unknowns
        self.observations = tuple(sorted(observations, key=lambda one: (one.day, one.what)))
        if self.observations[0].day <= 0.0:
            raise InvalidInput(
                f"An observation is on day {self.observations[0].day:g}; that of day 0 is what "
                "the run begins with, so others must lie after it."
            )
        self.threads = threads
        self.records = Records() if records is None else records
        self.runs = 0

    @property
    def days(self) -> NDArray[np.float64]:
        """Days of the observations, [day], increasing."""
        return np.unique([one.day for one in self.observations])

    def errors(self, coordinates: NDArray[np.float64]) -> NDArray[np.float64]:
        """Errors of all observations over their noise, by runs of the solver.

        Parameters
        ----------
        coordinates : ndarray, shape (run, unknown)
            All within the parameters' ranges.

        Returns
        -------
        ndarray, shape (run, error)
        """
        rows = np.ascontiguousarray(np.atleast_2d(coordinates), np.float64)
        known = self.records.errors
        missing = [row for row in rows if row.tobytes() not in known]
        chunk = BLOCK_WIDTH * self.threads
        for begin in range(0, len(missing), chunk):
            part = missing[begin : begin + chunk]
            for row, errors in zip(part, self._run(part), strict=True):
                known[row.tobytes()] = errors
            self.records.changed(self.records)
        return np.stack([known[row.tobytes()] for row in rows])

    def _run(self, rows: Sequence[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
        """Errors of a few runs, made together."""
        days = self.days
        sets = [self.unknowns.parameters(row) for row in rows]
        requests = [Request(self.regimen, parameters) for parameters in sets]
        found = solve_batch(self.twin, requests, days, fields_at=days, threads=self.threads)
        self.runs += len(requests)
        if not np.isfinite(found.density).all():
            raise NotConverged("A run of the fit gave no finite density.")
        place = {float(day): k for k, day in enumerate(days)}
        return [
            np.concatenate(
                [one.errors(fields[place[one.day]], parameters) for one in self.observations]
            )
            for parameters, fields in zip(sets, found.density, strict=True)
        ]

    def log_likelihood(self, errors: NDArray[np.float64]) -> NDArray[np.float64]:
        """From errors, shape (run, error), to logarithms but for a constant, shape (run,)."""
        return -0.5 * np.einsum("ij,ij->i", errors, errors)
