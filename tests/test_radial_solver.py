"""Round tumours on shells: closed forms, an independent integrator, the finite-element solver."""

import datetime as dt
import math
from dataclasses import replace

import numpy as np
import pytest
from radial_reference import Round, curves

from solvers import FiniteElementSolver
from solvers.closed_forms.growth import logistic_with_impulses
from solvers.initial_state import settled_front
from solvers.legendre import legendre_coefficients
from solvers.radial import RoundTumour, _kills, round_dose, solve_round
from solvers.radial_kernels import march_shells
from solvers.volumes import softened_table
from twin.calendar import Calendar
from twin.courses import Drug, Radiotherapy, Resection, Temozolomide
from twin.errors import InvalidInput
from twin.parameters import load_parameter_set
from twin.patient import Grid, Structure, Twin
from twin.regimen import Regimen
from twin.response import time_to_progression

MONDAY = Calendar(dt.date(2024, 1, 1))
BASE = load_parameter_set("glioblastoma")
RT = Radiotherapy(total_dose_gy=60.0, fractions=30, start_day=7.0)
#: First positive root of tan x = x: the first radial mode of a ball with no flux through it.
FIRST_ROOT = 4.493409457909064


def marched(viable, *, head, diffusivity, rate, clearance, days, survival=None, kind=None):
    """The kernel on `viable`, shells of equal thickness, steps of a day; viable and dead after."""
    count = len(viable)
    edge = np.linspace(0.0, head, count + 1)
    volume = 4.0 / 3.0 * np.pi * np.diff(edge**3)
    flow = diffusivity * 4.0 * np.pi * edge[1:-1] ** 2 / (head / count)
    dead = np.zeros(count)
    taken, wrong = march_shells(
        np.arange(days + 1.0), np.zeros((days, 2)),
        np.full(days, -1) if kind is None else kind,
        np.ones((1, count)) if survival is None else survival,
        flow, volume, legendre_coefficients(24), softened_table([0.8, 0.16], 0.05),
        rate, clearance, viable, dead, np.empty((days + 1, 2)), 0.0, 1.4, 500.0, np.inf, False,
    )  # fmt: skip
    assert (taken, wrong) == (days, 0)
    return viable, dead


def test_a_mode_of_the_ball_decays_at_its_rate():
    radius, diffusivity, days, shells = 10.0, 0.4, 25, 100
    number = FIRST_ROOT / radius
    centre = (np.arange(shells) + 0.5) * radius / shells
    shape = np.sinc(number * centre / np.pi)
    viable, _ = marched(
        0.3 + 0.1 * shape, head=radius, diffusivity=diffusivity, rate=0.0, clearance=0.01, days=days
    )
    left = math.exp(-diffusivity * number**2 * days)
    np.testing.assert_allclose(viable, 0.3 + 0.1 * left * shape, atol=4e-5)


def test_flat_density_is_the_logistic_with_impulses():
    kind = np.full(30, -1)
    kind[[9, 19]] = 0
    clearance = 50.0  # the dead are gone at once, as in the closed form
    viable, _ = marched(
        np.full(40, 0.2), head=8.0, diffusivity=0.1, rate=0.05, clearance=clearance, days=30,
        survival=np.full((1, 40), 0.5), kind=kind,
    )  # fmt: skip
    expected = logistic_with_impulses(0.2, 0.05, [10.0, 20.0], 0.5, 30.0)
    np.testing.assert_allclose(viable, expected, rtol=4e-3)


def round_reference(tumour, day, fractions):
    """The same tumour by the tests' own solver: softened volumes, [mm3], shape (threshold, day)."""
    front, place_of = settled_front()
    width = tumour.width_mm
    top = float(place_of(0.80))
    value = tumour.parameters.value
    lower = float(place_of(0.16))

    def initial(r):
        place = top + (r - tumour.outline_mm) / width
        inside = front(np.clip(place, front.x[0], lower))
        return np.where(place > lower, 0.16 * np.exp(-(place - lower)), inside)

    problem = Round(
        initial=initial,
        outer_mm=tumour.head_mm,
        diffusivity=value("diffusivity_white"),
        rate=value("proliferation_rate"),
        clearance=math.log(2.0) / value("dead_clearance_half_life"),
        fractions=fractions,
    )
    return curves(problem, day, shells=1200)[1]


