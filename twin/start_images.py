"""From the segmentations and density images of a visit to what they say of day 0."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twin.cell_density import (
    DensityMap,
    background_uptake,
    density_from_adc,
    density_from_uptake,
    together,
)
from twin.consensus import Consensus, consensus
from twin.errors import InvalidInput
from twin.parameters import ParameterSet
from twin.patient import TISSUES
from twin.patient_tables import VisitTable
from twin.start_evidence import StartEvidence

__all__ = ["agreed_tumour", "start_evidence"]

logger = logging.getLogger(__name__)

Mask = NDArray[np.bool_]


def agreed_tumour(
    readings: Sequence[Mapping[str, Mask]], visit: VisitTable, spacing_mm: float, *, where: str
) -> tuple[Mapping[str, Mask], Consensus | None]:
    """The tumour's parts, and the consensus where there are several segmentations."""
    if len(readings) == 1:
        return readings[0], None
    try:
        found = consensus(
            readings,
            spacing_mm,
            method=visit.consensus,
            names=[f"the segmentation {file}" for file in visit.segmentations],
        )
    except InvalidInput as error:
        raise InvalidInput(f"{where}: {error}") from None
    for outline, readers in found.readers.items():
        for file, reader in zip(visit.segmentations, readers, strict=True):
            logger.info(
                "%s against the consensus of the %s tumour: Dice %.3f, sensitivity %.3f",
                file, outline, reader.dice, reader.sensitivity,
            )  # fmt: skip
    return found.parts, found


def start_evidence(
    agreed: Consensus | None,
    images: Mapping[str, NDArray[Any]],
    visit: VisitTable,
    parameters: ParameterSet,
    tissues: NDArray[np.int8],
    tumour: Mapping[str, Mask],
    spacing_mm: float,
    *,
    where: str,
) -> StartEvidence | None:
    """What the visit's images leave open of day 0; None where they leave nothing open.

    Parameters
    ----------
    agreed : Consensus or None
        Of several segmentations.
    images : mapping of str to ndarray, shape of the grid
        ``density_adc`` and ``density_fet`` where the visit has them.
    tissues, tumour
        On the same grid.
    """
    table = visit.density
    maps: list[DensityMap] = []
    try:
        if table is not None and table.adc is not None:
            scale = table.adc.mm2_per_s
            maps.append(
                density_from_adc(
                    images["density_adc"] * scale,
                    tumour["enhancing"],
                    free_water=parameters.value("adc_free_water"),
                    at_capacity=parameters.value("adc_at_capacity"),
                    noise=table.adc.noise * scale,
                )
            )
        if table is not None and table.fet is not None:
            living = (tissues == TISSUES["grey_matter"]) | (tissues == TISSUES["white_matter"])
            living = (living | tumour["enhancing"]) & ~tumour["necrosis"]
            whole = np.any(list(tumour.values()), axis=0)
            uptake = images["density_fet"]
            background = table.fet.background
            if background is None:
                background = background_uptake(uptake, living, whole, spacing_mm)
            maps.append(
                density_from_uptake(
                    uptake,
                    living,
                    background=background,
                    ratio_at_capacity=parameters.value("fet_ratio_at_capacity"),
                    noise=table.fet.noise,
                )
            )
    except InvalidInput as error:
        raise InvalidInput(f"{where}: density: {error}") from None
    spread = {} if agreed is None else dict(agreed.spread_mm)
    if not maps:
        return StartEvidence(spread) if spread else None
    seen = together(maps)
    return StartEvidence(spread, seen.density, seen.sd)
