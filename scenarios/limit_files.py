"""What the files of ``data/limits`` have in common: organs by name, and how they are read."""

from __future__ import annotations

import fnmatch
import re
import tomllib
from typing import TypeVar

from pydantic import Field

from twin.examples import data_file
from twin.toml_file import FileModel, check

__all__ = ["OfOrgans", "packaged_limits"]

File = TypeVar("File", bound=FileModel)


class OfOrgans(FileModel):
    """An entry about organs of certain names."""

    organs: tuple[str, ...] = Field(min_length=1, description="names; * stands for any text")

    def concerns(self, organ: str) -> bool:
        """Whether an organ of this name is meant; case, spaces and hyphens do not matter.

        Examples
        --------
        >>> brainstem = OfOrgans(organs=("brainstem*", "brain_stem*"))
        >>> brainstem.concerns("Brain stem"), brainstem.concerns("brain_minus_target")
        (True, False)
        """
        plain = re.sub(r"[\s-]+", "_", organ.strip().lower())
        return any(fnmatch.fnmatchcase(plain, pattern) for pattern in self.organs)


def packaged_limits(model: type[File], file: str) -> File:
    """A file of ``data/limits``, checked.

    Raises
    ------
    InvalidInput
        No such file, or an entry that does not hold; the place in the file is named.
    """
    text = data_file("limits", file).read_text(encoding="utf-8")
    return check(model, tomllib.loads(text), where=file)
