"""One reader for NIfTI, NRRD and DICOM: values, places, and what is refused."""

import gzip
import zlib

import nibabel as nib
import nrrd
import numpy as np
import pytest
from real_data import real_data

from twin.errors import GeometryMismatch, InvalidInput
from twin.image_files import read_image, read_labels
from twin.images import on_voxels_of

VALUES = np.arange(2 * 3 * 4, dtype=np.int16).reshape(2, 3, 4)
#: Right, anterior, superior places of the first voxel and the steps, [mm].
ORIGIN, STEPS = np.array([-10.0, -20.0, 30.0]), np.array([1.0, 2.0, 3.0])
LPS = np.array([-1.0, -1.0, 1.0])


def write(path, *, space="left-posterior-superior", sign=LPS, scale=1.0, **more):
    """The values as NRRD, axes along right, anterior and superior."""
    header = {
        "space": space,
        "space directions": np.diag(STEPS * sign) * scale,
        "space origin": ORIGIN * sign * scale,
        **more,
    }
    nrrd.write(str(path), VALUES, header, index_order="F")
    return path


def check(image):
    np.testing.assert_array_equal(image.data, VALUES)
    np.testing.assert_allclose(np.diag(image.affine)[:3], STEPS)
    np.testing.assert_allclose(image.affine[:3, 3], ORIGIN)


@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2", "ascii"])
def test_encodings(tmp_path, encoding):
    check(read_image(write(tmp_path / "a.nrrd", encoding=encoding)))


@pytest.mark.parametrize(
    ("space", "sign"),
    [
        ("right-anterior-superior", np.ones(3)),
        ("RAS", np.ones(3)),
        ("left-anterior-superior", np.array([-1.0, 1.0, 1.0])),
        ("LPS", LPS),
    ],
)
def test_spaces(tmp_path, space, sign):
    check(read_image(write(tmp_path / "a.nrrd", space=space, sign=sign)))


@pytest.mark.parametrize(("unit", "scale"), [("mm", 1.0), ("cm", 0.1), ("m", 1e-3), ("um", 1e3)])
def test_units_of_length(tmp_path, unit, scale):
    path = write(tmp_path / "a.nrrd", scale=scale, **{"space units": [unit] * 3})
    check(read_image(path))


def test_lengths_in_several_units_are_refused(tmp_path):
    path = write(tmp_path / "a.nrrd", **{"space units": ["mm", "mm", "cm"]})
    with pytest.raises(InvalidInput, match="or in several"):
        read_image(path)


def test_an_image_that_does_not_say_where_it_lies_is_refused(tmp_path):
    path = write(tmp_path / "a.nrrd")
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join(line for line in lines if not line.startswith(b"space origin")))
    with pytest.raises(InvalidInput, match="does not state where it lies"):
        read_image(path)


def test_a_unit_that_nifti_does_not_have_is_refused(tmp_path):
    image = nib.Nifti1Image(VALUES, np.diag([*STEPS, 1.0]))
    image.header["xyzt_units"] = 5
    nib.save(image, tmp_path / "a.nii")
    with pytest.raises(InvalidInput, match="unit of length that NIfTI does not have"):
        read_image(tmp_path / "a.nii")


@pytest.mark.parametrize(
    "field", ["space: left-posterior-superior", "type: int16", "encoding: gzip"]
)
def test_a_files_own_words_are_not_repeated(tmp_path, field):
    path = write(tmp_path / "a.nrrd")
    name = field.partition(":")[0]
    path.write_bytes(path.read_bytes().replace(field.encode(), f"{name}: Doe^Jane".encode()))
    with pytest.raises(InvalidInput, match=f"a {name} that is not known") as caught:
        read_image(path)
    assert "doe" not in str(caught.value).lower()


def test_a_header_with_its_data_beside_it(tmp_path):
    check(read_image(write(tmp_path / "a.nhdr")))


