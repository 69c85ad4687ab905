"""Doses to organs at risk, in fractions of 2 Gy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from scenarios.metrics import bed, dose_to_hottest_volume, mean_dose
from solvers.dose_response import proton_rbe, repair_between
from twin.dose import dose_maps
from twin.errors import InvalidInput
from twin.patient import Structure
from twin.targets import structure_mask

if TYPE_CHECKING:
    from twin.dose import DoseMap
    from twin.patient import Twin
    from twin.radiotherapy import Radiotherapy
    from twin.regimen import Regimen

__all__ = [
    "BRAIN_MINUS_TARGET",
    "CAVEAT",
    "HOTTEST_MM3",
    "OrganDose",
    "eqd2_map",
    "organ_doses",
    "organ_eqd2",
    "organs_of",
]

BRAIN_MINUS_TARGET = "brain_minus_target"
HOTTEST_MM3 = 30.0
CAVEAT = (
    "Organ doses are EQD2 with each organ's own alpha/beta; those of a geometric dose are lower "
    "bounds, from which no complication probability may be drawn. brain_minus_target is the brain "
    "without the gross tumour volume at day 0, the same in every arm. Organs marked stylised are "
    "simple shapes, not this patient's outlines."
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


def organ_eqd2(twin: Twin, regimen: Regimen) -> dict[str, NDArray[np.float64]]:
    """EQD2 in every voxel of every organ, of a regimen and what was delivered before it, [Gy].

    Courses add up place by place, each converted with its own number of fractions, and with
    incomplete repair between several of a day; time between courses is not credited.
    """
    effect = _effect(twin, regimen)
    return {
        name: effect(organ.mask, twin.parameters.value(str(organ.parameter)))
        for name, organ in organs_of(twin).items()
    }


def eqd2_map(twin: Twin, regimen: Regimen, alpha_beta_gy: float) -> NDArray[np.float64]:
    """EQD2 of a regimen and what was delivered before it, [Gy], shape of the twin's grid.

    As `organ_eqd2`, everywhere with one alpha/beta.
    """
    if not 0.0 < alpha_beta_gy < np.inf:
        raise InvalidInput(f"alpha/beta is {alpha_beta_gy:g} Gy; it must be above 0 Gy and finite.")
    everywhere = np.ones(twin.grid.shape, bool)
    return _effect(twin, regimen)(everywhere, alpha_beta_gy).reshape(twin.grid.shape)


def _effect(
    twin: Twin, regimen: Regimen
) -> Callable[[NDArray[np.bool_], float], NDArray[np.float64]]:
    """EQD2 in the voxels of a mask by its alpha/beta, [Gy]."""
    courses = (*twin.delivered.radiotherapy, *regimen.radiotherapy)
    maps = dose_maps(twin, twin.delivered) + dose_maps(twin, regimen)
    unrepaired = [_unrepaired(twin, course) for course in courses]

    def effect(mask: NDArray[np.bool_], alpha_beta: float) -> NDArray[np.float64]:
        dose = np.zeros(int(mask.sum()))
        for course, factor in zip(maps, unrepaired, strict=True):
            dose_gy = _photon_dose(course, mask, alpha_beta)
            whole = bed(dose_gy, course.given, alpha_beta / factor)
            dose += whole / (1.0 + 2.0 / alpha_beta)
        return dose

    return effect


def organ_doses(
    twin: Twin, regimen: Regimen, *, effect: Mapping[str, NDArray[np.float64]] | None = None
) -> dict[str, OrganDose]:
    """EQD2 of every organ under a regimen and what was delivered before it.

    `effect` is what `organ_eqd2` gives, where it is known already.
    """
    result: dict[str, OrganDose] = {}
    for name, dose in (organ_eqd2(twin, regimen) if effect is None else effect).items():
        everywhere = np.ones(dose.shape, bool)
        result[name] = OrganDose(
            mean_dose(dose, everywhere),
            dose_to_hottest_volume(dose, everywhere, twin.grid.voxel_mm3, HOTTEST_MM3),
        )
    return result


def _unrepaired(twin: Twin, course: Radiotherapy) -> float:
    """Mean factor of beta by damage that is not repaired between a course's fractions, [1]."""
    if course.fractions_per_day == 1 and not course.missed:
        return 1.0
    hours = 24.0 * np.array(course.fraction_days(twin.calendar))
    half_life = twin.parameters.value("repair_half_life_late")
    return float(repair_between(hours - hours[0], half_life).mean())


def _photon_dose(
    course: DoseMap, mask: NDArray[np.bool_], alpha_beta: float
) -> NDArray[np.floating]:
    """Dose of all given fractions in a mask, [Gy] of photons with the same effect."""
    given: NDArray[np.floating] = course.given_gy[mask]
    if course.rbe_model is None or course.let_kev_um is None:
        return given
    each, let = course.per_fraction_gy[mask], course.let_kev_um[mask]
    return given * proton_rbe(each, let, alpha_beta=alpha_beta, model=course.rbe_model)  # type: ignore[arg-type]
