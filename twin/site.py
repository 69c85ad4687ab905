"""The words of a tumour's site: what its tissues, outlines and parameters are called there.

The program was made for tumours of the brain, and its tissues, parts and thresholds have the
names of that: ``fluid``, ``grey_matter``, ``white_matter``; ``enhancing``, ``flair``; ``t1gd``.
Another site has the same roles, a barrier, two tissues of different migration, a dense part and
what surrounds it, under names of its own. Its parameter set states them in ``[site]``, and this
file is the only place that knows both: patient and study files are read, and tables, pictures and
sentences are written, in the site's words; arrays, hashes and results keep the program's.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from twin.errors import InvalidInput
from twin.examples import data_folder

__all__ = ["BRAIN", "Site", "site_from_record", "site_of"]

_TISSUES = ("fluid", "grey_matter", "white_matter")
_PARTS = ("necrosis", "enhancing", "flair")
_THRESHOLDS = ("t1gd", "flair")
_OF_BRAIN = {
    "tissues": dict(zip(_TISSUES, _TISSUES, strict=True)),
    "parts": dict(zip(_PARTS, _PARTS, strict=True)),
    "thresholds": {"t1gd": "T1Gd", "flair": "FLAIR"},
}


def _frozen(kind: str) -> Any:
    return field(default_factory=lambda: MappingProxyType(_OF_BRAIN[kind]))


@dataclass(frozen=True, slots=True)
class Site:
    """What is called how where the tumour lies; without arguments, the brain.

    Parameters
    ----------
    name : str
        Of the parameter set.
    organ : str
        In which the tumour lies, as legends say it.
    body : str
        What the tissue map covers, as messages about images say it.
    tissues : mapping of str to str
        By "fluid" (a barrier), "grey_matter" and "white_matter" the site's own name; a site may
        have fewer.
    parts : mapping of str to str
        The same of the tumour's parts "necrosis", "enhancing" and "flair".
    thresholds : mapping of str to str
        How the outlines "t1gd" and "flair" are written.
    curative : bool
        Treated to cure: reported are probabilities of control, no progression.

    Examples
    --------
    >>> breast = site_of("breast")
    >>> breast.tissue("white_matter"), breast.parameter("diffusivity_white")
    ('fibroglandular', 'diffusivity_fibroglandular')
    >>> breast.internal("diffusivity_fibroglandular")
    'diffusivity_white'
    """

    name: str = "brain"
    organ: str = "brain"
    body: str = "head"
    tissues: Mapping[str, str] = _frozen("tissues")
    parts: Mapping[str, str] = _frozen("parts")
    thresholds: Mapping[str, str] = _frozen("thresholds")
    curative: bool = False

    def __post_init__(self) -> None:
        for what, known, needed in (
            ("tissues", _TISSUES, ("white_matter",)),
            ("parts", _PARTS, ("enhancing", "flair")),
            ("thresholds", _THRESHOLDS, _THRESHOLDS),
        ):
            own = dict(getattr(self, what))
            missing, odd = set(needed) - set(own), set(own) - set(known)
            if missing or odd:
                raise InvalidInput(
                    f"The site {self.name!r} needs {what} {', '.join(needed)} out of "
                    f"{', '.join(known)}, not {', '.join(sorted(own)) or 'none'}."
                )
            if len(set(own.values())) < len(own):
                raise InvalidInput(f"The site {self.name!r} gives one name to two of its {what}.")
            object.__setattr__(self, what, MappingProxyType(own))

    @property
    def is_brain(self) -> bool:
        """Whether the program's own words hold."""
        return self.name == "brain"

    def tissue(self, name: str) -> str:
        """What a tissue or a label of the mesh is called."""
        return self.tissues.get(name, self.parts.get(name, name))

    def part(self, name: str) -> str:
        """What a structure of the tumour is called; another structure keeps its name."""
        if name == "brain":
            return self.organ
        return self.parts.get(name, name)

    def threshold(self, name: str) -> str:
        """How a threshold of visibility is written; an unknown one keeps its name.

        >>> Site().threshold("t1gd"), Site().threshold("pet")
        ('T1Gd', 'pet')
        """
        return self.thresholds.get(name, name)

    def parameter(self, name: str) -> str:
        """What a parameter of the program is called."""
        return self._own_parameters().get(name, name)

    def internal(self, name: str) -> str:
        """The program's name of a parameter of the site's own name."""
        own = {new: old for old, new in self._own_parameters().items()}
        return own.get(name, name)

    def said(self, text: str) -> str:
        """A message with the site's own names of parameters.

        >>> site_of("breast").said("Parameter 'threshold_flair' is 2.")
        "Parameter 'threshold_lesion' is 2."
        """
        own = self._own_parameters()
        pattern = r"\b(" + "|".join(map(re.escape, own)) + r")\b"
        return re.sub(pattern, lambda found: own[found[1]], text) if own else text

    def as_dict(self) -> dict[str, Any]:
        """Plain data, from which `site_from_record` makes the site again."""
        found = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {k: dict(v) if isinstance(v, Mapping) else v for k, v in found.items()}

    def _own_parameters(self) -> dict[str, str]:
        """By the program's name of a parameter its own, where they differ."""
        if self.is_brain:
            return {}
        found = {}
        for tissue, short in (("grey_matter", "grey"), ("white_matter", "white")):
            for kind in ("diffusivity", "young_modulus"):
                found[f"{kind}_{short}"] = f"{kind}_{self.tissues.get(tissue, 'other_tissue')}"
        if "fluid" in self.tissues:
            found["young_modulus_fluid"] = f"young_modulus_{self.tissues['fluid']}"
        for threshold, words in self.thresholds.items():
            found[f"threshold_{threshold}"] = f"threshold_{words.lower().replace(' ', '_')}"
        return found


BRAIN = Site()


@functools.cache
def site_of(parameter_set: str) -> Site:
    """The site of a packaged parameter set; the brain where it states none.

    Raises
    ------
    InvalidInput
        A ``[site]`` that does not hold.
    """
    path = data_folder().joinpath("parameters", f"{parameter_set}.toml")
    if not path.is_file():
        return BRAIN
    table = tomllib.loads(path.read_text(encoding="utf-8")).get("site")
    if table is None:
        return BRAIN
    try:
        return Site(name=parameter_set, **table)
    except TypeError as error:
        raise InvalidInput(f"{path.name}: site: {error}.") from None


def site_from_record(attrs: Mapping[str, Any]) -> Site:
    """The site that results were made for, from their attributes."""
    text = attrs.get("site")
    return BRAIN if text is None else Site(**json.loads(text))
