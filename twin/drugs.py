"""Drugs by name: route, kinetics, effect and their numbers, from ``data/drugs``."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from pydantic import Field

from twin.double_counting import trial_keys
from twin.errors import InvalidInput
from twin.examples import data_file, data_folder
from twin.parameters import ParameterSet
from twin.toml_file import FileModel, check
from twin.units import parse_unit

__all__ = [
    "DrugData",
    "drug_names",
    "load_drug",
    "read_drug",
    "with_drug_parameters",
    "with_numbers_of",
]

Kinetics = Literal["one compartment", "two compartments"]

#: Units of each quantity; a clearance and a volume may also be by body surface.
_UNITS: dict[str, tuple[str, ...]] = {
    "clearance": ("L/h", "L/(h m2)"),
    "half_life": ("h",),
    "half_life_fast": ("h",),
    "half_life_slow": ("h",),
    "volume": ("L", "L/m2"),
    "absorption": ("1/h",),
    "bioavailability": ("1",),
    "infusion_time": ("h",),
    "tumour_to_plasma": ("1",),
    "brain_to_plasma": ("1",),
    "kill": ("L/(mg h)",),
    "largest_kill_rate": ("1/day",),
    "half_concentration": ("mg/L",),
    "hill": ("1",),
    "killing_factor": ("1",),
    "sensitisation": ("1",),
    "sensitising_concentration": ("mg/L",),
}
_OF_KINETICS = {
    "one compartment": ("clearance", "half_life"),
    "two compartments": ("clearance", "half_life_fast", "half_life_slow", "volume"),
}
_OF_EFFECT = {
    "log-kill": ("kill",),
    "Emax": ("largest_kill_rate", "half_concentration", "hill"),
    "checkpoint": ("killing_factor", "half_concentration"),
}
_OF_SENSITISATION = ("sensitisation", "sensitising_concentration")


class _DrugFile(FileModel):
    """``data/drugs/NAME.toml``."""

    format: Literal[1]
    title: str
    note: str = ""
    route: Literal["oral", "infusion"]
    kinetics: Kinetics | None = None
    clearance_by_filtration: bool = Field(
        default=False, description="the clearance is the filtration rate + 25 mL/min (Calvert)"
    )
    effect: Literal["log-kill", "Emax", "checkpoint"]
    effect_fitted_to: str = Field(default="", description="the trial that the effect is fitted to")
    interaction: Literal["additive", "supra-additive"] = "additive"
    interaction_fitted_to: str = ""
    fixed_doses: bool = Field(
        default=False, description="doses are the same for everybody, in mg, not by body surface"
    )
    patient_parameters: bool = Field(
        default=False, description="the numbers are those of the patient's parameter set"
    )
    parameter: dict[str, dict[str, Any]] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DrugData:
    """One drug.

    Parameters
    ----------
    name, title, note : str
    route : {"oral", "infusion"}
        An infusion without a time is a bolus, an oral dose without absorption as well.
    kinetics : {"one compartment", "two compartments"}
    clearance_by_filtration : bool
        The clearance follows from the patient's filtration rate where that is known.
    effect : {"log-kill", "Emax", "checkpoint"}
        The last kills no cell: effector cells kill faster while it is there.
    interaction : {"additive", "supra-additive"}
        With radiation.
    fixed_doses : bool
        Doses are in mg, the same for everybody, not by body surface.
    patient_parameters : bool
        The numbers are entries ``NAME_clearance``, ... of the patient's parameter set.
    parameters : ParameterSet
        ``NAME_clearance`` and the like, each with unit, range, source and evidence.
    effect_fitted_to, interaction_fitted_to : str
        The trials of both, for `twin.double_counting`.
    """

    name: str
    title: str
    note: str
    route: str
    kinetics: str
    clearance_by_filtration: bool
    effect: str
    interaction: str
    patient_parameters: bool
    parameters: ParameterSet
    effect_fitted_to: str = ""
    interaction_fitted_to: str = ""
    fixed_doses: bool = False

    @property
    def of_effect(self) -> tuple[str, ...]:
        """The quantities of its effect."""
        return _OF_EFFECT[self.effect]

    @property
    def of_interaction(self) -> tuple[str, ...]:
        """The quantities of its interaction with radiation."""
        return () if self.interaction == "additive" else _OF_SENSITISATION

    def value(self, quantity: str, own: ParameterSet) -> float:
        """A quantity in its own unit: the patient's where their parameters have it."""
        name = f"{self.name}_{quantity}"
        return own.value(name) if name in own else self.parameters.value(name)

    def unit(self, quantity: str) -> str:
        """Unit in which a quantity is written."""
        return self.parameters[f"{self.name}_{quantity}"].unit

    def has(self, quantity: str) -> bool:
        """Whether the file has a quantity that may be left out."""
        return f"{self.name}_{quantity}" in self.parameters

    def as_dict(self) -> dict[str, Any]:
        """All that a run depends on, for hashes and records."""
        return {
            "name": self.name,
            "route": self.route,
            "kinetics": self.kinetics,
            "clearance_by_filtration": self.clearance_by_filtration,
            "effect": self.effect,
            "interaction": self.interaction,
            "patient_parameters": self.patient_parameters,
            "parameters": self.parameters.as_dict(),
        }


