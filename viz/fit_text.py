"""Fits as tables for people and as plain numbers for JSON."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from solvers.fitting.growth_curves import GrowthFit, LawFit
from solvers.fitting.growth_laws import law_name
from solvers.fitting.survival_curves import SurvivalFit
from solvers.fitting.tumour_volumes import TumourVolumes

__all__ = ["growth_text", "law_data", "survival_data", "survival_text"]


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def survival_text(fit: SurvivalFit, dishes: int) -> list[str]:
    """Lines about a fitted survival curve."""
    percent = f"{100 * fit.confidence:g} %"
    lines = [
        f"{fit.name}: {dishes} dishes, {len(fit.plating_efficiency)} experiment(s)",
        f"  alpha                   {fit.alpha.text()} 1/Gy",
        f"  beta                    {fit.beta.text()} 1/Gy2",
        f"  alpha/beta              {fit.alpha_beta.text()} Gy",
        f"  survival after 2 Gy     {fit.surviving_fraction_2gy.text()}",
    ]
    if fit.degrees_of_freedom:
        how = "widened by it" if fit.scale > 1.0 else "of Poisson counts"
        lines.append(
            f"  fit                     deviance {fit.deviance:.1f}, Pearson {fit.pearson:.1f} on "
            f"{fit.degrees_of_freedom} degrees of freedom (P = {fit.fit_probability:.2g})"
        )
        lines.append(
            f"  dispersion              {fit.dispersion:.2f} (1: Poisson); intervals are the "
            f"{percent} profile's, {how}"
        )
    if fit.bend is not None:
        corrected = fit.bend.qaicc_difference
        also = "" if corrected is None else f", {corrected:+.1f} of QAICc (dispersion)"
        lines.append(
            f"  linear above a dose?    {fit.bend.aic_difference:+.1f} of AIC (Poisson){also}: "
            f"{fit.bend.sentence}"
        )
    lines += [
        f"  plating efficiency      {name}: {counted:.3f} counted, {fitted:.3f} fitted"
        for name, (counted, fitted) in fit.plating_efficiency.items()
    ]
    if fit.alpha_beta.high == math.inf:
        lines.append("  note                    alpha/beta has no upper end: beta may be 0")
    elif fit.alpha_beta.low == 0.0:
        lines.append("  note                    alpha/beta has no lower end: alpha may be 0")
    return [*lines, *(f"  note                    {note}" for note in fit.notes)]


def survival_data(fit: SurvivalFit, dishes: int) -> dict[str, Any]:
    """The same as plain numbers; None where infinite or unknown."""
    bend = fit.bend
    return {
        "name": fit.name,
        "dishes": dishes,
        "alpha_per_gy": fit.alpha.as_dict(),
        "beta_per_gy2": fit.beta.as_dict(),
        "alpha_beta_gy": fit.alpha_beta.as_dict(),
        "surviving_fraction_2gy": fit.surviving_fraction_2gy.as_dict(),
        "standard_errors": [_number(one) for one in fit.standard_errors],
        "plating_efficiency": {
            name: {"counted": counted, "fitted": fitted}
            for name, (counted, fitted) in fit.plating_efficiency.items()
        },
        "deviance": fit.deviance,
        "pearson": fit.pearson,
        "degrees_of_freedom": fit.degrees_of_freedom,
        "dispersion": _number(fit.dispersion),
        "fit_probability": _number(fit.fit_probability),
        "linear_above": None
        if bend is None
        else {
            "transition_dose_gy": bend.transition_dose,
            "alpha_per_gy": bend.alpha,
            "beta_per_gy2": bend.beta,
            "aic_difference": bend.aic_difference,
            "qaicc_difference": bend.qaicc_difference,
            "sentence": bend.sentence,
        },
        "notes": list(fit.notes),
    }


def growth_text(fit: GrowthFit, volumes: TumourVolumes) -> list[str]:
    """Lines about the laws compared and the one that fits best."""
    best = fit.best
    lines = [
        f"{volumes.animals} animals, {len(volumes.time)} measurements "
        f"({int(volumes.censored.sum())} at the calipers' limit), from day {volumes.start:g}; "
        f"intervals {100 * fit.confidence:g} %",
        *(f"  {law_name(one.law):<12} AIC {one.aic:9.1f}" for one in fit.laws),
        f"{fit.sentence[0].upper()}{fit.sentence[1:]}.",
        "",
        f"{law_name(best.law)} growth:",
        f"  first volume            {best.first_volume.text()} mm3",
        f"  growth rate there       {best.growth_rate.text()} 1/day",
        f"  doubling time there     {best.doubling_time.text()} day",
    ]
    if best.final_volume is not None:
        largest = float(np.max(volumes.volume))
        beyond = best.final_volume.value > largest
        lines.append(
            f"  growth stops at         {best.final_volume.text()} mm3"
            + (f"; extrapolated, the largest measured is {largest:.3g}" if beyond else "")
        )
    lines += [
        f"  between animals         first volume {100 * best.spread_first_volume:.0f} %, rate "
        f"{best.spread_rate:.3g} 1/day (deviations, integrated over)",
        f"  error of a measurement  {100 * best.error:.0f} %",
        *(f"  note                    {note}" for note in best.notes),
    ]
    if best.kill_rate:
        wide = max(len(name) for name in volumes.groups) + 2
        title = f"delay to {fit.multiple:g} times [day]"
        lines += ["", f"{'group':<{wide}}{'kill rate [1/day]':<32}{title}"]
        lines.append(
            f"{volumes.groups[0]:<{wide}}{'0 (control)':<32}reached after "
            f"{best.control_time.text()}"
        )
        for name, kill in best.kill_rate.items():
            delay = best.growth_delay[name]
            shown = "the control never gets there" if math.isnan(delay.value) else delay.text()
            lines.append(f"{name:<{wide}}{kill.text():<32}{shown}")
    return lines


def law_data(law: LawFit) -> dict[str, Any]:
    """One fitted law as plain numbers; None where infinite or unknown."""

    def plain(one: Any) -> dict[str, float | None] | None:
        if one is None:
            return None
        return {key: _number(getattr(one, key)) for key in ("value", "low", "high")}

    return {
        "law": law.law,
        "aic": law.aic,
        "log_likelihood": law.log_likelihood,
        "parameters": law.parameters,
        "first_volume_mm3": plain(law.first_volume),
        "growth_rate_per_day": plain(law.growth_rate),
        "doubling_time_day": plain(law.doubling_time),
        "slowing_per_day": plain(law.slowing),
        "final_volume_mm3": plain(law.final_volume),
        "kill_rate_per_day": {name: plain(one) for name, one in law.kill_rate.items()},
        "growth_delay_day": {name: plain(one) for name, one in law.growth_delay.items()},
        "control_time_day": plain(law.control_time),
        "spread_first_volume": law.spread_first_volume,
        "spread_rate_per_day": law.spread_rate,
        "error": law.error,
        "notes": list(law.notes),
    }
