"""Targets chosen by a predicted density: their volume, their surface, barriers, and a study."""

import json
from dataclasses import replace

import numpy as np
import pytest
from dicom_makers import make_series
from fake_solver import FakeSolver
from small_patient import TUMOUR_CENTRE_MM, write_small_patient

import twin
from scenarios.planning import plan_study
from scenarios.planning.record import plan_record
from scenarios.run import plan as runs_of
from scenarios.study import Study
from scenarios.study_file import StudyFile, read_study
from scenarios.surrogate_study import reference_scenario
from solvers import FiniteElementSolver
from solvers.guided_targets import living_density, with_guided_targets
from solvers.torch_executor import TorchSolver
from solvers.training_domain import TrainingDomain, default_ranges
from twin.anatomy import read_anatomy
from twin.courses import Drug, Radiotherapy, Resection
from twin.dicom.structure_set import read_structure_set
from twin.dose import dose_maps
from twin.errors import InvalidInput
from twin.guided_target import guided_target
from twin.regimen import Regimen
from twin.targets import clinical_target, gross_target, margin_target, planning_target
from viz.cli import main
from viz.dicom_export import planned_structures
from viz.subject import Subject

PLAIN = Radiotherapy(
    total_dose_gy=20.0, fractions=10, start_day=7.0, ctv_margin_mm=6.0, ptv_margin_mm=2.0
)
GUIDED = replace(PLAIN, density_guided_day=7.0)
STUDY = """\
format = 1
patient = "patient.toml"
horizon = "28 day"

[[scenario]]
name = "a"

[[scenario.radiotherapy]]
total_dose = "20 Gy"
fractions = 10
start = "7 day"
margin = "6 mm"
planning_margin = "2 mm"
density_guided = "7 day"
"""


def places(twin):
    steps = np.moveaxis(np.indices(twin.grid.shape), 0, -1)
    return steps @ twin.grid.affine[:3, :3].T + twin.grid.affine[:3, 3]


def test_a_density_that_falls_to_one_side(patient):
    """exp(x): the volume of the margin's target, cut by a plane across x."""
    x = places(patient)[..., 0]
    found = guided_target(patient, GUIDED, np.exp(0.1 * x), 7.0)
    gross, margin = gross_target(patient, GUIDED), margin_target(patient, GUIDED)
    assert found.mask.sum() == margin.sum()
    assert found.mask[gross].all()
    tissue = (patient.tissues > 1) | gross
    assert not (found.mask & ~tissue).any()
    free = tissue & ~gross
    assert x[free & found.mask].min() >= x[free & ~found.mask].max()
    assert found.level == pytest.approx(np.exp(0.1 * x[free & found.mask].min()), rel=1e-6)
    cells = np.where(tissue, np.exp(0.1 * x), 0.0)
    assert found.cells_outside == pytest.approx(1.0 - cells[found.mask].sum() / cells.sum())
    assert found.cells_outside_margin == pytest.approx(1.0 - cells[margin].sum() / cells.sum())
    assert found.cells_outside < found.cells_outside_margin


def test_a_round_density_gives_a_ball(patient):
    """A density that falls with the distance from the tumour: voxels within one radius."""
    distance = np.linalg.norm(places(patient) - np.array(TUMOUR_CENTRE_MM), axis=-1)
    found = guided_target(patient, GUIDED, np.exp(-distance), 7.0).mask
    tissue = patient.tissues > 1
    ties = 1e-6
    assert distance[found].max() <= distance[tissue & ~found].min() + ties


def test_nothing_is_chosen_across_a_barrier(patient):
    """A sheet of fluid at x = 10 mm: the margin stops at it, and so do the cells."""
    sheet = np.abs(places(patient)[..., 0] - 14.0) < 1.5
    parted = patient.replace(tissues=np.where(sheet, 1, patient.tissues).astype(np.int8))
    beyond = places(patient)[..., 0] > 15.5
    density = np.where(beyond, 0.0, living_density(patient, Regimen(), 0.0))
    found = guided_target(parted, replace(GUIDED, ctv_margin_mm=4.0), density, 7.0)
    assert not (found.mask & (beyond | sheet)).any()


def test_the_density_is_the_solvers(patient):
    """Its integral is the burden by the capacity, and no necrosis is alive."""
    density = living_density(patient, Regimen(), 0.0)
    distance = np.linalg.norm(places(patient) - np.array(TUMOUR_CENTRE_MM), axis=-1)
    assert density[distance < 1.0].max() < 0.2
    assert density[patient.tissues == 0].max() == 0.0
    run = FiniteElementSolver().solve(patient, Regimen(), [0.0, 7.0])
    volume = float(run.tumour_burden[0]) / patient.parameters.value("carrying_capacity")
    assert density.sum() * 8.0 == pytest.approx(volume, rel=0.04)  # voxels of 8 mm3
    assert density[(distance > 6.5) & (distance < 9.5)].min() > 0.1  # between the outlines
    later = living_density(patient, Regimen(), 7.0)
    grown = float(run.tumour_burden[1] / run.tumour_burden[0])
    assert later.sum() / density.sum() == pytest.approx(grown, rel=0.03)


