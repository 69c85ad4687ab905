"""Targets, geometric dose, and the days of treatment worked out by hand."""

import datetime as dt
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from small_patient import write_small_patient

import twin
from twin import dose
from twin.calendar import Calendar
from twin.courses import Radiotherapy, Resection, Temozolomide
from twin.dose import dose_maps
from twin.errors import InvalidInput
from twin.events import Fraction, ResectionEvent
from twin.patient import Grid, Structure
from twin.regimen import Regimen
from twin.targets import clinical_target, distance_to, planning_target, structure_mask

CALENDAR = Calendar(dt.date(2026, 3, 30))  # a Monday


def course(**changes):
    values = {"total_dose_gy": 60.0, "fractions": 30, "start_day": 28.0, **changes}
    return Radiotherapy(**values)


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    return twin.load(write_small_patient(tmp_path_factory.mktemp("patient")))


CORE_MM = 8.0


@pytest.fixture(scope="module")
def round_patient(patient):
    """A head of white matter on voxels of 1 mm with a core of 8 mm about its centre."""
    side = 71
    affine = np.eye(4)
    affine[:3, 3] = -(side - 1) / 2
    grid = Grid((side,) * 3, affine)
    radius = np.linalg.norm(grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1)), axis=-1)
    masks = {
        "necrosis": radius < 4.0,
        "enhancing": (radius >= 4.0) & (radius < CORE_MM),
        "flair": (radius >= CORE_MM) & (radius < 12.0),
        "brain": radius < 33.0,
    }
    return patient.replace(
        grid=grid,
        tissues=np.where(radius < 33.0, 3, 0),
        image=None,
        structures={
            name: Structure(mask, "organ" if name == "brain" else "tumour")
            for name, mask in masks.items()
        },
    )


@pytest.mark.parametrize(("ctv", "ptv"), [(15.0, 3.0), (10.0, 5.0), (0.0, 0.0), (5.0, 0.0)])
def test_target_volumes_of_a_ball(round_patient, ctv, ptv):
    plan = course(ctv_margin_mm=ctv, ptv_margin_mm=ptv)
    clinical = clinical_target(round_patient, plan)
    planning = planning_target(round_patient, plan)
    for mask, wanted, margins in (
        (clinical, CORE_MM + ctv, [ctv]),
        (planning, CORE_MM + ctv + ptv, [ctv, ptv]),
    ):
        radius = np.cbrt(3 / 4 / np.pi * mask.sum())
        # distances from voxel centre to voxel centre, less half a voxel: up to 0.3 mm
        # too much is taken in by each margin, where the surface is oblique to the voxels
        steps = sum(margin > 0 for margin in margins)
        assert wanted - 0.1 <= radius <= wanted + 0.3 * steps
    assert (planning | ~clinical).all()


def test_distance_to_a_plane_is_exact():
    mask = np.zeros((20, 3, 3), bool)
    mask[:8] = True
    found = distance_to(mask, 2.0)[:, 1, 1]
    np.testing.assert_allclose(found, 2.0 * (np.arange(20) - 7.5))


def test_clinical_target_keeps_within_margin_and_tissue(patient):
    plan = course(ctv_margin_mm=8.0)
    clinical = clinical_target(patient, plan)
    gross = structure_mask(patient, "gtv")
    grid = patient.grid
    tree = cKDTree(grid.to_world(np.argwhere(gross)))
    reach, _ = tree.query(grid.to_world(np.argwhere(clinical)))
    assert reach.max() <= 8.0 + 0.5 * grid.spacing_mm + 1e-6
    assert reach.max() > 8.0 - grid.spacing_mm
    assert (clinical | ~gross).all()
    assert (patient.tissues[clinical & ~gross] > 1).all()
    everything = np.argwhere((patient.tissues > 1) & ~clinical)
    left_out, _ = tree.query(grid.to_world(everything))
    assert left_out.min() > 8.0  # nothing within the margin is forgotten


def test_clinical_target_stops_at_a_sheet_of_fluid(round_patient):
    """A falx without a gap: what lies behind it is near, but not reached."""
    tissues = round_patient.tissues.copy()
    tissues[45:47] = 1  # 10 mm from the centre
    parted = round_patient.replace(tissues=tissues)
    clinical = clinical_target(parted, course())
    assert not clinical[45:].any()
    assert clinical[44].any()
    open_falx = tissues.copy()
    open_falx[45:47, 34:37, 34:37] = 3
    around = clinical_target(parted.replace(tissues=open_falx), course())
    assert around[47:].any()
    # the planning margin is about set-up, so it does cross
    assert planning_target(parted, course())[45:47].any()


