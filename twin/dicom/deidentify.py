"""A folder of DICOM files copied without who they are of."""

from __future__ import annotations

import os
import shutil
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

from twin.dicom.clean_dataset import Cleaner, identifying_words
from twin.dicom.confidentiality_profile import KEPT_CLASSES, METHOD_CODES
from twin.dicom.files import read_header, safe_files
from twin.dicom.plain_pixels import make_plain
from twin.dicom.pseudonyms import Pseudonyms, read_or_make_key
from twin.dicom.quiet import quiet_pydicom
from twin.dicom.visible_identity import burnt_in, may_show_a_face
from twin.errors import InvalidInput
from twin.storage import storage_errors

__all__ = ["CleanFolder", "deidentify"]

_PET = ("1.2.840.10008.5.1.4.1.1.128", "1.2.840.10008.5.1.4.1.1.130")
_DIRECTORY = "1.2.840.10008.1.3.10"

Progress = Callable[[float, str], None]


@dataclass(frozen=True, slots=True)
class CleanFolder:
    """What `deidentify` wrote and what it did not.

    Parameters
    ----------
    folder : Path
    files, patients : int
        How many were written.
    changed : dict of str to int
        How many elements were removed, emptied, replaced and so on.
    left_out : tuple of tuple of str
        Files that were not copied (path within the folder) and why.
    warnings : tuple of str
        What a person still has to look at.
    key_made : bool
        Whether the key file was made.
    """

    folder: Path
    files: int
    patients: int
    changed: dict[str, int]
    left_out: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]
    key_made: bool


@dataclass(frozen=True, slots=True)
class _Found:
    """What the first reading of a file told."""

    path: Path
    patient: str
    name: str
    study: str
    words: frozenset[str]


def deidentify(
    folder: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    key: str | os.PathLike[str] | None = None,
    keep_burnt_in: bool = False,
    progress: Progress | None = None,
) -> CleanFolder:
    """Write clean copies of a folder's DICOM files; all of them or none.

    DICOM PS3.15, annex E: the Basic Application Confidentiality Profile with
    the options Clean Descriptors (structures' names), Retain Longitudinal
    Temporal Information with Modified Dates and, for PET, Retain Patient
    Characteristics (weight and height). Stricter than the profile: text that
    it does not list goes, too; private elements, overlays, icons and
    compressed streams go; only images, segmentations and radiotherapy objects
    are copied. UIDs are replaced alike in all files, so that references hold.

    Parameters
    ----------
    folder : path
    output : path
        A folder that does not exist yet or is empty, outside of `folder`.
    key : path or None
        A file with the secret from which UIDs, pseudonyms and shifts of dates
        follow; made if it does not exist. With the same key files that are
        cleaned later fit those of before. Without one the secret is forgotten.
    keep_burnt_in : bool
        Copy images that say that writing is in their pixels, too.
    progress : callable or None

    Raises
    ------
    InvalidInput
        No DICOM file; one that is damaged; folders that cannot be used.
    """
    source, target = Path(folder), Path(output)
    _check_folders(source, target, None if key is None else Path(key))
    paths = safe_files(source)
    left_out: list[tuple[str, str]] = []
    with quiet_pydicom():
        found = list(_first_reading(source, paths, left_out))
        if not found:
            raise InvalidInput(
                f"{source} holds no DICOM image, segmentation or radiotherapy object "
                f"({len(paths)} files were looked at); name the folder that does."
            )
        secret, made = read_or_make_key(key)
        try:
            clean = _Copy(source, Pseudonyms(secret), found, left_out, keep_burnt_in)
            return clean.write(target, made, progress)
        except BaseException:
            if made and key is not None:
                Path(key).unlink(missing_ok=True)
            raise


def _check_folders(source: Path, target: Path, key: Path | None) -> None:
    if not source.is_dir():
        raise InvalidInput(f"The folder {source} does not exist; check its name.")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InvalidInput(f"{target} is there already and not empty; name a new folder.")
    if not target.absolute().parent.is_dir():
        raise InvalidInput(f"The folder {target.absolute().parent} does not exist; make it first.")
    inner, outer = target.resolve(), source.resolve()
    if inner.is_relative_to(outer) or outer.is_relative_to(inner):
        raise InvalidInput(f"{target} and {source} lie in one another; name a folder elsewhere.")
    if key is not None:
        for place in (inner, outer):
            if key.resolve().is_relative_to(place):
                raise InvalidInput(
                    f"The key {key} lies in a folder of images; keep it elsewhere and secret."
                )


