"""One arm of a study, and one assumption about what is not known of the patient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from twin.errors import InvalidInput
from twin.packaged_numbers import with_packaged_numbers
from twin.regimen import Regimen
from twin.setup_error import SetupError
from twin.units import parse_quantity

if TYPE_CHECKING:
    from scenarios.isotoxic import Rescaled
    from twin.parameters import ParameterSet

__all__ = ["Case", "Scenario"]


def _check_name(what: str, name: str) -> None:
    if not (isinstance(name, str) and name.strip() and name.isprintable() and len(name) <= 80):
        raise InvalidInput(
            f"The {what} name {name!r} cannot be used; give 1 to 80 printable characters."
        )


@dataclass(frozen=True, slots=True)
class Scenario:
    """One treatment arm: a name, a regimen, and the arm that it is compared with.

    `rescaled` says what its doses were before they were made isotoxic.

    Examples
    --------
    >>> Scenario("no treatment", Regimen()).compared_with is None
    True
    """

    name: str
    regimen: Regimen
    compared_with: str | None = None
    rescaled: Rescaled | None = None

    def __post_init__(self) -> None:
        _check_name("scenario", self.name)
        if self.compared_with == self.name:
            raise InvalidInput(
                f"Scenario {self.name!r} is compared with itself; name another one or none."
            )

    @property
    def prescribed(self) -> Regimen:
        """The regimen before its doses were made isotoxic."""
        return self.regimen if self.rescaled is None else self.rescaled.prescribed


@dataclass(frozen=True, slots=True)
class Case:
    """One assumption about the unknown parameters.

    Parameters
    ----------
    name : str
    changes : mapping of str to str or float
        Parameters by name; text with a unit ("0.045 1/day"), or a plain number in
        the unit of the parameter set.
    setup : SetupError or None
        Where the dose of every arm goes instead of its place.
    profile : str or None
        Initial profile ("settled", "step") instead of the solver's own.

    Examples
    --------
    >>> from twin.parameters import load_parameter_set
    >>> case = Case("resistant", {"alpha": "0.025 1/Gy"})
    >>> case.parameters(load_parameter_set("glioblastoma")).value("alpha")
    0.025
    """

    name: str
    changes: Mapping[str, str | float] = field(default_factory=dict)
    setup: SetupError | None = None
    profile: str | None = None

    def __post_init__(self) -> None:
        _check_name("case", self.name)
        object.__setattr__(self, "changes", MappingProxyType(dict(self.changes)))

    def values(self, base: ParameterSet) -> dict[str, float]:
        """The changed parameters as plain numbers in the units of `base`."""
        found: dict[str, float] = {}
        changes = {base.site.internal(name): value for name, value in self.changes.items()}
        base = with_packaged_numbers(base, changes)
        for name, value in changes.items():
            entry = base[name]
            if isinstance(value, str):
                where = f"Case {self.name!r}, {base.site.parameter(name)}"
                found[name] = parse_quantity(value, entry.unit, where=where, at_least=None)
            else:
                found[name] = float(value)
        return found

    def parameters(self, base: ParameterSet) -> ParameterSet:
        """The parameter set of this case, each change checked against its range."""
        try:
            return with_packaged_numbers(base, self.changes).replace(**self.values(base))
        except InvalidInput as error:
            if str(error).startswith("Case "):
                raise
            raise InvalidInput(f"Case {self.name!r}: {error}") from None
