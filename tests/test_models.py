"""Every model's step in one place against scipy's integrator; its adjoint by complex steps."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from solvers.growth import MOST_PARTS, react
from solvers.models import Model, Rate, Species, compose
from solvers.models.composition import growth_law
from solvers.models.generated import pointwise_step
from twin.errors import InvalidInput, NotConverged
from twin.model_choice import ModelChoice
from twin.parameters import load_parameter_set

CHOICES = [
    ModelChoice(),
    ModelChoice(resistant=True),
    ModelChoice(oxygen=True),
    ModelChoice(resistant=True, oxygen=True),
    ModelChoice(growth="gompertz", oxygen=True),
    ModelChoice(growth="exponential", resistant=True),
]
KILL = 0.04


def named(choice):
    return compose(choice).name


def places(model, count=6, seed=3):
    """States of a few places that fill at most nine tenths of the room."""
    share = np.random.default_rng(seed).dirichlet(np.ones(len(model.names) + 1), count)
    return np.ascontiguousarray(0.9 * share[:, :-1].T)


def rates_by_hand(choice, u, p, kill):
    """The equations as the documentation states them, for one place, written independently."""
    total = sum(u.values())
    growth = {
        "logistic": 1.0 - total,
        "gompertz": -np.log((total + 1e-5) / (1 + 1e-5)),
        "exponential": 1.0,
    }[choice.growth] * p["proliferation_rate"]
    lines = ["viable", "resistant"] if choice.resistant else ["viable"]
    low = {"viable": "hypoxic", "resistant": "resistant_hypoxic"}
    share_of_kill = {"viable": 1.0, "resistant": p["resistant_drug_sensitivity"]}
    change = dict.fromkeys(u, 0.0)
    for line in lines:
        change[line] += (growth - share_of_kill[line] * kill) * u[line]
        change["dead"] += share_of_kill[line] * kill * u[line]
    change["dead"] -= np.log(2) / p["dead_clearance_half_life"] * u["dead"]
    if not choice.oxygen:
        return change
    cells = sum(u[line] + u[low[line]] for line in lines)
    vessels, necrosis = u["vessels"], u["necrosis"]
    part = vessels / (cells + vessels + 1e-9)
    supply = part / (part + p["supply_half"])
    for line in lines:
        to_low = p["hypoxia_rate"] * (1 - supply) * u[line]
        back = p["reoxygenation_rate"] * supply * u[low[line]]
        starved = p["hypoxic_death_rate"] * (1 - supply) * u[low[line]]
        touched = [p["necrosis_contact_rate"] * necrosis * u[name] for name in (line, low[line])]
        change[line] += back - to_low - touched[0]
        change[low[line]] += to_low - back - starved - touched[1]
        change["necrosis"] += starved + sum(touched)
    lost = p["necrosis_contact_rate"] * necrosis * vessels
    hypoxic = sum(u[low[line]] for line in lines)
    change["necrosis"] += lost
    change["vessels"] += p["vessel_growth_rate"] * hypoxic * vessels * (1 - total) - lost
    return change


@pytest.mark.parametrize("choice", CHOICES, ids=named)
def test_each_model_solves_its_equations_with_second_order(choice):
    model, parameters = compose(choice), load_parameter_set("glioblastoma")
    start, values, days = places(model), model.values_of(parameters), 16.0
    p = {name: parameters.value(name) for name in parameters}
    exact = np.empty_like(start)
    for place in range(start.shape[1]):

        def slope(_, u):
            found = rates_by_hand(choice, dict(zip(model.names, u, strict=True)), p, KILL)
            return [found[name] for name in model.names]

        exact[:, place] = solve_ivp(
            slope, (0, days), start[:, place], method="DOP853", rtol=1e-11, atol=1e-14
        ).y[:, -1]
    errors = []
    for steps in (8, 16, 32):
        state = start.copy()
        for _ in range(steps):
            result = np.empty_like(state)
            react(model, values, state, result, days / steps, KILL)
            state = result
        errors.append(np.abs(state - exact).max())
    assert errors[-1] < 2e-4
    assert np.log2(errors[0] / errors[-1]) / 2 == pytest.approx(2.0, abs=0.25)


@pytest.mark.parametrize("choice", CHOICES, ids=named)
def test_each_adjoint_is_the_derivative_of_its_step(choice):
    """<bar, J d> = <J' bar, d>, the left side by a complex step: to rounding."""
    model = compose(choice)
    step = pointwise_step(model)
    rng = np.random.default_rng(1)
    state, values = places(model, 40), model.values_of(load_parameter_set("glioblastoma"))
    values[-1] = KILL
    bar, direction = rng.normal(size=state.shape), rng.normal(size=state.shape)
    change = rng.normal(size=values.shape) * values
    moved = state + 1e-30j * direction
    result = np.empty_like(moved)
    step.forward(moved, result, values + 1e-30j * change, 1.5, -1e-12)
    back, p_bar = np.empty_like(state), np.zeros_like(values)
    step.backward(state, bar, back, values, 1.5, p_bar)
    expected = (bar * result.imag).sum() / 1e-30
    assert (back * direction).sum() + p_bar @ change == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("choice", CHOICES, ids=named)
