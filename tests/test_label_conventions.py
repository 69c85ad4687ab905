"""What the numbers of label maps mean: packaged conventions, files of one's own, tissues."""

import json
from itertools import pairwise

import nibabel as nib
import numpy as np
import pytest
from real_data import real_data
from small_patient import PATIENT_TOML, write_small_patient

import twin
from twin.errors import InvalidInput
from twin.images import Image, read_nifti
from twin.label_conventions import convention, convention_names, tissues_from


def test_all_packaged_conventions_load_and_say_where_they_are_from():
    assert set(convention_names()) >= {
        "brats", "brats2023", "freesurfer", "totalsegmentator", "totalsegmentator_mr",
    }  # fmt: skip
    for name in convention_names():
        found = convention(name)
        assert found.source, name
        assert found.labels, name


@pytest.mark.parametrize(
    ("name", "structure", "number", "count"),
    [
        ("totalsegmentator", "spleen", 1, 117),
        ("totalsegmentator", "costal_cartilages", 117, 117),
        ("totalsegmentator_mr", "brain", 50, 50),
    ],
)
def test_numbers_of_total_segmentator(name, structure, number, count):
    found = convention(name)
    assert found.labels[structure] == number
    assert len(found.labels) == count


def test_names_are_those_in_the_header_of_a_real_label_map():
    """TotalSegmentator writes names and numbers into its files."""
    import re

    path = real_data("totalsegmentator", "example_seg.nii.gz")
    content = nib.load(path).header.extensions[0].get_content()
    text = content.decode() if isinstance(content, bytes) else str(content)
    there = re.findall(r'<Label[^>]*Key="(\d+)"[^>]*>.*?CDATA\[(.*?)\]', text, re.S)
    known = convention("totalsegmentator").labels
    assert {name: int(number) for number, name in there} == known


def test_volumes_of_a_real_label_map_are_those_of_its_statistics():
    """Against the volumes in mm3 that TotalSegmentator itself wrote beside it."""
    statistics = json.loads(
        real_data("totalsegmentator", "example_seg_fast", "statistics.json").read_text("utf-8")
    )
    labels = read_nifti(real_data("totalsegmentator", "example_seg_fast.nii.gz"))
    numbers = convention("totalsegmentator").labels
    assert len(set(statistics) & set(numbers)) > 30
    for name in set(statistics) & set(numbers):
        volume = (labels.data == numbers[name]).sum() * labels.voxel_mm3
        assert volume == pytest.approx(statistics[name]["volume"], rel=1e-6)


def test_dataset_json_in_both_versions(tmp_path):
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    one.write_text(json.dumps({"labels": {"0": "background", "1": "liver", "2": "tumor"}}))
    two.write_text(json.dumps({"labels": {"background": 0, "liver": 1, "tumor": 2, "all": [1, 2]}}))
    assert convention(one).labels == convention(two).labels == {"liver": 1, "tumor": 2}


def test_the_output_channels_of_a_monai_bundle(tmp_path):
    channels = {"0": "background", "1": "edema", "2": "enhancing tumor"}
    content = {"network_data_format": {"outputs": {"pred": {"channel_def": channels}}}}
    (tmp_path / "metadata.json").write_text(json.dumps(content))
    assert convention(tmp_path / "metadata.json").tumour == {"flair": 1, "enhancing": 2}


def test_tissues_of_freesurfer():
    """White matter, cortex by its aparc number, and a ventricle."""
    numbers = np.array([0, 2, 1024, 4, 3012, 17], np.int32).reshape(6, 1, 1)
    found = tissues_from(Image(numbers, np.eye(4)), convention("freesurfer"))
    assert found.data.ravel().tolist() == [0, 3, 2, 1, 3, 2]
    with pytest.raises(InvalidInput, match="label 121 is no tissue"):  # Cranium
        tissues_from(Image(numbers + 119 * (numbers == 2), np.eye(4)), convention("freesurfer"))
    with pytest.raises(InvalidInput, match="does not say what is fluid"):
        tissues_from(Image(numbers, np.eye(4)), convention("brats"))


