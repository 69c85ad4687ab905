"""Slices of single-frame files and of multi-frame ones, as one list of the same kind."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twin.dicom.geometry import Plane
from twin.dicom.header_values import number_of, whole_of
from twin.dicom.moments import Moment, moment_of
from twin.dicom.quiet import quiet_pydicom
from twin.dicom.weighting import Weighting, weighting_of
from twin.errors import InvalidInput

__all__ = ["Slice", "frame_count", "pixels_of", "slices_of"]

MOST_VALUES = 2**29  # pixels of one file
_STANDARD_SYNTAX = r"1\.2\.840\.10008\.1\.2(\.\d{1,3}){0,3}"
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
#: Kinds of object whose values are had by a mapping to the real world, not by rescaling.
_MAPPED = ("1.2.840.10008.5.1.4.1.1.30", "1.2.840.10008.5.1.4.1.1.130")
#: What may tell two slices at one place apart: its name, where it stands, its keyword.
_TELLING = (
    ("echo time", "MREchoSequence", "EffectiveEchoTime"),
    ("echo time", "", "EchoTime"),
    ("time position", "FrameContentSequence", "TemporalPositionIndex"),
    ("time position", "", "TemporalPositionIdentifier"),
    ("trigger time", "", "TriggerTime"),
    ("time point", "", "AcquisitionTime"),
    ("inversion time", "", "InversionTime"),
    ("flip angle", "", "FlipAngle"),
    ("acquisition", "FrameContentSequence", "FrameAcquisitionNumber"),
    ("acquisition", "", "AcquisitionNumber"),
    ("component (magnitude, phase)", "MRImageFrameTypeSequence", "ComplexImageComponent"),
    ("kind of image", "", "ImageType"),
    ("convolution kernel", "", "ConvolutionKernel"),
)


@dataclass(frozen=True, slots=True, eq=False)
class Slice:
    """One slice with its stored values.

    Parameters
    ----------
    plane : Plane
    stored : ndarray, shape (row, column)
        Before the rescaling.
    slope, intercept : float
    unit : str
        "HU", "US", "Bq/ml", ... where the rescaling or the mapping states it.
    padding : tuple of float or None
        Lowest and highest stored value that mark the outside of the image.
    inverted : int or None
        Sum of a stored value and its inverse, where low values are shown bright (MONOCHROME1).
    acquired : Moment or None
    weighting : Weighting or None
        By diffusion.
    number : int
        Of the instance or frame: only the order of repetitions is taken from it.
    differs : tuple of (str, str)
        What may tell slices at one place apart, with its value: echo time, b-value, ...
    """

    plane: Plane
    stored: NDArray[Any]
    slope: float
    intercept: float
    unit: str
    padding: tuple[float, float] | None
    inverted: int | None
    acquired: Moment | None
    weighting: Weighting | None
    number: int
    differs: tuple[tuple[str, str], ...]

    def scaled(self, factor: float) -> Slice:
        """The slice with values times a factor."""
        return replace(self, slope=self.slope * factor, intercept=self.intercept * factor)


def pixels_of(dataset: Any, *, what: str) -> NDArray[Any]:
    """Return decoded pixels, shape (frame, row, column).

    Raises
    ------
    InvalidInput
        Colour, no pixels, fewer than declared, or a compression that cannot be read here.
    """
    rows, columns = whole_of(dataset.get("Rows")), whole_of(dataset.get("Columns"))
    frames = frame_count(dataset, what=what)
    if rows < 1 or columns < 1 or not any(key in dataset for key in _PIXELS):
        raise InvalidInput(f"{what} holds no pixels; give the image itself.")
    if rows * columns * frames > MOST_VALUES:
        raise InvalidInput(
            f"{what} declares {columns} x {rows} x {frames} pixels; at most {MOST_VALUES:,} are "
            "read from one file."
        )
    if whole_of(dataset.get("SamplesPerPixel", 1)) != 1:
        raise InvalidInput(f"{what} is a picture in colour; give the original images.")
    with quiet_pydicom():
        try:
            pixels = np.asarray(dataset.pixel_array)
        except MemoryError:
            raise InvalidInput(f"{what} does not fit into memory; crop it first.") from None
        except Exception:  # decoders raise many kinds, some quoting headers
            raise InvalidInput(_undecoded(dataset, what)) from None
    if pixels.size != rows * columns * frames:
        raise InvalidInput(f"{what} has another number of pixels than it declares.")
    return pixels.reshape(frames, rows, columns)


def _undecoded(dataset: Any, what: str) -> str:
    """Why pixels could not be decoded: the file's or the decoder's fault."""
    from pydicom.pixels.decoders.base import get_decoder

    syntax = dataset.file_meta.get("TransferSyntaxUID")
    try:
        known = get_decoder(syntax).is_available
    except Exception:  # pydicom knows no decoder at all
        known = False
    name = str(getattr(syntax, "name", "") or "")
    if str(syntax) == name and not re.fullmatch(_STANDARD_SYNTAX, name):
        name = "of an unknown name"  # never a number that is not the standard's
    if known:
        return (
            f"{what} has pixels that are cut short, damaged or not as declared (transfer syntax "
            f"{name}); copy or export it again."
        )
    return (
        f"{what} has pixels in the transfer syntax {name}, for which no decoder is installed; "
        "export it uncompressed."
    )


def frame_count(dataset: Any, *, what: str) -> int:
    """Return how many frames it declares.

    Raises
    ------
    InvalidInput
        The number is none.
    """
    stated = dataset.get("NumberOfFrames")
    frames = whole_of(stated) if stated not in (None, "") else 1
    if frames < 1:
        raise InvalidInput(
            f"{what} declares a number of frames that is no number; export it again."
        )
    return frames


def slices_of(dataset: Any, *, what: str) -> list[Slice]:
    """Return the slices of one file: one, or those of its frames.

    Raises
    ------
    InvalidInput
        Frames without a place of their own, or what `pixels_of` and `Plane.of` refuse.
    """
    pixels = pixels_of(dataset, what=what)
    frames, rows, columns = pixels.shape
    shared = _first(dataset.get("SharedFunctionalGroupsSequence"))
    own = dataset.get("PerFrameFunctionalGroupsSequence") or ()
    if frames > 1 and len(own) != frames:
        raise InvalidInput(
            f"{what} has {frames} frames, but states the place of {len(own)}; export it as single "
            "slices or as an enhanced object."
        )
    padding = _padding(dataset, pixels.dtype)
    inverted = _inverted(dataset, pixels.dtype)
    found = []
    for number in range(frames):
        groups = _Groups(own[number] if len(own) else None, shared, dataset)
        plane = Plane.of(
            groups.value("PlanePositionSequence", "ImagePositionPatient"),
            groups.value("PlaneOrientationSequence", "ImageOrientationPatient"),
            groups.value("PixelMeasuresSequence", "PixelSpacing"),
            (columns, rows),
            what=what,
        )
        slope, intercept, unit = groups.rescaling(what)
        weighting = weighting_of(groups.value, dataset)
        found.append(
            Slice(
                plane=plane,
                stored=pixels[number],
                slope=slope,
                intercept=intercept,
                unit=unit,
                padding=padding,
                inverted=inverted,
                acquired=groups.acquired(),
                weighting=weighting,
                number=number if len(own) else whole_of(dataset.get("InstanceNumber")),
                differs=groups.differs(weighting),
            )
        )
    return found


def _padding(dataset: Any, kind: np.dtype[Any]) -> tuple[float, float] | None:
    """Stored values of padding; one that is written with the wrong sign is put right."""
    name = "Pixel" if kind.kind in "iu" else "FloatPixel" if kind.itemsize == 4 else "DoublePixel"
    first, last = (
        number_of(dataset.get(f"{name.replace('DoublePixel', 'DoubleFloatPixel')}Padding{end}"))
        for end in ("Value", "RangeLimit")
    )
    if first is None:
        return None
    ends = [first, first if last is None else last]
    if kind.kind in "iu":
        info, span = np.iinfo(kind), 2 ** (8 * kind.itemsize)
        ends = [end - span if end > info.max else end for end in ends]
        ends = [end + span if end < info.min else end for end in ends]
    return min(ends), max(ends)


def _inverted(dataset: Any, kind: np.dtype[Any]) -> int | None:
    if str(dataset.get("PhotometricInterpretation") or "").strip() != "MONOCHROME1":
        return None
    bits = whole_of(dataset.get("BitsStored"))
    return -1 if kind.kind == "i" else 2**bits - 1


class _Groups:
    """A value of a frame: of its own groups, of the shared ones, or of the header itself."""

    def __init__(self, own: Any, shared: Any, header: Any) -> None:
        self.places = [place for place in (own, shared) if place is not None]
        self.header = header

    def item(self, sequence: str) -> Any:
        for place in (*self.places, self.header):
            item = _first(place.get(sequence)) if sequence else None
            if item is not None:
                return item
        return None

    def value(self, sequence: str, key: str) -> Any:
        for place in self.places:
            item = _first(place.get(sequence)) if sequence else None
            if item is not None and key in item:
                return item.get(key)
        return self.header.get(key)

    def rescaling(self, what: str) -> tuple[float, float, str]:
        """Slope, intercept and unit of the rescaling, or of the mapping where that counts."""
        if str(self.header.get("SOPClassUID") or "") in _MAPPED:
            item = self.item("RealWorldValueMappingSequence")
            if item is not None and "RealWorldValueSlope" in item:
                code = _first(item.get("MeasurementUnitsCodeSequence"))
                unit = "" if code is None else str(code.get("CodeValue") or "").strip()
                return (
                    _sure(item.get("RealWorldValueSlope"), 1.0, what),
                    _sure(item.get("RealWorldValueIntercept"), 0.0, what),
                    unit,
                )
        transformation = "PixelValueTransformationSequence"
        slope = _sure(self.value(transformation, "RescaleSlope"), 1.0, what)
        intercept = _sure(self.value(transformation, "RescaleIntercept"), 0.0, what)
        return slope, intercept, str(self.value(transformation, "RescaleType") or "").strip()

    def acquired(self) -> Moment | None:
        content = self.item("FrameContentSequence")
        if content is not None:
            for key in ("FrameReferenceDateTime", "FrameAcquisitionDateTime"):
                moment = moment_of(content, date_time=key)
                if moment is not None:
                    return moment
        return moment_of(
            self.header,
            time="AcquisitionTime",
            date="AcquisitionDate",
            date_time="AcquisitionDateTime",
        )

    def differs(self, weighting: Weighting | None) -> tuple[tuple[str, str], ...]:
        found: dict[str, str] = {}
        if weighting is not None:
            found["b-value"] = f"{weighting.b_value:g}"
            found["gradient"] = str(weighting.direction)
        for name, sequence, key in _TELLING:
            value = self.value(sequence, key)
            if value is not None and str(value).strip() and name not in found:
                found[name] = str(value).strip()
        return tuple(found.items())


def _first(items: Any) -> Any:
    return items[0] if items else None


def _sure(value: Any, absent: float, what: str) -> float:
    """A number that may be absent, but not unreadable."""
    if value is None or value == "":
        return absent
    found = number_of(value)
    if found is None:
        raise InvalidInput(
            f"{what} states a rescaling of its values that is no number; export it again."
        )
    return found
