"""Nadir and time to progression of volume curves, against closed forms."""

import math

import numpy as np
import pytest

from twin import response
from twin.errors import InvalidInput


def test_progression_of_exponential_growth_is_at_ln_1_4():
    days = np.arange(0.0, 201.0)
    rate = 0.01
    found = response.time_to_progression(days, 5e3 * np.exp(rate * days))
    # Interpolating a convex curve over one day is late by at most rate * 1 day^2 / 8.
    assert found == pytest.approx(math.log(1.4) / rate, abs=rate / 8)


def test_progression_after_treatment_is_counted_from_the_nadir():
    days = np.arange(0.0, 301.0)
    # Straight down from 10 ml to 2 ml on day 100, then up 0.04 ml a day: 2.8 ml on day 120.
    volume = np.where(days <= 100, 1e4 - 80.0 * days, 2e3 + 40.0 * (days - 100))
    assert response.time_to_progression(days, volume, start_day=20) == pytest.approx(120.0)
    assert response.nadir(days, volume, start_day=20) == response.Nadir(2e3, 100.0)


def test_growth_before_the_start_of_assessment_is_no_progression():
    days = np.arange(0.0, 101.0)
    volume = np.where(days <= 30, 1e3 * np.exp(0.03 * days), 1e3 * math.exp(0.9))
    assert response.time_to_progression(days, volume) < 15.0
    assert response.time_to_progression(days, volume, start_day=30) == math.inf


def test_progression_after_complete_response_waits_for_a_measurable_tumour():
    days = np.arange(0.0, 101.0)
    volume = np.where(days < 50, 0.0, 20.0 * (days - 50))
    ten_mm_sphere = 4.0 / 3.0 * math.pi * 5.0**3
    assert response.time_to_progression(days, volume) == pytest.approx(50 + ten_mm_sphere / 20.0)


def test_assessment_may_start_between_two_days():
    """Straight down to 2 ml on day 10: on day 7.5 the curve is at 2.5 ml, and rises from there."""
    times, volume = [0.0, 5.0, 10.0, 30.0], [4e3, 3e3, 2e3, 6e3]
    assert response.nadir(times, volume, start_day=7.5) == response.Nadir(2e3, 10.0)
    assert response.time_to_progression(times, volume, start_day=7.5) == pytest.approx(14.0)
    assert response.nadir(times[:2], volume[:2], start_day=2.5) == response.Nadir(3e3, 5.0)
    rising = [2e3, 3e3, 4e3, 8e3]
    assert response.nadir(times, rising, start_day=2.5) == response.Nadir(2.5e3, 2.5)
    assert response.time_to_progression(times, rising, start_day=2.5) == pytest.approx(7.5)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: response.time_to_progression([0, 1], [1.0, math.nan]), "not finite"),
        (lambda: response.time_to_progression([0, math.inf], [1.0, 1.0]), "not finite"),
        (lambda: response.time_to_progression([0, 1], [1.0, 2.0], start_day=5), "outside"),
        (lambda: response.nadir([0, 1], [1.0, 2.0], start_day=math.nan), "outside"),
        (lambda: response.nadir([0, 1], [1.0]), "one volume for each time"),
        (lambda: response.nadir([], []), "one volume for each time"),
    ],
)
def test_a_bad_curve_is_refused(call, sentence):
    with pytest.raises(InvalidInput, match=sentence):
        call()
