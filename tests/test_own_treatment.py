"""The documentation's treatment of one's own, tried as a user would."""

import datetime as dt
import importlib.util
from pathlib import Path

import numpy as np
import pytest

from solvers import DifferentiableRun, FiniteElementSolver, TorchSolver
from solvers.batch import Request, solve_batch
from solvers.event_effects import apply_event
from twin.errors import InvalidInput
from twin.regimen import Regimen, add_course_kind

DOCS = Path(__file__).parents[1] / "docs"
SCRIPT = DOCS / "own_treatment.py"


@pytest.fixture(scope="module")
def page():
    from twin import regimen

    spec = importlib.util.spec_from_file_location("own_treatment", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del regimen._KINDS["laser_ablation"]


def test_it_is_about_as_long_as_promised_and_the_guide_shows_it():
    code = [line for line in SCRIPT.read_text(encoding="utf-8").splitlines() if line.strip()]
    assert len(code) < 75
    guide = (DOCS / "adding-a-treatment.md").read_text(encoding="utf-8")
    blocks = guide.split("```python\n")[1:]
    assert blocks
    for block in blocks:  # what the guide shows stands in the file that runs
        assert block.split("```")[0].strip() in SCRIPT.read_text(encoding="utf-8")


def test_its_main_runs(page, patient, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(page.twin, "load", lambda _: patient)
    page.main(tmp_path, days=10)
    assert "Laser ablation of the core on Mon 06 Apr 2026 (day 7)" in capsys.readouterr().out


def test_it_kills_the_stated_share_where_it_is_given(page, patient):
    regimen = Regimen(page.LaserAblation(day=4.0, structure="whole tumour", killed=0.75))
    solver = FiniteElementSolver(step_day=2.0)
    treated = solver.state(patient, regimen, 4.0).species
    before = solver.state(patient, Regimen(), 4.0).species
    points = patient.mesh.points - np.array([6.0, 2.0, 4.0])
    deep = np.linalg.norm(points, axis=1) < 5.0  # well inside the 10 mm of the abnormality
    far = np.linalg.norm(points, axis=1) > 14.0
    np.testing.assert_allclose(treated["viable"][deep], 0.25 * before["viable"][deep], rtol=1e-12)
    np.testing.assert_array_equal(treated["viable"][far], before["viable"][far])
    np.testing.assert_allclose(
        treated["viable"] + treated["dead"], before["viable"] + before["dead"], rtol=1e-12
    )


def test_records_hold_it_and_others_refuse_it(page, patient):
    regimen = Regimen(page.LaserAblation(day=4.0))
    assert Regimen.from_dict(regimen.as_dict()) == regimen
    assert regimen.differences(Regimen()) == ["laser_ablation"]
    for attempt in (
        lambda: TorchSolver().solve(patient, regimen, [5.0]),
        lambda: DifferentiableRun(patient, regimen, [5.0]),
        lambda: solve_batch(patient, [Request(regimen, patient.parameters)], [5.0]),
    ):
        with pytest.raises(InvalidInput, match="knows no Ablation; use the finite-element solver"):
            attempt()


def test_what_is_no_treatment_is_refused(page):
    with pytest.raises(InvalidInput, match=r"needs events\(\)"):
        add_course_kind("nothing", int)
    with pytest.raises(InvalidInput, match="'drug' already"):
        add_course_kind("drug", page.LaserAblation)
    with pytest.raises(InvalidInput, match="a date, whose effect is not known"):
        apply_event(None, dt.date(2026, 3, 30))
