"""What the arms of a study rest on, and that weak evidence is not ranked against strong."""

import json

from synthetic_results import ball_twin, synthetic_results

from scenarios import compare
from scenarios.evidence import comparable, evidence_of, worst
from scenarios.ranking import rank
from scenarios.study import Scenario
from twin.courses import Radiotherapy, Temozolomide
from twin.model_choice import ModelChoice
from twin.regimen import Regimen

COURSE = Radiotherapy(total_dose_gy=60.0, fractions=30, start_day=28.0)


def names(patient, *courses):
    return set(evidence_of(Scenario("arm", Regimen(*courses)), patient))


def test_an_arm_rests_on_what_it_uses(patient):
    none = names(patient)
    assert {"diffusivity_white", "proliferation_rate", "dead_clearance_half_life"} <= none
    assert not none & {"alpha", "repair_half_life", "temozolomide_kill", "oer_maximum"}
    assert names(patient, COURSE) - none == {"alpha", "alpha_beta"}
    twice = Radiotherapy(total_dose_gy=60.0, fractions=30, start_day=28.0, fractions_per_day=2)
    assert names(patient, twice) - none == {"alpha", "alpha_beta", "repair_half_life"}
    with_drug = names(patient, COURSE, Temozolomide())
    assert with_drug - names(patient, COURSE) == {
        "temozolomide_kill",
        "temozolomide_clearance",
        "temozolomide_half_life",
    }
    oxygen = patient.replace(model=ModelChoice(oxygen=True))
    assert {"oer_maximum", "hypoxia_rate"} <= names(oxygen, COURSE)
    assert {"growth_strain"} <= names(patient.replace(model=ModelChoice(mass_effect=True)))


def test_grades():
    assert worst({}) == "A"
    assert worst({"a": "A", "b": "B"}) == "B"
    assert comparable(["A", "B"]) == [[0, 1]]
    assert comparable(["D"]) == [[0]]


def test_weak_and_strong_arms_are_ranked_apart():
    """Of three arms the second rests on an assumption: it has a rank of its own."""
    results = synthetic_results(ball_twin())
    arms = [str(name) for name in results["scenario"].values]
    whole = rank(results)
    evidence = {name: {"alpha": "B"} for name in arms}
    evidence[arms[1]]["kill"] = "D"
    results.attrs["evidence"] = json.dumps(evidence)
    apart = rank(results)
    for before, after in zip(whole, apart, strict=True):
        assert after.ranks[arms[1]] == 1
        assert after.tied_with[arms[1]] == ()
        assert max(after.ranks.values()) <= 2
        first, third = before.ranks[arms[0]], before.ranks[arms[2]]
        assert (after.ranks[arms[0]] < after.ranks[arms[2]]) == (first < third)
    text = str(compare(results)).replace("\n  ", " ")
    assert f"Evidence: {arms[1]!r} on values that are assumed (D): kill." in text
    assert "grade C or D are ranked among themselves" in text
