"""Effector cells in runs: against scipy, both basins, checkpoint drugs, restarts, refusals.

Numbers of the mouse as `tests/reference` and SCIENCE have them: dormant 8.2e6, saddle 2.7e8,
escaped 4.5e8 cells.
"""

import itertools

import numpy as np
import pytest
from executor_cases import beyond
from scipy.integrate import solve_ivp

from scenarios.evidence import evidence_of
from scenarios.planning import plan_study
from scenarios.run import plan
from scenarios.study import Case, Scenario, Study
from solvers import DifferentiableRun, FiniteElementSolver, SurrogateSolver, TorchSolver
from solvers.batch import Request, solve_batch
from solvers.dose_response import CheckpointDrug, Kuznetsov
from solvers.effector_cells import EffectorCells, scaled_rates
from solvers.prepared import prepare
from solvers.stepping import plan_steps
from solvers.treatment import Treatment
from twin.courses import Drug, Radiotherapy
from twin.drugs import load_drug, read_drug
from twin.errors import InvalidInput, NotConverged
from twin.events import DrugDose, Schedule
from twin.model_choice import ModelChoice
from twin.packaged_numbers import treatment_numbers, with_packaged_numbers
from twin.protocol import State
from twin.regimen import Regimen

MOUSE = {
    "a": 0.18, "b": 2e-9, "d": 0.0412, "g": 2.019e7, "m": 3.422e-10, "n": 1.101e-7, "p": 0.1245,
    "s": 1.3e4,
}  # fmt: skip
DORMANT, SADDLE, ESCAPED = 8.2e6, 2.7e8, 4.5e8
IMMUNE = ModelChoice(immunity=True)
INFUSION = 0.5 / 24.0  # day
PEMBROLIZUMAB = "200 mg every 21 days, 9 cycles"
RT = Radiotherapy(total_dose_gy=20.0, fractions=10, start_day=2.375)
NAMES = list(treatment_numbers("immunity"))


def kuznetsov(t, y, dead_half_life=None, kill=1.0):
    """Kuznetsov's equations written independently; with a dead pool that takes room, if any."""
    c = MOUSE
    E, T, X = y
    lost = kill * c["n"] * E * T
    return [
        c["s"] + c["p"] * E * T / (c["g"] + T) - c["m"] * E * T - c["d"] * E,
        c["a"] * T * (1.0 - c["b"] * (T + X)) - lost,
        0.0 if dead_half_life is None else lost - np.log(2.0) / dead_half_life * X,
    ]


def integrated(E, T, days, **options):
    """E and T at days by scipy, shape (3, day)."""
    found = solve_ivp(
        lambda t, y: kuznetsov(t, y, **options), (0.0, days[-1]), [E, T, 0.0], t_eval=days,
        method="LSODA", rtol=1e-10, atol=1.0,
    )  # fmt: skip
    assert found.success
    return found.y


def antibody(t, y, days):
    """Pembrolizumab's share of receptors, and slopes of both compartments [mg]; 200 mg doses."""
    clearance, volume = 0.00917 * 24.0, 3.48  # L/day, L
    fast, slow = (np.log(2.0) / (hours / 24.0) for hours in (36.1, 619.0))
    out = clearance / volume
    back = fast * slow / out
    there = fast + slow - out - back
    given = sum(200.0 / INFUSION for day in days if day <= t < day + INFUSION)
    plasma, tissue = y
    slopes = [given - (out + there) * plasma + back * tissue, there * plasma - back * tissue]
    concentration = plasma / volume
    return concentration / (concentration + 0.5), slopes


def test_both_basins_lie_where_the_paper_says():
    """By an independent integrator: what the runs below are held against is bistable."""
    days = np.array([0.0, 3000.0])
    assert integrated(3.2e5, 1e7, days)[1, -1] == pytest.approx(DORMANT, rel=0.03)
    assert integrated(3.2e5, 4.8e8, days)[1, -1] == pytest.approx(ESCAPED, rel=0.03)
    equilibria = [T for _, T in Kuznetsov(**MOUSE).equilibria()]
    np.testing.assert_allclose(equilibria, [DORMANT, SADDLE, ESCAPED], rtol=0.03)


