"""Virtual patients: round tumours whose parameters are drawn from the priors of a set."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import ndtr, ndtri
from scipy.stats import qmc

from scenarios.course_tables import Millimetre, StudyTable
from scenarios.trials.trial_file import numbers_of
from solvers.radial import RoundTumour
from twin.calendar import Calendar
from twin.errors import InvalidInput
from twin.examples import data_file
from twin.parameters import LogNormal, ParameterSet, load_parameter_set
from twin.regimen import Regimen
from twin.storage import sha256_of
from twin.toml_file import Date, check, quantity

__all__ = [
    "FEWEST_PATIENTS",
    "FROZEN_NAMES",
    "MOST_PATIENTS",
    "Cohort",
    "CohortFile",
    "draw_cohort",
    "evidence_of_arm",
    "load_cohort_file",
    "parameters_hash",
]

FEWEST_PATIENTS, MOST_PATIENTS = 20, 5000
#: What is fitted to a trial and frozen.
FROZEN_NAMES = ("alpha", "temozolomide_kill")
#: All that a run depends on besides them and what is sampled.
_USED = (
    "diffusivity_white", "proliferation_rate", "alpha_beta", "temozolomide_clearance",
    "temozolomide_half_life", "dead_clearance_half_life", "threshold_t1gd", "threshold_flair",
    "visibility_softness",
)  # fmt: skip
_OF_TREATMENT = ("alpha_beta", "temozolomide_clearance", "temozolomide_half_life")


class _Sourced(StudyTable):
    source: str = Field(pattern="^(doi|calibrated|assumed):")


class VolumeTable(_Sourced):
    """Enhancing volume on day 0, log-normal between two ends."""

    median: quantity("mm3", example="30 mL")  # type: ignore[valid-type]
    sigma_ln: float = Field(gt=0.0, le=3.0)
    low: quantity("mm3", example="1 mL")  # type: ignore[valid-type]
    high: quantity("mm3", example="120 mL")  # type: ignore[valid-type]


class RadiosensitivityTable(_Sourced):
    """How alpha goes with the proliferation rate."""

    exponent_of_rate: float = Field(ge=0.0, le=2.0)


class MgmtTable(_Sourced):
    """Share of methylated tumours, and the kill of the others as a share of theirs."""

    methylated: float = Field(ge=0.0, le=1.0)
    unmethylated_kill: tuple[float, float] = Field(strict=False)


class BurdenTable(_Sourced):
    """The volume that stands for the end, as the radius of its sphere."""

    radius: Millimetre


class BodyTable(_Sourced):
    """Body surface."""

    surface: quantity("m2", example="1.8 m2")  # type: ignore[valid-type]


class CohortFile(StudyTable):
    """``data/trials/cohort.toml``."""

    format: Literal[1]
    title: str
    parameters: str
    sampled: list[str]
    first_day: Date
    note: str
    volume: VolumeTable
    radiosensitivity: RadiosensitivityTable
    mgmt: MgmtTable
    burden: BurdenTable
    body: BodyTable

    @property
    def enough_mm3(self) -> float:
        """The volume that stands for the end, [mm3]."""
        return 4.0 / 3.0 * math.pi * self.burden.radius**3

    @property
    def content_hash(self) -> str:
        """Hash of its numbers."""
        return sha256_of(numbers_of(self))


@cache
def load_cohort_file() -> CohortFile:
    """The packaged cohort's file, checked."""
    text = data_file("trials", "cohort.toml").read_text(encoding="utf-8")
    return check(CohortFile, tomllib.loads(text), where="trials/cohort.toml")


@dataclass(frozen=True, slots=True, eq=False)
class Cohort:
    """Virtual patients; every arm of every trial treats the same ones.

    Parameters
    ----------
    base : ParameterSet
        With the values of alpha and temozolomide_kill that hold for a typical patient.
    file : CohortFile
    outline_mm : ndarray, [mm], shape (patient,)
    values : mapping of str to ndarray, shape (patient,)
        Sampled parameters that are values of their own.
    factors : mapping of str to ndarray, [1], shape (patient,)
        For alpha and temozolomide_kill: by how much a patient's differs from the typical one's.
    methylated : ndarray of bool, shape (patient,)
    """

    base: ParameterSet
    file: CohortFile
    outline_mm: NDArray[np.float64]
    values: Mapping[str, NDArray[np.float64]]
    factors: Mapping[str, NDArray[np.float64]]
    methylated: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.outline_mm)

    @property
    def calendar(self) -> Calendar:
        """Day 0 is a Monday."""
        return Calendar(self.file.first_day)

    def tumour(self, number: int, **typical: float) -> RoundTumour:
        """One patient's tumour, with other typical values of alpha or temozolomide_kill.

        What a draw puts outside the range of its parameter is held at the range's end.
        """
        own = {name: float(drawn[number]) for name, drawn in self.values.items()}
        for name, factor in self.factors.items():
            middle = typical.get(name, self.base.value(name))
            own[name] = middle * float(factor[number])
        held = {
            name: min(max(value, self.base[name].low), self.base[name].high)
            for name, value in own.items()
        }
        return RoundTumour(
            outline_mm=float(self.outline_mm[number]),
            parameters=self.base.replace(**held),
            body_surface_m2=self.file.body.surface,
        )

    def with_base(self, base: ParameterSet) -> Cohort:
        """The same patients about other typical values."""
        return replace(self, base=base)


