"""Routes of the groups growth, fisher, heat_kernel, box_modes and ball_modes."""

import math

from reference.routes import Route
from solvers.closed_forms import diffusion, growth, modes, waves
from solvers.dose_response import log_surviving_fraction


def logistic(case):
    i = case["inputs"]
    size = i.get("N0", i.get("V0"))
    common = size, i["rho"]
    capacity = i.get("K", 1.0)
    if "times" in i:
        return growth.logistic_with_impulses(*common, i["times"], i["survival"], i["t"], capacity)
    if "kappa0" in i:
        return growth.logistic_with_decaying_kill(*common, i["kappa0"], i["k_el"], i["t"], capacity)
    if "kappa" in i:
        return growth.logistic_with_kill(*common, i["kappa"], i["t"], capacity)
    return growth.logistic(*common, i["t"], capacity)


def gompertz(case):
    i = case["inputs"]
    size = i.get("V0", i.get("N0"))
    if "times" in i:
        return growth.gompertz_with_impulses(
            size, i["a"], i["times"], i["survival"], i["t"], i["K"]
        )
    if "kappa" in i:
        return growth.gompertz_with_kill(size, i["a"], i["kappa"], i["t"], i["K"])
    return growth.gompertz(size, i["a"], i["t"], i["K"])


def delay_of_radiotherapy(case):
    """Through the engine's survival, in the logarithm: 30 fractions may leave 1e-10."""
    i = case["inputs"]
    each = log_surviving_fraction(i["d"], alpha=i["alpha"], alpha_beta=i["alpha_beta"])
    return growth.exponential_delay(math.exp(i["n"] * float(each)), i["rho"])


def volume_doubling(case):
    i = case["inputs"]
    return growth.volume_doubling_time(i["V1"], i["V2"], i["dt"])


def exponential(case):
    i = case["inputs"]
    if "S" in i:
        return growth.exponential_delay(i["S"], i["rho"])
    if "t" not in i:
        return growth.doubling_time(i["rho"])
    return growth.exponential(i.get("N0", i.get("V0", 1.0)), i["rho"], i["t"])


GROWTH = [
    Route("logistic.*", logistic),
    Route("gompertz.*", gompertz),
    Route("rt_delay.*", delay_of_radiotherapy),
    Route("vdt.*", volume_doubling),
    Route("exponential.*|doubling.*", exponential),
]


def rims(case):
    i = case["inputs"]
    inner, outer = (float(f"0.{d[1:]}") for d in case["id"].split("_rim_")[1].split("_")[:2])
    return waves.rim_distance(inner, outer, i.get("D", 1.0), i.get("rho", 1.0))


def with_growth(function):
    """An adapter of a function of diffusivity and rate alone."""
    return lambda case: function(case["inputs"]["D"], case["inputs"]["rho"])


def bramson(case):
    i = case["inputs"]
    dimension = i.get("dim", 3 if "3d" in case["id"] else 2 if "2d" in case["id"] else 1)
    return waves.bramson_speed(i["D"], i["rho"], i["t"], dimension)


def exact_wave(case):
    i = case["inputs"]
    return float(waves.ablowitz_zeppetella(i["x"], i["t"], i["D"], i["rho"]))


FISHER = [
    Route("speed_bramson.*", bramson),
    Route("speed_.*", with_growth(waves.wave_speed)),
    Route("ablowitz_zeppetella_speed", with_growth(waves.ablowitz_zeppetella_speed)),
    Route("ablowitz_zeppetella_.*", exact_wave),
    Route("min_speed_rim_.*", rims),
    Route(".*leading_edge.*|.*tail.*", with_growth(waves.leading_edge_length)),
    Route("critical_slab.*", with_growth(waves.critical_slab_width)),
    Route("critical_(ball|sphere|radius).*", with_growth(waves.critical_ball_radius)),
    Route("critical_cylinder.*", with_growth(waves.critical_cylinder_radius)),
]


def kernel(case):
    i = case["inputs"]
    return float(
        diffusion.heat_kernel(
            i["r"], i["t"], i["D"], dimension=i.get("dim", 3), mass=i.get("mass", 1.0),
            rate=i.get("rho", 0.0),
        )
    )  # fmt: skip


def gaussian(case):
    i = case["inputs"]
    dimension = int(case["id"].split("gaussian_")[1][0])
    return float(
        diffusion.gaussian_spread(
            i["r"], i["t"], i["D"], sigma=i["sigma0"], amplitude=i.get("amplitude", 1.0),
            dimension=dimension,
        )
    )  # fmt: skip


def anisotropic(case):
    i = case["inputs"]
    return float(diffusion.anisotropic_kernel(i["x"], i["t"], i["D"], mass=i.get("mass", 1.0)))


def visible(case):
    i = case["inputs"]
    return diffusion.visible_radius(
        i["t"], i["D"], i["rho"], mass=i["mass"], threshold=i["u_vis"], dimension=i.get("dim", 3)
    )


HEAT_KERNEL = [
    Route("d[123]_.*|with_growth.*", kernel),
    Route("gaussian_[123]d.*", gaussian),
    Route("anisotropic.*", anisotropic),
    Route("visible_radius.*", visible),
]

METHODS = "backward_euler|forward_euler|crank_nicolson|bdf2"


def stepped(case):
    i = case["inputs"]
    method = next(m for m in METHODS.split("|") if m in case["id"]).replace("_", "-")
    if "z" in i:
        return modes.step_factor(method, i["z"])
    rate = modes.box_mode_rate([i["L"]], [i["n"]], i["D"])
    return modes.stepped_amplitude(method, rate, i["dt"], i["steps"])


def box(case):
    i = case["inputs"]
    boundary = "no-flux" if i.get("bc", "no-flux").lower() in ("no-flux", "neumann") else "zero"
    return modes.box_mode_amplitude(
        i["L"], i["n"], i["D"], i["t"], i.get("rho", 0.0), boundary=boundary
    )


BOX_MODES = [
    Route(f"({METHODS}).*", stepped),
    Route("(cos|sin|const|dirichlet|no_flux).*", box),
]


def root(case):
    i = case["inputs"]
    boundary = "zero" if "dirichlet" in case["id"] else "no-flux"
    return modes.ball_root(i["l"], i["index"], boundary)


def ball_value(case):
    i = case["inputs"]
    boundary = "zero" if "dirichlet" in case["id"] else "no-flux"
    start = modes.ball_mode(
        i["r"], i.get("theta", 0.0), i["R"], i["l"], i["index"], order=i.get("m", 0),
        phi=i.get("phi", 0.0), boundary=boundary,
    )  # fmt: skip
    rate = modes.ball_mode_rate(i["R"], i["D"], i["l"], i["index"], boundary)
    return float(start) * math.exp(-rate * i["t"])


def ball_decay(case):
    i = case["inputs"]
    boundary = "zero" if "dirichlet" in case["id"] else "no-flux"
    rate = modes.ball_mode_rate(i["R"], i["D"], i.get("l", 0), i.get("n", i.get("index")), boundary)
    return math.exp(-rate * i["t"])


BALL_MODES = [
    Route("(neumann|dirichlet)_root.*", root),
    Route("(neumann|dirichlet)_value.*", ball_value),
    Route("(neumann|dirichlet)_decay.*", ball_decay),
]
