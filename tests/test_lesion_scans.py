"""Categories by diameters, times and pseudo-progression, by series whose course is plain."""

import datetime as dt
import json
import math

import numpy as np
import pytest
from small_patient import write_small_patient
from synthetic_results import ball_twin, radius_mm, synthetic_results

import twin as twin_package
from scenarios import Case, Study, compare
from scenarios.lesion_scans import CRITERIA, disagreements, read_lesion_scans
from scenarios.lesion_sizes import lesion_sizes
from scenarios.pseudo_progression import PseudoProgression, gives_drug_with_radiotherapy
from scenarios.scans import ScanCalendar, read_scans
from scenarios.study_file import StudyFile
from solvers import FiniteElementSolver, TorchSolver
from solvers.prepared import prepare
from twin.calendar import Calendar
from twin.courses import Radiotherapy, Resection, Temozolomide
from twin.errors import InvalidInput
from twin.growth_times import day_of_volume, days_gained, delay, doubling_time
from twin.protocol import Save
from twin.regimen import Regimen
from viz.scan_timeline import scan_timeline
from viz.subject import Subject

RADIOTHERAPY = Radiotherapy(total_dose_gy=60.0, fractions=30, start_day=28.0)
DAYS = [88.0, 144.0, 200.0, 256.0]


def read(name, sizes, days=DAYS, measurable=None, last=60.0):
    return read_lesion_scans(
        days[: len(sizes)], sizes, [True] * len(sizes) if measurable is None else measurable,
        criterion=CRITERIA[name], calendar=ScanCalendar(), last_fraction=last,
    )  # fmt: skip


def categories(found):
    return [scan.category for scan in found.scans]


def test_rano_by_products_of_diameters():
    """50 % less is a partial response, 25 % over the least is progression, both inclusive."""
    found = read("rano", [600.0, 300.0, 299.0, 374.0])
    assert categories(found) == ["baseline", "PR", "PR", "PD"]
    assert found.progression == (200.0, 256.0)
    assert categories(read("rano", [600.0, 301.0, 300.0, 374.0])) == ["baseline", "SD", "PR", "SD"]


def test_recist_by_sums_of_diameters():
    """30 % less; 20 % and 5 mm over the least: 20 to 24 mm is 20 % but 4 mm."""
    assert categories(read("recist", [100.0, 70.0, 20.0, 24.0])) == ["baseline", "PR", "PR", "PR"]
    found = read("recist", [100.0, 70.0, 60.0, 72.0])
    assert categories(found) == ["baseline", "PR", "PR", "PD"]


def test_only_rano_asks_for_confirmation_soon_after_radiotherapy():
    days = [88.0, 130.0, 172.0]
    assert categories(read("rano", [400.0, 600.0, 410.0], days)) == ["baseline", "PD?", "SD"]
    assert categories(read("recist", [20.0, 30.0, 21.0], days)) == ["baseline", "PD", "SD"]


def test_what_cannot_be_measured_does_not_progress():
    small = read("rano", [0.0, 36.0, 81.0, 120.0], measurable=[False, False, False, True])
    assert categories(small) == ["baseline", "SD", "SD", "PD"]
    assert categories(read("recist", [30.0, 0.0, 0.0, 12.0])) == ["baseline", "CR", "CR", "PD"]
    late = read("recist", [30.0, 0.0, 0.0, 7.0], measurable=[True, False, False, False])
    assert categories(late)[-1] == "SD"


def test_criteria_that_disagree_are_told():
    """A tumour twice as large by volume, 1.5 times by product and 1.25 by diameter."""
    factor = np.array([1.0, 1.0, 1.38, 1.38])
    volume = read_scans(DAYS, 1e4 * factor, calendar=ScanCalendar(), last_fraction=60.0)
    by = {
        "rano": {"arm": read("rano", 700.0 * factor ** (2 / 3))},
        "recist": {"arm": read("recist", 27.0 * factor ** (1 / 3))},
    }
    assert volume.progression is None  # 38 % is under 40 %
    assert by["rano"]["arm"].progression is None  # 1.38^(2/3) = 1.24
    assert disagreements({"arm": volume}, by) == []
    by["rano"]["arm"] = read("rano", [700.0, 700.0, 900.0, 900.0])
    (sentence,) = disagreements({"arm": volume}, by)
    assert "RANO 2.0 by diameters says SD, progression between day 144 and 200" in sentence
    assert "RANO 2.0 by volume says SD;" in sentence


@pytest.fixture(scope="module")
def ball():
    twin = ball_twin()
    study = Study(
        {
            "no treatment": Regimen(),
            "60 Gy": Regimen(RADIOTHERAPY),
            "operated": Regimen(Resection(day=10.0), RADIOTHERAPY, Temozolomide()),
        },
        days=399.0,
        fields_every_days=14.0,
        scans=ScanCalendar(slice_mm=2.0),
    )
    results = synthetic_results(twin)
    return twin, study, results, lesion_sizes(study, twin, results["tumour_density"].values)


