"""Drugs that do not reach all of the tumour alike: past a barrier, and with perfusion."""

import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from drug_cases import BASE, LOMUSTINE, RT, SENSITISING
from plan_cases import RT as SIXTY
from small_patient import PATIENT_TOML, write_small_patient

import twin
from scenarios.changes import apply_changes
from scenarios.evidence import evidence_of
from scenarios.planning import plan_study
from scenarios.study import Scenario, Study
from scenarios.study_file import read_study
from solvers import DifferentiableRun, FiniteElementSolver
from solvers.batch import Request, solve_batch
from solvers.prepared import prepare
from solvers.torch_executor import TorchSolver
from solvers.treatment import Treatment
from twin.anatomy import read_anatomy
from twin.built_folder import read_built, write_built
from twin.courses import Drug
from twin.drug_delivery import relative_perfusion
from twin.drugs import read_drug
from twin.errors import InvalidInput
from twin.protocol import State
from twin.regimen import Regimen

CENTRE = np.array([6.0, 2.0, 4.0])
DOXORUBICIN = Drug(
    name="doxorubicin",
    schedule="60 mg/m2 every 21 days, 1 cycle",
    start_day=1.37,
    delivery="barrier",
)
PAST = 1.08 * 60.0 / 30.0  # kappa times the area under the plasma curve
PACLITAXEL = Drug(name="paclitaxel", schedule="175 mg/m2 every 21 days, 1 cycle", start_day=1.37)


def perfused(name, schedule):
    return Drug(name=name, schedule=schedule, start_day=1.37, delivery="perfusion")


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TWIN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield twin.load(write_small_patient(tmp_path_factory.mktemp("patient")))


def along_x(grid, slope):
    """1 in the tumour's centre and `slope` more a millimetre to the right."""
    voxels = np.moveaxis(np.indices(grid.shape), 0, -1)
    x = (voxels @ grid.affine[:3, :3].T + grid.affine[:3, 3])[..., 0]
    return np.maximum(1.0 + slope * (x - CENTRE[0]), 0.0).astype(np.float32)


@pytest.fixture(scope="module")
def dilute(patient):
    """Hardly any growth or spread, with perfusion that rises along x."""
    quiet = patient.parameters.replace(
        proliferation_rate=0.0027, diffusivity_white=0.005, diffusivity_grey=0.005
    )
    return patient.replace(parameters=quiet, perfusion=along_x(patient.grid, 0.03))


def log_survival(one, regimen, day=20.0):
    nodes = len(one.mesh.points)
    zero = np.zeros(nodes)
    start = State(0.0, {"viable": np.full(nodes, 1e-6), "dead": zero, "necrosis": zero})
    found = FiniteElementSolver(step_day=1.0).state(one, regimen, day, start=start)
    with np.errstate(divide="ignore"):
        return np.log(found.species["viable"] / 1e-6) - 0.0027 * day


def test_a_barrier_holds_back_what_is_outside_of_enhancing_tumour(dilute):
    """-ln S is kappa r AUC with r 0.1 inside (radius 6 mm) and 0.01 well outside."""
    found = log_survival(dilute, Regimen(DOXORUBICIN))
    far = np.linalg.norm(dilute.mesh.points - CENTRE, axis=1)
    from_middle = np.linalg.norm(dilute.mesh.points, axis=1)
    outside = (far > 9.0) & (from_middle < 12.0)  # in white matter
    assert outside.sum() > 10
    np.testing.assert_allclose(found[far < 3.5], -PAST * 0.1, atol=5e-3)  # a little spreads
    np.testing.assert_allclose(found[outside], -PAST * 0.01, atol=5e-3)


def test_a_saturating_drug_past_a_barrier(dilute):
    """Each place as if the drug reached all with the ratio there."""
    barrier = Drug(
        name="paclitaxel", schedule=PACLITAXEL.schedule, start_day=1.37, delivery="barrier"
    )
    found = log_survival(dilute, Regimen(barrier))
    far = np.linalg.norm(dilute.mesh.points - CENTRE, axis=1)
    outside = (far > 9.0) & (np.linalg.norm(dilute.mesh.points, axis=1) < 12.0)
    for nodes, ratio in ((far < 3.5, 0.1), (outside, 0.01)):
        entry = load_entry("paclitaxel_tumour_to_plasma", ratio)
        everywhere = log_survival(with_entry(dilute, entry), Regimen(PACLITAXEL))
        np.testing.assert_allclose(found[nodes], everywhere[nodes], atol=5e-3)
        assert (everywhere[nodes] < -0.005).all()


