"""The run and what leads to it as torch functions, so that autograd carries derivatives through."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.sparse
import torch
from numpy.typing import NDArray
from torch import Tensor

from solvers.adjoint.run import AdjointRun, Inputs, Outputs, Tape
from solvers.operators import BALANCING_ROUNDS, LEAST_CHANGE, MOST_CHANGE, SLIVER_CAP

__all__ = ["by_differences", "run_through", "transmissibilities"]

_TINY = 1e-30  # a complex step: nothing is subtracted, so it may be as small as one likes
Field = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def run_through(
    run: AdjointRun,
    state: Tensor,
    values: Tensor,
    kills: Tensor,
    edges: Sequence[Tensor],
    surviving: dict[tuple[int, int], Tensor],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Softened and hard volumes, burden and density of a run, differentiable twice."""
    keys = tuple(surviving)
    return _Run.apply(run, keys, len(edges), state, values, kills, *edges, *surviving.values())


def _inputs(arrays: Sequence[NDArray], keys: tuple[tuple[int, int], ...], epochs: int) -> Inputs:
    state, values, kills, *rest = arrays
    return Inputs(
        state, values, tuple(rest[:epochs]), dict(zip(keys, rest[epochs:], strict=True)), kills
    )


def _arrays(inputs: Inputs) -> list[NDArray]:
    return [
        inputs.state, inputs.values, inputs.kills, *inputs.edges, *inputs.surviving.values(),
    ]  # fmt: skip


def _numpy(tensors: Sequence[Tensor]) -> list[NDArray]:
    return [tensor.detach().numpy() for tensor in tensors]


def _tensors(outputs: Outputs) -> tuple[Tensor, ...]:
    return tuple(
        torch.from_numpy(np.ascontiguousarray(a))
        for a in (outputs.soft, outputs.hard, outputs.burden, outputs.density)
    )


class _Run(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, run: AdjointRun, keys: Any, epochs: int, *tensors: Tensor) -> Any:
        inputs = _inputs(_numpy(tensors), keys, epochs)
        outputs, tape = run.forward(inputs, keep=any(ctx.needs_input_grad))
        ctx.run, ctx.keys, ctx.epochs, ctx.tape = run, keys, epochs, tape
        ctx.save_for_backward(*tensors)
        return _tensors(outputs)

    @staticmethod
    def backward(ctx: Any, *bars: Tensor) -> Any:
        edges = any(ctx.needs_input_grad[6 : 6 + ctx.epochs])
        found = _Reversed.apply(
            ctx.run, ctx.keys, ctx.epochs, ctx.tape, edges, *ctx.saved_tensors, *bars
        )
        return (None, None, None, *found)


class _Reversed(torch.autograd.Function):
    """The derivative of a run; its own derivative by a complex step through both directions."""

    @staticmethod
    def forward(
        ctx: Any, run: AdjointRun, keys: Any, epochs: int, tape: Tape, edges: bool, *rest: Tensor
    ) -> Any:
        arrays = _numpy(rest)
        inputs, bars = _inputs(arrays[:-4], keys, epochs), Outputs(*arrays[-4:])
        by = run.backward(inputs, tape, bars, edges=edges)
        ctx.run, ctx.keys, ctx.epochs = run, keys, epochs
        ctx.save_for_backward(*rest)
        return tuple(torch.from_numpy(np.ascontiguousarray(array)) for array in _arrays(by))

    @staticmethod
    def backward(ctx: Any, *direction: Tensor) -> Any:
        arrays, along = _numpy(ctx.saved_tensors), _numpy(direction)
        moved = [a + 1j * _TINY * d for a, d in zip(arrays[:-4], along, strict=True)]
        inputs = _inputs(moved, ctx.keys, ctx.epochs)
        outputs, tape = ctx.run.forward(inputs)
        bars = Outputs(*(bar.astype(complex) for bar in arrays[-4:]))
        by = _arrays(ctx.run.backward(inputs, tape, bars))
        changed = [torch.from_numpy(np.ascontiguousarray(a.imag)) for a in _tensors(outputs)]
        curved = [torch.from_numpy(np.ascontiguousarray(a.imag)) for a in by]
        return (None,) * 5 + tuple(a / _TINY for a in (*curved, *changed))


def by_differences(field: Field, parameters: Tensor) -> Tensor:
    """A field that is cheap to work out, as a function of a few parameters, differentiable twice.

    Its derivatives are central differences: right to 1e-9 where the field is smooth.

    Parameters
    ----------
    field : callable
        From parameters (parameter,) to an array of any shape.
    parameters : Tensor, shape (parameter,)
    """
    return _ByDifferences.apply(field, parameters)


def _slopes(field: Field, at: NDArray[np.float64], share: float) -> list[NDArray[np.float64]]:
    found = []
    for k, value in enumerate(at):
        step = share * abs(value) if value != 0.0 else share
        ends = []
        for sign in (1.0, -1.0):
            moved = at.copy()
            moved[k] += sign * step
            ends.append(field(moved))
        found.append((ends[0] - ends[1]) / (2.0 * step))
    return found


