"""The models that the program knows, composed from the parts that a patient file chooses.

Fractions of the carrying capacity; T is their sum::

    viable    c' = div(D grad c) + rho g(T) c - kill c
    dead      d' = kill (all lines) - d ln2/T_half
    necrosis  n' = 0

with g = 1 - T (logistic), -ln T (Gompertz), 1 (exponential) or 0 (none, where D is 0 as
well and no proliferation rate is asked for). A resistant line
grows alike and is killed less. With oxygen, after Swanson 2011, Cancer Res
71:7366, doi 10.1158/0008-5472.CAN-11-1399 [equations as in public code], every
line has a hypoxic half h, E being the effective supply from the vessels v::

    c' = div(D(1-T) grad c) + rho c g(T) + gamma h E - beta c (1-E) - a_n n c - kill c
    h' = div(D(1-T) grad h) - gamma h E + beta c (1-E) - a_h h (1-E) - a_n n h
    n' = a_h h (1-E) + a_n n (c + h + v)
    v' = mu h v (1-T) - a_n n v

The paper's supply is v/(c+h+v); an element of 1 to 2 mm is many cords of 0.1 mm
wide, so E = s/(s + K) with s = v/(c+h+v) is a saturating, effective one (assumed),
and the angiogenic factor is quasi-steady, in proportion to h (assumed). The drug
reaches supplied cells alone.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solvers.models.mathematics import log
from solvers.models.model import Model, Rate, Species
from twin.model_choice import ModelChoice

__all__ = ["LEAST_TOTAL", "LINES", "compose", "growth_law"]

#: Gompertz growth at T = 0 would be infinite: below one cell in a cubic millimetre of 1e5
#: the rate is held.
LEAST_TOTAL = 1e-5
#: Cells beside none: keeps the supply defined in an empty place.
_NOBODY = 1e-9
#: Normoxic and hypoxic species of each line of cells.
LINES = {"viable": "hypoxic", "resistant": "resistant_hypoxic"}


def growth_law(name: str, total: Any) -> Any:
    """Growth per cell, as a share of the proliferation rate, where `total` is filled.

    Logistic ``1 - T``; Gompertz ``-ln T`` (Norton 1988, Cancer Res 48:7067
    [unverified]), held below `LEAST_TOTAL`; exponential 1.

    Examples
    --------
    >>> growth_law("logistic", 0.25)
    0.75
    """
    if name == "logistic":
        return 1.0 - total
    if name == "gompertz":
        return -log((total + LEAST_TOTAL) / (1.0 + LEAST_TOTAL))
    return 1.0 + 0.0 * total


@functools.lru_cache(maxsize=32)
def compose(choice: ModelChoice) -> Model:
    """The model of a choice of parts; mass effect and fibres act on the diffusivity, not here.

    Examples
    --------
    >>> compose(ModelChoice(resistant=True)).names
    ('viable', 'resistant', 'dead', 'necrosis')
    """
    lines = ("viable", "resistant") if choice.resistant else ("viable",)
    parameters = ["proliferation_rate"] if choice.grows else []
    parameters.append("dead_clearance_half_life")
    if choice.resistant:
        parameters += [
            "resistant_fraction", "resistant_radiosensitivity", "resistant_drug_sensitivity",
        ]  # fmt: skip
    if choice.oxygen:
        parameters += [
            "hypoxia_rate", "reoxygenation_rate", "hypoxic_death_rate", "necrosis_contact_rate",
            "vessel_growth_rate", "supply_half", "vessel_fraction", "hypoxic_pressure",
            "oer_maximum", "oer_half_pressure",
        ]  # fmt: skip
    names = choice.growth + (", resistant" if choice.resistant else "")
    return Model(
        name=names + (", oxygen" if choice.oxygen else ""),
        species=_species(lines, choice.oxygen),
        parameters=tuple(parameters),
        rates=functools.partial(_rates, choice, lines),
        initial=functools.partial(_initial, lines, choice.oxygen),
        crowded=choice.oxygen,
        bounded=choice.growth != "exponential",
    )


def _species(lines: tuple[str, ...], oxygen: bool) -> tuple[Species, ...]:
    cells = [
        Species(line, mobile=True, alive=True, sensitivity=functools.partial(_killed, line, False))
        for line in lines
    ]
    if oxygen:
        cells += [
            Species(
                LINES[line],
                mobile=True,
                alive=True,
                sensitivity=functools.partial(_killed, line, True),
            )
            for line in lines
        ]
    vessels = [Species("vessels", visible=False)] if oxygen else []
    return (*cells, Species("dead"), Species("necrosis"), *vessels)


def _killed(line: str, hypoxic: bool, p: SimpleNamespace) -> tuple[Any, Any]:
    """Factors of alpha and beta: the line's share of log-kill, and oxygen's f and f squared."""
    share = p.resistant_radiosensitivity if line == "resistant" else 1.0
    factor = 1.0
    if hypoxic:
        pressure, half = p.hypoxic_pressure, p.oer_half_pressure
        factor = (p.oer_maximum * pressure + half) / (pressure + half) / p.oer_maximum
    return share * factor, share * factor * factor


def _rates(
    choice: ModelChoice, lines: tuple[str, ...], s: SimpleNamespace, p: SimpleNamespace
) -> Mapping[str, Rate]:
    grown = p.proliferation_rate * growth_law(choice.growth, s.total) if choice.grows else 0.0
    drug = {"viable": p.kill}
    if choice.resistant:
        drug["resistant"] = p.kill * p.resistant_drug_sensitivity
    cleared = math.log(2.0) / p.dead_clearance_half_life
    killed = sum(drug[line] * getattr(s, line) for line in lines)
    rates = {"dead": Rate(-cleared, killed)}
    if not choice.oxygen:
        return rates | {line: Rate(grown - drug[line]) for line in lines}
    hypoxic = sum(getattr(s, LINES[line]) for line in lines)
    cells = sum(getattr(s, line) for line in lines) + hypoxic
    share = s.vessels / (cells + s.vessels + _NOBODY)
    supply = share / (share + p.supply_half)
    lack = 1.0 - supply
    contact = p.necrosis_contact_rate * s.necrosis
    for line in lines:
        normoxic, low = getattr(s, line), getattr(s, LINES[line])
        rates[line] = Rate(
            grown - drug[line] - p.hypoxia_rate * lack - contact,
            p.reoxygenation_rate * low * supply,
        )
        rates[LINES[line]] = Rate(
            -p.reoxygenation_rate * supply - p.hypoxic_death_rate * lack - contact,
            p.hypoxia_rate * normoxic * lack,
        )
    rates["necrosis"] = Rate(
        p.necrosis_contact_rate * (cells + s.vessels), p.hypoxic_death_rate * hypoxic * lack
    )
    sprouting = p.vessel_growth_rate * hypoxic * (1.0 - s.total)
    rates["vessels"] = Rate(sprouting - contact)
    return rates


def _initial(
    lines: tuple[str, ...],
    oxygen: bool,
    imaged: Mapping[str, NDArray[np.float64]],
    p: SimpleNamespace,
) -> Mapping[str, NDArray[np.float64]]:
    """Lines share the viable cells; vessels fill their part of what is not necrotic."""
    viable = imaged["viable"]
    state = dict(imaged)
    if len(lines) == 2:
        state["resistant"] = p.resistant_fraction * viable
        state["viable"] = (1.0 - p.resistant_fraction) * viable
    if not oxygen:
        return state
    room = 1.0 - imaged["necrosis"]
    vessels = p.vessel_fraction * (room - viable)
    share = vessels / (viable + vessels + _NOBODY)
    supply = share / (share + p.supply_half)
    # where conversion to hypoxia and back balance on day 0
    back, forth = p.reoxygenation_rate * supply, p.hypoxia_rate * (1.0 - supply)
    normoxic = back / (back + forth + p.hypoxic_death_rate * (1.0 - supply) + _NOBODY)
    for line in lines:
        cells = state[line]
        state[line], state[LINES[line]] = normoxic * cells, (1.0 - normoxic) * cells
    state["vessels"] = vessels
    return state
