"""The sections of the report about the study, its results and how they came about."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from scenarios.comparison_text import days_text, error_head, volume_heads, with_error
from scenarios.complications import percent
from twin.site import BRAIN, Site
from viz.html import Raw, data_table, items, paragraph, section, table, text
from viz.palette import scenario_styles
from viz.response_sections import criteria_table, times_table
from viz.subject import Subject

if TYPE_CHECKING:
    import pandas as pd

    from scenarios.comparison import Comparison

__all__ = [
    "in_short",
    "limits_section",
    "organs_section",
    "parameters_section",
    "question_section",
    "ranking_section",
    "reproduce_section",
    "results_section",
    "scenarios_section",
]

LIMITS = (
    "The model has growth, spread, radiation, drugs and surgery, and nothing else: no mass "
    "effect, no oedema of its own, no necrosis that forms, no blood vessels, no immune response, "
    "no steroids, no resistance that is acquired.",
    "A dose is geometric where no treatment plan's is named: a smooth fall outside the planning "
    "volume, without beams, tissue densities or machine. Its organ doses are lower bounds, and no "
    "complication probability may be drawn from them.",
    "Parameters that were not fitted to this patient are population values; the cases show some "
    "of what that leaves open, not all of it.",
    "The error bars are of the numerical method alone. They say nothing about whether the model "
    "is right.",
    "Visible outlines are thresholds of one density; scans see other things too.",
)
GROWTH = "Growth is logistic, spread is diffusion that differs by tissue, each fraction kills "
STILL = "Nothing grows or spreads, as its rates have no source; each fraction kills "
#: Instead of the first, where the model does not grow.
STILL_LIMIT = (
    "The model kills and clears, and nothing else: no growth and no spread, no hypoxia, no immune "
    "response, no resistance. Volumes over time are those of a tumour that does not grow again; "
    "whether it is controlled is told as a probability."
)


def _grows(subject: Subject) -> bool:
    return "tumour_control" not in subject.results


def in_short(subject: Subject, comparison: Comparison) -> Raw:
    """The best arms for each endpoint, in sentences."""
    sentences = []
    for ranking in comparison.rankings:
        first = [name for name, rank in ranking.ranks.items() if rank == 1]
        tied = "; these cannot be told apart" if len(first) > 1 else ""
        endpoint = ranking.endpoint[:1].upper() + ranking.endpoint[1:]
        sentences.append(f"{endpoint}: best {_and(first)}{tied}.")
    return items(sentences)


def _and(names: list[str]) -> str:
    if len(names) == 1:
        return f"“{names[0]}”"
    return ", ".join(f"“{name}”" for name in names[:-1]) + f" and “{names[-1]}”"


def question_section(subject: Subject, comparison: Comparison, picture: Raw) -> Raw:
    """What was asked, and the answer in short."""
    days = float(subject.results["time"].values[-1])
    calendar = subject.calendar
    return section(
        "question",
        "The question",
        paragraph(
            f"How does this tumour respond to {len(subject.scenarios)} treatments over {days:g} "
            f"days, from {calendar.text(0)} (day 0, the day of the reference images) to "
            f"{calendar.text(days)}? Each was computed under {len(subject.cases)} assumptions "
            f"about the unknown parameters ({', '.join(subject.cases)})."
        ),
        in_short(subject, comparison),
        picture,
        *[paragraph(f"Warning: {one}", kind="warning") for one in comparison.warnings],
    )


def scenarios_section(subject: Subject) -> Raw:
    """Every arm in plain sentences, and in what it differs."""
    styles = scenario_styles(subject.scenarios)
    rows = []
    for name in subject.scenarios:
        record = subject.scenario_records.get(name, {})
        sentences = record.get("description") or subject.regimen(name).describe(subject.calendar)
        other = record.get("compared_with")
        differs = "; ".join(record.get("differs_in") or []) or "nothing"
        rows.append(
            [
                Raw(
                    f'<span class="swatch" style="background:{styles[name]["color"]}"></span>'
                    f"{text(name)}"
                ),
                items([sentences] if isinstance(sentences, str) else sentences),
                f"compared with “{other}”; differs in: {differs}" if other else "no other arm",
            ]
        )
    cases = [
        f"Case “{case['name']}”: {case['description']}"
        for case in subject.study.get("cases", [])
        if isinstance(case, dict) and "description" in case
    ]
    return section(
        "scenarios",
        "The treatments",
        table(["treatment", "what is given", "compared with"], rows, kind="words"),
        items(cases),
        paragraph(
            "Doses are physical Gray as prescribed. Arms of different fractionation are compared "
            "by EQD2 alone.",
            kind="small",
        ),
    )


def results_section(comparisons: list[Comparison], subject: Subject, pictures: list[Raw]) -> Raw:
    """Volumes, nadir, progression and scans, with numerical errors and the spread of the cases."""
    reference, frames = comparisons[0], [one.table for one in comparisons]
    styles = scenario_styles(subject.scenarios)
    heads = volume_heads(reference.table)
    swatch = {
        name: Raw(
            f'<span class="swatch" style="background:{styles[name]["color"]}"></span>{text(name)}'
        )
        for name in subject.scenarios
    }
    volumes = [
        [swatch[name], *[_volume_cell(frames, name, head) for head in heads]]
        for name in reference.table.index
    ]
    labels = [n.removesuffix(" nadir [ml]") for n in reference.table if n.endswith(" nadir [ml]")]
    response = []
    for name in reference.table.index:
        row: list[object] = [swatch[name]]
        for label in labels:
            row += _response_cells(frames, name, label, reference.horizon_day)
        response.append(row)
    response_heads = ["treatment"]
    for label in labels:
        response_heads += [f"{label} nadir [ml]", f"{label} nadir, day", f"{label} progression"]
    # The rule of the ranking and the banner have places of their own.
    notes = [note for note in reference.notes[:-1] if note and "ahead of" not in note]
    spread = "Second line: from the least to the greatest of all cases." if len(frames) > 1 else ""
    return section(
        "results",
        "Results",
        table(
            ["treatment", *[head.replace(" volume", "") for head in heads]],
            volumes,
            caption=(
                f"Softened visible volume [ml] ± numerical error, case “{reference.case}”. {spread}"
            ),
        ),
        table(
            response_heads,
            response,
            caption=f"Least volume and time to progression, case “{reference.case}”. {spread}",
        )
        if labels
        else Raw(""),
        criteria_table(reference),
        times_table(reference),
        items(notes),
        *pictures,
    )


def _volume_cell(frames: list[pd.DataFrame], name: str, head: str) -> Raw:
    row = frames[0].loc[name]
    spread = row.get(error_head(head, "mesh spread"), math.nan)
    shown = text(with_error(row[head], row[error_head(head)], spread))
    values = [float(frame.loc[name, head]) for frame in frames]
    return _with_range(shown, values, lambda x: f"{x:.1f}")


def _response_cells(frames: list[pd.DataFrame], name: str, label: str, horizon: float) -> list[Raw]:
    def all_of(column: str) -> list[float]:
        return [float(frame.loc[name, column]) for frame in frames]

    nadir, day = all_of(f"{label} nadir [ml]"), all_of(f"{label} nadir day [d]")
    progression = all_of(f"{label} progression [d]")
    column = f"{label} progression error [d]"
    shown = days_text(progression[0], horizon)
    if column in frames[0] and math.isfinite(progression[0]):
        error = float(frames[0].loc[name, column])
        shown = (
            f"{progression[0]:.0f} ± {max(1.0, math.ceil(error)):.0f} d"
            if math.isfinite(error)
            else days_text(progression[0], horizon, error, _progression_spread(frames, name, label))
        )
    return [
        _with_range(text(f"{nadir[0]:.2f}"), nadir, lambda x: f"{x:.2f}"),
        _with_range(text(f"{day[0]:.0f}"), day, lambda x: f"{x:.0f}"),
        _with_range(text(shown), progression, lambda x: days_text(x, horizon)),
    ]


def _progression_spread(frames: list[pd.DataFrame], name: str, label: str) -> float:
    return float(frames[0].loc[name].get(f"{label} progression mesh spread [d]", math.nan))


def _with_range(shown: Raw, values: list[float], write: Any) -> Raw:
    if len(values) < 2:
        return shown
    low, high = write(min(values)), write(max(values))
    spread = low if low == high else f"{low} to {high}"
    return Raw(f'{shown}<span class="range">{text(spread)}</span>')


def organs_section(comparison: Comparison) -> Raw:
    """Organs at risk as EQD2."""
    frame = comparison.organs
    organs = [name.removesuffix(" mean [Gy EQD2]") for name in frame if " mean [" in name]
    if not organs:
        return Raw("")
    rows = [
        [
            name,
            *[
                f"{row[f'{organ} mean [Gy EQD2]']:.1f} / {row[f'{organ} D0.03cc [Gy EQD2]']:.1f}"
                + (f"; {percent(row[risk])}" if (risk := f"{organ} NTCP [1]") in row else "")
                for organ in organs
            ],
        ]
        for name, row in frame.iterrows()
    ]
    known = any(name.endswith(" NTCP [1]") for name in frame)
    return section(
        "organs",
        "Organs at risk",
        table(
            ["treatment", *organs],
            rows,
            caption=(
                "Mean / D0.03cc [Gy EQD2], each organ by its own alpha/beta; of a geometric "
                "dose: lower bounds."
                + (" Then NTCP; its sources are in the notes." if known else "")
            ),
        ),
    )


def ranking_section(comparison: Comparison) -> Raw:
    """Ranks for every endpoint, with ties."""
    if not comparison.rankings:
        return Raw("")
    rows = []
    for name in comparison.table.index:
        row: list[object] = [str(name)]
        for ranking in comparison.rankings:
            others = ranking.tied_with[name]
            tie = f'<span class="range">tied with {text(", ".join(others))}</span>'
            row.append(Raw(f"{ranking.ranks[name]}{tie if others else ''}"))
        rows.append(row)
    return section(
        "ranking",
        "Ranking",
        table(
            ["treatment", *[ranking.endpoint for ranking in comparison.rankings]],
            rows,
            caption="Rank over all cases; 1 is best.",
        ),
        paragraph(*[note for note in comparison.notes if "ahead of" in note], kind="small"),
    )


def parameters_section(subject: Subject) -> Raw:
    """Every parameter with unit, range, source and grade of evidence."""
    if subject.twin is not None:
        content = subject.twin.parameters.as_dict()
    else:
        content = json.loads(subject.results.attrs.get("parameters", "{}"))
    entries = content.get("entries", {})
    rows = [
        [
            subject.site.parameter(name).replace("_", " "),
            f"{entry['value']:.4g}",
            entry["unit"],
            f"{entry['low']:.4g} to {entry['high']:.4g}",
            entry["evidence"],
            Raw(
                f'{text(entry["source"])}<span class="range">{text(entry.get("note") or "")}</span>'
            ),
        ]
        for name, entry in entries.items()
    ]
    return section(
        "assumptions",
        "Assumptions",
        paragraph(
            (GROWTH if _grows(subject) else STILL)
            + "by the linear-quadratic law, drugs by their concentration; what is "
            "killed stays visible until it is cleared. Evidence: A fitted to this patient, B "
            "patients or a trial, C animals or in vitro, D assumed."
        ),
        Raw("<details open><summary>Parameters, their ranges and sources</summary>"),
        table(["parameter", "value", "unit", "range", "evidence", "source"], rows, kind="words"),
        Raw("</details>"),
    )


def limits_section(subject: Subject) -> Raw:
    """What this cannot say."""
    said = LIMITS if _grows(subject) else (STILL_LIMIT, *LIMITS[1:])
    return section("limits", "What this cannot say", items(said))


def reproduce_section(subject: Subject, hashes: dict[str, str]) -> Raw:
    """Versions, hashes, seed and command."""
    attrs = subject.results.attrs
    values: dict[str, object] = {
        "command": Raw(
            "<code>twin run study.toml -o results/</code> and then "
            "<code>twin report results/</code>"
        ),
        "seed": attrs.get("seed", ""),
        "reference date (day 0)": attrs.get("reference_date", ""),
    }
    for name, value in {"patient, by content": attrs.get("twin_hash", ""), **hashes}.items():
        values[name] = Raw(f"<code>{text(value)}</code>")
    for key in ("versions", "options"):
        try:
            inner = json.loads(attrs.get(key, "{}"))
        except ValueError:
            inner = {}
        if inner:
            values[key] = ", ".join(f"{name} {value}" for name, value in inner.items())
    return section("reproduce", "How to get this again", data_table(values))


def mesh_quality_rows(figures: dict[str, Any], site: Site = BRAIN) -> dict[str, object]:
    """Figures of `MeshQuality.as_dict` as rows of a table, with units."""
    rows: dict[str, object] = {
        "nodes / tetrahedra": f"{figures['nodes']:,} / {figures['cells']:,}",
        "smallest, first percentile, largest dihedral angle": (
            f"{figures['smallest_dihedral_deg']:.0f}°, "
            f"{figures['first_percentile_dihedral_deg']:.0f}°, "
            f"{figures['largest_dihedral_deg']:.0f}°"
        ),
    }
    edge = figures.get("edge_mm_near_tumour")
    if edge is not None and np.isfinite(edge):
        rows[f"mean edge within {figures['near_mm']:g} mm of the tumour"] = f"{edge:.2f} mm"
    volumes = figures.get("label_volume_error", {})
    if volumes:
        rows["volume of each tissue against its voxels"] = ", ".join(
            f"{site.tissue(name).replace('_', ' ')} {round(100 * error, 1) + 0.0:+.1f} %"
            for name, error in volumes.items()
        )
    return rows
