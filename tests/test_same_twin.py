"""One patient in other containers, voxel orders, flips and units of length is the same twin."""

import highdicom as hd
import nibabel as nib
import nrrd
import numpy as np
import pydicom
import pytest
from dicom_makers import make_series
from pydicom.sr.codedict import codes
from small_patient import PATIENT_TOML, write_small_patient

import twin
from solvers import FiniteElementSolver

NAMES = ("tissues", "segmentation", "structures", "t1")


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return twin.load(write_small_patient(tmp_path_factory.mktemp("plain")))


#: Turned by 20 degrees about an axis that is no axis of the grid (Rodrigues' formula).
AXIS = np.array([1.0, 2.0, 0.5]) / np.linalg.norm([1.0, 2.0, 0.5])
CROSS = np.array([[0, -AXIS[2], AXIS[1]], [AXIS[2], 0, -AXIS[0]], [-AXIS[1], AXIS[0], 0]])
TILT = np.eye(4)
TILT[:3, :3] += np.sin(np.deg2rad(20)) * CROSS + (1 - np.cos(np.deg2rad(20))) * CROSS @ CROSS


def reoriented(image, axes, flips):
    """The same voxels stored in another order, with the affine that says so."""
    order = nib.orientations.axcodes2ornt(axes)
    start = nib.orientations.io_orientation(image.affine)
    turned = image.as_reoriented(nib.orientations.ornt_transform(start, order))
    data, affine = np.asarray(turned.dataobj), turned.affine
    for axis in flips:
        back = np.eye(4)
        back[axis, axis], back[axis, 3] = -1.0, data.shape[axis] - 1
        data, affine = np.flip(data, axis), affine @ back
    return np.ascontiguousarray(data), affine


def rewrite(folder, change):
    """Write every image of the small patient again as `change` (name, image) does it."""
    for name in NAMES:
        image = nib.load(folder / f"{name}.nii.gz")
        image = nib.Nifti1Image(np.asarray(image.dataobj), image.affine)
        change(name, image)


def assert_same(found, plain):
    """Identical voxels and meshes; volumes and a short run as close as the issue asks."""
    np.testing.assert_array_equal(found.tissues, plain.tissues)
    np.testing.assert_allclose(found.grid.affine, plain.grid.affine, atol=1e-3)
    for name in plain.structures:
        assert found.volume_ml(name) == pytest.approx(plain.volume_ml(name), rel=1e-3), name
    for label, names in (("mesh", plain.mesh.label_names), ("coarse", plain.mesh.label_names)):
        mine = found.mesh if label == "mesh" else found.coarse_mesh
        theirs = plain.mesh if label == "mesh" else plain.coarse_mesh
        for number in names:
            a, b = (m.cell_volume[m.cell_label == number].sum() for m in (mine, theirs))
            assert a == pytest.approx(b, rel=1e-3)
    course = twin.Radiotherapy(total_dose_gy=10, fractions=5, start_day=2)
    volumes = [
        FiniteElementSolver().solve(one, twin.Regimen(course), [0.0, 20.0])["tumour_volume"].values
        for one in (found, plain)
    ]
    np.testing.assert_allclose(volumes[0], volumes[1], rtol=5e-3)


@pytest.mark.parametrize(
    ("axes", "flips"), [("LPS", ()), ("SRA", ()), ("AIL", (0,)), ("RAS", (0, 1, 2)), ("PIR", (2,))]
)
def test_another_voxel_order(plain, tmp_path, axes, flips):
    path = write_small_patient(tmp_path)

    def change(name, image):
        data, affine = reoriented(image, axes, flips)
        nib.save(nib.Nifti1Image(data, affine), tmp_path / f"{name}.nii.gz")

    rewrite(tmp_path, change)
    found = twin.load(path)
    assert_same(found, plain)
    assert found.mesh.content_hash == plain.mesh.content_hash


@pytest.mark.parametrize(("axes", "flips"), [("LPS", ()), ("PIR", (2,))])
def test_another_voxel_order_of_a_tilted_head(plain, tmp_path, axes, flips):
    """Tilted images in two orders are one twin, and all that is measured in it is the upright's."""
    found = []
    for kind, order, turned in (("upright", "RAS", ()), ("other", axes, flips)):
        folder = tmp_path / kind
        path = write_small_patient(folder)

        def change(name, image, order=order, turned=turned, folder=folder):
            data, affine = reoriented(image, order, turned)
            nib.save(nib.Nifti1Image(data, TILT @ affine), folder / f"{name}.nii.gz")

        rewrite(folder, change)
        found.append(twin.load(path))
    assert_same(found[1], found[0])
    np.testing.assert_array_equal(found[0].tissues, plain.tissues)
    np.testing.assert_allclose(found[0].grid.affine, TILT @ plain.grid.affine, atol=1e-4)


