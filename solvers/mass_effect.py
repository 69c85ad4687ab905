"""Mass effect: a growing tumour pushes tissue aside, and stress slows migration.

Quasi-static linear elasticity with growth strain (`solvers.elasticity`). It acts on the
run through the diffusivity of every element:

- *moved tissue*: what is now at x was at x - d(x) in the images of day 0, so its tissue is
  read there, with d the displacement since then (the images show tissue that the tumour
  has displaced already);
- *damped migration*: ``D exp(-gamma s)`` with the von Mises stress s of the whole (Weis
  2013, Phys Med Biol 58:5851, doi 10.1088/0031-9155/58/17/5851 [unverified]).

The density itself is not carried along: D and rho are those of fronts in images, which
hold the outward motion already. Elements in which no tumour can live do not grow: fluid,
and the cavity of a resection, which is as soft as fluid. The displacement is solved for
every few steps; in between, exchanges go on as they changed between the last two solves,
so that the coupling is of second order in their distance (`UPDATE_STEPS` steps). Measured
on a small head, steps and solves halved from 1 to 1/4 day, with a resection and without:
orders of 1.9 to 2.1 in volumes, burden and displacement.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from solvers.elasticity import ElasticBody, outer_nodes
from solvers.moving_operator import MovingOperator, RemadeOperator
from solvers.prepared import Prepared
from twin.events import Removed
from twin.parameters import ParameterSet

__all__ = ["UPDATE_STEPS", "MassEffect", "memory_of_mass_effect"]

#: The displacement is solved for anew after so many of the longest steps.
UPDATE_STEPS = 2
#: Earlier displacements that the next solve begins from.
_GUESSES = 4
#: Residual of a solve over the norm of its load.
TOLERANCE = 1e-6
#: Bodies that are kept for other runs, 200 MB each for 100,000 nodes: a resection makes another.
_BODIES = 3
_ELASTIC = (
    *(f"young_modulus_{name}" for name in ("white", "grey", "fluid", "tumour")),
    "poisson_ratio",
)
_TUMOUR, _FLUID, _GREY = ("enhancing", "necrosis"), ("fluid",), ("grey_matter",)


def memory_of_mass_effect(nodes: int, cells: int, fields: int) -> int:
    """Memory that a run needs more with mass effect, [byte].

    Measured on the packaged head: 600 bytes an element, half of them the elastic body, and
    as much as the body once more after a resection, which makes another; fields besides.

    Parameters
    ----------
    nodes, cells : int
    fields : int
        Field times, each with a displacement and a stress.

    Examples
    --------
    >>> memory_of_mass_effect(112_095, 649_366, 0) // 10**6
    584
    """
    return 900 * cells + 4 * fields * (3 * nodes + cells)


class MassEffect:
    """The moving tissue of one run.

    Parameters
    ----------
    prepared : Prepared
    parameters : ParameterSet
    every_day : float, [day]
        How often the displacement is solved for.
    memory : mapping of str to ndarray or None
        What `memory` of an earlier run gave, to go on from.
    """

    def __init__(
        self,
        prepared: Prepared,
        parameters: ParameterSet,
        every_day: float,
        memory: Mapping[str, NDArray[np.float64]] | None = None,
    ) -> None:
        self._prepared, self._parameters = prepared, parameters
        self._every = every_day
        self._strain = parameters.value("growth_strain")
        self._damping = parameters.value("stress_damping")
        self._days: list[float] = []
        self._moved: list[NDArray[np.float64]] = []
        if memory is not None:
            self._days = memory["mass_effect_days"].tolist()
            self._moved = list(memory["mass_effect_displacements"])
            self._first = memory["mass_effect_first"]
        self._exchange: dict[float, NDArray[np.float64]] = {}

    def after(self, removed: Removed) -> None:
        """Work on the anatomy after these resections."""
        prepared, parameters = self._prepared, self._parameters
        active = prepared.active_cells(removed)
        self.body: ElasticBody = prepared._remember(
            ("body", *(parameters.value(name) for name in _ELASTIC), removed),
            lambda: self._body(removed, active),
            of_a_kind=_BODIES,
        )
        self._operator = MovingOperator.of(
            prepared.operators_of(parameters, removed), prepared.diffusivity(parameters), active
        )
        self._exchange = {
            day: self._exchanges(moved)
            for day, moved in zip(self._days[-2:], self._moved[-2:], strict=True)
        }

    def _body(self, removed: Removed, active: NDArray[np.bool_]) -> ElasticBody:
        mesh, poisson = self._prepared.twin.mesh, self._parameters.value("poisson_ratio")
        return ElasticBody(
            mesh,
            self._young(removed),
            poisson,
            outer_nodes(mesh),
            tolerance=TOLERANCE,
            growing=active,
        )

    def _young(self, removed: Removed) -> NDArray[np.float64]:
        """Modulus of each element, [kPa], shape (cell,)."""
        mesh, value = self._prepared.twin.mesh, self._parameters.value
        young = np.full(len(mesh.cells), value("young_modulus_white"))
        young[mesh.cells_labelled(*_GREY)] = value("young_modulus_grey")
        young[mesh.cells_labelled(*_FLUID)] = value("young_modulus_fluid")
        young[mesh.cells_labelled(*_TUMOUR)] = value("young_modulus_tumour")
        for name in removed:
            young[self._prepared.removed_cells(name)] = value("young_modulus_fluid")
        return young

    def _exchanges(self, moved: NDArray[np.float64]) -> NDArray[np.float64]:
        """Transmissibility of every edge where tissue has moved so, [mm3/day]."""
        diffusivity = self._prepared.diffusivity(self._parameters, moved - self._first)
        stress = self.body.von_mises(moved)
        return self._operator.transmissibility(diffusivity * np.exp(-self._damping * stress))

    @property
    def begun(self) -> bool:
        """Whether a displacement is known."""
        return bool(self._days)

    def update(self, day: float, visible: NDArray[np.float64]) -> None:
        """Solve for the displacement at `day`, if it is time for it."""
        if not self._days or day >= self._days[-1] + self._every - 1e-9:
            self._solve(day, visible)

    def begin_again(self, day: float, visible: NDArray[np.float64]) -> None:
        """Solve at once, after what changed the tissue suddenly: nothing before goes on."""
        self._solve(day, visible)
        self._days, self._moved = self._days[-1:], self._moved[-1:]
        self._exchange = {day: self._exchange[day]}

    def _solve(self, day: float, visible: NDArray[np.float64]) -> None:
        guess = np.stack(self._moved) if self._moved else None
        moved = self.body.displacement(visible, self._strain, guess)
        if not self._days:
            self._first = moved
        before = {known: self._exchange[known] for known in self._days[-1:]}
        self._days, self._moved = [*self._days, day], [*self._moved, moved]
        self._days, self._moved = self._days[-_GUESSES:], self._moved[-_GUESSES:]
        self._exchange = {**before, day: self._exchanges(moved)}

    def operator(self, day: float) -> RemadeOperator:
        """The operator of diffusion at a day after the last solve."""
        latest = self._exchange[self._days[-1]]
        if len(self._days) == 1:
            return self._operator.at(latest)
        before, last = self._days[-2:]
        change = (latest - self._exchange[before]) / (last - before)
        return self._operator.at(latest, change, day - last)

    def whole_displacement(self, day: float) -> NDArray[np.float64]:
        """Displacement by all of the tumour, [mm], shape (node, 3), as it went on lately."""
        if len(self._days) == 1:
            return self._moved[-1]
        before, last = self._days[-2:]
        rate = (self._moved[-1] - self._moved[-2]) / (last - before)
        return self._moved[-1] + (day - last) * rate

    def displacement(self, day: float) -> NDArray[np.float64]:
        """Displacement since day 0, [mm], shape (node, 3)."""
        return self.whole_displacement(day) - self._first

    def stress(self, day: float) -> NDArray[np.float64]:
        """Von Mises stress, [kPa], shape (cell,)."""
        return self.body.von_mises(self.whole_displacement(day))

    def memory(self) -> dict[str, NDArray[np.float64]]:
        """All that is needed to go on."""
        return {
            "mass_effect_days": np.array(self._days),
            "mass_effect_displacements": np.stack(self._moved),
            "mass_effect_first": self._first,
        }
