"""Guesses of what an MR image shows; the text that they come from is never passed on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["MR_CONTRASTS", "contrast_from_header", "contrast_from_words"]

#: Name and what it is called in a table.
MR_CONTRASTS = {
    "t1": "T1",
    "t1_contrast": "T1 after contrast agent",
    "t2": "T2",
    "flair": "FLAIR",
    "adc": "ADC",
    "dwi": "diffusion-weighted",
    "fa": "fractional anisotropy",
    "perfusion": "perfusion",
    "t2_star": "T2* or susceptibility",
    "proton_density": "proton density",
}

#: Looked for in this order; the first that fits counts.
_WORDS = (
    ("adc", r"adc|apparent[ _-]?diffusion"),
    ("fa", r"fa|fractional[ _-]?aniso\w*"),
    ("perfusion", r"perf\w*|dsc|dce|r?cbv|r?cbf|mtt|asl"),
    ("dwi", r"dwi\w*|dti|diff\w*|trace\w*|ep2d|b0|b[0-9]{3,4}"),
    ("flair", r"flair|t2f|t2[ _-]?tirm|darkfluid|dark[ _-]fluid|dafl"),
    ("t2_star", r"t2star|t2[ _-]star|t2s|swi|swan|suscept\w*|t2\*"),
    ("t1_contrast", r"t1ce|t1c|t1gd|t1post|t1km|t1[ _-]?contrast"),
    ("t1", r"t1n?|t1w|t1[ _-]?weighted|mp?rage|mpr|spgr|bravo|vibe|fspgr|tfl"),
    ("t2", r"t2w?|t2[ _-]?weighted|haste"),
    ("proton_density", r"pd|pdw|proton"),
)  # fmt: skip
_AFTER_CONTRAST = re.compile(
    r"(?<![a-z0-9])"
    r"(gd|gad|gado\w*|post|ce|km|contrast|\+c|c\+|mit[ _-]km|with[ _-]contrast)"
    r"(?![a-z0-9])"
)
_WITHOUT = re.compile(r"(?<![a-z])(pre|nativ\w*|ohne|without|non?)(?![a-z])")


def contrast_from_words(text: str) -> str | None:
    """Return the contrast that a description or a file's name speaks of, None if it says nothing.

    Examples
    --------
    >>> contrast_from_words("AX T1 POST GD"), contrast_from_words("sag t2 flair")
    ('t1_contrast', 'flair')
    >>> contrast_from_words("scan") is None
    True
    """
    folded = re.sub(r"(?<=[a-z])(?=t[12])", " ", text.casefold())
    for name, pattern in _WORDS:
        if re.search(rf"(?<![a-z0-9])({pattern})(?![a-z0-9*])", folded):
            after = _AFTER_CONTRAST.search(folded) and not _WITHOUT.search(folded)
            return "t1_contrast" if name == "t1" and after else name
    return None


def _number(header: Mapping[str, Any], key: str) -> float | None:
    try:
        value = float(header[key])
    except (KeyError, TypeError, ValueError):
        return None
    return value if 0 < value < 1e6 else None


def contrast_from_header(header: Mapping[str, Any]) -> tuple[str, str]:
    """Return the contrast and what it was guessed from ("" and "" where nothing tells).

    Words count before times; times are those of clinical 1.5 and 3 T protocols
    (T1: echo under 30 ms and repetition under 1 s, or a gradient echo of short
    repetition; T2: echo of 60 ms and repetition of 2 s or more; FLAIR: the same
    after an inversion 1.5 s or more before) [unverified: usual ranges of
    textbooks, meant for a guess only].

    Parameters
    ----------
    header : mapping of str to value
        By DICOM keyword: ``SeriesDescription``, ``ProtocolName``, ``SequenceName``,
        ``ImageType``, ``ContrastBolusAgent``, ``DiffusionBValue``, ``EchoTime``,
        ``RepetitionTime``, ``InversionTime``, ``ScanningSequence``; what is absent is
        not asked.

    Examples
    --------
    >>> contrast_from_header({"EchoTime": 120, "RepetitionTime": 9000, "InversionTime": 2500})
    ('flair', 'times of echo, repetition and inversion')
    """
    agent = bool(str(header.get("ContrastBolusAgent") or "").strip())
    if "ADC" in str(header.get("ImageType", "")).upper():
        return "adc", "image type"
    for key, source in (
        ("SeriesDescription", "description"),
        ("ProtocolName", "protocol"),
        ("AcquisitionContrast", "acquisition contrast"),
        ("SequenceName", "name of the sequence"),
    ):
        named = contrast_from_words(str(header.get(key) or ""))
        if named == "t1" and agent:
            return "t1_contrast", f"{source} and contrast agent"
        if named:
            return named, source
    if _number(header, "DiffusionBValue"):
        return "dwi", "b value"
    return _from_times(header, agent)


def _from_times(header: Mapping[str, Any], agent: bool) -> tuple[str, str]:
    echo, repetition = _number(header, "EchoTime"), _number(header, "RepetitionTime")
    inversion = _number(header, "InversionTime")
    gradient = "GR" in str(header.get("ScanningSequence", "")).upper()
    if echo is None or repetition is None:
        return "", ""
    if inversion is not None and inversion >= 1500 and echo >= 60:
        return "flair", "times of echo, repetition and inversion"
    if echo >= 60 and repetition >= 2000:
        return "t2", "times of echo and repetition"
    short = repetition < 1000 or (gradient and inversion is not None and inversion < 1500)
    if echo < 30 and short:
        if agent:
            return "t1_contrast", "times of echo and repetition, and contrast agent"
        return "t1", "times of echo and repetition"
    if echo < 30 and repetition >= 2000 and inversion is None:
        return "proton_density", "times of echo and repetition"
    return "", ""
