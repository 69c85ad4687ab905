"""One benefit is counted once: trials by name and DOI, and repopulation beside growth."""

from dataclasses import replace

import pytest
from drug_cases import BASE, CONTENT, RT, SENSITISING
from small_patient import PATIENT_TOML, write_small_patient

from scenarios.changes import apply_changes
from scenarios.metrics import bed_with_repopulation
from scenarios.study import Study
from scenarios.study_file import read_study
from twin.anatomy import read_anatomy
from twin.courses import Drug, Temozolomide
from twin.double_counting import refuse_double_counting, trial_keys
from twin.drugs import load_drug, read_drug
from twin.errors import InvalidInput
from twin.parameters import ParameterSet
from twin.regimen import Regimen

TMZ = load_drug("temozolomide")


def sensitiser(**fields):
    return read_drug("testine", {**SENSITISING, **fields})


def test_keys_of_a_trial():
    assert trial_keys("") == frozenset()
    assert trial_keys("Stupp  2005") == {"stupp 2005"}
    assert trial_keys("doi: 10.1056/NEJMoa043330.") == {"10.1056/nejmoa043330"}
    assert trial_keys("Stupp 2005 (doi:10.1056/NEJMoa043330), EORTC-26981") == {
        "stupp 2005",
        "10.1056/nejmoa043330",
        "eortc-26981",
    }


@pytest.mark.parametrize(
    "trial", ["stupp  2005", "doi:10.1056/nejmoa043330", "EORTC 26981; 10.1056/NEJMoa043330"]
)
def test_an_effect_and_an_interaction_of_one_trial_are_refused(trial):
    other = sensitiser(interaction_fitted_to=trial)
    with pytest.raises(InvalidInput, match="The effect of temozolomide and the interaction of"):
        refuse_double_counting([TMZ, other], BASE)
    refuse_double_counting([other], BASE)
    refuse_double_counting([TMZ, sensitiser(interaction_fitted_to="Stupp 2009")], BASE)
    additive = read_drug("testine", {**CONTENT, "interaction_fitted_to": trial})
    refuse_double_counting([TMZ, additive], BASE)


def test_sources_and_entries_count_as_well():
    def with_source(quantity, **fields):
        entries = SENSITISING["parameter"]
        return sensitiser(parameter={**entries, quantity: {**entries[quantity], **fields}})

    same = with_source("sensitisation", source="calibrated: to 10.1056/NEJMoa043330, figure 1")
    with pytest.raises(InvalidInput, match=r"both fitted to 10\.1056/nejmoa043330"):
        refuse_double_counting([TMZ, same], BASE)
    named = with_source("sensitising_concentration", fitted_to="Stupp 2005")
    with pytest.raises(InvalidInput, match="both fitted to stupp 2005"):
        refuse_double_counting([TMZ, named], BASE)
    # a value that this patient's own growth says is no trial's
    own = BASE.with_entry("temozolomide_kill", fitted_to="this patient")
    refuse_double_counting([TMZ, named], own)
    # effect and interaction of one drug, by their entries
    both = with_source("kill", fitted_to="Somebody 2001")
    entry = replace(both.parameters["testine_sensitisation"], fitted_to="somebody 2001")
    patient = ParameterSet("patient", {entry.name: entry})
    with pytest.raises(InvalidInput, match="The effect of testine and the interaction of testine"):
        refuse_double_counting([both], patient)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return write_small_patient(tmp_path_factory.mktemp("head"))


def test_a_study_of_both_is_refused_before_it_runs(home, monkeypatch):
    other = sensitiser(interaction_fitted_to="Stupp 2005")
    drugs = {"testine": other, "temozolomide": TMZ}
    for module in ("twin.drug_course", "scenarios.study", "solvers.drug_effects"):
        monkeypatch.setattr(f"{module}.load_drug", drugs.__getitem__)
    drug = Drug(name="testine", schedule="36 mg/m2 every 21 days, 1 cycle", start_day=1.0)
    anatomy = read_anatomy(home)
    Study({"alone": Regimen(RT, drug)}).check(anatomy)
    with pytest.raises(InvalidInput, match="Scenario 'both': The effect of temozolomide"):
        Study({"both": Regimen(RT, Temozolomide(), drug)}).check(anatomy)


STUDY = """\
format = 1
patient = "patient.toml"

[[scenario]]
name = "arm"

[[scenario.radiotherapy]]
total_dose = "60 Gy"
fractions = 30
start = "28 day"
"""


def test_a_kickoff_is_refused_with_the_reason_wherever_it_is_written(home, tmp_path):
    says = "Growth between fractions is the repopulation of a run.*for BED alone"
    study = tmp_path / "study.toml"
    study.write_text(f'{STUDY}kickoff = "21 day"\n', encoding="utf-8")
    with pytest.raises(InvalidInput, match=f"kickoff.*{says}"):
        read_study(study)
    study.write_text(
        f'{STUDY}[[case]]\nname = "c"\n[case.parameters]\nkickoff_day = "21 day"\n', "utf-8"
    )
    with pytest.raises(InvalidInput, match=says):
        read_study(study).study.check(read_anatomy(home))
    toml = PATIENT_TOML.replace(
        'set = "glioblastoma"', 'set = "glioblastoma"\nrepopulation_doubling = "4 day"'
    )
    with pytest.raises(InvalidInput, match=says):
        read_anatomy(write_small_patient(tmp_path / "patient", toml=toml))
    for change in ("radiotherapy.kickoff=21 day", "parameters.kick_off_day=21 day"):
        with pytest.raises(InvalidInput, match=says):
            apply_changes(Regimen(RT), BASE, [change])
    # for BED alone it is there: 84 - ln 2 (46 - 21)/(0.3 x 3)
    assert bed_with_repopulation(
        84.0, 46.0, kickoff_day=21.0, doubling_day=3.0, alpha=0.3
    ) == pytest.approx(64.746, abs=1e-3)
