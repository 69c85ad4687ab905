"""The numerical error from two meshes: Richardson's rule, and the solver's own error bars."""

import math

import numpy as np
import pytest
from scipy.spatial import cKDTree
from small_patient import write_small_patient

import twin
from solvers.finite_element import FiniteElementSolver
from solvers.mesh_error import edge_near_tumour, two_mesh_error
from twin.courses import Radiotherapy
from twin.errors import InvalidInput
from twin.protocol import Save
from twin.regimen import Regimen

REGIMEN = Regimen(Radiotherapy(total_dose_gy=60.0, fractions=30, start_day=7.375))
TIMES = [0.0, 30.0, 90.0, 180.0]
MEASURED = ("tumour_volume", "tumour_volume_soft", "tumour_burden")


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    return twin.load(write_small_patient(tmp_path_factory.mktemp("patient")))


def test_two_mesh_error_recovers_the_error_of_a_method_of_second_order():
    exact, constant = 100.0, 3.0
    for fine, coarse in ((1.0, 1.6), (1.5, 2.4), (1.0, 3.0)):
        values = [exact + constant * edge**2 for edge in (fine, coarse)]
        assert two_mesh_error(*values, fine, coarse) == pytest.approx(constant * fine**2)


@pytest.mark.parametrize(("fine", "coarse"), [(1.0, 1.0), (2.0, 1.0), (0.0, 1.0), (1.0, math.inf)])
def test_two_mesh_error_needs_a_coarser_mesh(fine, coarse):
    with pytest.raises(InvalidInput, match="coarser"):
        two_mesh_error(1.0, 2.0, fine, coarse)


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


def test_error_bars_are_richardson_s_by_hand(patient):
    solver, coarse_patient = FiniteElementSolver(), patient.on_coarse_mesh()
    run = solver.solve(patient, REGIMEN, TIMES, save=Save(fields_at=(30.0,)), error_bars=True)
    plain = solver.solve(patient, REGIMEN, TIMES, save=Save(fields_at=(30.0,)))
    coarse = solver.solve(coarse_patient, REGIMEN, TIMES)
    fine_edge, coarse_edge = edge_by_hand(patient), edge_by_hand(coarse_patient)
    assert edge_near_tumour(patient) == pytest.approx(fine_edge, rel=1e-12)
    assert edge_near_tumour(coarse_patient) == pytest.approx(coarse_edge, rel=1e-12)
    assert 1.3 < coarse_edge / fine_edge < 2.0
    for name in MEASURED:
        a, b = plain[name].values, coarse[name].values
        # u(h) = u + c h^2 on both meshes: c h^2 = (u(H) - u(h)) / ((H/h)^2 - 1)
        expected = np.abs(b - a) / ((coarse_edge / fine_edge) ** 2 - 1.0)
        found = run[f"{name}_error"]
        assert found.dims == run[name].dims
        assert found.attrs["units"] == run[name].attrs["units"]
        np.testing.assert_allclose(found.values, expected, rtol=1e-9)
        assert (found.values > 0.0).any()
    assert set(run.data_vars) - set(plain.data_vars) == {f"{name}_error" for name in MEASURED}
    for name in plain.data_vars:  # nothing else is touched
        np.testing.assert_array_equal(run[name].values, plain[name].values)


def test_the_error_bar_of_the_softened_volume_is_of_the_size_of_the_error(patient):
    """The whole tumour, untreated: the error bar is a few per cent of it on elements of 2.6 mm."""
    run = FiniteElementSolver().solve(patient, Regimen(), TIMES, error_bars=True)
    share = (run.tumour_volume_soft_error / run.tumour_volume_soft).sel(threshold="flair")
    assert 1e-4 < float(share.max()) < 0.1


def test_error_bars_need_a_second_mesh_that_is_coarser(patient):
    with pytest.raises(InvalidInput, match="coarser"):
        FiniteElementSolver().solve(patient.on_coarse_mesh(), Regimen(), [0.0], error_bars=True)
