"""Mass effect: linear elasticity with growth strain on a patient mesh, quasi-static.

``div sigma = 0`` with ``sigma = lambda tr(eps - eps*) I + 2 G (eps - eps*)`` and the growth
strain ``eps* = g u I`` of a tumour density u (the thermo-elastic analogue; Clatz et al.
2005, IEEE TMI 24:1334, doi 10.1109/TMI.2005.857217 [unverified], push with the gradient of
the density alike), on linear tetrahedra. The density of an element is the mean of its
nodes, so the load is one sparse map of the nodal density.

The solver was chosen on the example head (112,095 nodes, moduli of 0.1 to 8 kPa, Poisson
ratio 0.4, outer nodes held), by processor seconds of one core of a busy machine. Set-up;
one solve to a relative residual of 1e-6 and to 1e-10, from nothing (cold) and from the
displacement of a load that differs by 1 % (warm); iterations in brackets:

==============================================  ======  =============  ============  ============
preconditioner                                  set-up  cold, 1e-6     warm, 1e-6    warm, 1e-10
==============================================  ======  =============  ============  ============
block Jacobi (3 by 3)                              0.0  10.3 (392)     9.7 (274)     21 (549)
ICC(0), blocks of 3                                0.1  2.8 (74)       1.8 (49)      3.7 (100)
GAMG, rigid-body near-null space                   6.3  3.6 (17)       2.3 (11)      4.7 (23)
the same, smoothed by ICC(0)                       6.7  2.3 (13)       1.4 (8)       3.0 (17)
BoomerAMG, nodal coarsening                        3.0  5.7 (16)       6.6 (12)      12 (23)
ICC(0) and rigid groups                            0.9  1.4 (29)       0.9 (17)      1.9 (38)
**the same, ICC(0) in single precision**           0.8  1.1 (29)       0.7 (17)      1.4 (38)
==============================================  ======  =============  ============  ============

(BoomerAMG and block Jacobi were warm by 4 % of the displacement; a direct factor by MUMPS
was not done after some 270 s and 3.9 GB.) With the displacements of the last one, two,
three and four steps of 5 days as a guess, for a rim that advances 0.07 mm a day, a solve to
1e-6 took 0.8, 0.6, 0.5 and 0.3 s: give `displacement` the last four. The whole body is set
up in 5 s, half of it the forms and the compiled loops; the process peaks at 1.0 GB.
"""

from __future__ import annotations

import logging
import threading
from typing import Any, TypeVar

import numpy as np
import scipy.sparse
from numpy.typing import ArrayLike, NDArray

from solvers import elastic_measures
from solvers.conjugate_gradients import ConjugateGradients, symmetric_matrix
from solvers.elastic_matrix import elastic_matrix
from solvers.gradients import nodal_gradients
from solvers.rigid_groups import RigidGroups
from twin.errors import InvalidInput
from twin.mesh import Mesh

__all__ = ["LOCKING_POISSON", "ElasticBody", "outer_nodes"]

logger = logging.getLogger(__name__)

#: Linear tetrahedra are too stiff above this Poisson ratio.
LOCKING_POISSON = 0.45
_FACES = np.array([(1, 2, 3), (0, 2, 3), (0, 1, 3), (0, 1, 2)])
_Array = TypeVar("_Array", NDArray[np.float64], NDArray[np.complex128])


def outer_nodes(mesh: Mesh) -> NDArray[np.bool_]:
    """Mask of the nodes on the mesh's boundary faces, for a head the skull; shape (node,).

    Examples
    --------
    >>> one = Mesh([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], [[0, 1, 2, 3]], [1], {1: "a"})
    >>> outer_nodes(one).tolist()
    [True, True, True, True]
    """
    faces = np.sort(mesh.cells[:, _FACES].reshape(-1, 3), axis=1).astype(np.int64)
    nodes = len(mesh.points)
    low = faces[:, 0] * nodes + faces[:, 1]  # two keys: the product of three may overflow
    order = np.lexsort((faces[:, 2], low))
    low, high = low[order], faces[order, 2]
    same = (low[1:] == low[:-1]) & (high[1:] == high[:-1])
    shared = np.concatenate([same, [False]]) | np.concatenate([[False], same])
    outer = np.zeros(nodes, np.bool_)
    outer[faces[order[~shared]]] = True
    return outer


