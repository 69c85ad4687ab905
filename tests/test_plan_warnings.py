"""What a planner would question: each warning where it belongs, and not where all is well."""

from dataclasses import replace

import numpy as np
import pytest
from plan_cases import RT, TMZ, WHOLE_BRAIN, found, planned, rules
from small_patient import write_small_patient

from scenarios.planning import load_limits, plan_study
from scenarios.planning.limits import FILE, Limits
from scenarios.study import Case, Scenario, Study
from twin.anatomy import read_anatomy
from twin.courses import Resection
from twin.errors import InvalidInput
from twin.parameters import parameter_set_names
from twin.regimen import Regimen
from twin.toml_file import check


@pytest.fixture(scope="module")
def anatomy(tmp_path_factory):
    return read_anatomy(write_small_patient(tmp_path_factory.mktemp("plan")))


# --- warnings ------------------------------------------------------------------------------------

#: rule: (courses that cross it, the number, courses that just do not)
WARNINGS = {
    "radiotherapy.weekend_fractions": (
        [replace(RT, fractions=20, total_dose_gy=40.0, weekdays_only=False)],
        5,  # 2, 3, 9, 10 and 16 May
        [replace(RT, fractions=5, total_dose_gy=40.0, weekdays_only=False)],
    ),
    "radiotherapy.least_interval": (
        [replace(RT, fractions_per_day=2, interval_h=5.0)],
        5.0,
        [replace(RT, fractions_per_day=2, interval_h=6.0)],
    ),
    "radiotherapy.least_days_after_surgery": (
        [Resection(day=18.0), RT],
        10,
        [Resection(day=14.0), RT],
    ),
    "radiotherapy.most_days_after_surgery": (
        [Resection(day=7.0), replace(RT, start_day=50.0)],
        43,
        [Resection(day=7.0), replace(RT, start_day=49.0)],
    ),
    "radiotherapy.least_total_dose": (
        [replace(RT, fractions=5, total_dose_gy=25.0)],
        25.0,
        [replace(RT, fractions=10, total_dose_gy=34.0)],
    ),
    "radiotherapy.most_total_dose": (
        [replace(RT, fractions=38, total_dose_gy=76.0)],
        76.0,
        [replace(RT, boost_target="enhancing", boost_total_dose_gy=75.0)],
    ),
    "radiotherapy.whole_brain_fraction": (
        [replace(WHOLE_BRAIN, fractions=10, total_dose_gy=35.0)],
        3.5,
        [replace(WHOLE_BRAIN, fractions=12, total_dose_gy=36.0)],
    ),
    "radiotherapy.coverage": (
        [replace(RT, missed=(1, 2, 3, 4, 5, 6), compensation="none")],
        0.0,
        [replace(RT, missed=(1, 2, 3, 4, 5, 6))],
    ),
    "radiotherapy.overlap": (
        [
            replace(RT, fractions=10, total_dose_gy=20.0),
            replace(RT, fractions=10, total_dose_gy=20.0, start_day=35.0, overlap="both"),
        ],
        5,  # Mon 4 to Fri 8 May
        [
            replace(RT, fractions=10, total_dose_gy=20.0),
            replace(RT, fractions=10, total_dose_gy=20.0, start_day=42.0),
        ],
    ),
    "drug.temozolomide.concurrent_dose": ([RT, replace(TMZ, concurrent_mg_m2=80.0)], 80.0, None),
    "drug.temozolomide.concurrent_days": (
        [replace(RT, fractions=40, total_dose_gy=60.0), replace(TMZ, max_concurrent_days=60)],
        54,  # eight weeks less a weekend
        [replace(RT, fractions=40, total_dose_gy=60.0), TMZ],
    ),
    "drug.temozolomide.cycles": ([RT, replace(TMZ, cycles=7)], 7, None),
    "drug.temozolomide.first_cycle_dose": (
        [RT, replace(TMZ, first_cycle_mg_m2=180.0)],
        180.0,
        None,
    ),
    "drug.temozolomide.daily_dose": ([RT, replace(TMZ, later_cycles_mg_m2=220.0)], 220.0, None),
    "drug.temozolomide.days_in_a_cycle": ([RT, replace(TMZ, days_per_cycle=7)], 7, None),
    "drug.temozolomide.cycle_interval": ([RT, replace(TMZ, cycle_length_days=21)], 21, None),
    "drug.temozolomide.break_after_radiotherapy": ([RT, replace(TMZ, break_days=20)], 20, None),
    "drug.temozolomide.most_on_a_day": ([RT, TMZ, TMZ], 2, None),
}


@pytest.mark.parametrize("rule", WARNINGS)
def test_each_warning_once_and_not_when_all_is_well(anatomy, rule):
    crossing, value, well = WARNINGS[rule]
    warning = found(planned(anatomy, *crossing), rule)
    assert warning.value == pytest.approx(value)
    assert warning.limit is not None
    assert warning.source in warning.sentence
    assert "; check " in warning.sentence
    assert "\n" not in warning.sentence
    assert rule not in rules(planned(anatomy, *(well or [RT, TMZ])))


