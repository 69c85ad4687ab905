"""Exports on the original series: read back by others and by us, at their place and volume."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from dicom_makers import AXIAL, CORONAL, NAME, PATIENT_ID, header, make_enhanced, make_series, save
from real_data import real_data
from small_patient import write_small_patient

from twin.dicom.export_content import ExportedStructure
from twin.dicom.export_segmentation import export_segmentation
from twin.dicom.export_structures import export_structures, outlines
from twin.dicom.rasterise import covered, polygon_area
from twin.dicom.segmentation import read_segmentation
from twin.dicom.structure_set import read_structure_set
from twin.errors import GeometryMismatch, InvalidInput
from twin.images import Image, read_nifti

_TURN = np.radians(15.0)
OBLIQUE = (np.cos(_TURN), np.sin(_TURN), 0.0, -np.sin(_TURN) * 0.8, np.cos(_TURN) * 0.8, -0.6)
SERIES = {
    "axial": (AXIAL, (-30.0, -30.0, -24.0), (25, 61, 61), (2.0, 1.0, 1.0)),
    "coronal": (CORONAL, (-30.0, -24.0, 30.0), (25, 61, 61), (2.0, 1.0, 1.0)),
    "oblique": (OBLIQUE, None, (25, 61, 61), (2.0, 1.0, 1.0)),
    "thick slices": (AXIAL, (-30.0, -30.0, -25.0), (11, 81, 81), (5.0, 0.75, 0.75)),
}
CENTRE, RADIUS = np.array([2.0, -3.0, 1.5]), 12.0  # RAS


def write_series(folder, which="axial", **more):
    orientation, position, shape, spacing = SERIES[which]
    if position is None:  # the middle of the stack at the origin
        axes = np.array([orientation[:3], orientation[3:]])
        normal = np.cross(*axes)
        position = -axes[0] * 30.0 - axes[1] * 30.0 - normal * 24.0
    return make_series(
        folder, orientation=orientation, position=position, shape=shape, spacing=spacing,
        values=np.zeros(shape), shuffle=True, **more,
    )  # fmt: skip


def ball(*, hollow=0.0, side=1.0, centre=CENTRE, radius=RADIUS):
    """Share of each voxel of a grid of our own in a ball, to a few parts in a thousand."""
    steps = np.arange(-20.0, 20.0 + side / 2, side)
    points = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1)
    affine = np.diag([side, side, side, 1.0])
    affine[:3, 3] = -20.0 + np.round(centre)
    distance = np.linalg.norm(points + affine[:3, 3] + 20.0 - centre, axis=-1)
    share = np.clip((radius - distance) / side + 0.5, 0, 1)
    if hollow:
        share = np.minimum(share, np.clip((distance - hollow) / side + 0.5, 0, 1))
    return Image(share.astype(np.float32), affine)


def centre_of(image):
    index = np.argwhere(np.asarray(image.data) > 0.5)
    return (index @ image.affine[:3, :3].T + image.affine[:3, 3]).mean(axis=0)


def volume_of(image):
    return float(np.asarray(image.data, float).sum()) * image.voxel_mm3 / 1e3


WANTED_ML = 4 / 3 * np.pi * RADIUS**3 / 1e3


@pytest.mark.parametrize("which", list(SERIES))
def test_a_ball_comes_back_from_a_segmentation(tmp_path, which):
    files = write_series(tmp_path / "ct", which)
    structures = [
        ExportedStructure("tumour day 90", ball()),
        ExportedStructure("boost", ball(radius=6.0), kind="ptv", colour=(0, 0, 255)),
    ]
    export_segmentation(structures, files, tmp_path / "seg.dcm")
    found = read_segmentation(tmp_path / "seg.dcm")
    assert dict(found.labels) == {"tumour day 90": 1, "boost": 2}
    assert "segments overlap" in found.notes
    image = found.segments["tumour day 90"]
    assert volume_of(image) == pytest.approx(WANTED_ML, rel=0.01)
    apart = np.abs(np.linalg.inv(image.affine[:3, :3]) @ (centre_of(image) - CENTRE))
    assert apart.max() < 0.25  # of a voxel
    export_segmentation(structures[:1], files, tmp_path / "share.dcm", fractional=True)
    image = read_segmentation(tmp_path / "share.dcm").segments["tumour day 90"]
    assert volume_of(image) == pytest.approx(WANTED_ML, rel=0.005)


@pytest.mark.parametrize("which", list(SERIES))
def test_a_hollow_ball_comes_back_from_a_structure_set(tmp_path, which):
    files = write_series(tmp_path / "ct", which)
    hollow = ExportedStructure("rim", ball(hollow=7.0), kind="ctv")
    export_structures([hollow, ExportedStructure("tumour", ball())], files, tmp_path / "rs.dcm")
    found = read_structure_set(tmp_path / "rs.dcm")
    assert list(found.structures) == ["rim", "tumour"]
    assert found.volume_ml("tumour") == pytest.approx(WANTED_ML, rel=0.01)
    rim_ml = 4 / 3 * np.pi * (RADIUS**3 - 7.0**3) / 1e3
    assert found.volume_ml("rim") == pytest.approx(rim_ml, rel=0.015)
    affine = np.eye(4)
    affine[:3, 3] = -25.0
    grid = Image(np.zeros((51, 51, 51), bool), affine)
    share = Image(found.share("tumour", grid), affine)
    spacing = SERIES[which][3]
    assert np.abs(centre_of(share) - CENTRE).max() < 0.5 * min(spacing)


def test_overlapping_parts_of_a_small_patient_come_back_voxel_by_voxel(tmp_path):
    """From a built patient's arrays to a segmentation on a series of the same voxels, and back."""
    write_small_patient(tmp_path / "patient")
    labels = read_nifti(tmp_path / "patient" / "segmentation.nii.gz")
    n = labels.shape[0]
    # the same voxels as DICOM has them: from the right, front and bottom of the head
    files = make_series(
        tmp_path / "mr", modality="MR", shape=(n, n, n), spacing=(2.0, 2.0, 2.0),
        position=(-28.0, -28.0, -28.0), values=np.zeros((n, n, n)), dtype=np.uint16,
    )  # fmt: skip
    core = np.isin(labels.data, [1, 4])
    parts = {"core": core, "whole": np.asarray(labels.data) > 0}
    export_segmentation(
        [ExportedStructure(name, Image(mask, labels.affine)) for name, mask in parts.items()],
        files,
        tmp_path / "seg.dcm",
    )
    found = read_segmentation(tmp_path / "seg.dcm")
    for name, mask in parts.items():
        image = found.segments[name]
        # frames without a voxel are not stored: compare by place
        shift = np.linalg.inv(labels.affine) @ image.affine
        np.testing.assert_allclose(shift[:3, :3], np.eye(3), atol=1e-6)
        first = np.round(shift[:3, 3]).astype(int)
        np.testing.assert_allclose(shift[:3, 3], first, atol=1e-6)
        whole = np.zeros(labels.shape, bool)
        a, b, c = (slice(k, k + m) for k, m in zip(first, image.shape, strict=True))
        whole[a, b, c] = image.data
        np.testing.assert_array_equal(whole, mask)


