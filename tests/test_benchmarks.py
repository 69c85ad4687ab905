"""The benchmarks' own parts: the table, the references, the order of steps, the history."""

import doctest
import json
import math
import time

import numpy as np
import pytest
from benchmarks import __main__ as bench
from benchmarks import child, table
from benchmarks.child import scaled
from benchmarks.head import Stopwatch
from benchmarks.machine import Reference, busy_seconds, describe_machine, grid_laplacian, reference
from benchmarks.table import Row, format_table


@pytest.mark.parametrize(
    ("row", "target", "met"),
    [
        (Row("a", 3.0), "", None),
        (Row("a", 3.0, "s", at_most=4.0), "at most 4", True),
        (Row("a", 4.5, "s", at_most=4.0), "at most 4", False),
        (Row("a", 14.9, "deg", at_least=15.0), "at least 15", False),
        (Row("a", 114000, "", 80_000, 150_000), "80,000 to 150,000", True),
        (Row("a", math.nan, "%", at_most=2.0), "at most 2", False),
    ],
)
def test_a_row_knows_its_promise(row, target, met):
    assert (row.target, row.met) == (target, met)


def test_columns_are_aligned_and_a_missed_promise_stands_out():
    rows = [Row("short", 1.0, "s"), Row("a much longer name", 100.0, "s", None, 40.0, 25_000.0)]
    head, part, first, second = format_table([("part", rows)]).splitlines()
    assert part == "-- part"
    assert second.index("at most 40") == head.index("target")
    assert second.index("NO") == head.index("met")
    assert first.index("1 s") + 3 == second.index("100 s") + 5
    assert second.endswith("25,000")


@pytest.mark.parametrize("module", [table, child])
def test_examples_in_docstrings_hold(module):
    found = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert (found.failed, found.attempted > 0) == (0, True)


def test_seconds_are_given_in_products_and_nothing_else_is():
    assert scaled(Row("a", 20.0, "ms"), product_ms=4.0).products == 5.0
    assert scaled(Row("a", 20.0, "MB"), product_ms=4.0).products is None


def test_references_are_measured():
    found = reference(megabytes=3, side=8)
    assert 0.1 < found.triad_gb_s < 10_000
    assert found.product_ms > 0
    between = Reference(10.0, 2.0).mean(Reference(30.0, 4.0))
    assert (between.triad_gb_s, between.product_ms) == (pytest.approx(15.0), 3.0)


def test_work_is_seen_in_the_processor_seconds_of_the_machine():
    before, own = busy_seconds(), time.process_time()
    while time.process_time() - own < 0.2:
        pass
    after = busy_seconds()
    assert math.isnan(after) or after - before >= 0.1


def test_sparse_product_has_27_points_and_keeps_constants_inside():
    matrix = grid_laplacian(5)
    rows = np.diff(matrix.indptr)
    assert (rows.max(), rows.min()) == (27, 8)
    inside = (matrix @ np.ones(125)).reshape(5, 5, 5)[1:-1, 1:-1, 1:-1]
    assert np.abs(inside).max() == 0.0


def test_stopwatch_adds_up_and_puts_back():
    class Solver:
        def step(self):
            return 7

    watch, original = Stopwatch(), Solver.step
    with watch.on(Solver, "step", "stepping"):
        assert Solver().step() == 7
    assert Solver.step is original
    assert 0.0 < watch.seconds["stepping"] < 1.0


def test_parts_bring_what_they_need(tmp_path):
    assert bench.with_needs(["commands", "mesh"], tmp_path) == [
        "mesh", "study", "surrogate", "commands",
    ]  # fmt: skip
    (tmp_path / "results").mkdir()
    assert bench.with_needs(["pictures"], tmp_path) == ["pictures"]


def test_history_gets_one_line_a_run(tmp_path):
    machine, found = (
        describe_machine(),
        [("run", [Row("  seconds", 3.14159, "s"), Row("none", math.nan)])],
    )
    path = tmp_path / "results" / "history.jsonl"
    for _ in range(2):
        bench.keep(path, found, [Reference(10.0, 2.0)], machine)
    first, second = map(json.loads, path.read_text().splitlines())
    assert first == second
    assert first["figures"] == {"run": {"seconds [s]": 3.142, "none [1]": None}}
    assert first["cores"] >= 1
    assert first["versions"]["numpy"] == np.__version__
    text = bench.report(found, [Reference(10.0, 2.0)], machine)
    assert "0 of 0 promises kept." in text


def test_a_step_that_crashes_is_told_and_the_others_go_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench, "PARTS", {"mesh": (("none", "machine.nothing", None, ()),)})
    monkeypatch.setattr("sys.argv", ["bench", "--only", "mesh", "--work", str(tmp_path)])
    assert bench.main() == 1
    assert "machine.nothing crashed" in capsys.readouterr().err


def test_an_unknown_part_is_refused(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["bench", "--only", "mash"])
    with pytest.raises(SystemExit, match="2"):
        bench.main()
    assert "'mash' is not among mesh, run, engine, study" in capsys.readouterr().err
