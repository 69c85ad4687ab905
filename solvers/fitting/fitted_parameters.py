"""Fitted values as entries of a parameter set, with what they rest on."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence

from solvers.fitting.estimate import Estimate
from solvers.fitting.growth_curves import GrowthFit
from solvers.fitting.growth_laws import law_name
from solvers.fitting.survival_curves import SurvivalFit
from solvers.fitting.tumour_volumes import TumourVolumes
from twin.parameters import Parameter

__all__ = [
    "CLONOGENIC_WARNING",
    "growth_parameters",
    "parameters_toml",
    "survival_parameters",
]

#: What must be known before a clonogenic value is used.
CLONOGENIC_WARNING = (
    "Clonogenic values are of cells in dishes: they are never a patient's default, and the "
    "growth equation with rho takes a radiosensitivity from images; do not give it these."
)
_XENOGRAFT_WARNING = (
    "Rates of tumours in animals describe the whole volume of that model under that drug; they "
    "are never a patient's default."
)


def _entry(
    name: str, found: Estimate, unit: str, *, basis: str, source: str, note: str
) -> Parameter | None:
    """The parameter, or None where its interval is open above and no range can be stated."""
    if not all(math.isfinite(end) for end in (found.value, found.low, found.high)):
        return None
    return Parameter(
        name=name,
        value=found.value,
        unit=unit,
        low=found.low,
        high=found.high,
        prior=None,
        source=source,
        basis=basis,
        evidence="C",
        note=note,
    )


def survival_parameters(fit: SurvivalFit, *, source: str) -> tuple[dict[str, Parameter], list[str]]:
    """alpha, beta and alpha/beta of a curve, and what was left out because it has no upper end.

    Parameters
    ----------
    fit : SurvivalFit
    source : str
        The table fitted to, such as its file name and hash; ``calibrated:`` is put before it.

    Returns
    -------
    dict of str to Parameter
        Basis "in vitro", evidence C; `low` and `high` are the ends of the interval.
    list of str
        Names left out.
    """
    note = (
        f"{fit.name}: low and high are the {100 * fit.confidence:g} % profile interval "
        f"({fit.errors}, dispersion {fit.dispersion:.2g}). {CLONOGENIC_WARNING}"
    )
    made = {
        name: _entry(name, found, unit, basis="in vitro", source=f"calibrated: {source}", note=note)
        for name, found, unit in (
            ("alpha", fit.alpha, "1/Gy"),
            ("beta", fit.beta, "1/Gy2"),
            ("alpha_beta", fit.alpha_beta, "Gy"),
        )
    }
    return _made_and_missing(made)


def growth_parameters(
    fit: GrowthFit, volumes: TumourVolumes, *, source: str
) -> tuple[dict[str, Parameter], list[str]]:
    """Growth rate and kill rates of the law of least AIC, as `survival_parameters` gives them.

    Kill rates are numbered in the order of the groups, which the notes name.
    """
    best = fit.best
    groups = [(f"kill_rate_{place}", name) for place, name in enumerate(volumes.groups) if place]
    about = (
        f"{law_name(best.law)} growth, low and high are the {100 * fit.confidence:g} % interval. "
        f"{_XENOGRAFT_WARNING}"
    )
    made = {
        "volume_growth_rate": (best.growth_rate, f"Control {volumes.groups[0]}: {about}"),
        **{key: (best.kill_rate[name], f"Group {name}: {about}") for key, name in groups},
    }
    return _made_and_missing(
        {
            key: _entry(
                key, found, "1/day", basis="xenograft", source=f"calibrated: {source}", note=note
            )
            for key, (found, note) in made.items()
        }
    )


def _made_and_missing(
    made: Mapping[str, Parameter | None],
) -> tuple[dict[str, Parameter], list[str]]:
    return (
        {name: entry for name, entry in made.items() if entry is not None},
        [name for name, entry in made.items() if entry is None],
    )


def parameters_toml(
    entries: Mapping[str, Parameter], *, title: str, remarks: Sequence[str] = ()
) -> str:
    """Return a parameter set as the text of a TOML file.

    Parameters
    ----------
    entries : mapping of str to Parameter
        Without priors.
    title : str
    remarks : sequence of str
        Written above as comments.

    Examples
    --------
    >>> one = Parameter("alpha", 0.3, "1/Gy", 0.2, 0.4, None, "calibrated: dishes", "in vitro", "C")
    >>> print(parameters_toml({"alpha": one}, title="A line"))
    format = 1
    title = "A line"
    <BLANKLINE>
    [parameter.alpha]
    value = 0.3
    unit = "1/Gy"
    low = 0.2
    high = 0.4
    source = "calibrated: dishes"
    basis = "in vitro"
    evidence = "C"
    <BLANKLINE>
    """
    lines = [*(f"# {remark}" for remark in remarks), *([""] if remarks else [])]
    lines += ["format = 1", f"title = {_quoted(title)}"]
    for name, entry in entries.items():
        lines += ["", f"[parameter.{name}]"]
        for key, value in entry.as_dict().items():
            if value != "":
                text = _quoted(value) if isinstance(value, str) else repr(float(f"{value:.6g}"))
                lines.append(f"{key} = {text}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """A basic string of TOML, which JSON's is, but for the character that deletes."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
