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
from scenarios.control_table import control_notes, control_row
from scenarios.evidence import evidence_sentences, marker_notes
from scenarios.isotoxic import isotoxic_sentences
from scenarios.paired_plans import RULE as PLANS_RULE
from scenarios.paired_plans import PlanPair, plan_pairs
from scenarios.response import Response, response_of
from scenarios.scans import RULE as SCANS_RULE
from scenarios.scans import Scan, ScanCalendar, Scans, scans_of_arm
from scenarios.statements import Statement, statements
from scenarios.tumour_control import RULE as CONTROL_RULE
from solvers import error_bars
from twin.errors import InvalidInput
from twin.site import site_from_record

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

__all__ = ["REPORT_DAYS", "Comparison", "compare", "full_table"]

#: Days at which volumes are compared [day], where the study reaches them.
REPORT_DAYS = (90.0, 180.0, 365.0)
_MM3_PER_ML = 1000.0
#: Ends of the names of variables, and of the heads of columns that hold them.
_ENDS = (("", ""), ("_error", " error"), ("_mesh_spread", " mesh spread"))


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
        For every arm what scans would show; empty at other sites than the brain, whose criteria
        they are.
    control : pandas.DataFrame
        One row an arm, probabilities of tumour control [1]; no columns where the model grows.
    organs : pandas.DataFrame
        One row an arm, EQD2 [Gy] of every organ at risk, and its NTCP [1] where any arm has one.
    differences : dict of str to dict
        For every arm: compared_with, differs_in.
    warnings : list of str
    rankings : list of Ranking
        Over all cases.
    notes : list of str
        The rules behind the numbers.
    statements : list of Statement
        What may be said of arms that differ in fraction size or margin alone.
    plans : list of PlanPair
        Arms that differ in their planned dose alone, draw by draw.
    response : Response
        Scans by diameters, times against other arms, pseudo-progression, extinction.
    labels : mapping of str to str
        How thresholds are written at the tumour's site.
    """

    case: str
    horizon_day: float
    table: pd.DataFrame
    scans: Mapping[str, Scans[Scan]]
    control: pd.DataFrame
    organs: pd.DataFrame
    differences: dict[str, dict[str, Any]]
    warnings: list[str]
    rankings: list[ranking.Ranking]
    notes: list[str]
    statements: list[Statement] = field(default_factory=list)
    plans: list[PlanPair] = field(default_factory=list)
    response: Response = field(default_factory=Response)
    labels: Mapping[str, str] = field(default_factory=dict)

    def label(self, threshold: str) -> str:
        """How a threshold is written at the tumour's site."""
        return self.labels.get(threshold, threshold)

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
            **({"tumour_control": _records(self.control)} if len(self.control.columns) else {}),
            **self.response.as_dict(),
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
            "statements": [one.as_dict() for one in self.statements],
            "plans": [one.as_dict() for one in self.plans],
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
    site, grows = site_from_record(results.attrs), "tumour_control" not in results
    index = pd.Index(names, name="scenario")
    calendar = ScanCalendar(**study["scans"]) if "scans" in study else ScanCalendar()
    endpoints = ranking.default_endpoints(results)
    said, plans = statements(results, endpoints), plan_pairs(results, endpoints)
    scans = {}
    if site.is_brain:
        scans = {name: scans_of_arm(one.sel(scenario=name), calendar) for name in names}
    response = response_of(results, chosen, study, calendar, scans)
    return Comparison(
        case=chosen,
        horizon_day=float(results["time"].values[-1]),
        table=pd.DataFrame(rows, index=index),
        scans=scans,
        control=pd.DataFrame(
            [control_row(one, name, differences[name]["compared_with"]) for name in names],
            index=index,
        ),
        organs=pd.DataFrame(organs, index=index),
        differences=differences,
        warnings=list(study.get("warnings", [])),
        rankings=ranking.rank(results),
        statements=said,
        plans=plans,
        notes=[
            *(sentence for one in said for sentence in one.sentences()),
            *(sentence for pair in plans for sentence in pair.sentences()),
            *([PLANS_RULE] if plans else []),
            *isotoxic_sentences(study),
            "Volumes are softened visible volumes; ± is the "
            + str(results.attrs.get("numerical_error_rule", "numerical error"))
            + ".",
            *_orders(one),
            *([str(results.attrs.get("progression_rule", ""))] if grows else [CONTROL_RULE]),
            *control_notes(results, chosen),
            SCANS_RULE if site.is_brain else "",
            *response.notes,
            *evidence_sentences(json.loads(results.attrs.get("evidence", "{}"))),
            *marker_notes(results.attrs),
            str(results.attrs.get("organ_caveat", "")),
            *_complication_notes(results),
            ranking.RULE if grows else "",
            str(results.attrs.get("research_use_only", "")),
        ],
        response=response,
        labels=dict(site.thresholds),
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
    site, grows = site_from_record(arm.attrs), "tumour_control" not in arm
    for threshold in map(str, arm["threshold"].values):
        label = site.threshold(threshold)
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
        if not grows:  # the volume falls to the end, and nothing comes back
            continue
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
        if "organ_eqd2_mean_recovered" in arm:  # some arm is credited recovery between courses
            for short, name in (("mean", "mean"), ("D0.03cc", "d003cc")):
                left = float(arm[f"organ_eqd2_{name}_recovered"].values[k])
                row[f"{label} {short} with recovery [Gy EQD2]"] = left
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
            rows.append({**row, **control_row(arm), **_organ_row(arm)})
    return pd.DataFrame(rows)