def test_rates_are_rescaled_with_the_volume(patient):
    parameters = with_packaged_numbers(patient.parameters, NAMES)
    for volume, scale in ((5e3, 1.0), (5e4, 10.0)):  # 1e5 cells/mm3: 5 ml are the mouse's 5e8
        found = scaled_rates(parameters.replace(immunity_volume=volume))
        assert found.s == pytest.approx(MOUSE["s"] * scale)
        assert found.g == pytest.approx(MOUSE["g"] * scale)
        assert found.m == pytest.approx(MOUSE["m"] / scale)
        assert found.n == pytest.approx(MOUSE["n"] / scale)
        assert (found.p, found.d) == (MOUSE["p"], MOUSE["d"])
        assert 1.0 / found.b == pytest.approx(5e8 * scale)


def test_the_pool_alone_follows_its_equations(patient):
    """Without growth: E' as published, T' = -n E T; 60 days in pieces of any length."""
    parameters = with_packaged_numbers(patient.parameters, NAMES).replace(immunity_volume=5e3)
    pool = EffectorCells(parameters)
    assert pool.count == pytest.approx(MOUSE["s"] / MOUSE["d"])
    c = MOUSE

    def slope(_, y):
        E, T = y
        return [
            c["s"] + c["p"] * E * T / (c["g"] + T) - c["m"] * E * T - c["d"] * E,
            -c["n"] * E * T,
        ]

    start = [c["s"] / c["d"], 3e8]
    exact = solve_ivp(slope, (0.0, 60.0), start, method="DOP853", rtol=1e-12, atol=1e-3).y[:, -1]
    tumour, day = 3e8, 0.0
    for end in (0.5, 0.5, 3.5, 4.0, 20.0, 60.0):
        tumour *= pool.advance(day, end, tumour / 1e5)
        day = end
    assert tumour == pytest.approx(exact[1], rel=2e-6)
    assert pool.count == pytest.approx(exact[0], rel=2e-6)


def mixed(patient, *, cleared=10.0, **numbers):
    """The patient as Kuznetsov's mouse: rho = a, and all living tissue holds 5e8 "cells"."""
    coarse = patient.on_coarsest_mesh()
    parameters = with_packaged_numbers(coarse.parameters, [*NAMES, *numbers])
    whole = float(prepare(coarse).diffusion(parameters).mass.sum())
    parameters = parameters.replace(immunity_volume=whole, **numbers)
    ready = coarse.replace(parameters=parameters, model=IMMUNE)
    return beyond(ready, proliferation_rate=MOUSE["a"], dead_clearance_half_life=cleared)


def begun(patient, effectors, tumour):
    """A state of the mouse's numbers of cells, spread evenly."""
    mass = prepare(patient).diffusion(patient.parameters).mass
    scale = mass.sum() * 1e5 * MOUSE["b"]
    viable = np.where(mass > 0.0, tumour * MOUSE["b"], 0.0)
    nothing = np.zeros_like(viable)
    species = {"viable": viable, "dead": nothing, "necrosis": nothing}
    return State(0.0, species, memory={"effector_cells": np.array([effectors * scale])}), scale


def course(patient, effectors, tumour, days, step=0.5, regimen=None):
    """E and T of a run in the mouse's numbers of cells, each of shape (day,)."""
    start, scale = begun(patient, effectors, tumour)
    run = FiniteElementSolver(step_day=step).solve(
        patient, Regimen() if regimen is None else regimen, days, start=start
    )
    return run.effector_cells.values / scale, run.tumour_burden.values / scale


DAYS = np.array([0.0, 10.0, 25.3, 60.0, 110.7, 200.0])


