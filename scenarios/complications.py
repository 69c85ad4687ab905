"""Complication probabilities of organs at risk, from the doses of treatment plans alone.

A geometric dose is a lower bound in organs (`twin.dose`), so nothing is drawn from it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from scenarios.limit_files import OfOrgans, packaged_limits
from scenarios.metrics import lyman_complication
from scenarios.organs import known_delivered, organ_eqd2, organs_of
from twin.dose import dose_maps
from twin.toml_file import FileModel, quantity

if TYPE_CHECKING:
    from twin.patient import Twin
    from twin.regimen import Regimen

__all__ = [
    "BOTH_SOURCES",
    "GEOMETRIC",
    "NO_DOSE",
    "NO_FIT",
    "UNKNOWN",
    "WHAT_IF",
    "WITHOUT_PLAN",
    "Complications",
    "OrganComplication",
    "OrganFit",
    "load_complications",
    "organ_complications",
    "percent",
]

FILE = "complications.toml"
#: Share of an organ that the grid of a plan's dose has to cover; beyond it the dose counts as 0.
COVERED = 0.99
#: Why an organ has no probability.
GEOMETRIC = (
    "No complication probability is drawn from a geometric dose, which is a lower bound in organs: "
    'name the dose of a treatment plan (dose = "...") in every course, earlier ones included.'
)
WHAT_IF = (
    "No complication probability is drawn from a what-if dose by beams: name the dose of a "
    'treatment plan (dose = "...") in every course, earlier ones included.'
)
#: Reasons that are said once for all organs.
WITHOUT_PLAN = (GEOMETRIC, WHAT_IF)
UNKNOWN = "The dose of an earlier course is not known, so that no complication probability is."
NO_DOSE = "Without radiotherapy there is no complication probability."
NO_FIT = "No fit of its complications is on file."
#: Said wherever there is a probability.
BOTH_SOURCES = (
    "Complication probabilities (NTCP) are those of a fit by the gEUD of EQD2, earlier courses "
    "included; the fits of 1991 overstate risk at doses of today, so the statement of another "
    "source stands beside each. Burman 1991 was quoted without reading it. No error bar is known; "
    "drugs and the time between courses are not in them."
)


class OrganFit(OfOrgans):
    """A fit of one complication, and beside it what another source states.

    `n` and `m` are the effect of volume and the slope, [1], `td50` is the dose to the whole organ
    with a complication in half of the patients, [Gy] at about 2 Gy a fraction, taken as EQD2.
    """

    end_point: str = Field(min_length=3)
    fit: str = Field(min_length=3, description="author and year")
    n: float = Field(gt=0.0, allow_inf_nan=False)
    m: float = Field(gt=0.0, allow_inf_nan=False)
    td50: quantity("Gy", example="60 Gy", at_least=1.0, at_most=200.0)  # type: ignore[valid-type]
    source: str = Field(min_length=8, description="where the numbers come from")
    stated_by: str = Field(min_length=3)
    statement: str = Field(min_length=8)
    statement_source: str = Field(min_length=8)

    def probability(self, eqd2_gy: NDArray[np.float64]) -> float:
        """Probability of the complication, [1].

        Parameters
        ----------
        eqd2_gy : ndarray, [Gy], shape (voxel,)
            EQD2 of the organ's own alpha/beta in its voxels, of one volume each.

        Examples
        --------
        >>> fit = load_complications().of("parotid_left")
        >>> fit.probability(np.array([39.9, 39.9]))
        0.5
        """
        return lyman_complication(eqd2_gy, n=self.n, m=self.m, td50=self.td50)

    @property
    def sentence(self) -> str:
        """Both sources in a few words.

        Examples
        --------
        >>> for part in load_complications().of("lens_left").sentence.split("; "):
        ...     print(part)
        cataract (Burman 1991)
        Emami 1991 (nothing by QUANTEC): 5 % at 10 Gy, 50 % at 18 Gy in 5 years
        """
        return f"{self.end_point} ({self.fit}); {self.stated_by}: {self.statement}"

    def record(self) -> dict[str, Any]:
        """All but the names, as plain data; doses as ``td50_gy``, [Gy]."""
        kept = self.model_dump(exclude={"organs", "td50"})
        return {**kept, "td50_gy": self.td50}


class Complications(FileModel):
    """The whole file."""

    format: Literal[1]
    title: str
    complication: tuple[OrganFit, ...]

    def of(self, organ: str) -> OrganFit | None:
        """The first entry about an organ of this name, None without one."""
        return next((fit for fit in self.complication if fit.concerns(organ)), None)


@cache
def load_complications() -> Complications:
    """The packaged fits and statements.

    Examples
    --------
    >>> load_complications().of("Brain stem").td50
    65.0
    """
    return packaged_limits(Complications, FILE)


@dataclass(frozen=True, slots=True)
class OrganComplication:
    """Complication of one organ.

    Parameters
    ----------
    probability : float, [1]
        Not a number where there is none.
    fit : OrganFit or None
    reason : str
        One sentence on why there is none; empty where there is one.
    """

    probability: float
    fit: OrganFit | None
    reason: str = ""

    @property
    def known(self) -> bool:
        """Whether there is a probability."""
        return math.isfinite(self.probability)

    def record(self) -> dict[str, Any]:
        """As plain data that JSON can hold."""
        return {
            "probability": self.probability if self.known else None,
            "reason": self.reason or None,
            **({} if self.fit is None else self.fit.record()),
        }


def organ_complications(
    twin: Twin,
    regimen: Regimen,
    *,
    effect: Mapping[str, NDArray[np.float64]] | None = None,
    fits: Complications | None = None,
) -> dict[str, OrganComplication]:
    """Complication of every organ under a regimen and what was delivered before it.

    Parameters
    ----------
    twin : Twin
        Or any object with its voxels, such as an `Anatomy`.
    regimen : Regimen
    effect : mapping of str to ndarray or None, [Gy], shape (voxel,)
        What `organ_eqd2` gives, where it is known already.
    fits : Complications or None
        Those of ``data/limits`` if None.
    """
    rules = load_complications() if fits is None else fits
    found = {
        name: OrganComplication(math.nan, rules.of(name), reason)
        for name, reason in _reasons(twin, regimen, rules).items()
    }
    if all(one.reason for one in found.values()):
        return found
    doses = organ_eqd2(twin, regimen) if effect is None else effect
    return {
        name: one
        if one.reason or one.fit is None
        else OrganComplication(one.fit.probability(doses[name]), one.fit)
        for name, one in found.items()
    }


def _reasons(twin: Twin, regimen: Regimen, rules: Complications) -> dict[str, str]:
    """Why each organ has no probability, empty where it has one."""
    courses = (*twin.delivered.radiotherapy, *regimen.radiotherapy)
    organs = organs_of(twin)
    if not courses:
        return dict.fromkeys(organs, NO_DOSE)
    delivered = known_delivered(twin)
    if delivered.radiotherapy != twin.delivered.radiotherapy:
        return dict.fromkeys(organs, UNKNOWN)
    maps = dose_maps(twin, delivered) + dose_maps(twin, regimen)
    found: dict[str, str] = {}
    for name, organ in organs.items():
        found[name] = "" if rules.of(name) else NO_FIT
        for course, dose in zip(courses, maps, strict=True):
            if course.dose is None:
                if (dose.given_gy[organ.mask] > 0.0).any():
                    found[name] = WHAT_IF if course.beams else GEOMETRIC
                    break
                continue
            share = float(twin.doses[course.dose].covered[organ.mask].mean())
            if share < COVERED and not found[name]:
                found[name] = (
                    f"The grid of the planned dose {course.dose!r} covers {100.0 * share:.1f} % of "
                    "the organ, so that its complication probability is not known."
                )
    return found


def percent(probability: float) -> str:
    """A probability for people; "-" where there is none.

    Examples
    --------
    >>> percent(0.031), percent(0.2345), percent(1e-6), percent(0.9999), percent(float("nan"))
    ('3.1 %', '23 %', '< 0.1 %', '> 99.9 %', '-')
    """
    if not math.isfinite(probability):
        return "-"
    if probability < 0.001:
        return "< 0.1 %"
    if probability > 0.999:
        return "> 99.9 %"
    of_hundred = 100.0 * probability
    return f"{of_hundred:.1f} %" if not 9.95 <= of_hundred <= 90.0 else f"{of_hundred:.0f} %"
