"""Tensor images, tissue probabilities and the model in the patient file."""

import json

import nibabel as nib
import numpy as np
import pytest
from scipy.linalg import expm, logm
from scipy.spatial.transform import Rotation
from small_patient import PATIENT_TOML, write_small_patient

import twin
from twin.built_folder import read_built, write_built
from twin.diffusion_tensor import (
    component_order,
    from_matrices,
    inside_tumour,
    log_tensor,
    resampled,
    to_matrices,
    to_world,
)
from twin.errors import GeometryMismatch, InvalidInput
from twin.patient import TISSUES
from twin.patient_file import json_schema

FIBRE = Rotation.from_euler("xyz", [0.5, -0.3, 0.8]).as_matrix()
#: A water tensor [mm2/s] with its fibre along no axis.
TENSOR = FIBRE @ np.diag([1.7e-3, 0.4e-3, 0.3e-3]) @ FIBRE.T
ORDER = 'tensor = { file = "dti.nii.gz", order = "%s", frame = "%s"%s }\n'


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TWIN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def with_lines(visit="", model=""):
    text = PATIENT_TOML.replace('labels = "brats"\n', 'labels = "brats"\n' + visit)
    return text.replace("[mesh]\n", model + "[mesh]\n")


def tissues_of(folder):
    image = nib.load(folder / "tissues.nii.gz")
    return np.asarray(image.dataobj), image.affine


def write_tensor(folder, *, names="xx yy zz yz xz xy", spoil=None, shift=0.0, five=False):
    """`TENSOR` in all tissue, unknown (zeros) outside, with world axes."""
    tissues, affine = tissues_of(folder)
    data = np.zeros((*tissues.shape, 6), np.float32)
    letters = {"x": 0, "y": 1, "z": 2}
    data[tissues > 0] = [TENSOR[letters[n[0]], letters[n[1]]] for n in names.split()]
    if spoil is not None:
        spoil(data)
    affine = affine.copy()
    affine[0, 3] += shift
    if five:
        data = data[:, :, :, None, :]
    nib.save(nib.Nifti1Image(data, affine), folder / "dti.nii.gz")


@pytest.fixture(scope="module")
def fibred(tmp_path_factory):
    """The file of a patient with a tensor in world axes, and its twin."""
    folder = tmp_path_factory.mktemp("fibred")
    text = with_lines(ORDER % ("xx yy zz yz xz xy", "world", ""), '[model]\nmigration = "tensor"\n')
    path = write_small_patient(folder, toml=text)
    write_tensor(folder)
    return path, twin.load(path)


def test_components_are_put_in_voigt_order():
    for order in ("xx xy xz yy yz zz", "xx yy zz xy xz yz", "zz, yx, xx, zy, zx, yy"):
        names = order.replace(",", " ").split()
        letters = {"x": 0, "y": 1, "z": 2}
        written = np.array([TENSOR[letters[a], letters[b]] for a, b in names])
        found = to_matrices(written[list(component_order(order))])
        np.testing.assert_allclose(found, TENSOR, rtol=1e-14)


def test_image_axes_are_turned_into_world_axes():
    turn = Rotation.from_euler("z", 25, degrees=True).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([-2.0, 2.0, 3.0])  # radiological: determinant below 0
    axes = turn @ np.diag([-1.0, 1.0, 1.0])
    written = from_matrices(axes.T @ TENSOR @ axes)
    expected = from_matrices(TENSOR)
    np.testing.assert_allclose(to_world(written, "image", affine), expected, atol=1e-16)
    np.testing.assert_allclose(to_world(written, "fsl", affine), expected, atol=1e-16)
    affine[:3, :3] = turn @ np.diag([2.0, 2.0, 3.0])  # neurological: FSL reverses the first axis
    np.testing.assert_allclose(to_world(written, "fsl", affine), expected, atol=1e-16)
    np.testing.assert_array_equal(to_world(written, "world", affine), written)
    affine[:3, 0] = [2.0, 1.0, 0.0]
    with pytest.raises(InvalidInput, match="right angles"):
        to_world(written, "image", affine)


