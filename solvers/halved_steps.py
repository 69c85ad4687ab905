"""Runs with every step in two halves, from which the error in time is told, and error bars."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from solvers.error_bars import check_times
from solvers.finite_element import FiniteElementSolver
from solvers.march import Stepping
from solvers.mesh_error import edges_of, with_error_bars
from solvers.models import compose
from twin.model_choice import ModelChoice
from twin.patient import Twin
from twin.protocol import Save, Solver
from twin.regimen import Regimen

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["solve_with_error_bars", "with_halved_steps"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _HalvedSteps(FiniteElementSolver):
    """The finite-element solver on steps of half the length, events where they are."""

    def options(self) -> dict[str, Any]:
        return {**FiniteElementSolver.options(self), "steps": "halved"}

    def stepping(self) -> Stepping:
        return replace(FiniteElementSolver.stepping(self), halved=True)


def with_halved_steps(solver: Solver) -> Solver | None:
    """`solver` on half its steps; None for one that does not step.

    With a tolerance, which the steps follow, the tolerance is a quarter: the
    error of a method of second order then falls as with half the steps. The
    scheme of the torch executor is that of the finite-element solver, which is
    returned for it.

    Examples
    --------
    >>> with_halved_steps(FiniteElementSolver(tolerance=4e-3)).tolerance
    0.001
    >>> with_halved_steps(FiniteElementSolver()).options()["steps"]
    'halved'
    """
    if isinstance(solver, FiniteElementSolver) and solver.tolerance is not None:
        return replace(solver, tolerance=max(0.25 * solver.tolerance, 1e-9))
    if not hasattr(solver, "step_day"):
        return None
    names = [one.name for one in fields(FiniteElementSolver) if hasattr(solver, one.name)]
    options = {name: getattr(solver, name) for name in names}
    if isinstance(options.get("model"), ModelChoice):
        options["model"] = compose(options["model"])
    return _HalvedSteps(**options)


def solve_with_error_bars(
    solver: Solver,
    twin: Twin,
    regimen: Regimen,
    fine: xr.Dataset,
    save: Save,
    *,
    extrapolate: bool = False,
) -> xr.Dataset:
    """The run `fine` of `solver` on `twin` with error bars, from three runs more.

    Parameters
    ----------
    save : Save
        As `fine` was saved; the runs more keep no fields.
    extrapolate : bool
        As in `solvers.mesh_error.with_error_bars`.
    """
    edges, save = edges_of(twin), replace(save, fields_at=())
    times = fine["time"].values
    checks = times[check_times(times)].tolist()
    coarsest, halved = twin.on_coarsest_mesh(), with_halved_steps(solver)
    return with_error_bars(
        edges,
        fine,
        solver.solve(twin.on_coarse_mesh(), regimen, times.tolist(), save=save),
        solver.solve(coarsest, regimen, checks, save=save),
        None if halved is None else halved.solve(coarsest, regimen, checks, save=save),
        extrapolate=extrapolate,
    )
