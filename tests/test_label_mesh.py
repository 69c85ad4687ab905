"""`twin mesh`: any label map to a mesh, drawn tumours, and real bodies."""

import csv
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import nrrd
import numpy as np
import pytest
from dicom_makers import make_series
from real_data import real_data
from scipy import ndimage
from scipy.io import loadmat

from twin.errors import InvalidInput
from twin.images import Image, read_nifti
from twin.label_mesh import mesh_label_map
from twin.meshing import gate
from twin.own_mesh import read_mesh_file
from twin.placed_tumour import place_tumour
from viz.cli import main
from viz.cli.mesh import label_numbers

SPACING = (1.5, 1.5, 3.0)


def abdomen():
    """A box of "body" with a ball of "liver" (30 mm) and a rod of "spine"; voxels are no cubes."""
    shape = (60, 60, 30)
    affine = np.diag([*SPACING, 1.0])
    affine[:3, 3] = (-45.0, -45.0, -45.0)
    axes = [affine[k, 3] + SPACING[k] * np.arange(shape[k]) for k in range(3)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    data = np.full(shape, 3, np.uint8)
    data[np.sqrt((x - 8) ** 2 + y**2 + z**2) < 30.0] = 5
    data[(x + 32) ** 2 + y**2 < 8.0**2] = 27
    data[[0, -1]] = data[:, [0, -1]] = data[:, :, [0, -1]] = 0
    return Image(data, affine)


@pytest.fixture
def files(tmp_path):
    image = abdomen()
    nib.save(nib.Nifti1Image(image.data, image.affine), tmp_path / "organs.nii.gz")
    (tmp_path / "names.toml").write_text("[labels]\nliver = 5\nspine = [27, 28]\nbody = 3\n")
    return tmp_path


def test_a_label_map_becomes_a_mesh_and_a_page(files, capsys):
    command = ["mesh", str(files / "organs.nii.gz"), "-o", str(files / "organs.vtu"), "--json"]
    command += ["--labels", str(files / "names.toml"), "--cell-size", "4", "--far-cell-size", "8"]
    assert main(command) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["verdict"]["passed"]
    contents = read_mesh_file(files / "organs.vtu")
    assert len(contents.cells) == said["cells"]
    corners = contents.points[contents.cells]
    volume = np.abs(np.linalg.det(corners[:, 1:] - corners[:, :1])) / 6
    tags = contents.tags["cell_label"]
    expected = 4 / 3 * np.pi * 30**3
    assert volume[tags == 1].sum() == pytest.approx(expected, rel=0.02)
    middle = np.average(corners[tags == 1].mean(axis=1), axis=0, weights=volume[tags == 1])
    assert middle == pytest.approx([8, 0, 0], abs=0.5)
    page = (files / "organs.html").read_text()
    assert "through the centre of all labels" in page
    assert "organs" not in re.sub(r"base64,[A-Za-z0-9+/=]+", "", page)  # no name of a file
    assert main(command) == 2  # nothing is replaced without being asked
    assert "replace it with --force" in capsys.readouterr().err


def test_without_names_every_number_is_a_label(files, capsys):
    command = ["mesh", str(files / "organs.nii.gz"), "-o", str(files / "o.vtu"), "--json"]
    assert main([*command, "--cell-size", "6", "--quiet"]) == 0
    assert set(json.loads(capsys.readouterr().out)["volume_error"]) == {
        "label_3", "label_5", "label_27",
    }  # fmt: skip


def test_containers_and_floats_give_the_same_mesh(files, capsys):
    image = abdomen()
    nib.save(nib.Nifti1Image(image.data.astype(float), image.affine), files / "floats.nii.gz")
    header = {
        "space": "right-anterior-superior",
        "space directions": image.affine[:3, :3].T,
        "space origin": image.affine[:3, 3],
    }
    nrrd.write(str(files / "organs.nrrd"), image.data, header)
    said = []
    for name in ("organs.nii.gz", "floats.nii.gz", "organs.nrrd"):
        command = ["mesh", str(files / name), "-o", str(files / "o.vtu"), "--json", "--force"]
        assert main([*command, "--cell-size", "9", "--quiet"]) == 0
        said.append(json.loads(capsys.readouterr().out))
    assert said[0]["nodes"] == said[1]["nodes"] == said[2]["nodes"]
    assert said[0]["volume_error"] == said[1]["volume_error"] == said[2]["volume_error"]
    nib.save(nib.Nifti1Image(image.data * 0.3, image.affine), files / "floats.nii.gz")
    command = ["mesh", str(files / "floats.nii.gz"), "-o", str(files / "p.vtu")]
    assert main(command) == 2
    assert "not whole" in capsys.readouterr().err


def test_a_convention_names_the_numbers_and_the_rest_is_said(files, capsys):
    command = ["mesh", str(files / "organs.nii.gz"), "-o", str(files / "o.vtu"), "--json"]
    (files / "names.toml").write_text("format = 1\n[labels]\nliver = 5\n")
    assert main([*command, "--labels", str(files / "names.toml"), "--cell-size", "6"]) == 0
    captured = capsys.readouterr()
    assert set(json.loads(captured.out)["volume_error"]) == {"liver"}
    assert "not meshed: 3, 27." in captured.err
    assert "not meshed: 3, 27." in (files / "o.html").read_text()
    command += ["--labels", "totalsegmentator", "--cell-size", "6", "--force"]
    assert main(command) == 0
    # names of TotalSegmentator 2 as its own list has them
    said = json.loads(capsys.readouterr().out)["volume_error"]
    assert set(said) == {"kidney_left", "liver", "vertebrae_L5"}


def write_segmentation(path, paths, labels, names):
    """Write a DICOM segmentation of a series by highdicom; `labels` are (slice, row, column)."""
    import highdicom
    import pydicom
    from highdicom.seg import Segmentation, SegmentDescription
    from pydicom.sr.codedict import codes

    tissue = codes.SCT.Tissue
    described = [
        SegmentDescription(
            segment_number=number,
            segment_label=name,
            segmented_property_category=tissue,
            segmented_property_type=tissue,
            algorithm_type="MANUAL",
        )
        for number, name in enumerate(names, start=1)
    ]
    Segmentation(
        source_images=[pydicom.dcmread(one) for one in paths],
        pixel_array=labels.astype(np.uint8),
        segmentation_type="BINARY",
        segment_descriptions=described,
        series_instance_uid=highdicom.UID(),
        series_number=9,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="Invented",
        manufacturer_model_name="Invented",
        software_versions="1",
        device_serial_number="1",
    ).save_as(path)


def test_a_dicom_segmentation_meshes(tmp_path, capsys):
    """Two segments side by side on slices of 2 mm: their volumes are those of the masks."""
    labels = np.zeros((16, 24, 26), np.uint8)
    labels[2:14, 4:20, 3:12] = 1
    labels[2:14, 4:20, 12:23] = 2
    paths = make_series(tmp_path / "ct", shape=labels.shape, spacing=(2.0, 1.0, 1.0))
    write_segmentation(tmp_path / "organs.dcm", paths, labels, ("liver", "spleen"))
    command = ["mesh", str(tmp_path / "organs.dcm"), "-o", str(tmp_path / "o.vtu"), "--json"]
    assert main([*command, "--quiet"]) == 0
    assert set(json.loads(capsys.readouterr().out)["volume_error"]) == {"label_1", "label_2"}
    contents = read_mesh_file(tmp_path / "o.vtu")
    corners = contents.points[contents.cells]
    volume = np.abs(np.linalg.det(corners[:, 1:] - corners[:, :1])) / 6
    tags = contents.tags["cell_label"]
    for number in (1, 2):
        wanted = 2.0 * (labels == number).sum()
        assert volume[tags == number].sum() == pytest.approx(wanted, rel=0.03)
    # the first segment has smaller columns, so smaller x in DICOM's axes and larger ones in RAS
    middle = corners.mean(axis=1)[:, 0]
    assert middle[tags == 1].min() > middle[tags == 2].max() - 2.0


def test_a_drawn_tumour_is_said_and_fine(files, capsys):
    command = ["mesh", str(files / "organs.nii.gz"), "-o", str(files / "o.vtu"), "--json"]
    command += ["--labels", str(files / "names.toml"), "--place-tumour", "liver:10"]
    command += ["--cell-size", "3", "--fine-margin", "5", "--seed", "4", "--lobes", "3"]
    command += ["--image", str(files / "organs.nii.gz")]
    assert main(command) == 0
    assert "tumour" in json.loads(capsys.readouterr().out)["volume_error"]
    page = (files / "o.html").read_text()
    assert "The tumour is drawn, not seen" in page
    assert "through the centre of the tumour" in page


def test_a_mesh_below_the_bar_is_not_written(files, capsys, monkeypatch):
    monkeypatch.setattr("twin.label_mesh.LIMITS", gate.Limits(smallest_dihedral_deg=44.0))
    command = ["mesh", str(files / "organs.nii.gz"), "-o", str(files / "o.vtu")]
    assert main([*command, "--cell-size", "6"]) == 2
    error = capsys.readouterr().err
    assert "does not pass the quality gate: smallest dihedral angle in label_" in error
    assert "o-rejected.png" in error
    assert sorted(entry.name for entry in files.iterdir()) == [
        "names.toml", "o-rejected.png", "organs.nii.gz",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "words", "complaint"),
    [
        (["-o", "{}/o.stl"], "", "is written as .vtu"),
        (["-o", "{}/none/o.vtu"], "", "in a folder that exists"),
        (["--labels", "totalsegmenter"], "", 'did you mean "totalsegmentator"?'),
        (["--labels", "{}/names.toml"], "[labels]\nliver = 5\nlung = 5\n", "is both liver and"),
        (["--labels", "{}/names.toml"], "[labels]\nliver = -5\n", "from 1 to 32767"),
        (["--labels", "{}/names.toml"], "[labels]\nliver = true\n", "from 1 to 32767"),
        (["--labels", "{}/names.toml"], "liver = 5\n", "must hold a table"),
        (["--labels", "{}/names.toml"], "[labels]\nlung = 99\n", "None of the numbers"),
        (["--fine-around", "lung"], "", "No voxel is 'lung'; there are label_3"),
        (["--place-tumour", "label_5:99"], "", "the largest that does has"),
        (["--place-tumour", "label_5:x"], "", "and a radius in mm"),
        (["--place-tumour", "lung:5"], "", "give one of label_3"),
        (["--lobes", "3"], "", "goes with --place-tumour"),
        (["--cell-size", "-1"], "", "Cell sizes need"),
        (["--cell-size", "nan"], "", "Cell sizes need"),
        (["--fine-margin", "nan"], "", "fine margin"),
    ],
)
def test_wrong_options_are_one_sentence(files, capsys, options, words, complaint):
    if words:
        (files / "names.toml").write_text(words)
    command = ["mesh", str(files / "organs.nii.gz"), "-o", str(files / "o.vtu"), "--quiet"]
    assert main([*command, *(option.format(files) for option in options)]) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1
    assert not list(files.glob("o.*"))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("lobes", [0, 4])
