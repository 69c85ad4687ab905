"""The example studies of other sites: set up, planned, run, compared, and their numbers."""

import importlib.util
import json
import math
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from scenarios import read_study
from twin.anatomy import read_anatomy
from twin.examples import data_folder
from twin.results import check_results, open_results
from viz.cli import main

#: Cells about the tumour for a quick mesh, [mm], and how each site's tables call its tumour.
SITES = {
    "breast": ("6 mm", "mass"),
    "head_and_neck": ("7 mm", "solid tumour"),
    "lung": ("8 mm", "solid tumour"),
    "prostate": ("6 mm", "solid tumour"),
    "phantom": ("5 mm", "ball"),
}
COARSE = 'far_cell_size = "40 mm"\nthin_cell_size = "25 mm"'
CURATIVE = ("head_and_neck", "lung", "prostate")
#: What a planner of another site must not read. "prescription" and so on are no such words.
OF_THE_BRAIN = ("T1Gd", "FLAIR", "flair", "white matter", "grey matter", "brain_minus", "glio")


@pytest.fixture(scope="module")
def example(tmp_path_factory, request):
    """Folder of an example on a coarse mesh, run, and what plan and comparison said."""
    made = {}

    def ready(name, capsys):
        if name not in made:
            folder = tmp_path_factory.mktemp("examples") / name
            assert main(["init", "--example", name, str(folder), "--quiet"]) == 0
            patient = folder / "patient.toml"
            text = patient.read_text()
            line = next(line for line in text.splitlines() if line.startswith("cell_size"))
            patient.write_text(text.replace(line, f'cell_size = "{SITES[name][0]}"\n{COARSE}'))
            said = []
            for command in (
                ["plan", str(folder / "study.toml")],
                ["run", str(folder / "study.toml"), "-o", str(folder / "results"), "--quiet"],
                ["compare", str(folder / "results")],
            ):
                capsys.readouterr()
                assert main(command) == 0, capsys.readouterr().err
                said.append(capsys.readouterr().out)
            made[name] = folder, said[0], said[2]
        return made[name]

    return ready


def test_every_example_has_its_study_in_the_folder_of_studies():
    folders = {entry.name for entry in Path(str(data_folder())).joinpath("examples").iterdir()}
    assert set(SITES) | {"glioblastoma"} == folders
    for name in SITES:
        study = Path(str(data_folder())) / "studies" / f"{name}.toml"
        packed = Path(str(data_folder())) / "examples" / name / "study.toml"
        own = packed.read_text().replace("patient.toml", f"../examples/{name}/patient.toml")
        assert study.read_text() == own
        assert read_study(study).patient.resolve().is_file()
        assert sum(file.stat().st_size for file in packed.parent.iterdir()) < 200_000


@pytest.mark.parametrize("name", SITES)
def test_an_example_is_planned_run_and_compared_in_the_words_of_its_site(name, example, capsys):
    folder, plan, compared = example(name, capsys)
    with open_results(folder / "results") as results:
        assert results.sizes["node"] < 5000
        assert np.isfinite(results["tumour_volume_soft"]).all()
    assert SITES[name][1] in compared
    table = (folder / "results" / "table.csv").read_text()
    for word in OF_THE_BRAIN:
        assert word not in plan, word
        assert word not in compared.replace("tumours of the brain", ""), word
        assert word not in table, word
    assert "RANO" not in compared.replace("RANO 2.0 by volume", "")


@pytest.mark.parametrize("name", CURATIVE)
def test_sites_treated_to_cure_report_control_and_no_progression(name, example, capsys):
    folder, plan, compared = example(name, capsys)
    assert plan.count("Tumour control: ") == len(read_study(folder / "study.toml").study.scenarios)
    assert "Probability of tumour control, case" in compared
    assert "90 % interval" in compared
    assert " progression" not in compared.replace("there is no progression", "")
    with open_results(folder / "results") as results:
        check_results(results)
        for variable in ("tumour_control", "tumour_control_population", "tumour_control_draws"):
            assert results[variable].attrs["units"] == "1"
            assert ((results[variable] >= 0) & (results[variable] <= 1)).all()
        assert results["time_to_progression"].isnull().all()
    table = pd.read_csv(folder / "results" / "table.csv")
    assert {"TCP, one patient [1]", "TCP, population [1]"} <= set(table)
    assert not [head for head in table if "progression" in head or "nadir" in head]
    as_json = []
    for command in (["plan", str(folder / "study.toml")], ["compare", str(folder / "results")]):
        assert main([*command, "--json"]) == 0
        as_json.append(json.loads(capsys.readouterr().out))
    assert "tumour_control" in json.dumps(as_json[0])
    assert "tumour_control" in json.dumps(as_json[1])


