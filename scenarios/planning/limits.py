"""Limits that planners keep to, each with its source, from ``data/limits``."""

from __future__ import annotations

import re
from functools import cache
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from scenarios.limit_files import OfOrgans, packaged_limits
from scenarios.metrics import dose_to_hottest_volume
from twin.errors import InvalidInput
from twin.site import Site
from twin.toml_file import FileModel

__all__ = [
    "DrugLimits",
    "Limit",
    "Limits",
    "OrganLimit",
    "RadiotherapyLimits",
    "load_limits",
    "measured",
]

FILE = "organs_and_drugs.toml"
_SIZE = re.compile(r"D(\d+(?:\.\d+)?)(cc|%)")


class Limit(FileModel):
    """One number that is not to be crossed without a reason."""

    value: float = Field(ge=0.0, allow_inf_nan=False)
    unit: str
    source: str = Field(min_length=8, description="where the number comes from")
    check: str = Field(pattern="^check ", description="what to do where it is crossed")


def _in(unit: str) -> AfterValidator:
    def same(limit: Limit | None) -> Limit | None:
        if limit is not None and limit.unit != unit:
            raise InvalidInput(f'the unit is "{limit.unit}"; write it in "{unit}".')
        return limit

    return AfterValidator(same)


Number = Annotated[Limit, _in("1")]
Gray = Annotated[Limit, _in("Gy")]
Day = Annotated[Limit, _in("day")]
Hour = Annotated[Limit, _in("h")]
MaybeNumber = Annotated[Limit | None, _in("1")]
MaybeDay = Annotated[Limit | None, _in("day")]
MaybeGray = Annotated[Limit | None, _in("Gy")]
MaybeDose = Annotated[Limit | None, _in("mg/m2")]


def _known_measure(text: str) -> str:
    if text != "mean" and _SIZE.fullmatch(text) is None:
        raise InvalidInput(f'"{text}" is no measure; write "mean", "D0.03cc" or "D40%".')
    return text


class OrganLimit(OfOrgans, Limit):
    """A dose of an organ, EQD2 with its own alpha/beta, [Gy]."""

    unit: Literal["Gy"]
    measure: Annotated[str, AfterValidator(_known_measure)]
    together: bool = Field(default=False, description="the named organs count as one")
    meaning: str = ""


class RadiotherapyLimits(FileModel):
    """Of a course of radiotherapy and what comes before it."""

    weekend_fractions: Number
    least_interval: Hour
    least_days_after_surgery: Day
    most_days_after_surgery: Day
    least_total_dose: MaybeGray = None
    most_total_dose: MaybeGray = None
    whole_brain_fraction: MaybeGray = None
    whole_brain_share: MaybeNumber = None
    coverage: Number
    coverage_level: Number
    overlap: Day


class DrugLimits(FileModel):
    """Of one drug; what is left out is not checked."""

    daily_dose: MaybeDose = None
    first_cycle_dose: MaybeDose = None
    concurrent_dose: MaybeDose = None
    concurrent_days: MaybeDay = None
    cycles: MaybeNumber = None
    days_in_a_cycle: MaybeDay = None
    cycle_interval: MaybeDay = None
    break_after_radiotherapy: MaybeDay = None
    most_on_a_day: MaybeNumber = None


class SiteLimits(FileModel):
    """What of `RadiotherapyLimits` a site other than the brain has of its own."""

    least_total_dose: MaybeGray = None
    most_total_dose: MaybeGray = None


class Limits(FileModel):
    """The whole file; `radiotherapy` holds for gliomas, `site` for others by name."""

    format: Literal[1]
    title: str
    organ: tuple[OrganLimit, ...]
    radiotherapy: RadiotherapyLimits
    drug: dict[str, DrugLimits]
    site: dict[str, SiteLimits] = Field(default={})

    def at(self, site: Site) -> Limits:
        """The limits at a site, which has total doses of its own or none."""
        if site.is_brain:
            return self
        own = self.site.get(site.name, SiteLimits())
        changes = {
            "least_total_dose": own.least_total_dose,
            "most_total_dose": own.most_total_dose,
            "whole_brain_fraction": None,
            "whole_brain_share": None,
        }
        changed = self.radiotherapy.model_copy(update=changes)
        return self.model_copy(update={"radiotherapy": changed})


@cache
def load_limits() -> Limits:
    """The packaged limits.

    Examples
    --------
    >>> load_limits().radiotherapy.most_days_after_surgery.value
    42.0
    """
    return packaged_limits(Limits, FILE)


def measured(measure: str, dose_gy: NDArray[np.float64], voxel_mm3: float) -> float:
    """The mean, or the least dose in the hottest part of an organ, [Gy].

    Parameters
    ----------
    measure : str
        "mean", "D0.03cc" (a volume in cm3) or "D40%" (a part of the organ).
    dose_gy : ndarray, [Gy], shape (voxel,)
    voxel_mm3 : float, [mm3]

    Examples
    --------
    >>> measured("D40%", np.array([1.0, 2.0, 3.0, 4.0, 5.0]), 8.0)
    4.0
    """
    if measure == "mean":
        return float(dose_gy.mean())
    found = _SIZE.fullmatch(measure)
    if found is None:
        raise InvalidInput(f'"{measure}" is no measure; write "mean", "D0.03cc" or "D40%".')
    size = float(found[1])
    volume = size * 1e3 if found[2] == "cc" else size / 100.0 * len(dose_gy) * voxel_mm3
    return float(dose_to_hottest_volume(dose_gy, np.ones(dose_gy.shape, bool), voxel_mm3, volume))
