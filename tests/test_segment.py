"""twin segment: a small network trained here, run from ONNX and TorchScript."""

import hashlib
import json
import shutil
import tomllib
from itertools import pairwise
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from small_network import RECIPE, ball_images, export, train, write_image

from twin.errors import GeometryMismatch, InvalidInput, NotConverged
from twin.images import Image, read_nifti
from twin.networks import folder_models, segment, write_segmentation
from twin.networks.grids import NetworkGrid
from twin.networks.models import find_model, model_hash
from twin.networks.monai_bundle import read_monai_bundle
from twin.networks.nnunet import read_nnunet
from twin.networks.outputs import record_path
from twin.networks.recipe import EXAMPLE, METADATA_KEY, Recipe
from twin.networks.sliding_window import gaussian_weights, slide, window_starts
from viz.cli import main

CENTRE = (2.0, -3.0, 1.0)
HELD_OUT = 99  # a seed that training has not seen


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    onnx, torchscript = export(train(), tmp_path_factory.mktemp("model"))
    return onnx, torchscript


def held_out(**options):
    t1, flair, labels, affine = ball_images(CENTRE, HELD_OUT, **options)
    return {"t1": Image(t1, affine), "flair": Image(flair, affine)}, labels


def dice(found, true, label):
    a, b = found == label, true == label
    return 2.0 * (a & b).sum() / (a.sum() + b.sum())


def test_held_out_image_is_labelled_and_what_was_done_is_said(models):
    images, true = held_out()
    result = segment(images, models[0])
    assert dice(result.labels.data, true, 2) > 0.95
    assert dice(result.labels.data, true, 4) > 0.95
    assert set(np.unique(result.labels.data)) == {0, 2, 4}
    assert result.volumes_ml == {2: (result.labels.data == 2).sum() / 1000, 4: 0.28}
    said = " ".join(result.sentences)
    assert '"small balls" 1' in said and "onnxruntime" in said and "50 % overlap" in said
    assert result.record["model"]["sha256"] == hashlib.sha256(models[0].read_bytes()).hexdigest()
    assert "research use only" in result.record["caution"]
    assert result.warnings == ()
    total = sum(image.data.astype(np.float64) for image in result.probabilities.values())
    np.testing.assert_allclose(total, 1.0, atol=1e-5)


def test_torchscript_in_a_process_of_its_own_says_the_same(models):
    images, _ = held_out()
    with pytest.raises(InvalidInput, match="--trust-model"):
        segment(images, models[1])
    by_torch = segment(images, models[1], trust_model=True)
    by_onnx = segment(images, models[0])
    assert np.array_equal(by_torch.labels.data, by_onnx.labels.data)
    for name, image in by_onnx.probabilities.items():
        np.testing.assert_allclose(by_torch.probabilities[name].data, image.data, atol=1e-4)
    assert by_torch.record["model"]["engine"].startswith("torch ")


@pytest.mark.parametrize("code", ["LAS", "RPI", "SAR", "PIL"])
def test_files_in_any_order_of_axes_give_the_same_labels(models, tmp_path, code):
    images, _ = held_out()
    expected = segment(images, models[0])
    order = nib.orientations.axcodes2ornt(code)
    turned = {}
    for role, image in images.items():
        straight = nib.Nifti1Image(np.asarray(image.data), image.affine)
        other = straight.as_reoriented(
            nib.orientations.ornt_transform(nib.orientations.io_orientation(image.affine), order)
        )
        nib.save(other, tmp_path / f"{role}.nii.gz")
        turned[role] = read_nifti(tmp_path / f"{role}.nii.gz")
    result = segment(turned, models[0])
    assert np.array_equal(result.labels.data, expected.labels.data)
    np.testing.assert_allclose(result.labels.affine, expected.labels.affine, atol=1e-5)


@pytest.mark.parametrize(
    ("step", "shape"), [((1.0, 1.0, 2.0), (32, 32, 16)), ((0.8, 0.8, 1.6), (40, 40, 20))]
)
def test_anisotropic_images_give_the_same_tissue(models, step, shape):
    images, true = held_out(step=step, shape=shape)
    result = segment(images, models[0])
    assert result.labels.shape == shape
    whole, found = true > 0, result.labels.data > 0
    assert 2.0 * (whole & found).sum() / (whole.sum() + found.sum()) > 0.9
    ball = 4.0 / 3.0 * np.pi * 8.0**3 / 1000.0
    assert sum(result.volumes_ml.values()) == pytest.approx(ball, rel=0.1)


