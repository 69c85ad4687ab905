"""The section of the report about tumour control."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scenarios.control_table import CONTROL_HEADS, control_cells
from scenarios.tumour_control import RULE
from viz.html import Raw, paragraph, section, table

if TYPE_CHECKING:
    from scenarios.comparison import Comparison

__all__ = ["control_section"]


def control_section(comparisons: list[Comparison]) -> Raw:
    """Probabilities of tumour control under every case; nothing where the model grows."""
    if not len(comparisons[0].control.columns):
        return Raw("")
    return section(
        "control",
        "Tumour control",
        *[
            table(
                ["treatment", *CONTROL_HEADS],
                [[str(name), *control_cells(row)] for name, row in one.control.iterrows()],
                caption=f"Probability of tumour control, case “{one.case}”.",
            )
            for one in comparisons
        ],
        paragraph(RULE, kind="small"),
    )
