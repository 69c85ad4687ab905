"""The last scan left out, forecast, and scored beside forecasts that need no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, stats

from scenarios.calibration.calibrate import calibrate
from scenarios.calibration.case import Case
from scenarios.calibration.forecast import (
    OUTLINES,
    READER_SD_LN,
    Forecast,
    chances_at_voxels,
    forecast,
)
from scenarios.metrics import crps_of_ensemble, dice
from twin.errors import InvalidInput
from twin.follow_up import FollowUp
from twin.grid import Grid
from twin.protocol import Progress
from twin.targets import distance_to, structure_mask

__all__ = ["Evaluation", "evaluate", "evaluation_text", "paired_text"]

Mask = NDArray[np.bool_]
#: Names of the forecasts that are scored; the first is the fit's.
WAYS = ("twin", "nothing changes", "dilated to the twin's volume")
#: Fewest patients for a test of the differences between two ways.
FEWEST = 6


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores of one patient's last scan.

    Parameters
    ----------
    patient : str
    date : str
        Of the scan that was left out.
    scores : mapping of str to mapping
        By outline: each way's Dice, Dice of the change and mean distance, volumes in mL.
    """

    patient: str
    date: str
    scores: Mapping[str, Mapping[str, Any]]


def evaluate(
    case: Case,
    folder: str | Path,
    *,
    resume: bool = False,
    effective: int = 400,
    seed: int = 0,
    threads: int = 1,
    progress: Progress | None = None,
) -> Evaluation:
    """Fit to all scans but the last, forecast that one, and score it.

    Parameters
    ----------
    case : Case
        With two follow-up scans or more.
    folder : path
        The fit is kept in it.

    Raises
    ------
    InvalidInput
        One follow-up scan only.
    """
    if len(case.follow_ups) < 2:
        raise InvalidInput(
            f"{case.path.name} has one follow-up scan; to leave the last one out two are needed."
        )
    report: Progress = progress if progress is not None else lambda part, message: None
    left, last = case.follow_ups[-1], case.follow_ups[-2]
    earlier = replace(case, follow_ups=case.follow_ups[:-1])
    calibrate(
        earlier,
        folder,
        resume=resume,
        effective=effective,
        seed=seed,
        threads=threads,
        progress=lambda part, message: report(0.9 * part, message),
    )
    found = forecast(earlier, folder, left.date, seed=seed, threads=threads)
    report(0.95, "scoring")
    chances = chances_at_voxels(earlier, found)
    grid = case.twin.grid
    scores: dict[str, Any] = {}
    for k, name in enumerate(OUTLINES):
        observed, before = (_mask(one, k) for one in (left, last))
        scores[name] = _scores(
            found, k, chances[k] >= 0.5, observed, before, _volumes(case, k), grid, seed
        )
    report(1.0, "done")
    return Evaluation(case.twin.name, left.date.isoformat(), scores)


def _volumes(case: Case, outline: int) -> list[tuple[float, float]]:
    """Day and volume [mL] of every scan but the last."""
    grid, twin = case.twin.grid, case.twin
    start = structure_mask(twin, "core" if outline == 0 else "whole tumour")
    found = [(0.0, grid.volume_ml(start))]
    for scan in case.follow_ups[:-1]:
        found.append((scan.day, grid.volume_ml(_mask(scan, outline))))
    return found


def _mask(scan: FollowUp, outline: int) -> Mask:
    return scan.core if outline == 0 else scan.whole


def _scores(
    found: Forecast,
    outline: int,
    predicted: Mask,
    observed: Mask,
    before: Mask,
    known: Sequence[tuple[float, float]],
    grid: Grid,
    seed: int,
) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    volume = found.dataset.outlined_volume.values[:, outline] / 1e3
    drawn = volume * np.exp(READER_SD_LN[outline] * rng.normal(size=len(volume)))
    truth = grid.volume_ml(observed)
    low, lower, upper, high = np.quantile(drawn, (0.05, 0.25, 0.75, 0.95))
    ways = {
        "twin": predicted,
        "nothing changes": before,
        "dilated to the twin's volume": _dilated(before, int(predicted.sum()), grid),
    }
    return {
        "observed_ml": truth,
        "forecast_ml": float(np.median(drawn)),
        "interval_50_ml": [float(lower), float(upper)],
        "interval_90_ml": [float(low), float(high)],
        "inside_50": bool(lower <= truth <= upper),
        "inside_90": bool(low <= truth <= high),
        "crps_ml": crps_of_ensemble(drawn, truth),
        "crps_nothing_changes_ml": abs(known[-1][1] - truth),
        "exponential_ml": _exponential(known, float(found.dataset.attrs["day"])),
        "ways": {
            name: {
                "volume_ml": grid.volume_ml(mask),
                "dice": dice(mask, observed),
                "dice_of_change": dice(mask ^ before, observed ^ before),
                "mean_distance_mm": _mean_distance(mask, observed, grid),
            }
            for name, mask in ways.items()
        },
    }


