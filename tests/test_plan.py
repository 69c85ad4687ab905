"""twin plan: the dates, doses and volumes of a treatment, and what a planner would question."""

import datetime as dt
import json
from dataclasses import fields, replace

import nibabel as nib
import numpy as np
import pytest
from plan_cases import RT, TMZ, found, planned
from small_patient import PATIENT_TOML, write_small_patient

from scenarios.organs import organ_doses
from scenarios.planning.limits import measured
from scenarios.planning.schedule import drug_plans, fraction_plans
from twin.anatomy import Anatomy, read_anatomy
from twin.calendar import Calendar
from twin.errors import InvalidInput
from twin.events import DrugDose, Fraction
from twin.patient import Twin
from twin.regimen import Regimen
from viz.cli import main

STUDY = """\
format = 1
name = "small study"
patient = "patient.toml"
horizon = "300 day"

[[scenario]]
name = "none"

[[scenario]]
name = "standard"
compared_with = "none"

[[scenario.radiotherapy]]
total_dose = "60 Gy"
fractions = 30
start = "28 day"
margin = "2 mm"
planning_margin = "1 mm"

[scenario.temozolomide]

[[scenario]]
name = "operated"
compared_with = "standard"

[[scenario.resection]]
day = "7 day"

[[scenario.radiotherapy]]
total_dose = "60 Gy"
fractions = 30
start = "28 day"
margin = "2 mm"
planning_margin = "1 mm"

[scenario.temozolomide]

[[case]]
name = "expected"

[[case]]
name = "resistant"

[case.parameters]
alpha = "0.025 1/Gy"
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plan")
    write_small_patient(folder)
    (folder / "study.toml").write_text(STUDY, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def anatomy(home):
    return read_anatomy(home / "patient.toml")


def points_within(radius):
    """Voxels about the tumour's centre, which is one of them, as whole numbers."""
    side = range(-8, 9)
    return {
        (i, j, k) for i in side for j in side for k in side if i * i + j * j + k * k <= radius**2
    }


def grown(points, reach):
    """These voxels and those within so many voxels of them."""
    near = points_within(reach)
    return {(i + a, j + b, k + c) for i, j, k in points for a, b, c in near}


# --- dates, doses and volumes --------------------------------------------------------------------


def test_standard_treatment_by_the_calendar(anatomy):
    plan = planned(anatomy, RT, TMZ)
    (arm,) = plan.arms
    (course,) = arm.fractions
    assert (course.first, course.last) == (dt.date(2026, 4, 27), dt.date(2026, 6, 5))
    assert (course.fractions, course.total_gy) == (30, pytest.approx(60.0))
    assert (course.weekends_skipped, course.gaps, course.weekend_fractions) == (5, (), 0)
    assert course.overall_days == 40
    assert course.bed_gy == pytest.approx(60.0 * (1.0 + 2.0 / 10.0))
    assert course.eqd2_gy == pytest.approx(60.0)
    (drug,) = arm.drugs
    beside, *cycles = drug.blocks
    assert (beside.cycle, len(beside.dates), drug.mg(beside)) == (None, 40, pytest.approx(135.0))
    assert [block.dates[0] for block in cycles] == [
        dt.date(2026, 7, 3) + k * dt.timedelta(days=28) for k in range(6)
    ]
    assert cycles[-1].dates[-1] == dt.date(2026, 11, 24)
    assert [block.mg_m2 for block in cycles] == [150.0] + 5 * [200.0]
    assert drug.doses == 70
    assert drug.total_mg_m2 == pytest.approx(40 * 75 + 5 * 150 + 25 * 200)
    assert drug.total_mg == pytest.approx(1.8 * 8750)
    assert (arm.first, arm.last) == (dt.date(2026, 4, 27), dt.date(2026, 11, 24))
    assert plan.runs == 1
    assert not plan.warnings


def test_boost_and_targets(anatomy):
    boosted = replace(RT, boost_target="enhancing", boost_total_dose_gy=75.0)
    (target,) = planned(anatomy, boosted).arms[0].targets
    assert target.boost.dose_per_fraction_gy == pytest.approx(2.5)
    assert target.boost.bed_gy == pytest.approx(75.0 * 1.25)
    assert target.boost.eqd2_gy == pytest.approx(75.0 * 12.5 / 12.0)
    gross = points_within(6.0 / 2.0 - 1e-9)
    clinical = grown(gross, 2.0 / 2.0 + 0.5)
    assert target.gtv_ml == pytest.approx(93 * 8.0 / 1e3)
    assert len(gross) == 93
    assert target.ctv_ml == pytest.approx(len(clinical) * 8.0 / 1e3)
    assert target.ptv_ml == pytest.approx(len(grown(clinical, 1.0 / 2.0 + 0.5)) * 8.0 / 1e3)
    assert target.coverage >= 0.98
    assert target.boost.coverage >= 0.95


