"""Re-irradiation: what organs forget between courses, unknown doses, overlapping courses."""

from dataclasses import replace

import numpy as np
import pytest
from fake_solver import FakeSolver
from plan_cases import RT, found, planned, rules
from small_patient import PATIENT_TOML, write_small_patient

from scenarios import compare
from scenarios.complications import UNKNOWN, organ_complications
from scenarios.organs import organ_doses, organ_eqd2, organ_eqd2_recovered
from scenarios.recovery import Recovery
from scenarios.study import Study
from scenarios.study_file import StudyFile
from twin.anatomy import read_anatomy
from twin.courses import Radiotherapy
from twin.errors import InvalidInput
from twin.planned_dose import PlannedDose
from twin.regimen import Regimen

#: 60 Gy EQD2 everywhere, whatever the organ.
EVEN = Radiotherapy(total_dose_gy=60.0, fractions=30, start_day=0.0, dose="even")


@pytest.fixture(scope="module")
def anatomy(tmp_path_factory):
    """The small patient with a planned dose that is the prescription everywhere."""
    plain = read_anatomy(write_small_patient(tmp_path_factory.mktemp("recovery")))
    even = PlannedDose(np.ones(plain.grid.shape, np.float32), np.ones(plain.grid.shape, bool))
    return replace(plain, doses={"even": even})


def again(anatomy, gap_days, **changes):
    """A second even course whose first fraction is so long after the last one of the first."""
    last = EVEN.fraction_days(anatomy.calendar)[-1]
    return replace(
        EVEN, start_day=last + gap_days, weekdays_only=False, **{"total_dose_gy": 30.0, **changes}
    )


@pytest.mark.parametrize(
    ("gap", "share"),
    [(100.0, 0.0), (183.0, 0.0), (411.0, 0.125), (639.0, 0.25), (1095.0, 0.5), (2000.0, 0.5)],
)
def test_earlier_course_counts_by_what_is_left(anatomy, gap, share):
    """60 Gy (1 - share) and 30 Gy in 15: a straight line from 183 to 1095 days, up to a half."""
    both = Regimen(EVEN, again(anatomy, gap, fractions=15))
    plain = organ_eqd2(anatomy, both)["brainstem"]
    np.testing.assert_allclose(plain, 90.0, rtol=1e-6)
    left = organ_eqd2_recovered(anatomy, both)
    if share == 0.0:
        assert left is None
        return
    expected = 60.0 * (1.0 - share) + 30.0
    np.testing.assert_allclose(left["brainstem"], max(60.0, expected), rtol=1e-6)
    assert organ_doses(anatomy, both, effect=left)["brainstem"].mean_gy == pytest.approx(expected)


def test_highest_of_what_is_held_at_any_course(anatomy):
    """10 Gy after three years leave 60 Gy of the first course as the most that was held."""
    both = Regimen(EVEN, again(anatomy, 1200.0, fractions=5, total_dose_gy=10.0))
    np.testing.assert_allclose(organ_eqd2(anatomy, both)["brainstem"], 70.0, rtol=1e-6)
    np.testing.assert_allclose(organ_eqd2_recovered(anatomy, both)["brainstem"], 60.0, rtol=1e-6)


def test_three_courses_each_by_its_own_time(anatomy):
    """At the third: half of the first, three quarters of the second, all of the third."""
    second = again(anatomy, 500.0, fractions=20, total_dose_gy=40.0)
    last = second.fraction_days(anatomy.calendar)[-1]
    third = replace(second, start_day=last + 639.0)
    left = organ_eqd2_recovered(anatomy, Regimen(EVEN, second, third))
    np.testing.assert_allclose(left["brainstem"], 30.0 + 0.75 * 40.0 + 40.0, rtol=1e-6)


def test_tissue_without_a_share_and_odd_times(anatomy):
    assert Recovery.of(anatomy.parameters, "alpha_beta_optic").recovered(5000.0) == 0.0
    assert Recovery.of(anatomy.parameters, "alpha_beta_other").recovered(5000.0) == 0.0
    assert Recovery.of(anatomy.parameters, "alpha_beta_brain").recovered(5000.0) == 0.5
    wrong = anatomy.parameters.replace(recovery_start=1200.0)
    with pytest.raises(InvalidInput, match="recovery_end must be later than recovery_start"):
        Recovery.of(wrong, "alpha_beta_brain")


# --- before day 0, in the plan -------------------------------------------------------------------


def test_plan_shows_both_and_warns_without_credit(anatomy):
    """Two courses of 60 Gy three years apart: 120 Gy by the sum, 90 Gy with recovery."""
    before = replace(anatomy, delivered=Regimen(replace(EVEN, start_day=-1200.0)))
    plan = planned(before, replace(EVEN, start_day=28.0))
    (organ,) = [one for one in plan.arms[0].organs if one.name == "brain_minus_target"]
    assert organ.eqd2_mean_gy == pytest.approx(120.0)
    assert organ.recovered_mean_gy == pytest.approx(90.0)
    warning = found(plan, "organ.brain_minus_target")
    assert (warning.value, warning.limit) == (pytest.approx(120.0), 100.0)
    assert "120.0 Gy EQD2 (90.0 Gy with recovery of earlier courses), above 100 Gy" in (
        warning.sentence
    )
    text = " ".join(str(plan).split())
    assert "EQD2 with recovery of earlier courses [Gy]: brain_minus_target mean 90.0" in text
    assert "assumed (grade D)" in text
    assert "outlined on day 0" not in text
    assert "with recovery" not in str(planned(anatomy, replace(EVEN, start_day=28.0)))


