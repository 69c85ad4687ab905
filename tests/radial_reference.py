"""An independent solver for round tumours, to judge volumes by: thin shells, stiff integrator.

Finite volumes in the distance r from the centre, no flux through the outside::

    du/dt = div(D grad u) + rho u (1 - u - d) - k u
    dd/dt = k u - lambda d

with fractions at given days that move ``u (1 - S)`` to d. It shares nothing with the package:
the integrator is scipy's LSODA (Petzold 1983, doi 10.1137/0904010) on the banded system.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.integrate import solve_ivp
from scipy.interpolate import PchipInterpolator
from scipy.stats import norm

THRESHOLDS = (0.80, 0.16)
SOFTNESS = 0.05
#: Points of Gauss and Legendre in each shell where a softened volume is integrated.
_POINT, _WEIGHT = np.polynomial.legendre.leggauss(3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """A round tumour in a ball, or in a thick shell where `inner_mm` is above 0.

    Parameters
    ----------
    initial : callable
        Viable density [1] on day 0 at distances [mm].
    diffusivity : float or tuple, [mm2/day]
        Constant, or (inside, outside, radius of the change [mm]).
    rate, clearance, kill : float, [1/day]
        rho, lambda and k.
    fractions : sequence of (day, surviving fraction)
    """

    initial: Callable[[np.ndarray], np.ndarray]
    outer_mm: float
    diffusivity: float | tuple[float, float, float]
    rate: float
    clearance: float = 0.0
    kill: float = 0.0
    fractions: Sequence[tuple[float, float]] = ()
    inner_mm: float = 0.0


@dataclass(frozen=True, slots=True)
class Shells:
    """Shells of equal thickness with what their equations need.

    Parameters
    ----------
    edge : ndarray, [mm], shape (shell + 1,)
    """

    edge: np.ndarray

    @property
    def centre(self) -> np.ndarray:
        """Middle of each shell, [mm]."""
        return 0.5 * (self.edge[1:] + self.edge[:-1])

    @property
    def volume(self) -> np.ndarray:
        """Volume of each shell, [mm3]."""
        return 4.0 / 3.0 * np.pi * np.diff(self.edge**3)

    def conductance(self, diffusivity: float | tuple[float, float, float]) -> np.ndarray:
        """Flow through the inner faces for a unit difference, [mm3/day], shape (shell - 1,).

        Exact for a steady flow: the resistance of the tissue between two radii
        a < b is (b - a) / (4 pi D a b), and resistances in a row add up.
        """
        a, b = self.centre[:-1], self.centre[1:]
        if isinstance(diffusivity, tuple):
            inside, outside, change = diffusivity
            within = np.clip(change, a, b)
            resistance = (within - a) / (inside * a * within) + (b - within) / (
                outside * within * b
            )
        else:
            resistance = (b - a) / (diffusivity * a * b)
        return 4.0 * np.pi / resistance


def grown(problem: Round, days: Sequence[float], *, shells: int = 1600):
    """Viable and dead density at `days`, just after a fraction there, shape (day, 2, shell).

    Returns the `Shells` as well.
    """
    grid = Shells(np.linspace(problem.inner_mm, problem.outer_mm, shells + 1))
    flow, volume = grid.conductance(problem.diffusivity), grid.volume

    def change(_, state):
        u, d = state[0::2], state[1::2]
        flux = flow * np.diff(u)
        du = problem.rate * u * (1.0 - u - d) - problem.kill * u
        du[:-1] += flux / volume[:-1]
        du[1:] -= flux / volume[1:]
        result = np.empty_like(state)
        result[0::2] = du
        result[1::2] = problem.kill * u - problem.clearance * d
        return result

    state = np.zeros(2 * shells)
    state[0::2] = problem.initial(grid.centre)
    events = dict(problem.fractions)
    stops = sorted({0.0, *events, *map(float, days)})
    stops = [day for day in stops if day <= max(days)]
    found, now = {}, 0.0
    for day in stops:
        if day > now:
            run = solve_ivp(
                change, (now, day), state, method="LSODA", rtol=1e-8, atol=1e-12,
                lband=2, uband=2, t_eval=[day],
            )  # fmt: skip
            if not run.success:
                raise RuntimeError(run.message)
            state, now = run.y[:, -1].copy(), day
        if day in events:
            killed = (1.0 - events[day]) * state[0::2]
            state[0::2] -= killed
            state[1::2] += killed
        found[day] = state.copy()
    return grid, np.stack([[found[float(day)][0::2], found[float(day)][1::2]] for day in days])


def volumes(
    grid: Shells,
    visible: np.ndarray,
    *,
    thresholds: Sequence[float] = THRESHOLDS,
    softness: float = SOFTNESS,
) -> np.ndarray:
    """Hard volumes, then softened ones, of one radial density, [mm3], shape (2, threshold)."""
    r = np.concatenate([[grid.edge[0]], grid.centre, [grid.edge[-1]]])
    v = np.concatenate([[visible[0]], visible, [visible[-1]]])
    curve = PchipInterpolator(r, v)
    middle, half = grid.centre[:, None], 0.5 * np.diff(grid.edge)[:, None]
    at = middle + half * _POINT
    weight = half * _WEIGHT * 4.0 * np.pi * at**2
    density = curve(at)
    result = np.empty((2, len(thresholds)))
    for k, level in enumerate(thresholds):
        crossings = np.unique(np.clip(curve.solve(level, extrapolate=False), r[0], r[-1]))
        ends = np.concatenate([[r[0]], crossings, [r[-1]]])
        above = curve(0.5 * (ends[1:] + ends[:-1])) > level
        result[0, k] = 4.0 / 3.0 * np.pi * (np.diff(ends**3) * above).sum()
        none = norm.cdf(-level / softness)
        seen = (norm.cdf((density - level) / softness) - none) / (1.0 - none)
        result[1, k] = (weight * seen).sum()
    return result


def curves(problem: Round, days: Sequence[float], *, shells: int = 1600) -> np.ndarray:
    """Hard, softened volumes [mm3] at 0.80 and 0.16, shape (2, threshold, day)."""
    grid, states = grown(problem, days, shells=shells)
    found = [volumes(grid, np.asarray(state).sum(axis=0)) for state in states]
    return np.stack(found, axis=-1)
