"""Refuse what a closed form has no value for."""

from __future__ import annotations

import math

from twin.errors import InvalidInput

__all__ = ["at_least_zero", "positive"]


def positive(**values: float) -> None:
    """`InvalidInput` for the first of the named values that is not above 0 and finite.

    Examples
    --------
    >>> positive(diffusivity=0.1)
    >>> positive(diffusivity=0.0)
    Traceback (most recent call last):
    twin.errors.InvalidInput: diffusivity is 0.0; it must be finite and above 0.
    """
    for name, value in values.items():
        if not 0.0 < value < math.inf:
            raise InvalidInput(f"{name} is {value!r}; it must be finite and above 0.")


def at_least_zero(**values: float) -> None:
    """`InvalidInput` for the first of the named values that is negative or not finite."""
    for name, value in values.items():
        if not 0.0 <= value < math.inf:
            raise InvalidInput(f"{name} is {value!r}; it must be finite and at least 0.")
