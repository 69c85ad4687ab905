"""Cell kill by radiation, drugs, heat and immune cells, as pure functions of arrays."""

from solvers.dose_response.drugs import emax_rate, log_kill, sensitised
from solvers.dose_response.hyperthermia import equivalent_minutes, thermal_enhancement
from solvers.dose_response.immunity import CheckpointDrug, Kuznetsov, fractional_kill
from solvers.dose_response.kinetics import (
    Kinetics,
    calvert_dose,
    one_compartment,
    oral,
    temozolomide,
    two_compartments,
)
from solvers.dose_response.linear_quadratic import log_surviving_fraction, surviving_fraction
from solvers.dose_response.oxygen import hypoxia_factor, oxygen_enhancement, with_hypoxia
from solvers.dose_response.particles import constant_rbe, proton_factors, proton_rbe
from solvers.dose_response.repair import (
    lea_catcheside,
    log_survival_of_acute_doses,
    repair_between,
    thames_factor,
)

__all__ = [
    "CheckpointDrug",
    "Kinetics",
    "Kuznetsov",
    "calvert_dose",
    "constant_rbe",
    "emax_rate",
    "equivalent_minutes",
    "fractional_kill",
    "hypoxia_factor",
    "lea_catcheside",
    "log_kill",
    "log_survival_of_acute_doses",
    "log_surviving_fraction",
    "one_compartment",
    "oral",
    "oxygen_enhancement",
    "proton_factors",
    "proton_rbe",
    "repair_between",
    "sensitised",
    "surviving_fraction",
    "temozolomide",
    "thames_factor",
    "thermal_enhancement",
    "two_compartments",
    "with_hypoxia",
]
