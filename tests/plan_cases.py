"""A treatment of the small patient that no planner would question, and what its plan says."""

from dataclasses import replace

from scenarios.planning import plan_study
from scenarios.study import Study
from twin.courses import Radiotherapy, Temozolomide
from twin.regimen import Regimen

#: Narrow margins, so that the small head's brainstem is spared.
RT = Radiotherapy(
    total_dose_gy=60.0, fractions=30, start_day=28.0, ctv_margin_mm=2.0, ptv_margin_mm=1.0
)
WHOLE_BRAIN = replace(RT, target="brain", ctv_margin_mm=0.0, ptv_margin_mm=0.0)
TMZ = Temozolomide()


def planned(anatomy, *courses, **options):
    """The plan of one treatment."""
    return plan_study(Study({"arm": Regimen(*courses)}, days=540.0, **options), anatomy)


def rules(plan):
    return [item.warning.rule for item in plan.warnings]


def found(plan, rule):
    (item,) = [item.warning for item in plan.warnings if item.warning.rule == rule]
    return item
