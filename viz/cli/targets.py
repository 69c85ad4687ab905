"""Files that a command is asked to write, checked before anything is computed."""

from __future__ import annotations

from pathlib import Path

__all__ = ["target_file"]


def target_file(name: str | None, ending: str, *, force: bool) -> Path | None:
    """Return the path of a file to write, None where none was asked for.

    Raises
    ------
    InvalidInput
        Another ending, no such folder, a folder by this name, or a file that is there already.

    Examples
    --------
    >>> target_file("curve.txt", ".csv", force=False)
    Traceback (most recent call last):
    ...
    twin.errors.InvalidInput: curve.txt must end in .csv.
    """
    from twin.errors import InvalidInput

    if name is None:
        return None
    path = Path(name)
    if path.suffix.lower() != ending:
        raise InvalidInput(f"{path} must end in {ending}.")
    if not path.parent.is_dir():
        raise InvalidInput(f"The folder {path.parent} does not exist; make it first.")
    if path.is_dir():
        raise InvalidInput(f"{path} is a folder; name a file.")
    if path.exists() and not force:
        raise InvalidInput(f"{path} is there already; replace it with --force.")
    return path
