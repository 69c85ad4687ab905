"""Diffusion weighting of an image as its header states it: b-value and gradient direction."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twin.dicom.header_values import number_of

__all__ = ["Weighting", "weighting_of"]

_SIEMENS = "SIEMENS MR HEADER"
_GENERAL_ELECTRIC = "GEMS_PARM_01"
_LOWEST = 1e-6


@dataclass(frozen=True, slots=True)
class Weighting:
    """By how much, and along which direction, an image is weighted by diffusion.

    Parameters
    ----------
    b_value : float, [s/mm2]
    direction : tuple of float or None, [1]
        Unit vector in LPS axes; None without weighting, or where none is stated.
    averaged : bool
        A mean over directions (a trace image), or a map made of several images.
    """

    b_value: float
    direction: tuple[float, float, float] | None
    averaged: bool = False


def weighting_of(value: Callable[[str, str], Any], header: Any) -> Weighting | None:
    """Return the weighting, or None where none is stated.

    The standard elements (MR Diffusion Macro, PS3.3 C.8.13.5.9, also found in single-frame
    files) go first, then the elements of Siemens and General Electric, of the latter only the
    b-value: its directions are not in the patient's axes (NA-MIC wiki, "DTI: DICOM for DWI and
    DTI").

    Parameters
    ----------
    value : callable
        Value of an element, from the name of its sequence and its keyword.
    header : pydicom.Dataset
        For private elements.
    """
    b_value = number_of(value("MRDiffusionSequence", "DiffusionBValue"))
    direction = _direction(value("MRDiffusionSequence", "DiffusionGradientOrientation"))
    nested = value("MRDiffusionSequence", "DiffusionGradientDirectionSequence")
    if direction is None and nested:
        direction = _direction(nested[0].get("DiffusionGradientOrientation"))
    kind = str(value("MRDiffusionSequence", "DiffusionDirectionality") or "").strip().upper()
    averaged = kind == "ISOTROPIC"
    if b_value is None:
        b_value = number_of(_private(header, _SIEMENS, 0x0019, 0x0C))
        direction = direction or _direction(_private(header, _SIEMENS, 0x0019, 0x0E))
    if b_value is None:
        slots = _private(header, _GENERAL_ELECTRIC, 0x0043, 0x39)
        b_value = number_of(slots[0] if isinstance(slots, list) and slots else slots)
        b_value = None if b_value is None else b_value % 1e6  # newer scanners add 1e9
    if b_value is None or not b_value >= 0.0:
        return None
    return Weighting(b_value, direction if b_value > 0.0 else None, averaged)


def _private(header: Any, creator: str, group: int, element: int) -> Any:
    try:
        value = header.private_block(group, creator)[element].value
    except (KeyError, AttributeError):
        return None
    return list(value) if not isinstance(value, str | bytes | int | float) and value else value


def _direction(value: Any) -> tuple[float, float, float] | None:
    try:
        x, y, z = (float(part) for part in value)
    except (TypeError, ValueError):
        return None
    length = math.sqrt(x * x + y * y + z * z)
    if not (math.isfinite(length) and length > _LOWEST):
        return None
    return x / length, y / length, z / length