@pytest.mark.parametrize("fixture", ["patient", "round_patient"])
@pytest.mark.parametrize(
    ("total", "fractions", "ctv"), [(60.0, 30, 15.0), (40.05, 15, 15.0), (30.0, 10, 5.0)]
)
def test_coverage_of_the_target(request, fixture, total, fractions, ctv):
    who = request.getfixturevalue(fixture)
    plan = course(total_dose_gy=total, fractions=fractions, ctv_margin_mm=ctv)
    (found,) = dose_maps(who, Regimen(plan))
    inside = found.total_gy[planning_target(who, plan)]
    assert np.median(inside) == pytest.approx(total, rel=1e-3)
    assert np.percentile(inside, 2) >= 0.95 * total
    assert found.d50_gy == pytest.approx(np.median(inside), rel=1e-6)
    assert found.d98_gy == pytest.approx(np.percentile(inside, 2), rel=1e-6)
    assert found.total_gy.min() >= 0.0
    assert found.total_gy.max() < 1.07 * total  # ICRU 50
    assert found.fractions == fractions
    np.testing.assert_allclose(found.per_fraction_gy * fractions, found.total_gy, rtol=1e-6)


def test_dose_falls_with_distance_from_the_target(round_patient):
    (found,) = dose_maps(round_patient, Regimen(course(ctv_margin_mm=5.0)))
    line = found.total_gy[35:, 35, 35]  # from the centre outwards
    assert (np.diff(line) <= 1e-4).all()
    edge = CORE_MM + 5.0 + 3.0
    assert line[0] > 0.95 * 60
    assert line[int(edge) + 15] < 0.25 * 60


def test_a_boost_reaches_its_dose_and_spares_the_rest(round_patient):
    plain = course()
    boosted = course(boost_target="enhancing", boost_total_dose_gy=75.0)
    (before,), (after,) = (dose_maps(round_patient, Regimen(c)) for c in (plain, boosted))
    core = structure_mask(round_patient, "gtv")
    assert np.median(after.total_gy[core]) == pytest.approx(75.0, rel=1e-3)
    assert np.percentile(after.total_gy[core], 2) >= 0.95 * 75.0 - 1.0
    assert (after.total_gy >= before.total_gy - 1e-4).all()
    far = distance_to(core, 1.0) > 16.0
    np.testing.assert_allclose(after.total_gy[far], before.total_gy[far], atol=0.2)


def test_doses_do_not_depend_on_the_day(patient):
    first, second = dose_maps(patient, Regimen(course(), course(start_day=100.5)))
    np.testing.assert_array_equal(first.total_gy, second.total_gy)


def test_an_empty_target_is_refused(patient):
    empty = {
        **patient.structures,
        "bone": Structure(np.zeros(patient.grid.shape, bool), "organ"),
    }
    with pytest.raises(InvalidInput, match="'bone' is empty"):
        planning_target(patient.replace(structures=empty), course(target="bone"))
    with pytest.raises(InvalidInput, match="no structure 'bone'"):
        planning_target(patient, course(target="bone"))


# --- days, by hand ---------------------------------------------------------------------------


def dates(days):
    return [CALENDAR.date(day) for day in days]


@pytest.fixture
def shapes_made(monkeypatch):
    """The relative doses made during a test, which begins with none remembered."""
    made, make = [], dose.conformal

    def counted(distance_mm, inside, bath):
        made.append(int(inside.sum()))
        return make(distance_mm, inside, bath)

    monkeypatch.setattr(dose, "conformal", counted)
    monkeypatch.setattr(dose, "_shapes", {})
    return made


