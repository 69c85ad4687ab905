"""Oxygen: the field against closed forms, the local balance, and what it does to dose."""

import math

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

from solvers.closed_forms import oxygen as closed_forms
from solvers.dose_response import hypoxia_factor, oxygen_enhancement, with_hypoxia
from solvers.steady_oxygen import (
    OxygenField,
    effective_oxygen,
    oxygen_length,
    oxygen_model,
)
from tests.box_meshes import box_mesh, observed_order
from twin.errors import InvalidInput, NotConverged

D, M, P0 = 2e-3, 15.0, 40.0  # mm2/s, mmHg/s, mmHg


def slab(n, half_width, **values):
    """A slab in a medium of P0, n elements through; its pressures and places."""
    side = 2.0 * half_width / n
    mesh = box_mesh((2.0 * half_width, 2 * side, 2 * side), (n, 2, 2))
    x = mesh.points[:, 0] - half_width
    ends = np.abs(x) > half_width - 1e-9
    field = OxygenField(mesh, D)
    values = {"occupancy": 1.0, "supply": 0.0, "vessel_pressure": 0.0} | values
    return x, field.pressure(fixed=ends, fixed_pressure=P0, **values)


def test_slab_with_first_order_use():
    """p0 cosh(phi x)/cosh(phi h), with the use of M p/p_M = 0.5/s p far below p_M."""
    errors, counts = [], (8, 16, 32)
    for n in counts:
        x, p = slab(n, 0.1, consumption=0.5e9, half_pressure=1e9)
        phi = math.sqrt(0.5 / D)
        exact = P0 * np.cosh(phi * x) / math.cosh(phi * 0.1)
        errors.append(np.abs(p - exact).max())
    assert errors[-1] < 2e-3 * P0
    assert observed_order([1 / n for n in counts], errors) == pytest.approx(2.0, abs=0.1)
    middle = p[np.abs(x) < 1e-9]
    assert middle == pytest.approx(15.790838994857177, rel=2e-3)


def test_slab_with_saturating_use():
    """Against shooting with an ordinary differential equation, for use at half at 2 mmHg."""

    def profile(middle):
        return solve_ivp(
            lambda _, y: [y[1], M * y[0] / (y[0] + 2.0) / D], (0.0, 0.1), [middle, 0.0],
            rtol=1e-11, atol=1e-11, dense_output=True,
        )  # fmt: skip

    middle = brentq(lambda start: profile(start).y[0, -1] - P0, 0.1, 30.0, xtol=1e-12)
    exact = profile(middle).sol
    errors, counts = [], (8, 16, 32)
    for n in counts:
        x, p = slab(n, 0.1, consumption=M, half_pressure=2.0)
        errors.append(np.abs(p - exact(np.abs(x))[0]).max())
    assert errors[-1] < 2e-3 * P0
    assert observed_order([1 / n for n in counts], errors) == pytest.approx(2.0, abs=0.1)


def spheroid(n, radius, half_pressure=1e-6, **values):
    """An eighth of a cube about the centre, the closed form on its outer faces; error too."""
    side = 0.75 * radius
    mesh = box_mesh((side, side, side), (n, n, n))
    r = np.linalg.norm(mesh.points, axis=1)
    outer = (mesh.points > side - 1e-9).any(axis=1)
    core = closed_forms.necrotic_radius(P0, M, D, radius)
    far = np.maximum(r, max(core, 1e-12))
    bracket = radius**2 - far**2 - 2.0 * core**3 * (1.0 / far - 1.0 / radius)
    exact = P0 - M / (6.0 * D) * bracket
    p = OxygenField(mesh, D).pressure(
        occupancy=np.ones(len(mesh.cells)), supply=np.zeros(len(r)), consumption=M,
        half_pressure=half_pressure, vessel_pressure=0.0, fixed=outer, fixed_pressure=exact,
        **values,
    )  # fmt: skip
    return r, p, exact