def test_other_readers_find_everything_where_it_belongs(tmp_path):
    import highdicom

    files = write_series(tmp_path / "ct")
    structures = [ExportedStructure("tumour", ball()), ExportedStructure("ptv", ball(), "ptv")]
    export_segmentation(structures, files, tmp_path / "seg.dcm")
    export_structures(structures, files, tmp_path / "rs.dcm")
    originals = [pydicom.dcmread(path) for path in files]
    first, instances = originals[0], {str(ds.SOPInstanceUID) for ds in originals}

    seg = highdicom.seg.segread(str(tmp_path / "seg.dcm"))
    assert seg.SeriesDescription.startswith("RESEARCH USE ONLY")
    assert seg.Manufacturer == "therapy-twin"
    assert {uid for _, _, uid in seg.get_source_image_uids()} <= instances
    assert [one.segmented_property_type.meaning for one in seg.SegmentSequence] == [
        "Neoplasm", "Planning target volume (observable entity)",
    ]  # fmt: skip
    volume = seg.get_volume(segment_numbers=[1], combine_segments=True, skip_overlap_checks=True)
    assert volume.array.sum() * volume.voxel_volume / 1e3 == pytest.approx(WANTED_ML, rel=0.01)
    where = np.argwhere(volume.array > 0)
    middle = volume.map_indices_to_reference(where).mean(axis=0)
    np.testing.assert_allclose(middle * (-1, -1, 1), CENTRE, atol=0.5)

    rs = pydicom.dcmread(tmp_path / "rs.dcm")
    for ds in (seg, rs):
        assert ds.StudyInstanceUID == first.StudyInstanceUID
        assert ds.FrameOfReferenceUID == first.FrameOfReferenceUID
        assert ds.SeriesInstanceUID != first.SeriesInstanceUID
        assert (ds.PatientName, ds.PatientID) == (NAME, PATIENT_ID)
    assert rs.SeriesDescription.startswith("RESEARCH USE ONLY")
    assert rs.ApprovalStatus == "UNAPPROVED"
    assert [one.RTROIInterpretedType for one in rs.RTROIObservationsSequence] == ["GTV", "PTV"]
    study = rs.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
    listed = study.RTReferencedSeriesSequence[0].ContourImageSequence
    assert {str(item.ReferencedSOPInstanceUID) for item in listed} == instances
    by_uid = {str(ds.SOPInstanceUID): ds for ds in originals}
    for contour in rs.ROIContourSequence[0].ContourSequence:
        points = np.array(contour.ContourData, float).reshape(-1, 3)
        slice_ = by_uid[str(contour.ContourImageSequence[0].ReferencedSOPInstanceUID)]
        np.testing.assert_allclose(points[:, 2], slice_.ImagePositionPatient[2], atol=2e-3)
        assert contour.NumberOfContourPoints == len(points)