def evidence_of_arm(base: ParameterSet, regimen: Regimen) -> dict[str, str]:
    """Grade of every parameter that an arm of a cohort depends on, by its name."""
    names = [name for name in _USED if name not in _OF_TREATMENT]
    if regimen.radiotherapy:
        names += ["alpha", "alpha_beta"]
    if regimen.drug_names:
        names += ["temozolomide_kill", "temozolomide_clearance", "temozolomide_half_life"]
    return {name: base[name].evidence for name in names}


def parameters_hash(base: ParameterSet) -> str:
    """Hash of the values and priors that a cohort uses, without the two that are fitted."""
    numbers = {name: {k: v for k, v in base[name].as_dict().items() if k in ("value", "prior")}
               for name in _USED}  # fmt: skip
    spreads = {name: _prior(base, name).sigma_ln for name in FROZEN_NAMES}
    return sha256_of(numbers, spreads)


def _prior(base: ParameterSet, name: str) -> LogNormal:
    prior = base[name].prior
    if not isinstance(prior, LogNormal):
        raise InvalidInput(
            f"The cohort samples {name}, which has no log-normal prior in {base.name!r}; add one."
        )
    return prior


def draw_cohort(
    patients: int, *, seed: int, base: ParameterSet | None = None, file: CohortFile | None = None
) -> Cohort:
    """So many virtual patients, drawn by a Latin hypercube.

    Parameters
    ----------
    patients : int
        20 to 5000.
    seed : int
    base : ParameterSet or None
        The set that the file names if None.
    file : CohortFile or None
        The packaged one if None.

    Raises
    ------
    InvalidInput
        Too few or too many patients, or a sampled parameter without a log-normal prior.

    Examples
    --------
    >>> cohort = draw_cohort(40, seed=1)
    >>> len(cohort), int(cohort.methylated.sum())
    (40, 18)
    """
    if not FEWEST_PATIENTS <= patients <= MOST_PATIENTS:
        raise InvalidInput(
            f"A cohort of {patients} patients; give {FEWEST_PATIENTS} to {MOST_PATIENTS}: a median "
            "of fewer says nothing."
        )
    file = load_cohort_file() if file is None else file
    base = load_parameter_set(file.parameters) if base is None else base
    count = len(file.sampled) + 3
    place = qmc.LatinHypercube(count, seed=np.random.default_rng(seed)).random(patients)
    drawn = {
        name: np.exp(_prior(base, name).sigma_ln * ndtri(place[:, k]))
        for k, name in enumerate(file.sampled)
    }
    size, status, share = place[:, -3:].T
    methylated = status < file.mgmt.methylated
    low, high = file.mgmt.unmethylated_kill
    rate = drawn["proliferation_rate"]
    factors = {
        "alpha": drawn["alpha"] * rate**file.radiosensitivity.exponent_of_rate,
        "temozolomide_kill": drawn["temozolomide_kill"]
        * np.where(methylated, 1.0, low + (high - low) * share),
    }
    values = {
        name: _prior(base, name).median * factor
        for name, factor in drawn.items()
        if name not in factors
    }
    return Cohort(base, file, _outlines(size, file.volume), values, factors, methylated)


def _outlines(place: NDArray[np.float64], table: VolumeTable) -> NDArray[np.float64]:
    """Radii of spheres of log-normal volumes between the ends, [mm], shape of `place`."""
    low, high = (ndtr(math.log(end / table.median) / table.sigma_ln) for end in
                 (table.low, table.high))  # fmt: skip
    volume = table.median * np.exp(table.sigma_ln * ndtri(low + (high - low) * place))
    return np.cbrt(3.0 * volume / (4.0 * np.pi))
