"""Doses to organs at risk, in fractions of 2 Gy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scenarios.metrics import dose_to_hottest_volume, eqd2, mean_dose
from twin.dose import dose_maps
from twin.patient import Structure
from twin.targets import structure_mask

if TYPE_CHECKING:
    from twin.patient import Twin
    from twin.regimen import Regimen

__all__ = ["BRAIN_MINUS_TARGET", "CAVEAT", "HOTTEST_MM3", "OrganDose", "organ_doses", "organs_of"]

BRAIN_MINUS_TARGET = "brain_minus_target"
HOTTEST_MM3 = 30.0
CAVEAT = (
    "Organ doses are EQD2 with each organ's own alpha/beta, of a geometric dose: lower bounds, "
    "from which no complication probability may be drawn. brain_minus_target is the brain without "
    "the gross tumour volume at day 0, the same in every arm. Organs marked stylised are simple "
    "shapes, not this patient's outlines."
)


@dataclass(frozen=True, slots=True)
class OrganDose:
    """Mean and near-maximum EQD2 of one organ, [Gy]."""

    mean_gy: float
    d003cc_gy: float


def organs_of(twin: Twin) -> dict[str, Structure]:
    """The organs at risk by name, each with a mask and the parameter that is its alpha/beta.

    "brain" itself is replaced by the brain without the gross tumour volume; an
    organ without voxels or without an alpha/beta is left out.
    """
    found: dict[str, Structure] = {}
    brain = twin.structures["brain"].mask & ~structure_mask(twin, "gtv")
    if brain.any() and "alpha_beta_brain" in twin.parameters:
        found[BRAIN_MINUS_TARGET] = Structure(
            brain, "organ", parameter="alpha_beta_brain", source="brain without gross tumour"
        )
    for name, structure in twin.structures.items():
        usable = structure.kind == "organ" and structure.parameter is not None
        if name != "brain" and usable and structure.mask.any():
            found[name] = structure
    return found


def organ_doses(twin: Twin, regimen: Regimen) -> dict[str, OrganDose]:
    """EQD2 of every organ under a regimen and what was delivered before it.

    Courses add up place by place, each converted with its own number of
    fractions; time between courses is not credited.
    """
    maps = dose_maps(twin, twin.delivered) + dose_maps(twin, regimen)
    result: dict[str, OrganDose] = {}
    for name, organ in organs_of(twin).items():
        alpha_beta = twin.parameters.value(str(organ.parameter))
        dose = np.zeros(int(organ.mask.sum()))
        for course in maps:
            dose += eqd2(course.total_gy[organ.mask], course.fractions, alpha_beta)
        everywhere = np.ones(dose.shape, bool)
        result[name] = OrganDose(
            mean_dose(dose, everywhere),
            dose_to_hottest_volume(dose, everywhere, twin.grid.voxel_mm3, HOTTEST_MM3),
        )
    return result