class ElasticBody:
    """One mesh with its moduli, held at some nodes; everything in the mesh's own node order.

    Threads that share a body solve in turn.

    Parameters
    ----------
    mesh : Mesh
    young_kpa : array_like, [kPa], shape (cell,)
    poisson : float, [1]
    fixed : array_like of bool, shape (node,)
        Nodes that do not move (or move as `displacement` is told). Every connected part
        of the mesh needs three of them that are not on one line.
    tolerance : float, [1]
        Residual of a solve over the norm of its load.
    growing : array_like of bool or None, shape (cell,)
        Elements that grow with the density in them; all of them if None.

    Raises
    ------
    InvalidInput
        Moduli that are not positive and finite, a Poisson ratio of 0.5 or more or of -1 or
        less, too few fixed nodes.

    Examples
    --------
    >>> mesh = Mesh([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], [[0, 1, 2, 3]], [1], {1: "a"})
    >>> body = ElasticBody(mesh, [2.0], 0.4, [True, True, True, False])
    >>> moved = body.displacement(np.ones(4), 0.03)
    >>> moved.round(6).tolist()[3]
    [0.0, 0.0, 0.07]
    """

    def __init__(
        self,
        mesh: Mesh,
        young_kpa: ArrayLike,
        poisson: float,
        fixed: ArrayLike,
        *,
        tolerance: float = 1e-9,
        growing: ArrayLike | None = None,
    ) -> None:
        young = np.asarray(young_kpa, np.float64)
        held = np.asarray(fixed)
        _check(mesh, young, poisson, held, tolerance)
        self.mesh = mesh
        self._growing = np.ones(len(young)) if growing is None else np.asarray(growing, np.float64)
        if self._growing.shape != young.shape:
            raise InvalidInput(
                f"The growing elements are a mask of shape {young.shape}; this one has the shape "
                f"{self._growing.shape}."
            )
        self.tolerance = tolerance
        self.gradient = nodal_gradients(mesh)
        self.shear = young / (2.0 * (1.0 + poisson))
        self.first_lame = young * poisson / ((1.0 + poisson) * (1.0 - 2.0 * poisson))
        matrix = elastic_matrix(mesh, self.gradient, self.first_lame, self.shear, held)
        self.free, self._fixed_columns, upper = matrix.free, matrix.fixed_columns, matrix.upper
        system = symmetric_matrix(upper.indptr, upper.indices, upper.data)
        self._groups = RigidGroups(upper, mesh.points[self.free])
        self._solver = ConjugateGradients(system, self._groups)
        self._load = self._load_map()
        self._one_at_a_time = threading.Lock()
        logger.info("elastic body of %d nodes, %d of them free", len(held), int(self.free.sum()))

    def _load_map(self) -> scipy.sparse.csr_matrix:
        """Forces for a unit growth strain, of each density: [kPa mm2], shape (3 node, node)."""
        mesh, cells = self.mesh, len(self.mesh.cells)
        bulk = 3.0 * self.first_lame + 2.0 * self.shear
        force = (self._growing * bulk * mesh.cell_volume)[:, None, None] * self.gradient
        column = np.repeat(np.arange(cells), 12)
        row = (3 * mesh.cells[:, :, None] + np.arange(3)).ravel()
        shape = (3 * len(mesh.points), cells)
        forces = scipy.sparse.csr_matrix((force.ravel(), (row, column)), shape=shape)
        corner = (np.full(4 * cells, 0.25), mesh.cells.ravel(), np.arange(0, 4 * cells + 1, 4))
        mean = scipy.sparse.csr_matrix(corner, shape=(cells, len(mesh.points)))
        return (forces @ mean).tocsr()

    def load_of(self, density: _Array, growth_strain: complex) -> _Array:
        """Nodal forces of a growing density, [kPa mm2], shape (node, 3); linear in the density."""
        return growth_strain * (self._load @ density).reshape(-1, 3)

    def density_of(self, forces: _Array, growth_strain: complex) -> _Array:
        """The transpose of `load_of`: shape (node,) of an array of shape (node, 3)."""
        return growth_strain * (self._load.T @ forces.reshape(-1))

    def displacement(
        self,
        density: NDArray[np.float64],
        growth_strain: float,
        guess: NDArray[np.float64] | None = None,
        *,
        prescribed: NDArray[np.float64] | None = None,
        forces: NDArray[np.float64] | None = None,
        tolerance: float | None = None,
    ) -> NDArray[np.float64]:
        """Displacement in equilibrium, [mm], shape (node, 3).

        Parameters
        ----------
        density : ndarray, [1], shape (node,)
        growth_strain : float, [1]
            Strain g in every direction where the density is 1.
        guess : ndarray, [mm], shape (node, 3) or (guess, node, 3)
            Earlier displacements: the solve begins at their combination of least energy.
        prescribed : ndarray, [mm], shape (node, 3)
            Displacement of the fixed nodes (0 if absent); other rows are not read.
        forces : ndarray, [kPa mm2], shape (node, 3)
            Forces besides growth, such as those of a pressure on a wall.
        tolerance : float, [1]
            In the place of the body's.

        Raises
        ------
        NotConverged
            The residual asked for was not reached.
        InvalidInput
            A shape that is not the mesh's or a value that is not finite.
        """
        nodes = len(self.mesh.points)
        load = self.load_of(_finite(density, (nodes,), "density"), growth_strain)
        if forces is not None:
            load = load + _finite(forces, (nodes, 3), "forces")
        result = np.zeros((nodes, 3))
        if prescribed is not None:
            result[~self.free] = _finite(prescribed, (nodes, 3), "prescribed")[~self.free]
        load = load[self.free] - (self._fixed_columns @ result[~self.free].ravel()).reshape(-1, 3)
        result[self.free] = self._solve(load, guess, tolerance)
        return result

    def solve_adjoint(
        self,
        load: NDArray[Any],
        guess: NDArray[Any] | None = None,
        *,
        tolerance: float | None = None,
    ) -> NDArray[Any]:
        """Displacement under any nodal forces, no node prescribed: the symmetric inverse.

        Parameters
        ----------
        load : ndarray, float64 or complex128, shape (node, 3)
            Real and imaginary parts are solved for in turn; fixed nodes are not read.
        guess : ndarray, [mm], shape (node, 3) or (guess, node, 3)

        Raises
        ------
        NotConverged, InvalidInput
            As in `displacement`.
        """
        if np.iscomplexobj(load):
            parts = (None, None) if guess is None else (guess.real, guess.imag)
            real = self.solve_adjoint(load.real, parts[0], tolerance=tolerance)
            return real + 1j * self.solve_adjoint(load.imag, parts[1], tolerance=tolerance)
        forces = _finite(load, (len(self.mesh.points), 3), "load")
        result = np.zeros(forces.shape)
        result[self.free] = self._solve(forces[self.free], guess, tolerance)
        return result

    def _solve(
        self, load: NDArray[np.float64], guess: NDArray[np.float64] | None, tolerance: float | None
    ) -> NDArray[np.float64]:
        """Displacement of the free nodes, shape (free, 3)."""
        if not load.any():
            return np.zeros(load.shape)
        with self._one_at_a_time:  # the solver and the groups have working arrays
            return self._solve_alone(load, guess, tolerance)

    def _solve_alone(
        self, load: NDArray[np.float64], guess: NDArray[np.float64] | None, tolerance: float | None
    ) -> NDArray[np.float64]:
        right = np.ascontiguousarray(load).ravel()
        start, residual = np.zeros_like(right), right
        if guess is not None:
            shape = (-1, *self.mesh.points.shape)
            known = np.ascontiguousarray(guess).reshape(shape)[:, self.free].reshape(-1, len(right))
            start, residual = self._nearest(known, right)
        start = start + self._groups.start(residual)
        answer = self._solver.solve(
            right, start, self.tolerance if tolerance is None else tolerance,
            what=f"The elastic body of {len(self.mesh.points)} nodes",
            remedy="raise the tolerance, or look for nearly flat elements and moduli that differ "
            "by many orders of magnitude",
        )  # fmt: skip
        return answer.reshape(load.shape)

    def _nearest(
        self, known: NDArray[np.float64], right: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The combination of known displacements nearest the solution in energy; its residual."""
        pulled = np.stack([self._solver.product(one) for one in known])
        share = np.linalg.lstsq(known @ pulled.T, known @ right, rcond=1e-12)[0]
        return share @ known, right - share @ pulled

    def stress(self, displacement: _Array, density: _Array, growth_strain: complex) -> _Array:
        """Stress in Voigt order xx, yy, zz, yz, xz, xy, [kPa], shape (cell, 6)."""
        growth = growth_strain * self._growing * density[self.mesh.cells].mean(axis=1)
        kind = np.result_type(displacement, growth, np.float64)
        return elastic_measures.stress(
            self.mesh.cells, self.gradient, self.first_lame, self.shear,
            np.ascontiguousarray(displacement, kind), growth.astype(kind),
        )  # fmt: skip

    def von_mises(self, displacement: _Array) -> _Array:
        """Von Mises stress, [kPa], shape (cell,).

        Growth is alike in every direction, so it enters by the displacement alone. The stress
        s is given as ``sqrt(s^2 + tiny^2)`` with tiny of 1e-9 kPa (`elastic_measures`), which
        has a derivative at 0.
        """
        kind = np.result_type(displacement, np.float64)
        return elastic_measures.von_mises(
            self.mesh.cells, self.gradient, self.shear,
            np.ascontiguousarray(displacement, kind), elastic_measures.LEAST_STRESS_KPA,
        )  # fmt: skip

    def von_mises_vjp(self, displacement: _Array, bar: _Array) -> _Array:
        """Derivative of ``sum(bar * von_mises(displacement))``, shape (node, 3)."""
        kind = np.result_type(displacement, bar, np.float64)
        return elastic_measures.von_mises_vjp(
            self.mesh.cells, self.gradient, self.shear,
            np.ascontiguousarray(displacement, kind), elastic_measures.LEAST_STRESS_KPA,
            np.ascontiguousarray(bar, kind),
        )  # fmt: skip


def _finite(values: ArrayLike, shape: tuple[int, ...], what: str) -> NDArray[np.float64]:
    array = np.asarray(values, np.float64)
    if array.shape != shape or not np.isfinite(array).all():
        raise InvalidInput(
            f"The {what} of an elastic body must be finite and of shape {shape}; it has the shape "
            f"{array.shape} and {int((~np.isfinite(array)).sum())} values that are not finite."
        )
    return array


def _check(
    mesh: Mesh,
    young: NDArray[np.float64],
    poisson: float,
    held: NDArray[np.generic],
    tolerance: float,
) -> None:
    if not -1.0 < poisson < 0.5:
        raise InvalidInput(
            f"The Poisson ratio is {poisson!r}; it must lie between -1 and 0.5, both excluded (0.5 "
            "is incompressible, which displacements alone cannot solve): take 0.4 to 0.45 for "
            "soft tissue."
        )
    if poisson > LOCKING_POISSON:
        logger.warning(
            "Linear tetrahedra lock at a Poisson ratio of %g: displacements come out too small "
            "above %g.", poisson, LOCKING_POISSON,
        )  # fmt: skip
    if young.shape != (len(mesh.cells),) or not ((young > 0.0) & (young < np.inf)).all():
        raise InvalidInput(
            f"Young's modulus must be finite and above 0 kPa in each of {len(mesh.cells)} cells; "
            f"it has the shape {young.shape} and the least value {young.min(initial=np.inf):g}."
        )
    if held.shape != (len(mesh.points),) or held.dtype != np.bool_:
        raise InvalidInput(
            f"The fixed nodes are a mask of bool of shape ({len(mesh.points)},); this is "
            f"{held.dtype} of shape {held.shape}."
        )
    if not 0.0 < tolerance < 1.0:
        raise InvalidInput(f"The tolerance is {tolerance!r}; it must lie between 0 and 1.")
    _check_held(mesh, held)


def _check_held(mesh: Mesh, held: NDArray[np.generic]) -> None:
    """Refuse a body of which a part could move without being strained."""
    cells, nodes = mesh.cells, len(mesh.points)
    link = scipy.sparse.csr_matrix(
        (np.ones(3 * len(cells)), (np.repeat(cells[:, 0], 3), cells[:, 1:].ravel())),
        shape=(nodes, nodes),
    )
    parts, part = scipy.sparse.csgraph.connected_components(link, directed=False)
    for number in np.unique(part[cells[:, 0]]) if parts > 1 else range(1):
        at = mesh.points[held.astype(bool) & (part == number)]
        if len(at) < 3 or np.linalg.matrix_rank(at - at[0], tol=1e-6) < 2:
            raise InvalidInput(
                f"Of {parts} parts of the mesh one with {int((part == number).sum())} nodes is "
                f"fixed at {len(at)}; three that are not on one line keep it from moving as a "
                "whole: fix outer_nodes(mesh), say."
            )
