"""What a study file may say about a fair comparison of its arms."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from scenarios.course_tables import StudyTable
from scenarios.isotoxic import WORST, Isotoxic
from twin.errors import InvalidInput
from twin.units import parse_quantity

__all__ = ["IsotoxicTable", "SensitivityTable"]


class IsotoxicTable(StudyTable):
    """``[isotoxic]``: all arms are rescaled to the same toxicity of the organ that limits them."""

    measure: Literal["eqd2 d0.03cc", "eqd2 mean", "ntcp"] = Field(
        description="what is to be the same; ntcp needs planned doses"
    )
    organ: str = Field(
        default=WORST,
        description="organ at risk; worst: the one with the largest ntcp, or eqd2 by its limit",
    )
    as_in: str | None = Field(default=None, description="the arm whose value all others get")
    value: str | None = Field(
        default=None, description='or a value with its unit: "54 Gy" of EQD2, "5 %" of ntcp'
    )

    @field_validator("value", mode="before")
    @classmethod
    def _text(cls, value: Any) -> Any:
        if isinstance(value, int | float) and not isinstance(value, bool):
            raise InvalidInput(
                f'{value} has no unit; write it in quotes with its unit, such as "54 Gy" or "5 %".'
            )
        return value

    def rule(self) -> Isotoxic:
        """The rule, checked."""
        unit = "1" if self.measure == "ntcp" else "Gy"
        value = None
        if self.value is not None:
            value = parse_quantity(self.value, unit, where="isotoxic, value")
        return Isotoxic(measure=self.measure, organ=self.organ, as_in=self.as_in, value=value)


class SensitivityTable(StudyTable):
    """``[sensitivity]``: cases that a statement about fraction size or margin needs."""

    fractionation: bool = Field(
        default=False,
        description="add the cases without which nothing is said about the best fraction size",
    )
    margin: bool = Field(default=False, description="the same cases, for the best margin")
