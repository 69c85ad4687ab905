"""Markers from the laboratory (MGMT, IDH, grade) as priors: factors on parameters, as data.

A file ``data/markers/NAME.toml`` says for each value of a marker by what a parameter is
multiplied, with range, spread and source, or for which parameter sets a value is refused.
"""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from functools import cache
from typing import Literal

from pydantic import Field, model_validator

from twin.errors import InvalidInput
from twin.examples import data_file, data_folder
from twin.parameters import Parameter, ParameterSet, check_source
from twin.priors import LogNormal
from twin.toml_file import FileModel, check

__all__ = [
    "MarkerFile",
    "marker_names",
    "marker_sentences",
    "read_marker",
    "unknown_markers",
    "with_markers",
]


class _Effect(FileModel):
    """``[[effect]]``: what one value of the marker makes of one parameter."""

    value: str
    parameter: str
    factor: float = Field(gt=0.0, allow_inf_nan=False)
    low: float = Field(gt=0.0, allow_inf_nan=False)
    high: float = Field(gt=0.0, allow_inf_nan=False)
    sigma_ln: float = Field(default=0.0, ge=0.0, le=5.0, description="of the factor's logarithm")
    source: str
    evidence: Literal["A", "B", "C", "D"]
    sets: tuple[str, ...] = Field(default=(), description="parameter sets; all if empty")

    @model_validator(mode="after")
    def _check(self) -> _Effect:
        check_source(f"the effect of {self.value} on {self.parameter}", self.source)
        if not self.low <= self.factor <= self.high:
            raise InvalidInput(
                f"the factor of {self.value} on {self.parameter} is {self.factor:g}, outside its "
                f"range of {self.low:g} to {self.high:g}."
            )
        return self


class _Refused(FileModel):
    """``[[refused]]``: a value that does not go with some parameter sets."""

    value: str
    sets: tuple[str, ...] = Field(min_length=1)
    reason: str = Field(min_length=8)


class _Unknown(FileModel):
    """``[unknown]``: what depends on the marker where it is not stated."""

    parameter: str
    note: str = Field(min_length=8)


class MarkerFile(FileModel):
    """``data/markers/NAME.toml``."""

    format: Literal[1]
    title: str
    effect: tuple[_Effect, ...] = ()
    refused: tuple[_Refused, ...] = ()
    unknown: _Unknown | None = None

    @property
    def values(self) -> tuple[str, ...]:
        """Every value that a patient may state, in the order of the file."""
        stated = [one.value for one in self.effect] + [one.value for one in self.refused]
        return tuple(dict.fromkeys(stated))


def marker_names() -> tuple[str, ...]:
    """Names of the packaged markers.

    Examples
    --------
    >>> marker_names()
    ('grade', 'idh', 'mgmt')
    """
    files = data_folder().joinpath("markers").iterdir()
    return tuple(sorted(f.name.removesuffix(".toml") for f in files if f.name.endswith(".toml")))


@cache
def read_marker(name: str) -> MarkerFile:
    """A packaged marker.

    Raises
    ------
    InvalidInput
        No such marker (the nearest is suggested), or a file with a mistake.

    Examples
    --------
    >>> read_marker("mgmt").values
    ('unmethylated', 'methylated')
    """
    names = marker_names()
    if name not in names:
        near = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(names)}."
        raise InvalidInput(f"There is no marker {name!r}; {hint}")
    text = data_file("markers", f"{name}.toml").read_text(encoding="utf-8")
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(f"markers/{name}.toml is not valid TOML: {error}.") from None
    return check(MarkerFile, content, where=f"markers/{name}.toml")


