"""The wheel holds the whole project and works outside the source tree."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
IMPORT_NAMES = ("twin", "solvers", "scenarios", "viz")


def data_files():
    """Return what data/ holds for users, as paths from there."""
    found = (path for path in (ROOT / "data").rglob("*") if path.is_file())
    return {
        path.relative_to(ROOT / "data").as_posix()
        for path in found
        if "__pycache__" not in path.parts and path.suffix != ".py"
    }


def run(*command, cwd):
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    ended = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert ended.returncode == 0, f"{command}: {ended.stdout[-1000:]}{ended.stderr[-3000:]}"
    return ended.stdout


def test_every_package_is_listed():
    folders = {path.parent for name in IMPORT_NAMES for path in (ROOT / name).rglob("*.py")}
    there = {path.relative_to(ROOT).as_posix().replace("/", ".") for path in folders}
    assert set(SETTINGS["tool"]["setuptools"]["packages"]) == there | {"twin.data"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build the wheel from a copy, so that the tree stays as it is."""
    source = tmp_path_factory.mktemp("source") / "project"
    names = [*IMPORT_NAMES, "data", "pyproject.toml", "README.md", "LICENSE"]
    source.mkdir()
    for name in names:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, source / name)
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, source, cwd=folder)
    (built,) = folder.glob("therapy_twin-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Install the wheel into an environment of its own, with this one's libraries behind it."""
    home = tmp_path_factory.mktemp("elsewhere") / "venv"
    run(sys.executable, "-m", "venv", "--system-site-packages", home, cwd=home.parent)
    python = home / "bin" / "python"
    run(python, "-m", "pip", "install", "-q", "--no-deps", wheel, cwd=home.parent)
    # A plain path in a .pth file: the libraries are found, but this environment's own .pth files,
    # and with them the editable install of this tree, are not read.
    (packages,) = home.glob("lib/python3*/site-packages")
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return home


@pytest.mark.slow
def test_the_wheel_holds_the_data_and_the_licence(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"twin/data/{name}" for name in data_files()} <= names
    assert any(name.endswith("/LICENSE") for name in names)
    assert not any(name.startswith(("data/", "tests/")) for name in names)


@pytest.mark.slow
def test_the_data_is_found_outside_the_tree(installed, tmp_path):
    code = """
import importlib.resources, twin, twin.examples
def walk(folder, name=""):
    for entry in folder.iterdir():
        yield from walk(entry, name + entry.name + "/") if entry.is_dir() else [name + entry.name]
assert twin.examples.data_folder() == importlib.resources.files("twin.data")
print(twin.__file__, *walk(importlib.resources.files("twin.data")), sep="\\n")
"""
    where, *found = run(installed / "bin" / "python", "-c", code, cwd=tmp_path).splitlines()
    assert Path(where).is_relative_to(installed)
    assert data_files() <= set(found)


@pytest.mark.slow
def test_the_example_starts_outside_the_tree(installed, tmp_path):
    run(installed / "bin" / "twin", "init", "--example", "glioblastoma", "here", cwd=tmp_path)
    for name in ("patient.toml", "study.toml"):
        assert tomllib.loads((tmp_path / "here" / name).read_text(encoding="utf-8"))["format"] == 1


def short_study(text):
    """The example's first two treatments of its first case over two weeks, begun on day 2."""
    for old, new in (("540 day", "14 day"), ("28 day", "2 day"), ("60 Gy", "20 Gy")):
        assert f'"{old}"' in text
        text = text.replace(f'"{old}"', f'"{new}"')
    text = text.replace("fractions = 30", "fractions = 8")
    head, *scenarios = text.split("[[scenario]]")
    return "[[scenario]]".join([head, *scenarios[:2]]) + '\n[[case]]\nname = "expected"\n'


@pytest.mark.slow
def test_the_example_runs_outside_the_tree(installed, tmp_path):
    """Its mesh is built, a short study run and compared, with what the wheel holds alone."""
    command = installed / "bin" / "twin"
    run(command, "init", "--example", "glioblastoma", "here", cwd=tmp_path)
    study = tmp_path / "here" / "study.toml"
    study.write_text(short_study(study.read_text(encoding="utf-8")), encoding="utf-8")
    run(command, "run", "here/study.toml", "-o", "results", cwd=tmp_path)
    text = " ".join(run(command, "compare", "results", cwd=tmp_path).split())
    assert "Softened visible volume [ml] ± numerical error, case 'expected'" in text
    volumes = json.loads(run(command, "compare", "results", "--json", cwd=tmp_path))["table"]
    untreated, treated = volumes
    assert [untreated["scenario"], treated["scenario"]] == ["no treatment", "60 Gy in 30"]
    for row in volumes:
        for label in ("T1Gd", "FLAIR"):
            volume = row[f"{label} volume 14 d [ml]"]
            assert 5.0 < volume < 300.0
            assert 0.0 < row[f"{label} volume 14 d error [ml]"] < 0.15 * volume
    assert treated["FLAIR volume 14 d [ml]"] < untreated["FLAIR volume 14 d [ml]"]