def test_a_header_that_reaches_out_of_its_folder_is_refused(tmp_path):
    (tmp_path / "in").mkdir()
    path = write(tmp_path / "in" / "a.nhdr")
    (tmp_path / "secret.raw").write_bytes(VALUES.tobytes())
    text = path.read_text().replace("data file: a.raw.gz", "data file: ../secret.raw")
    path.write_text(text.replace("encoding: gzip", "encoding: raw"))
    with pytest.raises(InvalidInput, match="outside of its folder"):
        read_image(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"sizes: 2 3 4", b"sizes: 2 3 4000", "at most 1024"),
        (b"space: left-posterior-superior", b"space: scanner-xyz", "states the space"),
        (b"type: int16", b"type: block", "plain numbers"),
        (b"space directions: (-1,", b"space directions: (nan,", "shape"),
        (b"space directions: (-1,", b"space directions: (0,", "singular"),
        (b"NRRD0005", b"NOTNRRD5", "not an NRRD"),
        (b"encoding: gzip", b"encoding: hex", "the encoding hex"),
    ],
)
def test_damage_in_the_header_is_one_sentence(tmp_path, old, new, message):
    path = write(tmp_path / "a.nrrd")
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))
    with pytest.raises(InvalidInput, match=message):
        read_image(path)


def test_a_file_that_is_cut_short_or_bursts(tmp_path):
    path = write(tmp_path / "a.nrrd", encoding="raw")
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(InvalidInput, match="cut short"):
        read_image(path)
    path = write(tmp_path / "bomb.nrrd")
    content = path.read_bytes()
    head = content[: content.index(b"\n\n") + 2]
    path.write_bytes(head + gzip.compress(VALUES.tobytes(order="F") + bytes(50_000_000)))
    check(read_image(path))  # reads what is declared and no more


def test_values_that_are_not_finite_are_counted(tmp_path):
    header = {"space": "RAS", "space directions": np.eye(3), "space origin": np.zeros(3)}
    values = VALUES.astype(np.float32)
    values[0, 0, 0] = np.nan
    nrrd.write(str(tmp_path / "a.nrrd"), values, header, index_order="F")
    with pytest.raises(InvalidInput, match="1 voxels that are NaN"):
        read_image(tmp_path / "a.nrrd")


def segments(path, layers, places):
    """A segmentation as 3D Slicer writes it: layers first, then space."""
    header = {
        "space": "left-posterior-superior",
        "space directions": np.vstack([np.full(3, np.nan), np.diag(LPS)]),
        "space origin": np.zeros(3),
        "kinds": ["list", "domain", "domain", "domain"],
    }
    for number, (name, layer, label) in enumerate(places):
        header[f"Segment{number}_Name"] = name
        header[f"Segment{number}_Layer"] = str(layer)
        header[f"Segment{number}_LabelValue"] = str(label)
    nrrd.write(str(path), layers, header, index_order="F")
    return path


def test_layers_that_do_not_overlap_are_one_label_map(tmp_path):
    layers = np.zeros((2, 3, 3, 3), np.uint8)
    layers[0, 0], layers[1, 2] = 1, 2
    path = segments(tmp_path / "a.seg.nrrd", layers, [("one", 0, 1), ("two", 1, 2)])
    assert np.unique(read_labels(path).data).tolist() == [0, 1, 2]
    layers[1, 0] = 2
    path = segments(tmp_path / "b.seg.nrrd", layers, [("one", 0, 1), ("two", 1, 2)])
    with pytest.raises(InvalidInput, match="overlap"):
        read_labels(path)


def test_layers_that_share_a_label_are_refused(tmp_path):
    layers = np.zeros((2, 3, 3, 3), np.uint8)
    layers[0, 0], layers[1, 2] = 1, 1
    path = segments(tmp_path / "a.seg.nrrd", layers, [("one", 0, 1), ("two", 1, 1)])
    with pytest.raises(GeometryMismatch, match="one label in two layers"):
        read_labels(path)


def test_a_compressed_stream_that_is_damaged(tmp_path):
    path = write(tmp_path / "a.nrrd")
    content = bytearray(path.read_bytes())
    content[-12:] = zlib.compress(b"nonsense")[:12]
    path.write_bytes(bytes(content))
    with pytest.raises(InvalidInput, match="damaged or cut short"):
        read_image(path)


