"""What a growth model is: its species, and the rates at which they change in one place.

A model says nothing of space, time steps or derivatives. From its rates, which
are plain arithmetic, the compiled step, its adjoint and the tensor version are
all made (`solvers.models.generated`), so that a model of one's own is complete
when its rates are written down.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from twin.errors import InvalidInput
from twin.parameters import ParameterSet

__all__ = ["Model", "Rate", "Species"]


class Rate(NamedTuple):
    """How one species changes in one place: ``du/dt = per_cell u + gain``.

    Parameters
    ----------
    per_cell : number or expression, [1/day]
        Births less deaths of one cell.
    gain : number or expression, [1/day]
        What comes from other species; never negative.
    """

    per_cell: Any = 0.0
    gain: Any = 0.0


@dataclass(frozen=True, slots=True)
class Species:
    """One kind of tissue, as a fraction of the carrying capacity.

    Parameters
    ----------
    name : str
    mobile : bool
        Whether it migrates.
    visible : bool
        Whether imaging sees it, unless another sum is asked for.
    alive : bool
        Whether its cells count in the burden.
    sensitivity : callable or None
        From the parameters to the factors of alpha and beta with which radiation
        kills it; None for what radiation leaves alone.
    """

    name: str
    mobile: bool = False
    visible: bool = True
    alive: bool = False
    sensitivity: Callable[[SimpleNamespace], tuple[Any, Any]] | None = None


#: From a namespace of densities (with `total`) and one of parameters (with `kill`) to rates.
RatesFunction = Callable[[SimpleNamespace, SimpleNamespace], Mapping[str, Rate]]
#: From the state that the images give (viable, dead, necrosis) and parameters to all species.
InitialFunction = Callable[
    [Mapping[str, NDArray[np.float64]], SimpleNamespace], Mapping[str, NDArray[np.float64]]
]


def _as_imaged(
    imaged: Mapping[str, NDArray[np.float64]], p: SimpleNamespace
) -> Mapping[str, NDArray[np.float64]]:
    return imaged


@dataclass(frozen=True, slots=True)
class Model:
    """A growth model.

    Parameters
    ----------
    name : str
        In a few words, for records; two models of one name must be the same.
    species : tuple of Species
        One called "dead" takes what radiation kills.
    parameters : tuple of str
        Names in the patient's parameter set that `rates` uses.
    rates : callable
        ``rates(s, p)`` with the densities ``s.viable`` and so on, their sum ``s.total``,
        the parameters ``p.proliferation_rate`` and so on, and the mean kill rate of
        the drug, ``p.kill`` [1/day]; returns a `Rate` for every species that changes.
        Plain arithmetic with `solvers.models.mathematics.exp` and `log`, smooth, no branches.
    initial : callable
        ``initial(imaged, p)``: the state on day 0 from what the images show.
    crowded : bool
        Migration slows as a place fills: ``div(D (1 - total) grad u)``.
    bounded : bool
        Whether viable cells cannot pass the carrying capacity, which is then checked.
    """

    name: str
    species: tuple[Species, ...]
    parameters: tuple[str, ...]
    rates: RatesFunction
    initial: InitialFunction = field(default=_as_imaged)
    crowded: bool = False
    bounded: bool = True

    def __post_init__(self) -> None:
        names = self.names
        if len(set(names)) != len(names) or not names:
            raise InvalidInput(f"The species of a model need names that differ, not {names}.")
        if "dead" not in names and any(s.sensitivity for s in self.species):
            raise InvalidInput(
                f'The model "{self.name}" has cells that radiation kills but no species "dead" '
                "that they turn into; add one."
            )
        if self.mobile != tuple(range(len(self.mobile))):
            raise InvalidInput(
                f'In the model "{self.name}" the species that migrate must come first, not '
                f"{', '.join(names)}."
            )
        if "kill" in self.parameters:
            raise InvalidInput('"kill" is the drug\'s rate; a model need not list it.')

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the species, in the order of the rows of a state."""
        return tuple(species.name for species in self.species)

    def rows(self, *names: str) -> tuple[int, ...]:
        """Row numbers of species; `InvalidInput` for one that the model does not have."""
        for name in names:
            if name not in self.names:
                raise InvalidInput(
                    f'The model "{self.name}" has no species "{name}"; it has '
                    f"{', '.join(self.names)}."
                )
        return tuple(self.names.index(name) for name in names)

    @property
    def mobile(self) -> tuple[int, ...]:
        """Rows of the species that migrate."""
        return tuple(k for k, species in enumerate(self.species) if species.mobile)

    @property
    def visible(self) -> tuple[str, ...]:
        """Names of the species that imaging sees."""
        return tuple(species.name for species in self.species if species.visible)

    @property
    def alive(self) -> tuple[int, ...]:
        """Rows of the species that count in the burden."""
        return tuple(k for k, species in enumerate(self.species) if species.alive)

    def values_of(self, parameters: ParameterSet) -> NDArray[np.float64]:
        """Values of the model's parameters with a drug kill of 0 last, shape (parameter + 1,)."""
        return np.array([*(parameters.value(name) for name in self.parameters), 0.0])

    def namespace(self, values: Any) -> SimpleNamespace:
        """The parameters by name, from values in the order of `parameters` and the kill."""
        return SimpleNamespace(**dict(zip((*self.parameters, "kill"), values, strict=True)))

    def evaluate(self, state: Any, values: Any) -> list[Rate]:
        """Rates of all species, in order, for a state of rows and the values of parameters.

        Rows and values may be numbers, arrays, symbols or tensors.
        """
        rows = dict(zip(self.names, state, strict=True))
        densities = SimpleNamespace(**rows, total=sum(rows.values()))
        found = self.rates(densities, self.namespace(values))
        self.rows(*found)
        return [found.get(name, Rate()) for name in self.names]

    def initial_state(
        self, imaged: Mapping[str, NDArray[np.float64]], values: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """State on day 0 from what the images show, [1], shape (species, node)."""
        found = self.initial(imaged, self.namespace(values))
        nothing = np.zeros_like(imaged["viable"])
        return np.stack([np.asarray(found.get(name, nothing)) for name in self.names])

    def sensitivities(self, values: NDArray[np.float64]) -> dict[int, tuple[Any, Any]]:
        """Factors of alpha and beta of each row that radiation kills."""
        named = self.namespace(values)
        return {
            k: species.sensitivity(named)
            for k, species in enumerate(self.species)
            if species.sensitivity is not None
        }
