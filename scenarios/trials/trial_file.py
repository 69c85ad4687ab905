"""Trials by name, from ``data/trials``: arms as in a study, and what was published of them."""

from __future__ import annotations

import difflib
import math
import tomllib
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from scenarios.course_tables import Day, RadiotherapyTable, StudyTable, TemozolomideTable
from scenarios.scans import ScanCalendar
from twin.errors import InvalidInput
from twin.examples import data_file, data_folder
from twin.regimen import Regimen
from twin.storage import sha256_of
from twin.toml_file import check
from twin.units import parse_quantity

__all__ = [
    "Arm",
    "Comparison",
    "Endpoint",
    "Trial",
    "load_trial",
    "numbers_of",
    "time_ratio",
    "trial_names",
]

#: Files of the folder that are no trials.
_OTHERS = ("cohort", "frozen")
#: 97.5 % point of the normal distribution.
Z = 1.959964
#: Standard error of the logarithm of a median of n times, exponentially distributed, times
#: sqrt(n): ``1 / ln 2``, from the variance ``1 / (4 n f^2)`` of a sample median.
MEDIAN_ERROR = 1.0 / math.log(2.0)

Endpoint = Literal["progression", "survival"]


def _days(value: object) -> float:
    return parse_quantity(value, "day", where="", at_least=1.0, at_most=7300.0)


Time = Annotated[float, BeforeValidator(_days), WithJsonSchema({"type": "string"})]


class Published(StudyTable):
    """A median, [day], and its 95 % interval where it was published."""

    median: Time
    interval: tuple[Time, Time] | None = Field(default=None, strict=False)

    def log_error(self, patients: int | None) -> float:
        """Standard error of the logarithm of the median, [1].

        From the interval where there is one; else from the number of patients, as of
        exponentially distributed times without censoring; NaN without either.
        """
        if self.interval is not None:
            return math.log(self.interval[1] / self.interval[0]) / (2.0 * Z)
        return math.nan if patients is None else MEDIAN_ERROR / math.sqrt(patients)


class PublishedArm(StudyTable):
    """What was published of an arm."""

    progression: Published | None = None
    survival: Published | None = None

    def of(self, endpoint: Endpoint) -> Published | None:
        """The median at an endpoint."""
        return self.progression if endpoint == "progression" else self.survival


class Arm(StudyTable):
    """One arm, treated as an arm of a study is."""

    name: str = Field(min_length=1)
    patients: int | None = Field(default=None, ge=2, description="randomised to it")
    radiotherapy: RadiotherapyTable | None = None
    temozolomide: TemozolomideTable | None = None
    published: PublishedArm

    def regimen(self) -> Regimen:
        """The arm's treatment."""
        tables = (self.radiotherapy, self.temozolomide)
        return Regimen(*(table.course() for table in tables if table is not None))


class Comparison(StudyTable):
    """Two arms at one endpoint."""

    arms: tuple[str, str] = Field(strict=False, description="the first is compared with the second")
    endpoint: Endpoint
    published: Literal["longer", "no significant difference"]
    use: Literal["fitted", "same trial", "tested"]
    ratio: float | None = Field(default=None, gt=0.0, description="published, of the times")
    interval: tuple[float, float] | None = Field(default=None, strict=False)
    note: str = ""

    @model_validator(mode="after")
    def _both(self) -> Comparison:
        if (self.ratio is None) != (self.interval is None):
            raise InvalidInput("A published ratio needs its interval; give both or none.")
        return self


class ScansTable(StudyTable):
    """When scans were made."""

    after_radiotherapy: Day
    every: Day


class Trial(StudyTable):
    """``data/trials/NAME.toml``."""

    format: Literal[1]
    title: str
    about: str
    source: str
    note: str = ""
    scans: ScansTable
    arm: list[Arm] = Field(min_length=2)
    comparison: list[Comparison] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> Trial:
        names = [arm.name for arm in self.arm]
        if len(set(names)) != len(names):
            raise InvalidInput("Two arms have one name; give each its own.")
        for one in self.comparison:
            for name in one.arms:
                if name not in names:
                    raise InvalidInput(f"A comparison names the arm {name!r}, which is not there.")
                if self.of(name).published.of(one.endpoint) is None:
                    raise InvalidInput(f"The arm {name!r} has no published {one.endpoint}.")
            if not math.isfinite(time_ratio(self, one)[1]):
                raise InvalidInput(
                    f"Nothing says how certain the medians of {one.arms[0]!r} and {one.arms[1]!r} "
                    "are; give intervals, or the numbers of patients."
                )
        return self

    def of(self, name: str) -> Arm:
        """The arm of this name."""
        return next(arm for arm in self.arm if arm.name == name)

    @property
    def calendar(self) -> ScanCalendar:
        """When its patients are scanned."""
        return ScanCalendar(
            after_radiotherapy_day=self.scans.after_radiotherapy, every_day=self.scans.every
        )

    @property
    def fit_hash(self) -> str:
        """Hash of all that a fit to the trial depends on: treatment and progression of its arms."""
        names = {name for one in self.comparison if one.use == "fitted" for name in one.arms}
        return sha256_of([numbers_of(arm) for arm in self.arm if arm.name in names])


def numbers_of(table: StudyTable) -> dict[str, Any]:
    """What a table states, as JSON holds it, without words that no result depends on."""
    words = {"about", "note", "source", "title"}

    def kept(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: kept(inner) for key, inner in value.items() if key not in words}
        return value

    return dict(kept(table.model_dump(mode="json", exclude_unset=True)))


def time_ratio(trial: Trial, comparison: Comparison) -> tuple[float, float, float]:
    """The published ratio of times with the ends of its 95 % interval, [1].

    Of the medians, errors of their logarithms added as independent, unless a ratio was published.

    Examples
    --------
    >>> stupp = load_trial("stupp")
    >>> [round(value, 2) for value in time_ratio(stupp, stupp.comparison[0])]
    [1.38, 1.11, 1.72]
    """
    if comparison.ratio is not None and comparison.interval is not None:
        return comparison.ratio, *comparison.interval
    found = []
    for name in comparison.arms:
        arm = trial.of(name)
        published = arm.published.of(comparison.endpoint)
        assert published is not None  # noqa: S101 - the trial was checked
        found.append((published.median, published.log_error(arm.patients)))
    ratio = found[0][0] / found[1][0]
    spread = math.exp(Z * math.hypot(found[0][1], found[1][1]))
    return ratio, ratio / spread, ratio * spread


def trial_names() -> tuple[str, ...]:
    """Names of the packaged trials.

    Examples
    --------
    >>> "stupp" in trial_names(), "cohort" in trial_names()
    (True, False)
    """
    files = data_folder().joinpath("trials").iterdir()
    names = (f.name.removesuffix(".toml") for f in files if f.name.endswith(".toml"))
    return tuple(sorted(name for name in names if name not in _OTHERS))


@cache
def load_trial(name: str) -> Trial:
    """A packaged trial.

    Raises
    ------
    InvalidInput
        No such trial (the nearest is suggested), or a file that does not hold together.

    Examples
    --------
    >>> load_trial("stupp").arm[0].regimen().radiotherapy[0].fractions
    30
    """
    names = trial_names()
    if name not in names:
        near = difflib.get_close_matches(str(name).lower(), names, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}."
        raise InvalidInput(f"There is no trial {name!r}; {hint}")
    text = data_file("trials", f"{name}.toml").read_text(encoding="utf-8")
    return check(Trial, tomllib.loads(text), where=f"trials/{name}.toml")
