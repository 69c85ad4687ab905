"""The finite-element solver on a small patient: events, restarts, batches, monotony, errors."""

import datetime as dt
import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_patient import write_small_patient

import twin
from solvers import operators
from solvers.batch import Request, solve_batch
from solvers.finite_element import FiniteElementSolver
from solvers.prepared import prepare
from twin.courses import Radiotherapy, Resection, Temozolomide
from twin.errors import InvalidInput, NotConverged
from twin.protocol import Save, State
from twin.regimen import Regimen

REFERENCE_DATE = dt.date(2026, 3, 30)  # a Monday
COURSE = Radiotherapy(total_dose_gy=60.0, fractions=30, start_day=7.375)
FULL = Regimen(Resection(day=3.25), COURSE, Temozolomide())
TIMES = (0.0, 3.25, 5.0, 7.375, 20.0, 33.3, 60.0, 75.0, 120.0)
SOLVER = FiniteElementSolver(step_day=1.0)


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    found = twin.load(write_small_patient(tmp_path_factory.mktemp("patient")))
    assert len(found.mesh.points) < 5000
    return found


@pytest.fixture(scope="module")
def full(patient):
    return SOLVER.solve(patient, FULL, TIMES, save=Save(fields_at=(5.0, 75.0)))


def same(a, b):
    """Bitwise equality of everything that a run measures, at the times of `b`."""
    for name in ("tumour_volume", "tumour_volume_soft", "tumour_burden"):
        np.testing.assert_array_equal(a[name].sel(time=b.time).values, b[name].values)


def closest(a, b, tolerance):
    for name in ("tumour_volume_soft", "tumour_burden"):
        np.testing.assert_allclose(a[name].values, b[name].values, rtol=tolerance)


# --- each fraction exactly once -------------------------------------------------------------


@pytest.fixture(scope="module")
def dilute(patient):
    """Hardly any growth or spread: what changes is what is killed, alpha 0.3/Gy."""
    return patient.replace(
        parameters=patient.parameters.replace(
            proliferation_rate=0.0027, diffusivity_white=0.005, diffusivity_grey=0.005, alpha=0.3
        )
    )


def applied(dilute, regimen, day):
    """How many fractions the cells in the middle of the target have seen until `day`."""
    nodes = len(dilute.mesh.points)
    nothing = np.zeros(nodes)
    start = State(
        day=-1.0,
        species={"viable": np.full(nodes, 1e-6), "dead": nothing, "necrosis": nothing},
    )
    treated = SOLVER.state(dilute, regimen, day, start=start)
    alone = SOLVER.state(dilute, Regimen(), treated.day, start=start)
    first = regimen.radiotherapy[0]
    dose = SOLVER.solve(dilute, Regimen(first), [0.0]).dose.values / first.fractions
    middle = np.linalg.norm(dilute.mesh.points - [4.0, 1.5, 3.0], axis=1) < 4.0
    growth = 1.0027 ** (treated.day - alone.day)  # the grid of the two may differ
    log = np.log(treated.species["viable"][middle] / alone.species["viable"][middle] / growth)
    once = -0.3 * dose[middle] * (1.0 + dose[middle] / 10.0)
    return log / once


def fractions_until(start_day, count, weekdays_only, day):
    """By the calendar, without the project's own."""
    given, offset = 0, 0
    due = 0
    while given < count:
        at = start_day + offset
        weekday = (REFERENCE_DATE + dt.timedelta(days=int(np.floor(at)))).weekday()
        if not weekdays_only or weekday < 5:
            given += 1
            due += at <= day
        offset += 1
    return due


@given(
    start_day=st.floats(0.0, 9.0),
    count=st.integers(1, 6),
    weekdays_only=st.booleans(),
    day=st.floats(0.0, 15.0),
)
@settings(max_examples=30, deadline=None)
def test_each_fraction_is_applied_exactly_once(dilute, start_day, count, weekdays_only, day):
    course = Radiotherapy(
        total_dose_gy=2.0 * count,
        fractions=count,
        start_day=start_day,
        weekdays_only=weekdays_only,
    )
    found = applied(dilute, Regimen(course), day)
    expected = fractions_until(start_day, count, weekdays_only, day)
    np.testing.assert_allclose(found, expected, atol=0.05)


