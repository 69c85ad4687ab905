"""A study in plain sentences, with warnings."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from solvers.mesh_error import edge_near_tumour
from twin.drug_delivery import delivery_remarks
from twin.markers import marker_sentences, unknown_markers
from twin.packaged_numbers import with_packaged_numbers
from twin.parameter_draws import unpaired

if TYPE_CHECKING:
    from scenarios.study import Case, Study
    from twin.calendar import Calendar
    from twin.parameters import ParameterSet
    from twin.patient import Twin

__all__ = [
    "changes_text",
    "describe",
    "drug_remarks",
    "illustrative",
    "unpaired_sentences",
    "unpaired_warnings",
    "warnings",
    "warnings_of_arms",
]


def warnings(study: Study, twin: Twin) -> list[str]:
    """What a reader of the results should know beforehand, in plain sentences."""
    return [
        *warnings_of_arms(study, twin.calendar),
        *unpaired_warnings(study, twin.parameters),
        *illustrative(study, twin),
        *_front_warning(study, twin),
    ]


def illustrative(study: Study, twin: Twin) -> list[str]:
    """What of a study rests on animals or cells in a dish, in plain sentences."""
    found: list[str] = []
    if twin.model.immunity:
        found.append(
            "Effector cells follow rates of a lymphoma of mice, rescaled by the assumed "
            "immunity_volume, which decides whether the tumour escapes: an illustration, not a "
            "forecast; give cases for it."
        )
    if any(scenario.regimen.hyperthermia for scenario in study.scenarios):
        found.append(
            "Thermal enhancement is that of cervical cancer cells in vitro, without "
            "thermotolerance; for another tumour it is an illustration."
        )
    return found


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


def unpaired_warnings(study: Study, parameters: ParameterSet) -> list[str]:
    """Cases in which a parameter moved without the one that its source couples to it."""
    irradiated = any(scenario.regimen.radiotherapy for scenario in study.scenarios)
    cases: dict[str, list[str]] = {}
    for case in study.cases:
        for said in unpaired_sentences(case.parameters(parameters), irradiated=irradiated):
            cases.setdefault(said, []).append(case.name)
    return [f"Case {' and '.join(map(repr, names))}: {said}" for said, names in cases.items()]


def unpaired_sentences(parameters: ParameterSet, *, irradiated: bool) -> list[str]:
    """What stays although what its source couples it to moved, with the value that goes with it.

    Examples
    --------
    >>> from twin.parameters import load_parameter_set
    >>> changed = load_parameter_set("glioblastoma").replace(proliferation_rate=0.06)
    >>> print(*unpaired_sentences(changed, irradiated=True))
    alpha stays 0.036 1/Gy with a proliferation rate of 0.06 1/day, but its source pairs 0.0578
    with that; change both, or say so.
    """
    return [
        f"{name.replace('_', ' ')} stays {parameters.value(name):g} {parameters[name].unit} with a "
        f"{partner.replace('_', ' ')} of {parameters.value(partner):g} "
        f"{parameters[partner].unit}, but its source pairs {paired:.3g} with that; change both, or "
        "say so."
        for name, (partner, paired) in unpaired(parameters).items()
        if irradiated or name != "alpha"
    ]


def drug_remarks(study: Study, parameters: ParameterSet) -> tuple[str, ...]:
    """What a reader should know of the drugs of a study: markers not stated, delivery."""
    regimens = [scenario.regimen for scenario in study.scenarios]
    drugs = {name for regimen in regimens for name in regimen.drug_names}
    used = [name for name in parameters if name.split("_")[0] in drugs]
    delivered = [said for regimen in regimens for said in delivery_remarks(regimen)]
    if not parameters.site.is_brain:
        delivered = []
    return (*unknown_markers(parameters, used), *dict.fromkeys(delivered))


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
    lines += marker_sentences(twin.parameters)
    lines += drug_remarks(study, twin.parameters)
    lines += [f"Warning: {sentence}" for sentence in warnings(study, twin)]
    return "\n".join(lines)


def changes_text(case: Case, base: ParameterSet) -> str:
    """What a case changes, with the values of `base` beside it."""
    base = with_packaged_numbers(base, case.changes)
    parts = [
        f"{base.site.parameter(name)} {value:g} instead of {base.value(name):g} {base[name].unit}"
        for name, value in case.values(base).items()
    ]
    if case.setup is not None:
        parts.append(case.setup.describe())
    if case.profile is not None:
        parts.append(f"from the {case.profile} initial profile")
    return ("; ".join(parts) or f"the parameters of the patient ({base.name})") + "."