def test_statistics_outside_training_are_warned_of(models):
    images, _ = held_out()
    scaled = {**images, "flair": Image(10 * images["flair"].data, images["flair"].affine)}
    (warning,) = segment(scaled, models[0]).warnings
    assert "flair image's mean is 1" in warning and "90 to 140" in warning


def test_inputs_by_place_and_by_role(models):
    images, _ = held_out()
    by_place = segment({"1": images["t1"], "2": images["flair"]}, models[0])
    backwards = segment({"flair": images["flair"], "t1": images["t1"]}, models[0])
    assert np.array_equal(by_place.labels.data, backwards.labels.data)
    for wrong, sentence in (
        ({"1": images["t1"]}, "takes 2: t1, flair"),
        ({"t1": images["t1"]}, "also needs flair"),
        ({**images, "pet": images["t1"]}, "no input 'pet'"),
        ({}, "No image"),
    ):
        with pytest.raises(InvalidInput, match=sentence):
            segment(wrong, models[0])
    moved = Image(images["flair"].data, images["flair"].affine + np.eye(4, k=3) * 5)
    with pytest.raises(GeometryMismatch, match="5 mm apart"):
        segment({**images, "flair": moved}, models[0])
    flat = Image(np.full((32, 32, 32), 7.0, np.float32), images["t1"].affine)
    with pytest.raises(InvalidInput, match="same value everywhere"):
        segment({**images, "flair": flat}, models[0])


def test_sliding_keeps_what_a_network_says_of_each_voxel():
    volume = np.random.default_rng(3).random((2, 19, 8, 5)).astype(np.float32)
    same = slide(
        lambda patch: patch,
        volume,
        patch=(8, 8, 8),
        overlap=0.5,
        activation="none",
        channels=2,
    )
    np.testing.assert_allclose(same, volume, atol=1e-6)
    flat = slide(
        lambda patch: np.zeros((1, 4, *patch.shape[2:]), np.float32),
        volume,
        patch=(8, 8, 8),
        overlap=0.25,
        activation="softmax",
        channels=4,
    )
    np.testing.assert_allclose(flat, 0.25, atol=1e-6)
    half = slide(
        lambda patch: np.zeros((1, 1, *patch.shape[2:]), np.float32),
        volume,
        patch=(19, 8, 5),
        overlap=0.0,
        activation="sigmoid",
        channels=1,
    )
    np.testing.assert_allclose(half, 0.5, atol=1e-7)


def test_windows_cover_everything_and_weigh_their_middle():
    for side, patch, overlap in ((100, 32, 0.5), (33, 32, 0.9), (7, 32, 0.0), (64, 32, 0.0)):
        starts = window_starts(side, patch, overlap)
        covered = np.zeros(max(side, patch), bool)
        for start in starts:
            covered[start : start + patch] = True
        assert covered.all() and starts[-1] + patch == max(side, patch)
        assert all(b - a <= patch * (1 - overlap) + 0.5 for a, b in pairwise(starts))
    weights = gaussian_weights((5, 7, 9))
    assert weights[2, 3, 4] == 1.0 == weights.max()
    assert weights.min() >= 1e-3
    np.testing.assert_allclose(weights, weights[::-1, ::-1, ::-1])


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "SAR", "IPL"])
def test_axes_are_turned_as_their_letters_say_and_back(orientation):
    rng = np.random.default_rng(5)
    image = Image(rng.random((4, 5, 6)).astype(np.float32), np.diag([2.0, 2.0, 2.0, 1.0]))
    grid = NetworkGrid.of(image, (2.0, 2.0, 2.0), orientation)
    turned = grid.to_network(image.data, "linear")
    # nibabel turns a picture by its own code.
    picture = nib.Nifti1Image(np.asarray(image.data), image.affine)
    order = nib.orientations.axcodes2ornt(orientation)
    expected = picture.as_reoriented(
        nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("RAS"), order)
    )
    np.testing.assert_array_equal(turned, expected.get_fdata(dtype=np.float32))
    np.testing.assert_array_equal(grid.from_network(turned), image.data)


