"""What a study asks of a surrogate: the treatment to vary, and a what-if in sentences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from scenarios.changes import apply_changes
from twin.errors import InvalidInput

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from scenarios.study import Scenario, Study

__all__ = [
    "days_to_show",
    "reference_scenario",
    "report_answers",
    "report_summary",
    "what_if_rows",
    "what_if_text",
]


def reference_scenario(study: Study) -> Scenario:
    """The arm that a surrogate is trained around.

    The first with one course of radiotherapy, no boost, no resection and a drug;
    the first without the drug where there is none.

    Raises
    ------
    InvalidInput
        No arm can be varied.
    """
    plain = [
        arm
        for arm in study.scenarios
        if len(arm.regimen.radiotherapy) == 1
        and arm.regimen.radiotherapy[0].boost_target is None
        and arm.regimen.radiotherapy[0].density_guided_day is None
        and not arm.regimen.resections
        and not arm.regimen.drugs
        and not arm.regimen.hyperthermia
    ]
    for arm in plain:
        if arm.regimen.temozolomide:
            return arm
    if not plain:
        raise InvalidInput(
            "No arm of the study can be varied by a surrogate; add one with a single course of "
            "radiotherapy, no boost, no density-guided target, no resection and no drug but "
            "temozolomide as it is usual."
        )
    return plain[0]


def days_to_show(horizon_day: float) -> list[float]:
    """The days of a what-if's table: those of `twin compare` and the horizon, [day]."""
    return [day for day in (90.0, 180.0, 365.0) if day < horizon_day] + [horizon_day]


def what_if_rows(
    days: Sequence[float],
    soft: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    reference: NDArray[np.float64] | None,
) -> list[dict[str, Any]]:
    """One row a threshold and day, volumes in [ml] with the ends of their interval.

    Ends that are not numbers (a solver's run that is not asymptotic) are None.
    """

    def end(value: float) -> float | None:
        return None if math.isnan(value) else round(float(value) / 1e3, 3)

    rows = []
    for k, threshold in enumerate(("t1gd", "flair")):
        for j, day in enumerate(days):
            row: dict[str, Any] = {
                "threshold": threshold,
                "day": float(day),
                "volume_ml": round(float(soft[k, j]) / 1e3, 3),
                "low_ml": end(low[k, j]),
                "high_ml": end(high[k, j]),
            }
            if reference is not None:
                row["reference_ml"] = round(float(reference[k, j]) / 1e3, 3)
            rows.append(row)
    return rows


def what_if_text(rows: Sequence[Mapping[str, Any]], interval: str) -> str:
    """The rows as a table for people."""
    head = f"  {'visible on':<11}{'day':>6}{'volume':>11}   {interval:<20}"
    has_reference = "reference_ml" in rows[0]
    lines = [head + ("unchanged" if has_reference else "")]
    names = {"t1gd": "T1Gd", "flair": "FLAIR"}
    for row in rows:
        known = row["low_ml"] is not None and row["high_ml"] is not None
        span = f"{row['low_ml']:.1f} to {row['high_ml']:.1f} ml" if known else "not asymptotic"
        seen, volume = names[row["threshold"]], row["volume_ml"]
        line = f"  {seen:<11}{row['day']:>6g}{volume:>8.1f} ml   {span:<20}"
        lines.append(line + (f"{row['reference_ml']:.1f} ml" if has_reference else ""))
    return "\n".join(lines)


def report_summary(model: Any) -> dict[str, Any]:
    """A trained surrogate for the report: what it learnt and how wrong it was, as labelled text.

    Parameters
    ----------
    model : SurrogateSolver
    """
    summary = model.summary()
    record, held_out = summary["record"], summary["held_out"]
    runs = record["runs"]
    errors = []
    for name in ("FLAIR volume", "T1Gd volume", "viable tumour"):
        entry = held_out[name]
        found = entry["error_percent"]
        if found is None:
            continue
        row = {
            "of": name,
            "median": f"{found['median']:.2f} %",
            "95th percentile": f"{found['p95']:.1f} %",
            "worst": f"{found['worst']:.0f} %",
            "covered by the 90 % interval": (
                f"{100 * entry['interval_coverage_of_times']:.0f} % of times"
            ),
        }
        if "dice" in entry:
            row["progression within 7 days"] = f"{entry['progression_within_7_days_percent']:.0f} %"
            row["Dice of the outline"] = f"{entry['dice']['median']:.3f}"
        errors.append(row)
    return {
        "trained on": (
            f"{runs['training']} runs of the finite-element solver on {record['nodes']:,} nodes, "
            f"{runs['calibration']} more for the intervals, {runs['held_out']} held out"
        ),
        "held-out errors, volumes above 1 ml": errors,
        "varied treatment": " ".join(model.reference_text()),
        "ranges": {
            name.replace("_", " "): f"{limits['low']:.4g} to {limits['high']:.4g} {limits['unit']}"
            for name, limits in summary["domain"].items()
        },
        "outside of this": "the finite-element solver answers, and says so",
    }


#: What the report asks of a surrogate, by the grammar of ``--set``.
REPORT_QUESTIONS = (
    ("radiotherapy.fractions=25",),
    ("radiotherapy.fractions=15", "radiotherapy.dose_per_fraction=2.67 Gy"),
    ("radiotherapy.start=42 day",),
    ("temozolomide=off",),
)


def report_answers(model: Any) -> list[dict[str, Any]]:
    """A few what-ifs for the report, each as labelled text with its 90 % interval."""
    days = days_to_show(model.domain.horizon_day)
    answers = []
    for changes in REPORT_QUESTIONS:
        regimen, parameters, sentences = apply_changes(
            model.domain.reference, model.domain.parameters, changes
        )
        if model.domain.refusals(regimen, parameters, days):
            continue
        found = model.answer(regimen, parameters, days)
        row = {"change": " ".join(sentences)}
        flair = zip(days, found.soft[1], found.low[1], found.high[1], strict=True)
        for day, value, low, high in flair:
            row[f"FLAIR, day {day:g}"] = (
                f"{value / 1e3:.0f} ml ({low / 1e3:.0f} to {high / 1e3:.0f})"
            )
        answers.append(row)
    return answers
