"""Hyperthermia before it is given: its sessions, and how warm the heated structure gets."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scenarios.planning.schedule import date_text
from solvers.dose_response.hyperthermia import equivalent_minutes
from twin.targets import structure_mask
from twin.temperature_map import temperature_on_grid

if TYPE_CHECKING:
    from twin.patient import Twin
    from twin.regimen import Regimen

__all__ = ["HeatPlan", "heat_plans"]


@dataclass(frozen=True, slots=True)
class HeatPlan:
    """One course of hyperthermia as it is given.

    Parameters
    ----------
    course : int
        Its number in the regimen, from 0.
    dates : tuple of date
        One a session.
    structure : str
        What is heated.
    t90_c, t50_c, t10_c : float, [degC]
        Temperature that so many percent of its voxels reach at least.
    cem43_t90_min : float, [min]
        Equivalent minutes at 43 degC of all sessions together at T90.
    """

    course: int
    dates: tuple[dt.date, ...]
    structure: str
    t90_c: float
    t50_c: float
    t10_c: float
    cem43_t90_min: float

    def sentence(self) -> str:
        """The same in words."""
        dates = ", ".join(map(date_text, self.dates))
        what = self.structure.upper() if self.structure == "gtv" else self.structure
        return (
            f"Sessions: {dates}. In the {what} T90 is {self.t90_c:.1f}, T50 {self.t50_c:.1f}, T10 "
            f"{self.t10_c:.1f} degC; thermal dose CEM43 T90 {self.cem43_t90_min:.1f} min in all."
        )


def heat_plans(twin: Twin, regimen: Regimen) -> Iterator[HeatPlan]:
    """What is to be said of each course of hyperthermia of a regimen, in its order."""
    sessions = regimen.schedule(twin.calendar).heat_sessions
    for number, course in enumerate(regimen.courses):
        if course not in regimen.hyperthermia:
            continue
        own = [session for session in sessions if session.course == number]
        heat = next(one for one in regimen.hyperthermia if one is course)
        inside = temperature_on_grid(twin, heat)[structure_mask(twin, heat.structure)]
        t90, t50, t10 = (float(np.percentile(inside, rank)) for rank in (10, 50, 90))
        yield HeatPlan(
            course=number,
            dates=tuple(twin.calendar.date(session.day) for session in own),
            structure=heat.structure,
            t90_c=t90,
            t50_c=t50,
            t10_c=t10,
            cem43_t90_min=len(own) * float(equivalent_minutes(heat.minutes, t90)),
        )