def test_organs_physical_and_eqd2(anatomy):
    regimen = Regimen(replace(RT, fractions=15, total_dose_gy=40.05))
    organs = {organ.name: organ for organ in planned(anatomy, *regimen.courses).arms[0].organs}
    assert list(organs) == ["brain_minus_target", "brainstem"]
    for name, dose in organ_doses(anatomy, regimen).items():
        assert organs[name].eqd2_mean_gy == pytest.approx(dose.mean_gy)
        assert organs[name].eqd2_d003cc_gy == pytest.approx(dose.d003cc_gy)
    for organ in organs.values():  # EQD2 of the hottest voxels, 15 fractions, alpha/beta 2 Gy
        hot = organ.d003cc_gy
        assert organ.eqd2_d003cc_gy == pytest.approx(hot * (hot / 15 + 2.0) / 4.0, rel=1e-4)
    assert organs["brainstem"].stylised


def test_missed_fractions_and_gaps(anatomy):
    plan = planned(anatomy, replace(RT, missed=(3,)))
    (course,) = plan.arms[0].fractions
    assert (course.fractions, course.last) == (30, dt.date(2026, 6, 8))
    assert [(gap.first, gap.last) for gap in course.gaps] == [2 * (dt.date(2026, 4, 29),)]
    assert course.weekends_skipped == 6
    assert "none on Wed 29 Apr 2026" in str(plan)


def test_schedule_of_events_of_any_kind():
    """Two courses, one on Monday and Thursday, and a drug every 42 days."""
    calendar = Calendar(dt.date(2026, 3, 30))
    fractions = [Fraction(day, 0, 2.0) for day in (0.0, 3.0, 7.0)]
    fractions += [Fraction(day, 1, 1.5) for day in (40.25, 40.5)]
    first, second = fraction_plans(fractions, calendar, 10.0)
    assert first.weekdays == (0, 3)
    assert [(gap.first.day, gap.last.day) for gap in first.gaps] == [(31, 1), (3, 3)]
    assert first.weekends_skipped == 1
    assert (second.most_a_day, second.least_interval_h) == (2, pytest.approx(6.0))
    assert second.bed_gy == pytest.approx(3.0 * 1.15)
    doses = [DrugDose(day, "lomustine", 110.0) for day in (50.0, 92.0, 134.0)]
    (drug,) = drug_plans(doses, calendar, [first, second], 2.0)
    assert [block.label for block in drug.blocks] == ["cycle 1", "cycle 2", "cycle 3"]
    assert drug.total_mg == pytest.approx(660.0)


def test_measures():
    dose = np.arange(1.0, 101.0)  # 100 voxels of 10 mm3
    assert measured("mean", dose, 10.0) == 50.5
    assert measured("D0.03cc", dose, 10.0) == 98.0  # three voxels
    assert measured("D40%", dose, 10.0) == 61.0  # the forty hottest
    with pytest.raises(InvalidInput, match="no measure"):
        measured("V20", dose, 10.0)


# --- the command ---------------------------------------------------------------------------------


