"""Segmentations, structure sets, doses and plans with damaged bytes: read, or one sentence."""

from __future__ import annotations

import numpy as np
import pytest
from dicom_makers import PATIENT_ID, header, save
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from test_dicom_rt import PLAN, ball, make_dose, make_structures, stack
from test_dicom_seg import make_seg, shapes

from twin.dicom.dose_file import read_dose
from twin.dicom.plan_file import read_plan
from twin.dicom.segmentation import read_segmentation
from twin.dicom.structure_set import read_structure_set
from twin.errors import InvalidInput


def make_plan(path):
    ds, group, used, reference = header(PLAN, "RTPLAN"), Dataset(), Dataset(), Dataset()
    group.FractionGroupNumber, group.NumberOfFractionsPlanned = 1, 30
    used.ReferencedBeamNumber, used.BeamDose = 2, "1.9"
    group.ReferencedBeamSequence = Sequence([used])
    ds.FractionGroupSequence = Sequence([group])
    reference.DoseReferenceType, reference.DoseReferenceStructureType = "TARGET", "VOLUME"
    reference.TargetPrescriptionDose = "60"
    ds.DoseReferenceSequence = Sequence([reference])
    return save(ds, path)


def segments(path):
    return [image.data for image in read_segmentation(path).segments.values()]


def volumes(path):
    found = read_structure_set(path)
    return [found.volume_ml(name) for name in found.structures]


def binary(path):
    return make_seg(path, shapes()["tumour"], range(4), [1] * 4, {1: "t"})


def label_map(path):
    mask = shapes()["tumour"].astype(int)
    return make_seg(path, mask, range(4), [None] * 4, {1: "t"}, kind="LABELMAP")


def structures(path):
    return make_structures(path, {"ball": stack(ball(6.0, np.arange(-5.0, 6.0)))})


@pytest.mark.parametrize(
    ("make", "read"),
    [
        (binary, segments),
        (label_map, segments),
        (structures, volumes),
        (make_dose, read_dose),
        (make_plan, read_plan),
    ],
    ids=["binary", "label map", "structures", "dose", "plan"],
)
def test_damaged_bytes_are_never_a_traceback(tmp_path, make, read):
    whole = make(tmp_path / "whole.dcm").read_bytes()
    read(tmp_path / "whole.dcm")
    rng = np.random.default_rng(11)
    refused = 0
    for _ in range(80):
        data = bytearray(whole)
        for place in rng.integers(132, len(data), rng.integers(1, 6)).tolist():
            data[place] = int(rng.integers(256))
        if rng.random() < 0.1:
            del data[int(rng.integers(200, len(data))) :]
        (tmp_path / "spoilt.dcm").write_bytes(data)
        try:
            read(tmp_path / "spoilt.dcm")
        except InvalidInput as error:
            refused += 1
            assert "\n" not in str(error) and PATIENT_ID not in str(error)
    assert refused > 0


def test_a_point_that_is_no_number_is_said(tmp_path):
    path = structures(tmp_path / "rs.dcm")
    data = path.read_bytes()
    assert data.count(b"\\0.0000\\-5.0000") > 0
    path.write_bytes(data.replace(b"\\0.0000\\-5.0000", b"\\0.00z0\\-5.0000", 1))
    with pytest.raises(InvalidInput, match="has a contour of ball with damaged points"):
        read_structure_set(path)
