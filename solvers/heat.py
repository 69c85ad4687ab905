"""Hyperthermia of a regimen on one mesh: what it makes of each fraction, and what it kills.

A fraction takes the enhancement of the session that is nearest in time; that of several sessions
is not added up. Damage of earlier fractions that is not repaired pairs with the later one by the
later one's beta. Cells die by heat alone only where a rate is stated: ``-ln S = k CEM43``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvers.dose_response.hyperthermia import equivalent_minutes, thermal_enhancement
from solvers.prepared import Prepared
from twin.courses import Hyperthermia
from twin.errors import InvalidInput
from twin.events import Fraction, HeatSession, Schedule
from twin.packaged_numbers import value_of
from twin.parameters import ParameterSet
from twin.regimen import Regimen

__all__ = ["Heat", "Warmth"]

HOURS_PER_DAY, MINUTES_PER_DAY = 24.0, 1440.0
#: What is left of an enhancement counts from this share of its logarithm on.
_LEFT = 1e-3


@dataclass(frozen=True, slots=True)
class Warmth:
    """What the nearest session does to a fraction.

    Parameters
    ----------
    course : int
        Number of the course of hyperthermia.
    gap_h : float, [h]
        From the one to the other.
    """

    course: int
    gap_h: float


class Heat:
    """The sessions of a regimen, with the temperatures at the nodes.

    Parameters
    ----------
    prepared : Prepared
    regimen : Regimen
    schedule : Schedule
        Its events.
    parameters : ParameterSet
        Numbers of `hyperthermia` that are in it take the place of the packaged ones.
    """

    def __init__(
        self, prepared: Prepared, regimen: Regimen, schedule: Schedule, parameters: ParameterSet
    ) -> None:
        self._prepared, self._regimen, self._parameters = prepared, regimen, parameters
        self._sessions = schedule.heat_sessions
        self._warmth = {f: self._nearest(f) for f in schedule.fractions if self._sessions}

    def _number(self, name: str) -> float:
        return value_of(f"hyperthermia_{name}", self._parameters)

    def _nearest(self, fraction: Fraction) -> Warmth | None:
        def gap(session: HeatSession) -> float:
            end = session.day + session.minutes / MINUTES_PER_DAY
            return max(session.day - fraction.day, fraction.day - end, 0.0) * HOURS_PER_DAY

        nearest = min(self._sessions, key=gap)
        hours = round(gap(nearest), 6)  # equal gaps are equal, whatever the day
        if np.exp(-self._number("fading") * hours) < _LEFT:
            return None
        return Warmth(nearest.course, hours)

    def warmth(self, fraction: Fraction) -> Warmth | None:
        """The session that counts for a fraction; None where none is near enough."""
        return self._warmth.get(fraction)

    def factors(self, warmth: Warmth) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Factors on alpha and on beta at the nodes, [1], each of shape (node,)."""
        celsius = self._prepared.temperature_at_nodes(self._course(warmth.course))
        alpha, beta = (
            thermal_enhancement(
                celsius,
                warmth.gap_h,
                at_41=self._number(f"enhancement_{name}"),
                fading=self._number("fading"),
            )
            for name in ("alpha", "beta")
        )
        return alpha, beta

    @property
    def kills(self) -> bool:
        """Whether cells die by heat alone."""
        return bool(self._sessions) and self._number("kill") > 0.0

    def surviving(self, session: HeatSession) -> NDArray[np.float64]:
        """Share of cells that survives the heat of a session, [1], shape (node,)."""
        rate = self._number("kill")
        celsius = self._prepared.temperature_at_nodes(self._course(session.course))
        return np.exp(-rate * equivalent_minutes(session.minutes, celsius))

    def _course(self, number: int) -> Hyperthermia:
        course = self._regimen.courses[number]
        if not isinstance(course, Hyperthermia):
            raise InvalidInput(f"Course {number} of the regimen is no hyperthermia.")
        return course
