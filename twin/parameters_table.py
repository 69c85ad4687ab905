"""``[parameters]`` of ``patient.toml``: a named set, and what is this patient's own."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pydantic import ConfigDict, Field

from twin.errors import InvalidInput
from twin.markers import with_markers
from twin.packaged_numbers import with_packaged_numbers
from twin.parameters import ParameterSet, load_parameter_set
from twin.toml_file import FileModel
from twin.units import parse_quantity

__all__ = ["ParametersTable"]


class ParametersTable(FileModel):
    """``[parameters]``: a named set and this patient's changes, each with its unit."""

    model_config = ConfigDict(extra="allow", frozen=True)

    set: str = Field(description="name of a packaged parameter set")

    def resolve(
        self, *, where: str, markers: Mapping[str, str | int] = MappingProxyType({})
    ) -> ParameterSet:
        """Return the set with the changes, and as these markers make what is not changed."""
        place = f"{where}: parameters"
        try:
            base = load_parameter_set(self.set)
            own = {
                base.site.internal(name): value for name, value in (self.model_extra or {}).items()
            }
            base = with_packaged_numbers(base, own)
            units = {name: base[name].unit for name in own}
        except InvalidInput as error:
            raise InvalidInput(f"{place}: {error}") from None
        try:
            for name, unit in units.items():
                said = f"{place}, {base.site.parameter(name)}"
                base = base.with_entry(name, **_changes(own[name], unit, said))
        except InvalidInput as error:
            raise InvalidInput(f"{place}: {error}") from None
        try:
            return with_markers(base, {name: str(said) for name, said in markers.items()}, own=own)
        except InvalidInput as error:
            raise InvalidInput(f"{where}: markers: {error}") from None


def _changes(written: Any, unit: str, where: str) -> dict[str, Any]:
    """Fields of a parameter that a patient file changes: its value alone, or a table of them."""
    fields = dict(written) if isinstance(written, dict) else {"value": written}
    if "value" not in fields:
        raise InvalidInput(f'{where} has no value; write {{ value = "...", source = "..." }}.')
    known = ("value", "basis", "source", "evidence", "note", "fitted_to")
    for key in fields:
        if key not in known:
            raise InvalidInput(f"{where} has an unknown key {key!r}; there are {', '.join(known)}.")
    value = parse_quantity(fields.pop("value"), unit, where=where, at_least=None)
    for key, text in fields.items():
        if not isinstance(text, str):
            raise InvalidInput(f"{where}, {key} is {text!r}; write it as text.")
    return {"value": value, **fields}