@pytest.mark.parametrize("fractions", [0, 15])
def test_volumes_are_those_of_an_independent_integrator(fractions):
    parameters = BASE.replace(visibility_softness=0.05, proliferation_rate=0.05, alpha=0.06)
    tumour = RoundTumour(outline_mm=9.0, parameters=parameters, head_mm=50.0)
    days = [0.0, 14.0, 40.0, 80.0]
    course = Radiotherapy(
        total_dose_gy=40.05, fractions=15, start_day=7.0, ctv_margin_mm=50.0
    )  # the whole ball, so that the dose is even where the tumour is
    regimen = Regimen(course) if fractions else Regimen()
    surviving = math.exp(-0.06 * 2.67 * (1.0 + 2.67 / 10.0))
    given = [(7.0 + 7 * week + day, surviving) for week in range(3) for day in range(5)]
    found = solve_round(tumour, regimen, MONDAY, horizon_day=80.0)
    expected = round_reference(tumour, days, given if fractions else [])
    ours = np.array([[np.interp(d, found.days, found.soft[:, k]) for d in days] for k in (0, 1)])
    np.testing.assert_allclose(ours, expected, rtol=6e-3, atol=5.0)


def test_more_shells_and_shorter_steps_move_progression_by_less_than_a_tenth_of_a_day():
    tumour = RoundTumour(outline_mm=19.0, parameters=BASE)
    regimen = Regimen(RT, Temozolomide())

    def progression(**options):
        run = solve_round(tumour, regimen, MONDAY, horizon_day=400.0, **options)
        return time_to_progression(run.days, run.soft[:, 0], start_day=7.0)

    assert progression() == pytest.approx(progression(shells=700, step_day=0.25), abs=0.1)


def test_a_run_that_ends_early_is_the_beginning_of_the_whole():
    tumour = RoundTumour(outline_mm=19.0, parameters=BASE)
    whole = solve_round(tumour, Regimen(RT), MONDAY, horizon_day=500.0)
    early = solve_round(tumour, Regimen(RT), MONDAY, horizon_day=500.0, enough_mm3=60e3)
    count = len(early.days)
    assert count < len(whole.days)
    np.testing.assert_array_equal(early.soft, whole.soft[:count])
    assert early.soft[-1, 0] >= 60e3 > 0.0


def test_drugs_end_at_progression_where_a_trial_has_it():
    tumour = RoundTumour(outline_mm=19.0, parameters=BASE.replace(proliferation_rate=0.06))
    regimen = Regimen(RT, Temozolomide())
    runs = [
        solve_round(tumour, regimen, MONDAY, horizon_day=260.0, until_progression=ended)
        for ended in (False, True)
    ]
    to_the_end, until = (run.soft[:, 0] for run in runs)
    day = time_to_progression(runs[0].days, to_the_end, start_day=7.0)
    assert 80.0 < day < 230.0  # in the cycles
    before = runs[0].days < day
    np.testing.assert_array_equal(until[before], to_the_end[before])
    assert until[-1] > 1.05 * to_the_end[-1]


def test_the_drug_s_exposure_is_all_there():
    """Log-kill over the whole course: kappa times the doses over the clearance."""
    tumour = RoundTumour(outline_mm=15.0, parameters=BASE, body_surface_m2=1.7)
    schedule = Regimen(RT, Temozolomide()).schedule(MONDAY)
    ends = np.arange(0.0, 401.0)
    kills = _kills(schedule, tumour, ends)
    mg = 1.7 * (75.0 * 40 + 150.0 * 5 + 200.0 * 25)  # 40 days from first to last fraction
    assert 0.5 * kills.sum() == pytest.approx(1.2e-3 * mg / 10.0, rel=1e-6)


def test_the_dose_is_that_of_a_conformal_plan():
    dose = round_dose(RT, 20.0, 740, 74.0)
    radius = (np.arange(740) + 0.5) * 0.1
    target = radius < 38.0
    weight = radius[target] ** 2
    order = np.argsort(dose[target])
    share = np.cumsum(weight[order]) / weight.sum()
    assert np.interp(0.5, share, dose[target][order]) == pytest.approx(60.0, abs=0.05)
    assert np.interp(0.02, share, dose[target][order]) == pytest.approx(0.955 * 60.0, abs=0.1)
    boosted = replace(RT, boost_target="enhancing", boost_total_dose_gy=75.0)
    inside = round_dose(boosted, 20.0, 740, 74.0)[radius < 15.0]
    np.testing.assert_allclose(inside, 75.0, rtol=0.01)


@pytest.mark.parametrize(
    ("courses", "complaint"),
    [
        ((Resection(day=3.0),), "cannot be resected"),
        ((replace(RT, dose="plan"),), "'plan'"),
        ((replace(RT, fractions_per_day=2),), "one a day"),
        ((replace(RT, boost_target="flair", boost_total_dose_gy=70.0),), "no structure 'flair'"),
    ],
)
def test_what_shells_do_not_know_is_refused(courses, complaint):
    tumour = RoundTumour(outline_mm=15.0, parameters=BASE)
    with pytest.raises(InvalidInput, match=complaint):
        solve_round(tumour, Regimen(*courses), MONDAY, horizon_day=50.0)


