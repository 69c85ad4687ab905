"""Gradients against differences of the run itself, and against what must hold."""

import numpy as np
import pytest
import torch
from small_patient import write_small_patient

import twin
from solvers.adjoint.differentiable import DifferentiableRun
from solvers.adjoint.gradient import gradient, hessian_product
from solvers.finite_element import FiniteElementSolver
from twin.courses import Radiotherapy, Resection, Temozolomide
from twin.errors import InvalidInput
from twin.model_choice import ModelChoice
from twin.regimen import Regimen

COURSE = Radiotherapy(total_dose_gy=30.0, fractions=10, start_day=4.375)
REGIMEN = Regimen(Resection(day=2.25), COURSE, Temozolomide())
DAYS = [10.0, 30.0]
CHOICES = {
    "logistic": ModelChoice(),
    "gompertz": ModelChoice(growth="gompertz"),
    "exponential": ModelChoice(growth="exponential"),
    "oxygen, resistant": ModelChoice(oxygen=True, resistant=True),
}
PARAMETERS = {
    "logistic": [
        "proliferation_rate", "diffusivity_white", "diffusivity_grey", "threshold_t1gd",
        "threshold_flair", "alpha", "alpha_beta", "temozolomide_kill", "temozolomide_clearance",
        "temozolomide_half_life", "dead_clearance_half_life",
    ],
    "gompertz": ["proliferation_rate", "diffusivity_white"],
    "exponential": ["proliferation_rate", "alpha"],
    "oxygen, resistant": [
        "proliferation_rate", "diffusivity_grey", "hypoxia_rate", "vessel_fraction",
        "resistant_fraction", "resistant_radiosensitivity", "oer_maximum",
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    return twin.load(write_small_patient(tmp_path_factory.mktemp("patient"))).on_coarse_mesh()


@pytest.fixture(scope="module")
def runs(patient):
    return {
        name: DifferentiableRun(patient.replace(model=choice), REGIMEN, DAYS, fields_at=[30.0])
        for name, choice in CHOICES.items()
    }


def quantity(result):
    """Something of everything that a run gives."""
    weight = torch.tensor([[1.0, 2.0], [0.3, 0.1]], dtype=torch.float64)
    density = (result.density**2).sum()
    return (result.soft * weight).sum() + result.hard[1, -1] + 1e-5 * result.burden[0] + density


@pytest.mark.parametrize("model", CHOICES)
def test_gradients_by_parameters_are_those_of_differences(runs, model):
    """Central differences of fourth order, each parameter by itself: 1e-6 of each."""
    run = runs[model]
    found = gradient(run, quantity, PARAMETERS[model])
    for name in PARAMETERS[model]:
        value = run.twin.parameters.value(name)
        step = 2e-4 * value

        def at(change, name=name, value=value):
            with torch.no_grad():
                moved = {name: torch.tensor(value + change, dtype=torch.float64)}
                return float(quantity(run(moved)))

        expected = 8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))
        assert float(found.by[name]) == pytest.approx(expected / (12 * step), rel=1e-6), name


@pytest.mark.parametrize("model", ["logistic", "oxygen, resistant"])
@pytest.mark.parametrize("field", ["initial_density", "diffusivity", "dose"])
def test_gradients_by_fields_are_those_of_differences(runs, model, field):
    """Along a random direction that keeps the sign of what it changes."""
    run = runs[model]
    found = gradient(run, quantity, [field]).by[field]
    start = {
        "initial_density": lambda: run.prepared.initial_state(run.twin.parameters)["viable"],
        "diffusivity": lambda: run.prepared.diffusivity(run.twin.parameters),
        "dose": lambda: run.prepared.dose_at_nodes(COURSE),
    }[field]()
    direction = start * np.random.default_rng(5).uniform(-1, 1, start.shape)

    def at(step):
        moved = torch.from_numpy(start + step * direction)
        with torch.no_grad():
            if field == "dose":
                return float(quantity(run(dose={1: moved})))
            return float(quantity(run(**{field: moved})))

    step = 1e-4
    expected = (8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step)
    assert (found * direction).sum() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    "model", ["logistic", pytest.param("oxygen, resistant", marks=pytest.mark.slow)]
)
def test_second_derivatives_are_those_of_differences_of_gradients(runs, model):
    run = runs[model]
    names = [n for n in PARAMETERS[model] if not n.startswith("threshold")]
    rng = np.random.default_rng(2)
    direction = {n: rng.normal() * run.twin.parameters.value(n) for n in names}
    found = hessian_product(run, quantity, direction)
    ends = []
    for sign in (1.0, -1.0):
        leaves = {
            n: torch.tensor(
                run.twin.parameters.value(n) + sign * 1e-4 * direction[n],
                dtype=torch.float64, requires_grad=True,
            )
            for n in names
        }  # fmt: skip
        ends.append(torch.autograd.grad(quantity(run(leaves)), list(leaves.values())))
    expected = np.array([(a - b).item() / 2e-4 for a, b in zip(*ends, strict=True)])
    values = np.array([run.twin.parameters.value(n) for n in names])
    got = np.array([float(found.by[n]) for n in names])
    error = np.abs(got - expected) * values
    assert error.max() < 3e-5 * np.abs(expected * values).max()


