"""The doses of isotoxic arms: one factor for each arm, found on the doses of organs at risk."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from scenarios.complications import load_complications, organ_complications
from scenarios.isotoxic import WORST, Isotoxic, Rescaled
from scenarios.metrics import dose_to_hottest_volume
from scenarios.organs import (
    HOTTEST_MM3,
    CourseInOrgan,
    courses_in_organs,
    known_delivered,
    organs_of,
)
from solvers.guided_targets import with_guided_targets
from twin.errors import InvalidInput
from twin.radiotherapy import MAX_FRACTION_GY, MAX_PRESCRIPTION_GY
from twin.regimen import Regimen
from twin.storage import sha256_of

if TYPE_CHECKING:
    from scenarios.study import Scenario, Study
    from twin.patient import Twin

__all__ = ["rescaled_study"]

#: Decimals of a rescaled dose, [Gy], so that a run's hash does not hang on rounding.
_DECIMALS = 4
#: From the EQD2 of an organ's voxels, [Gy], to EQD2 [Gy] or NTCP [1].
_Measure = Callable[[NDArray[np.float64]], float]


class _Organ(NamedTuple):
    """An organ that counts, with what it got before.

    `alpha_beta` is in [Gy], `parameter` its name; `limit`, [Gy] or [1], is what the measure is
    a share of where organs compete.
    """

    parameter: str
    alpha_beta: float
    measure: _Measure
    earlier: list[CourseInOrgan]
    limit: float = 1.0

    def value(self, own: list[CourseInOrgan], scale: float) -> float:
        """The measure with the doses of its own courses times `scale`."""
        parts = [course.eqd2(self.alpha_beta) for course in self.earlier]
        parts += [course.eqd2(self.alpha_beta, scale) for course in own]
        return self.measure(np.asarray(sum(parts[1:], parts[0])))


def rescaled_study(study: Study, twin: Twin) -> Study:
    """A study with the doses that its isotoxic rule asks for on this patient.

    Parameters
    ----------
    study : Study
        One that was rescaled before begins from what was prescribed.
    twin : Twin
        Or any object with its voxels, such as an `Anatomy`.

    Raises
    ------
    InvalidInput
        An organ, arm or probability that there is not, or no dose up to the highest allowed
        reaches the value.
    """
    rule = study.isotoxic
    if rule is None:
        return study
    patient = _read_of(twin)
    treated = [arm for arm in study.scenarios if arm.regimen.radiotherapy]
    if all(arm.rescaled is not None and arm.rescaled.patient == patient for arm in treated):
        return study
    organs = _organs(rule, twin)
    goal = _goal(study, rule, twin, organs)
    known: dict[Any, tuple[float, str]] = {}
    arms = []
    for arm in study.scenarios:
        regimen = arm.prescribed
        if not regimen.radiotherapy:
            arms.append(arm)
            continue
        if any(course.replans for course in regimen.radiotherapy):
            raise InvalidInput(
                f"Scenario {arm.name!r} is replanned during its run, so that its organ doses are "
                "not known beforehand and cannot be made equal to others'; leave replan or "
                "[isotoxic] out."
            )
        if regimen.radiotherapy not in known:
            try:
                known[regimen.radiotherapy] = _factor(rule, twin, regimen, organs, goal)
            except InvalidInput as error:
                raise InvalidInput(f"Scenario {arm.name!r}: {error}") from None
        factor, name = known[regimen.radiotherapy]
        value = goal * organs[name].limit
        arms.append(_rescaled(arm, regimen, rule, patient, factor, name, organs[name], value))
    return study.replace(scenarios=arms)


def _read_of(twin: Twin) -> str:
    return sha256_of(
        twin.content_hash,
        {name: twin.parameters.value(name) for name in twin.parameters},
        [dose.digest().hex() for _, dose in sorted(twin.doses.items())],
        twin.delivered.as_dict(),
    )


def _organs(rule: Isotoxic, twin: Twin) -> dict[str, _Organ]:
    """The organs that count by their names."""
    present = organs_of(twin)
    if rule.organ != WORST and rule.organ not in present:
        raise InvalidInput(
            f"Isotoxic arms are to have the same {rule.what} of {rule.organ!r}, but the patient "
            f"has no such organ at risk; there are {', '.join(present)}, or write {WORST!r}."
        )
    earlier = courses_in_organs(twin, known_delivered(twin))
    found: dict[str, _Organ] = {}
    for name in present if rule.organ == WORST else (rule.organ,):
        measure = _measure(rule, name, twin.grid.voxel_mm3)
        limit = _limit(rule, name, twin) if rule.organ == WORST else 1.0
        if measure is not None and limit is not None:
            parameter = str(present[name].parameter)
            ratio = twin.parameters.value(parameter)
            found[name] = _Organ(parameter, ratio, measure, earlier[name], limit)
    if not found:
        raise InvalidInput(
            f"Isotoxic arms are to have the same {rule.what}, but of "
            f"{', '.join(present) if rule.organ == WORST else rule.organ} no "
            f"{'fit' if rule.measure == 'ntcp' else 'limit'} of it is on file; name another organ "
            "or measure."
        )
    return found


def _measure(rule: Isotoxic, organ: str, voxel_mm3: float) -> _Measure | None:
    """The measure of an organ; None where it has no fit of its complications."""
    if rule.measure == "eqd2 mean":
        return lambda dose: float(dose.mean())
    if rule.measure == "eqd2 d0.03cc":
        return lambda dose: dose_to_hottest_volume(
            dose, np.ones(dose.shape, bool), voxel_mm3, HOTTEST_MM3
        )
    fit = load_complications().of(organ)
    return None if fit is None else fit.probability


def _limit(rule: Isotoxic, organ: str, twin: Twin) -> float | None:
    """The lowest limit of an organ on file, [Gy], by the rule's measure; 1 of a probability."""
    from scenarios.planning.limits import load_limits

    if rule.measure == "ntcp":
        return 1.0
    of_measure = rule.measure.removeprefix("eqd2 ").lower()
    values = [
        limit.value
        for limit in load_limits().at(twin.parameters.site).organ
        if limit.concerns(organ) and limit.measure.lower() == of_measure and not limit.together
    ]
    return min(values, default=None)


