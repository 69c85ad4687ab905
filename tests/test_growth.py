"""Growth, kill and clearance against closed forms, scipy's integrators and an exact wave.

Expected values with an id come from the project's table of reference values
(40 digits by mpmath, cross-checked by scipy).
"""

import itertools

import numpy as np
import pytest
from box_meshes import box_mesh, observed_order
from scipy.integrate import quad, solve_ivp

from solvers.block_kernels import block_react
from solvers.dose_response import log_surviving_fraction, one_compartment, surviving_fraction
from solvers.growth import Growth, GrowthRates, react
from solvers.models import Model, Rate, Species, compose
from solvers.operators import mesh_operators
from twin.errors import InvalidInput
from twin.events import DrugDose
from twin.model_choice import ModelChoice
from twin.parameters import load_parameter_set


@pytest.fixture(scope="module")
def still():
    """Eight nodes without diffusion."""
    mesh = box_mesh((1.0, 1.0, 1.0), (1, 1, 1))
    return operator_of(mesh, 0.0)


def operator_of(mesh, diffusivity):
    value = np.broadcast_to(np.asarray(diffusivity, float), len(mesh.cells))
    return mesh_operators(mesh).diffusion(value, np.ones(len(mesh.cells), bool))


def grown(operator, rates, species, steps, kill=lambda begin, end: 0.0):
    """Take `steps` [day]; `kill` gives the drug's mean kill rate between two times."""
    growth = Growth.logistic(rates, species)
    day = 0.0
    for step in steps:
        middle, end = day + 0.5 * step, day + step
        growth.step(operator, step, kill(day, middle), kill(middle, end))
        day = end
    return growth


def species(viable, dead=0.0, necrosis=0.0, nodes=8):
    return {
        name: np.array(np.broadcast_to(value, nodes), float)
        for name, value in (("viable", viable), ("dead", dead), ("necrosis", necrosis))
    }


@pytest.mark.parametrize("steps", [[100.0], [0.25] * 400, [1.0, 0.3, 2.7] * 25])
def test_logistic_growth_is_exact_whatever_the_step(still, steps):
    start = np.array([1e-9, 1e-6, 0.1, 0.3, 0.5, 0.9, 0.999999, 1.0])
    growth = grown(still, GrowthRates(0.05, 0.1), species(start), steps)
    factor = np.exp(0.05 * 100.0)
    np.testing.assert_allclose(
        growth["viable"], start * factor / (1 + start * (factor - 1)), rtol=1e-12
    )
    assert (growth["dead"] == 0.0).all()
    # growth.logistic_linear_kill_no_kill
    assert growth["viable"][2] == pytest.approx(0.9428256185740148, rel=1e-12)


def test_necrosis_takes_the_place_of_growth(still):
    rate, fixed = 0.08, np.array([0.0, 0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95])
    growth = grown(still, GrowthRates(rate, 0.1), species(0.05, 0.0, fixed), [5.0] * 4)
    room = 1.0 - fixed
    factor = np.exp(rate * room * 20.0)
    expected = 0.05 * factor / (1 + 0.05 / room * (factor - 1))
    np.testing.assert_allclose(growth["viable"], expected, rtol=1e-12)
    assert (growth["necrosis"] == fixed).all()


REFERENCE_KILL = [  # id, kill rate [1/day], days, expected; N0 0.1, rho 0.05/day
    ("growth.logistic_linear_kill_critical", 0.05, 100.0, 0.06666666666666667),
    ("growth.logistic_linear_kill_early", 0.02, 1.0, 0.10252506123560401),
]
#: Logistic growth in which nothing dead takes up room: the textbook's equation.
TEXTBOOK = Model(
    "textbook",
    (Species("viable", mobile=True, alive=True),),
    ("proliferation_rate",),
    lambda s, p: {"viable": Rate(p.proliferation_rate * (1.0 - s.viable) - p.kill)},
)


@pytest.mark.parametrize(("kill", "days", "expected"), [case[1:] for case in REFERENCE_KILL])
@pytest.mark.parametrize("parts", [1, 7])
def test_logistic_growth_with_a_drug(still, kill, days, expected, parts):
    """Exact whatever the step."""
    growth = Growth(TEXTBOOK, np.array([0.05, 0.0]), np.full((1, 8), 0.1))
    for _ in range(parts):
        growth.step(still, days / parts, kill, kill)
    np.testing.assert_allclose(growth["viable"], expected, rtol=1e-12)