def test_an_empty_folder_and_a_missing_file(tmp_path):
    with pytest.raises(InvalidInput, match="folder without a DICOM file"):
        read_image(tmp_path, what="T1 image")
    with pytest.raises(InvalidInput, match="does not exist"):
        read_image(tmp_path / "none.nrrd")


def test_a_real_image_and_its_label_have_the_published_volume():
    """pyradiomics' baseline of brain1: 16412.66 mm3 in 4137 voxels; the y axis runs backwards."""
    image = read_image(real_data("pyradiomics", "brain1_image.nrrd"))
    labels = read_labels(real_data("pyradiomics", "brain1_label.nrrd"))
    assert image.shape == labels.shape
    assert (np.diag(labels.affine)[:3] > 0).all()
    assert (labels.data == 1).sum() * labels.voxel_mm3 == pytest.approx(16412.66, abs=0.01)


SEGMENTATIONS = ("dicom-small", "dcmqi", "segmentations")


@pytest.mark.parametrize(
    "file",
    [
        (*SEGMENTATIONS, "23x38x3", "nrrd", "label.nrrd"),
        (*SEGMENTATIONS, "liver_spine_gapped_seg.nrrd"),
        ("pyradiomics", "brain1_label.nrrd"),
    ],
)
def test_voxels_of_real_labels_lie_where_simpleitk_puts_them(file):
    import SimpleITK

    path = real_data(*file)
    labels, other = read_labels(path), SimpleITK.ReadImage(str(path))
    numbers = SimpleITK.GetArrayFromImage(other)
    index = np.argwhere(labels.data)
    assert len(index) == np.count_nonzero(numbers)
    places = index @ labels.affine[:3, :3].T + labels.affine[:3, 3]
    steps = np.array(other.GetDirection()).reshape(3, 3) @ np.diag(other.GetSpacing())
    there = (places * LPS - other.GetOrigin()) @ np.linalg.inv(steps).T
    np.testing.assert_allclose(there, np.rint(there), atol=1e-6)
    i, j, k = np.rint(there).astype(int).T
    np.testing.assert_array_equal(numbers[k, j, i], labels.data[tuple(index.T)])


@pytest.mark.parametrize(
    ("dicom", "nrrd_file"),
    [
        (("liver.dcm",), ("liver_seg.nrrd",)),
        (("sparse-labelmap-noppv.dcm",), ("sparse_labelmap_noppv_seg.nrrd",)),
        (("23x38x3", "seg"), ("23x38x3", "nrrd", "label.nrrd")),
        (("24x38x3", "seg"), ("24x38x3", "nrrd", "label.nrrd")),
    ],
)
def test_real_labels_in_dicom_and_nrrd_are_the_same_voxels(dicom, nrrd_file):
    """Both written by dcmqi; a DICOM segmentation leaves out slices without a voxel."""
    there = read_labels(real_data(*SEGMENTATIONS, *nrrd_file))
    here = on_voxels_of(read_labels(real_data(*SEGMENTATIONS, *dicom)), there)
    np.testing.assert_allclose(here.affine, there.affine, atol=1e-6)
    np.testing.assert_array_equal(here.data, there.data != 0)


def test_nifti_and_nrrd_of_one_image_agree(tmp_path):
    affine = np.diag([*STEPS, 1.0])
    affine[:3, 3] = ORIGIN
    nib.save(nib.Nifti1Image(VALUES, affine), tmp_path / "a.nii.gz")
    check(read_image(tmp_path / "a.nii.gz"))
    flipped = affine @ np.diag([-1.0, 1.0, 1.0, 1.0])
    flipped[:3, 3] = affine[:3, 3] + affine[:3, 0] * (VALUES.shape[0] - 1)
    nib.save(nib.Nifti1Image(VALUES[::-1], flipped), tmp_path / "b.nii.gz")
    check(read_image(tmp_path / "b.nii.gz"))
