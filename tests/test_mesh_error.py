"""The solver's own error bars, held against Richardson's rule by hand."""

import itertools

import numpy as np
import pytest
from scipy.spatial import cKDTree
from small_patient import write_small_patient

import twin
from solvers import error_bars
from solvers.finite_element import FiniteElementSolver
from solvers.mesh_error import edge_near_tumour, edges_of
from twin.courses import Radiotherapy, Temozolomide
from twin.errors import InvalidInput
from twin.protocol import Save
from twin.regimen import Regimen

REGIMEN = Regimen(
    Radiotherapy(total_dose_gy=60.0, fractions=30, start_day=7.375),
    Temozolomide(),
)
TIMES = [0.0, 30.0, 90.0, 180.0]
MEASURED = ("tumour_volume", "tumour_volume_soft", "tumour_burden")


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    return twin.load(write_small_patient(tmp_path_factory.mktemp("patient")))


@pytest.fixture
def any_order(monkeypatch):
    """The small patient's meshes do not resolve its front, so its bars would not be numbers."""
    monkeypatch.setattr(error_bars, "ORDERS", (0.0, 10.0))


def edge_by_hand(patient):
    """Mean edge length of the elements whose centre's voxel lies within 10 mm of the tumour's."""
    grid, parts = patient.grid, ("necrosis", "enhancing", "flair")
    mask = np.any([patient.structures[name].mask for name in parts], axis=0)
    tumour = cKDTree(grid.to_world(np.argwhere(mask)))
    corners = patient.mesh.points[patient.mesh.cells]
    centres = grid.to_world(np.rint(grid.to_voxels(corners.mean(axis=1))))
    near = corners[tumour.query(centres)[0] <= 10.0 + 1e-9]
    pairs = [(a, b) for a in range(4) for b in range(a)]
    return np.mean([np.linalg.norm(near[:, a] - near[:, b], axis=1) for a, b in pairs])


def test_error_bars_are_richardson_s_by_hand(patient, any_order):
    """Steps of a day and, for the halves, of half a day: the fractions are moved to midnight."""
    regimen = Regimen(Radiotherapy(total_dose_gy=60.0, fractions=30, start_day=7.0))
    on_mesh = patient, patient.on_coarse_mesh(), patient.on_coarsest_mesh()
    solver = FiniteElementSolver(step_day=1.0)
    run = solver.solve(patient, regimen, TIMES, save=Save(fields_at=(30.0,)), error_bars=True)
    plain = solver.solve(patient, regimen, TIMES, save=Save(fields_at=(30.0,)))
    coarse, coarsest = (solver.solve(one, regimen, TIMES) for one in on_mesh[1:])
    halved = FiniteElementSolver(step_day=0.5).solve(on_mesh[2], regimen, TIMES)
    edges = [edge_by_hand(one) for one in on_mesh]
    found = edges_of(patient)
    assert [found.fine_mm, found.coarse_mm, found.coarsest_mm] == pytest.approx(edges, rel=1e-12)
    assert edge_near_tumour(patient) == pytest.approx(edges[0], rel=1e-12)
    for finer, coarser in itertools.pairwise(edges):
        assert 1.3 < coarser / finer < 2.0
    for name in MEASURED:
        a, b, c, d = (one[name].values for one in (plain, coarse, coarsest, halved))
        # u(h) = u + c h^2: c h^2 = (u(H) - u(h)) / ((H/h)^2 - 1), and in time likewise
        space = [
            np.abs(other - a) / ((edge / edges[0]) ** 2 - 1.0)
            for other, edge in ((b, edges[1]), (c, edges[2]))
        ]
        in_time = np.abs(d - c) * 4.0 / 3.0 * np.where(c > 0.0, a / np.maximum(c, 1e-30), 1.0)
        error = run[f"{name}_error"]
        assert error.dims == run[name].dims
        assert error.attrs["units"] == run[name].attrs["units"]
        np.testing.assert_allclose(error, 1.25 * (np.maximum(*space) + in_time), rtol=1e-9)
        assert (error.values > 0.0).any()
        assert (in_time[..., 1:] > 0.0).any()
        # 30 d and more between the times: each is a check, and the coarsest mesh is measured at all
        apart = np.maximum(np.abs(b - a), np.abs(c - a))
        np.testing.assert_allclose(run[f"{name}_mesh_spread"], apart, rtol=1e-12)
    ends = ("error", "mesh_spread")
    added = {*(f"{name}_{end}" for name in MEASURED for end in ends), "observed_order"}
    assert set(run.data_vars) - set(plain.data_vars) == added
    for name in plain.data_vars:  # nothing else is touched
        np.testing.assert_array_equal(run[name].values, plain[name].values)


def test_extrapolated_volumes_are_those_of_the_two_finest_meshes(patient, any_order):
    solver = FiniteElementSolver()
    run = solver.solve(patient, Regimen(), TIMES, error_bars=True, extrapolate=True)
    coarse = solver.solve(patient.on_coarse_mesh(), Regimen(), TIMES)
    ratio = edge_by_hand(patient.on_coarse_mesh()) / edge_by_hand(patient)
    for name in ("tumour_volume", "tumour_volume_soft"):
        expected = run[name] + (run[name] - coarse[name]) / (ratio**2 - 1.0)
        np.testing.assert_allclose(run[f"{name}_extrapolated"], expected, rtol=1e-9)
    with pytest.raises(InvalidInput, match="error_bars=True"):
        solver.solve(patient, Regimen(), TIMES, extrapolate=True)


@pytest.mark.parametrize("options", [{}, {"tolerance": 1e-3}])
def test_the_error_in_time_is_seen_whatever_the_steps(patient, options, any_order):
    """Against steps of an eighth of a day, in the weeks of chemoradiotherapy."""
    solver = FiniteElementSolver(**options)
    times = [20.0, 40.0, 60.0]
    fine = FiniteElementSolver(step_day=0.125).solve(patient, REGIMEN, times)
    run = solver.solve(patient, REGIMEN, times, error_bars=True)
    for name in MEASURED:
        in_time = np.abs(run[name] - fine[name]).values
        assert (in_time <= run[f"{name}_error"].values).all()


def test_the_error_bar_of_the_softened_volume_is_of_the_size_of_the_error(patient, any_order):
    """The whole tumour, untreated: the error bar is a few per cent of it on elements of 2.6 mm."""
    run = FiniteElementSolver().solve(patient, Regimen(), TIMES, error_bars=True)
    share = (run.tumour_volume_soft_error / run.tumour_volume_soft).sel(threshold="flair")
    assert 1e-4 < float(share.max()) < 0.1


def test_meshes_that_do_not_resolve_the_front_say_so(patient):
    """Elements of 2.5 to 6 mm and a front of 2 mm: no number, but the volumes stay."""
    run = FiniteElementSolver().solve(patient, REGIMEN, TIMES, error_bars=True)
    assert not error_bars.is_asymptotic(run.observed_order)
    for name in MEASURED:
        assert np.isnan(run[f"{name}_error"]).all()
        assert np.isfinite(run[name]).all()


def test_error_bars_need_meshes_that_are_coarser(patient):
    with pytest.raises(InvalidInput, match="coarser"):
        FiniteElementSolver().solve(patient.on_coarse_mesh(), Regimen(), [0.0], error_bars=True)
