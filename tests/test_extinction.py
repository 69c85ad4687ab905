"""Extinction of connected pieces: closed forms, and a run that leaves few cells."""

import numpy as np
import pytest
import scipy.sparse
from ball_meshes import ball_mesh
from box_meshes import box_mesh

from scenarios.metrics.extinction import drawn_extinction, extinction_probability
from solvers.fewest_cells import FewestCells
from solvers.tumour_pieces import mesh_graph, tumour_pieces
from twin.errors import InvalidInput


def line(count):
    return scipy.sparse.diags([1.0, 1.0], [-1, 1], (count, count), format="csr")


def test_the_probability_is_poissons():
    assert extinction_probability(np.log(2.0)) == pytest.approx(0.5, rel=1e-14)
    assert extinction_probability([3.0, 0.0]).tolist() == pytest.approx([np.exp(-3.0), 1.0])
    assert np.isnan(extinction_probability(np.nan))
    with pytest.raises(InvalidInput, match="at least 0"):
        extinction_probability(-1.0)


def test_draws_are_seeded_and_come_as_often_as_they_should():
    """Of 20,000 pieces with n = 1, e^-1 are extinct, give or take three standard errors."""
    drawn = drawn_extinction(np.ones(20_000), seed=3)
    expected = np.exp(-1.0)
    assert drawn.mean() == pytest.approx(expected, abs=3 * np.sqrt(expected * (1 - expected) / 2e4))
    assert (drawn == drawn_extinction(np.ones(20_000), seed=3)).all()
    fewer = drawn_extinction(np.full(20_000, 0.5), seed=3)
    assert (fewer | ~drawn).all()  # fewer cells: extinct wherever more were


def test_pieces_part_where_the_density_falls_to_a_hundredth_of_the_lower_peak():
    joined = tumour_pieces(line(5), np.ones(5), np.array([1.0, 0.2, 0.0011, 0.05, 0.1]))
    assert len(joined.amount) == 1
    parted = tumour_pieces(line(5), np.ones(5), np.array([1.0, 0.2, 0.0009, 0.05, 0.1]))
    assert parted.amount.tolist() == pytest.approx([1.2009, 0.15])
    assert parted.peak.tolist() == [0, 4]
    assert parted.piece.tolist() == [0, 0, 0, 1, 1]


def test_scaling_all_densities_changes_no_piece():
    density = np.exp(np.random.default_rng(5).normal(0.0, 4.0, 300))
    mass = np.random.default_rng(6).uniform(0.5, 2.0, 300)
    one, other = (tumour_pieces(line(300), mass, f * density) for f in (1.0, 1e-20))
    assert (one.piece == other.piece).all()
    assert one.amount.sum() == pytest.approx(float(mass @ density))
    assert len(one.amount) > 5


def test_tissue_that_is_not_there_parts_pieces():
    mesh = box_mesh((3.0, 1.0, 1.0), (12, 2, 2))
    middle = mesh.points[mesh.cells].mean(axis=1)
    density = np.ones(len(mesh.points))
    whole = tumour_pieces(mesh_graph(mesh.cells, len(density)), np.ones(len(density)), density)
    assert len(whole.amount) == 1
    active = mesh.cells[np.abs(middle[:, 0] - 1.5) > 0.5]
    mass = np.bincount(active.ravel(), minlength=len(density)).astype(float)
    found = tumour_pieces(mesh_graph(active, len(density)), mass, density)
    assert len(found.amount) == 2
    assert found.amount[0] == pytest.approx(found.amount[1], rel=0.05)


def test_a_ball_thinned_inside_a_sphere_is_a_piece_inside_and_a_shell():
    """exp(-r) times 1e-9 within 6 mm: the inner piece holds 4 pi 1e-9 integral r^2 exp(-r)."""
    mesh = ball_mesh(24, 10.0)
    radius = np.linalg.norm(mesh.points, axis=1)
    density = np.exp(-radius) * np.where(radius < 6.0, 1e-9, 1.0)
    mass = np.bincount(mesh.cells.ravel(), np.repeat(mesh.cell_volume / 4.0, 4), len(density))
    found = tumour_pieces(mesh_graph(mesh.cells, len(density)), mass, density)
    assert len(found.amount) == 2
    inside = found.piece == 1
    assert radius[inside].max() < 6.0
    r = 6.0
    exact = 4.0 * np.pi * 1e-9 * (2.0 - np.exp(-r) * (r * r + 2.0 * r + 2.0))
    assert found.amount[1] == pytest.approx(exact, rel=0.05)


def test_the_fewest_cells_are_those_since_treatment():
    import xarray as xr

    kept = FewestCells(10.0)
    for day, amount in ((0.0, 1.0), (10.0, 5.0), (11.0, 3.0), (12.0, 4.0)):
        kept.offer(day, amount, lambda amount=amount: np.full(2, amount))
    found = kept.added_to(xr.Dataset())
    assert float(found["fewest_cells_day"]) == 11.0
    assert found["viable_density_at_fewest"].values.tolist() == [3.0, 3.0]
    nothing = FewestCells(None)
    nothing.offer(0.0, 1.0, lambda: np.zeros(2))
    assert not nothing.added_to(xr.Dataset()).variables
