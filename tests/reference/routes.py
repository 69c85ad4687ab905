"""How a case of the table finds the public function that it checks.

A group is a list of routes, tried in turn: a pattern of the id's second half, and
either an adapter from the case's inputs to the function's answer or the name of a
public function that the project does not have yet. The adapters rename and unpack;
what they compute themselves is never what the case is about.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Missing", "Route", "missing", "route"]


@dataclass(frozen=True, slots=True)
class Route:
    pattern: str
    answer: Callable

    def fits(self, name):
        return re.fullmatch(self.pattern, name) is not None


@dataclass(frozen=True, slots=True)
class Missing:
    """The function is not there yet; the test is skipped with its name."""

    pattern: str
    function: str

    def fits(self, name):
        return re.fullmatch(self.pattern, name) is not None


def route(pattern):
    """Decorator: the adapter of the ids that fit."""
    return lambda answer: Route(pattern, answer)


def missing(pattern, function):
    return Missing(pattern, function)