def test_two_courses_and_a_second_fraction_on_one_day(dilute):
    morning = Radiotherapy(total_dose_gy=4.0, fractions=2, start_day=1.3)
    evening = Radiotherapy(total_dose_gy=4.0, fractions=2, start_day=1.7)
    both = applied(dilute, Regimen(morning, evening), 10.0)
    # 9.6 h are 6.4 half-lives of repair: 2 beta d^2 2^-6.4, twice, by (alpha + beta d) d
    np.testing.assert_allclose(both, 4.0 + 2 * 0.3333 * 2**-6.4, atol=0.01)
    at_once = applied(dilute, Regimen(morning, morning), 10.0)
    # two at once are one of 4 Gy: (1 + 0.4) 4 instead of twice (1 + 0.2) 2
    np.testing.assert_allclose(at_once, 2 * 1.4 * 4.0 / (1.2 * 2.0), atol=0.01)


def test_a_fraction_on_day_0_is_in_the_first_output(patient):
    course = Radiotherapy(total_dose_gy=10.0, fractions=1, start_day=0.0)
    hit = SOLVER.solve(patient, Regimen(course), [0.0, 2.0])
    free = SOLVER.solve(patient, Regimen(), [0.0, 2.0])
    share = float(hit.tumour_burden[0] / free.tumour_burden[0])
    # the dose lies between 95 and 105 % of 10 Gy where the tumour is: alpha 0.036, alpha/beta 10
    survival = [np.exp(-0.036 * d * (1 + d / 10)) for d in (10.5, 9.5)]
    assert survival[0] < share < survival[1]
    np.testing.assert_allclose(hit.tumour_volume[:, 0], free.tumour_volume[:, 0], rtol=1e-9)


def test_fractions_before_day_0_are_history(patient):
    past = Regimen(Radiotherapy(total_dose_gy=20.0, fractions=10, start_day=-30.0))
    times = [0.0, 5.5, 30.0]
    same(SOLVER.solve(patient, past, times), SOLVER.solve(patient, Regimen(), times))


@pytest.mark.parametrize("hour", [0.0, 7.375, 9.123456789])
def test_an_output_at_an_event_comes_just_after_it(patient, hour):
    day = 4.0 + hour / 24.0
    regimen = Regimen(Radiotherapy(total_dose_gy=8.0, fractions=1, start_day=day))
    run = SOLVER.solve(patient, regimen, [day - 1e-6, day, day + 1e-6])
    before, at, after = run.tumour_burden.values
    assert at < 0.7 * before  # survival of 8 Gy: 0.595
    assert after == pytest.approx(at, rel=1e-6)


@pytest.mark.parametrize("step_day", [0.1, 0.3, 1.0])
def test_an_event_beside_a_grid_point_does_no_harm(patient, step_day):
    """A fraction at 0.3 and a grid point at 3 times 0.1 differ in the last bit."""
    solver = FiniteElementSolver(step_day=step_day)
    assert 3 * 0.1 != 0.3
    regimen = Regimen(
        Radiotherapy(total_dose_gy=2.0, fractions=1, start_day=0.3), Temozolomide(cycles=0)
    )
    run = solver.solve(patient, regimen, [1.0])
    later = solver.solve(patient, regimen.delayed(days=1e-4), [1.0])
    closest(run, later, 1e-4)


# --- stopping, outputs, order of asking -----------------------------------------------------


@given(stop=st.floats(0.0, 119.0))
@settings(max_examples=12, deadline=None)
def test_stopping_at_any_time_and_going_on_is_bitwise_the_same(patient, full, stop):
    state = SOLVER.state(patient, FULL, stop)
    assert stop - 1.0 < state.day <= stop
    rest = [day for day in TIMES if day >= stop]
    again = SOLVER.solve(patient, FULL, rest, start=state, save=Save(fields_at=(rest[-1],)))
    same(full, again)


def test_stopping_many_times_is_bitwise_the_same(patient, full):
    state = None
    for stop in (2.2, 3.25, 7.375, 7.5, 31.0, 64.9):
        state = SOLVER.state(patient, FULL, stop, start=state)
    again = SOLVER.solve(
        patient, FULL, [75.0, 120.0], start=state, save=Save(fields_at=(75.0,))
    )  # fmt: skip
    same(full, again)
    np.testing.assert_array_equal(
        again.tumour_density.sel(field_time=75.0), full.tumour_density.sel(field_time=75.0)
    )