def _first_reading(
    source: Path, paths: tuple[Path, ...], left_out: list[tuple[str, str]]
) -> Iterator[_Found]:
    for path in paths:
        place = path.relative_to(source).as_posix()
        with _damage(place):
            found = _look_at(path, place, left_out)
        if found is not None:
            yield found


def _look_at(path: Path, place: str, left_out: list[tuple[str, str]]) -> _Found | None:
    header = read_header(path)
    if header is None:
        left_out.append((place, "not DICOM"))
    elif _class_of_file(header) == _DIRECTORY:
        left_out.append((place, "a directory of DICOM files"))
    elif str(header.get("SOPClassUID") or "") not in KEPT_CLASSES:
        left_out.append((place, "no image, segmentation or radiotherapy object"))
    else:
        return _Found(
            path,
            str(header.get("PatientID") or "").strip(),
            str(header.get("PatientName") or "").strip(),
            str(header.get("StudyInstanceUID") or "").strip(),
            identifying_words(header),
        )
    return None


@contextmanager
def _damage(place: str) -> Iterator[None]:
    """Turn what pydicom raises on a damaged file (it quotes values) into one sentence."""
    try:
        yield
    except (InvalidInput, OSError, MemoryError):
        raise
    except Exception:
        raise InvalidInput(
            f"{place} is a damaged DICOM file; leave it out or export it again."
        ) from None


def _class_of_file(header: Dataset) -> str:
    meta = getattr(header, "file_meta", None)
    return str(meta.get("MediaStorageSOPClassUID", "")) if meta is not None else ""


