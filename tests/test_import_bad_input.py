"""Every awkward folder: one clear sentence, exit 2, nothing written; or it works and says so."""

import gzip
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from dicom_makers import make_series
from real_data import real_data
from rt_makers import make_dose, make_plan, make_structures, square

from viz.cli import main

SPACING = (3.0, 2.0, 2.0)


def series(folder, **more):
    values = np.random.default_rng(3).integers(-500, 500, (6, 10, 12)).astype(np.int16)
    return make_series(folder, values=values, shape=values.shape, spacing=SPACING, **more)


def nifti(path, values, affine=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values, np.eye(4) if affine is None else affine), path)
    return path


def empty(folder):
    folder.mkdir()


def absent(folder):
    pass


def a_file(folder):
    folder.write_text("no folder")


def only_texts(folder):
    folder.mkdir()
    (folder / "readme.txt").write_text("nothing here")


def structures_without_a_series(folder):
    make_structures(folder / "rs.dcm", {"GTV": [square(8.0, z) for z in (0.0, 3.0)]})


def relative_dose(folder):
    series(folder / "ct")
    make_dose(folder / "rd.dcm", np.ones((4, 5, 6)), units="RELATIVE")


def a_gap(folder):
    for path in series(folder / "ct")[2:4]:
        Path(path).unlink()


def cut_short(folder):
    path = Path(series(folder / "ct")[2])
    path.write_bytes(path.read_bytes()[:-40])


def cut_in_the_header(folder):
    path = Path(series(folder / "ct")[2])
    path.write_bytes(path.read_bytes()[:300])


def an_archive(folder):
    folder.mkdir()
    with zipfile.ZipFile(folder / "study.zip", "w") as archive:
        archive.writestr("a.dcm", bytes(1000))


def a_bomb_of_nifti(folder):
    """A file that states a small image and inflates to a gigabyte, or states a huge one."""
    folder.mkdir()
    header = nib.Nifti1Header()
    header.set_data_shape((32000, 32000, 32000))
    header.set_sform(np.eye(4), 1)
    (folder / "t1.nii.gz").write_bytes(gzip.compress(header.binaryblock + bytes(4 + 2_000_000)))


def a_bomb_of_nrrd(folder):
    folder.mkdir()
    head = (
        b"NRRD0005\ntype: uchar\ndimension: 3\nspace: RAS\nsizes: 30000 30000 30000\n"
        b"space directions: (1,0,0) (0,1,0) (0,0,1)\nencoding: gzip\nspace origin: (0,0,0)\n\n"
    )
    (folder / "t1.nrrd").write_bytes(head + gzip.compress(bytes(2_000_000)))


def a_link_out(folder):
    series(folder / "ct")
    (folder / "secret").symlink_to("/etc/passwd")


def all_ones(folder):
    nifti(folder / "t1.nii.gz", np.random.default_rng(1).normal(size=(6, 6, 6)).astype(np.float32))
    nifti(folder / "t1_seg.nii.gz", np.ones((6, 6, 6), np.uint8))


def two_patients(folder):
    series(folder / "a", name="One^A", patient_id="1")
    series(folder / "b", name="Two^B", patient_id="2", series=2)


def two_frames(folder):
    series(folder / "a")
    series(folder / "b", series=2, frame=2)


def two_cases(folder):
    rng = np.random.default_rng(2)
    for case in ("anna", "berta"):
        nifti(folder / f"{case}_t1.nii.gz", rng.normal(size=(6, 6, 6)).astype(np.float32))


def only_a_plan(folder):
    make_plan(folder / "rp.dcm")


def no_orientation(folder):
    folder.mkdir()
    image = nib.Nifti1Image(np.zeros((4, 4, 4), np.int16), None)
    nib.save(image, folder / "t1.nii.gz")


def four_dimensions(folder):
    nifti(folder / "t1.nii.gz", np.zeros((4, 4, 4, 3), np.int16))


def four_patients(folder):
    """Equal names in the folders of several patients."""
    image = np.random.default_rng(4).normal(size=(6, 6, 6)).astype(np.float32)
    for number in range(4):
        nifti(folder / f"{number:02d}" / "t1.nii.gz", image)


BAD = {
    empty: "holds no DICOM",
    absent: "does not exist",
    a_file: "is a file",
    only_texts: "holds no DICOM",
    structures_without_a_series: "add the images",
    relative_dose: "RELATIVE|relative",
    a_gap: "gap",
    cut_short: "cut short|damaged",
    cut_in_the_header: "cut short|damaged|gap",
    an_archive: "unpack it",
    a_bomb_of_nifti: "at most",
    a_bomb_of_nrrd: "at most",
    a_link_out: "link to a place outside",
    all_ones: "everywhere",
    two_patients: "2 patients",
    two_frames: "frames of reference",
    two_cases: "2 patients or visits",
    only_a_plan: "add the images",
    no_orientation: "orientation",
    four_dimensions: "1 image of 3 volumes",
    four_patients: "4 patients or visits",
}


def run(capsys, *arguments):
    code = main(["import", *map(str, arguments), "--quiet"])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def assert_one_sentence(code, out, error, target):
    assert code == 2, (out, error)
    assert not target.exists()
    assert not list(target.parent.glob(".*part*"))
    lines = error.strip().splitlines()
    assert len(lines) == 1, error
    assert lines[0].startswith("twin: ")
    assert lines[0].endswith(".")
    assert "Traceback" not in error


@pytest.mark.parametrize("make", BAD, ids=lambda make: make.__name__)
def test_bad_folders(make, tmp_path, capsys):
    import re

    make(tmp_path / "in")
    code, out, error = run(capsys, tmp_path / "in", "-o", tmp_path / "out")
    assert_one_sentence(code, out, error, tmp_path / "out")
    assert re.search(BAD[make], error), error


def test_frames_of_reference_can_be_taken_all_the_same(tmp_path, capsys):
    two_frames(tmp_path / "in")
    code, _, _ = run(capsys, tmp_path / "in", "-o", tmp_path / "out", "--all-frames")
    assert code == 0
    assert len(list((tmp_path / "out").glob("ct*.nii.gz"))) == 2


def test_a_folder_that_is_there_is_left_alone(tmp_path, capsys):
    series(tmp_path / "in" / "ct")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("keep")
    code, _, error = run(capsys, tmp_path / "in", "-o", tmp_path / "out")
    assert code == 2
    assert "is there already" in error
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["mine.txt"]


def awkward_files():
    """Every file of the real collection of awkward DICOM, by its place in it."""
    root = Path(__file__).resolve().parents[2] / "shared" / "data" / "dicom-small"
    return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())


@pytest.mark.parametrize("name", awkward_files() or ["(none)"])
def test_every_awkward_file_works_or_is_told_in_one_sentence(name, tmp_path, capsys):
    source = real_data("dicom-small", name)
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / source.name).write_bytes(source.read_bytes())
    code, out, error = run(capsys, folder, "-o", tmp_path / "out")
    if code == 0:
        assert (tmp_path / "out" / "patient.toml").is_file()
        return
    assert_one_sentence(code, out, error, tmp_path / "out")


@pytest.mark.parametrize("option", [["--only", "1"], ["--all-frames"], ["--keep-dates"]])
def test_an_option_of_writing_without_a_place_to_write_is_refused(option, tmp_path, capsys):
    series(tmp_path / "in")
    code, _, error = run(capsys, tmp_path / "in", *option)
    assert code == 2
    assert f"{option[0]} goes with -o" in error
