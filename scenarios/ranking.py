"""Ranking of treatment arms for named endpoints, with ties where nothing can be said."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from scenarios.endpoints import Endpoint, default_endpoints
from scenarios.evidence import comparable, worst
from scenarios.statements import open_questions
from twin.errors import InvalidInput

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["RULE", "Endpoint", "Ranking", "default_endpoints", "rank", "rank_values"]

RULE = (
    "An arm is ahead of another for an endpoint if it is better in every case by more than the "
    "numerical errors of both together; otherwise the two are tied (the difference lies below the "
    "numerical error, or the cases disagree about its sign). Where a run is not "
    "asymptotic, the distance between the meshes stands for its numerical error. An arm's rank is "
    "one more than the number of arms that are ahead of it. Arms that rest on evidence of grade C "
    "or D are ranked among themselves. Arms that differ in fraction size alone, or in margins "
    "alone, are tied unless the study has the cases that a statement about these needs."
)


@dataclass(frozen=True, slots=True)
class Ranking:
    """Ranks of the arms for one endpoint; equal ranks are ties.

    Parameters
    ----------
    endpoint : str
    ranks : mapping of str to int
        By arm, the best first.
    tied_with : mapping of str to tuple of str
        By arm, the arms that it can not be told apart from.
    better_in : mapping of str to mapping of str to int
        By arm and other arm, in how many cases the one is better, whatever the numerical errors.
    cases : int
        Of the results; where cases are draws, `better_in` by this is the probability.
    """

    endpoint: str
    ranks: Mapping[str, int]
    tied_with: Mapping[str, tuple[str, ...]]
    better_in: Mapping[str, Mapping[str, int]]
    cases: int


def rank_values(
    value: NDArray[np.float64],
    error: NDArray[np.float64],
    *,
    larger_is_better: bool = False,
    untold: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Ranks, shape (scenario,), and who is tied with whom, shape (scenario, scenario).

    Parameters
    ----------
    value, error : ndarray, shape (scenario, case)
        Endpoint and its numerical error, in one unit.
    larger_is_better : bool
    untold : ndarray of bool, shape (scenario, scenario), or None
        Arms between which nothing may be said.

    Examples
    --------
    Arm 2 is best in both cases; 0 and 1 change places, so they are tied.

    >>> value = np.array([[10.0, 12.0], [11.0, 11.0], [5.0, 6.0]])
    >>> rank_values(value, np.full((3, 2), 0.1))[0].tolist()
    [2, 2, 1]
    """
    if value.shape != error.shape or value.ndim != 2:
        raise InvalidInput("Ranking needs a value and an error for every scenario and case.")
    if not (np.isfinite(value).all() and (error >= 0.0).all()):
        raise InvalidInput("Ranking needs finite values and errors that are not negative.")
    sign = -1.0 if larger_is_better else 1.0
    gain = sign * (value[None, :, :] - value[:, None, :])  # of arm i (first) over arm j (second)
    needed = error[:, None, :] + error[None, :, :]
    ahead = (gain > needed).all(axis=2)
    if untold is not None:
        ahead &= ~untold
    tied = ~ahead & ~ahead.T & ~np.eye(len(value), dtype=bool)
    return 1 + ahead.sum(axis=0), tied


def rank(results: xr.Dataset, endpoints: list[Endpoint] | None = None) -> list[Ranking]:
    """A ranking for each endpoint, over all cases of the results, by `RULE`.

    Arms that rest on evidence of grade C or D are ranked apart from those that do not.
    """
    names = [str(name) for name in results["scenario"].values]
    evidence = json.loads(results.attrs.get("evidence", "{}"))
    groups = comparable([worst(evidence.get(name, {})) for name in names])
    found, untold = [], open_questions(results)
    for endpoint in default_endpoints(results) if endpoints is None else endpoints:
        value, error = endpoint.values(results)
        ranks, tied = np.zeros(len(names), np.int64), np.zeros((len(names),) * 2, bool)
        for group in groups:
            part = rank_values(
                value[group],
                error[group],
                larger_is_better=endpoint.larger_is_better,
                untold=untold[np.ix_(group, group)],
            )
            ranks[group], tied[np.ix_(group, group)] = part
        order = np.argsort(ranks, kind="stable")
        found.append(
            Ranking(
                endpoint.name,
                {names[i]: int(ranks[i]) for i in order},
                {names[i]: tuple(names[j] for j in np.flatnonzero(tied[i])) for i in order},
                _better_in(names, value, larger_is_better=endpoint.larger_is_better),
                value.shape[1],
            )
        )
    return found


def _better_in(
    names: list[str], value: NDArray[np.float64], *, larger_is_better: bool
) -> dict[str, dict[str, int]]:
    """In how many cases each arm is better than each other one."""
    sign = 1.0 if larger_is_better else -1.0
    count = (sign * (value[:, None, :] - value[None, :, :]) > 0.0).sum(axis=2)
    return {
        one: {other: int(count[i, j]) for j, other in enumerate(names) if j != i}
        for i, one in enumerate(names)
    }
