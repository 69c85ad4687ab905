"""Schedules of drugs as the clinic writes them: what can be read, on which days it is given."""

import json
from dataclasses import replace

import pytest
from drug_cases import COURSES, LOMUSTINE, MONDAY, RT

from twin.courses import Drug, Temozolomide
from twin.drug_schedules import read_schedule
from twin.errors import InvalidInput
from twin.regimen import Regimen


def dates(drug, *others):
    """Date and amount of each dose."""
    schedule = Regimen(*others, drug).schedule(MONDAY)
    return [(MONDAY.date(dose.day).isoformat(), dose.mg_m2) for dose in schedule.drug_doses]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("110 mg/m2 day 1 of 42, 6 cycles", ["110 mg/m2 on day 1 of 42, 6 cycles"]),
        ("100 MG/M2  days 1-5 of 28,6 cycles.", ["100 mg/m2 on days 1 to 5 of 28, 6 cycles"]),
        ("80 mg/m² on days 1, 8, 15 of 28, 1 cycle", ["80 mg/m2 on days 1, 8, 15 of 28, 1 cycle"]),
        ("20 mg/m2 days 1-3, 8 of 28, 2 cycles", ["20 mg/m2 on days 1, 2, 3, 8 of 28, 2 cycles"]),
        (
            "75 mg/m2 daily during radiotherapy",
            ["75 mg/m2 daily during radiotherapy, weekends included"],
        ),
        ("AUC 2 weekly during radiotherapy", ["AUC 2 weekly during radiotherapy"]),
        ("60 mg/m2 every 21 days, 4 cycles", ["60 mg/m2 on day 1 of 21, 4 cycles"]),
        ("60 mg/m2 every 3 weeks, 4 cycles", ["60 mg/m2 on day 1 of 21, 4 cycles"]),
        ("AUC 5 day 1 of 21, 4 cycles", ["AUC 5 on day 1 of 21, 4 cycles"]),
        ("200 mg every 3 weeks, 9 cycles", ["200 mg on day 1 of 21, 9 cycles"]),
        (
            "75 mg/m2 daily during radiotherapy, then 150 mg/m2 days 1-5 of 28, 1 cycle, then "
            "200 mg/m2 days 1–5 of 28, 5 cycles",
            [
                "75 mg/m2 daily during radiotherapy, weekends included",
                "150 mg/m2 on days 1 to 5 of 28, 1 cycle",
                "200 mg/m2 on days 1 to 5 of 28, 5 cycles",
            ],
        ),
    ],
)
def test_every_form_can_be_read(text, says):
    assert [str(part) for part in read_schedule(text)] == says