def test_asking_for_more_outputs_changes_nothing(patient, full):
    more = sorted({*TIMES, *np.linspace(0.0, 120.0, 57), 7.3749, 33.31})
    run = SOLVER.solve(patient, FULL, more, save=Save(fields_at=(5.0, 5.5, 11.1, 75.0)))
    same(run, full)
    np.testing.assert_array_equal(
        run.tumour_density.sel(field_time=[5.0, 75.0]), full.tumour_density
    )


def test_an_output_between_grid_points_is_as_good_as_one_on_it(patient):
    """The side step to 10.5 day against a grid that has it."""
    regimen = Regimen(COURSE, Temozolomide())
    side = SOLVER.solve(patient, regimen, [10.5, 40.25])
    fine = FiniteElementSolver(step_day=0.25).solve(patient, regimen, [10.5, 40.25])
    closest(side, fine, 2e-3)


def test_threads_do_not_disturb_each_other(patient, full):
    fresh = patient.replace(structures=dict(patient.structures), mesh=patient.coarse_mesh)
    regimens = [FULL, Regimen(COURSE), FULL, Regimen(COURSE)]

    def solve(regimen):
        return SOLVER.solve(fresh, regimen, TIMES)

    with ThreadPoolExecutor(max_workers=4) as pool:
        together = list(pool.map(solve, regimens))
    for run, regimen in zip(together, regimens, strict=True):
        same(run, solve(regimen))


def test_arguments_stay_as_they_are(patient):
    state = SOLVER.state(patient, FULL, 5.0)
    before = {name: values.copy() for name, values in state.species.items()}
    SOLVER.solve(patient, FULL, [30.0], start=state)
    for name, values in before.items():
        np.testing.assert_array_equal(state.species[name], values)


# --- batches ---------------------------------------------------------------------------------


def batch_requests(patient):
    base = patient.parameters
    return [
        Request(Regimen(), base),
        Request(Regimen(COURSE), base.replace(alpha=0.05)),
        Request(Regimen(COURSE, Temozolomide()), base),
        Request(
            Regimen(Radiotherapy(total_dose_gy=40.05, fractions=15, start_day=21.0)),
            base.replace(proliferation_rate=0.06, diffusivity_white=0.26, diffusivity_grey=0.052),
        ),
        Request(
            Regimen(COURSE).delayed(days=10.2),
            base.replace(dead_clearance_half_life=20.0, proliferation_rate=0.015),
        ),
    ]


def within(a, b, share):
    """Whether each curve of `a` differs from that of `b` by less than a share of its peak."""
    return (np.abs(a - b).max(axis=-1) < share * b.max(axis=-1)).all()


def test_a_run_alone_or_in_a_batch(patient):
    """Single precision, and the union of all the runs' event times as the grid.

    Measured: 1e-6 of the peak volume where a run has the batch to itself,
    4e-5 among others (their event times split steps), 4e-4 of the density.
    """
    requests = batch_requests(patient)
    times = np.array([0.0, 30.0, 60.0, 100.0, 180.0])
    batch = solve_batch(patient, requests, times, fields_at=[60.0])
    for k, request in enumerate(requests):
        run = SOLVER.solve(
            patient.replace(parameters=request.parameters),
            request.regimen,
            times,
            save=Save(fields_at=(60.0,)),
        )
        soft = run.tumour_volume_soft.values
        assert within(batch.soft[k], soft, 1e-4)
        burden = run.tumour_burden.values / request.parameters.value("carrying_capacity")
        np.testing.assert_allclose(batch.viable[k], burden, rtol=1e-4)
        np.testing.assert_allclose(batch.density[k, 0], run.tumour_density[0], atol=1e-3)


def test_a_batch_measures_every_run_by_its_own_thresholds(patient):
    """Runs that differ in what is visible alone, against the solver one by one."""
    other = {"threshold_t1gd": 0.7, "threshold_flair": 0.22, "visibility_softness": 0.05}
    requests = [Request(Regimen(), patient.parameters)]
    requests.append(Request(Regimen(), patient.parameters.replace(**other)))
    times = np.array([0.0, 20.0, 60.0])
    batch = solve_batch(patient, requests, times)
    for k, request in enumerate(requests):
        own = patient.replace(parameters=request.parameters)
        run = FiniteElementSolver().solve(own, Regimen(), times)  # steps as a batch takes them
        assert within(batch.soft[k], run.tumour_volume_soft.values, 1e-4)


