"""Packaged folders copied out whole or not at all."""

from __future__ import annotations

import shutil
import uuid
from importlib.resources.abc import Traversable
from pathlib import Path

from twin.errors import InvalidInput
from twin.storage import StorageFailed

__all__ = ["copy_folder"]


def copy_folder(source: Traversable, target: Path) -> list[str]:
    """Names of the files copied from `source` into `target`, which must be new or empty.

    Raises
    ------
    InvalidInput
        The target holds something.
    StorageFailed
        It cannot be written; nothing is left of it.
    """
    if target.exists() and not target.is_dir():
        raise InvalidInput(f"{target} is a file; give a new or empty folder.")
    if target.is_dir() and any(target.iterdir()):
        raise InvalidInput(f"{target} is not empty; give a new or empty folder.")
    part = target.absolute().parent / f".{target.name}.part-{uuid.uuid4().hex[:8]}"
    try:
        part.mkdir(parents=True)
        files = _copy(source, part)
        part.rename(target)
    except OSError as error:
        raise StorageFailed(
            f"{target} cannot be written: {error.strerror}; nothing of it was left behind."
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return files


def _copy(source: Traversable, target: Path, under: str = "") -> list[str]:
    found = []
    for entry in sorted(source.iterdir(), key=lambda item: item.name):
        if entry.name.startswith(("__", ".")):
            continue
        if entry.is_dir():
            (target / entry.name).mkdir()
            found += _copy(entry, target / entry.name, f"{under}{entry.name}/")
        else:
            (target / entry.name).write_bytes(entry.read_bytes())
            found.append(under + entry.name)
    return found
