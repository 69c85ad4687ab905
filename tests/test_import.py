"""``twin import``: what is found, what pairs, what is written, and what never leaves the files."""

import datetime as dt
import json
import time
import tomllib

import nibabel as nib
import numpy as np
import pytest
from dicom_makers import NAME, PATIENT_ID, make_series, uid
from real_data import real_data
from rt_makers import make_dose, make_plan, make_structures, square
from small_patient import write_small_patient

import twin
from viz.cli import main

#: What no output may hold.
SECRETS = [PATIENT_ID, *NAME.split("^"), "ACCESSION-99", "Hospital of Nowhere", "Invented"]


def hospital(folder, **more):
    """A CT of 12 slices, a structure set, a dose and a plan of one patient."""
    rng = np.random.default_rng(1)
    values = rng.integers(-900, 900, (12, 20, 24)).astype(np.int16)
    make_series(folder / "ct", modality="CT", values=values, shape=(12, 20, 24),
                spacing=(3.0, 2.0, 2.0), position=(-24.0, -20.0, 0.0), **more)  # fmt: skip
    planes = 3.0 * np.arange(2, 9)
    make_structures(
        folder / "rs.dcm",
        {
            "GTV": [square(10.0, z) for z in planes],
            "Heart": [square(6.0, z, (14, 10)) for z in planes],
        },
        **more,
    )
    make_dose(folder / "rd.dcm", np.full((12, 20, 24), 60.0), position=(-24.0, -20.0, 0.0), **more)
    make_plan(folder / "rp.dcm", **more)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return hospital(tmp_path_factory.mktemp("hospital"))


def run(capsys, *arguments):
    code = main(["import", *map(str, arguments), "--quiet"])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_the_table_says_what_goes_with_what(folder, capsys):
    code, text, _ = run(capsys, folder, "--json")
    assert code == 0
    rows = {one["kind"]: one for one in json.loads(text)["found"]}
    assert set(rows) == {"image", "structure set", "dose", "plan"}
    assert rows["image"]["contrast"] == "ct"
    assert rows["image"]["shape"] == [24, 20, 12]
    assert rows["image"]["spacing_mm"] == [2.0, 2.0, 3.0]
    assert rows["structure set"]["structures"] == ["GTV", "Heart"]
    assert rows["image"]["number"] in rows["structure set"]["with"]
    assert rows["image"]["frame"] == rows["dose"]["frame"] == "A"
    code, text, _ = run(capsys, folder)
    assert code == 0
    assert "GTV, Heart" in text


def test_the_patient_folder_holds_images_structures_and_dose(folder, tmp_path, capsys):
    target = tmp_path / "patient"
    code, text, _ = run(capsys, folder, "-o", target)
    assert code == 0
    assert "still needs" in text
    ct = nib.load(target / "ct.nii.gz")
    assert ct.shape == (24, 20, 12)
    gtv = nib.load(target / "structures" / "gtv.nii.gz")
    volume = np.asarray(gtv.dataobj).sum() * np.prod(gtv.header.get_zooms())
    assert volume == pytest.approx(10.0 * 10.0 * 7 * 3.0, rel=1e-6)  # squares through seven slabs
    dose = nib.load(target / "dose.nii.gz")
    np.testing.assert_allclose(np.asarray(dose.dataobj), 60.0, atol=1e-3)
    content = tomllib.loads((target / "patient.toml").read_text("utf-8"))
    assert content["structures"]["labels"] == {"heart": {"label": 1}}
    written = (target / "patient.toml").read_text("utf-8")
    assert "# fractions = 30" in written
    assert '# total_dose = "60 Gy"' in written


def test_nothing_of_the_patient_is_in_any_output(tmp_path, capsys):
    """Names, numbers and UIDs are in no file and no line; a structure named so is renamed."""
    place = hospital(tmp_path / "in", name=NAME, patient_id=PATIENT_ID)
    make_structures(place / "rs2.dcm", {"GTV Person": [square(8.0, z) for z in (9.0, 12.0, 15.0)]})
    target = tmp_path / "out"
    code, text, remarks = run(capsys, place, "-o", target, "--json")
    assert code == 0
    everything = [text.encode(), remarks.encode()]
    for path in target.rglob("*"):
        everything.append(path.name.encode())
        if path.is_file():
            data = path.read_bytes()
            everything.append(data)
            if path.name.endswith(".gz"):
                import gzip

                everything.append(gzip.decompress(data))
    forbidden = [*SECRETS, str(uid("series", "CT", 1, PATIENT_ID)), str(uid("frame", 1))]
    for secret in forbidden:
        for piece in everything:
            assert secret.lower().encode() not in piece.lower(), secret


