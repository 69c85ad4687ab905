"""Solvers: the finite-element reference, its batch, and the surrogate trained on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twin.lazy_names import lazy_names

if TYPE_CHECKING:
    from solvers.finite_element import FiniteElementSolver
    from solvers.surrogate import SurrogateSolver
    from solvers.surrogate_training import Plan

_HOME = {
    "FiniteElementSolver": "finite_element",
    "Plan": "surrogate_training",
    "SurrogateSolver": "surrogate",
}

__all__ = ["FiniteElementSolver", "Plan", "SurrogateSolver"]

__getattr__, __dir__ = lazy_names(__name__, _HOME)
