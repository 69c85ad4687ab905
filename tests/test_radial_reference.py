"""The radial reference itself: closed forms, an exact wave, and its own error by halving."""

import numpy as np
import pytest
from radial_reference import Round, Shells, curves, grown, volumes
from scipy.integrate import quad

#: First positive root of tan x = x: the first radial mode of a ball with no flux through it.
FIRST_ROOT = 4.493409457909064


def test_a_mode_of_the_ball_decays_at_its_rate():
    radius, diffusivity, days = 10.0, 0.4, 25.0
    number = FIRST_ROOT / radius

    def mode(r):
        return 0.3 + 0.1 * np.sinc(number * r / np.pi)

    problem = Round(initial=mode, outer_mm=radius, diffusivity=diffusivity, rate=0.0)
    grid, states = grown(problem, [days], shells=400)
    left = np.exp(-diffusivity * number**2 * days)
    expected = 0.3 + 0.1 * left * np.sinc(number * grid.centre / np.pi)
    np.testing.assert_allclose(states[0, 0], expected, atol=3e-6)
    assert 0.1 < left < 0.2
    content = grid.volume @ mode(grid.centre)
    assert grid.volume @ states[0, 0] == pytest.approx(content, rel=1e-7)


def test_flat_density_is_the_exact_logistic_and_survives_a_fraction_as_by_quadrature():
    rate, clearance, start, surviving = 0.08, 0.02, 0.2, 0.55
    problem = Round(
        initial=lambda r: np.full_like(r, start),
        outer_mm=5.0,
        diffusivity=0.2,
        rate=rate,
        clearance=clearance,
        fractions=[(10.0, surviving)],
    )
    _, states = grown(problem, [9.0, 10.0, 40.0], shells=20)
    for day, state in ((9.0, states[0]),):
        growth = np.exp(rate * day)
        np.testing.assert_allclose(state[0], start * growth / (1 + start * (growth - 1)), rtol=1e-6)
    before = start * np.exp(0.8) / (1 + start * (np.exp(0.8) - 1))
    viable, dead = surviving * before, (1 - surviving) * before
    np.testing.assert_allclose(states[1], np.array([[viable], [dead]]) * np.ones(20), rtol=1e-6)

    def growth_since(day):  # exp of the integral of rho (1 - d)
        return np.exp(rate * (day - dead * (1 - np.exp(-clearance * day)) / clearance))

    late = growth_since(30.0)
    expected = viable * late / (1 + rate * viable * quad(growth_since, 0.0, 30.0)[0])
    np.testing.assert_allclose(states[2, 0], expected, rtol=1e-6)
    np.testing.assert_allclose(states[2, 1], dead * np.exp(-30.0 * clearance), rtol=1e-6)


def test_constant_kill_feeds_the_dead_pool():
    kill, clearance, day = 0.05, 0.02, 30.0
    problem = Round(
        initial=lambda r: np.full_like(r, 0.4),
        outer_mm=5.0,
        diffusivity=0.2,
        rate=0.0,
        clearance=clearance,
        kill=kill,
    )
    _, states = grown(problem, [day], shells=20)
    np.testing.assert_allclose(states[0, 0], 0.4 * np.exp(-kill * day), rtol=1e-6)
    # Two rates in a row (Bateman 1910): u0 k (e^(-lambda t) - e^(-k t)) / (k - lambda)
    dead = 0.4 * kill * (np.exp(-clearance * day) - np.exp(-kill * day)) / (kill - clearance)
    np.testing.assert_allclose(states[0, 1], dead, rtol=1e-6)


def test_a_nearly_flat_front_is_the_exact_wave():
    """Ablowitz and Zeppetella 1979, doi 10.1007/BF02462380: speed 5/sqrt(6) sqrt(D rho)."""
    diffusivity, rate, day, far = 0.13, 0.06, 60.0, 1e6
    width = np.sqrt(diffusivity / rate)

    def wave(r, day=0.0):
        speed = 5.0 / np.sqrt(6.0) * np.sqrt(diffusivity * rate)
        place = (r - far - 40.0 - speed * day) / width
        return (1.0 + np.exp(place / np.sqrt(6.0))) ** -2

    problem = Round(
        initial=wave, inner_mm=far, outer_mm=far + 90.0, diffusivity=diffusivity, rate=rate
    )
    grid, states = grown(problem, [day], shells=1800)
    inside = (grid.centre > far + 25.0) & (grid.centre < far + 70.0)
    np.testing.assert_allclose(states[0, 0][inside], wave(grid.centre, day)[inside], atol=2e-5)
    moved = wave(grid.centre[inside], day) - wave(grid.centre[inside])
    assert moved.max() > 0.7


def test_flow_through_two_shells_in_a_row_is_the_steady_one():
    """A steady flow has u = a + b / (D r) on either side: every face carries the same."""
    grid = Shells(np.linspace(2.0, 12.0, 2001))
    inside, outside, change = 0.4, 0.05, 7.0
    r, b = grid.centre, 3.0
    u = np.where(r < change, b / (inside * r) - b / inside / change, b / outside * (1 / r - 1 / 7))
    flow = grid.conductance((inside, outside, change)) * np.diff(u)
    np.testing.assert_allclose(flow, -4.0 * np.pi * b, rtol=2e-5)


def test_volumes_of_a_cone_by_hand():
    """v = 1 - r/10: above 0.8 within 2 mm, above 0.16 within 8.4 mm."""
    grid = Shells(np.linspace(0.0, 12.0, 601))
    found = volumes(grid, np.maximum(1.0 - grid.centre / 10.0, 0.0))
    expected = 4.0 / 3.0 * np.pi * np.array([2.0, 8.4]) ** 3
    np.testing.assert_allclose(found[0], expected, rtol=1e-6)
    # Softened: the mean over a reader's threshold t, normal about the level, of the ball
    # within 10 (1 - t), among the readers with a threshold above 0.
    for level, soft in zip((0.80, 0.16), found[1], strict=True):

        def readers(t, level=level):
            return np.exp(-0.5 * ((t - level) / 0.05) ** 2)

        def seen(t, readers=readers):
            return readers(t) * 4.0 / 3.0 * np.pi * (10.0 * (1.0 - t)) ** 3

        among = quad(readers, 0.0, 2.0, points=[level])[0]
        assert soft == pytest.approx(quad(seen, 0.0, 1.0, points=[level])[0] / among, rel=1e-4)


@pytest.mark.parametrize(
    ("diffusivity", "rate", "fractions"),
    [
        (0.13, 0.03, ()),
        ((0.13, 0.026, 9.0), 0.03, ()),
        (0.03, 0.06, [(14.0 + day, 0.85) for day in range(20)]),
    ],
)
def test_halving_the_shells_changes_no_volume_by_a_ten_thousandth(diffusivity, rate, fractions):
    problem = Round(
        initial=lambda r: 1.0 / (1.0 + np.exp((r - 7.0) / 1.0)),
        outer_mm=20.0,
        diffusivity=diffusivity,
        rate=rate,
        clearance=np.log(2.0) / 60.0,
        fractions=fractions,
    )
    days = [0.0, 20.0, 40.0, 60.0]
    coarse, fine = (curves(problem, days, shells=n) for n in (1600, 3200))
    assert (fine > 10.0).any()
    largest = np.maximum(fine, 1.0)  # [mm3]; what is nearly nothing is compared by itself
    # Second order: what is left at 1,600 shells is 4/3 of the difference.
    assert (4.0 / 3.0 * np.abs(coarse - fine) / largest).max() < 1e-4
