"""``twin train`` and ``twin whatif`` as a planner types them."""

from __future__ import annotations

import json

import pytest
from small_patient import write_small_patient

from viz.cli import main

STUDY = """\
format = 1
name = "one arm to vary"
patient = "patient.toml"
horizon = "120 day"

[[scenario]]
name = "no treatment"

[[scenario]]
name = "30 fractions with drug"
compared_with = "no treatment"

[[scenario.radiotherapy]]
total_dose = "60 Gy"
fractions = 30
start = "28 day"

[scenario.temozolomide]
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("train")
    write_small_patient(folder)
    (folder / "study.toml").write_text(STUDY)
    return folder


@pytest.fixture(scope="module")
def model(home):
    arguments = ["train", str(home / "study.toml"), "-o", str(home / "model"), "--runs", "32"]
    assert main([*arguments, "--seed", "4", "--quiet", "--json"]) == 0
    return home / "model"


def answer(capsys, *arguments, status=0):
    capsys.readouterr()
    assert main([*map(str, arguments), "--json"]) == status
    return json.loads(capsys.readouterr().out)


def test_training_is_told_and_not_repeated(capsys, home, model):
    before = (model / "model.safetensors").stat().st_mtime_ns
    arguments = ["train", home / "study.toml", "-o", model, "--runs", 32, "--seed", 4]
    again = answer(capsys, *arguments)
    assert again["record"]["runs"] == {"training": 32, "calibration": 16, "held_out": 64}
    assert again["held_out"]["runs"] == 64
    assert (model / "model.safetensors").stat().st_mtime_ns == before
    capsys.readouterr()
    assert main(list(map(str, arguments))) == 0
    told = capsys.readouterr()
    assert "kept" in told.err and "held-out runs, volumes above 1 ml" in told.out
    assert "no resection, boost, other target or margin" in told.out


def test_a_what_if_inside_is_answered_by_the_surrogate(capsys, model):
    found = answer(capsys, "whatif", model, "--set", "radiotherapy.fractions=25")
    assert found["answered_by"] == "surrogate" and not found["refused"]
    assert found["changes"] == [
        "Radiotherapy: 50 Gy in 25 fractions of 2 Gy instead of 60 Gy in 30."
    ]
    assert all(row["low_ml"] <= row["volume_ml"] <= row["high_ml"] for row in found["volumes"])
    capsys.readouterr()
    assert main(["whatif", str(model), "--set", "radiotherapy.fractions=25"]) == 0
    assert "answered by the surrogate in" in capsys.readouterr().out


def test_a_what_if_outside_is_run_by_the_solver_and_said(capsys, model):
    capsys.readouterr()
    arguments = ["whatif", str(model), "--set", "radiotherapy.margin=10 mm", "--json"]
    assert main(arguments) == 0
    told = capsys.readouterr()
    found = json.loads(told.out)
    assert found["answered_by"] == "finite_element"
    assert "Outside what the surrogate was trained on: the ctv margin mm is 10" in told.err
    assert "run instead" in told.err


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("radiotherapy.fraction=25", "did you mean 'radiotherapy.fractions'?"),
        ("parameters.alpha=0.05", "has no unit"),
        ("parameters.alpha=5 1/Gy", "outside its range"),
        ("radiotherapy.fractions=0", "from 1 to 100"),
    ],
)
def test_bad_changes_are_one_sentence(capsys, model, change, sentence):
    capsys.readouterr()
    assert main(["whatif", str(model), "--set", change]) == 2
    told = capsys.readouterr().err
    assert sentence in told and told.count("\n") == 1 and "Traceback" not in told


def test_too_few_runs_and_a_full_folder_are_refused(capsys, home, tmp_path):
    capsys.readouterr()
    study = str(home / "study.toml")
    assert main(["train", study, "-o", str(tmp_path / "model"), "--runs", "3"]) == 2
    assert "at least 8 training runs" in capsys.readouterr().err
    (tmp_path / "letter.txt").write_text("keep me")
    assert main(["train", study, "-o", str(tmp_path)]) == 2
    assert "something other than a model" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["letter.txt"]
