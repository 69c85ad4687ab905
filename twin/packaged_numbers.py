"""Numbers of treatments that are no drugs, and of drugs, beside a patient's parameter set.

A parameter set holds what every run needs. What a treatment needs besides is in its own file
(``data/treatments/NAME.toml``, ``data/drugs/NAME.toml``) and joins the set only where the
treatment is given or a patient states it: ``hyperthermia_enhancement_alpha``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from functools import cache
from typing import Any, Literal

from pydantic import Field

from twin.drugs import drug_names, with_drug_parameters, with_numbers_of
from twin.errors import InvalidInput
from twin.examples import data_file, data_folder
from twin.model_choice import ModelChoice
from twin.parameters import Parameter, ParameterSet
from twin.regimen import Regimen
from twin.toml_file import FileModel, check

__all__ = [
    "numbers_of",
    "treatment_names",
    "treatment_numbers",
    "value_of",
    "with_numbers_in_use",
    "with_packaged_numbers",
]


class _NumbersFile(FileModel):
    """``data/treatments/NAME.toml``."""

    format: Literal[1]
    title: str
    note: str = ""
    parameter: dict[str, dict[str, Any]] = Field(min_length=1)


@cache
def treatment_names() -> tuple[str, ...]:
    """Treatments, and parts of the model, that have numbers of their own.

    Examples
    --------
    >>> treatment_names()
    ('hyperthermia', 'immunity')
    """
    files = data_folder().joinpath("treatments").iterdir()
    return tuple(sorted(f.name.removesuffix(".toml") for f in files if f.name.endswith(".toml")))


@cache
def treatment_numbers(name: str) -> ParameterSet:
    """The numbers of a treatment, each by the treatment's name and its own.

    Examples
    --------
    >>> treatment_numbers("hyperthermia").value("hyperthermia_enhancement_alpha")
    1.73
    """
    where = f"treatments/{name}.toml"
    text = data_file("treatments", f"{name}.toml").read_text(encoding="utf-8")
    file = check(_NumbersFile, tomllib.loads(text), where=where)
    entries = {f"{name}_{key}": entry for key, entry in file.parameter.items()}
    return ParameterSet.from_dict({"name": name, "entries": entries}, where=where)


def value_of(name: str, own: ParameterSet) -> float:
    """A number of a treatment: the patient's where their parameters have it.

    Examples
    --------
    >>> from twin.parameters import load_parameter_set
    >>> value_of("immunity_recruitment", load_parameter_set("glioblastoma"))
    0.1245
    """
    return own.value(name) if name in own else treatment_numbers(name.split("_")[0]).value(name)


def with_packaged_numbers(base: ParameterSet, names: Iterable[str]) -> ParameterSet:
    """The set with those entries of `names` that drugs or treatments have and it has not.

    Raises
    ------
    InvalidInput
        A name that begins with that of a drug or a treatment and is none of its numbers.

    Examples
    --------
    >>> from twin.parameters import load_parameter_set
    >>> base = load_parameter_set("glioblastoma")
    >>> "immunity_volume" in with_packaged_numbers(base, ["immunity_volume"])
    True
    """
    wanted = list(names)
    base = with_drug_parameters(base, wanted)
    found = {}
    for name in wanted:
        owner = name.split("_")[0]
        if name in base or owner not in treatment_names() or owner in drug_names():
            continue
        entries = treatment_numbers(owner)
        if name not in entries:
            raise InvalidInput(f"There is no {name!r}; {owner} has {', '.join(entries)}.")
        found[name] = entries[name]
    return _joined(base, found)


def numbers_of(regimen: Regimen, model: ModelChoice) -> tuple[str, ...]:
    """The treatments and parts of the model with numbers of their own that a run uses.

    Examples
    --------
    >>> numbers_of(Regimen(), ModelChoice(immunity=True))
    ('immunity',)
    """
    found = ["hyperthermia"] if regimen.hyperthermia else []
    return tuple(found + (["immunity"] if model.immunity else []))


def with_numbers_in_use(base: ParameterSet, regimen: Regimen, model: ModelChoice) -> ParameterSet:
    """The set with every number of its drugs, treatments and model that it has not, for records.

    Examples
    --------
    >>> from twin.parameters import load_parameter_set
    >>> base = load_parameter_set("glioblastoma")
    >>> with_numbers_in_use(base, Regimen(), ModelChoice()) is base
    True
    """
    base = with_numbers_of(base, regimen.drug_names)
    found: dict[str, Parameter] = {}
    for owner in numbers_of(regimen, model):
        entries = treatment_numbers(owner)
        found |= {name: entries[name] for name in entries if name not in base}
    return _joined(base, found)


def _joined(base: ParameterSet, found: dict[str, Parameter]) -> ParameterSet:
    if not found:
        return base
    return ParameterSet(base.name, {**{name: base[name] for name in base}, **found})
