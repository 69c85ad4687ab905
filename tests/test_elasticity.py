"""Linear elasticity against closed forms, its derivatives against differences."""

import logging
import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.sparse

from solvers.block_cholesky import BlockCholesky
from solvers.closed_forms import mechanics
from solvers.closed_forms.growing_ball import gaussian_moment, growing_ball
from solvers.closed_forms.thick_walls import sphere_under_pressure
from solvers.elastic_matrix import elastic_matrix
from solvers.elastic_measures import LEAST_STRESS_KPA
from solvers.elasticity import ElasticBody, outer_nodes
from tests.ball_meshes import ball_mesh, shell_mesh
from tests.box_meshes import box_mesh, observed_order
from twin.errors import InvalidInput, NotConverged
from twin.mesh import Mesh

YOUNG, POISSON = 2.0, 0.4
GENERAL = np.array([[0.01, 0.003, 0.0], [0.003, -0.004, 0.002], [0.0, 0.002, 0.006]])


def shaken_box(counts=(4, 5, 6), side=20.0, seed=3):
    """A cube whose inner nodes are moved at random, so that no element is special."""
    mesh = box_mesh((side, side, side), counts)
    points = mesh.points.copy()
    inner = ~outer_nodes(mesh)
    step = 0.12 * side / max(counts)
    points[inner] += np.random.default_rng(seed).uniform(-step, step, (int(inner.sum()), 3))
    return Mesh(points, mesh.cells, mesh.cell_label, mesh.label_names)


@pytest.fixture(scope="module")
def body():
    """Two stiffnesses in a shaken cube, held outside."""
    mesh = shaken_box()
    young = np.where(mesh.points[mesh.cells].mean(axis=1)[:, 0] < 8.0, 0.1, 8.0)
    return ElasticBody(mesh, young, POISSON, outer_nodes(mesh), tolerance=1e-12)


@pytest.fixture(scope="module")
def density(body):
    return np.exp(-((body.mesh.points - 9.0) ** 2).sum(axis=1) / 40.0)


@pytest.mark.parametrize(
    "strain",
    [
        np.diag(mechanics.uniaxial_strains(YOUNG, POISSON, 0.02)),
        0.01 * np.eye(3),
        np.array([[0, 0.01, 0], [0.01, 0, 0], [0, 0, 0.0]]),
        GENERAL,
    ],
    ids=["uniaxial", "hydrostatic", "shear", "general"],
)
def test_patch(strain):
    mesh = shaken_box()
    at = ElasticBody(mesh, np.full(len(mesh.cells), YOUNG), POISSON, outer_nodes(mesh))
    nothing = np.zeros(len(mesh.points))
    linear = mesh.points @ strain
    moved = at.displacement(nothing, 0.0, prescribed=linear, tolerance=1e-13)
    assert np.abs(moved - linear).max() < 1e-9 * np.abs(linear).max()
    stress = at.stress(moved, nothing, 0.0)
    expected = mechanics.stress_voigt(YOUNG, POISSON, strain)
    np.testing.assert_allclose(stress, np.tile(expected, (len(stress), 1)), rtol=0, atol=1e-10)
    shear = mechanics.von_mises(expected)
    np.testing.assert_allclose(at.von_mises(moved), shear, rtol=1e-9, atol=2 * LEAST_STRESS_KPA)


def test_uniform_growth_in_a_free_cube_has_no_stress():
    """Growth alike everywhere is a hydrostatic strain: a cube held at three nodes only swells."""
    mesh = shaken_box()
    corners = np.zeros(len(mesh.points), bool)
    corners[[0, 6, 41]] = True
    at = ElasticBody(mesh, np.full(len(mesh.cells), YOUNG), POISSON, corners)
    everywhere = np.ones(len(mesh.points))
    swollen = 0.03 * mesh.points
    moved = at.displacement(everywhere, 0.03, prescribed=swollen, tolerance=1e-13)
    np.testing.assert_allclose(moved, swollen, rtol=0, atol=1e-9)
    assert np.abs(at.stress(moved, everywhere, 0.03)).max() < 1e-9
    assert at.von_mises(moved).max() < 2e-9


