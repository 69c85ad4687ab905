"""Patients of other sites are written and told in the words of their site."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import twin
from scenarios.changes import apply_changes
from scenarios.planning import load_limits
from scenarios.study import Case
from solvers import FiniteElementSolver, TorchSolver
from solvers.adjoint.differentiable import DifferentiableRun
from solvers.batch import Request, solve_batch
from twin.anatomy import read_anatomy
from twin.errors import InvalidInput
from twin.examples import data_folder
from twin.parameters import load_parameter_set, parameter_set_names
from twin.patient_file import json_schema
from twin.regimen import Regimen
from twin.site import BRAIN, Site, site_from_record, site_of

EXAMPLES = Path(str(data_folder())) / "examples"
OTHERS = ("breast", "head_and_neck", "lung", "phantom", "prostate")


def copied(name, folder, *changes):
    """An example's patient file in `folder` with parts of its text changed."""
    for file in (EXAMPLES / name).iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    path = folder / "patient.toml"
    text = path.read_text()
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    path.write_text(text)
    return path


def test_a_set_without_words_is_of_the_brain_and_keeps_its_names():
    assert set(parameter_set_names()) == {*OTHERS, "glioblastoma"}
    assert site_of("glioblastoma") is BRAIN
    assert site_of("my own set") is BRAIN
    base = load_parameter_set("glioblastoma")
    for name in base:
        assert base.site.parameter(name) == base.site.internal(name) == name


@pytest.mark.parametrize("name", OTHERS)
def test_words_of_a_site_are_one_to_one_and_survive_a_record(name):
    site, base = site_of(name), load_parameter_set(name)
    own = [site.parameter(one) for one in base]
    assert len(set(own)) == len(own)
    assert [site.internal(one) for one in own] == list(base)
    assert not [one for one in own if re.search("white|grey|t1gd|flair|brain", one)]
    assert site_from_record({"site": json.dumps(site.as_dict())}) == site
    assert site_from_record({}) is BRAIN


def test_breast_tissues_have_the_roles_that_the_file_gives_them():
    anatomy = read_anatomy(EXAMPLES / "breast" / "patient.toml")
    assert set(np.unique(anatomy.tissues)) == {0, 1, 2, 3}
    wall = np.argwhere(anatomy.tissues == 1)[:, 1].max()
    gland = np.argwhere(anatomy.tissues == 3)[:, 1].min()
    assert wall < gland  # the chest wall lies behind the gland
    assert anatomy.structures["enhancing"].mask.sum() > 0


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("fat = 2", "grey_matter = 2"), "the site 'breast' has no 'grey_matter'; it has"),
        (("mass = 1", "enhancing = 1"), "the site 'breast' has no 'enhancing'; it has"),
        (("fat = 2", "fat = 9"), "label 2 without a name (named are chest_wall = 1, fat = 9"),
        (('set = "breast"', 'set = "breast"\nthreshold_mass = "2"'), "'threshold_mass' is 2 1"),
        (('set = "breast"', 'set = "breast"\nthreshold_t1gd = "2"'), "'threshold_mass' is 2 1"),
        (('set = "breast"', 'set = "breast"\ndiffusivity_fatt = "1 mm2/day"'), "diffusivity_fat'"),
    ],
)
def test_mistakes_are_told_in_the_words_of_the_site(change, sentence, tmp_path):
    with pytest.raises(InvalidInput) as caught:
        read_anatomy(copied("breast", tmp_path, change))
    assert sentence in str(caught.value)


def test_a_change_of_a_case_and_of_the_command_line_may_have_either_name():
    base = load_parameter_set("breast")
    for name in ("diffusivity_fat", "diffusivity_grey"):
        changed = Case("slow", {name: "0.001 mm2/day"}).parameters(base)
        assert changed.value("diffusivity_grey") == 0.001
        _, changed, said = apply_changes(Regimen(), base, [f"parameters.{name}=0.001 mm2/day"])
        assert changed.value("diffusivity_grey") == 0.001
        assert said == ["diffusivity_fat: 0.001 instead of 0.005 mm2/day."]
    with pytest.raises(InvalidInput, match="diffusivity_fat"):
        Case("odd", {"diffusivity_far": "1 mm2/day"}).parameters(base)


def test_total_doses_are_judged_by_site():
    limits = load_limits()
    assert limits.at(BRAIN) is limits
    assert limits.at(site_of("phantom")).radiotherapy.least_total_dose is None
    neck = limits.at(site_of("head_and_neck")).radiotherapy
    assert neck.most_total_dose.value > 81.5
    assert neck.whole_brain_share is None


def test_the_schema_lets_a_site_name_its_tissues():
    tables = json_schema()["$defs"]
    assert tables["TissueLabels"]["additionalProperties"] == {"type": "integer"}
    assert "image" in tables["VisitTable"]["properties"]


@pytest.mark.parametrize(
    "words", [{"tissues": {"fluid": "air"}}, {"parts": {"enhancing": "a", "flair": "a"}}]
)
def test_words_that_do_not_hold_are_refused(words):
    with pytest.raises(InvalidInput, match="The site 'x'"):
        Site(name="x", **words)


@pytest.fixture(scope="module")
def still(patient):
    """The small patient of the brain with a prostate's parameters and no growth."""
    structures = {k: one for k, one in patient.structures.items() if one.parameter is None}
    brain = twin.Structure(patient.structures["brain"].mask, "organ")
    return patient.replace(
        model=twin.ModelChoice(growth="none"),
        parameters=load_parameter_set("prostate"),
        structures={**structures, "brain": brain},
    )


def test_only_the_finite_element_solver_runs_a_tumour_that_does_not_grow(still):
    solver = FiniteElementSolver()
    first, last = (solver.state(still, Regimen(), day).species for day in (0.0, 30.0))
    assert (first["viable"] == last["viable"]).all()
    for attempt in (
        lambda: TorchSolver(device="cpu").solve(still, Regimen(), [0.0, 1.0]),
        lambda: solve_batch(still, [Request(Regimen(), still.parameters)], [0.0, 1.0]),
        lambda: DifferentiableRun(still, Regimen(), [1.0]),
        lambda: FiniteElementSolver(comm=TwoRanks()).solve(still, Regimen(), [0.0, 1.0]),
    ):
        with pytest.raises(InvalidInput, match="growth"):
            attempt()


class TwoRanks:
    """As much of a communicator as is asked before a run is refused."""

    def Get_size(self):
        return 2

    def Get_rank(self):
        return 0

    def Allgather(self, sent, found):
        found[:] = sent

    def Barrier(self):
        pass
