"""``twin dvh``: closed forms, a real plan's own histograms, what is refused."""

from __future__ import annotations

import csv
import json

import nibabel as nib
import nrrd
import numpy as np
import pytest
from dicom_makers import NAME
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from real_data import real_data
from rt_makers import make_dose, make_structures, square
from test_dicom_seg import make_seg

import twin.structure_doses
from twin.dicom.structure_set import Contours
from twin.dose_histogram import histogram_of_voxels
from twin.errors import InvalidInput
from twin.images import Image
from twin.outlines import Drawn
from twin.structure_doses import structure_dose
from viz.cli import main

SIDE, SLOPE = 2.0, 1.0  # [mm], [Gy/mm] along x
COUNT = 30


def nifti(path, data, spacing=(SIDE,) * 3, low=(0.0, 0.0, 0.0)):
    """An image whose first voxel begins, with its edge, at `low` [mm]."""
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = np.array(low) + np.array(spacing) / 2.0
    image = nib.Nifti1Image(np.asarray(data), affine)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)
    return path


def rising(count=COUNT, side=SIDE):
    """Dose SLOPE times x, x from 0 at the grid's edge, [Gy]."""
    middles = side * (np.arange(count) + 0.5)
    return np.broadcast_to((SLOPE * middles)[:, None, None], (count,) * 3).astype(np.float32)


@pytest.fixture
def dose(tmp_path):
    return nifti(tmp_path / "dose.nii.gz", rising())


