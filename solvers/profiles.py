"""Solvers that begin from another initial profile."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

from twin.errors import InvalidInput

if TYPE_CHECKING:
    from twin.protocol import Solver

__all__ = ["with_profile"]


def with_profile(solver: Solver, profile: str) -> Solver:
    """`solver` from another profile of `solvers.initial_state`.

    Raises
    ------
    InvalidInput
        A solver that knows one profile only.

    Examples
    --------
    >>> from solvers.finite_element import FiniteElementSolver
    >>> with_profile(FiniteElementSolver(), "step").profile
    'step'
    """
    known: Any = solver
    if not is_dataclass(known) or "profile" not in {one.name for one in fields(known)}:
        raise InvalidInput(
            f"A case begins from the {profile} profile, but {type(solver).__name__} knows no other "
            "initial profile than its own; run the study with the finite-element solver."
        )
    changed: Any = replace(known, profile=profile)  # type: ignore[type-var]
    return changed  # type: ignore[no-any-return]
