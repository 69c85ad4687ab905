"""Named biological parameters, each with unit, range, prior and source."""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import Any

from twin.errors import InvalidInput
from twin.examples import data_folder
from twin.priors import Joint, LogNormal, Normal, prior_of
from twin.repopulation import against_kickoff
from twin.site import Site, site_of
from twin.units import parse_unit

__all__ = [
    "LogNormal",
    "Normal",
    "Parameter",
    "ParameterSet",
    "load_parameter_set",
    "parameter_set_names",
]

_SOURCES = ("doi:", "calibrated:", "assumed:")
_EVIDENCE = {
    "A": "fitted to this patient",
    "B": "patients or a trial",
    "C": "animals or in vitro",
    "D": "assumed",
}
#: What a radiosensitivity may rest on; each gives another size.
BASES = ("image", "tumour control", "in vitro", "survival", "calibrated")
_KEYS = ("value", "unit", "low", "high", "prior", "source", "basis", "evidence", "note")
#: Keys that few entries have; written only where they say something.
_SELDOM = ("fitted_to", "joint", "markers")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter; valid or not there at all.

    Parameters
    ----------
    name : str
    value : float, [`unit`]
    unit : str
        The internal unit, such as ``mm2/day``.
    low, high : float, [`unit`]
        Range outside which the model has no meaning or no data; ends included.
    prior : LogNormal, Normal or None
        Uncertainty between patients.
    source : str
        ``doi: ...``, ``calibrated: to what`` or ``assumed: reason``.
    basis : str
        The kind of observation the value rests on, where that changes its size
        (a radiosensitivity from images is a tenth of one from cure rates).
    evidence : str
        A fitted to this patient, B patients or a trial, C animals or in vitro,
        D assumed.
    note : str
    fitted_to : str
        The trial that the value is fitted to, where there is one, such as "Stupp 2005"; a drug's
        effect and an interaction of one trial count its benefit twice.
    joint : Joint or None
        How it goes with another parameter.
    markers : tuple of str
        What markers from the laboratory made of it (`twin.markers`), in sentences.
    """

    name: str
    value: float
    unit: str
    low: float
    high: float
    prior: LogNormal | Normal | None
    source: str
    basis: str = ""
    evidence: str = "D"
    note: str = ""
    fitted_to: str = ""
    joint: Joint | None = None
    markers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        label = f"Parameter {self.name!r}"
        for field in ("value", "low", "high"):
            number = getattr(self, field)
            if isinstance(number, bool) or not isinstance(number, int | float):
                raise InvalidInput(f"{label}: {field} must be a number, not {number!r}.")
            object.__setattr__(self, field, float(number))
        try:
            parse_unit(self.unit)
        except InvalidInput as error:
            raise InvalidInput(f"{label}: {error}.") from None
        if not -math.inf < self.low <= self.high < math.inf:
            raise InvalidInput(f"{label}: low {self.low} must not exceed high {self.high}.")
        if not self.low <= self.value <= self.high:
            raise InvalidInput(
                f"{label} is {self.value:g} {self.unit}, outside its range of {self.low:g} to "
                f"{self.high:g} {self.unit}; choose a value inside."
            )
        check_source(label, self.source)
        if self.joint is not None:
            self._check_joint(label)
        if self.name == "alpha" and self.basis not in BASES:
            raise InvalidInput(
                f"{label} has the basis {self.basis!r}; say what it rests on, one of "
                f"{', '.join(BASES)}: their sizes differ by ten."
            )
        if self.evidence not in _EVIDENCE:
            raise InvalidInput(
                f"{label}: evidence is {self.evidence!r}; it must be one of "
                + ", ".join(f"{grade} ({meaning})" for grade, meaning in _EVIDENCE.items())
                + "."
            )

    def _check_joint(self, label: str) -> None:
        assert self.joint is not None  # noqa: S101
        check_source(f"{label}: joint", self.joint.source)
        if not isinstance(self.prior, LogNormal) or self.joint.with_parameter == self.name:
            raise InvalidInput(
                f"{label} is coupled to {self.joint.with_parameter!r}; that needs another "
                "parameter, and a log-normal prior of both."
            )

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers and text, as in a TOML entry."""
        entry: dict[str, Any] = {key: getattr(self, key) for key in _KEYS if key != "prior"}
        if self.prior is not None:
            entry["prior"] = asdict(self.prior)
        if self.joint is not None:
            entry["joint"] = self.joint.as_dict()
        if self.fitted_to:
            entry["fitted_to"] = self.fitted_to
        if self.markers:
            entry["markers"] = list(self.markers)
        return entry


def check_source(label: str, source: str) -> None:
    """Refuse a source that does not begin with its kind and go on."""
    start = next((kind for kind in _SOURCES if source.startswith(kind)), None)
    if start is None or not source[len(start) :].strip():
        raise InvalidInput(
            f"{label} has no usable source ({source!r}); begin it with "
            "'doi:', 'calibrated:' or 'assumed:' and say which."
        )


