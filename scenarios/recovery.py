"""Recovery of organs between courses of radiotherapy.

What an organ has got counts less the longer ago it was: of an earlier course's EQD2 a share is
forgotten, none until `recovery_start`, then linearly more until `recovery_end`, and never more
than the tissue's largest share (`recovery_share_brain`, ...). Spinal cords of monkeys recovered
some 60 % of 44 Gy in one to three years by a conservative reading (K. K. Ang and others 2001,
Int J Radiat Oncol Biol Phys 50:1013 [unverified]), and of persons no myelopathy was seen below
a summed dose where six months or more had passed (C. Nieder and others 2006, the same 66:1446
[unverified]). That it holds for brain, at these shares and in a straight line, is assumed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from twin.errors import InvalidInput

if TYPE_CHECKING:
    from twin.parameters import ParameterSet

__all__ = ["Recovery", "recovery_sentence"]


@dataclass(frozen=True, slots=True)
class Recovery:
    """How much of an earlier course a tissue forgets.

    Parameters
    ----------
    start_day, end_day : float, [day]
        Since the last fraction: nothing is forgotten before the first, no more after the second.
    share : float, [1]
        The most that is forgotten; 0 where no recovery is credited.

    Examples
    --------
    >>> half = Recovery(start_day=183.0, end_day=1095.0, share=0.5)
    >>> [half.recovered(days) for days in (-3.0, 183.0, 639.0, 5000.0)]
    [0.0, 0.0, 0.25, 0.5]
    """

    start_day: float
    end_day: float
    share: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.start_day < self.end_day < np.inf:
            raise InvalidInput(
                f"Recovery begins {self.start_day:g} days after a course and ends after "
                f"{self.end_day:g}; recovery_end must be later than recovery_start, and that at "
                "least 0 day."
            )
        if not 0.0 <= self.share <= 1.0:
            raise InvalidInput(
                f"The recovered share is {self.share:g}; it must lie between 0 and 1."
            )

    def recovered(self, days: float) -> float:
        """Share of an earlier course's EQD2 that is forgotten so long after its end, [1]."""
        part = (days - self.start_day) / (self.end_day - self.start_day)
        return self.share * float(np.clip(part, 0.0, 1.0))

    @classmethod
    def of(cls, parameters: ParameterSet, alpha_beta: str) -> Recovery:
        """That of the tissue whose alpha/beta is the parameter of this name.

        "alpha_beta_brain" belongs to "recovery_share_brain"; a tissue without a share, or a
        parameter set without the times, gets no credit.
        """
        name = alpha_beta.replace("alpha_beta", "recovery_share", 1)
        times = "recovery_start", "recovery_end"
        if name not in parameters or not all(time in parameters for time in times):
            return cls(0.0, 1.0, 0.0)
        start, end = (parameters.value(time) for time in times)
        return cls(start, end, parameters.value(name))


def recovery_sentence(parameters: ParameterSet) -> str:
    """What is credited, in words; empty where the parameters have no times of recovery."""
    if "recovery_start" not in parameters or "recovery_end" not in parameters:
        return ""
    start, end = parameters.value("recovery_start"), parameters.value("recovery_end")
    prefix = "recovery_share_"
    shares = ", ".join(
        f"{name.removeprefix(prefix)} {100.0 * parameters.value(name):.3g} %"
        for name in parameters
        if name.startswith(prefix)
    )
    return (
        f"Recovery of earlier courses: none before {start:g} days after them, then in a straight "
        f"line until {end:g} days ({shares}; other organs none). It is assumed (grade D); EQD2, "
        "limits and complication probabilities are without it."
    )