@pytest.mark.parametrize("tumour", [1e6, 1e7, 2e8, 4.8e8])
def test_an_even_tumour_follows_the_equations(patient, tumour):
    """With a dead pool that takes room for 10 days, which the paper has not."""
    effectors, cells = course(mixed(patient), 3.2e5, tumour, DAYS)
    E, T, _ = integrated(3.2e5, tumour, DAYS, dead_half_life=10.0)
    np.testing.assert_allclose(effectors, E, rtol=3e-3)
    np.testing.assert_allclose(cells, T, rtol=6e-3)


def test_steps_converge_with_second_order(patient):
    errors = []
    exact = integrated(3.2e5, 1e7, DAYS, dead_half_life=10.0)[1]
    for step in (2.0, 1.0, 0.5):
        found = course(mixed(patient), 3.2e5, 1e7, DAYS[[0, 1, 3]], step)[1]
        errors.append(np.abs(found - exact[[0, 1, 3]]).max())
    orders = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    np.testing.assert_allclose(orders, 2.0, atol=0.25)


@pytest.mark.parametrize(
    ("tumour", "end"), [(1e6, DORMANT), (1e7, DORMANT), (1e8, ESCAPED), (4.8e8, ESCAPED)]
)
def test_both_basins(patient, tumour, end):
    """Dead cells gone at once, as in the paper: the run settles where the equations do."""
    mouse = mixed(patient, cleared=0.05)
    days = np.array([1900.0, 2000.0])
    found = course(mouse, 3.2e5, tumour, days)[1]
    assert found[-1] == pytest.approx(end, rel=0.03)
    assert found[-1] == pytest.approx(integrated(3.2e5, tumour, days)[1, -1], rel=0.02)


def test_the_saddle_parts_them(patient):
    """A little to either side of the saddle, with its own effector cells."""
    effectors, saddle = Kuznetsov(**MOUSE).equilibria()[1]
    mouse = mixed(patient, cleared=0.05)
    for share, end in ((0.9, DORMANT), (1.1, ESCAPED)):
        found = course(mouse, effectors, share * saddle, np.array([2000.0]))[1][-1]
        assert found == pytest.approx(end, rel=0.03)


def test_a_checkpoint_drug_turns_escape_into_control(patient):
    """The same beginning above the saddle; killing five times as fast from day 1 on."""
    drug = Regimen(Drug(name="pembrolizumab", schedule="200 mg every 21 days, 20 cycles",
                        start_day=1.0))  # fmt: skip
    mouse = mixed(patient, cleared=0.05, pembrolizumab_killing_factor=5.0)
    days = np.array([1.0, 300.0, 400.0])
    without = course(mouse, 3.2e5, 4.8e8, days)[1]
    treated = course(mouse, 3.2e5, 4.8e8, days, regimen=drug)[1]
    assert without[-1] == pytest.approx(ESCAPED, rel=0.03)
    # where killing is five times as fast there is one equilibrium, and it is a small one
    faster = Kuznetsov(**MOUSE).with_checkpoint_drug(CheckpointDrug(5.0))
    ((_, only),) = faster.equilibria()
    assert only < DORMANT
    assert treated[-1] < 0.02 * without[-1]

    def together(t, y):
        """The paper's equations with the drug's two compartments, all in one system."""
        taken, slopes = antibody(t, y[3:], [1.0 + 21.0 * k for k in range(20)])
        return [*kuznetsov(t, y[:3], kill=1.0 + 4.0 * taken), *slopes]

    y, begin = np.array([3.2e5, 4.8e8, 0.0, 0.0, 0.0]), 0.0
    for end in sorted({300.0, *(1.0 + 21.0 * k + j for k in range(15) for j in (0.0, INFUSION))}):
        y = solve_ivp(together, (begin, end), y, method="LSODA", rtol=1e-9, atol=1e-6).y[:, -1]
        begin = end
    assert treated[1] == pytest.approx(y[1], rel=0.02)


