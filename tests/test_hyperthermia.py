"""Hyperthermia: thermal dose, enhancement of fractions, its days, maps, and who refuses it."""

import datetime as dt
import math

import nibabel as nib
import numpy as np
import pytest
from executor_cases import beyond
from small_patient import PATIENT_TOML, write_small_patient

import twin
from scenarios.changes import apply_changes
from scenarios.evidence import evidence_of
from scenarios.planning import plan_study
from scenarios.run import plan
from scenarios.study import Case, Scenario, Study
from scenarios.study_file import read_study
from solvers import DifferentiableRun, FiniteElementSolver, TorchSolver
from solvers.batch import Request, solve_batch
from solvers.dose_response.hyperthermia import equivalent_minutes, thermal_enhancement
from solvers.initial_state import at_nodes
from solvers.prepared import prepare
from solvers.training_domain import TrainingDomain, default_ranges
from solvers.treatment import Treatment
from twin.built_folder import read_built, write_built
from twin.calendar import Calendar
from twin.courses import Hyperthermia, Radiotherapy
from twin.errors import InvalidInput
from twin.packaged_numbers import with_packaged_numbers
from twin.regimen import Regimen
from twin.temperature_map import TemperatureMap

RT = Radiotherapy(total_dose_gy=20.0, fractions=10, start_day=2.375)
SOLVER = FiniteElementSolver(step_day=1.0)
ALPHA, BETA = 0.036, 0.0036  # of the packaged set, 1/Gy and 1/Gy2


@pytest.mark.parametrize(
    ("minutes", "celsius", "expected"),
    [  # Sapareto and Dewey 1984: a degree less is four times, one more half of the time
        (60.0, 43.0, 60.0),
        (60.0, 44.0, 120.0),
        (30.0, 45.0, 120.0),
        (60.0, 42.0, 15.0),
        (60.0, 41.0, 3.75),
        (60.0, 42.5, 30.0),
        (60.0, 37.0, 0.0),
    ],
)
def test_thermal_dose(minutes, celsius, expected):
    assert float(equivalent_minutes(minutes, celsius)) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("celsius", [38.0, 40.2, 41.0, 43.0])
@pytest.mark.parametrize("gap", [0.0, 0.5, 4.0])
def test_enhancement_is_the_published_form(celsius, gap):
    alpha_37, alpha_41, mu = 0.386, 0.386 * 1.73, 0.5
    exponent = (celsius - 37) / (41 - 37) * math.log(alpha_41 / alpha_37) * math.exp(-mu * gap)
    expected = alpha_37 * math.exp(exponent)
    found = alpha_37 * float(thermal_enhancement(celsius, gap, at_41=1.73, fading=mu))
    assert found == pytest.approx(expected, rel=1e-14)


def test_enhancement_of_nothing_is_refused():
    for values in ({"at_41": 0.0}, {"fading": -1.0}, {"gap_h": float("nan")}):
        with pytest.raises(InvalidInput, match="is none"):
            thermal_enhancement(41.0, **{"gap_h": 1.0, "at_41": 1.7, "fading": 0.5, **values})
    with pytest.raises(InvalidInput, match="47 degC"):
        thermal_enhancement(47.5, 1.0, at_41=1.7, fading=0.5)


def survivors(patient, regimen, day=2.375):
    return SOLVER.state(patient, regimen, day).species["viable"]


@pytest.mark.parametrize(
    ("gap_h", "apart_h"),
    [(1.0, 1.0), (-0.5, 0.5), (0.0, 0.0), (-12.0, 12.0)],
)
def test_one_fraction_kills_what_the_warm_linear_quadratic_says(patient, gap_h, apart_h):
    heat = Hyperthermia(temperature_c=42.0, structure="brain", gap_h=gap_h)
    dose = prepare(patient).dose_at_nodes(RT) / 10.0
    celsius = 37.0 + 5.0 * at_nodes(patient, patient.structures["brain"].mask)
    share = math.exp(-0.5 * apart_h)
    warm = 1.73 ** ((celsius - 37.0) / 4.0 * share)
    curved = 0.41 ** ((celsius - 37.0) / 4.0 * share)
    more = ALPHA * (warm - 1.0) * dose + BETA * (curved - 1.0) * dose**2
    cold, hot = survivors(patient, Regimen(RT)), survivors(patient, Regimen(RT, heat))
    alive = cold > 1e-12
    np.testing.assert_allclose(hot[alive], (cold * np.exp(-more))[alive], rtol=1e-10)
    assert more[alive].max() > 0.0


