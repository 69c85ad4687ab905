"""Response categories on a calendar of scans, by curves whose course is plain."""

import json

import numpy as np
import pytest
from synthetic_results import ball_twin, synthetic_results

from scenarios import Study, compare
from scenarios.scans import ScanCalendar, read_scans, scans_of_arm
from scenarios.study_file import StudyFile
from twin.errors import InvalidInput
from twin.regimen import Regimen
from viz.scan_timeline import CATEGORY_COLOURS, scan_timeline
from viz.subject import Subject

CALENDAR = ScanCalendar()


def read(days, ml, last=60.0, **changes):
    calendar = ScanCalendar(**changes) if changes else CALENDAR
    return read_scans(days, 1000.0 * np.array(ml), calendar=calendar, last_fraction=last)


def categories(found):
    return [scan.category for scan in found.scans]


def test_a_response_counts_when_it_is_seen_again():
    days = [88.0, 144.0, 200.0, 256.0]
    kept = read(days, [10.0, 3.5, 3.4, 3.4])  # 65 % less, thresholds inclusive
    assert categories(kept) == ["baseline", "PR", "PR", "PR"]
    assert kept.best == "PR"
    once = read(days, [10.0, 3.5, 3.6, 3.6])
    assert categories(once) == ["baseline", "PR", "SD", "SD"]
    assert (once.best, once.scans[1].confirmed) == ("SD", False)
    # two weeks later is too soon to confirm, and the scan after that does
    soon = read([88.0, 144.0, 158.0, 214.0], [10.0, 3.0, 9.0, 3.0])
    assert soon.scans[1].confirmed
    assert soon.best == "PR"


def test_what_is_not_seen_is_a_complete_response():
    """A sphere of 5 mm is 0.0654 ml."""
    found = read([88.0, 144.0, 200.0], [10.0, 0.065, 0.06])
    assert categories(found) == ["baseline", "CR", "CR"]
    assert found.best == "CR"
    assert read([88.0, 144.0, 200.0], [10.0, 0.066, 0.066]).best == "PR"


def test_progression_is_against_the_least_scan_and_lies_between_two():
    found = read([88.0, 144.0, 200.0, 256.0], [10.0, 5.0, 6.9, 7.0])
    assert categories(found) == ["baseline", "SD", "SD", "PD"]
    assert found.progression == (200.0, 256.0)
    assert read([88.0, 144.0], [10.0, 10.0]).progression is None


def test_soon_after_radiotherapy_progression_must_be_seen_again():
    """Until 84 days after day 60; the scan of day 130 is within them."""
    days = [88.0, 130.0, 172.0, 214.0]
    passing = read(days, [5.0, 8.0, 5.5, 5.0])
    assert categories(passing) == ["baseline", "PD?", "SD", "SD"]
    assert passing.progression is None
    true = read(days, [5.0, 8.0, 9.0, 12.0])
    assert categories(true) == ["baseline", "PD", "PD", "PD"]
    assert true.progression == (88.0, 130.0)
    later = read([88.0, 145.0], [5.0, 8.0])
    assert later.progression == (88.0, 145.0)
    assert categories(read([88.0, 140.0], [5.0, 8.0])) == ["baseline", "PD?"]  # nothing later
    untreated = read([0.0, 56.0], [5.0, 8.0], last=None)
    assert untreated.progression == (0.0, 56.0)


def test_what_was_removed_comes_back_when_it_can_be_measured():
    """0.52 ml is a sphere of 10 mm."""
    found = read([88.0, 144.0, 200.0, 256.0], [0.0, 0.2, 0.52, 0.53])
    assert categories(found) == ["baseline", "SD", "SD", "PD"]
    assert found.progression == (200.0, 256.0)
    # 40 % above the least, but too small to be measured
    assert read([88.0, 144.0, 200.0], [0.6, 0.1, 0.4]).progression is None


def test_scans_of_an_arm_are_on_its_own_calendar():
    results = synthetic_results(ball_twin())
    arm = results.isel(scenario=-1, case=0)
    given = arm["fraction_day"].values
    last = np.nanmax(given) if np.isfinite(given).any() else None
    found = scans_of_arm(arm)
    expected = np.arange(0.0 if last is None else last + 28.0, arm["time"].values[-1] + 1e-6, 56.0)
    assert [scan.day for scan in found.scans] == pytest.approx(expected)
    curve = arm["tumour_volume_soft"].sel(threshold="t1gd").values
    assert found.scans[0].volume_mm3 == pytest.approx(
        np.interp(expected[0], arm["time"].values, curve)
    )


def test_the_comparison_shows_them():
    results = synthetic_results(ball_twin())
    comparison = compare(results)
    text = str(comparison)
    assert "What scans would show (RANO 2.0 by T1Gd volume, imaging only)" in text
    assert "'PD?' until then" in text.replace("\n  ", " ")
    one = next(iter(comparison.as_dict()["scans"].values()))
    assert {"best_response", "progression_between_days", "scans"} == set(one)
    json.dumps(comparison.as_dict())


def test_the_calendar_is_the_studys():
    table = {
        "format": 1,
        "patient": "patient.toml",
        "scenario": [{"name": "none"}],
        "scans": {"every": "91 day", "after_radiotherapy": "21 day"},
    }
    study = StudyFile.model_validate(table).study()
    assert study.scans == ScanCalendar(every_day=91.0, after_radiotherapy_day=21.0)
    assert study.replace(days=100.0).scans == study.scans
    assert Study({"none": Regimen()}).scans == CALENDAR
    assert CALENDAR.days(68.0, 90.0).tolist() == []
    assert read([], []).best == "not assessed"


def test_the_timeline_has_a_mark_for_every_scan():
    subject = Subject(synthetic_results(ball_twin()), None)
    figure = scan_timeline(subject)
    words = [text.get_text() for text in figure.axes[0].texts]
    expected = [
        "base" if scan.category == "baseline" else scan.category
        for found in compare(subject.results).scans.values()
        for scan in found.scans
    ]
    assert expected
    assert [word for word in words if word in {"base", *CATEGORY_COLOURS}] == expected
    assert words.count("radiotherapy") == sum(
        len(subject.fraction_days(name)) > 0 for name in subject.scenarios
    )


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"every_day": 1.0}, "Scans, every, is 1 days; it must lie between 7 and 730"),
        ({"protected_day": -1.0}, "Scans, protected"),
        ({"confirmed_after_day": np.nan}, "Scans, confirmed after"),
    ],
)
def test_bad_calendars_are_told(changes, says):
    with pytest.raises(InvalidInput, match=says):
        ScanCalendar(**changes)


def test_bad_scans_are_told():
    with pytest.raises(InvalidInput, match="in time order"):
        read([1.0, 1.0], [2.0, 3.0])
    with pytest.raises(InvalidInput, match="negative"):
        read([1.0, 2.0], [2.0, -3.0])