@pytest.mark.parametrize(
    "text",
    ["as usual", "", "110 mg/kg day 1 of 42, 6 cycles", "110 mg/m2 day 1 of 42",
     "AUC x every 21 days", "lots mg/m2 every 21 days, 4 cycles",
     "60 mg/m2 every 21 days, 4 cycles then",
     "20 mg/m2 days 1-3-5 of 28, 2 cycles"],
)  # fmt: skip
def test_what_cannot_be_read_shows_the_three_forms(text):
    with pytest.raises(InvalidInput) as caught:
        read_schedule(text)
    for form in (
        "110 mg/m2 day 1 of 42, 6 cycles",
        "75 mg/m2 daily during radiotherapy",
        "60 mg/m2 every 21 days, 4 cycles",
    ):
        assert f'"{form}"' in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("110 mg/m2 day -1 of 42, 6 cycles", "day -1; .*numbered from 1 to 42"),
        ("110 mg/m2 day 0 of 42, 6 cycles", "day 0; "),
        ("110 mg/m2 days 5-1 of 28, 6 cycles", "the lower one first"),
        ("110 mg/m2 day 43 of 42, 6 cycles", "numbered from 1 to 42"),
        ("110 mg/m2 days 1, 1 of 42, 6 cycles", "twice"),
        ("-5 mg/m2 every 21 days, 4 cycles", "gives -5 mg/m2, but a dose lies above 0"),
        ("nan mg/m2 every 21 days, 4 cycles", "gives nan mg/m2"),
        ("AUC 50 every 21 days, 4 cycles", "at most at 10 mg min/mL"),
        ("60 mg/m2 every 21 days, 0 cycles", "number of cycles is 0"),
        ("60 mg/m2 every -21 days, 4 cycles", "length of a cycle is -21"),
        ("60 mg/m2 every 21 days, 4 cycles, then 75 mg/m2 daily during radiotherapy", "goes on"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(text, says):
    with pytest.raises(InvalidInput, match=says):
        read_schedule(text)


def test_dates_by_hand():
    # day 28 is Monday 27 April; every 42 days
    assert dates(LOMUSTINE) == [
        (day, 110.0)
        for day in ("2026-04-27", "2026-06-08", "2026-07-20", "2026-08-31", "2026-10-12",
                    "2026-11-23")
    ]  # fmt: skip
    some = Drug(name="paclitaxel", schedule="80 mg/m2 days 1, 8 of 21, 2 cycles", start_day=0.4)
    assert [day for day, _ in dates(some)] == [
        "2026-03-30", "2026-04-06", "2026-04-20", "2026-04-27",
    ]  # fmt: skip


def test_during_radiotherapy_and_the_cycles_after_it():
    """Six fractions from Monday: the last one on Monday 6 April."""
    text = "75 mg/m2 daily during radiotherapy, then 150 mg/m2 days 1-2 of 28, 2 cycles"
    daily = [
        (f"2026-{day}", 75.0) for day in ("03-30", "03-31", *(f"04-0{k}" for k in range(1, 7)))
    ]
    later = [(f"2026-{day}", 150.0) for day in ("05-04", "05-05", "06-01", "06-02")]
    drug = Drug(name="temozolomide", schedule=text)
    assert dates(drug, RT) == daily + later
    sooner = [day for day, _ in dates(replace(drug, break_days=14.0), RT)]
    assert sooner[8] == "2026-04-20"
    fixed = [day for day, _ in dates(replace(drug, start_day=50.0), RT)]
    assert fixed[8] == "2026-05-19"
    weekly = Drug(name="carboplatin", schedule="AUC 2 weekly during radiotherapy")
    assert [day for day, _ in dates(weekly, RT)] == ["2026-03-30", "2026-04-06"]
    doses = Regimen(RT, drug).schedule(MONDAY).drug_doses
    assert [dose.cycle for dose in doses] == [0] * 8 + [1, 1, 2, 2]


def test_the_usual_temozolomide_can_be_written_as_a_schedule():
    text = (
        "75 mg/m2 daily during radiotherapy, then 150 mg/m2 days 1-5 of 28, 1 cycle, then "
        "200 mg/m2 days 1-5 of 28, 5 cycles"
    )
    assert dates(Drug(name="temozolomide", schedule=text), RT) == dates(Temozolomide(), RT)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": "lomustin"}, "no drug 'lomustin' in data/drugs; did you mean 'lomustine'"),
        ({"name": "aspirin"}, "known are carboplatin, "),
        ({"start_day": None}, 'has no start; give the day of the first dose, such as start = "28'),
        ({"start_day": float("nan")}, "start of lomustine is nan"),
        ({"schedule": "75 mg/m2 daily during radiotherapy"}, "leave the start out"),
        ({"schedule": "AUC 5 day 1 of 21, 4 cycles"}, "only carboplatin is dosed by its exposure"),
        ({"break_days": -1.0}, "break after radiotherapy"),
    ],
)
def test_a_course_that_cannot_be_is_refused(changes, says):
    with pytest.raises(InvalidInput, match=says):
        replace(LOMUSTINE, **changes)


def test_what_hangs_on_radiotherapy_needs_one():
    drug = Drug(name="temozolomide", schedule="75 mg/m2 daily during radiotherapy")
    with pytest.raises(InvalidInput, match="regimen has no radiotherapy; add one, or write cycles"):
        Regimen(drug).schedule(MONDAY)
    early = Drug(
        name="temozolomide",
        schedule="75 mg/m2 daily during radiotherapy, then 150 mg/m2 days 1-5 of 28, 6 cycles",
        start_day=3.0,
    )
    with pytest.raises(
        InvalidInput, match=r"begin on day 3, before radiotherapy ends on day 7\.375"
    ):
        Regimen(RT, early).schedule(MONDAY)


def test_sentences_differences_and_round_trip():
    regimen = Regimen(RT, LOMUSTINE)
    assert regimen.describe(MONDAY)[1] == (
        "Lomustine: 110 mg/m2 on day 1 of 42, 6 cycles, from Mon 27 Apr 2026."
    )
    assert Regimen.from_dict(json.loads(json.dumps(regimen.as_dict()))) == regimen
    assert (regimen.drugs, regimen.drug_names) == ((LOMUSTINE,), ("lomustine",))
    assert regimen.differences(Regimen(RT)) == ["lomustine"]
    assert Regimen(RT).differences(regimen) == ["no lomustine"]
    less = Regimen(RT, replace(LOMUSTINE, schedule="90 mg/m2 day 1 of 42, 6 cycles"))
    assert less.differences(regimen) == ["lomustine schedule"]
    other = Regimen(RT, Drug(name="paclitaxel", schedule=COURSES["paclitaxel"], start_day=28.0))
    assert other.differences(regimen) == ["no lomustine", "paclitaxel"]
    written = Drug(name="temozolomide", schedule="75 mg/m2 daily during radiotherapy")
    assert Regimen(RT, written).differences(Regimen(RT, Temozolomide())) == [
        "temozolomide schedule"
    ]
