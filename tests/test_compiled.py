"""Compiled loops kept on disk are compiled anew when anything in them has changed."""

import subprocess
import sys

import pytest

from twin.compiled import compiled

USER = """
from twin.compiled import compiled
from inner import SHIFT, value


@compiled
def outer(x: float) -> float:
    return value(x) + SHIFT


print(outer(1.0), sum(outer.stats.cache_hits.values()))
"""
INNER = """
from twin.compiled import compiled

SHIFT = {shift}


@compiled
def value(x: float) -> float:
    return {factor} * x
"""


def test_a_change_in_another_file_is_noticed(tmp_path):
    """By default numba would go on with the old function: numba issue 8851."""
    (tmp_path / "user.py").write_text(USER)

    def result(factor, shift):
        (tmp_path / "inner.py").write_text(INNER.format(factor=factor, shift=shift))
        program = [sys.executable, "user.py"]
        ran = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, check=True)
        return ran.stdout.split()

    assert result(2.0, 0.5) == ["2.5", "0"]
    assert result(2.0, 0.5) == ["2.5", "1"]  # kept on disk
    assert result(3.0, 0.5) == ["3.5", "0"]
    assert result(3.0, 1.5) == ["4.5", "0"]


def test_numba_still_has_what_the_stamp_is_put_into():
    @compiled
    def one() -> float:
        return 1.0

    stamp = one._cache._cache_file._source_stamp
    assert len(stamp) == 2
    assert one() == pytest.approx(1.0)
