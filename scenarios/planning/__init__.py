"""Before anything runs: the whole treatment of each scenario, with dates, doses and warnings."""

from scenarios.planning.limits import load_limits
from scenarios.planning.plan import StudyPlan, plan_study

__all__ = ["StudyPlan", "load_limits", "plan_study"]
