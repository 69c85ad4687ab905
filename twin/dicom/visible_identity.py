"""Whether an image may show who somebody is: writing burnt into its pixels, or a face."""

from __future__ import annotations

import re
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

__all__ = ["burnt_in", "looks_written_on", "may_show_a_face"]

Writing = Literal["declared", "suspected", "none"]

_PICTURE_MODALITIES = frozenset(
    {"US", "SC", "OT", "ES", "XC", "GM", "SM", "XA", "RF", "DOC", "IVUS"}
)
_PICTURE_CLASSES = ("1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.6.1")
_NO_PICTURES = frozenset({"SEG", "RTDOSE", "RTSTRUCT", "RTPLAN", "REG"})
_HEAD = re.compile(r"head|brain|skull|neck|face|cran|cerebr|orbit|sinus|glio|hirn|kopf|sch.del")
_ELSEWHERE = re.compile(
    r"chest|thora|lung|breast|abdom|liver|pelv|prost|extrem|leg|thigh|knee|arm|shoulder|hip|spine"
    r"|heart|kidney|pancr|bladder|phantom|foot|hand"
)
_MARGIN = 0.2  # of a side: writing stands at the borders
_JUMPS = 60  # between darkest and brightest neighbours; a line of text has a hundred or more


def burnt_in(dataset: Dataset) -> Writing:
    """Return whether writing is in an image's pixels by its header.

    "declared": it says so, or is of a kind that has writing as a rule (a
    screenshot, ultrasound) and does not say that it has none. "suspected":
    the pixels look like it (`looks_written_on`).
    """
    modality = str(dataset.get("Modality") or "")
    if modality in _NO_PICTURES or "PixelData" not in dataset:
        return "none"
    stated = str(dataset.get("BurnedInAnnotation") or "").upper()
    if stated == "YES":
        return "declared"
    kind = str(dataset.get("SOPClassUID") or "")
    picture = modality in _PICTURE_MODALITIES or kind.startswith(_PICTURE_CLASSES)
    words = " ".join(str(word) for word in dataset.get("ImageType") or []).upper()
    if stated != "NO" and (picture or "SCREEN" in words):
        return "declared"
    try:
        frames = _frames(dataset)
    except (AttributeError, TypeError, ValueError):
        return "none"
    chosen = frames[:: max(1, len(frames) // 8)]
    return "suspected" if any(looks_written_on(frame) for frame in chosen) else "none"


def _frames(dataset: Dataset) -> NDArray[np.generic]:
    """Plain pixels (see `plain_pixels.make_plain`) as frames, shape (frame, row, column)."""
    if int(dataset.get("SamplesPerPixel", 1) or 1) != 1 or int(dataset.BitsAllocated) not in (
        8,
        16,
    ):
        raise ValueError
    kind = "i" if int(dataset.get("PixelRepresentation", 0)) else "u"
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    count = rows * columns * int(dataset.get("NumberOfFrames", 1) or 1)
    data = np.frombuffer(
        dataset.PixelData, f"<{kind}{int(dataset.BitsAllocated) // 8}", count=count
    )
    return data.reshape(-1, rows, columns)


def looks_written_on(frame: NDArray[np.generic]) -> bool:
    """Return whether the borders of a picture look as if there was writing.

    Writing that a machine puts into pixels is of one brightness on another:
    along rows the picture's brightest value meets a plain background value
    many times. Tissue, noise and padding do that a few times at most.

    Parameters
    ----------
    frame : ndarray, shape (row, column)

    Examples
    --------
    >>> looks_written_on(np.random.default_rng(0).integers(0, 1000, (64, 64)))
    False
    """
    high, low = frame.max(), frame.min()
    if high == low or min(frame.shape) < 16:
        return False
    bright = frame == high
    if bright.mean() > 0.1 or len(np.unique(frame)) < 4:  # a mask, or a window that saturates
        return False
    dark = frame == low
    jumps = (bright[:, 1:] & dark[:, :-1]) | (dark[:, 1:] & bright[:, :-1])
    edge_rows = max(1, int(_MARGIN * frame.shape[0]))
    edge_columns = max(1, int(_MARGIN * frame.shape[1]))
    border = np.ones(jumps.shape, bool)
    border[edge_rows:-edge_rows, edge_columns:-edge_columns] = False
    return int((jumps & border).sum()) >= _JUMPS


def may_show_a_face(dataset: Dataset) -> bool:
    """Return whether a face could be drawn from an image: CT, MR or PET of the head.

    Where neither body part nor descriptions tell, and the image is no wider
    than a head's, the answer is yes.

    Parameters
    ----------
    dataset : Dataset
        Before it is cleaned.
    """
    if str(dataset.get("Modality") or "") not in ("CT", "MR", "PT", "NM"):
        return False
    words = " ".join(
        str(dataset.get(keyword) or "")
        for keyword in (
            "BodyPartExamined",
            "StudyDescription",
            "SeriesDescription",
            "ProtocolName",
        )
    ).casefold()
    if _HEAD.search(words):
        return True
    if _ELSEWHERE.search(words):
        return False
    try:
        width_mm = float(dataset.PixelSpacing[1]) * int(dataset.Columns)
    except (AttributeError, TypeError, ValueError, IndexError):
        return True
    return width_mm <= 320.0
