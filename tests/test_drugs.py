"""Drugs in runs: kinetics, effects, several at once, and who refuses them."""

from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.integrate
import scipy.interpolate
from drug_cases import BASE, COURSES, LOMUSTINE, RT, SENSITISING, SURFACE, WITH_GFR, effects
from small_patient import write_small_patient

import twin
from scenarios.study import Study
from scenarios.surrogate_study import reference_scenario
from solvers import DifferentiableRun, FiniteElementSolver
from solvers.batch import Request, solve_batch
from solvers.drug_effects import EmaxKill, doses_of_patient
from solvers.halved_steps import with_halved_steps
from solvers.prepared import prepare
from solvers.torch_executor import TorchSolver
from solvers.training_domain import TrainingDomain, default_ranges
from solvers.treatment import Treatment
from twin.courses import Drug, Radiotherapy, Temozolomide
from twin.drugs import load_drug, read_drug
from twin.errors import InvalidInput
from twin.events import DrugDose
from twin.parameters import ParameterSet
from twin.protocol import State
from twin.regimen import Regimen


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TWIN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield twin.load(write_small_patient(tmp_path_factory.mktemp("patient"), toml=WITH_GFR))


@pytest.fixture(scope="module")
def dilute(patient):
    """Hardly any growth or spread: what changes is what is killed."""
    return patient.replace(
        parameters=patient.parameters.replace(
            proliferation_rate=0.0027, diffusivity_white=0.005, diffusivity_grey=0.005, alpha=0.3
        )
    )


def log_survival(one, regimen, day, solver=None):
    """Log-survival in the middle of the tumour, without growth, over the nodes there."""
    nodes = len(one.mesh.points)
    nothing = np.zeros(nodes)
    start = State(
        day=0.0, species={"viable": np.full(nodes, 1e-6), "dead": nothing, "necrosis": nothing}
    )
    solver = FiniteElementSolver(step_day=1.0) if solver is None else solver
    found = solver.state(one, regimen, day, start=start)
    assert found.day == day
    middle = np.linalg.norm(one.mesh.points - [6.0, 2.0, 4.0], axis=1) < 4.0
    return np.log(found.species["viable"][middle] / 1e-6) - 0.0027 * day


# --- kinetics and effects -------------------------------------------------------------------


def test_log_kill_is_kappa_times_the_area_in_the_tumour():
    """Infusions of 600 mg/m2: kappa * r * dose / clearance each, 3 L/h/m2, r 0.2."""
    doses = [DrugDose(day, "cyclophosphamide", 600.0) for day in (2.0, 23.0)]
    (effect,) = effects(doses)
    kill = effect.mean_kill(np.array([0.0, 20.0, 60.0])) * [20.0, 40.0]
    np.testing.assert_allclose(kill, 5.4e-3 * 0.2 * 600.0 / 3.0, rtol=1e-9)


def test_oral_doses_by_hand():
    """110 mg/m2 of lomustine: 0.51 * 0.5 * 110 / 130, and the Bateman curve between."""
    (effect,) = effects([DrugDose(1.0, "lomustine", 110.0)])
    assert effect.mean_kill(np.array([0.0, 30.0]))[0] * 30.0 == pytest.approx(
        0.51 * 0.5 * 110 / 130
    )
    k, ka = np.log(2.0) / 1.6, 2.0
    size = 110.0 * ka * k / 130.0 / (ka - k)  # F dose ka / (V (ka - k)), V = CL / k, by m2

    def concentration(hours):
        return size * (np.exp(-k * hours) - np.exp(-ka * hours))

    area, _ = scipy.integrate.quad(concentration, 0.5, 3.0)
    times = 1.0 + np.array([0.5, 3.0]) / 24.0
    found = effect.mean_kill(times)[0] * np.diff(times)[0]
    assert found == pytest.approx(0.51 * 0.5 * area, rel=1e-9)


