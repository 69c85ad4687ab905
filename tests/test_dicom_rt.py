"""Structure sets, doses and plans: volumes by closed forms, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from dicom_makers import AXIAL, CORONAL, SAGITTAL, header, normal_of, save, set_pixels, uid
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from real_data import real_data

from twin.dicom.dose_file import read_dose
from twin.dicom.plan_file import read_plan
from twin.dicom.rasterise import covered, polygon_area
from twin.dicom.structure_set import read_structure_set
from twin.errors import InvalidInput
from twin.images import Image

STRUCTURES, DOSE = "1.2.840.10008.5.1.4.1.1.481.3", "1.2.840.10008.5.1.4.1.1.481.2"
PLAN = "1.2.840.10008.5.1.4.1.1.481.5"


def circle(centre, radius, count=180):
    angle = np.linspace(0.0, 2.0 * np.pi, count, endpoint=False)
    return np.stack([centre[0] + radius * np.cos(angle), centre[1] + radius * np.sin(angle)], 1)


def rectangle(low, high):
    return np.array([low, (high[0], low[1]), high, (low[0], high[1])], float)


# Polygons onto pixels


@pytest.mark.parametrize("shift", [0.0, 0.137, 0.5, 0.81])
def test_a_rectangles_pixels_are_covered_by_closed_form(shift):
    low, high = np.array([1.2 + shift, 2.4 + shift]), np.array([4.9 + shift, 6.1 + shift])
    edges = np.arange(-0.5, 10.0)
    along = [
        np.clip(np.minimum(edges[1:], high[a]) - np.maximum(edges[:-1], low[a]), 0, None)
        for a in (0, 1)
    ]
    np.testing.assert_allclose(
        covered([rectangle(low, high)], (10, 10)), np.outer(*along), atol=1e-6
    )


def test_the_sum_of_pixels_is_the_area_of_polygons_with_holes_islands_and_notches():
    rng = np.random.default_rng(2)
    angle = np.sort(rng.uniform(0, 2 * np.pi, 40))
    star = 20.0 + rng.uniform(8, 18, 40)[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
    hole, island = circle((20.0, 20.0), 6.3), circle((21.0, 20.5), 2.2)
    x, y = star.T
    shoelace = abs(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)) / 2
    ring = 180 / 2 * np.sin(2 * np.pi / 180)  # area of a regular polygon by its radius squared
    wanted = shoelace - ring * 6.3**2 + ring * 2.2**2
    polygons = [star, hole, island]
    assert polygon_area(polygons) == pytest.approx(wanted, rel=1e-12)
    found = covered(polygons, (41, 41))
    assert found.sum(dtype=float) == pytest.approx(wanted, rel=1e-5)
    assert found.min() >= 0.0 and found.max() <= 1.0 + 1e-6


def test_a_keyhole_is_a_hole():
    outer, inner = rectangle((0, 0), (8, 8)), rectangle((3, 3), (5, 5))
    # out, along a channel to the hole, around it the other way, and back along the channel
    keyhole = np.concatenate([outer, outer[:1], inner[[0, 3, 2, 1, 0]]])
    np.testing.assert_allclose(covered([keyhole], (9, 9)), covered([outer, inner], (9, 9)))
    assert covered([keyhole], (9, 9)).sum() == pytest.approx(60.0)


def test_polygons_beyond_the_grid_are_cut_at_its_edge():
    assert covered([rectangle((-50, -50), (50, 50))], (4, 6)).tolist() == [[1.0] * 6] * 4
    assert covered([rectangle((-50, -50), (-20, 50))], (4, 6)).sum() == 0.0
    assert covered([], (4, 6)).sum() == 0.0


# Structure sets


def make_structures(path, structures, *, change=None):
    """Write a structure set.

    ``structures`` maps a name to contours: (points in LPS, shape (point, 3), kind).
    """
    ds = header(STRUCTURES, "RTSTRUCT")
    ds.StructureSetLabel, ds.StructureSetDate = "set", "20240306"
    rois, contours = [], []
    for number, (name, parts) in enumerate(structures.items(), 1):
        roi, of = Dataset(), Dataset()
        roi.ROINumber, roi.ROIName, roi.ROIGenerationAlgorithm = number, name, "MANUAL"
        roi.ReferencedFrameOfReferenceUID = uid("frame", 1)
        of.ReferencedROINumber = number
        items = []
        for points, kind in parts:
            one = Dataset()
            one.ContourGeometricType, one.NumberOfContourPoints = kind, len(points)
            one.ContourData = [f"{value:.4f}" for value in np.ravel(points)]
            items.append(one)
        if items:
            of.ContourSequence = Sequence(items)
        rois.append(roi)
        contours.append(of)
    ds.StructureSetROISequence, ds.ROIContourSequence = Sequence(rois), Sequence(contours)
    if change is not None:
        change(ds)
    return save(ds, path)


def stack(outlines, orientation=AXIAL, kind="CLOSED_PLANAR", start=(0.0, 0.0, 0.0)):
    """Contours in LPS from {place along the normal: list of polygons in the plane}."""
    axes = np.array([orientation[:3], orientation[3:]])
    normal = normal_of(orientation)
    return [
        (polygon @ axes + place * normal + np.array(start), kind)
        for place, polygons in outlines.items()
        for polygon in polygons
    ]


def ball(radius, places):
    return {z: [circle((0, 0), np.sqrt(radius**2 - z**2))] for z in places if abs(z) < radius}


def grid(spacing, low, shape, turn=None):
    affine = np.eye(4)
    affine[:3, :3] = (np.eye(3) if turn is None else turn) @ np.diag(spacing)
    affine[:3, 3] = low
    return Image(np.zeros(shape, np.uint8), affine)


def turned(degrees, axis):
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = np.eye(3)
    a, b = [k for k in range(3) if k != axis]
    matrix[a, a], matrix[b, b], matrix[a, b], matrix[b, a] = c, c, -s, s
    return matrix


_OBLIQUE = (0.8, 0.6, 0.0, -0.6 * 0.6, 0.8 * 0.6, -0.8)


@pytest.mark.parametrize("orientation", [AXIAL, CORONAL, SAGITTAL, _OBLIQUE])
def test_a_balls_volume_by_contours_and_on_grids(tmp_path, orientation):
    radius = 20.0
    path = make_structures(
        tmp_path / "rs.dcm", {"ball": stack(ball(radius, np.arange(-19.5, 20)), orientation)}
    )
    found = read_structure_set(path)
    wanted = 4 / 3 * np.pi * radius**3 / 1e3
    assert found.volume_ml("ball") == pytest.approx(wanted, rel=2e-3)
    image = grid((1.3, 1.1, 1.7), (-25, -24, -26), (40, 45, 31))
    share = found.share("ball", image)
    assert share.sum(dtype=float) * image.voxel_mm3 / 1e3 == pytest.approx(wanted, rel=4e-3)
    centre = (np.argwhere(share > 0.5) @ image.affine[:3, :3].T + image.affine[:3, 3]).mean(axis=0)
    np.testing.assert_allclose(centre, 0.0, atol=0.1)
    # voxels that are deep inside, and far outside
    points = np.moveaxis(np.indices(image.shape), 0, -1) @ image.affine[:3, :3].T
    distance = np.linalg.norm(points + image.affine[:3, 3], axis=-1)
    assert share[distance < 17.5].min() > 0.999
    assert share[distance > 22.5].max() < 0.001


def test_contours_land_on_the_right_side(tmp_path):
    # to the patient's left, in front and low: LPS (+12, -8, -6)
    outlines = {z: [circle((12.0, -8.0), 4.0)] for z in (-7.0, -6.0, -5.0)}
    found = read_structure_set(make_structures(tmp_path / "rs.dcm", {"node": stack(outlines)}))
    image = grid((1, 1, 1), (-20, -20, -20), (41, 41, 41))
    mask = found.mask("node", image)
    centre = (np.argwhere(mask) + image.affine[:3, 3]).mean(axis=0)
    np.testing.assert_allclose(centre, (-12.0, 8.0, -6.0), atol=1e-6)
    # a grid whose numbers run the other way has the same voxels
    back = np.diag([-1.0, -1.0, 1.0, 1.0])
    back[:3, 3] = (20, 20, -20)
    np.testing.assert_array_equal(found.mask("node", Image(image.data, back)), mask[::-1, ::-1])


@pytest.mark.parametrize("turn", [turned(12, 2), turned(12, 2) @ turned(25, 0)])
def test_grids_that_are_turned_keep_the_volume(tmp_path, turn):
    outlines = {z: [circle((0, 0), 12.0), circle((1, 1), 5.0)] for z in np.arange(-9.0, 10, 2)}
    found = read_structure_set(make_structures(tmp_path / "rs.dcm", {"tube": stack(outlines)}))
    wanted = np.pi * (12.0**2 - 5.0**2) * 20.0 / 1e3
    assert found.volume_ml("tube") == pytest.approx(wanted, rel=1e-3)
    image = grid((1.0, 1.2, 1.5), turn @ (-24, -24, -24), (48, 41, 33), turn)
    share = found.share("tube", image)
    assert share.sum(dtype=float) * image.voxel_mm3 / 1e3 == pytest.approx(wanted, rel=5e-3)
    x, y, z = np.tensordot(image.affine[:3, :3], np.indices(image.shape), 1) + image.affine[
        :3, 3
    ].reshape(3, 1, 1, 1)
    to_surface = np.stack(
        [12.0 - np.hypot(x, y), np.hypot(-x - 1, -y - 1) - 5.0, 10.0 - abs(z)]
    ).min(axis=0)
    wrong = found.mask("tube", image) != (to_surface > 0)
    assert abs(to_surface[wrong]).max(initial=0.0) < 0.5 * 1.5


def test_slabs_reach_half_way_and_end_caps_can_be_left_out(tmp_path):
    square = rectangle((0, 0), (10, 10))
    path = make_structures(
        tmp_path / "rs.dcm", {"box": stack({z: [square] for z in (0.0, 3.0, 6.0)})}
    )
    found = read_structure_set(path)
    assert found.volume_ml("box") == pytest.approx(0.9)  # 3 planes of 3 mm
    assert found.volume_ml("box", end_caps=False) == pytest.approx(0.6)  # from 0 to 6 mm
    # slices of 2 mm, between the contours: what lies from -1.5 to 7.5 mm
    image = grid((1, 1, 2), (-9.5, -9.5, -4), (10, 10, 8))
    column = found.share("box", image)[4, 4]
    np.testing.assert_allclose(column, [0, 0.25, 1, 1, 1, 1, 0.25, 0], atol=1e-6)
    column = found.share("box", image, end_caps=False)[4, 4]
    np.testing.assert_allclose(column, [0, 0, 0.5, 1, 1, 0.5, 0, 0], atol=1e-6)


def test_a_wide_gap_between_planes_stays_empty_and_is_said(tmp_path):
    square = rectangle((0, 0), (10, 10))
    places = (0.0, 2.0, 4.0, 16.0, 18.0)
    path = make_structures(tmp_path / "rs.dcm", {"two": stack({z: [square] for z in places})})
    found = read_structure_set(path)
    assert found.volume_ml("two") == pytest.approx(1.0)  # 5 slabs of 2 mm
    assert "no contour for 12 mm where 2 mm are usual" in " ".join(found.notes)


def test_points_lines_and_empty_structures_are_noted(tmp_path):
    square = rectangle((0, 0), (10, 10))
    closed = stack({z: [square] for z in (0.0, 1.0)})
    path = make_structures(
        tmp_path / "rs.dcm",
        {
            "body": closed,
            "isocentre": [(np.array([[1.0, 2.0, 3.0]]), "POINT")],
            "wire": [(np.array([[1.0, 2, 3], [2.0, 2, 3], [3.0, 2, 3]]), "OPEN_PLANAR")],
            "Areola": [],
        },
    )
    found = read_structure_set(path)
    assert list(found.structures) == ["body"]
    assert "without contours: Areola" in found.notes
    assert "points and open lines not used: isocentre, wire" in found.notes
    assert dict(found.numbers) == {1: "body", 2: "isocentre", 3: "wire", 4: "Areola"}
    with pytest.raises(InvalidInput, match="no structure wire with contours; there are body"):
        found.volume_ml("wire")
    with pytest.raises(InvalidInput, match="marks no voxel"):
        found.mask("body", grid((1, 1, 1), (100, 100, 100), (4, 4, 4)))


def test_one_structure_in_several_directions_is_refused(tmp_path):
    square = rectangle((0, 0), (10, 10))
    crossed = stack({0.0: [square]}) + stack({0.0: [square]}, CORONAL)
    path = make_structures(tmp_path / "rs.dcm", {"body": crossed})
    with pytest.raises(InvalidInput, match="off one direction of planes"):
        read_structure_set(path)


def test_a_set_without_closed_contours_is_refused(tmp_path):
    path = make_structures(tmp_path / "rs.dcm", {"point": [(np.ones((1, 3)), "POINT")]})
    with pytest.raises(InvalidInput, match="no structure with a closed contour"):
        read_structure_set(path)


def test_the_xor_kind_has_holes_too(tmp_path):
    outer, inner = rectangle((0, 0), (10, 10)), rectangle((2, 2), (5, 6))
    parts = stack({z: [outer, inner] for z in (0.0, 1.0)}, kind="CLOSEDPLANAR_XOR")
    found = read_structure_set(make_structures(tmp_path / "rs.dcm", {"ring": parts}))
    assert found.volume_ml("ring") == pytest.approx((100 - 12) * 2 / 1e3)


# Doses

FRAMES, ROWS, COLUMNS = 5, 4, 3


def make_dose(
    path, *, bits=16, offsets=None, orientation=AXIAL, scaling=1e-3, order=None, change=None
):
    """Write a dose that rises linearly in space: 1000 + 10 column + 100 row + 1000 place/2 mm."""
    order = list(range(FRAMES)) if order is None else order
    frame, row, column = np.indices((FRAMES, ROWS, COLUMNS))
    stored = (1000 + 10 * column + 100 * row + 1000 * np.array(order)[frame]).astype(np.uint64)
    ds = header(DOSE, "RTDOSE")
    ds.DoseUnits, ds.DoseType, ds.DoseSummationType = "GY", "PHYSICAL", "PLAN"
    ds.DoseGridScaling = f"{scaling:g}"
    ds.ImagePositionPatient = ["-10", "-20", "30"]
    ds.ImageOrientationPatient = [f"{value:g}" for value in orientation]
    ds.PixelSpacing, ds.SliceThickness = [2.0, 1.5], ""
    ds.GridFrameOffsetVector = [2.0 * k for k in order] if offsets is None else offsets
    set_pixels(ds, stored.astype(f"u{bits // 8}"), bits=bits)
    if change is not None:
        change(ds)
    return save(ds, path)


def dose_at(dose, point):
    """Dose of the voxel whose centre lies at an LPS point."""
    place = np.linalg.inv(dose.image.affine) @ np.array([-point[0], -point[1], point[2], 1.0])
    number = np.round(place[:3]).astype(int)
    np.testing.assert_allclose(place[:3], number, atol=1e-6)
    assert (number >= 0).all() and (number < dose.image.shape).all()
    return float(dose.image.data[tuple(number)])


@pytest.mark.parametrize("bits", [16, 32])
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"offsets": [30.0 + 2 * k for k in range(FRAMES)]},
        {"order": [4, 2, 0, 1, 3], "offsets": [0.0, -4.0, -8.0, -6.0, -2.0]},
    ],
    ids=["relative", "absolute", "any order"],
)
def test_each_doses_frame_is_at_its_place(tmp_path, bits, more):
    dose = read_dose(make_dose(tmp_path / "d.dcm", bits=bits, **more))
    first = more.get("order", [0])[0]  # number of the frame at z = 30 mm
    for column, row, frame in ((0, 0, 0), (2, 1, 3), (1, 3, 4)):
        point = (-10 + 1.5 * column, -20 + 2.0 * row, 30 + 2.0 * (frame - first))
        wanted = (1000 + 10 * column + 100 * row + 1000 * frame) * 1e-3
        assert dose_at(dose, point) == pytest.approx(wanted, rel=1e-6)
    assert (dose.kind, dose.summation) == ("physical", "PLAN")


@pytest.mark.parametrize(
    ("offsets", "step"),
    [([0.0, 2.0, 4.0, 6.0, 8.0], -2.0), ([30.0, 32.0, 34.0, 36.0, 38.0], 2.0)],
    ids=["relative, along the normal", "absolute, along z"],
)
def test_frames_whose_normal_points_down(tmp_path, offsets, step):
    down = (1.0, 0.0, 0.0, 0.0, -1.0, 0.0)
    dose = read_dose(make_dose(tmp_path / "d.dcm", orientation=down, offsets=offsets))
    for column, row, frame in ((0, 0, 0), (2, 1, 3)):
        point = (-10 + 1.5 * column, -20 - 2.0 * row, 30 + step * frame)
        wanted = (1000 + 10 * column + 100 * row + 1000 * frame) * 1e-3
        assert dose_at(dose, point) == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("DoseUnits", "RELATIVE", "is relative, a share of a dose that it does not state"),
        ("DoseType", "ERROR", "of a type that is not stated or not known"),
        ("DoseGridScaling", "0", "no scaling to Gray"),
        ("GridFrameOffsetVector", [0.0, 2.0], "5 frames, but states the place of 2"),
        ("GridFrameOffsetVector", [7.0, 9.0, 11.0, 13.0, 15.0], "neither at 0 nor at the place"),
        ("GridFrameOffsetVector", [0.0, 2.0, 2.0, 4.0, 6.0], "two slices at one place"),
        ("ImagePositionPatient", None, "no position and orientation"),
        ("Modality", "CT", "is not an RT dose"),
        ("PixelData", b"12", "cut short"),
    ],
)
def test_doses_that_cannot_be_used_are_refused(tmp_path, key, value, sentence):
    path = make_dose(tmp_path / "d.dcm", change=lambda ds: setattr(ds, key, value))
    with pytest.raises(InvalidInput, match=sentence):
        read_dose(path)


def test_effective_dose_of_one_beam_is_told(tmp_path):
    def change(ds):
        ds.DoseType, ds.DoseSummationType = "EFFECTIVE", "BEAM"

    dose = read_dose(make_dose(tmp_path / "d.dcm", change=change))
    assert (dose.kind, dose.summation) == ("effective", "BEAM")
    assert "dose of a beam, not of a plan" in dose.notes


def test_stored_histograms_have_widths_between_their_volumes(tmp_path):
    def histogram(number, kind, data):
        item, of = Dataset(), Dataset()
        of.ReferencedROINumber, of.DVHROIContributionType = number, "INCLUDED"
        item.DVHReferencedROISequence = Sequence([of])
        item.DVHType, item.DoseUnits, item.DoseType = kind, "GY", "PHYSICAL"
        item.DVHDoseScaling, item.DVHVolumeUnits = "2", "CM3"
        item.DVHNumberOfBins, item.DVHData = len(data) // 2, data
        return item

    def change(ds):
        ds.DVHSequence = Sequence(
            [
                histogram(3, "CUMULATIVE", [0.5, 8.0, 0.5, 6.0, 1.0, 2.0]),
                histogram(5, "DIFFERENTIAL", [0.5, 2.0, 0.5, 4.0, 1.0, 2.0]),
                histogram(6, "NATURAL", [0.5, 2.0]),
            ]
        )

    found = read_dose(make_dose(tmp_path / "d.dcm", change=change)).histograms
    assert sorted(found) == [3, 5]
    assert found[3].dose_gy.tolist() == [0.5, 1.5, 3.0]  # middles of 0-1, 1-2 and 2-4 Gy
    assert found[3].volume_ml.tolist() == [8.0, 6.0, 2.0]
    assert found[5].dose_gy.tolist() == [0.0, 1.0, 2.0]  # lower edges
    assert found[5].volume_ml.tolist() == [8.0, 6.0, 2.0]
    assert (found[3].dose_at(0.5), found[3].bin_gy) == (1.5, 2.0)


# Plans


def test_a_plan_tells_fractions_targets_and_beams(tmp_path):
    def reference(kind, structure, dose, text):
        item = Dataset()
        item.DoseReferenceType, item.DoseReferenceStructureType = kind, structure
        item.TargetPrescriptionDose, item.DoseReferenceDescription = dose, text
        return item

    ds = header(PLAN, "RTPLAN")
    ds.DoseReferenceSequence = Sequence(
        [
            reference("TARGET", "VOLUME", "54", "PTV low"),
            reference("TARGET", "SITE", "60", "as wished by Jane Doe"),
            reference("TARGET", "COORDINATES", "66", "CALC POINT"),
            reference("ORGAN_AT_RISK", "VOLUME", "70", "cord"),
        ]
    )
    group, used, beam, field, point = (Dataset() for _ in range(5))
    group.FractionGroupNumber, group.NumberOfFractionsPlanned = 1, 30
    used.ReferencedBeamNumber, used.BeamDose = 2, "1.9"
    group.ReferencedBeamSequence = Sequence([used])
    ds.FractionGroupSequence = Sequence([group])
    point.NominalBeamEnergy = "6"
    beam.BeamNumber, beam.RadiationType, beam.TreatmentDeliveryType = 2, "PHOTON", "TREATMENT"
    beam.ControlPointSequence = Sequence([point])
    field.BeamNumber, field.RadiationType, field.TreatmentDeliveryType = 3, "PHOTON", "SETUP"
    ds.BeamSequence = Sequence([beam, field])
    plan = read_plan(save(ds, tmp_path / "p.dcm"))
    assert plan.fractions == 30
    assert [(one.dose_gy, one.target) for one in plan.prescriptions] == [
        (60.0, ""), (54.0, "PTV low"),
    ]  # fmt: skip
    assert [(one.number, one.radiation, one.dose_gy, one.energies) for one in plan.beams] == [
        (2, "photon", 1.9, (6.0,))
    ]
    assert plan.notes == ("dose references that are points, not targets: 1",)
    assert "Jane" not in repr(plan)


def test_plans_without_content_or_cut_short_are_refused(tmp_path):
    with pytest.raises(InvalidInput, match="neither fractions nor beams"):
        read_plan(save(header(PLAN, "RTPLAN"), tmp_path / "p.dcm"))
    with pytest.raises(InvalidInput, match="is not an RT plan"):
        read_plan(save(header(DOSE, "RTDOSE"), tmp_path / "p.dcm"))
    with pytest.raises(InvalidInput, match="damaged or cut short"):
        read_plan(real_data("dicom-small", "pydicom", "rtplan_truncated.dcm"))


def test_real_plan_and_relative_doses_of_small_files():
    folder = real_data("dicom-small", "pydicom")
    plan = read_plan(folder / "rtplan.dcm")
    assert (plan.fractions, plan.prescriptions) == (30, ())
    for name in ("rtdose.dcm", "rtdose_1frame.dcm", "rtdose_expb.dcm", "rtdose_rle.dcm"):
        with pytest.raises(InvalidInput, match="is relative"):
            read_dose(folder / name)


@pytest.mark.parametrize(
    ("grid_of", "least_overlap"), [("CT", 0.9999), ("MR_T1", 0.9999), ("PET", 0.995)]
)
def test_real_contours_against_the_masks_given_with_them(grid_of, least_overlap):
    """The image biomarker initiative's own masks of a sarcoma, on three grids."""
    from twin.images import read_nifti

    folder = real_data("ibsi-soft-tissue-sarcoma")
    found = read_structure_set(folder / "dicom" / "STS_001" / "PET" / "mask" / "RS.dcm")
    given = read_nifti(folder / "nifti" / "STS_001" / f"{grid_of}_mask.nii.gz")
    (name,) = found.structures
    mask, wanted = found.mask(name, given), np.asarray(given.data) > 0
    overlap = 2.0 * (mask & wanted).sum() / (mask.sum() + wanted.sum())
    assert overlap > least_overlap
    given_ml = wanted.sum() * given.voxel_mm3 / 1e3
    assert found.volume_ml(name) == pytest.approx(given_ml, rel=3e-3)


def test_a_real_plan_has_its_structures_fractions_and_prescription():
    folder = real_data("dicompyler-rtplan")
    structures, plan = read_structure_set(folder / "rtss.dcm"), read_plan(folder / "rtplan.dcm")
    assert len(structures.structures) == 9 and "without contours: Areola" in structures.notes
    assert plan.fractions == 7 and len(plan.beams) == 4
    assert [one.dose_gy for one in plan.prescriptions] == [14.0]  # 7 x 4 x 0.5 Gy; no CALC POINT
    assert sum(beam.dose_gy for beam in plan.beams) * plan.fractions == pytest.approx(14.0)
