"""The cases without which nothing is said about the best fraction size or margin.

Which of two fractionations is better hangs on alpha/beta, which of two margins on how far the
tumour reaches, and both on how fast it grows back. None of these is known of a patient, so a
statement is made only over alpha/beta of 3 to 15 Gy, both ends of the radiosensitivity that was
fitted to images, which goes together with the rate of growth, and both initial profiles: all of
these by all others.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from scenarios.study import Case

if TYPE_CHECKING:
    from twin.parameters import ParameterSet

__all__ = ["ALPHA_BETA_GY", "BASES", "NEEDED", "PROFILES", "missing_corners", "sensitivity_cases"]

#: About the spread of alpha/beta in glioblastoma, [Gy]: Qi 2006, doi 10.1016/j.ijrobp.2005.12.022,
#: 10 +- 15; Pedicini 2014, 8 (5 to 10.8) [unverified].
ALPHA_BETA_GY = (3.0, 15.0)
#: alpha [1/Gy] and proliferation rate [1/day] that belong together where both were fitted to
#: images: Rockne 2009, doi 10.1007/s00285-008-0219-6 [unverified].
BASES = ((0.03, 0.02), (0.09, 0.1))
#: Of `solvers.initial_state`.
PROFILES = ("settled", "step")
#: What is missing where a study has no such cases.
NEEDED = (
    "run it with [sensitivity] fractionation = true (or margin = true), which adds cases at "
    f"alpha/beta of {ALPHA_BETA_GY[0]:g} and {ALPHA_BETA_GY[1]:g} Gy, at both ends of the alpha "
    "and rate of growth that belong together, and from both initial profiles"
)


def _corners() -> list[tuple[float, tuple[float, float], str]]:
    return list(itertools.product(ALPHA_BETA_GY, BASES, PROFILES))


def sensitivity_cases(base: ParameterSet) -> list[Case]:
    """Every end of what is not known by every other, eight cases.

    The diffusivities go with the rate of growth, so that the front is as wide as it was and
    lies under the same outlines.

    Parameters
    ----------
    base : ParameterSet
        Of the patient.

    Examples
    --------
    >>> from twin.parameters import load_parameter_set
    >>> cases = sensitivity_cases(load_parameter_set("glioblastoma"))
    >>> len(cases), cases[0].name
    (8, 'a/b 3, alpha 0.03, rho 0.02, settled')
    """
    rate = base.value("proliferation_rate")
    found = []
    for ratio, (alpha, growth), profile in _corners():
        moved = {
            name: base.value(name) * growth / rate
            for name in ("diffusivity_white", "diffusivity_grey")
        }
        found.append(
            Case(
                f"a/b {ratio:g}, alpha {alpha:g}, rho {growth:g}, {profile}",
                {"alpha_beta": ratio, "alpha": alpha, "proliferation_rate": growth, **moved},
                profile=profile,
            )
        )
    return found


def missing_corners(cases: Sequence[Mapping[str, Any]]) -> int:
    """How many of the cases that are needed the record of a study does not have.

    Parameters
    ----------
    cases : sequence of mapping
        As `Study.as_dict` writes them.
    """
    there = {
        (
            case["changes"]["alpha_beta"]["value"],
            (case["changes"]["alpha"]["value"], case["changes"]["proliferation_rate"]["value"]),
            case.get("profile"),
        )
        for case in cases
        if {"alpha_beta", "alpha", "proliferation_rate"} <= set(case["changes"])
        and "setup" not in case
    }
    return sum(corner not in there for corner in _corners())
