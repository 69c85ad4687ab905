"""`twin verify`: its checks pass here, and one that is wrong is noticed."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from solvers.verification import registry
from solvers.verification.measures import order_rows
from solvers.verification.registry import Check, Curve, Outcome, Row, all_checks, run_checks
from twin.errors import InvalidInput
from viz.cli import main

ROOT = Path(__file__).resolve().parent.parent
CHECKS = all_checks()
#: They compile a model of six or seven species, take large meshes, or run four courses.
SLOW = {"models.oxygen", "models.oxygen_resistant", "courses.stopping"} | {
    "fibres.along",
    "fibres.across",
    "mechanics.clamped_ball",
    "mechanics.free_ball",
    "mechanics.thick_sphere",
}


@pytest.mark.parametrize(
    "check",
    [
        pytest.param(
            check,
            id=check.full_name,
            marks=[pytest.mark.slow] if check.full_name in SLOW else [],
        )
        for check in CHECKS
    ],
)
def test_every_check_passes_on_this_machine(check):
    (outcome,) = run_checks([check])
    assert outcome.rows
    assert [
        f"{row.what}: {row.measured} {row.note}" for row in outcome.rows if not row.passed
    ] == []
    for row in outcome.rows:
        assert math.isfinite(row.allowed)
        assert len(row.what) < 100


def test_names_are_unique_and_every_group_is_read():
    names = [check.full_name for check in CHECKS]
    assert len(set(names)) == len(names)
    folder = ROOT / "solvers" / "verification"
    with_checks = {
        path.stem for path in folder.glob("*.py") if "\nCHECKS = (" in path.read_text("utf-8")
    }
    assert set(registry.GROUPS) == with_checks == {check.group for check in CHECKS}


def test_the_registry_imports_nothing_heavy():
    code = (
        "import sys; from solvers.verification.registry import all_checks; all_checks();"
        "print([m for m in ('scipy', 'dolfinx', 'torch', 'numba', 'ufl') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("measured", "passed"),
    [(2.19, True), (1.81, True), (2.21, False), (math.nan, False), (math.inf, False)],
)
def test_a_row_passes_within_what_is_allowed(measured, passed):
    row = Row("order", measured, 2.0, 0.2)
    assert row.passed is passed
    assert row.verdict == ("pass" if passed else "fail")


def test_an_order_is_measured():
    rows = order_rows(
        "x", "cell size [mm]", [4.0, 2.0, 1.0], lambda h: 3e-3 * h, largest_error=1e-2
    )
    order, error = rows
    assert order.measured == pytest.approx(1.0)
    assert not order.passed
    assert order.what == "x: order in cell size"
    assert order.curve.errors == pytest.approx((0.012, 0.006, 0.003))
    assert error.what == "x: error at a cell size of 1 mm"
    assert error.measured == pytest.approx(3e-3)
    assert error.passed


def wrong_sign():
    """A true measurement of the engine, held against a deliberately wrong value."""
    from solvers.verification.bench_problem import point

    grown = float(point().run(0.1, 100.0, 1.0, rate=0.05)[0])
    return [Row("Logistic growth", grown, 0.9428256185740148, 1e-11),
            Row("Logistic growth, wrong on purpose", grown, 0.95, 1e-11)]  # fmt: skip


def crash():
    raise ZeroDivisionError("division\nby zero")


@pytest.fixture
def mended(monkeypatch):
    """The command line with a list of checks of our own."""

    def use(*checks):
        monkeypatch.setattr(registry, "all_checks", lambda: checks)

    return use


def called(capsys, *arguments):
    status = main(["verify", *map(str, arguments)])
    out, err = capsys.readouterr()
    return status, out, err


def test_a_wrong_expected_value_fails_with_status_1(capsys, mended):
    mended(Check("logistic", "growth", wrong_sign))
    status, out, _ = called(capsys, "--json")
    assert status == 1
    document = json.loads(out)
    assert (document["ok"], document["passed"], document["failed"]) == (False, 1, 1)
    assert [row["verdict"] for row in document["rows"]] == ["pass", "fail"]
    status, out, _ = called(capsys)
    assert status == 1
    assert "FAIL" in out
    assert "1 of 2 rows passed" in out


def test_a_check_that_crashes_has_failed_and_the_rest_still_runs(capsys, mended):
    mended(Check("broken", "x", crash), Check("empty", "x", list), CHECKS[-1])
    status, out, _ = called(capsys, "--json")
    assert status == 1
    rows = json.loads(out)["rows"]
    assert rows[0]["measured"] is None
    assert rows[0]["note"] == "ZeroDivisionError: division by zero"
    assert rows[0]["verdict"] == rows[1]["verdict"] == "fail"
    assert rows[-1]["verdict"] == "pass"


def test_only_some_checks_run(capsys):
    status, out, _ = called(capsys, "--only", "treatment", "--json")
    assert status == 0
    document = json.loads(out)
    assert {row["check"].split(".")[0] for row in document["rows"]} == {"treatment"}
    assert document["failed"] == 0
    assert [c.full_name for c in registry.chosen(CHECKS, "*.logistic")] == ["growth.logistic"]
    status, out, err = called(capsys, "--only", "astrology")
    assert (status, out) == (2, "")
    assert "No check is called 'astrology'" in err
    assert "diffusion.box_modes" in err


def test_the_page_stands_alone_and_shows_failures(capsys, mended, tmp_path):
    curve = Curve("cell size [mm]", (2.0, 1.0), (4e-3, 1e-3), 2.0)

    def rows():
        return [Row("order <of> x", 2.0, 2.0, 0.2, curve=curve), Row("y", 1.0, 0.0, 0.5, "mm")]

    mended(Check("some", "diffusion", rows))
    target = tmp_path / "page.html"
    status, out, _ = called(capsys, "--html", target, "--json")
    assert status == 1
    assert json.loads(out)["html"] == str(target)
    page = target.read_text(encoding="utf-8")
    assert page.count("data:image/svg+xml;base64,") == 1
    assert "order &lt;of&gt; x" in page
    assert page.count("<strong>FAIL</strong>") == 1
    assert "1 of 2 quantities are within their bounds" in page
    for outside in ("http://", "https://", "<script", "<link", str(tmp_path)):
        assert outside not in page
    again = tmp_path / "again.html"
    called(capsys, "--html", again, "--quiet")
    plot = page.split("base64,")[1].split('"')[0]
    assert plot in again.read_text(encoding="utf-8")  # the same picture for the same numbers


def test_a_page_that_cannot_be_written_is_refused_before_anything_runs(capsys, mended, tmp_path):
    mended(Check("never", "x", crash))
    for target in (tmp_path, tmp_path / "not there" / "page.html"):
        status, out, err = called(capsys, "--html", target)
        assert (status, out) == (2, "")
        assert "cannot be written" in err


def test_an_outcome_without_rows_did_not_pass():
    check = Check("x", "y", list)
    assert not Outcome(check, (), 0.0).passed
    assert Outcome(check, (Row("z", 0.0, 0.0, 0.0),), 0.0).passed


def test_a_pattern_that_fits_nothing_is_refused():
    with pytest.raises(InvalidInput, match="No check is called 'x'"):
        registry.chosen([Check("a", "b", list)], "x")
