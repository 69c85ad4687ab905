"""Autograd through the torch executor against differences of the finite-element solver."""

import numpy as np
import pytest
import torch
from executor_cases import CHOICES, beyond
from small_patient import write_small_patient

import twin
from solvers.adjoint.differentiable import DifferentiableRun
from solvers.adjoint.gradient import gradient
from solvers.finite_element import FiniteElementSolver
from solvers.models import compose
from solvers.prepared import prepare
from solvers.torch_executor import TorchSolver
from twin.courses import Radiotherapy, Resection, Temozolomide
from twin.errors import InvalidInput
from twin.protocol import State
from twin.regimen import Regimen


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    return twin.load(write_small_patient(tmp_path_factory.mktemp("patient")))


SHORT = Regimen(
    Radiotherapy(total_dose_gy=6.0, fractions=3, start_day=2.25), Temozolomide(cycles=0)
)
DAYS = (4.0, 7.5, 12.0)
STEPS = {"step_day": 1.0}
#: Of autograd and the adjoint: the softened table has steps in its slope, the burden none.
AGREE = (1e-4, 1e-7)
#: Of the derivative of soft volumes (from a table: differences cross its kinks) and of the burden.
WITHIN = (2e-4, 2e-5)
GROWTH = ("proliferation_rate", "alpha", "alpha_beta", "temozolomide_kill", "carrying_capacity")
#: Central differences of the finite-element solver in single-precision transmissibilities.
BY_PARAMETER = {
    "logistic": (*GROWTH, "dead_clearance_half_life", "diffusivity_white", "diffusivity_grey"),
    "gompertz": ("proliferation_rate", "diffusivity_white"),
    "exponential": ("proliferation_rate", "alpha"),
    "logistic, resistant": ("resistant_fraction", "resistant_radiosensitivity", *GROWTH),
    "logistic, oxygen": (
        "hypoxia_rate", "reoxygenation_rate", "hypoxic_death_rate", "supply_half",
        "vessel_fraction", "oer_maximum", "alpha", "diffusivity_white",
    ),
}  # fmt: skip


def summed(soft, burden):
    """One number of each: weighted volumes [ml] and burden [1e8 cells]."""
    weight = np.linspace(1.0, 2.0, 2 * len(DAYS)).reshape(2, len(DAYS))
    return (
        soft * (weight if isinstance(soft, np.ndarray) else torch.tensor(weight))
    ).sum() / 1e3, (burden.sum() / 1e8)


def by_finite_elements(patient, imaged, **values):
    """The same two numbers from the other solver, the images' state held."""
    own = beyond(patient, **values)
    model = compose(own.model)
    rows = model.initial_state(imaged, model.values_of(own.parameters))
    start = State(0.0, dict(zip(model.names, rows, strict=True)))
    run = FiniteElementSolver(**STEPS).solve(own, SHORT, DAYS, start=start)
    return np.array(summed(run.tumour_volume_soft.values, run.tumour_burden.values))


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=() if n == "gompertz" else pytest.mark.slow) for n in BY_PARAMETER],
)
def test_autograd_agrees_with_differences_of_the_other_solver(patient, name):
    chosen = patient.replace(model=CHOICES[name])
    imaged = prepare(chosen).initial_state(chosen.parameters)
    leaves = {
        each: torch.tensor(chosen.parameters.value(each), dtype=torch.float64, requires_grad=True)
        for each in BY_PARAMETER[name]
    }
    found = summed(*TorchSolver(**STEPS).volumes(chosen, SHORT, DAYS, leaves))
    plain = by_finite_elements(chosen, imaged)
    np.testing.assert_allclose([float(each.detach()) for each in found], plain, rtol=1e-10)
    ours: list[list[float]] = []
    for each in found:
        gradient = torch.autograd.grad(
            each, list(leaves.values()), retain_graph=True, allow_unused=True
        )
        ours.append([0.0 if g is None else float(g) for g in gradient])
    for k, each in enumerate(leaves):
        value = chosen.parameters.value(each)
        step = 1e-3 * value
        up, down = (by_finite_elements(chosen, imaged, **{each: value + s}) for s in (step, -step))
        difference = (up - down) / (2.0 * step)
        for number in (0, 1):
            nothing = 1e-7 * abs(plain[number]) / value
            assert ours[number][k] == pytest.approx(
                difference[number], rel=WITHIN[number], abs=nothing
            ), each


