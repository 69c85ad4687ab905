"""tools/setup.sh says in one sentence what it cannot do, and leaves nothing behind."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NEEDED = (
    "bash",
    "cat",
    "dirname",
    "dpkg",
    "env",
    "flock",
    "id",
    "mkdir",
    "sed",
    "sha256sum",
    "tail",
)
OLD = "#!/bin/sh\necho '  Candidate: 1:0.3.0-9'\n"
NEW = "#!/bin/sh\necho '  Candidate: 1:9.0-1'\n"
WORKS = "#!/bin/sh\nexit 0\n"
FAILS = "#!/bin/sh\necho E: no space left >&2\nexit 100\n"
NOT_ROOT = "#!/bin/sh\necho 1000\n"

pytestmark = pytest.mark.skipif(
    shutil.which("dpkg") is None, reason="optional: apt and dpkg are Debian's and Ubuntu's"
)


def set_up(folder, commands, **variables):
    """Run the script in a folder of its own, with these commands and an old dolfinx."""
    bin_folder, modules, project = folder / "bin", folder / "modules", folder / "a project's folder"
    for path in (bin_folder, modules, project):
        path.mkdir()
    for name in NEEDED:
        (bin_folder / name).symlink_to(shutil.which(name))
    for name, script in commands.items():
        (bin_folder / name).unlink(missing_ok=True)
        (bin_folder / name).write_text(script)
        (bin_folder / name).chmod(0o755)
    (modules / "dolfinx.py").write_text("__version__ = '0.3.0'\n")
    for name in ("tools", "constraints"):
        shutil.copytree(ROOT / name, project / name)
    shutil.copy(ROOT / "pyproject.toml", project)
    environment = {"PATH": str(bin_folder), "PYTHONPATH": str(modules), "HOME": str(folder)}
    ended = subprocess.run(
        [shutil.which("bash"), "tools/setup.sh"],
        cwd=project,
        env=environment | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert not (project / ".venv").exists()
    assert ended.returncode == 1
    assert ended.stdout == ""
    return ended.stderr


def test_no_apt(tmp_path):
    said = set_up(tmp_path, {})
    assert "no Python here can import dolfinx, and this is no Debian or Ubuntu" in said
    assert "conda env create -f environment.yml" in said


def test_a_distribution_with_an_older_dolfinx(tmp_path):
    said = set_up(tmp_path, {"apt-get": WORKS, "apt-cache": OLD, "sudo": WORKS})
    assert "dolfinx 0.5 or newer is needed; this distribution offers: 0.3.0-9" in said
    assert "conda env create -f environment.yml" in said


def test_neither_root_nor_sudo(tmp_path):
    said = set_up(tmp_path, {"apt-get": WORKS, "apt-cache": NEW, "id": NOT_ROOT})
    assert "an administrator has to run 'apt-get install python3-dolfinx" in said
    assert "conda env create -f environment.yml" in said


def test_apt_fails(tmp_path):
    said = set_up(tmp_path, {"apt-get": FAILS, "apt-cache": NEW, "id": "#!/bin/sh\necho 0\n"})
    assert "E: no space left" in said
    assert "could not install them; the whole story is in .setup/log" in said


def test_sudo_is_used_where_it_is_not_root(tmp_path):
    sudo = f'#!/bin/sh\necho "$@" >>"{tmp_path}/asked"\nexit 1\n'
    set_up(tmp_path, {"apt-get": WORKS, "apt-cache": NEW, "id": NOT_ROOT, "sudo": sudo})
    asked = (tmp_path / "asked").read_text().splitlines()
    assert any("apt-get install -y" in line and "python3-dolfinx" in line for line in asked)


def test_a_python_that_does_not_fit(tmp_path):
    said = set_up(tmp_path, {}, TWIN_PYTHON=os.path.realpath("/usr/bin/python3"))
    assert "is not a Python 3.11 or newer that imports dolfinx 0.5 or newer" in said
