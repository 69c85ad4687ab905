"""A whole fit: starts on the coarsest mesh, the most likely point on the fine one, draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvers.calibration.draws import Draws, draw
from solvers.calibration.most_likely import Estimate, most_likely
from solvers.calibration.problem import Problem, Records
from solvers.calibration.scans import Scans, observe
from solvers.calibration.unknowns import Unknowns
from twin.follow_up import CalibrationTable, FollowUp
from twin.patient import Twin
from twin.protocol import Progress
from twin.regimen import Regimen

__all__ = ["Fit", "fit"]

#: An unknown whose posterior variance is more than this share of the prior's is the prior's.
LITTLE = 0.2


@dataclass(frozen=True, slots=True)
class Fit:
    """What scans say of the unknowns.

    Parameters
    ----------
    unknowns : Unknowns
    scans : Scans
        On the fine mesh.
    starts : tuple of Estimate
        Where the starts came to on the coarsest mesh, the best first.
    estimate : Estimate
        On the fine mesh.
    draws : Draws
    """

    unknowns: Unknowns
    scans: Scans
    starts: tuple[Estimate, ...]
    estimate: Estimate
    draws: Draws

    @property
    def mean(self) -> NDArray[np.float64]:
        """Of the draws' coordinates, shape (unknown,)."""
        return np.asarray(self.draws.weights @ self.draws.places)

    @property
    def contraction(self) -> NDArray[np.float64]:
        """How much narrower than the prior, ``1 - variance / prior variance``, shape (unknown,)."""
        spread = self.draws.weights @ (self.draws.places - self.mean) ** 2
        prior = self.unknowns.draws_of_the_prior(20_000, 0).var(axis=0)
        return np.asarray(1.0 - spread / prior)


def fit(
    twin: Twin,
    follow_ups: Sequence[FollowUp],
    regimen: Regimen,
    unknowns: Unknowns,
    how: CalibrationTable,
    *,
    starts: int = 4,
    effective: int = 1000,
    seed: int = 0,
    threads: int = 1,
    records: Callable[[str], Records] = lambda mesh: Records(),
    progress: Progress | None = None,
) -> Fit:
    """Fit unknowns to follow-up scans.

    The starts run on the coarsest mesh, where they cost a tenth; the best goes on to the fine
    one. Draws are of the posterior on the fine mesh.

    Parameters
    ----------
    twin : Twin
    follow_ups : sequence of FollowUp
    regimen : Regimen
        Treatment given since day 0.
    unknowns : Unknowns
    how : CalibrationTable
    starts : int
        Points that the search begins at.
    effective : int
        Independent draws that the draws should be worth.
    seed, threads : int
    records : callable
        Runs made already, by the mesh's name: "coarsest" or "fine".
    progress : callable or None

    Raises
    ------
    InvalidInput
        Nothing to fit to, or a scan that contradicts the record of treatment.
    NotConverged
        No most likely point was found, or the draws cannot be trusted.
    """
    report: Progress = progress if progress is not None else lambda part, message: None

    def part(begin: float, end: float, what: str) -> Progress:
        return lambda done, message: report(begin + (end - begin) * done, f"{what}: {message}")

    def problem(on: Twin, mesh: str) -> tuple[Problem, Scans]:
        scans = observe(on, follow_ups, regimen, how)
        made = Problem(
            on, regimen, unknowns, scans.observations, threads=threads, records=records(mesh)
        )
        return made, scans

    coarse, _ = problem(twin.on_coarsest_mesh(), "coarsest")
    found = most_likely(coarse, starts=starts, seed=seed, progress=part(0.0, 0.1, "coarsest mesh"))
    fine, scans = problem(twin, "fine")
    estimate = most_likely(
        fine, begin=[found[0].place], progress=part(0.1, 0.2, "most likely point")
    )[0]
    draws = draw(
        fine, estimate, effective=effective, seed=seed, progress=part(0.2, 1.0, "posterior")
    )
    return Fit(unknowns, scans, tuple(found), estimate, draws)