def test_a_shape_is_made_once_whatever_is_prescribed(patient, shapes_made):
    sixty = dose_maps(patient, Regimen(course()))[0]
    forty = dose_maps(patient, Regimen(course(total_dose_gy=40.05, fractions=15)))[0]
    later = dose_maps(patient, Regimen(course(start_day=50.0, weekdays_only=False)))[0]
    assert len(shapes_made) == 1
    np.testing.assert_allclose(forty.total_gy, sixty.total_gy * (40.05 / 60.0), rtol=1e-6)
    np.testing.assert_array_equal(later.total_gy, sixty.total_gy)
    boost = course(boost_target="enhancing", boost_total_dose_gy=75.0)
    more = course(boost_target="enhancing", boost_total_dose_gy=80.0)
    boosted = dose_maps(patient, Regimen(boost, more))
    assert len(shapes_made) == 2  # the boost's own
    assert (boosted[1].total_gy >= boosted[0].total_gy).all()
    again = dose_maps(patient, Regimen(course()))[0]
    np.testing.assert_array_equal(again.total_gy, sixty.total_gy)


def test_another_anatomy_target_or_margin_is_another_shape(patient, shapes_made):
    rim, oedema = (patient.structures[name].mask for name in ("enhancing", "flair"))
    half = oedema & (np.indices(oedema.shape)[0] > np.argwhere(oedema)[:, 0].mean())
    structures = {
        **patient.structures,
        "enhancing": Structure(rim | half, "tumour"),
        "flair": Structure(oedema & ~half, "tumour"),
    }
    for other in (patient, patient.replace(structures=structures)):
        for changes in ({}, {"ctv_margin_mm": 5.0}, {"ptv_margin_mm": 0.0}, {"target": "flair"}):
            dose_maps(other, Regimen(course(**changes)))
    assert len(shapes_made) == 8
    assert len(set(shapes_made)) > 5
    for margin in np.linspace(1.0, 9.0, 17):
        dose_maps(patient, Regimen(course(ctv_margin_mm=float(margin))))
    assert len(dose._shapes) == 16


def test_threads_make_a_shape_once(patient, shapes_made):
    doses = [30.0, 40.0, 50.0, 60.0] * 2
    with ThreadPoolExecutor(max_workers=8) as pool:
        maps = list(
            pool.map(lambda d: dose_maps(patient, Regimen(course(total_dose_gy=d)))[0], doses)
        )
    assert len(shapes_made) == 1
    for total, found in zip(doses, maps, strict=True):
        np.testing.assert_allclose(found.total_gy, maps[0].total_gy * (total / 30.0), rtol=1e-6)


def test_sixty_gray_in_thirty_from_monday_27_april():
    days = course(start_day=28.375).fraction_days(CALENDAR)
    found = dates(days)
    assert found[0] == dt.date(2026, 4, 27)
    assert found[4] == dt.date(2026, 5, 1)  # Friday
    assert found[5] == dt.date(2026, 5, 4)  # Monday
    assert found[-1] == dt.date(2026, 6, 5)
    assert len(set(found)) == 30
    assert all(day % 1.0 == 0.375 for day in days)


def test_a_start_on_a_weekend_waits_for_monday():
    # day 5 is Saturday 4 April
    assert dates(course(start_day=5.0, fractions=2).fraction_days(CALENDAR)) == [
        dt.date(2026, 4, 6),
        dt.date(2026, 4, 7),
    ]
    daily = course(start_day=5.0, fractions=3, weekdays_only=False)
    assert daily.fraction_days(CALENDAR) == [5.0, 6.0, 7.0]


@given(minute=st.integers(-400 * 1440, 800 * 1440), fractions=st.integers(1, 40))
@settings(max_examples=100, deadline=None)
def test_fractions_are_on_weekdays_and_on_every_one(minute, fractions):
    start = minute / 1440
    days = course(start_day=start, fractions=fractions, total_dose_gy=40.0).fraction_days(CALENDAR)
    assert len(days) == fractions
    assert days[0] >= start
    found = dates(days)
    assert all(date.weekday() < 5 for date in found)
    expected = np.busday_offset(found[0], np.arange(fractions), roll="forward")
    assert [np.datetime64(date) for date in found] == list(expected)


def doses_by_date(radiotherapy, **changes):
    schedule = Regimen(radiotherapy, Temozolomide(**changes)).schedule(CALENDAR)
    return [(CALENDAR.date(dose.day), dose.mg_m2) for dose in schedule.drug_doses]


