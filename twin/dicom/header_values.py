"""Numbers and text of headers, which may hold anything."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["number_of", "numbers_of", "text_of", "whole_of"]


def text_of(dataset: Any, key: str) -> str:
    """Return the text of an element, "" where it is absent or empty.

    Examples
    --------
    >>> text_of({"Units": " BQML "}, "Units"), text_of({}, "Units")
    ('BQML', '')
    """
    return str(dataset.get(key) or "").strip()


def whole_of(value: Any) -> int:
    """Return a whole number, 0 where it is none.

    Examples
    --------
    >>> whole_of("12"), whole_of(None), whole_of("1A")
    (12, 0, 0)
    """
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return 0


def number_of(value: Any) -> float | None:
    """Return a finite number, None where it is none.

    Examples
    --------
    >>> number_of("1.5"), number_of("inf"), number_of("")
    (1.5, None, None)
    """
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def numbers_of(values: Any) -> NDArray[np.float64] | None:
    """Return finite numbers, shape (value,), none for an absent element; None where one is damaged.

    Examples
    --------
    >>> numbers_of(["1", "2.5"]).tolist(), numbers_of(None).tolist(), numbers_of(["1", "2x"])
    ([1.0, 2.5], [], None)
    """
    try:
        found = np.atleast_1d(np.array([] if values is None else values, np.float64))
    except (TypeError, ValueError, OverflowError):
        return None
    return found if found.ndim == 1 and np.isfinite(found).all() else None