def test_no_species_becomes_negative(choice):
    model, values = compose(choice), compose(choice).values_of(load_parameter_set("glioblastoma"))
    state = places(model, 200, seed=8)
    state[:, ::3] *= 1e-8
    state[0, 1::3] = 0.0
    for tau in (0.1, 4.0, 15.0):
        result = np.empty_like(state)
        react(model, values, state, result, tau, 3.0)
        assert result.min() >= 0.0
        state = result


def test_fast_rates_are_taken_in_parts():
    """A drug that kills at 40 per day over five days, exactly; one without end is refused."""
    model = Model(
        "one line",
        (Species("viable", mobile=True, alive=True),),
        ("proliferation_rate",),
        lambda s, p: {"viable": Rate(p.proliferation_rate * (1.0 - s.viable) - p.kill)},
    )
    state, result = np.full((1, 3), 1e-3), np.empty((1, 3))
    parts = react(model, np.array([0.0, 0.0]), state, result, 5.0, 40.0)
    assert parts == 512  # 200 in parts of at most 0.5, doubled up
    np.testing.assert_allclose(result, 1e-3 * np.exp(-200.0), rtol=1e-10)
    with pytest.raises(NotConverged, match=r"passes .* per day"):
        react(model, np.array([0.0, 0.0]), state, result, 5.0, float(MOST_PARTS))


def test_threads_that_ask_for_a_new_model_at_once_get_it_whole():
    """A model of a name that nobody has used; the first thread makes it, the others wait."""
    models = [
        Model(
            f"asked for by many, {number}",
            (Species("viable", mobile=True, alive=True),),
            (),
            lambda s, p, number=number: {"viable": Rate((1.0 + number) * (1.0 - s.total))},
        )
        for number in range(3)
    ]
    with ThreadPoolExecutor(max_workers=8) as pool:
        steps = list(pool.map(pointwise_step, [m for m in models for _ in range(8)]))
    assert all(callable(step.forward) for step in steps)


def test_growth_laws():
    assert growth_law("gompertz", 0.1) == pytest.approx(np.log(10.0), rel=2e-4)
    assert growth_law("gompertz", 1.0) == 0.0
    assert growth_law("exponential", 0.7) == 1.0


def test_models_are_checked_when_made():
    cells = Species("viable", mobile=True, sensitivity=lambda p: (1.0, 1.0))
    with pytest.raises(InvalidInput, match='no species "dead"'):
        Model("m", (cells,), (), lambda s, p: {})
    with pytest.raises(InvalidInput, match="names that differ"):
        Model("m", (Species("a"), Species("a")), (), lambda s, p: {})
    with pytest.raises(InvalidInput, match="must come first"):
        Model("m", (Species("a"), Species("b", mobile=True)), (), lambda s, p: {})
    wrong = Model("m", (Species("a"),), (), lambda s, p: {"b": Rate(1.0)})
    with pytest.raises(InvalidInput, match='no species "b"; it has a'):
        wrong.evaluate([1.0], [0.0])


def test_hypoxic_cells_are_spared_by_f_and_f_squared():
    """SCIENCE: OER (m p + k)/(p + k), m = 3, k = 3, p = 2.5: 10.5/5.5 = 1.909, f = 0.6364."""
    model = compose(ModelChoice(oxygen=True))
    values = model.values_of(load_parameter_set("glioblastoma"))
    found = model.sensitivities(values)
    assert found[0] == (1.0, 1.0)
    assert found[1] == pytest.approx((7.0 / 11.0, (7.0 / 11.0) ** 2), rel=1e-12)