def drug_names() -> tuple[str, ...]:
    """Names of the packaged drugs.

    Examples
    --------
    >>> "lomustine" in drug_names()
    True
    """
    files = data_folder().joinpath("drugs").iterdir()
    return tuple(sorted(f.name.removesuffix(".toml") for f in files if f.name.endswith(".toml")))


@cache
def load_drug(name: str) -> DrugData:
    """A packaged drug.

    Parameters
    ----------
    name : str
        File name in ``data/drugs/`` without ``.toml``.

    Raises
    ------
    InvalidInput
        No such drug (the nearest is suggested), a drug without kinetics, an entry without
        unit, range or source, an effect and an interaction fitted to one trial.

    Examples
    --------
    >>> load_drug("lomustine").route
    'oral'
    """
    names = drug_names()
    if name not in names:
        near = difflib.get_close_matches(str(name).lower(), names, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(names)}."
        raise InvalidInput(f"There is no drug {name!r} in data/drugs; {hint}")
    text = data_file("drugs", f"{name}.toml").read_text(encoding="utf-8")
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(f"drugs/{name}.toml is not valid TOML: {error}.") from None
    return read_drug(name, content)


def read_drug(name: str, content: Mapping[str, Any]) -> DrugData:
    """The drug that the content of its file describes, checked; errors as `load_drug`."""
    where = f"drugs/{name}.toml"
    file = check(_DrugFile, content, where=where)
    if file.kinetics is None:
        raise InvalidInput(
            f"{name.capitalize()} is a drug without kinetics, so no run can give it; add kinetics "
            f"and their parameters to {where}."
        )
    if trial_keys(file.effect_fitted_to) & trial_keys(file.interaction_fitted_to):
        raise InvalidInput(
            f"{where}: effect and interaction with radiation are both fitted to "
            f"{file.effect_fitted_to}, which counts its benefit twice; keep one of the two."
        )
    entries = {f"{name}_{key}": entry for key, entry in file.parameter.items()}
    parameters = ParameterSet.from_dict({"name": name, "entries": entries}, where=where)
    if file.patient_parameters:
        if file.parameter:
            raise InvalidInput(
                f"{where}: the numbers are the patient's, but the file has some as well; keep one."
            )
    else:
        _check_quantities(file, parameters, name, where)
    return DrugData(
        name=name,
        title=file.title,
        note=file.note,
        route=file.route,
        kinetics=file.kinetics,
        clearance_by_filtration=file.clearance_by_filtration,
        effect=file.effect,
        interaction=file.interaction,
        patient_parameters=file.patient_parameters,
        parameters=parameters,
        effect_fitted_to=file.effect_fitted_to,
        interaction_fitted_to=file.interaction_fitted_to,
        fixed_doses=file.fixed_doses,
    )


