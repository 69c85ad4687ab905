"""The engine on problems with known answers; all use of its stepping is here.

Growth is that of the engine's own models; where an answer is known only without
the room that dead tissue takes, a model of one species is put together from the
same parts and goes through the same compiled step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solvers.growth import Growth
from solvers.models import Model, Rate, Species, compose
from solvers.models.composition import growth_law
from solvers.operators import DiffusionMatrix, mesh_operators
from twin.mesh import Mesh
from twin.model_choice import ModelChoice

__all__ = ["LAWS", "BenchProblem", "point"]

LAWS = ("logistic", "gompertz", "exponential")
#: From two times [day] to the mean kill rate of a drug between them [1/day].
Kill = Callable[[float, float], float]


def _single(law: str) -> Model:
    """One species that grows by a law of the engine, and nothing else."""
    return Model(
        f"one species, {law}",
        (Species("viable", mobile=True, alive=True),),
        ("proliferation_rate",),
        lambda s, p: {"viable": Rate(p.proliferation_rate * growth_law(law, s.total) - p.kill)},
    )


_SINGLE = {law: _single(law) for law in LAWS}


@dataclass(frozen=True, slots=True)
class BenchProblem:
    """A mesh with its diffusivity.

    Parameters
    ----------
    mesh : Mesh
    operator : DiffusionMatrix
    """

    mesh: Mesh
    operator: DiffusionMatrix

    @classmethod
    def of(
        cls,
        mesh: Mesh,
        diffusivity: ArrayLike,
        active: NDArray[np.bool_] | None = None,
        *,
        clip: bool = True,
    ) -> BenchProblem:
        """The problem for one diffusivity or one in every element, [mm2/day].

        `clip` as for `solvers.operators.MeshOperators.diffusion`: runs always clip.
        """
        cells = len(mesh.cells)
        value = np.array(np.broadcast_to(np.asarray(diffusivity, np.float64), (cells,)))
        everywhere = np.ones(cells, bool)
        inside = everywhere if active is None else active
        operator = mesh_operators(mesh).diffusion(value, inside, clip=clip)
        return cls(mesh, operator)

    @property
    def mass(self) -> NDArray[np.float64]:
        """Volume of each node, [mm3]."""
        return self.operator.mass

    def run(
        self,
        start: ArrayLike,
        days: float,
        step: float,
        *,
        rate: float = 0.0,
        law: str = "logistic",
        kill: Kill | None = None,
        fractions: Sequence[float] = (),
        survival: float = 1.0,
    ) -> NDArray[np.float64]:
        """Density of a single species after `days`, [1], shape (node,).

        Parameters
        ----------
        start : array_like, [1], shape () or (node,)
        step : float, [day]
            Longest step; steps end at `fractions` too.
        rate : float, [1/day]
        law : str
            One of `LAWS`.
        kill : callable or None
            Mean kill rate between two times.
        fractions : sequence of float, [day]
            When `survival` of the cells survive an instant.
        """
        growth = Growth(_SINGLE[law], np.array([rate, 0.0]), self._field(start)[None])
        day = 0.0
        for end in [*fractions, days]:
            steps = int(np.ceil((end - day) / step - 1e-9))
            edges = np.linspace(day, end, steps + 1)
            self._advance(growth, edges, kill)
            if end in fractions:
                growth.state *= survival
            day = end
        return growth.state[0].copy()

    def run_model(
        self,
        choice: ModelChoice,
        parameters: Mapping[str, float],
        start: Mapping[str, ArrayLike],
        days: float,
        step: float,
        *,
        kill: Kill | None = None,
    ) -> dict[str, NDArray[np.float64]]:
        """Densities of the engine's own model after `days`, by species, [1].

        Parameters
        ----------
        parameters : mapping
            Values of the model's parameters by name.
        start : mapping
            Density of each species, 0 for those that are not named.
        """
        model = compose(choice)
        values = np.array([*(parameters[name] for name in model.parameters), 0.0])
        state = np.stack([self._field(start.get(name, 0.0)) for name in model.names])
        growth = Growth(model, values, state)
        self._advance(growth, np.linspace(0.0, days, round(days / step) + 1), kill)
        return growth.species()

    @staticmethod
    def species_of(choice: ModelChoice) -> tuple[str, ...]:
        """Names of the species of the engine's model, in its order."""
        return compose(choice).names

    def _advance(self, growth: Growth, edges: NDArray[np.float64], kill: Kill | None) -> None:
        for begin, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            middle = 0.5 * (begin + end)
            rates = (0.0, 0.0) if kill is None else (kill(begin, middle), kill(middle, end))
            growth.step(self.operator, end - begin, *rates)

    def _field(self, values: ArrayLike) -> NDArray[np.float64]:
        return np.array(np.broadcast_to(np.asarray(values, np.float64), len(self.mass)))


def point() -> BenchProblem:
    """Eight nodes without migration: growth alone."""
    from twin.meshing.boxes import box_mesh

    return BenchProblem.of(box_mesh((1.0, 1.0, 1.0), (1, 1, 1)), 0.0)
