"""The most likely parameters by Gauss-Newton, all differences of an iteration in one batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvers.calibration.problem import Problem
from twin.errors import NotConverged
from twin.protocol import Progress

__all__ = ["Estimate", "most_likely"]

#: Step of the differences, in standard deviations of the prior.
STEP = 0.02
#: It has converged when a step lowers, or the next one promises to lower, minus the log posterior
#: by no more than this, which changes no probability by more than 5 %.
GAIN = 0.05
ITERATIONS, MUCH = 30, 0.1


@dataclass(frozen=True, slots=True)
class Estimate:
    """A maximum of the posterior, and the normal distribution about it (Laplace).

    Parameters
    ----------
    place : ndarray, shape (unknown,)
        Coordinates, as of `Unknowns`.
    covariance : ndarray, shape (unknown, unknown)
        Inverse of ``J' J + 1``, J the derivative of the errors.
    log_posterior : float
        But for a constant.
    iterations : int
    runs : int
        Columns of batches, all starts together.
    """

    place: NDArray[np.float64]
    covariance: NDArray[np.float64]
    log_posterior: float
    iterations: int
    runs: int


class _Start:
    """One of the starts on its way."""

    def __init__(self, place: NDArray[np.float64]) -> None:
        self.place, self.trial = place, place.copy()
        self.cost, self.damping, self.iterations, self.done = np.inf, 1e-2, 0, False
        #: At the place, once it has been run: errors, shape (error,), and their derivative.
        self.errors = np.zeros(0)
        self.slope = np.zeros((0, len(place)))

    @property
    def curvature(self) -> NDArray[np.float64]:
        """Of minus the log posterior, were the errors linear, shape (unknown, unknown)."""
        return self.slope.T @ self.slope + np.eye(len(self.place))

    @property
    def downhill(self) -> NDArray[np.float64]:
        """Minus its gradient, shape (unknown,)."""
        return -(self.slope.T @ self.errors + self.place)

    def promise(self) -> float:
        """By how much the trial would lower it."""
        step = self.trial - self.place
        return float(self.downhill @ step - 0.5 * step @ self.curvature @ step)

    def step(self) -> NDArray[np.float64]:
        """The damped step from the place; at most two standard deviations of the prior."""
        curvature = self.curvature
        damped = curvature + self.damping * np.diag(np.diag(curvature))
        step = np.linalg.solve(damped, self.downhill)
        longest = float(np.abs(step).max())
        return step if longest <= 2.0 else step * (2.0 / longest)


def most_likely(
    problem: Problem,
    *,
    starts: int = 4,
    seed: int = 0,
    begin: Sequence[NDArray[np.float64]] = (),
    progress: Progress | None = None,
) -> list[Estimate]:
    """Maxima of the posterior that several starts come to, the highest first.

    Levenberg and Marquardt's steps; starts are `begin`, or the middle of the prior and draws
    from it. Each iteration runs every start's trial point with one difference for each
    unknown in one batch, since a run among others costs a fraction of one alone.

    Raises
    ------
    NotConverged
        No start converged.
    """
    unknowns = problem.unknowns
    low, high = unknowns.bounds
    first = np.clip(np.zeros(len(unknowns)), low, high)
    drawn = unknowns.draws_of_the_prior(max(0, starts - 1), seed)
    ways = [_Start(place) for place in (begin or (first, *(0.7 * drawn)))]
    before = problem.runs
    for iteration in range(ITERATIONS):
        active = [way for way in ways if not way.done]
        if not active:
            break
        if progress is not None:
            progress(iteration / ITERATIONS, f"iteration {iteration + 1}")
        _iterate(problem, active)
    arrived = [way for way in ways if way.done]
    if not arrived:
        raise NotConverged(
            f"No start of the fit converged in {ITERATIONS} iterations; the scans may contradict "
            "the prior, or the unknowns each other: fit fewer of them, or widen the priors."
        )
    runs = problem.runs - before
    found = [
        Estimate(
            way.place,
            np.linalg.inv(way.curvature),
            -way.cost,
            way.iterations,
            runs,
        )
        for way in arrived
    ]
    return sorted(found, key=lambda one: -one.log_posterior)


def _iterate(problem: Problem, active: list[_Start]) -> None:
    low, high = problem.unknowns.bounds
    rows, count = [], len(problem.unknowns)
    for way in active:
        # towards the middle of the range, so that no difference leaves it
        signs = np.where(way.trial > 0.5 * (low + high), -STEP, STEP)
        rows += [way.trial, *(way.trial + np.diag(signs))]
    errors = problem.errors(np.array(rows)).reshape(len(active), count + 1, -1)
    for way, found in zip(active, errors, strict=True):
        signs = np.where(way.trial > 0.5 * (low + high), -STEP, STEP)
        cost = 0.5 * float(found[0] @ found[0]) + 0.5 * float(way.trial @ way.trial)
        way.iterations += 1
        if cost <= way.cost:
            # a step that was damped much says little of how far there is to go
            way.done = way.cost - cost < GAIN and way.damping < MUCH
            way.place, way.cost, way.errors = way.trial, cost, found[0]
            way.slope = ((found[1:] - found[0]) / signs[:, None]).T
            way.damping = max(1e-4, way.damping / 5.0)
        else:
            way.damping *= 8.0
            # no better, but no worse than what single precision tells apart
            way.done = cost - way.cost < GAIN
        if not way.done:
            way.trial = np.clip(way.place + way.step(), low, high)
            way.done = way.promise() < GAIN
