"""Tables of measurements as laboratories keep them: text with a header, one row a measurement."""

from __future__ import annotations

import csv
import hashlib
import io
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from twin.errors import InvalidInput

__all__ = ["Column", "MeasurementTable", "read_measurements"]

_MAX_BYTES = 20 * 2**20
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
#: Cells that say that nothing was measured.
_MISSING = {"", "na", "nan", "n/a", "null", "-", "."}
_LONGEST_NAME = 80


@dataclass(frozen=True, slots=True)
class Column:
    """What a column means, and the headers under which laboratories keep it.

    Parameters
    ----------
    role : str
        Name in messages and in ``--columns role=HEADER``.
    headers : sequence of str
        Recognised headers, lower case, with anything but letters and digits as ``_``.
    required : bool
    """

    role: str
    headers: Sequence[str]
    required: bool = True


@dataclass(frozen=True, slots=True)
class MeasurementTable:
    """Cells of a table by role, with the line of the file on which each row stands.

    Parameters
    ----------
    name : str
        The file, as in messages.
    sha256 : str
        Of the file's bytes.
    lines : tuple of int
    cells : mapping of str to tuple of str
        Role to the text of its column.
    """

    name: str
    sha256: str
    lines: tuple[int, ...]
    cells: Mapping[str, tuple[str, ...]]

    def labels(self, role: str) -> tuple[str, ...]:
        """Return a column of names.

        Raises
        ------
        InvalidInput
            An empty name, or one that is too long or cannot be printed.
        """
        for line, text in zip(self.lines, self.cells[role], strict=True):
            if not text:
                raise InvalidInput(f"{self.name}, line {line}: the {role} is empty; name it.")
            if len(text) > _LONGEST_NAME or not text.isprintable():
                raise InvalidInput(
                    f"{self.name}, line {line}: the {role} is no printable name of at most "
                    f"{_LONGEST_NAME} characters; rename it."
                )
        return self.cells[role]

    def numbers(
        self,
        role: str,
        *,
        at_least: float = -math.inf,
        at_most: float = math.inf,
        whole: bool = False,
        may_be_missing: bool = False,
        hint: str = "correct the table",
    ) -> NDArray[np.float64]:
        """Return a column of numbers; NaN where nothing was measured and that is allowed.

        Raises
        ------
        InvalidInput
            Text, a number outside the range, a part of one where counts are whole, or an
            empty cell; the sentence says the line.
        """
        values = np.full(len(self.lines), np.nan)
        for place, (line, text) in enumerate(zip(self.lines, self.cells[role], strict=True)):
            where = f"{self.name}, line {line}: {role} is"
            if text.lower() in _MISSING:
                if not may_be_missing:
                    raise InvalidInput(f"{where} missing; fill it in or leave the row out.")
                continue
            if not _NUMBER.fullmatch(text):
                shown = text if len(text) <= 40 and text.isprintable() else "unreadable"
                comma = "; write a decimal point" if "," in text else ""
                raise InvalidInput(f"{where} {shown!r}, which is no number{comma or f'; {hint}'}.")
            value = float(text)
            if not (math.isfinite(value) and at_least <= value <= at_most):
                allowed = (
                    f"at least {at_least:g}"
                    if at_most == math.inf
                    else f"from {at_least:g} to {at_most:g}"
                )
                raise InvalidInput(f"{where} {value:g}, but must be {allowed}; {hint}.")
            if whole and value != int(value):
                raise InvalidInput(f"{where} {text}, but counts are whole numbers; {hint}.")
            values[place] = value
        return values


