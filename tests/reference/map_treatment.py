"""Routes of the groups of treatment and of metrics: every function is the project's own."""

from reference.routes import Route, missing
from scenarios import metrics
from solvers.dose_response import (
    OneCompartment,
    log_surviving_fraction,
    oxygen_enhancement,
    surviving_fraction,
    with_hypoxia,
)
from twin.events import DrugDose
from twin.parameters import LogNormal


def survival(case):
    i = case["inputs"]
    each = surviving_fraction(i["d"], alpha=i["alpha"], alpha_beta=i["alpha"] / i["beta"])
    return float(each) ** i["n"]


def log_survival(case):
    i = case["inputs"]
    each = log_surviving_fraction(i["d"], alpha=i["alpha"], alpha_beta=i["alpha"] / i["beta"])
    return -i["n"] * float(each)


LQ = [Route(".*_S", survival), Route(".*minus_lnS", log_survival)]


def bed(case):
    i = case["inputs"]
    return float(metrics.bed(i["n"] * i["d"], i["n"], i["alpha_beta"]))


def eqd2(case):
    i = case["inputs"]
    return float(metrics.eqd2(i["n"] * i["d"], i["n"], i["alpha_beta"]))


BED = [missing("equal_bed.*", "scenarios.metrics.dose_per_fraction_of_bed"), Route(".*", bed)]
EQD2 = [Route(".*", eqd2)]


def hottest(case):
    """The dose that a volume, or a share of all of it, gets at least; 'step' convention."""
    import numpy as np

    i = case["inputs"]
    dose, volumes = np.array(i["doses"]), np.array(i["volumes"])
    wanted = i["volume"] if "volume" in i else i["x"] * volumes.sum()
    return metrics.dose_to_hottest_volume(dose, np.ones(dose.shape, bool), volumes, wanted)


DVH = [
    Route("step_.*|D_abs_.*_step", hottest),
    missing("V_.*", "scenarios.metrics.volume_receiving"),
    missing("linear_.*|D_abs_.*", "scenarios.metrics.dose_at_volume"),
    missing("mean.*|max.*|min.*|hi.*|homogeneity.*", "scenarios.metrics.dose_statistics"),
    missing("paddick.*|.*ci.*|.*index.*", "scenarios.metrics.paddick_index"),
]


def area(case):
    """All of the area under one dose's curve, long after it."""
    i = case["inputs"]
    half_life = 0.6931471805599453 * i["V_L"] / i["CL_L_h"]
    kinetics = OneCompartment(clearance_l_h=i["CL_L_h"], half_life_h=half_life, body_surface_m2=1.0)
    doses = [DrugDose(0.0, "temozolomide", i["dose_mg"])]
    return float(kinetics.exposure(doses, 1000.0 * half_life / 24.0))


PK = [Route("bolus_AUC_inf", area), missing(".*", "solvers.dose_response.concentration")]


def quantile(case):
    i = case["inputs"]
    return LogNormal(i["median"], i["sigma_ln"]).quantile(i["q"])


PRIOR = [
    Route("lognormal_q.*", quantile),
    missing("lognormal_.*|speed_.*", "twin.parameters.LogNormal.mean"),
    missing(".*", "solvers.calibration.log_volume_likelihood"),
]


def enhancement(case):
    i = case["inputs"]
    return float(oxygen_enhancement(i["p_mmHg"], i["m"], i["k_mmHg"]))


def hypoxic_log_survival(case):
    i = case["inputs"]
    alpha, beta = with_hypoxia(i["alpha_oxic"], i["beta_oxic"], i["p_mmHg"], i["m"], i["k_mmHg"])
    ratio = float(alpha) / float(beta)
    return -float(log_surviving_fraction(i["d"], alpha=float(alpha), alpha_beta=ratio))


OTHERS = {
    "repopulation": [missing(".*", "scenarios.metrics.bed_with_repopulation")],
    "lql": [missing(".*", "solvers.dose_response.log_surviving_fraction of the LQ-L model")],
    "incomplete_repair": [missing(".*", "solvers.dose_response.lea_catcheside")],
    "oer": [Route(".*minus_lnS.*", hypoxic_log_survival), Route("p_.*|.*oer.*", enhancement)],
    "rbe": [missing(".*", "solvers.dose_response.proton_rbe")],
    "tcp": [missing(".*", "scenarios.metrics.tumour_control")],
    "geud": [missing(".*", "scenarios.metrics.generalised_eud")],
    "ntcp": [missing(".*", "scenarios.metrics.complication_probability")],
    "pd": [missing(".*", "solvers.dose_response.drug_kill")],
    "immune": [missing(".*", "solvers.models of immunotherapy")],
    "rano": [missing(".*", "twin.response.rano")],
    "recist": [missing(".*", "twin.response.recist")],
    "overlap": [missing(".*", "scenarios.metrics.dice")],
    "metrics": [missing(".*", "scenarios.metrics.concordance")],
}