def test_a_straight_ramp_survives_resampling_both_ways():
    affine = np.diag([1.0, 2.0, 0.5, 1.0])
    x, y, z = np.meshgrid(np.arange(12), np.arange(6), np.arange(24), indexing="ij")
    ramp = (3.0 * x + 2.0 * 2 * y - 0.5 * z).astype(np.float32)
    grid = NetworkGrid.of(Image(ramp, affine), (1.0, 1.0, 1.0), "RAS")
    assert grid.shape == (12, 12, 12)
    coarse = grid.to_network(ramp, "linear")
    inner = (slice(2, -2),) * 3
    steps = np.gradient(coarse)
    for found, slope in zip(steps, (3.0, 2.0, -1.0), strict=True):
        np.testing.assert_allclose(found[inner], slope, atol=1e-4)
    back = grid.from_network(coarse)
    wide = (slice(2, -2), slice(2, -2), slice(6, -6))
    np.testing.assert_allclose(back[wide], ramp[wide], atol=1e-3)


def test_drawn_channels_lie_over_one_another():
    recipe = Recipe.of(
        tomllib.loads(
            RECIPE.split("[output]")[0]
            + '[output]\nactivation = "sigmoid"\ndecision = "threshold"\n'
            + '[[output.channel]]\nname = "whole"\nlabel = 2\n'
            + '[[output.channel]]\nname = "core"\nlabel = 1\nthreshold = 0.8\n'
        ),
        where="a test",
    )
    from twin.networks.segmenting import decided

    values = np.array([[0.4, 0.6, 0.9, 0.9], [0.1, 0.2, 0.7, 0.9]], np.float32)
    labels, maps = decided(
        values.reshape(2, 4, 1, 1), recipe, Image(np.zeros((4, 1, 1)), np.eye(4))
    )
    assert labels.data.ravel().tolist() == [0, 2, 2, 1]
    assert list(maps) == ["whole", "core"]


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('spacing = ["1 mm", "1 mm", "1 mm"]', "spacing = [1, 1, 1]", "spacing 1"),
        ('"z-score of nonzero"', '"window"', "needs window"),
        ('orientation = "RAS"', 'orientation = "RLS"', "names no three axes"),
        ('["t1", "flair"]', '["t1", "t1"]', "given twice"),
        ('["t1", "flair"]', '["T1", "flair"]', "is no role"),
        ("size = [16, 16, 16]", "size = [16, 16, 0]", "from 1 to 512"),
        ("label = 4", "label = 2", "same label"),
        ("overlap", "overlapp", 'did you mean "overlap"'),
        ("[expected.flair]", "[expected.pet]", "about no input"),
        ("mean = [90.0, 140.0]", "mean = [140.0, 90.0]", "lowest, highest"),
        ("format = 1", "format = 2", "format"),
    ],
)
def test_mistakes_in_a_recipe_are_one_sentence(old, new, sentence):
    with pytest.raises(InvalidInput, match=sentence):
        Recipe.of(tomllib.loads(RECIPE.replace(old, new)), where="net.toml")


def test_the_example_recipe_is_whole():
    assert Recipe.of(tomllib.loads(EXAMPLE), where="the example").output.channel[1].label == 1


def copy(models, folder, *, recipe=RECIPE):
    shutil.copy(models[0], folder / "net.onnx")
    if recipe is not None:
        (folder / "net.toml").write_text(recipe, encoding="utf-8")
    return folder / "net.onnx"


def test_recipes_are_found_beside_within_or_named(models, tmp_path):
    import onnx

    images, _ = held_out()
    model = copy(models, tmp_path, recipe=None)
    with pytest.raises(InvalidInput, match=r"write net\.toml beside it"):
        segment(images, model)
    (tmp_path / "other.toml").write_text(RECIPE, encoding="utf-8")
    named = segment(images, model, recipe=tmp_path / "other.toml")
    loaded = onnx.load(model)
    entry = loaded.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, RECIPE
    onnx.save(loaded, model)
    within = segment(images, model)
    assert np.array_equal(named.labels.data, within.labels.data)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('["t1", "flair"]', '["t1", "flair", "t2"]', "correct the recipe"),
        ("[16, 16, 16]", "[8, 16, 16]", "correct the recipe"),
        ('    { name = "core", label = 4 },\n', "", "output has the shape"),
        ('"softmax"', '"none"', "says that it is probabilities"),
    ],
)
def test_recipes_that_do_not_fit_their_network(models, tmp_path, old, new, sentence):
    images, _ = held_out()
    recipe = RECIPE.replace(old, new)
    model = copy(models, tmp_path, recipe=recipe)
    given = {**images, "t2": images["t1"]} if "t2" in recipe else images
    with pytest.raises(InvalidInput, match=sentence):
        segment(given, model)