def test_a_pseudonym_takes_the_place_of_who_it_is(tmp_path):
    def secret(ds, _):
        ds.PatientComments, ds.StudyDescription = "told in confidence", "of Doctor^Invented"

    files = write_series(tmp_path / "ct", change=secret)
    structures = [ExportedStructure("tumour", ball())]
    for export, name in ((export_segmentation, "seg"), (export_structures, "rs")):
        export(structures, files, tmp_path / f"{name}.dcm", pseudonym="case 12")
        text = (tmp_path / f"{name}.dcm").read_bytes()
        for word in ("Synthetic", PATIENT_ID, "ACCESSION", "Nowhere", "Invented", "19610203"):
            assert word.encode() not in text
        assert pydicom.dcmread(tmp_path / f"{name}.dcm").PatientName == "case 12"
        export(structures, files, tmp_path / f"{name}.dcm")  # as itself, without comments
        assert b"confidence" not in (tmp_path / f"{name}.dcm").read_bytes()
        with pytest.raises(InvalidInput, match="pseudonym has 65 characters"):
            export(structures, files, tmp_path / "no.dcm", pseudonym="x" * 65)
    assert not (tmp_path / "no.dcm").exists()


def test_uneven_slices_are_drawn_each_at_its_place(tmp_path):
    offsets = np.cumsum([0, 2, 2, 3, 2, 1, 2, 2, 3, 2, 2, 1, 2, 2, 2, 3, 2, 2, 2, 1, 2, 2, 2, 2, 2])
    files = write_series(tmp_path / "ct", offsets=offsets.tolist())
    export_structures([ExportedStructure("tumour", ball())], files, tmp_path / "rs.dcm")
    assert read_structure_set(tmp_path / "rs.dcm").volume_ml("tumour") == pytest.approx(
        WANTED_ML, rel=0.01
    )


def test_other_objects_among_the_files_are_passed_over(tmp_path):
    files = write_series(tmp_path / "ct")
    plan = save(header("1.2.840.10008.5.1.4.1.1.481.5", "RTPLAN"), tmp_path / "plan.dcm")
    note = tmp_path / "note.txt"
    note.write_text("a text", encoding="utf-8")
    export_structures([ExportedStructure("t", ball())], [plan, note, *files], tmp_path / "r.dcm")
    assert (tmp_path / "r.dcm").exists()


