"""Radiosensitivity and temozolomide's kill from the median progression of a trial's two arms.

Two numbers for two unknowns: alpha from the arm without the drug, then the kill from the arm
with it, on common patients. Intervals come from resampled patients and from the error of the
published medians, by interpolation between cohorts solved on a grid about the fit.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from scenarios.trials.cohort import draw_cohort, parameters_hash
from scenarios.trials.frozen import FROZEN_UNITS, Frozen, FrozenValue, refuse_double_counting
from scenarios.trials.outcome import ArmSolver
from scenarios.trials.trial_file import Arm, Published, Trial, load_trial
from twin import __version__
from twin.errors import InvalidInput, NotConverged
from twin.parameters import ParameterSet
from twin.protocol import Progress

__all__ = ["fit_trial", "fit_values", "fitted_arms"]

#: The search reaches so many times above and below the set's own value.
REACH = {"alpha": 5.0, "temozolomide_kill": 16.0}
#: Logarithm to which a value is found.
PRECISION = 1e-3
#: Grids about the fit, in logarithms, and draws of the interval.
ALPHA_GRID = np.array([-0.5, -0.25, 0.0, 0.25, 0.5])
KILL_GRID = np.array([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0])
DRAWS = 1000


def fitted_arms(trial: Trial, name: str) -> tuple[Arm, Arm]:
    """The arms without and with temozolomide that a trial is fitted by.

    Raises
    ------
    InvalidInput
        A trial that is kept for testing.
    """
    fitted = [one for one in trial.comparison if one.use == "fitted"]
    if len(fitted) != 1:
        raise InvalidInput(
            f"The trial {name!r} is there for testing, so nothing is fitted to it; fit 'stupp'."
        )
    arms = [trial.of(arm) for arm in fitted[0].arms]
    with_drug = [arm for arm in arms if arm.temozolomide is not None]
    without = [arm for arm in arms if arm.temozolomide is None]
    if len(with_drug) != 1 or len(without) != 1:
        raise InvalidInput(f"The fitted arms of {name!r} must be with and without temozolomide.")
    return without[0], with_drug[0]


def fit_trial(
    name: str,
    *,
    patients: int,
    seed: int,
    base: ParameterSet | None = None,
    threads: int = 1,
    progress: Progress | None = None,
    today: dt.date | None = None,
) -> Frozen:
    """Alpha and temozolomide_kill at which a cohort has a trial's median progression.

    Parameters
    ----------
    name : str
    patients, seed : int
        Of the cohort.
    base : ParameterSet or None
        The cohort's own if None.
    threads : int
    progress : callable or None
    today : datetime.date or None
        Written into the record.

    Raises
    ------
    InvalidInput
        A trial that is not fitted to, or an interaction from the same trial.
    NotConverged
        No value inside the search's reach gives the median.
    """
    trial = load_trial(name)
    without, with_drug = fitted_arms(trial, name)
    cohort = draw_cohort(patients, seed=seed, base=base)
    refuse_double_counting(cohort.base, name)
    told = _Stages(progress)
    solver = ArmSolver(cohort, threads=threads, progress=told.inner)
    values = fit_values(solver, without, with_drug, solved=told.next)
    grid = _Grid.of(solver, without, with_drug, **values, solved=told.next)
    drawn = grid.draws(_published(without), _published(with_drug), seed)
    low, high = np.exp(np.percentile(drawn, [2.5, 97.5], axis=0))
    record = {
        key: FrozenValue(value=values[key], unit=unit, interval=(float(low[k]), float(high[k])))
        for k, (key, unit) in enumerate(FROZEN_UNITS.items())
    }
    return Frozen(
        trial=name,
        made=today or dt.date.today(),
        command=f"twin trial {name} --fit --patients {patients} --seed {seed}",
        version=__version__,
        patients=patients,
        seed=seed,
        parameters=cohort.base.name,
        parameters_sha256=parameters_hash(cohort.base),
        cohort_sha256=cohort.file.content_hash,
        trial_sha256=trial.fit_hash,
        correlation=float(np.corrcoef(drawn.T)[0, 1]),
        alpha=record["alpha"],
        temozolomide_kill=record["temozolomide_kill"],
    )


def fit_values(
    solver: ArmSolver,
    without: Arm,
    with_drug: Arm,
    *,
    solved: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """Alpha and temozolomide_kill at which the medians of both arms are the published ones.

    Parameters
    ----------
    solver : ArmSolver
    without, with_drug : Arm
        As `fitted_arms` gives them.
    solved : callable
        Called after every cohort that was solved.

    Raises
    ------
    NotConverged
        No value inside the search's reach gives a median.
    """
    base = solver.cohort.base
    alpha = _solved_for(
        "alpha",
        base,
        _published(without),
        lambda value: solver.progression(without, alpha=value),
        solved,
    )
    kill = _solved_for(
        "temozolomide_kill",
        base,
        _published(with_drug),
        lambda value: solver.progression(with_drug, alpha=alpha, temozolomide_kill=value),
        solved,
    )
    return {"alpha": alpha, "temozolomide_kill": kill}


class _Stages:
    """Progress over an unknown number of cohorts: so many are expected."""

    expected = 20 + len(ALPHA_GRID) * (1 + len(KILL_GRID))

    def __init__(self, progress: Progress | None) -> None:
        self._progress, self._done = progress, 0

    def inner(self, part: float, message: str) -> None:
        if self._progress is not None:
            whole = min((self._done + part) / self.expected, 0.99)
            self._progress(whole, message)

    def next(self) -> None:
        self._done += 1


def _published(arm: Arm) -> Published:
    published = arm.published.progression
    if published is None:
        raise InvalidInput(f"The arm {arm.name!r} has no published progression to fit to.")
    return published


def _solved_for(
    name: str,
    base: ParameterSet,
    target: Published,
    times: Callable[[float], NDArray[np.float64]],
    solved: Callable[[], None],
) -> float:
    """Value at which the median of `times` is the published one."""
    middle = base[name].value

    def off(log_factor: float) -> float:
        found = float(np.median(times(middle * np.exp(log_factor))))
        solved()
        return float(np.log(max(found, 1e-3) / target.median)) if np.isfinite(found) else 10.0

    reach = float(np.log(REACH[name]))
    low, high = off(-reach), off(reach)
    if not low < 0.0 < high:
        what = "shorter" if high < 0.0 else "longer"
        raise NotConverged(
            f"No {name} from {middle / REACH[name]:.2g} to {middle * REACH[name]:.2g} "
            f"{base[name].unit} gives a median progression of {target.median:.0f} days; the "
            f"cohort's is {what} throughout."
        )
    return middle * float(np.exp(brentq(off, -reach, reach, xtol=PRECISION)))


@dataclass(frozen=True, slots=True, eq=False)
class _Grid:
    """Times of progression about a fit.

    Parameters
    ----------
    log_alpha, log_kill : ndarray
        Increasing.
    without : ndarray, [day], shape (alpha, patient)
    with_drug : ndarray, [day], shape (alpha, kill, patient)
    """

    log_alpha: NDArray[np.float64]
    log_kill: NDArray[np.float64]
    without: NDArray[np.float64]
    with_drug: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        solver: ArmSolver,
        without: Arm,
        with_drug: Arm,
        *,
        alpha: float,
        temozolomide_kill: float,
        solved: Callable[[], None],
    ) -> _Grid:
        """The grid about a fit, solved."""

        def times(arm: Arm, **typical: float) -> NDArray[np.float64]:
            found = solver.progression(arm, **typical)
            solved()
            return found

        alphas, kills = alpha * np.exp(ALPHA_GRID), temozolomide_kill * np.exp(KILL_GRID)
        alone = np.stack([times(without, alpha=a) for a in alphas])
        both = np.stack(
            [
                np.stack([times(with_drug, alpha=a, temozolomide_kill=k) for k in kills])
                for a in alphas
            ]
        )
        return cls(np.log(alphas), np.log(kills), alone, both)

    def draws(self, alone: Published, both: Published, seed: int) -> NDArray[np.float64]:
        """Logarithms of alpha and kill fitted to resampled patients and targets, (draw, 2)."""
        rng = np.random.default_rng([seed, 1])
        patients = self.without.shape[1]
        found = []
        for _ in range(DRAWS):
            rows = rng.integers(0, patients, patients)
            wanted = [
                np.log(one.median) + one.log_error(None) * rng.standard_normal()
                for one in (alone, both)
            ]
            alpha = _inverse(self.log_alpha, self._medians(self.without[:, rows]), wanted[0])
            by_kill = self._medians(self.with_drug[:, :, rows])
            at_alpha = [np.interp(alpha, self.log_alpha, column) for column in by_kill.T]
            found.append((alpha, _inverse(self.log_kill, np.array(at_alpha), wanted[1])))
        return np.array(found)

    @staticmethod
    def _medians(times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Logarithms of medians over the last axis, increasing along the one before."""
        return np.maximum.accumulate(np.log(np.median(times, axis=-1)), axis=-1)


def _inverse(x: NDArray[np.float64], y: NDArray[np.float64], wanted: float) -> float:
    """Where a curve that does not fall takes a value; the grid's end where it does not reach."""
    return float(np.interp(wanted, y, x))
