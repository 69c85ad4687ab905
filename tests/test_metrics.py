"""Plan and response metrics against closed forms and independent reference cases."""

import math

import numpy as np
import pytest

from scenarios import metrics
from solvers.mesh_error import two_mesh_error
from twin import response
from twin.errors import InvalidInput

# From the project's independent reference values, by their ids.
BED = {
    "bed.stupp_ab10": (30, 2.0, 10.0, 72.0),
    "bed.perry_40_15": (15, 2.6666666666666665, 10.0, 50.666666666666664),
    "bed.start_50_25_ab35": (25, 2.0, 3.5, 78.57142857142857),
    "bed.srs_20_1_ab2": (1, 20.0, 2.0, 220.0),
}
EQD2 = {
    "eqd2.stupp_ab10": (30, 2.0, 10.0, 60.0),
    "eqd2.perry_40_15": (15, 2.6666666666666665, 10.0, 42.22222222222222),
    "eqd2.chhip_74_37_ab15": (37, 2.0, 1.5, 74.0),
    "eqd2.sbrt_54_3_ab3": (3, 18.0, 3.0, 226.8),
    "eqd2.srs_20_1_ab2": (1, 20.0, 2.0, 110.0),
}
# dvh.step_A10_*, dvh.step_weighted_*, dvh.D_abs_1p5cc_step: hottest volume [mm3] and its dose.
TEN = np.arange(10.0, 101.0, 10.0)
WEIGHTED = np.array([20.0, 40.0, 55.0, 65.0])
HOTTEST = {
    "dvh.step_A10_D0.1": (TEN, np.ones(10), 1.0, 100.0),
    "dvh.step_A10_D0.5": (TEN, np.ones(10), 5.0, 60.0),
    "dvh.step_A10_D1": (TEN, np.ones(10), 10.0, 10.0),
    "dvh.step_weighted_D0.2": (WEIGHTED, np.array([4.0, 3.0, 2.0, 1.0]), 2.0, 55.0),
    "dvh.step_weighted_D0.6": (WEIGHTED, np.array([4.0, 3.0, 2.0, 1.0]), 6.0, 40.0),
    "dvh.D_abs_1p5cc_step": (WEIGHTED, np.array([4.0, 3.0, 2.0, 1.0]), 1.5, 55.0),
}


@pytest.mark.parametrize(("n", "d", "ratio", "expected"), BED.values(), ids=BED)
def test_bed(n, d, ratio, expected):
    assert metrics.bed(n * d, n, ratio) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("n", "d", "ratio", "expected"), EQD2.values(), ids=EQD2)
def test_eqd2(n, d, ratio, expected):
    assert metrics.eqd2(n * d, n, ratio) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("dose", "volumes", "hottest", "expected"), HOTTEST.values(), ids=HOTTEST)
def test_dose_to_hottest_volume(dose, volumes, hottest, expected):
    shuffled = np.random.default_rng(0).permutation(len(dose))
    found = metrics.dose_to_hottest_volume(
        dose[shuffled], np.ones(len(dose), bool), volumes[shuffled], hottest
    )
    assert found == expected


def test_hottest_volume_counts_only_the_mask_and_a_small_organ_gives_its_least_dose():
    dose = np.array([70.0, 50.0, 40.0])
    mask = np.array([False, True, True])
    assert metrics.dose_to_hottest_volume(dose, mask, 1.0, 1.0) == 50.0
    assert metrics.dose_to_hottest_volume(dose, mask, 1.0, 30.0) == 40.0
    assert metrics.mean_dose(dose, mask) == 45.0


@pytest.mark.parametrize(
    "call",
    [
        lambda: metrics.bed(60.0, 0, 10.0),
        lambda: metrics.bed(60.0, 2.5, 10.0),
        lambda: metrics.bed(60.0, 30, 0.0),
        lambda: metrics.bed(60.0, 30, math.nan),
        lambda: metrics.bed(-1.0, 30, 10.0),
        lambda: metrics.bed(math.nan, 30, 10.0),
        lambda: metrics.mean_dose(np.ones(2), np.zeros(2, bool)),
        lambda: metrics.dose_to_hottest_volume(np.ones(2), np.zeros(2, bool), 1.0, 1.0),
        lambda: metrics.dose_to_hottest_volume(np.ones(2), np.ones(2, bool), 0.0, 1.0),
        lambda: response.time_to_progression([0, 1], [1.0, math.nan]),
        lambda: response.time_to_progression([0, 1], [1.0, 2.0], start_day=5),
        lambda: response.nadir([], []),
    ],
)
def test_bad_input_is_refused(call):
    with pytest.raises(InvalidInput):
        call()


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


def test_two_mesh_error_recovers_the_error_of_a_method_of_second_order():
    exact, constant = 100.0, 3.0
    for fine, coarse in ((1.0, 1.6), (1.5, 2.4), (1.0, 3.0)):
        values = [exact + constant * edge**2 for edge in (fine, coarse)]
        assert two_mesh_error(*values, fine, coarse) == pytest.approx(constant * fine**2)


@pytest.mark.parametrize(("fine", "coarse"), [(1.0, 1.0), (2.0, 1.0), (0.0, 1.0), (1.0, math.inf)])
def test_two_mesh_error_needs_a_coarser_mesh(fine, coarse):
    with pytest.raises(InvalidInput, match="coarser"):
        two_mesh_error(1.0, 2.0, fine, coarse)