def test_a_tumour_lies_wholly_in_its_organ(seed, lobes):
    image = abdomen()
    placed = place_tumour(image, 5, 12.0, seed=seed, lobes=lobes)
    mask = placed.labels.data == placed.number
    assert (image.data[mask] == 5).all()
    assert np.array_equal(placed.labels.data[~mask], image.data[~mask])
    assert ndimage.label(mask)[1] == 1
    # in the ball about the liver (30 mm about (8, 0, 0)) a ball of 12 mm has 18 mm of room
    away = np.linalg.norm(np.array(placed.centre_mm) - [8.0, 0.0, 0.0])
    assert away < 18.0 + 1.5
    places = np.argwhere(mask) @ image.affine[:3, :3].T + image.affine[:3, 3]
    assert np.linalg.norm(places - placed.centre_mm, axis=1).max() <= 12.0
    ball = 4 / 3 * np.pi * 12.0**3
    if lobes:
        assert 0.55**3 * ball < placed.volume_mm3 < ball
    else:
        assert placed.volume_mm3 == pytest.approx(ball, rel=0.05)
    again = place_tumour(image, 5, 12.0, seed=seed, lobes=lobes)
    assert np.array_equal(again.labels.data, placed.labels.data)


def test_seeds_choose_other_places():
    centres = {place_tumour(abdomen(), 5, 8.0, seed=seed).centre_mm for seed in range(8)}
    assert len(centres) >= 7


