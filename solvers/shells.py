"""A reduced model of one patient: the same equations on shells around the tumour.

The finite-element problem is projected on functions that are constant, up to
hat functions, where a node's place in the front and its dose are alike: the
place is the distance from the enhancing outline inwards, the share of the way
between the outlines, and the way through tissue beyond FLAIR; the dose is
relative to the prescription. The projection keeps what makes the solver
robust (non-negative exchange, conserved cells, exact reaction) and has a few
hundred unknowns, so 540 days take milliseconds. What it loses, a neural
closure makes up for (`solvers.surrogate`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from solvers.dose_response import temozolomide
from solvers.growth import GrowthRates
from solvers.initial_state import settled_state
from solvers.kernels import react_at_length
from solvers.prepared import Prepared
from solvers.stepping import plan_steps
from twin.compiled import compiled
from twin.courses import Radiotherapy
from twin.errors import InvalidInput
from twin.events import Fraction, Schedule
from twin.parameters import ParameterSet

__all__ = ["ShellModel", "ShellRun", "build_shells"]

PLACE_KNOTS_MM = np.concatenate([np.arange(-30.0, 60.0, 1.5), np.arange(60.0, 241.0, 6.0)])
DOSE_KNOTS = np.array([0.0, 0.3, 0.6, 0.9, 1.02])
DOSE_SAMPLES = 6
WIDTHS_MM = np.geomspace(0.5, 8.0, 24)


@dataclass(frozen=True, slots=True)
class ShellModel:
    """Everything a reduced run needs; plain arrays, so that it can be stored.

    Parameters
    ----------
    weight_data, weight_indices, weight_indptr : ndarray
        Compressed rows of the weights (node, shell), rows summing to 1 or 0.
    mass : ndarray, [mm3], shape (shell,)
    eigenvalues : ndarray, [1/mm2], shape (shell,)
    modes : ndarray, shape (shell, shell)
        Of the exchange at unit diffusivity of white matter, symmetrised by sqrt(mass).
    viable, necrosis : ndarray, [1], shape (width, shell)
        Initial state for each of `WIDTHS_MM`.
    relative_dose : ndarray, [1], shape (shell, sample)
        Dose over the prescription at equal shares of each shell.
    """

    weight_data: NDArray[np.float32]
    weight_indices: NDArray[np.int32]
    weight_indptr: NDArray[np.int32]
    mass: NDArray[np.float64]
    eigenvalues: NDArray[np.float64]
    modes: NDArray[np.float64]
    viable: NDArray[np.float64]
    necrosis: NDArray[np.float64]
    relative_dose: NDArray[np.float64]

    def arrays(self) -> dict[str, NDArray]:
        """Every array by its name, for storing."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def weights(self) -> scipy.sparse.csr_matrix:
        """Weights of the shells at each node, shape (node, shell)."""
        shape = (len(self.weight_indptr) - 1, len(self.mass))
        return scipy.sparse.csr_matrix(
            (self.weight_data, self.weight_indices, self.weight_indptr), shape=shape
        )

    def propagator(self, diffusivity: float, tau: float) -> NDArray[np.float64]:
        """Diffusion over `tau` [day] at this diffusivity of white matter, shape (shell, shell)."""
        root = np.sqrt(self.mass)
        decay = np.exp(-self.eigenvalues * diffusivity * tau)
        full = (self.modes * decay) @ self.modes.T
        return np.maximum(full * root[None, :] / root[:, None], 0.0)

    def initial(self, width_mm: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Viable and necrotic density on day 0 for a front this wide, each of shape (shell,)."""
        if not WIDTHS_MM[0] <= width_mm <= WIDTHS_MM[-1]:
            raise InvalidInput(
                f"The front is {width_mm:.3g} mm wide; the reduced model knows "
                f"{WIDTHS_MM[0]:g} to {WIDTHS_MM[-1]:g} mm."
            )
        place = np.interp(np.log(width_mm), np.log(WIDTHS_MM), np.arange(len(WIDTHS_MM)))
        low = min(int(place), len(WIDTHS_MM) - 2)
        share = place - low
        floor = 1e-30
        logs = np.log(self.viable[low : low + 2] + floor)
        viable = np.exp((1 - share) * logs[0] + share * logs[1])
        necrosis = (1 - share) * self.necrosis[low] + share * self.necrosis[low + 1]
        return viable, necrosis

    def surviving(self, dose_gy: float, alpha: float, alpha_beta: float) -> NDArray[np.float64]:
        """Mean surviving fraction of each shell for one fraction of the prescribed `dose_gy`."""
        dose = dose_gy * self.relative_dose
        return np.exp(-alpha * dose * (1.0 + dose / alpha_beta)).mean(axis=1)

    def run(
        self,
        schedule: Schedule,
        parameters: ParameterSet,
        body_surface_m2: float,
        times: NDArray[np.float64],
    ) -> ShellRun:
        """Reduced run to the last of `times` [day]."""
        steps = plan_steps(schedule, times)
        ends = np.array([step.end for step in steps])
        begins = np.array([step.begin for step in steps])
        taus, which = np.unique(np.round(ends - begins, 9), return_inverse=True)
        white, rates = parameters.value("diffusivity_white"), GrowthRates.of(parameters)
        propagators = np.stack([self.propagator(white, float(tau)) for tau in taus])
        halves = np.stack([begins, 0.5 * (begins + ends), ends], axis=1)
        kill, exposure = np.zeros((len(steps), 2)), np.zeros(len(times))
        others = {dose.drug for dose in schedule.drug_doses} - {"temozolomide"}
        if others:
            raise InvalidInput(
                f"The reduced model knows no drug but temozolomide, not {sorted(others)[0]}; use "
                "the finite-element solver."
            )
        if schedule.drug_doses:
            kinetics = temozolomide(parameters, body_surface_m2)
            kappa = parameters.value("temozolomide_kill")
            area = kinetics.exposure(schedule.drug_doses, halves)
            kill = kappa * np.diff(area, axis=1) / np.diff(halves, axis=1)
            exposure = kappa * kinetics.exposure(schedule.drug_doses, times)
        doses = sorted({event.dose_gy for event in schedule.fractions})
        survival = np.ones((len(doses) + 1, len(self.mass)))
        for k, dose in enumerate(doses):
            survival[k + 1] = self.surviving(
                dose, parameters.value("alpha"), parameters.value("alpha_beta")
            )
        applied = np.zeros(len(steps), np.int64)
        for k, step in enumerate(steps):
            for event in step.events:
                if not isinstance(event, Fraction) or applied[k]:
                    raise InvalidInput(
                        "The reduced model knows one fraction at a time and no other event."
                    )
                applied[k] = 1 + doses.index(event.dose_gy)
        width = float(np.sqrt(white / rates.proliferation))
        viable, necrosis = self.initial(width)
        visible, living = np.empty((2, len(steps) + 1, len(self.mass)))
        _march(
            ends - begins, which, propagators, kill, applied, survival, rates.proliferation,
            rates.clearance, viable, np.zeros_like(viable), necrosis, visible, living,
        )  # fmt: skip
        grid = np.concatenate([[0.0], ends])
        return ShellRun(_at(times, grid, visible), _at(times, grid, living), exposure)


@dataclass(frozen=True, slots=True)
class ShellRun:
    """A reduced run at its output times.

    Parameters
    ----------
    visible, viable : ndarray, [1], shape (time, shell)
    drug_log_kill : ndarray, [1], shape (time,)
        Logarithm of the kill by drugs so far.
    """

    visible: NDArray[np.float64]
    viable: NDArray[np.float64]
    drug_log_kill: NDArray[np.float64]


def _at(times: NDArray, grid: NDArray, values: NDArray) -> NDArray[np.float64]:
    """Rows of `values` at `times`, linear between the grid's days, shape (time, ...)."""
    k = np.clip(np.searchsorted(grid, times, side="right") - 1, 0, max(len(grid) - 2, 0))
    if len(grid) == 1:
        return values[k]
    share = ((times - grid[k]) / (grid[k + 1] - grid[k]))[:, None]
    return (1.0 - share) * values[k] + share * values[k + 1]


@compiled
def _march(
    taus, which, propagators, kill, applied, survival, rate, clearance,
    viable, dead, necrosis, visible, living,
):  # fmt: skip
    """All steps of a reduced run; the reaction is the full solver's own."""
    for j in range(viable.shape[0]):
        visible[0, j] = viable[j] + dead[j] + necrosis[j]
        living[0, j] = viable[j]
    for s in range(taus.shape[0]):
        half = 0.5 * taus[s]
        product = clearance * half
        decay, half_decay = math.exp(-product), math.exp(-0.5 * product)
        mean = (1.0 - decay) / product
        react_at_length(viable, dead, necrosis, half, rate, kill[s, 0], decay, half_decay, mean)
        viable[:] = np.dot(propagators[which[s]], viable)
        react_at_length(viable, dead, necrosis, half, rate, kill[s, 1], decay, half_decay, mean)
        if applied[s] > 0:
            for j in range(viable.shape[0]):
                killed = viable[j] * (1.0 - survival[applied[s], j])
                viable[j] -= killed
                dead[j] += killed
        for j in range(viable.shape[0]):
            visible[s + 1, j] = viable[j] + dead[j] + necrosis[j]
            living[s + 1, j] = viable[j]


def _hats(values: NDArray[np.float64], knots: NDArray[np.float64]) -> scipy.sparse.csr_matrix:
    """Weights of the hat functions on `knots`, shape (value, knot)."""
    inside = np.clip(values, knots[0], knots[-1])
    low = np.clip(np.searchsorted(knots, inside, side="right") - 1, 0, len(knots) - 2)
    share = (inside - knots[low]) / (knots[low + 1] - knots[low])
    row = np.arange(len(values))
    return scipy.sparse.csr_matrix(
        (
            np.concatenate([1.0 - share, share]),
            (np.concatenate([row, row]), np.concatenate([low, low + 1])),
        ),
        shape=(len(values), len(knots)),
    )


def front_place(distances: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """Place of each node in the front, [mm], shape (node,): negative inside the outline."""
    core, whole, beyond = distances["core"], distances["whole"], distances["beyond"]
    between = (core > 0) & (whole < 0)
    gap = float(np.median((core - whole)[between])) if between.any() else 1.0
    share = core / np.maximum(core - whole, 1e-9)
    place = np.where(core <= 0, core, np.where(whole < 0, gap * share, gap + beyond))
    return np.where(np.isfinite(place), place, PLACE_KNOTS_MM[-1])


def build_shells(prepared: Prepared, parameters: ParameterSet, course: Radiotherapy) -> ShellModel:
    """Project a twin's finite-element problem on its shells.

    Parameters
    ----------
    prepared : Prepared
    parameters : ParameterSet
        The ratio of grey to white diffusivity is fixed by it.
    course : Radiotherapy
        Target and margins, which fix the shape of the dose.
    """
    distances = prepared.distances(parameters)
    diffusion = prepared.diffusion(parameters)
    mass = diffusion.mass
    place = front_place(distances)
    relative = prepared.dose_at_nodes(course) / course.total_dose_gy
    by_place, by_dose = _hats(place, PLACE_KNOTS_MM), _hats(relative, DOSE_KNOTS)
    columns = [
        by_place.multiply(np.asarray(by_dose[:, [k]].todense())) for k in range(by_dose.shape[1])
    ]
    weights = scipy.sparse.hstack(columns).tocsr()
    weights = (scipy.sparse.diags((mass > 0).astype(float)) @ weights).tocsr()
    shell_mass = np.asarray(weights.T @ mass).ravel()
    weights = weights[:, shell_mass > 20.0]
    weights = _with_left_out(weights, mass, np.column_stack([place, 10.0 * relative]))
    total = np.asarray(weights.sum(axis=1)).ravel()
    inverse = np.divide(1.0, total, out=np.zeros_like(total), where=total > 0)
    weights = (scipy.sparse.diags(inverse) @ weights).tocsr()
    shell_mass = np.asarray(weights.T @ mass).ravel()
    exchange = (weights.T @ (scipy.sparse.diags(mass) @ diffusion.matrix()) @ weights).toarray()
    exchange = np.maximum(0.5 * (exchange + exchange.T), 0.0)
    np.fill_diagonal(exchange, 0.0)
    np.fill_diagonal(exchange, -exchange.sum(axis=1))
    root = np.sqrt(shell_mass)
    symmetric = -exchange / root[:, None] / root[None, :] / parameters.value("diffusivity_white")
    eigenvalues, modes = np.linalg.eigh(symmetric)

    def mean(values: NDArray) -> NDArray[np.float64]:
        return np.asarray(weights.T @ (mass * values)).ravel() / shell_mass

    upper, lower = parameters.value("threshold_t1gd"), parameters.value("threshold_flair")
    viable, necrosis = [], []
    for width in WIDTHS_MM:
        state = settled_state(distances, float(width), upper, lower)
        viable.append(mean(state["viable"]))
        necrosis.append(mean(state["necrosis"]))
    weights.sort_indices()
    return ShellModel(
        weights.data.astype(np.float32),
        weights.indices.astype(np.int32),
        weights.indptr.astype(np.int32),
        shell_mass,
        np.maximum(eigenvalues, 0.0),
        modes,
        np.array(viable),
        np.array(necrosis),
        _dose_samples(weights, mass, relative),
    )


def _with_left_out(
    weights: scipy.sparse.csr_matrix, mass: NDArray[np.float64], where: NDArray[np.float64]
) -> scipy.sparse.csr_matrix:
    """Weights in which nodes whose shells are all too small have those of the node most alike.

    `where` has a row for each node: its place [mm] and a tenth of its dose is as 1 mm.
    """
    held = np.asarray(weights.sum(axis=1)).ravel() > 0
    lost = np.flatnonzero(~held & (mass > 0))
    if not len(lost):
        return weights
    kept = np.flatnonzero(held)
    _, nearest = cKDTree(where[kept]).query(where[lost])
    source = np.arange(len(mass))
    source[lost] = kept[nearest]
    return weights[source]


def _dose_samples(
    weights: scipy.sparse.csr_matrix, mass: NDArray[np.float64], relative: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Relative dose at the middles of equal shares of each shell's mass, shape (shell, sample)."""
    columns = weights.tocsc()
    samples = np.empty((columns.shape[1], DOSE_SAMPLES))
    wanted = (np.arange(DOSE_SAMPLES) + 0.5) / DOSE_SAMPLES
    for k in range(columns.shape[1]):
        span = slice(columns.indptr[k], columns.indptr[k + 1])
        node = columns.indices[span]
        order = np.argsort(relative[node])
        share = (columns.data[span] * mass[node])[order]
        middle = (np.cumsum(share) - 0.5 * share) / share.sum()
        samples[k] = np.interp(wanted, middle, relative[node][order])
    return samples