def with_markers(
    base: ParameterSet, stated: Mapping[str, str], *, own: Collection[str] = ()
) -> ParameterSet:
    """The set as the stated markers make it.

    Each effect multiplies the value and the prior's median by its factor and widens the prior;
    the parameter is worth no more than the weaker of both grades of evidence.

    Parameters
    ----------
    base : ParameterSet
    stated : mapping of str to str
        Value of each marker; "unknown" changes nothing.
    own : collection of str
        Parameters that are the patient's own already; they stay as they are.

    Raises
    ------
    InvalidInput
        A marker or value that is not known, one that does not go with the set, one that says
        nothing about it, a parameter that leaves its range.

    Examples
    --------
    >>> from twin.parameters import load_parameter_set
    >>> base = load_parameter_set("glioblastoma")
    >>> with_markers(base, {"mgmt": "unmethylated"}).value("proliferation_rate")
    0.0336
    """
    for name, value in stated.items():
        marker = read_marker(name)
        if value == "unknown":
            continue
        if value not in marker.values:
            near = difflib.get_close_matches(value, marker.values, n=1, cutoff=0.5)
            hint = f'did you mean "{near[0]}"?' if near else ""
            known = f"known are {', '.join((*marker.values, 'unknown'))}."
            raise InvalidInput(f'{name} is "{value}"; {hint or known}')
        for refused in marker.refused:
            if refused.value == value and base.name in refused.sets:
                raise InvalidInput(
                    f'{name} is "{value}", but the parameter set {base.name!r} is not of such '
                    f"tumours: {refused.reason}; choose another set, or leave the patient out."
                )
        effects = [
            one
            for one in marker.effect
            if one.value == value
            and one.parameter in base
            and (not one.sets or base.name in one.sets)
        ]
        if not effects:
            raise InvalidInput(
                f'{name} is "{value}", which says nothing about the parameter set {base.name!r}; '
                "leave it out."
            )
        for effect in effects:
            base = _applied(base, marker.title, effect, own=effect.parameter in own)
    return base


def _applied(base: ParameterSet, title: str, effect: _Effect, *, own: bool) -> ParameterSet:
    """The set after one effect, which the parameter's `markers` then say."""
    entry = base[effect.parameter]
    start = f"{title} {effect.value}: {effect.parameter.replace('_', ' ')}"
    if own:
        said = f"{start} stays {entry.value:g} {entry.unit}, which is stated for this patient"
        return base.with_entry(entry.name, markers=(*entry.markers, said))
    changed = _scaled(entry, effect)
    if changed.value == entry.value:
        said = f"{start} is left as it is ({effect.source})"
    else:
        said = (
            f"{start} {changed.value:g} instead of {entry.value:g} {entry.unit}, "
            f"times {effect.factor:g} ({effect.low:g} to {effect.high:g}; {effect.source})"
        )
    return base.with_entry(
        entry.name,
        value=changed.value,
        prior=changed.prior,
        evidence=changed.evidence,
        markers=(*entry.markers, said),
    )


def _scaled(entry: Parameter, effect: _Effect) -> Parameter:
    value = round(entry.value * effect.factor, 15)
    if not entry.low <= value <= entry.high:
        raise InvalidInput(
            f"{entry.name} times {effect.factor:g} is {value:g} {entry.unit}, outside its range of "
            f"{entry.low:g} to {entry.high:g}; state it for this patient in [parameters]."
        )
    prior = entry.prior
    if isinstance(prior, LogNormal):
        spread = math.hypot(prior.sigma_ln, effect.sigma_ln)
        prior = LogNormal(prior.median * effect.factor, spread)
    return replace(entry, value=value, prior=prior, evidence=max(entry.evidence, effect.evidence))


def marker_sentences(parameters: ParameterSet) -> tuple[str, ...]:
    """What the patient's markers made of the parameters, one sentence each.

    Examples
    --------
    >>> from twin.parameters import load_parameter_set
    >>> base = with_markers(load_parameter_set("glioblastoma"), {"idh": "wild type"})
    >>> print(*marker_sentences(base))
    IDH wild type: proliferation rate is left as it is (assumed: the set is of tumours of IDH ...).
    """
    return tuple(f"{said}." for entry in parameters.values() for said in entry.markers)


def unknown_markers(parameters: ParameterSet, used: Iterable[str]) -> tuple[str, ...]:
    """What depends on markers that are not stated, one sentence each.

    Parameters
    ----------
    parameters : ParameterSet
        Of the patient.
    used : iterable of str
        Names of the parameters that matter.

    Examples
    --------
    >>> from twin.parameters import load_parameter_set
    >>> base = load_parameter_set("glioblastoma")
    >>> unknown_markers(base, ["alpha"]), len(unknown_markers(base, ["temozolomide_kill"]))
    ((), 1)
    """
    wanted, found = set(used), []
    for name in marker_names():
        marker = read_marker(name)
        about = marker.unknown
        if about is None or about.parameter not in wanted or about.parameter not in parameters:
            continue
        entry = parameters[about.parameter]
        if not any(said.startswith(f"{marker.title} ") for said in entry.markers):
            found.append(
                f"{marker.title} is not stated in [markers]: {about.note} "
                f"({about.parameter.replace('_', ' ')} is {entry.value:g} {entry.unit})."
            )
    return tuple(found)
