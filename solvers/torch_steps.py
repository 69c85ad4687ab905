"""One time step of many runs at once, as tensors of shape (node, run), on any device.

The formulas are those of `solvers.models.generated` and `solvers.legendre`.
Every run has its own step length and number of stages, so that a run among
others is stepped as it would be alone. Nothing is changed in place that a
derivative may need, so autograd goes through everything here.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from solvers.growth import _INSTANT, MOST_PARTS
from solvers.legendre import legendre_coefficients, stages_needed
from solvers.models.generated import LARGEST_EXPONENT, phi_factors, traced_rates
from solvers.models.model import Model
from solvers.operators import DiffusionMatrix
from twin.errors import NotConverged

__all__ = ["GraphLaplacian", "Reaction", "diffuse", "migration"]

#: Nodes whose reaction is worked out together on a CPU, so that it stays in the cache.
CHUNK_NUMBERS = 32768
#: Terms of the series of phi; the error at `LARGEST_EXPONENT` is 4e-14 and 1e-8.
TERMS = {torch.float64: 12, torch.float32: 8}
#: A density below this is an error, not rounding.
LOWEST = {torch.float64: -1e-12, torch.float32: -1e-6}

Rows = list[Tensor]


@dataclass(frozen=True, slots=True)
class GraphLaplacian:
    """The operator ``L u = (W u - out u) / m`` on columns, for one field of diffusivity.

    Parameters
    ----------
    first, second : Tensor of int64, shape (entry,)
        Ends of every edge, in both directions.
    weight : Tensor, [mm3/day], shape (entry,)
        Its transmissibility, W.
    outflow : Tensor, [mm3/day], shape (node, 1)
        Sum of a node's transmissibilities.
    inverse_mass : Tensor, [1/mm3], shape (node, 1)
    limit_day : float, [day]
        Longest stable step of forward Euler.
    compressed : Tensor or None
        W by compressed rows, the fast way where no derivative by W is asked for; None for
        a sum over edges.
    """

    first: Tensor
    second: Tensor
    weight: Tensor
    outflow: Tensor
    inverse_mass: Tensor
    limit_day: float
    compressed: Tensor | None = None

    @classmethod
    def of(
        cls, matrix: DiffusionMatrix, device: torch.device, dtype: torch.dtype
    ) -> GraphLaplacian:
        """The assembled operator on a device."""
        nodes, begin = len(matrix.mass), matrix.indptr.astype(np.int64)
        first = np.repeat(np.arange(nodes), np.diff(begin))
        outflow = np.bincount(first, matrix.transmissibility.astype(np.float64), nodes)
        weight = _tensor(matrix.transmissibility, device, dtype)
        second = _tensor(matrix.indices.astype(np.int64), device)
        compressed = None
        if device.type != "mps":  # which has no sparse products
            rows = _tensor(begin, device)
            with warnings.catch_warnings():  # torch says of every such matrix that it is "beta"
                warnings.filterwarnings("ignore", "Sparse CSR tensor support", UserWarning)
                compressed = torch.sparse_csr_tensor(
                    rows, second, weight, (nodes, nodes), check_invariants=True
                )
        return cls(
            _tensor(first, device),
            second,
            weight,
            _tensor(outflow, device, dtype)[:, None],
            _tensor(matrix.inverse_mass, device, dtype)[:, None],
            matrix.explicit_limit_day,
            compressed,
        )

    @classmethod
    def of_edges(
        cls, edges: Tensor, value: Tensor, inverse_mass: Tensor, limit_day: float
    ) -> GraphLaplacian:
        """The operator of edges (edge, 2) and their transmissibilities, differentiable by them."""
        first = torch.cat([edges[:, 0], edges[:, 1]])
        second = torch.cat([edges[:, 1], edges[:, 0]])
        weight = torch.cat([value, value])
        outflow = torch.zeros_like(inverse_mass).index_add(0, first, weight)
        return cls(first, second, weight, outflow[:, None], inverse_mass[:, None], limit_day)

    def neighbours(self, columns: Tensor) -> Tensor:
        """``W u``, shape (node, run)."""
        if self.compressed is not None:
            return self.compressed @ columns
        sums = torch.zeros_like(columns)
        return sums.index_add(0, self.first, self.weight[:, None] * columns[self.second])

    def apply(self, columns: Rows, room: Tensor | None) -> Rows:
        """``L u`` of each species; `room` is ``1 - T`` where crowding slows migration.

        The factor ``1 - (T_i + T_j)/2`` of an edge is a sum over its ends, so three
        products with W serve a crowded species, one of them shared.
        """
        if room is None:
            return [self.inverse_mass * (self.neighbours(u) - self.outflow * u) for u in columns]
        half = 0.5 * room
        shared = self.neighbours(half)
        return [
            self.inverse_mass
            * (half * (self.neighbours(u) - self.outflow * u) + self.neighbours(half * u))
            - self.inverse_mass * (shared * u)
            for u in columns
        ]


def diffuse(
    operator: GraphLaplacian,
    mobile: Rows,
    still: Tensor | None,
    tau: NDArray[np.float64],
    scale: NDArray[np.float64],
) -> Rows:
    """The mobile species after diffusion over each run's step, by RKL2.

    Parameters
    ----------
    operator : GraphLaplacian
    mobile : list of Tensor, shape (node, run)
    still : Tensor or None, shape (node, run)
        Sum of the species that do not migrate, where crowding slows those that do.
    tau : ndarray, [day], shape (run,)
    scale : ndarray, [1], shape (run,)
        Of the diffusivity of each run against the operator's.
    """
    if not np.isfinite(operator.limit_day):
        return mobile
    like = mobile[0]
    table = _coefficients(tau, operator.limit_day / scale)
    table[:, 2:] *= tau * scale
    stages = _tensor(table, like.device, like.dtype)
    start, slope = mobile, migration(operator, mobile, still)
    before = start
    latest = [torch.addcmul(u, stages[0, 2], s) for u, s in zip(start, slope, strict=True)]
    for mu, nu, mu_tau, gamma_tau in stages[1:]:
        rest = 1.0 - mu - nu
        result = []
        moving = migration(operator, latest, still)
        for u, b, s, g, change in zip(latest, before, start, slope, moving, strict=True):
            total = torch.addcmul(mu * u, nu, b)
            total = torch.addcmul(torch.addcmul(total, rest, s), mu_tau, change)
            result.append(torch.addcmul(total, gamma_tau, g))
        before, latest = latest, result
    return latest


def migration(operator: GraphLaplacian, mobile: Rows, still: Tensor | None) -> Rows:
    """Rate of change of the mobile species by the operator, [1/day]; arguments as `diffuse`."""
    return operator.apply(mobile, None if still is None else 1.0 - still - sum(mobile))


def _coefficients(tau: NDArray[np.float64], limit: NDArray[np.float64]) -> NDArray[np.float64]:
    """RKL2's coefficients of each run, shape (stage, 4, run).

    A run that needs fewer stages than another one rests: mu = 1 and nothing else.
    """
    own = [stages_needed(*each) for each in zip(tau.tolist(), limit.tolist(), strict=True)]
    table = np.zeros((max(own), 4, len(own)))
    table[:, 0] = 1.0
    for run, stages in enumerate(own):
        table[:stages, :, run] = legendre_coefficients(stages)
    return table


@dataclass(frozen=True, slots=True)
class Reaction:
    """A model's reaction over a step, in many runs at once.

    Parameters
    ----------
    model : Model
    values : sequence of Tensor, shape (run,) or ()
        Values of the model's parameters; the drug's kill comes with the step.
    """

    model: Model
    values: Sequence[Tensor]

    def of_runs(self, runs: Tensor | list[int]) -> Reaction:
        """The same for some of the runs."""
        return replace(self, values=[_chosen(v, runs) for v in self.values])

    def over(self, state: Rows, tau: Tensor, kill: Tensor) -> Rows:
        """All species after `tau` [day] with the drug's mean kill rate [1/day], both by run.

        Raises
        ------
        NotConverged
            As `solvers.growth.react`: a mobile density that is negative or no number, or
            rates that need more than `MOST_PARTS` parts.
        """
        result, stiff = self._checked(state, tau, kill)
        parts = 1
        while stiff.any():
            parts *= 2
            if parts > MOST_PARTS:
                raise NotConverged(
                    f'A rate of the model "{self.model.name}" passes '
                    f"{MOST_PARTS / (2.0 * float(tau.max())):.3g} per day; check its parameters, "
                    "or choose a smaller step."
                )
            runs = torch.nonzero(stiff).ravel()
            some, still_stiff = self.of_runs(runs), torch.zeros_like(stiff[runs])
            part = [row[:, runs] for row in state]
            for _ in range(parts):
                part, worse = some._checked(part, tau[runs] / parts, _chosen(kill, runs))
                still_stiff |= worse
            result = [row.index_copy(1, runs, new) for row, new in zip(result, part, strict=True)]
            stiff = torch.zeros_like(stiff).index_copy(0, runs, still_stiff)
        return result

    def _checked(self, state: Rows, tau: Tensor, kill: Tensor) -> tuple[Rows, Tensor]:
        """The step in one part, and in which runs an exponent was too large for the series."""
        mobile = [state[k] for k in self.model.mobile]
        least = torch.stack([row.detach().amin() for row in mobile]).amin()
        if not float(least) >= LOWEST[least.dtype]:
            wrong = sum(int((~(row >= LOWEST[row.dtype])).sum()) for row in mobile)
            raise NotConverged(
                f"A density fell below zero or is no number at {wrong} places; a step of "
                f"{float(tau.max()):g} day is too long for this mesh and diffusivity: choose a "
                "smaller step."
            )
        nodes, runs = state[0].shape
        chunk = max(1, CHUNK_NUMBERS // runs)
        if nodes <= chunk or torch.is_grad_enabled() or state[0].device.type != "cpu":
            result, exponents = self._step(state, tau, kill)
            return result, _stiff(exponents, runs)
        result = [torch.empty_like(row) for row in state]
        stiff = torch.zeros(runs, dtype=torch.bool)
        for begin in range(0, nodes, chunk):
            part = slice(begin, begin + chunk)
            new, exponents = self._step([row[part] for row in state], tau, kill)
            stiff |= _stiff(exponents, runs)
            for row, values in zip(result, new, strict=True):
                row[part] = values
        return result, stiff

    def _step(self, state: Rows, tau: Tensor, kill: Tensor) -> tuple[Rows, Rows]:
        """The formula, and all that must be small for its series."""
        half, at_middle = self._stage(state, state, 0.5 * tau, kill)
        result, at_end = self._stage(state, half, tau, kill)
        return result, at_middle + at_end

    def slope(self, state: Rows) -> Rows:
        """Rate of change without a drug, [1/day]: its mean over `_INSTANT`, as `Growth.slope`."""
        tau = torch.full_like(state[0][0], _INSTANT)
        half, _ = self._stage(state, state, 0.5 * tau, 0.0 * tau)
        change, _ = self._stage(state, half, tau, 0.0 * tau, change=True)
        return [row / _INSTANT for row in change]

    def _stage(
        self, state: Rows, at: Rows, tau: Tensor, kill: Tensor, *, change: bool = False
    ) -> tuple[Rows, Rows]:
        """From `state` over `tau` with the coefficients at `at`; the mere change if asked for."""
        rates = traced_rates(self.model, torch.exp, torch.log)
        found = rates.function(*at, *self.values, kill)
        count = len(rates.changing)
        result = [torch.zeros_like(row) for row in state] if change else list(state)
        *factors, last = torch.tensor(phi_factors(TERMS[tau.dtype]), dtype=tau.dtype).to(tau.device)
        small: Rows = []
        for k, row in enumerate(rates.changing):
            a, c, g = found[k], found[count + k], found[2 * count + k]
            u = state[row]
            # of shape (run,) where a rate is the same everywhere, which saves nearly all of it
            x = (a + c * at[row] if rates.limited[k] else a) * tau
            phi = torch.addcmul(factors[-1], x, last)
            for factor in reversed(factors[:-1]):
                phi = torch.addcmul(factor, x, phi)
            new = u * (x * phi) if change else torch.addcmul(u, u, x * phi)
            if rates.gained[k]:
                new = (
                    torch.addcmul(new, g, tau * phi)
                    if isinstance(g, Tensor)
                    else new + g * tau * phi
                )
            if rates.limited[k]:
                limit = (c * tau) * u * phi
                new = (new - u * limit if change else new) / (1.0 + limit)
                small.append(limit.detach())
            result[row] = new
            small.append(x.detach())
        return result, small


def _stiff(exponents: Rows, runs: int) -> Tensor:
    """In which runs one of these is too large for the series."""
    ends = [torch.aminmax(each) for each in exponents]
    largest = torch.stack([torch.maximum(-low, high) for low, high in ends]).amax()
    if not float(largest) > LARGEST_EXPONENT:
        return torch.zeros(runs, dtype=torch.bool, device=largest.device)
    sizes = [each.abs().reshape(-1, runs).amax(0) for each in exponents]
    return torch.stack(sizes).amax(0) > LARGEST_EXPONENT


def _chosen(values: Tensor, runs: Tensor | list[int]) -> Tensor:
    return values if values.ndim == 0 else values[runs]


def _tensor(values: NDArray, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """A copy on the device, rounded there from double precision where it can be."""
    return torch.tensor(values, dtype=dtype, device=device)
