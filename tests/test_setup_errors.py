"""Set-up errors: the dose of all arms displaced and blurred alike."""

import numpy as np
import pytest

from scenarios import Study, compare
from scenarios.study import Case
from scenarios.study_file import StudyFile
from solvers import FiniteElementSolver
from solvers.prepared import prepare
from twin.courses import Radiotherapy
from twin.dose import dose_maps
from twin.errors import InvalidInput
from twin.regimen import Regimen
from twin.setup_error import SetupError, drawn_setup_errors

COURSE = Radiotherapy(total_dose_gy=20.0, fractions=10, start_day=1.0)


def test_a_linear_dose_moves_by_the_shift_whatever_the_axes():
    """Grid axes run to the left and upwards; the dose rises by 1 Gy a millimetre to the right."""
    affine = np.array([[-2.0, 0, 0, 40], [0, 0, 2.0, -40], [0, 2.0, 0, -40], [0, 0, 0, 1]])
    where = np.moveaxis(np.indices((41, 41, 41)), 0, -1) @ affine[:3, :3].T + affine[:3, 3]
    x, y, z = np.moveaxis(where, -1, 0)
    dose = (100.0 + x + 0.5 * y - 0.25 * z).astype(np.float32)
    error = SetupError((3.0, -2.0, 4.0), 1.5)
    found = error.applied(dose, affine)
    inner = (slice(8, -8),) * 3
    # what was planned at a place is given 3 mm right, 2 mm back and 4 mm up of it
    expected = dose - (3.0 + 0.5 * -2.0 - 0.25 * 4.0)
    np.testing.assert_allclose(found[inner], expected[inner], atol=1e-3)


def test_a_step_is_blurred_by_the_random_error():
    """The edge of a wide field becomes Phi(x / s)."""
    from scipy.special import ndtr

    x = np.arange(80.0) - 39.5
    dose = np.broadcast_to((x > 0.0)[:, None, None], (80, 5, 5)).astype(np.float32)
    found = SetupError(blur_mm=4.0).applied(dose, np.eye(4))
    np.testing.assert_allclose(found[:, 2, 2], ndtr(x / 4.0), atol=2e-3)


def test_draws_have_the_stated_spread():
    errors = drawn_setup_errors(2.0, 1.0, 4000, 3)
    shifts = np.array([error.shift_mm for error in errors])
    assert shifts.std() == pytest.approx(2.0, rel=0.03)
    assert abs(shifts.mean()) < 0.05
    assert {error.blur_mm for error in errors} == {1.0}


def test_the_dose_of_a_run_is_displaced_and_the_rest_is_shared(patient):
    error = SetupError((4.0, 0.0, 0.0))
    displaced = patient.replace(setup=error)
    assert displaced.content_hash != patient.content_hash
    (planned,), (given,) = (dose_maps(one, Regimen(COURSE)) for one in (patient, displaced))
    np.testing.assert_allclose(given.total_gy[5:], planned.total_gy[3:-2], atol=1e-4)  # 2 mm voxels
    assert prepare(displaced).operators is prepare(patient).operators
    runs = [
        FiniteElementSolver().solve(one, Regimen(COURSE), [0.0, 40.0])
        for one in (patient, displaced)
    ]
    assert float(runs[1].tumour_burden[-1]) != float(runs[0].tumour_burden[-1])
    again = FiniteElementSolver().solve(patient, Regimen(COURSE), [0.0, 40.0])
    np.testing.assert_array_equal(again.tumour_burden, runs[0].tumour_burden)


def test_a_study_runs_every_draw_and_spares_untreated_arms(patient):
    study = Study(
        {"none": Regimen(), "treated": Regimen(COURSE)},
        [Case("expected"), Case("expected, set-up 1", {}, SetupError((6.0, 0.0, 0.0), 2.0))],
        days=40.0,
    )
    results = study.run(patient, FiniteElementSolver())
    burden = results["tumour_burden"].sel(time=40.0)
    assert burden.sel(scenario="none").values[0] == burden.sel(scenario="none").values[1]
    planned, displaced = burden.sel(scenario="treated").values
    assert displaced > planned  # a part of the tumour is missed
    assert "the dose 6 mm right, 0 mm front, 0 mm up of its place and blurred by 2 mm" in (
        study.describe(patient)
    )
    assert str(compare(results))


def test_the_study_file_draws_the_same_shifts_for_every_case():
    table = {
        "format": 1,
        "patient": "patient.toml",
        "scenario": [{"name": "none"}],
        "case": [{"name": "a"}, {"name": "b", "parameters": {"alpha": "0.03 1/Gy"}}],
        "setup_errors": {"systematic": "3 mm", "random": "1 mm", "draws": 2, "seed": 5},
    }
    study = StudyFile.model_validate(table).study()
    names = [case.name for case in study.cases]
    assert names == ["a", "b", "a, set-up 1", "a, set-up 2", "b, set-up 1", "b, set-up 2"]
    shifts = [case.setup for case in study.cases]
    assert shifts[:2] == [None, None]
    assert shifts[2:4] == shifts[4:] == list(drawn_setup_errors(3.0, 1.0, 2, 5))
    assert study.cases[5].changes == {"alpha": "0.03 1/Gy"}


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: SetupError((40.0, 0.0, 0.0)), "at most 30 mm"),
        (lambda: SetupError((0.0, 0.0)), "three lengths"),
        (lambda: SetupError(blur_mm=-1.0), "between 0 and 30 mm"),
        (lambda: drawn_setup_errors(20.0, 0.0, 1, 0), "between 0 and 10 mm"),
    ],
)
def test_bad_errors_are_told(make, says):
    with pytest.raises(InvalidInput, match=says):
        make()
