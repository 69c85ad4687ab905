"""The plan of a study as plain data that JSON can hold."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scenarios.planning.doses import OrganPlan
    from scenarios.planning.plan import ArmPlan, StudyPlan
    from scenarios.planning.schedule import DrugPlan, FractionPlan

__all__ = ["plan_record"]


def plan_record(plan: StudyPlan) -> dict[str, Any]:
    """All that the text says, by name; dates as text such as 2026-04-27, units in the names."""
    calendar = plan.calendar
    return {
        "study": plan.study,
        "patient": plan.patient,
        "body_surface_m2": plan.body_surface_m2,
        "gfr_ml_min": plan.gfr_ml_min,
        "day_0": calendar.date(0).isoformat(),
        "end": calendar.date(plan.days).isoformat(),
        "end_day": plan.days,
        "tumour_alpha_beta_gy": plan.alpha_beta_gy,
        "markers": list(plan.markers),
        "drug_remarks": list(plan.drug_remarks),
        "before_day_0": {
            "sentences": list(plan.past.sentences),
            "radiotherapy": [_fractions(course) for course in plan.past.fractions],
            "operations": [date.isoformat() for date in plan.past.operation_dates],
        },
        "scenarios": [_arm(arm) for arm in plan.arms],
        "cases": [{"name": name, "description": text} for name, text in plan.cases],
        "runs": plan.runs,
        "warnings": [
            {**asdict(item.warning), "scenarios": list(item.arms)} for item in plan.warnings
        ],
        "drugs_without_limits": list(plan.unchecked),
        "hypoxia": plan.hypoxia or None,
        "recovery": plan.recovery or None,
        "isotoxic": plan.isotoxic,
    }


def _plain(value: Any) -> Any:
    """Dates as text, tuples as lists."""
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value


def _arm(arm: ArmPlan) -> dict[str, Any]:
    fields = {
        "number": arm.number,
        "name": arm.name,
        "compared_with": arm.compared_with,
        "differs_in": arm.differs_in,
        "sentences": arm.sentences,
        "first": arm.first,
        "last": arm.last,
        "operations": [asdict(operation) for operation in arm.operations],
        "radiotherapy": [
            {**_fractions(course), "targets": asdict(target)}
            for course, target in zip(arm.fractions, arm.targets, strict=True)
        ],
        "drugs": [_drug(drug) for drug in arm.drugs],
        "hyperthermia": [asdict(plan) for plan in arm.heat],
        "organs": [_organ(organ) for organ in arm.organs],
        "organs_as_in": arm.doses_as_in,
        "organs_known_after_the_run_only": arm.replanned,
        **({} if arm.control is None else {"tumour_control": arm.control.record()}),
        "isotoxic": arm.isotoxic,
    }
    return {name: _plain(value) for name, value in fields.items()}


def _fractions(course: FractionPlan) -> dict[str, Any]:
    kept = _plain(asdict(course))
    return {**kept, "overall_days": course.overall_days, "treatment_days": len(course.dates)}


def _drug(drug: DrugPlan) -> dict[str, Any]:
    return {
        "drug": drug.drug,
        "blocks": [
            {
                "label": block.label,
                "first": block.dates[0],
                "last": block.dates[-1],
                "doses": len(block.dates),
                "mg_m2": block.mg_m2,
                "mg": drug.mg(block),
            }
            for block in drug.blocks
        ],
        "doses": drug.doses,
        "total_mg_m2": drug.total_mg_m2,
        "total_mg": drug.total_mg,
    }


def _organ(organ: OrganPlan) -> dict[str, Any]:
    kept = asdict(organ)
    kept["complication"] = organ.complication.record()
    kept["readings"] = [
        {
            "of": reading.name,
            "measure": reading.limit.measure,
            "eqd2_gy": reading.value_gy,
            "eqd2_recovered_gy": reading.recovered_gy,
            "limit_gy": reading.limit.value,
            "source": reading.limit.source,
        }
        for reading in organ.readings
    ]
    return kept
