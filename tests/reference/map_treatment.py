"""Routes of the groups of dose response: every function is the project's own."""

import numpy as np

from reference.routes import Route
from scenarios import metrics
from solvers import dose_response as response


def survival(case):
    i = case["inputs"]
    each = response.surviving_fraction(i["d"], alpha=i["alpha"], alpha_beta=i["alpha"] / i["beta"])
    return float(each) ** i["n"]


def log_survival(case):
    i = case["inputs"]
    each = response.log_surviving_fraction(
        i["d"],
        alpha=i["alpha"],
        alpha_beta=i["alpha"] / i["beta"],
        transition_dose=i.get("d_T", np.inf),
    )
    return -i["n"] * float(each)


LQ = [Route(".*_S", survival), Route(".*minus_lnS", log_survival)]
LQL = [Route(".*_S", lambda case: float(np.exp(-log_survival(case)))), Route(".*", log_survival)]


def bed(case):
    i = case["inputs"]
    return float(metrics.bed(i["n"] * i["d"], i["n"], i["alpha_beta"]))


def eqd2(case):
    i = case["inputs"]
    return float(metrics.eqd2(i["n"] * i["d"], i["n"], i["alpha_beta"]))


def equal_bed(case):
    i = case["inputs"]
    return metrics.dose_per_fraction_of_bed(i["target_bed"], i["n"], i["alpha_beta"])


def repopulated(case):
    i = case["inputs"]
    return metrics.bed_with_repopulation(
        bed(case), i["T"], kickoff_day=i["Tk"], doubling_day=i["Tp"], alpha=i["alpha"]
    )


def loss(case):
    i = case["inputs"]
    return metrics.dose_to_repopulation_a_day(i["alpha"], i["Tp"])


def loss_in_eqd2(case):
    """What a day takes back, in fractions of 2 Gy: by the ratio of EQD2 and BED of one."""
    ratio = case["inputs"]["alpha_beta"]
    two = float(metrics.eqd2(2.0, 1, ratio)) / float(metrics.bed(2.0, 1, ratio))
    return loss(case) * two


BED = [Route("equal_bed.*", equal_bed), Route(".*", bed)]
EQD2 = [Route(".*", eqd2)]
REPOPULATION = [
    Route("bed_loss.*", loss),
    Route("eqd2_loss.*", loss_in_eqd2),
    Route(".*", repopulated),
]


def pulses(case):
    i = case["inputs"]
    return -response.log_survival_of_acute_doses(
        i["doses"], i["times_h"], alpha=i["alpha"], beta=i["beta"], half_life_h=i["T_half_h"]
    )


REPAIR = [
    Route(
        "G_.*",
        lambda case: float(
            response.lea_catcheside(case["inputs"]["T_beam_h"], case["inputs"]["T_half_h"])
        ),
    ),
    Route(
        "h_.*",
        lambda case: response.thames_factor(
            case["inputs"]["m"], case["inputs"]["dT_h"], case["inputs"]["T_half_h"]
        ),
    ),
    Route("acute_.*", pulses),
]


def enhancement(case):
    i = case["inputs"]
    return float(response.oxygen_enhancement(i["p_mmHg"], i["m"], i["k_mmHg"]))


def hypoxic_log_survival(case):
    i = case["inputs"]
    alpha, beta = response.with_hypoxia(
        i["alpha_oxic"], i["beta_oxic"], i["p_mmHg"], i["m"], i["k_mmHg"]
    )
    ratio = float(alpha) / float(beta)
    return -float(response.log_surviving_fraction(i["d"], alpha=float(alpha), alpha_beta=ratio))


OER = [Route(".*minus_lnS.*", hypoxic_log_survival), Route("p_.*|.*oer.*", enhancement)]


def effectiveness(case):
    i = case["inputs"]
    return float(
        response.proton_rbe(
            i["d_proton"],
            i.get("LETd_keV_um", 0.0),
            alpha_beta=i.get("alpha_beta", 10.0),
            model=i["model"],
        )
    )


RBE = [Route(".*", effectiveness)]


def control(case):
    i = case["inputs"]
    known = {
        "overall_time_day": i.get("T", 0.0),
        "kickoff_day": i.get("Tk", np.inf),
        "doubling_day": i.get("Tp", np.inf),
    }
    log_left = metrics.log_survival_of_course(
        i["n"], i["d"], alpha=i["alpha"], beta=i["beta"], **known
    )
    return metrics.tumour_control(i["N"], log_left)


def population(case):
    i = case["inputs"]
    return metrics.population_control(
        i["N"],
        float(metrics.bed(i["n"] * i["d"], i["n"], i["alpha_beta"])),
        alpha_mean=i["alpha_mean"],
        alpha_sd=i["alpha_sd"],
        truncated=not str(i.get("truncation", "none")).startswith("none"),
    )


TCP = [Route("population.*", population), Route(".*", control)]