def test_a_batch_with_an_operation(patient):
    """The same numbers as one by one, before and after it, in the cavity as well."""
    resistant = patient.parameters.replace(alpha=0.02, proliferation_rate=0.02)
    requests = [Request(FULL, patient.parameters), Request(FULL, resistant)]
    times = np.array([0.0, 3.0, 3.25, 4.0, 30.0, 100.0, 180.0])
    batch = solve_batch(patient, requests, times, fields_at=[30.0])
    for k, request in enumerate(requests):
        run = SOLVER.solve(
            patient.replace(parameters=request.parameters),
            FULL,
            times,
            save=Save(fields_at=(30.0,)),
        )
        assert within(batch.soft[k], run.tumour_volume_soft.values, 1e-4)
        np.testing.assert_allclose(batch.density[k, 0], run.tumour_density[0], atol=1e-3)


def test_a_batch_of_one_and_of_many(patient):
    requests = batch_requests(patient)
    times = [0.0, 60.0, 180.0]
    many = solve_batch(patient, requests, times)
    for k in (2, 3):
        alone = solve_batch(patient, [requests[k]], times)
        assert within(alone.soft[0], many.soft[k], 1e-4)
        np.testing.assert_allclose(alone.viable[0], many.viable[k], rtol=1e-4)
    again = solve_batch(patient, requests, times)
    np.testing.assert_array_equal(again.soft, many.soft)
    wide = solve_batch(patient, requests * 4, times, threads=2)  # two blocks
    assert within(wide.soft[:5], many.soft, 1e-4)
    assert within(wide.soft[15:], many.soft, 1e-4)


def test_batches_refuse_what_they_cannot_do(patient):
    base = patient.parameters
    with pytest.raises(InvalidInput, match="need the same resections"):
        solve_batch(patient, [Request(FULL, base), Request(Regimen(), base)], [1.0])
    other = base.replace(diffusivity_grey=0.1)
    with pytest.raises(InvalidInput, match="one ratio of grey to white"):
        solve_batch(patient, [Request(Regimen(), base), Request(Regimen(), other)], [1.0])
    with pytest.raises(InvalidInput, match="field time"):
        solve_batch(patient, [Request(Regimen(), base)], [1.0], fields_at=[2.0])


# --- what treatment may and may not do -------------------------------------------------------


def test_nothing_given_changes_nothing(patient):
    times = [0.0, 10.5, 50.0, 90.0]
    free = SOLVER.solve(patient, Regimen(), times)
    no_dose = Regimen(Radiotherapy(total_dose_gy=0.0, fractions=30, start_day=7.0))
    same(SOLVER.solve(patient, no_dose, times), free)
    no_drug = Temozolomide(concurrent_mg_m2=0.0, first_cycle_mg_m2=0.0, later_cycles_mg_m2=0.0)
    same(SOLVER.solve(patient, Regimen(*no_dose.courses, no_drug), times), free)
    deaf = patient.replace(parameters=patient.parameters.replace(temozolomide_kill=0.0))
    same(SOLVER.solve(deaf, Regimen(*no_dose.courses, Temozolomide()), times), free)


def test_more_dose_never_means_more_tumour(patient):
    times = list(range(0, 181, 10))
    runs = [
        SOLVER.solve(
            patient,
            Regimen(Radiotherapy(total_dose_gy=dose, fractions=30, start_day=7.375)),
            times,
        )
        for dose in (0.0, 15.0, 30.0, 45.0, 60.0, 80.0)
    ]
    for less, more in itertools.pairwise(runs):
        for name in ("tumour_volume", "tumour_volume_soft", "tumour_burden"):
            assert (more[name].values <= less[name].values * (1 + 1e-9)).all()
        assert float(more.tumour_burden[-1]) < 0.95 * float(less.tumour_burden[-1])


def test_more_drug_never_means_more_tumour(patient):
    times = list(range(0, 181, 10))
    runs = [
        SOLVER.solve(
            patient.replace(parameters=patient.parameters.replace(temozolomide_kill=kill)),
            Regimen(COURSE, Temozolomide()),
            times,
        )
        for kill in (0.0, 6e-4, 1.2e-3, 5e-3)
    ]
    for less, more in itertools.pairwise(runs):
        for name in ("tumour_volume_soft", "tumour_burden"):
            assert (more[name].values <= less[name].values * (1 + 1e-9)).all()


