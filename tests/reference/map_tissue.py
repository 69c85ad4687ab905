"""Routes of the groups oxygen, elasticity, dti and resection."""

import math
import re

import numpy as np

from reference.routes import Route
from solvers.closed_forms import growing_ball as ball
from solvers.closed_forms import mechanics, oxygen, surgery, tensors, thick_walls
from solvers.tensor_diffusion import sharpened
from twin.diffusion_tensor import log_tensor, to_matrices


def critical(case):
    i = case["inputs"]
    function = oxygen.critical_slab_half_width if "slab" in case["id"] else oxygen.critical_radius
    return function(i["p0"], i["M"], i["D"])


def spheroid(case):
    i = case["inputs"]
    return oxygen.spheroid_pressure(i.get("r", 0.0), i["p0"], i["M"], i["D"], i["R"])


def necrotic(case):
    i = case["inputs"]
    core = oxygen.necrotic_radius(i["p0"], i["M"], i["D"], i["R"])
    return i["R"] - core if "rim" in case["id"] else core


def first_order(case):
    i = case["inputs"]
    shape = re.match(r".*first_order_(slab|cylinder|sphere|ball)", case["id"])[1]
    function = {
        "slab": oxygen.first_order_slab,
        "cylinder": oxygen.first_order_cylinder,
        "sphere": oxygen.first_order_ball,
        "ball": oxygen.first_order_ball,
    }[shape]
    size = i.get("half_width", i.get("R"))
    return function(i.get("x", i.get("r", 0.0)), i["p0"], i["k"], i["D"], size)


def length(case):
    return oxygen.diffusion_length(case["inputs"]["k"], case["inputs"]["D"])


def krogh(case):
    i = case["inputs"]
    vessel = i.get("r_v", i.get("r_c", i.get("a")))
    return oxygen.krogh_cylinder(
        i["r"], i.get("p0", i.get("p_v")), i["M"], i["D"], vessel, i.get("R", i.get("b"))
    )


OXYGEN = [
    Route("critical.*", critical),
    Route("spheroid.*", spheroid),
    Route("necrotic.*|.*rim.*", necrotic),
    Route("first_order.*", first_order),
    Route(".*length.*", length),
    Route("krogh.*", krogh),
]

STATE = {"u": "displacement", "sigma_r": "radial", "sigma_t": "hoop", "sigma_z": "axial"}


def modulus(case):
    name = case["id"].split(".")[1].split("_")[0]
    function = {
        "lambda": mechanics.lame_lambda,
        "bulk": mechanics.bulk_modulus,
        "K": mechanics.bulk_modulus,
        "G": mechanics.shear_modulus,
        "shear": mechanics.shear_modulus,
    }[name]
    return function(case["inputs"]["E"], case["inputs"]["nu"])


def uniaxial(case):
    i = case["inputs"]
    return mechanics.uniaxial_strains(i["E"], i["nu"], i["traction_x"]).tolist()


def hydrostatic(case):
    i = case["inputs"]
    return mechanics.hydrostatic_stress(i["E"], i["nu"], i["eps"])


def sheared(case):
    i = case["inputs"]
    return mechanics.shear_stress(i["E"], i["nu"], i["gamma_xy"])


def general(case):
    i = case["inputs"]
    given = i["E"], i["nu"], i["eps"]
    if "energy" in case["id"]:
        return mechanics.energy_density(*given)
    stress = mechanics.stress_voigt(*given)
    scalar = "vm" in case["id"] or "mises" in case["id"]
    return mechanics.von_mises(stress) if scalar else stress.tolist()


def read_off(case, state):
    """The quantity that the id names."""
    if re.search(r"_(vm|von_mises)_", case["id"]):
        return state.von_mises
    name = re.search(r"_(u|sigma_r|sigma_t|sigma_z)_", case["id"])[1]
    return getattr(state, STATE[name])