def test_the_tumour_of_a_curative_site_is_killed_cleared_and_nothing_else(example, capsys):
    """At each node: viable cells times exp(-n (alpha d + beta d^2)), dead ones by half-lives."""
    from solvers import FiniteElementSolver
    from twin import load

    folder, _, _ = example("prostate", capsys)
    twin, study = load(folder / "patient.toml"), read_study(folder / "study.toml").study
    solver, regimen = FiniteElementSolver(), study.scenario("60 Gy in 20").regimen
    begin = solver.state(twin, regimen, 0.0).species["viable"]
    after, later = (solver.state(twin, regimen, day) for day in (45.0, 75.0))
    with open_results(folder / "results") as results:
        dose = results["dose"].sel(scenario="60 Gy in 20").values / 20
    inside = (begin > 0.5) & (dose > 2.9)
    assert inside.sum() > 10
    survival = np.exp(-20 * (0.15 * dose + 0.15 / 3.1 * dose**2))
    np.testing.assert_allclose(
        after.species["viable"][inside], (begin * survival)[inside], rtol=0.1
    )
    np.testing.assert_allclose(later.species["viable"], after.species["viable"], rtol=1e-9)
    elapsed = later.day - after.day
    dead = after.species["dead"] * 0.5 ** (elapsed / 30.0)
    np.testing.assert_allclose(later.species["dead"][inside], dead[inside], rtol=1e-6)


def test_the_phantom_is_two_balls_and_each_fraction_kills_by_its_dose(example, capsys):
    from solvers import FiniteElementSolver
    from twin import load

    folder, _, _ = example("phantom", capsys)
    with open_results(folder / "results") as results:
        first = results["tumour_volume"].isel(scenario=0, case=0, time=0).values / 1000.0
        dose = results["dose"].sel(scenario="20 Gy in 5").values / 5
        points = np.stack([results[f"node_{axis}"].values for axis in "xyz"], axis=1)
    for volume, radius_mm in zip(first, (10.0, 22.0), strict=True):
        assert volume == pytest.approx(4.0 / 3.0 * math.pi * radius_mm**3 / 1000.0, rel=0.07)
    twin, study = load(folder / "patient.toml"), read_study(folder / "study.toml").study
    solver, treated = FiniteElementSolver(step_day=1.0), study.scenario("20 Gy in 5").regimen
    none = study.scenario("no treatment").regimen
    with_it, without = (solver.state(twin, one, 7.0).species["viable"] for one in (treated, none))
    near = np.linalg.norm(points, axis=1) < 14.0
    expected = np.exp(-(0.05 * dose + 0.005 * dose**2))
    assert dose[near] == pytest.approx(4.0, rel=0.03)
    np.testing.assert_allclose(with_it[near] / without[near], expected[near], rtol=1e-4)


def test_faster_growth_is_ranked_behind_and_chemotherapy_shrinks_the_breast_tumour(example, capsys):
    folder, _, _ = example("breast", capsys)
    with open_results(folder / "results") as results:
        last = results["tumour_volume_soft"].sel(threshold="flair").isel(time=-1)
        none, ac, both = (last.isel(scenario=k) for k in range(3))
        assert (none > ac).all()
        assert (ac > both).all()
        assert (last.sel(case="faster growth") > last.sel(case="expected")).all()


def test_the_synthetic_images_come_from_the_committed_script(tmp_path, monkeypatch):
    path = Path(str(data_folder())) / "make_sites.py"
    spec = importlib.util.spec_from_file_location("make_sites", path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "make_sites", module)
    spec.loader.exec_module(module)
    for name in SITES:
        module.make(name, tmp_path / name, lambda said: None)
        for file in (tmp_path / name).iterdir():
            packed = Path(str(data_folder())) / "examples" / name / file.name
            assert (nib.load(file).get_fdata() == nib.load(packed).get_fdata()).all(), file


def test_the_anatomies_say_that_they_are_synthetic():
    for name in SITES:
        folder = Path(str(data_folder())) / "examples" / name
        assert "Synthetic" in (folder / "patient.toml").read_text()
        anatomy = read_anatomy(folder / "patient.toml")
        organs = {key: one for key, one in anatomy.structures.items() if one.kind == "organ"}
        assert all(one.stylised for key, one in organs.items() if key != "brain")
