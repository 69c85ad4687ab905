"""Mass effect in a run: what it does, that it does nothing when off, order, restarts."""

import dataclasses
import os
import pathlib

import numpy as np
import pytest
from box_meshes import box_mesh
from small_patient import write_small_patient

import twin
from scenarios.study import Case, Scenario, Study
from solvers.batch import Request, solve_batch
from solvers.elasticity import ElasticBody, outer_nodes
from solvers.finite_element import FiniteElementSolver
from solvers.mass_effect import MassEffect
from solvers.prepared import prepare
from solvers.surrogate import SurrogateSolver
from twin.courses import Radiotherapy, Resection
from twin.errors import InvalidInput
from twin.model_choice import ModelChoice
from twin.parameters import ParameterSet
from twin.protocol import Save
from twin.regimen import Regimen
from twin.results import netcdf_bytes, open_results

COURSE = Regimen(
    Resection(day=13.25), Radiotherapy(total_dose_gy=30.0, fractions=10, start_day=20.375)
)
DAYS = [0.0, 10.0, 20.0, 30.0, 50.0]


@pytest.fixture(scope="module")
def on_fine_mesh(tmp_path_factory):
    found = twin.load(write_small_patient(tmp_path_factory.mktemp("patient")))
    return found.replace(model=ModelChoice(mass_effect=True))


@pytest.fixture(scope="module")
def patient(on_fine_mesh):
    return on_fine_mesh.on_coarse_mesh()


def with_values(patient, **values):
    return patient.replace(parameters=patient.parameters.replace(**values))


@pytest.fixture(scope="module")
def strong(patient):
    return with_values(patient, growth_strain=0.2)


def test_without_strain_the_run_is_bitwise_the_one_without_mass_effect(patient):
    still = with_values(patient, growth_strain=0.0, stress_damping=5.0)
    run = FiniteElementSolver().solve(still, COURSE, DAYS, save=Save(fields_at=(30.0,)))
    plain = FiniteElementSolver().solve(still.replace(model=ModelChoice()), COURSE, DAYS)
    for name in ("tumour_volume", "tumour_volume_soft", "tumour_burden"):
        np.testing.assert_array_equal(run[name], plain[name])
    assert float(np.abs(run.displacement).max()) == 0.0
    assert (run.largest_displacement == 0.0).all()


def test_a_weak_strain_gives_nearly_the_run_without(patient):
    """No jump from labels to partial volumes where hardly anything moves."""
    weak = with_values(patient, growth_strain=1e-6)
    run = FiniteElementSolver().solve(weak, COURSE, DAYS)
    plain = FiniteElementSolver().solve(weak.replace(model=ModelChoice()), COURSE, DAYS)
    np.testing.assert_allclose(run.tumour_burden, plain.tumour_burden, rtol=1e-5)
    assert float(run.largest_displacement[-1]) > 0.0


