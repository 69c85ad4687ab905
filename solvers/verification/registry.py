"""Checks, the rows that they give, and how they are found and run."""

from __future__ import annotations

import fnmatch
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING

from twin.errors import InvalidInput

if TYPE_CHECKING:
    from twin.protocol import Progress

__all__ = [
    "GROUPS",
    "Check",
    "Curve",
    "Outcome",
    "Row",
    "all_checks",
    "chosen",
    "run_checks",
    "summary",
]

#: Modules of checks, in the order in which they are shown.
GROUPS = (
    "diffusion",
    "fibres",
    "growth",
    "models",
    "mechanics",
    "oxygen",
    "waves",
    "treatment",
    "courses",
    "gradients",
)


@dataclass(frozen=True, slots=True)
class Curve:
    """Errors over sizes, as a convergence plot shows them.

    Parameters
    ----------
    size : str
        What is made smaller, with its unit.
    sizes, errors : tuple of float
    order : float
        Slope that is expected in logarithms.
    error : str
        What the error is, with its unit.
    """

    size: str
    sizes: tuple[float, ...]
    errors: tuple[float, ...]
    order: float
    error: str = "error [1]"


@dataclass(frozen=True, slots=True)
class Row:
    """One quantity: what was measured, what it must be, and how far off it may be.

    Parameters
    ----------
    what : str
        In plain words.
    measured, expected, allowed : float, [`unit`]
        Passed where ``|measured - expected| <= allowed``.
    unit : str
    note : str
        Why there is no measured value, where there is none.
    curve : Curve or None

    Examples
    --------
    >>> Row("order in space", 1.96, 2.0, 0.2).passed
    True
    >>> Row("order in space", math.nan, 2.0, 0.2).passed
    False
    """

    what: str
    measured: float
    expected: float
    allowed: float
    unit: str = ""
    note: str = ""
    curve: Curve | None = field(default=None, compare=False)

    @property
    def passed(self) -> bool:
        """Whether the measured value is as it must be; a value that is no number never is."""
        return bool(abs(self.measured - self.expected) <= self.allowed)

    @property
    def verdict(self) -> str:
        """The word: pass or fail."""
        return "pass" if self.passed else "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that is run; `run` gives its rows."""

    name: str
    group: str
    run: Callable[[], Sequence[Row]]

    @property
    def full_name(self) -> str:
        """Group and name, as patterns see them."""
        return f"{self.group}.{self.name}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The rows of one check and the seconds that it took."""

    check: Check
    rows: tuple[Row, ...]
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether every row passed; a check without rows did not."""
        return bool(self.rows) and all(row.passed for row in self.rows)


def all_checks(groups: Sequence[str] = GROUPS) -> tuple[Check, ...]:
    """Every check, in order; nothing heavy is imported before one runs."""
    found: list[Check] = []
    for group in groups:
        found += import_module(f"solvers.verification.{group}").CHECKS
    return tuple(found)


def chosen(checks: Sequence[Check], pattern: str) -> tuple[Check, ...]:
    """The checks whose full name contains `pattern`, or fits it where it has wildcards.

    Raises
    ------
    InvalidInput
        None does.
    """
    wild = any(sign in pattern for sign in "*?[")
    found = tuple(
        check
        for check in checks
        if (fnmatch.fnmatchcase(check.full_name, pattern) if wild else pattern in check.full_name)
    )
    if not found:
        raise InvalidInput(
            f"No check is called {pattern!r}; there are "
            f"{', '.join(check.full_name for check in checks)}."
        )
    return found


def run_checks(checks: Sequence[Check], progress: Progress | None = None) -> tuple[Outcome, ...]:
    """Outcomes of the checks, one after the other.

    A check that raises has failed, whatever it raised: its row says what.
    """
    outcomes = []
    for number, check in enumerate(checks):
        if progress is not None:
            progress(number / len(checks), check.full_name)
        begin = time.perf_counter()
        try:
            rows = tuple(check.run()) or (_failed(check, LookupError("it measured nothing")),)
        except Exception as error:
            rows = (_failed(check, error),)
        outcomes.append(Outcome(check, rows, time.perf_counter() - begin))
    return tuple(outcomes)


def _failed(check: Check, error: Exception) -> Row:
    words = " ".join(str(error).split())
    note = f"{type(error).__name__}: {words}"
    return Row(f"{check.name}: did not finish", math.nan, 0.0, 0.0, note=note)


def summary(outcomes: Sequence[Outcome]) -> Mapping[str, int]:
    """How many rows passed and failed.

    >>> summary([])
    {'passed': 0, 'failed': 0}
    """
    rows = [row for outcome in outcomes for row in outcome.rows]
    passed = sum(row.passed for row in rows)
    return {"passed": passed, "failed": len(rows) - passed}
