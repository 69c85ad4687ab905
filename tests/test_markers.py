"""Markers from the laboratory: by what they multiply parameters, what they refuse, who says so."""

import json
import math

import pytest
from plan_cases import RT, TMZ
from small_patient import PATIENT_TOML, write_small_patient

from scenarios.evidence import marker_notes
from scenarios.planning import plan_study
from scenarios.study import Study
from twin.anatomy import read_anatomy
from twin.courses import Drug
from twin.errors import InvalidInput
from twin.markers import marker_names, marker_sentences, read_marker, unknown_markers, with_markers
from twin.parameters import ParameterSet, load_parameter_set
from twin.regimen import Regimen

BASE = load_parameter_set("glioblastoma")
#: The plan of a small head, with temozolomide and without.
STUDY = Study({"drug": Regimen(RT, TMZ), "none": Regimen(RT)})


@pytest.fixture(scope="module")
def anatomy(tmp_path_factory):
    return read_anatomy(write_small_patient(tmp_path_factory.mktemp("head")))


def test_factors_without_methylation():
    """0.2 of 1.2e-3, and 1.12 of 0.03; spreads add as squares."""
    found = with_markers(BASE, {"mgmt": "unmethylated"})
    kill, growth = found["temozolomide_kill"], found["proliferation_rate"]
    assert kill.value == pytest.approx(2.4e-4)
    assert kill.prior.median == pytest.approx(2.4e-4)
    assert kill.prior.sigma_ln == pytest.approx(math.sqrt(0.5**2 + 0.3**2))
    assert growth.value == pytest.approx(0.0336)
    assert growth.prior.sigma_ln == pytest.approx(math.sqrt(0.9**2 + 0.1**2))
    assert (BASE["proliferation_rate"].evidence, growth.evidence) == ("B", "D")
    others = set(BASE) - {"temozolomide_kill", "proliferation_rate"}
    assert all(found[name] == BASE[name] for name in others)


def test_factors_with_methylation():
    found = with_markers(BASE, {"mgmt": "methylated"})
    assert found.value("temozolomide_kill") == 1.2e-3
    assert found.value("proliferation_rate") == pytest.approx(0.0261)
    # the trial's mixture keeps its mean: 45 % with, 55 % without methylation, by the logarithm
    without = with_markers(BASE, {"mgmt": "unmethylated"}).value("proliferation_rate")
    mean = 0.45 * math.log(0.0261) + 0.55 * math.log(without)
    assert math.exp(mean) == pytest.approx(0.03, rel=0.005)
    # and their ratio is that of survival under radiotherapy alone
    assert without / 0.0261 == pytest.approx(15.3 / 11.8, rel=0.01)


def test_unknown_changes_nothing_and_is_said():
    found = with_markers(BASE, {"mgmt": "unknown"})
    assert found == BASE
    (said,) = unknown_markers(found, ["temozolomide_kill"])
    assert said.startswith("MGMT promoter is not stated in [markers]: results with temozolomide")
    assert not unknown_markers(with_markers(BASE, {"mgmt": "methylated"}), ["temozolomide_kill"])


def test_a_set_of_its_own_kind_stays():
    found = with_markers(BASE, {"idh": "wild type", "grade": "4"})
    assert {name: found.value(name) for name in found} == {name: BASE.value(name) for name in BASE}
    assert len(marker_sentences(found)) == 2
    assert found["proliferation_rate"].evidence == "B"


@pytest.mark.parametrize(
    ("stated", "says"),
    [
        ({"idh": "mutant"}, "'glioblastoma' is not of such tumours.*10.1002/ana.10528"),
        ({"grade": "2"}, "widens by 4.1 mm a year"),
        ({"mgmt": "methilated"}, 'did you mean "methylated"'),
        ({"mgmt": "7"}, "known are unmethylated, methylated, unknown"),
        ({"mgnt": "methylated"}, "did you mean 'mgmt'"),
    ],
)
def test_what_is_refused(stated, says):
    with pytest.raises(InvalidInput, match=says):
        with_markers(BASE, stated)


def test_a_marker_that_says_nothing_about_the_set_is_refused():
    bare = ParameterSet("breast", {"alpha": BASE["alpha"]})
    with pytest.raises(InvalidInput, match="says nothing about the parameter set 'breast'"):
        with_markers(bare, {"mgmt": "methylated"})
    quick = BASE.replace(proliferation_rate=0.18)
    with pytest.raises(InvalidInput, match=r"outside its range of 0\.0027 to 0\.19"):
        with_markers(quick, {"mgmt": "unmethylated"})


def test_every_packaged_marker_has_sources_and_reads():
    for name in marker_names():
        marker = read_marker(name)
        assert marker.values
        for effect in marker.effect:
            assert effect.low <= effect.factor <= effect.high
            assert effect.source.split(":")[0] in {"doi", "calibrated", "assumed"}


def patient(tmp_path, table):
    toml = PATIENT_TOML.replace("[mesh]", f"[markers]\n{table}\n\n[mesh]")
    return read_anatomy(write_small_patient(tmp_path / "patient", toml=toml))


def test_a_patient_file_with_markers(tmp_path):
    found = patient(tmp_path, 'mgmt = "unmethylated"\nidh = "wild type"\ngrade = 4')
    assert found.parameters.value("temozolomide_kill") == pytest.approx(2.4e-4)
    again = ParameterSet.from_dict(found.parameters.as_dict())
    assert again == found.parameters
    plan = plan_study(STUDY, found)
    assert len(plan.markers) == 4
    text = " ".join(str(plan).split())
    assert "temozolomide kill 0.00024 instead of 0.0012 L/(mg h), times 0.2 (0.1 to 0.3;" in text
    assert "is not stated" not in text
    notes = marker_notes({
        "parameters": json.dumps(found.parameters.as_dict()),
        "evidence": json.dumps({"arm": {"temozolomide_kill": "D"}}),
    })  # fmt: skip
    assert notes == list(plan.markers)


def test_values_of_the_patient_are_not_multiplied(tmp_path):
    toml = PATIENT_TOML.replace(
        'set = "glioblastoma"',
        'set = "glioblastoma"\ntemozolomide_kill = "0.001 L/(mg h)"\n'
        '[markers]\nmgmt = "unmethylated"',
    )
    found = read_anatomy(write_small_patient(tmp_path / "patient", toml=toml)).parameters
    assert found.value("temozolomide_kill") == 0.001
    assert "temozolomide kill stays 0.001 L/(mg h), which is stated for this patient" in " ".join(
        marker_sentences(found)
    )
    assert found.value("proliferation_rate") == pytest.approx(0.0336)


def test_a_patient_file_with_a_marker_that_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match=r'patient\.toml: markers: idh is "mutant"'):
        patient(tmp_path, 'idh = "mutant"')


def test_the_plan_says_what_is_not_stated(anatomy):
    remark = "MGMT promoter is not stated in [markers]"
    assert remark in " ".join(str(plan_study(STUDY, anatomy)).split())
    assert remark not in str(plan_study(Study({"none": Regimen(RT)}), anatomy))
    lomustine = Drug(name="lomustine", schedule="110 mg/m2 day 1 of 42, 2 cycles", start_day=90.0)
    assert remark not in str(plan_study(Study({"other": Regimen(RT, lomustine)}), anatomy))