def walls(case):
    i = case["inputs"]
    sphere = "sphere" in case["id"]
    function = thick_walls.sphere_under_pressure if sphere else thick_walls.cylinder_under_pressure
    state = function(
        i["r"], young=i["E"], poisson=i["nu"], inner_radius=i["a"], outer_radius=i["b"],
        inner_pressure=i.get("p_inner", 0.0), outer_pressure=i.get("p_outer", 0.0),
    )  # fmt: skip
    return read_off(case, state)


def grown(case):
    i = case["inputs"]
    square = float(re.fullmatch(r"exp\(-r\^2/([0-9.]+)\)", i["u"])[1])
    state = ball.growing_ball(
        i["r"], young=i["E"], poisson=i["nu"], radius=i["R"], growth_strain=i["g"],
        density=lambda s: math.exp(-s * s / square),
        moment=lambda r: ball.gaussian_moment(r, math.sqrt(square)), outside=i["outer"],
    )  # fmt: skip
    return read_off(case, state)


def damped(case):
    i = case["inputs"]
    return mechanics.damped_diffusivity(i["D0"], i["gamma_per_kPa"], i["vm_kPa"])


ELASTICITY = [
    Route("(lambda|bulk|K|G|shear)_E.*", modulus),
    Route("patch_uniaxial.*", uniaxial),
    Route("patch_hydrostatic.*", hydrostatic),
    Route("patch_shear.*", sheared),
    Route("patch_general_.*", general),
    Route("(sphere|cylinder)_.*", walls),
    Route("growth_strain_.*", grown),
    Route("damped_D.*", damped),
]


def one_tensor(function):
    return lambda case: function(case["inputs"]["T"])


def shaped(case, tensor):
    """In Voigt order where the id says so."""
    return tensors.voigt(tensor).tolist() if "voigt" in case["id"] else tensor.tolist()


def migration(case):
    """The engine's tensor of mean 1, sharpened by a power (1: as measured), times a mean."""
    i = case["inputs"]
    logarithm = log_tensor(np.array(tensors.voigt(i["T"])))
    power = next((i[k] for k in ("power", "exponent", "gamma", "sharpen") if k in i), 1.0)
    mean = i.get("D_w", tensors.mean_diffusivity(i["T"]))
    tensor = mean * sharpened(logarithm, power)
    return tensor.tolist() if "voigt" in case["id"] else to_matrices(tensor).tolist()


def interpolated(case):
    i = case["inputs"]
    weight = next((i[k] for k in ("w", "weight", "s") if k in i), 0.5)
    tensor = tensors.log_euclidean(i["T1"], i["T2"], weight)
    if "det" in case["id"]:
        (a, b, c), (d, e, f), (g, h, j) = tensor.tolist()
        return a * (e * j - f * h) - b * (d * j - f * g) + c * (d * h - e * g)
    return shaped(case, tensor)


DTI = [
    Route("md.*", one_tensor(tensors.mean_diffusivity)),
    Route("fa.*", one_tensor(tensors.fractional_anisotropy)),
    Route("D_normalised.*|(D_)?sharpen.*", migration),
    Route("log_euclidean.*", interpolated),
]


def mass_left(case):
    i = case["inputs"]
    return surgery.gaussian_mass_left(i["cavity_radius"], i["sigma"])


def visible_radius(case):
    i = case["inputs"]
    return surgery.gaussian_visible_radius(i["u_vis"], i["sigma"], i.get("amplitude", 1.0))


def visible_volume(case):
    i = case["inputs"]
    return surgery.gaussian_visible_volume(
        i["u_vis"], i["sigma"], i.get("amplitude", 1.0), i.get("cavity_radius", 0.0)
    )


def extent(case):
    i = case["inputs"]
    before = next(i[k] for k in ("V_pre", "V_before", "before") if k in i)
    after = next(i[k] for k in ("V_post", "V_after", "after") if k in i)
    return surgery.extent_of_resection(before, after)


RESECTION = [
    Route("gaussian_mass_left.*", mass_left),
    Route("gaussian_.*radius.*", visible_radius),
    Route("gaussian_.*volume.*", visible_volume),
    Route("(eor|EOR|extent).*", extent),
]