def test_logarithm_and_its_mean_are_those_of_scipy():
    log = logm(TENSOR)
    expected = from_matrices(log - np.trace(log) / 3 * np.eye(3))
    np.testing.assert_allclose(log_tensor(from_matrices(TENSOR)), expected, atol=1e-12)
    other = Rotation.from_euler("y", 1.0).as_matrix()
    other = other @ np.diag([2e-3, 5e-4, 5e-4]) @ other.T
    image = np.zeros((3, 1, 1, 6))
    image[0, 0, 0], image[1, 0, 0] = from_matrices(TENSOR), from_matrices(other)
    shifted = np.eye(4)
    shifted[0, 3] = 0.25
    got = resampled(image, np.eye(4), (3, 1, 1), shifted)
    between = from_matrices(expm(0.75 * logm(TENSOR) + 0.25 * logm(other)))
    np.testing.assert_allclose(got[0, 0, 0], between, rtol=1e-6, atol=1e-9)
    # beside unknown tensors: as it is while it has half of the weight, then unknown
    np.testing.assert_allclose(got[1, 0, 0], from_matrices(other), rtol=1e-6, atol=1e-9)
    assert (got[2] == 0).all()


def test_the_same_tensors_written_otherwise_are_the_same_patient(fibred, tmp_path):
    _, first = fibred
    inside = first.structures["enhancing"].mask | first.structures["necrosis"].mask
    inside |= first.structures["flair"].mask
    free = (first.tissues > 0) & ~inside
    np.testing.assert_allclose(
        first.tensor[free], np.broadcast_to(from_matrices(TENSOR), first.tensor[free].shape)
    )
    assert (first.tensor[~free] == 0).all()  # outside the head, in tumour and in oedema
    for order, five in (("xx xy xz yy yz zz", False), ("xx yy zz xy xz yz", True)):
        folder = tmp_path / order.replace(" ", "")
        path = write_small_patient(
            folder,
            toml=with_lines(ORDER % (order, "world", ""), '[model]\nmigration = "tensor"\n'),
        )
        write_tensor(folder, names=order, five=five)
        assert twin.load(path).content_hash == first.content_hash


def test_a_file_in_other_axes_is_turned_with_them(fibred, tmp_path):
    _, first = fibred
    path = write_small_patient(
        tmp_path, toml=with_lines(ORDER % ("xx yy zz yz xz xy", "image", ""))
    )
    tissues, affine = tissues_of(tmp_path)
    # the file's axes: its first runs backwards along y, its second along x
    order = np.array([[1, 1], [0, -1], [2, 1]])
    axes = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    data = np.zeros((*tissues.shape, 6), np.float32)
    data[tissues > 0] = from_matrices(axes.T @ TENSOR @ axes)
    turned = nib.Nifti1Image(data, affine).as_reoriented(order)
    np.testing.assert_allclose(turned.affine[:3, :3] / 2.0, axes)
    nib.save(turned, tmp_path / "dti.nii.gz")
    np.testing.assert_allclose(twin.load(path).tensor, first.tensor, rtol=1e-5, atol=1e-10)


def test_mirrored_tensors_are_those_of_the_other_side():
    tissues = np.full((9, 2, 2), 3, np.int8)
    tissues[6, 1, 1] = 2
    tumour = np.zeros(tissues.shape, bool)
    tumour[1:3] = True
    tensor = np.broadcast_to(from_matrices(TENSOR), (*tissues.shape, 6)).copy()
    measured = inside_tumour(tensor, tumour, tissues, np.eye(4), "measured")
    np.testing.assert_array_equal(measured, tensor.astype(np.float32))
    assert (inside_tumour(tensor, tumour, tissues, np.eye(4), "isotropic")[tumour] == 0).all()
    mirrored = inside_tumour(tensor, tumour, tissues, np.eye(4), "mirror")
    expected = from_matrices(TENSOR) * [1, 1, 1, 1, -1, -1]  # x reversed
    np.testing.assert_allclose(mirrored[1, 0, 0], expected, rtol=1e-6)
    assert (mirrored[2, 1, 1] == 0).all()  # grey matter on the other side
    np.testing.assert_array_equal(mirrored[~tumour], tensor.astype(np.float32)[~tumour])
    askew = np.eye(4)
    askew[:3, :3] = Rotation.from_euler("z", 30, degrees=True).as_matrix()
    with pytest.raises(InvalidInput, match="askew"):
        inside_tumour(tensor, tumour, tissues, askew, "mirror")


