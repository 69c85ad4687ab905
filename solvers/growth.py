"""One time step of a growth model on a mesh.

Strang splitting: half of the reaction, diffusion, half of the reaction. The
reaction is the model's compiled pointwise step, diffusion the stabilised
explicit RKL2 method on the mobile species; together of second order in time
and never negative.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solvers.kernels import NEGATIVE_TOLERANCE, crowded_stage, quotient, stage, survive
from solvers.legendre import legendre_step
from solvers.models.composition import compose
from solvers.models.generated import pointwise_step, step_by_places
from solvers.models.model import Model
from solvers.moving_operator import Operator
from solvers.shares import ALONE, Share
from twin.errors import InvalidInput, NotConverged
from twin.model_choice import ModelChoice
from twin.parameters import ParameterSet

__all__ = ["MOST_PARTS", "Growth", "GrowthRates", "react", "sum_of"]

#: Into so many parts a step's reaction is cut before it is given up.
MOST_PARTS = 1024
#: The reaction's slope is taken over so many days.
_INSTANT = 1e-4


@dataclass(frozen=True, slots=True)
class GrowthRates:
    """Rates of the logistic model with a dead pool, [1/day], for batches and shells."""

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


class Growth:
    """The species of a model on one mesh, stepped in place.

    Parameters
    ----------
    model : Model
        Its mobile species come first.
    values : ndarray, shape (parameter + 1,)
        Values of its parameters as `Model.values_of` gives them.
    state : ndarray, [1], shape (species, node)
        Copied; fractions of the carrying capacity.
    share : Share
        The nodes that this process holds; all by default.
    """

    def __init__(
        self,
        model: Model,
        values: NDArray[np.float64],
        state: NDArray[np.float64],
        share: Share = ALONE,
    ) -> None:
        self.model, self._share = model, share
        self._stage = share.filling(crowded_stage if model.crowded else stage)
        self.values = np.array(values)
        self.state = np.array(state)
        self._mobile = len(model.mobile)
        self._other = np.empty_like(self.state)
        shape = self.state[: self._mobile].shape if model.crowded else self.state.shape[1:]
        self._work = [np.empty(shape, self.state.dtype) for _ in range(5)]
        self._still = np.zeros(self.state.shape[1], self.state.dtype)

    @classmethod
    def logistic(cls, rates: GrowthRates, species: Mapping[str, NDArray[np.float64]]) -> Growth:
        """The default model with these rates, from its species by name."""
        model = compose(ModelChoice())
        half_life = np.log(2.0) / rates.clearance
        state = np.stack([species[name] for name in model.names])
        return cls(model, np.array([rates.proliferation, half_life, 0.0]), state)

    def __getitem__(self, name: str) -> NDArray[np.float64]:
        """The row of one species, [1], shape (node,); a view."""
        return self.state[self.model.rows(name)[0]]

    def step(
        self,
        diffusion: Operator,
        tau: float,
        kill_first: ArrayLike = 0.0,
        kill_second: ArrayLike = 0.0,
    ) -> None:
        """Advance by `tau` [day].

        Parameters
        ----------
        diffusion : Operator
        tau : float, [day]
        kill_first, kill_second : float or array_like, [1/day], shape (part,) or (part, node)
            The drug's mean kill rates in equal parts of the two halves.

        Raises
        ------
        NotConverged
            A density became negative, or a rate is too fast for any step.
        """
        self._react(0.5 * tau, kill_first)
        self.diffuse(diffusion, tau, self.state)
        self._react(0.5 * tau, kill_second)

    def _react(self, tau: float, kills: ArrayLike) -> None:
        rates = np.atleast_1d(np.asarray(kills, np.float64))
        for rate in rates:
            react(
                self.model, self.values, self.state, self._other, tau / len(rates),
                rate if rate.ndim else float(rate), share=self._share,
            )  # fmt: skip
            self.state, self._other = self._other, self.state

    def diffuse(self, diffusion: Operator, tau: float, state: NDArray[np.float64]) -> None:
        """Migration of the mobile species of `state` over `tau` [day], in place."""
        if diffusion.largest_eigenvalue == 0.0:
            return
        start, *work = self._work
        rows = diffusion.rows
        limit = diffusion.explicit_limit_day
        if self.model.crowded:
            np.sum(state[self._mobile :], axis=0, out=self._still)
            start[:] = state[: self._mobile]
            moved, free = legendre_step(self._stage, (*rows, self._still), tau, limit, start, work)
            state[: self._mobile] = moved
            self._work = [moved, *free]
            return
        for k in range(self._mobile):
            start[:] = state[k]
            moved, free = legendre_step(self._stage, rows, tau, limit, start, work)
            state[k] = moved
            start, *work = [moved, *free]
        self._work = [start, *work]

    def slope(
        self, diffusion: Operator, state: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
        """Rate of change of a state (its own if None) without a drug, [1/day], of its shape.

        The reaction's is a difference over `_INSTANT`, right to a part in 1e5 or so.
        """
        now = self.state if state is None else state
        change = np.empty_like(now)
        react(self.model, self.values, now, change, _INSTANT, 0.0, share=self._share)
        quotient(now, change, _INSTANT)
        if diffusion.largest_eigenvalue == 0.0:
            return change
        mobile = now[: self._mobile]
        spare, moving = np.empty_like(mobile), np.empty_like(mobile)
        first: tuple[Any, ...] = (1.0, 0.0, 0.0, 0.0)  # only the slope is written
        if self.model.crowded:
            still = now[self._mobile :].sum(axis=0)
            kernel: Any = crowded_stage
            kernel(*diffusion.rows, still, mobile, mobile, mobile, moving, spare, *first)
        else:
            kernel = stage
            for k, row in enumerate(mobile):
                kernel(*diffusion.rows, row, row, row, moving[k], spare[k], *first)
        self._share.fill(moving)
        change[: self._mobile] += moving
        return change

    def irradiate(self, surviving: Mapping[int, NDArray[np.float64]]) -> None:
        """Apply one fraction: the surviving share at each node of the cells of each row."""
        (dead,) = self.model.rows("dead")
        for row, share in surviving.items():
            survive(self.state[row], self.state[dead], share)

    def kill(self, surviving: NDArray[np.float64]) -> None:
        """Let a share at each node of all that is alive survive, [1], shape (node,)."""
        self.irradiate(dict.fromkeys(self.model.alive, surviving))

    def killed(
        self, slope: NDArray[np.float64], state: NDArray[np.float64], rate: float
    ) -> NDArray[np.float64]:
        """The slope of a state whose live cells all die at a rate besides, [1/day]."""
        found, (dead,) = slope.copy(), self.model.rows("dead")
        for row in self.model.alive:
            lost = rate * state[row]
            found[row] -= lost
            found[dead] += lost
        return found

    def remove(self, nodes: NDArray[np.bool_]) -> None:
        """Empty the marked nodes of every species."""
        self.state[:, nodes] = 0.0

    def total(self, names: Iterable[str]) -> NDArray[np.float64]:
        """Sum of the named species, [1], shape (node,)."""
        return sum_of(self.state, self.model.rows(*names))

    def species(self) -> dict[str, NDArray[np.float64]]:
        """Copies of the species by name."""
        return {name: self.state[k].copy() for k, name in enumerate(self.model.names)}


def sum_of(state: NDArray, rows: Iterable[int]) -> NDArray:
    """Sum of rows of a state, in their order, shape (node,)."""
    first, *rest = rows
    total = state[first].copy()
    for row in rest:
        total += state[row]
    return total


def react(
    model: Model,
    values: NDArray,
    state: NDArray,
    result: NDArray,
    tau: float,
    kill: float | NDArray[np.float64],
    *,
    lowest: float = NEGATIVE_TOLERANCE,
    share: Share = ALONE,
) -> int:
    """The reaction over `tau` [day] from `state` to `result`; in how many parts it was taken.

    The kill [1/day] is one rate, or one a node.

    Raises
    ------
    NotConverged
        A mobile density below `lowest` or not a number, or rates that need
        more than `MOST_PARTS` parts.
    """
    if isinstance(kill, np.ndarray):
        forward: Callable[..., Any] = functools.partial(step_by_places(model), kill)
    else:
        forward = pointwise_step(model).forward
        values[-1] = kill
    wrong, stiff = share.counts(*forward(state, result, values, tau, lowest))
    parts = 1
    while stiff and not wrong:
        parts *= 2
        if parts > MOST_PARTS:
            raise NotConverged(
                f'A rate of the model "{model.name}" passes {MOST_PARTS / (2.0 * tau):.3g} per '
                "day; check its parameters, or choose a smaller step."
            )
        source, spare = state, np.empty_like(state)
        for part in range(parts):
            target = result if (parts - part) % 2 == 1 else spare
            bad, stiff = share.counts(*forward(source, target, values, tau / parts, lowest))
            source = target
            if stiff:
                break
            wrong += bad
    if wrong:
        raise NotConverged(
            f"A density fell below zero or is no number at {wrong} places; a step of {tau:g} day "
            "is too long for this mesh and diffusivity: choose a smaller step."
        )
    return parts
