"""What scans would show of an arm by diameters: RANO 2.0 and RECIST 1.1, imaging only.

Beside the categories by volume (`scenarios.scans`), on the same calendar and with the same
confirmation. Sizes are those of lesions on axial slices (`scenarios.lesion_sizes`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from scenarios.scans import Criteria, ScanCalendar, Scans, confirmed_words, last_fraction_day
from twin.errors import InvalidInput
from twin.response_categories import Category, rano, recist

if TYPE_CHECKING:
    import xarray as xr

__all__ = [
    "CRITERIA",
    "Criterion",
    "LesionScan",
    "diameters_of_study",
    "disagreements",
    "lesion_scans_of_arm",
    "read_lesion_scans",
    "rule_of",
]

#: Smallest measurable diameter on slices of 5 mm or less, twice the thickness on thicker ones [mm]
#: (RANO 2010 and 2.0: both diameters, on two slices or more; RECIST 1.1: the longest one).
MEASURABLE_MM = 10.0
_THIN_MM = 5.0


@dataclass(frozen=True, slots=True)
class Criterion:
    """One set of criteria by diameters.

    Parameters
    ----------
    name : {"rano", "recist"}
    label : str
    size : str
        The result variable that is compared.
    unit : str
    protects : bool
        Whether progression soon after radiotherapy has to be confirmed (RANO alone).
    judge : callable
        Category of baseline, least and current size.
    """

    name: Criteria
    label: str
    size: str
    unit: str
    protects: bool
    judge: Callable[[float, float, float], Category]


def _by_products(baseline: float, least: float, current: float) -> Category:
    return rano(baseline, least, current, mode="2d")


CRITERIA: Mapping[Criteria, Criterion] = {
    "rano": Criterion(
        "rano", "RANO 2.0 by diameters", "lesion_product_sum", "mm2", True, _by_products
    ),
    "recist": Criterion(
        "recist", "RECIST 1.1", "lesion_diameter_sum", "mm", False, recist
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class LesionScan:
    """One scan by diameters.

    Parameters
    ----------
    day : float, [day]
    size : float, [mm2] or [mm]
        Sum of products of diameters (RANO), or of longest diameters (RECIST).
    unit : {"mm2", "mm"}
    longest_mm, perpendicular_mm : float, [mm]
        Of the largest lesion, on its largest slice.
    category : str
        "baseline", a category, or "PD?": not confirmed yet.
    confirmed : bool
    """

    day: float
    size: float
    unit: str
    longest_mm: float
    perpendicular_mm: float
    category: str
    confirmed: bool


def smallest_measurable_mm(slice_mm: float) -> float:
    """Smallest measurable diameter on slices of a thickness, [mm].

    >>> smallest_measurable_mm(5.0), smallest_measurable_mm(8.0)
    (10.0, 16.0)
    """
    return MEASURABLE_MM if slice_mm <= _THIN_MM else 2.0 * slice_mm


def read_lesion_scans(
    days: ArrayLike,
    sizes: ArrayLike,
    measurable: Sequence[bool],
    *,
    criterion: Criterion,
    calendar: ScanCalendar,
    last_fraction: float | None,
    diameters_mm: ArrayLike | None = None,
) -> Scans[LesionScan]:
    """Category of each scan by diameters, the first being the baseline.

    Parameters
    ----------
    days : array_like, [day], shape (scan,)
    sizes : array_like, [mm2] or [mm], shape (scan,)
        As the criterion sums them; 0 where no lesion is seen.
    measurable : sequence of bool, shape (scan,)
        Whether a lesion is large enough to be measured.
    criterion : Criterion
    calendar : ScanCalendar
    last_fraction : float or None, [day]
    diameters_mm : array_like or None, [mm], shape (scan, 2)
        Of the largest lesion, to be shown.

    Examples
    --------
    >>> found = read_lesion_scans(
    ...     [96, 152, 208, 264], [40.0, 27.0, 26.0, 33.0], [True] * 4,
    ...     criterion=CRITERIA["recist"], calendar=ScanCalendar(), last_fraction=68.0)
    >>> [scan.category for scan in found.scans], found.best, found.progression
    (['baseline', 'PR', 'PR', 'PD'], 'PR', (208.0, 264.0))
    """
    at, size = np.asarray(days, np.float64), np.asarray(sizes, np.float64)
    if (
        at.ndim != 1
        or not at.shape == size.shape == (len(measurable),)
        or not (np.diff(at) > 0).all()
    ):
        raise InvalidInput("Scans need a size each, in time order.")
    if not ((size >= 0.0) & (size < np.inf)).all():
        raise InvalidInput("A size on a scan is negative or not finite.")
    if diameters_mm is None:
        diameters_mm = np.full((len(at), 2), np.nan)
    shown = np.asarray(diameters_mm, np.float64).reshape(-1, 2)
    raw = [
        _category(size[: k + 1].tolist(), measurable[: k + 1], criterion.judge)
        for k in range(len(at))
    ]
    if not criterion.protects:
        calendar = replace(calendar, protected_day=0.0)
    words = confirmed_words(at, raw, calendar=calendar, last_fraction=last_fraction)
    return Scans(
        tuple(
            LesionScan(
                float(day), float(one), criterion.unit, float(two[0]), float(two[1]), word, sure
            )
            for day, one, two, (word, sure) in zip(at, size, shown, words, strict=True)
        )
    )


def _category(
    sizes: list[float], measurable: Sequence[bool], judge: Callable[[float, float, float], Category]
) -> Category:
    """Category of the last size; nothing measurable at the baseline can respond, but may grow."""
    baseline, current = sizes[0], sizes[-1]
    least = min(sizes[:-1], default=baseline)
    if not measurable[0]:
        grown = measurable[-1] and (least == 0.0 or judge(least, least, current) == "PD")
        return "PD" if grown else "SD"
    found = (
        judge(baseline, least, current) if least > 0.0 else _after_nothing(baseline, current, judge)
    )
    return "SD" if found == "PD" and not measurable[-1] else found


def _after_nothing(
    baseline: float, current: float, judge: Callable[[float, float, float], Category]
) -> Category:
    """Category after a scan that showed nothing: whatever is seen again has grown."""
    return "PD" if current > 0.0 else judge(baseline, baseline, current)


def lesion_scans_of_arm(
    arm: xr.Dataset, calendar: ScanCalendar, criterion: Criterion
) -> Scans[LesionScan]:
    """Scans by diameters of one arm of a study's results; none where it was not measured.

    Parameters
    ----------
    arm : xarray.Dataset
        Results at one scenario.
    calendar : ScanCalendar
    criterion : Criterion
    """
    if criterion.size not in arm:
        return Scans(())
    day, size = (np.asarray(arm[name].values, float) for name in ("scan_day", criterion.size))
    seen = np.isfinite(size)
    long, across, longest, slices = (
        np.asarray(arm[name].values, float)[seen]
        for name in (
            "lesion_longest", "lesion_perpendicular", "lesion_longest_diameter", "lesion_slices"
        )
    )  # fmt: skip
    least = smallest_measurable_mm(calendar.slice_mm)
    measurable = (
        longest >= least if criterion.name == "recist" else (across >= least) & (slices >= 2)
    )
    return read_lesion_scans(
        day[seen], size[seen], measurable.tolist(),
        criterion=criterion, calendar=calendar, last_fraction=last_fraction_day(arm),
        diameters_mm=np.stack([long, across], axis=1),
    )  # fmt: skip


def diameters_of_study(
    results: xr.Dataset, case: str, calendar: ScanCalendar, *, brain: bool = True
) -> dict[Criteria, dict[str, Scans[LesionScan]]]:
    """Scans by diameters of all arms, by criterion, that of the study first.

    Empty for another case than the one whose densities are kept, and for results of earlier
    versions, which have no diameters. RANO is of tumours of the brain; others have RECIST alone.
    """
    if "lesion_product_sum" not in results or case != results.attrs.get("fields_case"):
        return {}
    order = sorted(CRITERIA, key=lambda name: name != calendar.criteria)
    if not brain:
        order = ["recist"]
    arms = [str(name) for name in results["scenario"].values]
    return {
        name: {
            arm: lesion_scans_of_arm(results.sel(scenario=arm), calendar, CRITERIA[name])
            for arm in arms
        }
        for name in order
    }


_RULES: Mapping[Criteria, str] = {
    "rano": (
        "RANO 2.0: the sum of products of the three largest lesions, PD +25 %, PR -50 %, "
        "measurable from {least:g} by {least:g} mm on two slices. "
    ),
    "recist": (
        "RECIST 1.1: the sum of the longest diameters of two lesions, PD +20 % and 5 mm, PR -30 %, "
        "measurable from {least:g} mm, without protected weeks after radiotherapy. "
    ),
}


def rule_of(
    calendar: ScanCalendar, fields_every_day: float, criteria: Sequence[Criteria], label: str
) -> str:
    """How diameters are measured and judged, in words.

    Parameters
    ----------
    calendar : ScanCalendar
    fields_every_day : float, [day]
    criteria : sequence of {"rano", "recist"}
    label : str
        The threshold's name.
    """
    least = smallest_measurable_mm(calendar.slice_mm)
    return (
        f"Diameters: on axial slices {calendar.slice_mm:g} mm thick (the mean over the thickness), "
        f"the longest line within what is above the {label} threshold, and the longest at right "
        "angles to it; resection cavities, fluid and the necrosis of day 0 are left out. Only "
        "the first case, whose densities are kept, is measured, on the "
        f"days of kept densities (every {fields_every_day:g} days), linearly between them. "
        + "".join(_RULES[name].format(least=least) for name in criteria)
        + "Lesions under 5 mm are not seen; a new one adds to the sum. Imaging only."
    )


def disagreements(
    by_volume: Mapping[str, Scans], by_diameters: Mapping[Criteria, Mapping[str, Scans]]
) -> list[str]:
    """Where the criteria do not say the same of an arm, in a sentence each."""
    found = []
    for arm, volume in by_volume.items():
        said = {"RANO 2.0 by volume": _said(volume)}
        for name, arms in by_diameters.items():
            if arm in arms and arms[arm].scans:
                said[CRITERIA[name].label] = _said(arms[arm])
        if len(set(said.values())) > 1:
            each = "; ".join(f"{label} says {words}" for label, words in said.items())
            found.append(f"Criteria disagree on {arm!r}: {each}.")
    return found


def _said(scans: Scans) -> str:
    between = scans.progression
    when = (
        ""
        if between is None
        else f", progression between day {between[0]:.0f} and {between[1]:.0f}"
    )
    return f"{scans.best}{when}"
