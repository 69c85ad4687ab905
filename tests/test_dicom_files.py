"""Files of a folder: what is taken, what is refused, and what damage does."""

from __future__ import annotations

import os
import struct
import zipfile

import numpy as np
import pytest
from dicom_makers import NAME, PATIENT_ID, header, make_series, save, set_pixels
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian
from real_data import real_data

from twin.dicom import files
from twin.dicom.files import read_dataset, read_header, safe_files
from twin.errors import InvalidInput

CT = "1.2.840.10008.5.1.4.1.1.2"


def small_object():
    ds = header(CT, "CT")
    set_pixels(ds, np.zeros((2, 3), np.int16))
    return ds


def test_all_regular_files_are_found_in_order(tmp_path):
    for name in ("b/2", "b/1", "a.dcm", ".hidden", ".git/x", "b/DICOMDIR"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found = [path.relative_to(tmp_path).as_posix() for path in safe_files(tmp_path)]
    assert found == ["a.dcm", "b/1", "b/2"]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_link_out_of_the_folder_is_refused_by_its_name(tmp_path, kind):
    outside, home = tmp_path / "outside", tmp_path / "home"
    home.mkdir()
    outside.mkdir()
    (outside / "secret.dcm").write_bytes(b"x")
    (home / "scans").mkdir()
    target = outside / "secret.dcm" if kind == "file" else outside
    (home / "scans" / "link").symlink_to(target)
    with pytest.raises(InvalidInput, match="scans/link is a link to a place outside"):
        safe_files(home)


def test_a_link_within_the_folder_is_followed(tmp_path):
    (tmp_path / "1").write_bytes(b"x")
    (tmp_path / "2").symlink_to(tmp_path / "1")
    assert len(safe_files(tmp_path)) == 2


def test_a_broken_link_and_a_pipe_are_refused(tmp_path):
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InvalidInput, match="gone is no regular file"):
        safe_files(tmp_path)
    (tmp_path / "gone").unlink()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidInput, match="pipe is no regular file"):
        safe_files(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.zip", b""),
        ("a.tar", b""),
        ("a.tar.gz", b""),
        ("a.dcm.gz", b""),
        ("IM0001", b"PK\x03\x04rest"),
        ("IM0001", b"\x1f\x8brest"),
        ("IM0001", b"\0" * 257 + b"ustar\0"),
        ("IM0001", b"7z\xbc\xaf\x27\x1c"),
    ],
)
def test_an_archive_is_to_be_unpacked(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInput, match="is an archive; unpack it"):
        safe_files(tmp_path)


@pytest.mark.parametrize("name", ["report.docx", "t1.nii.gz", "net.pt"])
def test_files_that_only_are_stored_as_archives_are_none(tmp_path, name):
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        archive.writestr("content", "x")
    assert len(safe_files(tmp_path)) == 1


def test_number_and_size_of_files_are_limited(tmp_path, monkeypatch):
    for number in range(3):
        (tmp_path / str(number)).write_bytes(b"123456789")
    monkeypatch.setattr(files, "MOST_FILES", 2)
    with pytest.raises(InvalidInput, match="more than 2 files"):
        safe_files(tmp_path)
    monkeypatch.setattr(files, "MOST_FILES", 3)
    monkeypatch.setattr(files, "MOST_BYTES", 8)
    with pytest.raises(InvalidInput, match=r"^0 has"):
        safe_files(tmp_path)


def test_a_folder_that_is_none(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(InvalidInput, match="is a file"):
        safe_files(tmp_path / "file")
    with pytest.raises(InvalidInput, match="There is no folder"):
        safe_files(tmp_path / "absent")


@pytest.mark.parametrize(
    "content", [b"", b"short", b"# notes\n" * 40, b"\x5c\x01\0\0" + b"\0" * 400]
)
def test_what_is_no_dicom_is_none(tmp_path, content):
    (tmp_path / "x.dcm").write_bytes(content)
    assert read_header(tmp_path / "x.dcm") is None
    with pytest.raises(InvalidInput, match="is not a DICOM file"):
        read_dataset(tmp_path / "x.dcm")


def test_a_file_without_preamble_is_read(tmp_path):
    path = save(small_object(), tmp_path / "a.dcm", syntax=ImplicitVRLittleEndian)
    whole = path.read_bytes()
    length = struct.unpack("<I", whole[140:144])[0]
    (tmp_path / "bare").write_bytes(whole[144 + length :])
    found = read_dataset(tmp_path / "bare")
    assert found.Modality == "CT"
    assert found.file_meta.TransferSyntaxUID == ImplicitVRLittleEndian
    assert found.pixel_array.shape == (2, 3)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.999])