def test_uniform_growth_in_a_held_cube_is_pressure():
    mesh = shaken_box()
    at = ElasticBody(mesh, np.full(len(mesh.cells), YOUNG), POISSON, outer_nodes(mesh))
    everywhere = np.ones(len(mesh.points))
    moved = at.displacement(everywhere, 0.03)
    pressure = -mechanics.hydrostatic_stress(YOUNG, POISSON, 0.03)
    stress = at.stress(moved, everywhere, 0.03)
    np.testing.assert_allclose(stress[:, :3], pressure, rtol=1e-9)
    assert np.abs(stress[:, 3:]).max() < 1e-9
    assert at.von_mises(moved).max() < 2e-9


def _energy(mesh, displacement, density, growth):
    """Elastic energy, element by element with the strain from the edges; moduli one value."""
    total = 0.0
    for cell in mesh.cells:
        edges = (mesh.points[cell[1:]] - mesh.points[cell[0]]).T
        change = (displacement[cell[1:]] - displacement[cell[0]]).T
        slope = change @ np.linalg.inv(edges)
        strain = 0.5 * (slope + slope.T) - growth * density[cell].mean() * np.eye(3)
        volume = np.linalg.det(edges) / 6.0
        total += volume * mechanics.energy_density(YOUNG, POISSON, strain)
    return total


def test_displacement_has_the_least_energy():
    """Independent of the assembly: no small motion of a free node lowers the energy."""
    mesh = shaken_box((3, 3, 3))
    at = ElasticBody(mesh, np.full(len(mesh.cells), YOUNG), POISSON, outer_nodes(mesh))
    density = np.exp(-((mesh.points - 9.0) ** 2).sum(axis=1) / 40.0)
    moved = at.displacement(density, 0.05, tolerance=1e-12)
    random = np.random.default_rng(5)
    way = np.where(at.free[:, None], random.normal(size=moved.shape), 0.0)
    least = _energy(mesh, moved, density, 0.05)
    up, down = (_energy(mesh, moved + s * 1e-3 * way, density, 0.05) for s in (1, -1))
    assert up > least and down > least
    assert abs(up - down) < 1e-8 * (up + down - 2 * least)