class _Copy:
    """One run: who is who, and the writing of the copies."""

    def __init__(
        self,
        source: Path,
        names: Pseudonyms,
        found: list[_Found],
        left_out: list[tuple[str, str]],
        keep_burnt_in: bool,
    ) -> None:
        self._source, self._names, self._found = source, names, found
        self._left_out, self._keep_burnt_in = left_out, keep_burnt_in
        self._identity = _identities(found)
        words: defaultdict[str, set[str]] = defaultdict(set)
        for one in found:
            words[self._identity[one.path]] |= one.words
        self._words = {identity: frozenset(those) for identity, those in words.items()}
        self._counts: Counter[str] = Counter()
        self._series: dict[tuple[str, str, str], str] = {}
        self._in_series: Counter[str] = Counter()
        self._seen: Counter[str] = Counter()  # of what warnings speak

    def write(self, target: Path, key_made: bool, progress: Progress | None) -> CleanFolder:
        parts = target.with_name(f".{uuid.uuid4().hex[:8]}.part-{target.name}")
        with storage_errors(target):
            parts.mkdir()
            try:
                for number, one in enumerate(self._found):
                    self._one(one, parts)
                    if progress is not None:
                        progress((number + 1) / len(self._found), f"{number + 1} files")
                count = sum(self._in_series.values())
                if not count:
                    raise InvalidInput(
                        f"Every image in {self._source} has writing in its pixels, so none was "
                        "copied; look at them, and add --keep-burnt-in if they name nobody."
                    )
                if target.is_dir():
                    target.rmdir()  # empty: checked
                parts.replace(target)
            finally:
                shutil.rmtree(parts, ignore_errors=True)
        return CleanFolder(
            folder=target,
            files=count,
            patients=len({identity for identity, _, _ in self._series}),
            changed=dict(sorted(self._counts.items())),
            left_out=tuple(self._left_out),
            warnings=self._warnings(),
            key_made=key_made,
        )

    def _one(self, one: _Found, parts: Path) -> None:
        place = one.path.relative_to(self._source).as_posix()
        with _damage(place):
            self._copied(one, place, parts)

    def _copied(self, one: _Found, place: str, parts: Path) -> None:
        dataset = read_header(one.path, pixels=True)
        if dataset is None:
            raise InvalidInput(f"{place} changed while it was read; run again.")
        try:
            make_plain(dataset)
        except InvalidInput as error:
            raise InvalidInput(f"{place}: {error}") from None
        writing, face = burnt_in(dataset), may_show_a_face(dataset)
        if writing == "declared" and not self._keep_burnt_in:
            self._left_out.append((place, "writing in its pixels"))
            self._seen["left out"] += 1
            return
        self._seen["suspected"] += writing == "suspected"
        self._seen["kept"] += writing == "declared"
        self._seen["face"] += face
        clean = self._cleaned(dataset, self._identity[one.path], face=face)
        file = parts / self._place(clean, self._identity[one.path])
        file.parent.mkdir(parents=True, exist_ok=True)
        clean.save_as(file, enforce_file_format=True, little_endian=True, implicit_vr=False)

    def _cleaned(self, dataset: Dataset, identity: str, *, face: bool) -> Dataset:
        pet = str(dataset.SOPClassUID).startswith(_PET)
        cleaner = Cleaner(self._names, identity, self._words[identity], self._counts)
        cleaner.clean(dataset, pet=pet)
        clean = Dataset()
        clean.update({element.tag: element for element in dataset})
        clean.PatientName = clean.PatientID = self._names.patient(identity)
        for keyword in ("PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID"):
            setattr(clean, keyword, "")  # must be there, may be empty
        clean.ReferringPhysicianName = ""
        clean.PatientIdentityRemoved = "YES"
        clean.LongitudinalTemporalInformationModified = "MODIFIED"
        from twin import __version__

        clean.DeidentificationMethod = f"DICOM PS3.15 annex E by therapy-twin {__version__}"
        clean.DeidentificationMethodCodeSequence = Sequence(
            [_code(value) for value in METHOD_CODES if pet or value != "113108"]
        )
        if face:
            clean.RecognizableVisualFeatures = "YES"
        clean.preamble = b"\0" * 128
        clean.file_meta = FileMetaDataset()
        clean.file_meta.MediaStorageSOPClassUID = clean.SOPClassUID
        clean.file_meta.MediaStorageSOPInstanceUID = clean.SOPInstanceUID
        clean.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        return clean

    def _place(self, clean: Dataset, identity: str) -> str:
        """Where a copy goes: patient, kind with a number for its series, and a number."""
        kind = str(clean.get("Modality") or "OT")
        key = (identity, kind, str(clean.get("SeriesInstanceUID") or ""))
        if key not in self._series:
            number = 1 + sum(known[:2] == key[:2] for known in self._series)
            self._series[key] = f"{clean.PatientID}/{kind}_{number}"
        series = self._series[key]
        self._in_series[series] += 1
        return f"{series}/{self._in_series[series]:05d}.dcm"

    def _warnings(self) -> tuple[str, ...]:
        seen, said = self._seen, []
        if seen["left out"]:
            said.append(
                f"{seen['left out']} images say, or are of a kind, that writing is in their "
                "pixels; they were left out. Look at them, and add --keep-burnt-in if they name "
                "nobody."
            )
        if seen["kept"]:
            said.append(
                f"{seen['kept']} images with writing in their pixels were copied as they are, as "
                "you asked."
            )
        if seen["suspected"]:
            said.append(
                f"{seen['suspected']} images look as if there was writing at their borders; look "
                "at them before you give them away."
            )
        if seen["face"]:
            said.append(
                f"{seen['face']} images may show the head, from which a face can be drawn and "
                "recognised; nothing was cut off. Deface them with a tool for it (mri_deface, "
                "pydeface, CTA-DEFACE) before you give them away."
            )
        return tuple(said)


def _identities(found: list[_Found]) -> dict[Path, str]:
    """Who each file is of: by number, else by study, else by name."""
    by_study = {one.study: one.patient for one in found if one.study and one.patient}
    return {
        one.path: one.patient
        or by_study.get(one.study)
        or (f"name {one.name}" if one.name else f"study {one.study}")
        for one in found
    }


def _code(value: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator = value, "DCM"
    item.CodeMeaning = METHOD_CODES[value]
    return item
