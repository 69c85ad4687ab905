"""What the held-out runs say about a surrogate."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from solvers.reduced_features import OFFSET_MM3
from twin.response import time_to_progression

__all__ = ["held_out_summary", "volumes"]

#: Volumes below this are too small for a relative error to mean anything, [mm3].
SMALL_MM3 = 1000.0
OUTPUTS = ("T1Gd volume", "FLAIR volume", "viable tumour")


def volumes(logs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Volumes of logarithms with the offset, [mm3], same shape, not negative."""
    return np.maximum(np.exp(logs) - OFFSET_MM3, 0.0)


def held_out_summary(test: dict[str, NDArray]) -> dict[str, Any]:
    """Errors, coverage and days to progression on runs that nothing was learnt from.

    Parameters
    ----------
    test : dict
        times [day], log_truth, log_predicted, log_half_width (run, time, output),
        start_day (run), dice (run, threshold, time), density_error (run).

    Returns
    -------
    dict
        By output: relative errors of volumes above 1 ml (median, 95th percentile,
        worst; all and after treatment began), coverage of the 90 % interval by
        times and by run, time to progression within 7 days.
    """
    truth, predicted = volumes(test["log_truth"]), volumes(test["log_predicted"])
    inside = np.abs(test["log_predicted"] - test["log_truth"]) <= test["log_half_width"]
    after = test["times"][None, :] >= test["start_day"][:, None]
    summary: dict[str, Any] = {"runs": len(truth)}
    for k, name in enumerate(OUTPUTS):
        counts = truth[..., k] > SMALL_MM3
        relative = np.abs(predicted[..., k] - truth[..., k]) / np.maximum(truth[..., k], 1e-9)
        entry: dict[str, Any] = {
            "error_percent": _quantiles(relative[counts]),
            "error_percent_after_start": _quantiles(relative[counts & after]),
            "interval_coverage_of_times": round(float(inside[..., k].mean()), 3),
            "runs_with_nine_tenths_covered": int((inside[..., k].mean(axis=1) >= 0.9).sum()),
            "median_half_width_percent": round(
                100.0 * float(np.median(np.expm1(test["log_half_width"][..., k]))), 2
            ),
        }
        if k < 2:
            days = progression_errors(test, truth[..., k], predicted[..., k])
            entry["progression_within_7_days_percent"] = round(100.0 * float((days <= 7).mean()), 1)
            entry["progression_error_days"] = {
                "median": round(float(np.median(days)), 2),
                "p90": round(float(np.quantile(days, 0.9)), 2),
            }
            entry["dice"] = {
                "median": round(float(np.median(test["dice"][:, k])), 4),
                "p5": round(float(np.quantile(test["dice"][:, k], 0.05)), 4),
            }
        summary[name] = entry
    summary["density_error_mean"] = round(float(np.mean(test["density_error"])), 5)
    return summary


def progression_errors(
    test: dict[str, NDArray], truth: NDArray[np.float64], predicted: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Difference of the days of progression of each run, [day]; infinite if only one has it."""
    errors = []
    for real, guess, start in zip(truth, predicted, test["start_day"], strict=True):
        a = time_to_progression(test["times"], real, start_day=float(start))
        b = time_to_progression(test["times"], guess, start_day=float(start))
        errors.append(0.0 if a == b else abs(a - b))
    return np.array(errors)


def _quantiles(errors: NDArray[np.float64]) -> dict[str, float] | None:
    if not len(errors):
        return None
    return {
        "median": round(100.0 * float(np.median(errors)), 3),
        "p95": round(100.0 * float(np.quantile(errors, 0.95)), 3),
        "worst": round(100.0 * float(errors.max()), 2),
    }
