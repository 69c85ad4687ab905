"""What an import finds in a folder: one object a series, file of structures, dose or plan."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["USED_KINDS", "Found", "Inventory", "Kind", "Labels"]

Kind = Literal[
    "image", "labels", "segmentation", "structure set", "dose", "plan", "localiser", "not used"
]
#: Kinds of which an import makes something.
USED_KINDS: tuple[Kind, ...] = (
    "image",
    "labels",
    "segmentation",
    "structure set",
    "dose",
    "plan",
)


@dataclass(frozen=True, slots=True)
class Labels:
    """Numbers in a label map and, where they are known, what they are called.

    Parameters
    ----------
    numbers : tuple of int
        Those present, without 0.
    convention : str or None
        A convention's name that fits ("brats"), a guess.
    tumour : mapping of str to int
        Numbers of "necrosis", "enhancing" and "flair".
    names : mapping of int to str
        Of the numbers present.
    background : bool
        Whether any voxel is 0.
    """

    numbers: tuple[int, ...]
    convention: str | None = None
    tumour: Mapping[str, int] = field(default_factory=dict)
    names: Mapping[int, str] = field(default_factory=dict)
    background: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One series of images, label map, segmentation, structure set, dose or plan.

    Fields that are not shown hold identifiers (UIDs, names of files): they are
    for matching in memory and never leave it.

    Parameters
    ----------
    kind : str
        What an import makes of it.
    source : str
        "DICOM", "NIfTI" or "NRRD".
    modality : str
        As DICOM has it ("CT", "MR", "PT", ...), empty where unknown.
    contrast : str
        Name of the image by what it shows ("ct", "t1", "t1_contrast", "t2", "flair",
        "adc", "dwi", "pet", ...), "image" where unknown.
    guessed_from : str
        What `contrast` was guessed from ("echo time"), empty where it is certain.
    date : date or None
        Of the acquisition.
    shape : tuple of int or None
        Columns, rows and slices.
    spacing_mm : tuple of float or None
        Between columns, rows and slices, [mm].
    structures : tuple of str
        Names of structures or segments, freed of identifiers.
    notes : tuple of str
        What a person should know.
    problem : str
        Why an import would refuse it, empty where nothing speaks against it.
    """

    kind: Kind
    source: str
    modality: str = ""
    contrast: str = "image"
    guessed_from: str = ""
    date: dt.date | None = None
    shape: tuple[int, ...] | None = None
    spacing_mm: tuple[float, ...] | None = None
    structures: tuple[str, ...] = ()
    labels: Labels | None = None
    body_surface_m2: float | None = None
    notes: tuple[str, ...] = ()
    problem: str = ""
    files: tuple[Path, ...] = field(default=(), repr=False)
    case: str = field(default="", repr=False)
    affine: NDArray[np.float64] | None = field(default=None, repr=False, compare=False)
    uid: str = field(default="", repr=False)
    frame_uid: str = field(default="", repr=False)
    refers_to: frozenset[str] = field(default=frozenset(), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """All that was found, in the order of the table; the first has the number 1.

    Parameters
    ----------
    found : tuple of Found
    frames : tuple of str
        Of each: "A", "B", ... by DICOM's frame of reference, "grid 1", ... by equal
        voxel grids of files that state none, empty where there is neither.
    partners : tuple of tuple of int
        Of each: numbers of those which it refers to or belongs to.
    days : tuple of (int or None)
        Of each: days from the reference.
    reference_date : date or None
        Day 0.
    ignored : int
        Files that are no images (texts, pictures, program files).
    notes : tuple of str
        About the folder as a whole.
    """

    found: tuple[Found, ...]
    frames: tuple[str, ...]
    partners: tuple[tuple[int, ...], ...]
    days: tuple[int | None, ...]
    reference_date: dt.date | None
    ignored: int = 0
    notes: tuple[str, ...] = ()
    folder: Path = field(default=Path(), repr=False)
    identifiers: frozenset[str] = field(default=frozenset(), repr=False)

    def numbered(self) -> tuple[tuple[int, Found], ...]:
        """Number and content, in order."""
        return tuple(enumerate(self.found, start=1))
