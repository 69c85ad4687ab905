"""What the arms of a trial come to on a virtual cohort: times of two endpoints by patient.

"progression" is the day on which the softened T1Gd volume passes 40 % above its least value
(`twin.response.PROGRESSION_RULE`), and what scans on the trial's calendar would know of it.
"survival" is stood for by the day on which the tumour reaches a stated volume; only ratios of it
between arms mean anything, and no time of it is given out. Drugs are given until progression.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scenarios.scans import ScanCalendar, read_scans
from scenarios.trials.cohort import Cohort
from scenarios.trials.trial_file import Arm, Endpoint, Trial
from solvers.radial import RoundRun, solve_round
from twin.protocol import Progress
from twin.regimen import Regimen
from twin.response import time_to_progression

__all__ = ["HORIZON_DAY", "ArmOutcome", "ArmSolver", "interval_of_ratio", "median_interval"]

#: Five years; what has not come by then counts as never.
HORIZON_DAY = 1826.0
#: Resamples of the patients for an interval.
RESAMPLES = 2000


@dataclass(frozen=True, slots=True, eq=False)
class ArmOutcome:
    """Times of one arm, by patient; infinite where the horizon came first.

    Parameters
    ----------
    name : str
    progression : ndarray, [day], shape (patient,)
    scanned : ndarray, [day], shape (patient, 2)
        Scans before and at which progression shows.
    burden : ndarray, [day], shape (patient,)
        When the volume that stands for the end is reached.
    """

    name: str
    progression: NDArray[np.float64]
    scanned: NDArray[np.float64]
    burden: NDArray[np.float64]

    def times(self, endpoint: Endpoint) -> NDArray[np.float64]:
        """Times of an endpoint, [day], shape (patient,)."""
        return self.progression if endpoint == "progression" else self.burden

    @property
    def scanned_median(self) -> tuple[float, float]:
        """Between what days the median lies, by scans alone, [day]."""
        low, high = np.median(self.scanned, axis=0)
        return float(low), float(high)


class ArmSolver:
    """Solves arms on one cohort and remembers them, as arms of two trials may be the same.

    Parameters
    ----------
    cohort : Cohort
    threads : int
        Patients side by side.
    progress : callable or None
        Told of the part of the current arm that is done.
    """

    def __init__(
        self, cohort: Cohort, *, threads: int = 1, progress: Progress | None = None
    ) -> None:
        self.cohort, self._threads, self._progress = cohort, max(1, threads), progress
        self._known: dict[str, ArmOutcome] = {}

    def outcomes(self, trial: Trial, **typical: float) -> dict[str, ArmOutcome]:
        """Every arm of a trial by its name, at typical values of alpha and temozolomide_kill."""
        return {arm.name: self.arm(arm, trial.calendar, **typical) for arm in trial.arm}

    def arm(self, arm: Arm, scans: ScanCalendar, **typical: float) -> ArmOutcome:
        """One arm of all patients."""
        regimen = arm.regimen()
        key = json.dumps([regimen.as_dict(), scans.every_day, scans.after_radiotherapy_day,
                          sorted(typical.items())])  # fmt: skip
        if key not in self._known:
            runs = self._solved(regimen, self.cohort.file.enough_mm3, arm.name, typical)
            self._known[key] = self._judged(arm.name, regimen, scans, runs)
        known = self._known[key]
        return ArmOutcome(arm.name, known.progression, known.scanned, known.burden)

    def progression(self, arm: Arm, **typical: float) -> NDArray[np.float64]:
        """Days of progression alone, which takes half the time, [day], shape (patient,)."""
        regimen = arm.regimen()
        runs = self._solved(regimen, 0.0, arm.name, typical)
        first = self._first_fraction(regimen)
        return np.array([_progression(run, first) for run in runs])

    def _first_fraction(self, regimen: Regimen) -> float:
        fractions = regimen.schedule(self.cohort.calendar).fractions
        return fractions[0].day if fractions else 0.0

    def _solved(
        self, regimen: Regimen, enough_mm3: float, name: str, typical: dict[str, float]
    ) -> list[RoundRun]:
        def one(number: int) -> RoundRun:
            return solve_round(
                self.cohort.tumour(number, **typical),
                regimen,
                self.cohort.calendar,
                horizon_day=HORIZON_DAY,
                enough_mm3=enough_mm3,
                until_progression=True,
            )

        with ThreadPoolExecutor(max_workers=self._threads) as pool:
            return list(self._told(pool.map(one, range(len(self.cohort))), name))

    def _told(self, runs: Iterable[RoundRun], name: str) -> Iterable[RoundRun]:
        for done, run in enumerate(runs):
            if self._progress is not None:
                self._progress((done + 1) / len(self.cohort), name)
            yield run

    def _judged(
        self, name: str, regimen: Regimen, scans: ScanCalendar, runs: list[RoundRun]
    ) -> ArmOutcome:
        fractions = regimen.schedule(self.cohort.calendar).fractions
        last = fractions[-1].day if fractions else None
        first = self._first_fraction(regimen)
        enough = self.cohort.file.enough_mm3
        return ArmOutcome(
            name,
            np.array([_progression(run, first) for run in runs]),
            np.array([_scanned(run, scans, last) for run in runs]),
            np.array([_reached(run, enough) for run in runs]),
        )


def _progression(run: RoundRun, first: float) -> float:
    return time_to_progression(run.days, run.soft[:, 0], start_day=first)


def _reached(run: RoundRun, enough: float) -> float:
    """First day on which the softened T1Gd volume is that large, [day]."""
    volume = run.soft[:, 0]
    reached = np.flatnonzero(volume >= enough)
    if len(reached) == 0:
        return float("inf")
    k = int(reached[0])
    if k == 0:
        return float(run.days[0])
    share = (enough - volume[k - 1]) / (volume[k] - volume[k - 1])
    return float(run.days[k - 1] + share * (run.days[k] - run.days[k - 1]))


def _scanned(run: RoundRun, scans: ScanCalendar, last: float | None) -> tuple[float, float]:
    """Days of the scans between which progression came, [day].

    A run that ended early had progressed; its last volume stands for later scans.
    """
    days = scans.days(last, HORIZON_DAY)
    volumes = np.interp(days, run.days, run.soft[:, 0])
    found = read_scans(days, volumes, calendar=scans, last_fraction=last).progression
    return (float("inf"), float("inf")) if found is None else found


def _resampled(
    statistic: Callable[[NDArray[np.int64]], NDArray[np.float64]], patients: int, seed: int
) -> tuple[float, float]:
    """95 % interval of a statistic of resampled patients; it gets (resample, patient) numbers."""
    rng = np.random.default_rng(seed)
    chosen = rng.integers(0, patients, (RESAMPLES, patients))
    low, high = np.nanpercentile(statistic(chosen), [2.5, 97.5])
    return float(low), float(high)


def median_interval(times: NDArray[np.float64], *, seed: int) -> tuple[float, float, float]:
    """Median and its 95 % interval over resampled patients, in the unit of `times`.

    Examples
    --------
    >>> median_interval(np.full(20, 3.0), seed=1)
    (3.0, 3.0, 3.0)
    """
    low, high = _resampled(lambda rows: np.median(times[rows], axis=1), len(times), seed)
    return float(np.median(times)), low, high


def interval_of_ratio(
    times: NDArray[np.float64], against: NDArray[np.float64], *, seed: int
) -> tuple[float, float, float]:
    """Ratio of two arms' medians with its 95 % interval over resampled patients, [1].

    The same patients are in both arms, so both are resampled together. Not a number where
    the median of `against` is never reached.

    Examples
    --------
    >>> interval_of_ratio(np.full(20, 3.0), np.full(20, 2.0), seed=1)
    (1.5, 1.5, 1.5)
    """

    def ratios(rows: NDArray[np.int64]) -> NDArray[np.float64]:
        one, other = np.median(times[rows], axis=1), np.median(against[rows], axis=1)
        return np.where(np.isfinite(other), one / np.where(np.isfinite(other), other, 1.0), np.nan)

    whole = np.arange(len(times))[None, :]
    return float(ratios(whole)[0]), *_resampled(ratios, len(times), seed)