def _goal(study: Study, rule: Isotoxic, twin: Twin, organs: Mapping[str, _Organ]) -> float:
    """What all arms are to have: the largest share of its limit of any organ that counts."""
    if rule.value is not None:
        return rule.value
    arm = study.scenario(str(rule.as_in))
    regimen = arm.prescribed
    if not regimen.radiotherapy:
        raise InvalidInput(
            f"The arms are to be isotoxic with {arm.name!r}, which has no radiotherapy; name an "
            "arm that has."
        )
    try:
        _check_probabilities(rule, twin, regimen, organs)
    except InvalidInput as error:
        raise InvalidInput(f"Scenario {arm.name!r}: {error}") from None
    twin = with_guided_targets(twin, regimen)
    return _worst(organs, courses_in_organs(twin, regimen), 1.0)[0]


def _worst(
    organs: Mapping[str, _Organ], own: Mapping[str, list[CourseInOrgan]], scale: float
) -> tuple[float, str]:
    """The largest share of its limit of any organ, [1], or the one value there is; its organ."""
    return max(
        (organ.value(own[name], scale) / organ.limit, name) for name, organ in organs.items()
    )


def _check_probabilities(
    rule: Isotoxic, twin: Twin, regimen: Regimen, organs: Mapping[str, _Organ]
) -> None:
    """Refuse a regimen under which an organ has no complication probability."""
    if rule.measure != "ntcp":
        return
    twin = with_guided_targets(twin, regimen)
    for name, found in organ_complications(twin, regimen).items():
        if name in organs and not found.known:
            raise InvalidInput(f"{rule.organ_text(name)}: {found.reason}")


