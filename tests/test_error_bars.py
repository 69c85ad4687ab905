"""Error bars: their arithmetic by hand, and that they contain the truth of round tumours."""

import math

import numpy as np
import pytest
from round_cases import THRESHOLDS, study

from solvers.error_bars import (
    MeshEdges,
    check_times,
    error_bar,
    extrapolated,
    is_asymptotic,
    mesh_spread,
    observed_order,
    space_error,
    time_error,
)
from twin.errors import InvalidInput

H = np.array([1.2, 1.9, 3.1])
EDGES = MeshEdges(*H)
DAYS = np.arange(0.0, 57.0)


def curves_of_order(order, slope=0.4):
    """Curves u(t) + c(t) h^p on the three meshes, shape (2, time)."""
    exact = np.stack([100.0 + DAYS, 3000.0 - 20.0 * DAYS])
    constant = np.stack([slope * (DAYS - 20.0), np.full(len(DAYS), 5.0)])  # one changes its sign
    return exact, [exact + constant * h**order for h in H]


@pytest.mark.parametrize("order", [0.5, 1.0, 1.5, 2.0, 2.5, 4.0])
def test_the_observed_order_is_that_of_the_curves(order):
    _, found = curves_of_order(order)
    assert observed_order(*([one] for one in found), EDGES) == pytest.approx(order, abs=1e-8)


def test_observed_orders_beyond_the_ends_and_of_equal_curves():
    flat, curves = np.ones((1, 3)), [1.0, 1.1, 1.05]  # the coarsest is nearer than the coarse
    away = observed_order(*([flat * value] for value in curves), EDGES)
    assert away == 0.01
    assert observed_order([flat], [flat], [2.0 * flat], EDGES) == 9.0
    assert math.isnan(observed_order([flat], [flat], [flat], EDGES))
    assert math.isnan(observed_order([0.0 * flat], [0.0 * flat], [0.0 * flat], EDGES))
    assert is_asymptotic([1.49, 1.51, 2.49, 2.51, math.nan]).tolist() == [0, 1, 1, 0, 1]


def test_of_second_order_the_error_in_space_and_the_extrapolation_are_exact():
    exact, (fine, coarse, coarsest) = curves_of_order(2.0)
    np.testing.assert_allclose(
        space_error(fine, coarse, coarsest, EDGES), np.abs(fine - exact), atol=1e-10
    )
    np.testing.assert_allclose(extrapolated(fine, coarse, EDGES), exact, rtol=1e-12)


def test_of_second_order_in_the_step_the_error_in_time_is_exact():
    exact, slope, tau = 500.0, 3.0, 0.7
    single, halved = (exact + slope * step**2 for step in (tau, tau / 2.0))
    assert time_error(single, single, halved) == pytest.approx(slope * tau**2)
    # On another mesh, with volumes twice as large, relatively the same.
    assert time_error(single, 2 * single, 2 * halved) == pytest.approx(slope * tau**2)
    assert time_error(0.0, 0.0, 0.0) == 0.0


def test_a_bar_is_both_errors_with_the_factor_of_safety():
    exact, (fine, coarse, coarsest) = curves_of_order(2.0)
    checks = check_times(DAYS)
    assert DAYS[checks].tolist() == [0, 7, 14, 21, 28, 35, 42, 49, 56]
    third = coarsest[:, checks]
    bar = error_bar(DAYS, fine, coarse, third, third * 1.03, EDGES)
    at = np.abs(fine - exact)[:, checks] + 0.04 * fine[:, checks]
    np.testing.assert_allclose(bar[:, checks], 1.25 * at, rtol=1e-9)
    without = error_bar(DAYS, fine, coarse, third, None, EDGES)
    np.testing.assert_allclose(without[1], 1.25 * np.abs(fine - exact)[1], rtol=1e-9)


def test_the_mesh_spread_is_the_farther_of_two_meshes():
    _, (fine, coarse, coarsest) = curves_of_order(2.0)
    checks = check_times(DAYS)
    spread = mesh_spread(DAYS, fine, coarse, coarsest[:, checks])
    # c (h^2 - h_1^2) of a c(t) that is straight: |.| is interpolated exactly but at the crossing
    away = np.abs(DAYS - 20.0) >= 7.0
    apart = np.stack([0.4 * np.abs(DAYS - 20.0), np.full(len(DAYS), 5.0)]) * (H[2] ** 2 - H[0] ** 2)
    np.testing.assert_allclose(spread[:, away], apart[:, away], rtol=1e-10)
    # Where the coarse mesh is the farther one
    np.testing.assert_allclose(mesh_spread(DAYS, fine, fine + 9e3, coarsest[:, checks]), 9e3)


@pytest.mark.parametrize("times", [[5.0], [0.0, 400.0], [0.0, 1.0, 2.0]])
def test_few_times_have_a_bar_each(times):
    values = np.full((2, len(times)), 10.0)
    checks = check_times(times)
    assert checks[0] == 0
    assert checks[-1] == len(times) - 1
    coarsest = (values + 1.0)[:, checks]
    bar = error_bar(times, values, values, coarsest, coarsest, EDGES)
    assert bar.shape == values.shape
    np.testing.assert_allclose(bar, 1.25 / ((H[2] / H[0]) ** 2 - 1.0))


@pytest.mark.parametrize("edges", [(1.0, 1.0, 2.0), (1.0, 1.6, 1.7), (2.0, 1.0, 3.0), (0, 1, 2)])
def test_meshes_must_each_be_coarser(edges):
    with pytest.raises(InvalidInput, match=r"1\.1 times coarser"):
        MeshEdges(*edges)
    with pytest.raises(InvalidInput):
        MeshEdges(1.0, 2.0, math.nan)


@pytest.mark.slow
def test_the_bars_of_round_tumours_contain_the_truth():
    """Sixty tumours drawn from the priors, against the radial reference (docs/error-bars.md)."""
    found = study()
    kept = [one for one in found if is_asymptotic(one.order)]
    assert len(kept) >= 50
    assert sum(one.width_by_edge < 0.5 for one in found) >= 5  # fronts that are not resolved
    inside, width = (
        np.concatenate([getattr(one, name) for one in kept]) for name in ("inside", "width")
    )
    assert inside.mean() >= 0.9
    assert 1.0 < np.median(width) <= 3.0
    assert np.mean([one.inside.mean() >= 0.9 for one in kept]) >= 0.8
    for kind in range(2):
        for k in range(len(THRESHOLDS)):
            some = [one.counted[kind, k] for one in kept]
            bar, error, better = (
                np.concatenate([part[kind, k][which] for part, which in zip(of, some, strict=True)])
                for of in zip(
                    *((one.bar, one.error, np.abs(one.extrapolated - one.true)) for one in kept),
                    strict=True,
                )
            )
            assert np.mean(error <= bar) >= 0.85
            if kind == 0:  # volumes that are cut hard gain by extrapolation
                assert np.median(better) < 0.7 * np.median(error)
