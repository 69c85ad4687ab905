"""DICOM files, opened with care: nothing outside the folder, nothing that bursts, no remarks."""

from __future__ import annotations

import os
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from twin.errors import InvalidInput

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["read_dataset", "read_header", "safe_files"]

MOST_FILES = 100_000
MOST_BYTES = 4 * 2**30
#: A dataset stored deflated may become this large, in memory.
MOST_INFLATED = 2**31
_ARCHIVES = (
    ".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tbz2", ".7z", ".rar",
    ".dcm.gz", ".gz", ".bz2", ".xz", ".zst",
)  # fmt: skip
_NO_ARCHIVES = (".nii.gz", ".img.gz", ".hdr.gz")
_ZIP, _SEVEN_ZIP, _RAR, _GZIP = b"PK\x03\x04", b"7z\xbc\xaf", b"Rar!", b"\x1f\x8b"
#: Files that are stored as archives and are none to a user: documents, arrays, networks.
_STORED_AS_ARCHIVES = (
    ".docx", ".xlsx", ".pptx", ".odt", ".ods", ".odp", ".npz", ".pt", ".pth", ".ts", ".mgz",
)  # fmt: skip
#: Groups whose elements say how an image, plan or structure is to be understood.
_NEEDED_GROUPS = frozenset(
    (0x18, 0x20, 0x28, 0x54, 0x62, 0x70, 0x3004, 0x3006, 0x300A, 0x300C, 0x5200, 0x7FE0)
)
_DEFLATED = "1.2.840.10008.1.2.1.99"
_UNDEFINED = 0xFFFFFFFF


def safe_files(folder: Path) -> tuple[Path, ...]:
    """Return all regular files in a folder and the folders in it, sorted by path.

    Files and folders whose name begins with a dot, and DICOMDIR, are passed over.

    Raises
    ------
    InvalidInput
        No folder, a link that leaves it, an archive, too many files, or one that is too large.
    """
    if folder.is_file():
        raise InvalidInput(f"{folder} is a file; name the folder that holds it.")
    if not folder.is_dir():
        raise InvalidInput(f"There is no folder {folder}; check its name.")
    home = folder.resolve()
    found: list[Path] = []
    for path in _walk(folder, home):
        if len(found) == MOST_FILES:
            raise InvalidInput(
                f"{folder} holds more than {MOST_FILES:,} files; name the folder of one patient."
            )
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise InvalidInput(
                f"{path.relative_to(folder)} has {size / 2**30:.1f} GiB; at most "
                f"{MOST_BYTES >> 30} GiB are read from one file."
            )
        found.append(path)
    return tuple(sorted(found))