def read_measurements(
    path: str | os.PathLike[str],
    columns: Sequence[Column],
    *,
    renamed: Mapping[str, str] | None = None,
    what: str = "table",
) -> MeasurementTable:
    r"""Return the columns wanted of a text table separated by tabs, semicolons or commas.

    Parameters
    ----------
    path : path
        UTF-8, one header line; lines that begin with ``#`` and empty ones are left out.
    columns : sequence of Column
    renamed : mapping of str to str, optional
        Role to the header that holds it in this file.
    what : str
        What the file is, in messages.

    Raises
    ------
    InvalidInput
        No such file, not text, no header, a column that is missing or named twice, a row
        with more or fewer cells than the header, no rows.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "t.csv"
    >>> _ = file.write_text("Dose [Gy],n\n0,100\n2,50\n")
    >>> wanted = [Column("dose", ["dose_gy"]), Column("colonies", ["colonies"])]
    >>> table = read_measurements(file, wanted, renamed={"colonies": "n"})
    >>> table.numbers("dose").tolist(), table.lines
    ([0.0, 2.0], (2, 3))
    """
    file = Path(path)
    text, sha256 = _text(file, what)
    rows = [
        (number, line)
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip(" \t;,") and not line.lstrip().startswith("#")
    ]
    if not rows:
        raise InvalidInput(f"The {what} {file} is empty; give a header and one row a measurement.")
    separator = max("\t;,", key=rows[0][1].count)
    split = [(number, _cells(file, number, line, separator)) for number, line in rows]
    header = split[0][1]
    places = _places(file, header, columns, renamed or {})
    for number, cells in split[1:]:
        if len(cells) != len(header):
            raise InvalidInput(
                f"{file}, line {number} has {len(cells)} cells and the header {len(header)}; "
                "give every row one cell a column."
            )
    if len(split) == 1:
        raise InvalidInput(f"The {what} {file} has a header but no rows; give the measurements.")
    return MeasurementTable(
        name=str(file),
        sha256=sha256,
        lines=tuple(number for number, _ in split[1:]),
        cells={
            role: tuple(cells[place] for _, cells in split[1:]) for role, place in places.items()
        },
    )


def _text(file: Path, what: str) -> tuple[str, str]:
    if not file.is_file():
        raise InvalidInput(f"The {what} {file} does not exist; check name and folder.")
    if file.stat().st_size > _MAX_BYTES:
        raise InvalidInput(f"The {what} {file} is larger than 20 MiB; give one table of text.")
    try:
        content = file.read_bytes()
    except OSError as error:
        raise InvalidInput(f"The {what} {file} cannot be read: {error.strerror}.") from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise InvalidInput(
            f"The {what} {file} is not text in UTF-8; save it as CSV or as text with tabs."
        )
    return text, hashlib.sha256(content).hexdigest()


def _cells(file: Path, number: int, line: str, separator: str) -> list[str]:
    try:
        (cells,) = csv.reader(io.StringIO(line), delimiter=separator, strict=True)
    except (csv.Error, ValueError):
        raise InvalidInput(
            f"{file}, line {number} cannot be split into cells; check its quotation marks."
        ) from None
    return [cell.strip() for cell in cells]


def _plain(header: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", header.lower().replace("³", "3")).strip("_")


def _places(
    file: Path, header: list[str], columns: Sequence[Column], renamed: Mapping[str, str]
) -> dict[str, int]:
    """Role to the place of its column."""
    shown = ", ".join(text if text.isprintable() and text else "?" for text in header)[:200]
    roles = [column.role for column in columns]
    for role in renamed:
        if role not in roles:
            raise InvalidInput(
                f"--columns names {role!r}, which is no column of such a table; "
                f"there are {', '.join(roles)}."
            )
    places = {}
    for column in columns:
        if column.role in renamed:
            wanted = renamed[column.role]
            found = [place for place, text in enumerate(header) if text == wanted]
            if len(found) != 1:
                often = "no column" if not found else f"{len(found)} columns"
                raise InvalidInput(
                    f"{file} has {often} called {wanted!r} for the {column.role}; "
                    f"its header is: {shown}."
                )
        else:
            taken = set(renamed.values())
            found = [
                place
                for place, text in enumerate(header)
                if _plain(text) in column.headers and text not in taken
            ]
        if len(found) > 1:
            raise InvalidInput(
                f"{file} has {len(found)} columns that could be the {column.role}; "
                f"say which with --columns {column.role}=HEADER (its header is: {shown})."
            )
        if found:
            places[column.role] = found[0]
        elif column.required:
            raise InvalidInput(
                f"{file} has no column of {column.role}; its header is: {shown}; "
                f"say which it is with --columns {column.role}=HEADER."
            )
    if len(set(places.values())) < len(places):
        raise InvalidInput(f"{file}: two of {', '.join(places)} are the same column; name two.")
    return places