def test_thick_walled_sphere_under_pressure():
    """Lame: displacement and hoop stress, of second and first order in the mesh size."""
    inner, outer, pressure = 20.0, 30.0, 0.1
    moved_error, hoop_error, sizes = [], [], (6, 12)
    for n in sizes:
        mesh, triangles = shell_mesh(n, n // 2, inner, outer)
        forces = np.zeros(mesh.points.shape)
        wall = mesh.points[triangles]
        area = 0.5 * np.cross(wall[:, 1] - wall[:, 0], wall[:, 2] - wall[:, 0])
        area *= np.sign((area * wall.mean(axis=1)).sum(axis=1))[:, None]
        for corner in range(3):
            np.add.at(forces, triangles[:, corner], pressure * area / 3.0)

        def exact(r):
            return sphere_under_pressure(
                r, young=YOUNG, poisson=POISSON, inner_radius=inner, outer_radius=outer,
                inner_pressure=pressure,
            )  # fmt: skip

        radius = np.linalg.norm(mesh.points, axis=1)
        ray = mesh.points / radius[:, None]
        wanted = np.array([exact(min(max(r, inner), outer)).displacement for r in radius])
        held = radius > outer - 1e-9
        at = ElasticBody(mesh, np.full(len(mesh.cells), YOUNG), POISSON, held)
        nothing = np.zeros(len(radius))
        moved = at.displacement(nothing, 0.0, prescribed=wanted[:, None] * ray, forces=forces)
        radial = (moved * ray).sum(axis=1)
        moved_error.append(math.sqrt(np.mean((radial / wanted - 1.0) ** 2)))
        xx, yy, zz, yz, xz, xy = at.stress(moved, nothing, 0.0).T
        tensor = np.stack([xx, xy, xz, xy, yy, yz, xz, yz, zz], 1).reshape(-1, 3, 3)
        middle = mesh.points[mesh.cells].mean(axis=1)
        far = np.linalg.norm(middle, axis=1)
        along = np.einsum("ci,cij,cj->c", middle, tensor, middle) / far**2
        hoop = 0.5 * (np.trace(tensor, axis1=1, axis2=2) - along)
        expected = np.array([exact(max(r, inner)).hoop for r in far])
        weight = mesh.cell_volume
        hoop_error.append(
            math.sqrt(np.average((hoop - expected) ** 2, weights=weight)) / expected.max()
        )
    assert moved_error[1] < 0.01
    assert observed_order([1 / n for n in sizes], moved_error) == pytest.approx(2.0, abs=0.25)
    assert hoop_error[1] < 0.15
    assert observed_order([1 / n for n in sizes], hoop_error) == pytest.approx(1.0, abs=0.25)


def _ball(r, outside):
    return growing_ball(
        r, young=YOUNG, poisson=POISSON, radius=40.0, growth_strain=0.05, outside=outside,
        density=lambda s: math.exp(-s * s / 128.0),
        moment=lambda s: gaussian_moment(s, math.sqrt(128.0)),
    ).displacement  # fmt: skip


@pytest.mark.parametrize("outside", ["free", "clamped"])
def test_growing_ball(outside):
    errors, counts = [], (8, 16)
    for n in counts:
        mesh = ball_mesh(n, 40.0)
        radius = np.linalg.norm(mesh.points, axis=1)
        exact = np.array([_ball(min(r, 40.0), outside) for r in radius])
        ray = mesh.points / np.maximum(radius, 1e-30)[:, None]
        held = outer_nodes(mesh)
        if outside == "free":  # a centre that stays, and two of its neighbours
            held = np.isin(np.arange(len(radius)), np.argsort(radius, kind="stable")[[0, 1, 3]])
        at = ElasticBody(mesh, np.full(len(mesh.cells), YOUNG), POISSON, held)
        density = np.exp(-(radius**2) / 128.0)
        moved = at.displacement(density, 0.05, prescribed=exact[:, None] * ray)
        error = np.linalg.norm(moved - exact[:, None] * ray, axis=1)
        errors.append(math.sqrt((error**2).mean()) / exact.max())
    assert errors[1] < 0.03
    assert observed_order([1 / n for n in counts], errors) == pytest.approx(2.0, abs=0.3)
    if outside == "free":
        rim = (moved * ray).sum(axis=1)[outer_nodes(mesh)]
        assert rim.mean() == pytest.approx(_ball(40.0, "free"), rel=0.1)


def test_growth_is_of_second_order():
    """The free ball's displacement prescribed around a cube within it."""
    errors, counts = [], (6, 12)
    for n in counts:
        box = box_mesh((24.0, 24.0, 24.0), (n, n, n))
        mesh = Mesh(box.points - 11.0, box.cells, box.cell_label, box.label_names)
        radius = np.linalg.norm(mesh.points, axis=1)
        exact = np.array([_ball(r, "free") for r in radius])[:, None] * mesh.points
        exact /= np.maximum(radius, 1e-30)[:, None]
        at = ElasticBody(mesh, np.full(len(mesh.cells), YOUNG), POISSON, outer_nodes(mesh))
        moved = at.displacement(np.exp(-(radius**2) / 128.0), 0.05, prescribed=exact)
        errors.append(math.sqrt(((moved - exact)[at.free] ** 2).sum(axis=1).mean()))
    assert errors[1] < 0.01 * np.abs(exact).max()
    assert observed_order([1 / n for n in counts], errors) == pytest.approx(2.0, abs=0.2)


def test_inverse_is_symmetric(body):
    random = np.random.default_rng(1)
    f, g = random.normal(size=(2, *body.mesh.points.shape))
    left, right = np.vdot(body.solve_adjoint(f), g), np.vdot(f, body.solve_adjoint(g))
    assert left == pytest.approx(right, rel=1e-9)
    assert np.vdot(body.solve_adjoint(f), f) > 0.0


def test_adjoint_solves_real_and_imaginary_parts(body):
    random = np.random.default_rng(2)
    f, g = random.normal(size=(2, *body.mesh.points.shape))
    both = body.solve_adjoint(f + 1j * g)
    np.testing.assert_array_equal(both.real, body.solve_adjoint(f))
    np.testing.assert_array_equal(both.imag, body.solve_adjoint(g))


def test_load_and_its_transpose(body, density):
    forces = np.random.default_rng(4).normal(size=body.mesh.points.shape)
    left = np.vdot(body.load_of(density, 0.05), forces)
    assert left == pytest.approx(np.vdot(density, body.density_of(forces, 0.05)), rel=1e-12)
    np.testing.assert_allclose(body.load_of(density, 0.05).sum(axis=0), 0.0, atol=1e-13)


@pytest.mark.parametrize("kind", [float, complex])
def test_von_mises_derivative(body, density, kind):
    random = np.random.default_rng(6)
    moved = body.displacement(density, 0.05)
    if kind is complex:
        moved = moved + 0.1j * body.displacement(density**2, 0.05)
    bar = random.normal(size=len(body.mesh.cells)).astype(kind)
    way = random.normal(size=moved.shape)
    step = 1e-6
    up, down = (np.sum(bar * body.von_mises(moved + s * step * way)) for s in (1, -1))
    derivative = np.sum(way * body.von_mises_vjp(moved, bar))
    assert derivative == pytest.approx((up - down) / (2 * step), rel=1e-6)


def test_von_mises_of_a_complex_step_and_at_rest(body, density):
    moved = body.displacement(density, 0.05)
    way = np.random.default_rng(7).normal(size=moved.shape)
    stepped = body.von_mises(moved + 1e-30j * way)
    np.testing.assert_allclose(stepped.real, body.von_mises(moved), rtol=1e-12)
    assert stepped.imag.sum() / 1e-30 == pytest.approx(
        np.vdot(way, body.von_mises_vjp(moved, np.ones(len(stepped)))), rel=1e-9
    )
    rest = np.zeros_like(moved)
    np.testing.assert_array_equal(body.von_mises(rest), LEAST_STRESS_KPA)
    np.testing.assert_array_equal(body.von_mises_vjp(rest, np.ones(len(stepped))), 0.0)
    complex_load = body.load_of(density + 1e-30j * density**2, 0.05)
    np.testing.assert_array_equal(complex_load.real, body.load_of(density, 0.05))
    stress = body.stress(moved, density + 1e-30j, 0.05)
    hydrostatic = 0.05 * (3.0 * body.first_lame + 2.0 * body.shear)
    np.testing.assert_allclose(-stress.imag[:, 0] / 1e-30, hydrostatic, rtol=1e-12)


def test_guess_changes_the_work_not_the_answer(body, density):
    moved = body.displacement(density, 0.05)
    for guess in (0.9 * moved, np.stack([moved * density[:, None], 2.0 * moved, moved])):
        again = body.displacement(density, 0.05, guess)
        np.testing.assert_allclose(again, moved, rtol=0, atol=1e-9 * np.abs(moved).max())


def test_coarse_space_is_used_and_right():
    """A mesh of several groups: few iterations, and the residual is what was asked."""
    mesh = box_mesh((30.0, 30.0, 30.0), (11, 12, 13))
    young = np.where(mesh.points[mesh.cells].mean(axis=1)[:, 0] < 12.0, 0.1, 8.0)
    at = ElasticBody(mesh, young, POISSON, mesh.points[:, 2] == 0.0)
    assert at._groups._group.max() > 2
    force = np.random.default_rng(8).normal(size=mesh.points.shape)
    solved = at.solve_adjoint(force, tolerance=1e-11)
    assert at._solver.iterations < 80
    matrix = elastic_matrix(mesh, at.gradient, at.first_lame, at.shear, ~at.free)
    whole = scipy.sparse.triu(matrix.upper, format="csr")
    whole = whole + scipy.sparse.triu(whole, 1).T
    residual = whole @ solved[at.free].ravel() - force[at.free].ravel()
    assert np.linalg.norm(residual) < 1e-10 * np.linalg.norm(force)


def test_threads_share_a_body(body, density):
    alone = [body.displacement(density, g) for g in (0.01, 0.02, 0.03, 0.04)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda g: body.displacement(density, g), (0.01, 0.02, 0.03, 0.04)))
    np.testing.assert_array_equal(together, alone)


