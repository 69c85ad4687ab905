"""Text with a unit to a plain number in the project's own units (mm, day, Gy, mg, kPa, cells).

This is the only place where units are converted; everywhere else numbers are
plain floats in the unit that their name or docstring states.
"""

from __future__ import annotations

import difflib
import math
import re
from dataclasses import dataclass

from twin.errors import InvalidInput

__all__ = ["KNOWN_UNITS", "Unit", "parse_quantity", "parse_unit"]

# name: (factor to the base unit, dimension, power of that dimension).
# Base units: mm, day, Gy, mg, kPa, cell, degree; a litre is a volume, so length to the third.
_UNITS: dict[str, tuple[float, str, int]] = {
    "um": (1e-3, "length", 1),
    "mm": (1.0, "length", 1),
    "cm": (10.0, "length", 1),
    "m": (1e3, "length", 1),
    "L": (1e6, "length", 3),
    "dL": (1e5, "length", 3),
    "mL": (1e3, "length", 3),
    "s": (1.0 / 86400.0, "time", 1),
    "min": (1.0 / 1440.0, "time", 1),
    "h": (1.0 / 24.0, "time", 1),
    "day": (1.0, "time", 1),
    "week": (7.0, "time", 1),
    "month": (365.25 / 12.0, "time", 1),
    "year": (365.25, "time", 1),
    "Gy": (1.0, "dose", 1),
    "cGy": (1e-2, "dose", 1),
    "mGy": (1e-3, "dose", 1),
    "ug": (1e-3, "mass", 1),
    "mg": (1.0, "mass", 1),
    "g": (1e3, "mass", 1),
    "kg": (1e6, "mass", 1),
    "Pa": (1e-3, "pressure", 1),
    "kPa": (1.0, "pressure", 1),
    "mmHg": (0.133322387415, "pressure", 1),
    "cells": (1.0, "cells", 1),
    "deg": (1.0, "angle", 1),
    "degC": (1.0, "temperature", 1),
    "%": (0.01, "", 0),
    "1": (1.0, "", 0),
}
_DIMENSIONS = tuple(dict.fromkeys(name for _, name, _ in _UNITS.values() if name))
_SPELLINGS = {
    "µm": "um", "l": "L", "ml": "mL", "dl": "dL", "µg": "ug", "cell": "cells",
    "sec": "s", "second": "s", "seconds": "s", "minute": "min", "minutes": "min",
    "hour": "h", "hours": "h", "hr": "h", "d": "day", "days": "day", "weeks": "week",
    "months": "month", "years": "year", "y": "year", "yr": "year", "gy": "Gy",
    "degree": "deg", "degrees": "deg",
}  # fmt: skip
KNOWN_UNITS = tuple(_UNITS)

