"""What an export holds: named structures, and words that every file of it carries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from twin.errors import InvalidInput
from twin.images import Image
from twin.storage import write_atomically

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = [
    "MANUFACTURER",
    "RESEARCH",
    "ExportedStructure",
    "check_names",
    "checked_pseudonym",
    "write_dicom",
]

MANUFACTURER = "therapy-twin"
#: Stands in the description of every series and set that is exported.
RESEARCH = "RESEARCH USE ONLY"
Kind = Literal["tumour", "ctv", "ptv", "organ"]
_LONGEST = 64


@dataclass(frozen=True, slots=True, eq=False)
class ExportedStructure:
    """One structure to be drawn on the original images.

    Parameters
    ----------
    name : str
        1 to 64 printable ASCII characters, without backslash.
    image : Image
        A mask, or the share of each voxel that lies inside, from 0 to 1, on any grid.
    kind : {"tumour", "ctv", "ptv", "organ"}
        "ctv" and "ptv" are targets of radiotherapy.
    colour : tuple of int
        Red, green and blue, 0 to 255.
    """

    name: str
    image: Image
    kind: Kind = "tumour"
    colour: tuple[int, int, int] = (255, 90, 60)

    def __post_init__(self) -> None:
        if not _plain(self.name):
            raise InvalidInput(
                f"A structure to export is called {self.name!r}; use 1 to {_LONGEST} printable "
                "ASCII characters without backslash."
            )
        if self.kind not in ("tumour", "ctv", "ptv", "organ"):
            raise InvalidInput(
                f"{self.name} is of the kind {self.kind!r}; there are tumour, ctv, ptv and organ."
            )
        if len(self.colour) != 3 or not all(0 <= value <= 255 for value in self.colour):
            raise InvalidInput(f"The colour of {self.name} must be three numbers from 0 to 255.")


def _plain(text: str) -> bool:
    fits = bool(text.strip()) and len(text) <= _LONGEST
    return fits and text.isascii() and text.isprintable() and "\\" not in text


def check_names(structures: Sequence[ExportedStructure]) -> None:
    """Raise `InvalidInput` unless there is a structure and all have names of their own."""
    names = [one.name for one in structures]
    if not names:
        raise InvalidInput("There is no structure to export; name at least one.")
    for name in names:
        if names.count(name) > 1:
            raise InvalidInput(f"Two structures to export are called {name}; rename one.")


def checked_pseudonym(text: str | None) -> str | None:
    """Return a pseudonym that may be written, or None.

    Examples
    --------
    >>> checked_pseudonym("case 12")
    'case 12'
    """
    if text is not None and not _plain(text):
        raise InvalidInput(
            f"The pseudonym has {len(text)} characters; use 1 to {_LONGEST} printable ASCII "
            "characters without backslash."
        )
    return text


def write_dicom(dataset: Dataset, path: Path) -> None:
    """Write a dataset as a DICOM file, as a whole or not at all."""
    from twin.dicom.quiet import quiet_pydicom

    with quiet_pydicom():
        write_atomically(path, lambda part: dataset.save_as(part, enforce_file_format=True))
