"""One clear sentence from what pydantic says about a file."""

from __future__ import annotations

import difflib
import textwrap
import typing
from typing import Any

from pydantic import BaseModel, ValidationError

__all__ = ["sentence_of"]

_NOUN = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "string_type": "text in quotes",
    "bool_type": "true or false",
    "float_type": "a number",
    "list_type": "a list of tables, written with double brackets",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}


def sentence_of(error: ValidationError, model: type[BaseModel], data: Any) -> str:
    """The first thing wrong, in one sentence: what, where, the value, what is allowed.

    Parameters
    ----------
    error : ValidationError
    model : type
        The model that was validated against.
    data : object
        What was validated, so that tables with a name can be called by it.
    """
    # An unknown key is the likely cause of what else is wrong, so it is said first.
    found = sorted(error.errors(), key=lambda item: item["type"] != "extra_forbidden")[0]
    location, kind, value = found["loc"], found["type"], found["input"]
    where = _where(location, data)
    if kind == "extra_forbidden":
        known = _known_keys(model, location[:-1])
        key = str(location[-1])
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}."
        parent = _where(location[:-1], data)
        return f"{parent + ': ' if parent else ''}unknown key {key!r}; {hint}"
    if kind == "missing":
        parent = _where(location[:-1], data)
        return f"{parent + ': ' if parent else ''}{location[-1]!r} is missing; add it."
    if kind == "value_error":
        return f"{where}: {str(found['ctx']['error']).removeprefix('@: ')}"
    if kind in _NOUN:
        noun = _NOUN[kind]
        if kind == "string_type" and isinstance(value, int | float):
            noun = "text in quotes, with its unit where it has one"
        return f"{where}: {textwrap.shorten(repr(value), 60)} must be {noun}."
    message = found["msg"].replace("Input should be", "must be")
    return f"{where}: {value!r} {message}."


def _where(location: tuple[int | str, ...], data: Any) -> str:
    parts: list[str] = []
    here = data
    for step in location:
        try:
            here = here[step]
        except (KeyError, IndexError, TypeError):
            here = None
        if isinstance(step, int):
            name = here.get("name") if isinstance(here, dict) else None
            parts[-1] += f" {name!r}" if isinstance(name, str) else f" {step + 1}"
        else:
            parts.append(step)
    return ", ".join(parts)


def _known_keys(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Keys of the table at `location`."""
    for step in location:
        if isinstance(step, int) or step not in model.model_fields:
            continue
        inner = _model_in(model.model_fields[step].annotation)
        if inner is None:
            return []
        model = inner
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in typing.get_args(annotation):
        found = _model_in(inner)
        if found is not None:
            return found
    return None
