"""Real images and plans beside the project, for tests that are skipped where they are absent."""

from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2] / "shared" / "data"


def real_data(*parts: str) -> Path:
    """Return the file or folder, or skip the test."""
    path = _ROOT.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"optional: the real data {'/'.join(parts)} are not on this machine")
    return path
