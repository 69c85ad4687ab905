"""What scans on a calendar would show of an arm: RANO 2.0 categories by volume, imaging only.

A response is judged against the first scan after radiotherapy, a progression against the
least scan since, as RANO 2.0 has it (Wen et al. 2023, J Clin Oncol 41:5187, doi
10.1200/JCO.23.01059): responses are confirmed four weeks later, progression within twelve
weeks of radiotherapy only where a later scan still shows it (how much further it must have
grown is not asked here [unverified]). What happens between two scans is known to lie between
them. Steroids and the clinical state are not known here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Literal, Protocol, TypeVar, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from twin.errors import InvalidInput
from twin.response import MEASURABLE_MM3, PROGRESSION_RISE
from twin.response_categories import Category, rano

if TYPE_CHECKING:
    import xarray as xr

__all__ = [
    "RULE",
    "JudgedScan",
    "Scan",
    "ScanCalendar",
    "Scans",
    "confirmed_words",
    "last_fraction_day",
    "read_scans",
    "scans_of_arm",
]

#: assumed: what is left of less than a sphere of 5 mm nobody sees; then the response is complete.
INVISIBLE_MM3 = math.pi / 6.0 * 5.0**3
_BETTER: tuple[Category, ...] = ("CR", "PR", "MR", "SD")
Criteria = Literal["rano", "recist"]

RULE = (
    "Scans: RANO 2.0 by T1Gd volume, imaging only (steroids and clinical state count as well): "
    "against the first scan after radiotherapy and the least one since; 40 % above it and 0.52 ml "
    "is progression (PD), 65 % below the baseline a partial response (PR), less than a sphere of 5 "
    "mm a complete one (CR), both when confirmed four weeks later; progression within 12 weeks of "
    "radiotherapy counts when a later scan still shows it ('PD?' until then). A date lies between "
    "two scans."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanCalendar:
    """When scans are made, and how long what they show has to last.

    Parameters
    ----------
    after_radiotherapy_day : float, [day]
        From the last fraction to the baseline scan.
    every_day : float, [day]
        Between scans after the baseline.
    confirmed_after_day : float, [day]
        A response seen again so much later is confirmed.
    protected_day : float, [day]
        Progression so soon after radiotherapy has to be confirmed.
    slice_mm : float, [mm]
        Thickness of the axial slices that diameters are measured on.
    criteria : {"rano", "recist"}
        Which criteria by diameters the study is judged by; the others are shown beside them.
    pseudo_progression : bool
        Also say what scans would read with pseudo-progression after chemoradiation.
    """

    after_radiotherapy_day: float = 28.0
    every_day: float = 56.0
    confirmed_after_day: float = 28.0
    protected_day: float = 84.0
    slice_mm: float = 5.0
    criteria: Criteria = "rano"
    pseudo_progression: bool = False

    def __post_init__(self) -> None:
        for name, least in (
            ("after_radiotherapy_day", 0.0),
            ("every_day", 7.0),
            ("confirmed_after_day", 0.0),
            ("protected_day", 0.0),
        ):
            value = getattr(self, name)
            if not least <= value <= 730.0:
                what = name.removesuffix("_day").replace("_", " ")
                raise InvalidInput(
                    f"Scans, {what}, is {value:g} days; it must lie between {least:g} and 730."
                )
        if not 0.5 <= self.slice_mm <= 10.0:
            raise InvalidInput(
                f"Scans, slice, is {self.slice_mm:g} mm; it must lie between 0.5 and 10 mm."
            )
        if self.criteria not in get_args(Criteria):
            raise InvalidInput(
                f"Scans, criteria, is {self.criteria!r}; it may be "
                f"{' or '.join(map(repr, get_args(Criteria)))}."
            )

    def days(self, last_fraction: float | None, horizon_day: float) -> NDArray[np.float64]:
        """Days of the scans from the baseline on; the baseline is day 0 without radiotherapy.

        Examples
        --------
        >>> ScanCalendar().days(68.0, 300.0).tolist()
        [96.0, 152.0, 208.0, 264.0]
        """
        first = 0.0 if last_fraction is None else last_fraction + self.after_radiotherapy_day
        return np.arange(first, horizon_day + 1e-9, self.every_day)


@dataclass(frozen=True, slots=True)
class Scan:
    """One scan.

    Parameters
    ----------
    day : float, [day]
    volume_mm3 : float, [mm3]
    category : str
        "baseline", a category of RANO, or "PD?": not confirmed yet.
    confirmed : bool
        Responses and progressions that a later scan confirms, or that need none.
    """

    day: float
    volume_mm3: float
    category: str
    confirmed: bool


class JudgedScan(Protocol):
    """A scan with its day, category and whether that is confirmed, whatever was measured on it."""

    @property
    def day(self) -> float:
        """Day of the scan, [day]."""

    @property
    def category(self) -> str:
        """As `Scan.category`."""

    @property
    def confirmed(self) -> bool:
        """As `Scan.confirmed`."""


_Judged = TypeVar("_Judged", bound=JudgedScan)


@dataclass(frozen=True, slots=True)
class Scans(Generic[_Judged]):
    """All scans of an arm, up to its progression and beyond.

    Parameters
    ----------
    scans : tuple of Scan, or of another judged scan
        In time order; empty where the horizon ends before the baseline.
    """

    scans: tuple[_Judged, ...]

    @property
    def best(self) -> str:
        """Best response before progression: confirmed, else stable disease; "PD" if it came first.

        "not assessed" where there is no scan after the baseline.
        """
        before = []
        for scan in self.scans[1:]:
            if scan.category == "PD":
                break
            if scan.category in _BETTER:
                before.append(scan.category if scan.confirmed else "SD")
        if before:
            return min(before, key=lambda one: _BETTER.index(one))  # type: ignore[arg-type]
        return "PD" if any(scan.category == "PD" for scan in self.scans) else "not assessed"

    @property
    def progression(self) -> tuple[float, float] | None:
        """Days between which progression came: the scan before, and that which shows it."""
        for before, scan in zip(self.scans, self.scans[1:], strict=False):
            if scan.category == "PD":
                return before.day, scan.day
        return None


def read_scans(
    days: ArrayLike,
    volumes_mm3: ArrayLike,
    *,
    calendar: ScanCalendar,
    last_fraction: float | None,
) -> Scans[Scan]:
    """Category of each scan, the first being the baseline.

    Parameters
    ----------
    days : array_like, [day], shape (scan,)
    volumes_mm3 : array_like, [mm3], shape (scan,)
        Of the tumour that enhances.
    calendar : ScanCalendar
    last_fraction : float or None, [day]
        Of radiotherapy.

    Examples
    --------
    >>> days, ml = [96, 152, 208, 264], np.array([10.0, 3.0, 3.0, 4.5])
    >>> found = read_scans(days, 1e3 * ml, calendar=ScanCalendar(), last_fraction=68.0)
    >>> [scan.category for scan in found.scans], found.best, found.progression
    (['baseline', 'PR', 'PR', 'PD'], 'PR', (208.0, 264.0))
    """
    at, volume = np.asarray(days, np.float64), np.asarray(volumes_mm3, np.float64)
    if at.shape != volume.shape or at.ndim != 1 or not (np.diff(at) > 0.0).all():
        raise InvalidInput("Scans need a volume each, in time order.")
    if not ((volume >= 0.0) & (volume < np.inf)).all():
        raise InvalidInput("A scan's volume is negative or not finite.")
    raw = [_category(volume[: k + 1]) for k in range(len(at))]
    words = confirmed_words(at, raw, calendar=calendar, last_fraction=last_fraction)
    return Scans(
        tuple(
            Scan(float(day), float(size), word, sure)
            for day, size, (word, sure) in zip(at, volume, words, strict=True)
        )
    )


def confirmed_words(
    days: NDArray[np.float64],
    categories: Sequence[Category],
    *,
    calendar: ScanCalendar,
    last_fraction: float | None,
) -> list[tuple[str, bool]]:
    """What each scan is called, and whether that is confirmed; the first is the baseline.

    A response is confirmed by the first scan `confirmed_after_day` later that is as good.
    Progression within `protected_day` after the last fraction is confirmed by the next such scan
    that shows it too, and is called "PD?" where none does. Any other category needs nothing.
    """
    found = []
    for k, category in enumerate(categories):
        later = [
            j
            for j in range(k + 1, len(days))
            if days[j] >= days[k] + calendar.confirmed_after_day - 1e-9
        ]
        word: str = "baseline" if k == 0 else category
        confirmed = True
        if k > 0 and category in ("CR", "PR"):
            confirmed = bool(later) and _as_good(categories[later[0]], category)
        elif k > 0 and category == "PD" and last_fraction is not None:
            soon = days[k] <= last_fraction + calendar.protected_day
            confirmed = not soon or (bool(later) and categories[later[0]] == "PD")
            word = "PD" if confirmed else "PD?"
        found.append((word, confirmed))
    return found


def _category(volumes: NDArray[np.float64]) -> Category:
    """Category of the last volume by the first and by the least before it."""
    baseline, current = float(volumes[0]), float(volumes[-1])
    least = float(volumes[:-1].min()) if len(volumes) > 1 else baseline
    seen = current if current >= INVISIBLE_MM3 else 0.0
    if baseline < MEASURABLE_MM3:  # nothing to respond; what grows to be measured is progression
        grown = current >= MEASURABLE_MM3 and current >= (1.0 + PROGRESSION_RISE) * least
        return "PD" if grown else "SD"
    found = rano(baseline, least, seen, mode="volume")
    return "SD" if found == "PD" and current < MEASURABLE_MM3 else found


def _as_good(later: Category, category: Category) -> bool:
    return later in _BETTER and _BETTER.index(later) <= _BETTER.index(category)


def scans_of_arm(arm: xr.Dataset, calendar: ScanCalendar | None = None) -> Scans[Scan]:
    """The scans of one arm and case of a study's results.

    Parameters
    ----------
    arm : xarray.Dataset
        Results at one scenario and one case.
    calendar : ScanCalendar, optional
    """
    calendar = ScanCalendar() if calendar is None else calendar
    last = last_fraction_day(arm)
    times = np.asarray(arm["time"].values, float)
    days = calendar.days(last, float(times[-1]))
    curve = arm["tumour_volume_soft"].sel(threshold="t1gd").values
    return read_scans(days, np.interp(days, times, curve), calendar=calendar, last_fraction=last)


def last_fraction_day(arm: xr.Dataset) -> float | None:
    """Day of an arm's last fraction, [day]; None without radiotherapy."""
    given = np.asarray(arm["fraction_day"].values, float)
    given = given[np.isfinite(given)]
    return float(given.max()) if len(given) else None