def test_spheroid_without_a_core():
    """p0 - M (R^2 - r^2)/(6 D)."""
    assert spheroid(4, 0.15)[2].min() == pytest.approx(P0 - M * 0.15**2 / (6.0 * D), rel=1e-12)
    errors, counts = [], (4, 8, 16)
    for n in counts:
        _, p, exact = spheroid(n, 0.15)
        errors.append(np.abs(p - exact).max())
    assert errors[-1] < 0.002 * P0
    assert observed_order([1 / n for n in counts], errors) == pytest.approx(2.0, abs=0.2)


def test_anoxic_core_begins_at_the_critical_radius():
    critical = closed_forms.critical_radius(P0, M, D)
    assert critical == pytest.approx(0.17888543819998318, rel=1e-12)
    for radius, anoxic in ((0.97 * critical, False), (1.1 * critical, True)):
        r, p, _ = spheroid(12, radius)
        assert (p[r == 0.0].item() < 1e-3) == anoxic
        assert (p >= 0.0).all()


def test_spheroid_with_an_anoxic_core():
    errors, counts, core = [], (8, 16), closed_forms.necrotic_radius(P0, M, D, 0.3)
    for n in counts:
        r, p, exact = spheroid(n, 0.3)
        errors.append(math.sqrt(((p - exact) ** 2).mean()))
    assert errors[-1] < 0.005 * P0
    assert observed_order([1 / n for n in counts], errors) == pytest.approx(2.0, abs=0.3)
    assert p[r < 0.8 * core].max() < 1e-3


def test_field_is_the_balance_where_all_is_uniform():
    mesh = box_mesh((0.2, 0.2, 0.2), (4, 3, 3))
    given = {"consumption": M, "half_pressure": 2.0, "vessel_pressure": P0}
    field = OxygenField(mesh, np.linspace(1e-3, 3e-3, len(mesh.cells)))
    for occupancy, supply in ((1.0, 0.5), (0.3, 0.05), (0.0, 1.0), (1.0, 0.0), (1.0, 100.0)):
        p = field.pressure(occupancy=occupancy, supply=supply, **given, tolerance=1e-12)
        one = effective_oxygen(occupancy, supply, **given)
        np.testing.assert_allclose(p, one, rtol=1e-9, atol=1e-9)


def test_balance_balances():
    """Supply equals use at every root, also where the plain formula of a root cancels."""
    occupancy = np.array([1.0, 1.0, 0.5, 1e-9, 1.0])
    supply = np.array([1e-9, 0.5, 20.0, 1.0, 1e6])
    p = effective_oxygen(occupancy, supply, consumption=M, half_pressure=2.0, vessel_pressure=P0)
    assert ((p > 0.0) & (p <= P0)).all()
    used, supplied = M * occupancy * p / (p + 2.0), supply * (P0 - p)
    np.testing.assert_allclose(used[:3], supplied[:3], rtol=1e-12)
    np.testing.assert_allclose(p[3:], P0, rtol=1e-5)


def test_balance_is_the_field_of_large_elements():
    """A step of occupancy on 2 mm elements: apart from the step each element is on its own."""
    mesh = box_mesh((24.0, 4.0, 4.0), (12, 2, 2))
    x = mesh.points[:, 0]
    occupancy, given = np.where(x < 11.0, 0.2, 1.0), {
        "consumption": M, "half_pressure": 2.0, "vessel_pressure": P0,
    }  # fmt: skip
    assert oxygen_model(2.0, diffusivity=D, vessel_pressure=P0, consumption=M) == "balance"
    p = OxygenField(mesh, D).pressure(occupancy=occupancy, supply=0.5, **given)
    local = effective_oxygen(occupancy, 0.5, **given)
    np.testing.assert_allclose(p, local, rtol=5e-3)


def test_half_a_length_still_holds_the_field():
    """The decay that `oxygen_model` promises: within 4 % up to its limit, worse beyond."""
    length = oxygen_length(D, P0, M)
    assert length == pytest.approx(math.sqrt(D * P0 / M), rel=1e-15)
    size = {"diffusivity": D, "vessel_pressure": P0, "consumption": M}
    assert oxygen_model(0.5 * length, **size) == "field"
    assert oxygen_model(0.51 * length, **size) == "balance"
    rate = D / length**2
    decay = {}
    for n in (16, 32):
        x, p = slab(n, 8.0 * length, consumption=rate * 1e9, half_pressure=1e9)
        there = np.abs(np.abs(x) - 7.0 * length) < 1e-9
        decay[n] = np.abs(-np.log(p[there] / P0) - 1.0).max()
    assert decay[32] < 0.04
    assert 0.10 < decay[16] < 0.16