def test_receptors_are_taken_by_the_concentration(patient):
    """Two compartments and an infusion integrated by scipy; occupancy c/(c + 0.5 mg/L)."""
    regimen = Regimen(Drug(name="pembrolizumab", schedule="200 mg every 21 days, 2 cycles",
                           start_day=3.0))  # fmt: skip
    treatment = Treatment(prepare(patient), regimen, patient.parameters)
    (drug,) = treatment.checkpoints

    def slope(t, y):
        taken, slopes = antibody(t, y[:2], (3.0, 24.0))
        return [*slopes, taken]

    y, total = np.zeros(3), {}
    borders = [0.0, 3.0, 3.0 + INFUSION, 10.0, 24.0, 24.0 + INFUSION, 60.0, 200.0]
    for begin, end in itertools.pairwise(borders):
        y = solve_ivp(slope, (begin, end), y, method="LSODA", rtol=1e-10, atol=1e-12).y[:, -1]
        total[end] = y[2]
    for begin, end in ((3.0, 10.0), (10.0, 24.0), (60.0, 200.0)):
        expected = (total[end] - total[begin]) / (end - begin)
        assert drug.mean_factor(begin, end) == pytest.approx(1.0 + expected, rel=1e-6)
    assert drug.mean_factor(0.0, 2.0) == 1.0
    assert 0.97 < total[24.0] / 21.0 < 1.0


def test_amounts_in_mg_are_the_same_for_everybody(patient):
    schedule = Regimen(Drug(name="pembrolizumab", schedule=PEMBROLIZUMAB, start_day=3.0))
    dose = schedule.schedule(patient.calendar).drug_doses[0]
    assert (dose.mg, np.isnan(dose.mg_m2)) == (200.0, True)
    big = patient.replace(body_surface_m2=2.4)
    factors = [
        Treatment(prepare(p), schedule, p.parameters).checkpoints[0].mean_factor(3.0, 40.0)
        for p in (patient, big)
    ]
    assert factors[0] == pytest.approx(factors[1], rel=1e-12)
    with pytest.raises(InvalidInput, match="gives 20000 mg, but a dose lies above 0 and at most"):
        Drug(name="pembrolizumab", schedule="20000 mg every 21 days, 2 cycles", start_day=1.0)
    with pytest.raises(InvalidInput, match="given as 110 mg, but it is dosed in mg/m2"):
        Drug(name="lomustine", schedule="110 mg day 1 of 42, 6 cycles", start_day=1.0)
    with pytest.raises(InvalidInput, match="given as 200 mg/m2, but it is dosed in mg, the same"):
        Drug(name="pembrolizumab", schedule="200 mg/m2 every 21 days, 2 cycles", start_day=1.0)
    with pytest.raises(InvalidInput, match="its delivery cannot be 'barrier'"):
        Drug(name="pembrolizumab", schedule=PEMBROLIZUMAB, start_day=1.0, delivery="barrier")
    with pytest.raises(InvalidInput, match='"x mg every 21 days, 2 cycles" cannot be read'):
        Drug(name="pembrolizumab", schedule="x mg every 21 days, 2 cycles", start_day=1.0)


@pytest.fixture(scope="module")
def immune(patient):
    return patient.on_coarse_mesh().replace(model=IMMUNE)


ALL = Regimen(RT, Drug(name="pembrolizumab", schedule=PEMBROLIZUMAB, start_day=5.0))


def test_stopping_changes_no_bit(immune):
    solver = FiniteElementSolver(step_day=1.0)
    half = solver.state(immune, ALL, 11.0)
    whole = solver.state(immune, ALL, 24.0)
    again = solver.state(immune, ALL, 24.0, start=half)
    np.testing.assert_array_equal(again.species["viable"], whole.species["viable"])
    assert again.memory["effector_cells"] == whole.memory["effector_cells"]
    bare = State(half.day, half.species)
    with pytest.raises(InvalidInput, match="has no effector cells, which the model needs"):
        solver.state(immune, ALL, 24.0, start=bare)


