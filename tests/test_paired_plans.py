"""Two plans of one patient over the same draws: counted by hand on doses that are linear."""

import json
from dataclasses import dataclass, replace

import nibabel as nib
import numpy as np
import pytest
from fake_solver import FakeSolver
from small_patient import PATIENT_TOML, write_small_patient

import twin
from scenarios.comparison import compare
from scenarios.endpoints import default_endpoints
from scenarios.isotoxic import Isotoxic
from scenarios.organs import organ_doses
from scenarios.paired_plans import plan_pairs, wilson_interval
from scenarios.study import Case, Scenario, Study
from twin.courses import Radiotherapy
from twin.dose import dose_maps
from twin.regimen import Regimen
from twin.results import check_results
from twin.setup_error import SetupError
from twin.targets import structure_mask

RIGHT = Radiotherapy(total_dose_gy=60.0, fractions=30, start_day=7.0, dose="right")
LEFT = replace(RIGHT, dose="left")
SHIFTS = (-3.0, -1.0, 2.0, 1.0, -2.0)  # to the right, [mm]
BURDEN = "tumour burden, 60 d"


@pytest.fixture(scope="module")
def two_plans(tmp_path_factory):
    """The small patient: one dose rises by 0.5 Gy a millimetre to the right, one to the left.

    Both are 60 Gy at x = 6 mm, about which the tumour is symmetric.
    """
    place = tmp_path_factory.mktemp("two")
    toml = PATIENT_TOML + "".join(
        f'\n[doses.{name}]\nfile = "{name}.nii.gz"\nprescribed = "60 Gy"\n'
        for name in ("right", "left")
    )
    path = write_small_patient(place, toml=toml)
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = -60.0
    x = -60.0 + 2.0 * np.arange(61)
    for name, slope in (("right", 0.5), ("left", -0.5)):
        dose = np.broadcast_to((60.0 + slope * (x - 6.0))[:, None, None], (61, 61, 61))
        nib.save(nib.Nifti1Image(dose.astype(np.float32), affine), place / f"{name}.nii.gz")
    return twin.load(path)


@dataclass(frozen=True)
class MeanDose:
    """The fake solver, with exp(-alpha) for each Gray that the tumour gets on average."""

    def options(self):
        return {}

    def solve(self, twin, regimen, times, *, save=None, **more):
        found = FakeSolver().solve(twin, Regimen(), times, save=save)
        core, days = structure_mask(twin, "gtv"), np.asarray(times)
        for dose in dose_maps(twin, regimen):
            killed = twin.parameters.value("alpha") * float(dose.given_gy[core].mean())
            for name in ("tumour_volume", "tumour_volume_soft", "tumour_burden"):
                found[name].values[..., days >= 7.0] *= np.exp(-killed)
        return found


def study(*cases, arms=(RIGHT, LEFT), **more):
    drawn = [
        Case(f"{case.name}, {k}", case.changes, SetupError((shift, 0.0, 0.0)))
        for case in cases
        for k, shift in enumerate(SHIFTS)
    ]
    scenarios = [Scenario("right", Regimen(arms[0])), Scenario("left", Regimen(arms[1]), "right")]
    options = {"days": 60.0, "fields_every_days": 30.0, **more}
    return Study(scenarios, [*cases, *drawn], **options)


@pytest.fixture(scope="module")
def results(two_plans):
    cases = Case("expected"), Case("resistant", {"alpha": "0.02 1/Gy"})
    return study(*cases).run(two_plans, MeanDose())


def eqd2(dose):
    """In 30 fractions at 2 Gy."""
    return dose * (1.0 + dose / 60.0) / 2.0


def test_organs_get_the_displaced_dose_case_by_case(two_plans, results):
    check_results(results)
    mask = two_plans.structures["brainstem"].mask
    x = -28.0 + 2.0 * np.argwhere(mask)[:, 0]
    found = results["organ_eqd2_mean_by_case"].sel(organ="brainstem")
    cases = [str(name) for name in results["case"].values]
    for number, slope in enumerate((0.5, -0.5)):
        planned = eqd2(60.0 + slope * (x - 6.0)).mean()
        for case in ("expected", "resistant"):
            assert float(found[number, cases.index(case)]) == pytest.approx(planned, rel=1e-5)
            for k, shift in enumerate(SHIFTS):
                displaced = eqd2(60.0 + slope * (x - shift - 6.0)).mean()
                value = float(found[number, cases.index(f"{case}, {k}")])
                assert value == pytest.approx(displaced, rel=1e-5)
    # the planned one is where it always was
    assert float(results["organ_eqd2_mean"].sel(organ="brainstem")[0]) == float(found[0, 0])
    assert np.isfinite(results["organ_ntcp_by_case"].sel(organ="brainstem")).all()


