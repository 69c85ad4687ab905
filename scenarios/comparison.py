"""Comparison of treatment arms: one row an arm, what differs, and the ranking."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from scenarios import ranking
from scenarios.complications import BOTH_SOURCES
from scenarios.evidence import evidence_sentences
from scenarios.extinction import extinction_sentences
from scenarios.lesion_scans import LesionScan, diameters_of_study, disagreements, rule_of
from scenarios.pseudo_progression import (
    Weighed,
    pseudo_progression_sentences,
    weighed_scans,
)
from scenarios.scans import RULE as SCANS_RULE
from scenarios.scans import Criteria, Scan, ScanCalendar, Scans, scans_of_arm
from scenarios.time_measures import RULE as TIMES_RULE
from scenarios.time_measures import ArmTimes, time_measures
from solvers import error_bars
from twin.errors import InvalidInput

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

__all__ = ["REPORT_DAYS", "Comparison", "compare", "full_table"]

#: Days at which volumes are compared [day], where the study reaches them.
REPORT_DAYS = (90.0, 180.0, 365.0)
_MM3_PER_ML = 1000.0
#: Ends of the names of variables, and of the heads of columns that hold them.
_ENDS = (("", ""), ("_error", " error"), ("_mesh_spread", " mesh spread"))
THRESHOLD_NAMES = {"t1gd": "T1Gd", "flair": "FLAIR"}


def threshold_label(threshold: str) -> str:
    """How a threshold is written in tables.

    >>> threshold_label("t1gd")
    'T1Gd'
    """
    return THRESHOLD_NAMES.get(threshold, threshold)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The arms of a study side by side.

    Parameters
    ----------
    case : str
        The case that the table is of.
    horizon_day : float, [day]
        A time to progression beyond it is infinite in the table and printed as "> 540 d".
    table : pandas.DataFrame
        One row an arm, with the arm's name as index and units in the heads.
    scans : mapping of str to Scans
        For every arm what scans would show.
    organs : pandas.DataFrame
        One row an arm, EQD2 [Gy] of every organ at risk, and its NTCP [1] where any arm has one.
    differences : dict of str to dict
        For every arm: compared_with, differs_in.
    warnings : list of str
    rankings : list of Ranking
        Over all cases.
    notes : list of str
        The rules behind the numbers.
    by_diameters : mapping of str to mapping of str to Scans
        By criterion, the study's first, and arm; empty for a case whose densities are not kept.
    times : mapping of str to mapping of str to ArmTimes
        By threshold and arm: days gained, delay of progression, doubling time.
    pseudo_progression : mapping of str to Weighed
        Of every arm that may have it, where the study asks for it.
    """

    case: str
    horizon_day: float
    table: pd.DataFrame
    scans: Mapping[str, Scans[Scan]]
    organs: pd.DataFrame
    differences: dict[str, dict[str, Any]]
    warnings: list[str]
    rankings: list[ranking.Ranking]
    notes: list[str]
    by_diameters: Mapping[Criteria, Mapping[str, Scans[LesionScan]]] = field(default_factory=dict)
    times: Mapping[str, Mapping[str, ArmTimes]] = field(default_factory=dict)
    pseudo_progression: Mapping[str, Weighed] = field(default_factory=dict)

    def __str__(self) -> str:
        from scenarios.comparison_text import as_text

        return as_text(self)

    def as_text(self, width: int = 120) -> str:
        """The comparison as text of `width` columns."""
        from scenarios.comparison_text import as_text

        return as_text(self, width=width)

    def as_dict(self) -> dict[str, Any]:
        """The comparison as plain data that JSON can hold; infinite times as null."""
        return {
            "case": self.case,
            "horizon_day": self.horizon_day,
            "table": _records(self.table),
            "scans": {name: _scans_as_dict(found) for name, found in self.scans.items()},
            "scans_by_diameters": {
                criterion: {name: _scans_as_dict(found) for name, found in arms.items()}
                for criterion, arms in self.by_diameters.items()
            },
            "times": {
                threshold: {name: one.as_dict() for name, one in arms.items()}
                for threshold, arms in self.times.items()
            },
            "pseudo_progression": {
                name: one.as_dict() for name, one in self.pseudo_progression.items()
            },
            "organs": _records(self.organs),
            "differences": self.differences,
            "warnings": self.warnings,
            "rankings": [
                {
                    "endpoint": one.endpoint,
                    "ranks": dict(one.ranks),
                    "tied_with": {arm: list(others) for arm, others in one.tied_with.items()},
                    "better_in": {arm: dict(others) for arm, others in one.better_in.items()},
                    "cases": one.cases,
                }
                for one in self.rankings
            ],
            "notes": self.notes,
        }


