"""Doses to organs at risk, in fractions of 2 Gy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scenarios.metrics import bed, dose_to_hottest_volume, mean_dose
from scenarios.recovery import Recovery
from scenarios.redrawn import RedrawnTargets, redrawn_parts
from solvers.dose_response import proton_rbe, repair_between
from twin.dose import dose_maps
from twin.errors import InvalidInput
from twin.patient import Structure
from twin.radiotherapy import UNKNOWN_DOSE, Radiotherapy
from twin.regimen import Regimen
from twin.targets import structure_mask

if TYPE_CHECKING:
    from twin.dose import DoseMap
    from twin.patient import Twin

__all__ = [
    "BRAIN_MINUS_TARGET",
    "CAVEAT",
    "HOTTEST_MM3",
    "CourseEffect",
    "CourseInOrgan",
    "OrganDose",
    "caveat",
    "course_effects",
    "courses_in_organs",
    "eqd2_map",
    "known_delivered",
    "organ_doses",
    "organ_eqd2",
    "organ_eqd2_recovered",
    "organs_of",
]

BRAIN_MINUS_TARGET = "brain_minus_target"
HOTTEST_MM3 = 30.0
_BOUNDS = (
    "Organ doses are EQD2 with each organ's own alpha/beta; those of a geometric dose are lower "
    "bounds, from which no complication probability may be drawn. "
)
_BRAIN = (
    "brain_minus_target is the brain "
    "without the gross tumour volume at day 0, the same in every arm. "
)
_SHAPES = "Organs marked stylised are simple shapes, not this patient's outlines."
CAVEAT = _BOUNDS + _BRAIN + _SHAPES


def caveat(twin: Twin) -> str:
    """What has to be known about organ doses of a twin."""
    organs = organs_of(twin)
    if not organs:
        return ""
    return CAVEAT if BRAIN_MINUS_TARGET in organs else _BOUNDS + _SHAPES


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


@dataclass(frozen=True, slots=True)
class CourseEffect:
    """What one course gives to the organs.

    Parameters
    ----------
    begin_day, end_day : float, [day]
        Of its first and last fraction.
    eqd2 : mapping of str to ndarray, [Gy], shape (voxel,)
        By organ, in every voxel of it.
    """

    begin_day: float
    end_day: float
    eqd2: Mapping[str, NDArray[np.float64]]


def course_effects(
    twin: Twin, regimen: Regimen, *, redrawn: RedrawnTargets | None = None
) -> list[CourseEffect]:
    """EQD2 of each course in every voxel of every organ, of earlier ones first.

    Each is converted with its own number of fractions, and with incomplete repair between
    several of a day. A course before day 0 whose dose is not known is left out. One whose target
    is redrawn during the run needs `redrawn` of that run; without it, it is not a number.
    """
    before = twin if twin.setup is None else twin.replace(setup=None)  # errors are of the future
    delivered = known_delivered(twin)
    courses = (*delivered.radiotherapy, *regimen.radiotherapy)
    maps = dose_maps(before, delivered) + dose_maps(twin, regimen)
    numbers = [-1] * len(delivered.radiotherapy) + [
        number for number, one in enumerate(regimen.courses) if isinstance(one, Radiotherapy)
    ]
    found: list[CourseEffect] = []
    at_risk = organs_of(twin)
    for course, dose, number in zip(courses, maps, numbers, strict=True):
        parts = [dose]
        if course.replans:
            parts = redrawn_parts(twin, course, dose, (redrawn or {}).get(number, ()))
        factor, effect = _unrepaired(twin, course), {}
        for name, organ in at_risk.items():
            alpha_beta = twin.parameters.value(str(organ.parameter))
            effect[name] = np.zeros(int(organ.mask.sum()))
            for part in parts:
                effect[name] += CourseInOrgan.of(part, organ.mask, factor).eqd2(alpha_beta)
            if not parts:
                effect[name][:] = np.nan
        days = course.fraction_days(twin.calendar)
        found.append(CourseEffect(days[0], days[-1], effect))
    return found


def known_delivered(twin: Twin) -> Regimen:
    """The radiotherapy given before day 0 whose dose is known."""
    given = twin.delivered.radiotherapy
    return Regimen(*(course for course in given if course.dose != UNKNOWN_DOSE))


def organ_eqd2(
    twin: Twin, regimen: Regimen, *, effects: Sequence[CourseEffect] | None = None
) -> dict[str, NDArray[np.float64]]:
    """EQD2 in every voxel of every organ, of a regimen and what was delivered before it, [Gy].

    Courses add up place by place; time between courses is not credited
    (`organ_eqd2_recovered` does). `effects` is what `course_effects` gives, where it is known.
    """
    effects = course_effects(twin, regimen) if effects is None else effects
    result: dict[str, NDArray[np.float64]] = {}
    for name, organ in organs_of(twin).items():
        dose = np.zeros(int(organ.mask.sum()))
        for one in effects:
            dose += one.eqd2[name]
        result[name] = dose
    return result


def organ_eqd2_recovered(
    twin: Twin, regimen: Regimen, *, effects: Sequence[CourseEffect] | None = None
) -> dict[str, NDArray[np.float64]] | None:
    """As `organ_eqd2`, less what organs have recovered from earlier courses, [Gy].

    At the beginning of each course, earlier ones count by what is left of them
    (`scenarios.recovery`); each voxel has the most that it holds at any course. None where
    nothing is credited.
    """
    effects = course_effects(twin, regimen) if effects is None else effects
    ordered = sorted(effects, key=lambda one: one.begin_day)
    result: dict[str, NDArray[np.float64]] = {}
    credited = False
    for name, organ in organs_of(twin).items():
        recovery = Recovery.of(twin.parameters, str(organ.parameter))
        highest = np.zeros(int(organ.mask.sum()))
        for number, course in enumerate(ordered):
            held = course.eqd2[name].copy()
            for earlier in ordered[:number]:
                share = recovery.recovered(course.begin_day - earlier.end_day)
                credited = credited or share > 0.0
                held += (1.0 - share) * earlier.eqd2[name]
            highest = np.maximum(highest, held)
        result[name] = highest
    return result if credited else None


@dataclass(frozen=True, slots=True, eq=False)
class CourseInOrgan:
    """What one course of radiotherapy gives to the voxels of an organ.

    Parameters
    ----------
    given_gy, per_fraction_gy : ndarray, [Gy], shape (voxel,)
        Physical dose of the fractions that are given, and of one.
    given : int
        Number of fractions that are given.
    unrepaired : float, [1]
        Mean factor of beta by damage that is not repaired between them.
    rbe_model, let_kev_um
        As of a `DoseMap`, in the voxels.
    """

    given_gy: NDArray[np.float32]
    per_fraction_gy: NDArray[np.float32]
    given: int
    unrepaired: float
    rbe_model: str | None = None
    let_kev_um: NDArray[np.float32] | None = None

    @classmethod
    def of(cls, course: DoseMap, mask: NDArray[np.bool_], unrepaired: float) -> CourseInOrgan:
        """What a dose gives to the voxels of a mask."""
        return cls(
            course.given_gy[mask],
            course.per_fraction_gy[mask],
            course.given,
            unrepaired,
            course.rbe_model,
            None if course.let_kev_um is None else course.let_kev_um[mask],
        )

    def eqd2(self, alpha_beta_gy: float, scale: float = 1.0) -> NDArray[np.float64]:
        """EQD2 of the course with its dose, in the same fractions, times `scale`, [Gy]."""
        dose = self._photons(alpha_beta_gy, scale)
        whole = bed(dose, self.given, alpha_beta_gy / self.unrepaired)
        return whole / (1.0 + 2.0 / alpha_beta_gy)

    def _photons(self, alpha_beta_gy: float, scale: float) -> NDArray[np.floating]:
        """Dose of photons with the same effect, [Gy]."""
        given: NDArray[np.floating] = self.given_gy
        each: NDArray[np.floating] = self.per_fraction_gy
        if scale != 1.0:
            given, each = scale * given.astype(np.float64), scale * each.astype(np.float64)
        if self.rbe_model is None or self.let_kev_um is None:
            return given
        model: Any = self.rbe_model
        return given * proton_rbe(each, self.let_kev_um, alpha_beta=alpha_beta_gy, model=model)


def eqd2_map(twin: Twin, regimen: Regimen, alpha_beta_gy: float) -> NDArray[np.float64]:
    """EQD2 of a regimen and what was delivered before it, [Gy], shape of the twin's grid.

    As `organ_eqd2`, everywhere with one alpha/beta.

    Raises
    ------
    InvalidInput
        alpha/beta is not above 0, or a target is redrawn in a run that is not known here.
    """
    if not 0.0 < alpha_beta_gy < np.inf:
        raise InvalidInput(f"alpha/beta is {alpha_beta_gy:g} Gy; it must be above 0 Gy and finite.")
    if any(course.replans for course in regimen.radiotherapy):
        raise InvalidInput("A dose whose target is redrawn during the run has no one map of EQD2.")
    before = twin if twin.setup is None else twin.replace(setup=None)  # errors are of the future
    delivered = known_delivered(twin)
    courses = (*delivered.radiotherapy, *regimen.radiotherapy)
    maps = dose_maps(before, delivered) + dose_maps(twin, regimen)
    everywhere, total = np.ones(twin.grid.shape, bool), np.zeros(twin.grid.shape)
    for course, dose in zip(courses, maps, strict=True):
        effect = CourseInOrgan.of(dose, everywhere, _unrepaired(twin, course))
        total += effect.eqd2(alpha_beta_gy).reshape(twin.grid.shape)
    return total


def courses_in_organs(twin: Twin, regimen: Regimen) -> dict[str, list[CourseInOrgan]]:
    """Each course of radiotherapy of a regimen in each organ, by its name."""
    maps = dose_maps(twin, regimen)
    unrepaired = [_unrepaired(twin, course) for course in regimen.radiotherapy]
    return {
        name: [
            CourseInOrgan.of(course, organ.mask, factor)
            for course, factor in zip(maps, unrepaired, strict=True)
        ]
        for name, organ in organs_of(twin).items()
    }


def organ_doses(
    twin: Twin, regimen: Regimen, *, effect: Mapping[str, NDArray[np.float64]] | None = None
) -> dict[str, OrganDose]:
    """EQD2 of every organ under a regimen and what was delivered before it.

    `effect` is what `organ_eqd2` gives, where it is known already.
    """
    result: dict[str, OrganDose] = {}
    for name, dose in (organ_eqd2(twin, regimen) if effect is None else effect).items():
        if np.isnan(dose).any():  # of a target that is redrawn in a run which is not known
            result[name] = OrganDose(np.nan, np.nan)
            continue
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