def test_draw_by_draw(results):
    """Rising to the right, the tumour's mean is 60 - shift/2; the left organ is spared."""
    (pair,) = plan_pairs(results, default_endpoints(results))
    # the arm that is compared with the other comes first
    assert (pair.arm, pair.other, pair.doses) == ("left", "right", ("left", "right"))
    assert (pair.cases, pair.draws) == (10, 5)
    assert pair.over == "2 cases in each of 5 set-up draws"
    rows = {row.quantity: row for row in pair.rows}
    row = rows[BURDEN]
    assert (row.better, row.worse) == (4, 6)  # shifts of +2 and +1 mm are better, in two cases
    assert row.probability == pytest.approx(0.4)
    assert row.interval == pytest.approx((0.1176, 0.7693), abs=1e-4)
    assert rows["brainstem, mean EQD2"].worse == 10
    assert rows["brainstem, NTCP"].unit == "%"
    assert rows["brainstem, EQD2 D0.03cc"].interval == pytest.approx((0.0, 0.4345), abs=1e-4)
    # the other way round: less tumour and no organ that gets more
    assert (pair.joint[BURDEN].better, pair.joint[BURDEN].worse) == (0, 6)


def test_the_other_way_round(two_plans):
    arms = study(Case("expected")).scenarios
    swapped = study(Case("expected")).replace(
        scenarios=[replace(arms[1], compared_with=None), replace(arms[0], compared_with="left")]
    )
    results = swapped.run(two_plans, MeanDose())
    (pair,) = plan_pairs(results, default_endpoints(results))
    assert (pair.arm, pair.other) == ("right", "left")
    row = pair.joint[BURDEN]
    assert (row.better, row.worse, pair.cases, pair.draws) == (3, 0, 5, 5)
    assert row.probability == pytest.approx(0.6)


@pytest.mark.parametrize(("share", "draws"), [(0.0, 5), (0.3, 50), (0.5, 4), (1.0, 3)])
def test_the_ends_of_an_interval_are_so_many_standard_errors_away(share, draws):
    """By definition: an end p lies 1.96 sqrt(p (1 - p)/n) from the share that was seen."""
    for end in wilson_interval(share, draws):
        error = 1.959964 * np.sqrt(end * (1.0 - end) / draws)
        assert abs(end - share) == pytest.approx(error, abs=1e-6)
    assert wilson_interval(0.0, 5)[1] == pytest.approx(1.959964**2 / (5 + 1.959964**2), abs=1e-6)


def test_it_is_told(results):
    said = compare(results)
    text = " ".join(said.as_text(10_000).split())
    assert "Plan 'left' against 'right', over 2 cases in each of 5 set-up draws" in text
    assert (
        "Note: 'left' against 'right' (planned doses 'left' and 'right'): better by tumour burden, "
        "60 d and in no organ a higher EQD2 or complication probability in 0 of 10, P = 0.00 "
        "(0.00 to 0.43); the other way round in 6 of 10."
    ) in text
    assert "EQD2 and NTCP of organs rest on values of grade C or D: alpha beta brain" in text
    assert max(map(len, str(said).splitlines())) <= 120
    json.dumps(said.as_dict(), allow_nan=False)


def test_without_draws_there_is_no_probability(two_plans):
    one = study(Case("expected"))
    plain = one.replace(cases=[Case("expected"), Case("resistant", {"alpha": "0.02 1/Gy"})])
    results = plain.run(two_plans, MeanDose())
    assert "organ_eqd2_mean_by_case" not in results
    (pair,) = plan_pairs(results, default_endpoints(results))
    assert (pair.cases, pair.draws) == (2, 0)
    assert all(row.interval is None for row in pair.rows)
    assert "2 cases, no set-up errors drawn" in str(compare(results))
    assert ", P = " not in " ".join(pair.sentences())


def test_only_plans_that_differ_in_nothing_else(two_plans):
    for other in (replace(LEFT, total_dose_gy=50.0), replace(RIGHT, dose=None)):
        results = study(Case("expected"), arms=(RIGHT, other)).run(two_plans, MeanDose())
        assert plan_pairs(results, default_endpoints(results)) == []
        assert compare(results).plans == []


def test_isotoxic_plans_are_still_a_pair(two_plans):
    rule = Isotoxic(measure="eqd2 mean", organ="brainstem", as_in="right")
    results = study(Case("expected"), isotoxic=rule).run(two_plans, MeanDose())
    (pair,) = plan_pairs(results, default_endpoints(results))
    rows = {row.quantity: row for row in pair.rows}
    planned = results["organ_eqd2_mean"].sel(organ="brainstem").values
    assert planned[0] == pytest.approx(planned[1], rel=1e-5)
    assert rows["brainstem, mean EQD2"].better < 5  # displaced, they are not the same


def test_what_was_delivered_is_not_displaced(two_plans):
    past = two_plans.replace(delivered=Regimen(replace(RIGHT, start_day=-400.0)))
    displaced = past.replace(setup=SetupError((5.0, 0.0, 0.0)))
    assert organ_doses(displaced, Regimen()) == organ_doses(past, Regimen())
    assert organ_doses(displaced, Regimen(LEFT)) != organ_doses(past, Regimen(LEFT))
