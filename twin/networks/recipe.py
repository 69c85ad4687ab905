"""What a network expects and what its outputs mean: the recipe beside its weights."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from itertools import permutations, product
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from twin.errors import InvalidInput
from twin.toml_file import FileModel, check, quantity, read_toml

__all__ = ["EXAMPLE", "METADATA_KEY", "ExpectedRange", "OutputChannel", "Recipe", "find_recipe"]

#: The key of an ONNX file's own metadata under which a recipe may stand.
METADATA_KEY = "twin_recipe"

#: A whole recipe, for people to start from.
EXAMPLE = """\
format = 1
name = "glioma of four images"
version = "2.1"

[input]
channels = ["t1", "t1c", "t2", "flair"]   # roles, in the network's order
orientation = "RAS"                       # its axes run right, anterior, superior
spacing = ["1 mm", "1 mm", "1 mm"]
normalisation = "z-score of nonzero"      # or "z-score", "window", "none"

[patch]
size = [96, 96, 96]
overlap = 0.5

[output]
activation = "softmax"                    # or "sigmoid", "none" (probabilities already)
decision = "argmax"                       # or "threshold": channels over one another

[[output.channel]]
name = "background"
label = 0

[[output.channel]]
name = "enhancing tumour"
label = 1
"""

_ORIENTATIONS = frozenset(
    "".join(letters)
    for order in permutations((("R", "L"), ("A", "P"), ("S", "I")))
    for letters in product(*order)
)
_ROLE = re.compile(r"[a-z][a-z0-9_]{0,30}")

Length = quantity("mm", example="1 mm", at_least=0.05, at_most=100.0)


class InputTable(FileModel):
    """``[input]``: images by role and how they are prepared."""

    channels: tuple[str, ...] = Field(min_length=1, max_length=32)
    orientation: str = "RAS"
    spacing: tuple[Length, Length, Length]  # type: ignore[valid-type]
    normalisation: Literal["z-score of nonzero", "z-score", "window", "none"]
    window: tuple[float, float] | None = None
    interpolation: Literal["linear", "cubic"] = "linear"

    @field_validator("channels")
    @classmethod
    def _roles(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for role in value:
            if not _ROLE.fullmatch(role):
                raise InvalidInput(
                    f"{role!r} is no role; write a small letter, then letters, digits and _."
                )
        if len(set(value)) != len(value):
            raise InvalidInput("one role is given twice; every channel has its own.")
        return value

    @field_validator("orientation")
    @classmethod
    def _axes(cls, value: str) -> str:
        if value not in _ORIENTATIONS:
            raise InvalidInput(f"{value!r} names no three axes; write for example RAS or LPS.")
        return value

    @model_validator(mode="after")
    def _window(self) -> InputTable:
        if self.normalisation != "window":
            if self.window is not None:
                raise InvalidInput('a window goes with normalisation = "window" alone.')
        elif self.window is None or not self.window[0] < self.window[1]:
            raise InvalidInput(
                'normalisation = "window" needs window = [low, high] with low below high.'
            )
        return self


class PatchTable(FileModel):
    """``[patch]``: the box that the network sees at a time."""

    size: tuple[int, int, int]
    overlap: float = Field(default=0.5, ge=0.0, le=0.9)

    @field_validator("size")
    @classmethod
    def _sides(cls, value: tuple[int, int, int]) -> tuple[int, int, int]:
        if not all(1 <= side <= 512 for side in value):
            raise InvalidInput(f"{list(value)} is no patch; each side is from 1 to 512 voxels.")
        return value


class OutputChannel(FileModel):
    """One output channel: what it says and the number it becomes in the label map."""

    name: str = Field(min_length=1, max_length=60)
    label: int = Field(ge=0, le=65535)
    threshold: float = Field(default=0.5, gt=0.0, lt=1.0)


class OutputTable(FileModel):
    """``[output]``: from the network's numbers to labels."""

    activation: Literal["softmax", "sigmoid", "none"]
    decision: Literal["argmax", "threshold"]
    channel: tuple[OutputChannel, ...] = Field(min_length=1, max_length=256)

    @model_validator(mode="after")
    def _meaning(self) -> OutputTable:
        numbers = [channel.label for channel in self.channel]
        if len(set(numbers)) != len(numbers):
            raise InvalidInput("two channels have the same label; give each its own number.")
        if self.decision == "argmax" and len(numbers) < 2:
            raise InvalidInput(
                'decision = "argmax" needs two channels or more; for one write "threshold".'
            )
        if self.decision == "threshold" and 0 in numbers:
            raise InvalidInput(
                'with decision = "threshold" the background has no channel; remove label 0.'
            )
        return self


