"""Symmetric positive systems by PETSc's conjugate gradients, on this process alone."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray
from petsc4py import PETSc

from twin.errors import NotConverged

__all__ = ["MOST_ITERATIONS", "ConjugateGradients", "factor", "symmetric_matrix"]

MOST_ITERATIONS = 2000
#: The residual that the iterations carry along strays from the true one by rounding: a solve
#: whose true residual is more than this many tolerances has failed.
ROUNDING = 3.0
_REASONS = {
    "DIVERGED_ITS": "the number of iterations ran out",
    "DIVERGED_INDEFINITE_MAT": "the matrix is not positive",
    "DIVERGED_INDEFINITE_PC": "the preconditioner is not positive",
    "DIVERGED_NANORINF": "a number is not finite",
    "DIVERGED_PC_FAILED": "the preconditioner cannot be computed",
    "DIVERGED_PCSETUP_FAILED": "the preconditioner cannot be computed",
}


def symmetric_matrix(
    starts: NDArray[np.integer], columns: NDArray[np.integer], blocks: NDArray[np.float64]
) -> Any:
    """A PETSc matrix of square blocks from its upper triangle, diagonal included.

    Parameters
    ----------
    starts, columns : ndarray
        Compressed rows of blocks, columns ascending.
    blocks : ndarray, shape (block, size, size)
    """
    size = blocks.shape[1]
    rows = (len(starts) - 1) * size
    make = PETSc.Mat().createSBAIJ
    matrix = make(
        (rows, rows),
        size,
        csr=(starts.astype(PETSc.IntType), columns.astype(PETSc.IntType), blocks.ravel()),
        comm=PETSc.COMM_SELF,
    )
    matrix.setOption(PETSc.Mat.Option.SPD, True)
    return matrix


def factor(matrix: Any, kind: str) -> Any:
    """A PETSc preconditioner that is set up: "icc", "cholesky", "gamg" and the like."""
    preconditioner = PETSc.PC().create(PETSc.COMM_SELF)
    preconditioner.setOperators(matrix)
    preconditioner.setType(kind)
    preconditioner.setUp()
    return preconditioner


class ConjugateGradients:
    """PETSc's solver for a matrix, judged by the residual itself.

    Parameters
    ----------
    matrix : PETSc.Mat
        Symmetric and positive.
    preconditioner : str or object
        A kind that PETSc knows, or an object with ``apply(pc, residual, result)``.
    """

    def __init__(self, matrix: Any, preconditioner: Any) -> None:
        solver = PETSc.KSP().create(PETSc.COMM_SELF)
        # PETSc calls back into Python as it ends, when there may be no Python any more:
        # the solver must be gone before, with this object or with the program.
        weakref.finalize(self, solver.destroy)
        solver.setOperators(matrix)
        solver.setType("cg")
        solver.setNormType(PETSc.KSP.NormType.UNPRECONDITIONED)
        if isinstance(preconditioner, str):
            solver.getPC().setType(preconditioner)
        else:
            solver.getPC().setType("python")
            solver.getPC().setPythonContext(preconditioner)
        solver.setUp()
        self._solver = solver
        self._matrix = matrix
        # Made once: Debian's PETSc does not give back the memory of vectors that Python drops.
        self._solution, self._right = matrix.createVecs()
        for vector in (self._solution, self._right):
            weakref.finalize(self, vector.destroy)

    def product(self, vector: NDArray[np.float64]) -> NDArray[np.float64]:
        """The matrix times a vector."""
        self._right.array[:] = vector
        self._matrix.mult(self._right, self._solution)
        return np.array(self._solution.array.real, np.float64)

    def solve(
        self,
        load: NDArray[np.float64],
        guess: NDArray[np.float64] | None,
        tolerance: float,
        *,
        what: str,
        remedy: str,
        most: int = MOST_ITERATIONS,
    ) -> NDArray[np.float64]:
        """The solution whose residual is at most `tolerance` times the load's norm.

        Raises
        ------
        NotConverged
            With `what` was solved, how far it came, why it stopped and the `remedy`.
        """
        size = float(np.linalg.norm(load))
        if size == 0.0:
            return np.zeros_like(load)
        solution, right = self._solution, self._right
        right.array[:] = load
        if guess is not None:
            solution.array[:] = guess
        self._solver.setInitialGuessNonzero(guess is not None)
        self._solver.setTolerances(rtol=tolerance, atol=0.0, divtol=1e8, max_it=most)
        self._solver.solve(right, solution)
        reason = self._solver.getConvergedReason()
        answer = np.array(solution.array.real, np.float64)
        left = float(np.linalg.norm(load - self.product(answer))) / size
        if not (reason > 0 and left <= ROUNDING * tolerance):
            raise NotConverged(
                f"{what} has no solution: {self.iterations} iterations of conjugate gradients "
                f"left {left:.2g} of the load where {tolerance:g} is asked "
                f"({_why(reason)}); {remedy}."
            )
        return answer

    @property
    def iterations(self) -> int:
        """Iterations of the latest solve."""
        return int(self._solver.getIterationNumber())


def _why(reason: int) -> str:
    """PETSc's number for how a solve ended, in words."""
    names = {
        value: name
        for name, value in vars(PETSc.KSP.ConvergedReason).items()
        if isinstance(value, int)
    }
    if reason > 0:
        return "rounding allows no better"
    name = names.get(reason, f"PETSc's reason {reason}")
    return _REASONS.get(name, name)