def test_heat_too_long_ago_counts_for_nothing(patient):
    """The second fraction, a day after the session, is as without it."""
    heat = Hyperthermia(temperature_c=42.0, sessions=1)
    treatment = Treatment(prepare(patient), Regimen(RT, heat), patient.parameters)
    first, second, *_ = treatment.schedule.fractions
    assert treatment.heat.warmth(first).gap_h == 1.0
    assert treatment.heat.warmth(second) is None
    slow = with_packaged_numbers(patient.parameters, ["hyperthermia_fading"])
    slow = slow.replace(hyperthermia_fading=0.027)
    treatment = Treatment(prepare(patient), Regimen(RT, heat), slow)
    assert treatment.heat.warmth(second).gap_h == pytest.approx(22.0)  # from the session's end


def test_body_temperature_changes_no_bit(patient):
    cold = SOLVER.solve(patient, Regimen(RT), [10.0, 30.0])
    heat = Hyperthermia(temperature_c=37.0, structure="brain")
    same = SOLVER.solve(patient, Regimen(RT, heat), [10.0, 30.0])
    np.testing.assert_array_equal(same.tumour_burden, cold.tumour_burden)


def test_damage_that_is_not_repaired_pairs_by_the_warm_beta(patient):
    """Two fractions 6 h apart, heat with the first; half of the damage is left after 6 h."""
    twice = Radiotherapy(
        total_dose_gy=4.0, fractions=2, start_day=2.375, fractions_per_day=2, interval_h=6.0
    )
    slow = with_packaged_numbers(patient.parameters, ["hyperthermia_fading"])
    p = patient.replace(parameters=slow.replace(repair_half_life=6.0, hyperthermia_fading=0.1))
    heat = Hyperthermia(temperature_c=41.0, structure="brain", gap_h=0.0)
    treatment = Treatment(prepare(p), Regimen(twice, heat), p.parameters)
    _, second = treatment.schedule.fractions
    (share,) = treatment.surviving(second, {0: (1.0, 1.0)}).values()
    dose = prepare(p).dose_at_nodes(twice) / 2.0
    inside = at_nodes(p, p.structures["brain"].mask) == 1.0
    warm, curved = (factor ** math.exp(-0.1 * 5.0) for factor in (1.73, 0.41))  # 60 min session
    expected = np.exp(-ALPHA * warm * dose - BETA * curved * (dose**2 + 2.0 * 0.5 * dose**2))
    np.testing.assert_allclose(share[inside], expected[inside], rtol=1e-5)


def test_heat_alone_kills_by_thermal_dose_where_a_rate_is_stated(patient):
    numbers = with_packaged_numbers(patient.parameters, ["hyperthermia_kill"])
    deadly = patient.replace(parameters=numbers.replace(hyperthermia_kill=0.014))
    heat = Hyperthermia(temperature_c=43.0, structure="brain", minutes=30.0, sessions=1)
    session = 2.375 + 1.0 / 24.0
    with_kill = SOLVER.state(deadly, Regimen(RT, heat), session).species
    same = Hyperthermia(temperature_c=37.0, structure="brain", minutes=30.0, sessions=1)
    before = SOLVER.state(deadly, Regimen(RT, same), session).species
    inside = (at_nodes(patient, patient.structures["brain"].mask) == 1.0) & (
        before["viable"] > 1e-9
    )
    extra = math.exp(-0.014 * 30.0)
    dose = prepare(patient).dose_at_nodes(RT) / 10.0
    warm = 1.73 ** (1.5 * math.exp(-0.5)) - 1.0
    curved = 0.41 ** (1.5 * math.exp(-0.5)) - 1.0
    fraction = np.exp(-ALPHA * warm * dose - BETA * curved * dose**2)
    np.testing.assert_allclose(
        with_kill["viable"][inside] / before["viable"][inside],
        (extra * fraction)[inside],
        rtol=3e-4,  # an hour of growth between, with less room taken by the dead
    )