def _scans_as_dict(found: Scans) -> dict[str, Any]:
    return {
        "best_response": found.best,
        "progression_between_days": None if found.progression is None else list(found.progression),
        "scans": [asdict(scan) for scan in found.scans],
    }


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    rows = []
    for name, row in table.iterrows():
        values = {
            key: (None if not math.isfinite(value) else float(value)) for key, value in row.items()
        }
        rows.append({"scenario": str(name), **values})
    return rows


def compare(results: xr.Dataset, *, case: str | None = None) -> Comparison:
    """The arms of a study side by side, and their ranking over all cases.

    Parameters
    ----------
    results : xarray.Dataset
        As `Study.run` or `twin.open_results` returns it.
    case : str or None
        The case that the table is of; the first if None.

    Raises
    ------
    InvalidInput
        No such case, or not the results of a study.
    """
    import pandas as pd

    chosen = _chosen_case(results, case)
    one = results.sel(case=chosen)
    names = [str(name) for name in results["scenario"].values]
    rows = [_row(one.sel(scenario=name)) for name in names]
    organs = [_organ_row(results.sel(scenario=name)) for name in names]
    study = json.loads(results.attrs["study"])
    differences = {
        arm["name"]: {"compared_with": arm["compared_with"], "differs_in": arm["differs_in"]}
        for arm in study["scenarios"]
    }
    index = pd.Index(names, name="scenario")
    calendar = ScanCalendar(**study["scans"]) if "scans" in study else ScanCalendar()
    scans = {name: scans_of_arm(one.sel(scenario=name), calendar) for name in names}
    by_diameters = diameters_of_study(results, chosen, calendar)
    weighed = weighed_scans(results, chosen, study, calendar)
    return Comparison(
        case=chosen,
        horizon_day=float(results["time"].values[-1]),
        table=pd.DataFrame(rows, index=index),
        scans=scans,
        organs=pd.DataFrame(organs, index=index),
        differences=differences,
        warnings=list(study.get("warnings", [])),
        rankings=ranking.rank(results),
        notes=[
            "Volumes are softened visible volumes; ± is the "
            + str(results.attrs.get("numerical_error_rule", "numerical error"))
            + ".",
            *_orders(one),
            str(results.attrs.get("progression_rule", "")),
            SCANS_RULE,
            *([rule_of(calendar, study["fields_every_days"])] if by_diameters else []),
            *disagreements(scans, by_diameters),
            *pseudo_progression_sentences(weighed, results),
            TIMES_RULE,
            *extinction_sentences(results, chosen),
            *evidence_sentences(json.loads(results.attrs.get("evidence", "{}"))),
            str(results.attrs.get("organ_caveat", "")),
            *_complication_notes(results),
            ranking.RULE,
            str(results.attrs.get("research_use_only", "")),
        ],
        by_diameters=by_diameters,
        times=time_measures(results, chosen, study, scans),
        pseudo_progression=weighed,
    )


def _complication_notes(results: xr.Dataset) -> list[str]:
    """Of what fit each organ's complication probability is, and what is stated beside it."""
    fits = json.loads(results.attrs.get("complications", "{}"))
    if not fits:
        return []
    return [
        BOTH_SOURCES,
        *(f"NTCP of {organ_label(name, False)}: {fit['sentence']}." for name, fit in fits.items()),
    ]


