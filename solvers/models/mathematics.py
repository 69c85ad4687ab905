"""Functions that a model's rates may use, for numbers, arrays, symbols and tensors alike."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["exp", "log"]


def exp(value: Any) -> Any:
    """Exponential of a number, an array, a sympy expression or a torch tensor.

    >>> float(exp(0.0))
    1.0
    """
    return _apply("exp", value)


def log(value: Any) -> Any:
    """Natural logarithm, likewise.

    >>> float(log(1.0))
    0.0
    """
    return _apply("log", value)


def _apply(name: str, value: Any) -> Any:
    home = type(value).__module__.partition(".")[0]
    if home == "sympy":
        import sympy

        return getattr(sympy, name)(value)
    if home == "torch":
        return getattr(value, name)()
    return getattr(np, name)(value)