def _walk(folder: Path, home: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in [*folders, *names]:
            path = Path(place) / name
            if path.is_symlink() and not path.resolve().is_relative_to(home):
                raise InvalidInput(
                    f"{path.relative_to(folder)} is a link to a place outside of {folder}; put "
                    "the files themselves into the folder, or remove the link."
                )
        for name in sorted(names):
            path = Path(place) / name
            if name.startswith(".") or name.upper() == "DICOMDIR":
                continue
            if not path.exists() or not stat.S_ISREG(path.stat().st_mode):
                raise InvalidInput(
                    f"{path.relative_to(folder)} is no regular file (a broken link or a device); "
                    "remove it from the folder."
                )
            _refuse_archive(path, folder)
            yield path


def _refuse_archive(path: Path, folder: Path) -> None:
    try:
        with path.open("rb") as stream:
            begins = stream.read(262)
    except OSError:
        raise InvalidInput(
            f"{path.relative_to(folder)} cannot be opened; check who may read it."
        ) from None
    name = path.name.lower()
    if name.endswith((*_NO_ARCHIVES, *_STORED_AS_ARCHIVES)):
        return
    packed = begins.startswith((_ZIP, _SEVEN_ZIP, _RAR, _GZIP)) or begins[257:] == b"ustar"
    if name.endswith(_ARCHIVES) or packed:
        raise InvalidInput(
            f"{path.relative_to(folder)} is an archive; unpack it and name the folder with its "
            "files."
        )


def read_header(path: Path, *, pixels: bool = False) -> Dataset | None:
    """Return what a DICOM file says, or None where it is none.

    Every value is decoded here, so that what is damaged shows here: private and merely
    descriptive elements that cannot be decoded are left out.

    Parameters
    ----------
    path : path
    pixels : bool
        Read the pixel data as well.

    Raises
    ------
    InvalidInput
        A DICOM file that is damaged, cut short, or inflates beyond 2 GiB.
    """
    import pydicom

    from twin.dicom.quiet import quiet_pydicom

    with_preamble = _has_preamble(path)
    if not with_preamble and not _begins_like_dicom(path):
        return None
    with quiet_pydicom():
        try:
            if with_preamble:
                _check_inflated(path)
            dataset = pydicom.dcmread(path, stop_before_pixels=not pixels, force=not with_preamble)
            if not with_preamble and "SOPClassUID" not in dataset and "Modality" not in dataset:
                return None
            _decode(dataset)
        except InvalidInput:
            raise
        except MemoryError:
            raise InvalidInput(f"{path.name} does not fit into memory.") from None
        except Exception:  # pydicom raises many kinds on garbage
            raise InvalidInput(
                f"{path.name} is a DICOM file that is damaged or cut short; copy or export it "
                "again."
            ) from None
    if "TransferSyntaxUID" not in dataset.file_meta:
        little, implicit = dataset.original_encoding[1], dataset.original_encoding[0]
        dataset.file_meta.TransferSyntaxUID = (
            pydicom.uid.ImplicitVRLittleEndian
            if implicit
            else pydicom.uid.ExplicitVRLittleEndian
            if little
            else pydicom.uid.ExplicitVRBigEndian
        )
    return dataset


def _decode(dataset: Dataset) -> None:
    """Decode all elements in place; what is needed and cannot be decoded raises."""
    for tag in list(dataset.keys()):
        raw = dataset.get_item(tag)
        stated, value = getattr(raw, "length", None) or 0, getattr(raw, "value", None)
        if isinstance(value, bytes) and len(value) < stated != _UNDEFINED:
            raise EOFError("cut short")
        try:
            element = dataset[tag]
            if element.VR == "SQ":
                for item in element.value:
                    _decode(item)
        except (EOFError, MemoryError):
            raise
        except Exception:  # pydicom raises many kinds on garbage
            if tag.group in _NEEDED_GROUPS:
                raise
            del dataset[tag]


def read_dataset(path: Path) -> Dataset:
    """Return a DICOM file with its pixels; `InvalidInput` where it is none."""
    dataset = read_header(path, pixels=True)
    if dataset is None:
        raise InvalidInput(f"{path.name} is not a DICOM file.")
    return dataset


def _has_preamble(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        raise InvalidInput(
            f"{path.name} cannot be opened; check its name and who may read it."
        ) from None


def _begins_like_dicom(path: Path) -> bool:
    """Whether a file without preamble begins with an element of group 2 or 8, in its place."""
    with path.open("rb") as stream:
        head = stream.read(8)
    if len(head) < 8:
        return False
    for order in ("little", "big"):
        group = int.from_bytes(head[:2], order)  # type: ignore[arg-type]
        element = int.from_bytes(head[2:4], order)  # type: ignore[arg-type]
        if group not in (2, 8) or element > 0x20:
            continue
        explicit = head[4:6].isalpha() and head[4:6].isupper()
        length = int.from_bytes(head[4:8], order)  # type: ignore[arg-type]
        if explicit or length <= 256:
            return True
    return False


def _check_inflated(path: Path) -> None:
    """Refuse a dataset that is stored deflated and bursts; nothing is kept of it here."""
    from pydicom.filereader import read_file_meta_info

    if str(read_file_meta_info(path).get("TransferSyntaxUID", "")) != _DEFLATED:
        return
    with path.open("rb") as stream:
        stream.seek(144 + _meta_length(path))
        inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        total = 0
        while chunk := stream.read(2**20):
            while chunk:
                total += len(inflate.decompress(chunk, 2**24))
                chunk = inflate.unconsumed_tail
                if total > MOST_INFLATED:
                    raise InvalidInput(
                        f"{path.name} inflates to more than {MOST_INFLATED >> 30} GiB; it is not "
                        "read."
                    )


def _meta_length(path: Path) -> int:
    """Bytes of the meta group after the element that states them (0002,0000)."""
    with path.open("rb") as stream:
        stream.seek(140)
        return int.from_bytes(stream.read(4), "little")
