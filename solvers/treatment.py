"""A regimen made ready for one mesh and one set of parameters."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from solvers.dose_response import surviving_fraction, temozolomide
from solvers.prepared import Prepared
from twin.courses import Radiotherapy
from twin.errors import InvalidInput
from twin.events import Fraction
from twin.parameters import ParameterSet
from twin.regimen import Regimen

__all__ = ["NO_DRUG", "PULSE_DAY", "Treatment"]

#: Below this mean kill rate [1/day] a step counts as without a drug.
NO_DRUG = 1e-7
#: A drug's pulse is followed in parts of this length [day]; temozolomide's half-life is 0.09.
PULSE_DAY = 0.125


class Treatment:
    """Schedule, survival at every node and drug exposure of a regimen."""

    def __init__(self, prepared: Prepared, regimen: Regimen, parameters: ParameterSet) -> None:
        twin = prepared.twin
        self.schedule = regimen.schedule(twin.calendar)
        self._prepared, self._regimen, self._parameters = prepared, regimen, parameters
        self._surviving: dict[tuple[int, tuple[float, float]], NDArray[np.float64]] = {}
        self._drug = self.schedule.drug_doses
        self._kill = parameters.value("temozolomide_kill") if self._drug else 0.0
        self._kinetics = temozolomide(parameters, twin.body_surface_m2) if self._drug else None

    def surviving(
        self, fraction: Fraction, sensitivities: Mapping[int, tuple[float, float]]
    ) -> dict[int, NDArray[np.float64]]:
        """Share that survives one fraction, of the cells of each row, each of shape (node,).

        Parameters
        ----------
        fraction : Fraction
        sensitivities : mapping of int to (float, float)
            Factors of alpha and beta of each row, as `Model.sensitivities` gives them.
        """
        return {row: self._share(fraction, factors) for row, factors in sensitivities.items()}

    def _share(self, fraction: Fraction, factors: tuple[float, float]) -> NDArray[np.float64]:
        key = (fraction.course, factors)
        if key not in self._surviving:
            course = self._regimen.courses[fraction.course]
            if not isinstance(course, Radiotherapy):
                raise InvalidInput(f"Course {fraction.course} of the regimen is no radiotherapy.")
            of_alpha, of_beta = factors
            alpha, ratio = self._parameters.value("alpha"), self._parameters.value("alpha_beta")
            dose = self._prepared.dose_at_nodes(course)
            if of_alpha == 0.0:
                self._surviving[key] = np.ones_like(dose)
            else:
                self._surviving[key] = surviving_fraction(
                    dose / course.fractions,
                    alpha=alpha * of_alpha,
                    alpha_beta=ratio * (of_alpha / of_beta),
                )
        return self._surviving[key]

    def mean_kill(self, times: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean kill rate of the drug between successive times, [1/day], shape (time - 1,).

        ``log-kill = kappa * AUC`` (SCIENCE 6), so the integral over each interval is exact.
        """
        times = np.asarray(times, np.float64)
        if self._kinetics is None or self._kill == 0.0:
            return np.zeros(len(times) - 1)
        exposure = self._kinetics.exposure(self._drug, times)
        length = np.diff(times)  # 0 where an event and a grid point differ in the last bit
        mean = np.divide(np.diff(exposure), length, out=np.zeros_like(length), where=length > 0)
        return self._kill * mean

    def kills(self, begin: float, end: float) -> NDArray[np.float64]:
        """Mean kill rates of the drug in equal parts of both halves of a step, [1/day].

        One part where there is hardly any drug, parts of at most `PULSE_DAY` where there is:
        what a pulse kills dies at its time, from which its clearance counts. Shape (2, part).
        """
        halves = np.array([begin, 0.5 * (begin + end), end])
        whole = self.mean_kill(halves)
        parts = int(np.ceil(0.5 * (end - begin) / PULSE_DAY))
        if parts <= 1 or whole.max(initial=0.0) < NO_DRUG:
            return whole[:, None]
        borders = np.concatenate(
            [np.linspace(a, b, parts + 1)[:-1] for a, b in itertools.pairwise(halves)] + [[end]]
        )
        return self.mean_kill(borders).reshape(2, parts)

    def total_dose(self) -> NDArray[np.float64]:
        """Physical dose of all courses together at the nodes, [Gy], shape (node,)."""
        total = np.zeros(len(self._prepared.twin.mesh.points))
        for course in self._regimen.radiotherapy:
            total = total + self._prepared.dose_at_nodes(course)
        return total