def test_a_name_known_from_another_file_stays_hidden_in_notes(tmp_path, capsys):
    """The structure set is of no name (blank_name), the CT is: its notes must not tell it."""
    place = tmp_path / "in"
    hospital(place, name=NAME, patient_id=PATIENT_ID)
    (place / "rs.dcm").unlink()
    contours = [square(8.0, z) for z in (9.0, 12.0, 15.0)]
    surname = NAME.split("^")[0]
    make_structures(
        place / "rs.dcm", {"GTV": contours, f"GTV {surname}": []}, name="", patient_id=PATIENT_ID
    )
    code, text, remarks = run(capsys, place, "-o", tmp_path / "out")
    assert code == 0
    assert surname.lower() not in (text + remarks).lower()


def test_dates_are_shifted_by_whole_weeks_unless_kept(folder, tmp_path, capsys):
    true = dt.date(2024, 3, 5)
    for number, options in enumerate(([], ["--keep-dates"])):
        target = tmp_path / str(number)
        code, _, _ = run(capsys, folder, "-o", target, *options)
        assert code == 0
        date = tomllib.loads((target / "patient.toml").read_text("utf-8"))["visit"][0]["date"]
        apart = (true - date).days
        assert (apart == 0) == bool(options)
        assert apart % 7 == 0
        assert apart >= 0


def test_the_output_of_a_segmentation_network_is_a_patient_at_once(tmp_path, capsys):
    """NIfTI files named as BraTS names them; tissues beside them: it builds without a change."""
    source = tmp_path / "in"
    write_small_patient(source)
    for old, new in (("t1", "BraTS-0001_t1ce"), ("segmentation", "BraTS-0001_seg")):
        (source / f"{old}.nii.gz").rename(source / f"{new}.nii.gz")
    for extra in ("patient.toml", "structures.nii.gz"):
        (source / extra).unlink()
    target = tmp_path / "out"
    code, _, _ = run(capsys, source, "-o", target)
    assert code == 0
    assert "0001" not in "".join(path.name for path in target.rglob("*"))
    toml = (target / "patient.toml").read_text("utf-8")
    assert 'labels = "brats"' in toml
    toml = toml.replace("# TODO body_surface", "body_surface").replace(
        "# TODO date = 2026-03-30", "date = 2026-03-30"
    )
    cells = '\n[mesh]\ncell_size = "2.6 mm"\nfine_margin = "5 mm"\nfar_cell_size = "10.4 mm"\n'
    (target / "patient.toml").write_text(toml + cells, encoding="utf-8")
    plain = twin.load(write_small_patient(tmp_path / "plain"))
    assert twin.load(target / "patient.toml").mesh.content_hash == plain.mesh.content_hash


def test_only_what_is_asked_for(folder, tmp_path, capsys):
    code, _, _ = run(capsys, folder, "-o", tmp_path / "a", "--only", "1")
    assert code == 0
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["ct.nii.gz", "patient.toml"]
    code, _, error = run(capsys, folder, "-o", tmp_path / "b", "--only", "9")
    assert code == 2
    assert "--only names number 9" in error
    assert not (tmp_path / "b").exists()


@pytest.mark.slow
def test_three_hundred_slices_with_structures_and_dose(tmp_path, capsys):
    """The issue asks for 20 s; a benchmark, not this test, measures it: here it has to end."""
    place = tmp_path / "in"
    values = np.zeros((300, 512, 512), np.int16)
    make_series(place / "ct", values=values, shape=values.shape, spacing=(1.0, 1.0, 1.0))
    planes = np.arange(20.0, 280.0)
    make_structures(
        place / "rs.dcm",
        {f"organ {k}": [square(60.0, z, (100 + 30 * k, 200)) for z in planes] for k in range(8)},
    )
    make_dose(place / "rd.dcm", np.full((100, 128, 128), 2.0))
    begin = time.perf_counter()
    code, _, _ = run(capsys, place, "-o", tmp_path / "out")
    assert code == 0
    print(f"300 slices: {time.perf_counter() - begin:.1f} s")


@pytest.mark.parametrize(
    ("parts", "kinds"),
    [
        (("dicompyler-rtplan",), {"image", "structure set", "dose", "plan"}),
        (("ibsi-soft-tissue-sarcoma", "dicom", "STS_001"), {"image", "structure set"}),
    ],
)
def test_real_folders(parts, kinds, tmp_path, capsys):
    place = real_data(*parts)
    code, text, _ = run(capsys, place, "-o", tmp_path / "out", "--json")
    assert code == 0
    content = json.loads(text)
    assert {one["kind"] for one in content["found"]} == kinds
    if "dicompyler-rtplan" in parts:
        volumes = {one["what"]: one["volume_ml"] for one in content["files"]}
        assert volumes["Breast"] == pytest.approx(396.23, rel=0.02)  # the planning system's
        assert volumes["Heart"] == pytest.approx(437.46, rel=0.02)
    else:
        volumes = {one["what"]: one["volume_ml"] for one in content["files"]}
        assert volumes["GTV_Mass_PET"] == pytest.approx(365.0, rel=0.01)
