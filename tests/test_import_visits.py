"""Visits, segmentations, networks' outputs and guesses of ``twin import``; nothing mixed up."""

import gzip
import json
import tomllib

import nibabel as nib
import numpy as np
import pytest
from dicom_makers import make_series, uid
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from rt_makers import make_plan, make_structures, square
from test_dicom_seg import POSITION, SPACING, make_seg

from twin.importing.mr_contrast import contrast_from_header, contrast_from_words
from twin.importing.organs import organ_map
from viz.cli import main

SHAPE = (6, 12, 10)  # slices, rows, columns
RNG = np.random.default_rng(11)


def run(capsys, *arguments):
    code = main(["import", *map(str, arguments), "--quiet"])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def mr(folder, *, description, series=1, frame=1, date="20240305", **values):
    def change(ds, k):
        ds.SeriesDescription = description
        for key, value in values.items():
            setattr(ds, key, value)

    return make_series(
        folder, modality="MR", values=RNG.integers(0, 900, SHAPE), shape=SHAPE, spacing=SPACING,
        position=POSITION, series=series, frame=frame, date=date, change=change,
    )  # fmt: skip


def parts():
    """Masks of necrosis within enhancing tumour within oedema, shape of the series."""
    masks = {name: np.zeros(SHAPE, bool) for name in ("Necrosis", "Enhancing", "Edema")}
    masks["Edema"][1:5, 2:9, 2:8] = True
    masks["Enhancing"][2:4, 3:7, 3:7] = True
    masks["Necrosis"][2:4, 4:6, 4:6] = True
    return masks


def tumour_segmentation(path, *, date):
    """The three parts in a DICOM SEG that leaves out empty slices, as most writers do."""
    frames, places, numbers = [], [], []
    for number, mask in enumerate(parts().values(), start=1):
        for k in np.flatnonzero(mask.any(axis=(1, 2))):
            frames.append(mask[k])
            places.append(float(k))
            numbers.append(number)

    def change(ds):
        ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = date
        ds.ReferencedSeriesSequence = Sequence([Dataset()])
        ds.ReferencedSeriesSequence[0].SeriesInstanceUID = uid("series", "MR", 1, ds.PatientID)

    labels = dict(enumerate(parts(), start=1))
    return make_seg(path, np.array(frames), places, numbers, labels, change=change)


def test_a_later_visit_has_its_day_in_the_names_and_its_text_nowhere(tmp_path, capsys):
    source, target = tmp_path / "in", tmp_path / "out"
    mr(source / "a", description="AX T1 POST GD Mustermann")
    mr(source / "b", description="t2 flair Mustermann", series=2, frame=2, date="20240402")
    code, text, error = run(capsys, source, "-o", target, "--json")
    assert code == 0, error
    rows = json.loads(text)["found"]
    assert [(row["contrast"], row["day"], row["frame"]) for row in rows] == [
        ("t1_contrast", 0, "A"),
        ("flair", 28, "B"),
    ]
    assert all(row["guessed_from"] == "description" for row in rows)
    names = sorted(path.name for path in target.iterdir())
    assert names == ["day_28_flair.nii.gz", "patient.toml", "t1_contrast.nii.gz"]
    toml = (target / "patient.toml").read_text("utf-8")
    assert 't1 = "t1_contrast.nii.gz"  # TODO check: a guess by the description' in toml
    assert "# day_28_flair.nii.gz: MR, FLAIR (a guess by the description), day +28" in toml
    assert "mustermann" not in (text + error + toml).lower()