def test_a_built_folder_keeps_model_tensor_and_probabilities(fibred, tmp_path):
    _, first = fibred
    ones = {name: (first.tissues == number).astype(np.float32) for name, number in TISSUES.items()}
    whole = first.replace(tissue_probabilities=ones)
    hashes = {
        whole.content_hash,
        first.content_hash,
        first.replace(model=twin.ModelChoice()).content_hash,
        first.replace(model=twin.ModelChoice(), tensor=None).content_hash,
    }
    assert len(hashes) == 4
    write_built(whole, tmp_path / "out")
    again = read_built(tmp_path / "out")
    assert again.content_hash == whole.content_hash
    assert again.model == twin.ModelChoice(migration="tensor")
    np.testing.assert_array_equal(again.tensor, first.tensor)
    np.testing.assert_array_equal(again.tissue_probabilities["fluid"], ones["fluid"])
    assert "migration along fibres" in again.describe()
    assert json.loads((tmp_path / "out" / "twin.json").read_text())["model"]["oxygen"] is False


def nothing(data):
    data[:] = 0.0


def one_bad(value):
    def spoil(data):
        data[14, 14, 14] = value
        data[8, 14, 14] = value

    return spoil


@pytest.mark.parametrize(
    ("spoil", "shift", "error", "says"),
    [
        (one_bad([1, 1, -1, 0, 0, 0]), 0.0, InvalidInput, r"2 tensors .* voxel \(8, 14, 14\)"),
        (one_bad([1, 1, 1, 2, 0, 0]), 0.0, InvalidInput, "eigenvalue that is not positive"),
        (one_bad([1, 1, 0, 0, 0, 0]), 0.0, InvalidInput, "eigenvalue that is not positive"),
        (one_bad(np.nan), 0.0, InvalidInput, "NaN or infinite"),
        (
            lambda data: data.__setitem__(slice(None), 0),
            0.0,
            GeometryMismatch,
            "knows a tensor in 0",
        ),
        (None, 40.0, GeometryMismatch, "registered to the tissue map"),
    ],
)
def test_bad_tensors_are_told_in_one_sentence(fibred, tmp_path, spoil, shift, error, says):
    path = write_small_patient(tmp_path, toml=fibred[0].read_text())
    write_tensor(tmp_path, spoil=spoil, shift=shift)
    with pytest.raises(error, match=says) as caught:
        twin.load(path)
    assert "\n" not in str(caught.value)


def test_three_volumes_are_no_tensor(fibred, tmp_path):
    path = write_small_patient(tmp_path, toml=fibred[0].read_text())
    nib.save(nib.Nifti1Image(np.zeros((29, 29, 29, 3)), np.eye(4)), tmp_path / "dti.nii.gz")
    with pytest.raises(InvalidInput, match=r"shape \(29, 29, 29, 3\); it must hold 6 volumes"):
        twin.load(path)


