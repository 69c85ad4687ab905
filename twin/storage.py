"""Files that are whole or not there: atomic writes, folder locks, the cache folder, hashes."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np

from twin.errors import InvalidInput, TherapyTwinError

__all__ = [
    "FolderLock",
    "StorageFailed",
    "cache_folder",
    "sha256_of",
    "storage_errors",
    "whole_folder",
    "write_atomically",
]


class StorageFailed(TherapyTwinError, OSError):
    """A file could not be written or locked; what was there before is still there."""


def write_atomically(path: str | os.PathLike[str], writer: Callable[[Path], object]) -> None:
    """Write `path` through a temporary file beside it that is renamed when whole.

    Parameters
    ----------
    path : path
        The file to make or to replace; its folder must exist.
    writer : callable
        Gets the temporary path (which ends like `path`) and writes the file there.

    Raises
    ------
    StorageFailed
        Full disk or another failure of the file system; the old file stays.

    Examples
    --------
    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "note.txt"
    >>> write_atomically(target, lambda temporary: temporary.write_text("whole"))
    >>> target.read_text()
    'whole'
    """
    target = Path(path)
    temporary = target.with_name(f".{uuid.uuid4().hex[:8]}.part-{target.name}")
    with storage_errors(target):
        try:
            writer(temporary)
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            temporary.replace(target)
            _sync_folder(target.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A folder to write into that becomes `target` when all went well, and else is gone.

    Parameters
    ----------
    target : path
        New or empty; folders above it are made.

    Raises
    ------
    InvalidInput
        `target` is a file, or holds something.
    StorageFailed
        It cannot be written.
    """
    if target.exists() and not target.is_dir():
        raise InvalidInput(f"{target} is a file; give a new or empty folder.")
    if target.is_dir() and any(target.iterdir()):
        raise InvalidInput(f"{target} is not empty; give a new or empty folder.")
    part = target.absolute().parent / f".{target.name}.part-{uuid.uuid4().hex[:8]}"
    try:
        with storage_errors(target):
            part.mkdir(parents=True)
            yield part
            part.rename(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def storage_errors(target: Path) -> Iterator[None]:
    """Turn failures of the file system about `target` into `StorageFailed`."""
    try:
        yield
    except Exception as error:
        sentence = _storage_sentence(error, target)
        if sentence is None:
            raise
        raise StorageFailed(sentence) from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:  # some file systems cannot sync a folder; the rename is still atomic
        pass
    finally:
        os.close(descriptor)


def _storage_sentence(error: Exception, target: Path) -> str | None:
    """One sentence for a failure of the file system, None for any other error."""
    number = getattr(error, "errno", None)
    if number in (errno.ENOSPC, errno.EDQUOT) or "No space left on device" in str(error):
        return (
            f"The disk is full, so {target} was not written (an older file of that name "
            "is unchanged); free some space and run again."
        )
    if isinstance(error, OSError) and not isinstance(error, StorageFailed) and number:
        if isinstance(error.filename, str):
            about, place = Path(error.filename).absolute(), target.absolute()
            if place.parent not in about.parents and about not in place.parents:
                return None  # of a file elsewhere, one that is read
        return (
            f"{target} cannot be written: {os.strerror(number)}; "
            "choose a folder that you may write to."
        )
    return None


class FolderLock:
    """Context manager: one process at a time works in a folder.

    The lock is the operating system's (``flock``), so it ends with the process
    even when that is killed; the file ``.lock`` that carries it stays.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = Path(folder)
        self._file: IO[str] | None = None

    def __enter__(self) -> FolderLock:
        path = self._folder / ".lock"
        with storage_errors(path):
            file = path.open("a")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.close()
            raise StorageFailed(
                f"{self._folder} is in use by another run; wait for it to end "
                "or choose another folder."
            ) from error
        self._file = file
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def cache_folder() -> Path:
    """Return the folder of rebuildable files: ``$TWIN_CACHE`` or the user's cache folder."""
    named = os.environ.get("TWIN_CACHE")
    if named:
        return Path(named)
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "therapy-twin"


def sha256_of(*parts: object) -> str:
    """Return the hexadecimal SHA-256 of `parts`, each with its kind and length.

    Parts may be str, bytes, arrays (dtype and shape count), `Path` (the bytes of
    the file, not its name), or anything that JSON can write (keys sorted).

    Examples
    --------
    >>> sha256_of("a", "bc") == sha256_of("ab", "c")
    False
    """
    digest = hashlib.sha256()
    for part in parts:
        kind, content = _bytes_of(part)
        digest.update(f"{kind}:{len(content)}:".encode())
        digest.update(content)
    return digest.hexdigest()


def _bytes_of(part: object) -> tuple[str, bytes]:
    if isinstance(part, bytes):
        return "bytes", part
    if isinstance(part, Path):
        return "file", part.read_bytes()
    if isinstance(part, np.ndarray):
        return f"array {part.dtype.str} {part.shape}", np.ascontiguousarray(part).tobytes()
    if isinstance(part, Mapping):
        part = dict(part)
    return "json", json.dumps(part, sort_keys=True).encode()
