"""Coded terms in DICOM: those of public vocabularies stay, with the vocabulary's own words."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from pydicom.dataset import Dataset

from twin.dicom.structure_words import only_known_words

__all__ = ["clean_code", "is_code_item", "valid_snomed_number"]

_VALUES = ("CodeValue", "LongCodeValue", "URNCodeValue")
# Units of quantities that vocabularies of pydicom lack (UCUM, PS3.16 CID 82 to 84).
_UNITS = frozenset(
    {
        "1", "{SUVbw}g/ml", "g/ml{SUVbw}", "[hnsf'U]", "mm2/s", "um2/s", "10-6.mm2/s", "Gy", "cGy",
        "Bq/ml", "Bq", "mm", "s", "ms", "%", "{ratio}", "ml/min/g", "/min", "g/ml", "kg", "a", "d",
    }
)  # fmt: skip
_PUBLIC = {"FMA": r"\d{1,6}", "RADLEX": r"RID\d{1,6}", "LN": r"\d{1,6}-\d", "NCIt": r"C\d{1,6}"}


@lru_cache(maxsize=1)
def _vocabulary() -> dict[tuple[str, str], str]:
    """The meaning of each code that pydicom knows (DICOM's own, SNOMED CT, UCUM and others)."""
    from pydicom.sr._concepts_dict import concepts

    known: dict[tuple[str, str], str] = {}
    every: dict[str, Any] = concepts  # its stub is narrower than what it holds
    for scheme, entries in every.items():
        for meanings in entries.values():
            known |= {(scheme, code): meaning for code, (meaning, _) in meanings.items()}
    return known


def is_code_item(dataset: Dataset) -> bool:
    """Return whether an item of a sequence is a coded term."""
    return "CodeMeaning" in dataset or any(keyword in dataset for keyword in _VALUES)


def clean_code(item: Dataset) -> None:
    """Leave a public vocabulary's code with its meaning there; replace any other.

    A code of a scheme of one's own, or one that does not have the form of its
    scheme's codes, becomes ``0`` of ``99CLEAN``, "removed".
    """
    value = next((str(item[k].value or "") for k in _VALUES if k in item), "").strip()
    scheme = str(item.get("CodingSchemeDesignator") or "").strip()
    meaning = _meaning(scheme, value, str(item.get("CodeMeaning") or "").strip())
    for keyword in (*_VALUES, "CodingSchemeVersion"):
        if keyword in item:
            del item[keyword]
    if meaning is None:
        scheme, value, meaning = "99CLEAN", "0", "removed"
    if len(value) > 16:
        item.LongCodeValue = value
    else:
        item.CodeValue = value
    item.CodingSchemeDesignator = scheme
    item.CodeMeaning = meaning[:64]


def _meaning(scheme: str, value: str, stated: str) -> str | None:
    """What a code means in its vocabulary's words; None for one that may hold anything."""
    found = _vocabulary().get((scheme, value))
    if found is not None:
        return found
    if scheme in ("SRT", "SNM3", "99SDM"):
        from pydicom.sr._snomed_dict import mapping

        newer = mapping["SRT"].get(value)
        if newer is not None:
            return _vocabulary().get(("SCT", newer)) or _words(stated)
    numbered = scheme == "SCT" and valid_snomed_number(value)
    unit = scheme == "UCUM" and value in _UNITS
    formed = scheme in _PUBLIC and re.fullmatch(_PUBLIC[scheme], value) is not None
    return _words(stated) if numbered or unit or formed else None


def _words(stated: str) -> str:
    return stated if only_known_words(stated) else "not listed"


def valid_snomed_number(value: str) -> bool:
    """Return whether a number has the form and check digit of a SNOMED CT identifier.

    The last digit is Verhoeff's (SNOMED International, Release File
    Specifications, "SCTID": Verhoeff 1969, Error Detecting Decimal Codes
    [unverified]), so that one number in ten of any other origin would pass.

    Examples
    --------
    >>> valid_snomed_number("85756007"), valid_snomed_number("85756008")
    (True, False)
    """
    if not re.fullmatch(r"[1-9]\d{5,17}", value):
        return False
    check = 0
    for place, digit in enumerate(reversed(value)):
        check = _times(check, _turned(int(digit), place % 8))
    return check == 0


def _times(a: int, b: int) -> int:
    """Product in the group of the pentagon's rotations (0 to 4) and reflections (5 to 9)."""
    if a < 5:
        return (a + b) % 5 if b < 5 else 5 + (a + b) % 5
    return 5 + (a - b) % 5 if b < 5 else (a - b) % 5


def _turned(digit: int, times: int) -> int:
    for _ in range(times):
        digit = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)[digit]
    return digit
