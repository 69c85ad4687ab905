"""twin export: a study's tumour and targets on the original slices."""

from __future__ import annotations

import json

import numpy as np
import pytest
from dicom_makers import NAME, PATIENT_ID, make_series
from synthetic_results import CENTRE_MM, LEVELS, SLOPE, ball_twin, radius_mm, synthetic_results

from twin.courses import Radiotherapy
from twin.dicom.segmentation import read_segmentation
from twin.dicom.structure_set import read_structure_set
from twin.errors import InvalidInput
from twin.regimen import Regimen
from twin.results import netcdf_bytes
from viz.cli import main
from viz.dicom_export import planned_structures, predicted_structures
from viz.subject import Subject

DAY = 112.0


@pytest.fixture(scope="module")
def twin():
    return ball_twin()


@pytest.fixture(scope="module")
def study(tmp_path_factory, twin):
    """A results folder and the files of a series around the head."""
    folder = tmp_path_factory.mktemp("study")
    results = folder / "results"
    results.mkdir()
    (results / "results.nc").write_bytes(netcdf_bytes(synthetic_results(twin)))
    shape = (36, 72, 72)
    make_series(
        folder / "mr", modality="MR", shape=shape, spacing=(2.0, 1.0, 1.0),
        position=(-41.5, -37.5, -31.0), values=np.zeros(shape), dtype=np.uint16,
    )  # fmt: skip
    return folder


def wanted_ml(name, day=DAY):
    radius = radius_mm(0, day) + (0.8 - LEVELS[name]) / SLOPE
    return 4.0 / 3.0 * np.pi * radius**3 / 1e3


def export(capsys, study, out, *options):
    status = main(
        ["export", str(study / "results"), "--series", str(study / "mr"), "-o", str(out),
         "--day", f"{DAY:g}", *options]
    )  # fmt: skip
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_the_predicted_tumour_lies_on_the_slices(capsys, study, tmp_path):
    status, out, err = export(capsys, study, tmp_path, "--json")
    assert status == 0
    said = json.loads(out)
    assert [name.split("/")[-1] for name in said["files"]] == [
        "prediction_seg.dcm", "prediction_rtstruct.dcm",
    ]  # fmt: skip
    segments = read_segmentation(tmp_path / "prediction_seg.dcm").segments
    structures = read_structure_set(tmp_path / "prediction_rtstruct.dcm")
    assert list(segments) == list(structures.structures) == list(said["volumes_ml"])
    for name, key in zip(segments, ("t1gd", "flair"), strict=True):
        assert name.endswith("tumour day 112")
        image = segments[name]
        # the field is linear in elements of 4 mm: a ball's surface is a little within
        assert said["volumes_ml"][name] == pytest.approx(wanted_ml(key), rel=0.03)
        assert image.data.sum() * image.voxel_mm3 / 1e3 == pytest.approx(
            said["volumes_ml"][name], rel=0.01
        )
        assert structures.volume_ml(name) == pytest.approx(said["volumes_ml"][name], rel=0.01)
        centre = np.argwhere(image.data) @ image.affine[:3, :3].T + image.affine[:3, 3]
        np.testing.assert_allclose(centre.mean(axis=0), CENTRE_MM, atol=0.5)
    for text in (out, err):
        assert PATIENT_ID not in text and NAME not in text
    assert "go back to where it came from" in err and "Research use only" in err


def test_one_file_of_one_threshold_under_a_pseudonym(capsys, study, tmp_path):
    options = ("--only", "rtstruct", "--threshold", "t1gd", "--pseudonym", "case 12")
    status, out, err = export(capsys, study, tmp_path, *options)
    assert status == 0 and "mL" in out
    assert [path.name for path in tmp_path.iterdir()] == ["prediction_rtstruct.dcm"]
    assert len(read_structure_set(tmp_path / "prediction_rtstruct.dcm").structures) == 1
    assert PATIENT_ID.encode() not in (tmp_path / "prediction_rtstruct.dcm").read_bytes()
    assert "pseudonym, but still the UIDs" in err
    status, _, err = export(capsys, study, tmp_path, *options)
    assert status == 2 and "is there already; replace it with --force" in err
    status, _, _ = export(capsys, study, tmp_path, *options, "--force")
    assert status == 0


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--scenario", "magic"), "no scenario 'magic'"),
        (("--threshold", "pet"), "no threshold 'pet' in the results; there are t1gd, flair"),
        (("--day", "nan"), "give a number of days"),
        (("--planned",), "has no radiotherapy"),
        (("--planned", "--scenario", "60 Gy <in 30>"), "need the patient of the study"),
        (("--series", "nowhere"), "no folder nowhere"),
        (("--pseudonym", "a\\b"), "printable ASCII"),
    ],
)
def test_mistakes_are_one_sentence_and_nothing_is_written(
    capsys, study, tmp_path, options, sentence
):
    status, _, err = export(capsys, study, tmp_path / "out", *options)
    assert status == 2
    assert sentence in err and err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_planned_targets_lie_around_the_tumour(twin):
    subject = Subject(synthetic_results(twin), twin)
    found = planned_structures(subject, scenario="60 Gy <in 30>")
    assert [(one.name, one.kind) for one in found] == [("CTV", "ctv"), ("PTV", "ptv")]
    steps = np.moveaxis(np.indices(twin.grid.shape), 0, -1)
    points = steps @ twin.grid.affine[:3, :3].T + twin.grid.affine[:3, 3]
    distance = np.linalg.norm(points - CENTRE_MM, axis=-1)
    clinical, planning = (np.asarray(one.image.data) for one in found)
    assert clinical[distance < 10.0].all() and not (clinical & ~planning).any()
    assert distance[clinical].max() < 25.0 + 2.0  # 10 mm and a margin of 15, voxels of 2 mm
    assert distance[planning].max() < 28.0 + 2.0


def test_the_boost_is_the_enhancing_tumour_with_its_necrosis(twin):
    results = synthetic_results(twin)
    course = Radiotherapy(
        total_dose_gy=60.0, fractions=30, start_day=28.0, boost_target="enhancing",
        boost_total_dose_gy=75.0,
    )  # fmt: skip
    study = json.loads(results.attrs["study"])
    study["scenarios"][1]["regimen"] = Regimen(course).as_dict()
    results.attrs["study"] = json.dumps(study)
    found = planned_structures(Subject(results, twin), scenario="60 Gy <in 30>")
    boost = found[-1]
    assert (boost.name, boost.kind) == ("boost 75 Gy", "ptv")
    steps = np.moveaxis(np.indices(twin.grid.shape), 0, -1)
    points = steps @ twin.grid.affine[:3, :3].T + twin.grid.affine[:3, 3]
    np.testing.assert_array_equal(
        boost.image.data, np.linalg.norm(points - CENTRE_MM, axis=-1) < 10.0
    )


def test_a_day_without_visible_tumour_is_said(twin):
    results = synthetic_results(twin)
    results["tumour_density"] = results["tumour_density"] * 0.0
    with pytest.raises(InvalidInput, match="No tissue is above a threshold of visibility"):
        predicted_structures(Subject(results, twin), DAY)
    with pytest.raises(InvalidInput, match="No tissue is above the threshold t1gd"):
        predicted_structures(Subject(results, twin), DAY, thresholds=["t1gd"])
