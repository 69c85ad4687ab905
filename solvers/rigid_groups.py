"""A preconditioner for elasticity: incomplete Cholesky, and rigid motions of groups of nodes.

Incomplete Cholesky corrects what changes from element to element; what moves whole regions
takes it many iterations. So the nodes are cut into groups of neighbours, the rigid motions
of the groups span a coarse space Z, and its share of the solution is solved directly:
``z = M^-1 r;  z += Z E^-1 (Z^T r - (A Z)^T z)`` with ``E = Z^T A Z``. This is symmetric
for residuals that Z does not see, which a first step makes so (A-DEF2 in Tang, Nabben, Vuik
and Erlangga 2009, J Sci Comput 39:340, doi 10.1007/s10915-009-9272-6 [unverified]).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from petsc4py import PETSc

from solvers.block_cholesky import BlockCholesky
from solvers.conjugate_gradients import factor
from twin.compiled import compiled_sums

__all__ = ["RigidGroups", "groups_of"]

#: Most nodes of a group: more make the direct solve cheaper and the iterations more.
GROUP = 400
#: A mesh with fewer nodes has no coarse space; incomplete Cholesky is nearly exact there.
LEAST_NODES = 60


def groups_of(points: NDArray[np.float64], most: int) -> NDArray[np.int32]:
    """Group of each point: boxes halved along their longest side, shape (node,).

    Examples
    --------
    >>> groups_of(np.array([[0.0, 0, 0], [9, 0, 0], [1, 0, 0], [8, 0, 0]]), 2).tolist()
    [1, 0, 1, 0]
    """
    group = np.zeros(len(points), np.int32)
    waiting, number = [np.arange(len(points))], 0
    while waiting:
        here = waiting.pop()
        if len(here) <= most:
            group[here] = number
            number += 1
            continue
        axis = int(np.ptp(points[here], axis=0).argmax())
        order = np.argsort(points[here, axis], kind="stable")
        waiting += [here[order[: len(here) // 2]], here[order[len(here) // 2 :]]]
    return group


@compiled_sums
def _gather(group, arm, force, result):
    """Force and moment on each group: ``result = Z^T force``."""
    result[:] = 0.0
    for i in range(group.shape[0]):
        g = 6 * group[i]
        fx, fy, fz = force[3 * i], force[3 * i + 1], force[3 * i + 2]
        x, y, z = arm[i, 0], arm[i, 1], arm[i, 2]
        result[g] += fx
        result[g + 1] += fy
        result[g + 2] += fz
        result[g + 3] += y * fz - z * fy
        result[g + 4] += z * fx - x * fz
        result[g + 5] += x * fy - y * fx


@compiled_sums
def _spread(group, arm, motion, result):
    """Add to each node what its group's motion moves it: ``result += Z motion``."""
    for i in range(group.shape[0]):
        g = 6 * group[i]
        x, y, z = arm[i, 0], arm[i, 1], arm[i, 2]
        rx, ry, rz = motion[g + 3], motion[g + 4], motion[g + 5]
        result[3 * i] += motion[g] + ry * z - rz * y
        result[3 * i + 1] += motion[g + 1] + rz * x - rx * z
        result[3 * i + 2] += motion[g + 2] + rx * y - ry * x


class RigidGroups:
    """The preconditioner of one elastic matrix, as PETSc calls it.

    Parameters
    ----------
    upper : bsr_matrix
        The matrix's upper triangle in blocks of 3.
    points : ndarray, [mm], shape (node, 3)
    """

    def __init__(self, upper: scipy.sparse.bsr_matrix, points: NDArray[np.float64]) -> None:
        self._local = BlockCholesky(upper)
        self._group = groups_of(points, GROUP)
        self._coarse: Any = None
        if len(points) < LEAST_NODES:
            return
        count = np.bincount(self._group)
        centre = np.stack([np.bincount(self._group, x) / count for x in points.T], axis=1)
        arm = points - centre[self._group]
        self._arm = arm / np.sqrt((arm**2).sum(axis=1).mean())
        motions = self._motions()
        below = upper.copy()
        below.data = below.data.copy()
        rows = np.repeat(np.arange(len(points)), np.diff(below.indptr))
        below.data[below.indices == rows] = 0.0
        moved = upper @ motions + below.T.tobsr((3, 3)) @ motions
        self._moved = moved.T.tobsr((6, 3))
        energy = (motions.T.tobsr((6, 3)) @ moved).tocsr()
        energy = 0.5 * (energy + energy.T).tocsr()
        coarse = PETSc.Mat().createAIJ(
            energy.shape,
            csr=(
                energy.indptr.astype(PETSc.IntType),
                energy.indices.astype(PETSc.IntType),
                energy.data,
            ),
            comm=PETSc.COMM_SELF,
        )
        coarse.setOption(PETSc.Mat.Option.SPD, True)
        self._coarse = factor(coarse, "cholesky")
        self._motion, self._force = coarse.createVecs()
        self._seen = np.empty(energy.shape[0])

    def _motions(self) -> scipy.sparse.bsr_matrix:
        """Z: three displacements and three rotations of each group, shape (3 node, 6 group)."""
        nodes = len(self._group)
        block = np.zeros((nodes, 3, 6))
        x, y, z = self._arm.T
        for axis in range(3):
            block[:, axis, axis] = 1.0
        block[:, 1, 3], block[:, 2, 3] = -z, y
        block[:, 0, 4], block[:, 2, 4] = z, -x
        block[:, 0, 5], block[:, 1, 5] = -y, x
        return scipy.sparse.bsr_matrix(
            (block, self._group, np.arange(nodes + 1)),
            shape=(3 * nodes, 6 * (int(self._group.max()) + 1)),
        )

    def start(self, residual: NDArray[np.float64]) -> NDArray[np.float64]:
        """The step after which Z no longer sees the residual, shape (3 node,)."""
        step = np.zeros_like(residual)
        if self._coarse is not None:
            _gather(self._group, self._arm, residual, self._seen)
            self._correct(step)
        return step

    def apply(self, _: Any, residual: Any, result: Any) -> None:
        """Write the preconditioned residual to `result` (called by PETSc)."""
        right = np.ascontiguousarray(residual.array_r.real)
        step = np.empty_like(right)
        self._local.apply(right, step)
        if self._coarse is not None:
            _gather(self._group, self._arm, right, self._seen)
            self._seen -= self._moved @ step
            self._correct(step)
        result.array[:] = step

    def _correct(self, step: NDArray[np.float64]) -> None:
        """Add the rigid motions that balance what Z sees."""
        self._force.array[:] = self._seen
        self._coarse.apply(self._force, self._motion)
        _spread(self._group, self._arm, np.ascontiguousarray(self._motion.array_r.real), step)
