"""One set of colours for all pictures: told apart by colour-blind readers, the same everywhere.

The eight colours are those of Okabe M, Ito K, Color Universal Design (2008), as
recommended by Wong B, Nat Methods 2011;8:441, doi 10.1038/nmeth.1618.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
    "BRAIN",
    "CAVITY",
    "CAVITY_LINE",
    "DOSE",
    "DOSE_MAP",
    "INK",
    "ORANGE",
    "PAPER",
    "PURPLE",
    "RESEARCH_USE",
    "SKY",
    "THRESHOLD_COLOURS",
    "scenario_styles",
]

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILLION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"

BRAIN = "#C9CDD3"
CAVITY = BLUE
CAVITY_LINE = SKY
DOSE = GREEN
#: Colour map of doses in slices: ordered in lightness, so it reads in grey too.
DOSE_MAP = "cool"
INK = "#1F2933"
PAPER = "#FFFFFF"
RESEARCH_USE = "research use only"

#: Surface and contour colour of each visibility threshold.
THRESHOLD_COLOURS = {"t1gd": VERMILLION, "flair": YELLOW}
_LINES = ("-", "--", "-.", ":")
_COLOURS = (BLACK, ORANGE, BLUE, GREEN, VERMILLION, PURPLE, SKY)


def scenario_styles(scenarios: Sequence[str]) -> dict[str, dict[str, str]]:
    """Colour and line style of each scenario, by its place in the study.

    >>> scenario_styles(["no treatment", "60 Gy"])["60 Gy"]
    {'color': '#E69F00', 'linestyle': '-'}
    """
    return {
        name: {
            "color": _COLOURS[i % len(_COLOURS)],
            "linestyle": _LINES[(i // len(_COLOURS)) % len(_LINES)],
        }
        for i, name in enumerate(scenarios)
    }
