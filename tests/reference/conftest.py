"""Every case of the table of reference values becomes one test."""

import json
from pathlib import Path

import pytest

COPY = Path(__file__).with_name("reference_values.json")


def pytest_addoption(parser):
    parser.addoption(
        "--reference-values",
        type=Path,
        default=COPY,
        metavar="FILE",
        help="table of reference values to test against (default: the copy in tests/reference)",
    )


def pytest_generate_tests(metafunc):
    if "reference_case" not in metafunc.fixturenames:
        return
    # Unknown where pytest read this file after the command line: then the copy.
    file = metafunc.config.getoption("--reference-values", default=COPY)
    cases = json.loads(Path(file).read_text(encoding="utf-8"))["cases"]
    metafunc.parametrize("reference_case", [pytest.param(case, id=case["id"]) for case in cases])
