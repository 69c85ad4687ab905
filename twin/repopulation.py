"""Why a kick-off of repopulation is no entry of a treatment or of a parameter set with growth."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["against_kickoff"]

_STEMS = ("kickoff", "kick_off", "repopulation")


def _is_one(name: str) -> bool:
    return any(stem in name.lower() for stem in _STEMS)


def against_kickoff(name: str, known: Iterable[str] = ()) -> str:
    """The reason to add to the refusal of a key or parameter of this name; "" for any other.

    None where such a name is among those `known`, as of a parameter set for a model without
    growth: then it is a slip of the pen.

    Examples
    --------
    >>> against_kickoff("alpha")
    ''
    >>> against_kickoff("kickoff_day")
    ' Growth between fractions is the repopulation of a run, so a kick-off as well would count...'
    """
    if not _is_one(name) or any(map(_is_one, known)):
        return ""
    return (
        " Growth between fractions is the repopulation of a run, so a kick-off as well would count "
        "it twice; for BED alone use scenarios.metrics.bed_with_repopulation."
    )
