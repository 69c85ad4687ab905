"""Changes of drugs by their schedule."""

import pytest
from drug_cases import BASE, LOMUSTINE, MONDAY, RT

from scenarios.changes import apply_changes
from twin.courses import Drug, Temozolomide
from twin.drug_schedules import with_amount
from twin.errors import InvalidInput
from twin.regimen import Regimen

BOTH = Regimen(RT, LOMUSTINE)


def change(regimen, *changes):
    found, _, said = apply_changes(regimen, BASE, changes)
    return found, said


def test_start_amount_and_schedule():
    found, said = change(BOTH, "lomustine.start=35 day", "lomustine.amount=90 mg/m2")
    (drug,) = found.drugs
    assert (drug.start_day, drug.schedule) == (35.0, "90 mg/m2 day 1 of 42, 6 cycles")
    doses = found.schedule(MONDAY).drug_doses
    assert (doses[0].day, {dose.mg_m2 for dose in doses}) == (35.0, {90.0})
    assert said == [
        "Lomustine: start [day] is 35 instead of 28.",
        "Lomustine: schedule is 90 mg/m2 day 1 of 42, 6 cycles instead of 110 mg/m2 day 1 of 42, "
        "6 cycles.",
    ]
    found, _ = change(BOTH, "lomustine.schedule=100 mg/m2 every 6 weeks, 2 cycles")
    assert len(found.schedule(MONDAY).drug_doses) == 2
    assert found.radiotherapy == BOTH.radiotherapy


def test_off_and_on():
    found, said = change(BOTH, "lomustine=off")
    assert found == Regimen(RT)
    assert said == ["No lomustine."]
    assert change(Regimen(RT), "lomustine=off")[1] == ["No lomustine, as before."]
    assert change(BOTH, "lomustine=on") == (BOTH, ["With lomustine, as before."])
    added, said = change(
        Regimen(RT),
        "lomustine=on",
        "lomustine.schedule=110 mg/m2 day 1 of 42, 6 cycles",
        "lomustine.start=28 day",
    )
    assert added == BOTH
    assert said == ["With lomustine: 110 mg/m2 on day 1 of 42, 6 cycles."]


def test_temozolomide_by_a_schedule_is_switched_off_too():
    written = Drug(name="temozolomide", schedule="75 mg/m2 daily during radiotherapy")
    assert change(Regimen(RT, written), "temozolomide=off")[0] == Regimen(RT)
    assert change(Regimen(RT, Temozolomide()), "temozolomide=off")[0] == Regimen(RT)
    changed, _ = change(Regimen(RT, written), "temozolomide.amount=60 mg/m2")
    assert changed.drugs[0].schedule == "60 mg/m2 daily during radiotherapy"


@pytest.mark.parametrize(
    ("regimen", "changes", "says"),
    [
        (Regimen(RT), ["lomustine.start=35 day"], "no lomustine in this treatment to change"),
        (Regimen(RT), ["lomustine=on"], "set lomustine=on with lomustine.schedule"),
        (BOTH, ["lomustine=off", "lomustine.start=35 day"], "switched off and changed"),
        (BOTH, ["lomustine.start=35"], "no unit"),
        (BOTH, ["lomustine.amount=90"], "cannot be read"),
        (BOTH, ["lomustine.schedule=often"], "cannot be read"),
        (BOTH, ["lomustin=off"], "did you mean 'lomustine'"),
        (BOTH, ["lomustine.begin=3 day"], "cannot be changed"),
    ],
)
def test_what_cannot_be_changed(regimen, changes, says):
    with pytest.raises(InvalidInput, match=says):
        change(regimen, *changes)


def test_another_amount_in_every_part():
    several = "75 mg/m2 daily during radiotherapy, then 75 mg/m² days 1-5 of 28, 2 cycles"
    assert with_amount(several, "60 mg/m2") == (
        "60 mg/m2 daily during radiotherapy, then 60 mg/m2 days 1-5 of 28, 2 cycles"
    )
    assert with_amount("AUC 5 day 1 of 21, 4 cycles", "AUC 6") == "AUC 6 day 1 of 21, 4 cycles"
    with pytest.raises(InvalidInput, match="several amounts"):
        with_amount("75 mg/m2 daily during radiotherapy, then 150 mg/m2 days 1-5 of 28, 2 cycles",
                    "60 mg/m2")  # fmt: skip
