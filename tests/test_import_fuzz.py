"""Files with flipped bytes and cut ends: imported or told in one sentence, never a traceback."""

import shutil
import tempfile
from pathlib import Path

import nibabel as nib
import nrrd
import numpy as np
import pytest
from dicom_makers import make_series
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rt_makers import make_dose, make_plan, make_structures, square

from viz.cli import main

LIMITS = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """One small sound file of each kind, in a folder of its own."""
    root = tmp_path_factory.mktemp("sound")
    values = np.random.default_rng(5).integers(-500, 500, (3, 6, 8)).astype(np.int16)
    make_series(root / "series", values=values, shape=values.shape, spacing=(3.0, 2.0, 2.0))
    make_structures(root / "rs.dcm", {"GTV": [square(4.0, z) for z in (0.0, 3.0)]})
    make_dose(root / "rd.dcm", np.ones((3, 4, 5)))
    make_plan(root / "rp.dcm")
    nib.save(nib.Nifti1Image(values, np.diag([2.0, 2.0, 3.0, 1.0])), root / "t1.nii.gz")
    nib.save(nib.Nifti1Image(values, np.diag([2.0, 2.0, 3.0, 1.0])), root / "t2.nii")
    header = {"space": "RAS", "space directions": np.eye(3), "space origin": np.zeros(3)}
    nrrd.write(str(root / "flair.nrrd"), values, header)
    return root


def damaged(content, changes, keep):
    data = bytearray(content)
    for place, value in changes:
        data[int(place * len(data)) % len(data)] = value
    return bytes(data[: max(1, int(keep * len(data)))])


CHANGES = st.lists(st.tuples(st.floats(0.0, 0.999), st.integers(0, 255)), min_size=1, max_size=6)


@pytest.mark.parametrize(
    "name", ["series", "rs.dcm", "rd.dcm", "rp.dcm", "t1.nii.gz", "t2.nii", "flair.nrrd"]
)
def test_damage_is_never_a_traceback(name, sound, capsys):
    @LIMITS
    @given(changes=CHANGES, keep=st.one_of(st.just(1.0), st.floats(0.05, 0.999)))
    def check(changes, keep):
        work = Path(tempfile.mkdtemp(dir=sound.parent))
        try:
            shutil.copytree(sound / "series", work / "in" / "series")
            if name != "series":
                shutil.copy(sound / name, work / "in" / name)
            target = (
                sorted((work / "in" / "series").iterdir())[1]
                if name == "series"
                else work / "in" / name
            )
            target.write_bytes(damaged(target.read_bytes(), changes, keep))
            code = main(["import", str(work / "in"), "-o", str(work / "out"), "--quiet"])
            error = capsys.readouterr().err
            assert code in (0, 2), error
            assert "Traceback" not in error
            if code == 2:
                assert len(error.strip().splitlines()) == 1, error
                assert not (work / "out").exists()
        finally:
            shutil.rmtree(work)

    check()
