"""Comparison and ranking of arms, on results whose numbers are known."""

import json
import math

import numpy as np
import pytest
import xarray as xr

from scenarios import compare
from scenarios.comparison import full_table
from scenarios.comparison_text import days_text, with_error
from scenarios.ranking import Endpoint, rank, rank_values
from twin.errors import InvalidInput
from twin.results import describe_variables

ARMS = ["none", "short course", "long course"]
CASES = ["expected", "resistant"]
DAYS = np.arange(0.0, 201.0)


def results(*, progression=((20.0, 15.0), (90.0, 60.0), (math.inf, 150.0)), error_mm3=100.0):
    """Three arms, two cases: at day d volumes are (arm + 1) * (case + 1) * 1000 - d, mm3."""
    shape = (3, 2, 2, len(DAYS))
    arm, case, threshold, day = np.meshgrid(range(3), range(2), range(2), DAYS, indexing="ij")
    volume = (3.0 - arm) * (case + 1.0) * 1000.0 + 10.0 * threshold - 0.0 * day
    by_threshold = np.repeat(np.array(progression)[:, :, None], 2, axis=2)
    study = {
        "scenarios": [
            {"name": "none", "compared_with": None, "differs_in": []},
            {"name": "short course", "compared_with": "none", "differs_in": ["radiotherapy"]},
            {
                "name": "long course",
                "compared_with": "short course",
                "differs_in": ["radiotherapy fractionation", "temozolomide"],
            },
        ],
        "warnings": ["'long course' differs from 'short course' in 2 things."],
    }
    dims = ("scenario", "case", "threshold", "time")
    data = xr.Dataset(
        {
            "tumour_volume": (dims, volume),
            "tumour_volume_error": (dims, np.full(shape, error_mm3)),
            "tumour_volume_soft": (dims, volume + 1.0),
            "tumour_volume_soft_error": (dims, np.full(shape, error_mm3)),
            "tumour_burden": (("scenario", "case", "time"), volume[:, :, 1] * 1e5),
            "tumour_burden_error": (("scenario", "case", "time"), volume[:, :, 1] * 1e3),
            "nadir_volume_soft": (dims[:3], volume[..., 0]),
            "nadir_day": (dims[:3], np.zeros(shape[:3])),
            "time_to_progression": (dims[:3], by_threshold),
            "time_to_progression_error": (dims[:3], np.full(shape[:3], 2.0)),
            "fraction_day": (("scenario", "fraction"), [[math.nan] * 2, [7.0, 8.0], [7.0, 35.0]]),
            "organ_eqd2_mean": (("scenario", "organ"), [[0.0, 0.0], [30.0, 10.0], [28.0, 9.0]]),
            "organ_eqd2_d003cc": (("scenario", "organ"), [[0.0, 0.0], [61.0, 22.0], [59.0, 21.0]]),
        },
        {
            "scenario": ARMS,
            "case": CASES,
            "threshold": ["t1gd", "flair"],
            "time": DAYS,
            "organ": ["brain_minus_target", "brainstem"],
            "organ_stylised": ("organ", np.array([0, 1], np.int8)),
        },
        {"study": json.dumps(study)},
    )
    return describe_variables(data)


def test_table_has_one_row_an_arm_with_units_in_the_heads():
    comparison = compare(results())
    assert comparison.table.index.tolist() == ARMS
    assert comparison.case == "expected"
    row = comparison.table.loc["short course"]
    # Softened volume of arm 1, case 0 at the FLAIR threshold: 2000 + 10 + 1 mm3.
    assert row["FLAIR volume 90 d [ml]"] == pytest.approx(2.011)
    assert row["FLAIR volume 90 d error [ml]"] == pytest.approx(0.1)
    assert row["T1Gd progression [d]"] == 90.0
    assert not [name for name in comparison.table if "365" in name]  # beyond the horizon
    assert comparison.organs.loc["long course", "brainstem (stylised) D0.03cc [Gy EQD2]"] == 21.0


def test_other_case_and_unknown_case():
    assert compare(results(), case="resistant").table.loc["none", "T1Gd progression [d]"] == 15.0
    with pytest.raises(InvalidInput, match="expected, resistant"):
        compare(results(), case="optimistic")
    with pytest.raises(InvalidInput, match="not the results of a study"):
        compare(results().isel(case=0, drop=True))


