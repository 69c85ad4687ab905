"""Plan metrics against closed forms and independent reference cases."""

import math

import numpy as np
import pytest

from scenarios import metrics
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
    ],
)
def test_bad_input_is_refused(call):
    with pytest.raises(InvalidInput):
        call()
