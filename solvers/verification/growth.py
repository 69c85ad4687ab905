"""Growth and kill in one place, against closed forms and an independent integrator."""

from __future__ import annotations

from typing import TYPE_CHECKING

from solvers.verification.registry import Check, Row

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["CHECKS"]

_RATE = 0.05  # [1/day]


def _worst(found: NDArray[np.float64], exact: NDArray[np.float64]) -> float:
    """Largest error relative to the exact value."""
    return float(abs(found / exact - 1.0).max())


def _constant(kill: float) -> Callable[[float, float], float]:
    return lambda begin, end: kill


def _logistic() -> list[Row]:
    import numpy as np

    from solvers.closed_forms.growth import logistic, logistic_with_kill
    from solvers.verification.bench_problem import point

    problem = point()
    start = np.array([1e-9, 1e-6, 0.1, 0.3, 0.5, 0.9, 0.999999, 1.0])
    rows = []
    for step in (100.0, 0.25):
        end = problem.run(start, 100.0, step, rate=_RATE)
        exact = np.array([logistic(n, _RATE, 100.0) for n in start])
        what = f"Logistic growth over 100 days, steps of {step:g} day: relative error"
        rows.append(Row(what, _worst(end, exact), 0.0, 1e-11))
    for kill in (0.02, 0.05, 0.2):
        end = problem.run(start, 60.0, 1.0, rate=_RATE, kill=_constant(kill))
        exact = np.array([logistic_with_kill(n, _RATE, kill, 60.0) for n in start])
        what = f"Logistic growth under a kill of {kill:g}/day: relative error"
        rows.append(Row(what, _worst(end, exact), 0.0, 1e-11))
    return rows


def _fractions() -> list[Row]:
    from solvers.closed_forms.growth import logistic_with_impulses
    from solvers.verification.bench_problem import point

    weekdays = [float(7 * week + day) for week in range(6) for day in range(5)]
    rows = []
    for survival, days in ((0.865887748059205, 42.0), (0.9172272669254147, 90.0)):
        end = point().run(
            0.3, days, 1.0, rate=0.03, fractions=weekdays, survival=survival
        )  # fmt: skip
        exact = logistic_with_impulses(0.3, 0.03, weekdays, survival, days)
        what = f"Thirty fractions that {survival:.3f} survive, day {days:g}"
        rows.append(Row(what, float(end[0]), exact, 1e-10 * exact))
    return rows


def _decaying_kill() -> list[Row]:
    import math

    from solvers.closed_forms.growth import logistic_with_decaying_kill
    from solvers.verification.bench_problem import point
    from solvers.verification.measures import order_rows

    strength, elimination, days = 0.3, 0.1, 30.0
    exact = logistic_with_decaying_kill(0.3, _RATE, strength, elimination, days)

    def mean_kill(begin: float, end: float) -> float:
        gone = math.exp(-elimination * begin) - math.exp(-elimination * end)
        return strength * gone / (elimination * (end - begin))

    def error_at(step: float) -> float:
        return abs(float(point().run(0.3, days, step, rate=_RATE, kill=mean_kill)[0]) / exact - 1.0)

    return order_rows(
        "A drug that wears off", "time step [day]", [3.0, 2.0, 1.0, 0.5], error_at,
        largest_error=1e-4, error="relative error [1]",
    )  # fmt: skip


def _other_laws() -> list[Row]:
    import numpy as np
    from scipy.integrate import solve_ivp

    from solvers.closed_forms.growth import exponential, gompertz
    from solvers.verification.bench_problem import point
    from solvers.verification.measures import order_rows

    start = np.array([1e-6, 1e-4, 1e-3, 1e-2, 0.02, 0.05, 0.1, 0.2])
    end = point().run(start, 40.0, 1.0, rate=0.03, law="exponential")
    exact = np.array([exponential(n, 0.03, 40.0) for n in start])
    rows = [Row("Exponential growth: relative error", _worst(end, exact), 0.0, 1e-11)]
    # the engine holds the rate below 1e-5, which a tumour of 5 % hardly feels
    closed = gompertz(0.05, _RATE, 40.0, 1.0)
    found = float(point().run(0.05, 40.0, 0.25, rate=_RATE, law="gompertz")[0])
    rows.append(Row("Gompertz growth: relative error", found / closed - 1.0, 0.0, 2e-4))
    # its order in time against an integrator of the law as it is held
    held = solve_ivp(
        lambda day, u: -_RATE * u * np.log((u + 1e-5) / (1.0 + 1e-5)), (0.0, 40.0), [0.05],
        method="DOP853", rtol=1e-12, atol=1e-14,
    ).y[0, -1]  # fmt: skip

    def error_at(step: float) -> float:
        return abs(float(point().run(0.05, 40.0, step, rate=_RATE, law="gompertz")[0]) - held)

    return rows + order_rows(
        "Gompertz growth", "time step [day]", [4.0, 2.0, 1.0, 0.5], error_at, largest_error=1e-4
    )


def _whole_step() -> list[Row]:
    """Growth, migration, a drug and dead tissue together, on the same matrix."""
    import numpy as np
    from scipy.integrate import solve_ivp

    from solvers.verification.bench_problem import BenchProblem
    from solvers.verification.measures import order_rows
    from twin.meshing.boxes import box_mesh
    from twin.model_choice import ModelChoice

    problem = BenchProblem.of(box_mesh((9.0, 8.0, 3.0), (6, 5, 2)), 0.3)
    rate, clearance, days = 0.15, 0.05, 12.0
    matrix, nodes = problem.operator.matrix(), len(problem.mass)
    centre = np.linalg.norm(problem.mesh.points - [2.0, 2.0, 1.0], axis=1)
    start = {
        "viable": 0.7 * np.exp(-(centre**2) / 12),
        "dead": 0.1 * np.exp(-(centre**2) / 8),
        "necrosis": 0.1 * (centre < 2.5),
    }

    def kill(day: float) -> float:
        return float(0.2 * np.exp(-0.25 * day))

    def mean_kill(begin: float, end: float) -> float:
        return (kill(begin) - kill(end)) / (0.25 * (end - begin))

    def slope(day: float, state: NDArray[np.float64]) -> NDArray[np.float64]:
        u, d = state[:nodes], state[nodes:]
        growth = rate * u * (1 - u - d - start["necrosis"]) - kill(day) * u
        return np.concatenate([matrix @ u + growth, kill(day) * u - clearance * d])

    exact = solve_ivp(
        slope, (0, days), np.concatenate([start["viable"], start["dead"]]),
        method="DOP853", rtol=1e-11, atol=1e-13,
    ).y[:, -1]  # fmt: skip
    parameters = {
        "proliferation_rate": rate,
        "dead_clearance_half_life": float(np.log(2.0)) / clearance,
    }

    def error_at(step: float) -> float:
        end = problem.run_model(ModelChoice(), parameters, start, days, step, kill=mean_kill)
        return float(abs(np.concatenate([end["viable"], end["dead"]]) - exact).max())

    return order_rows(
        "The default model", "time step [day]", [2.0, 1.0, 0.5, 0.25], error_at, largest_error=2e-4
    )


CHECKS = (
    Check("logistic", "growth", _logistic),
    Check("fractions", "growth", _fractions),
    Check("decaying_kill", "growth", _decaying_kill),
    Check("other_laws", "growth", _other_laws),
    Check("whole_step", "growth", _whole_step),
)
