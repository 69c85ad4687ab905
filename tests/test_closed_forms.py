"""Closed forms against their own equations, by differences and by scipy's integrators."""

import math

import numpy as np
import pytest
from scipy.integrate import quad, solve_bvp, solve_ivp

from solvers.closed_forms import (
    diffusion,
    growing_ball,
    growth,
    mechanics,
    modes,
    oxygen,
    surgery,
    tensors,
    thick_walls,
    waves,
)
from twin.errors import InvalidInput


def integrated(slope, start, days, **more):
    return solve_ivp(slope, (0, days), [start], method="DOP853", rtol=1e-12, atol=1e-14, **more).y[
        0, -1
    ]


@pytest.mark.parametrize("kill", [0.0, 0.05, 0.2])
@pytest.mark.parametrize("capacity", [1.0, 300.0])
def test_growth_with_a_constant_kill(kill, capacity):
    start, days = 0.2 * capacity, 30.0
    logistic = integrated(lambda t, n: 0.05 * n * (1 - n / capacity) - kill * n, start, days)
    assert growth.logistic_with_kill(start, 0.05, kill, days, capacity) == pytest.approx(
        logistic, rel=1e-10
    )
    gompertz = integrated(lambda t, v: 0.01 * v * np.log(capacity / v) - kill * v, start, days)
    assert growth.gompertz_with_kill(start, 0.01, kill, days, capacity) == pytest.approx(
        gompertz, rel=1e-10
    )


@pytest.mark.parametrize(("kill", "elimination"), [(0.3, 0.1), (5.0, 0.05), (0.0, 1.0)])
def test_growth_with_a_kill_that_wears_off(kill, elimination):
    """In the logarithm of the size, which falls to exp(-85)."""
    exact = integrated(
        lambda t, y: 0.05 * (1 - np.exp(y)) - kill * np.exp(-elimination * t), math.log(0.3), 40.0
    )
    found = growth.logistic_with_decaying_kill(0.3, 0.05, kill, elimination, 40.0)
    assert math.log(found) == pytest.approx(exact, rel=1e-10)


def test_impulses_act_after_growth_and_at_the_end():
    once = growth.logistic(0.2, 0.1, 5.0)
    assert growth.logistic_with_impulses(0.2, 0.1, [5.0], 0.5, 5.0) == pytest.approx(0.5 * once)
    assert growth.logistic_with_impulses(0.2, 0.1, [5.1], 0.5, 5.0) == pytest.approx(once)
    each = growth.gompertz_with_impulses(9.0, 1e-9, [0.0, 1.0], [0.5, 0.25], 2.0, 10.0)
    assert each == pytest.approx(9.0 / 8, rel=1e-6)


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_the_heat_kernel_keeps_its_mass_and_solves_its_equation(dimension):
    diffusivity, time, rate = 0.2, 30.0, 0.01

    def density(r, t):
        return diffusion.heat_kernel(r, t, diffusivity, dimension=dimension, mass=7.0, rate=rate)

    shell = {1: 2.0, 2: 2 * math.pi, 3: 4 * math.pi}[dimension]
    mass = quad(lambda r: shell * r ** (dimension - 1) * density(r, time), 0, 80)[0]
    assert mass == pytest.approx(7.0 * math.exp(rate * time), rel=1e-9)
    r, h, s = 3.0, 1e-3, 1e-3
    change = (density(r, time + s) - density(r, time - s)) / (2 * s)
    first = (density(r + h, time) - density(r - h, time)) / (2 * h)
    second = (density(r + h, time) - 2 * density(r, time) + density(r - h, time)) / h**2
    flow = diffusivity * (second + (dimension - 1) / r * first)
    assert change == pytest.approx(flow + rate * density(r, time), rel=1e-5)
    # a Gaussian is a kernel that began earlier
    earlier = 2.0**2 / (2 * diffusivity)
    peak = diffusion.heat_kernel(0.0, earlier, diffusivity, dimension=dimension)
    wide = diffusion.gaussian_spread(
        r, time, diffusivity, sigma=2.0, amplitude=peak, dimension=dimension
    )
    same = diffusion.heat_kernel(r, earlier + time, diffusivity, dimension=dimension)
    assert wide == pytest.approx(same, rel=1e-12)


