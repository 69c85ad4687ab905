"""What keeps identifiers inside: quiet readers, and names that do not hold a patient's."""

from __future__ import annotations

import logging
import re
import unicodedata
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from twin.dicom.structure_words import only_known_words

__all__ = ["clean_name", "file_stem", "quiet_readers", "without_identifiers"]

#: Libraries whose warnings and log lines may quote values of a header.
_TALKATIVE = ("pydicom", "highdicom", "nibabel", "nibabel.global", "gdcm")
_LONGEST_NAME = 64
#: Words of the field beside those of `only_known_words`: they tell nobody who a patient is.
_FIELD_WORDS = frozenset((
    "abdomen", "arm", "axilla", "brachytherapy", "glioblastoma", "glioma", "leg", "organ",
    "phantom", "sarcoma", "shoulder", "thigh", "vessel",
))  # fmt: skip


@contextmanager
def quiet_readers() -> Iterator[None]:
    """Silence warnings and log lines of file libraries: they may quote a header's values."""
    from twin.dicom.quiet import quiet_pydicom

    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    before = [logger.disabled for logger in loggers]
    with quiet_pydicom(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for logger in loggers:
                logger.disabled = True
            yield
        finally:
            for logger, disabled in zip(loggers, before, strict=True):
                logger.disabled = disabled


def clean_name(text: str) -> str:
    r"""Return `text` on one line, without control characters and cut to 64 characters.

    Examples
    --------
    >>> clean_name("Lt  Lung\x1b[31m\n")
    'Lt Lung[31m'
    """
    kept = "".join(
        " " if letter.isspace() else letter
        for letter in unicodedata.normalize("NFC", text)
        if letter.isspace() or unicodedata.category(letter)[0] not in "CZ"
    )
    return " ".join(kept.split())[:_LONGEST_NAME]


def without_identifiers(names: Iterable[str], identifiers: Iterable[str]) -> tuple[str, ...]:
    """Names of structures, those that hold an identifier replaced by a number.

    Parameters
    ----------
    names : iterable of str
    identifiers : iterable of str
        A patient's names and numbers, as the headers have them. Words of four
        letters or more count wherever they stand, shorter ones (two or three)
        only as a word of their own, and words of the field ("breast") only
        together with the rest of the name.

    Examples
    --------
    >>> without_identifiers(["GTV", "GTV Doe", "Heart"], ["Doe^Jane", "12345"])
    ('GTV', 'structure 2', 'Heart')
    """
    words = {
        word.casefold()
        for text in identifiers
        for word in [text, *re.split(r"[\^=,;\s]+", text)]
        if len(word.strip()) >= 2 and not _of_the_field(word)
    }
    words |= {word.replace("^", " ") for word in words}

    def tells(name: str) -> bool:
        folded = name.casefold()
        parts = set(re.split(r"[\W_]+", folded))
        return any(word in folded if len(word) >= 4 else word in parts for word in words)

    cleaned = [clean_name(name) for name in names]
    return tuple(
        f"structure {place}" if not name or tells(name) else name
        for place, name in enumerate(cleaned, start=1)
    )


def _of_the_field(word: str) -> bool:
    return word.isalpha() and (word.casefold() in _FIELD_WORDS or only_known_words(word))


def file_stem(name: str) -> str:
    """Return a name that can be a file's and a TOML key: lower-case letters, digits and ``_``.

    Examples
    --------
    >>> file_stem("Lt Lung (4D)")
    'lt_lung_4d'
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    stem = re.sub(r"[^a-z0-9]+", "_", plain.lower()).strip("_")
    return stem[:48].strip("_") or "structure"
