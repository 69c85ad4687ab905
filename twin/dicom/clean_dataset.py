"""A DICOM data set without who it is of: every element, at every depth."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.uid import UID

from twin.dicom.clean_codes import clean_code, is_code_item
from twin.dicom.confidentiality_profile import TERMS, Action, action, most_values
from twin.dicom.pseudonyms import Pseudonyms, shifted
from twin.dicom.structure_words import only_known_words

__all__ = ["Cleaner", "identifying_words"]

_TEXT = frozenset({"LO", "SH", "ST", "LT", "UC", "UT", "PN"})
_CODED = re.compile(r"[A-Z0-9_ ]{0,16}")
_DUMMY = {"AE": "REMOVED", "CS": "REMOVED", "AS": "000Y", "DS": "0", "IS": "0"}
_DEEPEST = 32
#: Elements whose words say who somebody is; no such word stays anywhere else.
_IDENTIFYING = (
    "PatientName", "PatientID", "OtherPatientIDs", "OtherPatientNames", "PatientBirthName",
    "PatientMotherBirthName", "PatientBirthDate", "PatientAddress", "PatientTelephoneNumbers",
    "MedicalRecordLocator", "AccessionNumber", "StudyID", "ReferringPhysicianName",
    "PerformingPhysicianName", "PhysiciansOfRecord", "NameOfPhysiciansReadingStudy",
    "OperatorsName", "RequestingPhysician", "InstitutionName", "InstitutionAddress",
    "StationName", "ResponsiblePerson", "MilitaryRank", "ReviewerName",
)  # fmt: skip


def identifying_words(dataset: Dataset) -> frozenset[str]:
    """Return the words, in small letters, that say who the patient and the staff are.

    Words of anatomy and planning (a physician called White) are left out, and
    so are words of fewer than three letters or digits.
    """
    words: set[str] = set()
    for keyword in _IDENTIFYING:
        value = _safe_value(dataset, keyword)
        for text in value if isinstance(value, MultiValue | list) else [value]:
            for word in re.findall(r"\w+", str(text or "").replace("_", " ").casefold()):
                if len(word) >= 3 and not only_known_words(word):
                    words.add(word)
    return frozenset(words)


def _safe_value(dataset: Dataset, keyword: str) -> Any:
    try:
        return dataset.get(keyword)
    except Exception:  # damaged elements raise of every kind
        return None


@dataclass(slots=True)
class Cleaner:
    """Cleans data sets of one patient in place.

    Parameters
    ----------
    names : Pseudonyms
    identity : str
        What tells the patient from others, for `names`.
    words : frozenset of str
        `identifying_words` of all of the patient's files; an element that holds
        one of them is replaced, whatever it is.
    counts : Counter
        How many elements were removed, replaced and so on.
    """

    names: Pseudonyms
    identity: str
    words: frozenset[str] = frozenset()
    counts: Counter[str] = field(default_factory=Counter)

    def clean(self, dataset: Dataset, *, pet: bool, depth: int = 0) -> None:
        """Apply the profile to every element and every item of its sequences."""
        from twin.errors import InvalidInput

        if depth > _DEEPEST:
            raise InvalidInput(
                f"A file holds sequences nested deeper than {_DEEPEST}, which no DICOM object "
                "does; leave it out."
            )
        if is_code_item(dataset):
            clean_code(dataset)
        number = _number(dataset)
        for tag in list(dataset.keys()):
            if depth and is_code_item(dataset) and tag in _CODE_TAGS:
                continue
            try:
                element = dataset[tag]
            except Exception:  # a damaged element cannot be kept, whatever pydicom raises
                del dataset[tag]
                self.counts["removed"] += 1
                continue
            self._apply(dataset, element, pet=pet, depth=depth, number=number)

    def _apply(
        self, dataset: Dataset, element: DataElement, *, pet: bool, depth: int, number: str
    ) -> None:
        vr, keyword = str(element.VR), element.keyword
        what = action(int(element.tag), vr, keyword, pet=pet)
        if what is Action.KEEP and _too_many(element):  # a wrong length has swallowed others
            what = Action.REMOVE
        if what is Action.REMOVE:
            del dataset[element.tag]
            self.counts["removed"] += 1
        elif what is Action.EMPTY:
            element.value = [] if vr == "SQ" else None if vr not in _TEXT else ""
            self.counts["emptied"] += 1
        elif what is Action.ITEMS:
            if vr != "SQ":
                del dataset[element.tag]
                return
            for item in element.value:
                self.clean(item, pet=pet, depth=depth + 1)
        elif what is Action.UID:
            element.value = self._each(element.value, self._uid)
            self.counts["UIDs"] += 1
        elif what is Action.DATE:
            days = self.names.shift_days(self.identity)
            element.value = self._each(element.value, lambda text: shifted(text, days))
            self.counts["dates"] += 1
        elif what is not Action.KEEP or vr == "TM":
            self._judge(element, what, number)

    def _judge(self, element: DataElement, what: Action, number: str) -> None:
        """Keep an element whose value says nothing; else give it one that does."""
        vr, keyword = str(element.VR), element.keyword
        texts = [str(text).strip(" \0") for text in _listed(element.value)]
        dummy = _dummy(vr)
        long = {word.lstrip("0") for word in self.words if word.isdigit() and len(word) > 4}
        if what is Action.DUMMY:
            kept = [False] * max(1, len(texts))
            texts = texts or [""]
        elif what is Action.KEEP:  # a time of day
            kept = [bool(re.fullmatch(r"[\d.:]*", text)) for text in texts]
        elif what is Action.NUMBER:
            kept = [
                _is_number(text, short=vr not in ("DS", "IS")) and text.lstrip("0") not in long
                for text in texts
            ]
            dummy = None if vr in ("DS", "IS") else "1"
        elif what is Action.TERM:
            kept = [text in TERMS[keyword] or not text for text in texts]
            dummy = "OTHER" if keyword == "ImageType" else "" if keyword != "RescaleType" else "US"
        elif what is Action.NAME:
            kept = [only_known_words(text) and not self._says_who(text) for text in texts]
            dummy = f"structure {number}" if number else "removed"
        else:
            kept = [bool(_CODED.fullmatch(text)) and not self._says_who(text) for text in texts]
        if all(kept):
            return
        values = [text if keep else dummy for text, keep in zip(texts, kept, strict=True)]
        if dummy is None or vr in ("FL", "FD", "SL", "SS", "UL", "US", "SV", "UV"):
            element.value = None
        else:
            element.value = values if len(values) > 1 else values[0]
        self.counts["replaced"] += 1

    def _says_who(self, text: str) -> bool:
        folded = text.casefold()
        return any(
            word in folded if len(word) > 3 else word in re.findall(r"[^\W_]+", folded)
            for word in self.words
        )

    def _uid(self, text: str) -> str:
        value = text.strip(" \0")
        # Those of the standard itself (classes, transfer syntaxes) have a name.
        return value if not value or UID(value).name != value else self.names.uid(value)

    @staticmethod
    def _each(value: Any, change: Any) -> Any:
        texts = [change(str(text)) for text in _listed(value)]
        return texts if len(texts) > 1 else (texts[0] if texts else "")


_CODE_TAGS = frozenset({0x00080100, 0x00080102, 0x00080103, 0x00080104, 0x00080119, 0x00080120})


def _listed(value: Any) -> Iterable[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, MultiValue | list | tuple) else [value]


def _too_many(element: DataElement) -> bool:
    most = most_values(int(element.tag))
    return most is not None and most < element.VM and not isinstance(element.value, bytes)


def _is_number(text: str, *, short: bool) -> bool:
    if short:
        return bool(re.fullmatch(r"\d{0,4}", text))
    return bool(re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)?([eE][-+]?\d{1,3})?", text))


def _dummy(vr: str) -> str | None:
    if vr in _TEXT or vr in ("UR",):
        return "removed"
    return _DUMMY.get(vr)


def _number(dataset: Dataset) -> str:
    """The number of the structure that an item describes, if it is one."""
    for keyword in ("ROINumber", "SegmentNumber"):
        value = _safe_value(dataset, keyword)
        if value is not None and re.fullmatch(r"\d{1,5}", str(value)):
            return str(value)
    return ""
