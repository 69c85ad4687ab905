"""The growth model of the main job, and one time step of it.

Fractions of the carrying capacity: viable u, dead d, necrosis n (fixed)::

    du/dt = div(D grad u) + rho u (1 - u - d - n) - k(t) u
    dd/dt = k(t) u - lambda d

Diffusion and logistic growth by Fisher's equation (SCIENCE 1; Swanson, Alvord
and Murray 2000, doi 10.1046/j.1365-2184.2000.00177.x), k the drug's kill rate, a
fraction of radiotherapy moves ``u (1 - S)`` to the dead pool at its instant.
What is dead takes up space and stays visible until it is cleared; the
necrotic centre has no vessels and is not cleared (assumed).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvers.kernels import react, stage, survive
from solvers.legendre import legendre_step
from solvers.operators import DiffusionMatrix
from twin.errors import InvalidInput, NotConverged
from twin.parameters import ParameterSet

__all__ = ["GrowthRates", "LogisticGrowth"]


@dataclass(frozen=True, slots=True)
class GrowthRates:
    """What the reaction needs of the parameters: rates in [1/day]."""

    proliferation: float
    clearance: float

    @classmethod
    def of(cls, parameters: ParameterSet) -> GrowthRates:
        """The rates of a parameter set."""
        half_life = parameters.value("dead_clearance_half_life")
        if not half_life > 0.0:
            raise InvalidInput(
                f"The half-life of dead tissue is {half_life:g} day; it must be above 0."
            )
        return cls(parameters.value("proliferation_rate"), float(np.log(2.0) / half_life))


class LogisticGrowth:
    """Steps the three species in place on one mesh: Strang splitting around RKL2 diffusion.

    Parameters
    ----------
    rates : GrowthRates
    species : dict of str to ndarray, [1], shape (node,)
        viable, dead, necrosis; owned and changed by this object.
    """

    def __init__(self, rates: GrowthRates, species: dict[str, NDArray[np.float64]]) -> None:
        self.rates = rates
        self.viable = species["viable"].copy()
        self.dead = species["dead"].copy()
        self.necrosis = species["necrosis"].copy()
        self._work = [np.empty_like(self.viable) for _ in range(4)]

    def step(
        self, diffusion: DiffusionMatrix, tau: float, kill_first: float, kill_second: float
    ) -> None:
        """Advance by `tau` [day] with the drug's mean kill rates in its two halves [1/day].

        Raises
        ------
        NotConverged
            A density became negative.
        """
        rate, clearance = self.rates.proliferation, self.rates.clearance
        arrays = self.dead, self.necrosis, 0.5 * tau, rate, clearance
        wrong = react(self.viable, *arrays, kill_first)
        self._diffuse(diffusion, tau)
        wrong += react(self.viable, *arrays, kill_second)
        if wrong:
            raise NotConverged(
                f"The tumour density fell below zero at {wrong} nodes; a step of {tau:g} day is "
                "too long for this mesh and diffusivity: choose a smaller step."
            )

    def _diffuse(self, diffusion: DiffusionMatrix, tau: float) -> None:
        if diffusion.largest_eigenvalue == 0.0:
            return
        rows = (
            diffusion.indptr,
            diffusion.indices,
            diffusion.transmissibility,
            diffusion.inverse_mass,
        )
        self.viable, self._work = legendre_step(
            stage, rows, tau, diffusion.explicit_limit_day, self.viable, self._work
        )

    def irradiate(self, surviving: NDArray[np.float64]) -> None:
        """Apply one fraction: `surviving` fraction of the viable cells at each node."""
        survive(self.viable, self.dead, surviving)

    def remove(self, nodes: NDArray[np.bool_]) -> None:
        """Empty the marked nodes of every species."""
        for values in (self.viable, self.dead, self.necrosis):
            values[nodes] = 0.0

    def visible(self) -> NDArray[np.float64]:
        """Viable, dead and necrotic tissue together, [1], shape (node,)."""
        return self.viable + self.dead + self.necrosis

    def species(self) -> dict[str, NDArray[np.float64]]:
        """Copies of the three species."""
        return {
            "viable": self.viable.copy(),
            "dead": self.dead.copy(),
            "necrosis": self.necrosis.copy(),
        }

    def restore(self, species: dict[str, NDArray[np.float64]]) -> None:
        """Go back to copies made by `species`."""
        self.viable[:] = species["viable"]
        self.dead[:] = species["dead"]
        self.necrosis[:] = species["necrosis"]
