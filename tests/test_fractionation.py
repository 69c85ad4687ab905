"""Fractions as they are given: several a day, missed ones, repair between, and a straight tail."""

import datetime as dt

import numpy as np
import pytest
from small_patient import write_small_patient

import twin
from scenarios.organs import organ_doses
from solvers import DifferentiableRun, FiniteElementSolver
from solvers.torch_executor import TorchSolver
from twin.calendar import Calendar
from twin.courses import Radiotherapy
from twin.errors import InvalidInput
from twin.parameters import Parameter, ParameterSet, load_parameter_set
from twin.protocol import State
from twin.regimen import Regimen

MONDAY = Calendar(dt.date(2026, 3, 30))
ALPHA, RATIO = 0.3, 10.0


@pytest.fixture(scope="module")
def dilute(patient):
    """Hardly any growth or spread: what changes is what is killed, alpha 0.3/Gy."""
    return patient.replace(
        parameters=patient.parameters.replace(
            proliferation_rate=0.0027, diffusivity_white=0.005, diffusivity_grey=0.005, alpha=ALPHA
        )
    )


def course(**changes):
    return Radiotherapy(**{"total_dose_gy": 12.0, "fractions": 6, "start_day": 0.375, **changes})


def log_survival(one, regimen, day, solver=None):
    """Log-survival in the middle of the target, and the dose of a fraction there, [Gy]."""
    nodes = len(one.mesh.points)
    nothing = np.zeros(nodes)
    start = State(
        day=0.0, species={"viable": np.full(nodes, 1e-6), "dead": nothing, "necrosis": nothing}
    )
    solver = solver or FiniteElementSolver(step_day=1.0)
    found = solver.state(one, regimen, day, start=start)
    assert found.day == day
    middle = np.linalg.norm(one.mesh.points - [6.0, 2.0, 4.0], axis=1) < 4.0
    first = regimen.radiotherapy[0]
    dose = FiniteElementSolver().solve(one, Regimen(first), [0.0]).dose.values[middle]
    log = np.log(found.species["viable"][middle] / 1e-6) - 0.0027 * day
    return log, dose / first.fractions_given


# --- days -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "days"),
    [
        ({}, [0.375, 1.375, 2.375, 3.375, 4.375, 7.375]),
        ({"fractions_per_day": 2}, [0.375, 0.625, 1.375, 1.625, 2.375, 2.625]),
        ({"fractions_per_day": 3, "interval_h": 4.8}, [0.375, 0.575, 0.775, 1.375, 1.575, 1.775]),
        # the fifth, of Friday, is made up for on the Tuesday after
        ({"missed": (5,)}, [0.375, 1.375, 2.375, 3.375, 7.375, 8.375]),
        ({"missed": (5,), "compensation": "none"}, [0.375, 1.375, 2.375, 3.375, 7.375]),
        (
            {"missed": (2, 3), "compensation": "second fraction"},
            [0.375, 3.375, 3.625, 4.375, 4.625, 7.375],
        ),
        # after the last one there is no day left to give two on
        (
            {"missed": (6,), "compensation": "second fraction"},
            [0.375, 1.375, 2.375, 3.375, 4.375, 8.375],
        ),
        ({"weekdays_only": False, "missed": (1,)}, [1.375, 2.375, 3.375, 4.375, 5.375, 6.375]),
    ],
)  # fmt: skip
def test_the_days_of_the_fractions(changes, days):
    assert course(**changes).fraction_days(MONDAY) == pytest.approx(days)


def test_what_was_not_given_does_not_count():
    lost = course(missed=(2, 5), compensation="none")
    assert (lost.fractions_given, lost.given_dose_gy) == (4, 8.0)
    assert course(missed=(2, 5)).given_dose_gy == 12.0
    again = Regimen.from_dict(Regimen(lost).as_dict())
    assert again == Regimen(lost)
    assert Regimen(lost).differences(Regimen(course())) == [
        "radiotherapy missed",
        "radiotherapy compensation",
    ]


def test_sentences_say_it():
    (text,) = Regimen(course(fractions_per_day=2)).describe(MONDAY)
    assert "2 a day 6 h apart, weekdays from Mon 30 Mar 2026" in text
    (text,) = Regimen(course(missed=(2, 5), compensation="none")).describe(MONDAY)
    assert "fractions 2, 5 are missed and not made up for, so that 8 Gy are given." in text
    (text,) = Regimen(course(missed=(2,), compensation="second fraction")).describe(MONDAY)
    assert "fraction 2 is missed and made up for by second fractions, 6 h later" in text


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"fractions_per_day": 4}, "give 1, 2 or 3"),
        ({"fractions_per_day": 3, "interval_h": 12.0}, "do not fit into a day"),
        ({"interval_h": 0.0}, "between 1 and 12 h"),
        ({"missed": (7,)}, "numbered from 1 to 6"),
        ({"missed": (1, 2, 3, 4, 5, 6)}, "leave the course out"),
        ({"compensation": "later"}, "it may be 'append'"),
        (
            {"fractions_per_day": 2, "missed": (1,), "compensation": "second fraction"},
            'use compensation = "append"',
        ),
    ],
)
def test_bad_input_is_told_in_one_sentence(changes, says):
    with pytest.raises(InvalidInput, match=says):
        course(**changes)


