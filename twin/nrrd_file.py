"""NRRD files (``.nrrd``, ``.nhdr``): header by pynrrd, values read no further than declared."""

from __future__ import annotations

import bz2
import io
import math
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from twin.errors import InvalidInput
from twin.images import MAX_SIDE, MAX_VOXELS, Image, in_ras_order

__all__ = ["NrrdSegments", "read_nrrd", "read_nrrd_segments"]

#: Signs from the file's world axes to right, anterior and superior.
_SPACES = {
    "right-anterior-superior": (1, 1, 1), "ras": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1), "las": (-1, 1, 1),
    "left-posterior-superior": (-1, -1, 1), "lps": (-1, -1, 1),
}  # fmt: skip
_LENGTHS = {"mm": 1.0, "millimeter": 1.0, "millimeters": 1.0, "millimetre": 1.0,
            "um": 1e-3, "micron": 1e-3, "cm": 10.0, "m": 1000.0, "meter": 1000.0}  # fmt: skip
_TYPES = {
    "i1": "signed char, int8, int8_t", "u1": "uchar, unsigned char, uint8, uint8_t",
    "i2": "short, short int, signed short, signed short int, int16, int16_t",
    "u2": "ushort, unsigned short, unsigned short int, uint16, uint16_t",
    "i4": "int, signed int, int32, int32_t", "u4": "uint, unsigned int, uint32, uint32_t",
    "i8": "longlong, long long, long long int, signed long long, int64, int64_t",
    "u8": "ulonglong, unsigned long long, unsigned long long int, uint64, uint64_t",
    "f4": "float", "f8": "double",
}  # fmt: skip
_TYPE = {name: code for code, names in _TYPES.items() for name in names.split(", ")}
_CHUNK = 2**20
_MAX_HEADER = 2**24  # bytes before the values
#: What NRRD has beside what is read; another word is a file's own text and not shown.
_OTHER_WORDS = ("scanner-xyz", "3d-right-handed", "3d-left-handed", "block", "hex")


@dataclass(frozen=True, slots=True, eq=False)
class NrrdSegments:
    """Segments of a ``.seg.nrrd`` file of 3D Slicer.

    Parameters
    ----------
    layers : tuple of Image
        Label numbers; segments of different layers may overlap.
    segments : mapping of str to (int, int)
        Layer and label of each name.
    """

    layers: tuple[Image, ...]
    segments: dict[str, tuple[int, int]] = field(default_factory=dict)


def read_nrrd(path: Path, *, what: str) -> Image:
    """Return the three-dimensional image in an NRRD file, in RAS axis order.

    Raises
    ------
    InvalidInput
        Damaged or cut short, no orientation, more than one volume, too large, values that are
        not finite.
    """
    label = f"{what[:1].upper()}{what[1:]} {path}"
    data, affine, _ = _read(path, label)
    if data.shape[3] != 1:
        raise InvalidInput(
            f"{label} holds {data.shape[3]} volumes; it must be one three-dimensional volume."
        )
    return in_ras_order(data[..., 0], affine)


def read_nrrd_segments(path: Path, *, what: str) -> NrrdSegments:
    """Return the layers of a segmentation and the names of its segments, if it has any."""
    label = f"{what[:1].upper()}{what[1:]} {path}"
    data, affine, header = _read(path, label)
    layers = tuple(in_ras_order(data[..., k], affine) for k in range(data.shape[3]))
    segments: dict[str, tuple[int, int]] = {}
    number = 0
    while f"Segment{number}_Name" in header:
        name = str(header[f"Segment{number}_Name"]).strip() or f"segment {number + 1}"
        try:
            place = (
                int(header.get(f"Segment{number}_Layer", 0)),
                int(header[f"Segment{number}_LabelValue"]),
            )
        except (KeyError, TypeError, ValueError):
            raise InvalidInput(
                f"{label} does not say which label the segment {number + 1} is; save it again."
            ) from None
        if not 0 <= place[0] < len(layers) or name in segments:
            raise InvalidInput(f"{label} has a segment without a layer, or one name twice.")
        segments[name] = place
        number += 1
    return NrrdSegments(layers, segments)