def test_files_that_are_no_onnx_or_keep_weights_elsewhere(models, tmp_path):
    import onnx

    images, _ = held_out()
    model = copy(models, tmp_path)
    whole = model.read_bytes()
    for content in (b"", b"not a network", whole[: len(whole) // 2]):
        model.write_bytes(content)
        with pytest.raises(InvalidInput, match="cannot be loaded"):
            segment(images, model)
    loaded = onnx.load_from_string(whole)
    onnx.save(
        loaded,
        model,
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location="weights.bin",
        size_threshold=0,
    )
    assert (tmp_path / "weights.bin").exists()
    with pytest.raises(InvalidInput, match="weights within"):
        segment(images, model)


def test_models_of_no_known_kind(tmp_path):
    (tmp_path / "weights.pth").write_bytes(b"x")
    for path, sentence in (
        (tmp_path / "absent.onnx", "does not exist"),
        (tmp_path / "weights.pth", "no known kind"),
        (tmp_path, "neither a MONAI bundle"),
    ):
        with pytest.raises(InvalidInput, match=sentence):
            find_model(path, trusted=True)


def test_a_folders_hash_is_of_all_its_files(tmp_path):
    bundle = tmp_path / "bundle"
    (bundle / "configs").mkdir(parents=True)
    (bundle / "configs" / "metadata.json").write_text("{}")
    first = model_hash(bundle)
    (bundle / "configs" / "metadata.json").rename(bundle / "configs" / "meta.json")
    assert model_hash(bundle) != first
    (tmp_path / "outside").write_text("x")
    (bundle / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(InvalidInput, match="leads out"):
        model_hash(bundle)


def test_an_empty_result_is_warned_of(tmp_path):
    import torch

    network = torch.nn.Conv3d(2, 3, 1)
    torch.nn.init.zeros_(network.weight)
    network.bias.data = torch.tensor([1.0, 0.0, 0.0])
    model, _ = export(network, tmp_path)
    images, _ = held_out()
    result = segment(images, model)
    assert result.warnings == ("The network found nothing: every voxel is background.",)
    assert result.volumes_ml == {2: 0.0, 4: 0.0}
    background = result.probabilities["background"].data
    np.testing.assert_allclose(background, np.e / (np.e + 2.0), rtol=1e-5)


def test_a_file_that_is_no_torchscript(tmp_path):
    (tmp_path / "net.toml").write_text(RECIPE, encoding="utf-8")
    (tmp_path / "net.pt").write_bytes(b"no network")
    images, _ = held_out()
    with pytest.raises(InvalidInput, match="no TorchScript"):
        segment(images, tmp_path / "net.pt", trust_model=True)


def nnunet_folder(folder, *, labels=None, order=None):
    folder = folder / "nnUNetTrainer__nnUNetPlans__3d_fullres"
    (folder / "fold_0").mkdir(parents=True)
    (folder / "fold_0" / "checkpoint_final.pth").write_bytes(b"weights")
    dataset = {
        "name": "Balls",
        "channel_names": {"0": "T1", "1": "T2-FLAIR"},
        "labels": labels or {"background": 0, "oedema": 1, "core": 2},
        "file_ending": ".nii.gz",
    }
    if order:
        dataset["regions_class_order"] = order
    plans = {
        "dataset_name": "Dataset001_Balls",
        "configurations": {"3d_fullres": {"spacing": [2.0, 1, 1], "patch_size": [40, 64, 64]}},
    }
    (folder / "dataset.json").write_text(json.dumps(dataset))
    (folder / "plans.json").write_text(json.dumps(plans))
    return folder


def test_nnunet_folders_say_what_they_take_and_give(tmp_path):
    known = read_nnunet(nnunet_folder(tmp_path / "a"))
    assert known.channels == ("t1", "t2_flair")
    assert known.labels == {1: "oedema", 2: "core"}
    assert (known.configuration, known.folds) == ("3d_fullres", ("0",))
    assert known.spacing_mm == (2.0, 1.0, 1.0) and known.patch == (40, 64, 64)
    regions = nnunet_folder(
        tmp_path / "b",
        labels={"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3},
        order=[1, 2, 3],
    )
    assert read_nnunet(regions).labels == {1: "whole", 2: "core", 3: "enhancing"}
    (regions / "fold_0" / "checkpoint_final.pth").unlink()
    with pytest.raises(InvalidInput, match="no weights"):
        read_nnunet(regions)
    (regions / "dataset.json").write_text("[]")
    with pytest.raises(InvalidInput, match="no JSON object"):
        read_nnunet(regions)


def monai_folder(folder):
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    metadata = {
        "name": "Balls",
        "version": "0.3.0",
        "network_data_format": {
            "inputs": {
                "image": {"num_channels": 2, "channel_def": {"0": "T1", "1": "FLAIR"}},
            },
            "outputs": {
                "pred": {"num_channels": 2, "channel_def": {"0": "whole", "1": "core"}},
            },
        },
    }
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata))
    (folder / "configs" / "inference.json").write_text("{}")
    return folder


def test_monai_bundles_say_what_they_take_and_give(tmp_path):
    folder = monai_folder(tmp_path / "bundle")
    known = read_monai_bundle(folder)
    assert (known.name, known.version) == ("Balls", "0.3.0")
    assert (known.channels, known.outputs) == (("t1", "flair"), ("whole", "core"))
    (folder / "configs" / "inference.json").unlink()
    with pytest.raises(InvalidInput, match="no configs/inference"):
        read_monai_bundle(folder)
    (folder / "configs" / "inference.yaml").write_text("")
    (folder / "configs" / "metadata.json").write_text("{}")
    with pytest.raises(InvalidInput, match="network_data_format"):
        read_monai_bundle(folder)


def test_masks_of_a_bundle_become_labels():
    masks = np.zeros((2, 4, 1, 1), np.float32)
    masks[1, :3], masks[0, 1:2] = 1, 1
    data, names, _ = folder_models.labels_of_channels(masks, ("core", "whole"))
    assert data.ravel().tolist() == [2, 1, 2, 0]
    assert names == {1: "core", 2: "whole"}
    single = np.array([0, 1, 4, 0], np.float32).reshape(1, 4, 1, 1)
    data, names, _ = folder_models.labels_of_channels(single, ("background", "spleen"))
    assert data.ravel().tolist() == [0, 1, 4, 0] and names == {1: "spleen", 4: "label 4"}
    with pytest.raises(InvalidInput, match="does not decide"):
        folder_models.labels_of_channels(masks * 0.3, ("core", "whole"))
    with pytest.raises(InvalidInput, match="name 3 channels"):
        folder_models.labels_of_channels(masks, ("a", "b", "c"))


ABSENT = 'raise ModuleNotFoundError("No module named {0!r}", name={0!r})\n'


@pytest.mark.parametrize(
    ("package", "make"), [("monai", monai_folder), ("nnunetv2", nnunet_folder)]
)
def test_packages_that_are_not_there_are_named_with_their_pip_line(
    tmp_path, monkeypatch, package, make
):
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / f"{package}.py").write_text(ABSENT.format(package))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "path"))
    folder = make(tmp_path / "model")
    images, _ = held_out()
    roles = read_nnunet(folder).channels if package == "nnunetv2" else ("t1", "flair")
    given = dict(zip(roles, images.values(), strict=True))
    with pytest.raises(InvalidInput, match="--trust-model"):
        segment(given, folder)
    with pytest.raises(InvalidInput, match=f"'pip install {package}' brings it"):
        segment(given, folder, trust_model=True)


