"""Whole courses of treatment: stopping, asking for more, and many runs at once."""

from __future__ import annotations

from solvers.verification.registry import Check, Row

__all__ = ["CHECKS"]

_STEP_DAY = 1.0


def _stopping() -> list[Row]:
    """Where a run stops, and what it is asked for, must not change a single bit."""
    import numpy as np

    from solvers.finite_element import FiniteElementSolver
    from solvers.verification.bench_twin import bench_twin, short_course

    twin, regimen = bench_twin(), short_course()
    solver = FiniteElementSolver(step_day=_STEP_DAY)
    times = [30.0, 60.0, 90.0]
    whole = solver.solve(twin, regimen, times)["tumour_volume"].values
    state = None
    for stop in (2.25, 17.6, 45.0):
        state = solver.state(twin, regimen, stop, start=state)
    rest = solver.solve(twin, regimen, times[1:], start=state)["tumour_volume"].values
    more = sorted({*times, *np.linspace(0.1, 89.9, 23).tolist()})
    asked = solver.solve(twin, regimen, more)["tumour_volume"].sel(time=times).values
    return [
        Row(
            "A course stopped and gone on with three times: change of its volumes",
            float(np.abs(rest - whole[..., 1:]).max()), 0.0, 0.0, "mm3",
        ),
        Row(
            "The same course asked for 23 more volumes: change of the others",
            float(np.abs(asked - whole).max()), 0.0, 0.0, "mm3",
        ),
    ]  # fmt: skip


def _many_at_once() -> list[Row]:
    """The batch in single precision against one run at a time in double precision."""
    import numpy as np

    from solvers.batch import Request, solve_batch
    from solvers.finite_element import FiniteElementSolver
    from solvers.verification.bench_twin import bench_twin, short_course

    twin, times = bench_twin(), [0.0, 30.0, 60.0, 90.0]
    slow = twin.parameters.replace(proliferation_rate=0.015)
    requests = [Request(short_course(), twin.parameters), Request(short_course(), slow)]
    batch = solve_batch(twin, requests, times, step_day=_STEP_DAY)
    rows = []
    for k, words in enumerate(("", ", slow growth")):
        run = FiniteElementSolver(step_day=_STEP_DAY).solve(
            twin.replace(parameters=requests[k].parameters), requests[k].regimen, times
        )
        alone = run["tumour_volume_soft"].values
        off = np.abs(batch.soft[k] - alone).max(axis=-1) / alone.max(axis=-1)
        what = f"A course among others{words}: change of its volumes, of the largest"
        rows.append(Row(what, float(off.max()), 0.0, 1e-4))
    return rows


CHECKS = (
    Check("stopping", "courses", _stopping),
    Check("many_at_once", "courses", _many_at_once),
)