def _read(path: Path, label: str) -> tuple[NDArray[Any], NDArray[np.float64], dict[str, Any]]:
    """Values of shape (i, j, k, volume), affine to RAS millimetres, and the header."""
    import nrrd

    with path.open("rb") as stream:
        if stream.read(4) != b"NRRD":
            raise InvalidInput(f"{label} is not an NRRD file; export it as NRRD.")
        stream.seek(0)
        head = io.BytesIO(stream.read(_MAX_HEADER))
        try:
            header = dict(nrrd.read_header(head))
        except Exception:  # pynrrd raises many kinds on garbage
            raise InvalidInput(f"{label} has a damaged header; export it again.") from None
        begin = head.tell()
    try:
        shape, kind, spatial = _shape(header, label)
        affine = _affine(header, spatial, label)
        data = _values(path, begin, header, shape, kind, label)
    except InvalidInput:
        raise
    except (KeyError, TypeError, ValueError, IndexError, OverflowError):
        raise InvalidInput(f"{label} has a damaged header; export it again.") from None
    volume = [axis for axis in range(len(shape)) if axis not in spatial]
    data = np.transpose(data, [*spatial, *volume]).reshape(*[shape[a] for a in spatial], -1)
    if data.dtype.kind == "f":
        if not np.isfinite(data).all():
            count = int((~np.isfinite(data)).sum())
            raise InvalidInput(
                f"{label} has {count} voxels that are NaN or infinite; replace them."
            )
        data = data.astype(np.float32)
    return data, affine, header


def _shown(what: str, word: str) -> str:
    return f"the {what} {word}" if word in _OTHER_WORDS else f"a {what} that is not known"


def _shape(header: dict[str, Any], label: str) -> tuple[tuple[int, ...], np.dtype, list[int]]:
    shape = tuple(int(side) for side in header["sizes"])
    name = str(header["type"]).strip().lower()
    if name not in _TYPE:
        raise InvalidInput(
            f"{label} holds values of {_shown('type', name)}; it must hold plain numbers."
        )
    directions = header.get("space directions")
    if directions is None:
        raise InvalidInput(
            f"{label} states no orientation (space directions), so left and right are unknown; "
            "export it again with its orientation."
        )
    spatial = [
        axis
        for axis, direction in enumerate(directions)
        if direction is not None and np.isfinite(np.asarray(direction, float)).all()
    ]
    if len(spatial) != 3 or not 3 <= len(shape) <= 4 or min(shape) < 1:
        raise InvalidInput(f"{label} has the shape {shape}; it must be a three-dimensional volume.")
    sides = [shape[axis] for axis in spatial]
    if max(sides) > MAX_SIDE or math.prod(shape) > MAX_VOXELS:
        raise InvalidInput(
            f"{label} declares {' x '.join(map(str, shape))} voxels; at most {MAX_SIDE} along an "
            f"axis and {MAX_VOXELS} in all are read; crop or resample it."
        )
    order = {"little": "<", "big": ">"}.get(str(header.get("endian", "little")).lower(), "<")
    return shape, np.dtype(order + _TYPE[name]), spatial


def _affine(header: dict[str, Any], spatial: list[int], label: str) -> NDArray[np.float64]:
    space = str(header.get("space", "")).strip().lower()
    if space not in _SPACES:
        raise InvalidInput(
            f"{label} states {_shown('space', space) if space else 'no space'}; known are RAS, "
            "LAS and LPS: export it from a program of medical images."
        )
    units = {str(unit).strip().strip('"').lower() for unit in header.get("space units", ["mm"])}
    if not units <= {*_LENGTHS, ""} or len({_LENGTHS.get(unit, 1.0) for unit in units}) > 1:
        raise InvalidInput(
            f"{label} states lengths in another unit than mm, cm, m or um, or in several; save it "
            "in mm."
        )
    scale = _LENGTHS.get(units.pop(), 1.0) if units else 1.0
    if "space origin" not in header:
        raise InvalidInput(
            f"{label} does not state where it lies (space origin); export it again with its place."
        )
    affine = np.eye(4)
    affine[:3, :3] = np.array([header["space directions"][axis] for axis in spatial], float).T
    affine[:3, 3] = np.array(header["space origin"], float)
    affine[:3] *= scale
    affine[:3] *= np.array(_SPACES[space], float)[:, None]
    if not np.isfinite(affine).all() or not abs(np.linalg.det(affine[:3, :3])) > 1e-9:
        raise InvalidInput(f"{label} has an orientation that is singular or not finite.")
    return affine