MONDAY = Calendar(dt.date(2026, 3, 30))


@pytest.mark.parametrize(
    ("fields", "days"),
    [
        ({}, [28.0, 35.0]),
        ({"often": "twice weekly"}, [28.0, 31.0, 35.0, 38.0]),
        ({"often": "twice weekly", "sessions": 3}, [28.0, 31.0, 35.0]),
        ({"gap_h": 6.0}, [28.25, 35.25]),
        ({"gap_h": -6.0, "minutes": 120.0}, [28.0 - 8 / 24, 35.0 - 8 / 24]),
    ],
)
def test_sessions_fall_on_days_of_radiotherapy(fields, days):
    course = Radiotherapy(total_dose_gy=20.0, fractions=10, start_day=28.0)
    heat = Hyperthermia(temperature_c=41.0, **{"gap_h": 0.0, **fields})
    found = [event.day for event in heat.events(MONDAY, 1, (course, heat))]
    assert found == pytest.approx(days)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "needs either a temperature"),
        ({"temperature_c": 41.0, "temperature_map": "plan"}, "not both"),
        ({"temperature_c": 36.0}, "36 degC, but temperatures lie between 37"),
        ({"temperature_c": 48.0}, "48 degC"),
        ({"temperature_c": float("nan")}, "nan degC"),
        ({"temperature_c": 41.0, "minutes": 0.0}, "session of hyperthermia is 0 min"),
        ({"temperature_c": 41.0, "gap_h": 30.0}, "gap between fraction and hyperthermia is 30 h"),
        ({"temperature_c": 41.0, "often": "daily"}, "may be 'weekly' or 'twice weekly'"),
        ({"temperature_c": 41.0, "sessions": 0}, "whole number from 1 to 60"),
    ],
)
def test_impossible_courses_are_refused(fields, words):
    with pytest.raises(InvalidInput, match=words):
        Hyperthermia(**fields)


def test_heat_without_radiotherapy_or_room_is_refused():
    heat = Hyperthermia(temperature_c=41.0, sessions=9)
    with pytest.raises(InvalidInput, match="this regimen has no radiotherapy"):
        Regimen(heat).schedule(MONDAY)
    with pytest.raises(InvalidInput, match="only 2 fit into the course of radiotherapy weekly"):
        Regimen(RT, heat).schedule(MONDAY)


def test_it_says_itself_and_goes_through_records():
    heat = Hyperthermia(temperature_c=41.5, gap_h=-0.5, sessions=2)
    assert heat.describe(MONDAY, (RT, heat)) == (
        "Hyperthermia: 2 sessions of 60 min at 41.5 degC in the GTV, weekly from Wed 01 Apr 2026 "
        "to Wed 08 Apr 2026, 30 min before the day's fraction."
    )
    regimen = Regimen(RT, heat)
    assert Regimen.from_dict(regimen.as_dict()) == regimen
    assert regimen.differences(Regimen(RT)) == ["hyperthermia"]


def ramp(path, *, low=37.0, slope=0.1, side=40, spacing=1.5, start=-30.0, value=None):
    """A map that rises along x from `low` at -20 mm, on a grid of its own."""
    affine = np.diag([spacing] * 3 + [1.0])
    affine[:3, 3] = start
    x = start + spacing * np.arange(side)
    data = np.broadcast_to((low + slope * np.clip(x + 20.0, 0.0, None))[:, None, None], (side,) * 3)
    data = data.copy()
    if value is not None:
        data[0, 0, 0] = value
    nib.save(nib.Nifti1Image(data.astype(np.float32), affine), path)


WITH_MAP = PATIENT_TOML + '\n[temperatures.plan]\nfile = "heat.nii.gz"\n'


