"""How well a forecast did: agreement, calibration of intervals, proper scores, survival."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from twin.errors import InvalidInput

__all__ = [
    "brier_score",
    "concordance",
    "coverage",
    "crps_of_ensemble",
    "crps_of_normal",
    "kaplan_meier",
    "log_volume_error",
    "log_volume_likelihood",
]


def _two(x: ArrayLike, y: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    a, b = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if a.shape != b.shape or a.size == 0:
        raise InvalidInput("Two lists of the same length, not empty, are needed to compare them.")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise InvalidInput("A value is not finite.")
    return a, b


def concordance(x: ArrayLike, y: ArrayLike) -> float:
    """Lin's concordance ``2 s_xy / (s_x^2 + s_y^2 + (mean difference)^2)``, moments by 1/n, [1].

    L. I.-K. Lin 1989, Biometrics 45:255, doi 10.2307/2532051. NaN where both are constant and
    equal, since it is then 0/0.

    Examples
    --------
    >>> concordance([1.0, 2.0, 3.0, 4.0], [2.0, 4.0, 6.0, 8.0])
    0.4
    """
    a, b = _two(x, y)
    spread = a.var() + b.var() + (a.mean() - b.mean()) ** 2
    both = float(((a - a.mean()) * (b - b.mean())).mean())
    return 2.0 * both / float(spread) if spread > 0.0 else float("nan")


def crps_of_normal(mean: ArrayLike, sd: ArrayLike, observed: ArrayLike) -> NDArray[np.float64]:
    """Continuous ranked probability score of a normal forecast, in the unit of the value.

    ``sd [z (2 Phi(z) - 1) + 2 phi(z) - 1/sqrt(pi)]`` (T. Gneiting and A. E. Raftery 2007, JASA
    102:359, doi 10.1198/016214506000001437).

    Examples
    --------
    >>> round(float(crps_of_normal(0.0, 1.0, 1.0)), 6)
    0.602441
    """
    sd = np.asarray(sd, np.float64)
    if not ((sd > 0.0) & (sd < np.inf)).all():
        raise InvalidInput("A forecast's standard deviation must be finite and above 0.")
    z = (np.asarray(observed, np.float64) - np.asarray(mean, np.float64)) / sd
    density = np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)
    return np.asarray(sd * (z * (2.0 * ndtr(z) - 1.0) + 2.0 * density - 1.0 / np.sqrt(np.pi)))


def crps_of_ensemble(ensemble: ArrayLike, observed: float) -> float:
    """Continuous ranked probability score of draws, ``mean|x-y| - sum|x_i-x_j|/(2 n^2)``.

    Examples
    --------
    >>> crps_of_ensemble([1.0, 2.0, 4.0, 7.0], 3.0)
    0.75
    """
    draws = np.sort(np.asarray(ensemble, np.float64).ravel())
    if draws.size == 0 or not np.isfinite(draws).all() or not np.isfinite(observed):
        raise InvalidInput("The score needs at least one draw, and finite values.")
    n = len(draws)
    pairs = 2.0 * float(((2 * np.arange(n) - n + 1) * draws).sum())  # sum over all i, j
    return float(np.abs(draws - observed).mean() - pairs / (2.0 * n * n))


def coverage(lower: ArrayLike, upper: ArrayLike, observed: ArrayLike) -> float:
    """Share of values inside their intervals, bounds included, [1].

    Examples
    --------
    >>> coverage([1.0, 2.0], [2.0, 3.0], [1.0, 3.5])
    0.5
    """
    low, value = _two(lower, observed)
    high, _ = _two(upper, observed)
    if not (low <= high).all():
        raise InvalidInput("An interval's lower bound lies above its upper one.")
    return float(((low <= value) & (value <= high)).mean())


def brier_score(probability: ArrayLike, happened: ArrayLike) -> float:
    """Mean squared difference of probabilities and what happened (0 or 1), [1].

    Examples
    --------
    >>> round(brier_score([0.9, 0.2], [1, 0]), 4)
    0.025
    """
    p, o = _two(probability, happened)
    if not (((p >= 0.0) & (p <= 1.0)).all() and np.isin(o, (0.0, 1.0)).all()):
        raise InvalidInput("Probabilities lie between 0 and 1, outcomes are 0 or 1.")
    return float(((p - o) ** 2).mean())


def log_volume_error(model: ArrayLike, observed: ArrayLike) -> float:
    """Root mean square of ln(observed/model), [1].

    Examples
    --------
    >>> log_volume_error([10.0, 20.0], [10.0, 20.0])
    0.0
    """
    return float(np.sqrt((_log_ratio(model, observed) ** 2).mean()))


def log_volume_likelihood(model: ArrayLike, observed: ArrayLike, sd: float) -> float:
    """Log-likelihood of volumes with normal errors of their logarithms, in log space.

    ``sum of log N(ln observed; ln model, sd^2)``, without the Jacobian 1/observed, which no
    fit depends on.

    Examples
    --------
    >>> round(log_volume_likelihood([10.0, 20.0], [11.0, 18.0], 0.1), 6)
    1.75805
    """
    if not 0.0 < sd < np.inf:
        raise InvalidInput(f"The standard deviation is {sd}; it must be finite and above 0.")
    ratio = _log_ratio(model, observed)
    return float((-0.5 * (ratio / sd) ** 2 - np.log(sd * np.sqrt(2.0 * np.pi))).sum())


def _log_ratio(model: ArrayLike, observed: ArrayLike) -> NDArray[np.float64]:
    a, b = _two(model, observed)
    if not ((a > 0.0).all() and (b > 0.0).all()):
        raise InvalidInput("Volumes must be above 0 where their logarithms are compared.")
    return np.asarray(np.log(b / a))


def kaplan_meier(times: ArrayLike, happened: ArrayLike, at: ArrayLike) -> NDArray[np.float64]:
    """Share without an event until a time, shape of `at`, [1].

    At equal times events come before those who leave (E. L. Kaplan and P. Meier 1958, JASA
    53:457 [unverified]).

    Parameters
    ----------
    times : array_like, shape (patient,)
        Of the event, or of leaving.
    happened : array_like of 0 and 1, shape (patient,)
    at : array_like
        Events at this very time count.

    Examples
    --------
    >>> round(float(kaplan_meier([2, 3, 3, 5, 8, 9], [1, 1, 0, 1, 1, 0], 4.0)), 6)
    0.666667
    """
    t, event = _two(times, happened)
    if not np.isin(event, (0.0, 1.0)).all():
        raise InvalidInput("Whether an event happened is 1 or 0.")
    when = np.unique(t[event == 1.0])
    risk = (t[None, :] >= when[:, None]).sum(axis=1)
    died = ((t[None, :] == when[:, None]) & (event == 1.0)).sum(axis=1)
    left = np.cumprod(1.0 - died / risk) if len(when) else np.ones(0)
    index = np.searchsorted(when, np.asarray(at, np.float64), side="right")
    return np.concatenate([[1.0], left])[index]