def test_a_segmentation_of_a_later_date_belongs_to_the_image_it_is_of(tmp_path, capsys):
    """Its parts are put on all voxels of the image, the inner ones on top."""
    source, target = tmp_path / "in", tmp_path / "out"
    mr(source / "t1", description="t1 mprage")
    tumour_segmentation(source / "seg.dcm", date="20240320")
    code, _, error = run(capsys, source, "-o", target, "--json")
    assert code == 0, error
    content = tomllib.loads((target / "patient.toml").read_text("utf-8"))["visit"][0]
    assert (content["segmentation"], content["labels"]) == ("segmentation.nii.gz", "brats")
    image, drawn = (nib.load(target / f"{name}.nii.gz") for name in ("t1", "segmentation"))
    assert drawn.shape == image.shape == SHAPE[::-1]
    np.testing.assert_allclose(drawn.affine, image.affine, atol=1e-5)
    masks = parts()
    necrosis = masks["Necrosis"].sum()
    enhancing = masks["Enhancing"].sum() - necrosis
    oedema = masks["Edema"].sum() - masks["Enhancing"].sum()
    counts = np.bincount(np.asarray(drawn.dataobj).ravel(), minlength=5)
    assert counts[1:].tolist() == [necrosis, oedema, 0, enhancing]


def nifti(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values, np.diag([2.0, 2.0, 2.0, 1.0])), path)


def labels(*numbers):
    data = np.zeros((8, 8, 8), np.uint8)
    for k, number in enumerate(numbers, start=1):
        data[k, 2:6, 2:6] = number
    return data


def test_an_output_of_nnunet_is_named_by_its_dataset_json(tmp_path, capsys):
    source, target = tmp_path / "in", tmp_path / "out"
    for channel in range(2):
        nifti(source / f"case7_{channel:04d}.nii.gz", RNG.normal(size=(8, 8, 8)).astype("f4"))
    nifti(source / "case7.nii.gz", labels(1, 2, 3))
    dataset = {
        "channel_names": {"0": "FLAIR", "1": "T1ce"},
        "labels": {"background": 0, "edema": 1, "non-enhancing tumor": 2, "enhancing tumour": 3},
    }
    (source / "dataset.json").write_text(json.dumps(dataset))
    code, text, error = run(capsys, source, "-o", target, "--json")
    assert code == 0, error
    names = sorted(path.name for path in target.iterdir())
    assert names == ["flair.nii.gz", "patient.toml", "segmentation.nii.gz", "t1_contrast.nii.gz"]
    toml = (target / "patient.toml").read_text("utf-8")
    content = tomllib.loads(toml)["visit"][0]
    assert content["labels"] == {"flair": 1, "necrosis": 2, "enhancing": 3}
    assert "case7" not in text + toml


def test_segmentations_of_different_numbers_are_not_taken_for_readers_of_one(tmp_path, capsys):
    """4 is the enhancing part in one, 3 in the other: together they would be nonsense."""
    source, target = tmp_path / "in", tmp_path / "out"
    nifti(source / "t1.nii.gz", RNG.normal(size=(8, 8, 8)).astype("f4"))
    nifti(source / "a_seg.nii.gz", labels(1, 2, 4))
    nifti(source / "b_seg.nii.gz", labels(1, 2, 3))
    code, text, error = run(capsys, source, "-o", target)
    assert code == 0, error
    content = tomllib.loads((target / "patient.toml").read_text("utf-8"))["visit"][0]
    assert (content["segmentation"], content["labels"]) == ("segmentation.nii.gz", "brats")
    assert "mean other parts" in text
    assert (target / "labels.nii.gz").is_file()


def test_structures_named_after_the_patient_elsewhere_in_the_folder_keep_their_number(
    tmp_path, capsys
):
    """The plan's header tells a name that the structure set's does not."""
    source, target = tmp_path / "in", tmp_path / "out"
    make_series(source / "ct", values=RNG.integers(0, 99, SHAPE), shape=SHAPE, spacing=SPACING,
                name="", position=POSITION)  # fmt: skip
    centre = (POSITION[0] + 6.0, POSITION[1] + 6.0)
    planes = [POSITION[2] + SPACING[0] * k for k in range(1, 4)]
    make_structures(
        source / "rs.dcm",
        {"empty": [], "GTV Lindqvist": [square(6.0, z, centre) for z in planes]},
        name="",
    )
    make_plan(source / "rp.dcm", name="Lindqvist^Q")
    code, text, error = run(capsys, source, "-o", target)
    assert code == 0, error
    assert "lindqvist" not in (text + error).lower()
    assert "structure 2" in text
    assert (target / "structures" / "structure_2.nii.gz").is_file()