def test_what_cannot_be_drawn_is_refused_and_nothing_is_written(tmp_path):
    files = write_series(tmp_path / "ct")
    other = write_series(tmp_path / "other", series=2)
    multi = make_enhanced(tmp_path / "multi.dcm", modality="CT")
    tumour = ExportedStructure("tumour", ball())
    far = Image(tumour.image.data, tumour.image.affine + np.outer(np.eye(4)[2], [0, 0, 0, 200.0]))
    speck = np.zeros((9, 9, 9), np.float32)
    speck[4, 4, 4] = 0.2
    cases = [
        ([ExportedStructure("t", far)], files, GeometryMismatch, "0 % of it lies on the series"),
        ([tumour], [*files, *other], InvalidInput, "hold 2 series"),
        ([tumour], [multi], InvalidInput, "enhanced multi-frame"),
        ([tumour], [], InvalidInput, "no CT, MR or PET image"),
        ([tumour], [*files, files[3]], GeometryMismatch, "two slices at one place"),
        ([], files, InvalidInput, "no structure to export"),
        ([tumour, tumour], files, InvalidInput, "Two structures to export are called tumour"),
        ([ExportedStructure("t", Image(speck, np.eye(4)))], files, InvalidInput, "by half"),
        ([ExportedStructure("t", Image(speck * 0, np.eye(4)))], files, InvalidInput, "no voxel"),
        ([ExportedStructure("t", Image(speck * 9, np.eye(4)))], files, InvalidInput, "0 to 1"),
    ]
    for structures, series, error, sentence in cases:
        for export in (export_segmentation, export_structures):
            with pytest.raises(error, match=sentence) as caught:
                export(structures, series, tmp_path / "out.dcm")
            assert PATIENT_ID not in str(caught.value)
    assert not (tmp_path / "out.dcm").exists()
    for name in ("", "a" * 65, "a\\b", "Tumör"):
        with pytest.raises(InvalidInput, match="printable ASCII"):
            ExportedStructure(name, tumour.image)


def test_outlines_have_the_area_of_their_shape_and_keyholes_for_holes():
    row, column = np.mgrid[:80, :90]
    distance = np.hypot(row - 40.3, column - 44.8)
    share = np.clip(30.0 - distance + 0.5, 0, 1)
    for at in ((35, 36), (46, 50), (40, 62)):
        share = np.minimum(share, np.clip(np.hypot(row - at[0], column - at[1]) - 4.5, 0, 1))
    share[3:6, 3:6] = 1.0  # an island
    found = outlines(share)
    assert len(found) == 2
    wanted = np.pi * (30.0**2 - 3 * 5.0**2)
    drawn = covered([polygon[:, ::-1] for polygon in found], share.shape)
    assert drawn[8:].sum(dtype=float) == pytest.approx(wanted, rel=5e-3)
    apart = (drawn > 0.5) != (share > 0.5)
    assert np.abs(share[apart] - 0.5).max() < 0.15
    assert max(polygon_area([polygon]) for polygon in found) == pytest.approx(wanted, rel=5e-3)


def test_structures_on_real_slices_come_back(tmp_path):
    """Three slices of a CT, and the liver that is segmented on them."""
    folder = real_data("dicom-small", "dcmqi", "segmentations")
    files = sorted((folder / "ct-3slice").iterdir())
    liver = read_segmentation(folder / "liver.dcm").segments["Liver"]
    export_segmentation([ExportedStructure("liver", liver, "organ")], files, tmp_path / "s.dcm")
    again = read_segmentation(tmp_path / "s.dcm").segments["liver"]
    np.testing.assert_array_equal(again.data, liver.data)
    np.testing.assert_allclose(again.affine, liver.affine, atol=1e-3)
    export_structures([ExportedStructure("liver", liver, "organ")], files, tmp_path / "r.dcm")
    drawn = read_structure_set(tmp_path / "r.dcm")
    assert drawn.volume_ml("liver") == pytest.approx(volume_of(liver), rel=0.005)
    mask = drawn.mask("liver", liver)
    assert (mask != liver.data).sum() < 1e-3 * liver.data.sum()
