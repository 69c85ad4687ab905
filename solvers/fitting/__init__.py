"""Dose response and growth fitted to measurements: colonies in dishes, tumours in animals."""

from solvers.fitting.colonies import ColonyCurve, ColonyTable, read_colonies
from solvers.fitting.estimate import Estimate
from solvers.fitting.growth_curves import GrowthFit, LawFit, fit_growth, typical_curve
from solvers.fitting.survival_curves import SurvivalFit, fit_survival, survival_band
from solvers.fitting.tumour_volumes import TumourVolumes, read_volumes, tumour_volumes

__all__ = [
    "ColonyCurve",
    "ColonyTable",
    "Estimate",
    "GrowthFit",
    "LawFit",
    "SurvivalFit",
    "TumourVolumes",
    "fit_growth",
    "fit_survival",
    "read_colonies",
    "read_volumes",
    "survival_band",
    "tumour_volumes",
    "typical_curve",
]