FAKE_PREDICTOR = '''
import nibabel, numpy, os
class Reader:
    """Files as they lie on disk, slices first, as nnU-Net's own readers give them."""
    def read_images(self, files):
        self.affine = nibabel.load(files[0]).affine
        data = [nibabel.load(f).get_fdata(dtype="f4").transpose(2, 1, 0) for f in files]
        return numpy.stack(data), {}
    def write_seg(self, labels, file, properties):
        picture = nibabel.Nifti1Image(labels.transpose(2, 1, 0).astype("u1"), self.affine)
        nibabel.save(picture, file)
class Plans:
    image_reader_writer_class = Reader
class nnUNetPredictor:
    plans_manager = Plans()
    def __init__(self, **options):
        pass
    def initialize_from_trained_model_folder(self, folder, use_folds, checkpoint_name):
        assert use_folds == (0,) and checkpoint_name == "checkpoint_final.pth", use_folds
        assert os.path.isfile(os.path.join(folder, "fold_0", checkpoint_name))
    def predict_single_npy_array(self, images, properties, before, output, probabilities):
        # True where flair is bright, but in the half of the array with low first file axis alone.
        found = images[1] > 130
        found[:, :, 16:] = False
        return found
'''


def test_nnunets_files_lie_as_asked_and_its_labels_come_back(tmp_path, monkeypatch):
    package = tmp_path / "path" / "nnunetv2"
    (package / "inference").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "inference" / "__init__.py").touch()
    (package / "inference" / "predict_from_raw_data.py").write_text(FAKE_PREDICTOR)
    (tmp_path / "path" / "nnunetv2-2.6.dist-info").mkdir()
    (tmp_path / "path" / "nnunetv2-2.6.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: nnunetv2\nVersion: 2.6\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "path"))
    images, _ = held_out()
    given = {"t1": images["t1"], "t2_flair": images["flair"]}
    bright = images["flair"].data > 130
    half = np.arange(32)[:, None, None] < 16
    folder = nnunet_folder(tmp_path / "model")
    # Stored right to left, the low half of the file is the patient's right.
    for orientation, expected in (("RAS", bright & half), ("LPS", bright & ~half)):
        result = segment(given, folder, trust_model=True, orientation=orientation)
        assert np.array_equal(result.labels.data, expected.astype(np.uint16))
        assert result.record["model"]["engine"] == "nnunetv2 2.6"
        assert result.probabilities is None
    with pytest.raises(InvalidInput, match="three letters"):
        segment(given, folder, trust_model=True, orientation="RAX")
    with pytest.raises(InvalidInput, match="--recipe goes with"):
        segment(given, folder, trust_model=True, recipe=tmp_path / "r.toml")


def test_a_model_that_calls_home_is_refused(tmp_path, monkeypatch):
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "monai.py").write_text(
        "import socket\nsocket.create_connection(('127.0.0.1', 9), timeout=1)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "path"))
    images, _ = held_out()
    with pytest.raises(InvalidInput, match="tried to reach the network"):
        segment(images, monai_folder(tmp_path / "bundle"), trust_model=True)


@pytest.mark.parametrize(
    ("code", "sentence"),
    [("while True: pass", "had not finished after 1 s"), ("import os; os.abort()", "status -6")],
)
def test_a_model_that_does_not_end_or_dies(tmp_path, monkeypatch, code, sentence):
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "monai.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "path"))
    images, _ = held_out()
    with pytest.raises(NotConverged, match=sentence):
        segment(images, monai_folder(tmp_path / "bundle"), trust_model=True, time_limit_s=1.0)


def files(folder: Path):
    t1, flair, labels, affine = ball_images(CENTRE, HELD_OUT)
    write_image(folder / "Doe_Jane_t1.nii.gz", t1, affine)
    write_image(folder / "Doe_Jane_flair.nii.gz", flair, affine)
    return (
        f"t1={folder / 'Doe_Jane_t1.nii.gz'}",
        f"flair={folder / 'Doe_Jane_flair.nii.gz'}",
    ), labels


def test_command_line_writes_labels_record_and_probabilities(models, tmp_path, capsys):
    images, true = files(tmp_path)
    out = tmp_path / "labels.nii.gz"
    options = ("--model", str(models[0]), "-o", str(out), "--threads", "1")
    assert main(["segment", *images, *options, "--probabilities", str(tmp_path / "p.nii.gz")]) == 0
    shown = capsys.readouterr()
    assert "core" in shown.out and "0.28" in shown.out and "Research use only" in shown.out
    assert "A window of 16 x 16 x 16 voxels slid over it" in shown.err
    written = read_nifti(out)
    assert written.data.dtype == np.uint8 and dice(written.data, true, 4) > 0.95
    stack = nib.load(tmp_path / "p.nii.gz")
    assert stack.shape == (32, 32, 32, 3)
    record = json.loads(record_path(out).read_text(encoding="utf-8"))
    assert record["model"]["sha256"] == hashlib.sha256(models[0].read_bytes()).hexdigest()
    assert record["recipe"]["patch"]["size"] == [16, 16, 16]
    assert record["probability_volumes"] == ["background", "oedema", "core"]
    for path in tmp_path.glob("*.json"):
        assert "Doe" not in path.read_text(encoding="utf-8")
    assert main(["segment", *images, *options]) == 2
    assert "is there already" in capsys.readouterr().err
    assert main(["segment", *images, *options, "--force", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["labels"][1] == {"label": 4, "name": "core", "volume_ml": 0.28}


def test_nrrd_and_dicom_give_the_same_labels_and_name_nobody(models, tmp_path, capsys):
    import identified_files as made
    import nrrd

    t1, flair, _, affine = ball_images(CENTRE, HELD_OUT)
    volumes = {"t1": np.round(t1).astype(np.int16), "flair": np.round(flair).astype(np.int16)}
    places = {kind: [] for kind in ("nifti", "nrrd", "dicom")}
    for role, data in volumes.items():
        write_image(tmp_path / f"{role}.nii.gz", data, affine)
        places["nifti"].append(f"{role}={tmp_path / role}.nii.gz")
        # NRRD and DICOM count to the left and to the back.
        header = {
            "space": "left-posterior-superior",
            "space directions": np.diag([-1.0, -1.0, 1.0]),
            "space origin": affine[:3, 3] * [-1, -1, 1],
        }
        nrrd.write(str(tmp_path / f"{role}.nrrd"), data, header)
        places["nrrd"].append(f"{role}={tmp_path / role}.nrrd")
        for number in range(data.shape[2]):
            pixels = np.ascontiguousarray(data[::-1, ::-1, number].T)
            ds = made.base(made.MR, "MR", number + 1, series=str(len(places["nrrd"])))
            made.with_pixels(ds, pixels, spacing=(1.0, 1.0), z=affine[2, 3] + number)
            ds.SliceThickness = 1.0
            corner = -(affine[:3, 3] + np.array([31, 31, 0]))
            ds.ImagePositionPatient = [corner[0], corner[1], affine[2, 3] + number]
            made.write(ds, tmp_path / role / f"{made.SECRET}{number}.dcm")
        places["dicom"].append(f"{role}={tmp_path / role}")
    found = {}
    for kind, images in places.items():
        out = tmp_path / f"labels_{kind}.nii.gz"
        assert main(["segment", *images, "--model", str(models[0]), "-o", str(out)]) == 0
        found[kind] = read_nifti(out)
        shown = capsys.readouterr()
        written = record_path(out).read_text() + shown.out + shown.err
        for secret in made.secrets():
            assert secret.decode() not in written.lower()
    for kind in ("nrrd", "dicom"):
        assert np.array_equal(found[kind].data, found["nifti"].data), kind
        np.testing.assert_allclose(found[kind].affine, found["nifti"].affine, atol=1e-4)
    assert (found["nifti"].data == 4).sum() == 280


def test_command_line_refusals_write_nothing(models, tmp_path, capsys):
    (t1, flair), _ = files(tmp_path)
    before = sorted(tmp_path.iterdir())
    out = str(tmp_path / "labels.nii.gz")
    model = ("--model", str(models[0]))
    for words, sentence in (
        ((t1, flair, "-o", out), "--model is missing"),
        ((t1, flair, *model), "-o is missing"),
        ((t1, flair.removeprefix("flair="), *model, "-o", out), "give every one a role"),
        ((t1, t1, *model, "-o", out), "Two images are given as t1"),
        ((t1, *model, "-o", out), "also needs flair"),
        ((t1, flair, *model, "-o", str(tmp_path / "labels.png")), r"must end in .nii"),
        ((t1, flair, *model, "-o", str(tmp_path / "no" / "l.nii")), "does not exist"),
        ((t1, flair, "--model", str(models[1]), "-o", out), "--trust-model"),
        ((t1, flair, *model, "-o", out, "--time-limit", "nan"), "--time-limit is nan"),
    ):
        assert main(["segment", *words]) == 2
        error = capsys.readouterr().err
        assert sentence in error and error.count("\n") == 1, error
    assert sorted(tmp_path.iterdir()) == before


def test_example_recipe_is_printed_for_a_file(capsys):
    assert main(["segment", "--example-recipe"]) == 0
    assert Recipe.of(tomllib.loads(capsys.readouterr().out), where="printed").format == 1


def test_labels_alone_have_no_probabilities(tmp_path):
    from twin.networks.segmenting import NetworkSegmentation

    labels = Image(np.zeros((2, 2, 2), np.uint16), np.eye(4))
    result = NetworkSegmentation(labels, {}, None, (), (), {"model": {}})
    with pytest.raises(InvalidInput, match="not probabilities"):
        write_segmentation(result, tmp_path / "l.nii", probabilities=tmp_path / "p.nii")
    assert list(tmp_path.iterdir()) == []