@pytest.fixture(scope="module")
def mapped(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mapped")
    ramp(folder / "heat.nii.gz")
    return twin.load(write_small_patient(folder, toml=WITH_MAP))


def test_a_map_on_another_grid_reaches_the_nodes(mapped):
    found = prepare(mapped).temperature_at_nodes(Hyperthermia(temperature_map="plan"))
    x = mapped.mesh.points[:, 0]
    inside = np.abs(x) < 18.0
    np.testing.assert_allclose(
        found[inside], 37.0 + 0.1 * (x + 20.0)[inside], atol=0.01
    )  # degC; voxels grow


def test_maps_are_part_of_the_patient(mapped, patient, tmp_path):
    assert mapped.content_hash != patient.content_hash
    write_built(mapped, tmp_path / "built")
    again = read_built(tmp_path / "built")
    assert again.content_hash == mapped.content_hash
    np.testing.assert_array_equal(
        again.temperatures["plan"].celsius, mapped.temperatures["plan"].celsius
    )
    warmer = TemperatureMap(
        np.full(mapped.grid.shape, 40.0, np.float32), np.ones(mapped.grid.shape, bool)
    )
    other = mapped.replace(temperatures={"plan": warmer})
    heat = Hyperthermia(temperature_map="plan")
    found = prepare(other).temperature_at_nodes(heat)  # not the first one's
    np.testing.assert_allclose(found, 40.0, rtol=1e-12)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"low": 36.0}, "is 36 to .* degC, but temperatures lie between 37"),
        ({"slope": 0.5}, "and 47 degC"),
        ({"value": np.nan}, "NaN or infinite"),
        ({"start": 500.0, "slope": 0.0}, "do not overlap"),
    ],
)
def test_maps_that_cannot_be_are_refused(tmp_path, changes, words):
    ramp(tmp_path / "heat.nii.gz", **changes)
    with pytest.raises(InvalidInput, match=f"patient.toml: temperatures, plan: .*{words}"):
        twin.load(write_small_patient(tmp_path, toml=WITH_MAP))


def study_of(*courses, case=None, **fields):
    scenario = Scenario("arm", Regimen(*courses))
    return Study([scenario], [Case("expected", case or {})], days=40.0, **fields)


def test_a_study_checks_maps_and_structures(mapped, patient):
    for heat, words in (
        (Hyperthermia(temperature_map="other"), r"no temperature map 'other'; it has plan"),
        (Hyperthermia(temperature_c=41.0, structure="liver"), "no structure 'liver'"),
    ):
        with pytest.raises(InvalidInput, match=f"Scenario 'arm': .*{words}"):
            study_of(RT, heat).check(mapped)
    found = mapped.temperatures["plan"]
    half = found.covered.copy()
    half[16:] = False
    partly = mapped.replace(temperatures={"plan": TemperatureMap(found.celsius, half)})
    with pytest.raises(InvalidInput, match=r"covers \d+\.\d % of the heated structure 'gtv'"):
        study_of(RT, Hyperthermia(temperature_map="plan")).check(partly)


def test_the_plan_says_sessions_and_thermal_dose(patient):
    text = str(plan_study(study_of(RT, Hyperthermia(temperature_c=42.0, sessions=2)), patient))
    flat = " ".join(text.split())
    assert "Sessions: Wed 01 Apr 2026, Wed 08 Apr 2026." in flat
    assert "T90 is 42.0, T50 42.0, T10 42.0 degC; thermal dose CEM43 T90 30.0 min in all" in flat
    assert "cervical cancer cells in vitro" in flat


