"""A study in plain sentences, with warnings."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from solvers.mesh_error import edge_near_tumour
from twin.drugs import with_drug_parameters

if TYPE_CHECKING:
    from scenarios.study import Case, Study
    from twin.calendar import Calendar
    from twin.parameters import ParameterSet
    from twin.patient import Twin

__all__ = ["changes_text", "describe", "warnings", "warnings_of_arms"]


def warnings(study: Study, twin: Twin) -> list[str]:
    """What a reader of the results should know beforehand, in plain sentences."""
    return warnings_of_arms(study, twin.calendar) + _front_warning(study, twin)


def warnings_of_arms(study: Study, calendar: Calendar) -> list[str]:
    """Those of `warnings` that need no mesh."""
    found: list[str] = []
    for scenario in study.scenarios:
        if scenario.compared_with is None:
            continue
        differences = study.differs_in(scenario)
        if not differences:
            found.append(
                f"{scenario.name!r} does not differ from {scenario.compared_with!r}, "
                "which it is compared with."
            )
        elif len(differences) > 1:
            found.append(
                f"{scenario.name!r} differs from {scenario.compared_with!r} in "
                f"{len(differences)} things ({'; '.join(differences)}); an effect cannot be "
                "given to one of them."
            )
    for scenario in study.scenarios:
        late = [
            event
            for event in scenario.regimen.schedule(calendar).drug_doses
            if event.day > study.days
        ]
        if late:
            found.append(
                f"{scenario.name!r}: {len(late)} drug doses fall after the horizon of "
                f"{study.days:g} days and are not simulated."
            )
    return found


def _front_warning(study: Study, twin: Twin) -> list[str]:
    if not twin.model.grows:
        return []
    edge, site = edge_near_tumour(twin), twin.parameters.site
    narrow: list[tuple[float, str, str]] = []
    for case in study.cases:
        parameters = case.parameters(twin.parameters)
        for tissue in ("white", "grey"):
            if f"{tissue}_matter" not in site.tissues:
                continue
            diffusivity = parameters.value(f"diffusivity_{tissue}")
            width = math.sqrt(diffusivity / parameters.value("proliferation_rate"))
            if width < 2.0 * edge:
                narrow.append((width, tissue, case.name))
    if not narrow:
        return []
    width, tissue, case_name = min(narrow)
    words = site.tissue(f"{tissue}_matter").replace("_", " ")
    return [
        f"The tumour's front, sqrt(D / rho) = {width:.2g} mm in {words} (case "
        f"{case_name!r}), is narrower than two elements of {edge:.2g} mm near the tumour: "
        "volumes carry a numerical error, given beside each from two coarser meshes."
    ]


def describe(study: Study, twin: Twin) -> str:
    """The plan in plain sentences, with warnings, as text of several lines."""
    calendar = twin.calendar
    lines = [
        f"{study.name}: {len(study.scenarios)} scenarios by {len(study.cases)} cases over "
        f"{study.days:g} days from {calendar.text(0)} (day 0) to {calendar.text(study.days)}.",
        "",
    ]
    for scenario in study.scenarios:
        lines.append(f"{scenario.name}")
        lines += [f"  {sentence}" for sentence in scenario.regimen.describe(calendar)]
        if scenario.rescaled is not None:
            lines.append(f"  {scenario.rescaled.sentence}")
        if scenario.compared_with is not None:
            differences = study.differs_in(scenario) or ["nothing"]
            lines.append(
                f"  Compared with {scenario.compared_with!r}; differs in: {'; '.join(differences)}."
            )
    if study.isotoxic is not None:
        lines += ["", study.isotoxic.describe()]
    lines.append("")
    for case in study.cases:
        lines.append(f"case {case.name}: {changes_text(case, twin.parameters)}")
    lines += [
        "",
        "Doses are physical Gray as prescribed; arms of different fractionation are compared "
        "by EQD2 alone.",
    ]
    lines += [f"Warning: {sentence}" for sentence in warnings(study, twin)]
    return "\n".join(lines)


def changes_text(case: Case, base: ParameterSet) -> str:
    """What a case changes, with the values of `base` beside it."""
    base = with_drug_parameters(base, case.changes)
    parts = [
        f"{base.site.parameter(name)} {value:g} instead of {base.value(name):g} {base[name].unit}"
        for name, value in case.values(base).items()
    ]
    if case.setup is not None:
        parts.append(case.setup.describe())
    if case.profile is not None:
        parts.append(f"from the {case.profile} initial profile")
    return ("; ".join(parts) or f"the parameters of the patient ({base.name})") + "."