class _ByDifferences(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, field: Field, parameters: Tensor) -> Tensor:
        ctx.field = field
        ctx.save_for_backward(parameters)
        return torch.from_numpy(np.ascontiguousarray(field(parameters.detach().numpy())))

    @staticmethod
    def backward(ctx: Any, bar: Tensor) -> Any:
        (parameters,) = ctx.saved_tensors
        return None, _Slopes.apply(ctx.field, parameters, bar)


class _Slopes(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, field: Field, parameters: Tensor, bar: Tensor) -> Tensor:
        ctx.field = field
        ctx.save_for_backward(parameters, bar)
        slopes = _slopes(field, parameters.detach().numpy(), 1e-5)
        return torch.tensor([float((bar.numpy() * s).sum()) for s in slopes], dtype=bar.dtype)

    @staticmethod
    def backward(ctx: Any, direction: Tensor) -> Any:
        parameters, bar = ctx.saved_tensors
        at, along, weight = parameters.detach().numpy(), direction.numpy(), bar.numpy()

        def sloped(values: NDArray[np.float64]) -> NDArray[np.float64]:
            found = _slopes(ctx.field, values, 1e-5)
            return np.array([float((weight * s).sum()) for s in found])

        curved = np.array(_slopes(sloped, at, 1e-3)) @ along
        slopes = _slopes(ctx.field, at, 1e-5)
        changed = sum(float(d) * s for d, s in zip(along, slopes, strict=True))
        return None, torch.from_numpy(curved), torch.from_numpy(np.ascontiguousarray(changed))


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, matrix: scipy.sparse.csr_matrix, vector: Tensor) -> Tensor:
        ctx.matrix = matrix
        return torch.from_numpy(matrix @ vector.detach().numpy())

    @staticmethod
    def backward(ctx: Any, bar: Tensor) -> Any:
        return None, _Linear.apply(ctx.matrix.T, bar)


def _balancing(
    edges: NDArray[np.int64],
    points: NDArray[np.float64],
    kept: NDArray[np.int64],
    value: Tensor,
    full: Tensor,
) -> Tensor:
    """As `MeshOperators` restores the spread of every node after clipping."""
    length = torch.from_numpy(((points[edges[:, 0]] - points[edges[:, 1]]) ** 2).sum(axis=1))
    nothing = torch.zeros(len(points), dtype=value.dtype)

    def sums(ends: Tensor, weight: Tensor, factor: Tensor) -> Tensor:
        one, other = ends
        found = nothing.index_add(0, one, weight * factor[other])
        return found.index_add(0, other, weight * factor[one])

    every = torch.from_numpy(np.ascontiguousarray(edges.T))
    wanted = sums(every, full * length, torch.ones_like(nothing))
    ends, place = every[:, torch.from_numpy(kept)], torch.from_numpy(kept)
    weight, factor = value * length[place], torch.ones_like(nothing)
    for _ in range(BALANCING_ROUNDS):
        found = sums(ends, weight, factor)
        known = (found > 0.0) & (wanted > 0.0)
        ratio = torch.where(known, wanted, 1.0) / torch.where(known, found, 1.0)
        factor = torch.sqrt(factor * ratio.clamp(LEAST_CHANGE, MOST_CHANGE))
    return factor[ends[0]] * factor[ends[1]]


def transmissibilities(
    cell_to_edge: scipy.sparse.csr_matrix,
    edges: NDArray[np.int64],
    points: NDArray[np.float64],
    diffusivity: Tensor,
    inverse_mass: NDArray[np.float64],
    *,
    clip: bool = True,
) -> tuple[Tensor, NDArray[np.int64]]:
    """Transmissibility of every edge that carries any, [mm3/day], and the numbers of those.

    As `MeshOperators.diffusion`, in double precision; the derivative goes through the
    clipping, the balancing after it, and the cap of slivers.

    Parameters
    ----------
    cell_to_edge, edges, points
        Of the mesh's operators and its nodes.
    diffusivity : Tensor, [mm2/day], shape (cell,)
        0 where the tumour cannot live.
    inverse_mass : ndarray, [1/mm3], shape (node,)
    """
    value = full = _Linear.apply(cell_to_edge, diffusivity)
    if clip:
        value = value.clamp(min=0.0)
    size = value.detach().abs().numpy()
    keep = np.flatnonzero(size > 1e-12 * size.max(initial=0.0))
    value = value[torch.from_numpy(keep)]
    if not clip:
        return value, keep
    first, second = torch.from_numpy(np.ascontiguousarray(edges[keep].T))
    inverse = torch.from_numpy(inverse_mass)
    value = value * _balancing(edges, points, keep, value, full)
    exchange = torch.zeros_like(inverse).index_add(0, first, value).index_add(0, second, value)
    exchange = exchange * inverse
    positive = exchange[exchange > 0]
    if not len(positive):
        return value, keep
    cap = SLIVER_CAP * torch.quantile(positive, 0.99)
    factor = torch.clamp(cap / exchange.clamp(min=1e-300), max=1.0)
    return value * torch.minimum(factor[first], factor[second]), keep