def matrix_of(operator, nodes):
    """The operator L as compressed rows, from the layout of the compiled loops."""
    first, row, count, column, weight, inverse = operator.rows
    lanes = weight.shape[1]
    found = np.zeros((nodes, nodes))
    for place in range(count):
        at = slice(first[place // lanes], first[place // lanes + 1])
        np.add.at(found[row[place]], column[at, place % lanes], weight[at, place % lanes])
    found -= np.diag(found.sum(axis=1))
    return inverse[:, None] * found


@pytest.mark.parametrize("shear", [0.0, 0.02])
def test_a_uniform_stress_damps_every_exchange_alike(patient, shear):
    """Simple shear k of one modulus: sqrt(3) G k of von Mises stress everywhere."""
    young, poisson, damping = 2.0, 0.4, 1.5
    parts = {f"young_modulus_{one}": young for one in ("white", "grey", "fluid", "tumour")}
    even = with_values(patient, poisson_ratio=poisson, stress_damping=damping, **parts)
    moved = shear * even.mesh.points[:, [1]] * np.array([1.0, 0.0, 0.0])
    memory = {
        "mass_effect_days": np.array([0.0]),
        "mass_effect_displacements": moved[None],
        "mass_effect_first": moved,
    }
    effect = MassEffect(prepare(even), even.parameters, 6.0, memory)
    effect.after(())
    stress = np.sqrt(3.0) * young / (2.0 * (1.0 + poisson)) * shear
    plain = prepare(even).diffusion(even.parameters).matrix().toarray()
    got = matrix_of(effect.operator(0.0), len(even.mesh.points))
    expected = np.exp(-damping * stress) * plain
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-9 * np.abs(plain).max())
    np.testing.assert_allclose(effect.stress(3.0), stress, atol=2e-9)


def test_tissue_is_read_where_it_came_from(patient):
    """Probabilities that rise along x: carried along by 3 mm, an element has 0.03 less of it."""
    world = patient.grid.to_world(np.moveaxis(np.indices(patient.grid.shape), 0, -1))
    white = np.clip(0.5 + 0.01 * world[..., 0], 0.0, 1.0)
    head = patient.tissues > 0
    maps = {"white_matter": white, "grey_matter": 1.0 - white, "fluid": 0.0 * white}
    blurred = patient.replace(
        tissue_probabilities={
            name: np.where(head, part, 0.0).astype(np.float32) for name, part in maps.items()
        }
    )
    prepared = prepare(blurred)
    inner = np.linalg.norm(blurred.mesh.points[blurred.mesh.cells], axis=-1).max(axis=1) < 18.0
    moved = np.tile([3.0, 1.0, 0.0], (len(blurred.mesh.points), 1))
    rest, carried = (prepared.moved_tissue.fractions(d) for d in (None, moved))
    np.testing.assert_allclose(
        (carried - rest)[inner], [[0.0, 0.03, -0.03]] * inner.sum(), atol=1e-5
    )
    for parts in (prepared.moved_tissue, prepare(patient).moved_tissue):
        still = parts.fractions(np.zeros_like(moved))
        np.testing.assert_allclose(still, parts.fractions(), atol=1e-12)
        anywhere = parts.fractions(2.0 * moved)
        assert anywhere.min() >= 0.0
        np.testing.assert_allclose(anywhere.sum(axis=1), 1.0)


def test_cells_that_only_migrate_are_conserved(strong):
    """Without growth and treatment, while tissue moves and stress changes."""
    known = with_values(strong, stress_damping=2.0).parameters
    entries = {name: known[name] for name in known}
    rate = entries["proliferation_rate"]
    entries["proliferation_rate"] = dataclasses.replace(rate, value=0.0, low=0.0)
    spreading = strong.replace(parameters=ParameterSet("no growth", entries))
    run = FiniteElementSolver(profile="step").solve(spreading, Regimen(), [0.0, 20.0, 60.0])
    np.testing.assert_allclose(run.tumour_burden, run.tumour_burden[0], rtol=1e-12)
    assert float(run.largest_displacement[-1]) > 0.01


def test_a_symmetric_tumour_moves_tissue_symmetrically():
    """A box of bricks cut alike is its own mirror image through the centre."""
    mesh = box_mesh((20.0, 20.0, 20.0), (6, 6, 6))
    place = mesh.points - 10.0
    mirrored = np.array([np.linalg.norm(place + one, axis=1).argmin() for one in place])
    np.testing.assert_allclose(place[mirrored], -place, atol=1e-12)
    density = np.exp(-((place / 5.0) ** 2).sum(axis=1))
    near = np.abs(place[mesh.cells].mean(axis=1)).max(axis=1) < 5.0
    young = np.where(near, 8.0, 2.0)

    def moved(growing):
        body = ElasticBody(mesh, young, 0.4, outer_nodes(mesh), tolerance=1e-11, growing=growing)
        return body.displacement(density, 0.05)

    whole, inside, outside = moved(None), moved(near), moved(~near)
    scale = np.abs(whole).max()
    np.testing.assert_allclose(whole[mirrored], -whole, atol=1e-8 * scale)
    np.testing.assert_allclose(inside + outside, whole, atol=1e-8 * scale)
    assert np.abs(outside).max() > 0.01 * scale
    assert np.abs(moved(np.zeros_like(near))).max() == 0.0


def test_solves_give_their_memory_back():
    """Three hundred solves of 2,197 nodes: kept vectors would be a hundred megabytes."""
    statm = pathlib.Path("/proc/self/statm")
    if not statm.exists():
        pytest.skip("optional: no /proc to read the memory from")
    mesh = box_mesh((12.0, 12.0, 12.0), (12, 12, 12))
    body = ElasticBody(mesh, np.full(len(mesh.cells), 2.0), 0.4, outer_nodes(mesh), tolerance=1e-2)
    density = np.exp(-(((mesh.points - 6.0) / 3.0) ** 2).sum(axis=1))

    def used():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    guess = body.displacement(density, 0.05)
    for _ in range(20):
        body.displacement(density, 0.05, guess)
    before = used()
    for _ in range(300):
        body.displacement(density, 0.05, guess)
    assert used() - before < 20e6


def test_a_result_is_written_and_read(strong, tmp_path):
    run = FiniteElementSolver().solve(strong, Regimen(), [0.0, 6.0], save=Save(fields_at=(6.0,)))
    path = tmp_path / "results.nc"
    path.write_bytes(netcdf_bytes(run))
    with open_results(path) as read:
        for name in ("displacement", "von_mises", "largest_displacement"):
            np.testing.assert_array_equal(read[name], run[name])
        assert read.displacement.encoding["chunksizes"] == (1, len(strong.mesh.points), 3)


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
    """The front is slower the stronger the damping."""
    volume = [
        float(
            FiniteElementSolver()
            .solve(with_values(strong, stress_damping=damping), Regimen(), [0.0, 60.0])
            .tumour_volume_soft.sel(threshold="flair")[1]
        )
        for damping in (0.0, 1.0, 5.0)
    ]
    assert volume[0] > volume[1] > volume[2]


def test_moving_operators_keep_signs_and_know_their_limit(strong):
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


@pytest.mark.parametrize("regimen", [Regimen(), Regimen(Resection(day=16.0))])
def test_the_coupling_is_of_second_order(strong, regimen):
    """Steps and the distance of the solves halved together; orders from differences."""

    def found(step):
        run = FiniteElementSolver(step_day=step).solve(strong, regimen, [48.0])
        return [
            float(run.tumour_burden[0]),
            float(run.tumour_volume_soft.sel(threshold="flair")[0]),
            float(run.largest_displacement[0]),
        ]

    first, second, third = np.array([found(step) for step in (1.0, 0.5, 0.25)])
    order = np.log2(np.abs(first - second) / np.abs(second - third))
    np.testing.assert_allclose(order, 2.0, atol=0.2)


@pytest.mark.parametrize("stop", [6.0, 7.0, 12.0, 13.25, 25.0])
def test_stopping_and_going_on_is_bitwise_the_same(strong, stop):
    """Also where the displacement is due to be solved for, and in what is written there."""
    solver, days = FiniteElementSolver(), [0.0, 6.0, 10.0, 12.0, 13.25, 20.0, 30.0, 50.0]
    save = Save(fields_at=(12.0, 30.0))
    whole = solver.solve(strong, COURSE, days, save=save)
    state = solver.state(strong, COURSE, stop)
    rest = [day for day in days if day >= state.day]
    shown = Save(fields_at=tuple(day for day in save.fields_at if day >= state.day))
    again = solver.solve(strong, COURSE, rest, start=state, save=shown)
    for name in ("tumour_volume", "tumour_burden", "largest_displacement"):
        np.testing.assert_array_equal(again[name], whole[name].sel(time=rest))
    for name in ("displacement", "von_mises", "tumour_density"):
        np.testing.assert_array_equal(
            again[name], whole[name].sel(field_time=list(shown.fields_at))
        )


def test_a_study_keeps_the_largest_displacement(on_fine_mesh):
    scenarios = [Scenario("none", Regimen()), Scenario("cut", Regimen(Resection(day=5.25)), "none")]
    study = Study(scenarios, [Case("expected")], days=21, name="two")
    found = study.run(on_fine_mesh, FiniteElementSolver())
    alone = FiniteElementSolver().solve(on_fine_mesh, scenarios[1].regimen, study.times)
    assert found.largest_displacement.dims == ("scenario", "case", "time")
    np.testing.assert_array_equal(found.largest_displacement[1, 0], alone.largest_displacement)
    assert "von_mises" not in found


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
