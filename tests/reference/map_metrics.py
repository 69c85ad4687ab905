"""Routes of dose to volumes, complication, response, overlap and forecasts."""

import numpy as np

from reference.routes import Route
from scenarios import metrics
from twin.parameters import LogNormal
from twin.response_categories import (
    ellipsoid_volume,
    rano,
    recist,
    volume_ratio_of_products,
)


def hottest(case):
    """The dose that a volume, or a share of all of it, gets at least."""
    i = case["inputs"]
    return metrics.dose_at_volume(
        i["doses"],
        i["volumes"],
        share=i.get("x"),
        volume=i.get("volume"),
        convention=i["convention"],
    )


def receiving(case):
    i = case["inputs"]
    return metrics.volume_receiving(i["doses"], i["volumes"], i["level"])


def conformity(case):
    i = case["inputs"]
    return metrics.paddick_index(i["TV"], i["PIV"], i["TV_PIV"])


def statistic(name):
    def answer(case):
        i = case["inputs"]
        found = metrics.dose_statistics(
            i["doses"], i["volumes"], convention=i.get("convention", "step")
        )
        return getattr(found, name)

    return answer


DVH = [
    Route("V_.*", receiving),
    Route("paddick.*|.*conformity.*", conformity),
    Route("mean.*", statistic("mean")),
    Route("max.*", statistic("greatest")),
    Route("min.*", statistic("least")),
    Route("hi.*|homogeneity.*", statistic("homogeneity")),
    Route(".*", hottest),
]


def equivalent(case):
    i = case["inputs"]
    return metrics.generalised_eud(i["doses"], i["volumes"], a=i["a"])


GEUD = [Route(".*", equivalent)]


def lyman(case):
    i = case["inputs"]
    return metrics.lyman_complication(i["doses"], i["volumes"], n=i["n"], m=i["m"], td50=i["TD50"])


def log_logistic(case):
    i = case["inputs"]
    steep = metrics.steepness_of_anchor(*i["anchor"], td50=i["TD50"])
    return metrics.log_logistic_complication(i["D_eqd2"], td50=i["TD50"], steepness=steep)


NTCP = [Route(".*loglogistic.*", log_logistic), Route(".*", lyman)]


def category(case):
    i = case["inputs"]
    return rano(
        i["baseline"], i["nadir"], i["current"], mode=i["mode"],
        new_lesion=i["new_lesion"], non_enhancing=i["non_enhancing"],
    )  # fmt: skip


def ellipsoid(case):
    i = case["inputs"]
    return ellipsoid_volume(i["a_mm"], i["b_mm"], i["c_mm"])


RANO = [
    Route("sphere.*", lambda case: volume_ratio_of_products(case["inputs"]["product_ratio"])),
    Route("ellipsoid.*", ellipsoid),
    Route(".*", category),
]


def diameters(case):
    i = case["inputs"]
    return recist(
        i["baseline_sum_mm"], i["nadir_sum_mm"], i["current_sum_mm"], new_lesion=i["new_lesion"]
    )


RECIST = [Route(".*", diameters)]


def of_masks(function, **options):
    def answer(case):
        i = case["inputs"]
        more = dict(options)
        if "spacing" in i:
            more["spacing"] = i["spacing"]
        return float(function(np.array(i["A"], bool), np.array(i["B"], bool), **more))

    return answer


OVERLAP = [
    Route("dice.*", of_masks(metrics.dice)),
    Route("jaccard.*", of_masks(metrics.jaccard)),
    Route("hausdorff.*", of_masks(metrics.hausdorff)),
    Route("hd95.*", of_masks(metrics.hausdorff, percentile=95.0)),
]


def of(function, *names):
    return lambda case: float(function(*(case["inputs"][name] for name in names)))


METRICS = [
    Route("ccc.*", of(metrics.concordance, "x", "y")),
    Route("crps_normal.*", of(metrics.crps_of_normal, "mu", "sigma", "y")),
    Route("crps_ensemble.*", of(metrics.crps_of_ensemble, "ensemble", "y")),
    Route("coverage.*", of(metrics.coverage, "lower", "upper", "y")),
    Route("brier.*", of(metrics.brier_score, "p", "o")),
    Route("rmse_log.*", of(metrics.log_volume_error, "V_model", "V_obs")),
    Route("km.*", of(metrics.kaplan_meier, "time", "event", "t")),
]


def prior(case):
    return LogNormal(case["inputs"]["median"], case["inputs"]["sigma_ln"])


def speed(case):
    """Median of 2 sqrt(D rho) with both priors log-normal."""
    i = case["inputs"]
    one = LogNormal(i["D_median"], i.get("sigma_ln_D", i.get("sigma_ln", 0.9)))
    other = LogNormal(i["rho_median"], i.get("sigma_ln_rho", i.get("sigma_ln", 0.9)))
    product = one.times(other)
    if "sigma" in case["id"] or case["id"].endswith("_sd"):
        return product.sigma_ln / 2.0
    return 2.0 * product.median**0.5


def likelihood(case):
    i = case["inputs"]
    return metrics.log_volume_likelihood(i["V_model"], i["V_obs"], i["sigma_ln"])


def updated(case):
    i = case["inputs"]
    return LogNormal(1.0, i["prior_sigma_ln"]).updated([1.0] * i["n"], i["sigma_ln_obs"]).sigma_ln


PRIOR = [
    Route("lognormal_q.*", lambda case: prior(case).quantile(case["inputs"]["q"])),
    Route("lognormal_mean.*", lambda case: prior(case).mean),
    Route("lognormal_sd.*", lambda case: prior(case).sd),
    Route("speed.*", speed),
    Route("gaussian_likelihood.*", likelihood),
    Route("conjugate.*", updated),
]
