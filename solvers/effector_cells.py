"""Effector cells against the tumour: one well-mixed pool that kills everywhere alike.

Kuznetsov's equations (`solvers.dose_response.immunity`) with the twin's own growth in place of
their logistic term: the pool E sees all tumour cells T, the integral of the live species, and
every live cell dies at the rate n E wherever it is::

    E' = s + p E T/(g + T) - m E T - d E,    u' = ... - n E u

Why a pool and not a field: lymphocytes come from the blood and cross the tumour within hours to
days, against weeks for growth, and nothing is known of where they are; a field would need a
diffusivity, an entry and an exclusion that no data give, while a pool adds one number to the
state, has the published bistability as its limit, and leaves the splitting exact: the pool's part
of a step changes every density by one factor.

**Cells of the mouse and of the patient.** The published numbers count cells of a mouse whose
largest tumour is 1/b. A tumour of the `volume` at full density stands for it, so that a patient
has ``L = capacity x volume x b`` times its cells: s and g times L, m and n over L, and nothing
else changes.

A step is half of the pool's, growth and migration, half of the pool's (Strang), of second order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from solvers.checkpoint import Checkpoint
from solvers.dose_response import Kuznetsov
from twin.errors import InvalidInput, NotConverged
from twin.packaged_numbers import value_of
from twin.parameters import ParameterSet

__all__ = ["EffectorCells", "scaled_rates"]

#: Fastest rate times a part of a step; the fourth-order formula is then right to 1e-7.
_PART = 0.1
_MOST_PARTS = 100_000


def scaled_rates(parameters: ParameterSet) -> Kuznetsov:
    """Kuznetsov's rates in cells of this patient, a = the patient's proliferation rate.

    Examples
    --------
    >>> from twin.parameters import load_parameter_set
    >>> rates = scaled_rates(load_parameter_set("glioblastoma"))
    >>> round(1.0 / rates.b)  # 113 ml at 1e5 cells in a cubic millimetre
    11300000000
    """

    def number(name: str) -> float:
        return value_of(f"immunity_{name}", parameters)

    largest = parameters.value("carrying_capacity") * number("volume")
    scale = largest / number("capacity")
    return Kuznetsov(
        a=parameters.value("proliferation_rate"),
        b=1.0 / largest,
        d=number("death"),
        g=number("recruiting_tumour") * scale,
        m=number("exhaustion") / scale,
        n=number("kill") / scale,
        p=number("recruitment"),
        s=number("source") * scale,
    )


class EffectorCells:
    """The pool of one run.

    Parameters
    ----------
    parameters : ParameterSet
    drugs : tuple of Checkpoint
        Each multiplies the rate of killing while it is there.
    memory : mapping of str to ndarray or None
        What `memory` of an earlier run gave, to go on from.
    """

    def __init__(
        self,
        parameters: ParameterSet,
        drugs: tuple[Checkpoint, ...] = (),
        memory: Mapping[str, NDArray[np.float64]] | None = None,
    ) -> None:
        self.rates = scaled_rates(parameters)
        self._drugs = drugs
        self.per_mm3 = parameters.value("carrying_capacity")
        if memory is None:
            self.count = value_of("immunity_start", parameters) * self.rates.tumour_free()
        elif "effector_cells" in memory:
            self.count = float(memory["effector_cells"][0])
        else:
            raise InvalidInput(
                "The state to go on from has no effector cells, which the model needs; it was made "
                "without immunity."
            )

    def kill_rate(self, begin: float, end: float) -> float:
        """Tumour cells killed by one effector cell, mean over an interval, [1/(cell day)]."""
        return self.rates.n * math.prod(drug.mean_factor(begin, end) for drug in self._drugs)

    def advance(self, begin: float, end: float, burden_mm3: float) -> float:
        """The pool from `begin` to `end` [day]; the share of tumour cells that survives it, [1].

        Parameters
        ----------
        begin, end : float, [day]
        burden_mm3 : float, [mm3]
            Integral of the live density, that is the tumour's cells by the carrying capacity.

        Raises
        ------
        NotConverged
            Rates that need more than `_MOST_PARTS` parts.
        """
        tau = end - begin
        if not tau > 0.0:
            return 1.0
        tumour, rates = burden_mm3 * self.per_mm3, self.rates
        kill = self.kill_rate(begin, end)
        fastest = rates.d + rates.p + rates.m * tumour + kill * self.count
        parts = max(1, math.ceil(tau * fastest / _PART))
        if not parts <= _MOST_PARTS:
            raise NotConverged(
                f"Effector cells change at {fastest:.3g} per day, too fast to follow; check the "
                "parameters immunity_volume, immunity_exhaustion and immunity_kill."
            )
        step = tau / parts
        effectors, log = self.count, 0.0
        for _ in range(parts):  # Runge and Kutta's fourth order, in E and ln T
            one = self._slope(effectors, tumour * math.exp(log), kill)
            two = self._slope(
                effectors + 0.5 * step * one[0], tumour * math.exp(log + 0.5 * step * one[1]), kill
            )
            three = self._slope(
                effectors + 0.5 * step * two[0], tumour * math.exp(log + 0.5 * step * two[1]), kill
            )
            four = self._slope(
                effectors + step * three[0], tumour * math.exp(log + step * three[1]), kill
            )
            effectors += step / 6.0 * (one[0] + 2.0 * (two[0] + three[0]) + four[0])
            log += step / 6.0 * (one[1] + 2.0 * (two[1] + three[1]) + four[1])
        self.count = effectors
        return math.exp(log)

    def _slope(self, effectors: float, tumour: float, kill: float) -> tuple[float, float]:
        r = self.rates
        recruited = r.p * tumour / (r.g + tumour) - r.m * tumour - r.d
        return r.s + recruited * effectors, -kill * effectors

    def memory(self) -> dict[str, NDArray[np.float64]]:
        """All that is needed to go on."""
        return {"effector_cells": np.array([self.count])}
