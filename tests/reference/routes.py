"""How a case of the table finds the public function that it checks.

A group is a list of routes, tried in turn: a pattern of the id's second half, and
an adapter from the case's inputs to the function's answer. The adapters rename and unpack;
what they compute themselves is never what the case is about.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Route"]


@dataclass(frozen=True, slots=True)
class Route:
    pattern: str
    answer: Callable

    def fits(self, name):
        return re.fullmatch(self.pattern, name) is not None
