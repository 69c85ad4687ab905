"""What names of NIfTI and NRRD files say: contrast, labels or not, and whose they are."""

from __future__ import annotations

import re
from dataclasses import dataclass

from twin.image_files import IMAGE_ENDINGS
from twin.importing.mr_contrast import contrast_from_words

__all__ = ["NameSays", "name_says"]


_LABELS = re.compile(
    r"(?<![a-z0-9])(seg|segmentation|mask|masks|label|labels|labelmap|gtv|ctv|ptv|dseg|structures|"
    r"tissues?|aseg|aparc|pveseg|outline|contours?)(?![a-z0-9])"
)
_TISSUES = re.compile(r"(?<![a-z0-9])(tissues?|dseg|pveseg)(?![a-z0-9])")
_STRUCTURES = re.compile(r"(?<![a-z0-9])(structures|organs|oars?)(?![a-z0-9])")
_OTHERS = (
    ("pet", r"pet|suv|fdg|fet|pt"),
    ("ct", r"ct"),
    ("dose", r"dose|rtdose"),
)
_CHANNEL = re.compile(r"^(.*)_([0-9]{4})$")


@dataclass(frozen=True, slots=True)
class NameSays:
    """What a file's name tells.

    Parameters
    ----------
    contrast : str or None
        "t1", "ct", ..., None where the name does not say.
    labels : bool
        Whether it names a label map.
    role : str
        "tissues" or "structures" for label maps named so, else empty.
    case : str
        What is left of the name: whose images they are (an identifier, perhaps).
    channel : int or None
        Of nnU-Net's ``case_0000.nii.gz``.
    """

    contrast: str | None
    labels: bool
    role: str
    case: str
    channel: int | None


def name_says(name: str) -> NameSays:
    """Return what the name of a file tells.

    Examples
    --------
    >>> says = name_says("BraTS20_Training_001_t1ce.nii.gz")
    >>> says.contrast, says.labels, says.case
    ('t1_contrast', False, 'brats20_training_001')
    >>> name_says("seg.nii").labels, name_says("case_0001.nii.gz").channel
    (True, 1)
    """
    stem = name.lower()
    for ending in sorted(IMAGE_ENDINGS, key=len, reverse=True):
        if stem.endswith(ending):
            stem = stem.removesuffix(ending)
            break
    channel = _CHANNEL.match(stem)
    if channel:
        return NameSays(None, False, "", channel[1], int(channel[2]))
    labels = bool(_LABELS.search(stem))
    role = "tissues" if _TISSUES.search(stem) else "structures" if _STRUCTURES.search(stem) else ""
    contrast = contrast_from_words(stem)
    if contrast is None:
        for other, pattern in _OTHERS:
            if re.search(rf"(?<![a-z0-9])({pattern})(?![a-z0-9])", stem):
                contrast = other
                break
    parts = re.split(r"[_\-. ]+", stem)
    left = [
        part
        for part in parts
        if not _LABELS.search(part)
        and contrast_from_words(part) is None
        and not re.fullmatch(r"image|img|pet|suv|fdg|fet|pt|ct|mr|mri|dose|structures|organs", part)
    ]
    return NameSays(contrast, labels, role if labels else "", "_".join(left), None)