def compartments(dose_mg, infusion_h, clearance, volume, half_lives, hours):
    """Concentration in plasma [mg/L] and its area, by integrating both compartments."""
    fast, slow = np.log(2.0) / np.array(half_lives)
    k10 = clearance / volume
    k21 = fast * slow / k10
    k12 = fast + slow - k10 - k21

    def solved(given, start, begin, end):
        def slope(_, y):
            return [given - (k10 + k12) * y[0] + k21 * y[1], k12 * y[0] - k21 * y[1], y[0]]

        options = {"dense_output": True, "rtol": 1e-11, "atol": 1e-13, "method": "LSODA"}
        return scipy.integrate.solve_ivp(slope, (begin, end), start, **options).sol

    if not infusion_h:
        plasma, _, area = solved(0.0, [dose_mg / volume, 0.0, 0.0], 0.0, hours[-1])(hours)
        return plasma, area
    during = solved(dose_mg / infusion_h / volume, [0.0, 0.0, 0.0], 0.0, infusion_h)
    after = solved(0.0, during(infusion_h), infusion_h, hours[-1])
    plasma, _, area = np.where(hours <= infusion_h, during(hours), after(hours))
    return plasma, area


def test_two_compartments_against_an_integrator():
    """60 mg/m2 of doxorubicin as a bolus."""
    hours = np.array([0.0, 0.05, 0.3, 2.0, 24.0, 100.0])
    area = compartments(60.0, 0.0, 30.0, 10.0, (0.0833, 30.0), hours)[1]
    (effect,) = effects([DrugDose(2.0, "doxorubicin", 60.0)])
    found = effect.mean_kill(2.0 + hours / 24.0) * np.diff(hours / 24.0)
    np.testing.assert_allclose(found, 1.08 * 0.1 * np.diff(area), rtol=1e-6)
    assert effect.mean_kill(np.array([0.0, 90.0]))[0] * 90.0 == pytest.approx(1.08 * 0.1 * 2.0)


def test_a_saturating_effect_against_quadrature():
    """175 mg/m2 of paclitaxel over 3 h, twice."""
    doses = [DrugDose(day, "paclitaxel", 175.0) for day in (1.0, 8.0)]
    (effect,) = effects(doses)
    assert isinstance(effect, EmaxKill)
    fine = np.linspace(0.0, 600.0, 60001)
    one = compartments(175.0, 3.0, 12.2, 8.0, (0.34, 20.2), fine)[0]
    during = scipy.interpolate.CubicSpline(fine[fine <= 3.0], one[fine <= 3.0])
    after = scipy.interpolate.CubicSpline(fine[fine >= 3.0], one[fine >= 3.0])

    def plasma(hours):
        return 0.0 if hours <= 0.0 else float(during(hours) if hours < 3.0 else after(hours))

    def rate(day):
        c = (0.1 * sum(plasma((day - given) * 24.0) for given in (1.0, 8.0)) / 0.043) ** 2
        return 1.02 * c / (1.0 + c)

    borders = np.array([0.5, 1.0, 1.05, 1.125, 1.3, 3.0, 8.0, 8.01, 8.125, 9.0, 20.0])
    found = effect.mean_kill(borders) * np.diff(borders)
    expected = [scipy.integrate.quad(rate, a, b, limit=200)[0] for a, b in pairwise(borders)]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)
    # the whole is that of its parts, and nothing is left later
    parts = effect.mean_kill(np.linspace(0.0, 60.0, 481)).sum() * 0.125
    assert effect.mean_kill(np.array([0.0, 60.0]))[0] * 60.0 == pytest.approx(parts, rel=1e-10)
    np.testing.assert_allclose(effect.mean_kill(np.array([200.0, 210.0])), 0.0)
    peak = float(effect.kinetics.concentration(doses[:1], 1.125))
    assert peak == pytest.approx(3.65, rel=0.02)  # the label's table


@pytest.mark.parametrize("gfr", [50.0, 90.0])
def test_carboplatin_for_an_exposure(gfr):
    """mg = 5 (GFR + 25), and an area of 5 mg min/mL whatever the filtration rate is."""
    some = SimpleNamespace(body_surface_m2=SURFACE, gfr_ml_min=gfr)
    dose = DrugDose(0.0, "carboplatin", float("nan"), auc=5.0)
    (given,) = doses_of_patient([dose], some)
    assert given.mg_m2 * SURFACE == pytest.approx(5.0 * (gfr + 25.0))
    (effect,) = effects([dose], gfr=gfr)
    assert effect.mean_kill(np.array([0.0, 30.0]))[0] * 30.0 == pytest.approx(
        8.6e-3 * 0.3 * 5000.0 / 60.0
    )
    with pytest.raises(InvalidInput, match='no filtration rate; add gfr = "90 mL/min" to'):
        effects([dose])


