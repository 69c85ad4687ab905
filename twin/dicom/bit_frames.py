"""Frames of one bit a pixel, kept packed: segmentations of many segments have thousands."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twin.dicom.header_values import whole_of
from twin.errors import InvalidInput

__all__ = ["BitFrames", "bit_frames"]

MOST_PIXELS = 2**34  # 2 GiB when packed
#: Implicit, explicit, deflated as a whole, big-endian: the pixels lie plain in the dataset.
_PLAIN = tuple(f"1.2.840.10008.1.2{end}" for end in ("", ".1", ".1.99", ".2"))
_RLE = "1.2.840.10008.1.2.5"
_DEFLATED_FRAMES = "1.2.840.10008.1.2.8.1"


class BitFrames:
    """Frames of bits that are unpacked one at a time.

    Parameters
    ----------
    data : bytes or list of bytes
        All frames without a break between them, or each by itself; the lowest bit is first.
    shape : tuple of int
        Frames, rows and columns.

    Examples
    --------
    >>> frames = BitFrames(bytes([0b10011]), (2, 1, 3))  # the second begins at the fourth bit
    >>> frames[0].tolist(), frames[1].tolist()
    ([[True, True, False]], [[False, True, False]])
    """

    __slots__ = ("_data", "shape")

    def __init__(self, data: bytes | list[bytes], shape: tuple[int, int, int]) -> None:
        self._data, self.shape = data, shape

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, number: int) -> NDArray[np.bool_]:
        size = self.shape[1] * self.shape[2]
        if isinstance(self._data, bytes):
            start = number * size
            part = self._data[start // 8 : (start + size + 7) // 8]
            skip = start % 8
        else:
            part, skip = self._data[number], 0
        bits = np.unpackbits(np.frombuffer(part, np.uint8), bitorder="little")
        return bits[skip : skip + size].reshape(self.shape[1:]).astype(bool)


def bit_frames(dataset: Any, frames: int, *, what: str) -> BitFrames:
    """Return the frames of a dataset with one bit a pixel.

    Uncompressed, RLE and deflated frames are read, the latter two by hand: pydicom 3.0
    decodes neither for single bits.

    Raises
    ------
    InvalidInput
        Fewer bits than declared, or another compression.
    """
    rows, columns = whole_of(dataset.get("Rows")), whole_of(dataset.get("Columns"))
    data = dataset.get("PixelData")
    if rows < 1 or columns < 1 or not isinstance(data, bytes):
        raise InvalidInput(f"{what} holds no pixels; export it again.")
    if rows * columns * frames > MOST_PIXELS:
        raise InvalidInput(
            f"{what} declares {columns} x {rows} x {frames} pixels; at most {MOST_PIXELS:,} are "
            "read from one file."
        )
    syntax = str(dataset.file_meta.TransferSyntaxUID)
    shape = (frames, rows, columns)
    need = (rows * columns + 7) // 8
    cut = InvalidInput(f"{what} has pixels that are cut short or damaged; export it again.")
    if syntax in _PLAIN:
        if len(data) < (rows * columns * frames + 7) // 8:
            raise cut
        if syntax == _PLAIN[-1] and dataset["PixelData"].VR == "OW":
            data = np.frombuffer(data[: len(data) // 2 * 2], "<u2").byteswap().tobytes()
        return BitFrames(data, shape)
    if syntax not in (_RLE, _DEFLATED_FRAMES):
        raise InvalidInput(
            f"{what} has compressed pixels of one bit, of which run lengths and deflated frames "
            "are read; export it uncompressed."
        )
    from pydicom.encaps import generate_frames

    expand = _run_lengths if syntax == _RLE else _inflated
    try:
        unpacked = [expand(one, need) for one in generate_frames(data, number_of_frames=frames)]
    except Exception:  # items that are cut, of many kinds
        raise cut from None
    if len(unpacked) != frames or any(len(one) < need for one in unpacked):
        raise cut
    return BitFrames(unpacked, shape)


def _inflated(data: bytes, need: int) -> bytes:
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, need)


def _run_lengths(data: bytes, need: int) -> bytes:
    """First segment of a frame in run lengths (PS3.5 annex G), no longer than needed."""
    at = int.from_bytes(data[4:8], "little")
    out = bytearray()
    while at < len(data) and len(out) < need:
        head = data[at]
        if head < 128:
            out += data[at + 1 : at + 2 + head]
            at += 2 + head
        elif head > 128:
            out += data[at + 1 : at + 2] * (257 - head)
            at += 2
        else:
            at += 1
    return bytes(out)