def load_entry(name, value):
    from twin.drugs import with_drug_parameters

    return with_drug_parameters(BASE, [name]).replace(**{name: value})[name]


def with_entry(one, entry):
    entries = {**dict(one.parameters), entry.name: entry}
    return one.replace(parameters=type(one.parameters)(one.parameters.name, entries))


def test_kill_by_exposure_goes_with_perfusion(dilute):
    """-ln S at a node is kappa r AUC times the perfusion there."""
    course = perfused("doxorubicin", DOXORUBICIN.schedule)
    found = log_survival(dilute, Regimen(course))
    x, far = dilute.mesh.points[:, 0], np.linalg.norm(dilute.mesh.points - CENTRE, axis=1)
    inner = far < 8.0
    expected = -PAST * 0.1 * (1.0 + 0.03 * (x - CENTRE[0]))
    np.testing.assert_allclose(found[inner], expected[inner], atol=2e-3)
    assert np.ptp(expected[inner]) > 0.05


def test_a_saturating_drug_with_perfusion(dilute):
    """At nodes of the same perfusion as if the drug reached all with that concentration."""
    found = log_survival(dilute, Regimen(perfused("paclitaxel", PACLITAXEL.schedule)))
    flow = 1.0 + 0.03 * (dilute.mesh.points[:, 0] - CENTRE[0])
    inner = np.linalg.norm(dilute.mesh.points - CENTRE, axis=1) < 8.0
    for level in (0.85, 1.0, 1.15):
        nodes = inner & (np.abs(flow - level) < 0.01)
        assert nodes.any()
        one = with_entry(dilute, load_entry("paclitaxel_tumour_to_plasma", 0.1 * level))
        everywhere = log_survival(one, Regimen(PACLITAXEL))
        np.testing.assert_allclose(found[nodes], everywhere[nodes], atol=4e-3)


def test_even_perfusion_is_the_uniform_drug(dilute):
    even = dilute.replace(perfusion=np.ones(dilute.grid.shape, np.float32))
    for name, text in (("doxorubicin", DOXORUBICIN.schedule), ("paclitaxel", PACLITAXEL.schedule)):
        plain = Drug(name=name, schedule=text, start_day=1.37)
        found = log_survival(even, Regimen(perfused(name, text)))
        expected = log_survival(even, Regimen(plain))
        lives = np.isfinite(expected)
        np.testing.assert_allclose(found[lives], expected[lives], atol=1e-12)


def test_drugs_of_several_deliveries_add(dilute):
    doxorubicin = perfused("doxorubicin", DOXORUBICIN.schedule)
    lomustine = replace(LOMUSTINE, start_day=2.0)
    treatments = [
        Treatment(prepare(dilute), Regimen(*courses), dilute.parameters)
        for courses in ((doxorubicin, lomustine), (doxorubicin,), (lomustine,))
    ]
    both, one, other = (each.kills(2.0, 3.0) for each in treatments)
    nodes = len(dilute.mesh.points)
    assert both.shape == one.shape == (2, 4, nodes)
    np.testing.assert_allclose(both, one + other[..., None], rtol=1e-12, atol=1e-15)
    assert treatments[0].kills(0.0, 1.0).shape == (2, 1)  # before any drug


# --- the image -------------------------------------------------------------------------------


