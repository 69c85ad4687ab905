"""Packaged folders copied out whole or not at all."""

from __future__ import annotations

from importlib.resources.abc import Traversable
from pathlib import Path

from twin.storage import whole_folder

__all__ = ["copy_folder"]


def copy_folder(source: Traversable, target: Path) -> list[str]:
    """Names of the files copied from `source` into `target`, which must be new or empty.

    Raises
    ------
    InvalidInput
        The target is a file, or holds something.
    StorageFailed
        It cannot be written; nothing is left of it.
    """
    with whole_folder(target) as part:
        return _copy(source, part)


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
