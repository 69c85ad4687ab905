"""TOML files against pydantic models, with one clear sentence for the first mistake."""

from __future__ import annotations

import datetime as dt
import difflib
import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, WithJsonSchema

from twin.errors import InvalidInput
from twin.repopulation import against_kickoff
from twin.units import parse_quantity

__all__ = ["Date", "FileModel", "check", "quantity", "read_toml"]

_MAX_BYTES = 2**20


class FileModel(BaseModel):
    """Base of every table in a file: unknown keys are refused, objects do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


def quantity(
    unit: str, *, example: str, at_least: float = 0.0, at_most: float | None = None
) -> Any:
    """Return the type of a field that is written with its unit and kept as a float in `unit`.

    Examples
    --------
    >>> class Box(FileModel):
    ...     side: quantity("mm", example="15 mm")
    >>> check(Box, {"side": "2 cm"}, where="box.toml").side
    20.0
    """

    def parse(value: object) -> float:
        return parse_quantity(value, unit, where="", at_least=at_least, at_most=at_most)

    schema = {
        "type": "string",
        "description": f"a number with its unit, convertible to {unit}",
        "examples": [example],
    }
    return Annotated[float, BeforeValidator(parse), WithJsonSchema(schema)]


def _date(value: object) -> dt.date:
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        return value
    if isinstance(value, str):
        try:
            return dt.date.fromisoformat(value)
        except ValueError:
            pass
    raise InvalidInput(f"{value} is not a date; write for example 2026-03-30.")


#: A calendar date, as TOML writes it.
Date = Annotated[dt.date, BeforeValidator(_date)]


def read_toml(path: str | os.PathLike[str], *, what: str) -> dict[str, Any]:
    """Return the content of a TOML file.

    Raises
    ------
    InvalidInput
        Missing, too large, not UTF-8 or not TOML.
    """
    file = Path(path)
    if not file.is_file():
        raise InvalidInput(f"The {what} {file} does not exist; check name and folder.")
    if file.stat().st_size > _MAX_BYTES:
        raise InvalidInput(f"The {what} {file} is larger than 1 MiB; give a TOML file.")
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(f"The {what} {file} is not valid TOML: {error}.") from None
    except UnicodeDecodeError:
        raise InvalidInput(f"The {what} {file} is not text in UTF-8; save it as UTF-8.") from None
    except OSError as error:
        raise InvalidInput(f"The {what} {file} cannot be read: {error.strerror}.") from None


Model = TypeVar("Model", bound=BaseModel)


def check(model: type[Model], content: Mapping[str, Any], *, where: str) -> Model:
    """Return `content` as a `model`, or say in one sentence what is wrong first.

    Raises
    ------
    InvalidInput
        With the place in the file, the value, and the nearest known key where
        one is misspelt.

    Examples
    --------
    >>> class Box(FileModel):
    ...     side: quantity("mm", example="15 mm")
    >>> check(Box, {"sied": "2 cm"}, where="box.toml")
    Traceback (most recent call last):
    twin.errors.InvalidInput: box.toml: "sied" is not known here; did you mean "side"?
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        faults = error.errors(include_url=False)
    # A misspelt key also reports the right one as missing: say the misspelling.
    order = {"extra_forbidden": 0, "missing": 2, "too_short": 3}
    fault = min(faults, key=lambda item: order.get(item["type"], 1))
    raise InvalidInput(f"{where}: {_sentence(fault, model)}")


def _sentence(fault: Any, model: type[BaseModel]) -> str:
    path: Sequence[str | int] = fault["loc"]
    place = _place(path)
    if fault["type"] == "extra_forbidden":
        known = _known_keys(model, path[:-1])
        near = difflib.get_close_matches(str(path[-1]), known, n=1, cutoff=0.5)
        hint = f'; did you mean "{near[0]}"?' if near else f"; known are {', '.join(known)}."
        inside = f" in {_place(path[:-1])}" if len(path) > 1 else " here"
        reason = against_kickoff(str(path[-1]))
        if reason:
            return f'"{path[-1]}" is not known{inside}.{reason}'
        return f'"{path[-1]}" is not known{inside}{hint}'
    if fault["type"] == "missing":
        inside = f" in {_place(path[:-1])}" if len(path) > 1 else ""
        return f'"{path[-1]}" is missing{inside}; add it.'
    inner = fault.get("ctx", {}).get("error")
    if isinstance(inner, InvalidInput):
        text = str(inner).removeprefix(": ")
        return f"{place}: {text}" if place else text
    shown = repr(fault["input"])
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    return f"{place} is {shown}, but: {fault['msg'][:1].lower()}{fault['msg'][1:]}."


def _place(path: Sequence[str | int]) -> str:
    """``visit[0].t1`` as people count: ``visit 1, t1``."""
    words: list[str] = []
    for part in path:
        if isinstance(part, int) and words:
            words[-1] += f" {part + 1}"
        elif isinstance(part, str) and not part.startswith(("function-", "constrained-")):
            words.append(part)
    return ", ".join(words)


def _known_keys(model: type[BaseModel], path: Sequence[str | int]) -> list[str]:
    """Return the keys allowed at `path`, by walking the model's JSON schema."""
    schema = model.model_json_schema(by_alias=True)
    definitions = schema.get("$defs", {})
    nodes = [schema]
    for part in path:
        reached = []
        for node in _resolved(nodes, definitions):
            if isinstance(part, int):
                reached += [node["items"]] if "items" in node else []
            elif part in node.get("properties", {}):
                reached.append(node["properties"][part])
            elif isinstance(node.get("additionalProperties"), dict):
                reached.append(node["additionalProperties"])
        nodes = reached or nodes  # a part that only names a branch of a union
    return [key for node in _resolved(nodes, definitions) for key in node.get("properties", {})]


def _resolved(nodes: list[Any], definitions: Mapping[str, Any]) -> list[Any]:
    plain = []
    for node in nodes:
        if "$ref" in node:
            node = definitions[node["$ref"].rsplit("/", 1)[-1]]
        branches = node.get("anyOf", node.get("allOf"))
        plain += _resolved(branches, definitions) if branches else [node]
    return plain