# --- cells ----------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", [None, TorchSolver(device="cpu", step_day=1.0)])
def test_damage_that_is_left_pairs_with_the_next_fraction(dilute, solver):
    """-ln S = n (alpha d + beta d^2) + 2 beta d^2 sum over pairs of 2^(-gap / 1.5 h)."""
    log, dose = log_survival(dilute, Regimen(course(fractions_per_day=2)), 3.0, solver)
    hours = np.array([9.0, 15.0, 33.0, 39.0, 57.0, 63.0])
    gaps = np.abs(hours[:, None] - hours[None, :])
    pairs = (0.5 ** (gaps / 1.5)).sum()  # with each itself: 6
    expected = -ALPHA * (6 * dose + dose**2 / RATIO * pairs)
    np.testing.assert_allclose(log, expected, atol=2e-3)
    assert np.abs(ALPHA * dose**2 / RATIO * (pairs - 6)).min() > 0.02  # what is tested is there


def test_a_course_with_missed_fractions_kills_by_what_is_given(dilute):
    lost = course(missed=(2, 5), compensation="none")
    log, dose = log_survival(dilute, Regimen(lost), 10.0)
    np.testing.assert_allclose(log, -4 * ALPHA * dose * (1.0 + dose / RATIO), atol=2e-3)
    whole = FiniteElementSolver().solve(dilute, Regimen(course()), [0.0]).dose
    given = FiniteElementSolver().solve(dilute, Regimen(lost), [0.0]).dose
    np.testing.assert_allclose(given.values, whole.values * 4 / 6, rtol=1e-6)


def test_above_a_transition_dose_survival_is_straight(dilute):
    """-ln S = alpha d_T + beta d_T^2 + (alpha + 2 beta d_T) (d - d_T)."""
    entry = Parameter(
        name="transition_dose", value=6.0, unit="Gy", low=2.0, high=40.0, prior=None,
        source="assumed: for the test",
    )  # fmt: skip
    names = {name: dilute.parameters[name] for name in dilute.parameters}
    steep = dilute.replace(parameters=ParameterSet("test", {**names, "transition_dose": entry}))
    single = Radiotherapy(total_dose_gy=10.0, fractions=1, start_day=0.5)
    log, dose = log_survival(steep, Regimen(single), 2.0)
    beta = ALPHA / RATIO
    expected = -(ALPHA * 6 + beta * 36 + (ALPHA + 2 * beta * 6) * (dose - 6))
    np.testing.assert_allclose(log, expected, atol=2e-3)
    with pytest.raises(InvalidInput, match="tensor executor knows no transition dose"):
        TorchSolver(device="cpu").solve(steep, Regimen(single), [1.0])


def test_gradients_refuse_incomplete_repair(dilute):
    with pytest.raises(InvalidInput, match="gradient knows no incomplete repair"):
        DifferentiableRun(dilute, Regimen(course(fractions_per_day=2)), times=[5.0])
    DifferentiableRun(dilute, Regimen(course()), times=[5.0])


# --- organs and bases -----------------------------------------------------------------------


def test_organs_feel_two_fractions_a_day(patient):
    """EQD2 of beta (1 + 2^(-6/4)) with a half-life of 4 h, and what is left over night."""
    once = organ_doses(patient, Regimen(course()))["brainstem"].mean_gy
    twice = organ_doses(patient, Regimen(course(fractions_per_day=2)))["brainstem"].mean_gy
    hours = np.array([9.0, 15.0, 33.0, 39.0, 57.0, 63.0])
    gaps = np.abs(hours[:, None] - hours[None, :])
    factor = (0.5 ** (gaps / 4.0)).sum() / 6.0
    assert once < twice < once * factor  # its dose per fraction varies from voxel to voxel
    assert factor > 1.3


def test_a_radiosensitivity_of_another_basis_is_refused(patient):
    for basis in ("tumour control", "in vitro", "survival"):
        other = patient.replace(parameters=patient.parameters.with_entry("alpha", basis=basis))
        with pytest.raises(InvalidInput, match=f"on the basis of {basis}.*fitted to images"):
            FiniteElementSolver().solve(other, Regimen(course()), [1.0])
        FiniteElementSolver().solve(other, Regimen(), [1.0])  # without radiation it plays no part
    with pytest.raises(InvalidInput, match="say what it rests on, one of image"):
        patient.parameters.with_entry("alpha", basis="hearsay")


def test_a_patient_file_states_the_basis(tmp_path):
    from small_patient import PATIENT_TOML

    table = (
        'alpha = { value = "0.27 1/Gy", basis = "in vitro", '
        'source = "calibrated: colonies of the line", evidence = "C" }'
    )
    toml = PATIENT_TOML.replace('set = "glioblastoma"\n', f'set = "glioblastoma"\n{table}\n')
    one = twin.load(write_small_patient(tmp_path, toml=toml))
    assert one.parameters["alpha"].basis == "in vitro"
    assert one.parameters["alpha"].evidence == "C"
    assert one.parameters.value("alpha") == 0.27
    for bad, says in (
        (table.replace("basis", "bases"), "unknown key 'bases'"),
        (table.replace('value = "0.27 1/Gy", ', ""), "has no value"),
        (table.replace('"C"', "3"), "write it as text"),
    ):
        with pytest.raises(InvalidInput, match=says):
            twin.load(write_small_patient(tmp_path, toml=toml.replace(table, bad)))


def test_every_packaged_radiosensitivity_has_a_basis():
    assert load_parameter_set("glioblastoma")["alpha"].basis == "image"


def test_a_high_dose_that_is_meant():
    """Functional radiosurgery gives 130 Gy at once; unconfirmed it may be 1.3 Gy in cGy."""
    high = {"total_dose_gy": 130.0, "fractions": 1, "start_day": 1.0}
    with pytest.raises(InvalidInput, match="were cGy meant"):
        Radiotherapy(**high)
    assert Radiotherapy(**high, confirm_high_dose=True).dose_per_fraction_gy == 130.0