def test_an_isotropic_tensor_gives_the_plain_kernel_and_an_anisotropic_one_keeps_the_mass():
    x = np.array([1.0, -2.0, 2.0])
    plain = diffusion.heat_kernel(3.0, 20.0, 0.3)
    assert diffusion.anisotropic_kernel(x, 20.0, 0.3 * np.eye(3)) == pytest.approx(plain)
    axis = np.linspace(-24, 24, 97)
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)
    tensor = [[0.5, 0.1, 0.0], [0.1, 0.2, 0.05], [0.0, 0.05, 0.3]]
    density = diffusion.anisotropic_kernel(grid, 20.0, tensor)
    assert density.sum() * 0.5**3 == pytest.approx(1.0, rel=1e-6)
    spread = np.einsum("xyz,xyzi,xyzj->ij", density, grid, grid) * 0.5**3
    np.testing.assert_allclose(spread, 40.0 * np.array(tensor), atol=1e-4)


def test_the_exact_wave_solves_fishers_equation():
    d, rho, h, s = 0.14, 0.03, 1e-2, 1e-2
    x, t = np.linspace(-20, 20, 9), 7.0

    def u(x, t):
        return waves.ablowitz_zeppetella(x, t, d, rho)

    change = (u(x, t + s) - u(x, t - s)) / (2 * s)
    bend = (u(x + h, t) - 2 * u(x, t) + u(x - h, t)) / h**2
    np.testing.assert_allclose(change, d * bend + rho * u(x, t) * (1 - u(x, t)), atol=1e-7)
    speed = waves.ablowitz_zeppetella_speed(d, rho)
    np.testing.assert_allclose(u(x + 9 * speed, t + 9), u(x, t), rtol=1e-12)
    decay = 2.0 / math.sqrt(6.0) * math.sqrt(rho / d)  # of its tail
    assert waves.wave_speed_of_tail(decay, d, rho) == pytest.approx(speed)
    assert waves.tail_decay(speed, d, rho) == pytest.approx(decay)


def test_distances_on_the_slowest_wave_add_up_and_agree_with_a_boundary_value_solver():
    assert waves.rim_distance(0.9, 0.16) == pytest.approx(
        waves.rim_distance(0.9, 0.5) + waves.rim_distance(0.5, 0.16)
    )
    assert waves.rim_distance(0.8, 0.16, 0.4, 0.1) == pytest.approx(
        2.0 * waves.rim_distance(0.8, 0.16)
    )
    # u'' + 2 u' + u (1 - u) = 0 on a long line; ends on the two manifolds, u(0) = 1/2
    x = np.linspace(-25.0, 40.0, 800)
    guess = 1.0 / (1.0 + np.exp(0.6 * x))
    solved = solve_bvp(
        lambda x, y: np.array([y[1], -2 * y[1] - y[0] * (1 - y[0])]),
        lambda a, b: np.array([a[1] + (math.sqrt(2) - 1) * (1 - a[0]), a[0] - (1 - 3e-5)]),
        x, np.array([guess, np.gradient(guess, x)]), tol=1e-8, max_nodes=20000,
    )  # fmt: skip
    line = np.linspace(-25, 40, 200001)
    values = solved.sol(line)[0]
    first = np.interp(-0.8, -values, line)
    second = np.interp(-0.16, -values, line)
    assert second - first == pytest.approx(waves.rim_distance(0.8, 0.16), rel=1e-5)


@pytest.mark.parametrize("method", ["forward-euler", "backward-euler", "crank-nicolson", "bdf2"])
def test_step_factors_approach_the_exponential_with_their_order(method):
    steps = np.array([0.04, 0.02, 0.01])
    errors = [abs(modes.step_factor(method, -z) - math.exp(-z)) for z in steps]
    order = np.polyfit(np.log(steps), np.log(errors), 1)[0] - 1.0
    assert order == pytest.approx(1.0 if "euler" in method else 2.0, abs=0.1)


@pytest.mark.parametrize(("degree", "index", "order"), [(0, 1, 0), (1, 2, 1), (2, 1, 2), (3, 1, 1)])
@pytest.mark.parametrize("boundary", ["no-flux", "zero"])
def test_modes_of_a_ball_are_eigenfunctions(degree, index, order, boundary):
    radius, h = 2.0, 1e-3

    def mode(x, y, z):
        r = math.sqrt(x * x + y * y + z * z)
        return float(
            modes.ball_mode(
                r, math.acos(z / r), radius, degree, index, order=order, phi=math.atan2(y, x),
                boundary=boundary,
            )
        )  # fmt: skip

    at = 0.7, 0.4, -0.5
    laplacian = (
        sum(mode(*(at + h * e)) + mode(*(at - h * e)) - 2 * mode(*at) for e in np.eye(3)) / h**2
    )
    rate = modes.ball_mode_rate(radius, 1.0, degree, index, boundary)
    assert laplacian == pytest.approx(-rate * mode(*at), rel=1e-4)

    def outside(r):
        return float(modes.ball_mode(r, 1.1, radius, degree, index, order=order, boundary=boundary))

    if boundary == "zero":
        assert outside(radius) == pytest.approx(0.0, abs=1e-13)
    else:
        assert (outside(radius) - outside(radius - h)) / h == pytest.approx(0.0, abs=5e-3)


