"""Public functions against values computed elsewhere, to 40 digits: one test a case."""

import pytest

from reference import map_drugs, map_growth, map_metrics, map_tissue, map_treatment
from reference.routes import Route

GROUPS = {
    "growth": map_growth.GROWTH,
    "fisher": map_growth.FISHER,
    "heat_kernel": map_growth.HEAT_KERNEL,
    "box_modes": map_growth.BOX_MODES,
    "ball_modes": map_growth.BALL_MODES,
    "oxygen": map_tissue.OXYGEN,
    "elasticity": map_tissue.ELASTICITY,
    "dti": map_tissue.DTI,
    "resection": map_tissue.RESECTION,
    "lq": map_treatment.LQ,
    "lql": map_treatment.LQL,
    "bed": map_treatment.BED,
    "eqd2": map_treatment.EQD2,
    "repopulation": map_treatment.REPOPULATION,
    "incomplete_repair": map_treatment.REPAIR,
    "oer": map_treatment.OER,
    "rbe": map_treatment.RBE,
    "tcp": map_treatment.TCP,
    "pk": map_drugs.PK,
    "pd": map_drugs.PD,
    "immune": map_drugs.IMMUNE,
    "dvh": map_metrics.DVH,
    "geud": map_metrics.GEUD,
    "ntcp": map_metrics.NTCP,
    "rano": map_metrics.RANO,
    "recist": map_metrics.RECIST,
    "overlap": map_metrics.OVERLAP,
    "metrics": map_metrics.METRICS,
    "prior": map_metrics.PRIOR,
}


def found_route(case):
    """The first route that fits the case's id, or None."""
    group, name = case["id"].split(".", 1)
    return next((route for route in GROUPS.get(group, []) if route.fits(name)), None)


def differences(got, case):
    """What is out of tolerance, in words; empty where all is well."""
    expected, tolerance = case["expected"], case["tolerance"]
    if tolerance.get("exact"):
        return [] if got == expected else [f"{got!r} instead of {expected!r}"]
    many = expected if isinstance(expected, list) else [expected]
    answers = got if isinstance(got, list) else [got]
    if len(answers) != len(many):
        return [f"{len(answers)} values instead of {len(many)}"]
    return [
        f"{answer!r} instead of {wanted!r}"
        for answer, wanted in zip(answers, many, strict=True)
        if not abs(answer - wanted) <= max(tolerance["abs"], tolerance["rel"] * abs(wanted))
    ]


def test_reference_value(reference_case):
    found = found_route(reference_case)
    if found is None:
        pytest.fail(
            f"no route of tests/reference fits {reference_case['id']} with the inputs "
            f"{sorted(reference_case['inputs'])}; map it to the public function that computes it"
        )
    assert differences(found.answer(reference_case), reference_case) == []


def case_of(expected, **tolerance):
    return {"id": "x.y", "inputs": {}, "expected": expected, "tolerance": tolerance}


@pytest.mark.parametrize(
    ("got", "case"),
    [
        (1.0 + 2e-9, case_of(1.0, rel=1e-9, abs=1e-12)),
        (float("nan"), case_of(1.0, rel=1e-9, abs=1e-12)),
        (2e-12, case_of(0.0, rel=1e-9, abs=1e-12)),
        ([1.0, 2.1], case_of([1.0, 2.0], rel=1e-9, abs=0.0)),
        ([1.0], case_of([1.0, 2.0], rel=1e-9, abs=0.0)),
        ("PD", case_of("SD", exact=True)),
    ],
)
def test_a_wrong_answer_is_noticed(got, case):
    assert differences(got, case)


def test_right_answers_are_let_through():
    assert differences(1.0 + 5e-10, case_of(1.0, rel=1e-9, abs=1e-12)) == []
    assert differences([1.0, 2.0], case_of([1.0, 2.0], rel=1e-9, abs=0.0)) == []
    assert differences("PD", case_of("PD", exact=True)) == []


def test_a_case_that_no_route_fits_is_noticed():
    assert found_route({"id": "growth.of_hair"}) is None
    assert found_route({"id": "astrology.sign"}) is None
    assert isinstance(found_route({"id": "growth.logistic_plain"}), Route)