def test_dose_to_an_organ_above_its_highest_limit_that_is_crossed(anatomy):
    """The brainstem lies within 15 mm of the tumour and so gets the whole dose."""
    wide = replace(RT, ctv_margin_mm=15.0, ptv_margin_mm=3.0)
    inside = found(planned(anatomy, replace(wide, total_dose_gy=57.0)), "organ.brainstem")
    # 57 Gy in 30, alpha/beta 2 Gy: 55.6 Gy EQD2, between the limits
    assert inside.limit == 54.0
    assert inside.value == pytest.approx(57.0 * 3.9 / 4.0, rel=0.03)
    above = found(planned(anatomy, replace(wide, fractions=33, total_dose_gy=66.0)), inside.rule)
    assert above.limit == 60.0
    assert "QUANTEC" not in above.sentence
    assert "[unverified]" in above.sentence
    low = planned(anatomy, replace(wide, fractions=25, total_dose_gy=45.0))
    assert inside.rule not in rules(low)


def test_both_hippocampi_count_together(anatomy):
    """One hot, one cold: the 40 % hottest of both are in the hot one."""
    far = anatomy.structures["brainstem"]
    near = replace(far, mask=np.roll(far.mask, (3, 2, 3), axis=(0, 1, 2)))
    spared = np.zeros_like(far.mask)
    spared[4:9, 14, 14] = True
    sides = {"hippocampus_left": replace(far, mask=spared), "hippocampus_right": near}
    both = replace(anatomy, structures={**anatomy.structures, **sides})
    warning = found(planned(both, RT), "organ.hippocampus_left with hippocampus_right")
    assert warning.limit == 7.3
    assert warning.sentence.startswith("D40% of hippocampus_left with hippocampus_right is ")
    assert "Gondi" in warning.sentence


def test_earlier_courses_count_for_the_brain_and_for_operations(anatomy):
    before = Regimen(replace(RT, start_day=-200.0))
    again = replace(anatomy, delivered=before)
    second = replace(RT, fractions=25, total_dose_gy=50.0)
    warning = found(planned(again, second), "organ.brain_minus_target")
    assert warning.limit == 100.0
    assert 105.0 < warning.value < 120.0  # 60 and 50 Gy in fractions of 2 Gy, a little above
    assert "organ.brain_minus_target" not in rules(planned(anatomy, second))
    assert "radiotherapy.most_total_dose" not in rules(planned(again, second))
    assert "Given before day 0:\n  Radiotherapy: 60 Gy in 30" in str(planned(again, second))
    assert "holds the courses before day 0" in " ".join(str(planned(again, second)).split())

    operation = Resection(day=-30.0, structure="cavity")
    operated = replace(anatomy, delivered=Regimen(operation))
    assert found(planned(operated, RT), "radiotherapy.most_days_after_surgery").value == 58
    followed = replace(
        anatomy, delivered=Regimen(operation, replace(RT, start_day=-20.0, fractions=5))
    )
    assert "radiotherapy.most_days_after_surgery" not in rules(planned(followed, RT))


def test_operation_during_radiotherapy(anatomy):
    warning = found(planned(anatomy, Resection(day=38.0), RT), "radiotherapy.overlap")
    assert "Thu 07 May 2026" in warning.sentence


def test_warnings_about_the_comparison_and_the_horizon(anatomy):
    study = Study(
        [
            Scenario("one", Regimen(RT)),
            Scenario("other", Regimen(replace(RT, start_day=35.0), TMZ), "one"),
        ],
        [Case("expected")],
        days=120.0,
    )
    sentences = [item.warning.sentence for item in plan_study(study, anatomy).warnings]
    assert len(sentences) == 2
    assert "differs from 'one' in 2 things" in sentences[0]
    assert "drug doses fall after the horizon of 120 days" in sentences[1]


def test_same_warning_of_several_arms_is_said_once(anatomy):
    low = replace(RT, fractions=5, total_dose_gy=25.0)
    study = Study({"a": Regimen(low), "b": Regimen(RT), "c": Regimen(low, TMZ)})
    (item,) = plan_study(study, anatomy).warnings
    assert item.arms == (1, 3)
    assert "Scenarios 1 and 3: The target gets 25 Gy in all, below 34 Gy" in str(
        plan_study(study, anatomy)
    )


# --- the file of limits --------------------------------------------------------------------------


def test_every_limit_has_a_source_and_says_what_to_check():
    limits = load_limits()
    several = [*limits.organ, *dict(limits.radiotherapy).values()]
    several += [one for drug in limits.drug.values() for one in dict(drug).values() if one]
    several += [one for site in limits.site.values() for one in dict(site).values() if one]
    assert len(several) > 25
    for limit in several:
        assert "assumed: " in limit.source or len(limit.source) > 20
        assert "doi" not in limit.source.lower()  # none was looked up
    assert set(limits.drug) == {"temozolomide", "lomustine", "doxorubicin", "paclitaxel"}
    assert set(limits.site) <= set(parameter_set_names())


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"unit": "mg"}, "Gy"),
        ({"source": ""}, "source"),
        ({"measure": "V20"}, "no measure"),
        ({"value": float("nan")}, "value"),
        ({"organ": "x"}, "not known"),
    ],
)
def test_bad_limit_is_one_sentence(change, sentence):
    content = load_limits().model_dump()
    content["organ"] = [{**content["organ"][0], **change}]
    with pytest.raises(InvalidInput, match=sentence) as caught:
        check(Limits, content, where=FILE)
    assert FILE in str(caught.value)
