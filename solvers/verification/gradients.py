"""Gradients by the discrete adjoint against differences of the run."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from solvers.verification.registry import Check, Row

if TYPE_CHECKING:
    from solvers.adjoint.differentiable import DifferentiableRun

__all__ = ["CHECKS"]

_DAYS = [20.0, 45.0]
_PARAMETERS = {
    "logistic": ("proliferation_rate", "diffusivity_white", "alpha", "temozolomide_clearance"),
    "gompertz": ("proliferation_rate", "diffusivity_grey"),
    "oxygen": ("hypoxia_rate", "oer_maximum", "resistant_radiosensitivity"),
}


def _run(name: str) -> DifferentiableRun:
    from solvers.adjoint.differentiable import DifferentiableRun
    from solvers.verification.bench_twin import bench_twin, short_course
    from twin.model_choice import ModelChoice

    choice = {
        "logistic": ModelChoice(),
        "gompertz": ModelChoice(growth="gompertz"),
        "oxygen": ModelChoice(oxygen=True, resistant=True),
    }[name]
    return DifferentiableRun(bench_twin().replace(model=choice), short_course(), _DAYS)


def _quantity(result: Any) -> Any:
    return result.soft.sum() + result.hard[1].sum() + 1e-5 * result.burden.sum()


def _by_parameters(name: str) -> list[Row]:
    import torch

    from solvers.adjoint.gradient import gradient

    run = _run(name)
    found = gradient(run, _quantity, _PARAMETERS[name])
    worst = 0.0
    for parameter in _PARAMETERS[name]:
        value = run.twin.parameters.value(parameter)

        def at(share: float, parameter: str = parameter, value: float = value) -> float:
            moved = torch.tensor(value * (1.0 + share), dtype=torch.float64)
            with torch.no_grad():
                return float(_quantity(run({parameter: moved})))

        step = 2e-4
        change = 8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))
        expected = change / (12 * step * value)
        worst = max(worst, abs(float(found.by[parameter]) / expected - 1.0))
    what = f"Gradient by parameters, {run.model.name}: relative error"
    return [Row(what, worst, 0.0, 1e-6)]


def _by_the_initial_density() -> list[Row]:
    import numpy as np
    import torch

    from solvers.adjoint.gradient import gradient, hessian_product

    run = _run("logistic")
    start = run.prepared.initial_state(run.twin.parameters)["viable"]
    rng = np.random.default_rng(4)
    one, other = start * rng.uniform(-1, 1, (2, len(start)))
    found = gradient(run, _quantity, ["initial_density"]).by["initial_density"]

    def at(step: float) -> float:
        with torch.no_grad():
            moved = torch.from_numpy(start + step * one)
            return float(_quantity(run(initial_density=moved)))

    step = 1e-4
    expected = (8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step)
    curved = hessian_product(run, _quantity, {"initial_density": one}).by["initial_density"]
    back = hessian_product(run, _quantity, {"initial_density": other}).by["initial_density"]
    return [
        Row(
            "Gradient by the initial density, along a random field: relative error",
            float(found @ one) / expected - 1.0, 0.0, 1e-6,
        ),
        Row(
            "Second derivative by the initial density: relative asymmetry",
            float(curved @ other) / float(back @ one) - 1.0, 0.0, 1e-9,
        ),
    ]  # fmt: skip


CHECKS = (
    *(
        Check(f"by_parameters_{name}", "gradients", partial(_by_parameters, name))
        for name in _PARAMETERS
    ),
    Check("by_the_initial_density", "gradients", _by_the_initial_density),
)