_QUANTITY = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(.*?)\s*")
_TOKEN = re.compile(r"([A-Za-zµ%]+|1(?![0-9]))(?:\^|\*\*)?(-?\d+)?")
_SUPERSCRIPTS = str.maketrans({"²": "2", "³": "3", "⁻": "-", "¹": "1", "·": " ", "μ": "µ"})


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit as a factor to base units and the powers of its dimensions."""

    factor: float
    dimensions: tuple[tuple[str, int], ...]


def parse_unit(text: str) -> Unit:
    """Return the unit written as `text`, such as ``"mm2/day"`` or ``"L/(mg h)"``.

    Raises
    ------
    InvalidInput
        An unknown unit; the nearest known one is suggested.

    Examples
    --------
    >>> parse_unit("cm2/day").factor
    100.0
    """
    cleaned = text.translate(_SUPERSCRIPTS)
    parts = cleaned.split("/")
    factor, powers = 1.0, dict.fromkeys(_DIMENSIONS, 0)
    for place, part in enumerate(parts):
        sign = 1 if place == 0 else -1
        words = part.strip().removeprefix("(").removesuffix(")").split()
        if not words and place == 0 and len(parts) > 1:
            continue  # "/day" for "1/day"
        if not words:
            raise InvalidInput(f'"{text}" is not a unit')
        for word in words:
            scale, dimension, power = _known(word, text)
            factor *= scale**sign
            if dimension:
                powers[dimension] += sign * power
    return Unit(factor, tuple((name, power) for name, power in powers.items() if power))


def _known(word: str, text: str) -> tuple[float, str, int]:
    match = _TOKEN.fullmatch(word)
    name = match.group(1) if match else word
    name = _SPELLINGS.get(name, name)
    if match is None or name not in _UNITS:
        near = difflib.get_close_matches(name, [*_UNITS, *_SPELLINGS], n=1, cutoff=0.5)
        hint = f'; did you mean "{_SPELLINGS.get(near[0], near[0])}"?' if near else ""
        within = f' in "{text}"' if word != text else ""
        raise InvalidInput(f'"{word}"{within} is not a known unit{hint}')
    exponent = int(match.group(2) or 1)
    scale, dimension, power = _UNITS[name]
    return scale**exponent, dimension, power * exponent


def parse_quantity(
    text: object,
    unit: str,
    *,
    where: str,
    at_least: float | None = 0.0,
    at_most: float | None = None,
) -> float:
    """Return the number that `text` stands for, in `unit`.

    Parameters
    ----------
    text : str
        A number with its unit, as people write it: ``"2 Gy"``, ``"0.1 mm2/day"``.
    unit : str
        Unit of the answer; `text` must be of the same dimension.
    where : str
        What the value is and where it was written; the error begins with it.
    at_least, at_most : float or None, [unit]
        Range allowed, ends included. Negative values are refused unless
        `at_least` says otherwise.

    Raises
    ------
    InvalidInput
        No unit, an unknown unit, one of another dimension, not a number, not
        finite, or out of range.

    Examples
    --------
    >>> parse_quantity("200 cGy", "Gy", where="dose")
    2.0
    >>> parse_quantity("28 day", "h", where="start")
    672.0
    """
    good = f'write for example "{_example(unit)}"'
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        raise InvalidInput(f"{where}: {text!r} is not a quantity; {good}.")
    shown = f'"{text}"' if isinstance(text, str) else f"{text}"
    if str(text).strip().lower().lstrip("+-").startswith(("nan", "inf")):
        raise InvalidInput(f"{where}: {shown} is not a finite number; {good}.")
    match = _QUANTITY.fullmatch(str(text))
    if match is None:
        raise InvalidInput(f"{where}: {shown} is not a number with a unit; {good}.")
    wanted = parse_unit(unit)
    written = match.group(2)
    if not written and wanted.dimensions:
        raise InvalidInput(f"{where}: {shown} has no unit; {good}.")
    try:
        given = parse_unit(written or "1")
    except InvalidInput as error:
        ending = "" if str(error).endswith("?") else f"; {good}."
        raise InvalidInput(f"{where}: {shown}: {error}{ending}") from None
    if given.dimensions != wanted.dimensions:
        raise InvalidInput(
            f'{where}: {shown} is in "{written}", which does not convert to {unit}; {good}.'
        )
    value = float(match.group(1))
    if given.factor != wanted.factor:
        value *= given.factor / wanted.factor
    if not math.isfinite(value):
        raise InvalidInput(f"{where}: {shown} is not a finite number; {good}.")
    if at_least is not None and not value >= at_least:
        raise InvalidInput(f"{where}: {shown} must be at least {at_least:g} {unit}; {good}.")
    if at_most is not None and not value <= at_most:
        raise InvalidInput(f"{where}: {shown} must be at most {at_most:g} {unit}; {good}.")
    return value


def _example(unit: str) -> str:
    known = {"1": "0.5", "m2": "1.8 m2", "day": "28 day", "mm": "15 mm", "mm2/day": "0.1 mm2/day"}
    return known.get(unit, f"0.05 {unit}" if unit.startswith("1/") else f"2 {unit}")