def test_geometric_course_before_day_0_is_said_to_be_so(anatomy):
    before = replace(anatomy, delivered=Regimen(replace(RT, start_day=-200.0)))
    assert "taken as the geometric one about its target as outlined on day 0" in " ".join(
        str(planned(before, RT)).split()
    )


def test_unknown_dose_is_left_out_and_said(tmp_path):
    toml = PATIENT_TOML + (
        "\n[[history.radiotherapy]]\ndate = 2024-01-08\ntotal_dose = '54 Gy'\nfractions = 30\n"
        "dose = 'unknown'\n"
    )
    place = read_anatomy(write_small_patient(tmp_path, toml=toml))
    plan = planned(place, RT)
    assert "54 Gy is not known" in found(plan, "radiotherapy.unknown_dose").sentence
    assert "by a dose that is not known" in " ".join(str(plan).split())
    without = replace(place, delivered=Regimen())
    for name, dose in organ_eqd2(without, Regimen(RT)).items():
        np.testing.assert_array_equal(organ_eqd2(place, Regimen(RT))[name], dose)
    assert {one.reason for one in organ_complications(place, Regimen(RT)).values()} == {UNKNOWN}
    with pytest.raises(InvalidInput, match="for courses before day 0 only"):
        planned(place, replace(RT, dose="unknown"))


def test_no_planned_dose_is_called_unknown(tmp_path):
    toml = PATIENT_TOML + "\n[doses.unknown]\nfile = 'd.nii.gz'\nprescribed = '60 Gy'\n"
    with pytest.raises(InvalidInput, match="choose another name"):
        read_anatomy(write_small_patient(tmp_path, toml=toml))


def test_a_study_keeps_both_sums(patient):
    """Three years and a half apart: brain and brainstem forget half of the first course."""
    first = replace(RT, start_day=0.0, fractions=5, total_dose_gy=20.0)
    both = Regimen(first, replace(first, start_day=1300.0))
    study = Study({"once": Regimen(first), "twice": both}, days=1310.0, fields_every_days=1310.0)
    results = study.run(patient, FakeSolver())
    once, plain = (
        results["organ_eqd2_mean"].sel(organ="brainstem", scenario=name)
        for name in ("once", "twice")
    )
    left = results["organ_eqd2_mean_recovered"].sel(organ="brainstem")
    assert float(plain) == pytest.approx(2.0 * float(once))
    np.testing.assert_allclose(left, [float(once), 1.5 * float(once)])
    text = " ".join(str(compare(results)).split())
    assert "The same with recovery between courses, which is assumed" in text
    alone = Study({"once": Regimen(first)}, days=60.0).run(patient, FakeSolver())
    assert "organ_eqd2_mean_recovered" not in alone


# --- overlapping courses -------------------------------------------------------------------------


def test_overlap_needs_a_rule(anatomy):
    """30 fractions from Monday 30 March last until Friday 8 May, day 39."""
    first, second = replace(RT, start_day=0.0), replace(RT, start_day=39.0, fractions=5)
    with pytest.raises(InvalidInput, match=r"begins on Fri 08 May 2026 \(day 39\), while another"):
        Regimen(second, first).check_overlap(anatomy.calendar)
    with pytest.raises(InvalidInput, match="overlap") as caught:
        planned(anatomy, first, second)
    assert "\n" not in str(caught.value)
    ruled = replace(second, overlap="both")
    Regimen(first, ruled).check_overlap(anatomy.calendar)
    Regimen(first, replace(second, start_day=39.5)).check_overlap(anatomy.calendar)
    assert "radiotherapy.overlap" in rules(planned(anatomy, first, ruled))
    with pytest.raises(InvalidInput, match="may be 'refuse' or 'both'"):
        replace(RT, overlap="perhaps")


def test_rule_in_the_files_and_in_what_is_kept(anatomy):
    table = {
        "format": 1,
        "patient": "patient.toml",
        "scenario": [
            {
                "name": "two",
                "radiotherapy": [
                    {"total_dose": "50 Gy", "fractions": 25, "start": "7 day"},
                    {"total_dose": "10 Gy", "fractions": 5, "start": "14 day", "overlap": "both"},
                ],
            }
        ],
    }
    study = StudyFile.model_validate(table).study()
    regimen = study.scenario("two").regimen
    assert [course.overlap for course in regimen.radiotherapy] == ["refuse", "both"]
    kept = regimen.as_dict()
    assert "overlap" not in kept[0]  # as it was before there was such a rule
    assert kept[1]["overlap"] == "both"
    assert Regimen.from_dict(kept) == regimen
    assert Study({"two": regimen}).check(anatomy) is None