class ParameterSet(Mapping[str, Parameter]):
    """An immutable mapping of names to parameters.

    Examples
    --------
    >>> base = load_parameter_set("glioblastoma")
    >>> base.replace(proliferation_rate=0.05).value("proliferation_rate")
    0.05
    """

    __slots__ = ("_entries", "_name")
    _name: str
    _entries: Mapping[str, Parameter]

    def __init__(self, name: str, entries: Mapping[str, Parameter]) -> None:
        for key, entry in entries.items():
            if key != entry.name:
                raise InvalidInput(f"Parameter {entry.name!r} is filed under {key!r}.")
        object.__setattr__(self, "_name", name)
        object.__setattr__(self, "_entries", MappingProxyType(dict(entries)))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("a ParameterSet does not change; use .replace(name=value)")

    @property
    def name(self) -> str:
        """Name of the set that it was loaded from."""
        return self._name

    @property
    def site(self) -> Site:
        """The words of the site that the set is for."""
        return site_of(self._name)

    def __getitem__(self, name: str) -> Parameter:
        try:
            return self._entries[name]
        except KeyError:
            raise _unknown(name, [self.site.parameter(one) for one in self]) from None

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ParameterSet):
            return NotImplemented
        return self._name == other._name and dict(self._entries) == dict(other._entries)

    def __hash__(self) -> int:
        return hash((self._name, tuple(sorted((n, p.value) for n, p in self._entries.items()))))

    def __reduce__(self) -> tuple[Any, ...]:
        return ParameterSet, (self._name, dict(self._entries))

    def __repr__(self) -> str:
        values = ", ".join(f"{n}={p.value:g} {p.unit}" for n, p in self._entries.items())
        return f"ParameterSet({self._name!r}: {values})"

    def value(self, name: str) -> float:
        """Value of one parameter in its own unit."""
        return self[name].value

    def value_or(self, name: str, otherwise: float) -> float:
        """Value of a parameter in its own unit, or another one where the set has none."""
        return self[name].value if name in self else otherwise

    def with_entry(self, name: str, **fields: Any) -> ParameterSet:
        """Return a set with fields of one entry changed, such as its value, basis and source."""
        try:
            changed = replace(self[name], **fields)
        except InvalidInput as error:
            raise InvalidInput(self.site.said(str(error))) from None
        return ParameterSet(self._name, {**self._entries, name: changed})

    def replace(self, **values: float) -> ParameterSet:
        """Return a set with some values changed, each checked against its range."""
        changed = self
        for name, value in values.items():
            changed = changed.with_entry(name, value=value)
        return changed

    def as_dict(self) -> dict[str, Any]:
        """Name and entries as plain numbers and text."""
        return {
            "name": self._name,
            "entries": {name: entry.as_dict() for name, entry in self._entries.items()},
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], *, where: str = "parameters") -> ParameterSet:
        """Return the set that `as_dict` wrote."""
        entries = {}
        for name, entry in content["entries"].items():
            if not isinstance(entry, Mapping):
                raise InvalidInput(f"{where}: {name} must be a table with value, unit and source.")
            for key in entry:
                if key not in (*_KEYS, *_SELDOM):
                    near = difflib.get_close_matches(key, (*_KEYS, *_SELDOM), n=1)
                    hint = f"; did you mean {near[0]!r}?" if near else ""
                    raise InvalidInput(f"{where}: {name} has an unknown key {key!r}{hint}")
            for key in ("value", "unit", "low", "high", "source"):
                if key not in entry:
                    raise InvalidInput(f"{where}: parameter {name!r} has no {key}; add one.")
            plain = {key: entry[key] for key in entry if key not in ("prior", "joint", "markers")}
            joint = entry.get("joint")
            try:
                entries[name] = Parameter(
                    name=name,
                    prior=prior_of(entry.get("prior")),
                    joint=None if joint is None else Joint.of(joint),
                    markers=tuple(entry.get("markers", ())),
                    **plain,
                )
            except (InvalidInput, TypeError) as error:
                raise InvalidInput(f"{where}: {error}") from None
        return cls(content["name"], entries)


def _unknown(name: object, known: list[str]) -> InvalidInput:
    reason = against_kickoff(str(name), known)
    if reason:
        return InvalidInput(f"There is no parameter {name!r}.{reason}")
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    if near:
        return InvalidInput(f"There is no parameter {name!r}; did you mean {near[0]!r}?")
    return InvalidInput(f"There is no parameter {name!r}; known are {', '.join(known)}.")


def parameter_set_names() -> tuple[str, ...]:
    """Names of the packaged parameter sets."""
    files = data_folder().joinpath("parameters").iterdir()
    return tuple(sorted(f.name.removesuffix(".toml") for f in files if f.name.endswith(".toml")))


def load_parameter_set(name: str) -> ParameterSet:
    """Return a packaged set of parameters.

    Parameters
    ----------
    name : str
        File name in ``data/parameters/`` without ``.toml``.

    Raises
    ------
    InvalidInput
        No such set, or an entry without unit, range or source.

    Examples
    --------
    >>> load_parameter_set("glioblastoma")["alpha"].basis
    'image'
    """
    names = parameter_set_names()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(names)}."
        raise InvalidInput(f"There is no parameter set {name!r}{hint}")
    path = data_folder().joinpath("parameters", f"{name}.toml")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path.name} is not valid TOML: {error}.") from None
    site, written = site_of(name), content.get("parameter", {})
    entries = {site.internal(own): entry for own, entry in written.items()}
    return ParameterSet.from_dict({"name": name, "entries": entries}, where=path.name)
