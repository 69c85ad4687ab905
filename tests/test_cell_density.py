"""Cell density from images: the closed forms of each map, their fusion, and what is refused."""

import numpy as np
import pytest

from solvers.initial_state import ObservedDensity
from twin.cell_density import (
    DensityMap,
    background_uptake,
    density_from_adc,
    density_from_uptake,
    together,
)
from twin.errors import InvalidInput

ADC = {"free_water": 2.5e-3, "at_capacity": 0.5e-3, "noise": 0.1e-3}


def test_adc_speaks_of_solid_tumour_only():
    solid = np.zeros((3, 3, 3), bool)
    solid[1, 1, 1] = True
    found = density_from_adc(np.full((3, 3, 3), 0.9e-3), solid, **ADC)
    assert found.density[1, 1, 1] == pytest.approx(0.8)
    assert found.sd[1, 1, 1] == pytest.approx(0.05)
    assert np.isfinite(found.density).sum() == 1


def test_an_adc_in_another_unit_is_noticed():
    with pytest.raises(InvalidInput, match="check the unit"):
        density_from_adc(np.full((2, 2, 2), 900.0), np.ones((2, 2, 2), bool), **ADC)
    with pytest.raises(InvalidInput, match="falls with cells"):
        density_from_adc(np.full((2, 2, 2), 9e-4), np.ones((2, 2, 2), bool),
                         **{**ADC, "free_water": 1e-4})  # fmt: skip


def test_the_background_is_tissue_far_from_the_tumour():
    uptake = np.full((60, 8, 8), 3.0)
    tumour = np.zeros(uptake.shape, bool)
    tumour[:10] = True
    uptake[tumour] = 9.0
    uptake[10:29] = 5.0  # nearer than 20 mm: voxel 29 is 20 mm from the last one inside
    assert background_uptake(uptake, np.ones(uptake.shape, bool), tumour, 1.0) == 3.0
    with pytest.raises(InvalidInput, match="Only 0 voxels"):
        background_uptake(uptake[:20], np.ones((20, 8, 8), bool), tumour[:20], 1.0)


def test_fusion_is_that_of_independent_normal_errors():
    """The precision-weighted mean, against least squares by numpy on the same two readings."""
    one = density_from_uptake(np.full((1, 1, 1), 3.1), np.ones((1, 1, 1), bool),
                              background=1.0, ratio_at_capacity=4.0, noise=0.6)  # fmt: skip
    other = DensityMap(np.full((1, 1, 1), 0.55, np.float32), np.full((1, 1, 1), 0.1, np.float32))
    found = together([one, other])
    weights = 1 / np.array([0.2, 0.1])
    design, readings = weights[:, None], weights * np.array([0.7, 0.55])
    estimate, *_ = np.linalg.lstsq(design, readings, rcond=None)
    assert float(found.density[0, 0, 0]) == pytest.approx(estimate[0], rel=1e-6)
    assert float(found.sd[0, 0, 0]) == pytest.approx((design.T @ design)[0, 0] ** -0.5, rel=1e-6)


def test_where_one_map_is_silent_the_other_counts_alone():
    nothing = np.full((1, 1, 1), np.nan, np.float32)
    known = DensityMap(np.full((1, 1, 1), 0.3, np.float32), np.full((1, 1, 1), 0.1, np.float32))
    found = together([DensityMap(nothing, nothing), known])
    assert float(found.density[0, 0, 0]) == pytest.approx(0.3)
    assert not np.isfinite(together([DensityMap(nothing, nothing)]).density).any()


def test_noise_puts_no_cells_where_the_front_is_far_away():
    """At a density of 1e-6 a reading of 0.5 with a deviation of 0.1 moves it by less than 1e-5."""
    seen = ObservedDensity(np.array([0.5]), np.array([0.1]))
    assert seen.weighed(np.array([1e-6]), 0.2, 0.0)[0] < 1.1e-5
    assert seen.weighed(np.array([0.0]), 0.2, 3.0)[0] < 1e-5


def test_a_shift_moves_by_the_deviation_that_is_left():
    """At u = 1/2 the outlines' deviation is 0.2; a reading with 0.2 leaves 0.2/sqrt(2)."""
    seen = ObservedDensity(np.array([0.5]), np.array([0.2]))
    up = seen.weighed(np.array([0.5]), 0.2, 1.0)[0]
    assert up - 0.5 == pytest.approx(0.2 / np.sqrt(2.0))
    assert seen.weighed(np.array([0.5]), 0.2, 4.0)[0] == 1.0
