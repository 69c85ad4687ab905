"""Names, identifiers and dates that stand for a patient's own, the same in every file."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import os
import re
import secrets
from pathlib import Path

from twin.errors import InvalidInput
from twin.storage import storage_errors

__all__ = ["Pseudonyms", "read_or_make_key"]

_KEY_BYTES = 32
_WEEKS = (26, 520)  # shifts are whole weeks, so that weekdays (and weekend breaks) stay
_DATE = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})")


class Pseudonyms:
    """What stands for what, from a secret key alone; nothing is kept of what was given.

    Parameters
    ----------
    key : bytes
        32 bytes or more. The same key gives the same pseudonyms, so that files
        that are cleaned later fit those cleaned before. Who has it and the
        original files can tell which belong together.

    Examples
    --------
    >>> names = Pseudonyms(bytes(32))
    >>> names.patient("a") == names.patient("a"), names.patient("a") == names.patient("b")
    (True, False)
    >>> names.uid("1.2.3").startswith("2.25.")
    True
    """

    def __init__(self, key: bytes) -> None:
        if len(key) < _KEY_BYTES:
            raise InvalidInput(
                f"The key has {len(key)} bytes; it must have {_KEY_BYTES} or more, by chance."
            )
        self._key = bytes(key)

    def _digest(self, kind: str, value: str) -> bytes:
        return hmac.new(self._key, f"{kind}\0{value}".encode(), hashlib.sha256).digest()

    def uid(self, value: str) -> str:
        """Return the UID that stands for another: a UUID-derived one (PS3.5 annex B.2)."""
        digits = bytearray(self._digest("uid", value)[:16])
        digits[6] = (digits[6] & 0x0F) | 0x80  # version 8: made by a rule of one's own
        digits[8] = (digits[8] & 0x3F) | 0x80
        return f"2.25.{int.from_bytes(digits, 'big')}"

    def patient(self, identity: str) -> str:
        """Return the name and number of a patient, ``P`` and eight letters or digits."""
        letters = base64.b32encode(self._digest("patient", identity)).decode()
        return f"P{letters[:8]}"

    def shift_days(self, identity: str) -> int:
        """Return by how many days a patient's dates move: back by half a year to ten years."""
        number = int.from_bytes(self._digest("dates", identity)[:8], "big")
        return -7 * (_WEEKS[0] + number % (_WEEKS[1] - _WEEKS[0] + 1))


def shifted(value: str, days: int) -> str:
    """Return a DICOM date or date and time moved by whole days, empty if it is none.

    The time of day, a fraction and an offset from UTC stay as they are. A date
    without its day cannot be moved and becomes empty.

    Examples
    --------
    >>> shifted("20260330", -7), shifted("20260330101530.5+0100", -365), shifted("2026", -7)
    ('20260323', '20250330101530.5+0100', '')
    """
    found = _DATE.match(value.strip())
    if found is None:
        return ""
    try:
        moved = dt.date(*map(int, found.groups())) + dt.timedelta(days=days)
    except (ValueError, OverflowError):
        return ""
    rest = value.strip()[found.end() :]
    if not re.fullmatch(r"(\d{2}){0,3}(\.\d{1,6})?([+-]\d{4})?", rest):
        return ""
    return f"{moved:%Y%m%d}".rjust(8, "0") + rest


def read_or_make_key(path: str | os.PathLike[str] | None) -> tuple[bytes, bool]:
    """Return the key in a file and whether it was just made; without a file a key for this once.

    Raises
    ------
    InvalidInput
        A file that is no key.
    """
    if path is None:
        return secrets.token_bytes(_KEY_BYTES), False
    file = Path(path)
    if file.exists():
        content = file.read_bytes() if file.is_file() and file.stat().st_size <= 4096 else b""
        if len(content) < _KEY_BYTES:
            raise InvalidInput(
                f"{file} is no key: it must hold {_KEY_BYTES} to 4096 bytes; name a file that "
                "does not exist yet, and a key is made there."
            )
        return content, False
    key = secrets.token_bytes(_KEY_BYTES)
    with storage_errors(file):
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(key)
    return key, True
