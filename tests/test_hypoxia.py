"""A hypoxia image: from uptake to oxygen, to the share of a dose that counts, to cells that die."""

import nibabel as nib
import numpy as np
import pytest
from fake_solver import FakeSolver
from plan_cases import RT, planned
from small_patient import PATIENT_TOML, write_small_patient

import twin
from scenarios.evidence import evidence_of
from scenarios.study import Scenario, Study
from solvers import DifferentiableRun, FiniteElementSolver, SurrogateSolver
from solvers.batch import Request, solve_batch
from solvers.dose_response import hypoxia_factor, with_hypoxia
from solvers.hypoxia import dose_factor, lack_of_oxygen, oxygen_share
from solvers.prepared import prepare
from solvers.torch_executor import TorchSolver
from solvers.treatment import Treatment
from twin.anatomy import read_anatomy
from twin.courses import Radiotherapy
from twin.errors import InvalidInput
from twin.hypoxia import HypoxiaImage
from twin.model_choice import ModelChoice
from twin.parameters import load_parameter_set
from twin.regimen import Regimen

SET = load_parameter_set("glioblastoma")
COURSE = Radiotherapy(total_dose_gy=20.0, fractions=10, start_day=1.375)
LINE = 'labels = "brats"'


def patient_with(folder, ratio_of, line, scale=1.0):
    """The small patient with an image of uptake that is a function of x, y and z, [mm]."""
    path = write_small_patient(folder, toml=PATIENT_TOML.replace(LINE, f"{LINE}\n{line}"))
    tissues = nib.load(folder / "tissues.nii.gz")
    where = np.moveaxis(np.indices(tissues.shape), 0, -1) @ tissues.affine[:3, :3].T
    where = where + tissues.affine[:3, 3]
    values = scale * ratio_of(*np.moveaxis(where, -1, 0))
    nib.save(nib.Nifti1Image(values.astype(np.float32), tissues.affine), folder / "fmiso.nii.gz")
    return path


def flat(x, y, z, ratio=1.7):
    """Even in the tumour, that of blood elsewhere."""
    near = (x - 6.0) ** 2 + (y - 2.0) ** 2 + (z - 4.0) ** 2 < 12.0**2
    return np.where(near, ratio, 1.0)


# --- formulas ------------------------------------------------------------------------------------


def test_ratio_at_ten_millimetres_of_mercury():
    """1 + 2.4/(1 + 10/2) = 1.4, the customary threshold."""
    lack = float(lack_of_oxygen(np.array([1.4]), 1.0, 3.4)[0])
    assert 2.0 * (1.0 - lack) / lack == pytest.approx(10.0)


@pytest.mark.parametrize("pressure", [0.0, 0.5, 2.0, 10.0, 60.0, 1e6])
def test_share_is_that_of_the_oxygen_effect(pressure):
    """The uptake of a pressure, put back in, gives OER/m of that pressure."""
    ratio = np.array([1.0 + 2.4 / (1.0 + pressure / 2.0)])
    expected = hypoxia_factor(pressure, 3.0, 3.0)
    assert float(oxygen_share(ratio, SET)[0]) == pytest.approx(float(expected), rel=1e-9)


def test_ends_and_the_order_of_the_ends():
    assert oxygen_share(np.array([0.2, 1.0]), SET).tolist() == [1.0, 1.0]
    np.testing.assert_allclose(oxygen_share(np.array([3.4, 9.0]), SET), 1.0 / 3.0)
    with pytest.raises(InvalidInput, match="must be above hypoxia_ratio_oxic"):
        lack_of_oxygen(np.ones(2), 2.0, 1.5)


def test_mean_over_the_tumour_is_that_of_the_set():
    """Half at OER/m 1 and half at 1/3: mean 2/3, so factors 3/2 and 1/2."""
    tumour = np.array([True, True, False])
    ratio = np.array([1.0, 3.4, 1.0], np.float32)
    mean = dose_factor(HypoxiaImage("fmiso", ratio), ratio, tumour, SET)
    np.testing.assert_allclose(mean, [1.5, 0.5, 1.5])
    oxic = dose_factor(HypoxiaImage("fmiso", ratio, "oxic"), ratio, tumour, SET)
    np.testing.assert_allclose(oxic, [1.0, 1.0 / 3.0, 1.0])


# --- in a run ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def layered(tmp_path_factory):
    """Uptake that rises through the tumour from left to right; alpha of oxic cells."""
    folder = tmp_path_factory.mktemp("layered")
    line = 'hypoxia = { fmiso = { file = "fmiso.nii.gz", blood = 250.0, alpha = "oxic" } }'
    return twin.load(
        patient_with(folder, lambda x, y, z: 1.0 + np.clip(x, 0.0, 14.0) / 7.0, line, scale=250.0)
    )