def test_lesions_of_a_ball_with_a_necrotic_core(ball):
    """Outline of radius r; the mesh's necrosis of 5 mm is left out: a ring of r and 5 mm."""
    sizes = ball[3]
    days = sizes["scan_day"][1][0]
    assert days[:3].tolist() == [0.0, 56.0, 112.0]
    for k, day in enumerate(days[:6]):
        radius = radius_mm(0, day)
        longest = sizes["lesion_longest_diameter"][1][0, k]
        # above and below the core a slice is whole: 2 sqrt(r^2 - 5^2) at its rim; edges are 3.7 mm
        assert longest == pytest.approx(2.0 * np.sqrt(radius**2 - 25.0), abs=2.0)
    assert sizes["lesion_count"][1][0, 0] == 1
    # removed, and then irradiated to 7 mm, inside the cavity of 10 mm
    assert sizes["lesion_count"][1][2, 0] == sizes["lesion_longest"][1][2, 0] == 0


def test_the_comparison_shows_all_criteria(ball):
    results, sizes = ball[2:]
    results = results.assign({name: entry[:2] for name, entry in sizes.items()})
    stored = json.loads(results.attrs["study"]) | {"fields_every_days": 14.0}
    stored["scans"] = {"slice_mm": 2.0, "criteria": "recist"}
    results.attrs |= {"fields_case": "expected", "study": json.dumps(stored)}
    comparison = compare(results)
    assert list(comparison.response.by_diameters) == ["recist", "rano"]
    text = str(comparison)
    assert "Scans by each criterion" in text
    assert text.index("RECIST 1.1") < text.index("RANO 2.0 by diameters")
    assert json.dumps(comparison.as_dict())
    assert set(comparison.as_dict()["scans_by_diameters"]) == {"rano", "recist"}
    assert compare(results, case="faster growth").response.by_diameters == {}
    words = [one.get_text() for one in scan_timeline(Subject(results, None)).axes[0].texts]
    assert words.count("RECIST 1.1") == 3
    assert words.count("RANO 2.0 by volume") == 3


def test_days_gained_is_neals():
    """Exponential growth of doubling time 30 d; treated: half of it from day 0 on."""
    days = np.arange(0.0, 301.0)
    untreated = 10.0 * 2.0 ** (days / 30.0)
    for date in (60.0, 200.0):
        low, high = days_gained(days, 0.5 * untreated, untreated, date)
        assert low == high == pytest.approx(30.0, abs=0.01)
    assert days_gained(days, np.full(301, 5.0), untreated, 100.0) == (100.0, math.inf)
    assert day_of_volume(days, untreated, 1e9) == (300.0, math.inf)
    with pytest.raises(InvalidInput, match="outside the curve"):
        days_gained(days, untreated, untreated, 301.0)


def test_delay_is_against_the_other_arm_and_keeps_its_bounds():
    assert delay((208.0, 264.0), (96.0, 152.0)) == (56.0, 168.0)
    assert delay((300.0, 300.0), (120.0, 120.0)) == (180.0, 180.0)
    assert delay((540.0, math.inf), (540.0, math.inf)) == (-math.inf, math.inf)


def test_doubling_time_of_a_growing_sphere():
    """A radius from 10 to 20 mm in 90 days: three doublings."""
    assert doubling_time(0.0, 10.0**3, 90.0, 20.0**3) == pytest.approx(30.0)
    assert doubling_time(0.0, 2.0, 10.0, 1.0) == pytest.approx(-10.0)
    assert doubling_time(0.0, 2.0, 10.0, 2.0) == math.inf
    with pytest.raises(InvalidInput, match="two volumes"):
        doubling_time(0.0, 0.0, 10.0, 2.0)


def test_times_stand_in_the_comparison_under_two_names(ball):
    results = ball[2]
    found = compare(results).response.times["t1gd"]
    names = [str(name) for name in results["scenario"].values]
    assert found[names[0]].gained is None
    low, high = found[names[1]].gained
    curve = results["tumour_volume_soft"].sel(case="expected", threshold="t1gd")
    date = found[names[1]].date
    treated = float(curve.sel(scenario=names[1]).interp(time=date))
    if math.isfinite(high):
        at = float(curve.sel(scenario=names[0]).interp(time=date - low))
        assert at == pytest.approx(treated, rel=1e-3)
    else:
        assert treated < float(curve.sel(scenario=names[0])[0])
    # 55.4 d without treatment, not reached in 400 d with it
    assert found[names[1]].delayed == (pytest.approx(400.0 - 55.4), math.inf)


def test_pseudo_progression_rises_and_falls():
    one = PseudoProgression(incidence=0.3, enlargement=0.5, peak_day=42.0, end_day=168.0)
    factor = one.factor([0.0, 60.0, 81.0, 102.0, 165.0, 228.0, 400.0], 60.0)
    assert factor.tolist() == pytest.approx([1.0, 1.0, 1.25, 1.5, 1.25, 1.0, 1.0])
    with pytest.raises(InvalidInput, match="incidence"):
        PseudoProgression(incidence=1.2, enlargement=0.5, peak_day=42.0, end_day=168.0)
    with pytest.raises(InvalidInput, match="peak"):
        PseudoProgression(incidence=0.2, enlargement=0.5, peak_day=42.0, end_day=30.0)


