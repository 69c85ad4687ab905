"""Diffusion over one step by the stabilised explicit Runge-Kutta-Legendre method RKL2.

Meyer, Balsara and Aslam 2014, J Comput Phys 257:594, doi 10.1016/j.jcp.2013.08.021:
second order, no linear solve, and stable for as many explicit limits as the
square of its stages allows. One loop serves a single run and a block of runs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["legendre_coefficients", "legendre_step", "stages_needed"]


def legendre_step(
    stage: Callable[..., None],
    rows: tuple[Any, ...],
    tau: float,
    explicit_limit_day: float,
    start: NDArray[Any],
    work: list[NDArray[Any]],
) -> tuple[NDArray[Any], list[NDArray[Any]]]:
    """`start` after diffusion over `tau` [day], and the arrays that are free again.

    Parameters
    ----------
    stage : callable
        `solvers.kernels.stage` or `solvers.block_kernels.block_stage`.
    rows : tuple
        The operator, as `stage` takes it.
    tau, explicit_limit_day : float, [day]
    start : ndarray
        Belongs to the workspace afterwards.
    work : list of 4 ndarray
        Of the shape of `start`.
    """
    table = legendre_coefficients(stages_needed(tau, explicit_limit_day))
    latest, target, spare, slope = work
    first = table[0, 2] * tau
    stage(*rows, start, start, start, slope, latest, 1.0, 0.0, first, 0.0)
    earlier = start
    for mu, nu, mu_step, gamma_step in table[1:]:
        stage(
            *rows, latest, earlier, start, slope, target,
            mu, nu, mu_step * tau, gamma_step * tau,
        )  # fmt: skip
        freed = spare if earlier is start else earlier
        earlier, latest, target = latest, target, freed
    free = [a for a in (start, *work) if a is not latest and a is not slope]
    return latest, [*free, slope]


@functools.lru_cache(maxsize=64)
def legendre_coefficients(stages: int) -> NDArray[np.float64]:
    """Coefficients (mu, nu, mu~, gamma~) of RKL2's stages, shape (stages, 4).

    Equations 15 to 17 of the paper; `mu~` and `gamma~` multiply the step.
    """
    b = np.full(stages + 1, 1.0 / 3.0)
    j = np.arange(2, stages + 1)
    b[2:] = (j * j + j - 2.0) / (2.0 * j * (j + 1.0))
    a = 1.0 - b
    w = 4.0 / (stages * stages + stages - 2.0)
    table = np.zeros((stages, 4))
    table[0] = 1.0, 0.0, b[1] * w, 0.0
    for k in range(2, stages + 1):
        mu = (2.0 * k - 1.0) / k * b[k] / b[k - 1]
        nu = -(k - 1.0) / k * b[k] / b[k - 2]
        table[k - 1] = mu, nu, mu * w, -a[k - 1] * mu * w
    table.setflags(write=False)
    return table


def stages_needed(step: float, explicit_limit: float) -> int:
    """Fewest stages s, at least 2, with `step` within ``(s^2 + s - 2)/4`` explicit limits."""
    stages = 2
    while (stages * stages + stages - 2) / 4.0 * explicit_limit < step * 1.0000001:
        stages += 1
    return stages