@pytest.fixture(scope="module")
def even(tmp_path_factory):
    folder = tmp_path_factory.mktemp("even")
    return twin.load(patient_with(folder, flat, 'hypoxia = { fmiso = { file = "fmiso.nii.gz" } }'))


@pytest.mark.parametrize("x", [2.0, 6.0, 10.0])
def test_survival_where_oxygen_is_lacking(layered, x):
    """-ln S = f alpha d + f^2 beta d^2 with f by the pressure of the place."""
    treatment = Treatment(prepare(layered), Regimen(COURSE), layered.parameters)
    log = np.log(treatment.surviving(treatment.schedule.fractions[0], {0: (1.0, 1.0)})[0])
    dose = prepare(layered).dose_at_nodes(COURSE) / 10.0
    places = layered.mesh.points
    near = np.flatnonzero(
        (np.abs(places[:, 0] - x) < 1.0) & (np.abs(places[:, 1:] - [2.0, 4.0]) < 4.0).all(axis=1)
    )
    assert len(near)
    for node in near:
        ratio = 1.0 + places[node, 0] / 7.0
        pressure = 2.0 * (2.4 / (ratio - 1.0) - 1.0)
        alpha, beta = with_hypoxia(0.036, 0.0036, pressure, 3.0, 3.0)
        expected = -alpha * dose[node] - beta * dose[node] ** 2
        assert log[node] == pytest.approx(float(expected), rel=1e-3)


def test_even_hypoxia_of_a_clinical_alpha_changes_nothing_in_the_tumour(even, patient):
    """The set's alpha is the mean of the tumour, which is the same everywhere in it."""
    with_image, without = (
        Treatment(prepare(one), Regimen(COURSE), one.parameters) for one in (even, patient)
    )
    fraction = without.schedule.fractions[0]
    one, other = (t.surviving(fraction, {0: (1.0, 1.0)})[0] for t in (with_image, without))
    inside = np.linalg.norm(patient.mesh.points - [6.0, 2.0, 4.0], axis=1) < 8.0
    np.testing.assert_allclose(one[inside], other[inside], rtol=1e-6)
    outside = np.linalg.norm(patient.mesh.points - [6.0, 2.0, 4.0], axis=1) > 14.0
    given = prepare(patient).dose_at_nodes(COURSE)
    assert (one[outside & (given > 1.0)] < other[outside & (given > 1.0)]).all()


def test_unrepaired_pairs_are_of_what_counts(layered):
    """Two fractions 6 h apart: the second also kills by 2 beta f^2 d^2 exp(-mu 6 h)."""
    twice = Regimen(Radiotherapy(total_dose_gy=20.0, fractions=10, start_day=1.0,
                                 fractions_per_day=2))  # fmt: skip
    treatment = Treatment(prepare(layered), twice, layered.parameters)
    first, second = (
        np.log(treatment.surviving(one, {0: (1.0, 1.0)})[0])
        for one in treatment.schedule.fractions[:2]
    )
    each = prepare(layered).dose_at_nodes(COURSE) / 10.0
    share = prepare(layered).oxygen_factor(layered.parameters)
    expected = -2.0 * 0.0036 * (share * each) ** 2 * 0.5 ** (6.0 / 1.5)
    np.testing.assert_allclose(second - first, expected, atol=1e-9)


def test_hypoxic_tumour_keeps_more_cells_in_every_executor_that_knows_it(layered, patient):
    solver = FiniteElementSolver()
    hypoxic, plain = (solver.solve(one, Regimen(COURSE), [20.0]) for one in (layered, patient))
    assert float(hypoxic["tumour_burden"][-1]) > 1.05 * float(plain["tumour_burden"][-1])
    np.testing.assert_array_equal(hypoxic["dose"], plain["dose"])  # physical
    batch = solve_batch(layered, [Request(Regimen(COURSE), layered.parameters)], [20.0])
    cells = batch.viable[0, 0] * layered.parameters.value("carrying_capacity")
    assert cells == pytest.approx(float(hypoxic["tumour_burden"][-1]), rel=2e-3)


def test_executors_that_do_not_know_it_refuse(layered):
    regimen = Regimen(COURSE)
    with pytest.raises(InvalidInput, match="tensor executor knows no hypoxia image"):
        TorchSolver(device="cpu").solve(layered, regimen, [1.0])
    with pytest.raises(InvalidInput, match="gradient knows no hypoxia image"):
        DifferentiableRun(layered, regimen, [1.0])
    with pytest.raises(InvalidInput, match="varies by a hypoxia image"):
        SurrogateSolver.train(layered, regimen)
    DifferentiableRun(layered, Regimen(), [1.0])  # nothing that it would matter for