def test_organs_that_overlap_a_little_share_one_map_and_the_loss_is_known():
    """1,000 voxels of which 5 are another's: 0.5 % is told, 5 % is too much."""
    grid = np.zeros(3000, bool)
    small, large, much = grid.copy(), grid.copy(), grid.copy()
    small[:100] = large[95:1095] = much[1000:2900] = True
    masks = {"nerve": small, "lung": large, "liver": much, "brain": ~grid}
    found = organ_map({name: np.packbits(mask) for name, mask in masks.items()}, (3000,))
    assert dict(found.labels) == {"nerve": 1, "lung": 2}
    assert dict(found.lost) == {"lung": pytest.approx(0.005)}
    assert found.left_out["liver"] == "overlaps lung by 5 %"
    assert "program's own" in found.left_out["brain"]
    assert np.bincount(found.data).tolist() == [3000 - 1095, 100, 995]


@pytest.mark.parametrize(
    ("values", "contrast"),
    [
        ({"EchoTime": 3, "RepetitionTime": 2000, "InversionTime": 900, "ScanningSequence": "GR"},
         "t1"),
        ({"EchoTime": 15, "RepetitionTime": 600, "ContrastBolusAgent": "a drug"}, "t1_contrast"),
        ({"EchoTime": 95, "RepetitionTime": 4500}, "t2"),
        ({"EchoTime": 120, "RepetitionTime": 9000, "InversionTime": 2500}, "flair"),
        ({"DiffusionBValue": 1000.0, "EchoTime": 90, "RepetitionTime": 5000}, "dwi"),
        ({"ImageType": ["DERIVED", "PRIMARY", "ADC"]}, "adc"),
        ({"SeriesDescription": "t1 mprage", "ContrastBolusAgent": "a drug"}, "t1_contrast"),
        ({"EchoTime": "none"}, ""),
    ],
)  # fmt: skip
def test_contrasts_are_guessed_from_words_then_times(values, contrast):
    assert contrast_from_header(values)[0] == contrast


@pytest.mark.parametrize(
    ("text", "contrast"),
    [
        ("Ax T1 pre Gd", "t1"),
        ("t1_mprage_sag_post", "t1_contrast"),
        ("ep2d_diff_3scan_trace_ADC", "adc"),
        ("T2_TSE_dark-fluid", "flair"),
        ("BraTS-GLI-00001-000-t1n", "t1"),
        ("BraTS-GLI-00001-000-t2f", "flair"),
        ("sag T2 space", "t2"),
        ("Grantham, localizer", None),
    ],
)
def test_contrasts_in_words(text, contrast):
    assert contrast_from_words(text) == contrast


def test_a_file_that_inflates_beyond_what_it_states_is_read_no_further(tmp_path, capsys):
    """Two gigabytes behind a small image: only the image's own voxels are inflated."""
    import tracemalloc

    values = np.zeros((8, 8, 8), np.float32)
    values[2:6] = 1.5
    nifti(tmp_path / "in" / "t1.nii.gz", values)
    with (tmp_path / "in" / "t1.nii.gz").open("ab") as file:
        file.write(gzip.compress(bytes(2**23)) * 256)
    tracemalloc.start()
    code, _, error = run(capsys, tmp_path / "in", "-o", tmp_path / "out")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert code in (0, 2), error
    assert peak < 2**28


@pytest.mark.parametrize("numbers", [(3,), (4,), (1, 3), (5, 2), (1, 2)])
def test_numbers_that_lack_a_part_of_the_tumour_are_not_taken_for_its_segmentation(
    numbers, tmp_path, capsys
):
    """A lone 3 may be anything: a heart, for one."""
    nifti(tmp_path / "in" / "heart_seg.nii.gz", labels(*numbers))
    code, _, error = run(capsys, tmp_path / "in", "-o", tmp_path / "out")
    assert code == 0, error
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["labels.nii.gz", "patient.toml"]