def test_a_dilute_tumour_under_a_drug_is_exponential(still):
    growth = grown(
        still, GrowthRates(0.03, 0.02), species(1e-12), [0.5] * 20, lambda begin, end: 0.2
    )
    np.testing.assert_allclose(growth["viable"], 1e-12 * np.exp((0.03 - 0.2) * 10), rtol=1e-10)


@pytest.mark.parametrize("start", [0.0, 0.4])
def test_dead_tissue_is_cleared_with_its_half_life(still, start):
    half_life = 12.0
    rates = GrowthRates(0.0, np.log(2.0) / half_life)
    growth = grown(still, rates, species(start, 0.5), [1.0] * 24)
    np.testing.assert_allclose(growth["dead"], 0.125, rtol=1e-12)
    np.testing.assert_allclose(growth["viable"], start, rtol=1e-12)


def reaction(rate, clearance, necrosis, kill):
    """The model's ordinary differential equations, for one place."""

    def slope(day, state):
        u, d = state
        return [rate * u * (1 - u - d - necrosis) - kill(day) * u, kill(day) * u - clearance * d]

    return slope


@pytest.mark.parametrize("elimination", [0.0, 0.3])
def test_the_dead_pool_is_solved_with_second_order_in_time(still, elimination):
    rate, clearance, necrosis, days = 0.15, 0.1, 0.1, 12.0
    strength = 0.25

    def kill(day):
        return strength * np.exp(-elimination * day)

    def mean_kill(begin, end):
        if elimination == 0.0:
            return strength
        return (kill(begin) - kill(end)) / (elimination * (end - begin))

    exact = solve_ivp(
        reaction(rate, clearance, necrosis, kill), (0, days), [0.6, 0.2],
        method="DOP853", rtol=1e-12, atol=1e-14,
    ).y[:, -1]  # fmt: skip
    steps, errors = [2.0, 1.0, 0.5, 0.25], []
    for step in steps:
        growth = grown(
            still, GrowthRates(rate, clearance), species(0.6, 0.2, necrosis),
            [step] * round(days / step), mean_kill,
        )  # fmt: skip
        errors.append(abs(growth["viable"][0] - exact[0]) + abs(growth["dead"][0] - exact[1]))
    assert observed_order(steps, errors) == pytest.approx(2.0, abs=0.2)
    assert errors[1] < 5e-4


WEEKDAYS = [float(7 * week + day) for week in range(6) for day in range(5)]
IMPULSES = [  # N0 0.3, rho 0.03/day, 30 fractions on weekdays from day 0; survival, day, expected
    (
        "growth.logistic_impulses_stupp_30fx_day42",
        (0.865887748059205, 42.0, 0.012774338348516191),
    ),
    (
        "growth.logistic_impulses_stupp_rockne_day90",
        (0.9172272669254147, 90.0, 0.2311954412006746),
    ),
]


@pytest.mark.parametrize(("survival", "days", "expected"), [case[1] for case in IMPULSES])
def test_fractions_between_logistic_growth(still, survival, days, expected):
    growth = Growth(TEXTBOOK, np.array([0.03, 0.0]), np.full((1, 8), 0.3))
    day = 0.0
    for at in [*WEEKDAYS, days]:
        if at > day:
            growth.step(still, at - day, 0.0, 0.0)
        if at in WEEKDAYS:
            growth.state *= survival
        day = at
    np.testing.assert_allclose(growth["viable"], expected, rtol=1e-9)


def test_what_a_fraction_kills_becomes_dead(still):
    growth = Growth.logistic(GrowthRates(0.03, 0.01), species(0.6, 0.1, 0.2))
    growth.irradiate({0: np.linspace(0.0, 1.0, 8)})
    np.testing.assert_allclose(growth["viable"], 0.6 * np.linspace(0, 1, 8), rtol=1e-15)
    np.testing.assert_allclose(growth.total(growth.model.visible), 0.9, rtol=1e-15)
    assert growth["viable"][-1] == 0.6
    assert growth["dead"][-1] == 0.1