def test_relative_perfusion():
    image = np.array([4.0, 2.0, 0.0, 20.0])
    parts = {
        "enhancing": np.array([True, False, False, False]),
        "flair": np.array([False, True, False, False]),
    }
    # over the mean of 3: 4/3, 2/3, 0, 6.7, capped to 0.25 and 4; the mean in the tumour stays 1
    found = relative_perfusion(image, parts, normal=None, lowest=0.25, highest=4.0)
    np.testing.assert_allclose(found, [4 / 3, 2 / 3, 0.25, 4.0], rtol=1e-6)
    # capped at 1.2 the tumour's mean is (1.2 + 2/3)/2, which is then 1
    low = relative_perfusion(image, parts, normal=None, lowest=0.25, highest=1.2)
    np.testing.assert_allclose(low[:2], np.array([1.2, 2 / 3]) / ((1.2 + 2 / 3) / 2), rtol=1e-6)
    stated = relative_perfusion(image, parts, normal=2.0, lowest=0.25, highest=4.0)
    np.testing.assert_allclose(stated, [2.0, 1.0, 0.25, 4.0])
    for bad, says in ((-1.0, "negative"), (np.nan, "no numbers")):
        with pytest.raises(InvalidInput, match=says):
            relative_perfusion(image * bad, parts, normal=None, lowest=0.2, highest=4.0)
    with pytest.raises(InvalidInput, match="0 all over the tumour"):
        relative_perfusion(image * 0.0, parts, normal=None, lowest=0.2, highest=4.0)


@pytest.fixture(scope="module")
def perfused_home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("perfused")
    toml = PATIENT_TOML.replace(
        'labels = "brats"\n', 'labels = "brats"\nperfusion = { file = "rcbv.nii.gz" }\n'
    )
    path = write_small_patient(folder, toml=toml)
    tissues = nib.load(folder / "tissues.nii.gz")
    grid = twin.Grid(tissues.shape, tissues.affine)
    nib.save(nib.Nifti1Image(50.0 * along_x(grid, 0.03), tissues.affine), folder / "rcbv.nii.gz")
    return path


def test_a_patient_file_with_a_perfusion_image(perfused_home):
    """The reference is the tumour's mean: about its centre, 50, and so the slope is as it was."""
    found = read_anatomy(perfused_home)
    parts = found.structures["enhancing"].mask | found.structures["flair"].mask
    assert found.perfusion[parts].mean() == pytest.approx(1.0, abs=1e-6)
    expected = along_x(found.grid, 0.03)
    np.testing.assert_allclose(found.perfusion[parts], expected[parts], atol=0.03)
    Study({"arm": Regimen(perfused("doxorubicin", DOXORUBICIN.schedule))}).check(found)


def test_a_built_patient_keeps_it(dilute, tmp_path):
    write_built(dilute, tmp_path / "built")
    again = read_built(tmp_path / "built")
    np.testing.assert_array_equal(again.perfusion, dilute.perfusion)
    assert again.content_hash == dilute.content_hash
    assert dilute.replace(perfusion=None).content_hash != dilute.content_hash


# --- files, plans, evidence, refusals ----------------------------------------------------------


def test_studies_and_changes_state_the_delivery(tmp_path):
    study = tmp_path / "study.toml"
    text = (
        'format = 1\npatient = "patient.toml"\n[[scenario]]\nname = "arm"\n[[scenario.drug]]\n'
        'name = "doxorubicin"\nschedule = "60 mg/m2 every 21 days, 1 cycle"\nstart = "1 day"\n'
    )
    study.write_text(text + 'delivery = "barrier"\n', encoding="utf-8")
    (drug,) = read_study(study).study.scenarios[0].regimen.drugs
    assert drug.delivery == "barrier"
    study.write_text(text + 'delivery = "bariere"\n', encoding="utf-8")
    with pytest.raises(InvalidInput, match=r"delivery.*'uniform', 'barrier' or 'perfusion'"):
        read_study(study)
    changed, _, said = apply_changes(Regimen(drug), BASE, ["doxorubicin.delivery=uniform"])
    assert changed.drugs[0].delivery == "uniform"
    assert said == ["Doxorubicin: delivery is uniform instead of barrier."]
    assert Regimen(drug).differences(changed) == ["doxorubicin delivery"]
    with pytest.raises(InvalidInput, match="The delivery of doxorubicin is 'odd'"):
        apply_changes(Regimen(drug), BASE, ["doxorubicin.delivery=odd"])


def test_runs_are_known_by_the_delivery_and_others_as_before():
    (entry,) = Regimen(PACLITAXEL).as_dict()
    assert "delivery" not in entry
    (other,) = Regimen(DOXORUBICIN).as_dict()
    assert other["delivery"] == "barrier"
    for regimen in (Regimen(PACLITAXEL), Regimen(DOXORUBICIN)):
        assert Regimen.from_dict(regimen.as_dict()) == regimen


