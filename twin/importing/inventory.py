"""Looking through a folder: what is in it, and whose it is."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from twin.errors import InvalidInput, TherapyTwinError
from twin.image_files import IMAGE_ENDINGS
from twin.importing.dataset_json import DatasetJson, read_dataset_json
from twin.importing.dicom_headers import Header, found_in_headers, header_of
from twin.importing.found import Found, Inventory
from twin.importing.pairing import days_from, frame_letters, in_order, partners_of, reference_of
from twin.importing.privacy import quiet_readers, without_identifiers
from twin.importing.volume_files import found_in_volume

__all__ = ["look_through"]

Progress = Callable[[float, str], None] | None


def look_through(folder: str | os.PathLike[str], *, progress: Progress = None) -> Inventory:
    """Return what is in a folder: headers of DICOM files, and NIfTI and NRRD files.

    Parameters
    ----------
    folder : path
    progress : callable or None
        Called with the part done and a message.

    Raises
    ------
    InvalidInput
        The folder is absent or holds nothing of use, a file is damaged or not
        safe to open, or files are of two patients.
    """
    place = Path(folder)
    if not place.is_dir():
        kind = "is a file, not a folder" if place.is_file() else "does not exist"
        raise InvalidInput(f"The folder {place} {kind}; name a folder with images.")
    with quiet_readers():
        return _look_through(place, progress)


def _look_through(folder: Path, progress: Progress) -> Inventory:
    from twin.dicom.files import read_header, safe_files

    files = safe_files(folder)
    headers: list[Header] = []
    volumes: list[Path] = []
    descriptions: dict[Path, DatasetJson] = {}
    ignored = 0
    for number, path in enumerate(files):
        if progress is not None and number % 20 == 0:
            progress(number / len(files), "reading headers")
        label = path.relative_to(folder).as_posix()
        if path.name.lower().endswith(IMAGE_ENDINGS):
            volumes.append(path)
        elif path.name == "dataset.json":
            described = read_dataset_json(path)
            if described is None:
                ignored += 1
            else:
                descriptions[path.parent] = described
        elif path.name == "DICOMDIR" or (dataset := read_header(path)) is None:
            ignored += 1
        else:
            headers.append(header_of(path, dataset, label=label))
    _one_patient([header for header in headers if header.kind != "not used"])
    identifiers = frozenset(text for header in headers for text in header.identifiers)
    found = found_in_headers(_freed_of_identifiers(headers, identifiers))
    for path in volumes:
        found.append(_volume(path, folder, descriptions))
    if not found:
        raise InvalidInput(
            f"The folder holds no DICOM, NIfTI or NRRD file ({ignored} other files); "
            "name the folder that holds the images."
        )
    return _inventory(folder, in_order(found), ignored, identifiers)


def _volume(path: Path, folder: Path, descriptions: dict[Path, DatasetJson]) -> Found:
    near = next((descriptions[at] for at in path.parents if at in descriptions), None)
    try:
        return found_in_volume(path, near)
    except (TherapyTwinError, MemoryError):
        raise
    except Exception:  # readers of files raise many kinds on garbage
        raise InvalidInput(
            f"{path.relative_to(folder).as_posix()} cannot be read: it is damaged; "
            "copy or export it again."
        ) from None


def _inventory(
    folder: Path, found: Sequence[Found], ignored: int, identifiers: frozenset[str]
) -> Inventory:
    reference = reference_of(found)
    notes = []
    if any(one.date is None for one in found if one.kind != "not used"):
        notes.append("Some files state no date; they count as of the reference day.")
    return Inventory(
        found=tuple(found),
        frames=frame_letters(found),
        partners=partners_of(found),
        days=days_from(found, reference),
        reference_date=reference,
        ignored=ignored,
        notes=tuple(notes),
        folder=folder,
        identifiers=identifiers,
    )


def _freed_of_identifiers(headers: Sequence[Header], identifiers: frozenset[str]) -> list[Header]:
    """Structures named with what any header of the folder holds of the patient are renamed."""

    def shown(number: int, name: str) -> str:
        return (
            name if without_identifiers([name], identifiers) == (name,) else f"structure {number}"
        )

    return [
        replace(header, structures={n: shown(n, name) for n, name in header.structures.items()})
        if header.structures
        else header
        for header in headers
    ]


def _one_patient(headers: Sequence[Header]) -> None:
    """Refuse files of two patients: by number, else by name, else by date of birth."""
    for place, what in enumerate(("numbers", "names", "dates of birth")):
        told = {header.patient[place] for header in headers} - {""}
        if len(told) > 1:
            raise InvalidInput(
                f"The folder holds files of {len(told)} patients (their {what} differ); "
                "give a folder with the files of one."
            )
