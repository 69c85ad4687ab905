"""The example head, as planners would look at it: one twin and one surrogate for all tests."""

from __future__ import annotations

import numpy as np
import pytest

import twin
from scenarios.study_file import read_study
from solvers.finite_element import FiniteElementSolver
from solvers.prepared import prepare
from solvers.surrogate import SurrogateSolver
from twin.examples import data_folder

pytestmark = pytest.mark.slow

STANDARD = twin.Regimen(
    twin.Radiotherapy(total_dose_gy=60, fractions=30, start_day=28.0), twin.Temozolomide()
)
DAYS = np.arange(0.0, 181.0)


@pytest.fixture(scope="module")
def head():
    return twin.load(data_folder() / "examples" / "glioblastoma" / "patient.toml")


@pytest.fixture(scope="module")
def runs(head):
    """Every arm of the example study, to day 180."""
    study = read_study(data_folder() / "examples" / "glioblastoma" / "study.toml").study
    solver = FiniteElementSolver()
    return {arm.name: solver.solve(head, arm.regimen, DAYS.tolist()) for arm in study.scenarios}


def test_mesh_is_fine_around_the_tumour_and_of_the_promised_size(head):
    assert 80_000 <= len(head.mesh.points) <= 150_000
    assert prepare(head).diffusion(head.parameters).explicit_limit_day >= 1.0


def test_no_arm_loses_half_of_its_enhancement_in_two_weeks_of_radiotherapy(runs):
    for name, run in runs.items():
        volume = run.tumour_volume_soft.sel(threshold="t1gd")
        assert volume.sel(time=42.0) > 0.5 * volume.sel(time=28.0), name


def test_doubling_time_before_treatment_is_of_the_published_order(runs):
    """Medians of 21, 31 and 50 days: Ellingson 2016, Feucht 2024, Stensjoen 2015 (untreated)."""
    volume = runs["no treatment"].tumour_volume_soft.sel(threshold="t1gd")
    doubling = 28.0 * np.log(2.0) / np.log(float(volume.sel(time=28.0) / volume.sel(time=0.0)))
    assert 15.0 < doubling < 60.0


def test_treatments_are_ordered_as_trials_found_them(runs):
    """Stupp 2005: radiotherapy with temozolomide before radiotherapy before nothing."""
    burden = {name: float(run.tumour_burden[-1]) for name, run in runs.items()}
    alone, both = burden["60 Gy in 30"], burden["60 Gy in 30 + temozolomide"]
    assert both < alone < burden["no treatment"]
    assert burden["resection, then 60 Gy in 30 + temozolomide"] < both


def test_more_dose_never_means_more_tumour(head):
    solver, before = FiniteElementSolver(), np.inf
    for dose in (0.0, 40.0, 60.0, 70.0):
        course = twin.Radiotherapy(total_dose_gy=dose, fractions=30, start_day=28.0)
        run = solver.solve(head, twin.Regimen(course), [67.0, 120.0])
        assert (run.tumour_burden.values < before).all()
        before = run.tumour_burden.values


def test_dose_covers_its_target(head):
    plan = prepare(head).dose_map(STANDARD.radiotherapy[0])
    assert plan.d50_gy == pytest.approx(60.0, rel=1e-3)
    assert plan.d98_gy >= 0.95 * 60.0


def test_surrogate_of_the_head_keeps_its_promises(head):
    model = SurrogateSolver.train(head, STANDARD, seed=1, threads=2)
    held_out = model.summary()["held_out"]
    assert held_out["runs"] >= 50
    flair = held_out["FLAIR volume"]
    assert flair["error_percent"]["median"] <= 2.0
    assert flair["error_percent"]["p95"] <= 10.0
    assert flair["progression_within_7_days_percent"] >= 90.0
    assert flair["interval_coverage_of_times"] >= 0.85
    regimen = STANDARD.with_radiotherapy(fractions=25)
    answer = model.answer(regimen, head.parameters)
    real = FiniteElementSolver().solve(head, regimen, answer.times.tolist())
    error = np.abs(answer.soft[1] / real.tumour_volume_soft.values[1] - 1.0)
    assert error.max() < 0.1
