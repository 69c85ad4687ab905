"""Solvers: the finite-element reference, its batches, and the surrogate trained on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twin.lazy_names import lazy_names

if TYPE_CHECKING:
    from solvers.adjoint.differentiable import DifferentiableRun
    from solvers.adjoint.gradient import gradient, hessian_product
    from solvers.finite_element import FiniteElementSolver
    from solvers.models import Model, Rate, Species
    from solvers.surrogate import SurrogateSolver
    from solvers.surrogate_training import Plan
    from solvers.torch_executor import TorchSolver

_HOME = {
    "DifferentiableRun": "adjoint.differentiable",
    "FiniteElementSolver": "finite_element",
    "Model": "models",
    "Plan": "surrogate_training",
    "Rate": "models",
    "Species": "models",
    "SurrogateSolver": "surrogate",
    "TorchSolver": "torch_executor",
    "gradient": "adjoint.gradient",
    "hessian_product": "adjoint.gradient",
}

__all__ = [
    "DifferentiableRun",
    "FiniteElementSolver",
    "Model",
    "Plan",
    "Rate",
    "Species",
    "SurrogateSolver",
    "TorchSolver",
    "gradient",
    "hessian_product",
]

__getattr__, __dir__ = lazy_names(__name__, _HOME)
