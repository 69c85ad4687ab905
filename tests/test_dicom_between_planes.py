"""Contours between drawn planes: cones by closed form, and a real scar's stored histogram."""

from __future__ import annotations

import numpy as np
import pytest
from dicom_makers import AXIAL, CORONAL
from real_data import real_data
from test_dicom_rt import circle, make_structures, rectangle, stack

from twin.dicom.between_planes import denser
from twin.dicom.structure_set import read_structure_set, shares
from twin.dose_histogram import dose_histogram
from twin.errors import InvalidInput
from twin.images import Image

_OBLIQUE = (0.8, 0.6, 0.0, -0.6 * 0.6, 0.8 * 0.6, -0.8)


def drawn(path, outlines, orientation=AXIAL):
    parts = {"it": stack(outlines, orientation)}
    return read_structure_set(make_structures(path, parts)).structures["it"]


def cone_ml(one, other, height):
    return np.pi * height / 3.0 * (one**2 + one * other + other**2) / 1e3


@pytest.mark.parametrize("orientation", [AXIAL, CORONAL, _OBLIQUE])
def test_a_cone_is_one_between_its_ends(tmp_path, orientation):
    outlines = {0.0: [circle((1, 2), 20.0)], 10.0: [circle((1, 2), 8.0)]}
    ends = drawn(tmp_path / "rs.dcm", outlines, orientation)
    wanted = cone_ml(20.0, 8.0, 10.0)
    assert ends.volume_ml(end_caps=False) > 1.1 * wanted  # half the sum of both areas
    found = denser(ends, 1.0)
    assert found.volume_ml(end_caps=False) == pytest.approx(wanted, rel=0.005)
    np.testing.assert_allclose(np.diff(found.places), 1.0, atol=1e-6)
    assert found.polygons[0] is ends.polygons[0] and found.polygons[-1] is ends.polygons[-1]
    middles = np.array([ring.mean(axis=0) for (ring,) in found.polygons])
    radii = [np.linalg.norm(r - m, axis=1) for (r,), m in zip(found.polygons, middles, strict=True)]
    assert max(float(np.ptp(one)) for one in radii) < 0.3
    means = sorted(float(one.mean()) for one in radii)
    np.testing.assert_allclose(means, np.linspace(8.0, 20.0, 11), atol=0.1)
    # and all along one line, across the planes
    line = np.array([1.0, 2.0]) @ np.array([orientation[:3], orientation[3:]]) * (-1, -1, 1)
    aside = middles - line
    aside -= np.outer(aside @ found.normal, found.normal)
    assert np.abs(aside).max() < 0.1


def test_a_wall_keeps_its_hole(tmp_path):
    outlines = {0.0: [circle((0, 0), 20.0), circle((0, 0), 6.0)],
                9.0: [circle((0, 0), 14.0), circle((0, 0), 4.0)]}  # fmt: skip
    found = denser(drawn(tmp_path / "rs.dcm", outlines), 1.0)
    wanted = cone_ml(20.0, 14.0, 9.0) - cone_ml(6.0, 4.0, 9.0)
    assert found.volume_ml(end_caps=False) == pytest.approx(wanted, rel=0.005)
    assert [len(rings) for rings in found.polygons] == [2] * 10


def test_uneven_planes_are_filled_and_wide_gaps_are_not(tmp_path):
    square = rectangle((0, 0), (10, 10))
    places = (0.0, 3.0, 6.0, 8.8, 12.5, 40.0, 43.0)
    ends = drawn(tmp_path / "rs.dcm", {z: [square] for z in places})
    for distance in (0.7, 1.0, 2.0, 2.9):
        found = denser(ends, distance)
        gaps = np.diff(found.places)
        assert sorted(gaps)[-2] <= distance + 1e-9 and gaps.max() == pytest.approx(27.5)
        assert found.wide_gaps().sum() == 1
        # from 0 to 12.5 and from 40 to 43 mm, and half a slab at either side of the gap
        usual = found.spacing_mm
        assert found.volume_ml(end_caps=False) == pytest.approx(0.1 * (15.5 + usual), rel=4e-3)
    assert denser(ends, 4.0) is ends
    alone = drawn(tmp_path / "one.dcm", {0.0: [square]})
    assert denser(alone, 1.0) is alone


def test_what_moves_aside_by_more_than_its_width_vanishes_between(tmp_path):
    outlines = {0.0: [rectangle((0, 0), (30, 2))], 3.0: [rectangle((0, 9), (30, 11))],
                6.0: [rectangle((0, 10), (30, 12))]}  # fmt: skip
    found = denser(drawn(tmp_path / "rs.dcm", outlines), 1.0)
    np.testing.assert_allclose(found.places, [0, 3, 4, 5, 6])
    middle = np.array([ring.mean(axis=0) for (ring,) in found.polygons[2:4]])
    assert np.abs(middle[:, 1]).round(1).tolist() == [10.3, 10.7]  # and stays as wide as it was
    for (ring,) in found.polygons[2:4]:
        assert np.ptp(ring[:, 1]) == pytest.approx(2.0, abs=0.1)


def test_planes_that_are_evenly_apart_but_for_rounding_stay_one_stack(tmp_path):
    """Some a hair longer than the distance asked for: halved, they made wide gaps of the others."""
    square = rectangle((0, 0), (10, 10))
    for distance in (1.0, 0.5, 0.34):
        places = distance * np.arange(20) - 1e-4 * (np.arange(20) % 2)
        found = denser(drawn(tmp_path / "rs.dcm", {z: [square] for z in places}), distance)
        assert found.volume_ml(end_caps=False) == pytest.approx(0.1 * np.ptp(places), rel=1e-6)
        assert not found.wide_gaps().any()


def test_distances_that_make_no_sense_are_refused(tmp_path):
    square = rectangle((0, 0), (10, 10))
    ends = drawn(tmp_path / "rs.dcm", {z: [square] for z in (0.0, 3.0)})
    for distance in (0.0, -1.0, np.nan):
        with pytest.raises(InvalidInput, match="give a distance above 0"):
            denser(ends, distance)
    with pytest.raises(InvalidInput, match="choose a larger distance"):
        denser(ends, 1e-4)


def test_a_scar_of_a_real_plan_has_the_planning_systems_histogram():
    """A strip of 0.34 mL, of which slabs make 0.49 mL."""
    from test_dose_histogram import PRESCRIBED_GY, finer

    from twin.dicom.dose_file import read_dose

    folder = real_data("dicompyler-rtplan")
    structures, dose = read_structure_set(folder / "rtss.dcm"), read_dose(folder / "rtdose.dcm")
    number = next(n for n, name in structures.numbers.items() if name == "Scar")
    stored, scar = dose.histograms[number], structures.structures["Scar"]
    image: Image = finer(dose.image, scar)
    share = shares(denser(scar, 1.0), image, end_caps=False)
    found = dose_histogram(image.data, share, image.voxel_mm3)
    assert found.volume_ml == pytest.approx(stored.volume_ml[0], rel=0.05)
    for part in (0.95, 0.5, 0.02):
        assert found.dose_at(part) == pytest.approx(
            stored.dose_at(part), abs=0.01 * PRESCRIBED_GY + stored.bin_gy
        )