def test_modes_of_a_box():
    sides, numbers, spread = [4.0, 3.0, 2.0], [1, 2, 1], [0.5, 0.2, 0.1]
    at, h = np.array([0.7, 0.4, 1.1]), 1e-3
    for boundary in ("no-flux", "zero"):

        def mode(x, boundary=boundary):
            return float(modes.box_mode(x, sides, numbers, boundary=boundary))

        flow = sum(
            d * (mode(at + h * e) + mode(at - h * e) - 2 * mode(at)) / h**2
            for d, e in zip(spread, np.eye(3), strict=True)
        )
        rate = modes.box_mode_rate(sides, numbers, spread)
        assert flow == pytest.approx(-rate * mode(at), rel=1e-5)
        left = modes.box_mode_amplitude(sides, numbers, spread, 3.0, 0.1, boundary=boundary)
        assert left == pytest.approx(math.exp(3.0 * (0.1 - rate)))


def balance(pressure, dimension, diffusivity, use, at, h=1e-4):
    """Diffusion less use, relative to the use, at a distance from the middle."""
    first = (pressure(at + h) - pressure(at - h)) / (2 * h)
    second = (pressure(at + h) - 2 * pressure(at) + pressure(at - h)) / h**2
    return diffusivity * (second + (dimension - 1) / at * first) / use - 1.0


OXYGEN = 40.0, 15.0, 0.002
FIRST_ORDER = 40.0, 0.5, 0.002


@pytest.mark.parametrize(
    ("pressure", "dimension", "use", "at"),
    [
        (lambda r: oxygen.spheroid_pressure(r, *OXYGEN, 0.15), 3, None, 0.1),
        (lambda r: oxygen.spheroid_pressure(r, *OXYGEN, 0.5), 3, None, 0.45),
        (lambda r: oxygen.krogh_cylinder(r, *OXYGEN, 0.005, 0.05), 2, None, 0.02),
        (lambda r: oxygen.zero_order_slab(r, *OXYGEN, 0.08), 1, None, 0.05),
        (lambda r: oxygen.zero_order_slab(r, *OXYGEN, 0.2), 1, None, 0.15),
        (lambda r: oxygen.first_order_slab(r, *FIRST_ORDER, 0.1), 1, 0.5, 0.05),
        (lambda r: oxygen.first_order_cylinder(r, *FIRST_ORDER, 0.1), 2, 0.5, 0.05),
        (lambda r: oxygen.first_order_ball(r, *FIRST_ORDER, 0.1), 3, 0.5, 0.05),
    ],
)
def test_oxygen_is_used_where_it_diffuses_to(pressure, dimension, use, at):
    used = 15.0 if use is None else use * pressure(at)
    assert balance(pressure, dimension, 0.002, used, at) == pytest.approx(0.0, abs=1e-4)


def test_edges_of_the_oxygen_solutions():
    core = oxygen.necrotic_radius(*OXYGEN, 0.5)
    assert oxygen.spheroid_pressure(core * (1 + 1e-6), *OXYGEN, 0.5) == pytest.approx(0, abs=1e-6)
    assert oxygen.spheroid_pressure(0.5, *OXYGEN, 0.5) == pytest.approx(40.0)
    assert oxygen.spheroid_pressure(0.0, *OXYGEN, 0.5) == 0.0
    largest = oxygen.critical_radius(*OXYGEN)
    assert oxygen.spheroid_pressure(0.0, *OXYGEN, largest) == pytest.approx(0.0, abs=1e-12)
    assert oxygen.necrotic_radius(*OXYGEN, 0.9 * largest) == 0.0
    assert oxygen.first_order_ball(0.0, *FIRST_ORDER, 0.1) == pytest.approx(
        oxygen.first_order_ball(1e-7, *FIRST_ORDER, 0.1)
    )
    outer = [oxygen.krogh_cylinder(r, *OXYGEN, 0.005, 0.05) for r in (0.0499, 0.05)]
    assert (outer[1] - outer[0]) / 1e-4 == pytest.approx(0.0, abs=1.0)  # of 700 mmHg/mm inside


