"""``[[scenario.hyperthermia]]``: what the table may hold, and the course that it is."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from scenarios.course_tables import StudyTable, quantity
from twin.courses import Hyperthermia
from twin.hyperthermia import Often
from twin.units import parse_quantity

__all__ = ["HyperthermiaTable"]


def _minutes(text: Any) -> float:
    return parse_quantity(text, "min", where="")


def _signed_hours(text: Any) -> float:
    return parse_quantity(text, "h", where="", at_least=None)


def _celsius(text: Any) -> float | None:
    return None if text is None else parse_quantity(text, "degC", where="", at_least=None)


_TEXT = WithJsonSchema({"type": "string"})
Minute = Annotated[float, BeforeValidator(_minutes), _TEXT]
SignedHour = Annotated[float, BeforeValidator(_signed_hours), _TEXT]
Celsius = Annotated[float | None, BeforeValidator(_celsius), _TEXT]


class HyperthermiaTable(StudyTable):
    """Sessions of heat during the first course of radiotherapy."""

    temperature: Celsius = Field(
        default=None,
        description="of the heated structure, the same everywhere in it, with its unit",
        examples=["41.5 degC"],
    )
    map: str | None = Field(
        default=None, description="name of a temperature map in patient.toml, instead"
    )
    structure: str = Field(default="gtv", description="what is heated")
    minutes: Minute = quantity("length of a session at that temperature", "60 min")
    often: Often = Field(default="weekly", description="from the first fraction on")
    gap: SignedHour = quantity(
        "from the fraction to the session; negative where the session comes first", "1 h"
    )
    sessions: int | None = Field(
        default=None, ge=1, le=60, description="at most; as many as fit if absent"
    )

    def course(self) -> Hyperthermia:
        """The course, checked."""
        return Hyperthermia(
            temperature_c=self.temperature,
            temperature_map=self.map,
            structure=self.structure,
            minutes=self.minutes,
            often=self.often,
            gap_h=self.gap,
            sessions=self.sessions,
        )