def test_guess_changes_the_work_not_the_answer():
    _, p, _ = spheroid(8, 0.2, half_pressure=2.0)
    for guess in (np.zeros(len(p)), np.full(len(p), 500.0), p):
        np.testing.assert_allclose(
            spheroid(8, 0.2, half_pressure=2.0, guess=guess)[1], p, rtol=1e-7, atol=1e-8
        )


def test_no_field_without_balance():
    with pytest.raises(NotConverged, match=r"field of oxygen .* raise half_pressure"):
        spheroid(8, 0.2, half_pressure=2.0, tolerance=1e-40)


def test_what_is_refused():
    mesh = box_mesh((0.2, 0.2, 0.2), (2, 2, 2))
    nodes = len(mesh.points)
    good = {
        "occupancy": 1.0, "supply": 0.5, "consumption": M, "half_pressure": 2.0,
        "vessel_pressure": P0,
    }  # fmt: skip
    with pytest.raises(InvalidInput, match="diffusivity"):
        OxygenField(mesh, 0.0)
    field = OxygenField(mesh, D)
    for name, bad in (
        ("consumption", -1.0), ("half_pressure", 0.0), ("vessel_pressure", math.nan),
        ("tolerance", 0.0), ("occupancy", -0.1), ("supply", math.inf), ("supply", np.ones(5)),
        ("guess", np.full(nodes, -1.0)), ("fixed", np.ones(nodes, bool)),
    ):  # fmt: skip
        with pytest.raises(InvalidInput):
            field.pressure(**(good | {name: bad}))
    with pytest.raises(InvalidInput, match="mask of bool"):
        field.pressure(**good, fixed=np.ones(3, bool), fixed_pressure=P0)
    with pytest.raises(InvalidInput, match="fixed pressure"):
        field.pressure(**good, fixed=np.ones(nodes, bool), fixed_pressure=-1.0)
    with pytest.raises(InvalidInput, match="no fixed node"):
        field.pressure(**(good | {"supply": 0.0, "occupancy": 0.0}))
    del good["occupancy"], good["supply"]
    with pytest.raises(InvalidInput, match="neither a supply nor a use"):
        effective_oxygen([1.0, 0.0], [0.0, 0.0], **good)
    with pytest.raises(InvalidInput, match="at least 0"):
        effective_oxygen([-1.0], [0.5], **good)
    with pytest.raises(InvalidInput, match="size"):
        oxygen_model(0.0, diffusivity=D, vessel_pressure=P0, consumption=M)


@pytest.mark.parametrize(("p", "expected"), [(0.0, 1.0), (3.0, 2.0), (40.0, 2.86046511627907)])
def test_oxygen_enhancement(p, expected):
    assert oxygen_enhancement(p, 3.0, 3.0) == pytest.approx(expected, rel=1e-12)
    assert hypoxia_factor(p, 3.0, 3.0) == pytest.approx(expected / 3.0, rel=1e-12)


@pytest.mark.parametrize(
    ("p", "expected"), [(0.0, 0.21333333333333335), (20.0, 0.6478638941398865)]
)
def test_log_kill_without_oxygen(p, expected):
    """2 Gy with alpha 0.3 and beta 0.03: alpha falls by f, beta by f squared."""
    alpha, beta = with_hypoxia(0.3, 0.03, p, 3.0, 3.0)
    assert 2.0 * alpha + 4.0 * beta == pytest.approx(expected, rel=1e-12)


def test_oxygen_effect_refuses():
    for p, m, k in ((-1.0, 3, 3), (math.nan, 3, 3), (1.0, 0.9, 3), (1.0, 3, 0.0)):
        with pytest.raises(InvalidInput):
            oxygen_enhancement(p, m, k)
