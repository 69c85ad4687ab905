"""Compilation of inner loops that also works where no folder can be written."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numba.core.dispatcher import Dispatcher

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
        found = numba.njit(cache=True, nogil=True, **options)(function)
        # Private to numba, with no public way: https://github.com/numba/numba/issues/8851
        kept = found._cache._cache_file
        kept._source_stamp = kept._source_stamp, _stamp_of_what_it_uses(function)
    except (RuntimeError, AttributeError):  # no folder to write to, or another numba inside
        found = numba.njit(nogil=True, **options)(function)
    return cast(_Function, found)


#: By module, the stamp of its last compiled function, and so of all that the module imports.
_stamps: dict[str, str] = {}


def _stamp_of_what_it_uses(function: Callable[..., Any]) -> str:
    """A stamp that changes with any compiled function or constant that the module imports.

    numba keeps machine code by the file of a function alone. Functions called from it and
    constants are part of that code, so that after an upgrade old parts would go on living.
    """
    digest = hashlib.sha256()
    for name, value in sorted(function.__globals__.items()):
        if name.startswith("__"):
            continue
        if isinstance(value, Dispatcher):
            used = value.py_func
            if used.__module__ != function.__module__:
                file = Path(used.__code__.co_filename)
                content = file.read_bytes() if file.is_file() else used.__code__.co_code
                digest.update(content + _stamps.get(used.__module__, "").encode())
        elif isinstance(value, np.ndarray):
            digest.update(name.encode() + value.tobytes())
        elif isinstance(value, (bool, int, float, str, tuple)):
            digest.update(f"{name}={value!r}".encode())
    _stamps[function.__module__] = digest.hexdigest()
    return digest.hexdigest()
