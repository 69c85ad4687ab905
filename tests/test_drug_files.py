"""Drugs in files: their own, studies, patients and plans."""

import json
from dataclasses import replace

import pytest
from drug_cases import BASE, CONTENT, COURSES, LOMUSTINE, RT, SENSITISING, WITH_GFR, effects
from small_patient import PATIENT_TOML, write_small_patient

import twin
from scenarios.changes import apply_changes
from scenarios.evidence import evidence_of
from scenarios.planning import plan_study
from scenarios.run import _drugs
from scenarios.study import Case, Scenario, Study
from scenarios.study_file import read_study
from solvers import FiniteElementSolver
from solvers.drug_effects import LogKill
from twin.anatomy import read_anatomy
from twin.built_folder import write_built
from twin.courses import Drug, Temozolomide
from twin.drugs import drug_names, load_drug, read_drug
from twin.errors import InvalidInput
from twin.events import DrugDose
from twin.regimen import Regimen


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TWIN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield twin.load(write_small_patient(tmp_path_factory.mktemp("patient"), toml=WITH_GFR))


def test_every_number_has_a_source_and_assumed_ones_are_graded_so():
    assert set(drug_names()) >= {"temozolomide", *COURSES}
    for name in drug_names():
        parameters = load_drug(name).parameters
        for entry in parameters.values():
            assert (entry.evidence == "D") == entry.source.startswith("assumed:"), entry.name
    assert load_drug("temozolomide").patient_parameters  # its numbers stay the patient's


def changed(quantity, **fields):
    entries = CONTENT["parameter"]
    return {"parameter": {**entries, quantity: {**entries.get(quantity, {}), **fields}}}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"kinetics": None}, "Testine is a drug without kinetics, so no run can give it"),
        ({"kinetics": "two compartments"}, "'half_life_fast' is missing"),
        ({"effect": "Emax"}, "'largest_kill_rate' is missing"),
        ({"route": "oral", "kinetics": "two compartments"}, "an oral drug has one compartment"),
        ({"interaction": "supra-additive"}, "'sensitisation' is missing"),
        (changed("kill", source="everybody knows"), "no usable source"),
        (changed("kill", unit="1/day"), 'kill is in "1/day"; write it in'),
        (changed("kil", **CONTENT["parameter"]["kill"]), "did you mean 'kill'"),
        ({"patient_parameters": True}, "the numbers are the patient's"),
        (
            {"effect_fitted_to": "Stupp 2005", "interaction_fitted_to": "stupp  2005"},
            "both fitted to Stupp 2005, which counts its benefit twice",
        ),
        ({"root": "oral"}, 'did you mean "route"'),
    ],
)
def test_a_file_that_cannot_be_is_refused_in_one_sentence(changes, says):
    content = {**CONTENT, **changes}
    with pytest.raises(InvalidInput, match=says) as caught:
        read_drug("testine", {key: value for key, value in content.items() if value is not None})
    assert "\n" not in str(caught.value)


def test_a_sensitiser_never_protects():
    low = {**SENSITISING["parameter"]["sensitisation"], "low": 0.5}
    with pytest.raises(InvalidInput, match="of at least 1"):
        read_drug(
            "testine",
            {**SENSITISING, "parameter": {**SENSITISING["parameter"], "sensitisation": low}},
        )


# --- files ----------------------------------------------------------------------------------

STUDY = """\
format = 1
patient = "patient.toml"
horizon = "300 day"
[[scenario]]
name = "radiotherapy, carboplatin, lomustine"
[[scenario.radiotherapy]]
total_dose = "12 Gy"
fractions = 6
start = "1.375 day"
[[scenario.drug]]
name = "carboplatin"
schedule = "AUC 2 weekly during radiotherapy, then AUC 5 days 1, 8 of 28, 2 cycles"
break_after_radiotherapy = "14 day"
[[scenario.drug]]
name = "lomustine"
schedule = "110 mg/m2 day 1 of 42, 3 cycles"
start = "28 day"
"""


def study_of(folder, text):
    (folder / "study.toml").write_text(text, encoding="utf-8")
    return read_study(folder / "study.toml").study


def test_a_study_and_its_plan(tmp_path):
    study = study_of(tmp_path, STUDY)
    carboplatin, lomustine = study.scenarios[0].regimen.drugs
    assert (carboplatin.break_days, lomustine.start_day) == (14, 28.0)
    anatomy = read_anatomy(write_small_patient(tmp_path, toml=WITH_GFR))
    plan = plan_study(study, anatomy)
    one, other = plan.arms[0].drugs
    # 5 * (75 + 25) mg; fractions from Tuesday 31 March to Tuesday 7 April
    assert [(b.label, b.dates[0].isoformat(), len(b.dates)) for b in one.blocks] == [
        ("with radiotherapy", "2026-03-31", 2),
        ("cycle 1", "2026-04-21", 2),
        ("cycle 2", "2026-05-19", 2),
    ]
    assert [round(one.mg(b), 6) for b in one.blocks] == [200.0, 500.0, 500.0]
    assert [(b.label, other.mg(b)) for b in other.blocks] == [
        (f"cycle {number}", pytest.approx(198.0)) for number in (1, 2, 3)
    ]
    text = " ".join(str(plan).split())
    assert "body surface 1.8 m2; GFR 75 mL/min; day 0 is" in text
    assert "cycle 1 Tue 21 Apr 2026 Tue 28 Apr 2026 2" in text
    assert "Lomustine: 110 mg/m2 on day 1 of 42, 3 cycles, from Mon 27 Apr 2026." in text
    with pytest.raises(InvalidInput, match=r"Scenario 'radiotherapy, carb.*no filtration rate"):
        plan_study(study, replace(anatomy, gfr_ml_min=None))


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ('"lomustine"', '"lomustin"', "did you mean 'lomustine'"),
        ("110 mg/m2 day 1 of 42, 3 cycles", "as usual", "cannot be read; write"),
        ('name = "lomustine"', 'name = "carboplatin"', "carboplatin is given by 2 tables"),
        ('start = "28 day"\n', "", "Scenario 'radiotherapy.*has no start"),
        ("schedule =", "shedule =", 'did you mean "schedule"'),
        (
            "[[scenario.drug]]\nname = \"lomustine\"",
            "[scenario.temozolomide]\n[[scenario.drug]]\nname = \"temozolomide\"",
            "temozolomide is given by .* as well; keep one",
        ),
    ],
)  # fmt: skip
def test_a_study_that_cannot_be_is_refused(tmp_path, before, after, says):
    assert before in STUDY
    with pytest.raises(InvalidInput, match=says):
        study_of(tmp_path, STUDY.replace(before, after))


