import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin.errors import InvalidInput
from twin.units import parse_quantity, parse_unit


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("2 Gy", "Gy", 2.0),
        ("200 cGy", "Gy", 2.0),
        ("0.1 mm2/day", "mm2/day", 0.1),
        ("365.25 mm^2/year", "mm2/day", 1.0),
        ("24 mm²/h", "mm2/day", 576.0),
        ("0.01 cm2/day", "mm2/day", 1.0),
        ("1.2e-3 L/(mg h)", "L/(mg h)", 1.2e-3),
        ("0.03 /day", "1/day", 0.03),
        ("4 weeks", "day", 28.0),
        ("126 min", "h", 2.1),
        ("1e5 cells/mm3", "cells/mm3", 1e5),
        ("18000 cm2", "m2", 1.8),
        ("80 %", "1", 0.8),
        ("0.8", "1", 0.8),
        ("1.5cm", "mm", 15.0),
    ],
)
def test_conversions(text, unit, value):
    assert parse_quantity(text, unit, where="x") == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("2", "has no unit"),
        (2, "has no unit"),
        (2.0, "has no unit"),
        ("2 Gyy", 'did you mean "Gy"?'),
        ("-2 Gy", "at least 0 Gy"),
        ("NaN Gy", "not a finite number"),
        ("nan", "not a finite number"),
        (math.nan, "not a finite number"),
        ("inf Gy", "not a finite number"),
        ("-infinity", "not a finite number"),
        ("1e999 Gy", "not a finite number"),
        ("2 day", "does not convert to Gy"),
        ("2 Gy2", "does not convert to Gy"),
        ("two Gy", "not a number with a unit"),
        ("2,5 Gy", "is not a known unit"),
        ("", "not a number with a unit"),
        (True, "not a quantity"),
        (None, "not a quantity"),
        (["2 Gy"], "not a quantity"),
        ("2 Gy/", "is not a unit"),
        ("2 Gy; rm", "is not a known unit"),
    ],
)
def test_bad_quantities_are_refused_in_one_sentence(text, says):
    with pytest.raises(InvalidInput) as caught:
        parse_quantity(text, "Gy", where="total_dose")
    message = str(caught.value)
    assert message.startswith("total_dose: ")
    assert says in message
    assert "\n" not in message


def test_range_is_inclusive_and_named():
    assert parse_quantity("200 Gy", "Gy", where="x", at_most=200.0) == 200.0
    with pytest.raises(InvalidInput, match="at most 200 Gy"):
        parse_quantity("201 Gy", "Gy", where="x", at_most=200.0)
    assert parse_quantity("-3 day", "day", where="x", at_least=None) == -3.0


@given(st.floats(1e-6, 1e6), st.sampled_from(["mm", "cm", "m", "um"]))
def test_rescaled_units_change_nothing(value, unit):
    in_mm = parse_quantity(f"{value!r} {unit}", "mm", where="x")
    factor = {"mm": 1.0, "cm": 10.0, "m": 1000.0, "um": 0.001}[unit]
    assert in_mm == pytest.approx(value * factor, rel=1e-12)


@given(st.text(max_size=20))
def test_any_text_gives_a_number_or_a_sentence(text):
    try:
        value = parse_quantity(text, "Gy", where="x")
    except InvalidInput:
        return
    assert math.isfinite(value)
    assert value >= 0.0


def test_compound_units_multiply_out():
    # 1 L/(mg h) = 1e6 mm3 per mg per (1/24 day)
    assert parse_unit("L/(mg h)").factor == pytest.approx(24e6)