def test_autograd_by_the_density_on_day_0(patient):
    """Along a smooth direction, against central differences of the other solver."""
    imaged = prepare(patient).initial_state(patient.parameters)
    distance = np.linalg.norm(patient.mesh.points - [4.0, 1.5, 3.0], axis=1)
    direction = imaged["viable"] * np.sin(distance)
    leaf = torch.tensor(imaged["viable"], requires_grad=True)
    found = summed(*TorchSolver(**STEPS).volumes(patient, SHORT, DAYS, initial={"viable": leaf}))
    step = 1e-3
    up, down = (
        by_finite_elements(patient, {**imaged, "viable": imaged["viable"] + s * direction})
        for s in (step, -step)
    )
    ours = [
        float(torch.autograd.grad(each, leaf, retain_graph=True)[0] @ torch.tensor(direction))
        for each in found
    ]
    assert (np.abs(ours - (up - down) / (2.0 * step)) <= WITHIN * np.abs(ours)).all()


def test_autograd_after_a_resection_by_diffusivity(patient):
    """The operator is made anew; its derivative too."""
    white = patient.parameters.value("diffusivity_white")
    regimen, step = Regimen(Resection(day=2.0)), 2e-3 * white
    leaf = torch.tensor(white, dtype=torch.float64, requires_grad=True)
    burden = (
        TorchSolver(**STEPS).volumes(patient, regimen, DAYS, {"diffusivity_white": leaf}).burden
    )
    (ours,) = torch.autograd.grad(burden[-1], leaf)
    up, down = (
        TorchSolver(**STEPS)
        .volumes(patient, regimen, DAYS, {"diffusivity_white": torch.tensor(white + s)})
        .burden[-1]
        for s in (step, -step)
    )
    assert float(ours) == pytest.approx(float(up - down) / (2.0 * step), rel=1e-3)


def test_derivatives_that_are_not_to_be_had_are_refused(patient):
    with pytest.raises(InvalidInput, match="Derivatives by 'threshold_flair' are not to be had"):
        TorchSolver().volumes(patient, SHORT, DAYS, {"threshold_flair": torch.tensor(0.2)})


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("logistic", ["alpha", "alpha_beta", "temozolomide_kill", "dead_clearance_half_life"]),
        pytest.param(
            "logistic, oxygen",
            ["alpha", "temozolomide_kill", "hypoxia_rate", "hypoxic_death_rate", "supply_half"],
            marks=pytest.mark.slow,
        ),
    ],
)
def test_autograd_agrees_with_the_adjoint(patient, name, names):
    """Two ways to one derivative, by what the front on day 0 does not depend on.

    Outputs lie on the grid, as the adjoint steps to each of them; its
    transmissibilities are not rounded to single precision.
    """
    chosen, days = patient.replace(model=CHOICES[name]), (4.0, 8.0, 12.0)
    imaged = prepare(chosen).initial_state(chosen.parameters)
    run = DifferentiableRun(chosen, SHORT, days, step_day=1.0)
    leaves = {
        each: torch.tensor(chosen.parameters.value(each), dtype=torch.float64, requires_grad=True)
        for each in names
    }
    if name == "logistic":  # whose first species is what the images show
        leaves["viable"] = torch.tensor(imaged["viable"], requires_grad=True)
    given = {each: leaves[each] for each in names}
    initial = {"viable": leaves["viable"]} if "viable" in leaves else None
    values = TorchSolver(**STEPS).volumes(chosen, SHORT, days, given, initial=initial)
    for number in (0, 1):
        found = gradient(
            run, lambda r, k=number: summed(r.soft, r.burden)[k], [*names, "initial_density"]
        )
        ours = dict(
            zip(
                leaves,
                torch.autograd.grad(
                    summed(*values)[number], list(leaves.values()), retain_graph=True
                ),
                strict=True,
            )
        )
        for each in names:
            assert float(ours[each]) == pytest.approx(float(found.by[each]), rel=AGREE[number])
        if "viable" in leaves:
            expected = found.by["initial_density"]
            apart = np.linalg.norm(ours["viable"].numpy() - expected)
            assert apart <= 10.0 * AGREE[number] * np.linalg.norm(expected)
