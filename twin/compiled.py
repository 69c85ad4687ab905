"""Compilation of inner loops that also works where no folder can be written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

__all__ = ["compiled"]

_Function = TypeVar("_Function", bound=Callable[..., Any])


def compiled(function: _Function) -> _Function:
    """`function` compiled by numba without holding the interpreter lock, kept on disk between runs where that is possible.

    ``fastmath`` stays off: it lets the compiler assume that no NaN occurs, and
    the test that a tetrahedron is not inverted relies on comparisons with NaN
    being false.
    """
    try:
        return numba.njit(cache=True, nogil=True)(function)  # type: ignore[no-any-return]
    except RuntimeError:  # "cannot cache function: no locator available"
        return numba.njit(nogil=True)(function)  # type: ignore[no-any-return]