def test_a_volume_that_does_not_go_with_the_half_lives_is_refused():
    one = load_drug("doxorubicin")
    own = {**dict(BASE), "doxorubicin_volume": one.parameters["doxorubicin_volume"]}
    entry = replace(own["doxorubicin_volume"], value=3.0)
    small = ParameterSet("test", {**own, "doxorubicin_volume": entry})
    with pytest.raises(InvalidInput, match="must lie between the rates of its half-lives"):
        effects([DrugDose(0.0, "doxorubicin", 60.0)], parameters=small)


# --- runs -----------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", [None, TorchSolver(device="cpu", step_day=1.0)])
def test_drugs_add_in_a_run(dilute, solver):
    """-ln S of two drugs and six fractions is the sum of all three."""
    first = Drug(name="doxorubicin", schedule="60 mg/m2 every 21 days, 1 cycle", start_day=1.37)
    other = Drug(
        name="cyclophosphamide", schedule="600 mg/m2 every 21 days, 1 cycle", start_day=1.37
    )
    found = log_survival(dilute, Regimen(first, other), 20.0, solver)
    np.testing.assert_allclose(found, -(1.08 * 0.1 * 2.0 + 5.4e-3 * 0.2 * 200.0), atol=1e-3)
    radiation = log_survival(dilute, Regimen(RT), 20.0, solver)
    together = log_survival(dilute, Regimen(RT, first, other), 20.0, solver)
    np.testing.assert_allclose(together, radiation + found, atol=2e-3)


def test_rates_of_several_drugs_are_summed(patient):
    courses = [Drug(name=name, schedule=text, start_day=3.0) for name, text in COURSES.items()]
    regimen = Regimen(RT, Temozolomide(), *courses)
    prepared = prepare(patient)
    times = np.linspace(0.0, 60.0, 100)
    whole = Treatment(prepared, regimen, patient.parameters).mean_kill(times)
    each = [
        Treatment(prepared, Regimen(RT, course), patient.parameters).mean_kill(times)
        for course in (Temozolomide(), *courses)
    ]
    np.testing.assert_allclose(whole, np.sum(each, axis=0), rtol=1e-12)
    assert all(one.max() > 0.0 for one in each)


@pytest.mark.parametrize("name", COURSES)
def test_the_error_in_time_is_small(patient, name):
    """Halved steps move no volume by a thousandth."""
    regimen = Regimen(Drug(name=name, schedule=COURSES[name], start_day=20.37))
    times = np.arange(0.0, 91.0)
    whole, halved = (
        solver.solve(patient, regimen, times)["tumour_volume_soft"].values
        for solver in (FiniteElementSolver(), with_halved_steps(FiniteElementSolver()))
    )
    large = halved > 300.0  # mm3
    assert large.sum() > 150
    assert (np.abs(whole / halved - 1.0)[large]).max() < 1e-3


def test_the_batch_gives_the_same(patient):
    regimen = Regimen(RT, LOMUSTINE, Temozolomide())
    times = np.arange(0.0, 61.0, 5.0)
    alone = FiniteElementSolver().solve(patient, regimen, times)["tumour_volume_soft"].values
    batch = solve_batch(patient, [Request(regimen, patient.parameters)], times).soft[0]
    np.testing.assert_allclose(batch, alone, rtol=3e-4, atol=0.5)


def test_a_run_goes_on_from_where_it_stopped(patient):
    regimen = Regimen(
        LOMUSTINE, Drug(name="paclitaxel", schedule=COURSES["paclitaxel"], start_day=5.3)
    )
    solver = FiniteElementSolver()
    whole = solver.state(patient, regimen, 42.0)
    half = solver.state(patient, regimen, 28.0)
    again = solver.state(patient, regimen, 42.0, start=half)
    assert whole.day == again.day
    for name in whole.species:
        np.testing.assert_array_equal(whole.species[name], again.species[name])


