"""Volumes above a level against exact rational arithmetic, closed forms and quadrature."""

import math
from fractions import Fraction

import numpy as np
import pytest
from box_meshes import box_mesh, observed_order
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from solvers.volumes import VisibleVolumes, softened_visibility, volume_above
from twin.errors import InvalidInput

ONE = np.array([[0, 1, 2, 3]], np.int32)


def share_above(corners, level):
    """Share of one tetrahedron, from the code under test."""
    return volume_above(ONE, np.array([1.0]), np.array(corners, float), float(level))


def exact_share(corners, level):
    """The same by the divided difference of ``(. - level)_+^3``, in rational numbers.

    Curry and Schoenberg 1966, doi 10.1007/BF02788653: the sections of a simplex are a B-spline.
    Equal corners are moved apart by 1e-40, downwards: what equals the level is not above it.
    """
    values = [Fraction(c) - k * Fraction(1, 10**40) for k, c in enumerate(corners)]
    level = Fraction(level)
    total = Fraction(0)
    for i, value in enumerate(values):
        if value > level:
            below = math.prod(value - other for j, other in enumerate(values) if j != i)
            total += (value - level) ** 3 / below
    return float(total)


@pytest.mark.parametrize("level", [0.0, 0.1, 0.5, 0.8, 0.999])
def test_corner_wedge_and_truncated_corner(level):
    t = level
    assert share_above([1, 0, 0, 0], t) == pytest.approx((1 - t) ** 3, abs=1e-15)
    assert share_above([0, 1, 0, 1], t) == pytest.approx((1 - t) ** 2 * (1 + 2 * t), abs=1e-15)
    assert share_above([1, 1, 0, 1], t) == pytest.approx(1 - t**3, abs=1e-15)


def test_levels_at_and_beyond_the_corners():
    corners = [0.2, 0.4, 0.6, 0.8]
    assert share_above(corners, 0.1) == 1.0
    assert share_above(corners, 0.9) == 0.0
    for level in corners:  # continuous there, and nothing counted twice
        assert share_above(corners, level) == pytest.approx(exact_share(corners, level), abs=1e-14)
    assert share_above(corners, 0.2) == pytest.approx(1.0)
    assert share_above(corners, 0.8) == 0.0
    assert share_above([0.5] * 4, 0.5) == 0.0
    assert share_above([0.5] * 4, np.nextafter(0.5, 0)) == 1.0


quantity = st.floats(0.0, 1.0, allow_subnormal=False)
threshold = st.floats(0.01, 0.99)  # thresholds of visibility lie between 0 and 1


@given(st.lists(quantity, min_size=4, max_size=4), threshold)
@settings(max_examples=300, deadline=None)
def test_cut_is_exact(corners, level):
    assert share_above(corners, level) == pytest.approx(exact_share(corners, level), abs=1e-12)


@given(st.lists(st.integers(0, 4), min_size=4, max_size=4), st.integers(0, 8))
@settings(max_examples=200, deadline=None)
def test_cut_is_exact_where_values_repeat(corners, twice_level):
    corners, level = [c / 4 for c in corners], twice_level / 8
    expected = exact_share(corners, level)
    if len(set(corners)) > 1:
        assert share_above(corners, level) == pytest.approx(expected, abs=1e-12)


@given(st.lists(quantity, min_size=4, max_size=4), threshold, st.permutations(range(4)))
@settings(max_examples=100, deadline=None)
def test_parts_add_up(corners, level, order):
    whole = share_above(corners, level)
    assert share_above([corners[k] for k in order], level) == pytest.approx(whole, abs=1e-13)
    if level not in corners:
        below = share_above([1 - c for c in corners], 1 - level)
        assert whole + below == pytest.approx(1.0, abs=1e-12)
    # split at the middle of an edge
    middle = 0.5 * (corners[0] + corners[1])
    density = np.array([*corners, middle])
    cells = np.array([[0, 4, 2, 3], [4, 1, 2, 3]], np.int32)
    parts = volume_above(cells, np.array([0.5, 0.5]), density, level)
    assert parts == pytest.approx(whole, abs=1e-12)


def sphere(n, radius=3.3):
    """A box of 10 mm with a smooth density that is 0.5 on a sphere in it."""
    mesh = box_mesh((10.0, 10.0, 10.0), (n, n, n))
    distance = np.linalg.norm(mesh.points - [5.0, 5.1, 4.9], axis=1)
    return mesh, 1.0 - 0.5 * (distance / radius) ** 2


def test_volume_of_a_ball_converges_with_second_order():
    expected, sizes, errors = 4 / 3 * np.pi * 3.3**3, [], []
    for n in (6, 10, 16):
        mesh, density = sphere(n)
        volume = volume_above(mesh.cells, mesh.cell_volume, density, 0.5)
        errors.append(abs(volume - expected) / expected)
        sizes.append(10.0 / n)
    assert observed_order(sizes, errors) == pytest.approx(2.0, abs=0.2)
    assert errors[-1] < 0.03


