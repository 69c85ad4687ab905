"""Draws of parameters from their priors, together where one goes with another."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from twin.errors import InvalidInput
from twin.parameters import Parameter, ParameterSet
from twin.priors import LogNormal

__all__ = ["sample", "unpaired"]

#: Draws outside the ranges are made again, so often at most.
_MOST_ROUNDS = 1000


def sample(
    parameters: ParameterSet, names: Sequence[str], count: int, seed: int = 0
) -> dict[str, NDArray[np.float64]]:
    """Draws of some parameters, by name, each of shape (count,) in its own unit.

    A parameter with `joint` is drawn about ``median (y / median of y)^power`` of its partner,
    whose drawn value counts where it is drawn as well, and its own value otherwise. A draw in
    which any of them leaves its range is made again, all of it.

    Parameters
    ----------
    parameters : ParameterSet
    names : sequence of str
    count : int
    seed : int
        The same seed gives the same draws, whatever the order of the names.

    Raises
    ------
    InvalidInput
        A name that is not known, one without a prior, couplings in a circle, ranges that hold
        next to nothing of the priors.

    Examples
    --------
    >>> from twin.parameters import load_parameter_set
    >>> base = load_parameter_set("glioblastoma")
    >>> draws = sample(base, ["alpha", "proliferation_rate"], 2000, seed=1)
    >>> np.corrcoef(np.log(draws["alpha"]), np.log(draws["proliferation_rate"]))[0, 1] > 0.7
    True
    """
    if not (int(count) == count and count >= 1):
        raise InvalidInput(f"There are {count!r} draws; give a whole number from 1.")
    order = _partners_first(parameters, sorted(set(names)))
    random = np.random.default_rng(seed)
    found = {name: np.empty(0) for name in order}
    for _ in range(_MOST_ROUNDS):
        drawn = _drawn(parameters, order, random.standard_normal((len(order), count)))
        inside = np.ones(count, bool)
        for name in order:
            inside &= (drawn[name] >= parameters[name].low) & (drawn[name] <= parameters[name].high)
        found = {name: np.append(found[name], drawn[name][inside])[:count] for name in order}
        if all(len(values) == count for values in found.values()):
            return {name: found[name] for name in dict.fromkeys(names)}
    raise InvalidInput(
        f"The ranges of {', '.join(order)} hold next to nothing of their priors; widen them."
    )


def _drawn(
    parameters: ParameterSet, order: Sequence[str], normal: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Values of all parameters from standard normal numbers of shape (parameter, draw)."""
    found: dict[str, NDArray[np.float64]] = {}
    for name, z in zip(order, normal, strict=True):
        entry = parameters[name]
        prior = entry.prior
        assert prior is not None  # noqa: S101 - checked with the order
        if not isinstance(prior, LogNormal):
            found[name] = prior.mean + prior.sd * z
            continue
        found[name] = prior.median * np.exp(prior.sigma_ln * z)
        if entry.joint is not None:
            partner = entry.joint.with_parameter
            value = found.get(partner, np.asarray(parameters.value(partner)))
            ratio = value / _log_normal(parameters, partner).median
            found[name] = found[name] * ratio**entry.joint.power
    return found


def _partners_first(parameters: ParameterSet, names: Sequence[str]) -> list[str]:
    """The names in an order in which each comes after what it goes with."""
    order: list[str] = []
    left = list(names)
    for name in left:
        if parameters[name].prior is None:
            raise InvalidInput(
                f"Parameter {name!r} has no prior, so it cannot be drawn; give it one, such as "
                "prior = { median = ..., sigma_ln = ... }, or leave it out."
            )
    while left:
        ready = [name for name in left if _partner(parameters[name]) not in left]
        if not ready:
            raise InvalidInput(
                f"{' and '.join(left)} each go with one another in a circle; leave one joint out."
            )
        order += ready
        left = [name for name in left if name not in ready]
    return order


def _partner(entry: Parameter) -> str | None:
    return None if entry.joint is None else entry.joint.with_parameter


def _log_normal(parameters: ParameterSet, name: str) -> LogNormal:
    """The prior of what another parameter goes with."""
    prior = parameters[name].prior
    if not isinstance(prior, LogNormal):
        raise InvalidInput(
            f"Parameter {name!r} is what another one goes with, but has no log-normal prior; give "
            "it one, or leave the joint out."
        )
    return prior


def unpaired(parameters: ParameterSet) -> dict[str, tuple[str, float]]:
    """Parameters that stayed while what they go with moved: (the partner, the paired value).

    One stayed if its value is its prior's median; its partner moved if its value is not.

    Examples
    --------
    >>> from twin.parameters import load_parameter_set
    >>> base = load_parameter_set("glioblastoma")
    >>> unpaired(base)
    {}
    >>> name, value = unpaired(base.replace(proliferation_rate=0.1))["alpha"]
    >>> name, round(value, 4)
    ('proliferation_rate', 0.0819)
    """
    found = {}
    for name, entry in parameters.items():
        if entry.joint is None or not isinstance(entry.prior, LogNormal):
            continue
        partner = entry.joint.with_parameter
        if partner not in parameters:
            continue
        value, prior = parameters.value(partner), _log_normal(parameters, partner)
        stayed = math.isclose(entry.value, entry.prior.median, rel_tol=1e-9)
        if stayed and not math.isclose(value, prior.median, rel_tol=1e-9):
            found[name] = (partner, entry.joint.median(entry.prior, prior, value))
    return found