def test_a_radiosensitivity_from_cure_rates_and_a_front_too_thin_are_refused():
    cured = BASE.with_entry("alpha", value=0.3, basis="tumour control")
    with pytest.raises(InvalidInput, match="tumour control"):
        solve_round(RoundTumour(outline_mm=15.0, parameters=cured), Regimen(RT), MONDAY,
                    horizon_day=50.0)  # fmt: skip
    thin = RoundTumour(
        outline_mm=15.0,
        parameters=BASE.replace(diffusivity_white=0.005, proliferation_rate=0.19),
        head_mm=200.0,
    )
    with pytest.raises(InvalidInput, match="too thin"):
        solve_round(thin, Regimen(), MONDAY, horizon_day=10.0)
    with pytest.raises(InvalidInput, match="of the head's"):
        RoundTumour(outline_mm=70.0, parameters=BASE)


def test_another_drug_by_its_schedule_runs():
    tumour = RoundTumour(outline_mm=15.0, parameters=BASE)
    drug = Drug(name="lomustine", schedule="110 mg/m2 day 1 of 42, 1 cycles", start_day=7.0)
    with_it = solve_round(tumour, Regimen(drug), MONDAY, horizon_day=40.0).soft[-1]
    assert (with_it < solve_round(tumour, Regimen(), MONDAY, horizon_day=40.0).soft[-1]).all()


def ball_patient(outline, parameters, head):
    """A twin whose tumour is the ball of `RoundTumour`, on the patient's mesher."""
    from twin.meshing import build_mesh, wanted_cell_size
    from twin.patient import MESH_LABELS

    _, place_of = settled_front()
    width = math.sqrt(
        parameters.value("diffusivity_white") / parameters.value("proliferation_rate")
    )
    outer = outline + width * float(place_of(0.16) - place_of(0.80))
    side = int(2 * head + 11)
    affine = np.eye(4)
    affine[:3, 3] = -0.5 * (side - 1)
    where = np.moveaxis(np.indices((side,) * 3), 0, -1) - 0.5 * (side - 1)
    radius = np.linalg.norm(where, axis=-1)
    inside = radius < head
    # An outer layer of grey matter as fast as white, and fluid around it: a twin has all three.
    layers = [radius < head - 3.0, inside, radius < head + 2.5]
    tissues = np.select(layers, [3, 2, 1], 0).astype(np.int8)
    labels = np.where(radius < outline, MESH_LABELS["enhancing"], tissues).astype(np.int16)
    size = wanted_cell_size(
        labels, 1.0, fine_mm=1.8, fine_region=radius < outer + 4.0, coarse_mm=4.0
    )
    names = {number: name for name, number in MESH_LABELS.items()}
    mesh = build_mesh(labels, affine, label_names=names, cell_size_mm=size, smallest_cell_mm=1.8)
    masks = {
        "necrosis": Structure(np.zeros_like(inside), "tumour"),
        "enhancing": Structure(radius < outline, "tumour"),
        "flair": Structure((radius >= outline) & (radius < outer), "tumour"),
        "brain": Structure(inside, "organ", parameter="alpha_beta_brain"),
    }
    return Twin(
        name="ball", mesh=mesh, coarse_mesh=mesh, coarsest_mesh=mesh,
        grid=Grid((side,) * 3, affine), tissues=tissues, image=None, structures=masks,
        parameters=parameters, calendar=MONDAY, body_surface_m2=1.8, delivered=Regimen(),
    )  # fmt: skip


@pytest.mark.slow
def test_a_ball_in_the_finite_element_solver_has_the_same_course():
    """Start, dose, drug and splitting are shared, the mesh is not: 1.8 mm cells against shells."""
    parameters = BASE.replace(alpha=0.05, diffusivity_grey=0.13)
    regimen = Regimen(RT, Temozolomide())
    days = [0.0, 7.0, 49.0, 90.0, 140.0, 180.0]
    patient = ball_patient(10.0, parameters, 36.0)
    mesh = FiniteElementSolver(step_day=1.0).solve(patient, regimen, days)
    tumour = RoundTumour(outline_mm=10.0, parameters=parameters, head_mm=36.0)
    run = solve_round(tumour, regimen, MONDAY, horizon_day=180.0)
    for name, row in (("t1gd", 0), ("flair", 1)):
        expected = mesh["tumour_volume_soft"].sel(threshold=name).values
        found = np.interp(days, run.days, run.soft[:, row])
        np.testing.assert_allclose(found, expected, rtol=0.02, atol=20.0)
