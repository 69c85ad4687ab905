"""Doses of organs at risk case by case, where cases displace the dose or change the organs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scenarios.complications import OrganComplication
from scenarios.organs import organ_doses, organ_eqd2, organs_of

if TYPE_CHECKING:
    from scenarios.study import Case, Study
    from twin.patient import Twin

__all__ = ["BY_CASE", "organ_evidence", "organs_by_case"]

#: Ends the names of variables that have a value for every case.
BY_CASE = "_by_case"
_LATE = "repair_half_life_late"


def organs_by_case(
    study: Study, twins: Sequence[Twin], risks: Sequence[dict[str, OrganComplication]]
) -> dict[str, Any]:
    """Variables (scenario, case, organ) of the results; none where all cases are alike for organs.

    Set-up errors displace the doses of the arms, not those that were delivered before.

    Parameters
    ----------
    study : Study
        As it is run.
    twins : sequence of Twin
        For every scenario the patient, with its density-guided targets.
    risks : sequence of dict
        For every scenario the complications of its organs by the planned dose.
    """
    twin = twins[0]
    if len({_what_organs_see(case, twin) for case in study.cases}) == 1:
        return {}
    shape = len(study.scenarios), len(study.cases), len(organs_of(twin))
    mean, hottest, probability = (np.full(shape, np.nan) for _ in range(3))
    known: dict[Any, list[tuple[float, float, float]]] = {}
    for i, scenario in enumerate(study.scenarios):
        courses = scenario.regimen.radiotherapy
        for j, case in enumerate(study.cases):
            setup = case.setup if courses else None
            seen = _what_organs_see(case, twin)
            key = courses, twins[i].content_hash if twins[i].guided else "", seen, setup
            if key not in known:
                here = twins[i].replace(parameters=case.parameters(twin.parameters), setup=setup)
                known[key] = _measured(here, study, i, risks[i])
            mean[i, j], hottest[i, j], probability[i, j] = np.transpose(known[key])
    dims = "scenario", "case", "organ"
    return {
        f"organ_eqd2_mean{BY_CASE}": (dims, mean),
        f"organ_eqd2_d003cc{BY_CASE}": (dims, hottest),
        f"organ_ntcp{BY_CASE}": (dims, probability),
    }


def _what_organs_see(case: Case, twin: Twin) -> Any:
    """What of a case the doses of organs hang on."""
    parameters = case.parameters(twin.parameters)
    names = [*(str(organ.parameter) for organ in organs_of(twin).values()), _LATE]
    return case.setup, tuple(parameters.value(name) for name in names if name in parameters)


def _measured(
    here: Twin, study: Study, number: int, risks: dict[str, OrganComplication]
) -> list[tuple[float, float, float]]:
    """Mean and near-maximum EQD2 [Gy] and NTCP [1] of each organ in an arm."""
    regimen = study.scenarios[number].regimen
    effect = organ_eqd2(here, regimen)
    doses = organ_doses(here, regimen, effect=effect)
    found = []
    for name, one in risks.items():
        risk = one.fit.probability(effect[name]) if one.known and one.fit else np.nan
        found.append((doses[name].mean_gy, doses[name].d003cc_gy, risk))
    return found


def organ_evidence(twin: Twin) -> str:
    """Grades of the organs' alpha/beta by name, as JSON."""
    names = {str(organ.parameter) for organ in organs_of(twin).values()}
    return json.dumps({name: twin.parameters[name].evidence for name in sorted(names)})
