"""Oxygen that keeps up with its use: supplied by vessels, diffusing, used by cells.

``D lap p - M occ p/(p + p_M) + s (p_v - p) = 0`` with no flux at the mesh's boundary: p
[mmHg] settles in seconds, tumours grow in days. Values to begin with: D 2e-3 mm2/s, M 15
(5 to 30) mmHg/s, p_M 1 to 3 and p_v 40 mmHg [unverified].

The field falls over ``sqrt(D p_v/M)``, about 0.07 mm. It is solved on meshes that fine
(`OxygenField`); in the far larger elements of an image's mesh each holds its own balance of
supply and use (`effective_oxygen`); `oxygen_model` says which of the two.

The linear solves were tried on a spheroid of 0.19 mm in 35,937 nodes, all Newton steps of
one field together (6 with p_M 2 mmHg, 14 with 0.001): ICC(0) 0.07 and 0.15 s, Jacobi 0.07
and 0.16, BoomerAMG 0.4 and 0.8, GAMG 0.7 and 1.6 s; the diagonal of use and supply keeps
the iterations few (16 to 36 with ICC), and the matrix is new in every step.
"""

from __future__ import annotations

import logging
import math
from typing import Literal

import numpy as np
import scipy.sparse
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csgraph

from solvers.conjugate_gradients import ConjugateGradients, symmetric_matrix
from solvers.operators import mesh_operators
from twin.errors import InvalidInput, NotConverged
from twin.mesh import Mesh

__all__ = ["OxygenField", "effective_oxygen", "oxygen_length", "oxygen_model"]

logger = logging.getLogger(__name__)

MOST_STEPS = 60
#: The fastest of those tried (above).
PRECONDITIONER = "icc"


