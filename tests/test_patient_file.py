import datetime as dt
import tomllib

import pytest
from small_patient import PATIENT_TOML

from twin.errors import InvalidInput
from twin.patient_file import PatientFile, json_schema, read_patient_file
from twin.toml_file import check


def read(text):
    return check(PatientFile, tomllib.loads(text), where="patient.toml")


def test_the_small_patient_reads():
    content = read(PATIENT_TOML)
    assert content.patient.body_surface == 1.8
    assert content.reference.labels.numbers == {"necrosis": 1, "enhancing": 4, "flair": 2}
    assert content.calendar.reference_date == dt.date(2026, 3, 30)
    assert content.mesh.cell_size == 2.6


BAD = [
    ('"1.8 m2"', '"1.8"', 'patient, body_surface: "1.8" has no unit'),
    ('"1.8 m2"', "1.8", "patient, body_surface: 1.8 has no unit"),
    ('"1.8 m2"', '"1.8 mm"', "does not convert to m2"),
    ('"1.8 m2"', '"-1.8 m2"', "at least 0.3 m2"),
    ('"1.8 m2"', '"nan m2"', "not a finite number"),
    ("body_surface", "body_surfac", 'did you mean "body_surface"?'),
    ("[patient]", "[patiant]", 'did you mean "patient"?'),
    ("tissues =", "tisues =", '"tisues" is not known in visit 1; did you mean "tissues"?'),
    ("stylised", "stilised", 'did you mean "stylised"?'),
    ('tissues = "tissues.nii.gz"\n', "", '"tissues" is missing in visit 1'),
    ('"brats"', '"bratz"', '"bratz" is not a convention'),
    ('"brats"', "{ necrosis = 1, flair = 1, enhancing = 2 }", "both have the label 1"),
    ('"brats"', "{ necrosis = 1, enhancing = 2 }", '"flair" is missing'),
    ('"brats"', "{ necrosis = 1, flair = 0, enhancing = 2 }", "visit 1, labels, flair is 0"),
    ("reference = true", "reference = false", "no visit is the reference"),
    ("2026-03-30", '"30.3.2026"', "is not a date"),
    ("2026-03-30", "20260330", "is not a date"),
    ("2026-03-30", "2026-03-30T10:00:00", "is not a date"),
    ("format = 1", "format = 2", "format is 2"),
    ('"2.6 mm"', '"26 mm"', "at most 20 mm"),
    ('"10.4 mm"', '"1 mm"', "must be at least cell_size"),
    ("[mesh]\n", '[mesh]\nthin_cell_size = "2 mm"\n', "must lie between cell_size (2.6 mm)"),
    ("[mesh]\n", '[mesh]\nfront_time = "-1 day"\n', "front_time"),
    ("[structures.labels]\n", "[structures.labels]\nbrain = { label = 9 }\n", "program's own"),
    ("[structures.labels]\n", "[structures.labels]\nx = { label = 1 }\n", "both have the label 1"),
]


@pytest.mark.parametrize(("old", "new", "says"), BAD)
def test_mistakes_are_told_in_one_sentence(old, new, says):
    assert old in PATIENT_TOML
    with pytest.raises(InvalidInput) as caught:
        read(PATIENT_TOML.replace(old, new, 1))
    message = str(caught.value)
    assert message.startswith("patient.toml: ")
    assert says in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('alpha = "0.05"', "parameters, alpha: .* has no unit"),
        ('alpha = "0.05 Gy"', "does not convert to 1/Gy"),
        ('alpha = "-0.05 1/Gy"', "outside its range"),
        ('alpha = "nan 1/Gy"', "not a finite number"),
        ('alfa = "0.05 1/Gy"', "did you mean 'alpha'"),
    ],
)
def test_bad_changes_of_parameters(line, says):
    content = read(PATIENT_TOML.replace('set = "glio', f'{line}\nset = "glio'))
    with pytest.raises(InvalidInput, match=says):
        content.parameters.resolve(where="patient.toml")


def test_changes_of_parameters_are_converted():
    line = 'diffusivity_white = "36.525 mm2/year"'
    content = read(PATIENT_TOML.replace('set = "glio', f'{line}\nset = "glio'))
    resolved = content.parameters.resolve(where="patient.toml")
    assert resolved.value("diffusivity_white") == pytest.approx(0.1)


HISTORY = """
[[history.resection]]
date = 2026-03-02
cavity = "cavity.nii.gz"

[[history.radiotherapy]]
date = 2026-01-05
total_dose = "30 Gy"
fractions = 10

[[history.temozolomide]]
daily = "75 mg/m2"
"""


def test_treatment_given_already_has_negative_days():
    content = read(PATIENT_TOML + HISTORY)
    given = content.history.regimen(content.calendar)
    assert given.resections[0].day == -28.0
    assert given.resections[0].structure == "cavity"
    days = [event.day for event in given.schedule(content.calendar).fractions]
    assert days[0] == -84.0
    assert len(days) == 10
    assert max(days) < 0


def test_treatment_given_already_lies_before_day_0():
    content = read(PATIENT_TOML + HISTORY.replace("2026-01-05", "2026-03-25"))
    with pytest.raises(InvalidInput, match="not before the reference date"):
        content.history.regimen(content.calendar)


def test_files_that_are_no_toml(tmp_path):
    path = tmp_path / "patient.toml"
    with pytest.raises(InvalidInput, match="does not exist"):
        read_patient_file(path)
    path.write_text("format = = 1")
    with pytest.raises(InvalidInput, match=r"not valid TOML.*line 1"):
        read_patient_file(path)
    path.write_bytes(b"format = '\xff'")
    with pytest.raises(InvalidInput, match="UTF-8"):
        read_patient_file(path)
    path.write_bytes(b"#" * 2_000_000)
    with pytest.raises(InvalidInput, match="larger than 1 MiB"):
        read_patient_file(path)


def test_the_schema_describes_the_file():
    schema = json_schema()
    assert set(schema["required"]) == {"format", "patient", "visit", "parameters"}
    assert schema["additionalProperties"] is False
    patient = schema["$defs"]["PatientTable"]
    assert patient["properties"]["body_surface"]["type"] == "string"
    assert patient["properties"]["body_surface"]["examples"] == ["1.8 m2"]
    labels = schema["$defs"]["VisitTable"]["properties"]["labels"]
    assert {"enum": ["brats", "brats2023"]} in labels["anyOf"]
