"""Draws of the posterior: a sampler on a quadratic stand-in, made exact by runs of the solver.

The errors of a few dozen runs about the most likely point are fitted by quadratic functions
(`QuadraticErrors`), which cost nothing, and emcee samples the posterior that they give. Some of
its draws are then run in the solver and weighed by how much more or less likely they truly are:
importance sampling, whose weighted draws are of the true posterior however good the stand-in is;
a bad one only lowers the number of effective draws, which is reported.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import emcee
import numpy as np
from arviz_stats.base import array_stats  # type: ignore[attr-defined]
from numpy.typing import NDArray
from scipy.special import logsumexp

from solvers.batch import BLOCK_WIDTH
from solvers.calibration.most_likely import Estimate
from solvers.calibration.problem import Problem
from solvers.calibration.quadratic import QuadraticErrors, terms_of
from twin.errors import InvalidInput, NotConverged
from twin.protocol import Progress

__all__ = ["Draws", "check_effective", "draw"]

#: Runs for the first stand-in, as a multiple of its terms, drawn this much wider than Laplace.
FIRST_RUNS, WIDER = 2.5, 1.5
#: Of the sampler on the stand-in: independent ensembles of walkers, steps left out and kept.
CHAINS, WALKERS, BURNT, STEPS = 2, 128, 200, 300
#: The stand-in is sampled at this temperature, and at its square in the third round and so on: its
#: tails have to reach further than the truth's.
TEMPERATURE = 1.25
#: Rounds of draws, each with a stand-in that knows those before; the last that is needed counts.
ROUNDS = 4
#: Above this the tail of the weights is too heavy for them to be used (Vehtari 2024, the usual
#: limit of Pareto's k).
HEAVIEST_TAIL = 0.7
#: Chains agree when their potential scale reduction is below this.
AGREED = 1.01
#: Most runs, as a multiple of the effective draws asked for.
MOST_RUNS = 3
#: Of the sampler's steps every so many make the pool that draws are taken from.
THINNED = 5
#: Effective draws that can be asked for: fewer tell no interval, more than the pool can give.
FEWEST, MOST = 50, CHAINS * WALKERS * (STEPS // THINNED) // MOST_RUNS


@dataclass(frozen=True, slots=True)
class Draws:
    """Weighted draws of the posterior and how good they are.

    Parameters
    ----------
    places : ndarray, shape (draw, unknown)
        Coordinates, as of `Unknowns`.
    weights : ndarray, [1], shape (draw,)
        Their sum is 1.
    log_likelihood : ndarray, shape (draw,)
        By the solver, but for a constant.
    effective : float
        Number of independent draws that they are worth, ``1 / sum(weights^2)``.
    tail : float
        Pareto's k of the weights.
    r_hat : float
        Largest potential scale reduction of the sampler's chains on the stand-in.
    runs : int
        Runs of the solver for all of it.
    """

    places: NDArray[np.float64]
    weights: NDArray[np.float64]
    log_likelihood: NDArray[np.float64]
    effective: float
    tail: float
    r_hat: float
    runs: int

    def quantiles(
        self, values: NDArray[np.float64], probabilities: Sequence[float]
    ) -> NDArray[np.float64]:
        """Quantiles of what each draw gives, shape (draw, number), by the weights.

        Shape (probability, number).
        """
        found = np.empty((len(probabilities), values.shape[1]))
        for k, column in enumerate(values.T):
            order = np.argsort(column)
            heap = np.cumsum(self.weights[order]) - 0.5 * self.weights[order]
            found[:, k] = np.interp(probabilities, heap, column[order])
        return found

    def chosen(self, count: int, seed: int) -> NDArray[np.int64]:
        """Numbers of so many draws of equal weight, systematically, shape (count,)."""
        start = np.random.default_rng(seed).uniform()
        marks = (start + np.arange(count)) / count
        return np.searchsorted(np.cumsum(self.weights), marks).clip(max=len(self.weights) - 1)


def check_effective(effective: int) -> None:
    """Raise `InvalidInput` for a number of effective draws that cannot be given."""
    if not FEWEST <= effective <= MOST:
        raise InvalidInput(f"{effective} draws are asked for; give {FEWEST} to {MOST}.")


def draw(
    problem: Problem,
    estimate: Estimate,
    *,
    effective: int = 1000,
    seed: int = 0,
    progress: Progress | None = None,
) -> Draws:
    """Draws of the posterior about a most likely point.

    Parameters
    ----------
    problem : Problem
    estimate : Estimate
        Of this problem.
    effective : int
        Independent draws that they should be worth, `FEWEST` to `MOST`.
    seed : int
    progress : callable or None

    Raises
    ------
    InvalidInput
        Too few or too many draws asked for.
    NotConverged
        The sampler's chains disagree, or a few draws carry all the weight: the posterior is
        not what a quadratic about its maximum can lead to.
    """
    check_effective(effective)
    report: Progress = progress if progress is not None else lambda part, message: None
    before = problem.runs
    rng = np.random.default_rng(seed)
    about = estimate.place, estimate.covariance
    first = _blocks(FIRST_RUNS * terms_of(len(problem.unknowns)))
    report(0.0, "runs about the most likely point")
    known = _about(problem, about[0], WIDER**2 * about[1], first, rng)
    errors = problem.errors(known)
    # a first round of draws makes the stand-in better, and tells how many are needed
    last = _round(problem, about, known, errors, max(64, _blocks(effective / 4)), rng, report, 1)
    for number in range(2, ROUNDS + 1):
        known, errors = np.vstack([known, last.places]), np.vstack([errors, last.errors])
        about = last.places.mean(axis=0), np.atleast_2d(np.cov(last.places.T))
        share = min(1.0, float(np.exp(-np.var(last.ratio))))
        wanted = _blocks(min(MOST_RUNS, 1.1 / max(share, 0.1)) * effective)
        last = _round(problem, about, known, errors, wanted, rng, report, number)
        if last.r_hat > AGREED:
            raise NotConverged(
                f"The sampler's chains disagree (R-hat {last.r_hat:.3f}, at most {AGREED} is "
                "allowed), so no interval is given; fit fewer unknowns, or narrow their priors."
            )
        # a hair of noise: the fit of the tail cannot do with equal values, and may overflow
        apart = 1e-9 * rng.normal(size=len(last.ratio))
        with np.errstate(over="ignore"):
            smoothed, tail = array_stats.psislw(-(last.ratio + apart))  # minus the logarithm
        if float(tail) <= HEAVIEST_TAIL:
            break
    else:
        raise NotConverged(
            f"A few draws carry the weight of all (Pareto's k {float(tail):.2f}, at most "
            f"{HEAVIEST_TAIL} is allowed), so no interval is given: the posterior is not what its "
            "maximum leads to expect. Fit fewer unknowns, or narrow their priors."
        )
    weights = np.exp(smoothed - logsumexp(smoothed))
    report(1.0, "done")
    return Draws(
        last.places,
        weights,
        problem.log_likelihood(last.errors),
        min(float(1.0 / np.sum(weights**2)), last.independent),
        float(tail),
        last.r_hat,
        problem.runs - before,
    )


def _blocks(runs: float) -> int:
    """So many runs or a few more, in whole blocks of a batch."""
    return int(np.ceil(runs / BLOCK_WIDTH)) * BLOCK_WIDTH


@dataclass(frozen=True, slots=True)
class _Round:
    """Draws by a stand-in that were run: places, errors, true over sampled posterior (ln)."""

    places: NDArray[np.float64]
    errors: NDArray[np.float64]
    ratio: NDArray[np.float64]
    r_hat: float
    independent: float


def _round(
    problem: Problem,
    about: tuple[NDArray[np.float64], NDArray[np.float64]],
    known: NDArray[np.float64],
    errors: NDArray[np.float64],
    wanted: int,
    rng: np.random.Generator,
    report: Progress,
    number: int,
) -> _Round:
    """Fit a stand-in to the runs that are known, sample it, and run some of its draws."""
    stand_in = QuadraticErrors.fitted(known, errors, *about)
    warm = TEMPERATURE ** max(1, number - 1)
    kept = _sampled(problem, stand_in, warm, *about, rng)
    count = kept.shape[-1]
    chains = kept.reshape(CHAINS, -1, count)  # the walkers of each step side by side
    r_hat = max(float(array_stats.rhat(chains[..., k])) for k in range(count))
    of_walkers = np.moveaxis(kept, 2, 1).reshape(-1, STEPS, count)
    independent = min(float(array_stats.ess(of_walkers[..., k])) for k in range(count))
    pool = kept[:, ::THINNED].reshape(-1, count)
    chosen = pool[rng.choice(len(pool), wanted, replace=False)]
    width, found = BLOCK_WIDTH * problem.threads, []
    for begin in range(0, wanted, width):
        report(begin / wanted, f"{wanted} draws in the solver")
        found.append(problem.errors(chosen[begin : begin + width]))
    ran = np.vstack(found)
    truly = problem.unknowns.log_prior(chosen) + problem.log_likelihood(ran)
    ratio = truly - _log_target(problem, stand_in, chosen, warm)
    return _Round(chosen, ran, ratio, r_hat, independent)


def _log_target(
    problem: Problem, stand_in: QuadraticErrors, places: NDArray[np.float64], warm: float
) -> NDArray[np.float64]:
    """Logarithm of what is sampled, but for a constant, shape (place,)."""
    log_posterior = problem.unknowns.log_prior(places) + stand_in.log_likelihood(places)
    return np.asarray(log_posterior / warm)


def _about(
    problem: Problem,
    centre: NDArray[np.float64],
    covariance: NDArray[np.float64],
    count: int,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Draws of a normal distribution within the parameters' ranges, shape (count, unknown)."""
    low, high = problem.unknowns.bounds
    drawn = rng.multivariate_normal(centre, covariance, size=count)
    return np.clip(drawn, low, high)


def _sampled(
    problem: Problem,
    stand_in: QuadraticErrors,
    warm: float,
    centre: NDArray[np.float64],
    covariance: NDArray[np.float64],
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Chains of the posterior by the stand-in, shape (ensemble, step, walker, unknown)."""
    count = len(problem.unknowns)

    def log_posterior(places: NDArray[np.float64]) -> NDArray[np.float64]:
        return _log_target(problem, stand_in, places, warm)

    chains = []
    for _ in range(CHAINS):
        sampler = emcee.EnsembleSampler(
            WALKERS, count, log_posterior, vectorize=True, moves=emcee.moves.DEMove()
        )
        sampler.random_state = np.random.RandomState(int(rng.integers(2**31))).get_state()
        begin = _about(problem, centre, covariance, WALKERS, rng)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # minus infinity out of range
            sampler.run_mcmc(begin, BURNT + STEPS, skip_initial_state_check=True)
        chains.append(sampler.get_chain(discard=BURNT, flat=False))
    return np.stack(chains)