def test_a_full_step_is_of_second_order_in_time():
    """Against scipy's Radau on the same matrix: growth, diffusion, a drug and dead tissue."""
    mesh = box_mesh((9.0, 8.0, 3.0), (6, 5, 2))
    rate, clearance, days = 0.15, 0.05, 12.0
    operator = operator_of(mesh, 0.3)
    matrix, nodes = operator.matrix().toarray(), len(mesh.points)
    centre = np.linalg.norm(mesh.points - [2.0, 2.0, 1.0], axis=1)
    start = species(
        0.7 * np.exp(-(centre**2) / 12), 0.1 * np.exp(-(centre**2) / 8), 0.1 * (centre < 2.5),
        nodes,
    )  # fmt: skip

    def kill(day):
        return 0.2 * np.exp(-0.25 * day)

    def mean_kill(begin, end):
        return (kill(begin) - kill(end)) / (0.25 * (end - begin))

    def slope(day, state):
        u, d = state[:nodes], state[nodes:]
        growth = rate * u * (1 - u - d - start["necrosis"]) - kill(day) * u
        return np.concatenate([matrix @ u + growth, kill(day) * u - clearance * d])

    exact = solve_ivp(
        slope, (0, days), np.concatenate([start["viable"], start["dead"]]),
        method="DOP853", rtol=1e-11, atol=1e-13,
    ).y[:, -1]  # fmt: skip
    steps, errors = [2.0, 1.0, 0.5, 0.25], []
    for step in steps:
        growth = grown(
            operator, GrowthRates(rate, clearance), start, [step] * round(days / step), mean_kill
        )
        errors.append(np.abs(np.concatenate([growth["viable"], growth["dead"]]) - exact).max())
    assert observed_order(steps, errors) == pytest.approx(2.0, abs=0.2)
    assert errors[1] < 2e-3


def wave(x, day, diffusivity=0.14, rate=0.03):
    """Ablowitz and Zeppetella 1979, doi 10.1007/BF02462380: Fisher's equation solved exactly."""
    z = x * np.sqrt(rate / diffusivity) - 5.0 / np.sqrt(6.0) * rate * day
    return (1.0 + np.exp(z / np.sqrt(6.0))) ** -2


def carried_wave(size, step, days):
    """The wave after `days` on a bar, from the solver: positions, densities, weights."""
    count = round(130.0 / size)
    mesh = box_mesh((130.0, size, size), (count, 1, 1))
    x = mesh.points[:, 0] - 55.0
    operator = operator_of(mesh, 0.14)
    growth = grown(
        operator, GrowthRates(0.03, 0.1), species(wave(x, 0.0), nodes=len(x)),
        [step] * round(days / step),
    )  # fmt: skip
    return x, growth["viable"], operator.mass


def test_reference_values_of_the_exact_wave():
    """fisher.ablowitz_zeppetella_x0_t0, _x0_t20, _x-10_t0."""
    np.testing.assert_allclose(
        [wave(0.0, 0.0), wave(0.0, 20.0), wave(-10.0, 0.0)],
        [0.25, 0.3874556190002601, 0.7547009787438089],
        rtol=1e-12,
    )


def test_an_exact_travelling_wave_with_second_order_in_space():
    sizes, errors = [4.0, 2.0, 1.0], []
    for size in sizes:
        x, density, mass = carried_wave(size, 0.5, 40.0)
        error = density - wave(x, 40.0)
        errors.append(np.sqrt(mass @ error**2 / mass.sum()))
    assert observed_order(sizes, errors) == pytest.approx(2.0, abs=0.2)
    assert errors[-1] < 1e-3


def test_the_exact_wave_has_its_speed_and_its_values():
    x, early, _ = carried_wave(1.0, 0.5, 20.0)
    _, late, _ = carried_wave(1.0, 0.5, 60.0)
    line = np.flatnonzero(np.abs(x) < 40)
    line = line[np.argsort(x[line], kind="stable")]

    def front(density):
        return np.interp(-0.5, -density[line], x[line])

    speed = (front(late) - front(early)) / 40.0
    assert speed == pytest.approx(0.13228756555322954, rel=3e-3)  # fisher.ablowitz_zeppetella_speed
    at_origin = early[np.abs(x) < 1e-9]
    np.testing.assert_allclose(at_origin, 0.3874556190002601, atol=5e-4)  # ..._x0_t20


def manufactured(mesh, diffusivity, density, change, divergence, *, step, days, rate=0.1):
    """Solve with the crowding that makes `density` exact; return the largest error at the end.

    ``u_t = div(D grad u) + rho u (1 - u - n)`` holds for any u where
    ``n = 1 - u - (u_t - div(D grad u)) / (rho u)``; n is frozen at the middle of
    each step (second order), through the solver's own field of necrosis.
    """
    operator = operator_of(mesh, diffusivity)
    nodes = len(mesh.points)
    u = density(0.0)
    for k in range(round(days / step)):
        middle = (k + 0.5) * step
        now = density(middle)
        crowd = 1.0 - now - (change(middle) - divergence(middle)) / (rate * now)
        growth = Growth.logistic(GrowthRates(rate, 0.1), species(u, 0.0, crowd, nodes))
        growth.step(operator, step, 0.0, 0.0)
        u = growth["viable"]
    error = u - density(days)
    return np.sqrt(operator.mass @ error**2 / operator.mass.sum())


