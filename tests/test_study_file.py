"""Study files: the packaged study, and one clear sentence for each mistake."""

import json
from pathlib import Path

import pytest

from scenarios.changes import apply_changes
from scenarios.study_file import read_study, study_json_schema
from twin.courses import Radiotherapy, Resection, Temozolomide
from twin.errors import InvalidInput
from twin.examples import data_folder
from twin.parameters import load_parameter_set
from twin.regimen import Regimen

EXAMPLE = Path(str(data_folder())) / "examples" / "glioblastoma" / "study.toml"
REPOSITORY = Path(str(data_folder())) / "studies" / "glioblastoma.toml"
RT = Radiotherapy(total_dose_gy=60.0, fractions=30, start_day=28.0)


def test_example_has_the_six_arms_each_with_one_difference():
    study = read_study(EXAMPLE).study
    assert study.days == 540.0
    expected = {
        "no treatment": (Regimen(), None, []),
        "60 Gy in 30": (Regimen(RT), "no treatment", ["radiotherapy"]),
        "60 Gy in 30 + temozolomide": (
            Regimen(RT, Temozolomide()),
            "60 Gy in 30",
            ["temozolomide"],
        ),
        "40.05 Gy in 15 + temozolomide": (
            Regimen(
                Radiotherapy(total_dose_gy=40.05, fractions=15, start_day=28.0), Temozolomide()
            ),
            "60 Gy in 30 + temozolomide",
            ["radiotherapy fractionation"],
        ),
        "60 Gy + boost 75 Gy + temozolomide": (
            Regimen(
                Radiotherapy(
                    total_dose_gy=60.0,
                    fractions=30,
                    start_day=28.0,
                    boost_target="enhancing",
                    boost_total_dose_gy=75.0,
                ),
                Temozolomide(),
            ),
            "60 Gy in 30 + temozolomide",
            ["radiotherapy boost"],
        ),
        "resection, then 60 Gy in 30 + temozolomide": (
            Regimen(Resection(day=7.0), RT, Temozolomide()),
            "60 Gy in 30 + temozolomide",
            ["resection"],
        ),
    }
    found = {
        arm.name: (arm.regimen, arm.compared_with, study.differs_in(arm)) for arm in study.scenarios
    }
    assert found == expected


def test_example_has_three_cases_and_faster_growth_keeps_the_front_width():
    study = read_study(EXAMPLE).study
    base = load_parameter_set("glioblastoma")
    assert len(study.cases) == 3
    faster = next(case for case in study.cases if case.name == "faster growth").parameters(base)
    for tissue in ("white", "grey"):
        ratios = [
            one.value(f"diffusivity_{tissue}") / one.value("proliferation_rate")
            for one in (base, faster)
        ]
        assert ratios[1] == pytest.approx(ratios[0])
    assert faster.value("proliferation_rate") > base.value("proliferation_rate")


def test_repository_study_is_the_example_with_another_path_to_the_patient():
    example, repository = read_study(EXAMPLE), read_study(REPOSITORY)
    assert example.study == repository.study
    assert example.patient.resolve() == repository.patient.resolve()


def test_schema_knows_every_key_of_the_example():
    schema = study_json_schema()
    json.dumps(schema)
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["format", "patient", "scenario"]
    assert schema["$defs"]["RadiotherapyTable"]["properties"]["total_dose"]["type"] == "string"


MISTAKES = {
    "number for a dose": ('"60 Gy"', "60", "no unit"),
    "no unit": ('"60 Gy"', '"2"', "no unit"),
    "unknown unit": ('"60 Gy"', '"2 Gyy"', 'did you mean "Gy"'),
    "unit of another kind": ('"60 Gy"', '"2 mm"', "does not convert to Gy"),
    "negative": ('"60 Gy"', '"-2 Gy"', "at least 0 Gy"),
    "not a number": ('"60 Gy"', '"nan Gy"', "finite"),
    "a bare nan": ('"60 Gy"', "nan", "finite"),
    "too much": ('"60 Gy"', '"2000 Gy"', "between 0 and 200 Gy; were cGy meant"),
    "too much though confirmed": (
        'total_dose = "60 Gy"',
        'total_dose = "2000 Gy"\nconfirm_high_dose = true',
        "between 0 and 1000 Gy",
    ),
    "too much a fraction": ("fractions = 30", "fractions = 1", "between 0 and 40 Gy; were cGy"),
    "unknown key": ("total_dose", "total_does", 'did you mean "total_dose"'),
    "unknown key on top": ("horizon", "horizn", 'did you mean "horizon"'),
    "fractions as text": ("fractions = 30", 'fractions = "30"', "fractions"),
    "half a fraction": ("fractions = 30", "fractions = 30.5", "fractions"),
    "no fractions": ("fractions = 30", "fractions = 0", "fractions"),
    "truth as fractions": ("fractions = 30", "fractions = true", "fractions"),
    "another format": ("format = 1", "format = 2", "format"),
    "no format": ("format = 1", "", '"format" is missing'),
    "comparator that is not there": (
        'compared_with = "60 Gy in 30"',
        'compared_with = "60 Gy in 31"',
        "did you mean '60 Gy in 30'",
    ),
    "a name twice": ('name = "60 Gy in 30"', 'name = "no treatment"', "no treatment"),
    "parameter without a unit": ('"0.025 1/Gy"', "0.025", "no unit"),
    "half a boost": (', total_dose = "75 Gy"', "", '"total_dose" is missing'),
    "not TOML": ("[[case]]", "[[case", "not valid TOML"),
}


