"""Gradients and Hessian-vector products of any number that a run gives, as plain functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from solvers.adjoint.differentiable import FIELDS, DifferentiableRun, Result
from twin.courses import Radiotherapy
from twin.errors import InvalidInput

__all__ = ["Gradient", "gradient", "hessian_product"]

#: From what a run gives to one number, in torch.
Quantity = Callable[[Result], Tensor]


@dataclass(frozen=True, slots=True)
class Gradient:
    """A number and its derivatives.

    Parameters
    ----------
    value : float
    by : mapping of str to ndarray
        Derivative by each thing asked for, of its shape: parameters (), "initial_density"
        (node,), "diffusivity" (cell,), "dose" (course, node), radiotherapy in its order.
    """

    value: float
    by: Mapping[str, NDArray[np.float64]]


def gradient(
    run: DifferentiableRun, quantity: Quantity, with_respect_to: Sequence[str]
) -> Gradient:
    """The derivative of a number that a run gives, by the discrete adjoint: exact to rounding.

    Parameters
    ----------
    run : DifferentiableRun
    quantity : callable
        From the run's `Result` to a scalar tensor, such as ``lambda r: r.soft[0, -1]``.
    with_respect_to : sequence of str
        Names of parameters, and of `FIELDS`: "initial_density", "diffusivity", "dose".

    Raises
    ------
    InvalidInput
        A name that is neither, or a quantity that is not one number.

    Examples
    --------
    The derivative of the final FLAIR volume by the rate of growth and by the density on day 0::

        run = DifferentiableRun(patient, regimen, times=[90.0])
        found = gradient(run, lambda r: r.soft[1, -1], ["proliferation_rate", "initial_density"])
        found.by["initial_density"]        # [mm3], shape (node,)
    """
    leaves = {name: torch.from_numpy(_start(run, name)) for name in with_respect_to}
    for leaf in leaves.values():
        leaf.requires_grad_(True)
    value = _number(quantity(_called(run, leaves)))
    found = torch.autograd.grad(value, list(leaves.values()), allow_unused=True)
    return Gradient(float(value.detach()), _named(leaves, found))


def hessian_product(
    run: DifferentiableRun, quantity: Quantity, direction: Mapping[str, ArrayLike]
) -> Gradient:
    """The second derivative of a number that a run gives, times a direction.

    By a complex step through the adjoint: to rounding in what the run itself does; through
    the shape of the initial front to about 1e-5 (1e-3 for its thresholds), since that shape
    is an interpolant.

    Parameters
    ----------
    run : DifferentiableRun
    quantity : callable
        As for `gradient`.
    direction : mapping of str to array_like
        For each name a change, of its shape; derivatives are given by the same names.
    """
    leaves = {name: torch.from_numpy(_start(run, name)) for name in direction}
    for leaf in leaves.values():
        leaf.requires_grad_(True)
    value = _number(quantity(_called(run, leaves)))
    inputs = list(leaves.values())
    slopes = torch.autograd.grad(value, inputs, create_graph=True, allow_unused=True)
    along = torch.zeros((), dtype=torch.float64)
    for name, slope in zip(leaves, slopes, strict=True):
        if slope is not None:
            change = np.broadcast_to(np.asarray(direction[name], np.float64), slope.shape)
            along = along + (slope * torch.from_numpy(change.copy())).sum()
    found = torch.autograd.grad(along, inputs, allow_unused=True)
    return Gradient(float(value.detach()), _named(leaves, found))


def _start(run: DifferentiableRun, name: str) -> NDArray[np.float64]:
    """The patient's own value of what is differentiated by."""
    twin = run.twin
    if name in twin.parameters:
        if name not in run.parameter_names:
            raise InvalidInput(
                f"The run does not depend on {name!r}; it may be differentiated by "
                f"{', '.join(run.parameter_names)}, {', '.join(FIELDS)}."
            )
        return np.array(twin.parameters.value(name))
    if name == "initial_density":
        return run.prepared.initial_state(twin.parameters)["viable"].copy()
    if name == "diffusivity":
        return run.prepared.diffusivity(twin.parameters).copy()
    if name == "dose":
        doses = [run.prepared.dose_at_nodes(course) for course in run.regimen.radiotherapy]
        return np.stack(doses) if doses else np.zeros((0, len(twin.mesh.points)))
    raise InvalidInput(
        f"There is no derivative by {name!r}; it may be a parameter of the patient or one of "
        f"{', '.join(FIELDS)}."
    )


def _called(run: DifferentiableRun, leaves: Mapping[str, Tensor]) -> Result:
    parameters = {name: leaf for name, leaf in leaves.items() if name not in FIELDS}
    numbers = [
        k for k, course in enumerate(run.regimen.courses) if isinstance(course, Radiotherapy)
    ]
    dose = leaves.get("dose")
    return run(
        parameters,
        initial_density=leaves.get("initial_density"),
        diffusivity=leaves.get("diffusivity"),
        dose=None if dose is None else {k: dose[row] for row, k in enumerate(numbers)},
    )


def _number(value: Tensor) -> Tensor:
    if not isinstance(value, Tensor) or value.numel() != 1:
        raise InvalidInput(
            "The quantity must give one number as a tensor, such as result.soft[0, -1]."
        )
    return value.reshape(())


def _named(
    leaves: Mapping[str, Tensor], found: Sequence[Tensor | None]
) -> dict[str, NDArray[np.float64]]:
    return {
        name: np.zeros(leaf.shape) if slope is None else slope.detach().numpy()
        for (name, leaf), slope in zip(leaves.items(), found, strict=True)
    }