def test_resected_tissue_is_not_alive(patient):
    removed = living_density(patient, Regimen(Resection(day=2.0)), 7.0)
    gross = gross_target(patient, GUIDED)
    assert removed[gross].max() == 0.0
    assert removed.max() > 0.1


def test_targets_and_doses_follow(patient):
    known = with_guided_targets(patient, Regimen(GUIDED))
    assert with_guided_targets(patient, Regimen(PLAIN)) is patient
    clinical, planning = clinical_target(known, GUIDED), planning_target(known, GUIDED)
    assert clinical.sum() == margin_target(patient, PLAIN).sum()
    assert (clinical != margin_target(patient, PLAIN)).any()
    assert planning[clinical].all()
    both = dose_maps(known, Regimen(PLAIN, GUIDED))
    np.testing.assert_array_equal(both[1].target, planning)
    np.testing.assert_array_equal(both[0].target, planning_target(patient, PLAIN))
    assert both[1].d98_gy >= 0.95 * 20.0
    assert known.content_hash != patient.content_hash
    solver = FiniteElementSolver()
    runs = [solver.solve(known, Regimen(one), [0.0, 40.0]) for one in (PLAIN, GUIDED)]
    assert float(runs[0].tumour_burden[1]) != float(runs[1].tumour_burden[1])
    batch = TorchSolver(device="cpu").solve(known, Regimen(GUIDED), [0.0, 40.0])
    assert float(batch.tumour_burden[1]) == pytest.approx(float(runs[1].tumour_burden[1]), rel=1e-8)
    again = solver.solve(patient, Regimen(PLAIN), [0.0, 40.0])
    np.testing.assert_array_equal(again.tumour_burden, runs[0].tumour_burden)


def test_without_a_prediction_it_is_refused(patient, tmp_path):
    for solver in (FiniteElementSolver(), TorchSolver(device="cpu")):
        with pytest.raises(InvalidInput, match="has to be predicted first"):
            solver.solve(patient, Regimen(GUIDED), [0.0, 40.0])
    anatomy = read_anatomy(write_small_patient(tmp_path))
    with pytest.raises(InvalidInput, match="needs the patient with its mesh"):
        plan_study(Study({"a": Regimen(GUIDED)}, days=60.0), anatomy)


@pytest.mark.parametrize(
    ("regimen", "says"),
    [
        (Regimen(replace(GUIDED, density_guided_day=8.0)), "the course starts on day 7"),
        (
            Regimen(replace(GUIDED, start_day=40.0), replace(PLAIN, start_day=1.0)),
            r"radiation or a drug is given on day 1 already",
        ),
        (
            Regimen(
                GUIDED,
                Drug(name="lomustine", schedule="110 mg/m2 day 1 of 42, 1 cycle", start_day=2.0),
            ),
            "radiation or a drug is given on day 2 already",
        ),
        (Regimen(replace(GUIDED, ctv_margin_mm=0.0)), "adds nothing to the target"),
    ],
)
def test_what_cannot_be_guided_is_one_sentence(patient, regimen, says):
    with pytest.raises(InvalidInput, match=says) as caught:
        runs_of(Study({"a": regimen}, days=60.0), patient, FakeSolver())
    assert "\n" not in str(caught.value)


def test_other_refusals(patient):
    with pytest.raises(InvalidInput, match="has its target in it"):
        replace(GUIDED, dose="plan")
    with pytest.raises(InvalidInput, match="The day of the density is -1"):
        replace(GUIDED, density_guided_day=-1.0)
    with pytest.raises(InvalidInput, match="give a smaller margin"):
        guided_target(patient, GUIDED, np.zeros(patient.grid.shape), 7.0)
    ranges = default_ranges(patient.parameters)
    with pytest.raises(InvalidInput, match="no density-guided target"):
        TrainingDomain(ranges, Regimen(GUIDED), patient.parameters, 90.0)
    domain = TrainingDomain(ranges, Regimen(PLAIN), patient.parameters, 90.0)
    assert "the density guided day is 7.0, trained was None" in domain.refusals(
        Regimen(GUIDED), patient.parameters
    )
    with pytest.raises(InvalidInput, match="No arm of the study can be varied"):
        reference_scenario(Study({"a": Regimen(GUIDED)}, days=60.0))