@pytest.mark.parametrize(
    ("visit", "model", "says"),
    [
        ("", '[model]\nmigration = "tensor"\n', 'the reference visit has no tensor'),
        ("", '[model]\ngrowth = "gompertzian"\n', "model, growth is 'gompertzian'"),
        ("", "[model]\noxygen = 1\n", "model, oxygen is 1"),
        ("", "[model]\nmas_effect = true\n", 'did you mean "mass_effect"?'),
        (ORDER % ("xx yy zz yz xz", "world", ""), "", "each of xx, yy, zz, yz, xz, xy once"),
        (ORDER % ("xx yy zz yz xz xx", "world", ""), "", "each of xx, yy, zz, yz, xz, xy once"),
        (ORDER % ("xx yy zz yz xz xy", "scanner", ""), "", "visit 1, tensor, frame is 'scanner'"),
        (
            ORDER % ("xx yy zz yz xz xy", "world", ', tumour_tensor = "none"'),
            "",
            "tumour_tensor is 'none'",
        ),
        ('tissue_probabilities = { fluid = "a.nii" }\n', "", '"white_matter" is missing'),
    ],
)  # fmt: skip
def test_mistakes_in_the_file_are_told_in_one_sentence(tmp_path, visit, model, says):
    path = write_small_patient(tmp_path, toml=with_lines(visit, model))
    with pytest.raises(InvalidInput) as caught:
        twin.load(path)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_model_is_read_and_its_default_is_what_it_was(tmp_path):
    assert twin.load(write_small_patient(tmp_path / "a")).model == twin.ModelChoice()
    lines = '[model]\ngrowth = "gompertz"\nresistant = true\noxygen = true\nmass_effect = true\n'
    path = write_small_patient(tmp_path / "b", toml=with_lines(model=lines))
    choice = twin.ModelChoice("gompertz", resistant=True, oxygen=True, mass_effect=True)
    assert twin.load(path).model == choice
    properties = json_schema()["$defs"]["ModelTable"]["properties"]
    assert properties["growth"]["enum"] == ["logistic", "gompertz", "exponential", "none"]


PROBABILITIES = (
    'tissue_probabilities = { white_matter = "white_matter.nii.gz", '
    'grey_matter = "grey_matter.nii.gz", fluid = "fluid.nii.gz" }\n'
)


def write_probabilities(folder, *, factor=1.0, change=None):
    tissues, affine = tissues_of(folder)
    for name, number in TISSUES.items():
        part = 0.9 * factor * (tissues == number)
        if change is not None:
            part = change(name, part)
        nib.save(nib.Nifti1Image(part.astype(np.float32), affine), folder / f"{name}.nii.gz")


def test_tissue_probabilities_are_kept_on_the_grid(tmp_path):
    path = write_small_patient(tmp_path, toml=with_lines(PROBABILITIES))
    write_probabilities(tmp_path)
    patient = twin.load(path)
    for name, number in TISSUES.items():
        expected = 0.9 * (patient.tissues == number)
        np.testing.assert_allclose(patient.tissue_probabilities[name], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"factor": 100.0}, r"of \w+ run from 0 to 90, .*divide them by 100 \(per cent\)"),
        ({"factor": 255.0}, "divide them by 100"),
        ({"change": lambda name, part: part - 0.1}, "run from -0.1"),
        ({"change": lambda name, part: np.maximum(part, 0.5)}, "sum to 1.9 at voxel"),
        ({"factor": 0.2}, "more than a half in 0 % of the head"),
    ],
)
def test_values_that_are_no_probabilities_are_refused(tmp_path, how, says):
    path = write_small_patient(tmp_path, toml=with_lines(PROBABILITIES))
    write_probabilities(tmp_path, **how)
    with pytest.raises(InvalidInput, match=says):
        twin.load(path)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"tensor": np.zeros((2, 2, 2, 6))}, GeometryMismatch, "tensor has shape"),
        ({"tensor": np.zeros((2, 2))}, GeometryMismatch, "six components"),
        ({"tensor": None}, InvalidInput, "has no tensor"),
        ({"tissue_probabilities": {"fluid": np.zeros((2, 2, 2))}}, GeometryMismatch, "shape"),
    ],
)
def test_a_twin_with_another_tensor_is_valid_or_not_there(fibred, change, error, says):
    with pytest.raises(error, match=says):
        fibred[1].replace(**change)
    tensor = np.array(fibred[1].tensor)
    tensor[5, 5, 5] = [1, 1, -1, 0, 0, 0]
    with pytest.raises(InvalidInput, match="not positive, the first at voxel"):
        fibred[1].replace(tensor=tensor)