def test_temozolomide_with_sixty_gray_in_thirty():
    """Stupp 2005: Monday 27 April to Friday 5 June, then from 3 July six times five days."""
    given_ = doses_by_date(course(start_day=28.0))
    concurrent = [date for date, amount in given_ if amount == 75.0]
    assert concurrent == [dt.date(2026, 4, 27) + dt.timedelta(days=k) for k in range(40)]
    assert concurrent[-1] == dt.date(2026, 6, 5)
    cycles = [
        dt.date(2026, 7, 3), dt.date(2026, 7, 31), dt.date(2026, 8, 28),
        dt.date(2026, 9, 25), dt.date(2026, 10, 23), dt.date(2026, 11, 20),
    ]  # fmt: skip
    later = [(date, amount) for date, amount in given_ if amount != 75.0]
    assert later == [
        (first + dt.timedelta(days=k), 150.0 if first == cycles[0] else 200.0)
        for first in cycles
        for k in range(5)
    ]


def test_temozolomide_from_a_wednesday_lasts_42_days():
    given_ = doses_by_date(course(start_day=30.0), cycles=0)  # Wednesday 29 April
    assert len(given_) == 42
    assert given_[-1] == (dt.date(2026, 6, 9), 75.0)


def test_temozolomide_stops_after_49_days():
    """Forty fractions take 54 days; the cycles count from the last fraction."""
    given_ = doses_by_date(course(fractions=40, total_dose_gy=72.0), cycles=1)
    concurrent = [date for date, amount in given_ if amount == 75.0]
    assert len(concurrent) == 49
    assert concurrent[-1] == dt.date(2026, 6, 14)
    assert given_[49][0] == dt.date(2026, 6, 19) + dt.timedelta(days=28)


@given(minute=st.integers(0, 60 * 1440), fractions=st.integers(1, 30))
@settings(max_examples=100, deadline=None)
def test_temozolomide_is_given_on_every_day_from_first_to_last_fraction(minute, fractions):
    """Whatever the hour: 0.35 + 4 - 0.35 is a little less than 4."""
    radiotherapy = course(start_day=minute / 1440, fractions=fractions, total_dose_gy=30.0)
    schedule = Regimen(radiotherapy, Temozolomide(cycles=0)).schedule(CALENDAR)
    first, last = dates([schedule.fractions[0].day, schedule.fractions[-1].day])
    expected = [first + dt.timedelta(days=k) for k in range((last - first).days + 1)]
    assert dates([dose.day for dose in schedule.drug_doses]) == expected
    sentence = Temozolomide(cycles=0).describe(CALENDAR, (radiotherapy,))
    assert f"for {len(expected)} days" in sentence


def test_temozolomide_without_radiotherapy_is_refused():
    with pytest.raises(InvalidInput, match="no radiotherapy"):
        Regimen(Temozolomide()).schedule(CALENDAR)


def test_order_at_one_instant():
    """Resection, then the drug, then the fraction."""
    schedule = Regimen(
        course(start_day=28.0, fractions=1, total_dose_gy=8.0),
        Temozolomide(cycles=0),
        Resection(day=28.0),
    ).schedule(CALENDAR)
    kinds = [type(event).__name__ for event in schedule.events]
    assert kinds == ["ResectionEvent", "DrugDose", "Fraction"]
    assert schedule.resections == (ResectionEvent(28.0, "core"),)
    assert schedule.fractions == (Fraction(28.0, 0, 8.0),)


def test_a_delay_moves_radiotherapy_and_its_drug():
    regimen = Regimen(course(start_day=28.0), Temozolomide())
    late = regimen.delayed(days=14.0)
    before, after = (r.schedule(CALENDAR) for r in (regimen, late))
    for one, other in zip(before.events, after.events, strict=True):
        assert other.day - one.day == 14.0  # two whole weeks: the same weekdays


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"total_dose_gy": -1.0}, "prescribed dose is -1 Gy"),
        ({"total_dose_gy": np.nan}, "prescribed dose is nan Gy"),
        ({"total_dose_gy": 100.0, "fractions": 2}, "dose per fraction is 50 Gy"),
        ({"fractions": 0}, "0 fractions"),
        ({"fractions": 2.5}, "2.5 fractions"),
        ({"start_day": np.inf}, "start of radiotherapy is inf"),
        ({"ctv_margin_mm": -1.0}, "clinical margin is -1 mm"),
        ({"boost_target": "enhancing"}, "both a target and a total dose"),
        ({"boost_target": "enhancing", "boost_total_dose_gy": 50.0}, "between 60 and 200 Gy"),
    ],
)
def test_bad_prescriptions_are_refused(changes, sentence):
    with pytest.raises(InvalidInput, match=sentence):
        course(**changes)