def test_the_plan_says_how_a_drug_reaches_the_tumour(perfused_home):
    plain = Drug(name="doxorubicin", schedule=DOXORUBICIN.schedule, start_day=1.0)
    arms = {
        "even": Regimen(SIXTY, plain),
        "barrier": Regimen(SIXTY, DOXORUBICIN),
        "flow": Regimen(SIXTY, perfused("lomustine", LOMUSTINE.schedule)),
    }
    plan = plan_study(Study(arms), read_anatomy(perfused_home))
    text = " ".join(str(plan).split())
    assert "1 cycle, from Tue 31 Mar 2026; held back by the barrier outside of enhancing" in text
    assert "delivered in proportion to perfusion." in text
    assert text.count("Doxorubicin is taken to reach infiltrated brain as it reaches") == 1


def test_arms_say_what_their_delivery_rests_on(dilute):
    def names(course):
        return set(evidence_of(Scenario("arm", Regimen(course)), dilute))

    uniform = Drug(name="doxorubicin", schedule=DOXORUBICIN.schedule, start_day=1.0)
    assert names(DOXORUBICIN) - names(uniform) == {"doxorubicin_brain_to_plasma"}
    flow = perfused("doxorubicin", DOXORUBICIN.schedule)
    assert names(flow) - names(uniform) == {"delivery_by_perfusion"}


def test_what_has_no_numbers_is_refused(patient, monkeypatch):
    def checked(course):
        Study({"arm": Regimen(course)}).check(patient)

    with pytest.raises(
        InvalidInput, match="Scenario 'arm': Lomustine has delivery = \"perfusion\""
    ):
        checked(perfused("lomustine", LOMUSTINE.schedule))
    barrier = Drug(name="lomustine", schedule=LOMUSTINE.schedule, start_day=1.0, delivery="barrier")
    with pytest.raises(InvalidInput, match="its file states no brain_to_plasma; add it"):
        checked(barrier)
    written = Drug(
        name="temozolomide",
        schedule="150 mg/m2 days 1-5 of 28, 1 cycle",
        start_day=1.0,
        delivery="barrier",
    )
    with pytest.raises(InvalidInput, match="its kill is by the plasma and holds the barrier"):
        checked(written)
    testine = read_drug("testine", SENSITISING)
    for module in ("twin.drug_course", "twin.drug_delivery", "scenarios.study"):
        monkeypatch.setattr(f"{module}.load_drug", lambda name: testine)
    seen = patient.replace(perfusion=np.ones(patient.grid.shape, np.float32))
    course = perfused("testine", "36 mg/m2 every 21 days, 1 cycle")
    with pytest.raises(InvalidInput, match="Testine makes radiation kill more"):
        Study({"arm": Regimen(course)}).check(seen)


def test_a_perfusion_image_of_another_shape_is_refused(patient):
    with pytest.raises(twin.GeometryMismatch, match="perfusion image has shape"):
        patient.replace(perfusion=np.ones((3, 3, 3), np.float32))


def test_other_executors_refuse_it(dilute):
    regimen, times = Regimen(DOXORUBICIN), np.array([5.0])
    with pytest.raises(InvalidInput, match=r"tensor executor knows no delivery.*doxorubicin"):
        TorchSolver(device="cpu").solve(dilute, regimen, times)
    with pytest.raises(InvalidInput, match=r"batch knows no delivery of a drug by places"):
        solve_batch(dilute, [Request(regimen, dilute.parameters)], times)
    written = Drug(
        name="temozolomide", schedule="75 mg/m2 daily during radiotherapy", delivery="perfusion"
    )
    with pytest.raises(InvalidInput, match="gradient knows no delivery"):
        DifferentiableRun(dilute, Regimen(RT, written), times=[5.0])


def test_a_run_keeps_the_delivery_in_its_record(dilute):
    found = FiniteElementSolver().solve(dilute, Regimen(DOXORUBICIN), [1.0])
    assert json.loads(found.attrs["regimen"])[0]["delivery"] == "barrier"
