"""Trials in words, in a Markdown table and as plain data."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np

from scenarios.trials.cohort import Cohort
from scenarios.trials.frozen import Frozen
from scenarios.trials.outcome import ArmOutcome, median_interval
from scenarios.trials.predict import PredictedTrial
from scenarios.trials.trial_file import Arm, Published, Trial, load_trial, trial_names
from scenarios.trials.verdicts import Verdict, order_of

__all__ = [
    "ENDPOINTS",
    "frozen_data",
    "frozen_text",
    "list_text",
    "markdown_table",
    "median_by_mgmt",
    "trial_data",
    "trial_text",
    "trials_text",
]

DAYS_A_MONTH = 365.25 / 12.0
ENDPOINTS = (
    "Progression: softened T1Gd volume 40 % above its least value since the first fraction (since "
    "day 0 without radiotherapy), from randomisation; 'by scans' is between which days the "
    "trial's calendar would place the median. Survival: for its ratio stands that of the times to "
    "an enhancing tumour of {radius:g} mm radius; no survival time is predicted. Intervals are of "
    "95 %: published ones of the medians, predicted ones of the cohort alone. HIT: the longer arm "
    "is longer, and the ratio lies in the published interval. Research use only."
)


def list_text() -> str:
    """The trials, one line each."""
    lines = []
    for name in trial_names():
        trial = load_trial(name)
        fitted = any(one.use == "fitted" for one in trial.comparison)
        lines.append(
            f"  {name:<16} {trial.title}: {len(trial.arm)} arms, "
            f"{len(trial.comparison)} comparisons{', fitted to' if fitted else ', tested'}"
        )
    return "\n".join(["Trials:", *lines])


def frozen_text(frozen: Frozen) -> list[str]:
    """The frozen values in two lines."""
    alpha, kill = frozen.alpha, frozen.temozolomide_kill
    return [
        f"Frozen on {frozen.trial_title} ({frozen.made}, {frozen.patients} virtual patients, seed "
        f"{frozen.seed}), grade B:",
        f"  alpha {alpha.value:.3g} {alpha.unit} ({alpha.interval[0]:.3g} to "
        f"{alpha.interval[1]:.3g}), temozolomide kill {kill.value:.3g} {kill.unit} "
        f"({kill.interval[0]:.2g} to {kill.interval[1]:.2g})",
    ]


def trial_text(found: PredictedTrial, cohort: Cohort, seed: int) -> list[str]:
    """One trial: its arms, then every comparison in a sentence."""
    trial = found.trial
    lines = [
        f"{trial.title} ({found.name})",
        *_wrapped(f"{trial.about}."),
        *_arms(trial, found.arms, seed),
    ]
    for arm in trial.arm:
        if arm.temozolomide is not None:
            of = [_months(v) for v in median_by_mgmt(found.arms[arm.name], cohort)]
            lines.append(f"  {arm.name}: MGMT methylated {of[0]}, others {of[1]} months")
    for verdict in found.verdicts:
        lines += textwrap.wrap(
            verdict.sentence(), 100, initial_indent="  ", subsequent_indent="    "
        )
        if verdict.note:
            lines += _wrapped(verdict.note, 4)
    return [*lines, *_wrapped(f"Source: {trial.source}. {trial.note}"), ""]


def median_by_mgmt(outcome: ArmOutcome, cohort: Cohort) -> tuple[float, float]:
    """Median progression of methylated tumours and of the others, [day]."""
    times, methylated = outcome.progression, cohort.methylated
    return float(np.median(times[methylated])), float(np.median(times[~methylated]))


def _wrapped(text: str, indent: int = 2) -> list[str]:
    space = " " * indent
    return textwrap.wrap(text, 100, initial_indent=space, subsequent_indent=space)


def _arms(trial: Trial, arms: Any, seed: int) -> list[str]:
    width = max(len(arm.name) for arm in trial.arm)
    head = f"  {'arm':<{width}}  {'progression [months]':<22}{'by scans':<16}published"
    return [head, *(_arm_row(arm, arms[arm.name], width, seed) for arm in trial.arm)]


def _arm_row(arm: Arm, outcome: ArmOutcome, width: int, seed: int) -> str:
    median, low, high = (_months(v) for v in median_interval(outcome.progression, seed=seed))
    first, last = (_months(v) for v in outcome.scanned_median)
    own = f"{median} ({low} to {high})"
    return f"  {arm.name:<{width}}  {own:<22}{f'{first} to {last}':<16}{_published(arm)}"


def _published(arm: Arm) -> str:
    parts = []
    for what, published in (("PFS", arm.published.progression), ("OS", arm.published.survival)):
        if published is not None:
            parts.append(f"{what} {_median(published)}")
    return "; ".join(parts)


def _median(published: Published) -> str:
    text = _months(published.median)
    if published.interval is not None:
        text += f" ({_months(published.interval[0])} to {_months(published.interval[1])})"
    return text


def _months(days: float) -> str:
    return f"{days / DAYS_A_MONTH:.1f}" if math.isfinite(days) else "not reached"


def trials_text(frozen: Frozen, cohort: Cohort, found: Sequence[PredictedTrial], seed: int) -> str:
    """All trials that were asked for, with what the words mean."""
    lines = [*frozen_text(frozen), ""]
    for one in found:
        lines += trial_text(one, cohort, seed)
    tested = [v for one in found for v in one.verdicts if v.use == "tested"]
    if tested:
        lines.append(_count(tested))
    if len(found) > 1:
        lines.append(order_of(tested).sentence())
    lines += list(dict.fromkeys(line for one in found for line in one.evidence))
    lines += textwrap.wrap(ENDPOINTS.format(radius=cohort.file.burden.radius), 100)
    return "\n".join(lines)


def _count(tested: Sequence[Verdict]) -> str:
    claimed = [v for v in tested if v.direction != "not claimed"]
    right = sum(v.direction == "hit" for v in claimed)
    size = sum(v.size == "hit" for v in tested)
    return (
        f"Tested on trials that nothing was fitted to: {right} of {len(claimed)} directions and "
        f"{size} of {len(tested)} sizes as published."
    )


def markdown_table(found: Sequence[PredictedTrial]) -> str:
    """Every comparison as a row of a table in Markdown."""
    lines = [
        "| trial | comparison | endpoint | published ratio | predicted ratio | direction | size |",
        "|-|-|-|-|-|-|-|",
    ]
    for one in found:
        for v in one.verdicts:
            claim = "" if v.claim == "longer" else ", not significant"
            words = ("fitted", "fitted") if v.use == "fitted" else (v.direction, v.size)
            same = " (same trial)" if v.use == "same trial" else ""
            lines.append(
                f"| {v.trial} | {v.arms[0]} over {v.arms[1]} | "
                f"{v.endpoint}{same} | "
                f"{_ratio(v.published)}{claim} | {_ratio(v.predicted)} | {words[0]} | {words[1]} |"
            )
    return "\n".join(lines)


def _ratio(values: tuple[float, float, float]) -> str:
    return f"{values[0]:.2f} ({values[1]:.2f} to {values[2]:.2f})"


def frozen_data(frozen: Frozen) -> dict[str, Any]:
    """The frozen values as JSON holds them."""
    return {
        "trial": frozen.trial,
        "made": frozen.made.isoformat(),
        "patients": frozen.patients,
        "seed": frozen.seed,
        "evidence": "B",
        "correlation": frozen.correlation,
        "parameters": frozen.parameters,
        "parameters_sha256": frozen.parameters_sha256,
        "alpha": frozen.alpha.model_dump(),
        "temozolomide_kill": frozen.temozolomide_kill.model_dump(),
    }


def trial_data(found: PredictedTrial, cohort: Cohort, seed: int) -> dict[str, Any]:
    """One trial as JSON holds it; times are of progression, in days, None if not reached."""
    arms = []
    for arm in found.trial.arm:
        outcome = found.arms[arm.name]
        arms.append(
            {
                "name": arm.name,
                "progression_day": [
                    _finite(v) for v in median_interval(outcome.progression, seed=seed)
                ],
                "methylated_and_others_day": [_finite(v) for v in median_by_mgmt(outcome, cohort)],
                "by_scans_day": [_finite(v) for v in outcome.scanned_median],
                "published": arm.published.model_dump(),
            }
        )
    return {
        "name": found.name,
        "title": found.trial.title,
        "source": found.trial.source,
        "note": found.trial.note,
        "arms": arms,
        "comparisons": [
            {
                "arms": list(v.arms),
                "endpoint": v.endpoint,
                "use": v.use,
                "claim": v.claim,
                "published_ratio": [_finite(x) for x in v.published],
                "predicted_ratio": [_finite(x) for x in v.predicted],
                "direction": v.direction,
                "size": v.size,
                "sentence": v.sentence(),
            }
            for v in found.verdicts
        ],
        "evidence": list(found.evidence),
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