@pytest.mark.parametrize(("old", "new", "sentence"), MISTAKES.values(), ids=MISTAKES)
def test_mistake_in_a_study_is_one_sentence(tmp_path, old, new, sentence):
    text = EXAMPLE.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "study.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(InvalidInput) as caught:
        read_study(path)
    message = str(caught.value)
    assert sentence in message
    assert "study.toml" in message
    assert "\n" not in message
    assert len(message) < 400


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", None])
def test_file_that_is_no_text_or_not_there(tmp_path, content):
    path = tmp_path / "study.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"study\.toml"):
        read_study(path)


def test_temozolomide_without_radiotherapy_is_refused_by_name(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text(
        'format = 1\npatient = "p"\n[[scenario]]\nname = "drug"\n[scenario.temozolomide]\n'
    )
    with pytest.raises(InvalidInput, match=r"'drug'.*no.*radiotherapy|'drug'.*there is none"):
        read_study(path)


def changed(*changes, regimen=None):
    base = Regimen(RT, Temozolomide()) if regimen is None else regimen
    return apply_changes(base, load_parameter_set("glioblastoma"), changes)


def test_changes_of_fractionation():
    for change, total, count in (
        (["radiotherapy.fractions=25"], 50.0, 25),
        (["radiotherapy.fractions=25", "radiotherapy.total_dose=60 Gy"], 60.0, 25),
        (["radiotherapy.total_dose=40 Gy"], 40.0, 30),
        (["radiotherapy.dose_per_fraction=250 cGy"], 75.0, 30),
        (["radiotherapy.dose_per_fraction=2.5 Gy", "radiotherapy.fractions=20"], 50.0, 20),
        (["radiotherapy.fractions=20", "radiotherapy.dose_per_fraction=2.5 Gy"], 50.0, 20),
    ):
        course = changed(*change)[0].radiotherapy[0]
        assert (course.total_dose_gy, course.fractions) == (pytest.approx(total), count)


def test_changes_leave_the_rest_and_say_what_they_did():
    regimen, parameters, said = changed(
        "radiotherapy.start=5 week", "parameters.alpha=0.05 1/Gy", "temozolomide=off"
    )
    assert regimen == Regimen(Radiotherapy(total_dose_gy=60.0, fractions=30, start_day=35.0))
    assert parameters.value("alpha") == 0.05
    assert parameters.value("alpha_beta") == load_parameter_set("glioblastoma").value("alpha_beta")
    assert said == [
        "No temozolomide.",
        "Radiotherapy: starts on day 35 instead of 28.",
        "alpha: 0.05 instead of 0.036 1/Gy.",
    ]
    assert changed("temozolomide=on", regimen=Regimen(RT))[0].temozolomide == (Temozolomide(),)
    assert changed("temozolomide.cycles=3")[0].temozolomide[0].cycles == 3


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (["radiotherapy.fractons=25"], "did you mean 'radiotherapy.fractions'"),
        (["parameters.alpa=1 1/Gy"], "did you mean 'alpha'"),
        (["radiotherapy.fractions"], "name=value"),
        (["radiotherapy.fractions=2.5"], "whole number"),
        (["radiotherapy.fractions=0"], "from 1 to 100"),
        (["radiotherapy.total_dose=40"], "no unit"),
        (["radiotherapy.total_dose=-40 Gy"], "at least 0 Gy"),
        (["radiotherapy.total_dose=nan Gy"], "finite"),
        (["radiotherapy.start=35 day", "radiotherapy.start=36 day"], "twice"),
        (["radiotherapy.total_dose=40 Gy", "radiotherapy.dose_per_fraction=2 Gy"], "not both"),
        (["temozolomide=off", "temozolomide.cycles=3"], "one of the two"),
        (["temozolomide=maybe"], "on or off"),
        (["radiotherapy=off"], "temozolomide=off"),
        (["resection.day=7 day"], "exactly one"),
        (["resection=on"], "study file"),
        (["parameters.alpha=5 1/Gy"], "range"),
        (["parameters.alpha=0.05"], "no unit"),
    ],
)
def test_mistake_in_a_change_is_one_sentence(changes, sentence):
    with pytest.raises(InvalidInput) as caught:
        changed(*changes)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