def test_a_file_cut_short_says_so_or_lacks_its_pixels(tmp_path, share):
    path = save(small_object(), tmp_path / "a.dcm")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    try:
        found = read_header(path, pixels=True)
    except InvalidInput as error:
        assert "damaged or cut short" in str(error)
    else:
        assert "PixelData" not in found


def test_a_deflated_file_is_read_up_to_a_limit(tmp_path, monkeypatch):
    ds = small_object()
    set_pixels(ds, np.zeros((512, 512), np.int16))
    path = save(ds, tmp_path / "a.dcm", syntax=DeflatedExplicitVRLittleEndian)
    assert path.stat().st_size < 5000
    assert read_dataset(path).pixel_array.shape == (512, 512)
    monkeypatch.setattr(files, "MOST_INFLATED", 2**18)
    with pytest.raises(InvalidInput, match="inflates to more than"):
        read_header(path)


def test_a_private_element_that_is_damaged_is_left_out_and_a_needed_one_is_not(tmp_path):
    ds = small_object()
    block = ds.private_block(0x0029, "MAKER", create=True)
    block.add_new(0x10, "FD", 1.0)
    path = save(ds, tmp_path / "a.dcm")
    whole = path.read_bytes()
    at = whole.index(b"\x29\x00\x10\x10FD")
    broken = whole[: at + 6] + struct.pack("<H", 6) + whole[at + 8 : at + 14] + whole[at + 16 :]
    path.write_bytes(broken)
    found = read_header(path)
    assert (0x0029, 0x1010) not in found
    assert found.Rows == 2
    at = whole.index(b"\x28\x00\x10\x00US")
    broken = whole[: at + 6] + struct.pack("<H", 1) + whole[at + 8 : at + 9] + whole[at + 10 :]
    path.write_bytes(broken)
    with pytest.raises(InvalidInput, match="damaged"):
        read_header(path)


def test_nothing_is_remarked_about_a_patient(tmp_path, caplog, recwarn, capsys):
    def spoil(ds, number):
        ds.PatientBirthDate = f"the day of {NAME}"
        ds.StudyID = f"{NAME} {PATIENT_ID}" * 4

    import pydicom

    before = pydicom.config.settings.writing_validation_mode
    pydicom.config.settings.writing_validation_mode = pydicom.config.IGNORE
    try:
        paths = make_series(tmp_path, change=spoil)
    finally:
        pydicom.config.settings.writing_validation_mode = before
    del recwarn.list[:]
    caplog.clear()
    found = read_header(paths[0])
    assert found.PatientID == PATIENT_ID
    assert not caplog.records
    assert not recwarn.list
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("name", "reads"),
    [
        ("pydicom/badVR.dcm", True),
        ("pydicom/rtstruct.dcm", True),
        ("pydicom/meta_missing_tsyntax.dcm", True),
        ("pydicom/nested_priv_SQ.dcm", True),
        ("pydicom/MR_small_padded.dcm", True),
        ("pydicom-data/bad_sequence.dcm", True),
        ("pydicom/MR_truncated.dcm", False),
        ("pydicom/rtplan_truncated.dcm", False),
    ],
)
def test_real_files_with_defects(name, reads):
    path = real_data("dicom-small", *name.split("/"))
    if reads:
        assert read_header(path, pixels=True) is not None
    else:
        with pytest.raises(InvalidInput, match="damaged or cut short"):
            read_header(path, pixels=True)