def test_text_says_what_differs_and_what_is_not_reached():
    text = str(compare(results()))
    assert "> 200 d" in text
    assert "90 ± 2 d" in text
    assert "inf" not in text
    assert "2.01 ± 0.10" in text or "2.0 ± 0.1" in text
    assert "differs in: radiotherapy fractionation; temozolomide" in text
    assert "Warning: 'long course' differs from 'short course' in 2 things." in text
    assert "brainstem (stylised)" in text
    assert "EQD2 [Gy]" in text
    words = " ".join(text.split())
    assert "Softened visible volume [ml] ± numerical error, case 'expected'" in words
    assert "Response of the softened volume, case 'expected'" in words
    assert "Note: Volumes are softened visible volumes; ± is the numerical error." in words
    assert "lower bounds" in text
    assert max(map(len, text.splitlines())) <= 120


def test_dict_is_strict_json():
    document = json.loads(json.dumps(compare(results()).as_dict(), allow_nan=False))
    rows = {row["scenario"]: row for row in document["table"]}
    assert rows["long course"]["T1Gd progression [d]"] is None
    assert rows["short course"]["T1Gd progression [d]"] == 90.0
    assert document["horizon_day"] == 200.0


def test_full_table_has_every_arm_and_case_and_both_volumes():
    table = full_table(results())
    assert table[["scenario", "case"]].values.tolist() == [[a, c] for a in ARMS for c in CASES]
    last = table.iloc[-1]
    assert last["T1Gd hard volume 180 d [ml]"] == pytest.approx(2.0)
    assert last["T1Gd volume 180 d [ml]"] == pytest.approx(2.001)
    assert last["burden 90 d [cells]"] == pytest.approx(2010.0 * 1e5)
    assert "inf" in table.to_csv(index=False)


def test_ranking_by_hand():
    rankings = {one.endpoint: one for one in rank(results())}
    assert set(rankings) == {
        "FLAIR volume, 180 d",
        "T1Gd progression",
        "tumour burden, 200 d",
    }
    for one in rankings.values():
        assert dict(one.ranks) == {"long course": 1, "short course": 2, "none": 3}
        assert not any(one.tied_with.values())


def test_large_numerical_error_ties_all():
    ranking = rank(results(error_mm3=1200.0))[0]
    # Neighbours differ by 1 ml in the first case, below 1.2 + 1.2 ml; so do the ends, by 2 ml.
    assert set(ranking.ranks.values()) == {1}
    assert ranking.tied_with["none"] == ("short course", "long course")


def test_cases_that_disagree_tie():
    ranking = rank(results(progression=((20.0, 15.0), (90.0, 60.0), (150.0, 50.0))))[1]
    assert ranking.endpoint == "T1Gd progression"
    assert dict(ranking.ranks) == {"short course": 1, "long course": 1, "none": 3}
    assert ranking.tied_with["short course"] == ("long course",)


def test_not_reached_in_both_arms_is_a_tie_and_in_one_arm_is_better():
    never = ((20.0, 15.0), (math.inf, math.inf), (math.inf, math.inf))
    assert dict(rank(results(progression=never))[1].ranks) == {
        "short course": 1,
        "long course": 1,
        "none": 3,
    }
    once = ((20.0, 15.0), (150.0, 150.0), (math.inf, math.inf))
    assert rank(results(progression=once))[1].ranks["long course"] == 1
    assert rank(results(progression=once))[1].ranks["short course"] == 2


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (np.ones((2, 1)), np.ones((2, 2))),
        (np.array([[1.0], [np.nan]]), np.ones((2, 1))),
        (np.ones((2, 1)), np.array([[1.0], [np.nan]])),
        (np.ones((2, 1)), np.array([[1.0], [-1.0]])),
    ],
)
def test_ranking_refuses_what_is_not_a_number(value, error):
    with pytest.raises(InvalidInput):
        rank_values(value, error)


def test_endpoint_of_ones_own():
    own = Endpoint("T1Gd at 10 d", "tumour_volume", "t1gd", 10.0, larger_is_better=True)
    (ranking,) = rank(results(), [own])
    assert dict(ranking.ranks) == {"none": 1, "short course": 2, "long course": 3}


def test_numbers_are_written_to_the_digits_of_their_error():
    assert with_error(1.23456, 0.0712) == "1.23 ± 0.07"
    assert with_error(12.3456, 0.5) == "12.3 ± 0.5"
    assert with_error(123.456, 12.0) == "123 ± 12"
    assert days_text(math.inf, 540.0) == "> 540 d"
