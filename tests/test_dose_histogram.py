"""Histograms and doses on other grids: closed forms, and a real plan's own histograms."""

from __future__ import annotations

import numpy as np
import pytest
from real_data import real_data

from twin.dose_histogram import dose_histogram, dose_histograms
from twin.dose_resampling import resample_dose
from twin.errors import GeometryMismatch, InvalidInput
from twin.images import Image


def at(affine, shape):
    return np.tensordot(affine[:3, :3], np.indices(shape), 1) + affine[:3, 3].reshape(3, 1, 1, 1)


def test_a_linear_dose_in_a_box_has_a_straight_histogram():
    dose = np.broadcast_to(np.arange(1000.0)[:, None, None] * 0.06 + 0.03, (1000, 2, 2))
    found = dose_histogram(dose, np.ones(dose.shape, bool), 2.0)
    assert found.volume_ml == pytest.approx(8.0)
    assert found.mean_gy == pytest.approx(30.0, abs=1e-4)
    for share in (0.02, 0.5, 0.95):
        assert found.dose_at(share) == pytest.approx(60.0 * (1 - share), abs=0.06)
    doses = np.array([0.0, 15.0, 45.0, 61.0])
    np.testing.assert_allclose(found.share_at(doses), [1.0, 0.75, 0.25, 0.0], atol=1e-3)
    np.testing.assert_allclose(found.volume_at(doses), np.array([8.0, 6.0, 2.0, 0.0]), atol=8e-3)
    assert found.dose_at_volume(0.8) == pytest.approx(54.0, abs=0.06)
    assert found.dose_at_volume(100.0) == found.dose_at(1.0) == found.minimum_gy


def test_voxels_count_by_their_share_as_if_they_were_repeated():
    rng = np.random.default_rng(4)
    dose = rng.uniform(0, 70, (9, 8, 7)).astype(np.float32)
    quarters = rng.integers(0, 5, dose.shape)
    found = dose_histogram(dose, (quarters / 4).astype(np.float32), 1000.0)
    repeated = np.sort(np.repeat(dose.ravel(), quarters.ravel()))
    assert found.volume_ml == pytest.approx(len(repeated) / 4)
    assert found.mean_gy == pytest.approx(repeated.mean(dtype=float), rel=1e-6)
    assert (found.minimum_gy, found.maximum_gy) == (repeated[0], repeated[-1])
    for share in (0.01, 0.37, 0.5, 0.98):
        count = int(np.ceil(share * len(repeated) - 1e-9))
        assert found.dose_at(share) == repeated[len(repeated) - count]
    for level in (10.0, 33.3, 69.0):
        assert found.share_at(level) == pytest.approx((repeated >= level).mean())
    for exponent in (1.0, 8.0, -10.0):
        wanted = np.mean(repeated.astype(float) ** exponent) ** (1 / exponent)
        assert found.generalised_mean(exponent) == pytest.approx(wanted, rel=1e-6)


def test_histograms_of_what_cannot_be_are_refused():
    dose, mask = np.ones((2, 2, 2)), np.ones((2, 2, 2), bool)
    with pytest.raises(GeometryMismatch, match="put them onto one grid"):
        dose_histogram(dose, np.ones((2, 2, 3), bool), 1.0)
    with pytest.raises(InvalidInput, match="marks no voxel"):
        dose_histograms(dose, {"heart": ~mask}, 1.0)
    for share in (1.5, -0.1, np.nan):
        with pytest.raises(InvalidInput, match="outside 0 to 1"):
            dose_histogram(dose, np.full((2, 2, 2), share), 1.0)
    with pytest.raises(InvalidInput, match="beyond the dose grid"):
        dose_histogram(np.full((2, 2, 2), np.nan), mask, 1.0)
    with pytest.raises(InvalidInput, match="must have more than 0"):
        dose_histogram(dose, mask, 0.0)
    with pytest.raises(InvalidInput, match="between 0 and 1"):
        dose_histogram(dose, mask, 1.0).dose_at(95)


@pytest.mark.parametrize("factor", [(2.0, 2.0, 2.0), (1.7, 3.1, 2.3)])
def test_coarser_voxels_keep_the_integral_dose(factor):
    dose = np.random.default_rng(1).uniform(0, 60, (20, 21, 22)).astype(np.float32)
    source = Image(dose, np.diag([1.0, 1.5, 2.0, 1.0]))
    affine = np.diag([*(np.array([1.0, 1.5, 2.0]) * factor), 1.0])
    affine[:3, 3] = np.array([-3.3, -4.1, -2.7])
    grid = Image(np.zeros((18, 16, 17)), affine)
    found = resample_dose(source, grid)
    total = float((found.image.data * found.covered).sum(dtype=float)) * grid.voxel_mm3
    assert total == pytest.approx(float(dose.sum(dtype=float)) * source.voxel_mm3, rel=1e-5)
    assert found.covered.sum(dtype=float) * grid.voxel_mm3 == pytest.approx(
        dose.size * source.voxel_mm3, rel=1e-5
    )


def turned():
    c, s, d, e = np.cos(0.3), np.sin(0.3), np.cos(0.2), np.sin(0.2)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array(
        [[1, 0, 0], [0, d, -e], [0, e, d]]
    )


SWAPPED = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, 1.0], [-1.0, 0.0, 0.0]])