def test_pseudo_progression_is_of_chemoradiation():
    calendar = Calendar(dt.date(2026, 3, 30))
    assert not gives_drug_with_radiotherapy(Regimen(RADIOTHERAPY), calendar)
    assert not gives_drug_with_radiotherapy(Regimen(), calendar)
    assert gives_drug_with_radiotherapy(Regimen(RADIOTHERAPY, Temozolomide()), calendar)
    later = Regimen(RADIOTHERAPY, Temozolomide(concurrent_mg_m2=0.0))
    assert not gives_drug_with_radiotherapy(later, calendar)


def test_categories_are_weighed_by_its_incidence(ball):
    results = ball[2].copy()
    stored = json.loads(results.attrs["study"])
    stored["scans"] = {"pseudo_progression": True, "every_day": 28.0}
    results.attrs["study"] = json.dumps(stored)
    before = results["tumour_volume_soft"].values.copy()
    comparison = compare(results)
    assert (results["tumour_volume_soft"].values == before).all()
    (name,) = comparison.response.pseudo_progression
    assert name == "resection & temozolomide"
    weighed = comparison.response.pseudo_progression[name]
    assert comparison.scans[name] == weighed.without
    for each in weighed.probabilities():
        assert sum(each.values()) == pytest.approx(1.0)
    changed = sum(len(each) > 1 for each in weighed.probabilities())
    assert changed == len(weighed.changed)
    assert f"{changed} of" in str(comparison) or "none of" in str(comparison)
    assert (
        comparison.response.pseudo_progression[name].drawn
        == compare(results).response.pseudo_progression[name].drawn
    )
    json.dumps(comparison.as_dict())


def test_the_study_file_has_them():
    table = {
        "format": 1,
        "patient": "patient.toml",
        "scenario": [{"name": "none"}],
        "scans": {"slice": "3 mm", "criteria": "recist", "pseudo_progression": True},
    }
    scans = StudyFile.model_validate(table).study().scans
    assert scans == ScanCalendar(slice_mm=3.0, criteria="recist", pseudo_progression=True)
    with pytest.raises(InvalidInput, match="slice, is 12 mm"):
        ScanCalendar(slice_mm=12.0)
    with pytest.raises(InvalidInput, match="'rano' or 'recist'"):
        ScanCalendar(criteria="choi")


@pytest.mark.parametrize("solver", [FiniteElementSolver(), TorchSolver()], ids=["fe", "torch"])
def test_a_run_keeps_its_fewest_cells_and_its_results_stay(tmp_path, solver):
    """Without `fewest_from` nothing else changes; with it the field holds the least burden."""
    patient = twin_package.load(write_small_patient(tmp_path))
    days = np.arange(0.0, 71.0)
    course = Radiotherapy(total_dose_gy=20.0, fractions=5, start_day=28.0)
    plain = solver.solve(patient, Regimen(course), days)
    kept = solver.solve(patient, Regimen(course), days, save=Save(fewest_from=28.0))
    assert (plain["tumour_burden"].values == kept["tumour_burden"].values).all()
    assert "viable_density_at_fewest" not in plain
    burden = kept["tumour_burden"].values
    assert float(kept["fewest_cells_day"]) == 28.0 + burden[28:].argmin()
    mass = prepare(patient).operators.lumped_mass(prepare(patient).active_cells())
    capacity = patient.parameters.value("carrying_capacity")
    left = capacity * float(mass @ kept["viable_density_at_fewest"].values.astype(float))
    assert left == pytest.approx(burden[28:].min(), rel=1e-6)


def test_a_study_states_extinction_and_what_it_means(tmp_path):
    """A tumour all of which is irradiated, by a radiosensitivity that leaves few cells."""
    patient = twin_package.load(write_small_patient(tmp_path))
    study = Study(
        {"none": Regimen(), "60 Gy": Regimen(RADIOTHERAPY)},
        [Case("sensitive", {"alpha": "0.35 1/Gy"})],
        days=80.0,
    )
    results = study.run(patient, FiniteElementSolver(), threads=2)
    arm = results.sel(scenario="60 Gy", case="sensitive")
    burden = arm["tumour_burden"].values[28:]
    fraction = patient.parameters.value("clonogenic_fraction")
    assert float(arm["fewest_cells_day"]) == 28.0 + burden.argmin()
    left = float(arm["clonogens_left"])
    assert left == pytest.approx(fraction * burden.min(), rel=1e-5)
    assert left < 10.0
    assert float(arm["extinction_probability"]) == pytest.approx(math.exp(-left))
    pieces = arm["piece_clonogens"].values
    pieces = pieces[np.isfinite(pieces)]
    assert pieces.sum() == pytest.approx(left, abs=1e-4)
    assert arm["piece_extinction"].values[: len(pieces)] == pytest.approx(np.exp(-pieces))
    assert np.isnan(results["clonogens_left"].sel(scenario="none").item())
    text = " ".join(str(compare(results)).split())
    assert f"Extinction: '60 Gy' leaves {left:.2g} clonogenic cells on day" in text
    assert "conditional on survivors" in text