def test_a_drug_kills_as_much_as_its_exposure_says(dilute):
    """Five daily doses in a dilute tumour: log-kill = kappa dose/clearance, 75 mg/m2 and 1.8 m2."""
    strong = dilute.replace(parameters=dilute.parameters.replace(temozolomide_kill=0.02))
    nodes = len(strong.mesh.points)
    nothing = np.zeros(nodes)
    start = State(-1.0, {"viable": np.full(nodes, 1e-6), "dead": nothing, "necrosis": nothing})
    drug = Regimen(
        Radiotherapy(total_dose_gy=0.0, fractions=5, start_day=0.35),
        Temozolomide(cycles=0),
    )
    ratio = (
        SOLVER.state(strong, drug, 9.0, start=start).species["viable"]
        / SOLVER.state(strong, Regimen(), 9.0, start=start).species["viable"]
    )
    lives = np.isfinite(ratio)
    expected = 0.02 * 5 * 75.0 * 1.8 / 10.0
    np.testing.assert_allclose(-np.log(ratio[lives]), expected, rtol=1e-4)


def test_resection_leaves_a_cavity_that_stays_empty(patient):
    day = 3.25
    times = [day - 1e-6, day, 10.0, 60.0, 120.0]
    run = SOLVER.solve(
        patient, Regimen(Resection(day=day)), times, save=Save(fields_at=tuple(times))
    )
    mesh = patient.mesh
    cavity = mesh.cells_labelled("enhancing", "necrosis")
    living = ~cavity & ~mesh.cells_labelled("fluid")
    inside = np.setdiff1d(np.unique(mesh.cells[cavity]), np.unique(mesh.cells[living]))
    assert len(inside) > 20
    density = run.tumour_density.values
    assert (density[0, inside] > 0.5).all()
    assert (density[1:, inside] == 0.0).all()
    burden = run.tumour_burden.values
    assert burden[1] < burden[0]
    assert burden[-1] > burden[1]  # the rest grows on
    assert float(run.tumour_volume.sel(threshold="t1gd")[1]) < 0.35 * float(
        run.tumour_volume.sel(threshold="t1gd")[0]
    )


def test_nothing_ever_lives_in_fluid(patient, full):
    mesh = patient.mesh
    living = np.unique(mesh.cells[~mesh.cells_labelled("fluid")])
    fluid = np.setdiff1d(np.arange(len(mesh.points)), living)
    assert len(fluid) > 100
    assert (full.tumour_density.values[:, fluid] == 0.0).all()


def test_without_treatment_it_grows_and_viable_tissue_keeps_its_bounds(patient):
    run = SOLVER.solve(patient, Regimen(), range(0, 361, 20))
    assert (np.diff(run.tumour_burden.values) > 0).all()
    whole = run.tumour_volume.sel(threshold="flair").values
    assert (np.diff(whole) >= 0).all()
    assert whole[5] > 2.0 * whole[0]
    for regimen in (Regimen(), FULL):
        for day in (20.0, 360.0):
            viable = SOLVER.state(patient, regimen, day).species["viable"]
            assert viable.min() >= 0.0
            assert viable.max() <= 1.0


RADIOSURGERY = Radiotherapy(
    total_dose_gy=20.0, fractions=1, start_day=7.375, ctv_margin_mm=0.0, ptv_margin_mm=0.0
)


@pytest.mark.parametrize(
    "regimen",
    [
        Regimen(),
        Regimen(COURSE),
        Regimen(COURSE, Temozolomide()),
        FULL,
        Regimen(RADIOSURGERY),
    ],
    ids=["none", "radiotherapy", "with temozolomide", "with resection", "radiosurgery"],
)
def test_no_place_ever_holds_more_than_there_is_room(patient, regimen):
    """Viable, dead and necrotic tissue together, every ten days of 360; necrosis stays dead."""
    mesh = patient.mesh
    necrotic = np.ones(len(mesh.points), bool)
    necrotic[mesh.cells[~mesh.cells_labelled("necrosis")].ravel()] = False
    assert necrotic.sum() >= 3
    state = None
    for day in np.arange(0.0, 361.0, 10.0):
        state = SOLVER.state(patient, regimen, float(day), start=state)
        species = state.species
        assert all(values.min() >= 0.0 for values in species.values())
        assert sum(species.values()).max() <= 1.0 + 1e-3
        assert (species["viable"][necrotic] == 0.0).all()
        assert (species["dead"][necrotic] == 0.0).all()
        assert (species["necrosis"][~necrotic] == 0.0).all()
        if not state.removed:
            assert (species["necrosis"][necrotic] > 0.8).all()