@pytest.mark.parametrize("turn", [np.eye(3), SWAPPED, turned()])
@pytest.mark.parametrize("spacing", [(0.7, 0.9, 1.1), (2.9, 4.0, 5.0), (1.0, 5.0, 1.0)])
def test_a_linear_dose_stays_linear_on_any_grid(turn, spacing):
    affine = np.diag([2.0, 2.5, 3.0, 1.0])
    affine[:3, 3] = (-20, -25, -30)
    slope = np.array([0.3, -0.2, 0.5])
    dose = 50 + np.tensordot(slope, at(affine, (21, 21, 21)), 1)
    new = np.eye(4)
    new[:3, :3] = turn @ np.diag(spacing)
    new[:3, 3] = turn @ (-7.0, -9.0, -8.0)
    shape = tuple(int(14 / side) for side in spacing)
    found = resample_dose(Image(dose.astype(np.float32), affine), Image(np.zeros(shape), new))
    assert found.covered.min() == 1.0
    wanted = 50 + np.tensordot(slope, at(new, shape), 1)
    # means over whole old voxels know where a new one ends only to the old voxel's slope
    loose = (turn == np.round(turn)).all() and max(spacing) > 2.0
    np.testing.assert_allclose(found.image.data, wanted, atol=0.4 if loose else 2e-4)


def test_outside_the_dose_is_what_was_asked_for_and_the_covered_share_is_told():
    dose = Image(np.full((4, 4, 4), 3.0, np.float32), np.eye(4))
    affine = np.eye(4)
    affine[0, 3] = -2.25
    found = resample_dose(dose, Image(np.zeros((4, 4, 4)), affine), outside=np.nan)
    # voxels of the dose reach from -0.5 on; new ones from -2.75, -1.75, -0.75, 0.25 on
    np.testing.assert_allclose(found.covered[:, 0, 0], [0, 0, 0.75, 1.0])
    np.testing.assert_array_equal(found.image.data[:, 0, 0], [np.nan, np.nan, 3.0, 3.0])
    affine[0, 3] = 50.0
    with pytest.raises(InvalidInput, match="do not overlap"):
        resample_dose(dose, Image(np.zeros((4, 4, 4)), affine))
    with pytest.raises(InvalidInput, match="NaN or infinite"):
        resample_dose(Image(np.full((2, 2, 2), np.nan), np.eye(4)), dose)


# A real plan, whose planning system stored its own histograms

PRESCRIBED_GY = 14.0


@pytest.fixture(scope="module")
def plan():
    """Structures, dose, and the planning system's mean doses [Gy] by number of structure."""
    import pydicom

    from twin.dicom.dose_file import read_dose
    from twin.dicom.structure_set import read_structure_set

    folder = real_data("dicompyler-rtplan")
    means = {  # stored as percentages of the prescription
        int(item.DVHReferencedROISequence[0].ReferencedROINumber): float(item.DVHMeanDose)
        * PRESCRIBED_GY
        / 100.0
        for item in pydicom.dcmread(folder / "rtdose.dcm").DVHSequence
    }
    return read_structure_set(folder / "rtss.dcm"), read_dose(folder / "rtdose.dcm"), means


def finer(dose, contours, parts=3):
    """The dose around a structure on voxels that are so many times smaller."""
    affine = dose.affine
    points = np.concatenate([p for polygons in contours.polygons for p in polygons])
    place = (points - affine[:3, 3]) / np.diag(affine)[:3]
    first = np.clip(np.floor(place.min(axis=0)).astype(int) - 2, 0, None)
    last = np.minimum(np.ceil(place.max(axis=0)).astype(int) + 3, dose.shape)
    new = affine.copy()
    new[:3, :3] /= parts
    new[:3, 3] += np.diag(affine)[:3] * (first - 0.5 + 0.5 / parts)
    shape = tuple(int(n) for n in (last - first) * parts)
    return resample_dose(dose, Image(np.broadcast_to(np.False_, shape), new)).image


@pytest.mark.parametrize(
    ("name", "volume_tolerance", "dose_tolerance"),
    [
        # relative; share of the prescription
        ("BODY", 0.001, 0.01),
        ("Breast", 0.001, 0.01),
        ("Heart", 0.008, 0.01),
        ("Lt Lung", 0.004, 0.01),
        ("Tumor Bed", 0.006, 0.01),
        ("Tumor Bed Block", 0.004, 0.01),
        # of less than a millilitre: the planning system has voxels of its own
        ("Nodes", 0.04, 0.01),
        ("Borders", 0.14, 0.01),
        ("Scar", 0.45, 0.03),
    ],
)
def test_histograms_against_the_planning_systems(plan, name, volume_tolerance, dose_tolerance):
    structures, dose, means = plan
    number = next(n for n, other in structures.numbers.items() if other == name)
    stored, contours = dose.histograms[number], structures.structures[name]
    image = dose.image if name == "BODY" else finer(dose.image, contours)
    share = structures.share(name, image, end_caps=False)
    found = dose_histogram(image.data, share, image.voxel_mm3)
    assert found.mean_gy == pytest.approx(means[number], rel=0.005, abs=0.001)
    # what gets less than half a bin is not in the stored curve: 5 % of the body
    in_curve = found.volume_at(stored.dose_gy[0])
    assert in_curve == pytest.approx(stored.volume_ml[0], rel=volume_tolerance)
    for share_of_curve in (0.95, 0.5, 0.02):
        allowed = dose_tolerance * PRESCRIBED_GY + stored.bin_gy
        assert found.dose_at(share_of_curve * in_curve / found.volume_ml) == pytest.approx(
            stored.dose_at(share_of_curve), abs=allowed
        )


def test_the_whole_curve_of_the_breast_is_the_planning_systems(plan):
    structures, dose, _ = plan
    number = next(n for n, other in structures.numbers.items() if other == "Breast")
    stored = dose.histograms[number]
    image = finer(dose.image, structures.structures["Breast"])
    found = dose_histogram(
        image.data, structures.share("Breast", image, end_caps=False), image.voxel_mm3
    )
    apart = found.volume_at(stored.dose_gy) - stored.volume_ml
    assert np.abs(apart).max() < 0.012 * stored.volume_ml[0]