def chain(shift, blocks=20):
    """A block tridiagonal matrix, which has no fill: its upper triangle and all of it."""
    random = np.random.default_rng(9)
    off = random.normal(size=(blocks - 1, 3, 3))
    whole = np.kron(np.eye(blocks), shift * np.eye(3))
    for i, block in enumerate(off):
        at, after = slice(3 * i, 3 * i + 3), slice(3 * i + 3, 3 * i + 6)
        whole[at, after], whole[after, at] = block, block.T
    upper = scipy.sparse.bsr_matrix(np.triu(whole), blocksize=(3, 3))
    upper.sort_indices()
    return upper, whole


def test_incomplete_factor_is_complete_where_nothing_fills():
    upper, whole = chain(8.0)
    right, solution = np.random.default_rng(10).normal(size=(2, len(whole)))
    factors = BlockCholesky(upper)
    factors.apply(right, solution)
    assert factors.replaced == 0
    np.testing.assert_allclose(solution, np.linalg.solve(whole, right), rtol=0, atol=1e-6)


def test_incomplete_factor_stays_positive():
    """Of a matrix that is not: blocks of D come from the matrix itself."""
    factors = BlockCholesky(chain(0.5)[0])
    assert factors.replaced > 0
    for right in np.random.default_rng(11).normal(size=(5, 60)):
        solution = np.empty(60)
        factors.apply(right, solution)
        assert solution @ right > 0.0


