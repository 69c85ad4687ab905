"""In CI a skipped test fails, unless its reason says that the machine may lack what it needs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).resolve().parent.parent / "conftest.py"
TESTS = """
import pytest

def test_passes(): pass

@pytest.mark.skipif(True, reason="optional: no GPU")
def test_of_a_gpu(): raise AssertionError

@pytest.mark.xfail(strict=True)
def test_known_to_fail(): raise AssertionError

{more}
"""
SKIPS = {
    "mark": "@pytest.mark.skip(reason='no example data')\ndef test_marked(): pass",
    "call": "def test_called(): pytest.skip('no example data')",
    "import": "def test_imported(): pytest.importorskip('module_that_is_not_there')",
    "file": "pytest.skip('no example data', allow_module_level=True)",
}


def outcome(folder, more, ci):
    (folder / "conftest.py").write_bytes(CONFTEST.read_bytes())
    (folder / "test_it.py").write_text(TESTS.format(more=more))
    environment = {k: v for k, v in os.environ.items() if k != "CI"} | (
        {"CI": "true"} if ci else {}
    )
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "test_it.py"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("more", SKIPS.values(), ids=SKIPS.keys())
def test_a_skip_fails_in_ci_only(tmp_path, more):
    assert outcome(tmp_path, more, ci=False).returncode in (0, 5)
    refused = outcome(tmp_path, more, ci=True)
    assert refused.returncode in (1, 2)
    assert "skipped in CI: " in refused.stdout


def test_what_is_optional_or_known_to_fail_may_stay(tmp_path):
    ended = outcome(tmp_path, "", ci=True)
    assert ended.returncode == 0, ended.stdout
    assert "1 passed, 1 skipped, 1 xfailed" in ended.stdout