def test_hashes_and_evidence_hold_its_numbers(patient):
    heat = Hyperthermia(temperature_c=42.0)
    grades = evidence_of(Scenario("arm", Regimen(RT, heat)), patient)
    assert {name: grade for name, grade in grades.items() if name.startswith("hyper")} == {
        "hyperthermia_enhancement_alpha": "C",
        "hyperthermia_enhancement_beta": "C",
        "hyperthermia_fading": "C",
        "hyperthermia_kill": "D",
    }

    def hashes(*courses, **changes):
        return set(plan(study_of(*courses, **changes), patient, SOLVER).jobs)

    plain, warm = hashes(RT), hashes(RT, heat)
    slow = hashes(RT, heat, case={"hyperthermia_fading": "0.027 1/h"})
    assert not plain & warm
    assert not warm & slow
    run = SOLVER.solve(patient, Regimen(RT, heat), [1.0])
    assert "hyperthermia_fading" in run.attrs["parameters"]
    assert "hyperthermia" not in SOLVER.solve(patient, Regimen(RT), [1.0]).attrs["parameters"]


def test_other_executors_refuse_it(patient):
    regimen = Regimen(RT, Hyperthermia(temperature_c=42.0))
    for attempt in (
        lambda: TorchSolver().solve(patient, regimen, [5.0]),
        lambda: DifferentiableRun(patient, regimen, [5.0]),
        lambda: solve_batch(patient, [Request(regimen, patient.parameters)], [5.0]),
    ):
        with pytest.raises(InvalidInput, match="knows no hyperthermia; use the finite-element"):
            attempt()
    ranges = default_ranges(patient.parameters)
    with pytest.raises(InvalidInput, match="reference has no hyperthermia"):
        TrainingDomain(ranges, regimen, patient.parameters, 100.0)
    plain = TrainingDomain(ranges, Regimen(RT), patient.parameters, 100.0)
    assert "no hyperthermia was trained" in plain.refusals(regimen, patient.parameters)


STUDY = """\
format = 1
patient = "patient.toml"
[[scenario]]
name = "warm"
[[scenario.radiotherapy]]
total_dose = "20 Gy"
fractions = 10
start = "2 day"
[[scenario.hyperthermia]]
"""


def test_a_study_file_holds_it(tmp_path):
    file = tmp_path / "study.toml"
    file.write_text(STUDY + 'temperature = "41.5 degC"\ngap = "-30 min"\noften = "twice weekly"\n')
    (heat,) = read_study(file).study.scenarios[0].regimen.hyperthermia
    assert heat.gap_h == pytest.approx(-0.5)
    assert (heat.temperature_c, heat.often) == (41.5, "twice weekly")
    for lines, words in (
        ('temperature = "41.5"\n', "has no unit"),
        ('temperature = "41.5 Gy"\n', "does not convert to degC"),
        ('temperature = "52 degC"\n', "Scenario 'warm': The temperature is 52 degC"),
        ('temperature = "41 degC"\ntwice = 1\n', "twice"),
    ):
        file.write_text(STUDY + lines)
        with pytest.raises(InvalidInput, match=words):
            read_study(file)
    alone = STUDY.split("[[scenario.radiotherapy]]")[0] + "[[scenario.hyperthermia]]\n"
    file.write_text(alone + 'temperature = "41 degC"\n')
    with pytest.raises(InvalidInput, match="hyperthermia is given with radiotherapy"):
        read_study(file)


def test_what_if_may_change_it(patient):
    regimen = Regimen(RT, Hyperthermia(temperature_c=41.5, sessions=2))
    changed, _, said = apply_changes(
        regimen, patient.parameters, ["hyperthermia.minutes=45 min", "hyperthermia.sessions=1"]
    )
    assert changed.hyperthermia[0].minutes == 45.0
    assert "Hyperthermia: minutes is 45 instead of 60." in said
    gone, _, _ = apply_changes(regimen, patient.parameters, ["hyperthermia=off"])
    assert gone.hyperthermia == ()


def test_halved_steps_move_nothing(patient):
    """The heat acts at the fractions alone, so only the order of the scheme is in the error."""
    regimen = Regimen(RT, Hyperthermia(temperature_c=43.0, structure="whole tumour"))
    quick = beyond(patient, proliferation_rate=0.1)
    one, half = (
        FiniteElementSolver(step_day=step).solve(quick, regimen, [30.0]).tumour_burden.values
        for step in (1.0, 0.5)
    )
    np.testing.assert_allclose(one, half, rtol=1e-3)
