"""The diffusion operator as a differentiable function of the diffusivities, for autograd.

`solvers.operators` in tensors: transmissibilities are linear in the
diffusivities of white and grey matter; negative ones are clipped and the
exchange of slivers is capped, and the derivative goes through both.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from solvers.adjoint.tensors import transmissibilities
from solvers.operators import DiffusionMatrix
from solvers.prepared import Prepared
from solvers.torch_steps import GraphLaplacian
from twin.errors import InvalidInput
from twin.events import Removed
from twin.parameters import ParameterSet

__all__ = ["laplacian_of"]


def laplacian_of(
    prepared: Prepared,
    parameters: ParameterSet,
    removed: Removed,
    diffusivities: Sequence[Tensor | None],
    matrix: DiffusionMatrix,
    *,
    clip: bool,
) -> GraphLaplacian:
    """The operator for diffusivities of white and grey matter that are tensors.

    Parameters
    ----------
    diffusivities : two of Tensor, [mm2/day], shape (), or None
        The value in `parameters` where it is None.
    matrix : DiffusionMatrix
        The operator of the same values: its mass and its limit of the step.
    """
    given = next(each for each in diffusivities if each is not None)
    dtype, device = given.dtype, given.device
    white, grey = (
        each if each is not None else torch.tensor(parameters.value(name), dtype=dtype)
        for each, name in zip(diffusivities, ("diffusivity_white", "diffusivity_grey"), strict=True)
    )
    active, operators = prepared.active_cells(removed), prepared.operators
    by_white, by_grey = (
        torch.tensor(np.where(active, part, 0.0), dtype=torch.float64)
        for part in _parts(prepared, parameters)
    )
    cells = white.double().cpu() * by_white + grey.double().cpu() * by_grey
    value, keep = transmissibilities(
        operators.cell_to_edge, operators.edges, prepared.twin.mesh.points, cells,
        matrix.inverse_mass, clip=clip,
    )  # fmt: skip
    value = value.to(device=device, dtype=dtype)
    edges = torch.tensor(operators.edges[keep], device=device)
    inverse = torch.tensor(matrix.inverse_mass, dtype=dtype, device=device)
    # stored in single precision, as the assembled operator is; the derivative passes by
    value = value + (value.detach().float().to(dtype) - value.detach())
    return GraphLaplacian.of_edges(edges, value, inverse, matrix.explicit_limit_day)


def _parts(
    prepared: Prepared, parameters: ParameterSet
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Derivative of each element's diffusivity by white matter's and by grey matter's, [1]."""
    white, grey = parameters.value("diffusivity_white"), parameters.value("diffusivity_grey")
    at = prepared.diffusivity(parameters)
    step = 2.0**-6 * white
    by_white = (
        prepared.diffusivity(parameters.replace(diffusivity_white=white + step)) - at
    ) / step
    by_grey = (at - white * by_white) / grey
    other = parameters.replace(diffusivity_grey=grey * (1.0 + 2.0**-6))
    expected = white * by_white + grey * (1.0 + 2.0**-6) * by_grey
    if not np.allclose(prepared.diffusivity(other), expected, rtol=1e-12, atol=0.0):
        raise InvalidInput(
            "The diffusivity of an element is not a sum of shares of white and grey matter here; "
            "autograd cannot differentiate by diffusivities, but the adjoint can."
        )
    return by_white, by_grey