def meter(mesh, thresholds, softness):
    share = np.repeat(mesh.cell_volume / 4, 4)
    mass = np.bincount(mesh.cells.ravel(), share, minlength=len(mesh.points))
    return VisibleVolumes(mesh.cells, mesh.cell_volume, mass, thresholds, softness)


def test_several_levels_at_once():
    mesh, density = sphere(10)
    levels = [0.1, 0.3, 0.5, 0.8, 0.95]
    hard = meter(mesh, levels, 0.07).measure(density)[0]
    each = [volume_above(mesh.cells, mesh.cell_volume, density, level) for level in levels]
    np.testing.assert_allclose(hard, each, rtol=1e-12)
    assert (np.diff(hard) < 0).all()


@pytest.mark.parametrize("share", [0.0, 0.01, 0.4, 1.0])
def test_the_order_of_the_elements_does_not_matter(share):
    """In blocks along a curve through space or as they come; some of them, all, or none."""
    mesh, density = sphere(10)
    chosen = np.random.default_rng(5).random(len(mesh.cells)) < share
    cells, volume = mesh.cells[chosen], mesh.cell_volume[chosen]
    mass = np.zeros(len(mesh.points))
    levels = [0.1, 0.5, 0.95]
    given = VisibleVolumes(cells, volume, mass, levels, 0.07).measure(density)[0]
    curved = VisibleVolumes(cells, volume, mass, levels, 0.07, points=mesh.points)
    np.testing.assert_allclose(curved.measure(density)[0], given, rtol=1e-12)
    for level, found in zip(levels, given, strict=True):
        each = [share_above(density[cell], level) for cell in cells[:300]]
        if len(cells) <= 300:
            assert found == pytest.approx(float(np.dot(each, volume)), rel=1e-12)
    everywhere, nowhere = np.ones(len(density)), np.zeros(len(density))
    np.testing.assert_allclose(curved.measure(everywhere)[0], volume.sum(), rtol=1e-12)
    assert (curved.measure(nowhere)[0] == 0.0).all()


def normal_below(x):
    return 0.5 * math.erfc(-x / math.sqrt(2.0))


def softened(density, threshold, softness):
    """The definition in the docstring of `softened_visibility`."""
    none = normal_below(-threshold / softness)
    return (normal_below((density - threshold) / softness) - none) / (1.0 - none)


@pytest.mark.parametrize("threshold", [0.16, 0.8])
@pytest.mark.parametrize("softness", [0.03, 0.07, 0.1])
def test_softened_visibility_follows_its_definition(threshold, softness):
    for density in np.linspace(0.0, 1.2, 25):
        assert float(softened_visibility(density, threshold, softness)) == pytest.approx(
            softened(density, threshold, softness), abs=1e-13
        )
    assert float(softened_visibility(0.0, threshold, softness)) == 0.0


@pytest.mark.parametrize("level", [0.0, 0.05, 0.16, 0.5, 0.8, 1.0, 1.1])
def test_softened_volume_of_an_even_density(level):
    mesh = box_mesh((3.0, 2.0, 1.0), (3, 2, 1))
    soft = meter(mesh, [0.16, 0.8], 0.07).measure(np.full(len(mesh.points), level))[1]
    expected = [6.0 * softened(level, t, 0.07) for t in (0.16, 0.8)]
    np.testing.assert_allclose(soft, expected, atol=6e-6)  # 1e-6 of the volume: the table


@pytest.mark.parametrize(("k", "threshold"), [(0, 0.16), (1, 0.8)])
def test_softened_volume_of_a_linear_density_converges_with_second_order(k, threshold):
    def density(x):
        return 0.03 + 0.093 * x

    area, softness = 1.0, 0.07
    expected = area * quad(lambda x: softened(density(x), threshold, softness), 0, 10)[0]
    sizes, errors = [], []
    for n in (20, 40, 80):
        mesh = box_mesh((10.0, 1.0, 1.0), (n, 2, 2))
        soft = meter(mesh, [0.16, 0.8], softness).measure(density(mesh.points[:, 0]))[1]
        errors.append(abs(soft[k] - expected))
        sizes.append(10.0 / n)
    assert errors[-1] < 2e-4 * expected
    assert observed_order(sizes, errors) == pytest.approx(2.0, abs=0.2)


def test_softened_volume_nears_the_hard_one():
    """A reader without doubt: the softened volume of a linear density is the hard one."""
    mesh = box_mesh((10.0, 1.0, 1.0), (400, 1, 1))
    hard, soft = meter(mesh, [0.3], 0.005).measure(mesh.points[:, 0] / 10.0)
    assert hard[0] == pytest.approx(7.0, rel=1e-12)
    assert soft[0] == pytest.approx(7.0, abs=0.01)


@pytest.mark.parametrize("softness", [0.0, -0.1, np.nan, np.inf])
def test_bad_softness_is_refused(softness):
    with pytest.raises(InvalidInput, match="must be finite and above 0"):
        softened_visibility(0.5, 0.16, softness)


def test_too_many_thresholds_are_refused():
    mesh = box_mesh((1.0, 1.0, 1.0), (1, 1, 1))
    with pytest.raises(InvalidInput, match="8 at most"):
        meter(mesh, np.linspace(0.1, 0.9, 9), 0.07)