def test_oxygen_is_not_counted_twice(layered, tmp_path):
    with pytest.raises(InvalidInput, match="count the lack of oxygen twice"):
        layered.replace(model=ModelChoice(oxygen=True))
    line = 'hypoxia = { faza = { file = "fmiso.nii.gz" } }'
    path = patient_with(tmp_path, flat, line)
    path.write_text(path.read_text() + "\n[model]\noxygen = true\n")
    with pytest.raises(InvalidInput, match=r"patient\.toml: the model has hypoxic cells"):
        read_anatomy(path)


def test_kept_hashed_and_said(layered, patient, tmp_path):
    assert layered.content_hash != patient.content_hash
    assert "FMISO-PET of day 0" in layered.describe()
    grades = evidence_of(Scenario("a", Regimen(COURSE)), layered)
    assert grades["hypoxia_ratio_anoxic"] == "D"
    assert "hypoxia_ratio_anoxic" not in evidence_of(Scenario("a", Regimen(COURSE)), patient)
    assert "hypoxia_ratio_anoxic" not in evidence_of(Scenario("a", Regimen()), layered)
    study = Study({"a": Regimen(COURSE)}, days=20.0)
    assert "hypoxia_half_pressure" in study.run(layered, FakeSolver()).attrs["evidence"]


def test_survives_building_and_is_in_the_plan(tmp_path):
    line = 'hypoxia = { fmiso = { file = "fmiso.nii.gz" } }'
    path = patient_with(tmp_path / "in", flat, line)
    built = twin.build(path, tmp_path / "built")
    again = twin.load(tmp_path / "built")
    assert again.content_hash == built.content_hash
    np.testing.assert_array_equal(again.hypoxia.ratio, built.hypoxia.ratio)
    for place in (tmp_path / "in", tmp_path / "built"):
        text = " ".join(str(planned(read_anatomy(place), RT)).split())
        # the middle of 1.7 and 1 lies in the tumour nowhere: all of it counts once
        assert "By FMISO-PET a dose counts 1.00 to 1.00 times in the tumour" in text


@pytest.mark.parametrize(
    ("line", "ratio", "says"),
    [
        ("hypoxia = {}", flat, "one tracer, fmiso or faza"),
        (
            'hypoxia = { fmiso = { file = "fmiso.nii.gz" } }',
            lambda x, y, z: 5000.0 * flat(x, y, z),
            r"5e\+03 times blood .* state the uptake of blood",
        ),
        (
            'hypoxia = { fmiso = { file = "fmiso.nii.gz" } }',
            lambda x, y, z: np.where(x > 6.0, 0.0, 1.0),
            r"no uptake in \d+\.\d % of the tumour",
        ),
        (
            'hypoxia = { fmiso = { file = "fmiso.nii.gz" } }',
            lambda x, y, z: np.where(x > 20.0, -1.0, 1.0),
            "negative or not finite",
        ),
        ('hypoxia = { fmiso = { file = "fmiso.nii.gz", blood = 0.0 } }', flat, "blood"),
        ('hypoxia = { fmiso = { file = "none.nii.gz" } }', flat, "none.nii.gz does not exist"),
    ],
)
def test_bad_images_are_one_sentence(tmp_path, line, ratio, says):
    with pytest.raises(InvalidInput, match=says) as caught:
        read_anatomy(patient_with(tmp_path, ratio, line))
    assert "\n" not in str(caught.value)


def test_tumour_control_knows_neither_hypoxia_nor_replanning(layered, patient):
    from dataclasses import replace as changed

    from scenarios.tumour_control import BY_OXYGEN, REDRAWN_TARGET, control_of
    from twin.parameters import Parameter, ParameterSet
    from twin.replan import Replan

    clonogens = Parameter(
        "clonogen_density", 1e4, "cells/mm3", 0.0, 1e9, None, "assumed: a test", evidence="D"
    )
    entries = {name: patient.parameters[name] for name in patient.parameters}
    known = ParameterSet("control", {**entries, "clonogen_density": clonogens})
    without_growth = {"model": ModelChoice(growth="none"), "parameters": known}
    again = Regimen(changed(COURSE, replans=(Replan(after_fraction=5),)))
    assert control_of(patient.replace(**without_growth), again).reason == REDRAWN_TARGET
    assert control_of(layered.replace(**without_growth), Regimen(COURSE)).reason == BY_OXYGEN
