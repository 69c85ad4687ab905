"""A fitted value with its interval, which may be open."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Estimate"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its interval; a low end of 0 or a high end of infinity is open.

    Examples
    --------
    >>> Estimate(0.268, 0.21, 0.33).text()
    '0.268 (0.21 to 0.33)'
    >>> Estimate(8.0, 5.0, math.inf).text()
    '8 (at least 5)'
    """

    value: float
    low: float
    high: float

    @property
    def one_sided(self) -> bool:
        """Whether the data give only one end."""
        return (self.low == 0.0) != (self.high == math.inf)

    def text(self) -> str:
        """Value and interval as read by people."""
        value = "infinite" if self.value == math.inf else f"{self.value:.3g}"
        if self.low == 0.0 and self.high == math.inf:
            return f"{value} (any value from 0 up: not determined)"
        if self.low == math.inf:
            return "infinite (and its whole interval)"
        if self.high == math.inf:
            return f"{value} (at least {self.low:.3g})"
        if self.low == 0.0:
            return f"{value} (at most {self.high:.3g})"
        return f"{value} ({self.low:.3g} to {self.high:.3g})"

    def as_dict(self) -> dict[str, float | None]:
        """Plain numbers; None where infinite."""
        ends = {"value": self.value, "low": self.low, "high": self.high}
        return {key: None if end == math.inf else end for key, end in ends.items()}
