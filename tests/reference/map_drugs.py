"""Routes of drugs and immune cells: every function is the project's own."""

from types import SimpleNamespace

import numpy as np

from reference.routes import Route
from solvers import dose_response as response

LN2 = float(np.log(2.0))


def kinetics(i, **more):
    """One compartment of the case; amounts by body surface are those of 1 m2."""
    known = {
        "clearance_l_h": i["CL_L_h"],
        "half_life_h": LN2 * i["V_L"] / i["CL_L_h"],
        "body_surface_m2": 1.0,
    }
    if "ka_1_h" in i:
        return response.oral(
            absorption_1_h=i["ka_1_h"], bioavailability=i.get("F", 1.0), **known, **more
        )
    return response.one_compartment(infusion_h=i.get("T_inf_h", 0.0), **known, **more)


def amount(i):
    return i["dose_mg"] if "dose_mg" in i else i["rate_mg_h"] * i["T_inf_h"]


def doses(i):
    """Each of them, `tau_h` apart, in days."""
    number = i.get("n", 1)
    return [
        SimpleNamespace(day=k * i.get("tau_h", 24.0) / 24.0, mg_m2=amount(i)) for k in range(number)
    ]


def concentration(case):
    i = case["inputs"]
    return float(kinetics(i).concentration(doses(i), i["t_h"] / 24.0))


def area(case):
    i = case["inputs"]
    return float(kinetics(i).exposure(doses(i), 1e5))


def two(case):
    i = case["inputs"]
    found = response.two_compartments(
        volume_l=i["V1_L"], k10=i["k10"], k12=i["k12"], k21=i["k21"], body_surface_m2=1.0,
        infusion_h=i.get("T_inf_h", 0.0),
    )  # fmt: skip
    if "t_h" not in i:
        return float(found.exposure(doses(i), 1e6))
    return float(found.concentration(doses(i), i["t_h"] / 24.0))


def two_rates(case):
    i = case["inputs"]
    found = response.two_compartments(
        volume_l=i.get("V1_L", 1.0), k10=i["k10"], k12=i["k12"], k21=i["k21"], body_surface_m2=1.0
    )
    return sorted(found.rates, reverse=True)


def half_life(case):
    i = case["inputs"]
    return LN2 / kinetics(i).rates[0]


def steady_of_infusion(case):
    """Long into an infusion that does not end: its concentration."""
    i = case["inputs"]
    long = {**i, "T_inf_h": 1e4 * i["V_L"] / i["CL_L_h"]}
    return float(kinetics(long).concentration(doses(long), long["T_inf_h"] / 24.0))


def time_of_peak(case):
    i = case["inputs"]
    slow, fast = kinetics(i).rates
    return float(np.log(fast / slow) / (fast - slow))


def steady(case):
    i = case["inputs"]
    return kinetics(i).steady(i["dose_mg"], i["tau_h"])


def calvert(case):
    i = case["inputs"]
    return response.calvert_dose(i["target_AUC"], i["GFR_ml_min"])


PK = [
    Route("k", lambda case: kinetics(case["inputs"]).rates[0]),
    Route(".*half_life.*|t_half.*", half_life),
    Route("steady_peak.*", lambda case: steady(case)[0]),
    Route("steady_average.*|steady_mean.*", lambda case: steady(case)[1]),
    Route("infusion_steady", steady_of_infusion),
    Route("two_compartment_(rates|alpha_beta|eigen).*", two_rates),
    Route("two_compartment.*", two),
    Route("oral_tmax.*|.*_tmax", time_of_peak),
    Route(".*Cmax", lambda c: kinetics(c["inputs"]).peak(amount(c["inputs"]))),
    Route(".*AUC.*", area),
    Route("calvert.*", calvert),
    Route(".*", concentration),
]


def killed(case):
    i = case["inputs"]
    return float(response.log_kill(area(case), i["kappa_L_mg_h"]))


def emax(case):
    i = case["inputs"]
    return float(response.emax_rate(i["C"], largest=i["Emax"], half=i["EC50"], hill=i["hill"]))


def course_area(case):
    """Exposure to a whole course: its doses one after the other."""
    i = case["inputs"]
    daily, later = i["concurrent"], i["adjuvant"]
    given = [SimpleNamespace(day=float(k), mg_m2=daily["mg"]) for k in range(daily["doses"])]
    given += [
        SimpleNamespace(day=100.0 + 28.0 * cycle + k, mg_m2=later["mg"])
        for cycle in range(later["cycles"])
        for k in range(later["days"])
    ]
    return float(kinetics(i).exposure(given, 1e5))


PD = [Route("log_kill.*", killed), Route("emax.*", emax), Route(".*auc.*", course_area)]


def equations(i):
    return response.Kuznetsov(**{name: i[name] for name in "abdgmnps"})


def equilibrium(case):
    number = int(case["id"].rsplit("_", 1)[1])
    return list(equations(case["inputs"]).equilibria()[number])


def course(case):
    i = case["inputs"]
    return equations(i).course(i["E0"], i["T0"], [i["t"]])[:, 0].tolist()


def kill_rate(case):
    i = case["inputs"]
    return float(
        response.fractional_kill(i["L"], i["T"], largest=i["d"], power=i["l"], half=i["s"])
    )


IMMUNE = [
    Route("kuznetsov_tumour_free.*", lambda case: equations(case["inputs"]).tumour_free()),
    Route("kuznetsov_equilibrium.*", equilibrium),
    Route("kuznetsov_.*", course),
    Route("depillis.*", kill_rate),
]
