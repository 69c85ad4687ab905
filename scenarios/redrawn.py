"""Targets that a run has redrawn, read from its results, for the doses of organs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from twin.dose import redrawn_dose

if TYPE_CHECKING:
    import xarray as xr

    from twin.dose import DoseMap
    from twin.patient import Twin
    from twin.radiotherapy import Radiotherapy
    from twin.regimen import Regimen

__all__ = [
    "REDRAWN",
    "UNKNOWN_BEFORE",
    "RedrawnTargets",
    "has_replans",
    "redrawn_parts",
    "redrawn_targets",
]

#: Gross tumour volumes in the order in which they were redrawn, by the course's number.
RedrawnTargets = Mapping[int, Sequence[NDArray[np.bool_]]]
UNKNOWN_BEFORE = (
    "Organ doses are not known before the run: the target is redrawn in it, on the tumour that it "
    "predicts. The targets and their coverage are those of the first plan."
)
REDRAWN = (
    "Organ doses of arms that are replanned follow from the targets that the run of the first case "
    "has redrawn."
)


def redrawn_targets(run: xr.Dataset, twin: Twin) -> RedrawnTargets:
    """What a run has redrawn; empty where it has not.

    Parameters
    ----------
    run : xarray.Dataset
        Of the finite-element solver.
    twin : Twin
    """
    if "redrawn_target" not in run:
        return {}
    found: dict[int, list[NDArray[np.bool_]]] = {}
    shape = twin.grid.shape
    said = json.loads(run.attrs["redrawn_targets"])
    for entry, bits in zip(said, run["redrawn_target"].values, strict=True):
        mask = np.unpackbits(bits, count=int(np.prod(shape))).reshape(shape).astype(bool)
        found.setdefault(int(entry["course"]), []).append(mask)
    return found


def redrawn_parts(
    twin: Twin, course: Radiotherapy, first: DoseMap, targets: Sequence[NDArray[np.bool_]]
) -> list[DoseMap]:
    """The dose of each part of a course with the number of fractions that it is given in.

    Parameters
    ----------
    twin : Twin
    course : Radiotherapy
        With replans.
    first : DoseMap
        By the plan before the first of them.
    targets : sequence of ndarray of bool, shape of the twin's grid
        One a replan; where some are missing nothing is known, and nothing is returned.
    """
    if len(targets) != len(course.replans):
        return []
    borders = [0, *(one.after_fraction for one in course.replans), course.fractions_given]
    maps = [first, *(redrawn_dose(twin, course, target) for target in targets)]
    return [
        replace(dose, given=end - begin)
        for dose, begin, end in zip(maps, borders, borders[1:], strict=False)
    ]


def has_replans(regimen: Regimen) -> bool:
    """Whether a target of a regimen is redrawn during its run."""
    return any(course.replans for course in regimen.radiotherapy)
