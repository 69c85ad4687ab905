"""Fronts: the exact travelling wave of Ablowitz and Zeppetella on a bar."""

from __future__ import annotations

from typing import TYPE_CHECKING

from solvers.verification.registry import Check, Row

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["CHECKS"]

_DIFFUSIVITY, _RATE = 0.14, 0.03  # [mm2/day], [1/day]
_LENGTH, _ORIGIN = 130.0, 55.0  # [mm]


def _carried(
    size: float, step: float, days: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Positions [mm], densities and weights of the wave after `days` on a bar."""
    from solvers.closed_forms.waves import ablowitz_zeppetella
    from solvers.verification.bench_problem import BenchProblem
    from twin.meshing.boxes import box_mesh

    count = round(_LENGTH / size)
    problem = BenchProblem.of(box_mesh((_LENGTH, size, size), (count, 1, 1)), _DIFFUSIVITY)
    x = problem.mesh.points[:, 0] - _ORIGIN
    start = ablowitz_zeppetella(x, 0.0, _DIFFUSIVITY, _RATE)
    return x, problem.run(start, days, step, rate=_RATE), problem.mass


def _in_space() -> list[Row]:
    from solvers.closed_forms.waves import ablowitz_zeppetella
    from solvers.verification.measures import order_rows, root_mean_square

    def error_at(size: float) -> float:
        x, density, mass = _carried(size, 0.5, 40.0)
        return root_mean_square(
            density - ablowitz_zeppetella(x, 40.0, _DIFFUSIVITY, _RATE), mass
        )  # fmt: skip

    return order_rows(
        "Exact travelling wave", "cell size [mm]", [4.0, 2.0, 1.0], error_at, largest_error=1e-3
    )


def _together() -> list[Row]:
    from solvers.closed_forms.waves import ablowitz_zeppetella
    from solvers.verification.measures import order_rows, root_mean_square

    def error_at(size: float) -> float:
        x, density, mass = _carried(size, 2.0 * size, 40.0)
        return root_mean_square(
            density - ablowitz_zeppetella(x, 40.0, _DIFFUSIVITY, _RATE), mass
        )  # fmt: skip

    return order_rows(
        "Exact travelling wave, steps of 2 day/mm", "cell size [mm]", [4.0, 2.0, 1.0], error_at,
        largest_error=2e-3,
    )  # fmt: skip


def _speed() -> list[Row]:
    import numpy as np

    from solvers.closed_forms.waves import ablowitz_zeppetella_speed

    places = []
    for days in (20.0, 60.0):
        x, density, _ = _carried(1.0, 0.5, days)
        line = np.argsort(x, kind="stable")
        places.append(float(np.interp(-0.5, -density[line], x[line])))
    exact = ablowitz_zeppetella_speed(_DIFFUSIVITY, _RATE)
    speed = (places[1] - places[0]) / 40.0
    return [Row("Speed of the exact wave on cells of 1 mm", speed, exact, 0.003 * exact, "mm/day")]


CHECKS = (
    Check("in_space", "waves", _in_space),
    Check("in_space_and_time", "waves", _together),
    Check("speed", "waves", _speed),
)