@pytest.mark.parametrize(("unit", "scale"), [("meter", 1e-3), ("micron", 1e3)])
def test_another_unit_of_length(plain, tmp_path, unit, scale):
    path = write_small_patient(tmp_path)

    def change(name, image):
        affine = np.diag([scale, scale, scale, 1.0]) @ image.affine
        other = nib.Nifti1Image(np.asarray(image.dataobj), affine)
        other.header.set_xyzt_units(unit)
        nib.save(other, tmp_path / f"{name}.nii.gz")

    rewrite(tmp_path, change)
    assert_same(twin.load(path), plain)


@pytest.mark.parametrize("axes", ["RAS", "LPS", "SLA"])
def test_nrrd_in_its_own_axes(plain, tmp_path, axes):
    path = write_small_patient(tmp_path, toml=PATIENT_TOML.replace(".nii.gz", ".nrrd"))

    def change(name, image):
        data, affine = reoriented(image, axes, ())
        header = {
            "space": "left-posterior-superior",
            "space directions": (np.diag([-1.0, -1.0, 1.0]) @ affine[:3, :3]).T,
            "space origin": np.array([-1.0, -1.0, 1.0]) * affine[:3, 3],
        }
        nrrd.write(str(tmp_path / f"{name}.nrrd"), data, header, index_order="F")

    rewrite(tmp_path, change)
    assert_same(twin.load(path), plain)


def written_as_segmentation(labels, names, source, path):
    """A DICOM segmentation by highdicom, from labels of shape (slice, row, column)."""
    descriptions = [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=name,
            segmented_property_category=codes.SCT.Tissue,
            segmented_property_type=codes.SCT.Tissue,
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
        )
        for number, name in names.items()
    ]
    masks = np.stack([labels == number for number in names], axis=-1).astype(np.uint8)
    hd.seg.Segmentation(
        source_images=[pydicom.dcmread(file) for file in source],
        pixel_array=masks,
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=descriptions,
        series_instance_uid=hd.UID(),
        series_number=9,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="Invented",
        manufacturer_model_name="tests",
        software_versions="1",
        device_serial_number="1",
    ).save_as(path)


def test_dicom_series_and_segmentations(plain, tmp_path):
    """The T1 image as an MR series, label maps as DICOM SEG drawn on it."""
    toml = PATIENT_TOML.replace("t1.nii.gz", "t1")
    for name in NAMES[:3]:
        toml = toml.replace(f"{name}.nii.gz", f"{name}.dcm")
    # the numbers of segments begin at 1 and have no gaps: 1 necrosis, 2 FLAIR, 3 enhancing
    toml = toml.replace('"brats"', '"brats2023"')
    path = write_small_patient(tmp_path, toml=toml)
    images = {name: nib.load(tmp_path / f"{name}.nii.gz") for name in NAMES}
    affine = images["t1"].affine
    # DICOM counts columns to the left and rows to the back: both axes of RAS run the other way
    last = np.array(images["t1"].shape) - 1
    corner = affine[:3, :3] @ [last[0], last[1], 0] + affine[:3, 3]

    def slices(name):
        data = np.asarray(images[name].dataobj).astype(np.int16)
        return np.transpose(data[::-1, ::-1], (2, 1, 0))

    source = make_series(
        tmp_path / "t1", modality="MR", values=slices("t1"), shape=slices("t1").shape,
        spacing=(2.0, 2.0, 2.0), position=tuple(corner * [-1, -1, 1]),
    )  # fmt: skip
    tumour = np.array([0, 1, 2, 0, 3])[slices("segmentation")]
    for name, labels, names in (
        ("tissues", slices("tissues"), {1: "fluid", 2: "grey", 3: "white"}),
        ("segmentation", tumour, {1: "necrosis", 2: "flair", 3: "enhancing"}),
        ("structures", slices("structures"), {1: "brainstem"}),
    ):
        written_as_segmentation(labels, names, source, tmp_path / f"{name}.dcm")
    assert_same(twin.load(path), plain)


def test_labels_stored_as_other_types(plain, tmp_path):
    path = write_small_patient(tmp_path)
    kinds = {"tissues": np.float32, "segmentation": np.int16, "structures": np.int32}

    def change(name, image):
        data = np.asarray(image.dataobj).astype(kinds.get(name, np.float64))
        nib.save(nib.Nifti1Image(data, image.affine), tmp_path / f"{name}.nii.gz")

    rewrite(tmp_path, change)
    assert_same(twin.load(path), plain)
