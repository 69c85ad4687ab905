"""Where a drug's kill goes on the mesh: the same effect everywhere, or by places.

``k(x) = sum_l w_l(x) k_l``: the rate k_l of the drug at level l of its concentration, and the
share w_l(x) of a node's tissue at that level. A kill by exposure is linear in the concentration,
so that one level with w = the relative concentration is exact; a saturating one past a barrier
has two levels, and with perfusion so many that lines between them are close enough.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from solvers.drug_effects import DrugEffect, EmaxKill, LogKill
from twin.drug_delivery import BARRIER_QUANTITY, check_deliveries, deliveries_of
from twin.drugs import load_drug

if TYPE_CHECKING:
    from solvers.prepared import Prepared
    from twin.parameters import ParameterSet
    from twin.regimen import Regimen

__all__ = ["PlacedEffect", "placed_effects"]

#: Levels of concentration for a saturating effect with perfusion.
LEVELS = 25


@dataclass(frozen=True, slots=True, eq=False)
class PlacedEffect:
    """An effect and the share of it at every node.

    Parameters
    ----------
    effect : DrugEffect
    share : ndarray, [1], shape (node,)
    """

    effect: DrugEffect
    share: NDArray[np.float64]


def placed_effects(
    effects: Sequence[DrugEffect], regimen: Regimen, parameters: ParameterSet, prepared: Prepared
) -> dict[str, tuple[PlacedEffect, ...]]:
    """Effects by places of each drug that does not reach all of the tumour alike.

    Raises
    ------
    InvalidInput
        As `twin.drug_delivery.check_deliveries`.
    """
    check_deliveries(regimen, prepared.twin)
    found: dict[str, tuple[PlacedEffect, ...]] = {}
    deliveries = deliveries_of(regimen)
    for effect in effects:
        delivery = deliveries.get(effect.drug, "uniform")
        if delivery == "barrier":
            ratio = load_drug(effect.drug).value(BARRIER_QUANTITY, parameters)
            broken = prepared.enhancing_at_nodes()
            found[effect.drug] = (
                PlacedEffect(effect, broken),
                PlacedEffect(_with_ratio(effect, ratio), 1.0 - broken),
            )
        elif delivery == "perfusion":
            found[effect.drug] = tuple(_perfused(effect, prepared.perfusion_at_nodes()))
    return found


def _with_ratio(effect: DrugEffect, ratio: float) -> DrugEffect:
    """The effect at another ratio of tissue to plasma."""
    if isinstance(effect, LogKill):
        return replace(effect, tumour_to_plasma=ratio)
    return EmaxKill.of(
        effect.drug,
        effect.doses,
        effect.kinetics,
        ratio,
        largest=effect.largest,
        half=effect.half,
        hill=effect.hill,
    )


def _perfused(effect: DrugEffect, relative: NDArray[np.float64]) -> Iterator[PlacedEffect]:
    """An effect at concentrations `relative` to the file's, [1], shape (node,)."""
    low, high = float(relative.min()), float(relative.max())
    if isinstance(effect, LogKill) or high - low < 1e-9:
        yield PlacedEffect(effect, relative)
        return
    levels = np.linspace(low, high, LEVELS)
    place = (relative - low) / (levels[1] - levels[0])
    for number, level in enumerate(levels):
        share = np.maximum(1.0 - np.abs(place - number), 0.0)
        yield PlacedEffect(_with_ratio(effect, effect.tumour_to_plasma * level), share)
