"""Solvers: the finite-element reference, its batches, and the surrogate trained on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twin.lazy_names import lazy_names

if TYPE_CHECKING:
    from solvers.finite_element import FiniteElementSolver
    from solvers.surrogate import SurrogateSolver
    from solvers.surrogate_training import Plan
    from solvers.torch_executor import TorchSolver

_HOME = {
    "FiniteElementSolver": "finite_element",
    "Plan": "surrogate_training",
    "SurrogateSolver": "surrogate",
    "TorchSolver": "torch_executor",
}

__all__ = ["FiniteElementSolver", "Plan", "SurrogateSolver", "TorchSolver"]

__getattr__, __dir__ = lazy_names(__name__, _HOME)