def _values(
    path: Path,
    begin: int,
    header: dict[str, Any],
    shape: tuple[int, ...],
    kind: np.dtype,
    label: str,
) -> NDArray[Any]:
    wanted = math.prod(shape) * kind.itemsize
    place = path
    if "data file" in header or "datafile" in header:
        place, begin = _detached(path, header, label), 0
    encoding = str(header.get("encoding", "raw")).strip().lower()
    with place.open("rb") as stream:
        stream.seek(begin)
        if int(header.get("line skip", 0) or 0) or int(header.get("byte skip", 0) or 0):
            raise InvalidInput(f"{label} skips lines or bytes of its data; save it again.")
        if encoding in ("ascii", "text", "txt"):
            return _text(stream, math.prod(shape), label).astype(kind).reshape(shape, order="F")
        found = _inflated(stream, encoding, wanted, label)
    if len(found) < wanted:
        raise InvalidInput(
            f"{label} is damaged or cut short ({len(found):,} of {wanted:,} bytes); copy or export "
            "it again."
        )
    data = np.frombuffer(found, kind, math.prod(shape)).reshape(shape, order="F")
    return data.astype(kind.newbyteorder("="))


def _detached(path: Path, header: dict[str, Any], label: str) -> Path:
    name = str(header.get("data file", header.get("datafile")))
    place = path.parent / name
    home = path.parent.resolve()
    if name.startswith("LIST") or "%" in name or not place.resolve().is_relative_to(home):
        raise InvalidInput(
            f"{label} keeps its values outside of its folder or in several files; save it as one "
            ".nrrd file."
        )
    if not place.is_file():
        raise InvalidInput(f"{label} names a data file that does not exist; copy it along.")
    return place


def _inflated(stream: IO[bytes], encoding: str, wanted: int, label: str) -> bytes:
    """At most so many bytes: what is compressed to burst is left where it is."""
    if encoding == "raw":
        return stream.read(wanted)
    inflater: Any
    if encoding in ("gzip", "gz"):
        inflater = zlib.decompressobj(zlib.MAX_WBITS | 32)
    elif encoding in ("bzip2", "bz2"):
        inflater = bz2.BZ2Decompressor()
    else:
        raise InvalidInput(
            f"{label} has {_shown('encoding', encoding)}; raw, gzip, bzip2 and ascii are read."
        )
    out = io.BytesIO()
    try:
        while out.tell() < wanted and not inflater.eof:
            chunk = b""
            if encoding.startswith("g"):
                chunk = inflater.unconsumed_tail or stream.read(_CHUNK)
            elif inflater.needs_input:
                chunk = stream.read(_CHUNK)
            if not chunk and (encoding.startswith("g") or inflater.needs_input):
                break
            out.write(inflater.decompress(chunk, wanted - out.tell()))
    except (OSError, zlib.error, EOFError):
        raise InvalidInput(f"{label} is damaged or cut short; copy or export it again.") from None
    return out.getvalue()


def _text(stream: IO[bytes], count: int, label: str) -> NDArray[np.float64]:
    text = stream.read(32 * count + _CHUNK)
    values = np.array(text.split()[:count], dtype=np.float64)
    if len(values) != count:
        raise InvalidInput(f"{label} is cut short; copy or export it again.")
    return values
