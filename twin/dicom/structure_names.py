"""Names of structures and segments as they may be shown: no two alike, none with a patient's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from twin.importing.privacy import clean_name, without_identifiers

__all__ = ["identifying_texts", "names_to_show"]

_IDENTIFYING = (
    "PatientName", "PatientID", "OtherPatientNames", "OtherPatientIDs", "PatientBirthName",
    "PatientMotherBirthName", "PatientBirthDate", "AccessionNumber", "InstitutionName",
    "ReferringPhysicianName", "PerformingPhysicianName", "PhysiciansOfRecord", "OperatorsName",
    "ReviewerName", "ContentCreatorName",
)  # fmt: skip


def names_to_show(
    dataset: Any,
    labels: Iterable[tuple[int, str]],
    *,
    noun: str = "structure",
    identifiers: Iterable[str] = (),
) -> dict[int, str]:
    """Return the name of each number: its label, cleaned, or the noun and the number.

    A label that holds a name or number of the patient, a physician or an institution of the same
    header, or that is empty, becomes "structure 2"; one that is taken gets its number behind it.

    Parameters
    ----------
    dataset : Dataset
        Whose header says what identifies somebody.
    labels : iterable of (int, str)
        As the file has them.
    noun : str
        For labels that are empty.
    identifiers : iterable of str
        Names and numbers that other files of the patient hold, this header perhaps not.

    Examples
    --------
    >>> from pydicom.dataset import Dataset
    >>> header = Dataset()
    >>> header.PatientName = "Doe^Jane"
    >>> names_to_show(header, [(1, "GTV"), (2, "GTV Doe"), (3, "GTV"), (4, "")])
    {1: 'GTV', 2: 'structure 2', 3: 'GTV 3', 4: 'structure 4'}
    """
    who = [*identifying_texts(dataset), *identifiers]
    given = {number: clean_name(label) for number, label in labels}
    plain = {}
    for number, label in given.items():
        if not label:
            plain[number] = f"{noun} {number}"
        elif without_identifiers([label], who) != (label,):
            plain[number] = f"structure {number}"
        else:
            plain[number] = label
    found: dict[int, str] = {}
    for number, name in plain.items():
        shown = name
        while shown in found.values() or (shown != name and shown in plain.values()):
            shown = f"{shown} {number}"
        found[number] = shown
    return found


def identifying_texts(dataset: Any) -> tuple[str, ...]:
    """Return what a header holds that tells who somebody is: to be kept out of names, not shown."""
    return tuple(text for key in _IDENTIFYING for text in _texts(dataset.get(key)) if text)


def _texts(value: Any) -> list[str]:
    """Texts of an element with no value, one or several."""
    many = isinstance(value, Sequence) and not isinstance(value, str)
    return [] if value is None else [str(one).strip("\0 ") for one in (value if many else [value])]