def _orders(one: xr.Dataset) -> list[str]:
    """Why arms have no error bar, in a sentence; nothing where all have one."""
    if "observed_order" not in one:
        return []
    low, high = error_bars.ORDERS
    found = [
        f"{name!r} ({order:.2g})"
        for name, order in zip(
            map(str, one["scenario"].values), one["observed_order"].values, strict=True
        )
        if not error_bars.is_asymptotic(order)
    ]
    if not found:
        return []
    return [
        f"Not asymptotic: the order observed over the three meshes is outside {low:g} to {high:g} "
        f"for {', '.join(found)}, so that no error bar can be given; beside each "
        "value is how far the coarser meshes are from it at most. A finer mesh may help "
        "(cell_size, fine_margin in patient.toml)."
    ]


def _chosen_case(results: xr.Dataset, case: str | None) -> str:
    if "case" not in results.dims or "scenario" not in results.dims:
        raise InvalidInput(
            "These are not the results of a study (no scenarios, no cases); use 'twin run'."
        )
    cases = [str(name) for name in results["case"].values]
    if case is None:
        return cases[0]
    if case not in cases:
        raise InvalidInput(
            f"There is no case {case!r} in the results; there are {', '.join(cases)}."
        )
    return case


def _report_days(results: xr.Dataset) -> list[float]:
    days = set(np.asarray(results["time"].values, float).tolist())
    found = [day for day in REPORT_DAYS if day in days]
    return found or [float(results["time"].values[-1])]


def _row(arm: xr.Dataset, *, hard: bool = False) -> dict[str, float]:
    """Numbers of one arm and case, units in the names."""
    row: dict[str, float] = {}
    for threshold in map(str, arm["threshold"].values):
        label = threshold_label(threshold)
        here = arm.sel(threshold=threshold)
        for day in _report_days(arm):
            at_day = here.sel(time=day)
            for variable, word in (
                ("tumour_volume_soft", "volume"),
                *((("tumour_volume", "hard volume"),) if hard else ()),
            ):
                for end, what in _ENDS:
                    if f"{variable}{end}" in at_day:
                        row[f"{label} {word} {day:g} d{what} [ml]"] = (
                            float(at_day[f"{variable}{end}"]) / _MM3_PER_ML
                        )
        row[f"{label} nadir [ml]"] = float(here["nadir_volume_soft"]) / _MM3_PER_ML
        row[f"{label} nadir day [d]"] = float(here["nadir_day"])
        for end, what in _ENDS:
            if f"time_to_progression{end}" in here:
                row[f"{label} progression{what} [d]"] = float(here[f"time_to_progression{end}"])
    return row


def organ_label(name: str, stylised: bool) -> str:
    """How an organ is written in tables.

    >>> organ_label("optic_chiasm", True)
    'optic chiasm (stylised)'
    """
    return name.replace("_", " ") + (" (stylised)" if stylised else "")


def _organ_row(arm: xr.Dataset) -> dict[str, float]:
    row: dict[str, float] = {}
    for k, name in enumerate(map(str, arm["organ"].values)):
        label = organ_label(name, bool(arm["organ_stylised"].values[k]))
        row[f"{label} mean [Gy EQD2]"] = float(arm["organ_eqd2_mean"].values[k])
        row[f"{label} D0.03cc [Gy EQD2]"] = float(arm["organ_eqd2_d003cc"].values[k])
        # results of earlier versions have none
        if "organ_ntcp" in arm and math.isfinite(arm["organ_ntcp"].values[k]):
            row[f"{label} NTCP [1]"] = float(arm["organ_ntcp"].values[k])
    return row


def full_table(results: xr.Dataset) -> pd.DataFrame:
    """Every number of the comparison, one row for each scenario and case.

    Both volumes, softened and hard, with their errors, nadir, time to progression
    ("inf" where it is not reached), tumour burden and organs.
    """
    import pandas as pd

    rows = []
    for scenario in map(str, results["scenario"].values):
        for case in map(str, results["case"].values):
            arm = results.sel(scenario=scenario, case=case)
            row: dict[str, Any] = {"scenario": scenario, "case": case, **_row(arm, hard=True)}
            for day in _report_days(arm):
                at_day = arm.sel(time=day)
                for end, what in _ENDS:
                    if f"tumour_burden{end}" in at_day:
                        row[f"burden {day:g} d{what} [cells]"] = float(
                            at_day[f"tumour_burden{end}"]
                        )
            rows.append({**row, **_organ_row(arm)})
    return pd.DataFrame(rows)
