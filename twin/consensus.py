"""Several segmentations of one tumour: what they agree on, and how far apart they lie.

Readers and networks differ most where the tumour fades, so one mask says too much. The
consensus is a mask as before; beside it goes, for each outline, how far the single
outlines lie from each other at every voxel: the standard deviation of their signed
distances. A run that starts from the outlines can then be shifted within that spread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from twin.errors import GeometryMismatch, InvalidInput, NotConverged
from twin.images import box_about
from twin.targets import distance_to

__all__ = ["Consensus", "Method", "Reader", "consensus"]

Mask = NDArray[np.bool_]
Method = Literal["staple", "majority"]

#: Voxels about the outermost outline that STAPLE sees: with more background every
#: reader's specificity tends to 1 and the small tumour is swallowed.
_MARGIN = 5
_MOST_ROUNDS = 500
#: From the inside out; each holds the one before it.
OUTLINES = ("core", "whole")


@dataclass(frozen=True, slots=True)
class Reader:
    """How one segmentation of an outline compares with the consensus, [1].

    Parameters
    ----------
    sensitivity, specificity : float
        By STAPLE its own estimates; by majority counted against the majority, in the
        same box.
    dice : float
        Against the consensus.
    """

    sensitivity: float
    specificity: float
    dice: float


@dataclass(frozen=True, slots=True, eq=False)
class Consensus:
    """One segmentation from several.

    Parameters
    ----------
    parts : mapping of str to ndarray of bool
        "necrosis", "enhancing" and "flair", not overlapping.
    spread_mm : mapping of str to ndarray of float32, [mm]
        "core" and "whole": standard deviation of the readers' signed distances.
    readers : mapping of str to tuple of Reader
        For each outline, in the order given.
    """

    parts: Mapping[str, Mask]
    spread_mm: Mapping[str, NDArray[np.float32]]
    readers: Mapping[str, tuple[Reader, ...]]


def consensus(
    segmentations: Sequence[Mapping[str, Mask]],
    spacing_mm: float,
    *,
    method: Method = "staple",
    names: Sequence[str] | None = None,
) -> Consensus:
    """Return the consensus of at least two segmentations and their disagreement.

    Parameters
    ----------
    segmentations : sequence of mapping of str to ndarray of bool, shape (i, j, k)
        "enhancing" and "flair", and "necrosis" where there is any, of each reader.
    spacing_mm : float, [mm]
        Side of the cubic voxels.
    method : {"staple", "majority"}
        STAPLE weighs the readers by how well they agree (S. K. Warfield, K. H. Zou and W. M.
        Wells 2004, IEEE Trans Med Imaging 23:903, 10.1109/TMI.2004.828354 [unverified], by
        SimpleITK); a majority counts them, and a voxel with as many for as against is out.
        Necrosis is by majority in both, within the core.
    names : sequence of str, optional
        What to call the readers in an error.

    Raises
    ------
    InvalidInput
        Fewer than two, an outline that a reader does not have, or no agreement on any voxel.
    NotConverged
        STAPLE did not settle.

    Examples
    --------
    >>> one = {"enhancing": np.zeros((6, 6, 6), bool), "flair": np.zeros((6, 6, 6), bool)}
    >>> one["enhancing"][2:4, 2:4, 2:4] = True
    >>> one["flair"][1:5, 1:5, 1:5] = ~one["enhancing"][1:5, 1:5, 1:5]
    >>> both = consensus([one, one], 1.0, method="majority")
    >>> int(both.parts["enhancing"].sum()), float(both.spread_mm["whole"].max())
    (8, 0.0)
    """
    if len(segmentations) < 2:
        raise InvalidInput("A consensus needs at least two segmentations; give more, or only one.")
    called = names or [f"segmentation {number + 1}" for number in range(len(segmentations))]
    outlines = [_outlines(parts) for parts in segmentations]
    shape = outlines[0]["core"].shape
    for name, found in zip(called, outlines, strict=True):
        if found["core"].shape != shape:
            raise GeometryMismatch(
                f"{name} has shape {found['core'].shape}, but the first segmentation {shape}; "
                "resample it onto the same grid."
            )
        for key in OUTLINES:
            if not found[key].any():
                raise InvalidInput(f"{name} has no voxel of the {key} tumour; leave it out.")
    masks, spread, readers = {}, {}, {}
    for key in OUTLINES:
        each = [found[key] for found in outlines]
        masks[key], readers[key] = _agreed(each, method, key)
        distances = np.stack([distance_to(mask, spacing_mm) for mask in each])
        spread[key] = distances.std(axis=0, ddof=1, dtype=np.float64).astype(np.float32)
    masks["whole"] |= masks["core"]
    necrosis = _majority([_part(parts, "necrosis", shape) for parts in segmentations])
    return Consensus(
        MappingProxyType(
            {
                "necrosis": necrosis & masks["core"],
                "enhancing": masks["core"] & ~necrosis,
                "flair": masks["whole"] & ~masks["core"],
            }
        ),
        MappingProxyType(spread),
        MappingProxyType(readers),
    )


def _part(parts: Mapping[str, Mask], name: str, shape: tuple[int, ...]) -> Mask:
    return parts.get(name, np.zeros(shape, bool))


def _outlines(parts: Mapping[str, Mask]) -> dict[str, Mask]:
    core = parts["enhancing"] | _part(parts, "necrosis", parts["enhancing"].shape)
    return {"core": core, "whole": core | parts["flair"]}


def _majority(masks: Sequence[Mask]) -> Mask:
    votes = sum(mask.astype(np.int16) for mask in masks)
    return np.asarray(2 * votes > len(masks))


def _agreed(masks: Sequence[Mask], method: Method, key: str) -> tuple[Mask, tuple[Reader, ...]]:
    """The agreed mask, and how each reader compares."""
    box = box_about(np.any(masks, axis=0), _MARGIN)
    cut = [np.ascontiguousarray(mask[box]) for mask in masks]
    if method == "majority":
        inside = _majority(cut)
        rates = [_rates(mask, inside) for mask in cut]
    elif method == "staple":
        inside, rates = _staple(cut, key)
    else:
        raise InvalidInput(f"The consensus is {method!r}; it may be 'staple' or 'majority'.")
    if not inside.any():
        raise InvalidInput(
            f"The segmentations agree on no voxel of the {key} tumour; check that they are of one "
            "patient and visit, or choose one of them."
        )
    agreed = np.zeros(masks[0].shape, bool)
    agreed[box] = inside
    readers = tuple(
        Reader(*rate, dice=2.0 * float((mask & inside).sum()) / float(mask.sum() + inside.sum()))
        for mask, rate in zip(cut, rates, strict=True)
    )
    return agreed, readers


def _rates(mask: Mask, truth: Mask) -> tuple[float, float]:
    """Sensitivity and specificity, [1]."""
    inside, outside = max(int(truth.sum()), 1), max(int((~truth).sum()), 1)
    return float((mask & truth).sum() / inside), float((~mask & ~truth).sum() / outside)


def _staple(masks: Sequence[Mask], key: str) -> tuple[Mask, list[tuple[float, float]]]:
    """Where STAPLE's probability is above a half, and each reader's rates."""
    import SimpleITK as sitk

    images = [sitk.GetImageFromArray(mask.astype(np.uint8)) for mask in masks]
    filter_ = sitk.STAPLEImageFilter()
    filter_.SetForegroundValue(1.0)
    filter_.SetMaximumIterations(_MOST_ROUNDS)
    filter_.SetNumberOfThreads(1)  # sums in one order, so that it repeats
    probability = sitk.GetArrayFromImage(filter_.Execute(images))
    rates = list(zip(filter_.GetSensitivity(), filter_.GetSpecificity(), strict=True))
    if filter_.GetElapsedIterations() >= _MOST_ROUNDS or not np.isfinite(probability).all():
        raise NotConverged(
            f"STAPLE did not settle on the {key} tumour in {_MOST_ROUNDS} rounds; write consensus "
            '= "majority", or leave out a segmentation that is unlike the others.'
        )
    return probability > 0.5, rates