def _factor(
    rule: Isotoxic,
    twin: Twin,
    regimen: Regimen,
    organs: Mapping[str, _Organ],
    goal: float,
) -> tuple[float, str]:
    """What a regimen's doses are multiplied by, and the organ that then limits them."""
    _check_probabilities(rule, twin, regimen, organs)
    own, most = courses_in_organs(with_guided_targets(twin, regimen), regimen), _most(regimen)

    def refused(scale: float, when: str, remedy: str) -> InvalidInput:
        share, name = _worst(organs, own, scale)
        limit, organ = organs[name].limit, rule.organ_text(name)
        return InvalidInput(
            f"the {rule.what} of {organ} is {rule.value_text(share * limit)} {when}, and is to be "
            f"{rule.value_text(goal * limit)}; choose {remedy} or another organ."
        )

    at_none, at_most = (_worst(organs, own, scale)[0] for scale in (0.0, most))
    if not at_none < goal:
        raise refused(0.0, "without a dose of this arm already", "a higher value")
    if at_most < goal:
        when = f"at the highest dose allowed, {most:.3g} times the prescribed one"
        raise refused(most, when, "a lower value")
    factor = _root(lambda scale: _worst(organs, own, scale)[0], goal, most)
    return factor, _worst(organs, own, factor)[1]


def _root(value: Callable[[float], float], goal: float, most: float) -> float:
    """Where a rising function reaches `goal`; exactly 1 where it does there."""
    if math.isclose(value(1.0), goal, rel_tol=1e-9):
        return 1.0
    return float(brentq(lambda scale: value(scale) - goal, 0.0, most, xtol=1e-12, rtol=1e-12))


def _most(regimen: Regimen) -> float:
    """The largest factor at which every course may still be prescribed."""

    def limits() -> Iterator[float]:
        for course in regimen.radiotherapy:
            for total in (course.total_dose_gy, course.boost_total_dose_gy or 0.0):
                if total > 0.0:
                    yield MAX_PRESCRIPTION_GY / total
                    yield MAX_FRACTION_GY * course.fractions / total

    return min(limits(), default=1.0)


def _rescaled(
    arm: Scenario,
    prescribed: Regimen,
    rule: Isotoxic,
    patient: str,
    factor: float,
    name: str,
    organ: _Organ,
    value: float,
) -> Scenario:
    def scaled(course: Any) -> Any:
        if factor == 1.0 or course not in prescribed.radiotherapy:
            return course
        boost = course.boost_total_dose_gy
        return replace(
            course,
            total_dose_gy=round(factor * course.total_dose_gy, _DECIMALS),
            boost_total_dose_gy=None if boost is None else round(factor * boost, _DECIMALS),
        )

    regimen = Regimen(*map(scaled, prescribed.courses))
    at_organ = (
        f"with which the {rule.what} of {rule.organ_text(name)} is {rule.value_text(value)}"
        + (f" as in {rule.as_in!r}" if rule.as_in not in (None, arm.name) else "")
    )
    if regimen == prescribed:
        sentence = f"Isotoxic: the prescribed dose is kept, {at_organ}."
        names: tuple[str, ...] = ()
    else:
        doses = "; ".join(
            _both_doses(old, new)
            for old, new in zip(prescribed.radiotherapy, regimen.radiotherapy, strict=True)
        )
        sentence = f"Isotoxic: {doses} ({factor:.4g} times), {at_organ}."
        names = _parameters(organ, regimen)
    found = Rescaled(prescribed, factor, name, value, sentence, names, patient)
    return replace(arm, regimen=regimen, rescaled=found)


def _parameters(organ: _Organ, regimen: Regimen) -> tuple[str, ...]:
    names = [organ.parameter]
    if any(course.fractions_per_day > 1 or course.missed for course in regimen.radiotherapy):
        names.append("repair_half_life_late")
    return tuple(names)


def _both_doses(old: Any, new: Any) -> str:
    text = (
        f"{new.total_dose_gy:.2f} Gy in {new.fractions} fractions of "
        f"{new.dose_per_fraction_gy:.3f} Gy instead of the prescribed {old.total_dose_gy:g} Gy in "
        f"fractions of {old.dose_per_fraction_gy:.3g} Gy"
    )
    if old.boost_total_dose_gy is not None:
        text += (
            f", the boost {new.boost_total_dose_gy:.2f} instead of {old.boost_total_dose_gy:g} Gy"
        )
    return text
