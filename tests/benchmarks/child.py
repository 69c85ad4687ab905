"""One step of a part, in a process of its own: ``python -m benchmarks.child STEP WORK OUTPUT``."""

from __future__ import annotations

import argparse
import dataclasses
import json
from importlib import import_module
from pathlib import Path

from benchmarks.head import Setting
from benchmarks.machine import reference
from benchmarks.table import Row

SECONDS_OF = {"s": 1.0, "ms": 1e-3}


def scaled(row: Row, product_ms: float) -> Row:
    """A row of seconds with its number of reference products; others as they are.

    >>> scaled(Row("run", 3.0, "s"), 4.0).products
    750.0
    """
    if row.unit not in SECONDS_OF:
        return row
    return dataclasses.replace(
        row, products=row.measured * SECONDS_OF[row.unit] / (1e-3 * product_ms)
    )


def main() -> None:
    """Measure one step, with the machine's reference before and after it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("step", help="module.function")
    parser.add_argument("work", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    module, _, function = given.step.partition(".")
    measure = getattr(import_module(f"benchmarks.{module}"), function)
    before = reference()
    rows = measure(Setting(given.work, given.quick))
    machine = before.mean(reference())
    found = {
        "reference": dataclasses.asdict(machine),
        "rows": [dataclasses.asdict(scaled(row, machine.product_ms)) for row in rows],
    }
    given.output.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