def in_three_dimensions(n, step):
    sides, spread = np.array([12.0, 10.0, 8.0]), 0.4
    mesh = box_mesh(sides, (n, n, n))
    waves = np.pi * np.array([1, 1, 2]) / sides
    mode = np.cos(mesh.points * waves).prod(axis=1)

    def density(day):
        return 0.4 + 0.25 * np.exp(-0.1 * day) * mode

    return manufactured(
        mesh, spread, density,
        lambda day: -0.1 * (density(day) - 0.4),
        lambda day: -spread * (waves @ waves) * (density(day) - 0.4),
        step=step, days=8.0,
    )  # fmt: skip


def through_two_tissues(n, step):
    """A flux that is smooth across the border of two diffusivities, so that its divergence is."""
    length, border, left, right = 12.0, 4.5, 0.6, 0.12
    mesh = box_mesh(
        (length, 3.0, 3.0), (n, n // 4, n // 4),
        label=lambda centre: np.where(centre[:, 0] < border, 1, 2),
        names={1: "white_matter", 2: "grey_matter"},
    )  # fmt: skip
    x, k = mesh.points[:, 0], np.pi / length
    # D g' = sin(k x) on both sides
    shape = np.where(
        x < border,
        (np.cos(k * border) - np.cos(k * x)) / (k * left),
        (np.cos(k * border) - np.cos(k * x)) / (k * right),
    )

    def size(day):
        return 0.008 * np.exp(-0.05 * day)

    return manufactured(
        mesh, np.where(mesh.cell_label == 1, left, right),
        lambda day: 0.4 + size(day) * shape,
        lambda day: -0.05 * size(day) * shape,
        lambda day: size(day) * k * np.cos(k * x),
        step=step, days=8.0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("solve", "numbers"), [(in_three_dimensions, (8, 12, 16)), (through_two_tissues, (8, 16, 24))]
)
def test_a_manufactured_solution_with_second_order_in_space_and_time(solve, numbers):
    """Size of elements and step halved together."""
    errors = [solve(n, 8.0 / n) for n in numbers]
    assert observed_order([1.0 / n for n in numbers], errors) == pytest.approx(2.0, abs=0.2)
    assert errors[-1] < 2e-3


LINEAR_QUADRATIC = [  # id, n, d [Gy], alpha [1/Gy], beta [1/Gy2], S
    ("lq.single_2gy_S", 1, 2.0, 0.3, 0.03, 0.4867522559599716),
    ("lq.stupp_a030_S", 30, 2.0, 0.3, 0.03, 4.1613973942241545e-10),
    ("lq.stupp_a0036_S", 30, 2.0, 0.036, 0.0036, 0.07487014994525976),
    ("lq.prostate_20x3_S", 20, 3.0, 0.15, 0.04838709677419355, 2.0360330362192547e-08),
    ("lq.sbrt_3x18_S", 3, 18.0, 0.3, 0.03, 1.9971114465877637e-20),
    ("lq.zero_dose_S", 1, 0.0, 0.3, 0.03, 1.0),
]


@pytest.mark.parametrize("case", LINEAR_QUADRATIC, ids=[case[0] for case in LINEAR_QUADRATIC])
def test_linear_quadratic_survival(case):
    _, n, dose, alpha, beta, expected = case
    once = surviving_fraction(dose, alpha=alpha, alpha_beta=alpha / beta)
    assert once**n == pytest.approx(expected, rel=1e-9)
    log = log_surviving_fraction(dose, alpha=alpha, alpha_beta=alpha / beta)
    assert n * log == pytest.approx(np.log(expected), rel=1e-9)


@pytest.mark.parametrize(
    ("dose", "alpha", "ratio"),
    [(-1.0, 0.3, 10.0), (np.nan, 0.3, 10.0), (2.0, np.nan, 10.0), (2.0, 0.3, 0.0), (2.0, -0.1, 3)],
)
def test_bad_radiosensitivity_is_refused(dose, alpha, ratio):
    with pytest.raises(InvalidInput, match="must be"):
        log_surviving_fraction(dose, alpha=alpha, alpha_beta=ratio)


VOLUME_L, CLEARANCE_L_H = 30.3, 10.0


@pytest.fixture(scope="module")
def kinetics():
    """75 mg/m2 for 2 m2 are the 150 mg of the reference values."""
    half_life = np.log(2.0) * VOLUME_L / CLEARANCE_L_H
    return one_compartment(
        clearance_l_h=CLEARANCE_L_H, half_life_h=half_life, body_surface_m2=2.0
    )  # fmt: skip


def concentration(kinetics, doses, hour):
    """Slope of the exposure by central differences, [mg/L]."""
    around = np.array([hour - 1e-3, hour + 1e-3]) / 24.0
    return float(np.diff(kinetics.exposure(doses, around))[0]) / 2e-3


@pytest.mark.parametrize(
    ("doses", "hour", "expected"),
    [
        (1, 6.0, 0.6833757404685982),  # pk.bolus_C_6h
        (5, 100.0, 1.3227577329733529),  # pk.multi_bolus_n5_tau24_t100
        (42, 1000.0, 0.02520589733318652),  # pk.multi_bolus_n42_tau24_t1000
    ],
)
def test_concentration_of_reference(kinetics, doses, hour, expected):
    given = [DrugDose(float(day), "temozolomide", 75.0) for day in range(doses)]
    assert concentration(kinetics, given, hour) == pytest.approx(expected, rel=1e-5)


def test_exposure_is_the_area_under_the_concentration(kinetics):
    given = [DrugDose(day, "temozolomide", amount) for day, amount in ((0.4, 75), (1.4, 150))]
    elimination = CLEARANCE_L_H / VOLUME_L

    def plasma(hour):
        return sum(
            2.0 * dose.mg_m2 / VOLUME_L * np.exp(-elimination * (hour - 24 * dose.day))
            for dose in given
            if hour >= 24 * dose.day
        )

    for day in (0.0, 0.4, 0.45, 1.0, 1.4, 1.5, 2.2):
        borders = [0.0, *(24 * given_at for given_at in (0.4, 1.4) if given_at < day), 24 * day]
        area = sum(quad(plasma, a, b)[0] for a, b in itertools.pairwise(borders))
        assert float(kinetics.exposure(given, day)) == pytest.approx(area, rel=1e-7, abs=1e-9)
    assert float(kinetics.exposure(given[:1], 60.0)) == pytest.approx(15.0)  # pk.bolus_AUC_inf


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
def test_bad_kinetics_are_refused(bad):
    with pytest.raises(InvalidInput, match="must be finite and above 0"):
        one_compartment(clearance_l_h=bad, half_life_h=2.0, body_surface_m2=2.0)


# --- the compiled loops of a batch -------------------------------------------------------------


def tissue(nodes=400, seed=7):
    """Viable, dead and necrotic tissue that fill at most the room there is, rows of a state."""
    share = np.random.default_rng(seed).dirichlet(np.ones(4), nodes)[:, :3]
    share[:20, 0] = 0.0
    share[20:40, 1:] = 0.0
    return np.ascontiguousarray(share.T)


@pytest.mark.parametrize("kill", [0.0, 0.2])
def test_the_reaction_of_a_batch_is_that_of_each_run(kill):
    """Single precision against double, three runs with rates of their own."""
    rates = np.array([0.01, 0.027, 0.06])
    half_lives = np.array([10.0, 60.0, 240.0])
    singles = [tissue(seed=seed) for seed in range(3)]
    block = [np.stack(part, axis=1).astype(np.float32) for part in zip(*singles, strict=True)]
    as_rows = [
        np.asarray(v, np.float32) for v in (rates, np.log(2.0) / half_lives, np.full(3, kill))
    ]
    assert block_react(*block, 0.5, *as_rows, -1e-6) == 0
    model = compose(ModelChoice())
    for k, single in enumerate(singles):
        result = np.empty_like(single)
        react(model, np.array([rates[k], half_lives[k], 0.0]), single, result, 0.5, kill)
        for one, many in zip(result, block, strict=True):
            np.testing.assert_allclose(many[:, k], one, rtol=2e-6, atol=1e-7)
    block[0][5, 1], block[0][9, 2], block[0][11, 0] = -1e-3, np.nan, -1e-8
    assert block_react(*block, 0.5, *as_rows, -1e-6) == 2


def test_clearance_rate_follows_from_the_half_life():
    parameters = load_parameter_set("glioblastoma").replace(dead_clearance_half_life=20.0)
    rates = GrowthRates.of(parameters)
    assert rates.clearance == pytest.approx(0.034657359027997264, rel=1e-14)  # ln 2 / 20
    assert rates.proliferation == parameters.value("proliferation_rate")
