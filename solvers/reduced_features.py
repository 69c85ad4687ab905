"""What the neural closure is told about a question: the reduced run and the physics behind it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvers.shells import ShellModel
from solvers.training_domain import DRUG, TrainingDomain
from solvers.volumes import TABLE_SIZE, TABLE_TOP, softened_table
from twin.calendar import Calendar
from twin.parameters import ParameterSet
from twin.regimen import Regimen

__all__ = ["OFFSET_MM3", "ReducedAnswer", "ReducedModel"]

#: Added to volumes before their logarithm: the closure is exact about millilitres, not microlitres.
OFFSET_MM3 = 300.0


@dataclass(frozen=True, slots=True)
class ReducedAnswer:
    """The reduced model's answer on a grid of times, with the features made of it.

    Parameters
    ----------
    soft : ndarray, [mm3], shape (threshold, time)
    viable : ndarray, [mm3], shape (time,)
    visible : ndarray, [1], shape (time, shell)
    features : ndarray, shape (time, feature)
    """

    soft: NDArray[np.float64]
    viable: NDArray[np.float64]
    visible: NDArray[np.float64]
    features: NDArray[np.float64]

    @property
    def logs(self) -> NDArray[np.float64]:
        """Logarithms of both softened volumes and of the viable one, offset, shape (time, 3)."""
        return np.concatenate(
            [np.log(self.soft + OFFSET_MM3), np.log(self.viable + OFFSET_MM3)[None]]
        ).T


@dataclass(frozen=True, slots=True)
class ReducedModel:
    """Shells with the patient's body and calendar: answers any question in milliseconds."""

    shells: ShellModel
    domain: TrainingDomain
    calendar: Calendar
    body_surface_m2: float

    def grid(self) -> NDArray[np.float64]:
        """Weekly times to the horizon, [day], shape (time,)."""
        weeks = np.arange(0.0, self.domain.horizon_day, 7.0)
        return np.append(weeks, self.domain.horizon_day)

    def answer(self, regimen: Regimen, parameters: ParameterSet) -> ReducedAnswer:
        """The reduced run on the weekly grid."""
        times = self.grid()
        schedule = regimen.schedule(self.calendar)
        run = self.shells.run(schedule, parameters, self.body_surface_m2, times)
        levels = [parameters.value("threshold_t1gd"), parameters.value("threshold_flair")]
        table = softened_table(levels, parameters.value("visibility_softness"))
        place = np.clip(run.visible, 0.0, TABLE_TOP) * ((TABLE_SIZE - 1) / TABLE_TOP)
        index = np.minimum(place.astype(np.int64), TABLE_SIZE - 2)
        share = place - index
        soft = np.stack(
            [
                ((1 - share) * row[index] + share * row[index + 1]) @ self.shells.mass
                for row in table
            ]
        )
        viable = run.viable @ self.shells.mass
        days = np.array([fraction.day for fraction in schedule.fractions])
        values = self.domain.values(regimen, parameters)
        fractions = np.searchsorted(days, times, side="right")
        dose = values["dose_per_fraction"]
        per_fraction = values["alpha"] * dose * (1.0 + dose / parameters.value("alpha_beta"))
        growth, spread = values["proliferation_rate"], values["diffusivity_white"]
        logs = np.concatenate([np.log(soft + OFFSET_MM3), np.log(viable + OFFSET_MM3)[None]])
        slopes = np.gradient(logs, times, axis=1)
        since_start, since_end = times - days[0], times - days[-1]
        constants = [
            np.log(growth),
            0.5 * np.log(spread / growth),
            0.5 * np.log(spread * growth),
            np.log(values["alpha"]),
            per_fraction * len(days),
            per_fraction,
            np.log(values["dead_clearance_half_life"]),
            values[DRUG] * 1e3,
            days[0] / 50.0,
            days[-1] / 50.0,
        ]
        tops = np.sort(run.visible, axis=1)[:, -1]
        features = np.column_stack(
            [
                *[np.full(len(times), value) for value in constants],
                times / 100.0,
                growth * times,
                np.sqrt(spread * growth) * times,
                per_fraction * fractions,
                run.drug_log_kill,
                growth * times - per_fraction * fractions - run.drug_log_kill,
                np.tanh(since_start / 15.0),
                np.tanh(since_end / 15.0),
                np.tanh(since_end / 80.0),
                *logs,
                *(100.0 * slopes),
                tops,
                logs[0] - logs[1],
            ]
        )
        return ReducedAnswer(soft, viable, run.visible, features)
