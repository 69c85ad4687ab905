"""Dose grids of a plan in whatever file they come: DICOM, NIfTI or NRRD."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from twin.errors import InvalidInput
from twin.image_files import IMAGE_ENDINGS, read_image
from twin.images import Image
from twin.radiotherapy import MAX_PRESCRIPTION_GY

if TYPE_CHECKING:
    from twin.dicom.dose_file import StoredHistogram

__all__ = ["DoseGrid", "read_dose_grid"]

_PER_GY = {"Gy": 1.0, "cGy": 100.0}


@dataclass(frozen=True, slots=True, eq=False)
class DoseGrid:
    """A dose grid, with what its file says of it.

    Parameters
    ----------
    image : Image
        [Gy].
    what : str
        What dose it is in words: "physical dose of a plan", or that the file does not say.
    kind : str or None
        "physical" or "effective"; None where the file does not say.
    summation : str
        "PLAN", "FRACTION", ... ; "" where the file does not say.
    histograms : mapping of int to StoredHistogram
        Of the planning system, by number of the structure.
    frame_of_reference : str
        "" where the file has none. For pairing in memory only.
    identifiers : tuple of str
        What no name of a structure may show.
    notes : tuple of str
    """

    image: Image
    what: str
    kind: str | None
    summation: str
    histograms: Mapping[int, StoredHistogram]
    frame_of_reference: str = field(repr=False)
    identifiers: tuple[str, ...] = field(repr=False)
    notes: tuple[str, ...]


def read_dose_grid(
    path: str | Path, *, unit: str | None = None, confirm_high: bool = False
) -> DoseGrid:
    """Return the dose of an RT dose file, or of an image whose values are doses.

    Parameters
    ----------
    path : path
        DICOM RTDOSE, NIfTI or NRRD.
    unit : {"Gy", "cGy"} or None
        Of NIfTI and NRRD, which do not state it (None: Gy). DICOM does.
    confirm_high : bool
        More than 200 Gy are meant where a NIfTI or NRRD file has them.

    Raises
    ------
    InvalidInput
        Missing, damaged, no dose, negative, or above 200 Gy without confirmation.
    """
    file = Path(path)
    if file.is_dir():
        raise InvalidInput(f"The dose {file} is a folder; name the one file that holds the dose.")
    if not file.is_file():
        raise InvalidInput(f"The dose {file} does not exist; check its name and folder.")
    if not file.name.lower().endswith(IMAGE_ENDINGS):  # those do not state their unit
        return _of_dicom(file, unit, confirm_high)
    return _of_image(file, unit or "Gy", confirm_high)


def _of_dicom(file: Path, unit: str | None, confirm_high: bool) -> DoseGrid:
    from twin.dicom.dose_file import read_dose
    from twin.dicom.files import read_header
    from twin.dicom.structure_names import identifying_texts

    header = read_header(file)
    if header is None:
        raise InvalidInput(
            f"The dose {file} is neither a DICOM file nor named .nii, .nii.gz or .nrrd; export it "
            "as one of these."
        )
    if unit is not None or confirm_high:
        option = "--unit" if unit is not None else "--confirm-high-dose"
        raise InvalidInput(
            f"The dose {file.name} is DICOM, which states its unit; leave {option} out."
        )
    found = read_dose(file)
    part = found.summation.lower().replace("_", " ")
    return DoseGrid(
        found.image,
        f"{found.kind} dose of a {part}" if part else f"{found.kind} dose, of what is not stated",
        found.kind,
        found.summation,
        found.histograms,
        found.frame_of_reference,
        identifying_texts(header),
        found.notes,
    )


def _of_image(file: Path, unit: str, confirm_high: bool) -> DoseGrid:
    if unit not in _PER_GY:
        raise InvalidInput(f"The unit of the dose is {unit!r}; it may be Gy or cGy.")
    image = read_image(file, what="dose")
    values = np.asarray(image.data, np.float32)
    if (values < 0.0).any():
        raise InvalidInput(
            f"The dose {file} goes down to {float(values.min()):g} {unit}; a dose is at least 0: "
            "is it another image?"
        )
    values = values / np.float32(_PER_GY[unit])
    highest = float(values.max())
    if not (highest <= MAX_PRESCRIPTION_GY or confirm_high):  # a grid in cGy has more
        instead = "if it is in cGy, give --unit cGy; " if unit == "Gy" else ""
        raise InvalidInput(
            f"The dose {file} goes up to {highest:g} Gy, above {MAX_PRESCRIPTION_GY:g} Gy; "
            f"{instead}if so much is meant, give --confirm-high-dose."
        )
    return DoseGrid(
        Image(values, image.affine),
        f"dose given in {unit}; the file does not say whether physical or effective, nor of what",
        None, "", {}, "", (), (),
    )  # fmt: skip
