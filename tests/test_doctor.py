"""`twin doctor` reports what there is, and survives what is broken."""

import json

import pytest

from viz.cli import doctor


@pytest.fixture(scope="module")
def found():
    return doctor.report()


def test_nothing_is_missing_after_set_up(found):
    assert found["missing"] == []
    assert found["ok"]


def test_report_is_one_json_document_and_the_text_names_the_versions(found):
    assert json.loads(json.dumps(found)) == found
    text = doctor.as_text(found)
    for version in (found["finite_elements"]["dolfinx"], found["packages"]["torch"]):
        assert version in text
    assert max(map(len, text.splitlines())) < 200


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "crashed (signal 11)"),
        ("import module_that_is_not_there", "module_that_is_not_there"),
        ("raise SystemExit(3)", "ended with 3"),
    ],
)
def test_what_is_broken_is_named_with_a_remedy(monkeypatch, broken, reason):
    monkeypatch.setattr(doctor, "FINITE_ELEMENTS", broken)
    monkeypatch.setattr(doctor, "RENDERING", broken)
    found = doctor.report()
    whats = [miss["what"] for miss in found["missing"]]
    assert len(whats) == 2
    assert all(reason in what for what in whats)
    assert all("apt-get install" in miss["remedy"] for miss in found["missing"])
    assert not found["ok"]
    text = doctor.as_text(found)
    assert "not working" in text
    assert "libegl1" in text


def test_a_cache_folder_that_cannot_be_written_is_missing(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TWIN_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr(doctor, "_try", lambda code: ({}, "left out"))
    assert any("cache folder" in miss["what"] for miss in doctor.report()["missing"])


def test_a_picture_that_came_out_empty_is_no_rendering(monkeypatch):
    monkeypatch.setattr(doctor, "RENDERING", 'print(\'{"drawn": false, "window": "x"}\')')
    assert any("picture came out empty" in miss["what"] for miss in doctor.report()["missing"])
