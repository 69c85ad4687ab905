"""Pixels of a DICOM object without what may hide in their container."""

from __future__ import annotations

import math
import warnings

import numpy as np
from pydicom.dataset import Dataset
from pydicom.pixels.utils import pixel_array
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from twin.errors import InvalidInput

__all__ = ["make_plain"]

_WORDS = {"OW": 2, "OF": 4, "OD": 8, "OL": 4, "OV": 8}


def make_plain(dataset: Dataset) -> None:
    """Turn pixels into plain little-endian numbers and nothing more, in place.

    Compressed frames are decompressed: their streams can hold comments and
    trailing bytes. Bytes beyond the declared frames are cut off, and where
    overlays stood in unused bits of the pixels those bits are cleared.

    Parameters
    ----------
    dataset : Dataset
        As read; afterwards it can be written as explicit little endian.

    Raises
    ------
    InvalidInput
        Pixels that cannot be decompressed, or fewer than declared.
    """
    syntax = dataset.file_meta.get("TransferSyntaxUID", ImplicitVRLittleEndian)
    if syntax.is_encapsulated and "PixelData" in dataset:
        _decompress(dataset)
    elif syntax == ExplicitVRBigEndian:
        _swap(dataset)
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    embedded = _embedded_overlays(dataset)
    if "PixelData" in dataset:
        _trim(dataset)
        if embedded:
            _clear_unused_bits(dataset)


def _decompress(dataset: Dataset) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                dataset.decompress(generate_instance_uid=False)
            except ValueError:
                # pydicom 3.0 cannot mend a wrong sign frame by frame, but can as a whole.
                if int(dataset.get("SamplesPerPixel", 1) or 1) != 1:
                    raise
                pixels = pixel_array(dataset, raw=True)
                dataset.BitsAllocated = 8 * pixels.dtype.itemsize
                dataset.PixelData = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
                dataset["PixelData"].VR = "OW"
    except MemoryError:
        raise
    except Exception as error:  # decoders raise of every kind
        raise InvalidInput(
            f"its pixels cannot be decompressed ({type(error).__name__}), so they cannot be "
            "cleaned; leave it out or convert it first."
        ) from None


def _swap(dataset: Dataset) -> None:
    """Turn the words of big-endian pixels and tables; numbers are turned by pydicom itself."""
    for element in dataset:
        value = element.value
        if not isinstance(value, bytes):
            continue
        size = _WORDS.get(str(element.VR), 1)
        if element.keyword == "PixelData" and size == 2:
            size = max(1, int(dataset.get("BitsAllocated", 16)) // 8)
        if size in (2, 4, 8) and len(value) % size == 0:
            element.value = np.frombuffer(value, f">u{size}").astype(f"<u{size}").tobytes()


def _expected_bytes(dataset: Dataset) -> int:
    bits = (
        int(dataset.Rows)
        * int(dataset.Columns)
        * int(dataset.get("SamplesPerPixel", 1) or 1)
        * int(dataset.get("NumberOfFrames", 1) or 1)
        * int(dataset.BitsAllocated)
    )
    if str(dataset.get("PhotometricInterpretation", "")) == "YBR_FULL_422":
        bits = bits * 2 // 3
    return math.ceil(bits / 8)


def _trim(dataset: Dataset) -> None:
    try:
        expected = _expected_bytes(dataset)
    except (AttributeError, TypeError, ValueError):
        raise InvalidInput(
            "its pixels are there, but not how many (rows, columns or bits); leave it out."
        ) from None
    data = dataset.PixelData or b""
    if len(data) < expected:
        raise InvalidInput(
            f"its pixels are cut short ({len(data)} of {expected} bytes); leave it out or "
            "export it again."
        )
    dataset.PixelData = data[:expected] + b"\0" * (expected % 2)


def _embedded_overlays(dataset: Dataset) -> bool:
    for tag in list(dataset.keys()):
        if tag.group & 0xFF01 == 0x6000 and tag.element == 0x0102:
            return bool(dataset[tag].value)
    return False


def _clear_unused_bits(dataset: Dataset) -> None:
    allocated = int(dataset.BitsAllocated)
    stored, high = int(dataset.BitsStored), int(dataset.HighBit)
    if allocated not in (8, 16) or stored >= allocated:
        return
    count = _expected_bytes(dataset) * 8 // allocated
    data = np.frombuffer(dataset.PixelData, f"<u{allocated // 8}", count=count).astype(np.int64)
    low = high + 1 - stored
    values = (data >> low) & ((1 << stored) - 1)
    if int(dataset.get("PixelRepresentation", 0)):
        values = np.where(values >= 1 << (stored - 1), values - (1 << stored), values)
    packed = ((values << low) & ((1 << allocated) - 1)).astype(f"<u{allocated // 8}").tobytes()
    dataset.PixelData = packed + b"\0" * (len(packed) % 2)