def test_hashes_without_it_are_as_they_were_and_the_voxels_count(patient):
    assert "density_guided_day" not in json.dumps(Regimen(PLAIN).as_dict())
    assert Regimen.from_dict(Regimen(GUIDED).as_dict()) == Regimen(GUIDED)
    study = Study({"margin": Regimen(PLAIN), "density": Regimen(GUIDED)}, days=30.0)
    planned = runs_of(study, patient, FakeSolver())
    alone = runs_of(Study({"margin": Regimen(PLAIN)}, days=30.0), patient, FakeSolver())
    assert planned.hash_of[(0, 0, "coarse")] == alone.hash_of[(0, 0, "coarse")]
    masks = {
        mesh: planned.jobs[planned.hash_of[(1, 0, mesh)]].twin.guided[GUIDED.guided_key].mask
        for mesh in ("fine", "coarse", "coarsest")
    }
    assert masks["fine"] is masks["coarsest"]  # the target is one, whatever it is computed on
    quicker = patient.replace(parameters=patient.parameters.replace(proliferation_rate=0.1))
    other = runs_of(study, quicker, FakeSolver())
    assert other.jobs[other.hash_of[(1, 0, "fine")]].twin.guided[GUIDED.guided_key].digest != (
        with_guided_targets(patient, Regimen(GUIDED)).guided[GUIDED.guided_key].digest
    )


def test_a_study_of_both_is_planned_run_and_exported(patient):
    study = Study({"margin": Regimen(PLAIN), "density": Regimen(GUIDED)}, days=30.0)
    plan = plan_study(study, patient)
    text = " ".join(str(plan).split())
    target = with_guided_targets(patient, Regimen(GUIDED)).guided[GUIDED.guided_key]
    volume = patient.grid.volume_ml(margin_target(patient, PLAIN))
    assert (
        f"CTV by density: {volume:.1f} ml, as much as GTV + 6 mm, where the density predicted for "
        f"day 7 is above {target.level:.2g} of capacity; {100 * target.cells_outside:.2g} % of the "
        f"predicted cells lie outside it, {100 * target.cells_outside_margin:.2g} % outside the "
        "margin's."
    ) in text
    assert "to the volume of GTV + 6 mm (CTV), where the density predicted for day 7 is" in text
    assert target.cells_outside < target.cells_outside_margin
    json.dumps(plan_record(plan), allow_nan=False)
    results = study.run(patient, FiniteElementSolver())
    dose = results["dose"].values
    assert np.abs(dose[0] - dose[1]).max() > 1.0
    organs = results["organ_eqd2_mean"].values
    assert (organs[0] != organs[1]).all()
    found = planned_structures(Subject(results, patient), scenario="density")
    assert [(one.name, one.kind) for one in found] == [
        ("CTV by density day 7", "ctv"),
        ("PTV", "ptv"),
    ]
    np.testing.assert_array_equal(found[0].image.data, target.mask)
    plain = planned_structures(Subject(results, patient), scenario="margin")
    assert plain[0].name == "CTV"
    np.testing.assert_array_equal(plain[0].image.data, margin_target(patient, PLAIN))


def test_the_study_file_and_its_plan(tmp_path, capsys):
    write_small_patient(tmp_path)
    (tmp_path / "study.toml").write_text(STUDY, encoding="utf-8")
    read = read_study(tmp_path / "study.toml")
    assert read.study.scenarios[0].regimen == Regimen(GUIDED)
    assert main(["plan", str(tmp_path / "study.toml"), "--quiet"]) == 0
    assert "CTV by density:" in capsys.readouterr().out
    assert StudyFile.model_json_schema()["$defs"]["RadiotherapyTable"]["properties"][
        "density_guided"
    ]


def test_it_is_exported_as_an_rt_structure_set(tmp_path, capsys):
    """By the commands alone; contours read back enclose the target's volume at its place."""
    write_small_patient(tmp_path)
    (tmp_path / "study.toml").write_text(STUDY, encoding="utf-8")
    shape = (29, 29, 29)  # the patient's own voxels; finer ones round the corners of its mask
    make_series(
        tmp_path / "ct", shape=shape, spacing=(2.0, 2.0, 2.0), position=(-28.0, -28.0, -28.0),
        values=np.zeros(shape),
    )  # fmt: skip
    results = str(tmp_path / "results")
    assert main(["run", str(tmp_path / "study.toml"), "-o", results, "--quiet"]) == 0
    words = ["export", results, "--series", str(tmp_path / "ct"), "--day", "7", "--planned"]
    assert main([*words, "--only", "rtstruct", "-o", str(tmp_path / "out"), "--quiet"]) == 0
    found = read_structure_set(tmp_path / "out" / "prediction_rtstruct.dcm")
    patient = twin.load(tmp_path)
    mask = with_guided_targets(patient, Regimen(GUIDED)).guided[GUIDED.guided_key].mask
    name = "CTV by density day 7"
    assert {name, "PTV"} <= set(found.structures)
    assert found.volume_ml(name) == pytest.approx(patient.grid.volume_ml(mask), rel=0.01)
    assert name in capsys.readouterr().out