def test_history_and_filtration_rate_are_the_patients(tmp_path, patient):
    assert patient.gfr_ml_min == 75.0
    assert patient.replace(gfr_ml_min=None).content_hash != patient.content_hash
    with pytest.raises(InvalidInput, match="filtration rate is nan"):
        patient.replace(gfr_ml_min=float("nan"))
    past = (
        '\n[[history.drug]]\nname = "lomustine"\nschedule = "110 mg/m2 day 1 of 42, 1 cycle"\n'
        "start = 2026-02-02\n"
    )
    anatomy = read_anatomy(write_small_patient(tmp_path, toml=PATIENT_TOML + past))
    assert anatomy.delivered.drugs[0].start_day == -56.0
    assert anatomy.gfr_ml_min is None
    late = past.replace("1 cycle", "3 cycles")  # the last one on 27 April
    with pytest.raises(InvalidInput, match="not before the reference date"):
        read_anatomy(write_small_patient(tmp_path / "late", toml=PATIENT_TOML + late))


def test_a_patient_and_a_case_may_state_a_drugs_numbers(tmp_path):
    own = 'set = "glioblastoma"\nlomustine_kill = "1.02 L/(mg h)"\n'
    toml = PATIENT_TOML.replace('set = "glioblastoma"\n', own)
    parameters = read_anatomy(write_small_patient(tmp_path, toml=toml)).parameters
    (effect,) = effects([DrugDose(1.0, "lomustine", 110.0)], parameters=parameters)
    assert isinstance(effect, LogKill)
    assert effect.kill == 1.02
    case = Case("weak", {"lomustine_kill": "0.1 L/(mg h)"})
    assert case.parameters(BASE).value("lomustine_kill") == 0.1
    _, changed_set, said = apply_changes(
        Regimen(LOMUSTINE), BASE, ["parameters.lomustine_half_life=120 min"]
    )
    assert changed_set.value("lomustine_half_life") == pytest.approx(2.0)
    assert said == ["lomustine_half_life: 2 instead of 1.6 h."]
    written = Drug(name="temozolomide", schedule="75 mg/m2 daily during radiotherapy")
    with pytest.raises(InvalidInput, match="given already, by a schedule of its own"):
        apply_changes(Regimen(RT, written), BASE, ["temozolomide=on"])
    with pytest.raises(InvalidInput, match="no 'lomustine_volume'; lomustine has lomustine_cl"):
        Case("odd", {"lomustine_volume": "1 L"}).parameters(BASE)


def test_runs_are_known_by_their_drugs_numbers():
    assert _drugs(Regimen(RT, Temozolomide())) == {}  # as before: the parameters hold them
    numbers = _drugs(Regimen(RT, LOMUSTINE))["drugs"]["lomustine"]
    assert numbers["parameters"]["entries"]["lomustine_kill"]["value"] == 0.51


def test_results_say_what_the_drugs_rest_on(patient):
    arm = Scenario("drug", Regimen(RT, LOMUSTINE))
    grades = evidence_of(arm, patient)
    assert (grades["lomustine_kill"], grades["lomustine_clearance"]) == ("D", "C")
    assert not {name for name in grades if name.startswith(("temozolomide_", "paclitaxel_"))}
    found = FiniteElementSolver().solve(patient, arm.regimen, [1.0])
    assert json.loads(found.attrs["parameters"])["entries"]["lomustine_kill"]["value"] == 0.51
    study = Study([arm], days=14.0, fields_every_days=14.0)
    results = study.run(patient, FiniteElementSolver())
    assert "lomustine_kill" in json.loads(results.attrs["parameters"])["entries"]
    assert "lomustine_kill" in json.loads(results.attrs["evidence"])["drug"]


def test_a_built_patient_keeps_filtration_rate_and_drugs(tmp_path, patient):
    delivered = Regimen(
        replace(LOMUSTINE, schedule="110 mg/m2 day 1 of 42, 1 cycle", start_day=-9.0)
    )
    whole = patient.replace(delivered=delivered)
    write_built(whole, tmp_path / "built")
    again = twin.load(tmp_path / "built")
    assert (again.gfr_ml_min, again.delivered) == (75.0, delivered)
    assert again.content_hash == whole.content_hash