def test_labels_that_are_taken_or_absent_are_refused():
    with pytest.raises(InvalidInput, match="No voxel has the label 9; there are 3, 5, 27"):
        place_tumour(abdomen(), 9, 8.0)
    with pytest.raises(InvalidInput, match="The label 27 is taken"):
        place_tumour(abdomen(), 5, 8.0, number=27)
    with pytest.raises(InvalidInput, match="at least one voxel"):
        place_tumour(abdomen(), 5, 1.0)
    with pytest.raises(InvalidInput, match="whole numbers, not float64"):
        mesh_label_map(Image(np.ones((4, 4, 4)), np.eye(4)), {1: "liver"})


def test_the_page_on_meshing_says_what_is(tmp_path, capsys):
    """Its Python runs, its file of names is read, and its bars are those of the gate."""
    page = (Path(__file__).resolve().parent.parent / "docs" / "meshing.md").read_text("utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(code, "meshing.md", "exec"), {})  # noqa: S102
    assert capsys.readouterr().out == "True []\n"
    (table,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "organs.toml").write_text(table, encoding="utf-8")
    assert label_numbers(str(tmp_path / "organs.toml"))["lung"] == [10, 11, 12, 13, 14]
    limits = gate.LIMITS
    rows = (
        (limits.smallest_dihedral_deg, limits.wanted_smallest_deg, "°"),
        (limits.largest_dihedral_deg, limits.wanted_largest_deg, "°"),
        (100 * limits.volume_error, 100 * limits.wanted_volume_error, " %"),
        (100 * limits.thin_volume_error, 100 * limits.wanted_thin_volume_error, " %"),
    )
    for bar, target, unit in rows:
        assert f"| {bar:g}{unit} | {target:g}{unit} |" in page
    assert f"| {100 * limits.cut_off_part:g} % |" in page


@pytest.mark.slow
def test_the_comparison_of_meshers_writes_its_page(tmp_path):
    """One command; what is not installed is said, and our own figures are there."""
    script = Path(__file__).resolve().parent.parent / "tools" / "mesh_comparison" / "compare.py"
    command = [sys.executable, str(script), "--cases", "phantom", "--only", "own,unmoved,cgal"]
    subprocess.run([*command, "--page", str(tmp_path / "page.md")], check=True, timeout=120)
    rows = [line.split(" | ") for line in (tmp_path / "page.md").read_text().splitlines()]
    table = {row[0].removeprefix("| "): row for row in rows if len(row) > 8}
    assert float(table["own lattice"][5].split("°")[0]) >= 15.0
    # a body-centred cubic lattice has dihedral angles of 60 and 90 degrees
    assert table["own lattice, vertices not moved"][5] == "60.0°, 60°, 90°"
    if importlib.util.find_spec("pygalmesh") is None:
        assert "pygalmesh could not be installed" in (tmp_path / "page.md").read_text()


@pytest.mark.slow
def test_the_body_of_a_ct_meshes_with_a_tumour_in_its_liver():
    """Forty-two labels of TotalSegmentator at 3 mm, among them lungs and liver (5)."""
    image = read_nifti(real_data("totalsegmentator", "example_seg.nii.gz"))
    placed = place_tumour(image, 5, 15.0, seed=1)
    names = {int(n): f"organ {n}" for n in np.unique(placed.labels.data) if n}
    names[placed.number] = "tumour"
    made = mesh_label_map(placed.labels, names)
    assert made.verdict.passed
    errors = {name: figures.volume_error for name, figures in made.inspection.labels.items()}
    assert abs(errors["organ 5"]) < 0.01
    assert abs(errors["tumour"]) < 0.01
    assert np.median(np.abs(list(errors.values()))) < 0.01
    assert made.inspection.labels["organ 10"].voxel_mm3 > 0  # a lung


@pytest.mark.slow
def test_a_breast_in_thick_slices_meshes():
    """Slices of 5 mm: adipose (1) and fibroglandular tissue (2), and tumour."""
    folder = real_data("breast-nac-testpatient")
    tissue = loadmat(folder / "Tissues1_testpatient.mat")["Tissues1"].astype(np.int16)
    cells = loadmat(folder / "NTC1_testpatient.mat")["NTC1"]
    tissue[cells > 0] = 3
    image = Image(tissue, np.diag([1.3, 1.3, 5.0, 1.0]))
    names = {1: "adipose", 2: "fibroglandular", 3: "tumour"}
    made = mesh_label_map(image, names, cell_size_mm=2.6, fine_around=["tumour"])
    assert made.verdict.passed
    wanted = (tissue == 3).sum() * 1.3 * 1.3 * 5.0
    # slices are cut into cubes of 1.3 mm, which changes the volume by a little
    assert made.inspection.labels["tumour"].mesh_mm3 == pytest.approx(wanted, rel=0.03)


@pytest.mark.slow
def test_a_head_and_neck_meshes():
    """Structures of a planning case on voxels of 3.9 x 3.9 x 2.5 mm, each a list of voxels."""
    folder = real_data("openkbp", "pt_243")
    size = [float(line) for line in (folder / "voxel_dimensions.csv").read_text().split()]
    data = np.zeros(128**3, np.int16)
    names = {}
    chosen = ("possible_dose_mask", "Mandible", "LeftParotid", "RightParotid", "PTV70", "Brainstem")
    for number, name in enumerate(chosen, start=1):
        path = folder / f"{name}.csv"
        with path.open() as file:
            voxels = [int(float(row[0])) for row in list(csv.reader(file))[1:]]
        data[voxels] = number
        names[number] = name
    image = Image(data.reshape(128, 128, 128), np.diag([*size, 1.0]))
    made = mesh_label_map(image, names, cell_size_mm=4.0, fine_around=["PTV70"], fine_margin_mm=10)
    assert made.verdict.passed
    for name in ("PTV70", "Mandible"):
        assert abs(made.inspection.labels[name].volume_error) < 0.02
