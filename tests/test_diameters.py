"""Diameters of regions, slices and lesions, against closed forms."""

import numpy as np
import pytest
from box_meshes import box_mesh

from solvers.axial_slices import AxialSlices
from solvers.lesions import lesions_on
from twin.diameters import region_diameters
from twin.errors import InvalidInput

ANGLES = np.linspace(0.0, 2.0 * np.pi, 361)[:-1]


def ellipse(a, b, turned=0.0, centre=(0.0, 0.0)):
    points = np.stack([a * np.cos(ANGLES), b * np.sin(ANGLES)], axis=1)
    c, s = np.cos(turned), np.sin(turned)
    return points @ np.array([[c, s], [-s, c]]) + np.array(centre)


@pytest.mark.parametrize("turned", [0.0, 0.3, 2.0])
def test_an_ellipse_has_its_axes(turned):
    found = region_diameters([ellipse(20.0, 8.0, turned, (3.0, -7.0))])
    assert found.longest_mm == pytest.approx(40.0, rel=1e-4)
    assert found.perpendicular_mm == pytest.approx(16.0, rel=1e-3)
    assert found.product_mm2 == pytest.approx(640.0, rel=1e-3)


def test_a_line_does_not_cross_a_hole():
    """In a ring the longest line touches the hole: 2 sqrt(R^2 - r^2), and so does its normal."""
    found = region_diameters([ellipse(20.0, 20.0), ellipse(12.0, 12.0)[::-1]])
    assert found.longest_mm == pytest.approx(2.0 * np.sqrt(20.0**2 - 12.0**2), rel=0.01)
    assert found.perpendicular_mm == pytest.approx(32.0, rel=0.01)


def test_a_line_does_not_cross_a_bay():
    """An L of 30 by 30 with arms 10 wide: the longest line grazes the inner corner (10, 10).

    From (0, a) to (b, 0) with 10/a + 10/b = 1; the longest has an end at the arm's end,
    b = 30 and so a = 15. Without the bay it would be the hull's sqrt(2) 30.
    """
    corners = np.array([[0, 0], [30, 0], [30, 10], [10, 10], [10, 30], [0, 30]], float)
    dense = [a + (b - a) * t for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True)
             for t in np.arange(0.0, 1.0, 0.05)]  # fmt: skip
    found = region_diameters([np.array(dense)])
    assert found.longest_mm == pytest.approx(np.hypot(30.0, 15.0), rel=0.015)


def test_two_parts_are_measured_each_for_itself():
    found = region_diameters([ellipse(10.0, 5.0), ellipse(6.0, 6.0, centre=(40.0, 0.0))])
    assert found.longest_mm == pytest.approx(20.0, rel=1e-4)
    assert region_diameters([]).longest_mm == 0.0


@pytest.mark.parametrize("thickness", [1.0, 5.0])
def test_an_ellipsoid_on_slices(thickness):
    """u = 1 - q/2 with q = x^2/a^2 + y^2/b^2 + z^2/c^2, visible above 1/2.

    The mean over m planes of a slice of thickness t about z adds t^2 (1 - 1/m^2)/12 to z^2, so
    that its outline is the ellipse of q = 1 - (z^2 + that)/c^2.
    """
    mesh = box_mesh((60.0, 60.0, 40.0), (40, 40, 32))
    points = mesh.points - np.array([30.0, 30.0, 20.0])
    a, b, c = 22.0, 15.0, 12.0
    density = 1.0 - 0.5 * (points**2 / np.array([a, b, c]) ** 2).sum(axis=1)
    slices = AxialSlices.of(points, mesh.cells, thickness)
    assert np.allclose(slices.middle % thickness, 0.5 * thickness)
    (lesion,) = lesions_on(slices, slices.show(density), 0.5)
    nearest = np.abs(slices.middle).min()
    more = thickness**2 * (1.0 - 1.0 / slices.planes**2) / 12.0
    factor = np.sqrt(1.0 - (nearest**2 + more) / c**2)
    assert lesion.longest.longest_mm == pytest.approx(2.0 * a * factor, abs=0.25)
    assert lesion.longest.perpendicular_mm == pytest.approx(2.0 * b * factor, abs=0.25)
    assert lesion.largest.product_mm2 == pytest.approx(4.0 * a * b * factor**2, rel=0.02)
    assert abs(lesion.slices - 2.0 * c / thickness) <= 2.0


def test_excluded_cells_are_no_part_of_a_lesion():
    """A ball of 15 mm with its core of 6 mm left out: on thin slices a ring."""
    mesh = box_mesh((40.0, 40.0, 40.0), (40, 40, 40))
    points = mesh.points - 20.0
    density = 1.0 - np.linalg.norm(points, axis=1) / 30.0
    middle = points[mesh.cells].mean(axis=1)
    slices = AxialSlices.of(points, mesh.cells, 1.0)
    solid = np.linalg.norm(middle, axis=1) > 6.0
    (lesion,) = lesions_on(slices, slices.show(density, solid), 0.5)
    # on the slice just above the core the disc is whole: 2 sqrt(R^2 - r^2); beside it a ring
    ring = 2.0 * np.sqrt(15.0**2 - 6.0**2)
    assert lesion.longest.longest_mm == pytest.approx(ring, abs=0.8)
    (whole,) = lesions_on(slices, slices.show(density), 0.5)
    assert whole.longest.longest_mm == pytest.approx(30.0, abs=0.3)


def test_lesions_apart_are_two_and_the_box_may_be_part_of_the_mesh():
    mesh = box_mesh((60.0, 30.0, 30.0), (40, 20, 20))
    one, other = np.array([15.0, 15.0, 15.0]), np.array([45.0, 15.0, 15.0])
    density = np.maximum(
        1.0 - np.linalg.norm(mesh.points - one, axis=1) / 20.0,
        1.0 - np.linalg.norm(mesh.points - other, axis=1) / 12.0,
    )
    slices = AxialSlices.of(mesh.points, mesh.cells, 2.0)
    found = lesions_on(slices, slices.show(density), 0.5)
    assert [round(lesion.longest.longest_mm) for lesion in found] == [20, 12]
    box = (np.array([0.0, 0.0, 0.0]), np.array([30.0, 30.0, 30.0]))
    half = AxialSlices.of(mesh.points, mesh.cells, 2.0, within=box)
    (first,) = lesions_on(half, half.show(density), 0.5)
    assert first.longest.longest_mm == pytest.approx(found[0].longest.longest_mm, abs=1e-6)


def test_bad_outlines_and_slices_are_told():
    with pytest.raises(InvalidInput, match="three corners"):
        region_diameters([np.zeros((2, 2))])
    with pytest.raises(InvalidInput, match="not finite"):
        region_diameters([np.array([[0.0, 0], [1, np.nan], [2, 2]])])
    with pytest.raises(InvalidInput, match="0 mm thick"):
        AxialSlices.of(np.zeros((4, 3)), np.array([[0, 1, 2, 3]]), 0.0)
