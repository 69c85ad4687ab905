"""Statements about fraction size and margin: made over all that is not known, or not at all."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest
from fake_solver import FakeSolver

from scenarios.comparison import compare
from scenarios.planning import plan_study
from scenarios.ranking import rank
from scenarios.run import plan as runs_of
from scenarios.sensitivity import missing_corners, sensitivity_cases
from scenarios.statements import question
from scenarios.study import Case, Scenario, Study
from scenarios.study_file import StudyFile
from solvers import FiniteElementSolver
from solvers.profiles import with_profile
from twin.courses import Radiotherapy, Temozolomide
from twin.errors import InvalidInput
from twin.regimen import Regimen

LONG = Radiotherapy(total_dose_gy=60.0, fractions=30, start_day=7.0)
#: Its BED is above that of `LONG` where alpha/beta is below 12.4 Gy: 54 (1 + 3.6/r) = 60 (1 + 2/r)
#: at r = (54 * 3.6 - 60 * 2)/6 Gy.
FEW = replace(LONG, total_dose_gy=54.0, fractions=15)
#: Its BED is below at any alpha/beta.
SHORT = replace(LONG, total_dose_gy=40.0, fractions=15)
ALL = ["FLAIR volume, 180 d", "T1Gd progression", "tumour burden, 180 d"]


@dataclass(frozen=True)
class LinearQuadratic:
    """The fake solver with exp(-alpha n d^2 / (alpha/beta)) on top; one edge, so no mesh error."""

    profile: str = "settled"

    def options(self):
        return {"profile": self.profile}

    def solve(self, twin, regimen, times, *, save=None, **more):
        found = FakeSolver().solve(twin, regimen, times, save=save)
        alpha, ratio = (twin.parameters.value(name) for name in ("alpha", "alpha_beta"))
        edge = float(twin.mesh.edge_length().mean())
        events = regimen.schedule(twin.calendar).fractions
        for k, day in enumerate(times):
            square = sum(event.dose_gy**2 for event in events if event.day <= day)
            factor = np.exp(-alpha * square / ratio) / (1.0 + 0.01 * edge**2)
            for name in ("tumour_volume", "tumour_volume_soft", "tumour_burden"):
                found[name].values[..., k] *= factor
        return found


def study(other, **more):
    arms = [Scenario("long", Regimen(LONG)), Scenario("other", Regimen(other), "long")]
    return Study(arms, days=180.0, fields_every_days=90.0, **more)


def test_the_cases_are_all_ends_by_all_others(patient):
    cases = sensitivity_cases(patient.parameters)
    values = [
        (c.changes["alpha_beta"], c.changes["alpha"], c.changes["proliferation_rate"], c.profile)
        for c in cases
    ]
    assert len(set(values)) == 8
    assert {v[0] for v in values} == {3.0, 15.0}
    assert {v[1:3] for v in values} == {(0.03, 0.02), (0.09, 0.1)}
    assert {v[3] for v in values} == {"settled", "step"}
    for case in cases:
        found = case.parameters(patient.parameters)
        ratio = found.value("diffusivity_white") / found.value("proliferation_rate")
        assert ratio == pytest.approx(0.13 / 0.03)  # the front is as wide as it was


def test_without_the_cases_nothing_is_said(patient):
    results = study(SHORT).run(patient, LinearQuadratic())
    for ranking in rank(results):
        assert set(ranking.ranks.values()) == {1}
        assert ranking.tied_with["long"] == ("other",)
    text = " ".join(compare(results).as_text(10_000).split())
    assert "Which fraction size is better, 'long' or 'other': not determined; run it with" in text
    assert "[sensitivity] fractionation = true" in text


def test_with_the_cases_what_holds_in_all_of_them_is_said(patient):
    fair = study(SHORT, sensitivity=True)
    results = fair.run(patient, LinearQuadratic())
    assert results.sizes["case"] == 9
    for ranking in rank(results):
        assert ranking.ranks == {"long": 1, "other": 2}
    said = compare(results)
    assert [one.better for one in said.statements[0].outcomes] == ["long"] * 3
    assert [one.endpoint for one in said.statements[0].outcomes] == ALL
    # volumes of FLAIR on day 180: 20.2 ml exp(rho t - alpha D (1 + d / ratio))
    outcome = said.statements[0].outcomes[0]
    name = "a/b 3, alpha 0.03, rho 0.02, step"
    long, other = (
        20.2 * np.exp(0.02 * 180.0 - 0.03 * bed)
        for bed in (60.0 * (1.0 + 2.0 / 3.0), 40.0 * (1.0 + 40.0 / 15.0 / 3.0))
    )
    assert outcome.differences[name] == pytest.approx(long - other, rel=1e-6)
    text = " ".join(said.as_text(10_000).split())
    assert "better, 'long' or 'other', by FLAIR volume, 180 d: 'long' in all 9 cases, by" in text
    json.dumps(said.as_dict(), allow_nan=False)


def test_what_changes_side_is_not_determined(patient):
    results = study(FEW, sensitivity=True).run(patient, LinearQuadratic())
    said = compare(results).statements[0]
    outcome = said.outcomes[2]
    assert outcome.better is None
    for case, difference in outcome.differences.items():
        # the reference has 10 Gy
        assert (difference < 0.0) == case.startswith("a/b 15"), case
    assert all(set(one.ranks.values()) == {1} for one in rank(results))
    assert outcome.sentence == (
        "not determined: of 9 cases 'long' is better in 4, 'other' in 5, and in 0 the difference "
        "is below the numerical errors."
    )


def test_margins_are_such_a_question_and_other_differences_are_not():
    def about(one, other):
        return question(Regimen(*one).as_dict(), Regimen(*other).as_dict())

    narrow = replace(LONG, ctv_margin_mm=5.0)
    assert about([LONG], [narrow]) == "margin"
    assert about([LONG], [replace(narrow, fractions=15)]) is None
    assert about([LONG], [replace(LONG, fractions_per_day=2)]) == "fraction size"
    assert about([LONG], [replace(LONG, total_dose_gy=66.0)]) is None  # more dose, no question
    assert about([LONG], [SHORT, SHORT]) is None
    assert about([LONG], [LONG, Temozolomide()]) is None
    assert about([LONG, Temozolomide()], [SHORT, Temozolomide()]) == "fraction size"
    assert about([LONG, Temozolomide()], [SHORT, Temozolomide(cycles=2)]) is None


def test_a_study_that_lacks_a_corner_lacks_the_answer(patient):
    cases = [Case("expected"), *sensitivity_cases(patient.parameters)]
    assert missing_corners(study(SHORT, cases=cases).as_dict(patient)["cases"]) == 0
    assert missing_corners(study(SHORT, cases=cases[:-1]).as_dict(patient)["cases"]) == 1
    assert missing_corners(study(SHORT).as_dict(patient)["cases"]) == 8


def test_profiles_are_the_solvers_and_hashed(patient):
    case = Case("step", profile="step")
    planned = runs_of(study(LONG, cases=[Case("expected"), case]), patient, FiniteElementSolver())
    jobs = [planned.jobs[planned.hash_of[(0, j, "halved steps")]] for j in (0, 1)]
    assert [job.solver.profile for job in jobs] == ["settled", "step"]
    assert jobs[1].solver.options()["steps"] == "halved"
    own = runs_of(study(LONG), patient, FiniteElementSolver(profile="step"))
    assert own.hash_of[(0, 0, "fine")] == planned.hash_of[(0, 1, "fine")]
    assert own.hash_of[(0, 0, "fine")] != planned.hash_of[(0, 0, "fine")]
    with pytest.raises(InvalidInput, match="FakeSolver knows no other initial profile"):
        with_profile(FakeSolver(), "step")


def test_the_study_file_and_the_plan(patient):
    table = {
        "format": 1,
        "patient": "patient.toml",
        "scenario": [{"name": "a"}],
        "sensitivity": {"fractionation": True},
    }
    found = StudyFile.model_validate(table).study()
    assert found.sensitivity and len(found.cases) == 1
    text = " ".join(str(plan_study(found, patient)).split())
    assert "1 scenario by 9 cases" in text
    assert "from the step initial profile" in text
    assert not StudyFile.model_validate({**table, "sensitivity": {}}).study().sensitivity
