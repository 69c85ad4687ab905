import os
import subprocess
import sys

import numpy as np
import pytest

from twin.storage import (
    FolderLock,
    StorageFailed,
    cache_folder,
    sha256_of,
    storage_errors,
    write_atomically,
)


def test_a_full_disk_leaves_the_old_file(tmp_path):
    path = tmp_path / "result.txt"
    path.write_text("old")

    def full(temporary):
        temporary.write_text("half")
        with open("/dev/full", "wb") as device:  # noqa: PTH123 - the kernel's own full disk
            device.write(b"x" * 10_000)

    with pytest.raises(StorageFailed, match="disk is full"):
        write_atomically(path, full)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["result.txt"]


def test_a_failed_writer_leaves_nothing(tmp_path):
    def broken(temporary):
        temporary.write_text("half")
        raise RuntimeError("not about storage")

    with pytest.raises(RuntimeError, match="not about storage"):
        write_atomically(tmp_path / "new.txt", broken)
    assert list(tmp_path.iterdir()) == []


def test_the_temporary_name_keeps_the_ending(tmp_path):
    seen = []
    write_atomically(tmp_path / "a.nii.gz", lambda path: (seen.append(path), path.touch()))
    assert seen[0].name.endswith("a.nii.gz")
    assert seen[0].parent == tmp_path


def test_a_missing_folder_is_one_sentence(tmp_path):
    with pytest.raises(StorageFailed, match="cannot be written"):
        write_atomically(tmp_path / "no" / "a.txt", lambda path: path.write_text("x"))


def test_one_process_at_a_time_holds_a_folder(tmp_path):
    code = (
        "import sys\nfrom twin.storage import FolderLock, StorageFailed\n"
        "try:\n    with FolderLock(sys.argv[1]): print('got it')\n"
        "except StorageFailed as error: print(error)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with FolderLock(tmp_path):
        held = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    freed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "in use by another run" in held
    assert freed.strip() == "got it"


def test_the_cache_folder_follows_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("TWIN_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("TWIN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    if sys.platform != "darwin":
        assert cache_folder() == tmp_path / "xdg" / "therapy-twin"


def test_hashes_tell_kinds_shapes_and_joints_apart(tmp_path):
    zeros = np.zeros(6, np.int32)
    different = [
        sha256_of("ab", "c"),
        sha256_of("a", "bc"),
        sha256_of(b"ab", b"c"),
        sha256_of(zeros),
        sha256_of(zeros.reshape(2, 3)),
        sha256_of(zeros.astype(np.float32)),
    ]
    assert len(set(different)) == len(different)
    file = tmp_path / "x"
    file.write_bytes(b"same")
    other = tmp_path / "y"
    os.link(file, other)
    assert sha256_of(file) == sha256_of(other)  # the bytes count, not the name
    assert sha256_of({"a": 1, "b": 2}) == sha256_of({"b": 2, "a": 1})


def test_a_file_that_is_read_elsewhere_is_not_said_to_be_unwritable(tmp_path):
    gone = tmp_path / "elsewhere" / "image.nii"
    with pytest.raises(FileNotFoundError), storage_errors(tmp_path / "out" / "file"):
        gone.read_bytes()
    with pytest.raises(StorageFailed, match="cannot be written"):  # noqa: SIM117
        with storage_errors(tmp_path / "out" / "file"):
            (tmp_path / "out" / "file").write_bytes(b"")
    (tmp_path / "file").touch()
    with pytest.raises(StorageFailed, match="cannot be written"):  # noqa: SIM117
        with storage_errors(tmp_path / "file" / "in" / "it"):
            (tmp_path / "file" / "in").mkdir()