def test_a_density_beyond_its_room_is_refused(patient):
    state = SOLVER.state(patient, Regimen(), 5.0)
    viable = state.species["viable"]
    crowded = {**state.species, "viable": np.where(viable > 0.5, 1.2, viable)}
    with pytest.raises(NotConverged, match="it cannot pass 1"):
        SOLVER.solve(patient, Regimen(), [5.0], start=State(5.0, crowded))


def test_slow_clearance_is_no_failure(patient):
    """Cells migrate into what has died: the total may pass 1, whatever the step; viable may not."""
    slow = patient.replace(parameters=patient.parameters.replace(dead_clearance_half_life=240.0))
    SOLVER.solve(slow, Regimen(RADIOSURGERY), range(0, 361, 20))


def test_capped_slivers_do_not_change_volumes(patient, monkeypatch):
    """After a resection nodes at the cavity are capped: below 0.1 % of the volumes.

    By a harder cap than the solver's, which finds nothing to cap on this mesh.
    """
    harder = 1.5
    assert harder < operators.SLIVER_CAP
    times = range(0, 361, 30)

    def run(cap):
        monkeypatch.setattr(operators, "SLIVER_CAP", cap)
        fresh = patient.replace(tissues=patient.tissues.copy())  # prepared anew
        after = prepare(fresh).diffusion(fresh.parameters, ("core",))
        return SOLVER.solve(fresh, FULL, times), after

    (capped, narrow), (free, wide) = run(harder), run(1e6)
    assert narrow.largest_eigenvalue < wide.largest_eigenvalue
    changed = narrow.transmissibility != wide.transmissibility
    assert 0 < changed.mean() < 0.01
    for name in ("tumour_volume", "tumour_volume_soft", "tumour_burden"):
        error = np.abs(capped[name].values - free[name].values)
        seen = free[name].values > 1.0  # [mm3] or cells: below, there is nothing to compare
        assert seen.mean() > 0.5
        assert (error <= 1e-3 * free[name].values)[seen].all()
        assert error[~seen].max(initial=0.0) < 1e-3


def test_dead_tissue_stays_visible_until_it_is_cleared(patient):
    """One large fraction without growth: visible tissue falls as viable + dead exp(-t ln2/T)."""
    quiet = patient.replace(
        parameters=patient.parameters.replace(
            proliferation_rate=0.0027, diffusivity_white=0.005, diffusivity_grey=0.001,
            alpha=0.35, dead_clearance_half_life=10.0,
        )
    )  # fmt: skip
    regimen = Regimen(Radiotherapy(total_dose_gy=20.0, fractions=1, start_day=0.0))
    run = SOLVER.solve(quiet, regimen, [0.0, 10.0, 20.0], save=Save(fields_at=(0.0, 10.0, 20.0)))
    near = np.linalg.norm(quiet.mesh.points - [6.0, 2.0, 4.0], axis=1)
    rim = (near > 6.5) & (near < 8.0)  # no necrosis here
    density = run.tumour_density.values[:, rim]
    np.testing.assert_allclose(density[1] / density[0], 0.5, rtol=1e-3)
    np.testing.assert_allclose(density[2] / density[0], 0.25, rtol=1e-3)


def test_the_steps_are_fine_enough(patient):
    """The error of daily steps, and of those that the solver chooses, against short ones."""
    regimen = Regimen(Radiotherapy(total_dose_gy=60.0, fractions=30, start_day=8.0), Temozolomide())

    def volumes(step_day):
        solver = FiniteElementSolver(step_day=step_day)
        return solver.solve(patient, regimen, [0.0, 56.0, 120.0]).tumour_volume_soft.values[:, 1:]

    fine = volumes(0.125)
    error = {step: np.abs(volumes(step) / fine - 1).max() for step in (1.0, None)}
    assert error[1.0] < 2e-4
    assert error[None] < 1e-3


