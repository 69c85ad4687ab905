"""Mass effect in a run: what it does, that it does nothing when off, order, restarts."""

import numpy as np
import pytest
from small_patient import write_small_patient

import twin
from solvers.batch import Request, solve_batch
from solvers.finite_element import FiniteElementSolver
from solvers.mass_effect import MassEffect
from solvers.prepared import prepare
from solvers.surrogate import SurrogateSolver
from twin.courses import Radiotherapy, Resection
from twin.errors import InvalidInput
from twin.model_choice import ModelChoice
from twin.protocol import Save
from twin.regimen import Regimen

COURSE = Regimen(
    Resection(day=13.25), Radiotherapy(total_dose_gy=30.0, fractions=10, start_day=20.375)
)
DAYS = [0.0, 10.0, 20.0, 30.0, 50.0]


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    found = twin.load(write_small_patient(tmp_path_factory.mktemp("patient"))).on_coarse_mesh()
    return found.replace(model=ModelChoice(mass_effect=True))


def with_values(patient, **values):
    return patient.replace(parameters=patient.parameters.replace(**values))


@pytest.fixture(scope="module")
def strong(patient):
    return with_values(patient, growth_strain=0.2)


def test_without_strain_nothing_moves_and_nothing_is_damped(patient):
    """The damping does not matter where there is no stress; one part in 1e8 is single precision."""
    still = with_values(patient, growth_strain=0.0, stress_damping=0.0)
    run = FiniteElementSolver().solve(still, COURSE, DAYS, save=Save(fields_at=(30.0,)))
    assert float(np.abs(run.displacement).max()) == 0.0
    assert (run.largest_displacement == 0.0).all()
    damped = with_values(patient, growth_strain=0.0, stress_damping=5.0)
    again = FiniteElementSolver().solve(damped, COURSE, DAYS)
    np.testing.assert_allclose(again.tumour_burden, run.tumour_burden, rtol=1e-8)


def test_a_growing_tumour_pushes_outwards(strong):
    """Without treatment: nodes some way outside of it move away from its centre, and none at the
    skull moves."""
    run = FiniteElementSolver().solve(strong, Regimen(), [0.0, 90.0], save=Save(fields_at=(90.0,)))
    density = run.tumour_density.values[0]
    points, moved = strong.mesh.points, run.displacement.values[0]
    centre = (points * density[:, None]).sum(axis=0) / density.sum()
    away = points - centre
    distance = np.linalg.norm(away, axis=1)
    near = (distance > 8.0) & (distance < 14.0)
    outwards = (moved * away).sum(axis=1)[near] / distance[near]
    assert outwards.mean() > 0.05
    assert (outwards > 0.0).mean() > 0.85
    outer = np.linalg.norm(points, axis=1) > np.linalg.norm(points, axis=1).max() - 0.3
    assert np.abs(moved[outer]).max() < 0.35 * np.abs(moved).max()
    assert float(run.largest_displacement[1]) == pytest.approx(
        np.linalg.norm(moved, axis=1).max(), rel=1e-5
    )
    assert float(run.von_mises.max()) > 0.01
    assert run.displacement.attrs["units"] == "mm"
    assert run.von_mises.attrs["units"] == "kPa"


def test_stress_slows_migration(strong):
    """The front is slower the stronger the damping; cells are conserved whatever it is."""
    burden = [
        float(
            FiniteElementSolver()
            .solve(with_values(strong, stress_damping=damping), Regimen(), [0.0, 60.0])
            .tumour_volume_soft.sel(threshold="flair")[1]
        )
        for damping in (0.0, 1.0, 5.0)
    ]
    assert burden[0] > burden[1] > burden[2]


def test_moving_operators_conserve_cells_and_keep_signs(strong):
    prepared = prepare(strong)
    effect = MassEffect(prepared, strong.parameters, 6.0)
    effect.after(())
    visible = prepared.initial_state(strong.parameters)["viable"]
    effect.update(0.0, visible)
    effect.update(6.0, np.minimum(1.3 * visible, 1.0))
    operator = effect.operator(8.0)
    first, row, count, _, weight, inverse = operator.rows
    assert weight.min() >= 0.0
    total = np.zeros(count)
    lanes = weight.shape[1]
    for place in range(count):
        b = place // lanes
        total[row[place]] = weight[first[b] : first[b + 1], place % lanes].sum(dtype=float)
    assert operator.largest_eigenvalue == pytest.approx(2.0 * (total * inverse).max(), rel=1e-6)


def test_the_coupling_is_of_second_order(strong):
    """Steps and the distance of the solves halved together, without treatment."""
    fine = FiniteElementSolver(step_day=0.25).solve(strong, Regimen(), [48.0])
    errors = [
        abs(
            float(
                FiniteElementSolver(step_day=step).solve(strong, Regimen(), [48.0]).tumour_burden[0]
                / fine.tumour_burden[0]
            )
            - 1.0
        )
        for step in (4.0, 2.0, 1.0)
    ]
    assert errors[0] < 1e-3
    assert np.log2(errors[0] / errors[2]) / 2.0 > 1.6


@pytest.mark.parametrize("stop", [7.0, 13.25, 25.0])
def test_stopping_and_going_on_is_bitwise_the_same(strong, stop):
    solver = FiniteElementSolver()
    whole = solver.solve(strong, COURSE, DAYS)
    state = solver.state(strong, COURSE, stop)
    rest = [day for day in DAYS if day >= state.day]
    again = solver.solve(strong, COURSE, rest, start=state)
    for name in ("tumour_volume", "tumour_burden", "largest_displacement"):
        np.testing.assert_array_equal(again[name], whole[name].sel(time=rest))


def test_others_say_that_they_have_no_mass_effect(patient):
    with pytest.raises(InvalidInput, match="batch"):
        solve_batch(patient, [Request(Regimen(), patient.parameters)], [1.0])
    with pytest.raises(InvalidInput, match="batch"):
        solve_batch(
            patient.replace(model=ModelChoice(oxygen=True)),
            [Request(Regimen(), patient.parameters)],
            [1.0],
        )
    with pytest.raises(InvalidInput, match="logistic growth with mass effect"):
        SurrogateSolver.train(patient, COURSE)