class ExpectedRange(FileModel):
    """``[expected.ROLE]``: between which bounds an image's statistics lay in training."""

    mean: tuple[float, float] | None = None
    standard_deviation: tuple[float, float] | None = None
    minimum: tuple[float, float] | None = None
    maximum: tuple[float, float] | None = None

    @field_validator("*")
    @classmethod
    def _ordered(
        cls, value: tuple[float, float] | None, information: ValidationInfo
    ) -> tuple[float, float] | None:
        if value is not None and not value[0] <= value[1]:
            raise InvalidInput(
                f"{information.field_name} is {list(value)}; write [lowest, highest]."
            )
        return value


class Recipe(FileModel):
    """A network's recipe, as its TOML file says it.

    Raises
    ------
    InvalidInput
        From `Recipe.of`, with the first mistake in one sentence.

    Examples
    --------
    >>> recipe = Recipe.of(tomllib.loads(EXAMPLE), where="model.toml")
    >>> recipe.input.channels, recipe.input.spacing
    (('t1', 't1c', 't2', 'flair'), (1.0, 1.0, 1.0))
    >>> recipe.label_names
    {1: 'enhancing tumour'}
    """

    format: Literal[1]
    name: str = Field(min_length=1, max_length=200)
    version: str = Field(default="", max_length=60)
    input: InputTable
    patch: PatchTable
    output: OutputTable
    expected: dict[str, ExpectedRange] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _roles_known(self) -> Recipe:
        for role in self.expected:
            if role not in self.input.channels:
                raise InvalidInput(
                    f"[expected.{role}] is about no input; the roles are "
                    f"{', '.join(self.input.channels)}."
                )
        return self

    @classmethod
    def of(cls, content: Mapping[str, Any], *, where: str) -> Recipe:
        """Return the recipe that parsed TOML holds."""
        return check(cls, content, where=where)

    @property
    def label_names(self) -> dict[int, str]:
        """Numbers of the label map and what they mean, without the background."""
        return {entry.label: entry.name for entry in self.output.channel if entry.label}


def find_recipe(
    model: Path, *, given: str | os.PathLike[str] | None, metadata: Mapping[str, str]
) -> Recipe:
    """Return a model's recipe: the file given, the one beside the model, or its own metadata.

    Parameters
    ----------
    model : Path
        ``net.onnx``; the file beside it is ``net.toml``.
    given : path or None
        A recipe named by the user; goes before all else.
    metadata : mapping of str to str
        What the model file says of itself; `METADATA_KEY` may hold a recipe as TOML.

    Raises
    ------
    InvalidInput
        None is there, or the first mistake in it.
    """
    beside = model.with_suffix(".toml")
    if given is not None:
        return Recipe.of(read_toml(given, what="recipe"), where=str(given))
    if beside.is_file():
        return Recipe.of(read_toml(beside, what="recipe"), where=str(beside))
    if METADATA_KEY in metadata:
        try:
            content = tomllib.loads(metadata[METADATA_KEY])
        except tomllib.TOMLDecodeError as error:
            raise InvalidInput(
                f"The recipe within {model.name} is not valid TOML: {error}."
            ) from None
        return Recipe.of(content, where=f"the recipe within {model.name}")
    raise InvalidInput(
        f"{model.name} has no recipe, so what its inputs and outputs mean is unknown; write "
        f"{beside.name} beside it or give --recipe ('twin segment --example-recipe' prints one)."
    )