def test_the_hessian_is_symmetric_in_the_initial_density(runs):
    run = runs["logistic"]
    nodes = len(run.twin.mesh.points)
    one, other = np.random.default_rng(3).uniform(0, 1, (2, nodes))
    a = hessian_product(run, quantity, {"initial_density": one}).by["initial_density"]
    b = hessian_product(run, quantity, {"initial_density": other}).by["initial_density"]
    assert a @ other == pytest.approx(b @ one, rel=1e-12)


def test_the_run_is_that_of_the_solver(runs, patient):
    solver = FiniteElementSolver()
    for name, choice in CHOICES.items():
        found = runs[name](None)
        run = solver.solve(patient.replace(model=choice), REGIMEN, DAYS)
        np.testing.assert_allclose(run.tumour_volume_soft, found.soft.numpy(), rtol=1e-4)
        np.testing.assert_allclose(run.tumour_burden, found.burden.numpy(), rtol=1e-4)
        np.testing.assert_allclose(run.tumour_volume[1], found.hard[1].numpy(), rtol=1e-4)


def test_kept_states_or_few_of_them_give_the_same_gradient(runs, monkeypatch):
    run = runs["logistic"]
    whole = gradient(run, quantity, ["proliferation_rate", "diffusivity"])
    monkeypatch.setattr("solvers.adjoint.run.KEPT_BYTES", 0.0)
    few = gradient(run, quantity, ["proliferation_rate", "diffusivity"])
    np.testing.assert_array_equal(whole.by["diffusivity"], few.by["diffusivity"])
    assert whole.by["proliferation_rate"] == few.by["proliferation_rate"]


def test_what_cannot_be_differentiated_is_refused(runs, patient):
    with pytest.raises(InvalidInput, match="no derivative by 'colour'"):
        gradient(runs["logistic"], quantity, ["colour"])
    with pytest.raises(InvalidInput, match="does not depend on 'hypoxia_rate'"):
        gradient(runs["logistic"], quantity, ["hypoxia_rate"])
    with pytest.raises(InvalidInput, match="one number"):
        gradient(runs["logistic"], lambda r: r.soft, ["alpha"])
    nodes, cells = len(patient.mesh.points), len(patient.mesh.cells)
    for name, field, words in (
        (
            "initial_density",
            torch.full((nodes,), 1.2),
            "1.2 1 at place 0; it must be at least 0 and",
        ),
        ("initial_density", torch.zeros(3), "has shape"),
        ("diffusivity", torch.full((cells,), -0.1), "-0.1 mm2/day at place 0"),
        ("diffusivity", torch.full((cells,), torch.nan), "nan mm2/day"),
    ):
        with pytest.raises(InvalidInput, match=words):
            runs["logistic"](**{name: field.double()})
    with pytest.raises(InvalidInput, match="-2 Gy at place 0"):
        runs["logistic"](dose={1: torch.full((nodes,), -2.0).double()})
    with pytest.raises(InvalidInput, match="Course 0 of the regimen is no radiotherapy"):
        runs["logistic"](dose={0: torch.zeros(nodes).double()})
    with pytest.raises(InvalidInput, match="mass effect"):
        DifferentiableRun(patient.replace(model=ModelChoice(mass_effect=True)), REGIMEN, DAYS)