MODULI = {"young": 2.0, "poisson": 0.4}
WALL = {"inner_radius": 10.0, "outer_radius": 30.0, "inner_pressure": 0.1, "outer_pressure": 0.03}


def unbalanced(state, r, turns, h=1e-3):
    """Force left over in ``d sigma_r/dr + turns (sigma_r - sigma_t)/r``, [kPa/mm]."""
    slope = (state(r + h).radial - state(r - h).radial) / (2 * h)
    return slope + turns * (state(r).radial - state(r).hoop) / r


def hookes(state, r, growth_strain, h=1e-4):
    """Strains from displacement less those from stress, less growth."""
    nu, young = MODULI["poisson"], MODULI["young"]
    s = state(r)
    along = (state(r + h).displacement - state(r - h).displacement) / (2 * h)
    around = s.displacement / r
    return (
        along - (s.radial - nu * (s.hoop + s.axial)) / young - growth_strain,
        around - (s.hoop - nu * (s.radial + s.axial)) / young - growth_strain,
    )


@pytest.mark.parametrize(
    ("function", "turns"),
    [(thick_walls.sphere_under_pressure, 2), (thick_walls.cylinder_under_pressure, 1)],
)
def test_thick_walls_are_in_balance(function, turns):
    def state(r):
        return function(r, **MODULI, **WALL)

    assert state(10.0).radial == pytest.approx(-0.1)
    assert state(30.0).radial == pytest.approx(-0.03)
    assert unbalanced(state, 17.0, turns) == pytest.approx(0.0, abs=1e-8)
    np.testing.assert_allclose(hookes(state, 17.0, 0.0), 0.0, atol=1e-9)


@pytest.mark.parametrize("outside", ["free", "clamped"])
@pytest.mark.parametrize("known", [True, False])
def test_a_growing_ball_is_in_balance(outside, known):
    def density(s):
        return math.exp(-s * s / 128.0)

    moment = (lambda r: growing_ball.gaussian_moment(r, math.sqrt(128.0))) if known else None

    def state(r):
        return growing_ball.growing_ball(
            r, **MODULI, radius=40.0, growth_strain=0.05, density=density, moment=moment,
            outside=outside,
        )  # fmt: skip

    assert unbalanced(state, 12.0, 2) == pytest.approx(0.0, abs=1e-8)
    np.testing.assert_allclose(hookes(state, 12.0, 0.05 * density(12.0)), 0.0, atol=1e-9)
    edge = state(40.0)
    assert (edge.radial if outside == "free" else edge.displacement) == pytest.approx(0, abs=1e-12)
    centre, near = state(0.0), state(1e-3)
    assert centre.radial == pytest.approx(near.radial, rel=1e-6)
    assert centre.von_mises == pytest.approx(0.0, abs=1e-15)


def test_the_series_of_the_gaussian_moment_meets_its_closed_form():
    for r in (0.049, 0.051):
        by_hand = quad(lambda s: s * s * math.exp(-s * s), 0, r, epsabs=0, epsrel=1e-13)[0]
        assert growing_ball.gaussian_moment(r, 1.0) == pytest.approx(by_hand, rel=1e-10)


def test_moduli_and_stress_fit_together():
    given = 2.0, 0.4
    lam, shear = mechanics.lame_lambda(*given), mechanics.shear_modulus(*given)
    assert mechanics.bulk_modulus(*given) == pytest.approx(lam + 2 * shear / 3)
    strains = mechanics.uniaxial_strains(*given, 0.02)
    np.testing.assert_allclose(
        mechanics.stress_voigt(*given, np.diag(strains)), [0.02, 0, 0, 0, 0, 0], atol=1e-15
    )
    assert mechanics.von_mises([0.02, 0, 0, 0, 0, 0]) == pytest.approx(0.02)
    assert mechanics.von_mises([0, 0, 0, 0, 0.3, 0]) == pytest.approx(0.3 * math.sqrt(3))
    assert mechanics.energy_density(*given, np.diag(strains)) == pytest.approx(0.5 * 0.02 * 0.01)


def rotation(angle):
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array(
        [[1, 0, 0], [0, c, -s], [0, s, c]]
    )


