"""A patient file in the words of its site, turned into the program's own before it is checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twin.errors import InvalidInput
from twin.site import Site, site_of

__all__ = ["in_own_words"]


def in_own_words(content: Any) -> Any:
    """The content of a ``patient.toml`` with the program's names of tissues and parts.

    What is not of the form that is looked for is left to the checks of the patient file.

    Examples
    --------
    >>> visit = {"tissue_labels": {"fat": 1, "fibroglandular": 2, "chest_wall": 3}}
    >>> said = in_own_words({"parameters": {"set": "breast"}, "visit": [visit]})
    >>> said["visit"][0]["tissue_labels"]
    {'grey_matter': 1, 'white_matter': 2, 'fluid': 3}

    Raises
    ------
    InvalidInput
        A tissue or part that the site does not have.
    """
    if not isinstance(content, Mapping):
        return content
    table = content.get("parameters")
    name = table.get("set") if isinstance(table, Mapping) else None
    site = site_of(name) if isinstance(name, str) and name.isidentifier() else Site()
    visits = content.get("visit")
    if site.is_brain or not isinstance(visits, list | tuple):
        return content
    turned: dict[str, Any] = dict(content)
    turned["visit"] = [_visit(visit, site) for visit in visits]
    if isinstance(mesh := content.get("mesh"), Mapping) and isinstance(mesh.get("labels"), Mapping):
        labels = _turned(mesh["labels"], {**site.tissues, **site.parts}, site, "mesh, labels")
        turned["mesh"] = {**mesh, "labels": labels}
    return turned


def _visit(visit: Any, site: Site) -> Any:
    if not isinstance(visit, Mapping):
        return visit
    turned = dict(visit)
    for key, names in (
        ("tissue_labels", site.tissues),
        ("tissue_probabilities", site.tissues),
        ("labels", site.parts),
    ):
        if isinstance(visit.get(key), Mapping):
            turned[key] = _turned(visit[key], names, site, f"visit, {key}")
    if "image" in visit and "t1" not in visit:
        turned["t1"] = turned.pop("image")
    absent = {name: None for name in ("fluid", "grey_matter") if name not in site.tissues}
    labels = turned.get("tissue_labels", {name: n + 1 for n, name in enumerate(site.tissues)})
    if isinstance(labels, Mapping):
        turned["tissue_labels"] = {**absent, **labels}
    return turned


def _turned(
    written: Mapping[str, Any], names: Mapping[str, str], site: Site, where: str
) -> dict[str, Any]:
    """A table by the program's names, from one by the site's."""
    own = {new: old for old, new in names.items()}
    found = {}
    for name, value in written.items():
        if name not in own and name != "outside":
            raise InvalidInput(
                f"{where}: the site {site.name!r} has no {name!r}; it has {', '.join(own)}."
            )
        found[own.get(name, name)] = value
    return found
