"""One trial's benefit is not credited to a drug's effect and to an interaction at once."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from twin.errors import InvalidInput

if TYPE_CHECKING:
    from twin.drugs import DrugData
    from twin.parameters import ParameterSet

__all__ = ["refuse_double_counting", "trial_keys"]

_DOI = re.compile(r"10\.\d{4,9}/[^\s,;)\]]+")


def _dois(text: str) -> set[str]:
    return {doi.lower().rstrip(".") for doi in _DOI.findall(text)}


def trial_keys(text: str) -> frozenset[str]:
    """What identifies a trial: its DOIs, and the names beside them.

    Parameters
    ----------
    text : str
        As `fitted_to` has it: a name, a DOI, or both, separated by commas.

    Examples
    --------
    >>> sorted(trial_keys("Stupp 2005, doi:10.1056/NEJMoa043330"))
    ['10.1056/nejmoa043330', 'stupp 2005']
    """
    parts = re.split(r"[,;()]", _DOI.sub("", text).lower())
    names = {" ".join(re.sub(r"\bdoi\b|[^\w\s-]", " ", part).split()) for part in parts}
    return frozenset(_dois(text) | names - {""})


def _keys(drug: DrugData, quantities: Iterable[str], fitted_to: str, own: ParameterSet) -> set[str]:
    """The trials that some numbers of a drug are fitted to, the patient's own ones first."""
    found: set[str] = set()
    for quantity in quantities:
        name = f"{drug.name}_{quantity}"
        entry = own[name] if name in own else drug.parameters[name]
        found |= trial_keys(entry.fitted_to or fitted_to) | _dois(entry.source)
    return found


def refuse_double_counting(drugs: Iterable[DrugData], own: ParameterSet) -> None:
    """Refuse an effect and an interaction with radiation that are fitted to one trial.

    Both of one drug, or of two that are given together: what the trial gained over its other
    arm would be counted twice. Trials are the same where a DOI (of `fitted_to` or of the source)
    or a name (of `fitted_to`) is.

    Parameters
    ----------
    drugs : iterable of DrugData
        All drugs of one treatment.
    own : ParameterSet
        The patient's; its entries take the place of a drug's own.

    Raises
    ------
    InvalidInput
        The drugs and the trial are named.
    """
    given = list(drugs)
    for sensitiser in given:
        if sensitiser.interaction == "additive":
            continue
        gained = _keys(sensitiser, sensitiser.of_interaction, sensitiser.interaction_fitted_to, own)
        for drug in given:
            shared = gained & _keys(drug, drug.of_effect, drug.effect_fitted_to, own)
            if shared:
                raise InvalidInput(
                    f"The effect of {drug.name} and the interaction of {sensitiser.name} with "
                    f"radiation are both fitted to {max(shared)}, which counts its benefit twice; "
                    "leave one of the two out, or say in fitted_to what this patient's own value "
                    "is fitted to."
                )