@pytest.mark.parametrize(
    ("number", "tissue"),
    [
        (9, 2),  # Left-Thalamus, of older versions
        (59, 2),  # Right-Substancia-Nigra
        (1035, 2),  # ctx-lh-insula
        (12175, 2),  # ctx_rh_S_temporal_transverse
        (76, 1),  # Right-Lateral-Ventricles
        (79, 3),  # Right-WM-hypointensities
        (192, 3),  # Corpus_Callosum
        (4035, 3),  # wm-rh-insula
        (5002, 3),  # Right-UnsegmentedWhiteMatter
        (14101, 3),  # white matter under the first right parcel of aparc.a2009s
    ],
)
def test_numbers_of_freesurfers_own_table(number, tissue):
    """By the names in FreeSurferColorLUT.txt."""
    image = Image(np.full((1, 1, 1), number, np.int32), np.eye(4))
    assert tissues_from(image, convention("freesurfer")).data.item() == tissue


def test_no_number_of_a_convention_is_two_tissues_and_every_structure_is_one():
    found = convention("freesurfer")
    ends = sorted(pair for pairs in found.tissues.values() for pair in pairs)
    assert all(high < low for (_, high), (low, _) in pairwise(ends))
    for number in found.labels.values():
        assert any(low <= number <= high for low, high in ends), number


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("format = 1\n[labels]\nliver = 1\nspleen = 1\n", "both have the label 1"),
        ("format = 1\n[labels]\nliver = 0\n", "a label is 1 to"),
        ("format = 1\n[labels]\nliver = true\n", "a label is 1 to"),
        ("[labels]\nliver = 1\n", "format must be 1"),
        ("format = 1\n", "names no label"),
        ("format = 1\n[label]\nliver = 1\n", "'label' is not known here"),
        ("format = 1\n[tissues]\nbone = [1]\n", "'bone' is no tissue"),
        ("format = 1\n[tissues]\nfluid = [[5, 2]]\n", "must rise"),
        ("format = 1\n[tissues]\nfluid = [[2, 5]]\ngrey_matter = [4]\n", "both fluid and grey"),
        ("format = 1\n[tumour]\ncore = 1\n", "is no part of a tumour"),
        ("format = ", "is not TOML"),
    ],
)
def test_mistakes_in_a_file_of_ones_own(tmp_path, text, message):
    path = tmp_path / "own.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidInput, match=message):
        convention(path)


def test_an_unknown_name_and_a_missing_file():
    with pytest.raises(InvalidInput, match='did you mean "freesurfer"'):
        convention("freesurfr")
    with pytest.raises(InvalidInput, match="There is no label file"):
        convention("nowhere.toml")


def test_a_patient_by_files_of_labels_is_the_same_patient(tmp_path):
    """The tissue map renumbered by FreeSurfer and the tumour by nnU-Net's dataset.json."""
    plain = twin.load(write_small_patient(tmp_path / "plain"))
    toml = PATIENT_TOML.replace('labels = "brats"', 'labels = "dataset.json"\n'
                                'tissue_labels = "freesurfer"')  # fmt: skip
    path = write_small_patient(tmp_path / "other", toml=toml)
    tissues = nib.load(tmp_path / "other" / "tissues.nii.gz")
    renumbered = np.array([0, 4, 1012, 41], np.int16)[np.asarray(tissues.dataobj)]
    nib.save(nib.Nifti1Image(renumbered, tissues.affine), tmp_path / "other" / "tissues.nii.gz")
    names = {"background": 0, "necrotic core": 1, "edema": 2, "enhancing tumor": 4}
    (tmp_path / "other" / "dataset.json").write_text(json.dumps({"labels": names}))
    other = twin.load(path)
    assert other.mesh.content_hash == plain.mesh.content_hash
    np.testing.assert_array_equal(other.tissues, plain.tissues)