def _exponential(known: Sequence[tuple[float, float]], day: float) -> float:
    """Volume by exponential growth through the last two scans, [mL]; NaN where one is empty."""
    (first, one), (second, two) = known[-2:]
    if one <= 0.0 or two <= 0.0:
        return float("nan")
    return float(two * (two / one) ** ((day - second) / (second - first)))


def _dilated(mask: Mask, voxels: int, grid: Grid) -> Mask:
    """The mask grown or shrunk evenly to so many voxels; itself where it is empty."""
    if not mask.any() or voxels == 0:
        return mask
    # blurred, so that few voxels lie equally far
    distance = ndimage.gaussian_filter(distance_to(mask, grid.spacing_mm), 1.0)
    return np.asarray(distance <= np.partition(distance.ravel(), voxels - 1)[voxels - 1])


def _mean_distance(one: Mask, other: Mask, grid: Grid) -> float:
    """Mean distance between the outlines, both ways, [mm]; NaN where one is empty."""
    if not one.any() or not other.any():
        return float("nan")
    first, second = (distance_to(mask, grid.spacing_mm) for mask in (one, other))
    edge = 0.75 * grid.spacing_mm
    there, back = np.abs(second[np.abs(first) < edge]), np.abs(first[np.abs(second) < edge])
    return float(0.5 * (there.mean() + back.mean()))


def evaluation_text(found: Evaluation) -> str:
    """The scores of one patient as a table."""
    lines = [f"{found.patient}: the scan of {found.date} was left out and forecast."]
    for outline, scores in found.scores.items():
        low, high = scores["interval_90_ml"]
        inside = "inside" if scores["inside_90"] else "OUTSIDE"
        lines += [
            "",
            f"{outline}: observed {scores['observed_ml']:.3g} ml, forecast "
            f"{scores['forecast_ml']:.3g} ml, 90 % between {low:.3g} and {high:.3g} ({inside}); "
            f"exponential growth {scores['exponential_ml']:.3g} ml",
            f"  {'':<30}{'volume':>10}{'Dice':>8}{'of change':>11}{'distance':>11}",
        ]
        for name, way in scores["ways"].items():
            lines.append(
                f"  {name:<30}{way['volume_ml']:>7.3g} ml{way['dice']:>8.3f}"
                f"{way['dice_of_change']:>11.3f}{way['mean_distance_mm']:>8.2f} mm"
            )
    return "\n".join(lines)


def paired_text(all_found: Sequence[Evaluation]) -> str:
    """Of several patients: medians, coverage, and the twin against each other way, paired."""
    lines = [f"{len(all_found)} patients:"]
    for outline in OUTLINES:
        scores = [found.scores[outline] for found in all_found]
        inside = sum(one["inside_90"] for one in scores)
        interval = stats.binomtest(inside, len(scores)).proportion_ci(0.95)
        lines.append(
            f"{outline}: {inside} of {len(scores)} inside the 90 % interval (95 % interval of the "
            f"share {100 * interval.low:.0f} to {100 * interval.high:.0f} %)"
        )
        own = np.array([one["ways"]["twin"]["dice"] for one in scores])
        for name in WAYS[1:]:
            other = np.array([one["ways"][name]["dice"] for one in scores])
            text = f"  Dice {np.median(own):.3f} against {np.median(other):.3f} ({name})"
            if len(scores) < FEWEST:
                text += f"; too few patients for a test ({FEWEST} at least)"
            elif (own == other).all():
                text += "; no difference in any patient"
            else:
                text += f"; paired Wilcoxon p = {stats.wilcoxon(own, other).pvalue:.2g}"
            lines.append(text)
    return "\n".join(lines)