def _check_quantities(file: _DrugFile, parameters: ParameterSet, name: str, where: str) -> None:
    """Every quantity that the stated forms need, each in its unit, and no other."""
    assert file.kinetics is not None  # noqa: S101
    if file.effect == "checkpoint" and file.interaction != "additive":
        raise InvalidInput(
            f"{where}: a checkpoint drug acts on effector cells, not on what radiation does; write "
            'interaction = "additive".'
        )
    needed = [*_OF_KINETICS[file.kinetics], *_OF_EFFECT[file.effect], "tumour_to_plasma"]
    if file.interaction == "supra-additive":
        needed += _OF_SENSITISATION
    spare = ["infusion_time"] if file.route == "infusion" else []
    if file.route == "oral" and file.kinetics == "one compartment":
        spare = ["absorption", "bioavailability"]
    spare.append("brain_to_plasma")
    if file.route == "oral" and file.kinetics == "two compartments":
        raise InvalidInput(
            f"{where}: an oral drug has one compartment here; write kinetics = "
            '"one compartment", or route = "infusion".'
        )
    for quantity in needed:
        if quantity not in file.parameter:
            raise InvalidInput(
                f"{where}: {quantity!r} is missing, which {file.kinetics}, {file.effect} and "
                f"{file.interaction} need; add [parameter.{quantity}]."
            )
    if file.effect == "checkpoint" and not (
        parameters[f"{name}_killing_factor"].low >= 1.0
        and parameters[f"{name}_killing_factor"].high <= 5.0
    ):
        raise InvalidInput(
            f"{where}: killing_factor multiplies the killing by effector cells 1 to 5 times; write "
            "low = 1.0 or more and high = 5.0 or less."
        )
    if file.interaction == "supra-additive" and parameters[f"{name}_sensitisation"].low < 1.0:
        raise InvalidInput(
            f"{where}: sensitisation is a factor on alpha of at least 1; write low = 1.0 or more."
        )
    for quantity in file.parameter:
        if quantity not in (*needed, *spare):
            known = (*needed, *spare)
            near = difflib.get_close_matches(quantity, known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}."
            raise InvalidInput(f"{where}: {quantity!r} plays no part in this drug; {hint}")
        unit = parameters[f"{name}_{quantity}"].unit
        if unit not in _UNITS[quantity]:
            parse_unit(unit)
            raise InvalidInput(
                f'{where}: {quantity} is in "{unit}"; write it in "{_UNITS[quantity][0]}"'
                + (f' or "{_UNITS[quantity][1]}".' if len(_UNITS[quantity]) > 1 else ".")
            )


def with_drug_parameters(base: ParameterSet, names: Iterable[str]) -> ParameterSet:
    """The set with those entries of `names` that drugs have and it has not.

    So that a patient, or a case of a study, can state a drug's number: ``lomustine_kill``.

    Examples
    --------
    >>> from twin.parameters import load_parameter_set
    >>> base = load_parameter_set("glioblastoma")
    >>> "lomustine_kill" in base, "lomustine_kill" in with_drug_parameters(base, ["lomustine_kill"])
    (False, True)
    """
    found = {}
    for name in names:
        drug = name.split("_")[0]
        if name in base or drug not in drug_names():
            continue
        entries = load_drug(drug).parameters
        if name not in entries:
            raise InvalidInput(
                f"There is no {name!r}; {drug} has {', '.join(entries) or 'no numbers here'}."
            )
        found[name] = entries[name]
    if not found:
        return base
    return ParameterSet(base.name, {**{name: base[name] for name in base}, **found})


def with_numbers_of(base: ParameterSet, drugs: Iterable[str]) -> ParameterSet:
    """The set with every number that these drugs have and it has not, for records.

    Examples
    --------
    >>> from twin.parameters import load_parameter_set
    >>> base = load_parameter_set("glioblastoma")
    >>> with_numbers_of(base, ["lomustine"])["lomustine_kill"].evidence
    'D'
    """
    return with_drug_parameters(
        base, [name for drug in drugs for name in load_drug(drug).parameters]
    )
