"""Names of structures: nothing of who the patient is, none lost, none mixed up."""

from __future__ import annotations

import numpy as np
import pytest
from dicom_makers import NAME, PATIENT_ID, make_series
from pydicom.dataset import Dataset
from rt_makers import make_structures as make_set
from rt_makers import square
from test_dicom_rt import make_dose, make_structures, rectangle, stack
from test_dicom_seg import make_seg, shapes

from twin.dicom.dose_file import read_dose
from twin.dicom.segmentation import read_segmentation
from twin.dicom.structure_names import names_to_show
from twin.dicom.structure_set import read_structure_set
from twin.errors import InvalidInput
from viz.cli import main

SURNAME = NAME.split("^")[0]


def boxes(places, side=10.0):
    return stack({float(z): [rectangle((0, 0), (side, side))] for z in places})


def test_notes_names_and_errors_do_not_hold_the_patients_name(tmp_path):
    path = make_structures(
        tmp_path / "rs.dcm",
        {
            "GTV": boxes(range(3)),
            f"GTV {SURNAME}": boxes((0, 1, 2, 20)),
            f"{SURNAME} empty": [],
            PATIENT_ID: [(np.ones((1, 3)), "POINT")],
            "of Dr. Doctor": boxes((0,)),
        },
    )
    found = read_structure_set(path)
    assert list(found.structures) == ["GTV", "structure 2", "structure 5"]
    assert len(found.notes) == 4
    with pytest.raises(InvalidInput) as caught:
        found.volume_ml("heart")
    said = " ".join([repr(found), str(caught.value), *found.notes, *found.numbers.values()])
    for word in (SURNAME, PATIENT_ID, "Doctor"):
        assert word not in said


def test_segments_do_not_hold_the_patients_name(tmp_path):
    names = {1: "tumour", 2: f"oedema_{SURNAME}", 3: SURNAME.upper()}
    mask = np.concatenate([shapes()["tumour"][:1], shapes()["oedema"][:1]])
    found = read_segmentation(make_seg(tmp_path / "s.dcm", mask, [0, 0], [1, 2], names))
    assert list(found.segments) == ["tumour", "structure 2", "structure 3"]
    assert "without a voxel: structure 3" in found.notes


def test_names_that_other_files_hold_are_not_shown(tmp_path):
    def blank(ds):
        ds.PatientName = ds.PatientID = ""

    parts = {"GTV": boxes(range(3)), f"{SURNAME} empty": []}
    path = make_structures(tmp_path / "rs.dcm", parts, change=blank)
    notes = read_structure_set(path, identifiers=[NAME]).notes
    assert notes == ("without contours: structure 2",)
    mask = shapes()["tumour"][:1]
    path = make_seg(tmp_path / "s.dcm", mask, [0], [1], {1: f"{SURNAME} GTV"}, change=blank)
    assert list(read_segmentation(path, identifiers=[NAME]).segments) == ["structure 1"]


def test_an_import_prints_and_writes_no_name_of_the_patient(tmp_path, capsys):
    make_series(
        tmp_path / "in" / "ct", shape=(12, 40, 40), spacing=(3.0, 1.0, 1.0),
        position=(-15.0, -15.0, -3.0), values=np.arange(12 * 1600).reshape(12, 40, 40) % 900,
    )  # fmt: skip
    contours = {z: square(6.0, z, (4.0, 4.0)) for z in (0.0, 3.0, 6.0, 21.0)}
    make_set(
        tmp_path / "in" / "rs.dcm",
        {"GTV": list(contours.values())[:3], f"GTV {SURNAME}": list(contours.values()),
         f"{SURNAME} empty": []},
    )  # fmt: skip
    assert main(["import", str(tmp_path / "in"), "-o", str(tmp_path / "out")]) == 0
    said = capsys.readouterr()
    assert "has no contour for 15 mm" in said.out + said.err
    assert SURNAME.lower() not in (said.out + said.err).lower()
    written = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(written) > 3
    for path in written:
        assert SURNAME.lower() not in path.name.lower()
        assert SURNAME.lower().encode() not in path.read_bytes().lower()


def test_names_that_a_number_would_make_alike_stay_apart(tmp_path):
    path = make_structures(
        tmp_path / "rs.dcm",
        {"Lesion 3": boxes(range(2)), "Lesion": boxes(range(4)), "Lesion ": boxes(range(8))},
    )
    found = read_structure_set(path)
    volumes = {name: round(found.volume_ml(name), 6) for name in found.structures}
    assert volumes == {"Lesion 3": 0.2, "Lesion": 0.4, "Lesion 3 3": 0.8}
    labels = [(1, "a"), (2, "a"), (3, "a 2"), (4, "a 2 2")]
    assert names_to_show(Dataset(), labels) == {1: "a", 2: "a 2 2 2", 3: "a 2", 4: "a 2 2"}


def test_contours_of_several_items_of_one_structure_come_together(tmp_path):
    def join(ds):
        ds.ROIContourSequence[1].ReferencedROINumber = 1

    parts = {"liver": boxes(range(3)), "rest": boxes(range(3, 6))}
    found = read_structure_set(make_structures(tmp_path / "rs.dcm", parts, change=join))
    assert found.volume_ml("liver") == pytest.approx(0.6)
    assert "without contours: rest" in found.notes


def test_words_of_a_dose_that_the_standard_does_not_know_are_not_repeated(tmp_path):
    for key in ("DoseUnits", "DoseType"):
        path = make_dose(
            tmp_path / "d.dcm", change=lambda ds, key=key: setattr(ds, key, SURNAME.upper())
        )
        with pytest.raises(InvalidInput, match="not known") as caught:
            read_dose(path)
        assert SURNAME.lower() not in str(caught.value).lower()
    path = make_dose(
        tmp_path / "d.dcm", change=lambda ds: setattr(ds, "DoseSummationType", SURNAME.upper())
    )
    dose = read_dose(path)
    assert dose.summation == "" and SURNAME.lower() not in " ".join(dose.notes).lower()
