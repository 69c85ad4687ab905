"""Which parameters are fitted, in coordinates in which the prior is a standard normal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from twin.errors import InvalidInput
from twin.parameters import LogNormal, Normal, ParameterSet

__all__ = ["Unknowns"]

#: What goes along with an unknown, in the ratio that the patient's set has.
TOGETHER = {"diffusivity_white": ("diffusivity_grey",)}


@dataclass(frozen=True, slots=True)
class Unknowns:
    """Fitted parameters of a set, each with its prior.

    A coordinate z is ``(ln x - ln median) / sigma_ln`` of a log-normal prior and
    ``(x - mean) / sd`` of a normal one, so that the prior is a standard normal cut off at the
    parameter's range. The diffusivity of grey matter goes with that of white.

    Parameters
    ----------
    names : tuple of str
    base : ParameterSet
        Everything that is not fitted.

    Raises
    ------
    InvalidInput
        No unknown, one twice, one without a prior, or one that goes along with another.

    Examples
    --------
    >>> from twin.parameters import load_parameter_set
    >>> unknowns = Unknowns(("proliferation_rate",), load_parameter_set("glioblastoma"))
    >>> unknowns.values([[1.0]]).round(4).tolist()
    [[0.0738]]
    """

    names: tuple[str, ...]
    base: ParameterSet

    def __post_init__(self) -> None:
        if not self.names:
            raise InvalidInput("There is nothing to fit; name at least one unknown parameter.")
        for name in self.names:
            if self.names.count(name) > 1:
                raise InvalidInput(f"The unknown {name!r} is named twice.")
            leader = next((who for who, others in TOGETHER.items() if name in others), None)
            if leader is not None:
                raise InvalidInput(
                    f"{name!r} goes along with {leader!r} in the patient's own ratio; fit that one."
                )
            if self.base[name].prior is None:
                fitted = ", ".join(key for key, one in self.base.items() if one.prior is not None)
                raise InvalidInput(
                    f"The parameter {name!r} has no prior, so it cannot be fitted; those that "
                    f"have one are {fitted}."
                )

    def __len__(self) -> int:
        return len(self.names)

    def _prior(self, name: str) -> LogNormal | Normal:
        prior = self.base[name].prior
        if prior is None:
            raise InvalidInput(f"The parameter {name!r} has no prior.")
        return prior

    def values(self, coordinates: ArrayLike) -> NDArray[np.float64]:
        """Parameters in their units from coordinates, both of shape (..., unknown)."""
        z = np.asarray(coordinates, np.float64)
        found = np.empty_like(z)
        for k, name in enumerate(self.names):
            prior = self._prior(name)
            if isinstance(prior, LogNormal):
                found[..., k] = prior.median * np.exp(prior.sigma_ln * z[..., k])
            else:
                found[..., k] = prior.mean + prior.sd * z[..., k]
        return found

    def coordinates(self, values: ArrayLike) -> NDArray[np.float64]:
        """Coordinates from parameters in their units, both of shape (..., unknown)."""
        x = np.asarray(values, np.float64)
        found = np.empty_like(x)
        for k, name in enumerate(self.names):
            prior = self._prior(name)
            if isinstance(prior, LogNormal):
                found[..., k] = np.log(x[..., k] / prior.median) / prior.sigma_ln
            else:
                found[..., k] = (x[..., k] - prior.mean) / prior.sd
        return found

    @property
    def bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Least and greatest coordinates by the parameters' ranges, each of shape (unknown,)."""
        low, high = [], []
        for name in self.names:
            entry, prior = self.base[name], self._prior(name)
            least = entry.low
            if isinstance(prior, LogNormal):
                least = max(least, prior.median * math.exp(-12.0 * prior.sigma_ln))
            low.append(least)
            high.append(entry.high)
        # a hair inside, so that rounding leaves no value outside its range
        lower, upper = self.coordinates(low), self.coordinates(high)
        return lower + 1e-9 * (upper - lower), upper - 1e-9 * (upper - lower)

    def inside(self, coordinates: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether all coordinates lie in the parameters' ranges, shape (...)."""
        low, high = self.bounds
        return np.asarray(((coordinates >= low) & (coordinates <= high)).all(axis=-1))

    def parameters(self, coordinates: ArrayLike) -> ParameterSet:
        """The whole set at one point, shape (unknown,)."""
        values = self.values(coordinates)
        changes: dict[str, float] = {}
        for name, value in zip(self.names, values, strict=True):
            changes[name] = float(value)
            for other in TOGETHER.get(name, ()):
                ratio = self.base.value(other) / self.base.value(name)
                changes[other] = float(value) * ratio
        return self.base.replace(**changes)

    def draws_of_the_prior(self, count: int, seed: int) -> NDArray[np.float64]:
        """Seeded draws of the prior within the ranges, shape (draw, unknown)."""
        low, high = self.bounds
        uniform = np.random.default_rng(seed).uniform(size=(count, len(self)))
        return np.asarray(norm.ppf(norm.cdf(low) + uniform * (norm.cdf(high) - norm.cdf(low))))

    def log_prior(self, coordinates: NDArray[np.float64]) -> NDArray[np.float64]:
        """Logarithm of the prior but for a constant, shape (...); minus infinity out of range."""
        inside = self.inside(coordinates)
        return np.where(inside, -0.5 * (coordinates**2).sum(axis=-1), -np.inf)

    @classmethod
    def of(cls, names: Sequence[str], base: ParameterSet) -> Unknowns:
        """Unknowns by any sequence of names."""
        return cls(tuple(names), base)
