"""Predicted ratios of times beside published ones: hit or miss, in direction and in size."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from scenarios.trials.outcome import ArmOutcome, interval_of_ratio
from scenarios.trials.trial_file import Comparison, Endpoint, Trial, Z, time_ratio

__all__ = ["Order", "Verdict", "judge", "order_of"]

Direction = Literal["hit", "miss", "not claimed"]
Size = Literal["hit", "too small", "too large"]
Interval = tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One comparison of two arms.

    Parameters
    ----------
    trial : str
        Its title.
    arms : (str, str)
        The first over the second.
    endpoint : {"progression", "survival"}
    use : {"fitted", "same trial", "tested"}
    claim : str
        What was published: "longer" or "no significant difference".
    published, predicted : (float, float, float), [1]
        Ratio of the median times, and the ends of its 95 % interval.
    note : str
    """

    trial: str
    arms: tuple[str, str]
    endpoint: Endpoint
    use: Literal["fitted", "same trial", "tested"]
    claim: str
    published: Interval
    predicted: Interval
    note: str = ""

    @property
    def direction(self) -> Direction:
        """Whether the arm that was longer is predicted to be, beyond the cohort's chance."""
        if self.claim != "longer":
            return "not claimed"
        return "hit" if self.predicted[1] > 1.0 else "miss"

    @property
    def size(self) -> Size:
        """Where the predicted ratio lies by the published interval."""
        ratio = self.predicted[0]
        if ratio < self.published[1]:
            return "too small"
        return "too large" if ratio > self.published[2] else "hit"

    @property
    def hit(self) -> bool:
        """Direction and size both."""
        return self.direction != "miss" and self.size == "hit"

    def sentence(self) -> str:
        """The comparison in words.

        Examples
        --------
        >>> one = Verdict(
        ...     trial="A", arms=("x", "y"), endpoint="survival", use="tested", claim="longer",
        ...     published=(2.0, 1.5, 2.7), predicted=(1.2, 1.1, 1.3),
        ... )
        >>> print(one.sentence())
        MISS in size (too small): x over y, survival: published 2.00 (1.50 to 2.70), predicted
        1.20 (1.10 to 1.30).
        """
        if self.use == "fitted":
            word = "Fitted"
        elif self.hit:
            word = "HIT"
        elif self.direction == "miss":
            word = "MISS in direction" + ("" if self.size == "hit" else f" and size ({self.size})")
        else:
            word = f"MISS in size ({self.size})"
        claim = "" if self.claim == "longer" else f" ({self.claim})"
        return (
            f"{word}: {self.arms[0]} over {self.arms[1]}, {self.endpoint}: published "
            f"{_interval(self.published)}{claim}, predicted {_interval(self.predicted)}."
        )


def _interval(values: Interval) -> str:
    return f"{values[0]:.2f} ({values[1]:.2f} to {values[2]:.2f})"


def judge(trial: Trial, arms: Mapping[str, ArmOutcome], *, seed: int) -> list[Verdict]:
    """Every comparison of a trial."""
    return [_judged(trial, comparison, arms, seed) for comparison in trial.comparison]


def _judged(
    trial: Trial, comparison: Comparison, arms: Mapping[str, ArmOutcome], seed: int
) -> Verdict:
    one, other = (arms[name].times(comparison.endpoint) for name in comparison.arms)
    return Verdict(
        trial=trial.title,
        arms=comparison.arms,
        endpoint=comparison.endpoint,
        use=comparison.use,
        claim=comparison.published,
        published=time_ratio(trial, comparison),
        predicted=interval_of_ratio(one, other, seed=seed),
        note=comparison.note,
    )


@dataclass(frozen=True, slots=True)
class Order:
    """In how many pairs of comparisons the larger published gain is predicted to be larger.

    Parameters
    ----------
    right, pairs : int
        Only pairs whose published ratios are told apart at 95 %.
    wrong : tuple of (Verdict, Verdict)
        The larger published one first.
    """

    right: int
    pairs: int
    wrong: tuple[tuple[Verdict, Verdict], ...]

    def sentence(self) -> str:
        """The order in words."""
        if self.pairs == 0:
            return "Order: the published gains are too uncertain to be put into an order."
        text = (
            f"Order: of {self.pairs} pairs of comparisons whose published gains are told apart at "
            f"95 %, {self.right} are predicted in that order"
        )
        if self.wrong:
            text += "; wrong: " + "; ".join(
                f"{a.trial} ({a.arms[0]}) above {b.trial} ({b.arms[0]})" for a, b in self.wrong
            )
        return text + "."


def order_of(verdicts: Sequence[Verdict]) -> Order:
    """The order of gains over all trials, by endpoint.

    Ratios are compared by their logarithms, with errors from their published intervals.
    """
    right, pairs, wrong = 0, 0, []
    for a, b in itertools.combinations(verdicts, 2):
        if a.endpoint != b.endpoint:
            continue
        larger, smaller = (a, b) if a.published[0] >= b.published[0] else (b, a)
        apart = math.log(larger.published[0] / smaller.published[0])
        if apart <= Z * math.hypot(_error(larger), _error(smaller)):
            continue
        pairs += 1
        if larger.predicted[0] > smaller.predicted[0]:
            right += 1
        else:
            wrong.append((larger, smaller))
    return Order(right, pairs, tuple(wrong))


def _error(verdict: Verdict) -> float:
    return math.log(verdict.published[2] / verdict.published[1]) / (2.0 * Z)