class OxygenField:
    """The field of oxygen of one mesh: linear tetrahedra, the use lumped at the nodes.

    Transmissibilities are made non-negative as for the tumour (`solvers.operators`), so the
    equations are monotone: the field is unique and lies between 0 and the largest pressure
    supplied. Use grows ever more slowly with p, so that a Newton step from anywhere ends
    below the field (where negative, 0 does too) and all further ones rise to it.

    Parameters
    ----------
    mesh : Mesh
    diffusivity : array_like, [mm2/s], one value or shape (cell,)

    Raises
    ------
    InvalidInput
        A diffusivity that is not positive and finite.

    Examples
    --------
    >>> mesh = Mesh([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], [[0, 1, 2, 3]], [1], {1: "a"})
    >>> field = OxygenField(mesh, 2e-3)
    >>> field.pressure(
    ...     occupancy=1.0, supply=0.5, consumption=15.0, half_pressure=2.0, vessel_pressure=40.0
    ... ).round(6).tolist()
    [13.797959, 13.797959, 13.797959, 13.797959]
    """

    def __init__(self, mesh: Mesh, diffusivity: ArrayLike) -> None:
        cells = len(mesh.cells)
        values = np.broadcast_to(np.asarray(diffusivity, np.float64), (cells,))
        if not ((values > 0.0) & (values < np.inf)).all():
            raise InvalidInput(
                "The diffusivity of oxygen must be finite and above 0 mm2/s in each cell; the "
                f"least is {values.min():g}."
            )
        self.mesh = mesh
        operators = mesh_operators(mesh)
        weight = np.maximum(operators.cell_to_edge @ values, 0.0)
        keep = weight > 0.0
        (low, high), weight = operators.edges[keep].T, weight[keep]
        nodes = len(mesh.points)
        links = scipy.sparse.csr_matrix((weight, (low, high)), shape=(nodes, nodes))
        links = (links + links.T).tocsr()
        outflow = np.asarray(links.sum(axis=1)).ravel()
        self._stiffness = (scipy.sparse.diags(outflow) - links).tocsr()
        quarter = (np.repeat(0.25 * mesh.cell_volume, 4), mesh.cells.ravel())
        self._volume = scipy.sparse.csr_matrix(
            (quarter[0], (quarter[1], np.repeat(np.arange(cells), 4))), shape=(nodes, cells)
        )

    def _at_nodes(self, values: ArrayLike, what: str) -> NDArray[np.float64]:
        """Integral of a quantity over what belongs to each node, [mm3 times its unit]."""
        array = np.asarray(values, np.float64)
        nodes, cells = self._volume.shape
        if not ((array >= 0.0) & (array < np.inf)).all():
            raise InvalidInput(f"The {what} of oxygen must be finite and at least 0 everywhere.")
        if array.shape == (nodes,):
            return np.asarray(self._volume.sum(axis=1)).ravel() * array
        if array.shape not in ((), (cells,)):
            raise InvalidInput(
                f"The {what} of oxygen is one value or one for each of {nodes} nodes or {cells} "
                f"cells; this has the shape {array.shape}."
            )
        return np.asarray(self._volume @ np.broadcast_to(array, (cells,)))

    def pressure(
        self,
        *,
        occupancy: ArrayLike,
        supply: ArrayLike,
        consumption: float,
        half_pressure: float,
        vessel_pressure: float,
        fixed: NDArray[np.bool_] | None = None,
        fixed_pressure: ArrayLike | None = None,
        guess: NDArray[np.float64] | None = None,
        tolerance: float = 1e-10,
    ) -> NDArray[np.float64]:
        """Partial pressure of oxygen, [mmHg], shape (node,).

        Parameters
        ----------
        occupancy : array_like, [1], one value or shape (node,) or (cell,)
            Cells as a share of the tissue's capacity.
        supply : array_like, [1/s], one value or shape (node,) or (cell,)
            Exchange rate s with the vessels. (By node where both counts are the same.)
        consumption : float, [mmHg/s]
            M: use where the occupancy is 1 and oxygen is plenty.
        half_pressure : float, [mmHg]
            p_M: pressure of half the use.
        vessel_pressure : float, [mmHg]
        fixed : ndarray of bool, shape (node,)
            Nodes at which the pressure is given.
        fixed_pressure : array_like, [mmHg], one value or shape (node,)
            It; only the fixed nodes are read.
        guess : ndarray, [mmHg], shape (node,)
            A field to begin with.
        tolerance : float, [1]
            Largest imbalance over supply, use and diffusion, both as norms.

        Raises
        ------
        InvalidInput
            Values out of range; a part of the mesh with no use, no supply, no fixed node.
        NotConverged
            Balance was not reached.
        """
        _check(consumption, half_pressure, vessel_pressure, tolerance)
        use = consumption * self._at_nodes(occupancy, "occupancy")
        rate = self._at_nodes(supply, "supply")
        held, known = self._held(fixed, fixed_pressure)
        self._check_determined(use + rate, held)
        largest = max(vessel_pressure, float(known.max(initial=0.0)))
        p = np.full(len(held), largest)
        if guess is not None:
            p[:] = _pressures(guess, p.shape, "guess")
        p[held] = known[held]
        source = rate * vessel_pressure
        free = ~held
        inner = self._stiffness[free][:, free]
        worst, size = np.inf, 0.0
        for step in range(MOST_STEPS):
            out = self._stiffness @ p
            used = use * p / (p + half_pressure)
            residual = (out + used + rate * p - source)[free]
            size = float(np.linalg.norm((abs(out) + used + rate * p + source)[free]))
            worst = float(np.linalg.norm(residual))
            if worst <= tolerance * size or size == 0.0:
                logger.debug("oxygen balanced in %d steps", step)
                return p
            slope = use * half_pressure / (p + half_pressure) ** 2 + rate
            change = _solve(inner, slope[free], residual, min(1e-2, 0.1 * tolerance * size / worst))
            p[free] = np.maximum(p[free] - change, 0.0)
        raise NotConverged(
            f"The field of oxygen of {len(p)} nodes is not in balance after {MOST_STEPS} Newton "
            f"steps: {worst / size:.2g} of it is left where {tolerance:g} is asked, the most at "
            f"{self._where(residual, free)} mm; raise half_pressure or the tolerance."
        )

    def _where(self, residual: NDArray[np.float64], free: NDArray[np.bool_]) -> list[float]:
        """Place of the largest imbalance, [mm]."""
        node = np.flatnonzero(free)[int(np.abs(residual).argmax())]
        return [round(float(x), 3) for x in self.mesh.points[node]]

    def _held(
        self, fixed: NDArray[np.bool_] | None, values: ArrayLike | None
    ) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """Mask of the fixed nodes and the pressures given there, 0 elsewhere."""
        nodes = len(self.mesh.points)
        if (fixed is None) != (values is None):
            raise InvalidInput("Fixed nodes and their pressure are given together or not at all.")
        known = np.zeros(nodes)
        if fixed is None:
            return np.zeros(nodes, np.bool_), known
        held = np.asarray(fixed)
        if held.shape != (nodes,) or held.dtype != np.bool_:
            raise InvalidInput(
                f"The fixed nodes are a mask of bool of shape ({nodes},); this is {held.dtype} of "
                f"shape {held.shape}."
            )
        array = np.broadcast_to(np.asarray(values, np.float64), (nodes,))
        known[held] = _pressures(array[held], (int(held.sum()),), "fixed pressure")
        return held, known

    def _check_determined(self, sink: NDArray[np.float64], held: NDArray[np.bool_]) -> None:
        """Refuse a part of the mesh where any constant pressure would do."""
        parts, part = csgraph.connected_components(self._stiffness, directed=False)
        anchored = np.bincount(part, weights=sink + held, minlength=parts) > 0.0
        if not anchored.all():
            raise InvalidInput(
                f"{int((~anchored).sum())} of {parts} parts of the mesh have no use of oxygen, no "
                "supply and no fixed node, so that its pressure there is anything; give one of "
                "the three."
            )