@pytest.mark.parametrize("solver", [FiniteElementSolver(), FiniteElementSolver(tolerance=1e-4)])
def test_outputs_inside_steps_change_nothing_and_fit_in(immune, solver):
    few = solver.solve(immune, ALL, [0.0, 60.0])
    many = solver.solve(immune, ALL, np.arange(0.0, 61.0))
    for name in ("tumour_burden", "effector_cells"):
        assert float(many[name][-1]) == float(few[name][-1])
    fine = FiniteElementSolver(step_day=0.25).solve(immune, ALL, np.arange(0.0, 61.0))
    for name in ("tumour_burden", "effector_cells"):
        np.testing.assert_allclose(many[name], fine[name], rtol=3e-3)


@pytest.mark.parametrize(
    "choice",
    [
        {"resistant": True},
        {"oxygen": True},
        pytest.param({"mass_effect": True}, marks=pytest.mark.slow),
    ],
)
def test_every_live_cell_of_every_model_is_killed_alike(patient, choice):
    """A pool so large that growth does not matter: all live species fall by one factor."""
    one = patient.on_coarsest_mesh().replace(model=ModelChoice(immunity=True, **choice))
    numbers = with_packaged_numbers(one.parameters, NAMES).replace(
        immunity_start=100.0, immunity_recruitment=0.0, immunity_exhaustion=0.0
    )
    other = one.replace(model=ModelChoice(**choice))
    one = one.replace(parameters=numbers)
    solver = FiniteElementSolver(step_day=0.01)
    after, before = (solver.state(p, Regimen(), 0.01).species for p in (one, other))
    expected = np.exp(-MOUSE["n"] * 100.0 * MOUSE["s"] / MOUSE["d"] * 0.01)
    names = [n for n in before if n not in ("dead", "necrosis", "vessels")]
    assert len(names) >= 1
    for name in names:
        much = before[name] > 1e-3
        np.testing.assert_allclose(
            after[name][much] / before[name][much], expected, rtol=2e-3, err_msg=name
        )
    live = sum(before[name] for name in names)
    gained = after["dead"] - before["dead"]
    np.testing.assert_allclose(gained[live > 0.1], ((1.0 - expected) * live)[live > 0.1], rtol=0.01)


def test_without_it_nothing_changes(patient):
    assert "immunity" not in ModelChoice().as_dict()
    assert ModelChoice(**ModelChoice(immunity=True).as_dict()) == IMMUNE
    run = FiniteElementSolver().solve(patient, Regimen(), [1.0])
    assert "effector_cells" not in run
    assert "immunity_volume" not in run.attrs["parameters"]
    idle = with_packaged_numbers(patient.parameters, NAMES).replace(immunity_kill=0.0)
    with_idle = patient.replace(model=IMMUNE, parameters=idle)
    same = FiniteElementSolver().solve(with_idle, Regimen(RT), [30.0]).tumour_burden
    plain = FiniteElementSolver().solve(patient, Regimen(RT), [30.0]).tumour_burden
    np.testing.assert_array_equal(same, plain)


def test_a_checkpoint_drug_without_effector_cells_is_refused(patient):
    words = "Pembrolizumab acts on effector cells, which this patient's model has not"
    with pytest.raises(InvalidInput, match=words):
        FiniteElementSolver().solve(patient, ALL, [5.0])
    study = Study([Scenario("arm", ALL)], days=300.0)
    with pytest.raises(InvalidInput, match=f"Scenario 'arm': {words}"):
        study.check(patient)
    for attempt in (
        lambda: TorchSolver().solve(patient, ALL, [5.0]),
        lambda: solve_batch(patient, [Request(ALL, patient.parameters)], [5.0]),
        lambda: DifferentiableRun(patient, ALL, [5.0]),
    ):
        with pytest.raises(InvalidInput, match=r"knows no (pembrolizumab|drug but)"):
            attempt()


