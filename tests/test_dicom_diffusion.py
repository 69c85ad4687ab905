"""Diffusion series: volumes, b-values and directions in the patient's RAS axes."""

from __future__ import annotations

import numpy as np
import pytest
from dicom_makers import AXIAL, make_enhanced, make_series
from pydicom.dataset import Dataset

from twin.dicom.diffusion import read_diffusion
from twin.errors import InvalidInput

SHAPE = (3, 4, 5)
OBLIQUE = (0.8, 0.6, 0.0, -0.6, 0.8, 0.0)
# b-value, direction in LPS, and a value that tells the volume
VOLUMES = [
    (0.0, None, 100),
    (1000.0, (1.0, 0.0, 0.0), 30),
    (1000.0, (0.0, 0.6, 0.8), 40),
    (0.0, None, 110),
    (500.0, (0.0, 1.0, 0.0), 60),
]
# by rising b-value, repetitions as they were acquired; directions turned from LPS to RAS
EXPECTED = [
    (0.0, (0.0, 0.0, 0.0), 100),
    (0.0, (0.0, 0.0, 0.0), 110),
    (500.0, (0.0, -1.0, 0.0), 60),
    (1000.0, (0.0, -0.6, 0.8), 40),
    (1000.0, (-1.0, 0.0, 0.0), 30),
]


def standard(ds, b_value, direction):
    ds.DiffusionBValue = b_value
    if direction is not None:
        ds.DiffusionGradientOrientation = list(direction)


def siemens(ds, b_value, direction):
    block = ds.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    block.add_new(0x0C, "IS", str(int(b_value)))
    if direction is not None:
        block.add_new(0x0E, "FD", list(direction))


def make_volumes(folder, write=standard, *, volumes=VOLUMES, orientation=AXIAL):
    paths = []
    for number, (b_value, direction, value) in enumerate(volumes):

        def change(ds, k, b_value=b_value, direction=direction, number=number):
            write(ds, b_value, direction)
            ds.InstanceNumber = 100 * number + k
            ds.SOPInstanceUID = f"{ds.SOPInstanceUID}.{number}"[-64:]

        paths += make_series(
            folder / str(number), modality="MR", shape=SHAPE, orientation=orientation,
            values=np.arange(60).reshape(SHAPE) + 1000 * value, change=change, dtype=np.int32,
        )  # fmt: skip
    return paths[::-1]


@pytest.fixture(autouse=True)
def _wide_pixels(monkeypatch):
    import dicom_makers

    plain = dicom_makers.set_pixels
    monkeypatch.setattr(dicom_makers, "set_pixels", lambda ds, stored: plain(ds, stored, bits=32))


@pytest.mark.parametrize("write", [standard, siemens])
@pytest.mark.parametrize("orientation", [AXIAL, OBLIQUE], ids=["axial", "oblique"])
def test_volumes_come_by_rising_b_value_with_directions_in_world_axes(tmp_path, write, orientation):
    found = read_diffusion(make_volumes(tmp_path, write, orientation=orientation))
    assert found.b_values.tolist() == [b for b, _, _ in EXPECTED]
    assert np.allclose(found.directions, [way for _, way, _ in EXPECTED], atol=1e-4)
    assert found.data.dtype == np.float32
    assert found.data.shape == (5, 4, 3, 5)
    values = np.arange(60).reshape(SHAPE).transpose(2, 1, 0)[::-1, ::-1]
    for number, (_, _, value) in enumerate(EXPECTED):
        assert np.array_equal(found.data[..., number], values + 1000 * value)
    assert found.affine[2, 2] == pytest.approx(2.0)
    assert found.notes == ()


def test_frames_of_an_enhanced_object(tmp_path):
    def weigh(ds):
        for number, groups in enumerate(ds.PerFrameFunctionalGroupsSequence):
            b_value, direction, _ = VOLUMES[number // 3]
            item, way = Dataset(), Dataset()
            item.DiffusionBValue = b_value
            item.DiffusionDirectionality = "NONE" if direction is None else "DIRECTIONAL"
            if direction is not None:
                way.DiffusionGradientOrientation = list(direction)
                item.DiffusionGradientDirectionSequence = [way]
            groups.MRDiffusionSequence = [item]
        trace = ds.PerFrameFunctionalGroupsSequence
        for groups in trace[3:6]:
            item = groups.MRDiffusionSequence[0]
            item.DiffusionDirectionality = "ISOTROPIC"
            del item.DiffusionGradientDirectionSequence

    path = make_enhanced(
        tmp_path / "e.dcm", shape=SHAPE, order=[0, 1, 2] * 5, change=weigh, dtype=np.int32
    )
    found = read_diffusion([path])
    assert found.b_values.tolist() == [0.0, 0.0, 500.0, 1000.0]
    assert found.notes == ("3 means over directions were left out",)


def test_a_missing_slice_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="volumes with 3 and with 2 slices"):
        read_diffusion([p for p in make_volumes(tmp_path) if p.parts[-2:] != ("4", "IM0003.dcm")])
    with pytest.raises(InvalidInput, match="slices are missing"):
        read_diffusion([p for p in make_volumes(tmp_path) if p.parts[-2:] != ("0", "IM0002.dcm")])


def test_images_without_weighting_or_direction_are_refused(tmp_path):
    with pytest.raises(InvalidInput, match="images without a b-value"):
        read_diffusion(make_volumes(tmp_path / "a", lambda *_: None))
    with pytest.raises(InvalidInput, match="no direction for a b-value of 800"):
        read_diffusion(make_volumes(tmp_path / "b", volumes=[(0.0, None, 9), (800.0, None, 5)]))