def test_steps_adapt_to_a_tolerance(patient):
    """The error over 100 days keeps the tolerance, and going on changes nothing."""
    regimen = Regimen(Radiotherapy(total_dose_gy=60.0, fractions=10, start_day=8.0))
    fine = FiniteElementSolver(step_day=0.125).solve(patient, regimen, [50.0, 100.0])
    for tolerance in (1e-3, 1e-5):
        solver = FiniteElementSolver(step_day=5.0, tolerance=tolerance)
        run = solver.solve(patient, regimen, [50.0, 100.0])
        error = np.abs(run.tumour_burden.values / fine.tumour_burden.values - 1)
        assert error.max() < tolerance
    state = solver.state(patient, regimen, 37.0)
    same(solver.solve(patient, regimen, [50.0, 100.0], start=state), run)
    many = solver.solve(patient, regimen, [10.0, 13.3, 50.0, 77.7, 100.0])
    same(many, run)
    with pytest.raises(InvalidInput, match="tolerance in time"):
        FiniteElementSolver(tolerance=0.0)


def test_volumes_between_the_steps(patient):
    """Outputs inside a step against those of a run that steps there."""
    days = [2.0, 10.0, 40.0, 41.0, 100.0]
    regimen = Regimen(Radiotherapy(total_dose_gy=60.0, fractions=20, start_day=8.375))
    wide = FiniteElementSolver(step_day=3.0).solve(patient, regimen, days)
    narrow = FiniteElementSolver(step_day=0.25).solve(patient, regimen, days)
    for name in ("tumour_volume_soft", "tumour_burden"):
        np.testing.assert_allclose(wide[name].values, narrow[name].values, rtol=4e-4)


# --- one clear sentence ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("times", "sentence"),
    [
        ([0.0, 5.0, 3.0], "must increase strictly"),
        ([0.0, 5.0, 5.0], "must increase strictly"),
        ([0.0, np.nan], "not finite"),
        ([0.0, np.inf], "not finite"),
        ([-1.0, 5.0], "day -1, before the run begins at 0"),
    ],
)
def test_bad_times_are_refused(patient, times, sentence):
    with pytest.raises(InvalidInput, match=sentence):
        SOLVER.solve(patient, Regimen(), times)
    if len(set(times)) == len(times):
        with pytest.raises(InvalidInput, match=sentence):
            SOLVER.solve(patient, Regimen(), [1.0], save=Save(fields_at=tuple(times)))


def test_an_output_before_the_state_is_refused(patient):
    state = SOLVER.state(patient, Regimen(), 20.0)
    with pytest.raises(InvalidInput, match="before the run begins at 20"):
        SOLVER.solve(patient, Regimen(), [19.0], start=state)
    with pytest.raises(InvalidInput, match="before the run begins at 20"):
        SOLVER.state(patient, Regimen(), 19.0, start=state)


def test_an_unknown_structure_is_refused(patient):
    with pytest.raises(InvalidInput, match="no structure 'lobe'"):
        SOLVER.solve(patient, Regimen(Resection(day=2.0, structure="lobe")), [5.0])
    course = Radiotherapy(total_dose_gy=60.0, fractions=30, start_day=1.0, target="lobe")
    with pytest.raises(InvalidInput, match="no structure 'lobe'"):
        SOLVER.solve(patient, Regimen(course), [5.0])


@pytest.mark.parametrize("step_day", [0.0, -1.0, np.nan, 31.0])
def test_a_bad_step_is_refused(step_day):
    with pytest.raises(InvalidInput, match="The step is"):
        FiniteElementSolver(step_day=step_day)


def test_a_bad_profile_is_refused():
    with pytest.raises(InvalidInput, match="may be 'settled' or 'step'"):
        FiniteElementSolver(profile="flat")


@pytest.mark.parametrize("level", [0.0, 1.0, np.nan])
def test_a_bad_threshold_is_refused(patient, level):
    with pytest.raises(InvalidInput, match="must lie between 0 and 1"):
        SOLVER.solve(patient, Regimen(), [1.0], save=Save(thresholds={"mine": level}))


def test_thresholds_of_ones_own(patient):
    run = SOLVER.solve(patient, Regimen(), [0.0], save=Save(thresholds={"a": 0.1, "b": 0.5}))
    assert list(run.threshold.values) == ["a", "b"]
    assert float(run.tumour_volume[0, 0]) > float(run.tumour_volume[1, 0]) > 0.0