def test_other_executors_refuse_effector_cells(immune):
    for attempt, words in (
        (lambda: TorchSolver().solve(immune, Regimen(), [5.0]), "no effector cells"),
        (lambda: DifferentiableRun(immune, Regimen(), [5.0]), "do not go through effector cells"),
        (lambda: solve_batch(immune, [Request(Regimen(), immune.parameters)], [5.0]),
         "not logistic growth with effector cells"),
        (lambda: SurrogateSolver.train(immune, Regimen(RT), horizon_day=100.0),
         "not logistic growth with effector cells"),
    ):  # fmt: skip
        with pytest.raises(InvalidInput, match=words):
            attempt()


def test_hashes_evidence_and_the_plan_say_it(patient, immune):
    whole = patient.replace(model=IMMUNE)
    scenario = Scenario("arm", ALL)
    grades = evidence_of(scenario, whole)
    assert grades["immunity_kill"] == "C"
    assert grades["immunity_volume"] == grades["pembrolizumab_killing_factor"] == "D"
    assert not any(
        n.startswith("immunity") for n in evidence_of(Scenario("rt", Regimen(RT)), patient)
    )

    def hashes(**changes):
        study = Study([scenario], [Case("expected", changes)], days=300.0)
        return set(plan(study, whole, FiniteElementSolver()).jobs)

    assert not hashes() & hashes(immunity_volume="50000 mm3")
    assert not hashes() & hashes(pembrolizumab_killing_factor="3")
    text = " ".join(str(plan_study(Study([scenario], days=300.0), whole)).split())
    assert "Pembrolizumab: 200 mg on day 1 of 21, 9 cycles" in text
    assert "rates of a lymphoma of mice" in text


def test_rates_too_fast_to_follow_are_refused(patient):
    numbers = with_packaged_numbers(patient.parameters, NAMES)
    tiny = numbers.replace(immunity_volume=100.0, immunity_exhaustion=1e-7)
    with pytest.raises(NotConverged, match="too fast to follow; check the parameters immunity"):
        EffectorCells(tiny).advance(0.0, 3.0, 1e7)


def test_a_dose_ends_a_step_and_no_more():
    """An antibody acts for weeks: no short steps after it, as after a drug that kills."""
    doses = (DrugDose(4.3, "pembrolizumab", 100.0), DrugDose(25.3, "lomustine", 110.0))
    ends = [step.end for step in plan_steps(Schedule(doses), [40.0], step_day=3.0)]
    assert [end for end in ends if 4.0 < end < 8.0] == [4.3, 6.0]
    assert {25.3, 25.425, 25.55, 25.8, 26.3} <= {round(end, 3) for end in ends}


FILE = {
    "format": 1,
    "title": "Testimab",
    "route": "infusion",
    "kinetics": "one compartment",
    "effect": "checkpoint",
    "parameter": {
        name: {"value": value, "unit": unit, "low": low, "high": high, "source": "assumed: a test"}
        for name, value, unit, low, high in (
            ("clearance", 0.01, "L/h", 0.0, 1.0),
            ("half_life", 500.0, "h", 1.0, 900.0),
            ("tumour_to_plasma", 1.0, "1", 0.0, 1.0),
            ("half_concentration", 0.5, "mg/L", 0.1, 5.0),
            ("killing_factor", 2.0, "1", 1.0, 5.0),
        )
    },
}


def test_files_of_checkpoint_drugs_are_checked():
    assert read_drug("testimab", FILE).effect == "checkpoint"
    wide = {**FILE["parameter"]["killing_factor"], "high": 9.0}
    with pytest.raises(InvalidInput, match="1 to 5 times"):
        read_drug("testimab", {**FILE, "parameter": {**FILE["parameter"], "killing_factor": wide}})
    with pytest.raises(InvalidInput, match="acts on effector cells, not on what radiation does"):
        read_drug("testimab", {**FILE, "interaction": "supra-additive"})
    killing = {**FILE["parameter"], "kill": {**wide, "unit": "L/(mg h)"}}
    with pytest.raises(InvalidInput, match="'kill' plays no part"):
        read_drug("testimab", {**FILE, "parameter": killing})
    assert load_drug("pembrolizumab").parameters["pembrolizumab_clearance"].evidence == "B"