@pytest.mark.parametrize("solver", [None, TorchSolver(device="cpu", step_day=1.0)])
def test_a_sensitiser_raises_alpha_while_it_is_there(dilute, solver, monkeypatch):
    """Alpha half as large again at one fraction of two; beta stays, and what the drug kills."""
    testine = read_drug("testine", SENSITISING)
    for module in ("twin.drug_course", "solvers.drug_effects"):
        monkeypatch.setattr(f"{module}.load_drug", lambda name: testine)
    course = Radiotherapy(total_dose_gy=4.0, fractions=2, start_day=0.375)
    # 36 mg/m2 an hour before the first fraction: in the tumour 0.5 * 64.8 / V * 2^(-1/2), V 28.9 L
    drug = Drug(
        name="testine", schedule="36 mg/m2 every 21 days, 1 cycle", start_day=0.375 - 1.0 / 24.0
    )
    volume = 10.0 * 2.0 / np.log(2.0)
    assert 0.5 * 64.8 / volume * 2.0**-0.5 < 1.0  # below the level: nothing is gained
    alone = log_survival(dilute, Regimen(course), 3.0, solver)
    weak = log_survival(dilute, Regimen(course, drug), 3.0, solver)
    kill = 0.01 * 0.5 * 64.8 / 10.0
    np.testing.assert_allclose(weak, alone - kill, atol=1e-3)
    strong = replace(drug, schedule="72 mg/m2 every 21 days, 1 cycle")
    found = log_survival(dilute, Regimen(course, strong), 3.0, solver)
    middle = np.linalg.norm(dilute.mesh.points - [6.0, 2.0, 4.0], axis=1) < 4.0
    dose = FiniteElementSolver().solve(dilute, Regimen(course), [0.0]).dose.values[middle] / 2.0
    np.testing.assert_allclose(found, alone - 2.0 * kill - 0.3 * 0.5 * dose, atol=2e-3)
    with pytest.raises(InvalidInput, match=r"knows no drug but temozolomide.*testine"):
        DifferentiableRun(dilute, Regimen(course, strong), times=[5.0])


def test_gradients_refuse_other_drugs(patient):
    with pytest.raises(InvalidInput, match=r"gradient knows no drug but temozolomide.*lomustine"):
        DifferentiableRun(patient, Regimen(RT, LOMUSTINE), times=[40.0])
    with pytest.raises(InvalidInput, match="tensor executor knows no drug but temozolomide"):
        TorchSolver(device="cpu").volumes(patient, Regimen(LOMUSTINE), [40.0])
    written = Drug(name="temozolomide", schedule="75 mg/m2 daily during radiotherapy")
    DifferentiableRun(patient, Regimen(RT, written), times=[5.0])  # its kinetics are known


def test_a_surrogate_hands_other_drugs_over(patient):
    standard = Radiotherapy(total_dose_gy=60.0, fractions=30, start_day=28.0)
    parameters = patient.parameters
    domain = TrainingDomain(
        default_ranges(parameters), Regimen(standard, Temozolomide()), parameters, 540.0
    )
    assert not domain.refusals(Regimen(standard, Temozolomide()), parameters)
    assert domain.refusals(Regimen(standard, LOMUSTINE), parameters) == [
        "no lomustine by a schedule of its own was trained"
    ]
    with pytest.raises(InvalidInput, match=r"has no drug by its schedule \(lomustine\)"):
        TrainingDomain(default_ranges(parameters), Regimen(standard, LOMUSTINE), parameters, 540.0)
    study = Study({"drug": Regimen(standard, LOMUSTINE), "plain": Regimen(standard)})
    assert reference_scenario(study).name == "plain"


def test_a_larger_person_gets_more(dilute):
    """By mg/m2 the area, and with it the log-kill, is in proportion to the body surface."""
    course = Regimen(RT, Temozolomide(cycles=0))
    logs = {
        surface: log_survival(dilute.replace(body_surface_m2=surface), course, 60.0)
        - log_survival(dilute.replace(body_surface_m2=surface), Regimen(RT), 60.0)
        for surface in (1.8, 1.2, 2.4)
    }
    np.testing.assert_allclose(logs[1.2] / logs[1.8], 1.2 / 1.8, rtol=5e-3)
    np.testing.assert_allclose(logs[2.4] / logs[1.8], 2.4 / 1.8, rtol=5e-3)
