"""The documentation's model of one's own, tried as a user would: solved and differentiated."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from small_patient import write_small_patient

import twin
from solvers import DifferentiableRun, FiniteElementSolver, gradient
from solvers.growth import react
from twin.courses import Radiotherapy
from twin.regimen import Regimen

SCRIPT = Path(__file__).parents[1] / "docs" / "own_model.py"
COURSE = Regimen(Radiotherapy(total_dose_gy=20.0, fractions=10, start_day=3.0))


@pytest.fixture(scope="module")
def page():
    spec = importlib.util.spec_from_file_location("own_model", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return write_small_patient(tmp_path_factory.mktemp("patient"))


def test_it_is_about_as_long_as_promised():
    code = [line for line in SCRIPT.read_text().splitlines() if line.strip()]
    assert len(code) < 70


def test_its_main_runs(page, file, capsys):
    page.main(file, days=10)
    said = capsys.readouterr().out
    assert "go or grow: " in said
    assert "after 10 days" in said


def test_it_solves_its_equations(page):
    """One place against scipy: 12 days with a kill of 0.05 per day, in quarters of a day."""
    a, b, rho, kill, cleared = 0.2, 0.3, 0.03, 0.05, np.log(2.0) / 60.0

    def slope(_, u):
        m, g, d, n = u
        total = m + g + d + n
        out, back = a * total * g, b * (1 - total) * m
        return [
            out - back - kill * m,
            rho * g * (1 - total) - out + back - kill * g,
            kill * (m + g) - cleared * d,
            0.0,
        ]

    start = np.array([0.05, 0.4, 0.1, 0.05])
    exact = solve_ivp(slope, (0, 12), start, method="DOP853", rtol=1e-11, atol=1e-14).y[:, -1]
    state = start[:, None].copy()
    for _ in range(48):
        result = np.empty_like(state)
        react(page.GO_OR_GROW, np.array([rho, 60.0, 0.0]), state, result, 0.25, kill)
        state = result
    np.testing.assert_allclose(state[:, 0], exact, rtol=2e-4)


def test_it_is_treated_and_differentiated_like_any_other(page, file):
    patient = twin.load(file).on_coarse_mesh()
    run = FiniteElementSolver(model=page.GO_OR_GROW).solve(patient, COURSE, [2.0, 25.0])
    assert float(run.tumour_burden[1]) < 0.7 * float(run.tumour_burden[0])
    whole = DifferentiableRun(patient, COURSE, [25.0], model=page.GO_OR_GROW)
    found = gradient(whole, lambda r: r.burden[0], ["alpha", "proliferation_rate"])
    assert found.value == pytest.approx(float(run.tumour_burden[1]), rel=1e-4)
    changed = []
    for sign in (1.0, -1.0):
        moved = patient.parameters.replace(alpha=0.036 * (1 + sign * 1e-4))
        other = DifferentiableRun(
            patient.replace(parameters=moved), COURSE, [25.0], model=page.GO_OR_GROW
        )
        changed.append(float(other().burden[0]))
    difference = (changed[0] - changed[1]) / (2e-4 * 0.036)
    assert float(found.by["alpha"]) == pytest.approx(difference, rel=1e-6)