def test_tensors_turn_with_their_axes():
    turn, value = rotation(0.6), np.array([3.0, 1.0, 0.5])
    tensor = turn @ np.diag(value) @ turn.T
    mean = value.mean()
    anisotropy = math.sqrt(1.5 * ((value - mean) ** 2).sum() / (value**2).sum())
    assert tensors.fractional_anisotropy(tensor) == pytest.approx(anisotropy)
    sharp = tensors.sharpened(tensor, 2.0)
    np.testing.assert_allclose(
        sharp, turn @ np.diag(value**2 * value.sum() / (value**2).sum()) @ turn.T, atol=1e-14
    )
    np.testing.assert_allclose(tensors.sharpened(tensor, 1.0), tensor, atol=1e-14)
    other = turn @ np.diag([1.0, 4.0, 2.0]) @ turn.T
    between = tensors.log_euclidean(tensor, other, 0.25)
    np.testing.assert_allclose(
        between, turn @ np.diag(value**0.75 * np.array([1.0, 4.0, 2.0]) ** 0.25) @ turn.T,
        atol=1e-14,
    )  # fmt: skip
    np.testing.assert_allclose(np.trace(tensors.migration_tensor(tensor, 0.2)), 0.6)


def test_what_a_resection_leaves():
    left = quad(lambda r: r * r * math.exp(-r * r / 128), 12.0, 200.0)[0]
    whole = quad(lambda r: r * r * math.exp(-r * r / 128), 0.0, 200.0)[0]
    assert surgery.gaussian_mass_left(12.0, 8.0) == pytest.approx(left / whole, rel=1e-9)
    radius = surgery.gaussian_visible_radius(0.16, 8.0, 0.9)
    assert 0.9 * math.exp(-(radius**2) / 128) == pytest.approx(0.16)
    assert surgery.gaussian_visible_radius(0.8, 8.0, 0.7) == 0.0
    before = surgery.gaussian_visible_volume(0.16, 8.0)
    after = surgery.gaussian_visible_volume(0.16, 8.0, cavity_radius=5.0)
    assert before - after == pytest.approx(4 / 3 * math.pi * 125)


@pytest.mark.parametrize(
    "call",
    [
        lambda: growth.logistic(math.nan, 0.1, 1.0),
        lambda: growth.logistic_with_impulses(0.1, 0.1, [2.0, 1.0], 0.5, 3.0),
        lambda: growth.logistic_with_impulses(0.1, 0.1, [1.0], [0.5, 0.5], 3.0),
        lambda: waves.wave_speed(-1.0, 0.1),
        lambda: waves.rim_distance(0.16, 0.8),
        lambda: waves.bramson_speed(0.1, 0.1, 10.0, 4),
        lambda: waves.tail_decay(0.1, 1.0, 1.0),
        lambda: waves.critical_box_rate(1.0, [1.0, 0.0]),
        lambda: diffusion.heat_kernel(1.0, 1.0, 1.0, dimension=4),
        lambda: diffusion.anisotropic_kernel([0, 0, 0], 1.0, np.diag([1.0, 1.0, -1.0])),
        lambda: modes.box_mode_amplitude([1.0], [0], 1.0, 1.0, boundary="zero"),
        lambda: modes.box_mode_amplitude([1.0], [0], 1.0, 1.0, boundary="open"),
        lambda: modes.step_factor("euler", 0.1),
        lambda: modes.step_factor("bdf2", -0.6),
        lambda: modes.ball_root(0, 0),
        lambda: modes.ball_mode(0.1, 0.1, 1.0, 1, 1, order=2),
        lambda: oxygen.spheroid_pressure(0.2, *OXYGEN, 0.1),
        lambda: oxygen.krogh_cylinder(0.001, *OXYGEN, 0.005, 0.05),
        lambda: mechanics.lame_lambda(2.0, 0.5),
        lambda: mechanics.stress_voigt(2.0, 0.4, [[0, 1, 0], [0, 0, 0], [0, 0, 0]]),
        lambda: thick_walls.sphere_under_pressure(5.0, **MODULI, **WALL),
        lambda: thick_walls.sphere_under_pressure(15.0, young=-1.0, poisson=0.4, **WALL),
        lambda: growing_ball.growing_ball(
            1.0, **MODULI, radius=2.0, growth_strain=0.1, density=math.exp, outside="glued"
        ),
        lambda: tensors.voigt([[1, 2], [3, 4]]),
        lambda: tensors.voigt([[1, 2, 0], [0, 1, 0], [0, 0, 1]]),
        lambda: tensors.fractional_anisotropy(np.zeros((3, 3))),
        lambda: tensors.migration_tensor(-np.eye(3), 1.0),
        lambda: tensors.log_euclidean(np.eye(3), np.diag([1.0, 1.0, 0.0])),
        lambda: surgery.extent_of_resection(0.0, 1.0),
    ],
)
def test_what_has_no_value_is_refused_in_one_sentence(call):
    with pytest.raises(InvalidInput) as refused:
        call()
    assert str(refused.value).endswith(".")
    assert "\n" not in str(refused.value)