def box_labels(low, high, count=COUNT, number=1):
    labels = np.zeros((count,) * 3, np.uint8)
    labels[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = number
    return labels


def dvh(capsys, *arguments, status=0):
    capsys.readouterr()
    found = main(["dvh", *map(str, arguments), "--quiet"])
    out, err = capsys.readouterr()
    assert found == status, err
    assert "Traceback" not in err
    return out if status == 0 else err


def structures(capsys, *arguments):
    """By name what the command says as JSON."""
    said = json.loads(dvh(capsys, *arguments, "--json"))
    return {one["name"]: one for one in said["structures"]}


# Closed forms


@pytest.mark.parametrize("convention", ["step", "linear"])
def test_a_box_in_a_linear_dose(capsys, tmp_path, dose, convention):
    """x from 20 to 40 mm: the dose is even between 20 and 40 Gy."""
    masks = nifti(tmp_path / "box.nii.gz", box_labels((10, 5, 5), (20, 9, 10)))
    one = structures(
        capsys, "--dose", dose, "--structures", masks, "--convention", convention, "--at", "25 Gy",
        "--at", "3900 cGy", "--geud", "4", "--prescription", "30 Gy",
    )["label 1"]  # fmt: skip
    assert one["grid"] == {"of": "structure", "parts": [5, 5, 5], "spacing_mm": [0.4, 0.4, 0.4]}
    assert one["volume_ml"] == pytest.approx(20 * 8 * 10 / 1e3)
    assert one["covered_share"] == 1.0
    assert one["mean_gy"] == pytest.approx(30.0, abs=1e-4)
    step = 0.4  # between the parts of voxels
    assert one["min_gy"] == pytest.approx(20.2, abs=1e-4)
    assert one["max_gy"] == pytest.approx(39.8, abs=1e-4)
    for key, share in (("d98", 0.98), ("d95", 0.95), ("d50", 0.5), ("d2", 0.02)):
        near = step / 2.0 + 1e-4 if convention == "step" else step / 2.0
        assert one[f"{key}_gy"] == pytest.approx(40.0 - 20.0 * share, abs=near)
    # V25, V39, V of 28.5 and of 32.1 Gy, to the part of a voxel
    shares = [v["share"] for v in one["v"]]
    np.testing.assert_allclose(shares, [0.75, 0.05, 0.575, 0.395], atol=step / 20.0 / 2.0 + 1e-6)
    power = (40.0**5 - 20.0**5) / (5 * 20.0)  # mean of D^4
    assert one["geud_gy"] == pytest.approx(power**0.25, rel=1e-3)


def test_conventions_differ_by_a_voxels_step(capsys, tmp_path, dose):
    """Of 10 even doses 21, 23, ... 39 Gy, each once a voxel of 2 mm."""
    masks = nifti(tmp_path / "box.nii.gz", box_labels((10, 5, 5), (20, 9, 10)))
    given = ("--dose", dose, "--structures", masks, "--parts", "1")
    step = structures(capsys, *given)["label 1"]
    assert (step["d98_gy"], step["d95_gy"], step["d50_gy"], step["d2_gy"]) == (21, 21, 31, 39)
    linear = structures(capsys, *given, "--convention", "linear")["label 1"]
    doses = np.repeat(np.arange(21.0, 40.0, 2.0), 20)
    for key, share in (("d98", 0.98), ("d95", 0.95), ("d50", 0.5), ("d2", 0.02)):
        wanted = np.percentile(doses, 100 * (1 - share))
        assert linear[f"{key}_gy"] == pytest.approx(wanted, abs=1e-5)


def test_linear_doses_of_parts_lie_at_the_middles_of_cumulated_volumes():
    found = histogram_of_voxels([10.0, 20.0, 40.0], [1.0, 2.0, 1.0])
    # from the cold end the middles are at 0.5, 2 and 3.5 of 4
    for share, wanted in ((0.5, 20.0), (0.25, 20.0 + 20.0 / 1.5), (1.0, 10.0), (0.0, 40.0)):
        assert found.dose_at(share, convention="linear") == pytest.approx(wanted)
    assert found.dose_at_volume(1.0, convention="linear") == pytest.approx(20.0 + 20.0 / 1.5)
    with pytest.raises(ValueError, match="may be 'step' or 'linear'"):
        found.dose_at(0.5, convention="lineal")
    assert found.generalised_mean(0.0) == pytest.approx((10.0 * 20.0**2 * 40.0) ** 0.25)


def test_a_level_that_is_the_dose_counts_as_reached(capsys, tmp_path):
    even = nifti(tmp_path / "even.nii.gz", np.full((8, 8, 8), 40.05, np.float32))
    masks = nifti(tmp_path / "box.nii.gz", box_labels((2, 2, 2), (5, 5, 5), 8))
    one = structures(capsys, "--dose", even, "--structures", masks, "--at", "40.05 Gy")["label 1"]
    assert one["v"][0]["share"] == 1.0


def ball(radius, planes=1.0, corners=360):
    """Circles in LPS about the point (30, 30, 30) in RAS."""
    turn = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    places = np.arange(-radius + planes / 2, radius, planes)
    return [
        np.column_stack([
            -30 + np.sqrt(radius**2 - z**2) * np.cos(turn),
            -30 + np.sqrt(radius**2 - z**2) * np.sin(turn),
            np.full(corners, 30 + z),
        ])
        for z in places
    ]  # fmt: skip


def rt_dose(path, gray=None, **more):
    """The rising dose as RTDOSE on the same voxels."""
    gray = rising() if gray is None else gray
    first = SIDE / 2.0
    return make_dose(
        path, gray.transpose(2, 1, 0)[:, ::-1, ::-1], spacing=(SIDE,) * 3,
        position=(-first - SIDE * (COUNT - 1), -first - SIDE * (COUNT - 1), first), **more,
    )  # fmt: skip


@pytest.mark.parametrize("radius", [4.0, 9.0, 20.0])
def test_balls_of_contours_in_a_linear_dose(capsys, tmp_path, radius):
    """The share above a plane at h radii from the middle is (2 + h)(1 - h)^2/4."""
    plan = rt_dose(tmp_path / "d.dcm")
    outlines = make_structures(tmp_path / "s.dcm", {"ball": ball(radius)})
    heights = np.array([-0.5, 0.0, 0.25, 0.6])
    levels = [word for h in heights for word in ("--at", f"{30 + radius * h:g} Gy")]
    one = structures(capsys, "--dose", plan, "--structures", outlines, *levels)["ball"]
    assert one["volume_ml"] == pytest.approx(4 / 3 * np.pi * radius**3 / 1e3, rel=0.02)
    assert one["mean_gy"] == pytest.approx(30.0, abs=0.02)
    shares = np.array([v["share"] for v in one["v"]])
    side = one["grid"]["spacing_mm"][0]
    wanted = (2 + heights) * (1 - heights) ** 2 / 4
    # a half of a voxel's part along x, where the ball is widest
    np.testing.assert_allclose(shares, wanted, atol=0.75 * side / 2 / radius + 0.005)
    assert one["grid"]["parts"] == [{4.0: 5, 9.0: 5, 20.0: 3}[radius]] * 3
    assert one["grid"]["of"] == "dose"


@pytest.mark.parametrize(
    ("factor", "grid"), [(1, (2.0, 2.0, 2.0)), (2, (4.0, 4.0, 4.0)), (0.5, (1.0, 1.0, 1.0))]
)
def test_masks_on_any_voxels_keep_their_volume_and_mean(capsys, tmp_path, dose, factor, grid):
    """x from 16 to 40 mm, on voxels as long as the dose's, twice, and half as long."""
    count = round(COUNT * 2 / grid[0])
    side = grid[0]
    low, high = np.array([16, 12, 8]) / side, np.array([40, 24, 20]) / side
    labels = box_labels(low.astype(int), high.astype(int), count)
    masks = nifti(tmp_path / "box.nii.gz", labels, grid)
    for way in ((), ("--parts", "1"), ("--parts", "3")):
        one = structures(capsys, "--dose", dose, "--structures", masks, *way)["label 1"]
        assert one["volume_ml"] == pytest.approx(24 * 12 * 12 / 1e3)
        assert one["mean_gy"] == pytest.approx(28.0, abs=1e-3)
        assert max(one["grid"]["spacing_mm"]) <= SIDE
        reach = one["grid"]["spacing_mm"][0] / 2.0
        assert one["max_gy"] == pytest.approx(40.0 - reach, abs=1e-3)


def test_a_large_structure_on_finer_voxels_goes_onto_the_dose(capsys, tmp_path, dose, monkeypatch):
    monkeypatch.setattr(twin.structure_doses, "_MOST", 1000)
    # edges off the dose's voxels by half of one, and beyond the dose at the end
    labels = box_labels((17, 5, 5), (41, 30, 30), 80)
    masks = nifti(tmp_path / "box.nii.gz", labels, (1.0, 1.0, 1.0))
    one = structures(capsys, "--dose", dose, "--structures", masks)["label 1"]
    assert one["grid"]["of"] == "dose"
    assert one["volume_ml"] == pytest.approx(24 * 25 * 25 / 1e3)
    assert one["mean_gy"] == pytest.approx(29.0, abs=1e-3)
    assert one["covered_share"] == pytest.approx(1.0, abs=1e-5)
    masks = nifti(tmp_path / "out.nii.gz", box_labels((48, 5, 5), (72, 30, 30), 80), (1.0,) * 3)
    one = structures(capsys, "--dose", dose, "--structures", masks)["label 1"]
    assert one["covered_share"] == pytest.approx(0.5, abs=1e-5)
    assert one["mean_gy"] == pytest.approx(54.0, abs=1e-3)


# What the dose covers


@pytest.mark.parametrize("kind", ["labels", "contours"])
def test_a_structure_that_reaches_beyond_the_dose_is_said(capsys, tmp_path, dose, kind):
    """x from 50 to 70 mm, of which the dose's 60 mm cover half, and a box wholly outside."""
    if kind == "labels":
        labels = box_labels((25, 5, 5), (35, 15, 15), 60) + 2 * box_labels(
            (40, 5, 5), (50, 9, 9), 60
        )
        plan, drawn = dose, nifti(tmp_path / "s.nii.gz", labels)
        inside, outside = "label 1", "label 2"
    else:
        plan = rt_dose(tmp_path / "d.dcm")
        places = np.arange(11.0, 30.0, 2.0)
        drawn = make_structures(
            tmp_path / "s.dcm",
            {
                "PTV": [square(20.0, z, (-60.0, -20.0)) for z in places],
                "Heart": [square(10.0, z, (-90.0, -20.0)) for z in places],
            },
        )
        inside, outside = "PTV", "Heart"
    found = structures(capsys, "--dose", plan, "--structures", drawn)
    half, none = found[inside], found[outside]
    assert half["volume_ml"] == pytest.approx(20 * 20 * 20 / 1e3, rel=1e-5)
    assert half["covered_share"] == pytest.approx(0.5, abs=1e-4)
    # beyond the middles of the outermost voxels the dose is not extrapolated
    assert half["mean_gy"] == pytest.approx(55.0, abs=SLOPE * SIDE / 4.0 / 10.0)
    assert none["covered_share"] == 0.0
    assert none["mean_gy"] is none["d95_gy"] is None
    text = dvh(capsys, "--dose", plan, "--structures", drawn)
    assert f"The dose does not cover all of {inside} (50.0 %): their figures are of" in text
    assert f"The dose covers nothing of {outside}." in text


def test_nothing_covered_is_refused(capsys, tmp_path, dose):
    masks = nifti(tmp_path / "far.nii.gz", np.ones((3, 3, 3), np.uint8), low=(500, 0, 0))
    text = dvh(capsys, "--dose", dose, "--structures", masks, status=2)
    assert "covers none of the structures label 1" in text


def test_a_structure_absurdly_larger_than_the_dose_is_refused():
    huge = np.array([(-5e4, -5e4, 0), (5e4, -5e4, 0), (5e4, 5e4, 0), (-5e4, 5e4, 0)])
    normal, places = np.array([0.0, 0.0, 1.0]), np.array([0.0, 3.0])
    contours = Contours(normal, places, ((huge,), (huge + 3.0 * normal,)))
    with pytest.raises(InvalidInput, match="far beyond it; check that they belong together"):
        structure_dose("Huge", Drawn(contours), Image(rising(), np.diag([SIDE] * 3 + [1.0])))


# Files


def test_names_of_labels(capsys, tmp_path, dose):
    labels = box_labels((2, 2, 2), (5, 5, 5)) + 5 * box_labels((8, 8, 8), (12, 12, 12))
    masks = nifti(tmp_path / "l.nii.gz", labels)
    given = ("--dose", dose, "--structures", masks)
    assert set(structures(capsys, *given)) == {"label 1", "label 5"}
    assert set(structures(capsys, *given, "--labels", "totalsegmentator")) == {"spleen", "liver"}
    assert set(structures(capsys, *given, "--labels", "totalsegmentator", "--structure",
                          "liver")) == {"liver"}  # fmt: skip
    assert "did you mean 'liver'" in dvh(
        capsys, *given, "--labels", "totalsegmentator", "--structure", "livre", status=2
    )


def test_segments_of_slicer_may_overlap(capsys, tmp_path):
    layers = np.zeros((2, 20, 20, 20), np.uint8)
    layers[0, 4:8, 4:8, 4:8] = 1
    layers[1, 4:14, 4:8, 4:8] = 1
    header = {
        "space": "right-anterior-superior",
        "space directions": np.vstack([np.full(3, np.nan), np.eye(3)]),
        "space origin": np.full(3, 0.5),
        "kinds": ["list", "domain", "domain", "domain"],
        **{f"Segment{k}_Name": name for k, name in enumerate(("GTV", "Brain"))},
        **{f"Segment{k}_Layer": str(k) for k in (0, 1)},
        **{f"Segment{k}_LabelValue": "1" for k in (0, 1)},
    }
    nrrd.write(str(tmp_path / "a.seg.nrrd"), layers, header, index_order="F")
    plan = tmp_path / "d.nrrd"
    plain = {k: v for k, v in header.items() if k == "space" or k == "space origin"}
    nrrd.write(
        str(plan), 100.0 * rising(20, 1.0), {**plain, "space directions": np.eye(3)},
        index_order="F",
    )  # fmt: skip
    assert "--unit cGy" in dvh(
        capsys, "--dose", plan, "--structures", tmp_path / "a.seg.nrrd", status=2
    )
    found = structures(
        capsys, "--dose", plan, "--unit", "cGy", "--structures", tmp_path / "a.seg.nrrd"
    )
    assert [found[name]["volume_ml"] for name in ("GTV", "Brain")] == pytest.approx([0.064, 0.16])
    assert [found[name]["mean_gy"] for name in ("GTV", "Brain")] == pytest.approx([6.0, 9.0])


def test_a_dicom_segmentation(capsys, tmp_path):
    """Two of its slices of 1.5 x 1 mm pixels (see test_dicom_seg), in an even dose."""
    frames = np.zeros((2, 6, 8), bool)
    frames[:, 2:4, 3:6] = True
    path = make_seg(tmp_path / "seg.dcm", frames, (0, 1), (1, 1), {1: "Liver"})
    plan = make_dose(
        tmp_path / "d.dcm", np.full((40, 60, 60), 12.5), position=(-60.0, -60.0, -60.0),
        spacing=(4.0, 4.0, 4.0),
    )  # fmt: skip
    one = structures(capsys, "--dose", plan, "--structures", path)["Liver"]
    image = dcmread(path).SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    area = float(np.prod([float(side) for side in image.PixelSpacing]))
    slices = one["volume_ml"] * 1e3 / (6 * area)
    assert slices == pytest.approx(2 * round(slices / 2, 6))
    assert (one["mean_gy"], one["covered_share"]) == (pytest.approx(12.5), 1.0)
    assert "has voxels and no contours" in dvh(
        capsys, "--dose", plan, "--structures", path, "--interpolate", "Liver", status=2
    )


def test_what_the_dose_is_and_whose_it_is(capsys, tmp_path):
    """Kind and part are told; the patient is not, neither in text nor in JSON nor in files."""
    plan = rt_dose(tmp_path / "d.dcm")
    dataset = dcmread(plan)
    dataset.DoseType, dataset.DoseSummationType = "EFFECTIVE", "FRACTION"
    dataset.save_as(plan)
    surname = NAME.split("^")[0]
    drawn = make_structures(tmp_path / "s.dcm", {f"GTV {surname}": ball(9.0), "PTV": ball(12.0)})
    curves, drawing = tmp_path / "c.csv", tmp_path / "p.png"
    said = dvh(
        capsys, "--dose", plan, "--structures", drawn, "--output", curves, "--picture", drawing
    )
    assert "effective dose of a fraction" in said
    assert "dose of a fraction, not of a plan" in said
    told = [said, curves.read_text("utf-8"), drawing.read_bytes().decode("latin-1")]
    told.append(dvh(capsys, "--dose", plan, "--structures", drawn, "--json"))
    for text in told:
        for word in (surname, "SECRET", "ACCESSION", "Nowhere", "Invented"):
            assert word not in text
    assert "structure 1" in said
    # a structure set without the name in its header: the dose's header tells it
    dataset = dcmread(drawn)
    dataset.PatientName, dataset.PatientID = "", ""
    dataset.save_as(drawn)
    assert surname not in dvh(capsys, "--dose", plan, "--structures", drawn)


def test_the_curves_and_the_picture_are_written(capsys, tmp_path, dose):
    masks = nifti(tmp_path / "box.nii.gz", box_labels((10, 5, 5), (20, 9, 10)))
    curves, drawing = tmp_path / "c.csv", tmp_path / "p.png"
    given = ("--dose", dose, "--structures", masks, "--output", curves, "--picture", drawing)
    dvh(capsys, *given, "--step-gy", "0.5", "--prescription", "30 Gy")
    with curves.open() as file:
        rows = list(csv.DictReader(file))
    level = np.array([float(row["dose_gy"]) for row in rows])
    percent = np.array([float(row["volume_percent"]) for row in rows])
    np.testing.assert_allclose(np.diff(level), 0.5)
    assert level[-1] > 39.8
    np.testing.assert_allclose(percent, np.clip(100 * (40 - level) / 20, 0, 100), atol=1.0 + 1e-3)
    assert percent[-1] == 0.0
    assert drawing.read_bytes().startswith(b"\x89PNG")
    before = curves.read_bytes()
    assert "--force" in dvh(capsys, *given, status=2)
    assert curves.read_bytes() == before
    dvh(capsys, *given, "--force")
    assert curves.read_bytes() != before


def test_names_that_no_legend_can_show(capsys, tmp_path, dose):
    """Letters that the font lacks, what matplotlib takes for a formula or leaves out."""
    labels = box_labels((2, 2, 2), (5, 5, 5)) + 2 * box_labels((8, 8, 8), (12, 12, 12))
    own = tmp_path / "own.toml"
    own.write_text('format = 1\n[labels]\n"\u5fc3\u810f" = 1\n"_x$y$" = 2\n', encoding="utf-8")
    masks, drawing = nifti(tmp_path / "l.nii.gz", labels), tmp_path / "p.png"
    given = ("--dose", dose, "--structures", masks, "--labels", own, "--picture", drawing)
    assert set(structures(capsys, *given)) == {"\u5fc3\u810f", "_x$y$"}
    assert drawing.read_bytes().startswith(b"\x89PNG")


def test_one_structure_without_volume_does_not_stop_the_others(capsys, folder):
    given = ("--dose", folder / "plan.dcm", "--structures", folder / "drawn.dcm")
    text = dvh(capsys, *given)
    assert "Contours that enclose no volume: Line." in text
    assert "The dose covers nothing of Far." in text
    found = structures(capsys, *given, "--structure", "Heart")
    assert found["Heart"]["mean_gy"] == pytest.approx(30.0, abs=0.02)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Good files and bad ones."""
    place = tmp_path_factory.mktemp("bad")
    nifti(place / "dose.nii.gz", rising())
    nifti(place / "good.nii.gz", box_labels((10, 5, 5), (20, 9, 10)))
    nifti(place / "empty.nii.gz", np.zeros((4, 4, 4), np.uint8))
    nifti(place / "negative.nii.gz", np.arange(-3, 5, dtype=np.int16).reshape(2, 2, 2))
    nifti(place / "hot.nii.gz", 1000.0 * rising())
    nifti(place / "halves.nii.gz", 0.5 * rising())
    nifti(place / "nan.nii.gz", np.where(rising() > 50, np.nan, rising()))
    for name in ("text.txt", "text.csv"):
        (place / name).write_text("nothing")
    rt_dose(place / "plan.dcm")
    rt_dose(place / "relative.dcm", units="RELATIVE")
    line = [np.array([(-30.0, -30, z), (-31.0, -30, z), (-32.0, -30, z)]) for z in (20.0, 23.0)]
    far = [square(9.0, z, (-9e4, 9e4)) for z in (0.0, 9e4)]
    outlines = {"Heart": ball(9.0), "Empty": [], "Line": line, "Far": far}
    make_structures(place / "drawn.dcm", outlines)
    make_structures(place / "elsewhere.dcm", outlines, frame=2)
    return place


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--dose", "none.nii.gz"), "none.nii.gz does not exist"),
        (("--structures", "none.nii.gz"), "none.nii.gz do not exist"),
        (("--dose", "."), "is a folder"),
        (("--structures", "."), "are a folder"),
        (("--dose", "text.txt"), "neither a DICOM file nor named"),
        (("--structures", "text.txt"), "neither a DICOM structure set"),
        (("--structures", "halves.nii.gz"), "are no label map"),
        (("--structures", "empty.nii.gz"), "background only"),
        (("--structures", "negative.nii.gz"), "labels lie between 0 and 32767"),
        (("--dose", "negative.nii.gz"), "goes down to -3 Gy"),
        (("--dose", "hot.nii.gz"), "above 200 Gy; if it is in cGy, give --unit cGy"),
        (("--dose", "hot.nii.gz", "--unit", "cGy"), "above 200 Gy; if so much is meant"),
        (("--dose", "nan.nii.gz"), "NaN"),
        (("--dose", "plan.dcm", "--unit", "Gy"), "states its unit; leave --unit out"),
        (("--dose", "plan.dcm", "--confirm-high-dose"), "leave --confirm-high-dose out"),
        (("--dose", "relative.dcm"), "relative"),
        (("--dose", "drawn.dcm"), "not an RT dose"),
        (("--structures", "plan.dcm"), "neither a DICOM structure set"),
        (("--structures", "drawn.dcm", "--labels", "brats"), "leave --labels out"),
        (("--structures", "drawn.dcm", "--structure", "Hart"), "did you mean 'Heart'"),
        (("--structures", "drawn.dcm", "--structure", "Empty"), "no closed contour of Empty"),
        (("--structures", "drawn.dcm", "--structure", "Line"), "no volume"),
        (("--structures", "drawn.dcm", "--structure", "Far"), "covers none of"),
        (("--structures", "drawn.dcm", "--interpolate", "Hart"), "did you mean 'Heart'"),
        (("--structures", "elsewhere.dcm", "--dose", "plan.dcm"), "different frames of reference"),
        (("--structures", "drawn.dcm", "--dose", "plan.dcm", "--against-stored"), "no histogram"),
        (("--against-stored",), "needs the structure set"),
        (("--interpolate", "label 1"), "--interpolate has no meaning"),
        (("--end-slabs", "none"), "--end-slabs none has no meaning"),
        (("--labels", "brast"), "did you mean"),
        (("--structure", "label 7"), "no structure 'label 7'"),
        (("--at", "20"), "has no unit"),
        (("--at", "20 mm"), "does not convert to Gy"),
        (("--at", "nan Gy"), "not a finite number"),
        (("--at", "-2 Gy"), "must be at least 0"),
        (("--at", "0 Gy"), "is no dose"),
        (("--prescription", "fifty"), "--prescription"),
        (("--geud", "nan"), "must be finite"),
        (("--geud", "inf"), "must be finite"),
        (("--convention", "lineal"), "invalid choice"),
        (("--parts", "2"), "invalid choice"),
        (("--step-gy", "1"), "--step-gy goes with --output"),
        (("--output", "c.csv", "--step-gy", "0"), "--step-gy is 0 Gy"),
        (("--output", "c.csv", "--step-gy", "nan"), "--step-gy is nan Gy"),
        (("--output", "c.csv", "--step-gy", "1e-5"), "give at least 0.001 Gy"),
        (("--output", "c.txt"), "must end in .csv"),
        (("--picture", "c.jpg"), "must end in .png"),
        (("--output", "nowhere/c.csv"), "does not exist"),
        (("--output", "text.csv"), "replace it with --force"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(
    capsys, folder, monkeypatch, arguments, sentence
):
    monkeypatch.chdir(folder)
    before = sorted(folder.iterdir())
    given = dict(zip(arguments[::2], arguments[1::2], strict=False))
    words = [] if "--dose" in given else ["--dose", "dose.nii.gz"]
    words += [] if "--structures" in given else ["--structures", "good.nii.gz"]
    told = dvh(capsys, *words, *arguments, status=2)
    assert sentence in told
    assert told.startswith("twin: ")
    assert told.count("\n") == 1
    assert sorted(folder.iterdir()) == before
    assert (folder / "text.csv").read_text() == "nothing"


def test_a_high_dose_that_is_confirmed_is_taken(capsys, tmp_path):
    hot = nifti(tmp_path / "hot.nii.gz", 5.0 * rising())
    masks = nifti(tmp_path / "box.nii.gz", box_labels((10, 5, 5), (20, 9, 10)))
    one = structures(capsys, "--dose", hot, "--structures", masks, "--confirm-high-dose")
    assert one["label 1"]["mean_gy"] == pytest.approx(150.0, rel=1e-5)


def test_contours_on_one_plane_are_as_thick_as_planes_lie_elsewhere(capsys, tmp_path):
    plan = rt_dose(tmp_path / "d.dcm")
    drawn = make_structures(
        tmp_path / "s.dcm",
        {
            "Cord": [square(10.0, z, (-30.0, -30.0)) for z in np.arange(20.0, 40.0, 3.0)],
            "Point": [square(10.0, 30.0, (-30.0, -30.0))],
        },
    )
    for slabs in ("half", "none"):
        given = ("--dose", plan, "--structures", drawn, "--end-slabs", slabs)
        found = structures(capsys, *given)
        assert found["Point"]["volume_ml"] == pytest.approx(0.3, rel=1e-4)
        thick = {"half": 21.0, "none": 18.0}[slabs]
        assert found["Cord"]["volume_ml"] == pytest.approx(0.1 * thick, rel=1e-4)
        assert found["Cord"]["mean_gy"] == pytest.approx(30.0, abs=1e-3)
        assert "Point is taken to be 3 mm thick" in dvh(capsys, *given)


# Beside a planning system's histograms


def test_stored_histograms_of_a_box_in_closed_form(capsys, tmp_path):
    """Bins of 1 Gy of a dose that is even from 20 to 40 Gy; a box of 8 mL."""
    plan = rt_dose(tmp_path / "d.dcm")
    edges = np.arange(0.0, 45.0)
    volumes = 8.0 * np.clip((40.0 - (edges + 0.5)) / 20.0, 0.0, 1.0)
    item, of = Dataset(), Dataset()
    of.ReferencedROINumber, of.DVHROIContributionType = 1, "INCLUDED"
    item.DVHReferencedROISequence = Sequence([of])
    item.DVHType, item.DoseUnits, item.DoseType = "CUMULATIVE", "GY", "PHYSICAL"
    item.DVHDoseScaling, item.DVHVolumeUnits = "1", "CM3"
    item.DVHNumberOfBins = len(edges)
    item.DVHData = [f"{v:.6g}" for pair in zip(np.ones(len(edges)), volumes) for v in pair]  # noqa: B905
    dataset = dcmread(plan)
    dataset.DVHSequence = Sequence([item])
    other = Dataset()
    other.ReferencedSOPClassUID, other.ReferencedSOPInstanceUID = "1.2.3", "1.2.3.4"
    dataset.ReferencedStructureSetSequence = Sequence([other])
    dataset.save_as(plan)
    places = np.arange(20.0, 41.0, 2.0)
    drawn = make_structures(
        tmp_path / "s.dcm",
        {"Box": [square(20.0, z, (-30.0, -30.0)) for z in places], "Heart": ball(9.0)},
    )
    given = ("--dose", plan, "--structures", drawn, "--against-stored", "--end-slabs", "none")
    said = json.loads(dvh(capsys, *given, "--json", "--picture", tmp_path / "p.png"))
    row = said["against_stored"]["Box"]
    assert list(said["against_stored"]) == ["Box"]
    assert row["volume_ml"] == {"ours": pytest.approx(8.0, rel=1e-4), "stored": 8.0}
    assert row["mean_gy"]["ours"] == pytest.approx(30.0, abs=0.01)
    assert row["mean_gy"]["stored"] == pytest.approx(30.0, abs=0.01)
    for key, share in (("d98", 0.98), ("d95", 0.95), ("d50", 0.5), ("d2", 0.02)):
        wanted = 40.0 - 20.0 * share
        assert row[f"{key}_gy"]["ours"] == pytest.approx(wanted, abs=SIDE / 6.0 + 0.01)
        assert row[f"{key}_gy"]["stored"] == pytest.approx(wanted, abs=1.0)
    text = dvh(capsys, *given, "--prescription", "30 Gy")
    assert "Without a stored histogram, or not covered: Heart." in text
    assert "refer to another structure set" in text
    assert "within 1 % of 30 Gy or one bin for all of them" in text


PRESCRIBED_GY = 14.0


@pytest.fixture(scope="module")
def plan_files():
    folder = real_data("dicompyler-rtplan")
    return ("--dose", folder / "rtdose.dcm", "--structures", folder / "rtss.dcm")


@pytest.mark.parametrize("interpolated", [False, True])
def test_a_real_plan_against_its_planning_systems_histograms(capsys, plan_files, interpolated):
    """Nine structures; the scar of 0.34 mL is another one when its contours stay slabs."""
    way = ("--interpolate", "Scar") if interpolated else ()
    said = json.loads(
        dvh(capsys, *plan_files, "--against-stored", "--end-slabs", "none", *way, "--json")
    )
    beside = said["against_stored"]
    assert len(beside) == 9
    apart = set()
    for name, row in beside.items():
        limit = 0.01 if name == "Scar" and interpolated else 0.005
        ours, theirs = row["mean_gy"]["ours"], row["mean_gy"]["stored"]
        # a tenth of a bin, of which Nodes have 10 in all
        assert ours == pytest.approx(theirs, rel=limit, abs=0.1 * row["bin_gy"]), name
        for key in ("d95_gy", "d50_gy", "d2_gy"):
            allowed = max(0.01 * PRESCRIBED_GY, row["bin_gy"])
            if abs(row[key]["ours"] - row[key]["stored"]) > allowed:
                apart.add((name, key))
        if row["volume_ml"]["stored"] > 1.0:
            assert row["volume_ml"]["ours"] == pytest.approx(row["volume_ml"]["stored"], rel=0.008)
    assert apart == (set() if interpolated else {("Scar", "d2_gy")})
    assert all(one["covered_share"] == pytest.approx(1.0) for one in said["structures"])
    assert said["dose"]["kind"] == "physical"
    noted = any("Scar changes so much from plane to plane" in note for note in said["notes"])
    assert noted is not interpolated
