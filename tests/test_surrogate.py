"""The surrogate against the solver, its guard, and its files."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from small_patient import write_small_patient

import twin
from solvers.batch import solve_batch
from solvers.finite_element import FiniteElementSolver
from solvers.prepared import prepare
from solvers.shells import build_shells
from solvers.surrogate import SurrogateSolver
from solvers.surrogate_check import held_out_summary
from solvers.surrogate_training import Plan
from solvers.training_domain import Range, TrainingDomain, default_ranges
from twin.errors import GeometryMismatch, InvalidInput, OutsideTrainingDomain
from twin.protocol import Save

HORIZON = 200.0
STANDARD = twin.Regimen(
    twin.Radiotherapy(total_dose_gy=60, fractions=30, start_day=28.0), twin.Temozolomide()
)


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    return twin.load(write_small_patient(tmp_path_factory.mktemp("surrogate")))


@pytest.fixture(scope="module")
def model(patient):
    plan = Plan(training=48, calibration=16, held_out=16, steps=900)
    return SurrogateSolver.train(
        patient, STANDARD, horizon_day=HORIZON, plan=plan, seed=3, threads=2
    )


@pytest.fixture(scope="module")
def shells(patient):
    course = STANDARD.radiotherapy[0]
    return build_shells(prepare(patient), patient.parameters, course)


def test_shells_hold_all_living_tissue_and_conserve_cells(patient, shells):
    living = ~patient.mesh.cells_labelled("fluid")
    assert shells.mass.sum() == pytest.approx(patient.mesh.cell_volume[living].sum(), rel=1e-9)
    spread = shells.propagator(0.13, 40.0)
    density = np.linspace(0.0, 1.0, len(shells.mass))
    assert (spread >= 0).all()
    assert shells.mass @ (spread @ density) == pytest.approx(shells.mass @ density, rel=1e-6)
    assert spread @ np.ones(len(shells.mass)) == pytest.approx(1.0, rel=1e-6)


def test_reduced_run_without_spread_is_logistic_growth_and_survival(patient, shells):
    """No diffusion, one shell at a time: the closed form of logistic growth with one impulse."""
    parameters = patient.parameters
    frozen = replace(shells, eigenvalues=np.zeros_like(shells.eigenvalues))
    regimen = twin.Regimen(twin.Radiotherapy(total_dose_gy=2, fractions=1, start_day=30.0))
    schedule = regimen.schedule(patient.calendar)
    day = schedule.fractions[0].day
    run = frozen.run(schedule, parameters, 1.8, np.array([0.0, day - 1.0]))
    rate = parameters.value("proliferation_rate")
    first, last = run.viable
    room = 1.0 - (run.visible[0] - run.viable[0])
    grown = first * np.exp(rate * room * (day - 1.0))
    expected = grown / (1.0 + first * (np.exp(rate * room * (day - 1.0)) - 1.0) / room)
    alive = room > 0.05
    assert last[alive] == pytest.approx(expected[alive], rel=1e-9, abs=1e-12)
    alpha, ratio = parameters.value("alpha"), parameters.value("alpha_beta")
    uniform = replace(frozen, relative_dose=np.ones_like(frozen.relative_dose))
    survived = uniform.surviving(2.0, alpha, ratio)
    assert survived == pytest.approx(np.exp(-alpha * 2.0 * (1.0 + 2.0 / ratio)), rel=1e-12)


def test_held_out_runs_are_the_solvers_own_and_were_not_learnt(patient, model):
    plan = model.trained.record["runs"]
    count = sum(plan.values())
    requests = model.domain.design(count, 3)
    order = np.random.default_rng(3).permutation(count)
    kept = [requests[k] for k in order[plan["training"] + plan["calibration"] :]]
    assert (
        len({json.dumps(r.regimen.as_dict()) + str(hash(r.parameters)) for r in requests}) == count
    )
    request = kept[0]
    grid = model.trained.reduced.grid()
    alone = FiniteElementSolver().solve(
        patient.replace(parameters=request.parameters), request.regimen, grid
    )
    truth = np.exp(model.trained.held_out["log_truth"][0, :, :2]) - 300.0
    scale = truth.max(axis=0)
    assert np.abs(alone.tumour_volume_soft.values.T - truth).max(axis=0) / scale == pytest.approx(
        0.0, abs=0.01
    )


def test_errors_on_unseen_questions_are_small(patient, model):
    summary = model.summary()["held_out"]
    flair = summary["FLAIR volume"]
    assert flair["error_percent"]["median"] <= 2.0
    assert flair["error_percent"]["p95"] <= 10.0
    assert flair["progression_within_7_days_percent"] >= 90.0
    fresh = model.domain.design(64, seed=77)[40:56]
    grid = model.trained.reduced.grid()
    truth = solve_batch(patient, fresh, grid, threads=2)
    inside, errors = [], []
    for k, request in enumerate(fresh):
        answer = model.answer(request.regimen, request.parameters)
        big = truth.soft[k, 1] > 1000.0
        errors.append(np.abs(answer.soft[1] / truth.soft[k, 1] - 1.0)[big])
        inside.append(
            ((answer.low[1] <= truth.soft[k, 1]) & (truth.soft[k, 1] <= answer.high[1])).mean()
        )
    assert np.median(np.concatenate(errors)) <= 0.02
    assert np.mean(inside) >= 0.8


def test_density_agrees_with_the_solver_and_stays_in_bounds(patient, model):
    days = [30.0, 90.0, 180.0]
    regimen = STANDARD.with_radiotherapy(fractions=25)
    guess = model.density(regimen, patient.parameters, days)
    real = FiniteElementSolver().solve(patient, regimen, days, save=Save(fields_at=days))
    assert guess.min() >= 0.0 and guess.max() <= 1.0
    assert np.abs(guess - real.tumour_density.values).mean() < 0.02


def test_answers_keep_to_the_result_schema(patient, model):
    found = model.solve(patient, STANDARD, [0.0, 90.0, 180.0], save=Save(fields_at=(90.0,)))
    assert found.attrs["answered_by"] == "surrogate"
    assert found.tumour_density.dims == ("field_time", "node")
    assert (found.tumour_volume_soft_low <= found.tumour_volume_soft).all()
    assert (found.tumour_volume_soft <= found.tumour_volume_soft_high).all()
    assert all(found[name].attrs["units"] for name in found.variables)


@pytest.mark.parametrize(
    ("regimen", "reason"),
    [
        (twin.Regimen(), "one course of radiotherapy"),
        (STANDARD.with_radiotherapy(fractions=5), "fractions is 5"),
        (STANDARD.with_radiotherapy(ctv_margin_mm=20.0), "ctv margin"),
        (STANDARD.delayed(days=60), "start day is 88"),
        (twin.Regimen(*STANDARD.courses, twin.Resection(day=7.0)), "no resection"),
        (
            STANDARD.with_radiotherapy(boost_target="enhancing", boost_total_dose_gy=75.0),
            "no boost",
        ),
        (
            twin.Regimen(STANDARD.courses[0], twin.Temozolomide(cycles=3)),
            "another temozolomide schedule",
        ),
    ],
)
def test_questions_outside_go_to_the_solver_or_are_refused(patient, model, regimen, reason):
    with pytest.raises(OutsideTrainingDomain, match=reason):
        model.answer(regimen, patient.parameters)
    with pytest.raises(OutsideTrainingDomain, match=reason):
        model.solve(patient, regimen, [10.0], outside="raise")
    found = model.solve(patient, regimen, [0.0, 10.0])
    assert found.attrs["answered_by"] == "finite_element"
    assert reason in found.attrs["surrogate_refused"]
    real = FiniteElementSolver().solve(patient, regimen, [0.0, 10.0])
    assert np.array_equal(found.tumour_volume_soft.values, real.tumour_volume_soft.values)


def test_parameters_outside_and_late_days_are_refused(patient, model):
    other = patient.parameters.replace(threshold_flair=0.2)
    with pytest.raises(OutsideTrainingDomain, match="threshold flair differs"):
        model.answer(STANDARD, other)
    with pytest.raises(OutsideTrainingDomain, match="grey to white"):
        model.answer(STANDARD, patient.parameters.replace(diffusivity_grey=0.05))
    with pytest.raises(OutsideTrainingDomain, match="beyond the trained 200"):
        model.answer(STANDARD, patient.parameters, [400.0])


def test_a_model_comes_back_from_disk_as_it_was(patient, model, tmp_path):
    model.save(tmp_path / "model")
    again = SurrogateSolver.load(tmp_path / "model")
    regimen = STANDARD.with_radiotherapy(fractions=20)
    one, two = (m.answer(regimen, patient.parameters) for m in (model, again))
    assert np.array_equal(one.soft, two.soft) and np.array_equal(one.high, two.high)
    assert again.describe() == model.describe()
    model.save(tmp_path / "model")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model"]
    card = json.loads((tmp_path / "model" / "model.json").read_text())
    assert card["research_use_only"] and card["record"]["runs"]["held_out"] == 16


def test_files_cut_short_edited_or_foreign_are_refused(model, tmp_path):
    folder = tmp_path / "model"
    model.save(folder)
    tensors = folder / "model.safetensors"
    whole = tensors.read_bytes()
    tensors.write_bytes(whole[:-100])
    with pytest.raises(InvalidInput, match="cut short or was edited"):
        SurrogateSolver.load(folder)
    changed = bytearray(whole)
    changed[-5] ^= 1
    tensors.write_bytes(bytes(changed))
    with pytest.raises(InvalidInput, match="cut short or was edited"):
        SurrogateSolver.load(folder)
    tensors.write_bytes(whole)
    card = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**card, "format": 99}))
    with pytest.raises(InvalidInput, match="format 99"):
        SurrogateSolver.load(folder)
    (folder / "model.json").write_text("{")
    with pytest.raises(InvalidInput, match="cannot be read"):
        SurrogateSolver.load(folder)
    with pytest.raises(InvalidInput, match="holds no model"):
        SurrogateSolver.load(tmp_path / "nothing")
    other = tmp_path / "other"
    other.mkdir()
    (other / "letter.txt").write_text("keep me")
    with pytest.raises(InvalidInput, match="something other than a model"):
        model.save(other)
    assert (other / "letter.txt").read_text() == "keep me"


def test_a_model_is_refused_for_another_twin(patient, model):
    with pytest.raises(GeometryMismatch, match="another patient"):
        model.solve(patient.on_coarse_mesh(), STANDARD, [10.0])


def test_ranges_and_plans_that_cannot_work_are_refused(patient):
    with pytest.raises(InvalidInput, match="empty or reversed"):
        Range(2.0, 1.0, "Gy")
    with pytest.raises(InvalidInput, match="begins above 0"):
        Range(0.0, 1.0, "1", "log")
    with pytest.raises(InvalidInput, match="at least 8 held_out"):
        Plan(held_out=3)
    ranges = default_ranges(patient.parameters)
    ranges.pop("alpha")
    with pytest.raises(InvalidInput, match="ranges for exactly"):
        TrainingDomain(ranges, STANDARD, patient.parameters, 540.0)
    with pytest.raises(InvalidInput, match="one course of radiotherapy"):
        SurrogateSolver.train(patient, twin.Regimen())


def test_the_design_fills_its_ranges_and_can_be_asked(model):
    domain = model.domain
    requests = domain.design(128, seed=5)
    assert not any(domain.refusals(r.regimen, r.parameters) for r in requests)
    values = [domain.values(r.regimen, r.parameters) for r in requests]
    for name, limits in domain.ranges.items():
        shares = np.array([limits.share(value[name]) for value in values])
        assert shares.min() < 0.1 and shares.max() > 0.7
    without = sum(not r.regimen.temozolomide for r in requests) / len(requests)
    assert 0.1 < without < 0.3
    assert max(r.regimen.radiotherapy[0].total_dose_gy for r in requests) <= 80.0 + 1e-9


def test_summary_measures_what_it_says():
    """Two runs with an error of 5 % everywhere and an interval of 3 %: nothing is covered."""
    times = np.arange(0.0, 100.0, 7.0)
    volume = 5000.0 * np.exp(0.02 * times)
    truth = np.stack([np.stack([volume] * 3, axis=1)] * 2)
    wrong = np.log(truth * 1.05 + 300.0)
    test = {
        "times": times,
        "log_truth": np.log(truth + 300.0),
        "log_predicted": wrong,
        "log_half_width": np.full(truth.shape, np.log(1.03)),
        "start_day": np.array([14.0, 14.0]),
        "dice": np.ones((2, 2, 3)),
        "density_error": np.zeros(2),
    }
    entry = held_out_summary(test)["FLAIR volume"]
    assert entry["error_percent"]["median"] == pytest.approx(5.0, abs=1e-3)
    assert entry["error_percent"]["worst"] == pytest.approx(5.0, abs=1e-2)
    assert entry["interval_coverage_of_times"] == 0.0
    assert entry["progression_within_7_days_percent"] == 100.0
