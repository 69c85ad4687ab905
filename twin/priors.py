"""Priors: how a parameter varies between patients, and with another parameter."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist

from twin.errors import InvalidInput

__all__ = ["Joint", "LogNormal", "Normal", "prior_of"]


@dataclass(frozen=True, slots=True)
class LogNormal:
    """A log-normal prior: ln(x) is normal with mean ln(median) and deviation `sigma_ln`."""

    median: float
    sigma_ln: float

    def __post_init__(self) -> None:
        if not 0.0 < self.median < math.inf or not 0.0 < self.sigma_ln < math.inf:
            raise InvalidInput(
                f"A log-normal prior needs a positive median and sigma_ln, not "
                f"{self.median} and {self.sigma_ln}."
            )

    def quantile(self, probability: float) -> float:
        """Value below which the stated probability lies.

        Examples
        --------
        >>> LogNormal(0.03, 0.9).quantile(0.5)
        0.03
        """
        if not 0.0 < probability < 1.0:
            raise InvalidInput(f"A probability lies between 0 and 1, not {probability}.")
        return self.median * math.exp(self.sigma_ln * NormalDist().inv_cdf(probability))

    @property
    def mean(self) -> float:
        """``median exp(sigma^2 / 2)``.

        Examples
        --------
        >>> round(LogNormal(0.14, 0.9).mean, 4)
        0.2099
        """
        return self.median * math.exp(0.5 * self.sigma_ln**2)

    @property
    def sd(self) -> float:
        """Standard deviation, ``mean sqrt(exp(sigma^2) - 1)``.

        Examples
        --------
        >>> round(LogNormal(0.14, 0.9).sd, 4)
        0.2345
        """
        return self.mean * math.sqrt(math.expm1(self.sigma_ln**2))

    def times(self, other: LogNormal, power: float = 1.0) -> LogNormal:
        """The prior of an independent product ``x y^power``, log-normal again.

        Examples
        --------
        >>> LogNormal(0.2, 0.3).times(LogNormal(0.05, 0.4)).sigma_ln
        0.5
        """
        return LogNormal(
            self.median * other.median**power,
            math.hypot(self.sigma_ln, power * other.sigma_ln),
        )

    def updated(self, observed: list[float], sigma_ln: float) -> LogNormal:
        """The prior after independent observations of ln x with this error, conjugate.

        Examples
        --------
        >>> round(LogNormal(1.0, 0.9).updated([1.0] * 4, 0.2).sigma_ln, 6)
        0.099388
        """
        if not 0.0 < sigma_ln < math.inf or not all(0.0 < x < math.inf for x in observed):
            raise InvalidInput("Observations and their sigma_ln must be finite and above 0.")
        own, each = self.sigma_ln**-2, sigma_ln**-2
        precision = own + each * len(observed)
        total = own * math.log(self.median) + each * sum(math.log(x) for x in observed)
        return LogNormal(math.exp(total / precision), precision**-0.5)


@dataclass(frozen=True, slots=True)
class Normal:
    """A normal prior, for what may be negative."""

    mean: float
    sd: float

    def __post_init__(self) -> None:
        if not -math.inf < self.mean < math.inf or not 0.0 < self.sd < math.inf:
            raise InvalidInput(
                f"A normal prior needs a finite mean and a positive sd, not {self.mean} and "
                f"{self.sd}."
            )

    def quantile(self, probability: float) -> float:
        """Value below which the stated probability lies.

        Examples
        --------
        >>> round(Normal(0.0, 1.0).quantile(0.975), 4)
        1.96
        """
        if not 0.0 < probability < 1.0:
            raise InvalidInput(f"A probability lies between 0 and 1, not {probability}.")
        return NormalDist(self.mean, self.sd).inv_cdf(probability)


@dataclass(frozen=True, slots=True)
class Joint:
    """What couples a parameter to another one: its median goes with a power of that one.

    ``median(x | y) = median(x) (y / median(y))^power``, about which x varies by its own
    `sigma_ln`; so that the prior of x itself is that at the partner's median.

    Parameters
    ----------
    with_parameter : str
        The partner, whose prior is log-normal.
    power : float, [1]
    source : str
        ``doi: ...``, ``calibrated: to what`` or ``assumed: reason``.
    """

    with_parameter: str
    power: float
    source: str

    def __post_init__(self) -> None:
        if isinstance(self.power, bool) or not isinstance(self.power, int | float):
            raise InvalidInput(f"joint: power must be a number, not {self.power!r}.")
        if not -10.0 <= self.power <= 10.0:
            raise InvalidInput(f"joint: power is {self.power}, but must lie between -10 and 10.")

    def median(self, own: LogNormal, partner: LogNormal, value: float) -> float:
        """Median of the parameter where its partner has a value.

        Examples
        --------
        >>> joint = Joint("proliferation_rate", 0.5, "assumed: an example")
        >>> joint.median(LogNormal(0.04, 0.4), LogNormal(0.03, 0.9), 0.12)
        0.08
        """
        return own.median * (value / partner.median) ** self.power

    def correlation(self, own: LogNormal, partner: LogNormal) -> float:
        """Correlation of the logarithms of both, from -1 to 1.

        Examples
        --------
        >>> joint = Joint("proliferation_rate", 1.0, "assumed: an example")
        >>> joint.correlation(LogNormal(0.04, 0.4), LogNormal(0.03, 0.3))
        0.6
        """
        shared = self.power * partner.sigma_ln
        return shared / math.hypot(shared, own.sigma_ln)

    @classmethod
    def of(cls, table: Mapping[str, object]) -> Joint:
        """The coupling that a table ``{ with = ..., power = ..., source = ... }`` states."""
        known = ("with", "power", "source")
        for key in (*known, *table):
            if key not in table or key not in known:
                raise InvalidInput(
                    f"joint needs {', '.join(known)} and nothing else, not {', '.join(table)}."
                )
        return cls(str(table["with"]), table["power"], str(table["source"]))  # type: ignore[arg-type]

    def as_dict(self) -> dict[str, object]:
        """The table that `of` reads."""
        return {"with": self.with_parameter, "power": self.power, "source": self.source}


def prior_of(table: Mapping[str, float] | None) -> LogNormal | Normal | None:
    """The prior that a table names by its keys: median and sigma_ln, or mean and sd."""
    if table is None:
        return None
    return Normal(**table) if "mean" in table else LogNormal(**table)
