"""What the arms of a study rest on: the grade of evidence of the parameters that they use.

A fitted to this patient, B fitted to patients or a trial, C animals or in vitro, D assumed
(`twin.parameters`). A result is worth no more than the worst of its parameters, and an arm that
rests on C or D is not ranked against one that rests on A and B alone.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from scenarios.tumour_control import CONTROL_PARAMETERS
from solvers.hypoxia import HYPOXIA_PARAMETERS
from solvers.models import compose
from twin.drug_delivery import BARRIER_QUANTITY, deliveries_of
from twin.markers import marker_sentences, unknown_markers
from twin.packaged_numbers import numbers_of, with_numbers_in_use
from twin.parameters import ParameterSet

if TYPE_CHECKING:
    from scenarios.study import Scenario
    from twin.patient import Twin

__all__ = ["comparable", "evidence_of", "evidence_sentences", "marker_notes", "worst"]

_ALWAYS = (
    "diffusivity_white", "diffusivity_grey", "threshold_t1gd", "threshold_flair",
    "visibility_softness",
)  # fmt: skip
_WITHOUT_GROWTH = ("outline_width", "threshold_t1gd", "threshold_flair", "visibility_softness")
_MASS_EFFECT = (
    "young_modulus_white", "young_modulus_grey", "young_modulus_tumour", "young_modulus_fluid",
    "poisson_ratio", "growth_strain", "stress_damping",
)  # fmt: skip
_WORDS = {"C": "from animals or in vitro", "D": "assumed"}


def evidence_of(scenario: Scenario, twin: Twin) -> dict[str, str]:
    """Grade of every parameter that the volumes of an arm depend on, by its name."""
    model = twin.model
    names = [*(_ALWAYS if model.grows else _WITHOUT_GROWTH), *compose(model).parameters]
    if model.mass_effect:
        names += _MASS_EFFECT
    if model.migration == "tensor":
        names.append("fibre_sharpening")
    if scenario.regimen.radiotherapy:
        names += ["alpha", "alpha_beta"]
        names += () if model.grows else [n for n in CONTROL_PARAMETERS if n not in names]
        days = [one.day for one in scenario.regimen.schedule(twin.calendar).fractions]
        if any(later - day < 0.75 for day, later in itertools.pairwise(days)):
            names.append("repair_half_life")
        if twin.hypoxia is not None:
            names += HYPOXIA_PARAMETERS
    if scenario.rescaled is not None:
        names += scenario.rescaled.parameters
    drugs, deliveries = scenario.regimen.drug_names, deliveries_of(scenario.regimen)
    known = with_numbers_in_use(twin.parameters, scenario.regimen, model)
    owners = (*drugs, *numbers_of(scenario.regimen, model))
    names += [name for name in known for owner in owners if name.startswith(f"{owner}_")]
    if model.immunity:  # cells are counted
        names.append("carrying_capacity")
    absent = {f"{drug}_{BARRIER_QUANTITY}" for drug in drugs if deliveries.get(drug) != "barrier"}
    if "grey_matter" not in known.site.tissues:
        absent.add("diffusivity_grey")
    used = [name for name in names if name in known and name not in absent]
    found = {known.site.parameter(name): known[name].evidence for name in used}
    if "perfusion" in deliveries.values():
        found["delivery_by_perfusion"] = "D"
    return found


def worst(grades: Mapping[str, str]) -> str:
    """The worst grade, "A" where there is no parameter.

    >>> worst({"alpha": "B", "temozolomide_kill": "D"})
    'D'
    """
    return max(grades.values(), default="A")


def comparable(grades: Sequence[str]) -> list[list[int]]:
    """Numbers of the arms that may be ranked against each other, by their worst grades.

    >>> comparable(["B", "D", "A", "C"])
    [[0, 2], [1, 3]]
    """
    groups = [
        [number for number, grade in enumerate(grades) if grade in kind] for kind in ("AB", "CD")
    ]
    return [group for group in groups if group]


def evidence_sentences(evidence: Mapping[str, Mapping[str, str]]) -> list[str]:
    """In words what the arms rest on, what is common to all of them first.

    Examples
    --------
    >>> for line in evidence_sentences({"none": {"k": "D"}, "drug": {"k": "D", "kill": "C"}}):
    ...     print(line)
    Evidence: every arm rests on values that are assumed (D): k.
    Evidence: 'drug' also on values from animals or in vitro (C): kill.
    """
    weak = {
        arm: {name: grade for name, grade in grades.items() if grade in _WORDS}
        for arm, grades in evidence.items()
    }
    if not weak:
        return []
    common = set.intersection(*(set(names) for names in weak.values()))
    lines = []
    for grade in ("D", "C"):
        shared = [
            name for name in next(iter(weak.values())) if name in common
            and next(iter(weak.values()))[name] == grade
        ]  # fmt: skip
        if shared:
            lines.append(
                f"Evidence: every arm rests on values that are {_phrase(grade)}: {_list(shared)}."
            )
    extra: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for arm, names in weak.items():
        for grade in ("D", "C"):
            own = tuple(n for n, g in names.items() if g == grade and n not in common)
            if own:
                extra.setdefault((grade, own), []).append(arm)
    for (grade, own), arms in extra.items():
        also = " also" if common else ""
        which = ", ".join(map(repr, arms))
        what = _phrase(grade) if grade == "C" else f"that are {_phrase(grade)}"
        lines.append(f"Evidence: {which}{also} on values {what}: {_list(own)}.")
    return lines


def marker_notes(attributes: Mapping[str, str]) -> list[str]:
    """What markers made of the parameters of results, and what depends on those not stated.

    Parameters
    ----------
    attributes : mapping of str to str
        Those of the results; "parameters" and "evidence" are read.
    """
    if "parameters" not in attributes:
        return []
    parameters = ParameterSet.from_dict(json.loads(attributes["parameters"]), where="results")
    used = {name for arm in json.loads(attributes.get("evidence", "{}")).values() for name in arm}
    return [*marker_sentences(parameters), *unknown_markers(parameters, used)]


def _phrase(grade: str) -> str:
    return f"{_WORDS[grade]} ({grade})"


def _list(names: Sequence[str]) -> str:
    return ", ".join(name.replace("_", " ") for name in names)
