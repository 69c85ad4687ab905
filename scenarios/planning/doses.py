"""Volumes of the targets, doses in them and in organs at risk, from voxels alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scenarios.complications import OrganComplication, organ_complications
from scenarios.metrics import bed, eqd2
from scenarios.organs import (
    HOTTEST_MM3,
    course_effects,
    organ_eqd2,
    organ_eqd2_recovered,
    organs_of,
)
from scenarios.planning.limits import Limits, OrganLimit, measured
from scenarios.redrawn import has_replans
from twin.dose import DoseMap, dose_maps
from twin.targets import boost_target, clinical_target, structure_mask

if TYPE_CHECKING:
    from twin.patient import Twin
    from twin.radiotherapy import Radiotherapy
    from twin.regimen import Regimen

__all__ = ["BoostPlan", "OrganPlan", "OrganReading", "TargetPlan", "organ_plans", "target_plans"]

_NEAR_MAXIMUM = f"D{HOTTEST_MM3 / 1e3:g}cc"


@dataclass(frozen=True, slots=True)
class BoostPlan:
    """A simultaneous boost.

    Parameters
    ----------
    target : str
    volume_ml : float, [mL]
    total_gy, dose_per_fraction_gy : float, [Gy]
        As prescribed.
    bed_gy, eqd2_gy : float, [Gy]
        Effect on the tumour of the fractions that are given.
    coverage : float, [1]
        Share of it that gets at least the level of its own total.
    """

    target: str
    volume_ml: float
    total_gy: float
    dose_per_fraction_gy: float
    bed_gy: float
    eqd2_gy: float
    coverage: float


@dataclass(frozen=True, slots=True)
class GuidedPlan:
    """A clinical target chosen by a density; fields as of a `GuidedTarget`."""

    day: float
    level: float
    cells_outside: float
    cells_outside_margin: float


@dataclass(frozen=True, slots=True)
class TargetPlan:
    """Targets of one course.

    Parameters
    ----------
    target : str
        Structure that is the gross tumour volume.
    dose : str or None
        Name of the treatment plan's dose; without one the dose is geometric.
    ctv_margin_mm, ptv_margin_mm : float, [mm]
        Without meaning for a plan's dose.
    gtv_ml : float, [mL]
    ctv_ml, ptv_ml : float or None, [mL]
        Not known of a plan's dose.
    prescription_gy : float, [Gy]
        Of all planned fractions.
    coverage : float, [1]
        Share of the PTV, of a plan's dose of the target itself, that gets at least
        `coverage_level` of the prescription.
    coverage_level : float, [1]
    brain_share : float, [1]
        Part of the brain that lies in the volume that is to be covered.
    boost : BoostPlan or None
    beams : tuple of float, [deg]
        Gantry angles of the geometric dose; none where it follows from distances alone.
    guided : GuidedPlan or None
        Where the clinical target was chosen by a density.
    """

    target: str
    dose: str | None
    ctv_margin_mm: float
    ptv_margin_mm: float
    gtv_ml: float
    ctv_ml: float | None
    ptv_ml: float | None
    prescription_gy: float
    coverage: float
    coverage_level: float
    brain_share: float
    boost: BoostPlan | None
    beams: tuple[float, ...] = ()
    guided: GuidedPlan | None = None

    @property
    def covered(self) -> str:
        """What is to be covered, in a word or two."""
        return "PTV" if self.dose is None else "target"


@dataclass(frozen=True, slots=True)
class OrganReading:
    """What an organ gets by the measure of a limit, EQD2 [Gy]; `name` may be of several.

    `recovered_gy` is what is left of it with recovery between courses, None where none is
    credited.
    """

    name: str
    limit: OrganLimit
    value_gy: float
    recovered_gy: float | None = None


@dataclass(frozen=True, slots=True)
class OrganPlan:
    """Doses of one organ, [Gy].

    `mean_gy` and `d003cc_gy` are physical doses of this treatment, `eqd2_mean_gy` and
    `eqd2_d003cc_gy` hold what was delivered before as well. `readings` are by the measures
    of its limits, `complication` is its probability of one, or why there is none.
    `recovered_mean_gy` and `recovered_d003cc_gy` are EQD2 with recovery between courses, None
    where none is credited.
    """

    name: str
    volume_ml: float
    stylised: bool
    alpha_beta_gy: float
    mean_gy: float
    d003cc_gy: float
    eqd2_mean_gy: float
    eqd2_d003cc_gy: float
    readings: tuple[OrganReading, ...]
    complication: OrganComplication
    recovered_mean_gy: float | None = None
    recovered_d003cc_gy: float | None = None


def target_plans(
    twin: Twin, regimen: Regimen, level: float, known_ml: dict[tuple[str, float], float]
) -> list[TargetPlan]:
    """Targets of each course of radiotherapy, in the order of the regimen.

    Parameters
    ----------
    twin : Twin
        Or any object with its voxels, such as an `Anatomy`.
    regimen : Regimen
    level : float, [1]
        Share of the prescription from which on a place counts as covered.
    known_ml : dict, [mL]
        Volumes of clinical targets by target and margin that are known already; added to.
    """
    found: list[TargetPlan] = []
    brain = twin.structures["brain"].mask
    for course, dose in zip(regimen.radiotherapy, dose_maps(twin, regimen), strict=True):
        key = course.target, course.ctv_margin_mm
        if course.dose is None and key not in known_ml:
            # a target by a density has the volume of its margin's
            known_ml[key] = twin.grid.volume_ml(clinical_target(twin, course))
        found.append(
            TargetPlan(
                target=course.target,
                dose=course.dose,
                ctv_margin_mm=course.ctv_margin_mm,
                ptv_margin_mm=course.ptv_margin_mm,
                gtv_ml=twin.grid.volume_ml(structure_mask(twin, course.target)),
                ctv_ml=known_ml[key] if course.dose is None else None,
                ptv_ml=twin.grid.volume_ml(dose.target) if course.dose is None else None,
                prescription_gy=course.total_dose_gy,
                coverage=_covered(dose, dose.target, level * course.total_dose_gy),
                coverage_level=level,
                brain_share=float(dose.target[brain].mean()),
                boost=_boost(twin, course, dose, level),
                beams=course.beams,
                guided=_guided(twin, course),
            )
        )
    return found


def _guided(twin: Twin, course: Radiotherapy) -> GuidedPlan | None:
    if course.density_guided_day is None:
        return None
    one = twin.guided[course.guided_key]
    return GuidedPlan(one.day, one.level, one.cells_outside, one.cells_outside_margin)


def _covered(dose: DoseMap, inside: np.ndarray, gray: float) -> float:
    # the dose is in single precision, so that a dose just at the level may be below it
    return float((dose.given_gy[inside] >= gray * (1.0 - 5e-7)).mean())


def _boost(twin: Twin, course: Radiotherapy, dose: DoseMap, level: float) -> BoostPlan | None:
    mask = boost_target(twin, course)
    if mask is None or course.boost_target is None or course.boost_total_dose_gy is None:
        return None
    covered = _covered(dose, mask, level * course.boost_total_dose_gy)
    each = course.boost_total_dose_gy / dose.fractions
    ratio = twin.parameters.value("alpha_beta")
    return BoostPlan(
        target=course.boost_target,
        volume_ml=twin.grid.volume_ml(mask),
        total_gy=course.boost_total_dose_gy,
        dose_per_fraction_gy=each,
        bed_gy=float(bed(each * dose.given, dose.given, ratio)),
        eqd2_gy=float(eqd2(each * dose.given, dose.given, ratio)),
        coverage=covered,
    )


def organ_plans(twin: Twin, regimen: Regimen, limits: Limits) -> list[OrganPlan]:
    """Doses of each organ at risk; none where neither this treatment nor an earlier one has any.

    None either where a target is redrawn in the run, which they follow from.
    """
    if not (regimen.radiotherapy or twin.delivered.radiotherapy) or has_replans(regimen):
        return []
    physical = np.zeros(twin.grid.shape, np.float32)
    for dose in dose_maps(twin, regimen):
        physical += dose.given_gy
    effects = course_effects(twin, regimen)
    effect = organ_eqd2(twin, regimen, effects=effects)
    recovered = organ_eqd2_recovered(twin, regimen, effects=effects)
    voxel = twin.grid.voxel_mm3
    readings = _readings(effect, recovered, limits.organ, voxel)
    complications = organ_complications(twin, regimen, effect=effect)
    found = []
    for name, organ in organs_of(twin).items():
        given = physical[organ.mask].astype(np.float64)
        left = None if recovered is None else recovered[name]
        found.append(
            OrganPlan(
                name=name,
                volume_ml=twin.grid.volume_ml(organ.mask),
                stylised=organ.stylised,
                alpha_beta_gy=twin.parameters.value(str(organ.parameter)),
                mean_gy=measured("mean", given, voxel),
                d003cc_gy=measured(_NEAR_MAXIMUM, given, voxel),
                eqd2_mean_gy=measured("mean", effect[name], voxel),
                eqd2_d003cc_gy=measured(_NEAR_MAXIMUM, effect[name], voxel),
                readings=tuple(readings.get(name, ())),
                complication=complications[name],
                recovered_mean_gy=None if left is None else measured("mean", left, voxel),
                recovered_d003cc_gy=None if left is None else measured(_NEAR_MAXIMUM, left, voxel),
            )
        )
    return found


def _readings(
    effect: dict[str, np.ndarray],
    recovered: dict[str, np.ndarray] | None,
    limits: Sequence[OrganLimit],
    voxel_mm3: float,
) -> dict[str, list[OrganReading]]:
    """Readings by organ; of organs that count together the same one stands at each."""
    found: dict[str, list[OrganReading]] = {}
    for limit in limits:
        concerned = [name for name in effect if limit.concerns(name)]
        groups = [concerned] if limit.together and concerned else [[name] for name in concerned]
        for group in groups:
            reading = OrganReading(
                " with ".join(group),
                limit,
                _measured(limit, effect, group, voxel_mm3),
                None if recovered is None else _measured(limit, recovered, group, voxel_mm3),
            )
            for name in group:
                found.setdefault(name, []).append(reading)
    return found


def _measured(
    limit: OrganLimit, effect: dict[str, np.ndarray], group: Sequence[str], voxel_mm3: float
) -> float:
    """The measure of a limit of all organs of a group together, [Gy]."""
    return measured(limit.measure, np.concatenate([effect[name] for name in group]), voxel_mm3)