def _solve(
    inner: scipy.sparse.csr_matrix,
    slope: NDArray[np.float64],
    residual: NDArray[np.float64],
    tolerance: float,
) -> NDArray[np.float64]:
    """One linearised balance: the stiffness plus a diagonal, positive definite."""
    upper = scipy.sparse.triu(inner + scipy.sparse.diags(slope), format="csr")
    upper.sort_indices()
    matrix = symmetric_matrix(upper.indptr, upper.indices, upper.data.reshape(-1, 1, 1))
    return ConjugateGradients(matrix, PRECONDITIONER).solve(
        residual, None, max(tolerance, 1e-12),
        what=f"A Newton step of the field of oxygen of {len(residual)} nodes",
        remedy="look for nearly flat elements",
    )  # fmt: skip


def _pressures(values: ArrayLike, shape: tuple[int, ...], what: str) -> NDArray[np.float64]:
    array = np.asarray(values, np.float64)
    if array.shape != shape or not ((array >= 0.0) & (array < np.inf)).all():
        raise InvalidInput(
            f"The {what} of oxygen must be finite, at least 0 mmHg and of shape {shape}; its "
            f"shape is {array.shape}."
        )
    return array


def _check(
    consumption: float, half_pressure: float, vessel_pressure: float, tolerance: float = 0.5
) -> None:
    for name, value, zero in (
        ("consumption", consumption, True),
        ("half_pressure", half_pressure, False),
        ("vessel_pressure", vessel_pressure, True),
    ):
        if not 0.0 <= value < math.inf or (value == 0.0 and not zero):
            least = "at least" if zero else "above"
            raise InvalidInput(f"The {name} of oxygen is {value!r}; it must be finite, {least} 0.")
    if not 0.0 < tolerance < 1.0:
        raise InvalidInput(f"The tolerance is {tolerance!r}; it must lie between 0 and 1.")