def test_command_says_it_all_without_a_mesh(home, capsys, monkeypatch):
    def refuse(*_):
        raise AssertionError("a mesh was made")

    monkeypatch.setattr("twin.assemble.patient_meshes", refuse)
    assert main(["plan", str(home / "study.toml"), "--quiet"]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 100
    plain = " ".join(text.split())
    for part in (
        "day 0 is Mon 30 Mar 2026",
        "Given before day 0: nothing.",
        "1 none No treatment.",
        "Compared with 1, differs in: radiotherapy; temozolomide.",
        "Mon 27 Apr 2026 (day 28) to Fri 05 Jun 2026 (day 67)",
        "30 fractions on 30 days, Monday to Friday, 5 weekends skipped, no other gaps; overall "
        "time 40 days.",
        "BED 72 Gy, EQD2 60 Gy.",
        "with radiotherapy Mon 27 Apr 2026 Fri 05 Jun 2026 40 75 135 5400",
        "cycle 1 Fri 03 Jul 2026 Tue 07 Jul 2026 5 150 270 1350",
        "all 8750 mg/m2 70 15750",
        "on Mon 06 Apr 2026 (day 7). Removed: 0.7 ml by the outline of day 0; radiotherapy starts "
        "21 days later.",
        "days, effect, targets and organ doses: as in 2.",
        "Temozolomide's cycles and doses in mg: as in 2.",
        "brainstem*",
        "resistant: alpha 0.025 instead of 0.036 1/Gy.",
        "6 runs: 3 scenarios by 2 cases",
    ):
        assert part in plain, part


def test_json_holds_the_same(home, capsys):
    assert main(["plan", str(home / "study.toml"), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["ok"], data["command"], data["runs"]) == (True, "plan", 6)
    standard = data["scenarios"][1]
    (course,) = standard["radiotherapy"]
    assert (course["first"], course["last"]) == ("2026-04-27", "2026-06-05")
    assert len(course["dates"]) == 30
    assert course["targets"]["coverage"] >= 0.95
    (drug,) = standard["drugs"]
    assert drug["total_mg"] == pytest.approx(15750.0)
    assert standard["organs"][1]["readings"][0]["limit_gy"] == 54.0
    # two differences from "none", and cycle doses after day 300 are none
    assert [item["rule"] for item in data["warnings"]] == ["study"]


def test_strict_exits_with_1_where_there_are_warnings(home, tmp_path, capsys):
    assert main(["plan", str(home / "study.toml"), "--strict", "--quiet"]) == 1
    calm = tmp_path / "study.toml"
    calm.write_text(STUDY.replace('compared_with = "none"\n', ""), encoding="utf-8")
    patient = ["--patient", str(home / "patient.toml")]
    assert main(["plan", str(calm), "--strict", "--quiet", *patient]) == 0
    assert "No warnings." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('margin = "2 mm"', 'margin = "2 mm"\ntarget = "tumor"', "'standard': The twin has no"),
        ('day = "7 day"', 'day = "7 day"\nstructure = "cor"', "'operated': The twin has no"),
        ('"300 day"', '"60 day"', "after the horizon of 60 days"),
        ('alpha = "0.025 1/Gy"', 'alfa = "0.025 1/Gy"', "did you mean 'alpha'"),
        ('"patient.toml"', '"patients.toml"', "does not exist"),
        ("fractions = 30", "fraction = 30", 'did you mean "fractions"'),
    ],
)
def test_bad_input_is_one_sentence(home, capsys, old, new, sentence):
    path = home / "bad.toml"
    assert old in STUDY
    path.write_text(STUDY.replace(old, new, 1), encoding="utf-8")
    assert main(["plan", str(path)]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert "Traceback" not in error
    assert error.count("\n") == 1


def test_anatomy_has_the_fields_of_a_twin():
    kinds = {field.name: field.type for field in fields(Twin)}
    assert {field.name: field.type for field in fields(Anatomy)}.items() <= kinds.items()


def test_organ_whose_ratio_is_unknown(home, tmp_path):
    write_small_patient(
        tmp_path, toml=PATIENT_TOML.replace('"alpha_beta_brainstem"', '"alpha_beta_brainstam"')
    )
    with pytest.raises(InvalidInput, match="'brainstem' takes its alpha/beta from"):
        read_anatomy(tmp_path)


def test_dose_of_a_treatment_plan(tmp_path):
    """2 Gy more a millimetre to the right: 57 Gy and more from x = 4.5 mm on."""
    toml = PATIENT_TOML + '\n[doses.plan]\nfile = "dose.nii.gz"\nprescribed = "60 Gy"\n'
    path = write_small_patient(tmp_path, toml=toml)
    image = nib.load(tmp_path / "tissues.nii.gz")
    x = image.affine[0, 3] + 2.0 * np.arange(image.shape[0])
    dose = np.broadcast_to(np.maximum(60.0 + 2.0 * (x - 6.0), 0.0)[:, None, None], image.shape)
    nib.save(nib.Nifti1Image(dose.astype(np.float32), image.affine), tmp_path / "dose.nii.gz")
    by_plan = replace(RT, dose="plan")
    plan = planned(read_anatomy(path), by_plan)
    (target,) = plan.arms[0].targets
    gross = points_within(6.0 / 2.0 - 1e-9)
    share = sum(i >= 0 for i, _, _ in gross) / len(gross)
    assert target.coverage == pytest.approx(share)
    assert (target.ctv_ml, target.ptv_ml) == (None, None)
    warning = found(plan, "radiotherapy.coverage")
    assert f"Only {100 * share:.1f} % of the target gets 57 Gy" in warning.sentence
    assert "geometric" not in str(plan)
    (organ,) = [one for one in plan.arms[0].organs if one.name == "brainstem"]
    assert organ.mean_gy == pytest.approx(60.0 + 2.0 * (-8.0 - 6.0), rel=1e-4)  # at its centre
    with pytest.raises(
        InvalidInput, match="Scenario 'arm': The patient has no planned dose 'plna'"
    ):
        planned(read_anatomy(path), replace(RT, dose="plna"))


def test_built_folder_gives_the_same_plan(home, tmp_path, capsys):
    built = str(tmp_path / "built")
    assert main(["build", str(home / "patient.toml"), "-o", built, "--quiet"]) == 0
    capsys.readouterr()
    plans = []
    for patient in (built, str(home)):
        assert main(["plan", str(home / "study.toml"), "--json", "--patient", patient]) == 0
        plans.append(json.loads(capsys.readouterr().out))
    assert plans[0] == plans[1]