def test_outer_nodes_of_a_box():
    mesh = box_mesh((1.0, 1.0, 1.0), (3, 4, 5))
    on = ((mesh.points < 1e-12) | (mesh.points > 1.0 - 1e-12)).any(axis=1)
    np.testing.assert_array_equal(outer_nodes(mesh), on)


def test_no_result_without_convergence(body, density):
    with pytest.raises(NotConverged, match=r"elastic body of 210 nodes .* raise the tolerance"):
        body.displacement(density, 0.05, tolerance=1e-40)


def test_what_is_refused(caplog):
    mesh = shaken_box((2, 2, 2))
    cells, held = len(mesh.cells), outer_nodes(mesh)
    young = np.full(cells, 2.0)
    for poisson in (0.5, 0.7, -1.0, math.nan):
        with pytest.raises(InvalidInput, match="incompressible"):
            ElasticBody(mesh, young, poisson, held)
    for bad in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(InvalidInput, match="Young's modulus"):
            ElasticBody(mesh, np.where(np.arange(cells) == 5, bad, young), POISSON, held)
    with pytest.raises(InvalidInput, match="Young's modulus"):
        ElasticBody(mesh, young[:-1], POISSON, held)
    with pytest.raises(InvalidInput, match="three that are not on one line"):
        ElasticBody(mesh, young, POISSON, np.zeros_like(held))
    line = (mesh.points[:, 1:] == 0.0).all(axis=1)
    assert line.sum() == 3
    with pytest.raises(InvalidInput, match="three that are not on one line"):
        ElasticBody(mesh, young, POISSON, line)
    with pytest.raises(InvalidInput, match="mask of bool"):
        ElasticBody(mesh, young, POISSON, held.astype(int))
    with pytest.raises(InvalidInput, match="tolerance"):
        ElasticBody(mesh, young, POISSON, held, tolerance=0.0)
    at = ElasticBody(mesh, young, POISSON, held)
    with pytest.raises(InvalidInput, match="density"):
        at.displacement(np.full(len(held), np.nan), 0.05)
    with caplog.at_level(logging.WARNING):
        ElasticBody(mesh, young, 0.46, held)
    assert "lock" in caplog.text
