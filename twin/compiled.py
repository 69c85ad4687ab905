"""Compilation of inner loops that also works where no folder can be written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

__all__ = ["compiled", "compiled_sums"]

_Function = TypeVar("_Function", bound=Callable[..., Any])


def compiled(function: _Function) -> _Function:
    """Return `function` compiled by numba, kept on disk between runs where possible.

    It does not hold the interpreter lock, so that progress can be drawn
    meanwhile. ``fastmath`` stays off: it lets the compiler assume that no NaN
    occurs, and the test that a tetrahedron is not inverted relies on
    comparisons with NaN being false.
    """
    return _compile(function)


def compiled_sums(function: _Function) -> _Function:
    """Return `function` compiled as by `compiled`, with sums in any order.

    The compiler may reorder and fuse additions, so that they use the
    processor's wide registers; NaN and infinity keep their meaning. A division
    by zero gives infinity or NaN, as in numpy, instead of an error.
    """
    return _compile(function, fastmath={"reassoc", "contract", "arcp"}, error_model="numpy")


def _compile(function: _Function, **options: Any) -> _Function:
    try:
        return cast(_Function, numba.njit(cache=True, nogil=True, **options)(function))
    except RuntimeError:  # "cannot cache function: no locator available"
        return cast(_Function, numba.njit(nogil=True, **options)(function))