def effective_oxygen(
    occupancy: ArrayLike,
    supply: ArrayLike,
    *,
    consumption: float,
    half_pressure: float,
    vessel_pressure: float,
) -> NDArray[np.float64]:
    """Oxygen of an element that shares none with its neighbours, [mmHg].

    The root of ``s (p_v - p) = M occ p/(p + p_M)`` that is not negative.

    Parameters
    ----------
    occupancy, supply : array_like, [1] and [1/s]
        As in `OxygenField.pressure`; they are broadcast together.
    consumption, half_pressure, vessel_pressure : float, [mmHg/s], [mmHg], [mmHg]

    Raises
    ------
    InvalidInput
        Values out of range; neither supply nor use in an element.

    Examples
    --------
    >>> effective_oxygen(
    ...     [0.0, 1.0], 0.5, consumption=15.0, half_pressure=2.0, vessel_pressure=40.0
    ... ).round(6).tolist()
    [40.0, 13.797959]
    """
    _check(consumption, half_pressure, vessel_pressure)
    use, rate = np.broadcast_arrays(
        consumption * np.asarray(occupancy, np.float64), np.asarray(supply, np.float64)
    )
    if not ((use >= 0.0) & (use < np.inf) & (rate >= 0.0) & (rate < np.inf)).all():
        raise InvalidInput("Occupancy and supply must be finite and at least 0 everywhere.")
    if not (use + rate > 0.0).all():
        raise InvalidInput(
            "An element has neither a supply nor a use of oxygen, so that its pressure is "
            "anything; give one of the two."
        )
    linear = use + rate * (half_pressure - vessel_pressure)
    constant = rate * vessel_pressure * half_pressure
    root = np.sqrt(linear**2 + 4.0 * rate * constant)
    above = linear > 0.0  # the form without cancellation
    few = np.divide(2.0 * constant, linear + root, out=np.zeros(root.shape), where=above)
    return np.divide(root - linear, 2.0 * rate, out=few, where=~above)


def oxygen_length(diffusivity: float, vessel_pressure: float, consumption: float) -> float:
    """Length over which the use of oxygen exhausts it, ``sqrt(D p_v/M)``, [mm].

    Examples
    --------
    >>> round(oxygen_length(2e-3, 40.0, 15.0), 4)
    0.073
    """
    if not (0.0 < diffusivity < math.inf and 0.0 < vessel_pressure < math.inf):
        raise InvalidInput(
            f"Diffusivity {diffusivity!r} mm2/s and pressure {vessel_pressure!r} mmHg must both "
            "be finite and above 0."
        )
    if not 0.0 < consumption < math.inf:
        raise InvalidInput(f"The consumption is {consumption!r} mmHg/s; it must be above 0.")
    return math.sqrt(diffusivity * vessel_pressure / consumption)


def oxygen_model(
    element_mm: float, *, diffusivity: float, vessel_pressure: float, consumption: float
) -> Literal["field", "balance"]:
    """Which of the two an element of this size can hold.

    "field" (`OxygenField`) up to half of `oxygen_length`, where first-order oxygen still
    decays over a length within 4 % of the right one at every node (at a whole length, 14 %);
    "balance" (`effective_oxygen`) above, where the slopes are lost between two nodes.

    Examples
    --------
    >>> oxygen_model(1.5, diffusivity=2e-3, vessel_pressure=40.0, consumption=15.0)
    'balance'
    >>> oxygen_model(0.02, diffusivity=2e-3, vessel_pressure=40.0, consumption=15.0)
    'field'
    """
    if not 0.0 < element_mm < math.inf:
        raise InvalidInput(f"The element's size is {element_mm!r} mm; it must be above 0.")
    length = oxygen_length(diffusivity, vessel_pressure, consumption)
    return "field" if element_mm <= 0.5 * length else "balance"
